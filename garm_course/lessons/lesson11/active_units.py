"""How many latents say something about the data: those whose posterior mean varies over it; equation (11.4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import active_units


def _means(n: int, offsets: list[float], widths: list[float], seed: int) -> Tensor:
    """(n, Z) posterior means with exactly these means and standard deviations over the data, float64."""
    noise = torch.randn(n, len(offsets), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noise = (noise - noise.mean(0)) / noise.std(0)
    return torch.tensor(offsets, dtype=torch.float64) + noise * torch.tensor(widths, dtype=torch.float64)


def _count(figure: Callable[[Tensor], Tensor]):
    """How many latents have figure(mu) (Z,) above the threshold."""
    return lambda mu, threshold: (figure(mu) > threshold).sum().item()


def _of(change: Callable[[Tensor, Tensor, float], object]):
    """A function of (which units are active, the variances, the threshold)."""
    return lambda mu, threshold: change(mu.var(0) > threshold, mu.var(0), threshold)


def _number(answer: Callable, mu: Tensor, threshold: float) -> float:
    """Its result as a number: a whole one, or a tensor of one element, is the same answer."""
    found = answer(mu, threshold)
    return float(found) if not isinstance(found, Tensor) or found.numel() == 1 else found


def _by_loop(mu: Tensor, threshold: float) -> int:
    found = 0
    for column in mu.T:
        found += bool(((column - column.mean()) ** 2).mean() > threshold)
    return found


FOUR = _means(60, [3.0, -0.03, 0.2, 0.0], [0.005, 0.09, 0.07, 0.9], seed=1)  # the last one alone is active
SEVEN = _means(40, [-2.0, 0.3, 0.0, 1.1, 0.05, -0.7, 0.01], [0.5, 0.06, 1.4, 0.3, 0.02, 0.12, 0.003], seed=2)
SPARSE = torch.zeros(30, 4, dtype=torch.float64)  # of ranges, offsets and mean distances on either side of 0.01
SPARSE[3, 0], SPARSE[:, 1] = 0.1, 0.5 + 0.0001 * torch.arange(30)
SPARSE[:, 2], SPARSE[::4, 3] = 0.0002 * torch.arange(30), -1.3
ONE = _means(25, [0.02, -0.01, 0.0, 0.03, 0.01], [0.11, 0.9, 0.12, 0.08, 0.1], seed=6)
FIVE = _means(12, [0.4, -0.4, 0.0, 0.1, 8.0], [1.5, 1.1, 0.8, 0.45, 0.3], seed=3)
PAIR = torch.tensor([[0.31, -1.7], [0.31, 2.2], [0.31, 0.4]], dtype=torch.float64)
SIGNS = _means(30, [-5.0, -4.0, -6.0], [0.02, 0.7, 0.05], seed=4)

EXERCISE = Exercise(
    name="active_units",
    lesson="11",
    reference=active_units,
    rule="The number of columns j of mu (N, Z) whose variance over the N examples exceeds the threshold.",
    probes=[
        same(FOUR, 0.01, use=_number),
        same(SEVEN, 0.01, use=_number),
        same(FIVE, 0.5, use=_number),
        same(SPARSE, 0.01, use=_number),
        same(ONE, 0.5, use=_number),
        same(PAIR, 0.01, use=_number),
        same(SIGNS.float(), 0.01, use=_number),
        same(torch.full((5, 3), 2.3), 0.01, use=_number),
    ],
    mistakes=[
        (_count(lambda mu: mu.std(0)), "The standard deviation is compared: a variance of 0.01 is one of 0.1."),
        (
            _count(lambda mu: (mu**2).mean(0)),
            "E[mu²] counts a constant offset as activity: subtract the mean over the data first.",
        ),
        (_count(lambda mu: mu.abs().mean(0)), "E|mu| is large for a constant offset, which says nothing about x."),
        (_count(lambda mu: mu.mean(0).abs()), "This is the offset of each latent: how much it varies is asked for."),
        (_count(lambda mu: mu.mean(0)), "This is the mean over the data: the variance over the data is asked for."),
        (_count(lambda mu: mu.var(1)), "The variance runs over the latents of one example: take it over axis 0."),
        (_count(lambda mu: mu.std(1)), "The spread runs over the latents, and is a standard deviation: mu.var(0)."),
        (
            _count(lambda mu: mu.var().reshape(1)),
            "One variance of the whole table: each latent has its own, over axis 0.",
        ),
        (_count(lambda mu: mu.max(0).values - mu.min(0).values), "This is the range: compare the variance."),
        (
            _count(lambda mu: (mu - mu.mean(0)).abs().mean(0)),
            "This is the mean distance from the mean: square it to get the variance.",
        ),
        (
            _count(lambda mu: ((mu - mu.mean(0)) ** 2).sum(0)),
            "The squares are summed over the data: divide by N, or the count grows with the size of the data.",
        ),
        (_count(lambda mu: mu.var(0) / len(mu)), "The variance is divided by N once more: mu.var(0) has done it."),
        (
            _count(lambda mu: mu.var(0) ** 2),
            "The variance is squared (or the threshold's root is taken): compare both as they are.",
        ),
        (_count(lambda mu: (mu**2).var(0)), "This is the variance of mu², which grows with the offset: of mu itself."),
        (
            _count(lambda mu: mu.var(0) / mu.mean(0) ** 2),
            "The variance is divided by the squared offset: an offset neither helps nor harms.",
        ),
        (_count(lambda mu: mu.var(0) / mu.var(0).sum()), "These are shares of the variance: compare the variance."),
        (_count(lambda mu: mu.var(0) / mu.var(0).max()), "It is divided by the largest variance: compare it as it is."),
        (
            _count(lambda mu: mu.abs().max(0).values),
            "The largest |mu| of an offset is large, too: compare variances.",
        ),
        (_count(lambda mu: mu.flatten()), "Single numbers are counted: one figure for each latent, its variance."),
        (_count(lambda mu: mu.flatten().abs()), "Single |mu| are counted: one figure for each latent, its variance."),
        (_of(lambda on, var, t: (var < t).sum()), "This counts the silent latents: above the threshold, not below."),
        (_of(lambda on, var, t: (var > 0.01).sum()), "The threshold is fixed at 0.01: use the argument."),
        (_of(lambda on, var, t: (var > 0).sum()), "Every latent varies a little: compare with the threshold."),
        (_of(lambda on, var, t: on.double().mean()), "This is the share of active latents: return how many."),
        (_of(lambda on, var, t: on), "One answer for each latent: count them, .sum()."),
        (_of(lambda on, var, t: var), "These are the variances: compare with the threshold and count."),
        (_of(lambda on, var, t: var.sum()), "The variances are summed: count those above the threshold."),
        (_of(lambda on, var, t: var[on].sum()), "The variances of the active latents are summed: count them."),
        (_of(lambda on, var, t: on.any()), "This says whether there is one: return how many."),
        (_of(lambda on, var, t: on.nonzero()), "These are the numbers of the active latents: return how many."),
        (_of(lambda on, var, t: len(on)), "This is Z, all latents: count those above the threshold."),
        (_of(lambda on, var, t: int(on.sum()) + 1), "One too many: count the columns above the threshold."),
    ],
    accepts=[
        _by_loop,
        _count(lambda mu: mu.var(0, unbiased=False)),
        _count(lambda mu: (mu**2).mean(0) - mu.mean(0) ** 2),
        lambda mu, threshold: (mu.var(dim=0) > threshold).sum(),
        lambda mu, threshold: (mu.std(0) > threshold**0.5).sum().item(),
        lambda mu, threshold: torch.cov(mu.T).diagonal().gt(threshold).sum().double(),
    ],
    speed=Speed(lambda: (torch.randn(10_000, 64), 0.01)),
)
