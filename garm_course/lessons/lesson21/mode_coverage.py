"""How many modes samples reach, and the share of samples near a mode: precision and memory apart."""

import torch
from torch import Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def mode_coverage(samples: Tensor, modes: Tensor, radius: float) -> tuple[int, float]:
    """Count the modes that samples reach, and the samples that are good.

    A sample is good if its nearest mode is at most `radius` away, and then it reaches that mode.

    Args:
        samples: (N, d), N at least 1.
        modes: (M, d).
        radius: at least 0.

    Returns:
        Number of different modes reached, and the share of good samples, in [0, 1].

    >>> mode_coverage(torch.tensor([[0.1], [0.2], [0.6], [5.0]]), torch.tensor([[0.0], [1.0]]), 0.3)
    (1, 0.5)
    """
    distance, nearest = torch.cdist(samples, modes).min(1)
    good = distance <= radius
    return len(nearest[good].unique()), good.double().mean().item()


def _with(distance=lambda x, m: torch.cdist(x, m), near=lambda d, r: d.min(1).values <= r,
          count=lambda d, good: len(d.argmin(1)[good].unique()),
          share=lambda good, n, d: good.double().mean().item()):  # fmt: skip
    """An answer with another part."""

    def answer(samples: Tensor, modes: Tensor, radius: float) -> tuple[int, float]:
        d = distance(samples, modes)
        good = near(d, radius)
        n = count(d, good)
        return n, share(good, n, d)

    return answer


def _one_by_one(samples: Tensor, modes: Tensor, radius: float) -> tuple[int, float]:
    reached, good = set(), 0
    for x in samples:
        d = (modes - x).square().sum(1).sqrt()
        if d.min() <= radius:
            reached.add(int(d.argmin()))
            good += 1
    return len(reached), good / len(samples)


def _counted(samples: Tensor, modes: Tensor, radius: float) -> tuple[int, float]:
    d, nearest = torch.cdist(samples, modes).min(1)
    counts = nearest[d < radius].bincount(minlength=len(modes))
    return int((counts > 0).sum()), counts.sum().item() / len(samples)


def _every_mode_in_reach(samples: Tensor, modes: Tensor, radius: float) -> tuple[int, float]:
    inside = torch.cdist(samples, modes) <= radius
    return int(inside.any(0).sum()), inside.any(1).double().mean().item()


PLANE = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [9.0, 9.0]], dtype=torch.float64)
CLOUD = 2.2 * random(40, 2, seed=1) + 1
CLOSE = torch.tensor([[0.0], [0.4], [0.8], [7.0]], dtype=torch.float64)
LINE = torch.tensor([[0.05], [0.1], [0.7], [3.0], [-0.3]], dtype=torch.float64)
FAR = torch.full((3, 2), 50.0, dtype=torch.float64)

EXERCISE = Exercise(
    name="mode_coverage",
    lesson="21",
    reference=mode_coverage,
    rule="A sample whose nearest mode is at most radius away is good and reaches that mode, no other. Return the "
    "number of different modes reached, and good samples / all samples.",
    probes=[
        same(CLOUD, PLANE, 1.5),
        same(CLOUD, PLANE, 0.6),
        same(LINE, CLOSE, 0.5),
        same(CLOUD, PLANE, 4.0),
        same(CLOUD, PLANE, 9.0),
        same(torch.tensor([[0.1], [0.2], [0.6], [5.0]]), torch.tensor([[0.0], [1.0]]), 0.3),
        same(CLOUD.float(), PLANE.float(), 1.1),
        edge(same(FAR, PLANE, 1.0), "Right except where no sample is good: 0 modes, and a share of 0.0."),
        edge(same(CLOUD[:1], PLANE[:1], 9.0), "Right except for one sample and one mode."),
    ],
    mistakes=[
        (
            _with(near=lambda d, r: torch.ones(len(d), dtype=torch.bool)),
            "Every sample counts as good, however far it is: only those within radius of a mode do.",
        ),
        (
            _with(share=lambda good, n, d: 1.0),
            "The share is always 1: divide the good samples by all samples.",
        ),
        (
            _with(count=lambda d, good: len(d.argmin(1).unique())),
            "Modes are reached by samples that are too far away: count the modes of good samples only.",
        ),
        (
            _with(distance=lambda x, m: torch.cdist(x, m).square()),
            "The squared distance is compared with the radius: take its root, or square the radius.",
        ),
        (
            _with(distance=lambda x, m: (x[:, None] - m).abs().sum(2)),
            "This is the sum of absolute differences: the distance is Euclidean.",
        ),
        (
            _with(distance=lambda x, m: (x[:, None] - m).abs().amax(2)),
            "This is the largest difference of a coordinate: the distance is Euclidean.",
        ),
        (
            _with(count=lambda d, good: int(good.sum())),
            "The first number counts samples: count the different modes that they reach.",
        ),
        (
            _with(share=lambda good, n, d: n / d.shape[1]),
            "The second number is the share of modes: it is the share of samples that are good.",
        ),
        (
            _with(share=lambda good, n, d: good.sum().item()),
            "The second number counts good samples: divide by the number of samples.",
        ),
        (
            _every_mode_in_reach,
            "A sample counts for every mode within reach: it counts for its nearest only.",
        ),
        (
            _with(near=lambda d, r: d.max(1).values <= r),
            "The farthest mode is asked for: a sample is good if its nearest mode is within radius.",
        ),
        (
            _with(near=lambda d, r: d.mean(1) <= r),
            "The mean distance to all modes is compared: the nearest mode decides.",
        ),
        (
            _with(near=lambda d, r: d.min(1).values > r),
            "Good and bad are exchanged: within radius is good.",
        ),
        (
            _with(near=lambda d, r: d.min(1).values <= r / 2),
            "The radius is halved: a sample is good at a distance of up to radius itself.",
        ),
        (
            _with(share=lambda good, n, d: 1 - good.double().mean().item()),
            "This is the share of bad samples.",
        ),
        (
            lambda samples, modes, radius: mode_coverage(samples, modes, radius)[::-1],
            "The two results are exchanged: modes reached, then the share of samples.",
        ),
        (
            lambda samples, modes, radius: mode_coverage(modes, samples, radius),
            "Samples and modes have changed places: each sample looks for its nearest mode.",
        ),
    ],
    accepts=[_one_by_one, _counted, _with()],
    speed=Speed(lambda: (torch.rand(10_000, 16), torch.rand(30, 16), 0.5)),
)
