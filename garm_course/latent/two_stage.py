"""A VQ-VAE with a learned prior over its codes: codes first, then the image given the codes."""

import torch
from torch import Tensor, nn

from garm_course.distributions.draws import next_stage, uniforms
from garm_course.inputs import check_classes
from garm_course.latent.bounds import ELBO
from garm_course.latent.vqvae import VQVAE


class TwoStage(nn.Module):
    """A VQ-VAE with a learned prior over its codes: samples in two stages, and a bound on the likelihood of images.

    Args:
        vqvae: the first stage.
        prior: an image model of codes, (1, H', W') with K levels, such as a Gated PixelCNN: it has `log_prob(codes)`
            and `sample(n)`.

    Raises:
        ValueError: for a prior of another grid or another number of levels.
    """

    name = "two_stage"

    def __init__(self, vqvae: VQVAE, prior: nn.Module):
        super().__init__()
        if tuple(prior.shape) != (1, *vqvae.grid) or prior.levels != vqvae.n_codes:
            raise ValueError(
                f"expected a prior over codes (1, {vqvae.grid[0]}, {vqvae.grid[1]}) of {vqvae.n_codes} levels, "
                f"got {tuple(prior.shape)} of {prior.levels}; build the prior for this VQ-VAE"
            )
        self.vqvae, self.prior = vqvae, prior
        self.shape, self.levels, self.n_classes = vqvae.shape, vqvae.levels, prior.n_classes
        parts = {"vqvae": vqvae, "prior": prior}
        if all(hasattr(part, "config") for part in parts.values()):  # what the library can build can be saved
            self.config = {"parts": {argument: [part.name, part.config] for argument, part in parts.items()}}

    def elbo(self, x: Tensor, y: Tensor | None = None, *, rng: torch.Generator | None = None) -> ELBO:
        """log p(x | codes(x)) and the cost of the codes, -log p(codes(x)): each (B,) nats; see `VQVAE.elbo`."""
        check_classes(y, len(x), self.n_classes)
        index = self.vqvae.encode(x)
        codes = index.unsqueeze(1)
        log_prior = self.prior.log_prob(codes) if y is None else self.prior.log_prob(codes, y)
        return ELBO(self.vqvae.log_likelihood(x, index), -log_prior)

    @property
    def sampling_options(self) -> tuple[str, ...]:
        """Options that `sample` takes: those of the prior, and `mean`."""
        return (*self.prior.sampling_options, "mean")

    def levels_of(self, x: Tensor) -> Tensor:
        """Samples as levels, which they are; expected images (`mean`) are rounded."""
        return x.round().long()

    @torch.no_grad()
    def sample(
        self, n: int, y: Tensor | None = None, *, rng: torch.Generator | None = None, mean: bool = False, **options
    ) -> Tensor:
        """Draw n images: codes from the prior, then pixels given the codes.

        Args:
            n: as the prior's `sample` takes them.
            y: as the prior's `sample` takes them.
            rng: as the prior's `sample` takes them.
            options: as the prior's `sample` takes them.
            mean: return the expected images given the codes instead of draws.

        Returns:
            (n, C, H, W): LongTensor of levels, or real numbers with `mean`.
        """
        pixels = next_stage(rng)
        params = self.vqvae.decode(self.prior.sample(n, y, rng=rng, **options).squeeze(1))
        if mean:
            return self.vqvae.head.mean(params)
        return self.vqvae.head.sample(params, uniforms(n, *self.shape, rng=pixels, like=params).to(params.dtype))
