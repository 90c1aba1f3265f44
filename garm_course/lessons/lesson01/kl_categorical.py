"""The Kullback-Leibler divergence of two categorical distributions; equation (1.1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions.heads import kl_categorical
from garm_course.exercises.registry import Exercise, Speed, same


def _rows(*shape: int, seed: int) -> Tensor:
    """Probabilities, nothing round, float64."""
    return (1.5 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).softmax(-1)


P, Q = _rows(3, 5, seed=1), _rows(3, 5, seed=2)
# rows that a p may have: a certain outcome, zeros in several places
SPARSE = torch.tensor([[0.0, 0.37, 0.0, 0.63], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
Q_SPARSE = torch.tensor([[0.11, 0.45, 0.07, 0.37], [0.23, 0.19, 0.41, 0.17]], dtype=torch.float64)


def _of_logits(kl, a: Tensor, b: Tensor) -> Tensor:
    """Gradients are taken at logits: on the rows of sum 1 every right answer has the same, normalized or not."""
    return kl(a.softmax(-1), b.softmax(-1))


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(-1)


def _where_positive(p: Tensor, q: Tensor) -> Tensor:
    return torch.where(p > 0, p * (torch.where(p > 0, p, 1.0) / torch.where(p > 0, q, 1.0)).log(), 0.0).sum(-1)


def _loop(p: Tensor, q: Tensor) -> Tensor:
    out = []
    for row_p, row_q in zip(p, q, strict=True):
        total = row_p.new_zeros(())
        for a, b in zip(row_p, row_q, strict=True):
            if a > 0:
                total = total + a * (a / b).log()
        out.append(total)
    return torch.stack(out)


def _of_torch(p: Tensor, q: Tensor) -> Tensor:
    categorical = torch.distributions.Categorical
    return torch.distributions.kl_divergence(categorical(probs=p), categorical(probs=q))


def _by_math(p: Tensor, q: Tensor, guard: bool) -> list:
    rows = []
    for row_p, row_q in zip(p, q, strict=True):
        pairs = [(a, b) for a, b in zip(row_p, row_q, strict=True) if a > 0 or not guard]
        rows.append(sum(a * math.log(a / b) for a, b in pairs))
    return rows


EXERCISE = Exercise(
    name="kl_categorical",
    lesson="01",
    reference=kl_categorical,
    rule="KL(p || q) is the sum over categories of p ln(p / q), in nats, where 0 ln 0 counts as 0; one value per row.",
    probes=[
        same(P, Q),
        same(_rows(2, 4, seed=3), _rows(2, 4, seed=4)),
        same(P, P),
        same(P.log(), Q.log(), grad=True, use=_of_logits),
        same(SPARSE, Q_SPARSE),
        same(P.float(), Q.float()),
        same(_rows(4, 1, seed=5), _rows(4, 1, seed=6)),
    ],
    axes=("row",),
    atol=1e-7,
    mistakes=[
        (
            lambda p, q: kl_categorical(q, p),
            "This is KL(q || p). The expectation is under the first argument: weight the logarithms by p "
            "(F.kl_div wants log q as its input and p as its target).",
        ),
        (
            lambda p, q: F.kl_div(p.log(), q),
            "F.kl_div(input=log q, target=p) is the order; and its default averages over all elements: use "
            'reduction="none", then sum over the last axis.',
        ),
        (
            lambda p, q: F.kl_div(q.log(), p),
            'F.kl_div averages over all elements by default: use reduction="none", then sum over the last axis.',
        ),
        (
            lambda p, q: F.kl_div(q, p, reduction="none").sum(-1),
            "F.kl_div expects log q as its first argument, not q.",
        ),
        (
            lambda p, q: F.kl_div(q.log(), p.log(), reduction="none").sum(-1),
            "F.kl_div takes the target as probabilities: pass p itself, or say log_target=True.",
        ),
        (
            lambda p, q: F.kl_div(q.log(), p, reduction="batchmean"),
            "This is one number, the mean over the rows. Return one value per row, (B,).",
        ),
        (
            lambda p, q: F.kl_div(q.log(), p, reduction="sum"),
            "This is one number, the sum over all rows. Return one value per row, (B,): sum over the last axis only.",
        ),
        (
            lambda p, q: torch.xlogy(p, p / q).mean(-1),
            "Sum over the categories, do not average: p already weights them.",
        ),
        (
            lambda p, q: (p * (p / q).log()).mean(-1),
            "Two faults: the categories are averaged, where a sum belongs, and 0 ln 0 gives NaN (torch.xlogy).",
        ),
        (
            lambda p, q: (p * (p / q).log()).sum(-1),
            "Right except where p is 0: 0 times log 0 gives NaN, and must count as 0. torch.xlogy(p, p) is 0 there.",
        ),
        (
            lambda p, q: (p * (q / p).log()).sum(-1),
            "The sign: ln(q / p) instead of ln(p / q) makes it negative, and a divergence is never below 0.",
        ),
        (
            lambda p, q: (torch.xlogy(p, q) - torch.xlogy(p, p)).sum(-1),
            "The sign: this is minus the divergence, at most 0. It is p ln p - p ln q.",
        ),
        (
            lambda p, q: (q * (p / q).log()).sum(-1),
            "The logarithms are weighted by q: the expectation is under p, the first argument.",
        ),
        (
            lambda p, q: (p / q).log().sum(-1),
            "The weights are missing: each ln(p / q) counts with the probability p.",
        ),
        (
            lambda p, q: -torch.xlogy(p, q).sum(-1),
            "This is the cross-entropy, -sum p ln q. Subtract the entropy of p, so that KL(p || p) is 0.",
        ),
        (
            lambda p, q: -torch.xlogy(p, q).sum(-1) + _entropy(p),
            "The entropy is added: cross-entropy = entropy + KL, so KL is the cross-entropy minus the entropy.",
        ),
        (
            lambda p, q: _entropy(p) - _entropy(q),
            "A difference of two entropies is not the divergence: both logarithms are weighted by p.",
        ),
        (
            lambda p, q: _entropy(q) - _entropy(p),
            "H(q) - H(p) is not the divergence: it can be negative. Both logarithms are weighted by p.",
        ),
        (
            lambda p, q: torch.xlogy(p, p / q).sum(-1) / math.log(2),
            "This is in bits, with the logarithm to base 2. The course counts in nats: use the natural logarithm.",
        ),
        (
            lambda p, q: (p * (p / q).log2()).sum(-1),
            "This is in bits (torch.log2), and NaN where p is 0: use the natural logarithm, and see torch.xlogy.",
        ),
        (
            lambda p, q: (p * (p / q).log10()).sum(-1),
            "torch.log10 is the logarithm to base 10, and 0 log 0 gives NaN: use the natural one, and see torch.xlogy.",
        ),
        (
            lambda p, q: (p * (p / q).log()).sum(),
            "This is one number, and NaN where p is 0. Sum over the last axis only, and see torch.xlogy.",
        ),
        (
            lambda p, q: torch.xlogy(p, p / q).sum(0),
            "The sum runs over the rows (dim=0). The categories are the last axis: sum(-1).",
        ),
        (
            lambda p, q: torch.xlogy(p, p / q),
            "The sum over the categories is missing: return one value per row, (B,).",
        ),
        (
            lambda p, q: torch.xlogy(p, p / q).sum(-1, keepdim=True),
            "The summed axis is kept: return the shape (B,), not (B, 1); leave keepdim out.",
        ),
        (
            lambda p, q: torch.xlogy(p, p / q).abs().sum(-1),
            "The terms lost their sign: single terms of the sum are negative, and only their sum never is.",
        ),
        (
            lambda p, q: torch.xlogy(p, p / q).clamp(min=0).sum(-1),
            "Negative terms are clipped: single terms may be below 0, and only their sum never is.",
        ),
        (
            lambda p, q: (p * ((p + 1e-6) / (q + 1e-6)).log()).sum(-1),
            "A constant was added inside the logarithms, so the sixth digit is wrong: torch.xlogy needs none.",
        ),
        (
            lambda p, q: torch.stack(_by_math(p, q, guard=True)),
            "The values are right, but math.log takes a number out of the tensor, and no gradient flows through it: "
            "torch.log, or .log().",
        ),
        (
            lambda p, q: torch.stack(_by_math(p, q, guard=False)),
            "math.log fails at 0, where the term must count as 0, and lets no gradient through: torch.xlogy does both.",
        ),
        (
            lambda p, q: torch.tensor([float(value) for value in _by_math(p, q, guard=False)]),
            "math.log fails at 0, and torch.tensor(...) of numbers has neither gradient nor dtype of p: torch.xlogy.",
        ),
        (
            lambda p, q: torch.xlogy(p / q, p).sum(-1),
            "xlogy(a, b) is a ln b, so this is (p / q) ln p: write torch.xlogy(p, p / q).",
        ),
        (
            lambda p, q: (p * p.log() / q.log()).sum(-1),
            "ln(p / q) is ln p - ln q, a difference: ln p / ln q is another number.",
        ),
        (lambda p, q: _entropy(p), "This is the entropy of p alone: q does not occur. KL = cross-entropy - entropy."),
        (
            lambda p, q: -(p * p.log()).sum(-1),
            "This is the entropy of p alone, and NaN where p is 0: subtract p ln q, and see torch.xlogy.",
        ),
        (
            lambda p, q: -_entropy(p),
            "This is sum p ln p, minus the entropy of p: the other half of the divergence, - sum p ln q, is missing.",
        ),
        (
            lambda p, q: (p * ((p + 1e-6) / q).log()).sum(-1),
            "1e-6 was added to p inside the logarithm, so the sixth digit is wrong: torch.xlogy needs no constant.",
        ),
        (
            lambda p, q: kl_categorical(p.float(), q.float()),
            "Right values, but .float() makes the result float32 for float64 probabilities: return the dtype of p.",
        ),
        (
            lambda p, q: kl_categorical(p.double(), q.double()),
            "Right values, but .double() makes the result float64: return the dtype of p.",
        ),
        (
            lambda p, q: (p - q).pow(2).sum(-1),
            "This is the squared distance of the probabilities: the divergence compares logarithms, weighted by p.",
        ),
        (
            lambda p, q: 0.5 * (p - q).abs().sum(-1),
            "This is the total variation, half the sum of |p - q|: the divergence compares logarithms, weighted by p.",
        ),
        (
            lambda p, q: 0.5 * (kl_categorical(p, q) + kl_categorical(q, p)),
            "This is symmetric in p and q. KL(p || q) is not: only p weights the logarithms.",
        ),
        (
            lambda p, q: kl_categorical(p, (p + q) / 2),
            "This is the divergence from the mean of p and q, a part of the Jensen-Shannon divergence. Compare with q.",
        ),
        (
            lambda p, q: _of_torch(p.log_softmax(-1).exp(), q.softmax(-1)),
            "A softmax is applied, but p and q are probabilities already, not logits.",
        ),
        (
            lambda p, q: kl_categorical(p.detach(), q.detach()),
            "The values are right, but detached: no gradient reaches p and q, so nothing could be fitted by it.",
        ),
        (
            lambda p, q: kl_categorical(p.detach(), q),
            "The values are right, but p is detached: no gradient reaches it.",
        ),
        (
            lambda p, q: torch.tensor([kl_categorical(a[None], b[None]).item() for a, b in zip(p, q, strict=True)]),
            "Numbers were taken out of the tensors with .item(): gradient and dtype are lost. Stay with tensors.",
        ),
    ],
    accepts=[
        lambda p, q: torch.xlogy(p, p).sum(-1) - torch.xlogy(p, q).sum(-1),
        lambda p, q: F.kl_div(q.log(), p, reduction="none").sum(-1),
        lambda p, q: torch.xlogy(p, p / q).sum(-1),
        lambda p, q: -torch.xlogy(p, q).sum(1) - _entropy(p),
        _of_torch,
        _where_positive,
        _loop,
    ],
    speed=Speed(lambda: (torch.rand(64, 17).softmax(-1), torch.rand(64, 17).softmax(-1))),
)
