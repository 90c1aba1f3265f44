"""The nearest code of every vector, and a gradient that passes straight through; equations (12.1) and (12.2)."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.quantizer import quantize

_random = partial(random, seed=12)


def _gradients(answer: Callable, z: Tensor, codebook: Tensor) -> dict[str, Tensor]:
    """Gradients of a weighted sum of z_q, of the encoder's output and of the codebook; zeros where none arrives."""
    names = (f"the gradient at {name} of a weighted sum of z_q (the values are right)" for name in ("z", "codebook"))
    z, codebook = z.requires_grad_(), codebook.requires_grad_()
    z_q = answer(z * 1, codebook * 1)[0]
    if not z_q.requires_grad:
        return dict(zip(names, (torch.zeros_like(z), torch.zeros_like(codebook)), strict=True))
    weight = _random(*z_q.shape, seed=3).to(z_q)
    found = torch.autograd.grad((z_q * weight).sum(), (z, codebook), allow_unused=True)
    arrived = (torch.zeros_like(a) if g is None else g for a, g in zip((z, codebook), found, strict=True))
    return dict(zip(names, arrived, strict=True))


def _rows(z: Tensor) -> Tensor:
    return z.movedim(1, -1).reshape(-1, z.shape[1])


def _index(z: Tensor, far: Tensor) -> Tensor:
    """Index of the smallest number in each row of (M, K), as a grid (B, H, W)."""
    return far.argmin(1).reshape(len(z), *z.shape[2:])


def _codes(codebook: Tensor, index: Tensor) -> Tensor:
    return codebook[index].movedim(-1, 1)


def _straight(z: Tensor, codes: Tensor) -> Tensor:
    return z + (codes - z).detach()


def _by(distance: Callable[[Tensor, Tensor], Tensor]):
    """Right but for the distance (M, C), (K, C) -> (M, K)."""

    def answer(z: Tensor, codebook: Tensor):
        index = _index(z, distance(_rows(z), codebook))
        return _straight(z, _codes(codebook, index)), index

    return answer


def _through(passed: Callable[[Tensor, Tensor], Tensor]):
    """Right but for how the gradient passes: (z, codes) -> z_q."""

    def answer(z: Tensor, codebook: Tensor):
        index = quantize(z, codebook)[1]
        return passed(z, _codes(codebook, index)), index

    return answer


def _then(change: Callable[[Tensor, Tensor, Tensor], object]):
    """The right z_q and index, changed at the end: (z_q, index, codebook) -> result."""
    return lambda z, codebook: change(*quantize(z, codebook), codebook)


def _reshaped(z: Tensor, codebook: Tensor):
    index = _index(z, torch.cdist(z.reshape(-1, z.shape[1]), codebook))
    return _straight(z, codebook[index].reshape(z.shape)), index


def _reshaped_in(z: Tensor, codebook: Tensor):
    index = _index(z, torch.cdist(z.reshape(-1, z.shape[1]), codebook))
    return _straight(z, _codes(codebook, index)), index


def _reshaped_out(z: Tensor, codebook: Tensor):
    index = quantize(z, codebook)[1]
    return _straight(z, codebook[index].reshape(z.shape)), index


def _channels_last(z: Tensor, codebook: Tensor):
    index = quantize(z, codebook)[1]
    return _straight(z.movedim(1, -1), codebook[index]), index


def _transposed(z: Tensor, codebook: Tensor):
    z_q, index = quantize(z.transpose(2, 3), codebook)
    return z_q.transpose(2, 3), index


def _along_codes(z: Tensor, codebook: Tensor):
    index = torch.cdist(_rows(z), codebook).argmin(0)
    return codebook[index], index


def _along_codes_shaped(z: Tensor, codebook: Tensor):
    return torch.cdist(_rows(z), codebook).argmin(0).reshape(len(z), *z.shape[2:]), codebook


def _along_codes_unflattened(z: Tensor, codebook: Tensor):
    return torch.cdist(_rows(z), codebook).argmin(0).unflatten(0, (len(z), *z.shape[2:])), codebook


def _rows_returned(flat_index: bool):
    """One row of z_q for each vector, in place of the grid."""

    def answer(z: Tensor, codebook: Tensor):
        index = quantize(z, codebook)[1]
        return _straight(_rows(z), codebook[index.flatten()]), index.flatten() if flat_index else index

    return answer


def _rounded(z: Tensor, codebook: Tensor):
    return _straight(z, z.round()), quantize(z, codebook)[1]


def _rounded_index(z: Tensor, codebook: Tensor):
    index = z.round().long()[:, 0].clamp(0, len(codebook) - 1)
    return _straight(z, _codes(codebook, index)), index


def _soft(z: Tensor, codebook: Tensor):
    far = torch.cdist(_rows(z), codebook)
    mixed = (far.neg().softmax(1) @ codebook).reshape(len(z), *z.shape[2:], -1).movedim(-1, 1)
    return _straight(z, mixed), _index(z, far)


def _distances(z: Tensor, codebook: Tensor):
    z_q, index = quantize(z, codebook)
    return z_q, torch.cdist(_rows(z), codebook).min(1).values.reshape(index.shape)


def _in_place(z: Tensor, codebook: Tensor):
    index = quantize(z, codebook)[1]
    z.data.copy_(_codes(codebook, index))
    return z, index


def _float_inside(z: Tensor, codebook: Tensor):
    z_q, index = quantize(z.float(), codebook.float())
    return z_q, index


def _by_one_hot(z: Tensor, codebook: Tensor):
    index = _index(z, torch.cdist(_rows(z), codebook))
    picked = F.one_hot(index, len(codebook)).to(codebook.dtype) @ codebook
    return _straight(z, picked.permute(0, 3, 1, 2)), index


def _by_loop(z: Tensor, codebook: Tensor):
    B, _, H, W = z.shape
    index = torch.zeros(B, H, W, dtype=torch.long)
    for b in range(B):
        for h in range(H):
            index[b, h] = ((z[b, :, h].T[:, None] - codebook) ** 2).sum(-1).argmin(1)
    return z + (_codes(codebook, index) - z).detach(), index


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, codes):
        return codes.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad, None


SMALL = (_random(2, 3, 4, 5), _random(7, 3, seed=5))

EXERCISE = Exercise(
    name="quantize",
    lesson="12",
    reference=quantize,
    rule="The nearest code of each vector z[b, :, h, w]; the value is the code's, the gradient goes to z as it is.",
    probes=[
        same(*SMALL),
        same(_random(3, 2, 5, 4, seed=8), 0.7 * _random(6, 2, seed=9) + 0.3),
        same(_random(1, 4, 2, 3, seed=6).float(), _random(5, 4, seed=7).float()),
        same(*SMALL, use=_gradients),
    ],
    mistakes=[
        (
            _reshaped,
            "z.reshape(-1, C) mixes channels and space: move the channels to the end first, z.movedim(1, -1).",
        ),
        (
            _reshaped_in,
            "The vectors are made by reshape alone, which mixes channels and space; z.movedim(1, -1) comes before it.",
        ),
        (
            _reshaped_out,
            "The indices are right, but z_q is reshaped to (B, C, H, W): move the last axis back, .movedim(-1, 1).",
        ),
        (
            _channels_last,
            "z_q has its channels last, (B, H, W, C). The decoder's convolutions want (B, C, H, W): .movedim(-1, 1).",
        ),
        (_transposed, "Rows and columns of the index are swapped: it has the shape (B, H, W)."),
        (_by(lambda v, e: -torch.cdist(v, e)), "The farthest code was taken: argmin of the distance, not argmax."),
        (
            _by(lambda v, e: -(v @ e.T)),
            "The largest inner product prefers long codes: the distance has the term |e|² as well.",
        ),
        (
            _by(lambda v, e: -(F.normalize(v, dim=1) @ F.normalize(e, dim=1).T)),
            "This is the cosine: it ignores lengths. Take the Euclidean distance |z - e|².",
        ),
        (_by(lambda v, e: torch.cdist(v, e, p=1)), "These are sums of absolute differences; square them: |z - e|²."),
        (
            _by(lambda v, e: torch.cdist(v, e, p=float("inf"))),
            "This is the largest difference in any channel: add up the squares over all channels.",
        ),
        (_by(lambda v, e: (e**2).sum(1) + 2 * v @ e.T), "The sign of the mixed term is wrong: |z|² - 2 z·e + |e|²."),
        (_by(lambda v, e: (e**2).sum(1) - v @ e.T), "The mixed term lacks its factor 2: |z|² - 2 z·e + |e|²."),
        (
            _by(lambda v, e: (v[:, None] - e).sum(-1) ** 2),
            "The differences are added before they are squared: square each channel, then sum.",
        ),
        (
            _by(lambda v, e: (v[:, None] - e).sum(-1)),
            "The differences are not squared, so the most negative sum wins: |z - e|² is a sum of squares.",
        ),
        (
            _by(lambda v, e: (v[:, :1] - e[:, 0]) ** 2),
            "Only the first channel is compared: the distance is a sum over all C channels.",
        ),
        (
            _through(lambda z, e: e),
            "The encoder gets no gradient: the index has none. Return z + (e - z).detach(), the code in value only.",
        ),
        (
            _through(lambda z, e: e.detach()),
            "No gradient reaches anything: detach e - z, not the code itself, and add z in front.",
        ),
        (
            _through(lambda z, e: z + e - z.detach()),
            "The gradient reaches the codebook on this path as well: e is inside the parentheses, (e - z).detach().",
        ),
        (
            _through(lambda z, e: z + e.detach()),
            "This has the value z + e: subtract z inside the parentheses, z + (e - z).detach().",
        ),
        (_rounded, "z is rounded to whole numbers: the values come from the codebook, codebook[index]."),
        (_rounded_index, "z is rounded and used as an index: the index is that of the nearest vector of the codebook."),
        (
            _through(lambda z, e: e + (z - e).detach()),
            "Value and gradient are exchanged: this has the value of z. Swap them: z + (e - z).detach().",
        ),
        (
            _through(lambda z, e: z + (z - e).detach()),
            "The sign is wrong: z + (z - e) is 2z - e. It is e - z that is detached and added to z.",
        ),
        (_through(lambda z, e: z.detach() + e.detach() - z), "The encoder's gradient is reversed: z itself, not -z."),
        (
            _through(lambda z, e: z.detach() + e - z),
            "The encoder's gradient is reversed, and the codebook gets one: z + (e - z).detach().",
        ),
        (_through(lambda z, e: z * 1), "z is returned as it came, not quantized: add (e - z).detach() to it."),
        (
            _through(lambda z, e: (z + e) / 2 + ((e - z) / 2).detach()),
            "Half of the gradient goes to each side: the encoder gets all of it, the codebook none.",
        ),
        (_then(lambda z_q, i, e: (z_q, i.flatten())), "The index is flat: give it the shape of the grid, (B, H, W)."),
        (
            _then(lambda z_q, i, e: (z_q, i.flatten(1))),
            "The index has the shape (B, H W): give it that of the grid, (B, H, W).",
        ),
        (_then(lambda z_q, i, e: (z_q, i.unsqueeze(1))), "The index has an axis too many: (B, H, W), without channel."),
        (
            _then(lambda z_q, i, e: (z_q, i.unsqueeze(-1))),
            "The index keeps a last axis of size 1: argmin without keepdim gives (B, H, W).",
        ),
        (_then(lambda z_q, i, e: (i, z_q)), "The two results are in the wrong order: first z_q, then the index."),
        (_then(lambda z_q, i, e: z_q), "The index is missing: return the pair z_q, index."),
        (_then(lambda z_q, i, e: i), "Only the index is returned: return the pair z_q, index."),
        (_then(lambda z_q, i, e: (z_q, i + 1)), "The indices begin at 1: codes are counted from 0."),
        (_then(lambda z_q, i, e: (z_q, i.int())), "The index has 32 bits: leave it as argmin gives it, a LongTensor."),
        (_then(lambda z_q, i, e: (z_q, i.to(z_q.dtype))), "The index is a floating-point tensor: whole numbers only."),
        (
            _then(lambda z_q, i, e: (z_q, F.one_hot(i, len(e)))),
            "The index is one-hot, (B, H, W, K): return the number of the code instead.",
        ),
        (_distances, "The second result holds the smallest distances: argmin says where they are, min how large."),
        (_along_codes, "argmin runs over the vectors, not over the codes: each row of (M, K) has its own, dim=1."),
        (
            _along_codes_shaped,
            "argmin(0) gives one number for each of the K codes, too few for the grid: argmin(1), one for each vector.",
        ),
        (
            _along_codes_unflattened,
            "argmin(0) has the length K, which does not fill the grid: take argmin(1), over the codes.",
        ),
        (
            _rows_returned(flat_index=False),
            "z_q is left as rows, one for each vector: shape it back to the grid, channels at axis 1.",
        ),
        (
            _rows_returned(flat_index=True),
            "Both results are left flat: z_q goes back to (B, C, H, W), the index to (B, H, W).",
        ),
        (_soft, "A softmax mixes the codes: take the one nearest code of each vector, unmixed."),
        (_in_place, "z is overwritten, but the loss still needs the encoder's own output: make a new tensor."),
        (_float_inside, "z and the codebook are cast to float32: keep the dtype that comes in."),
    ],
    accepts=[
        _by(lambda v, e: (v**2).sum(1, keepdim=True) - 2 * v @ e.T + (e**2).sum(1)),
        _by(lambda v, e: ((v[:, None] - e) ** 2).sum(-1)),
        _by(torch.cdist),
        _by_one_hot,
        _by_loop,
        _through(_Pass.apply),
        _through(lambda z, e: e.detach() + z - z.detach()),
    ],
    speed=Speed(lambda: (torch.randn(128, 16, 7, 7), torch.randn(64, 16))),
)
