"""How many latents say something about the data: those whose posterior mean varies over it; equation (11.4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import active_units


def _means(n: int, offsets: list[float], widths: list[float], seed: int) -> Tensor:
    """(n, Z) posterior means with exactly these means and standard deviations over the data, float64."""
    noise = random(n, len(offsets), seed=seed)
    noise = (noise - noise.mean(0)) / noise.std(0)
    return torch.tensor(offsets, dtype=torch.float64) + noise * torch.tensor(widths, dtype=torch.float64)


def _count(figure: Callable[[Tensor], Tensor]):
    """How many latents have figure(mu) (Z,) above the threshold."""
    return lambda mu, threshold=0.01: (figure(mu) > threshold).sum().item()


def _of(change: Callable[[Tensor, Tensor, float], object]):
    """A function of (which units are active, the variances, the threshold)."""
    return lambda mu, threshold=0.01: change(mu.var(0) > threshold, mu.var(0), threshold)


def _centered(reduce: Callable[[Tensor], Tensor]):
    """How many latents have reduce(mu - its mean over the data) above the threshold."""
    return _count(lambda mu: reduce(mu - mu.mean(0)))


def _number(answer: Callable, *args: object) -> object:
    """Its result as a number: a whole one, or a tensor of one element, is the same answer."""
    found = answer(*args)
    shown = found is None or isinstance(found, (list, tuple)) or (isinstance(found, Tensor) and found.numel() != 1)
    return found if shown else float(found)


def _by_loop(mu: Tensor, threshold: float = 0.01) -> int:
    found = 0
    for column in mu.T:
        found += bool(((column - column.mean()) ** 2).mean() > threshold)
    return found


FOUR = _means(60, [3.0, -0.03, 0.2, 0.0], [0.005, 0.09, 0.07, 0.9], seed=1)  # the last one alone is active
SEVEN = _means(40, [-2.0, 0.3, 0.0, 1.1, 0.05, -0.7, 0.01], [0.5, 0.06, 1.4, 0.3, 0.02, 0.12, 0.003], seed=2)
SPARSE = torch.zeros(30, 5, dtype=torch.float64)  # of ranges, offsets and mean distances on either side of 0.01
SPARSE[3, 0], SPARSE[:, 1] = 0.1, 0.5 + 0.0001 * torch.arange(30)
SPARSE[:, 2], SPARSE[::4, 3] = 0.0002 * torch.arange(30), -1.3
SPARSE[-2:, 4] = 0.9
ONE = _means(25, [0.02, -0.01, 0.0, 0.03, 0.01], [0.11, 0.9, 0.12, 0.08, 0.1], seed=6)
FIVE = _means(12, [0.4, -0.4, 0.0, 0.1, 8.0], [1.5, 1.1, 0.8, 0.45, 0.3], seed=3)
TRIO = torch.tensor([[0.31, -1.7, 0.0], [0.31, 2.2, 0.087], [0.31, 0.4, 0.174]], dtype=torch.float64)
SIGNS = _means(30, [-5.0, -4.0, -6.0], [0.02, 0.7, 0.05], seed=4)

EXERCISE = Exercise(
    name="active_units",
    lesson="11",
    reference=active_units,
    rule="The number of columns j of mu (N, Z) whose variance over the N examples exceeds the threshold.",
    probes=[
        same(FOUR, 0.01, use=_number),
        same(SEVEN, 0.01, use=_number),
        same(1.5 * FOUR, 0.01, use=_number),
        same(FIVE, 0.5, use=_number),
        same(SPARSE, 0.01, use=_number),
        same(ONE, 0.5, use=_number),
        same(TRIO, 0.01, use=_number),
        same(SIGNS.float(), 0.01, use=_number),
        same(torch.full((5, 3), 2.3), 0.01, use=_number),
        same(SEVEN[:, 2:3], 3.1, use=_number),
        same(torch.tensor([[3.0, -1.0], [3.0, 1.0]]), 0.01, use=_number),
        edge(
            same(SEVEN, use=_number),
            "Without a threshold it is 0.01: keep `threshold: float = 0.01` in the definition.",
        ),
        edge(
            same(torch.eye(6, 4, dtype=torch.float64) * torch.tensor([0.0, 1.0, 0.0, 2.0]), 0.0, use=_number),
            "A latent whose variance equals the threshold counts: it has to be above it, `>` and not `>=`.",
        ),
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
        (
            _count(lambda mu: mu.var(1)),
            "The spread runs over the latents of one example: take it over the data, axis 0.",
        ),
        (_count(lambda mu: mu.var().reshape(1)), "One variance of the whole table: each latent has its own, axis 0."),
        (_count(lambda mu: mu.amax(0) - mu.amin(0)), "This is the range: compare the variance."),
        (_centered(lambda d: d.abs().mean(0)), "This is the mean distance from the mean: square it for the variance."),
        (
            _centered(lambda d: (d**2).sum(0)),
            "The squares are summed over the data: divide by N, or the count grows with the size of the data.",
        ),
        (
            _count(lambda mu: ((mu - mu.mean()) ** 2).mean(0)),
            "The mean of the whole table is subtracted: each latent has its own mean, mu.mean(0).",
        ),
        (
            _count(lambda mu: (mu - mu.mean(1, keepdim=True)).var(0)),
            "The mean over the latents of an example is subtracted: each latent has its own mean, mu.mean(0).",
        ),
        (
            lambda mu, threshold=0.01: ((mu - mu.mean(0)).abs() > threshold).any(0).sum(),
            "One example far from the mean is enough here: the average over the data counts, the variance.",
        ),
        (_centered(lambda d: d.flatten() ** 2), "Single numbers are counted: each latent has one variance."),
        (_count(lambda mu: mu.var(0) ** 2), "The variance is squared, or the root of the threshold taken: neither."),
        (_count(lambda mu: mu.var(0) / mu.var(0).sum()), "These are shares of the variance: compare the variance."),
        (_of(lambda on, var, t: (var < t).sum()), "This counts the silent latents: above the threshold, not below."),
        (_of(lambda on, var, t: (var > 0.01).sum()), "The threshold is fixed at 0.01: use the argument."),
        (_of(lambda on, var, t: (var > 0).sum()), "Every latent varies a little: compare with the threshold."),
        (_of(lambda on, var, t: on.double().mean()), "This is the share of active latents: return how many."),
        (_of(lambda on, var, t: var), "These are the variances: compare with the threshold and count."),
        (_of(lambda on, var, t: var[on].sum()), "The variances of the active latents are summed: count them."),
        (_of(lambda on, var, t: on.any()), "This says whether there is one: return how many."),
        (_of(lambda on, var, t: on.nonzero()), "These are the numbers of the active latents: return how many."),
        (_of(lambda on, var, t: len(on)), "This is Z, all latents: count those above the threshold."),
    ],
    accepts=[
        _by_loop,
        _count(lambda mu: mu.var(0, unbiased=False)),
        _count(lambda mu: (mu**2).mean(0) - mu.mean(0) ** 2),
        lambda mu, threshold=0.01: (mu.var(dim=0) > threshold).sum(),
        lambda mu, threshold=0.01: (mu.std(0) > threshold**0.5).sum().item(),
        lambda mu, threshold=0.01: (mu.T.cov().reshape(mu.shape[1], -1).diagonal() > threshold).sum().double(),
    ],
    speed=Speed(lambda: (torch.randn(10_000, 64), 0.01)),
)
