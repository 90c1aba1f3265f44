"""The Kullback-Leibler divergence of two categorical distributions; equation (1.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions.heads import kl_categorical
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson00.digits import nearly

P, Q = (1.5 * random(2, 3, 5, seed=1)).softmax(-1)
# rows that a p may have: a certain outcome, zeros in several places
SPARSE = torch.tensor([[0.0, 0.37, 0.0, 0.63], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
Q_SPARSE = torch.tensor([[0.11, 0.45, 0.07, 0.37], [0.23, 0.19, 0.41, 0.17]], dtype=torch.float64)
# in q, so small that a constant of 1e-10 in the logarithm shows, but none of 1e-12, which the text lets pass
RARE = torch.tensor([[0.37, 1e-12, 0.63], [3e-5, 0.2, 0.79997]], dtype=torch.float64)
Q_RARE = torch.tensor([[7e-9, 0.41, 0.589999993], [0.3, 0.699999992, 8e-9]], dtype=torch.float64)
ZERO = "Right except where p is 0: the term must count as 0, and 0 times log 0 is NaN. torch.xlogy(p, p) is 0 there."
MATH = "math.log takes one number, fails at 0 and lets no gradient through: torch.xlogy(p, p) does neither."
NEARLY = (
    "Nearly right: a constant inside the logarithm, a clamp or a rounding changes it. torch.xlogy needs none of these."
)
CONSTANT = (
    "Right for ordinary probabilities, but not where q is below 1e-8: a constant inside the logarithm or a clamp shows "
    "there. torch.xlogy needs neither."
)


def _of_logits(kl, a: Tensor, b: Tensor) -> Tensor:
    """Gradients are taken at logits: on the rows of sum 1 every right answer has the same, normalized or not."""
    return kl(a.softmax(-1), b.softmax(-1))


def _cross(p: Tensor, q: Tensor) -> Tensor:
    return -torch.xlogy(p, q).sum(-1)


def _sum(term):
    return lambda p, q: term(p, q).sum(-1)


def _terms(p: Tensor, q: Tensor) -> Tensor:
    return torch.xlogy(p, p / q)


def _where_positive(p: Tensor, q: Tensor) -> Tensor:
    return torch.where(p > 0, p * (torch.where(p > 0, p, 1.0) / torch.where(p > 0, q, 1.0)).log(), 0.0).sum(-1)


def _loop(p: Tensor, q: Tensor) -> Tensor:
    rows = zip(p, q, strict=True)
    return torch.stack([sum(a * (a / b).log() for a, b in zip(*row, strict=True) if a > 0) for row in rows])


def _of_torch(p: Tensor, q: Tensor) -> Tensor:
    categorical = torch.distributions.Categorical
    return torch.distributions.kl_divergence(categorical(probs=p), categorical(probs=q))


EXERCISE = Exercise(
    name="kl_categorical",
    lesson="01",
    reference=kl_categorical,
    rule="KL(p || q) is the sum over categories of p ln(p / q), in nats, where 0 ln 0 counts as 0; one value per row.",
    probes=[
        nearly(P, Q, hint=NEARLY),
        same(P, P),
        same(P[:1], Q[:1]),
        same(P[:, :1] * 0 + 1, Q[:, :1] * 0 + 1),
        same(*(1.5 * random(2, 7, 4, seed=2)).softmax(-1)),
        same(P.log(), Q.log(), grad=True, use=_of_logits),
        edge(same(SPARSE, Q_SPARSE), ZERO, raises=MATH),
        edge(same(RARE, Q_RARE), CONSTANT),
        same(P.float(), Q.float()),
        edge(same(torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.25, 0.5]])), ZERO, raises=MATH),
    ],
    axes=("row",),
    rtol=1e-5,
    atol=1e-6,
    mistakes=[
        (
            lambda p, q: kl_categorical(q, p),
            "This is KL(q || p). The expectation is under the first argument: weight the logarithms by p "
            "(F.kl_div wants log q as its input and p as its target).",
        ),
        (
            lambda p, q: F.kl_div(q.log(), p),
            'F.kl_div averages over all elements by default: use reduction="none", then sum over the last axis.',
        ),
        (
            lambda p, q: F.kl_div(p.log(), q),
            "F.kl_div(input=log q, target=p) is the order; and its default averages over all elements: use "
            'reduction="none", then sum over the last axis.',
        ),
        (
            _sum(lambda p, q: F.kl_div(q, p, reduction="none")),
            "q enters without its logarithm. F.kl_div, too, expects log q as its first argument, not q.",
        ),
        (
            _sum(lambda p, q: F.kl_div(q.log(), p.log(), reduction="none")),
            "F.kl_div takes the target as probabilities: pass p itself, or say log_target=True.",
        ),
        (
            _sum(lambda p, q: F.kl_div(q.log_softmax(-1), p, reduction="none")),
            "log_softmax is applied to q, but q holds probabilities already, not logits: q.log().",
        ),
        (lambda p, q: _terms(p, q).mean(-1), "Sum over the categories, do not average: p already weights them."),
        (
            _sum(lambda p, q: q * (p / q).log()),
            "The logarithms are weighted by q: the expectation is under p, the first argument.",
        ),
        (_sum(lambda p, q: (p / q).log()), "The weights are missing: each ln(p / q) counts with the probability p."),
        (
            _cross,
            "This is the cross-entropy, -sum p ln q. Subtract the entropy of p, so that KL(p || p) is 0.",
        ),
        (
            lambda p, q: _cross(p, q) + _cross(p, p),
            "The entropy is added: cross-entropy = entropy + KL, so KL is the cross-entropy minus the entropy.",
        ),
        (
            lambda p, q: _cross(q, q) - _cross(p, p),
            "H(q) - H(p) is not the divergence, and can be negative: weight both logarithms by p.",
        ),
        (lambda p, q: _cross(p, p), "This is the entropy of p alone: q does not occur. KL = cross-entropy - entropy."),
        (
            lambda p, q: -_cross(p, p),
            "This is sum p ln p, minus the entropy of p: the other half of the divergence, - sum p ln q, is missing.",
        ),
        (
            lambda p, q: _terms(p, q).sum(0),
            "The sum runs over the rows (dim=0). The categories are the last axis: sum(-1).",
        ),
        (
            _sum(lambda p, q: _terms(p, q).abs()),
            "The terms lost their sign: single terms of the sum are negative, and only their sum never is.",
        ),
        (
            _sum(lambda p, q: _terms(p, q).clamp(min=0)),
            "Negative terms are clipped: single terms may be below 0, and only their sum never is.",
        ),
        (
            _sum(lambda p, q: torch.xlogy(p / q, p)),
            "xlogy(a, b) is a ln b, so this is (p / q) ln p: write torch.xlogy(p, p / q).",
        ),
        (
            _sum(lambda p, q: p * p.log() / q.log()),
            "ln(p / q) is ln p - ln q, a difference: ln p / ln q is another number.",
        ),
        (
            _sum(lambda p, q: p * p.log() - q.log()),
            "ln q lacks its weight: both logarithms are multiplied by p, p (ln p - ln q).",
        ),
        (
            _sum(lambda p, q: (p - q).pow(2)),
            "This is the squared distance of the probabilities: the divergence compares logarithms, weighted by p.",
        ),
        (
            lambda p, q: 0.5 * (kl_categorical(p, q) + kl_categorical(q, p)),
            "This is symmetric in p and q. KL(p || q) is not: only p weights the logarithms.",
        ),
        (
            lambda p, q: _of_torch(p.softmax(-1), q.softmax(-1)),
            "A softmax is applied, but p and q are probabilities already, not logits.",
        ),
    ],
    accepts=[
        lambda p, q: torch.xlogy(p, p).sum(-1) - torch.xlogy(p, q).sum(-1),
        lambda p, q: F.kl_div(q.log(), p, reduction="none").sum(-1),
        lambda p, q: _terms(p, q).sum(-1),
        lambda p, q: _cross(p, q) - _cross(p, p),
        lambda p, q: (p * (p / q).log()).nan_to_num(0.0).sum(1),
        _of_torch,
        _where_positive,
        _loop,
    ],
    speed=Speed(lambda: (torch.rand(64, 17).softmax(-1), torch.rand(64, 17).softmax(-1))),
)
