"""What each input contributes to an output, by gradients along a straight path; equation (19.8)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.trust.attribution import integrated_gradients

W = random(6, 4, seed=1), random(4, seed=2)


def bent(x: Tensor) -> Tensor:
    """(B, 6 numbers in any shape) -> (B,): a function with curvature, which saturates."""
    first, second = (w.to(x) for w in W)
    flat = x.flatten(1)
    return torch.tanh(flat @ first) @ second + 0.3 * flat[:, 0] * flat[:, 1] ** 2


def linear(x: Tensor) -> Tensor:
    """(B, 6 numbers in any shape) -> (B,)."""
    return x.flatten(1) @ W[0].to(x)[:, 0]


def squares(x: Tensor) -> Tensor:
    """(B, D) -> (B,), the function of the example in the text."""
    return x.square().sum(1)


def _slope(f: Callable, point: Tensor) -> Tensor:
    point = point.detach().clone().requires_grad_()
    return torch.autograd.grad(f(point).sum(), point)[0]


def _ig(
    places=lambda n: [(i + 0.5) / n for i in range(n)],
    mean=lambda slopes, n: sum(slopes) / n,
    times=lambda x, x0: x - x0,
    path=lambda x, x0, a: x0 + a * (x - x0),
):
    """An answer with other places on the path, another mean, another factor or another path."""

    def answer(f: Callable, x: Tensor, x0: Tensor, n: int) -> Tensor:
        return times(x, x0) * mean([_slope(f, path(x, x0, a)) for a in places(n)], n)

    return answer


def _trapezoid(f: Callable, x: Tensor, x0: Tensor, n: int) -> Tensor:
    slopes = [_slope(f, x0 + i / n * (x - x0)) for i in range(n + 1)]
    return (x - x0) * (sum(slopes) - (slopes[0] + slopes[-1]) / 2) / n


def _removal(f: Callable, x: Tensor, x0: Tensor, n: int) -> Tensor:
    found = torch.zeros_like(x).flatten(1)
    for i in range(found.shape[1]):
        without = x.clone().flatten(1)
        without[:, i] = x0.flatten(1)[:, i]
        found[:, i] = f(x) - f(without.view_as(x))
    return found.view_as(x)


def _first_only(f: Callable, x: Tensor, x0: Tensor, n: int) -> Tensor:
    return _ig()(lambda p: f(p)[:1], x, x0, n)


def _left_behind(answer: Callable, f: Callable, x: Tensor, x0: Tensor, n: int) -> list:
    """`use` of a probe: the result, and what the call has done to its arguments."""
    result = answer(f, x, x0, n)
    return [result, x.requires_grad or x0.requires_grad, x.grad is None and x0.grad is None]


def _asks_x(f: Callable, x: Tensor, x0: Tensor, n: int) -> Tensor:
    x.requires_grad_()
    total = 0
    for i in range(n):
        point = x0 + (i + 0.5) / n * (x - x0)
        total = total + torch.autograd.grad(f(point).sum(), point)[0]
    return ((x - x0) * total / n).detach()


def _all_at_once(f: Callable, x: Tensor, x0: Tensor, n: int) -> Tensor:
    a = ((torch.arange(n, dtype=x.dtype) + 0.5) / n).view(n, *[1] * x.ndim)
    points = (x0 + a * (x - x0)).detach().requires_grad_()
    slopes = torch.autograd.grad(f(points.flatten(0, 1)).sum(), points)[0]
    return (x - x0) * slopes.mean(0)


def _by_backward(f: Callable, x: Tensor, x0: Tensor, n: int) -> Tensor:
    step = (x - x0) / n
    point, found = x0 + step / 2, torch.zeros_like(x)
    for _ in range(n):
        leaf = point.clone().requires_grad_()
        f(leaf).sum().backward()
        found, point = found + step * leaf.grad, point + step
    return found


def _functional(f: Callable, x: Tensor, x0: Tensor, n: int) -> Tensor:
    slope = torch.func.grad(lambda p: f(p).sum())
    return torch.stack([(x - x0) / n * slope(x0 + (i + 0.5) / n * (x - x0)) for i in range(n)]).sum(0)


X, X0 = 2 * random(3, 6, seed=3), random(3, 6, seed=4)
EQUAL = X0.where(torch.arange(6) % 2 == 0, X)
LEFT = (
    "The values are right, but x or x0 asks for a gradient afterwards, or holds one: make each point a new tensor, "
    "detach() it, and ask for the gradient there."
)
ONE = "Right except for n = 1 or a batch of one: keep all axes, and take the one midpoint, halfway."
SHAPES = "Right for examples that are vectors: an example may have any number of axes, such as (C, H, W)."

EXERCISE = Exercise(
    name="integrated_gradients",
    lesson="19",
    reference=integrated_gradients,
    rule="Take the gradient of f at x0 + a (x - x0) for a = 0.5/n, 1.5/n, ..., (n - 0.5)/n, average the n gradients, "
    "and multiply by x - x0.",
    probes=[
        plain(bent, X, X0, 3),
        same(squares, torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]]), 4),
        same(bent, 2 * random(2, 6, seed=5), random(2, 6, seed=6), 8),
        same(bent, X, torch.zeros_like(X), 5),
        same(bent, X, EQUAL, 4),
        same(linear, X, X0, 2),
        edge(same(bent, X[:1], X0[:1], 1), ONE),
        edge(same(bent, random(2, 1, 2, 3, seed=7), random(2, 1, 2, 3, seed=8), 4), SHAPES),
        edge(same(bent, X.float(), X0.float(), 6), "Right for float64, not for float32: keep the dtype of x."),
        edge(same(bent, X, X0, 4, use=_left_behind), LEFT),
    ],
    axes=("example", "input"),
    rtol=1e-5,
    atol=1e-7,
    mistakes=[
        (
            _ig(times=lambda x, x0: 1),
            "This is the mean gradient, which has another unit: multiply by x - x0, and it sums to f(x) - f(x0).",
        ),
        (
            _ig(places=lambda n: [1.0] * n),
            "All gradients are taken at x itself: where f saturates they vanish, although the input matters. Walk the "
            "path.",
        ),
        (
            _ig(places=lambda n: [1.0] * n, times=lambda x, x0: x),
            "This is gradient times input: where f saturates the gradient vanishes. Walk the path from x0 to x.",
        ),
        (
            _ig(places=lambda n: [1.0] * n, times=lambda x, x0: 1),
            "This is the gradient at x: average the gradients along the path, and multiply by x - x0.",
        ),
        (_ig(places=lambda n: [0.0] * n), "All gradients are taken at the baseline x0: walk the path from x0 to x."),
        (
            _ig(times=lambda x, x0: x),
            "The factor is x: it is x - x0, so that an input equal to its baseline contributes nothing.",
        ),
        (
            _ig(mean=lambda slopes, n: sum(s.abs() for s in slopes) / n),
            "Absolute gradients are averaged: signs must cancel along the path, or the sum is not f(x) - f(x0).",
        ),
        (
            _ig(mean=lambda slopes, n: sum(slopes)),
            "The gradients are summed over the path: divide by n.",
        ),
        (
            _ig(places=lambda n: [i / n for i in range(n)]),
            "These are the left ends of the parts, 0, 1/n, ...: take the midpoints, (i + 1/2) / n.",
        ),
        (
            _ig(places=lambda n: [(i + 1) / n for i in range(n)]),
            "These are the right ends of the parts, 1/n, ..., 1: take the midpoints, (i + 1/2) / n.",
        ),
        (
            _trapezoid,
            "This is the trapezoid rule. It has the same limit, but the task asks for midpoints: (i + 1/2) / n.",
        ),
        (
            _ig(places=lambda n: torch.linspace(0, 1, n).tolist()),
            "linspace(0, 1, n) has n - 1 parts and counts both ends in full: take the n midpoints, (i + 1/2) / n.",
        ),
        (
            _ig(places=lambda n: [0.5] * n),
            "All gradients are taken halfway: take n points along the path.",
        ),
        (
            _ig(places=lambda n: [(i + 0.5) / (n + 1) for i in range(n)]),
            "The points end before x: part i has its midpoint at (i + 1/2) / n, not over n + 1.",
        ),
        (
            _ig(places=lambda n: [(i + 1) / (n + 1) for i in range(n)]),
            "The points are i / (n + 1): the midpoints of n equal parts are (i + 1/2) / n.",
        ),
        (
            _ig(path=lambda x, x0, a: a * x),
            "The path starts at 0: it leads from x0 to x, x0 + a (x - x0).",
        ),
        (
            _ig(path=lambda x, x0, a: a * (x - x0)),
            "The path starts at 0: add x0, so that it leads from x0 to x.",
        ),
        (
            _ig(places=lambda n: [(i + 0.5) / n for i in range(n - 1)], mean=lambda slopes, n: sum(slopes, 0.0) / n),
            "The last midpoint, (n - 1/2) / n, is missing: n parts have n midpoints.",
        ),
        (
            _ig(path=lambda x, x0, a: x0 + a * x),
            "The path ends at x0 + x: it leads from x0 to x, x0 + a (x - x0).",
        ),
        (
            _ig(path=lambda x, x0, a: x + a * (x - x0)),
            "The path starts at x and leads away from x0: x0 + a (x - x0).",
        ),
        (
            _ig(mean=lambda slopes, n: sum(s.square() for s in slopes) / n),
            "The gradients are squared: average them as they are.",
        ),
        (
            _first_only,
            "Only the first example gets a gradient: sum f over the batch before you differentiate.",
        ),
        (
            lambda f, x, x0, n: _ig()(lambda p: f(p).mean(), x, x0, n),
            "f is averaged over the batch, so every gradient is divided by the number of examples: sum it.",
        ),
        (
            _removal,
            "This replaces one input at a time by its baseline: such effects do not sum to f(x) - f(x0).",
        ),
        (
            _ig(times=lambda x, x0: (x - x0).abs()),
            "The factor is |x - x0|: keep its sign.",
        ),
        (
            _ig(times=lambda x, x0: (x - x0).square()),
            "The factor is squared: multiply by x - x0 once.",
        ),
        (
            lambda f, x, x0, n: integrated_gradients(f, x, x0, n).flatten(1).sum(1),
            "The contributions are summed: return one for each input.",
        ),
        (
            lambda f, x, x0, n: integrated_gradients(f, x, x0, n) / (f(x) - f(x0)).view(-1, *[1] * (x.ndim - 1)),
            "The contributions are divided by their sum: keep them in the unit of f.",
        ),
        (_asks_x, LEFT),
    ],
    accepts=[_all_at_once, _by_backward, _functional, _ig()],
    speed=Speed(lambda: (bent, torch.rand(16, 6), torch.zeros(16, 6), 64)),
)
