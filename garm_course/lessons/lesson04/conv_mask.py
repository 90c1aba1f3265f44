"""Which cells of a k x k kernel come before its center in raster order; equation (4.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.layers.causal_conv import conv_mask
from garm_course.exercises.registry import Exercise, Speed, same


def _other(kind: str) -> str:
    return {"A": "B", "B": "A"}[kind]


def _kernel(k: int, visible) -> Tensor:
    """A mask from a rule on the offset (row, column) from the center."""
    c = k // 2
    return torch.tensor([[float(visible(row - c, column - c)) for column in range(k)] for row in range(k)])


def _with_center_at(c: int, k: int, kind: str) -> Tensor:
    mask = torch.zeros(k, k)
    mask[:c] = 1
    mask[c, :c] = 1
    mask[c, c] = kind == "B"
    return mask


def _first(n: int, k: int) -> Tensor:
    """A mask of n ones in raster order."""
    return (torch.arange(k * k) < n).float().view(k, k)


def _rows(k: int, kind: str, above: slice, left: slice | None = None) -> Tensor:
    """A mask of these rows, and of these columns in the row of the center (all to its left by default)."""
    mask = torch.zeros(k, k)
    mask[above] = 1
    mask[k // 2, slice(k // 2) if left is None else left] = 1
    mask[k // 2, k // 2] = kind == "B"
    return mask


def _loop_mask(k, kind):
    mask = torch.ones((k, k), dtype=torch.int64)
    for row in range(k):
        for column in range(k):
            if row > k // 2 or (row == k // 2 and column > k // 2):
                mask[row, column] = 0
    if kind == "A":
        mask[k // 2, k // 2] = 0
    return mask


def _erased_mask(k, kind):
    mask = torch.ones(k, k)
    mask[k // 2, k // 2 + (kind == "B") :] = 0
    mask[k // 2 + 1 :] = 0
    return mask


EXERCISE = Exercise(
    name="conv_mask",
    lesson="04",
    reference=conv_mask,
    rule=(
        "The ones are the pixels before the center in raster order: all rows above, and to the left in the same row. "
        "Kind A hides the center, kind B shows it."
    ),
    probes=[same(k, kind) for k in (3, 5, 7) for kind in "AB"],
    axes=("row", "column"),
    any_dtype=True,
    mistakes=[
        (
            lambda k, kind: conv_mask(k, _other(kind)),
            "A and B are swapped: A hides the center (the pixel must not see itself), B shows it.",
        ),
        (
            lambda k, kind: conv_mask(k, "A"),
            "Both kinds hide the center. In kind B it is 1: it holds features that kind A has already made safe.",
        ),
        (
            lambda k, kind: conv_mask(k, "B"),
            "Your mask lets the center pixel through in kind A: the first layer would show each pixel to itself.",
        ),
        (
            lambda k, kind: conv_mask(k, kind).T,
            "Your mask goes through the columns first. Raster order is row by row: all of the rows above are known.",
        ),
        (
            lambda k, kind: _kernel(k, lambda r, c: r < 0 or (r == c == 0 and kind == "B")),
            "The neighbors to the left in the same row are missing: they come before the center, so they are known.",
        ),
        (
            lambda k, kind: _kernel(k, lambda r, c: r < 0),
            "The whole row of the center is dropped: its left neighbors are known, and kind B shows the center too.",
        ),
        (
            lambda k, kind: _kernel(k, lambda r, c: r == 0 and c < (kind == "B")),
            "The rows above the center are missing: every pixel in them comes before the center.",
        ),
        (
            lambda k, kind: _kernel(k, lambda r, c: r < 0 or (r == 0 and (c != 0 or kind == "B"))),
            "The neighbors to the right in the same row are visible: they come later, so this leaks the future.",
        ),
        (
            lambda k, kind: _kernel(k, lambda r, c: r <= 0),
            "The whole row of the center is visible in both kinds: stop at the center (A: before it, B: after it).",
        ),
        (
            lambda k, kind: conv_mask(k, kind).flip(0, 1),
            "Past and future are swapped: the ones must stand above and to the left of the center, not after it.",
        ),
        (
            lambda k, kind: conv_mask(k, kind).flip(0),
            "Your mask is upside down: it shows the rows below the center. Row 0 of a kernel is the top one.",
        ),
        (
            lambda k, kind: conv_mask(k, kind).flip(1),
            "Left and right are swapped: in the row of the center, the pixels to the left are known.",
        ),
        (
            lambda k, kind: torch.ones(k, k),
            "Nothing is masked: every neighbor is visible, also those that come later.",
        ),
        (
            lambda k, kind: torch.zeros(k, k),
            "Everything is masked: the mask is zero everywhere. The pixels before the center must be 1.",
        ),
        (
            lambda k, kind: _kernel(k, lambda r, c: (r, c) != (0, 0) or kind == "B"),
            "Only the center is masked: the pixels after it, to the right and below, must be 0 as well.",
        ),
        (
            lambda k, kind: _kernel(k, lambda r, c: (r, c) == (0, 0) and kind == "B"),
            "Only the center is left, and nothing before it: the rows above and the left neighbors must be 1.",
        ),
        (
            lambda k, kind: 1 - conv_mask(k, kind),
            "0 and 1 are swapped: 1 stands for visible, because the mask multiplies the weights.",
        ),
        (
            lambda k, kind: _with_center_at(k // 2 + 1, k, kind),
            "The center is off by one: counted from 0, row and column of the center are k // 2, not k // 2 + 1.",
        ),
        (
            lambda k, kind: _with_center_at(k // 2 - 1, k, kind),
            "The center is off by one: counted from 0, row and column of the center are k // 2, not k // 2 - 1.",
        ),
        (
            lambda k, kind: _with_center_at(round(k / 2), k, kind),
            "round(k / 2) is not the center: it rounds 3.5 up to 4. Use k // 2.",
        ),
        (
            lambda k, kind: _first(k * k // 2 + 1 + (kind == "B"), k),
            "One pixel too many in raster order: A ends just before the center, B with the center.",
        ),
        (
            lambda k, kind: _first(k * k // 2 - 1 + (kind == "B"), k),
            "One pixel too few in raster order: A ends just before the center, B with the center.",
        ),
        (
            lambda k, kind: _kernel(k, lambda r, c: r != 0 or c < (kind == "B")),
            "The rows below the center are visible: they come later and must be 0.",
        ),
        (
            lambda k, kind: _kernel(k, lambda r, c: r <= 0 and c <= 0 and ((r, c) != (0, 0) or kind == "B")),
            "Only the quarter above and to the left is visible: pixels above and to the *right* come earlier, too.",
        ),
        (
            lambda k, kind: _kernel(k, lambda r, c: (r < 0 and c < 0) or (r == 0 and c < (kind == "B"))),
            "Of the rows above, only the part to the left is visible: all of their pixels come earlier.",
        ),
        (
            lambda k, kind: _rows(k, kind, slice(1)),
            "Of the rows above, only the top one, mask[0], is visible. All of them are known: mask[: k // 2].",
        ),
        (
            lambda k, kind: _rows(k, kind, slice(1), slice(0)),
            "Only the top row is visible: all rows above the center and its left neighbors must be 1.",
        ),
        (
            lambda k, kind: _rows(k, kind, slice(k // 2 - 1, k // 2)),
            "Of the rows above, only the nearest one is visible. All of them are known: mask[: k // 2].",
        ),
        (
            lambda k, kind: _rows(k, kind, slice(k // 2), slice(k // 2 - 1, k // 2)),
            "Of the left neighbors, only the nearest one is visible: all of them are known, mask[k // 2, : k // 2].",
        ),
        (
            lambda k, kind: _rows(k, kind, slice(k // 2), slice(1)),
            "Of the left neighbors, only the leftmost one is visible: all of them are known, mask[k // 2, : k // 2].",
        ),
        (
            lambda k, kind: _rows(k, kind, slice(k // 2 - 1, k // 2), slice(k // 2 - 1, k // 2)),
            "Only the nearest row above and the nearest neighbor on the left are visible: all of them come earlier.",
        ),
        (
            lambda k, kind: torch.ones(k, k).tril(-1 if kind == "A" else 0),
            "This is the triangle of a sequence's mask. Here the k x k cells are the neighborhood of one pixel.",
        ),
        (
            lambda k, kind: torch.ones(k, k).triu(1 if kind == "A" else 0),
            "This is a triangle, as for sequences (and its upper half). Here the cells are neighbors of one pixel.",
        ),
        (
            lambda k, kind: conv_mask(k, kind).log(),
            "This mask is to be added (0 and -inf, as in attention). Here it multiplies weights: 1 visible, 0 hidden.",
        ),
        (lambda k, kind: conv_mask(k, kind).flatten(), "The mask is right but flat: give it the shape (k, k)."),
        (
            lambda k, kind: conv_mask(k, kind)[None, None],
            "The mask is right, but has two axes too many: return the shape (k, k); broadcasting adds the others.",
        ),
        (
            lambda k, kind: conv_mask(k, kind)[None],
            "The mask is right, but has one axis too many: return the shape (k, k).",
        ),
        (
            lambda k, kind: conv_mask(k, kind).tolist(),
            "The numbers are right, but this is a list: return a tensor, torch.tensor(...).",
        ),
    ],
    accepts=[
        _loop_mask,
        _erased_mask,
        lambda k, kind: _first(k * k // 2 + (kind == "B"), k),
        lambda k, kind: _first(k * k // 2 + (kind == "B"), k).bool(),
        lambda k, kind: _kernel(k, lambda r, c: (r, c) < (0, 0) or (kind == "B" and r == c == 0)).double(),
        lambda k, kind: F.pad(torch.ones(k * k // 2 + (kind == "B")), (0, k * k - k * k // 2 - (kind == "B"))).view(
            k, k
        ),
    ],
    speed=Speed(lambda: (7, "A")),
)
