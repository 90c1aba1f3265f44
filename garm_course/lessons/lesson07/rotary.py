"""Rotary positions: pairs of features are turned by an angle that grows with the position; equation (7.6)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def rotary(x: Tensor, positions: Tensor) -> Tensor:
    """Features j and j + D/2 as a point in the plane, turned by the angle p 10000^(-2j/D) at position p.

    Args:
        x: (B, heads, T, D), D even.
        positions: LongTensor (T,), where each row of x stands in the sequence.

    Returns:
        (B, heads, T, D).

    Source: Su et al. (2021), "RoFormer: Enhanced Transformer with Rotary Position Embedding", arXiv 2104.09864.
    """
    half = x.shape[-1] // 2
    frequencies = 10_000 ** (-torch.arange(half, dtype=x.dtype, device=x.device) / half)
    angles = positions[:, None] * frequencies
    a, b, cos, sin = x[..., :half], x[..., half:], angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def _frequencies(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return 10_000 ** (-torch.arange(half, dtype=x.dtype) / half)


def _turned(turn: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]):
    """Another turn(a, b, cos, sin) of the right pairs by the right angles."""

    def answer(x: Tensor, positions: Tensor) -> Tensor:
        angles = positions[:, None] * _frequencies(x)
        return torch.cat(turn(*x.chunk(2, -1), angles.cos(), angles.sin()), -1)

    return answer


def _angled(angles: Callable[[Tensor, Tensor], Tensor]):
    """The right turn by other angles(x, positions), (T, D/2)."""

    def answer(x: Tensor, positions: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)
        by = angles(x, positions)
        return torch.cat([a * by.cos() - b * by.sin(), a * by.sin() + b * by.cos()], -1)

    return answer


def _powers(x: Tensor, power: Callable[[Tensor], Tensor]) -> Tensor:
    return 10_000 ** power(torch.arange(x.shape[-1] // 2, dtype=x.dtype))


def _neighbors(x: Tensor, positions: Tensor) -> Tensor:
    a, b = x[..., ::2], x[..., 1::2]
    angles = positions[:, None] * _frequencies(x)
    return torch.stack([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1).flatten(-2)


def _woven(x: Tensor, positions: Tensor) -> Tensor:
    return torch.stack(rotary(x, positions).chunk(2, -1), -1).flatten(-2)


def _added(x: Tensor, positions: Tensor) -> Tensor:
    angles = positions[:, None] * _frequencies(x)
    return x + torch.cat([angles.sin(), angles.cos()], -1)


def _by_complex(x: Tensor, positions: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    turned = torch.complex(a, b) * torch.exp(1j * positions[:, None] * _frequencies(x))
    return torch.cat([turned.real, turned.imag], -1).to(x.dtype)


def _by_rotate_half(x: Tensor, positions: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    angles = torch.outer(positions.to(x.dtype), _frequencies(x)).repeat(1, 2)
    return x * angles.cos() + torch.cat([-b, a], -1) * angles.sin()


def _by_matrices(x: Tensor, positions: Tensor) -> Tensor:
    half, out = x.shape[-1] // 2, torch.empty_like(x)
    for j in range(half):
        angle = positions * 10_000.0 ** (-2 * j / x.shape[-1])
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        out[..., j] = cos * x[..., j] - sin * x[..., j + half]
        out[..., j + half] = sin * x[..., j] + cos * x[..., j + half]
    return out


PLACES = torch.tensor([3, 0, 11, 4, 57])
GIVEN = "Places are counted from 0 in steps of 1, `arange(T)`. Use `positions`: a cache asks for one row at place 57."
EXAMPLE = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([1])
ONE = "Right except for one example, one head or one position: squeeze() without an axis removes that axis as well."

EXERCISE = Exercise(
    name="rotary",
    lesson="07",
    reference=rotary,
    rule="With a = x[..., :D/2], b = x[..., D/2:] and the angle p 10000^(-2j/D) for pair j at position p, the halves "
    "become a cos - b sin and a sin + b cos.",
    probes=[
        plain(random(2, 3, 5, 8, seed=0), PLACES, values=False),
        plain(random(2, 3, 5, 8, seed=0), torch.arange(5)),
        plain(random(2, 3, 5, 8, seed=0), PLACES),
        same(random(3, 2, 4, 6, seed=1), torch.tensor([7, 8, 9, 10])),
        same(*EXAMPLE),
        same(random(2, 2, 3, 4, seed=2), torch.tensor([0, 0, 0])),
        same(random(2, 2, 3, 2, seed=3), torch.tensor([5, 1000, 20_000])),
        edge(same(random(1, 2, 3, 4, seed=4), torch.tensor([2, 3, 4])), ONE),
        edge(same(random(2, 1, 3, 4, seed=5), torch.tensor([2, 3, 4])), ONE),
        edge(same(random(2, 2, 1, 4, seed=6), torch.tensor([57])), ONE),
        same(random(2, 2, 4, 6, seed=7), torch.tensor([1, 5, 2, 3]), grad=True),
        same(random(2, 2, 4, 6, seed=8).float(), torch.tensor([1, 5, 2, 3])),
    ],
    axes=("example", "head", "position", "feature"),
    rtol=1e-5,
    atol=1e-5,
    mistakes=[
        (
            _neighbors,
            "The pairs are neighbors, (2j, 2j + 1). That is a rotary embedding as well, in another convention: here "
            "feature j is turned together with feature j + D/2.",
        ),
        (
            _turned(lambda a, b, cos, sin: (a * cos + b * sin, b * cos - a * sin)),
            "The points turn backward. The products of queries and keys come out right, but the convention is "
            "a cos - b sin and a sin + b cos.",
        ),
        (
            _turned(lambda a, b, cos, sin: (a * cos + b * sin, a * sin + b * cos)),
            "Both signs are plus, so lengths change: that is no rotation. The first half is a cos - b sin.",
        ),
        (
            _turned(lambda a, b, cos, sin: (a * cos - b * sin, a * sin - b * cos)),
            "The second half is a sin - b cos, which is a reflection. It is a sin + b cos.",
        ),
        (
            _turned(lambda a, b, cos, sin: (a * cos - b * sin, (a * cos - b * sin) * sin + b * cos)),
            "The second half reads the first one after it was turned. Keep the old a until both halves are done.",
        ),
        (
            _turned(lambda a, b, cos, sin: (a * sin - b * cos, a * cos + b * sin)),
            "sin and cos are exchanged: at place 0 nothing may change, and cos 0 is 1.",
        ),
        (
            _turned(lambda a, b, cos, sin: (a * sin + b * cos, a * cos - b * sin)),
            "The halves are exchanged: a cos - b sin comes first.",
        ),
        (_turned(lambda a, b, cos, sin: (a * cos, b * sin)), "Each half needs both of them: a cos - b sin first."),
        (
            _turned(lambda a, b, cos, sin: (a * cos - b * sin, b)),
            "Only the first half is turned. The second half becomes a sin + b cos.",
        ),
        (
            _angled(lambda x, p: p[:, None] * _powers(x, lambda j: -j / x.shape[-1])),
            "The frequencies fall half as fast as they should: pair j has 10000^(-2j/D), with j from 0 to D/2 - 1.",
        ),
        (
            _angled(lambda x, p: p[:, None] * _powers(x, lambda j: -4 * j / x.shape[-1])),
            "The frequencies fall twice as fast as they should: pair j has 10000^(-2j/D), with j in steps of 1.",
        ),
        (
            _angled(lambda x, p: p[:, None] * _powers(x, lambda j: 2 * j / x.shape[-1])),
            "The frequencies grow with j. The exponent is negative: 10000^(-2j/D).",
        ),
        (
            _angled(lambda x, p: p[:, None] * _powers(x, lambda j: -2 * (j + 1) / x.shape[-1])),
            "The pairs are counted from 1. Pair 0 has the frequency 1, so it turns by p.",
        ),
        (
            _angled(lambda x, p: p[:, None] * _powers(x, lambda j: 0 * j)),
            "All pairs turn at the same speed. Pair j has the frequency 10000^(-2j/D).",
        ),
        (
            _angled(lambda x, p: p[:, None] * _powers(x, lambda j: -2 * j / x.shape[-1]).flip(0)),
            "The frequencies are in reverse order: pair 0 is the fastest one.",
        ),
        (
            _angled(lambda x, p: 2 * math.pi * p[:, None] * _frequencies(x)),
            "The angles carry a factor of 2 pi. The angle of pair 0 at place p is p, in radians.",
        ),
        (
            _angled(lambda x, p: torch.deg2rad(p[:, None] * _frequencies(x))),
            "The angles are taken as degrees. cos and sin of torch take radians, and the angle is p 10000^(-2j/D).",
        ),
        (
            _angled(
                lambda x, p: p[:, None] * 1000 ** (-torch.arange(x.shape[-1] // 2, dtype=x.dtype) / (x.shape[-1] // 2))
            ),
            "The base is not 10000. It sets the slowest pair.",
        ),
        (_woven, "The two halves are woven into each other. Put one behind the other: torch.cat([..., ...], -1)."),
        (_added, "The waves are added to x. A rotation multiplies: a cos - b sin, a sin + b cos."),
        (_angled(lambda x, p: torch.arange(x.shape[2])[:, None] * _frequencies(x)), GIVEN),
        (
            _angled(lambda x, p: (p[:, None] - p[0]) * _frequencies(x)),
            "The places are counted from the first one. Use `positions` as they are.",
        ),
        (
            _angled(lambda x, p: (p[:, None] + 1) * _frequencies(x)),
            "The places are counted from 1. Nothing turns at place 0.",
        ),
        (
            lambda x, positions: x * (positions[:, None] * _frequencies(x)).cos(),
            "cos has D/2 columns, x has D: take the two halves of x apart first.",
        ),
        (lambda x, positions: rotary(x, positions).squeeze(), ONE),
    ],
    accepts=[_by_complex, _by_rotate_half, _by_matrices],
    speed=Speed(lambda: (torch.zeros(16, 4, 128, 32), torch.arange(128))),
)
