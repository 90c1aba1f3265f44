"""A 95 % interval for the mean difference of two models on the same examples, by resampling examples; (21.5)."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def paired_bootstrap_ci(a: Tensor, b: Tensor, n: int, rng: Generator) -> tuple[float, float]:
    """The percentile interval of mean(b - a) over resampled examples.

    Args:
        a: (N,), a value of one model for each example.
        b: (N,), of the other, at the same examples.
        n: resamples.
        rng: of the resamples.

    Returns:
        The 2.5 % and the 97.5 % quantile of the resampled means.

    Source:
        Efron, Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13.
    """
    rows = torch.randint(len(a), (n, len(a)), generator=rng)
    means = (b - a)[rows].mean(1)
    return means.quantile(0.025).item(), means.quantile(0.975).item()


def _rows(N: int, n: int, rng: Generator) -> Tensor:
    return torch.randint(N, (n, N), generator=rng)


def _with(draw=lambda a, b, n, rng: (b - a)[_rows(len(a), n, rng)].mean(1),
          ends=lambda means, d: (means.quantile(0.025).item(), means.quantile(0.975).item())):  # fmt: skip
    """An answer with another part."""
    return lambda a, b, n, rng: ends(draw(a, b, n, rng), b - a)


def _quantiles(low: float) -> Callable:
    return _with(ends=lambda means, d: (means.quantile(low).item(), means.quantile(1 - low).item()))


def _unpaired(a: Tensor, b: Tensor, n: int, rng: Generator) -> Tensor:
    return b[_rows(len(b), n, rng)].mean(1) - a[_rows(len(a), n, rng)].mean(1)


def _without_replacement(a: Tensor, b: Tensor, n: int, rng: Generator) -> Tensor:
    return torch.stack([(b - a)[torch.randperm(len(a), generator=rng)].mean() for _ in range(n)])


def _one_by_one(a: Tensor, b: Tensor, n: int, rng: Generator) -> tuple[float, float]:
    means = []
    for _ in range(n):
        rows = torch.randint(len(a), (len(a),), generator=rng)
        means.append((b[rows].mean() - a[rows].mean()).item())
    means.sort()
    return means[int(0.025 * n)], means[min(int(0.975 * n), n - 1)]


def _reflected(means: Tensor, d: Tensor) -> tuple[float, float]:
    m = d.mean()
    return (2 * m - means.quantile(0.975)).item(), (2 * m - means.quantile(0.025)).item()


def _normal(means: Tensor, d: Tensor) -> tuple[float, float]:
    return (d.mean() - 1.96 * means.std()).item(), (d.mean() + 1.96 * means.std()).item()


def _spread(k: float, of: Callable) -> Callable:
    def ends(means: Tensor, d: Tensor) -> tuple[float, float]:
        return (d.mean() - k * of(means, d)).item(), (d.mean() + k * of(means, d)).item()

    return _with(ends=ends)


def _play(answer: Callable, a: Tensor, b: Tensor, n: int, seed: int) -> tuple[float, float]:
    """The answer's interval from a generator of its own."""
    found = answer(a, b, n, Generator().manual_seed(seed))
    return tuple(float(end) for end in found) if isinstance(found, tuple | list | Tensor) else found


def _in_errors(answer: Callable, a: Tensor, b: Tensor, n: int, seed: int) -> list:
    """Both ends in standard errors of the mean difference, from the difference itself."""
    ends = _play(answer, a, b, n, seed)
    if not isinstance(ends, tuple):
        return ends
    d = (b - a).double()
    return [torch.tensor((end - d.mean().item()) / (d.std().item() / len(d) ** 0.5)) for end in ends]


def _plain(answer: Callable, a: Tensor, b: Tensor, n: int, seed: int) -> list:
    """Both ends, in hundredths."""
    ends = _play(answer, a, b, n, seed)
    return [torch.tensor(100 * end) for end in ends] if isinstance(ends, tuple) else ends


def _coverage(answer: Callable, N: int, n: int, trials: int) -> Tensor:
    """1 if 88 to 98.5 % of the intervals of skewed data hold the true mean, else 0."""
    hits = 0
    for k in range(trials):
        x = random(2, N, seed=1000 + k)
        low, high = _play(answer, x[0], x[0] + (x[1] / 2).exp(), n, k)
        hits += low <= 1.1331484530668263 <= high  # e^(1/8), the mean of a log-normal number
    return torch.tensor(float(0.88 <= hits / trials <= 0.985))


def _twice(answer: Callable, a: Tensor, b: Tensor, n: int) -> Tensor:
    """1 if equal generators give equal intervals, else 0."""
    return torch.tensor(float(_play(answer, a, b, n, 3) == _play(answer, a, b, n, 3)))


def _untouched(answer: Callable, a: Tensor, b: Tensor, n: int) -> Tensor:
    """1 if torch's global generator is where it was, else 0."""
    before = torch.get_rng_state()
    _play(answer, a, b, n, 4)
    return torch.tensor(float(torch.equal(before, torch.get_rng_state())))


SHARED = 10 * random(150, seed=11)
NATS_A = 80 + SHARED + random(150, seed=12)
NATS_B = 82 + SHARED + 2 * random(150, seed=13)

EXERCISE = Exercise(
    name="paired_bootstrap_ci",
    lesson="21",
    reference=paired_bootstrap_ci,
    rule="Draw N examples with replacement, with torch.randint(N, ..., generator=rng), the same for a and b; take the "
    "mean of b - a; n times. Return the 2.5 % and 97.5 % quantiles of the n means.",
    rtol=0.0,
    atol=0.22,
    probes=[
        same(NATS_A, NATS_B, 4000, 1, use=_in_errors),
        same(random(40, seed=14).float(), random(40, seed=15).float() - 3, 4000, 2, use=_in_errors),
        edge(
            same(NATS_A, NATS_A + 1.5, 50, 5, use=_plain),
            "Right except for a constant difference, where the interval has width 0 (with the pairs kept together).",
        ),
        edge(
            same(NATS_A, NATS_B, 50, use=_twice),
            "Equal generators give different intervals: draw with generator=rng, and only with it.",
        ),
        edge(
            same(NATS_A, NATS_B, 50, use=_untouched),
            "The global random state moves: draw with generator=rng, and only with it.",
        ),
        edge(
            same(30, 200, 150, use=_coverage),
            "Right for symmetric data, but on skewed data of 30 examples too few or too many of the intervals hold "
            "the true mean.",
        ),
    ],
    mistakes=[
        (
            _with(_unpaired),
            "The pairing is lost: a and b are resampled separately, so the difficulty of the images does not cancel. "
            "Draw one set of indices for both.",
        ),
        (
            _with(lambda a, b, n, rng: -(b - a)[_rows(len(a), n, rng)].mean(1)),
            "This is the interval of a - b: the sign is turned around.",
        ),
        (
            _with(_without_replacement),
            "The examples are drawn without replacement: every resample is the whole set again, and the width is 0.",
        ),
        (_quantiles(0.25), "These are the quartiles: 95 % lie between the quantiles 0.025 and 0.975."),
        (_quantiles(0.05), "This interval holds 90 %: take 2.5 % off at each end."),
        (_quantiles(0.005), "This interval holds 99 %: take 2.5 % off at each end."),
        (
            _spread(1.96, lambda means, d: d.std()),
            "This is the spread of the differences: the interval is of their mean, √N times narrower.",
        ),
        (
            _spread(1.0, lambda means, d: means.std()),
            "This is one standard error to each side, 68 %: 95 % need 1.96, or the quantiles.",
        ),
        (
            _with(lambda a, b, n, rng: (b - a)[torch.randint(len(a), (n, n), generator=rng)].mean(1)),
            "Each resample has n examples: it has N, as many as there are.",
        ),
        (
            _with(lambda a, b, n, rng: (b - a)[torch.randint(len(a), (n,), generator=rng)]),
            "These are quantiles of single differences: take the mean of each resample first.",
        ),
        (
            _with(ends=lambda means, d: (means.min().item(), means.max().item())),
            "These are the smallest and the largest mean: 95 % lie between the quantiles 0.025 and 0.975.",
        ),
        (
            _with(ends=lambda means, d: (means.quantile(0.975).item(), means.quantile(0.025).item())),
            "The ends are exchanged: low, then high.",
        ),
        (
            _with(lambda a, b, n, rng: (b - a)[_rows(len(a), n, rng)].median(1).values),
            "This resamples the median of the differences: the mean is asked for.",
        ),
        (
            _with(lambda a, b, n, rng: b[_rows(len(b), n, rng)].mean(1)),
            "This is the interval of b alone: resample the differences b - a.",
        ),
        (
            _with(lambda a, b, n, rng: (b - a)[_rows(len(a), n, rng)].sum(1)),
            "The differences of a resample are added: take their mean.",
        ),
        (
            _with(lambda a, b, n, rng: (b.mean() - a)[_rows(len(a), n, rng)].mean(1)),
            "b is averaged before the pairs are drawn: subtract example by example.",
        ),
        (
            _with(ends=lambda means, d: ((means - d.mean()).quantile(0.025).item(),
                                         (means - d.mean()).quantile(0.975).item())),
            "The interval lies around 0: it should lie around the mean difference.",
        ),
    ],
    accepts=[_one_by_one, _with(ends=_reflected), _with(ends=_normal)],
    speed=Speed(lambda: (torch.randn(400), torch.randn(400), 2000, Generator().manual_seed(0))),
)  # fmt: skip
