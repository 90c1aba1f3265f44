"""The Wasserstein-1 distance of two samples on a line; equation (14.1)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.adversarial.divergences import wasserstein1
from garm_course.exercises.edges import plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _of_sorted(number: Callable[[Tensor], Tensor]):
    return lambda a, b: number(a.sort().values - b.sort().values)


def _of_pairs(number: Callable[[Tensor], Tensor]):
    """A number of the distances (N, N) of all pairs."""
    return lambda a, b: number((a[:, None] - b).abs())


def _l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def _area(a: Tensor, b: Tensor) -> Tensor:
    """The area between the two distribution functions, a step at a time."""
    points = torch.cat([a, b]).sort().values
    below = [(s[None] <= points[:-1, None]).double().mean(1) for s in (a, b)]
    return ((below[0] - below[1]).abs() * (points[1:] - points[:-1]).double()).sum().to(a.dtype)


def _by_loop(a: Tensor, b: Tensor) -> Tensor:
    total = a.new_zeros(())
    for x, y in zip(torch.sort(a)[0], torch.sort(b)[0], strict=True):
        total = total + (x - y).abs()
    return total / len(a)


WIDE = torch.tensor([4.1, -6.3, -2.2, 0.4, -5.2, 1.3, -3.7], dtype=torch.float64)
NARROW = torch.tensor([0.2, -1.1, 0.9, 2.3, -0.4, 1.7, -0.2], dtype=torch.float64)

EXERCISE = Exercise(
    name="wasserstein1",
    lesson="14",
    reference=wasserstein1,
    rule="mean |a - b| after both samples are sorted: the smallest sits with the smallest.",
    rtol=1e-5,
    probes=[
        plain(WIDE + 0.1 * random(7, seed=1), NARROW + 0.1 * random(7, seed=2)),
        same(2 * random(7, seed=5), random(7, seed=6) + 1, grad=True),
        same(random(9, seed=3), random(9, seed=3).flip(0)),  # the same numbers in another order
        same(random(5, seed=4), random(5, seed=4) + 3.25, grad=True),  # a shift
        same(random(1, seed=9), random(1, seed=10), grad=True),
        same(1000 + random(5, seed=11), 1e-3 * random(5, seed=12), grad=True),
        same(torch.tensor([2.0, -1.0, 2.0, 2.0]), torch.tensor([-1.0, -1.0, 2.0, 0.5])),  # ties
        same(random(4, seed=7).float(), random(4, seed=8).float(), grad=True),
        same(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 2.0])),
    ],
    mistakes=[
        (_l1, "The samples are not sorted before one is subtracted from the other: sort a and b themselves."),
        (lambda a, b: _l1(a.sort().values, b), "Only the first sample is sorted: sort both."),
        (lambda a, b: _l1(a, b.sort().values), "Only the second sample is sorted: sort both."),
        (
            lambda a, b: _l1(a.sort().values, b.sort(descending=True).values),
            "One is sorted upwards and the other downwards: that is the most expensive transport.",
        ),
        (lambda a, b: (a.mean() - b.mean()).abs(), "|mean a - mean b| is a lower bound only: it sees no spread."),
        (_of_sorted(lambda d: d.mean()), "Without absolute values differences cancel, and only the means are left."),
        (_of_sorted(lambda d: (d**2).mean().sqrt()), "This is W2, a root of a mean square: take the mean of |a - b|."),
        (_of_sorted(lambda d: (d**2).mean()), "The differences are squared: take their absolute values."),
        (_of_sorted(lambda d: d.norm()), "This is a length, the root of a sum of squares: take the mean of |a - b|."),
        (_of_sorted(lambda d: d.abs().sum()), "This is the sum: each point carries the mass 1/N, so take the mean."),
        (_of_sorted(lambda d: d.abs().max()), "This is the largest way that any mass goes: take the mean over all."),
        (_of_sorted(lambda d: d.abs().median()), "This is the median way: the cost is the mean."),
        (_of_sorted(lambda d: d.abs()), "One number for each pair: take the mean."),
        (_of_pairs(lambda d: d.mean()), "All pairs are averaged: each point has one partner, the one of its own rank."),
        (_of_pairs(lambda d: d.min(1).values.mean()), "Each point goes to its nearest neighbor, which several share."),
        (
            lambda a, b: (a.sort().indices - b.sort().indices).abs().to(a).mean(),
            "These are positions, not numbers: sort() returns values and indices; take the values.",
        ),
        (lambda a, b: wasserstein1(a, b.detach()), "The value is right, but b is detached: both have a gradient."),
        (lambda a, b: wasserstein1(a.detach(), b), "The value is right, but a is detached: both have a gradient."),
        (lambda a, b: wasserstein1(a, b).detach(), "The value is right, but it has no gradient: no detach, no NumPy."),
    ],
    accepts=[
        _area,
        _by_loop,
        lambda a, b: torch.linalg.vector_norm(torch.msort(a) - torch.msort(b), 1) / a.numel(),
    ],
    speed=Speed(lambda: (torch.randn(2000), torch.randn(2000))),
)
