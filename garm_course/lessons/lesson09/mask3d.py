"""Which cells of a k x k x k kernel come before its center in a clip; equation (9.2)."""

import torch
from torch import Tensor

from garm_course.autoregressive.layers.causal_conv import conv_mask, mask3d
from garm_course.exercises.edges import edge
from garm_course.exercises.registry import Exercise, Speed, same


def _by(visible, center=lambda k: k // 2):
    """An answer from a rule on the offset (frame, row, column) from the center and on whether the kind is B."""

    def answer(k: int, kind: str) -> Tensor:
        places = [i - center(k) for i in range(k)]
        return torch.tensor([[[float(visible(t, r, c, kind == "B")) for c in places] for r in places] for t in places])

    return answer


def _before(t: int, r: int, c: int, b: bool) -> bool:
    return (t, r, c) < (0, 0, 0) or (b and t == r == c == 0)


def _raster(r: int, c: int, b: bool) -> bool:
    return (r, c) < (0, 0) or (b and r == c == 0)


def _first(more: int):
    """An answer with the first cells in the order of a clip, too few or too many of them."""
    return lambda k, kind: (torch.arange(k**3) < k**3 // 2 + (kind == "B") + more).float().view(k, k, k)


def _slices(k: int, kind: str) -> Tensor:
    mask = torch.zeros(k, k, k, dtype=torch.bool)
    c = k // 2
    mask[:c] = True
    mask[c, :c] = True
    mask[c, c, : c + (kind == "B")] = True
    return mask


EXERCISE = Exercise(
    name="mask3d",
    lesson="09",
    reference=mask3d,
    rule="The axes are frame, row, column. Earlier frames are all 1, later frames all 0; in the frame of the center "
    "the ones are those of the 2-D mask: rows above, and to the left in the same row. Kind B shows the center.",
    probes=[
        *[same(k, kind) for k in (3, 5) for kind in "AB"],
        *[edge(same(7, kind), "Right for k = 3 and 5, not for k = 7: k may be any odd number.") for kind in "AB"],
        edge(
            same(3, "A"),
            "Right at first, wrong in a later call: a tensor that was kept has changed. Make a new one in each call.",
        ),
    ],
    axes=("frame", "row", "column"),
    any_dtype=True,
    mistakes=[
        (
            lambda k, kind: mask3d(k, "B" if kind == "A" else "A"),
            "A and B are swapped: A hides the center (the pixel must not see itself), B shows it.",
        ),
        (
            lambda k, kind: mask3d(k, "A"),
            "Both kinds hide the center. In kind B it is 1: it holds features that kind A has already made safe.",
        ),
        (
            lambda k, kind: mask3d(k, "B"),
            "The center is visible in kind A: the first layer would show each pixel to itself.",
        ),
        (
            _by(lambda t, r, c, b: t == 0 and _raster(r, c, b)),
            "There is no memory: only the current frame is visible, mask[k // 2]. Earlier frames, mask[: k // 2], are "
            "known whole.",
        ),
        (
            _by(lambda t, r, c, b: _raster(r, c, b)),
            "The 2-D mask stands in every frame. Earlier frames are known whole, and the later ones show a future that "
            "is not drawn yet.",
        ),
        (
            _by(lambda t, r, c, b: t <= 0 and _raster(r, c, b)),
            "Earlier frames are masked like the current one. They are over, so all of their pixels are known.",
        ),
        (
            _by(lambda t, r, c, b: t < 0),
            "The current frame is missing, in both kinds: its rows above and the pixels to the left are known.",
        ),
        (
            _by(lambda t, r, c, b: t < 0 or (b and t == r == c == 0)),
            "Of the current frame at most the center is visible: its rows above and the pixels to the left are known.",
        ),
        (
            lambda k, kind: mask3d(k, kind).permute(1, 2, 0),
            "The frame is the last axis of your mask. It is the first: (frame, row, column).",
        ),
        (
            lambda k, kind: mask3d(k, kind).permute(1, 0, 2),
            "Frames and rows are exchanged: the first axis is the frame, the second the row.",
        ),
        (
            lambda k, kind: mask3d(k, kind).flip(0, 1, 2),
            "Past and future are swapped: the ones must stand before the center, in all three axes.",
        ),
        (
            lambda k, kind: mask3d(k, kind).flip(0),
            "The frames are reversed: index 0 is the oldest frame, so the known ones are mask[: k // 2].",
        ),
        (
            _by(lambda t, r, c, b: t <= 0),
            "The whole current frame is visible: the pixel sees itself and those that come later.",
        ),
        (
            _by(lambda t, r, c, b: t <= 0 and ((t, r, c) != (0, 0, 0) or b)),
            "Of the current frame only the center is hidden: what comes after it, to the right and below, is unknown.",
        ),
        (
            _by(lambda t, r, c, b: t < 0 or (t == 0 and _raster(c, r, b))),
            "The current frame is read column by column. Raster order is row by row: the rows above are known whole.",
        ),
        (
            _by(lambda t, r, c, b: t < 0 or (t == 0 and (r < 0 or (b and r == c == 0)))),
            "The pixels to the left in the row of the center are missing: they come before it.",
        ),
        (
            _by(lambda t, r, c, b: t < 0 or (t == r == 0 and c < b)),
            "The rows above in the current frame are missing: every pixel in them comes before the center.",
        ),
        (
            _by(lambda t, r, c, b: t < 0 or (t == 0 and (r < 0 or (r == 0 and (c != 0 or b))))),
            "The pixels to the right in the row of the center are visible: they come later.",
        ),
        (
            _by(lambda t, r, c, b: t == -1 or (t == 0 and _raster(r, c, b))),
            "Of the earlier frames only the nearest one is visible. All of them are known: mask[: k // 2].",
        ),
        (
            lambda k, kind: torch.cat([torch.ones(1, k, k), torch.zeros(k - 1, k, k)]).where(
                torch.arange(k)[:, None, None] != k // 2, conv_mask(k, kind)
            ),
            "Of the earlier frames only the oldest one, mask[0], is visible. All of them are known: mask[: k // 2].",
        ),
        (
            _by(lambda t, r, c, b: t != 0 or _raster(r, c, b)),
            "Later frames are visible as well: nothing of them is drawn yet, so they must be 0.",
        ),
        (
            _by(lambda t, r, c, b: t <= 0 and r <= 0 and c <= 0 and ((t, r, c) != (0, 0, 0) or b)),
            "Only the corner before the center in every axis is visible. Earlier frames are known whole, and in "
            "the rows above those to the right as well.",
        ),
        (lambda k, kind: torch.ones(k, k, k), "Nothing is masked: every cell is visible, also those that come later."),
        (
            lambda k, kind: 1 - mask3d(k, kind),
            "0 and 1 are swapped: 1 stands for visible, because the mask multiplies the weights.",
        ),
        (lambda k, kind: conv_mask(k, kind), "This is the mask of one frame: a kernel over clips is (k, k, k)."),
        (_first(1), "One cell too many in the order of the clip: A ends just before the center, B with the center."),
        (_first(-1), "One cell too few in the order of the clip: A ends just before the center, B with the center."),
        (_by(_before, lambda k: 1), "The center is at index 1 only in a 3 x 3 x 3 kernel. In general it is at k // 2."),
        (
            _by(_before, lambda k: k // 2 + 1),
            "The center is one too far: from 0 on, it is at k // 2 in each axis.",
        ),
    ],
    accepts=[
        _by(_before),
        _first(0),
        _slices,
        lambda k, kind: torch.stack(
            [torch.ones(k, k)] * (k // 2) + [conv_mask(k, kind)] + [torch.zeros(k, k)] * (k // 2)
        ),
    ],
    speed=Speed(lambda: (7, "A")),
)
