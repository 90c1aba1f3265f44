"""The nearest code of every vector, and a gradient that passes straight through; equations (12.1) and (12.2)."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.edges import plain, worded
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.quantizer import quantize

_random = partial(random, seed=12)


def _gradients(answer: Callable, z: Tensor, codebook: Tensor) -> dict[str, Tensor]:
    """Gradients of a weighted sum of z_q, of the encoder's output and of the codebook; zeros where none arrives."""
    z, codebook = z.requires_grad_(), codebook.requires_grad_()
    z_q = answer(z * 1, codebook * 1)[0]
    found = [None, None]
    if z_q.requires_grad:
        weight = _random(*z_q.shape, seed=3).to(z_q)
        found = torch.autograd.grad((z_q * weight).sum(), (z, codebook), allow_unused=True)
    arrived = [torch.zeros_like(a) if g is None else g for a, g in zip((z, codebook), found, strict=True)]
    names = (f"the gradient at {name} of a weighted sum of z_q (the values are right)" for name in ("z", "codebook"))
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


def _through(passed: Callable[[Tensor, Tensor], Tensor], codes: Callable = _codes):
    """The right index, but the gradient passes otherwise, (z, codes) -> z_q, or the codes are arranged otherwise."""

    def answer(z: Tensor, codebook: Tensor):
        index = quantize(z, codebook)[1]
        return passed(z, codes(codebook, index)), index

    return answer


def _then(change: Callable[[Tensor, Tensor], object]):
    """The right z_q and index, changed at the end."""
    return lambda z, codebook: change(*quantize(z, codebook))


def _reshaped(codes: Callable[[Tensor, Tensor], Tensor]):
    """The vectors by reshape alone, then `codes(codebook, index)`."""

    def answer(z: Tensor, codebook: Tensor):
        index = _index(z, torch.cdist(z.reshape(-1, z.shape[1]), codebook))
        return _straight(z, codes(codebook, index)), index

    return answer


def _reshaped_out(codebook: Tensor, index: Tensor) -> Tensor:
    return codebook[index].reshape(len(index), -1, *index.shape[1:])


def _along_codes(z: Tensor, codebook: Tensor):
    return z, torch.cdist(_rows(z), codebook).argmin(0).reshape(len(z), *z.shape[2:])


def _distances(z: Tensor, codebook: Tensor):
    z_q, index = quantize(z, codebook)
    return z_q, torch.cdist(_rows(z), codebook).min(1).values.reshape(index.shape)


def _soft(z: Tensor, codebook: Tensor):
    far = torch.cdist(_rows(z), codebook)
    mixed = (far.neg().softmax(1) @ codebook).reshape(len(z), *z.shape[2:], -1).movedim(-1, 1)
    return _straight(z, mixed), _index(z, far)


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
    rtol=1e-5,
    atol=1e-6,
    probes=[
        worded(plain(*SMALL), "z_q", "the index"),
        *(
            worded(same(*case), "z_q", "the index")
            for case in (
                (_random(3, 2, 5, 4, seed=8), 0.7 * _random(6, 2, seed=9) + 0.3),
                (_random(1, 4, 2, 3, seed=6).float(), _random(5, 4, seed=7).float()),
                (_random(3, 1, 1, 2, seed=10), _random(4, 1, seed=11)),  # one number at each place
                (_random(1, 3, 4, 1, seed=13), _random(1, 3, seed=14)),  # one code
                (torch.tensor([0.9, -0.2]).reshape(1, 1, 1, 2), torch.tensor([[-1.0], [0.0], [1.0]])),
            )
        ),
        same(*SMALL, use=_gradients),
        same(_random(1, 2, 1, 3, seed=15).float(), _random(4, 2, seed=16).float(), use=_gradients),
    ],
    mistakes=[
        (_reshaped(_reshaped_out), "reshape alone mixes channels and places: first z.movedim(1, -1)."),
        (_reshaped(_codes), "The vectors are made by reshape alone: z.movedim(1, -1) comes before it."),
        (_through(_straight, _reshaped_out), "The indices are right, but z_q is reshaped: use .movedim(-1, 1)."),
        (
            _through(lambda z, e: z.movedim(1, -1) + e.detach() - z.movedim(1, -1).detach(), lambda e, index: e[index]),
            "z_q has its channels last, (B, H, W, C). The decoder's convolutions want (B, C, H, W): .movedim(-1, 1).",
        ),
        (_by(lambda v, e: -torch.cdist(v, e)), "The farthest code was taken: argmin of the distance, not argmax."),
        (_by(lambda v, e: -(v @ e.T)), "The largest inner product prefers long codes: |e|² is missing."),
        (
            _by(lambda v, e: -(F.normalize(v, dim=1) @ F.normalize(e, dim=1).T)),
            "This is the cosine: it ignores lengths. Take the Euclidean distance |z - e|².",
        ),
        (_by(lambda v, e: torch.cdist(v, e, p=1)), "These are sums of absolute differences; square them: |z - e|²."),
        (_by(lambda v, e: (e**2).sum(1) + 2 * v @ e.T), "The sign of the mixed term is wrong: |z|² - 2 z·e + |e|²."),
        (_by(lambda v, e: (e**2).sum(1) - v @ e.T), "The mixed term lacks its factor 2: |z|² - 2 z·e + |e|²."),
        (_by(lambda v, e: (v[:, None] - e).sum(-1) ** 2), "The differences are added and then squared: square first."),
        (_by(lambda v, e: (v[:, None] - e).sum(-1)), "The differences are not squared: the most negative wins."),
        (_through(lambda z, e: e), "The encoder gets no gradient, since the index has none: z + (e - z).detach()."),
        (_through(lambda z, e: e.detach()), "No gradient reaches anything: detach e - z, and add z in front."),
        (
            _through(lambda z, e: z + e - z.detach()),
            "The gradient reaches the codebook on this path as well: e is inside the parentheses, (e - z).detach().",
        ),
        (_through(lambda z, e: z + e.detach()), "This has the value z + e: subtract z, z + (e - z).detach()."),
        (
            _through(lambda z, e: e + (z - e).detach()),
            "This has the value of z: nothing is quantized, or value and gradient are exchanged. z + (e - z).detach().",
        ),
        (_through(lambda z, e: z + (z - e).detach()), "The sign is wrong: e - z is detached and added to z."),
        (_then(lambda z_q, i: (z_q, i.flatten())), "The index is flat: give it the shape of the grid, (B, H, W)."),
        (_then(lambda z_q, i: (i, z_q)), "The two results are in the wrong order: first z_q, then the index."),
        (_distances, "The second result holds the smallest distances: argmin says where they are, min how large."),
        (_along_codes, "argmin(0) gives one number for each code: argmin(1), one for each vector."),
        (_soft, "A softmax mixes the codes: take the one nearest code of each vector, unmixed."),
    ],
    accepts=[
        _by(lambda v, e: (v**2).sum(1, keepdim=True) - 2 * v @ e.T + (e**2).sum(1)),
        _by(lambda v, e: ((v[:, None] - e) ** 2).sum(-1)),
        _by(torch.cdist),
        _by_one_hot,
        _by_loop,
        lambda z, e: (_Pass.apply(z, _codes(e, i := _index(z, torch.cdist(_rows(z), e)))), i),
    ],
    speed=Speed(lambda: (torch.randn(128, 16, 7, 7), torch.randn(64, 16))),
)
