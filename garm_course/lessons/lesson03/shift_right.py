"""The inputs of teacher forcing: every value moves one step later, a start value comes in front; equation (3.2)."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.pixelrnn import shift_right
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed


def _values(*shape: int, seed: int = 3) -> Tensor:
    """Gray levels 1..255: none of them is a start value, and 0 does not hide in them."""
    return torch.randint(1, 256, shape, generator=torch.Generator().manual_seed(seed))


_random = partial(random, seed=3)


def _column(x: Tensor, start: float) -> Tensor:
    return torch.full_like(x[:, :1], start)


def _set(index, steps: int = 0, dims: int | None = 1):
    """The sequences rolled by some steps, then the start value at one index."""

    def shift(x: Tensor, start: float) -> Tensor:
        moved = x.roll(steps, dims)
        moved[index] = start
        return moved

    return shift


def _in_place(x: Tensor, start: float) -> Tensor:
    x[:, 1:] = x[:, :-1].clone()
    x[:, 0] = start
    return x


def _start_in_place(x: Tensor, start: float) -> Tensor:
    x[:, 0] = start
    return x


def _overlapping(x: Tensor, start: float) -> Tensor:
    x[:, 1:] = x[:, :-1]
    x[:, 0] = start
    return x


def _smear(x: Tensor, start: float) -> Tensor:
    for t in range(1, x.shape[1]):
        x[:, t] = x[:, t - 1]
    x[:, 0] = start
    return x


def _smear_start(x: Tensor, start: float) -> Tensor:
    out = x.clone()
    out[:, 0] = start
    for t in range(1, x.shape[1]):
        out[:, t] = out[:, t - 1]
    return out


def _into_zeros(x: Tensor, start: float) -> Tensor:
    out = torch.zeros(x.shape)
    out[:, 0] = start
    out[:, 1:] = x[:, :-1]
    return out


def _into_empty_like(x: Tensor, start: float) -> Tensor:
    out = torch.empty_like(x)
    out[:, 0] = start
    out[:, 1:] = x[:, :-1]
    return out


def _by_loop(x: Tensor, start: float) -> Tensor:
    out = x.clone()
    for t in range(x.shape[1]):
        out[:, t] = x[:, t - 1] if t else start
    return out


def _across_sequences(x: Tensor, start: float) -> Tensor:
    flat = x.flatten()
    return torch.cat([torch.full_like(flat[:1], start), flat[:-1]]).view_as(x)


def _leaves_x(x: Tensor, start: float, grad: bool = False):
    """The probe `same`, with another remedy for a changed argument: a loop in a copy of x meets the next fault."""

    def probe(attempt: Attempt) -> None:
        try:
            attempt.run(x, start, grad=grad)
        except Refused as refused:
            if not attempt.outcomes[-1].changed:
                raise
            seen = f"{attempt.describe((x, start))} changes its argument x in place"
            raise Refused(f"{seen}: read from x, write into a new tensor, such as torch.empty_like(x).") from refused

    return probe


EXERCISE = Exercise(
    name="shift_right",
    lesson="03",
    reference=shift_right,
    rule="Position t holds the value at t - 1, position 0 holds start; shape (B, T) and dtype stay.",
    probes=[
        _leaves_x(_values(3, 5), 256),
        _leaves_x(_values(4, 3, seed=4), 0),
        _leaves_x(_random(2, 6), -0.375),
        _leaves_x(_values(3, 1, seed=5), 17),
        _leaves_x(_values(2, 4, seed=7), 0.0),  # gray levels stay integers, whatever the number in front is
        _leaves_x(_random(3, 4, seed=6), 0.625, grad=True),
    ],
    axes=("sequence", "position"),
    mistakes=[
        (
            lambda x, start: x.clone(),
            "Nothing moves: the model copies each pixel from its input. The loss goes to 0, the samples are noise.",
        ),
        (
            lambda x, start: torch.cat([x[:, 1:], _column(x, start)], 1),
            "Shifted to the left: position t holds the value at t + 1, so the model is shown the future.",
        ),
        (
            lambda x, start: F.pad(x[:, 1:], (0, 1)),
            "Shifted to the left, with a zero at the end: the model is shown the future, and start is not used.",
        ),
        (
            lambda x, start: x.roll(1, 1),
            "torch.roll goes around: the last value lands at position 0. Put start there.",
        ),
        (
            lambda x, start: x.roll(-1, 1),
            "Rolled to the left: position t holds the value at t + 1. Roll right, then put start at position 0.",
        ),
        (
            lambda x, start: x.roll(1),
            "torch.roll without dims runs over the ends of the sequences: shift along dim 1, with start in front.",
        ),
        (
            lambda x, start: x.roll(1, 0),
            "Whole sequences were rolled through the batch. Time is dim 1, and start comes in front.",
        ),
        (
            lambda x, start: torch.cat([torch.full_like(x[:1], start), x[:-1]], 0),
            "The batch was shifted: each sequence became the one before it. Time is dim 1 of (B, T).",
        ),
        (
            lambda x, start: F.pad(x, (1, -1)),
            "A zero came in front, which is an empty pixel. The value at position 0 is the argument start.",
        ),
        (
            lambda x, start: torch.cat([torch.ones_like(x[:, :1]), x[:, :-1]], 1),
            "A one came in front. The value at position 0 is the argument start.",
        ),
        (
            lambda x, start: torch.cat([-torch.ones_like(x[:, :1]), x[:, :-1]], 1),
            "A -1 came in front. The value at position 0 is the argument start.",
        ),
        (
            lambda x, start: torch.cat([_column(x, start), x], 1),
            "The last value is still there, so there are T + 1 positions: it is never an input. Drop it.",
        ),
        (
            lambda x, start: torch.cat([x, _column(x, start)], 1),
            "start was added at the end. It comes in front, and the last value is dropped.",
        ),
        (
            lambda x, start: x[:, :-1].clone(),
            "The last value is dropped, but start did not come in front, so a position is missing.",
        ),
        (
            lambda x, start: x[:, 1:].clone(),
            "The first value is dropped. Drop the *last* one, and put start in front.",
        ),
        (
            _set((slice(None), 0)),
            "Position 0 was overwritten by start, but nothing moved: the first value is lost, the others copied.",
        ),
        (
            _set((slice(None), -1)),
            "The last position was overwritten by start, but nothing moved: start belongs in front.",
        ),
        (
            _set((slice(None), -1), 1),
            "Rolled, but start went to the last position: the leaked value is at position 0.",
        ),
        (
            _set(0, 1),
            "out[0] is the first sequence: it became start as a whole. Position 0 of all sequences is out[:, 0].",
        ),
        (
            _set((0, 0), 1),
            "Only the first sequence got start. Position 0 of all sequences is out[:, 0].",
        ),
        (
            _set((slice(None), 0), 1, 0),
            "The batch was rolled. Roll along time: x.roll(1, dims=1).",
        ),
        (
            _set((slice(None), 0), -1),
            "Rolled to the left: every position but the first sees the future. Roll by +1.",
        ),
        (
            _across_sequences,
            "The end of one sequence became the start of the next: every sequence begins with start.",
        ),
        (
            lambda x, start: torch.cat([x[:, :1], x[:, :-1]], 1),
            "The first value stands at position 0 as well, so the model sees the pixel it predicts: start goes there.",
        ),
        (
            lambda x, start: torch.cat([_column(x, start), _column(x, start), x[:, :-2]], 1)[:, : x.shape[1]],
            "Shifted by two: position t holds the value at t - 2, and the newest known value is lost. Shift by one.",
        ),
        (
            lambda x, start: shift_right(x.flip(1), start),
            "The sequences are reversed: shift them, do not turn them around.",
        ),
        (
            lambda x, start: torch.full_like(x, start),
            "Every position holds start: the model would see nothing. Only position 0 does.",
        ),
        (
            lambda x, start: (shift_right(x, start), x),
            "You return inputs and targets. Return the inputs only: the targets are x, as it is.",
        ),
        (
            lambda x, start: shift_right(x, start).unsqueeze(-1),
            "The values are right, but there is an axis too many: return (B, T).",
        ),
        (
            lambda x, start: shift_right(x, start).T,
            "Transposed: the result is (B, T), one sequence per row.",
        ),
        (
            _into_zeros,
            "The result is float32; it must have the dtype of x: no embedding takes gray levels that are no integers.",
        ),
        (
            lambda x, start: torch.cat([torch.full((len(x), 1), float(start)), x[:, :-1]], 1),
            "A column of floats turns the whole result into floats. torch.full_like(x[:, :1], start) keeps the dtype.",
        ),
        (
            lambda x, start: torch.cat([torch.full((len(x), 1), start), x[:, :-1]], 1),
            "torch.full takes its dtype from start, so 0.0 makes floats of gray levels: full_like(x[:, :1], start).",
        ),
        (
            lambda x, start: shift_right(x, start).double(),
            "The result is float64; it must have the dtype of x: no embedding takes gray levels that are no integers.",
        ),
        (
            lambda x, start: shift_right(x, start).long(),
            "The result is an integer tensor; it must have the dtype of x, whose numbers may have decimals.",
        ),
        (
            lambda x, start: torch.cat([torch.full_like(x[:, 0], start), x[:, :-1]], 1),
            "What is put in front needs the shape (B, 1): x[:, :1] has it, x[:, 0] and a single number do not.",
        ),
        (
            lambda x, start: torch.cat([torch.full_like(x[:1, :1], start), x[:, :-1]], 1),
            "start was put in front of one sequence only. The column in front needs the shape (B, 1).",
        ),
        (
            lambda x, start: torch.cat([_column(x, start), x[:, :-1]]),
            "torch.cat joins along dim 0, the batch, unless told otherwise: say dim=1.",
        ),
        (
            lambda x, start: torch.cat([start, x[:, :-1]], 1),
            "torch.cat joins tensors, start is a number: torch.full_like(x[:, :1], start) makes a column of it.",
        ),
        (
            _in_place,
            "The values move inside the argument, which is still needed as the target: write into a new tensor.",
        ),
        (
            _overlapping,
            "Source and destination overlap in memory, and are the argument itself: write into a new tensor.",
        ),
        (
            lambda x, start: _overlapping(x.clone(), start),
            "Source and destination of the copy overlap, so values are overwritten before they are read: read from x.",
        ),
        (
            _start_in_place,
            "start is written into the argument, where it destroys the first target. Build a new, shifted tensor.",
        ),
        (
            _smear,
            "The loop reads what it has already overwritten, in the argument itself: read x, write into a new tensor.",
        ),
        (
            lambda x, start: _smear(x.clone(), start),
            "The loop reads values that it has already overwritten, so the first one fills all: read from x.",
        ),
        (
            _smear_start,
            "The loop reads from the new tensor, so start fills all positions: read x[:, t - 1] instead.",
        ),
        (
            lambda x, start: shift_right(x.detach(), start),
            "The values are right, but detached: no gradient passes. Leave out .detach(), .data and .tolist().",
        ),
    ],
    accepts=[
        _by_loop,
        _into_empty_like,
        _set((slice(None), 0), 1),
        lambda x, start: F.pad(x, (1, -1), value=start),
        lambda x, start: F.pad(x, (1, 0), value=start)[:, :-1],
        lambda x, start: torch.cat([x.new_full((len(x), 1), start), x[:, :-1]], dim=1),
        lambda x, start: torch.cat([_column(x, start), x], 1)[:, :-1],
        lambda x, start: torch.where(torch.arange(x.shape[1]) > 0, x.roll(1, 1), start).to(x.dtype),
        lambda x, start: torch.hstack((torch.full_like(x[:, :1], start), x[:, :-1])),
    ],
    speed=Speed(lambda: (torch.randint(256, (64, 784)), 256)),
)
