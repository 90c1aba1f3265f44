"""Which cells of a k x k kernel come before its center in raster order; equation (4.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.layers.causal_conv import conv_mask
from garm_course.exercises.edges import edge
from garm_course.exercises.registry import Exercise, Speed, same


def _by(visible, center=lambda k: k // 2):
    """An answer from a rule on the offset (row, column) from the center and on whether the kind is B."""

    def answer(k: int, kind: str) -> Tensor:
        cells, c = range(k), center(k)
        return torch.tensor([[float(visible(row - c, column - c, kind == "B")) for column in cells] for row in cells])

    return answer


def _before(r: int, c: int, b: bool) -> bool:
    return (r, c) < (0, 0) or (b and r == c == 0)


def _first(more: int):
    """An answer with the first cells in raster order, too few or too many of them."""
    return lambda k, kind: (torch.arange(k * k) < k * k // 2 + (kind == "B") + more).float().view(k, k)


def _slices(above, left):
    """An answer with these rows above and these columns to the left, from functions of k // 2."""

    def answer(k: int, kind: str) -> Tensor:
        mask = torch.zeros(k, k, dtype=torch.int64)
        mask[above(k // 2)] = 1
        mask[k // 2, left(k // 2)] = 1
        mask[k // 2, k // 2] = kind == "B"
        return mask

    return answer


def _erased(k: int, kind: str) -> Tensor:
    mask = torch.ones(k, k)
    mask[k // 2, k // 2 + (kind == "B") :] = 0
    mask[k // 2 + 1 :] = 0
    return mask


LATER = [
    *[
        edge(same(k, kind), f"Right up to 7 x 7, not for k = {k}: k may be any odd number.")
        for k in (9, 11)
        for kind in "AB"
    ],
    edge(
        same(3, "A"),
        "Right at first, wrong in a later call: a tensor that was kept has changed. Make a new one in each call.",
    ),
]

EXERCISE = Exercise(
    name="conv_mask",
    lesson="04",
    reference=conv_mask,
    rule=(
        "The ones are the pixels before the center in raster order: all rows above, and to the left in the same row. "
        "Kind A hides the center, kind B shows it."
    ),
    probes=[*[same(k, kind) for k in (3, 5, 7) for kind in "AB"], *LATER],
    axes=("row", "column"),
    any_dtype=True,
    mistakes=[
        (
            lambda k, kind: conv_mask(k, "B" if kind == "A" else "A"),
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
            _by(lambda r, c, b: r < 0 or (b and r == c == 0)),
            "The neighbors to the left in the same row are missing: they come before the center, so they are known.",
        ),
        (
            _by(lambda r, c, b: r < 0),
            "The row of the center is all 0: its left neighbors are known, kind B shows it too.",
        ),
        (
            _by(lambda r, c, b: r == 0 and c < b),
            "The rows above are missing: every pixel in them comes before the center.",
        ),
        (
            _by(lambda r, c, b: r < 0 or (r == 0 and (c != 0 or b))),
            "The neighbors to the right in the same row are visible: they come later, so this leaks the future.",
        ),
        (
            _by(lambda r, c, b: r <= 0),
            "The whole row of the center is visible in both kinds: stop at the center (A: before it, B: after it).",
        ),
        (
            _by(lambda r, c, b: r < 0 or (r == 0 and (c < 0 or b))),
            "Kind B shows the whole row of the center. It ends with the center.",
        ),
        (
            lambda k, kind: conv_mask(k, kind).flip(0, 1),
            "Past and future are swapped: the ones must stand above and to the left of the center, not after it.",
        ),
        (lambda k, kind: torch.ones(k, k), "Nothing is masked: every neighbor is visible, also those that come later."),
        (
            _by(lambda r, c, b: (r, c) != (0, 0) or b),
            "Only the center is masked: the pixels after it, to the right and below, must be 0 as well.",
        ),
        (
            lambda k, kind: 1 - conv_mask(k, kind),
            "0 and 1 are swapped: 1 stands for visible, because the mask multiplies the weights.",
        ),
        (
            _by(_before, lambda k: k // 2 + 1),
            "The center is one too far: counted from 0, its row and column are k // 2, not k // 2 + 1.",
        ),
        (
            _by(_before, lambda k: k // 2 - 1),
            "The center is one too early: counted from 0, its row and column are k // 2, not k // 2 - 1.",
        ),
        (_by(_before, lambda k: round(k / 2)), "round(k / 2) is not the center: it rounds 3.5 up to 4. Use k // 2."),
        (_by(_before, lambda k: 1), "The center is at index 1 only in a 3 x 3 kernel. In general it is at k // 2."),
        (_first(1), "One pixel too many in raster order: A ends just before the center, B with the center."),
        (_first(-1), "One pixel too few in raster order: A ends just before the center, B with the center."),
        (_by(lambda r, c, b: r != 0 or c < b), "The rows below the center are visible: they come later and must be 0."),
        (
            _by(lambda r, c, b: r <= 0 and c <= 0 and ((r, c) != (0, 0) or b)),
            "Only the quarter above and to the left is visible: pixels above and to the *right* come earlier, too.",
        ),
        (
            _by(lambda r, c, b: (r < 0 and c < 0) or (r == 0 and c < b)),
            "Of the rows above, only the part to the left is visible: all of their pixels come earlier.",
        ),
        (
            _by(lambda r, c, b: (r < 0 and c < 0) or (b and r == c == 0)),
            "Only the block above and to the left is visible: whole rows come earlier, mask[: k // 2], and so do the "
            "left neighbors in the row of the center.",
        ),
        (
            _by(lambda r, c, b: c < 0 or (b and r == c == 0)),
            "All columns to the left are visible, even below the center. Raster order is row by row: mask[: k // 2].",
        ),
        (
            _slices(lambda c: 0, lambda c: slice(c)),
            "Of the rows above, only the top one, mask[0], is visible. All of them are known: mask[: k // 2].",
        ),
        (
            _slices(lambda c: c - 1, lambda c: slice(c)),
            "Of the rows above, only the nearest one is visible. All of them are known: mask[: k // 2].",
        ),
        (
            lambda k, kind: torch.ones(k, k).tril(-1 if kind == "A" else 0),
            "This is the triangle of a sequence's mask. Here the k x k cells are the neighborhood of one pixel.",
        ),
        (
            lambda k, kind: torch.ones(k, k).tril(),
            "This is the triangle of a sequence's mask, in both kinds. Here the cells are the neighbors of one pixel.",
        ),
    ],
    accepts=[
        _erased,
        _by(_before),
        _first(0),
        _slices(lambda c: slice(c), lambda c: slice(c)),
        lambda k, kind: _first(0)(k, kind).bool(),
        lambda k, kind: F.pad(torch.ones(k * k // 2 + (kind == "B")), (0, k * k // 2 + (kind == "A"))).view(k, k),
    ],
    speed=Speed(lambda: (7, "A")),
)
