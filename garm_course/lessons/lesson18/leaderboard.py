"""Models compared by one metric, at equal n, on resamples that share their rows of data."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from garm_course.evaluation.samples import leaderboard
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def means(a: Tensor, b: Tensor) -> float:
    """A small metric: the squared distance of the means."""
    return (a.mean(0) - b.mean(0)).square().sum().item()


def spreads(a: Tensor, b: Tensor) -> float:
    """Another one, in standard deviations."""
    return (a.std(0) - b.std(0)).abs().sum().item()


def _rows(n: int, gen: Generator) -> Tensor:
    return torch.randint(n, (n,), generator=gen)


def _with(
    cut: Callable = lambda x, n: x[:n],
    draw: Callable = lambda real, x, rows, n, gen: (real[rows], x[_rows(n, gen)]),
    shared: Callable = _rows,
    value: Callable = lambda metric, real, x, found: metric(real, x),
    ends: Callable = lambda value, found: (value - 1.96 * found.std().item(), value + 1.96 * found.std().item()),
    best: Callable = lambda table: table.argmin(1),
    wins: Callable = lambda hits: hits.double().mean().item(),
):
    """An answer with another part; `found` are a model's values over the resamples, `table` those of all models."""

    def answer(metric, real, samples, n, n_boot, gen):
        real, sets = cut(real, n), {name: cut(x, n) for name, x in samples.items()}
        table = []
        for _ in range(n_boot):
            rows = shared(n, gen)
            table.append([float(metric(*draw(real, x, rows, n, gen))) for x in sets.values()])
        table = torch.tensor(table, dtype=torch.float64)
        board = {}
        for k, (name, x) in enumerate(sets.items()):
            center = float(value(metric, real, x, table[:, k]))
            board[name] = (center, *ends(center, table[:, k]), wins(best(table) == k))
        return board

    return answer


def _unpaired(real: Tensor, x: Tensor, rows: Tensor, n: int, gen: Generator) -> tuple[Tensor, Tensor]:
    return real[_rows(n, gen)], x[_rows(n, gen)]


def _models_first(metric, real, samples, n, n_boot, gen):
    drawn = []

    def draw(x: Tensor) -> Tensor:
        return x[:n][_rows(n, gen)]

    for _ in range(n_boot):
        sets = [draw(x) for x in samples.values()]
        data = draw(real)
        drawn.append([metric(data, x) for x in sets])
    table = torch.tensor(drawn, dtype=torch.float64)
    board = {}
    for k, (name, x) in enumerate(samples.items()):
        value, half = metric(real[:n], x[:n]), 1.96 * table[:, k].std().item()
        board[name] = (value, value - half, value + half, (table.argmin(1) == k).double().mean().item())
    return board


def _in_two_lists(metric, real, samples, n, n_boot, gen):
    draws = {name: [] for name in samples}
    for _ in range(n_boot):
        data = real[:n][_rows(n, gen)]
        for name in samples:
            draws[name].append(metric(data, samples[name][:n][_rows(n, gen)]))
    wins = dict.fromkeys(samples, 0)
    for values in zip(*draws.values(), strict=True):
        wins[list(samples)[values.index(min(values))]] += 1
    board = {}
    for name, x in samples.items():
        value, sd = metric(real[:n], x[:n]), torch.tensor(draws[name]).double().std().item()
        board[name] = [value, value - 1.96 * sd, value + 1.96 * sd, wins[name] / n_boot]
    return board


def _by_statistics(metric, real, samples, n, n_boot, gen):
    from statistics import stdev

    names, table = list(samples), []
    for _ in range(n_boot):
        rows = torch.randint(0, n, (n,), generator=gen)
        table.append([metric(real[rows], samples[s][torch.randint(0, n, (n,), generator=gen)]) for s in names])
    first = [min(range(len(names)), key=row.__getitem__) for row in table]
    half = [1.96 * stdev(column) for column in zip(*table, strict=True)]
    values = [metric(real[:n], samples[s][:n]) for s in names]
    return {
        s: (v, v - h, v + h, first.count(i) / n_boot)
        for i, (s, v, h) in enumerate(zip(names, values, half, strict=True))
    }


def _played(answer, metric, real, samples, n, n_boot, seed):
    """The board as lists; the generator is made here, so that each call starts at the same draw."""
    board = answer(metric, real, samples, n, n_boot, Generator().manual_seed(seed))
    if type(board) is not dict:
        return board
    return {name: [float(v) for v in row] if isinstance(row, (tuple, list)) else row for name, row in board.items()}


def _seen(answer, real, samples, n, n_boot, seed):
    """The sizes of all sets that the metric was given."""
    sizes = set()

    def metric(a: Tensor, b: Tensor) -> float:
        sizes.add((len(a), len(b)))
        return means(a, b)

    answer(metric, real, samples, n, n_boot, Generator().manual_seed(seed))
    return sorted(sizes)


REAL = random(14, 3, seed=1)
SETS = {
    "near": random(12, 3, seed=2) + 0.2,
    "far": 1.3 * random(16, 3, seed=3) - 0.4,
    "odd": 0.6 * random(13, 3, seed=4),
}
TWIN = random(12, 2, seed=5)
SIZES = "The metric is given sets of other sizes than (n, n): cut every set to its first n rows, and draw n rows of it."

EXERCISE = Exercise(
    name="leaderboard",
    lesson="18",
    reference=leaderboard,
    rule="Cut every set to n rows. In each resample draw n rows of the data by torch.randint(n, (n,), generator=gen), "
    "then n rows of each model in the order of the dictionary. Value on the n rows, ± 1.96 standard deviations, share "
    "of resamples with the smallest value.",
    rtol=1e-5,
    probes=[
        same(means, REAL, SETS, 12, 25, 0, use=_played),
        same(spreads, REAL, SETS, 11, 8, 1, use=_played),
        same(means, REAL, {"only": SETS["far"]}, 12, 6, 2, use=_played),
        same(means, random(12, 2, seed=6), {"a": TWIN, "b": TWIN.clone()}, 12, 15, 3, use=_played),
        same(means, random(9, 1, seed=7), {"a": random(8, 1, seed=8), "b": random(8, 1, seed=9)}, 8, 2, 4, use=_played),
        edge(same(REAL, SETS, 12, 3, 0, use=_seen), SIZES),
    ],
    mistakes=[
        (
            _with(draw=_unpaired, shared=lambda n, gen: None),
            "New rows of the data are drawn for each model: unpaired, so differences between models spread more.",
        ),
        (_models_first, "The rows of the models are drawn before those of the data: the data come first."),
        (
            _with(shared=lambda n, gen: torch.arange(n)),
            "The data are never resampled: their chance is missing from the intervals.",
        ),
        (
            _with(draw=lambda real, x, rows, n, gen: (real[rows], x)),
            "The samples are never resampled: their chance is missing from the intervals.",
        ),
        (
            _with(draw=lambda real, x, rows, n, gen: (real[rows], x[rows])),
            "Data and models get the same row numbers: draw rows of the data, then rows of each model.",
        ),
        (
            _with(
                cut=lambda x, n: x,
                draw=lambda real, x, rows, n, gen: (real[_rows(len(real), gen)], x[_rows(len(x), gen)]),
                shared=lambda n, gen: None,
            ),
            "The sets keep their sizes, and the rows of the data are new for each model: cut all to n, and share rows.",
        ),
        (
            _with(cut=lambda x, n: x),
            "The value is measured on all rows, the resamples on n of them: cut every set to its first n rows.",
        ),
        (_with(cut=lambda x, n: x[-n:]), "The last n rows are kept: cut to the first n."),
        (
            _with(value=lambda metric, real, x, found: found.mean()),
            "The value is the mean over resamples, where examples occur twice: take the metric of the n rows.",
        ),
        (
            _with(value=lambda metric, real, x, found: found.median()),
            "The value is the median over resamples: take the metric of the n rows themselves.",
        ),
        (
            _with(
                shared=lambda n, gen: torch.randperm(n, generator=gen),
                draw=lambda real, x, rows, n, gen: (real[rows], x[torch.randperm(n, generator=gen)]),
            ),
            "The rows are drawn without replacement: that changes their order only, and the width is 0.",
        ),
        (_with(best=lambda table: table.argmax(1)), "The largest value wins: a distance is better when it is small."),
        (
            _with(ends=lambda v, found: (v - 1.96 * (e := found.std().item() / len(found) ** 0.5), v + 1.96 * e)),
            "The deviation is divided by √n_boot: that is the error of the bootstrap, not of the metric.",
        ),
        (
            _with(ends=lambda v, found: (found.quantile(0.025).item(), found.quantile(0.975).item())),
            "These are percentiles: doubled examples shift many metrics, so only the spread is used, around the value.",
        ),
        (
            _with(ends=lambda v, found: (v - found.std().item(), v + found.std().item())),
            "The interval is one standard deviation wide on each side: take 1.96 of them for 95 %.",
        ),
        (
            _with(ends=lambda v, found: (v - 1.96 * found.var().item(), v + 1.96 * found.var().item())),
            "The variance stands in place of the standard deviation.",
        ),
        (
            _with(
                ends=lambda v, found: (
                    v - 1.96 * found.std(correction=0).item(),
                    v + 1.96 * found.std(correction=0).item(),
                )
            ),
            "The deviation divides by n_boot: take the unbiased one, which divides by n_boot - 1 (std's default).",
        ),
        (
            _with(ends=lambda v, found: (v + 1.96 * found.std().item(), v - 1.96 * found.std().item())),
            "The ends are exchanged: (value, low, high, share).",
        ),
        (
            _with(
                ends=lambda v, found: (
                    found.mean().item() - 1.96 * found.std().item(),
                    found.mean().item() + 1.96 * found.std().item(),
                )
            ),
            "The interval lies around the mean of the resamples, which doubled rows shift: put it around the value.",
        ),
        (
            _with(wins=lambda hits: hits.double().sum().item()),
            "The last number counts resamples: divide by n_boot, so that the shares sum to 1.",
        ),
        (
            lambda metric, real, samples, n, n_boot, gen: {
                name: row[:1] for name, row in leaderboard(metric, real, samples, n, n_boot, gen).items()
            },
            "Only the value is returned: (value, low, high, share of resamples that the model wins).",
        ),
        (
            _with(cut=lambda x, n: x[torch.randperm(len(x))[:n]]),
            "The n rows are chosen at random, without the generator: take the first n.",
        ),
    ],
    accepts=[_with(), _in_two_lists, _by_statistics],
    speed=Speed(
        lambda: (
            means,
            torch.randn(500, 32).double(),
            {name: torch.randn(500, 32).double() for name in "abcdefgh"},
            500,
            50,
            Generator().manual_seed(0),
        ),
        seconds=3.0,
    ),
)
