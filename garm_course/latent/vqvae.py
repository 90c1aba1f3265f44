"""VQ-VAE: an autoencoder whose code is a grid of integers, each the index of a vector in a learned codebook.

The encoder proposes vectors, the quantizer (`quantizer.py`) replaces each by its nearest neighbor in the codebook, the
decoder reads those. A second model learns the distribution of the codes: `two_stage.py` puts the two together.

Source: van den Oord, Vinyals, Kavukcuoglu (2017), "Neural Discrete Representation Learning", arXiv 1711.00937.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.distributions.heads import Categorical, as_weights, at_least_float32, ordered_logits, output_head
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_classes, check_levels, readable
from garm_course.latent.bounds import ELBO
from garm_course.latent.quantizer import Quantized, VectorQuantizer, check_codes
from garm_course.models import configured
from garm_course.transforms import level_features


class VQVAE(nn.Module):
    """An autoencoder with a grid of discrete codes; the encoder and the decoder are passed in.

    Its deterministic encoder and a uniform prior over codes give KL = H' W' ln K for every image; equation (12.6).

    Args:
        encoder: x -> (B, dim, H', W').
        decoder: (B, dim, H', W') -> parameters of the head, (B, C, H, W) or (B, C, H, W, levels).
        quantizer: see `VectorQuantizer`.
        shape: of the images.
        levels: of the images.
        grid: (H', W') of the codes.

    Source:
        van den Oord et al. (2017), arXiv 1711.00937.
    """

    n_classes = 0

    def __init__(self, encoder, decoder, quantizer: VectorQuantizer, shape, levels, grid):
        super().__init__()
        self.shape, self.levels, self.grid = tuple(shape), levels, tuple(grid)
        self.head = output_head(levels)
        self.encoder, self.decoder, self.quantizer = encoder, decoder, quantizer

    @property
    def n_codes(self) -> int:
        """Size K of the codebook."""
        return self.quantizer.n_codes

    def quantized(self, x: Tensor) -> Quantized:
        """The codes of images (B, C, H, W) with the gradient that passes straight through, and the codebook's loss.

        Raises:
            TypeError, ValueError: for images that do not fit, or an encoder whose output does not.
            FloatingPointError: an encoder output that is not finite.
        """
        check_levels(x, self.shape, self.levels)
        z = at_least_float32(self.encoder(x))
        expected = (len(x), self.quantizer.codebook.shape[1], *self.grid)
        if tuple(z.shape) != expected:
            raise ValueError(
                f"expected {expected} from the encoder, got {tuple(z.shape)}; change the encoder or the grid"
            )
        return self.quantizer(z)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) of levels -> LongTensor (B, H', W') of codes 0..K-1."""
        with evaluation_mode(self):
            return self.quantized(x).index

    def decode(self, index: Tensor) -> Tensor:
        """Codes LongTensor (B, H', W') -> parameters of p(x | codes): (B, C, H, W) or (B, C, H, W, levels).

        Raises:
            TypeError, ValueError: for codes of another dtype or shape, or out of range.
        """
        check_codes(index, self.n_codes)
        if tuple(index.shape[1:]) != self.grid:
            expected = f"codes (B, {', '.join(map(str, self.grid))})"
            raise ValueError(f"expected {expected}, got {tuple(index.shape)}; reshape them to this model's grid")
        return self.decode_vectors(self.quantizer.codebook[index].movedim(-1, 1))

    def decode_vectors(self, z_q: Tensor) -> Tensor:
        """(B, dim, H', W') -> parameters of p(x | codes)."""
        params = at_least_float32(self.decoder(as_weights(z_q, self.decoder)))
        expected = (len(z_q), *self.shape, *(() if self.head.n_params == 1 else (self.head.n_params,)))
        if tuple(params.shape) != expected:
            raise ValueError(f"expected parameters {expected} from the decoder, got {tuple(params.shape)}; change it")
        return params

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What training needs: log p(x | codes) (B,) in nats, gradient straight through, and the codebook's loss.

        Raises:
            FloatingPointError: a term that is not finite; the message names it.
        """
        z_q, _, loss = self.quantized(x)
        reconstruction = self.head.log_prob(self.decode_vectors(z_q), x).flatten(1).sum(1)
        for name, term in (("reconstruction", reconstruction), ("codebook", loss)):
            if readable(term) and not torch.isfinite(term).all():
                raise FloatingPointError(f"the VQ-VAE's {name} term is not finite; lower the learning rate")
        return reconstruction, loss

    def elbo(self, x: Tensor, y: Tensor | None = None, *, rng: torch.Generator | None = None) -> ELBO:
        """log p(x | codes(x)) and the cost of the codes under a uniform prior, H' W' ln K: each (B,) nats.

        Their difference is at most log p(x): it counts one code of all that could have made x. `rng` is not used.
        """
        check_classes(y, len(x), 0)
        reconstruction = self.log_likelihood(x, self.encode(x))
        return ELBO(reconstruction, torch.full_like(reconstruction, math.prod(self.grid) * math.log(self.n_codes)))

    def log_likelihood(self, x: Tensor, index: Tensor) -> Tensor:
        """log p(x | codes) of images (B, C, H, W) given codes (B, H', W'): (B,) nats, summed over pixels."""
        return self.head.log_prob(self.decode(index), x).flatten(1).sum(1)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The expected image E[x | codes(x)]: (B, C, H, W) real numbers."""
        return self.head.mean(self.decode(self.encode(x)))


class VQLoss:
    """The training loss of a VQ-VAE: -log p(x | codes) + weight D (loss of the codebook), nats per example.

    Both terms per dimension are the paper's objective; times D, they read as nats.

    Args:
        weight: of the codebook's loss against the reconstruction.

    Source:
        van den Oord et al. (2017), arXiv 1711.00937, equation 3.
    """

    def __init__(self, weight: float = 1.0):
        self.weight = weight

    def __call__(self, model: VQVAE, x: Tensor, y: Tensor | None = None) -> Tensor:
        reconstruction, codebook = model.terms(x)
        return self.weight * math.prod(model.shape) * codebook - reconstruction.mean()


class ResidualBlock(nn.Module):
    """x + conv1x1(relu(conv3x3(relu(x)))): keeps the size."""

    def __init__(self, channels: int):
        super().__init__()
        self.wide, self.out = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x + self.out(F.relu(self.wide(F.relu(x))))


class ConvVQVAE(VQVAE):
    """A VQ-VAE of convolutions; each of `halvings` layers with stride 2 halves the grid of codes.

    Args:
        shape: of the images; height and width must be divisible by 2^halvings.
        levels: of the images.
        n_codes: of the codebook.
        dim: of the codebook.
        channels: features.
        blocks: residual blocks on either side.
        halvings: 2 turns 28 x 28 pixels into 7 x 7 codes.
        beta: see `VectorQuantizer`.
        decay: see `VectorQuantizer`.
        restart: see `VectorQuantizer`.

    Raises:
        ValueError: for classes, or a height or width that cannot be halved so often.

    Source:
        van den Oord et al. (2017), arXiv 1711.00937, section 4.1 (smaller, and with a likelihood of levels).

    Example:
        >>> model = ConvVQVAE((1, 28, 28), levels=2)
        >>> model.encode(torch.zeros(3, 1, 28, 28, dtype=torch.long)).shape
        torch.Size([3, 7, 7])
    """

    name = "vqvae"

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, n_codes=64, dim=16, channels=32, blocks=1, halvings=2, beta=0.25,
        decay=0.95, restart=0.05,
    ):  # fmt: skip
        _, height, width = shape
        step = 2**halvings
        if n_classes:
            raise ValueError("a VQ-VAE has no classes; give them to the prior of its codes")
        if height % step or width % step:
            raise ValueError(
                f"expected a height and width divisible by {step}, got {height} and {width}; pad the images"
            )
        quantizer = VectorQuantizer(n_codes, dim, beta=beta, decay=decay, restart=restart)
        encoder = ConvEncoder(shape, levels, dim, channels, blocks, halvings)
        decoder = ConvDecoder(shape, levels, dim, channels, blocks, halvings)
        super().__init__(encoder, decoder, quantizer, shape, levels, (height // step, width // step))


class ConvEncoder(nn.Module):
    """Images of levels to a grid of vectors: levels as a thermometer, convolutions of stride 2, residual blocks."""

    def __init__(self, shape, levels, dim, channels, blocks, halvings):
        super().__init__()
        self.register_buffer("table", level_features(levels, "thermometer")[:, :-1], persistent=False)
        sizes = [shape[0] * self.table.shape[1]] + [channels] * halvings
        layers = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(sizes[-1], channels, 3, padding=1), *(ResidualBlock(channels) for _ in range(blocks))]
        self.net = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(channels, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) -> (B, dim, H', W')."""
        return self.net(self.table[x].movedim(-1, 2).flatten(1, 2))


class ConvDecoder(nn.Module):
    """A grid of vectors to the parameters of every pixel: the encoder's mirror image."""

    def __init__(self, shape, levels, dim, channels, blocks, halvings):
        super().__init__()
        self.shape, self.head = tuple(shape), output_head(levels)
        sizes = [channels] * halvings + [shape[0] * self.head.n_params]
        layers = [nn.Conv2d(dim, channels, 3, padding=1), *(ResidualBlock(channels) for _ in range(blocks))]
        for n_in, n_out in pairwise(sizes):
            layers += [nn.ReLU(), nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)]
        self.net = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """(B, dim, H', W') -> (B, C, H, W), or (B, C, H, W, levels)."""
        params = self.net(z).unflatten(1, (self.shape[0], -1)).movedim(2, -1)
        return ordered_logits(params) if isinstance(self.head, Categorical) else params.squeeze(-1)
