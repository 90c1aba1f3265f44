"""The identity loss; equation (16.2)."""

from collections.abc import Callable

import torch
import torch.nn.functional as functional
from torch import Tensor

from garm_course.adversarial import cyclegan
from garm_course.exercises.edges import plain, worded
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson16.cycle_loss import WORDS
from garm_course.lessons.lesson16.maps import Map, learning


def identity_loss(G: Callable, F: Callable, x: Tensor, y: Tensor) -> Tensor:
    """mean |G(y) - y| + mean |F(x) - x|."""
    return cyclegan.identity_loss(G, F, x, y)


def _l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def _of(distance: Callable[[Tensor, Tensor], Tensor] = _l1, join: Callable = torch.add):
    return lambda G, F, x, y: join(distance(G(y), y), distance(F(x), x))


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().flatten()


def _paired(first: Callable, second: Callable):
    """Examples of the two domains compared as if they were pairs: what comes out of `first` and `second`."""

    def answer(G, F, x, y):
        n = min(len(x), len(y))
        return _l1(*(t[:n] for t in first(G, F, x, y))) + _l1(*(t[:n] for t in second(G, F, x, y)))

    return answer


def _by_loop(G, F, x, y):
    first = sum((G(one[None]) - one).abs().sum() for one in y) / y.numel()
    return first + sum((F(one[None]) - one).abs().sum() for one in x) / x.numel()


ONE, TWO = Map(3, 60), Map(3, 70)

EXERCISE = Exercise(
    name="identity_loss",
    lesson="16",
    reference=identity_loss,
    rule="mean of |G(y) - y| plus mean of |F(x) - x|: a translator leaves alone what is in its target domain already.",
    rtol=1e-5,
    probes=[
        plain(ONE, TWO, random(4, 3, seed=5) + 2, 2 * random(6, 3, seed=6)),
        same(ONE, TWO, random(4, 3, seed=1), random(4, 3, seed=2)),
        same(torch.abs, lambda v: -v.abs(), -random(5, 3, seed=3).abs(), random(5, 3, seed=4).abs()),  # 0
        worded(same(None, None, random(4, 3, seed=5), random(6, 3, seed=6), use=learning(ONE, TWO)), *WORDS),
        same(ONE, TWO, random(1, 3, seed=9), random(1, 3, seed=10)),
        same(ONE, TWO, 2 + random(3, 3, seed=11), 3 + random(3, 3, seed=12)),  # errors of one sign
        same(ONE, TWO, random(2, 2, 3, seed=7).float(), random(3, 2, 3, seed=8).float()),
        same(lambda x: x + 1, lambda y: y / 2, torch.tensor([3.0]), torch.tensor([4.0])),
    ],
    mistakes=[
        (
            lambda G, F, x, y: _l1(G(x), x) + _l1(F(y), y),
            "G is fed its source domain: that asks it to do nothing at all. G is fed its target domain: G(y) - y.",
        ),
        (lambda G, F, x, y: _l1(G(y), y) + _l1(F(y), y), "F is fed its source domain, y: F(x) - x."),
        (lambda G, F, x, y: _l1(G(x), x) + _l1(F(x), x), "G is fed its source domain, x: G(y) - y."),
        (lambda G, F, x, y: _l1(F(G(x)), x) + _l1(G(F(y)), y), "This is the cycle loss: use each translator once."),
        (lambda G, F, x, y: _l1(G(G(y)), y) + _l1(F(F(x)), x), "Each translator is applied twice: once."),
        (
            _paired(lambda G, F, x, y: (G(x), y), lambda G, F, x, y: (F(y), x)),
            "It compares G(x) with y as if they were a pair: there are no pairs.",
        ),
        (
            _paired(lambda G, F, x, y: (G(y), x), lambda G, F, x, y: (F(x), y)),
            "It compares G(y) with x: G must leave y as it is, so compare with y.",
        ),
        (lambda G, F, x, y: _l1(G(y), y), "Only G is there: F must leave x alone, F(x) - x."),
        (lambda G, F, x, y: _l1(F(x), x), "Only F is there: G must leave y alone, G(y) - y."),
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
            "One mean over both terms is half of the loss, and weighs them by their sizes: two means, added.",
        ),
        (
            _of(_difference, lambda a, b: 2 * torch.cat([a, b]).mean()),
            "Both terms are averaged together, so the larger batch weighs more: take the mean of each by itself.",
        ),
        (_of(join=torch.maximum), "Only the larger of the two means counts: add them."),
        (_of(join=torch.sub), "The two means are subtracted: add them."),
        (
            lambda G, F, x, y: identity_loss(G, F, x, y).detach(),
            "The value is right, but no gradient reaches G and F: leave out no_grad, detach and .data.",
        ),
    ],
    accepts=[
        lambda G, F, x, y: functional.l1_loss(G(y), y) + functional.l1_loss(F(x), x),
        _by_loop,
        _of(lambda a, b: torch.linalg.vector_norm(a - b, 1) / a.numel()),
    ],
    speed=Speed(lambda: (ONE, TWO, random(4_000, 3, seed=9), random(4_000, 3, seed=10))),
)
