"""One row down, so that the vertical stack of a Gated PixelCNN holds only the rows above; equation (4.4)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.pixelcnn import down_shift
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

V = random(2, 3, 4, 5, seed=4)
COLUMN = torch.tensor([1, 2, 3]).view(1, 1, 3, 1)  # integers, as a mask of rows may be


TOP = "All rows but the first are right. The new row at the top must be zeros: they stand for nothing seen."
OVERWRITTEN = "Rows are overwritten before they are read, so some fill several places: read from v, write elsewhere."


def _rows(attempt: Attempt) -> None:
    """The probe of random numbers, which tells rows that come from too far above: how far depends on the computer."""
    try:
        plain(V)(attempt)
    except Refused as refused:
        got, changed = attempt.outcomes[-1].value, attempt.outcomes[-1].changed
        if refused.hint or changed or not isinstance(got, Tensor) or (got.shape, got.dtype) != (V.shape, V.dtype):
            raise
        above = torch.ones(V.shape[2], V.shape[2]).tril(-1).bool()[..., None]
        found = ((got.unsqueeze(3) == V.unsqueeze(2)) & above).any(3)  # each number in a row above, in its column
        if not found[:, :, 1:].all():
            raise
        raise Refused(str(refused), TOP if torch.equal(got[:, :, 1:], V[:, :, :-1]) else OVERWRITTEN) from refused


def _zeroed(index, steps: int = 1):
    """Rows moved around by some steps, then zeros at an index."""

    def shift(v: Tensor) -> Tensor:
        rolled = v.roll(steps, dims=2)
        rolled[index] = 0
        return rolled

    return shift


def _loop(v: Tensor) -> Tensor:
    shifted = torch.zeros_like(v)
    for row in range(v.shape[2] - 1):
        shifted[:, :, row + 1] = v[:, :, row]
    return shifted


ROWS = slice(None), slice(None)

EXERCISE = Exercise(
    name="down_shift",
    lesson="04",
    reference=down_shift,
    rule="Row r moves to row r + 1, zeros come in at the top, the last row drops out; the shape (B, C, H, W) stays.",
    probes=[
        _rows,
        same(random(3, 2, 5, 4, seed=5)),
        same(random(2, 4, 3, 6, seed=6).float()),
        same(COLUMN),  # the example of the text
        edge(
            same(random(3, 2, 1, 4, seed=8)),
            "Right for several rows. Of a single row nothing is left: the result is 0.",
        ),
        same(V, grad=True),
        same(random(2, 1, 3, 2, seed=7).bfloat16()),
    ],
    axes=("image", "channel", "row", "column"),
    rtol=0,
    atol=0,
    mistakes=[
        (
            lambda v: v.clone(),
            "Nothing moved: the vertical stack contains the current row, so later pixels leak to the horizontal one.",
        ),
        (
            lambda v: F.pad(v, (0, 0, -1, 1)),
            "The rows moved up: now each pixel sees the row below it. Row r must move to row r + 1.",
        ),
        (
            lambda v: F.pad(v, (1, -1)),
            "The columns moved to the right. Rows are the third axis of (B, C, H, W): dim=2, not the last.",
        ),
        (
            lambda v: v.roll(1, dims=2),
            "The last row came back at the top (torch.roll goes around): row 0 would see the bottom. Zeros go there.",
        ),
        (_zeroed(0), "out[0] is the first image, not the first row: after torch.roll, out[:, :, 0] must become zero."),
        (
            _zeroed((slice(None), 0)),
            "out[:, 0] is the first channel, not the first row: after torch.roll, out[:, :, 0] must become zero.",
        ),
        (
            _zeroed((..., 0)),
            "The first column became zero. Rows are the third axis: after torch.roll, out[:, :, 0] must become zero.",
        ),
        (
            _zeroed((*ROWS, -1)),
            "The last row became zero. torch.roll brought it to the top: it is out[:, :, 0] that must become zero.",
        ),
        (
            _zeroed((*ROWS, 0), -1),
            "The rows were rolled up, and the first one set to zero. roll(1, 2) moves them down: row r to row r + 1.",
        ),
        (
            lambda v: v.roll(-1, dims=2),
            "The rows moved up and around. Row r must move to row r + 1, with zeros at the top.",
        ),
        (
            lambda v: v.roll(1),
            "torch.roll without dims moves every number by one in memory. Move whole rows (dim=2), zeros at the top.",
        ),
        (
            lambda v: F.pad(v, (0, 0, 1, 0)),
            "You added a row of zeros but kept the last row, so the height grew by one: drop the last row.",
        ),
        (
            lambda v: F.pad(v, (0, 0, 0, 1)),
            "You added a row at the bottom. The zeros come in at the top, and the last row drops out.",
        ),
        (
            lambda v: F.pad(v, (1, 0)),
            "You added a column: F.pad starts with the last axis. (0, 0, 1, 0) adds a row at the top.",
        ),
        (lambda v: v[:, :, :-1].clone(), "The last row is dropped, but no row of zeros came in at the top."),
        (lambda v: v[:, :, 1:].clone(), "The first row is dropped. Drop the *last* row; zeros come in at the top."),
        (lambda v: F.pad(v, (0, 0, 2, -2)), "The rows moved by two. Move them by one: row r to row r + 1."),
        (lambda v: F.pad(v, (1, -1, 1, -1)), "The columns moved as well: move only the rows, straight down."),
        (
            lambda v: torch.cat([torch.zeros_like(v[:1]), v[:-1]]),
            "The images of the batch moved. Rows are the third axis of (B, C, H, W): dim=2.",
        ),
        (lambda v: F.pad(v, (0, 0, 0, 0, 1, -1)), "The channels moved. Rows are the third axis, dim=2."),
        (
            lambda v: torch.cat([v[:, :, :1], v[:, :, :-1]], 2),
            "The first row is still there, repeated: zeros come in at the top, or row 0 sees itself.",
        ),
        (
            _zeroed((*ROWS, 0), 0),
            "The first row became zero, but the others did not move: row r must move to row r + 1.",
        ),
        (
            lambda v: torch.cat([v[:, :, :-1], torch.zeros_like(v[:, :, :1])], 2),
            "The last row became zero, but the other rows did not move: row r must move to row r + 1.",
        ),
    ],
    accepts=[
        _loop,
        _zeroed((*ROWS, 0)),
        lambda v: torch.cat([torch.zeros_like(v[:, :, :1]), v[:, :, :-1]], dim=2),
        lambda v: F.pad(v, (0, 0, 1, 0))[:, :, :-1],
        lambda v: F.pad(v[:, :, :-1], (0, 0, 1, 0)),
        lambda v: torch.ones(v.shape[2] - 1, dtype=v.dtype).diag(-1) @ v,
    ],
    speed=Speed(lambda: (torch.rand(64, 32, 28, 28),)),
)
