"""Rows moved so that a diagonal of the image becomes a column; equation (3.6)."""

import warnings
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.pixelrnn import skew
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed

_random = partial(random, seed=3)


def _levels(*shape: int, seed: int = 3) -> Tensor:
    """Gray levels 1..255: 0 does not hide in them."""
    return torch.randint(1, 256, shape, generator=torch.Generator().manual_seed(seed))


def _nothing_unwritten(x: Tensor, grad: bool = False):
    """The probe `same`, in which memory that was not written to is no accident: torch.empty holds NaN."""

    def probe(attempt: Attempt) -> None:
        before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.use_deterministic_algorithms(True, warn_only=True)
            try:
                attempt.run(x, grad=grad)
            except Refused as refused:
                cause, nan, _ = str(refused).partition("; look for inf / inf")
                if not nan:
                    raise
                raise Refused(f"{cause}, where the image has numbers or zeros.") from refused
            finally:
                torch.use_deterministic_algorithms(before[0], warn_only=before[1])

    return probe


def _by_rows(offset, width=lambda h, w: w + h - 1, rows=range):
    """Each row written at its offset into zeros of some width."""

    def move(x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        out = x.new_zeros(*x.shape[:3], width(h, w))
        for r in rows(h):
            out[:, :, r, offset(r, h) : offset(r, h) + w] = x[:, :, r]
        return out

    return move


def _rolled(step, padded: bool = True):
    """Each row rolled around, in an image of the final width or of the old one."""

    def move(x: Tensor) -> Tensor:
        x = F.pad(x, (0, x.shape[2] - 1)) if padded else x
        return torch.stack([x[:, :, r].roll(step(r), -1) for r in range(x.shape[2])], 2)

    return move


def _padded_rows(x: Tensor) -> list[Tensor]:
    h = x.shape[2]
    return [F.pad(x[:, :, r], (r, h - 1 - r)) for r in range(h)]


def _ragged_rows(x: Tensor) -> list[Tensor]:
    return [F.pad(x[:, :, r], (r, 0)) for r in range(x.shape[2])]


def _into_zeros(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = torch.zeros(b, c, h, w + h - 1)
    for r in range(h):
        out[:, :, r, r : r + w] = x[:, :, r]
    return out


def _into_empty_rows(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        out[:, :, r, r:] = x[:, :, r]
    return out


def _cropped_rows(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        out[:, :, r, r:w] = x[:, :, r, : w - r]
    return out


def _added_to_row(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        for col in range(w):
            out[:, :, r + col, col] = x[:, :, r, col]
    return out


def _read_outside(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        for col in range(r, w + h - 1):
            out[:, :, r, col] = x[:, :, r, col - r]
    return out


def _exchanged(x: Tensor) -> Tensor:
    b, c, w, h = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        out[:, :, r, r : r + w] = x[:, :, r]
    return out


def _exchanged_twice(x: Tensor) -> Tensor:
    b, c, w, h = x.shape
    out = x.new_zeros(b, c, w, w + h - 1)
    for r in range(h):
        out[:, :, r, r : r + w] = x[:, :, r]
    return out


def _exchanged_pixels(x: Tensor) -> Tensor:
    b, c, w, h = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        for col in range(w):
            out[:, :, r, r + col] = x[:, :, r, col]
    return out


def _exchanged_in_result(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, w, w + h - 1)
    for r in range(h):
        out[:, :, r, r : r + w] = x[:, :, r]
    return out


def _loop_over_columns(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(w):
        out[:, :, r, r : r + w] = x[:, :, r]
    return out


def _into_empty(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_empty(b, c, h, w + h - 1)
    for r in range(h):
        out[:, :, r, r : r + w] = x[:, :, r]
    return out


def _row_of_batch(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        out[:, :, r, r : r + w] = x[r]
    return out


def _columns_for_rows(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        for col in range(w):
            out[:, :, col, r + col] = x[:, :, r, col]
    return out


def _from_channel(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        out[:, :, r, r : r + w] = x[:, r]
    return out


def _over_images(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        out[r, :, :, r : r + w] = x[r]
    return out


def _one_pixel_a_row(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    for r in range(h):
        out[:, :, r, r] = x[:, :, r, 0]
    return out


def _in_both_axes(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, w + h - 1, w + h - 1)
    for r in range(h):
        out[:, :, r, r : r + w] = x[:, :, r]
    return out


def _by_image(x: Tensor) -> Tensor:
    return torch.stack([F.pad(image, (i, len(x) - 1 - i)) for i, image in enumerate(x)])


def _filled(value: float):
    def move(x: Tensor) -> Tensor:
        return torch.where(skew(torch.ones_like(x)) > 0, skew(x), value)

    return move


def _edges(x: Tensor) -> Tensor:
    """Outside the image the nearest pixel of the row is repeated."""
    h, w = x.shape[2:]
    column = (torch.arange(w + h - 1) - torch.arange(h)[:, None]).clamp(0, w - 1)
    return x.gather(3, column.expand(*x.shape[:2], -1, -1))


def _by_gather(x: Tensor) -> Tensor:
    h, w = x.shape[2:]
    column = torch.arange(w + h - 1) - torch.arange(h)[:, None]  # which column of x comes here
    inside = (column >= 0) & (column < w)
    return x.gather(3, column.clamp(0, w - 1).expand(*x.shape[:2], -1, -1)) * inside


def _by_index(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = x.new_zeros(b, c, h, w + h - 1)
    row, column = torch.arange(h)[:, None], torch.arange(w)
    out[:, :, row, row + column] = x
    return out


def _by_pixels(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    out = torch.zeros(b, c, h, w + h - 1, dtype=x.dtype)
    for r in range(h):
        for col in range(w):
            out[:, :, r, r + col] = x[:, :, r, col]
    return out


def _by_matrices(x: Tensor) -> Tensor:
    h, w = x.shape[2:]
    shifts = torch.stack([F.pad(torch.eye(w, dtype=x.dtype), (r, h - 1 - r)) for r in range(h)])  # (H, W, W + H - 1)
    return torch.einsum("bchw,hwv->bchv", x, shifts)


def _by_memory(x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return F.pad(x, (0, h)).reshape(b, c, -1)[..., : h * (w + h - 1)].reshape(b, c, h, w + h - 1)


EXERCISE = Exercise(
    name="skew",
    lesson="03",
    reference=skew,
    rule="Row r moves to the right by r: out[..., r, c + r] = x[..., r, c], zeros elsewhere, width W + H - 1.",
    probes=[
        _nothing_unwritten(_random(2, 3, 4, 5)),
        _nothing_unwritten(_random(3, 2, 5, 3, seed=4)),
        _nothing_unwritten(_random(2, 4, 3, 6, seed=5).float()),
        _nothing_unwritten(_random(4, 2, 1, 3, seed=6)),
        _nothing_unwritten(_random(3, 2, 4, 1, seed=7)),
        _nothing_unwritten(_levels(2, 2, 3, 4)),  # stay integers
        _nothing_unwritten(_random(2, 3, 4, 5, seed=8), grad=True),
    ],
    axes=("image", "channel", "row", "column"),
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
            lambda x: F.pad(x, (x.shape[2] - 1, x.shape[2] - 1)),
            "Zeros on both sides of all rows: row r gets r zeros on its left and H - 1 - r on its right.",
        ),
        (
            _by_rows(lambda r, h: h - 1 - r),
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
            lambda x: skew(_rolled(lambda r: r, padded=False)(x)),
            "Moved twice: rolled within the width W, where the end came round to the front, and then to the right.",
        ),
        (
            _rolled(lambda r: -r, padded=False),
            "The rows were rolled to the left within the width W. Widen to W + H - 1, then move right by r.",
        ),
        (
            _rolled(lambda r: -r),
            "Rolled to the left, so pixels came back on the right. Row r moves to the right: a positive shift.",
        ),
        (
            _rolled(lambda r: r + 1),
            "Row r moved by r + 1 and around. Count rows from 0: the first row stays where it is.",
        ),
        (
            _rolled(lambda r: 1),
            "All rows moved by 1. Row r moves by r.",
        ),
        (
            _by_rows(lambda r, h: r + 1, lambda h, w: w + h),
            "Row r moved by r + 1. Count rows from 0: the first row stays where it is, and the width is W + H - 1.",
        ),
        (
            _by_rows(lambda r, h: r, lambda h, w: w + h),
            "One column too many: the last row moves by H - 1, so the width is W + H - 1.",
        ),
        (
            _by_rows(lambda r, h: r, lambda h, w: w + h - 2),
            "One column is missing: the last row moves by H - 1, so the width is W + H - 1.",
        ),
        (
            _by_rows(lambda r, h: r, lambda h, w: 2 * w - 1),
            "2 W - 1 is the width for square images. In general it is W + H - 1.",
        ),
        (
            _by_rows(lambda r, h: r, lambda h, w: 2 * h - 1),
            "2 H - 1 is the width for square images. In general it is W + H - 1.",
        ),
        (
            _by_rows(lambda r, h: r, lambda h, w: 2 * w),
            "The width was doubled. It is W + H - 1: the last row moves by H - 1.",
        ),
        (
            _by_rows(lambda r, h: 2 * r, lambda h, w: w + 2 * (h - 1)),
            "Row r moved by 2 r. It moves by r, so that the neighbor above stands one column before.",
        ),
        (
            _by_rows(lambda r, h: r, lambda h, w: w),
            "The rows run over the edge: there must be W + H - 1 columns for them.",
        ),
        (
            _by_rows(lambda r, h: r + 1),
            "The rows start at r + 1, and the last one does not fit. Row r goes to the columns r : r + W.",
        ),
        (
            _into_empty_rows,
            "out[:, :, r, r:] has more than W columns: row r goes to the W columns from r on, r : r + W.",
        ),
        (
            _cropped_rows,
            "The rows are cut off at column W. Row r goes to the W columns from r on, r : r + W.",
        ),
        (
            _columns_for_rows,
            "Rows and columns are exchanged on the left side: pixel (r, c) stays in row r, out[:, :, r, r + c].",
        ),
        (
            _added_to_row,
            "The indices are exchanged, out[:, :, r + c, c]: that moves pixels down. It is out[:, :, r, r + c].",
        ),
        (
            _read_outside,
            "x[:, :, r, c - r] is read for columns c that the row does not have: loop over the columns of x.",
        ),
        (
            _exchanged,
            "H and W are exchanged: the shape is (B, C, H, W), so b, c, h, w = x.shape.",
        ),
        (
            _exchanged_twice,
            "H and W are exchanged, in the result as well: the shape of x is (B, C, H, W), so b, c, h, w = x.shape.",
        ),
        (
            _exchanged_pixels,
            "H and W are exchanged in both loops: the shape is (B, C, H, W), so b, c, h, w = x.shape.",
        ),
        (
            _exchanged_in_result,
            "The result has W rows. It has H, as x has, and W + H - 1 columns.",
        ),
        (
            _loop_over_columns,
            "The loop runs over W rows. There are H of them, x.shape[2].",
        ),
        (
            lambda x: torch.stack([F.pad(x[:, :, r], (r, x.shape[3] - 1 - r)) for r in range(x.shape[3])], 2),
            "H and W are exchanged: there are x.shape[2] rows, and row r gets H - 1 - r zeros on its right.",
        ),
        (
            lambda x: torch.stack([F.pad(x[:, :, r], (r, x.shape[3] - 1 - r)) for r in range(x.shape[2])], 2),
            "The right side got W - 1 - r zeros. It gets H - 1 - r, so that all rows are W + H - 1 wide.",
        ),
        (
            _from_channel,
            "x[:, r] is a channel. Row r of all channels is x[:, :, r].",
        ),
        (
            _over_images,
            "x[r] is an image of the batch. Row r of all images and channels is x[:, :, r].",
        ),
        (
            _row_of_batch,
            "x[r] on the right side is image r of the batch, of shape (C, H, W). Row r of all is x[:, :, r].",
        ),
        (
            lambda x: torch.stack([F.pad(x[r], (r, x.shape[2] - 1 - r)) for r in range(x.shape[2])], 2),
            "x[r] is image r, and there are not H images. Row r of all images and channels is x[:, :, r].",
        ),
        (
            _by_rows(lambda r, h: r, rows=lambda h: range(h - 1)),
            "The last row is missing: range(H - 1) ends before it.",
        ),
        (
            _by_rows(lambda r, h: r, rows=lambda h: range(1, h)),
            "The first row is missing: the loop begins with row 0, which moves by 0.",
        ),
        (
            _one_pixel_a_row,
            "Only the first pixel of each row was moved: row r goes to the columns r : r + W.",
        ),
        (
            _in_both_axes,
            "The height grew as well. Rows stay in their row: the shape is (B, C, H, W + H - 1).",
        ),
        (
            lambda x: skew(x.mT).mT,
            "Columns moved down. Here rows move to the right: the last axis grows.",
        ),
        (
            lambda x: skew(x.mT).mT[:, :, : x.shape[2]].clone(),
            "Columns moved down within H rows, so pixels are lost. Here rows move to the right, into new columns.",
        ),
        (
            lambda x: torch.stack([x[..., c].roll(c, -1) for c in range(x.shape[3])], 3),
            "Columns were rolled down within H rows. Here rows move to the right, into new columns.",
        ),
        (
            lambda x: skew(x).mT,
            "Transposed: the rows are the third axis of (B, C, H, W + H - 1), as in torch.stack(rows, 2).",
        ),
        (
            lambda x: skew(x.mT),
            "The image was transposed: rows are the third axis, and row r moves along the last one.",
        ),
        (
            lambda x: skew(x.movedim(1, 2)).movedim(1, 2),
            "Channel c moved by c. All channels of a row move alike, by the number r of the row (the third axis).",
        ),
        (
            _by_image,
            "Image b moved by b. All images move alike; row r (the third axis) moves by r.",
        ),
        (
            lambda x: skew(x.flip(2)),
            "The rows are upside down: row 0 is the top row, and it stays on top.",
        ),
        (
            lambda x: skew(x.flip(3)),
            "The rows are mirrored: move them, do not turn them around.",
        ),
        (
            lambda x: torch.stack(_ragged_rows(x), 2),
            "The rows have different widths: row r needs r zeros on its left and H - 1 - r on its right.",
        ),
        (
            lambda x: torch.cat([row.unsqueeze(2) for row in _ragged_rows(x)], 2),
            "The rows to be joined have different widths: pad row r by r on the left and H - 1 - r on the right.",
        ),
        (
            lambda x: torch.stack(_padded_rows(x)),
            "The rows were stacked as a new first axis. They are the third axis: torch.stack(rows, 2).",
        ),
        (
            lambda x: torch.stack(_padded_rows(x), 1),
            "The rows were stacked as the second axis. They are the third one: torch.stack(rows, 2).",
        ),
        (
            lambda x: torch.cat(_padded_rows(x), -1),
            "The rows are joined to one long row. They are the third axis: torch.stack(rows, 2).",
        ),
        (
            lambda x: skew(x)[0, 0],
            "Only the first channel of the first image is returned: keep the axes B and C.",
        ),
        (_edges, "The edges of the image were repeated. Outside the image there are zeros."),
        (_filled(1), "The new places hold ones. Outside the image there are zeros."),
        (_filled(-1), "The new places hold -1. Outside the image there are zeros."),
        (
            _filled(float("-inf")),
            "The new places hold -inf, as in a mask to be added. Outside the image there are zeros.",
        ),
        (
            _into_zeros,
            "The result is float32; it must have the dtype of x, as x.new_zeros(...) has.",
        ),
        (
            lambda x: skew(x).double(),
            "The result is float64; it must have the dtype of x, as x.new_zeros(...) has.",
        ),
        (
            lambda x: skew(x) if x.is_floating_point() else skew(x.float()),
            "Integers became float32; the result must have the dtype of x, as x.new_zeros(...) has.",
        ),
        (
            _into_empty,
            "The new places are not zeros: torch.empty leaves whatever the memory holds. x.new_zeros(...) sets zeros.",
        ),
        (
            lambda x: _into_empty(x.float()),
            "The new places are not zeros, and the result is float32: x.new_zeros(...) sets zeros and keeps the dtype.",
        ),
        (
            lambda x: skew(x.detach()),
            "The values are right, but detached: no gradient passes through the layer. Leave out .detach() and .data.",
        ),
    ],
    accepts=[
        _by_gather,
        _by_index,
        _by_pixels,
        _by_matrices,
        _by_memory,
        _rolled(lambda r: r),
        _by_rows(lambda r, h: r),
        lambda x: torch.stack(_padded_rows(x), 2),
        lambda x: torch.cat([row.unsqueeze(2) for row in _padded_rows(x)], 2),
        lambda x: torch.stack(_padded_rows(x)).permute(1, 2, 0, 3),
    ],
    speed=Speed(lambda: (torch.rand(32, 32, 28, 28),)),
)
