"""The Jensen-Shannon divergence of two tables of probabilities; equation (13.3)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.adversarial.divergences import js_divergence
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

SPARSE = (
    torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.2, 0.0, 0.8, 0.0]], dtype=torch.float64),
    torch.tensor([[0.0, 0.0, 0.3, 0.7], [0.1, 0.0, 0.9, 0.0]], dtype=torch.float64),
)
RARE = (
    torch.tensor([1 - 6e-6, 1e-6, 5e-6, 0.0], dtype=torch.float64),
    torch.tensor([1 - 5e-6, 4e-6, 0.0, 1e-6], dtype=torch.float64),
)


def _tables(*shape: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two tables; in every second row the first one is the more certain."""
    p, g = random(*shape, seed=seed).softmax(-1), (2 * random(*shape, seed=seed + 1)).softmax(-1)
    odd = torch.arange(shape[0])[:, None] % 2 == 1
    return torch.where(odd, g, p), torch.where(odd, p, g)


def _of_logits(answer: Callable, s: Tensor, t: Tensor) -> Tensor:
    """The gradient in a table itself depends on whether a formula uses that it sums to 1; that in logits does not."""
    return answer(s.softmax(-1), t.softmax(-1))


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(-1)


def _of(combine: Callable = lambda a, b: (a + b) / 2, middle: Callable = lambda p, g: (p + g) / 2, kl: Callable = _kl):
    """combine(KL(p, m), KL(g, m)) for another combination, middle or distance."""
    return lambda p, g: combine(kl(p, middle(p, g)), kl(g, middle(p, g)))


def _then(change: Callable[[Tensor], object]):
    return lambda p, g: change(js_divergence(p, g))


ZEROS = "0 log 0 became NaN or infinite where a probability is zero: it is 0, and torch.xlogy knows that."
SHIFTED = "A small number is added to the probabilities, or they are clamped, which shifts the value: use torch.xlogy."

EXERCISE = Exercise(
    name="js_divergence",
    lesson="13",
    reference=js_divergence,
    rule="½ KL(p || m) + ½ KL(g || m) with m = (p + g) / 2, in nats, summed over the last axis; 0 log 0 is 0.",
    rtol=1e-5,
    atol=1e-10,
    probes=[
        plain(*_tables(3, 4, seed=3)),
        same(random(5, seed=1), 2 * random(5, seed=2), grad=True, use=_of_logits),  # section 4 differentiates it
        same(random(2, 3, 6, seed=5), 2 * random(2, 3, 6, seed=6), grad=True, use=_of_logits),
        same(*_tables(1, 3, seed=9)),
        edge(plain(*SPARSE), ZEROS),  # zeros, disjoint rows: ln 2
        edge(same(*RARE), SHIFTED),
        same(*(_tables(2, 3, seed=11)[:1] * 2)),  # equal: 0
        same(*(t.float() for t in _tables(4, 7, seed=7))),
        same(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])),
    ],
    mistakes=[
        (_of(lambda a, b: a), "Only KL(p || m) is there: g's half is missing, and so is the symmetry."),
        (_of(lambda a, b: a / 2), "Only half of it: ½ KL(g || m) is missing."),
        (_of(lambda a, b: a + b), "The two factors ½ are missing."),
        (_of(lambda a, b: a + b / 2), "Only the second term is halved: ½ KL(p || m) + ½ KL(g || m)."),
        (_of(lambda a, b: a / 2 + b), "Only the first term is halved: ½ KL(p || m) + ½ KL(g || m)."),
        (_of(lambda a, b: b), "Only KL(g || m) is there: p's half is missing."),
        (_of(middle=lambda p, g: p + g), "m is the sum p + g: it is their mean, and sums to 1."),
        (_of(middle=lambda p, g: p + g / 2), "m is p + g / 2: the sum needs its parentheses, (p + g) / 2."),
        (_of(kl=lambda p, q: (p * (p / q).log()).sum(-1)), ZEROS),
        (_of(kl=lambda p, q: ((p + 1e-8) * ((p + 1e-8) / (q + 1e-8)).log()).sum(-1)), SHIFTED),
        (
            lambda p, g: 0.5 * (_kl(p, g) + _kl(g, p)),
            "This is the symmetrized KL(p || g), infinite where one of them is zero: compare each with the mean m.",
        ),
        (_kl, "This is KL(p || g): compare p and g with their mean m, and take half of both."),
        (lambda p, g: _kl(g, p), "This is KL(g || p): compare p and g with their mean m, and take half of both."),
        (_of(kl=lambda p, m: _kl(m, p)), "The arguments are swapped: KL(p || m), so that zeros of p do no harm."),
        (_of(kl=lambda p, m: torch.xlogy(p, m).sum(-1).neg()), "This is the entropy of m: subtract ½ H(p) + ½ H(g)."),
        (lambda p, g: _entropy((p + g) / 2) - _entropy(p) - _entropy(g), "The entropies of p and g count half each."),
        (lambda p, g: 0.5 * (p - g).abs().sum(-1), "This is the total variation, a distance without logarithms."),
        (_then(lambda js: 2 * js - math.log(4)), "This is the value of the game, 2 JS - log 4: return JS itself."),
        (_then(lambda js: js.sum()), "One number for all rows: sum over the last axis only."),
        (_then(lambda js: js.mean()), "The rows are averaged: one divergence for each row."),
        (
            _of(kl=lambda p, m: (torch.xlogy(p, p) - torch.xlogy(p, m)).mean(-1)),
            "A mean over the outcomes: the probabilities weigh already, so sum.",
        ),
        (
            _of(kl=lambda p, m: (torch.xlogy(p, p) - torch.xlogy(p, m)).sum(0)),
            "Summed over the first axis: the outcomes are the last one, dim=-1.",
        ),
        (_then(lambda js: js.detach()), "The value is right, but it has no gradient: no detach and no torch.no_grad."),
    ],
    accepts=[
        lambda p, g: _entropy((p + g) / 2) - 0.5 * _entropy(p) - 0.5 * _entropy(g),
        _of(),
        lambda p, g: torch.stack([torch.xlogy(q, 2 * q / (p + g).clamp(min=1e-300)).sum(-1) for q in (p, g)]).mean(0),
    ],
    axes=("row", "column"),
    speed=Speed(lambda: _tables(1000, 200, seed=9)),
)
