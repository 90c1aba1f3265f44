"""The cycle loss; equation (16.1)."""

from collections.abc import Callable

import torch
import torch.nn.functional as functional
from torch import Tensor

from garm_course.adversarial import cyclegan
from garm_course.exercises.edges import plain, worded
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson16.maps import Map, learning, to_x, to_y


def cycle_loss(G: Callable, F: Callable, x: Tensor, y: Tensor) -> Tensor:
    """mean |F(G(x)) - x| + mean |G(F(y)) - y|."""
    return cyclegan.cycle_loss(G, F, x, y)


def _l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def _of(distance: Callable[[Tensor, Tensor], Tensor] = _l1, join: Callable = torch.add):
    return lambda G, F, x, y: join(distance(F(G(x)), x), distance(G(F(y)), y))


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().flatten()


def _paired(G, F, x, y):
    n = min(len(x), len(y))
    return _l1(G(x)[:n], y[:n]) + _l1(F(y)[:n], x[:n])


def _by_loop(G, F, x, y):
    there = sum((F(G(one[None])) - one).abs().sum() for one in x) / x.numel()
    back = sum((G(F(one[None])) - one).abs().sum() for one in y) / y.numel()
    return there + back


ONE, TWO = Map(3, 40), Map(3, 50)
WORDS = (
    "the loss",
    "the gradient in the weights of G",
    "the gradient in the weights of F",
)

EXERCISE = Exercise(
    name="cycle_loss",
    lesson="16",
    reference=cycle_loss,
    rule="mean of |F(G(x)) - x| plus mean of |G(F(y)) - y|: each there and back, compared with where it started.",
    rtol=1e-5,
    probes=[
        plain(ONE, TWO, random(4, 3, seed=5) + 2, 2 * random(6, 3, seed=6)),  # unequal numbers
        same(ONE, TWO, random(4, 3, seed=1), random(4, 3, seed=2)),
        same(to_y, to_x, random(5, 3, seed=3), random(5, 3, seed=4)),  # 0
        worded(same(None, None, random(4, 3, seed=5), random(6, 3, seed=6), use=learning(ONE, TWO)), *WORDS),
        same(ONE, TWO, 2 + random(3, 3, seed=11), 3 + random(3, 3, seed=12)),  # errors of one sign
        same(Map(3, 60, out=2), Map(2, 70, out=3), random(4, 3, seed=13), random(5, 2, seed=14)),  # unlike domains
        same(ONE, TWO, random(1, 3, seed=15), random(1, 3, seed=16)),
        same(ONE, TWO, random(2, 2, 3, seed=7).float(), random(3, 2, 3, seed=8).float()),
        same(lambda x: x + 1, lambda y: y / 2, torch.tensor([3.0]), torch.tensor([4.0])),
    ],
    mistakes=[
        (lambda G, F, x, y: _l1(F(G(x)), x), "One direction only: y -> x -> y is missing, so F may do anything."),
        (lambda G, F, x, y: _l1(G(F(y)), y), "One direction only: x -> y -> x is missing, so G may do anything."),
        (_paired, "It compares G(x) with y: there are no pairs. Compare what came back with where it started."),
        (
            lambda G, F, x, y: _l1(F(G(x)), y[: len(x)]) + _l1(G(F(y[: len(x)])), x),
            "It compares the end of a cycle with an example of the other domain: each comes back to its own start.",
        ),
        (lambda G, F, x, y: _l1(G(F(x)), x) + _l1(F(G(y)), y), "Both cycles run the wrong way: G reads x, F(G(x))."),
        (lambda G, F, x, y: _l1(G(F(x)), x) + _l1(G(F(y)), y), "The first cycle begins with F: G reads x, F(G(x))."),
        (lambda G, F, x, y: _l1(F(G(x)), x) + _l1(F(G(y)), y), "The second cycle begins with G: F reads y, G(F(y))."),
        (lambda G, F, x, y: _l1(G(G(x)), x) + _l1(F(F(y)), y), "Each translator is applied twice: F(G(x)), G(F(y))."),
        (lambda G, F, x, y: _l1(G(y), y) + _l1(F(x), x), "This is the identity loss: a cycle passes through both."),
        (lambda G, F, x, y: _l1(G(x), x) + _l1(F(y), y), "Only one translator is used: G(x) goes back through F."),
        (
            lambda G, F, x, y: _l1(F(G(x)), G(x)) + _l1(G(F(y)), F(y)),
            "It compares the end of a cycle with its middle: compare with the start, F(G(x)) with x.",
        ),
        (_of(lambda a, b: (a - b).square().mean()), "These are squares: the paper takes absolute values, L1."),
        (_of(lambda a, b: (a - b).mean()), "The absolute value is missing: errors of both signs cancel."),
        (_of(lambda a, b: (a - b).mean().abs()), "The mean is taken before the absolute value: errors cancel."),
        (_of(lambda a, b: (a - b).abs().sum()), "These are sums: the paper's program takes the mean over all numbers."),
        (
            _of(lambda a, b: (a - b).abs().flatten(1).sum(1).mean()),
            "The numbers of an example are summed: a mean over all numbers, examples and pixels alike.",
        ),
        (
            _of(_difference, lambda a, b: torch.cat([a, b]).mean()),
            "One mean over both directions is half of the loss, and weighs them by their sizes: two means, added.",
        ),
        (
            _of(_difference, lambda a, b: 2 * torch.cat([a, b]).mean()),
            "Both directions are averaged together, so the larger batch weighs more: take the mean of each by itself.",
        ),
        (_of(join=torch.maximum), "Only the larger of the two means counts: add them."),
        (_of(join=torch.sub), "The directions are subtracted, so one may be bad if the other is: add them."),
        (
            lambda G, F, x, y: _of()(G, F, x, y) + _l1(G(y), y) + _l1(F(x), x),
            "The identity loss is part of it: that is a loss of its own, with its own weight.",
        ),
        (
            lambda G, F, x, y: _l1(F(G(x).detach()), x) + _l1(G(F(y).detach()), y),
            "The value is right, but detach cuts the first translator off: each cycle trains both.",
        ),
        (
            lambda G, F, x, y: cycle_loss(G, F, x, y).detach(),
            "The value is right, but no gradient reaches G and F: leave out no_grad, detach and .data.",
        ),
    ],
    accepts=[
        lambda G, F, x, y: functional.l1_loss(F(G(x)), x) + functional.l1_loss(G(F(y)), y),
        _by_loop,
        _of(lambda a, b: torch.linalg.vector_norm(a - b, 1) / a.numel()),
    ],
    speed=Speed(lambda: (ONE, TWO, random(4_000, 3, seed=9), random(4_000, 3, seed=10))),
)
