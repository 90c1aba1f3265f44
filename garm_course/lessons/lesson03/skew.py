"""Rows moved so that a diagonal of the image becomes a column; equation (3.6)."""

import warnings

import torch
import torch.nn.functional as F
from numpy import s_
from torch import Tensor

from garm_course.autoregressive.pixelrnn import skew
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _strict(answer, x: Tensor) -> Tensor:
    """`use` of a probe: what is left unwritten in torch.empty is NaN, and no accident."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            return answer(x)
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _written(attempt: Attempt) -> None:
    try:
        plain(X, use=_strict)(attempt)
    except Refused as refused:
        if str(refused).startswith("NaN"):
            raise Refused(str(refused), EMPTY) from refused
        raise


EMPTY = "The new places are not zeros: torch.empty leaves whatever the memory holds. x.new_zeros(...) sets zeros."


def _levels(*shape: int, seed: int) -> Tensor:
    """Gray levels 1..255: 0 does not hide in them."""
    return (1 + 255 * random(*shape, seed=seed).sigmoid()).long()


def _wide(h: int, w: int) -> int:
    return w + h - 1


def _write(where, width=_wide, rows=lambda h, w: range(h), row=lambda x, r: x[:, :, r], new=Tensor.new_zeros):
    """Each row written at the index `where(r, h, w)` of a new tensor of some width."""

    def move(x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        out = new(x, (*x.shape[:3], width(h, w)))
        for r in rows(h, w):
            out[where(r, h, w)] = row(x, r)
        return out

    return move


def _right(r: int, h: int, w: int):
    return s_[:, :, r, r : r + w]


def _rolled(step, padded: bool = True):
    """Each row rolled around, in an image of the final width or of the old one."""

    def move(x: Tensor) -> Tensor:
        x = F.pad(x, (0, x.shape[2] - 1)) if padded else x
        return torch.stack([x[:, :, r].roll(step(r), -1) for r in range(x.shape[2])], 2)

    return move


def _rows(x: Tensor, end=lambda r, h, w: h - 1 - r) -> list[Tensor]:
    """The rows with zeros on both sides."""
    h, w = x.shape[2:]
    return [F.pad(x[:, :, r], (r, end(r, h, w))) for r in range(h)]


def _gather(x: Tensor, zeros: bool = True) -> Tensor:
    h, w = x.shape[2:]
    column = torch.arange(w + h - 1) - torch.arange(h)[:, None]  # which column of x comes here
    picked = x.gather(3, column.clamp(0, w - 1).expand(*x.shape[:2], -1, -1))
    return picked * ((column >= 0) & (column < w)) if zeros else picked


def _by_index(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    row, column = torch.arange(h)[:, None], torch.arange(w)
    out[:, :, row, row + column] = x
    return out


def _by_pixels(x: Tensor, swapped: bool = False) -> Tensor:
    b, c, h, w = x.shape
    out = torch.zeros(b, c, h, w + h - 1, dtype=x.dtype)
    for r in range(h):
        for col in range(w):
            out[(..., r + col, col) if swapped else (..., r, r + col)] = x[:, :, r, col]
    return out


def _by_matrices(x: Tensor) -> Tensor:
    h, w = x.shape[2:]
    shifts = torch.stack([F.pad(torch.eye(w, dtype=x.dtype), (r, h - 1 - r)) for r in range(h)])  # (H, W, W + H - 1)
    return torch.einsum("bchw,hwv->bchv", x, shifts)


def _by_memory(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return F.pad(x, (0, h)).reshape(b, c, -1)[..., : h * (w + h - 1)].reshape(b, c, h, w + h - 1)


X = random(2, 3, 4, 6, seed=3)

EXERCISE = Exercise(
    name="skew",
    lesson="03",
    reference=skew,
    rule="Row r moves to the right by r: out[..., r, c + r] = x[..., r, c], zeros elsewhere, width W + H - 1.",
    probes=[
        _written,
        same(random(3, 2, 5, 3, seed=4)),
        same(torch.tensor([[[[1, 2], [3, 4]]]])),  # the example of the text
        same(random(2, 4, 3, 6, seed=5).float()),
        same(_levels(2, 2, 3, 4, seed=6)),
        edge(
            same(random(4, 2, 1, 3, seed=6)),
            "Right for several rows. An image of one row stays as it is.",
        ),
        edge(same(random(3, 2, 4, 1, seed=7)), "Right for several columns. A single one becomes a diagonal, H wide."),
        same(X, grad=True),
    ],
    axes=("image", "channel", "row", "column"),
    rtol=0,
    atol=0,
    mistakes=[
        (
            lambda x: F.pad(x, (0, x.shape[2] - 1)),
            "The image became wider, but no row moved: row r moves to the right by r.",
        ),
        (
            lambda x: F.pad(x, (x.shape[2] - 1, 0)),
            "All rows moved by H - 1. Row r moves by r: the first one stays where it is.",
        ),
        (
            _write(lambda r, h, w: s_[:, :, r, h - 1 - r : h - 1 - r + w]),
            "Skewed to the left: the top row moved most. Row r moves right by r, so the bottom row moves most.",
        ),
        (
            lambda x: skew(x)[..., : x.shape[3]].clone(),
            "Cropped to the width W, so pixels are lost. The width is W + H - 1: the last row moves by H - 1.",
        ),
        (
            _rolled(lambda r: r, padded=False),
            "Rolled within the width W: the end of the row came round to its front. Widen to W + H - 1 first.",
        ),
        (
            lambda x: F.pad(_rolled(lambda r: r, padded=False)(x), (0, x.shape[2] - 1)),
            "Rolled first, widened then: the end of the row came round to its front. Widen, then roll.",
        ),
        (
            _rolled(lambda r: -r),
            "Rolled to the left, so pixels came back on the right. Row r moves to the right: a positive shift.",
        ),
        (
            _rolled(lambda r: r + 1),
            "Row r moved by r + 1 and around. Count rows from 0: the first row stays where it is.",
        ),
        (_rolled(lambda r: 1), "All rows moved by 1. Row r moves by r."),
        (
            _write(lambda r, h, w: s_[:, :, r, r + 1 : r + 1 + w], lambda h, w: w + h),
            "Row r moved by r + 1. Count rows from 0: the first row stays where it is, and the width is W + H - 1.",
        ),
        (
            _write(_right, lambda h, w: w + h),
            "One column too many: the last row moves by H - 1, so the width is W + H - 1.",
        ),
        (
            _write(_right, lambda h, w: 2 * w - 1),
            "2 W - 1 is the width for square images. It is W + H - 1: row r gets H - 1 - r zeros on its right.",
        ),
        (_write(_right, lambda h, w: 2 * w), "The width was doubled. It is W + H - 1: the last row moves by H - 1."),
        (
            _write(lambda r, h, w: s_[:, :, r, 2 * r : 2 * r + w], lambda h, w: w + 2 * (h - 1)),
            "Row r moved by 2 r. It moves by r, so that the neighbor above stands one column before.",
        ),
        (
            _write(_right, lambda h, w: w),
            "A row runs over the edge: row r goes to the columns r : r + W, and there are W + H - 1 of them in all.",
        ),
        (
            _write(lambda r, h, w: s_[:, :, r, r:]),
            "out[:, :, r, r:] has more than W columns: row r goes to the W columns from r on, r : r + W.",
        ),
        (
            lambda x: F.pad(skew(x)[..., : x.shape[3]], (0, x.shape[2] - 1)),
            "The rows are cut off at column W. Row r goes to the W columns from r on, r : r + W.",
        ),
        (
            lambda x: _by_pixels(x, swapped=True),
            "The indices are exchanged, out[:, :, r + c, c]: that moves pixels down. It is out[:, :, r, r + c].",
        ),
        (
            _write(_right, rows=lambda h, w: range(w)),
            "A row index runs up to W - 1, but there are H rows: b, c, h, w = x.shape, and then x[:, :, row, column].",
        ),
        (
            _write(_right, row=lambda x, r: x[:, r]),
            "x[:, r] is a channel. Row r of all images and channels is x[:, :, r].",
        ),
        (
            _write(_right, row=lambda x, r: x[r]),
            "x[r] is image r of the batch, of shape (C, H, W). Row r of all images and channels is x[:, :, r].",
        ),
        (_write(_right, rows=lambda h, w: range(h - 1)), "The last row is missing: range(H - 1) ends before it."),
        (
            _write(_right, rows=lambda h, w: range(1, h)),
            "The first row is missing: the loop begins with row 0, which moves by 0.",
        ),
        (lambda x: skew(x.mT).mT, "Columns moved down. Here rows move to the right: the last axis grows."),
        (
            lambda x: skew(x.movedim(1, 2)).movedim(1, 2),
            "Channel c moved by c. All channels of a row move alike, by the number r of the row (the third axis).",
        ),
        (
            lambda x: torch.stack(_rows(x, lambda r, h, w: 0), 2),
            "The rows have different widths: row r needs r zeros on its left and H - 1 - r on its right.",
        ),
        (
            lambda x: torch.stack(_rows(x)),
            "The rows were stacked as a new first axis. They are the third axis: torch.stack(rows, 2).",
        ),
        (lambda x: _gather(x, zeros=False), "The edges of the image were repeated. Outside the image there are zeros."),
        (lambda x: skew(x).float(), "The result is float32; it must have the dtype of x, as x.new_zeros(...) has."),
        (_write(_right, new=Tensor.new_empty), EMPTY),
    ],
    accepts=[
        _gather,
        _by_index,
        _by_pixels,
        _by_matrices,
        _by_memory,
        _rolled(lambda r: r),
        _write(_right),
        lambda x: torch.stack(_rows(x), 2),
        lambda x: torch.stack(_rows(x)).permute(1, 2, 0, 3),
    ],
    speed=Speed(lambda: (torch.rand(32, 32, 28, 28),)),
)
