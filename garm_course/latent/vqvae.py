"""VQ-VAE: an autoencoder whose code is a grid of whole numbers, each the index of a vector in a learned codebook.

The encoder proposes vectors, the quantizer replaces each by its nearest neighbor in the codebook, the decoder reads
those. A second model learns the distribution of the codes; `TwoStage` puts the two together.

Sources: van den Oord, Vinyals, Kavukcuoglu (2017), "Neural Discrete Representation Learning", arXiv 1711.00937; restart
of dead codes: Dhariwal et al. (2020), "Jukebox", arXiv 2005.00341, section 3.1.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.distributions.draws import next_stage, uniforms
from garm_course.distributions.heads import Categorical, at_least_float32, ordered_logits, output_head
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_classes, check_images
from garm_course.latent.bounds import ELBO
from garm_course.transforms import level_features


def nearest_code(z: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest vector of the codebook, by |z - e|² = |z|² - 2 z·e + |e|²; equation (12.1).

    Args:
        z: (N, C) vectors. codebook: (K, C).

    Returns:
        LongTensor (N,) of 0..K-1; the first one among ties.
    """
    return ((codebook**2).sum(1) - 2 * z @ codebook.T).argmin(1)  # |z|² is the same for all codes


def quantize(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Replace each vector of a grid by its nearest code; the gradient passes straight through; equation (12.2).

    z_q = z + sg(e - z): the value of the code, the gradient of the encoder's output. No gradient reaches the codebook.

    Args:
        z: (B, C, H, W), one vector of C numbers at each place. codebook: (K, C).

    Returns:
        z_q (B, C, H, W), and LongTensor (B, H, W) of indices 0..K-1.

    Raises:
        ValueError: for shapes that do not fit. FloatingPointError: an encoder output that is not finite.

    Source:
        van den Oord et al. (2017), arXiv 1711.00937, equations 1 and 2; Bengio, Leonard, Courville (2013), arXiv
        1308.3432.

    Example:
        >>> z_q, index = quantize(torch.tensor([0.9, -0.2]).reshape(1, 1, 1, 2), torch.tensor([[-1.0], [0.0], [1.0]]))
        >>> index
        tensor([[[2, 1]]])
    """
    if z.ndim != 4 or codebook.ndim != 2 or z.shape[1] != codebook.shape[1]:
        raise ValueError(
            f"expected z (B, C, H, W) and a codebook (K, C), got {tuple(z.shape)} and {tuple(codebook.shape)}"
        )
    if not torch.isfinite(z).all():
        raise FloatingPointError("the encoder's output became NaN or infinite; lower the learning rate")
    vectors = z.detach().movedim(1, -1)  # (B, H, W, C)
    index = nearest_code(vectors.flatten(0, 2), codebook.detach()).unflatten(0, vectors.shape[:3])
    codes = codebook.detach()[index].movedim(-1, 1)
    return z + (codes - z).detach(), index


def vq_loss(z: Tensor, e: Tensor, beta: float = 0.25) -> Tensor:
    """mean |sg(z) - e|² + beta mean |z - sg(e)|²: codes move to the encoder, the encoder commits to codes; (12.3).

    Args:
        z: output of the encoder. e: the codes chosen for it, of the same shape.
        beta: weight of the commitment.

    Returns:
        Scalar: means over all elements, as the paper's code defines them (not a sum over dimensions).

    Source:
        van den Oord et al. (2017), arXiv 1711.00937, equation 3.

    Example:
        >>> vq_loss(torch.tensor([1.0]), torch.tensor([3.0]))  # 4 + 4 / 4
        tensor(5.)
    """
    if z.shape != e.shape:
        raise ValueError(f"expected z and e of one shape, got {tuple(z.shape)} and {tuple(e.shape)}")
    return F.mse_loss(e, z.detach()) + beta * F.mse_loss(z, e.detach())


def codebook_perplexity(index: Tensor, n_codes: int) -> Tensor:
    """exp of the entropy of the code frequencies: how many codes are in use, in effect; equation (12.5).

    Args:
        index: LongTensor of any shape, values 0..n_codes-1. n_codes: size K of the codebook.

    Returns:
        Scalar in [1, K].

    Raises:
        ValueError: for indices out of range, or none.

    Example:
        >>> codebook_perplexity(torch.tensor([0, 0, 3, 3]), 8)
        tensor(2.)
    """
    check_codes(index, n_codes)
    p = torch.bincount(index.flatten(), minlength=n_codes).to(torch.get_default_dtype()) / index.numel()
    return torch.exp(-torch.xlogy(p, p).sum())


def ema_update(N: Tensor, m: Tensor, index: Tensor, z: Tensor, decay: float) -> tuple[Tensor, Tensor, Tensor]:
    """One step of the codebook as a moving average of the vectors that chose each code; equation (12.4).

    N <- decay N + (1 - decay) n,  m <- decay m + (1 - decay) sum of z,  e = m / N. Decay 0 is a step of k-means.

    Args:
        N: (K,) moving counts. m: (K, C) moving sums. index: LongTensor (M,) of the codes chosen. z: (M, C) the vectors.
        decay: in [0, 1).

    Raises:
        TypeError, ValueError: for a decay out of range, or codes that are none.

    Returns:
        N (K,), m (K, C), and e (K, C): where N is 0, a code that was never chosen, e is 0.

    Source:
        van den Oord et al. (2017), arXiv 1711.00937, appendix A.1.

    Example:
        >>> ema_update(torch.zeros(2), torch.zeros(2, 1), torch.tensor([1, 1]), torch.tensor([[2.0], [4.0]]), 0.0)[2]
        tensor([[0.],
                [3.]])
    """
    if not 0 <= decay < 1:
        raise ValueError(f"expected a decay in [0, 1), got {decay}; 0.95 or 0.99 are usual")
    check_codes(index, len(N))
    batch_N = torch.zeros_like(N).index_add(0, index, torch.ones_like(index, dtype=N.dtype))
    batch_m = torch.zeros_like(m).index_add(0, index, z.to(m.dtype))
    N, m = decay * N + (1 - decay) * batch_N, decay * m + (1 - decay) * batch_m
    return N, m, m / N.clamp(min=torch.finfo(N.dtype).tiny).unsqueeze(1)


def check_codes(index: Tensor, n_codes: int) -> None:
    """Refuse what are not indices of a codebook: TypeError for a dtype, ValueError for none or one out of range."""
    if not isinstance(index, Tensor) or index.dtype != torch.long:
        got = f"a tensor of {index.dtype}" if isinstance(index, Tensor) else f"a {type(index).__name__}"
        raise TypeError(f"expected codes as a LongTensor of 0..{n_codes - 1}, got {got}; use index.long()")
    if index.numel() == 0:
        raise ValueError(f"expected codes 0..{n_codes - 1}, got an empty tensor")
    low, high = index.aminmax()
    if low < 0 or high >= n_codes:
        raise ValueError(
            f"expected codes 0..{n_codes - 1}, got {int(low)}..{int(high)}; the codebook has no such entry"
        )


class Quantized(NamedTuple):
    """What a quantizer returns: z_q (B, C, H, W), index LongTensor (B, H, W), and the codebook's loss, a scalar."""

    z_q: Tensor
    index: Tensor
    loss: Tensor


class VectorQuantizer(nn.Module):
    """A codebook of K vectors, learned by its own loss or as a moving average of what chooses each code.

    Trained in several processes, a moving average follows the first one's part of each batch, and all use its codes.

    Args:
        n_codes: K. dim: C, numbers in each vector.
        beta: weight of the commitment loss.
        decay: of the moving average, in [0, 1); None learns the codebook by gradient descent on `vq_loss`.
        restart: a code that is chosen less often than this (in moving average, as a fraction of an equal share) moves
            to a random output of the encoder. 0 leaves dead codes dead. It needs a decay.

    Raises:
        ValueError: for sizes or settings out of these ranges.

    Source:
        Moving average: van den Oord et al. (2017), arXiv 1711.00937, appendix A.1; restart: Dhariwal et al. (2020),
        arXiv 2005.00341, section 3.1.
    """

    def __init__(
        self, n_codes: int, dim: int, *, beta: float = 0.25, decay: float | None = 0.95, restart: float = 0.05
    ):
        super().__init__()
        if n_codes < 2 or dim < 1:
            raise ValueError(f"expected n_codes >= 2 and dim >= 1, got {n_codes} and {dim}")
        if beta < 0 or restart < 0 or not (decay is None or 0 <= decay < 1):
            raise ValueError(
                f"expected beta >= 0, restart >= 0, decay in [0, 1) or None, got {beta}, {restart}, {decay}"
            )
        self.n_codes, self.beta, self.decay, self.restart = n_codes, beta, decay, restart
        codebook = torch.randn(n_codes, dim) / math.sqrt(dim)
        if decay is None:
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
            self.register_buffer("counts", torch.zeros(n_codes))
            self.register_buffer("sums", torch.zeros(n_codes, dim))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize (B, C, H, W); in training mode also move the codebook (moving average) and restart dead codes."""
        z_q, index = quantize(z, self.codebook)
        if self.decay is None:
            codes = self.codebook[index].movedim(-1, 1)  # with the gradient of the codebook
            loss = vq_loss(z, codes, self.beta)
        else:
            loss = self.beta * F.mse_loss(z, z_q.detach())
            if self.training:
                self._move(z.detach().movedim(1, -1).flatten(0, 2), index.flatten())
        return Quantized(z_q, index, loss)

    @torch.no_grad()
    def _move(self, vectors: Tensor, index: Tensor) -> None:
        if not self.counts.any():  # the first batch: start the codebook on the data
            self._start(torch.arange(self.n_codes, device=vectors.device), vectors)
            index = nearest_code(vectors, self.codebook)
        counts, sums, codes = ema_update(self.counts, self.sums, index, vectors, self.decay)
        self.counts.copy_(counts)
        self.sums.copy_(sums)
        self.codebook.copy_(torch.where(counts.unsqueeze(1) > 0, codes, self.codebook))
        if self.restart:
            self._start((counts < self.restart * counts.mean()).nonzero().flatten(), vectors)

    def _start(self, which: Tensor, vectors: Tensor) -> None:
        """Put these codes on random vectors of the batch, with the count of an equal share."""
        if not len(which):
            return
        at = torch.randint(len(vectors), (len(which),)).to(vectors.device)
        share = len(vectors) / self.n_codes
        self.codebook[which] = vectors[at].to(self.codebook)
        self.counts[which] = share
        self.sums[which] = share * vectors[at].to(self.sums)


class VQVAE(nn.Module):
    """An autoencoder with a grid of discrete codes; the encoder and the decoder are passed in.

    Its deterministic encoder and a uniform prior over codes give KL = H' W' ln K for every image; equation (12.6).

    Args:
        encoder: x -> (B, dim, H', W'). decoder: (B, dim, H', W') -> parameters of the head, (B, C, H, W) or
            (B, C, H, W, levels).
        quantizer: see `VectorQuantizer`.
        shape, levels: of the images.
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
        check_images(x, self.shape, self.levels)
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
        params = at_least_float32(self.decoder(z_q))
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
            if not torch.isfinite(term).all():
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
        shape, levels: of the images; height and width must be divisible by 2^halvings.
        n_codes, dim: of the codebook. channels: features. blocks: residual blocks on either side.
        halvings: 2 turns 28 x 28 pixels into 7 x 7 codes.
        beta, decay, restart: see `VectorQuantizer`.

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
        self.config = {
            "shape": list(shape), "levels": levels, "n_classes": 0, "n_codes": n_codes, "dim": dim,
            "channels": channels, "blocks": blocks, "halvings": halvings, "beta": beta, "decay": decay,
            "restart": restart,
        }  # fmt: skip


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
            n, y, rng, options: as the prior's `sample` takes them.
            mean: return the expected images given the codes instead of draws.

        Returns:
            (n, C, H, W): LongTensor of levels, or real numbers with `mean`.
        """
        pixels = next_stage(rng)
        params = self.vqvae.decode(self.prior.sample(n, y, rng=rng, **options).squeeze(1))
        if mean:
            return self.vqvae.head.mean(params)
        return self.vqvae.head.sample(params, uniforms(n, *self.shape, rng=pixels, like=params).to(params.dtype))
