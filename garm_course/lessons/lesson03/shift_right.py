"""The inputs of teacher forcing: every value moves one step later, a start value comes in front; equation (3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.pixelrnn import shift_right
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

KEEPS = "The gray levels have become floats. The result has the dtype of x, as torch.full_like(x[:, :1], start) has."


def _values(*shape: int, seed: int) -> Tensor:
    """Gray levels 1..255: none of them is a start value, and 0 does not hide in them."""
    return (1 + 255 * random(*shape, seed=seed).sigmoid()).long()


X = _values(3, 5, seed=3)
FRONT = "All positions but the first are right. Position 0 must hold the argument start, in every sequence."
OVERWRITTEN = "Values are overwritten before they are read, so some fill several places: read from x, write elsewhere."


def _earlier(attempt: Attempt) -> None:
    """The first probe, which tells values that come from too far before: how far depends on the computer."""
    try:
        plain(X, 256)(attempt)
    except Refused as refused:
        got, changed = attempt.outcomes[-1].value, attempt.outcomes[-1].changed
        if refused.hint or changed or not isinstance(got, Tensor) or (got.shape, got.dtype) != (X.shape, X.dtype):
            raise
        found = ((got.unsqueeze(2) == X.unsqueeze(1)) & torch.ones(5, 5).tril(-1).bool()).any(2)
        if not found[:, 1:].all():
            raise
        raise Refused(str(refused), FRONT if torch.equal(got[:, 1:], X[:, :-1]) else OVERWRITTEN) from refused


def _column(x: Tensor, start: float) -> Tensor:
    return torch.full_like(x[:, :1], start)


def _set(index, steps: int = 0, dims: int | None = 1):
    """The sequences rolled by some steps, then the start value at one index."""

    def shift(x: Tensor, start: float) -> Tensor:
        moved = x.roll(steps, dims)
        moved[index] = start
        return moved

    return shift


def _loop(read):
    """A loop over positions, which reads from `read(x, out)`."""

    def shift(x: Tensor, start: float) -> Tensor:
        out = x.clone()
        out[:, 0] = start
        for t in range(1, x.shape[1]):
            out[:, t] = read(x, out)[:, t - 1]
        return out

    return shift


def _into_empty_like(x: Tensor, start: float) -> Tensor:
    out = torch.empty_like(x)
    out[:, 0] = start
    out[:, 1:] = x[:, :-1]
    return out


def _across_sequences(x: Tensor, start: float) -> Tensor:
    flat = x.flatten()
    return torch.cat([torch.full_like(flat[:1], start), flat[:-1]]).view_as(x)


ALL = slice(None)

EXERCISE = Exercise(
    name="shift_right",
    lesson="03",
    reference=shift_right,
    rule="Position t holds the value at t - 1, position 0 holds start; shape (B, T) and dtype stay.",
    probes=[
        _earlier,
        same(_values(4, 3, seed=4), 0),
        same(torch.tensor([[5, 6, 7]]), -1),  # the example of the text
        same(random(2, 6, seed=3), -0.375),
        same(random(4, 2, seed=5).float(), 1),
        edge(same(_values(2, 4, seed=7), 0.0), KEEPS),
        same(_values(2, 4, seed=8).int(), 17),
        edge(
            same(_values(3, 1, seed=5), 17),
            "Right for long sequences. Of one with a single position only start is left.",
        ),
        same(random(3, 4, seed=6), 0.625, grad=True),
    ],
    axes=("sequence", "position"),
    rtol=0,
    atol=0,
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
        (lambda x, start: x.roll(1, 1), "torch.roll goes around: the last value lands at position 0. Put start there."),
        (
            lambda x, start: x.roll(-1, 1),
            "Rolled to the left: position t holds the value at t + 1. Roll right, then put start at position 0.",
        ),
        (
            lambda x, start: x.roll(1),
            "torch.roll without dims runs over the ends of the sequences: shift along dim 1, with start in front.",
        ),
        (
            lambda x, start: torch.cat([torch.full_like(x[:1], start), x[:-1]]),
            "The batch was shifted: each sequence became the one before it. Time is dim 1 of (B, T).",
        ),
        (
            lambda x, start: F.pad(x, (1, -1)),
            "A zero came in front, which is an empty pixel. The value at position 0 is the argument start.",
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
        (lambda x, start: x[:, 1:].clone(), "The first value is dropped. Drop the *last* one, and put start in front."),
        (
            lambda x, start: torch.cat([x[:, :1], x[:, :-1]], 1),
            "The first value stands at position 0 as well, so the model sees the pixel it predicts: start goes there.",
        ),
        (
            lambda x, start: shift_right(shift_right(x, start), start),
            "Shifted by two: position t holds the value at t - 2, and the newest known value is lost. Shift by one.",
        ),
        (
            _set((ALL, 0)),
            "Position 0 was overwritten by start, but nothing moved: the first value is lost, the others copied.",
        ),
        (_set((ALL, -1)), "The last position was overwritten by start, but nothing moved: start belongs in front."),
        (_set((ALL, -1), 1), "Rolled, but start went to the last position: the leaked value is at position 0."),
        (_set(0, 1), "out[0] is the first sequence, which became start. Position 0 of all sequences is out[:, 0]."),
        (_set((0, 0), 1), "Only the first sequence got start. Position 0 of all sequences is out[:, 0]."),
        (_set((ALL, 0), 1, 0), "The batch was rolled. Roll along time: x.roll(1, dims=1)."),
        (_set((ALL, 0), -1), "Rolled to the left: every position but the first sees the future. Roll by +1."),
        (_across_sequences, "The end of one sequence became the start of the next: each sequence begins with start."),
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
        (lambda x, start: torch.cat([torch.full((len(x), 1), float(start)), x[:, :-1]], 1), KEEPS),
        (
            _loop(lambda x, out: out),
            "The loop reads from the new tensor, so start fills all positions: read x[:, t - 1] instead.",
        ),
    ],
    accepts=[
        _loop(lambda x, out: x),
        _into_empty_like,
        _set((ALL, 0), 1),
        lambda x, start: F.pad(x, (1, -1), value=start),
        lambda x, start: F.pad(x, (1, 0), value=start)[:, :-1],
        lambda x, start: torch.cat([x.new_full((len(x), 1), start), x[:, :-1]], dim=1),
        lambda x, start: torch.where(torch.arange(x.shape[1]) > 0, x.roll(1, 1), start).to(x.dtype),
        lambda x, start: torch.hstack((_column(x, start), x[:, :-1])),
    ],
    speed=Speed(lambda: (torch.randint(256, (64, 784)), 256)),
)
