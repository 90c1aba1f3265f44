"""Vector quantization: a vector becomes the index of its nearest neighbor in a learned codebook.

The codebook learns by gradients or by running means; codes that nobody uses are put on encoder outputs again.

Sources: van den Oord, Vinyals, Kavukcuoglu (2017), "Neural Discrete Representation Learning", arXiv 1711.00937; restart
of dead codes: Dhariwal et al. (2020), "Jukebox", arXiv 2005.00341, section 3.1.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.distributions.heads import at_least_float32
from garm_course.inputs import check_settings, readable


def nearest_code(z: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest vector of the codebook, by |z - e|² = |z|² - 2 z·e + |e|²; equation (12.1).

    Args:
        z: (N, C) vectors.
        codebook: (K, C).

    Returns:
        LongTensor (N,) of 0..K-1; the first one among ties.
    """
    return ((codebook**2).sum(1) - 2 * z @ codebook.T).argmin(1)  # |z|² is the same for all codes


def quantize(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Replace each vector of a grid by its nearest code; the gradient passes straight through; equation (12.2).

    z_q = z + sg(e - z): the value of the code, the gradient of the encoder's output. No gradient reaches the codebook.

    Args:
        z: (B, C, H, W), one vector of C numbers at each place.
        codebook: (K, C).

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
    if readable(z) and not torch.isfinite(z).all():
        raise FloatingPointError("the encoder's output became NaN or infinite; lower the learning rate")
    vectors = z.detach().movedim(1, -1)  # (B, H, W, C)
    index = nearest_code(vectors.flatten(0, 2), codebook.detach()).unflatten(0, vectors.shape[:3])
    codes = codebook.detach()[index].movedim(-1, 1)
    return z + (codes - z).detach(), index


def vq_loss(z: Tensor, e: Tensor, beta: float = 0.25) -> Tensor:
    """mean |sg(z) - e|² + beta mean |z - sg(e)|²: codes move to the encoder, the encoder commits to codes; (12.3).

    Args:
        z: output of the encoder.
        e: the codes chosen for it, of the same shape.
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
        index: LongTensor of any shape, values 0..n_codes-1.
        n_codes: size K of the codebook.

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
        N: (K,) moving counts.
        m: (K, C) moving sums.
        index: LongTensor (M,) of the codes chosen.
        z: (M, C) the vectors.
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
    if not readable(index):
        return
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
        n_codes: K.
        dim: C, numbers in each vector.
        beta: weight of the commitment loss.
        decay: of the moving average, in [0, 1); None learns the codebook by gradient descent on `vq_loss`.
        restart: a code that is chosen less often than this (in moving average, as a fraction of an equal share) moves
            to a random output of the encoder. 0 leaves dead codes dead. It needs a decay.
        warm_up: in the first so many steps of training z passes through as it is and nothing is counted; then the
            codebook starts on outputs of an encoder that knows something. It needs a decay.

    Raises:
        ValueError: for sizes or settings out of these ranges.

    Source:
        Moving average: van den Oord et al. (2017), arXiv 1711.00937, appendix A.1; restart: Dhariwal et al. (2020),
        arXiv 2005.00341, section 3.1.
    """

    def __init__(
        self, n_codes: int, dim: int, *, beta: float = 0.25, decay: float | None = 0.95, restart: float = 0.05,
        warm_up: int = 0,
    ):  # fmt: skip
        super().__init__()
        if n_codes < 2 or dim < 1:
            raise ValueError(f"expected n_codes >= 2 and dim >= 1, got {n_codes} and {dim}")
        if beta < 0 or restart < 0 or not (decay is None or 0 <= decay < 1):
            raise ValueError(
                f"expected beta >= 0, restart >= 0, decay in [0, 1) or None, got {beta}, {restart}, {decay}"
            )
        check_settings(0, whole=True, warm_up=warm_up)
        if warm_up and decay is None:
            raise ValueError(
                f"warm_up={warm_up} needs a codebook that is a moving average; give a decay, or no warm_up"
            )
        self.n_codes, self.beta, self.decay, self.restart, self.warm_up = n_codes, beta, decay, restart, warm_up
        codebook = torch.randn(n_codes, dim) / math.sqrt(dim)
        if decay is None:
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
            self.register_buffer("counts", torch.zeros(n_codes))
            self.register_buffer("sums", torch.zeros(n_codes, dim))
        if warm_up:
            self.register_buffer("steps", torch.zeros((), dtype=torch.long))  # of training, until now

    def forward(self, z: Tensor) -> Quantized:
        """Quantize (B, C, H, W); in training mode also move the codebook (moving average) and restart dead codes."""
        if self.training and self.warm_up:
            return self._warming_up(z)
        return self._quantized(z)

    def _warming_up(self, z: Tensor) -> Quantized:
        """As always, but for the first steps; which step it is stays on the device."""
        vectors = z.detach().movedim(1, -1).flatten(0, 2)
        warm, begins = self.steps < self.warm_up, self.steps == self.warm_up
        with torch.no_grad():
            self._start(begins.expand(self.n_codes), vectors)
        before = self.codebook.clone(), self.counts.clone(), self.sums.clone()
        z_q, index, loss = self._quantized(z)
        for buffer, old in zip((self.codebook, self.counts, self.sums), before, strict=True):
            buffer.copy_(torch.where(warm, old, buffer))
        self.steps.add_(1)
        return Quantized(torch.where(warm, z, z_q), index, torch.where(warm, torch.zeros_like(loss), loss))

    def _quantized(self, z: Tensor) -> Quantized:
        codebook = at_least_float32(self.codebook)
        z_q, index = quantize(z, codebook)
        if self.decay is None:
            codes = codebook[index].movedim(-1, 1)  # with the gradient of the codebook
            loss = vq_loss(z, codes, self.beta)
        else:
            loss = self.beta * F.mse_loss(z, z_q.detach())
            if self.training:
                self._move(z.detach().movedim(1, -1).flatten(0, 2), index.flatten())
        return Quantized(z_q, index, loss)

    @torch.no_grad()
    def _move(self, vectors: Tensor, index: Tensor) -> None:
        if (
            not self.warm_up and readable(self.counts) and not self.counts.any()
        ):  # the first batch: start the codebook on the data
            self._start(torch.ones_like(self.counts, dtype=torch.bool), vectors)
            index = nearest_code(vectors, at_least_float32(self.codebook))
        counts, sums, codes = ema_update(self.counts, self.sums, index, vectors, self.decay)
        self.counts.copy_(counts)
        self.sums.copy_(sums)
        self.codebook.copy_(torch.where(counts.unsqueeze(1) > 0, codes, self.codebook))
        if self.restart:
            self._start(counts < self.restart * counts.mean(), vectors)

    def _start(self, which: Tensor, vectors: Tensor) -> None:
        """Put these codes (K,), True, on random vectors of the batch, with the count of an equal share."""
        random = vectors[torch.randint(len(vectors), (self.n_codes,)).to(vectors.device)].to(self.codebook)
        share = len(vectors) / self.n_codes
        self.codebook.copy_(torch.where(which[:, None], random, self.codebook))
        self.counts.masked_fill_(which, share)
        self.sums.copy_(torch.where(which[:, None], share * random, self.sums))
