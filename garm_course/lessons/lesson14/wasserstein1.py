"""The Wasserstein-1 distance of two samples on a line; equation (14.1)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.adversarial.divergences import wasserstein1
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _of_sorted(figure: Callable[[Tensor], Tensor]):
    return lambda a, b: figure(a.sort().values - b.sort().values)


def _then(change: Callable[[Tensor], object]):
    return lambda a, b: change(wasserstein1(a, b))


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


EXERCISE = Exercise(
    name="wasserstein1",
    lesson="14",
    reference=wasserstein1,
    rule="mean |a - b| after both samples are sorted: the smallest sits with the smallest.",
    probes=[
        same(random(6, seed=1), 1.5 * random(6, seed=2) - 0.4),
        same(random(9, seed=3), random(9, seed=3).flip(0)),  # the same numbers in another order
        same(random(5, seed=4), random(5, seed=4) + 3.25),  # a shift
        same(2 * random(7, seed=5), random(7, seed=6) + 1),
        same(random(4, seed=7).float(), random(4, seed=8).float()),
    ],
    mistakes=[
        (
            lambda a, b: (a - b).abs().mean(),
            "Nothing is sorted: the order in which they were drawn means nothing.",
        ),
        (
            lambda a, b: (a.sort().values - b).abs().mean(),
            "Only the first sample is sorted: sort both, so that the smallest sits with the smallest.",
        ),
        (lambda a, b: (a - b.sort().values).abs().mean(), "Only the second sample is sorted: sort both."),
        (
            lambda a, b: (a.sort().values - b.sort(descending=True).values).abs().mean(),
            "One is sorted upwards and the other downwards: that is the most expensive transport.",
        ),
        (
            lambda a, b: (a.mean() - b.mean()).abs(),
            "|mean a - mean b| is a lower bound only: it sees no spread.",
        ),
        (
            _of_sorted(lambda d: d.mean()),
            "Without absolute values, differences of both signs cancel: only the means are left.",
        ),
        (
            _of_sorted(lambda d: (d**2).mean().sqrt()),
            "This is W2, a root of a mean square: take the mean of |a - b|.",
        ),
        (_of_sorted(lambda d: (d**2).mean()), "The differences are squared: take their absolute values."),
        (_of_sorted(lambda d: d.abs().sum()), "This is the sum: each point carries the mass 1/N, so take the mean."),
        (_of_sorted(lambda d: d.abs().max()), "This is the largest way that any mass goes: take the mean over all."),
        (_of_sorted(lambda d: d.abs().median()), "This is the median way: the cost is the mean."),
        (_of_sorted(lambda d: d.abs()), "One number for each pair: take the mean."),
        (_of_sorted(lambda d: d.abs().mean() / 2), "It is halved: total variation has a ½, this distance has none."),
        (
            lambda a, b: (a[:, None] - b[None]).abs().mean(),
            "All pairs are averaged: each point goes to one partner only, the one of its own rank.",
        ),
        (
            lambda a, b: (a[:, None] - b[None]).abs().min(1).values.mean(),
            "Each point goes to its nearest neighbor, which several may share: mass must arrive everywhere.",
        ),
        (lambda a, b: (a.std() - b.std()).abs(), "The spreads are compared: move the points themselves."),
        (
            lambda a, b: (a.sort().indices - b.sort().indices).abs().to(a).mean(),
            "These are positions, not numbers: sort() returns values and indices; take the values.",
        ),
        (_then(lambda w: -w), "The sign is wrong: a distance is at least 0."),
        (_then(lambda w: w.item()), "A number has no gradient: leave out .item()."),
    ],
    accepts=[
        _area,
        _by_loop,
        lambda a, b: torch.linalg.vector_norm(torch.msort(a) - torch.msort(b), 1) / a.numel(),
    ],
    rtol=1e-5,
    speed=Speed(lambda: (torch.randn(2000), torch.randn(2000))),
)
