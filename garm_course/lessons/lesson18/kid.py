"""The unbiased kernel distance of two sets of features; equation (18.3)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.evaluation.samples import kernel_distance
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def kid(x: Tensor, y: Tensor) -> float:
    """The course's own, under the name of the exercise."""
    return kernel_distance(x, y)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _off(k: Tensor) -> Tensor:
    """The mean without the diagonal."""
    n = len(k)
    return (k.sum() - k.trace()) / (n * (n - 1))


def _with(
    kernel: Callable = _kernel,
    within: Callable = _off,
    between: Callable = torch.mean,
    weights: tuple[float, float, float] = (1.0, 1.0, 2.0),
):
    """An answer with another part."""

    def answer(x: Tensor, y: Tensor) -> float:
        a, b, c = weights
        return (a * within(kernel(x, x)) + b * within(kernel(y, y)) - c * between(kernel(x, y))).item()

    return answer


def _by_loop(x: Tensor, y: Tensor) -> float:
    def mean(a: Tensor, b: Tensor, skip: bool) -> float:
        pairs = [(u, v) for i, u in enumerate(a) for j, v in enumerate(b) if not (skip and i == j)]
        return sum(((u @ v).item() / len(u) + 1) ** 3 for u, v in pairs) / len(pairs)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def _filled(x: Tensor, y: Tensor) -> float:
    n = len(x)
    within = sum(_kernel(z, z).fill_diagonal_(0).sum() for z in (x, y)) / (n * (n - 1))
    return float(within - 2 * _kernel(x, y).mean())


def _upper(x: Tensor, y: Tensor) -> float:
    rows, columns = torch.triu_indices(len(x), len(x), 1)
    return (sum(_kernel(z, z)[rows, columns].mean() for z in (x, y)) - 2 * _kernel(x, y).mean()).item()


def _gaussian_kernel(x: Tensor, y: Tensor) -> Tensor:
    return (-torch.cdist(x, y).square() / 2).exp()


def _clamped(x: Tensor, y: Tensor) -> float:
    return max(0.0, kernel_distance(x, y))


X, Y = random(7, 3, seed=1), 0.7 * random(7, 3, seed=2) + 0.3
ONE = random(5, 1, seed=3), random(5, 1, seed=4) + 1

EXERCISE = Exercise(
    name="kid",
    lesson="18",
    reference=kid,
    rule="Mean kernel of pairs i ≠ j of x, plus the same of y, minus twice the mean over all pairs of x with y; a "
    "Python number, as .item() makes it.",
    rtol=1e-4,
    atol=1e-6,
    probes=[
        same(X, Y),
        same(random(6, 4, seed=5), random(6, 4, seed=6)),
        same(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])),
        same(*ONE),
        same(X, X),
        same(random(9, 2, seed=7).float(), random(9, 2, seed=8).float() + 1),
        same(X + 4, Y - 3),
        edge(same(X[:2], Y[:2]), "Right except for two rows in each set: there is one pair i ≠ j, in both orders."),
    ],
    mistakes=[
        (
            _with(within=torch.mean),
            "The diagonal is kept: x with itself is not a pair, and equal distributions would get more than 0.",
        ),
        (
            _with(within=lambda k: (k.sum() - k.trace()) / k.numel()),
            "The diagonal is left out of the sum, but counted in the mean: divide by n (n - 1).",
        ),
        (
            _with(within=lambda k: (k.sum() - k.trace()) / (len(k) ** 2 - 1)),
            "The mean within a set divides by n² - 1: there are n (n - 1) ordered pairs.",
        ),
        (
            _with(within=lambda k: k.tril(-1).sum() / (len(k) * (len(k) - 1))),
            "Only pairs i > j are added, but all n (n - 1) are counted: add both orders, or divide by half as many.",
        ),
        (_with(lambda x, y: (x @ y.T / x.shape[1] + 1) ** 2), "The kernel has the power 2: it is cubed."),
        (_with(lambda x, y: (x @ y.T + 1) ** 3), "The product x·y is not divided by the number of features."),
        (
            _with(lambda x, y: (x @ y.T / len(x) + 1) ** 3),
            "The product x·y is divided by the number of rows: divide by the number of features, x.shape[1].",
        ),
        (
            _with(lambda x, y: ((x @ y.T + 1) / x.shape[1]) ** 3),
            "The 1 is divided by the number of features, too: only the product x·y is.",
        ),
        (_with(weights=(1, 1, 1)), "The mixed term counts twice: a square (a - b)² has -2ab."),
        (_with(weights=(1, 1, -2)), "The mixed term has the wrong sign: it is subtracted."),
        (_with(weights=(1, 1, 0)), "The mixed term is missing: nothing compares x with y."),
        (_with(weights=(1, 0, 2)), "The pairs within y are missing."),
        (_with(weights=(0, 1, 2)), "The pairs within x are missing."),
        (_with(lambda x, y: (x @ y.T / x.shape[1]) ** 3), "The kernel lacks the + 1, which brings in lower moments."),
        (_with(lambda x, y: x @ y.T / x.shape[1] + 1), "The kernel is not cubed: it compares the means only."),
        (
            _with(between=_off),
            "The diagonal is left out between the sets, too: x_i and y_i are a pair like any other.",
        ),
        (
            _with(between=lambda k: k.diagonal().mean()),
            "Row i of x meets row i of y only: take the mean over all pairs.",
        ),
        (
            _with(within=lambda k: k.sum() - k.trace(), between=torch.sum),
            "Sums stand in place of means: divide by n (n - 1) within a set and by n² between the sets.",
        ),
        (_with(_gaussian_kernel), "This is a Gaussian kernel: the polynomial (x·y / d + 1)³ is asked for."),
        (
            lambda x, y: (x.mean(0) - y.mean(0)).square().sum().item(),
            "This is the distance of the means: the kernel compares three moments.",
        ),
        (_clamped, "Negative values become 0: an unbiased estimate of 0 is negative half of the time."),
        (
            lambda x, y: abs(kernel_distance(x, y)),
            "Negative values lose their sign: an unbiased estimate of 0 is negative half of the time.",
        ),
    ],
    accepts=[_by_loop, _filled, _upper],
    speed=Speed(lambda: (torch.randn(80, 32), torch.randn(80, 32))),
)
