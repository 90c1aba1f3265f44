"""Weights in eight bits, one scale for each row; equation (20.8)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def quantize_rows(w: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row to integers -127..127 times a scale of its own.

    Args:
        w: (R, ...), floating-point; a row is all that belongs to one output.

    Returns:
        The integers, int8, shaped like w; and the scales (R,), the largest |w| of a row / 127. A row of zeros may have
        any positive scale.

    >>> quantize_rows(torch.tensor([[1.0, -2.54], [127.0, 3.4]]))[0].tolist()
    [[50, -127], [127, 3]]
    """
    rows = w.flatten(1)
    scale = rows.abs().amax(1) / 127
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (rows / scale[:, None]).round().to(torch.int8).view_as(w), scale


def _with(
    rows: Callable = lambda w: w.flatten(1),
    scale: Callable = lambda rows: rows.abs().amax(1, keepdim=True) / 127,
    zero: Callable = lambda scale: torch.where(scale > 0, scale, torch.ones_like(scale)),
    number: Callable = torch.round,
    kind: torch.dtype = torch.int8,
    out: Callable = lambda q, scale: (q, scale),
):
    """An answer with another part."""

    def answer(w: Tensor) -> tuple[Tensor, Tensor]:
        flat = rows(w)
        s = zero(scale(flat)).expand(len(flat), 1)
        return out(number(flat / s).to(kind).reshape(w.shape), s[:, 0].clone())

    return answer


def _by_columns(w: Tensor) -> tuple[Tensor, Tensor]:
    scale = (w.abs().amax(0, keepdim=True) / 127).clamp(min=1e-30)
    return (w / scale).round().to(torch.int8), scale.flatten()


def _last_axis(w: Tensor) -> tuple[Tensor, Tensor]:
    scale = (w.abs().amax(-1, keepdim=True) / 127).clamp(min=1e-30)
    return (w / scale).round().to(torch.int8), scale.squeeze(-1)


def _shifted(w: Tensor) -> tuple[Tensor, Tensor]:
    rows = w.flatten(1)
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    scale = ((high - low) / 254).clamp(min=1e-30)
    return ((rows - (low + high) / 2) / scale).round().to(torch.int8).view_as(w), scale[:, 0]


def _by_loop(w: Tensor) -> tuple[Tensor, Tensor]:
    q, scales = torch.zeros_like(w, dtype=torch.int8), []
    for i, row in enumerate(w):
        s = row.abs().max().item() / 127 or 1.0
        q[i] = torch.round(row / s).to(torch.int8)
        scales.append(s)
    return q, torch.tensor(scales, dtype=w.dtype)


def _clamped(w: Tensor) -> tuple[Tensor, Tensor]:
    rows = w.reshape(len(w), -1)
    scale = (rows.abs().max(1).values / 127).clamp(min=torch.finfo(w.dtype).tiny)
    return torch.floor(rows / scale[:, None] + 0.5).clamp(-127, 127).char().reshape(w.shape), scale


def _twice(answer: Callable, w: Tensor) -> object:
    """Integers and scales, where the scale of a row of zeros only has to be positive."""
    result = answer(w)
    if type(result) not in (list, tuple) or len(result) != 2 or not isinstance(result[1], Tensor):
        return result
    q, scale = result
    if scale.shape != (len(w),):
        return q, scale
    silent = (w.flatten(1) == 0).all(1)
    positive = torch.isfinite(scale) & (scale > 0)
    return q, torch.where(silent & positive, torch.ones_like(scale), scale)


MIXED = random(4, 6, seed=1) * torch.tensor([[100.0], [1.0], [1e-3], [10.0]]).double()
KERNEL = random(3, 2, 3, 3, seed=2)
ZEROS = random(3, 4, seed=3)
ZEROS[1] = 0.0
SILENT = "A row of zeros needs a positive scale as well, because 0 / 0 is NaN: put any positive number in its place."

EXERCISE = Exercise(
    name="quantize_rows",
    lesson="20",
    reference=quantize_rows,
    rule="The scale of a row is its largest |w| / 127, and the integers are w / scale, rounded, as int8 in the shape "
    "of w. Return (integers, scales), with scales of shape (R,).",
    probes=[
        same(MIXED, use=_twice),
        same(torch.tensor([[1.0, -2.54], [127.0, 3.4]]), use=_twice),
        same(KERNEL, use=_twice),
        same(random(5, 3, seed=4).float(), use=_twice),
        same(random(1, 7, seed=5), use=_twice),
        same(-random(3, 5, seed=6).abs(), use=_twice),
        edge(same(ZEROS, use=_twice), SILENT),
        edge(same(torch.zeros(2, 3), use=_twice), SILENT),
        edge(
            same(1e-6 * random(2, 5, seed=7), use=_twice),
            "Right except for a row of very small weights: clamp the scale at something far smaller, or test for 0.",
        ),
    ],
    mistakes=[
        (
            _with(scale=lambda rows: rows.abs().max().view(1, 1) / 127),
            "One scale serves all rows: a large row ruins the small ones. Take the largest |w| of each row.",
        ),
        (
            _with(scale=lambda rows: rows.abs().amax(1, keepdim=True) / 128),
            "The largest weight becomes 128, which int8 does not have: it wraps to -128. Divide by 127.",
        ),
        (_with(number=torch.trunc), "The fraction is cut off: round, or the error doubles."),
        (_with(number=torch.floor), "Everything is rounded down: round to the nearest integer."),
        (_with(number=torch.ceil), "Everything is rounded up: round to the nearest integer."),
        (
            _with(zero=lambda scale: scale),
            SILENT,
        ),
        (
            _with(out=lambda q, s: (q, 1 / s)),
            "The scale is upside down: w is about q * scale, so scale = largest / 127.",
        ),
        (_with(kind=torch.float64), "The integers are stored as float64: int8 is the point, use .to(torch.int8)."),
        (_with(kind=torch.int64), "The integers are stored as int64, eight bytes each: use .to(torch.int8)."),
        (_by_columns, "The scale is that of a column: a row, w[i], is what belongs to one output."),
        (
            _last_axis,
            "The maximum is taken over the last axis only: a row of a kernel is all of w[i], so flatten(1) first.",
        ),
        (_shifted, "The range is shifted to its middle: then zero is no longer exact. Only scale, by the largest |w|."),
        (
            _with(scale=lambda rows: rows.amax(1, keepdim=True).abs() / 127),
            "The maximum is taken before the absolute value: a large negative weight overflows. abs() comes first.",
        ),
        (
            _with(scale=lambda rows: rows.abs().amax(1, keepdim=True) / 255),
            "The integers reach 255, and int8 ends at 127: divide by 127.",
        ),
        (
            _with(scale=lambda rows: rows.abs().amax(1, keepdim=True) / 7),
            "These are four bits: -7..7. With eight the integers reach 127.",
        ),
        (
            _with(scale=lambda rows: rows.abs().amax(1, keepdim=True)),
            "The integers are only -1, 0 and 1: the scale is the largest |w| divided by 127.",
        ),
        (
            _with(scale=lambda rows: 3 * rows.std(1, keepdim=True, correction=0) / 127),
            "The scale comes from the standard deviation, so larger weights overflow: take the largest |w|.",
        ),
        (
            _with(scale=lambda rows: rows.abs().mean(1, keepdim=True) / 127),
            "The scale comes from the mean |w|, so every larger weight overflows: take the largest |w|.",
        ),
        (
            _with(scale=lambda rows: rows.norm(dim=1, keepdim=True) / 127),
            "The scale comes from the norm of the row, so ±127 is never reached: take the largest |w|.",
        ),
        (_with(out=lambda q, s: (s, q)), "The order is exchanged: (integers, scales)."),
        (_with(out=lambda q, s: (q, s[:, None])), "The scales keep an axis of size 1: their shape is (R,)."),
        (
            _with(out=lambda q, s: q),
            "Only the integers are returned: without the scales nobody can read them.",
        ),
        (
            _with(out=lambda q, s: (q * s.view(-1, *[1] * (q.ndim - 1)), s)),
            "These are the rounded weights again: return the integers themselves.",
        ),
    ],
    accepts=[_by_loop, _clamped, _with()],
    speed=Speed(lambda: (torch.randn(512, 512),)),
)
