"""How much a clip changes from frame to frame."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.evaluation.video import flicker
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _floats(v: Tensor) -> Tensor:
    return v if v.is_floating_point() else v.float()


def _of(change: Callable[[Tensor], Tensor]):
    """An answer from other changes (B, ...), each clip's mean."""
    return lambda v: _floats(change(v)).flatten(1).mean(1)


def _by_loop(v: Tensor) -> Tensor:
    pairs = zip(v.unbind(1), v.unbind(1)[1:], strict=False)
    return torch.stack([_floats((b - a).abs()).mean((1, 2)) for a, b in pairs]).mean(0)


def _levels(*shape: int, seed: int) -> Tensor:
    """Whole numbers 0..16."""
    return (8 + 4 * random(*shape, seed=seed)).round().clamp(0, 16).long()


CLIP = random(3, 5, 4, 3, seed=1)
ONE = (
    "Right except for one clip, one pixel or two frames: squeeze() without an axis removes such axes; take flatten(1)."
)

EXERCISE = Exercise(
    name="flicker",
    lesson="09",
    reference=flicker,
    rule="Subtract each frame from the next one (axis 1), take absolute values, and average over everything but the "
    "batch: T - 1 pairs of frames and all pixels.",
    probes=[
        same(CLIP),
        same(random(2, 3, 5, 6, seed=2)),
        same(_levels(3, 4, 5, 3, seed=3)),
        same(random(2, 4, 3, 3, seed=4).float()),
        same(random(2, 3, 2, 4, seed=5), grad=True),
        edge(same(torch.tensor([0, 4, 1]).reshape(1, 3, 1, 1)), ONE),
        edge(same(random(1, 2, 3, 4, seed=6)), ONE),
        same(torch.full((2, 3, 2, 2), 7)),
    ],
    axes=("clip",),
    rtol=1e-5,
    atol=1e-7,
    mistakes=[
        (
            _of(lambda v: v.diff(dim=1)),
            "Without absolute values the differences telescope: only the last frame minus the first is left.",
        ),
        (_of(lambda v: v.diff(dim=1).sum(1).abs()), "The absolute value comes too late: take it of every difference."),
        (_of(lambda v: v.diff(dim=3).abs()), "This compares neighboring columns: frames are axis 1."),
        (_of(lambda v: v.diff(dim=2).abs()), "This compares neighboring rows: frames are axis 1."),
        (
            _of(lambda v: v.diff(dim=0).abs().mean(0, keepdim=True)),
            "This compares clips with each other: frames are axis 1.",
        ),
        (
            _of(lambda v: _floats(v).var(1)),
            "This is the variance over time, which does not care about the order of frames.",
        ),
        (_of(lambda v: _floats(v).std(1)), "This is the deviation over time, which does not care about the order."),
        (
            _of(lambda v: (v.roll(-1, 1) - v).abs()),
            "torch.roll goes around: the first frame is compared with the last one. There are T - 1 pairs.",
        ),
        (
            lambda v: flicker(v).mean(),
            "One number for the whole batch: keep axis 0, so that there is one for each clip.",
        ),
        (
            lambda v: _floats(v.diff(dim=1).abs()).mean((0, 2, 3)),
            "One number for each pair of frames: average over them, too.",
        ),
        (
            lambda v: _floats(v.diff(dim=1).abs()).mean((2, 3)),
            "The pairs of frames are still apart: average over axis 1, too.",
        ),
        (_of(lambda v: v.diff(dim=1) ** 2), "The differences are squared: take absolute values."),
        (
            lambda v: (_floats(v).diff(dim=1) ** 2).mean((2, 3)).sqrt().mean(1),
            "This is the root of the mean square of each pair of frames: take absolute values, no squares.",
        ),
        (_of(lambda v: (v[:, 1:] - v[:, :1]).abs()), "Every frame is compared with the first one: take its neighbor."),
        (_of(lambda v: (v[:, 1:] - v[:, -1:]).abs()), "Every frame is compared with the last one: take its neighbor."),
        (
            _of(lambda v: v.diff(dim=1, n=2).abs() if v.shape[1] > 2 else v.diff(dim=1)),
            "Second differences tell how the motion changes: take first ones.",
        ),
        (
            lambda v: _floats(v).mean((2, 3)).diff(dim=1).abs().mean(1),
            "The pixels are averaged before the difference: a digit that moves keeps its brightness. Average last.",
        ),
        (
            lambda v: _floats(v.diff(dim=1).abs()).amax(1).flatten(1).mean(1),
            "This is the largest change of each pixel: average over the pairs of frames.",
        ),
        (
            lambda v: _floats(v.diff(dim=1).abs()).flatten(1).median(1).values,
            "This is the median: a digit is small, and most pixels stay dark. Take the mean.",
        ),
        (_of(lambda v: (v.diff(dim=1) != 0).float()), "This counts the pixels that change: say by how much."),
        (_of(lambda v: (v[:, -1:] - v[:, -2:-1]).abs()), "Only the last two frames are compared: take all pairs."),
        (_of(lambda v: (v[:, 1:2] - v[:, :1]).abs()), "Only the first two frames are compared: take all pairs."),
        (_of(lambda v: v.diff(dim=1).clamp(min=0)), "Pixels that become darker count as 0: take the absolute value."),
        (lambda v: flicker(v).double(), "Right, but in float64: keep the dtype of v, and float32 for whole levels."),
    ],
    accepts=[
        _by_loop,
        lambda v: _floats((v[:, 1:] - v[:, :-1]).abs()).mean((1, 2, 3)),
        lambda v: torch.stack([F.l1_loss(_floats(clip[1:]), _floats(clip[:-1])) for clip in v]),
    ],
    speed=Speed(lambda: (torch.rand(100, 8, 16, 16),)),
)
