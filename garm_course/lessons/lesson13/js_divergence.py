"""The Jensen-Shannon divergence of two tables of probabilities; equation (13.3)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.adversarial.divergences import js_divergence
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

SPARSE = (
    torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.2, 0.0, 0.8, 0.0]], dtype=torch.float64),
    torch.tensor([[0.0, 0.0, 0.3, 0.7], [0.1, 0.0, 0.9, 0.0]], dtype=torch.float64),
)


def _tables(*shape: int, seed: int) -> tuple[Tensor, Tensor]:
    return random(*shape, seed=seed).softmax(-1), (2 * random(*shape, seed=seed + 1)).softmax(-1)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(-1)


def _plain_kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum(-1)


def _of(combine: Callable, middle: Callable = lambda p, g: (p + g) / 2):
    """combine(KL(p, m), KL(g, m)) for another middle or another combination."""

    def answer(p: Tensor, g: Tensor) -> Tensor:
        m = middle(p, g)
        return combine(_kl(p, m), _kl(g, m))

    return answer


def _half_sum(a: Tensor, b: Tensor) -> Tensor:
    return (a + b) / 2


def _then(change: Callable[[Tensor], object]):
    return lambda p, g: change(js_divergence(p, g))


EXERCISE = Exercise(
    name="js_divergence",
    lesson="13",
    reference=js_divergence,
    rule="½ KL(p || m) + ½ KL(g || m) with m = (p + g) / 2, in nats, summed over the last axis; 0 log 0 is 0.",
    probes=[
        same(*_tables(5, seed=1), grad=True),  # section 4 differentiates it
        same(*_tables(3, 4, seed=3)),
        same(*SPARSE),  # zeros, disjoint rows: ln 2
        same(*_tables(2, 3, 6, seed=5)),
        same(*(t.float() for t in _tables(4, 7, seed=7))),
    ],
    mistakes=[
        (_of(lambda a, b: a + b), "The two halves are missing: ½ KL(p || m) + ½ KL(g || m)."),
        (_of(lambda a, b: a), "Only KL(p || m) is there: g's half is missing, and so is the symmetry."),
        (_of(lambda a, b: a / 2), "Only half of it: ½ KL(g || m) is missing."),
        (_of(lambda a, b: b), "Only KL(g || m) is there: p's half is missing."),
        (_of(lambda a, b: (a - b) / 2), "The halves are subtracted: add them."),
        (_of(lambda a, b: (a * b).sqrt()), "A geometric mean of the two: take ½ of each, and add."),
        (_of(_half_sum, lambda p, g: p + g), "m is the sum p + g: it is their mean, and sums to 1."),
        (_of(_half_sum, lambda p, g: (p * g).sqrt()), "m is a geometric mean: it is (p + g) / 2."),
        (
            lambda p, g: 0.5 * _plain_kl(p, (p + g) / 2) + 0.5 * _plain_kl(g, (p + g) / 2),
            "0 log 0 became NaN where a probability is zero: use torch.xlogy, which knows that it is 0.",
        ),
        (
            lambda p, g: 0.5 * _plain_kl(p + 1e-3, (p + g) / 2 + 1e-3) + 0.5 * _plain_kl(g + 1e-3, (p + g) / 2 + 1e-3),
            "A small number is added to the probabilities, which shifts the value: torch.xlogy needs no such help.",
        ),
        (
            lambda p, g: 0.5 * (_kl(p, g) + _kl(g, p)),
            "This is the symmetrized KL(p || g), infinite where one of them is zero: compare each with the mean m.",
        ),
        (lambda p, g: _kl(p, g), "This is KL(p || g): compare p and g with their mean m, and take half of both."),
        (lambda p, g: _kl(g, p), "This is KL(g || p): compare p and g with their mean m, and take half of both."),
        (
            lambda p, g: 0.5 * _kl((p + g) / 2, p) + 0.5 * _kl((p + g) / 2, g),
            "The arguments are swapped: p and g come first, KL(p || m), so that zeros of p do no harm.",
        ),
        (
            lambda p, g: 0.5 * (_entropy(p) + _entropy(g)) - _entropy((p + g) / 2),
            "The sign is wrong: H(m) - ½ H(p) - ½ H(g) is at least 0.",
        ),
        (
            lambda p, g: _entropy((p + g) / 2) - _entropy(p) - _entropy(g),
            "The entropies of p and g count half each: H(m) - ½ H(p) - ½ H(g).",
        ),
        (lambda p, g: 0.5 * (p - g).abs().sum(-1), "This is the total variation, a distance without logarithms."),
        (_then(lambda js: js / math.log(2)), "These are bits: natural logarithms, so that the largest value is ln 2."),
        (_then(lambda js: js.sqrt()), "This is the root, the Jensen-Shannon distance: the divergence has no root."),
        (
            _then(lambda js: 2 * js - math.log(4)),
            "This is the value of the game, 2 JS - log 4: JS itself is asked for.",
        ),
        (_then(lambda js: js.sum() if js.ndim else js + 0.1), "One number for all rows: sum over the last axis only."),
        (_then(lambda js: js.mean() if js.ndim else js + 0.2), "The rows are averaged: one divergence for each row."),
        (
            lambda p, g: (
                0.5 * (torch.xlogy(p, p) - torch.xlogy(p, (p + g) / 2)).mean(-1)
                + 0.5 * (torch.xlogy(g, g) - torch.xlogy(g, (p + g) / 2)).mean(-1)
            ),
            "A mean over the outcomes: the probabilities weigh already, so sum.",
        ),
        (
            lambda p, g: (
                (torch.xlogy(p, p) - torch.xlogy(p, (p + g) / 2)).sum(0) / 2
                + (torch.xlogy(g, g) - torch.xlogy(g, (p + g) / 2)).sum(0) / 2
            ),
            "Summed over the first axis: the outcomes are the last one, dim=-1.",
        ),
        (
            _then(lambda js: js.item() if js.ndim == 0 else js.tolist()),
            "Return a tensor, without .item() or .tolist().",
        ),
        (_then(lambda js: js.detach()), "The value is right, but it has no gradient: no detach and no torch.no_grad."),
    ],
    accepts=[
        lambda p, g: _entropy((p + g) / 2) - 0.5 * _entropy(p) - 0.5 * _entropy(g),
        lambda p, g: 0.5 * _kl(p, (p + g) / 2) + 0.5 * _kl(g, (p + g) / 2),
        lambda p, g: torch.stack([torch.xlogy(q, 2 * q / (p + g).clamp(min=1e-300)).sum(-1) for q in (p, g)]).mean(0),
    ],
    axes=("row", "column"),
    rtol=1e-5,
    speed=Speed(lambda: _tables(1000, 200, seed=9)),
)
