"""Rows moved so that a diagonal of the image becomes a column; equation (3.6)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.pixelrnn import skew
from garm_course.exercises.registry import Exercise, Speed, same


def _random(*shape: int, seed: int = 3) -> Tensor:
    """Signs mixed, nothing round, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
        same(_random(2, 3, 4, 5)),
        same(_random(3, 2, 5, 3, seed=4)),
        same(_random(2, 4, 3, 6, seed=5).float()),
        same(_random(4, 2, 1, 3, seed=6)),
        same(_random(3, 2, 4, 1, seed=7)),
        same(_random(2, 3, 4, 5, seed=8), grad=True),
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
            "The rows were rolled within the width W, so pixels came back on the left. Widen to W + H - 1 first.",
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
            _from_channel,
            "x[:, r] is a channel. Row r of all channels is x[:, :, r].",
        ),
        (
            _over_images,
            "x[r] is an image of the batch. Row r of all images and channels is x[:, :, r].",
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
            "torch.zeros makes float32 numbers, so digits of a float64 image are lost: x.new_zeros keeps the dtype.",
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
