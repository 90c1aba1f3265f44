"""The negative log-likelihood of binary images with independent pixels, from logits; equation (1.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions.heads import Bernoulli, bernoulli_nll
from garm_course.exercises.registry import Exercise, Speed, same


def _logits(*shape: int, seed: int) -> Tensor:
    """Signs mixed, nothing round, float64."""
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _pixels(*shape: int, seed: int) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.6).double()


L, X = _logits(3, 1, 4, 5, seed=1), _pixels(3, 1, 4, 5, seed=2)
CERTAIN = torch.tensor([[[[800.0, -800.0], [3.7, 0.2]]], [[[800.0, -800.0], [-1.3, 0.6]]]], dtype=torch.float64)
SEEN = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]], [[[1.0, 0.0], [0.0, 1.0]]]], dtype=torch.float64)


def _sum(nats: Tensor) -> Tensor:
    return nats.flatten(1).sum(1)


def _terms(logits: Tensor, x: Tensor) -> Tensor:
    return F.softplus(logits) - x * logits


def _by_sigmoid(logits: Tensor, x: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return -(x * p.log() + (1 - x) * (1 - p).log())


def _by_choice(logits: Tensor, x: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return -torch.where(x == 1, p, 1 - p).log()


def _with_epsilon(epsilon: float):
    def nll(logits: Tensor, x: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        return _sum(-(x * (p + epsilon).log() + (1 - x) * (1 - p + epsilon).log()))

    return nll


def _with_clamp(epsilon: float):
    def nll(logits: Tensor, x: Tensor) -> Tensor:
        p = torch.sigmoid(logits).clamp(epsilon, 1 - epsilon)
        return _sum(-(x * p.log() + (1 - x) * (1 - p).log()))

    return nll


def _log1p_exp(logits: Tensor, x: Tensor) -> Tensor:
    return _sum(torch.log1p(logits.exp()) - x * logits)


def _loop(logits: Tensor, x: Tensor) -> Tensor:
    rows = []
    for row, seen in zip(logits.flatten(1), x.flatten(1), strict=True):
        total = row.new_zeros(())
        for a, b in zip(row, seen, strict=True):
            total = total + (F.softplus(-a) if b == 1 else F.softplus(a))
        rows.append(total)
    return torch.stack(rows)


def _by_torch(logits: Tensor, x: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


EXERCISE = Exercise(
    name="bernoulli_nll",
    lesson="01",
    reference=bernoulli_nll,
    rule="The NLL of an image is the sum over its pixels of softplus(l) - x l, in nats; one value per image, (B,).",
    probes=[
        same(L, X),
        same(_logits(2, 3, 2, 3, seed=3), _pixels(2, 3, 2, 3, seed=4)),
        same(L, X, grad=True),
        same(CERTAIN, SEEN),
        same(CERTAIN, SEEN, grad=True),
        same(L.float(), X.float()),
        same(_logits(5, 7, seed=5), _pixels(5, 7, seed=6)),
        same(_logits(1, 1, 2, 2, seed=7), _pixels(1, 1, 2, 2, seed=8)),
    ],
    axes=("image",),
    mistakes=[
        (
            lambda logits, x: _terms(logits, x).flatten(1).mean(1),
            "The pixels are averaged. Sum them: the NLL is that of the whole image, and a mean hides its size.",
        ),
        (
            lambda logits, x: _terms(logits, x).sum(),
            "This is one number, summed over the batch as well. Return one value per image, (B,): in torch's functions "
            'reduction="none", then sum over all axes but the first.',
        ),
        (
            lambda logits, x: _terms(logits, x).mean(),
            "This is one number, the mean over pixels and images, which torch's functions return by default. "
            'Take reduction="none", sum over the pixels, and return (B,).',
        ),
        (
            lambda logits, x: _sum(_terms(logits, x)).mean(),
            "This is one number, the mean over the batch. Return one value per image, (B,); who trains averages later.",
        ),
        (_by_torch, "This is one value per pixel. Sum over all axes but the first: .flatten(1).sum(1)."),
        (lambda logits, x: _terms(logits, x).sum(-1), "Only the last axis is summed. Sum over all but the first."),
        (
            lambda logits, x: _terms(logits, x).sum((-2, -1)),
            "Rows and columns are summed, but the axis of channels is still there: .flatten(1).sum(1) takes all.",
        ),
        (
            lambda logits, x: _terms(logits, x).sum(1),
            "Only axis 1 is summed (the channels of an image). Sum over all axes but the first: .flatten(1).sum(1).",
        ),
        (
            lambda logits, x: _terms(logits, x).sum((1, 2, 3)),
            "Axes 1, 2, 3 are summed, but (B, ...) may have any number of axes: .flatten(1).sum(1) takes all.",
        ),
        (
            lambda logits, x: _sum(-torch.log(torch.sigmoid((2 * x - 1) * logits))),
            "At 800 sigmoid rounds to 0, and its logarithm is infinite: F.logsigmoid is the same function and is not.",
        ),
        (lambda logits, x: _terms(logits, x).sum(0), "The sum runs over the images (dim=0). Sum over their pixels."),
        (
            lambda logits, x: _sum(_by_sigmoid(logits, x)),
            "Right for small logits. At 800 sigmoid rounds to 1, log 0 is -inf, and 0 * inf is NaN: softplus(l) - x l.",
        ),
        (
            lambda logits, x: _sum(_by_choice(logits, x)),
            "At logits of 800 sigmoid rounds to 0 or 1, and its logarithm is infinite: softplus(l) - x l stays exact.",
        ),
        (
            lambda logits, x: _sum(-(torch.xlogy(x, logits.sigmoid()) + torch.xlogy(1 - x, 1 - logits.sigmoid()))),
            "xlogy avoids NaN, but at logits of 800 the loss is infinite instead of 800: softplus(l) - x l.",
        ),
        (
            lambda logits, x: _sum(F.binary_cross_entropy(logits.sigmoid(), x, reduction="none")),
            "binary_cross_entropy cuts the loss of a pixel at 100 nats; from logits it is exact "
            "(binary_cross_entropy_with_logits).",
        ),
        (
            _with_epsilon(1e-7),
            "sigmoid + 1e-7 cuts the loss of a pixel at 16.1 nats and kills its gradient: use softplus(l) - x l.",
        ),
        (
            _with_epsilon(1e-8),
            "sigmoid + 1e-8 cuts the loss of a pixel at 18.4 nats and kills its gradient: use softplus(l) - x l.",
        ),
        (
            _with_epsilon(1e-6),
            "sigmoid + 1e-6 cuts the loss of a pixel at 13.8 nats and kills its gradient: use softplus(l) - x l.",
        ),
        (
            _with_clamp(1e-7),
            "sigmoid clamped to 1e-7 cuts a pixel's loss at 16.1 nats and kills its gradient: use softplus(l) - x l.",
        ),
        (
            _with_clamp(1e-6),
            "sigmoid clamped to 1e-6 cuts a pixel's loss at 13.8 nats and kills its gradient: use softplus(l) - x l.",
        ),
        (
            _log1p_exp,
            "exp(800) overflows, so log(1 + exp(l)) is infinite: F.softplus(l) is the same function and does not.",
        ),
        (
            lambda logits, x: -_sum(_terms(logits, x)),
            "The sign: this is the log-likelihood. The negative one is asked for, at least 0.",
        ),
        (
            lambda logits, x: _sum(_terms(logits, 1 - x)),
            "Ones and zeros are exchanged: a large logit makes a 1 likely, so -log p(1) = softplus(-l).",
        ),
        (
            lambda logits, x: _sum(F.softplus(logits) + x * logits),
            "The sign of x l: it is softplus(l) - x l.",
        ),
        (lambda logits, x: _sum(F.softplus(logits)), "This is -log p(0) for all pixels: subtract x l."),
        (
            lambda logits, x: _sum(F.softplus(-logits)),
            "This is -log p(1) for all pixels: softplus(-l) where x is 1, softplus(l) where it is 0.",
        ),
        (
            lambda logits, x: _sum(x * F.softplus(-logits)),
            "Only pixels that are 1 count. Those that are 0 cost softplus(l).",
        ),
        (
            lambda logits, x: _sum(_by_torch(logits.sigmoid(), x)),
            "The logits went through a sigmoid first; softplus and binary_cross_entropy_with_logits expect raw logits.",
        ),
        (
            lambda logits, x: _sum(-(x * logits.log() + (1 - x) * (1 - logits).log())),
            "The logits are used as if they were probabilities: -log p(1) = softplus(-l).",
        ),
        (
            lambda logits, x: _sum(F.softplus(logits.sigmoid()) - x * logits),
            "softplus is taken of sigmoid(l). It expects the raw logit: softplus(l) - x l.",
        ),
        (
            lambda logits, x: _sum(F.softplus(-logits) - x * logits),
            "softplus(-l) = softplus(l) - l is the cost of a 1 already: take softplus(l) - x l, "
            "or softplus(-l) + (1 - x) l.",
        ),
        (
            lambda logits, x: _sum(F.binary_cross_entropy_with_logits(x, logits, reduction="none")),
            "The arguments are exchanged: binary_cross_entropy_with_logits takes the logits first, then the pixels.",
        ),
        (
            lambda logits, x: F.binary_cross_entropy_with_logits(x, logits),
            "Two faults: binary_cross_entropy_with_logits takes the logits first, and it averages over everything by "
            'default: reduction="none", then sum.',
        ),
        (
            lambda logits, x: F.binary_cross_entropy(logits.sigmoid(), x),
            "Two faults: binary_cross_entropy averages over everything by default, and it cuts the loss of a pixel at "
            "100 nats: take the form that expects logits.",
        ),
        (
            lambda logits, x: _sum(_terms(logits.clamp(-30, 30), x)),
            "The logits are clamped to 30: a confident mistake then costs 30 nats, not 800, and gets no gradient. "
            "softplus needs no clamp.",
        ),
        (
            lambda logits, x: _sum(_terms(logits.clamp(-20, 20), x)),
            "The logits are clamped to 20: a confident mistake then costs 20 nats, not 800, and gets no gradient. "
            "softplus needs no clamp.",
        ),
        (
            lambda logits, x: _sum(_terms(logits.clamp(-100, 100), x)),
            "The logits are clamped to 100: a confident mistake then costs 100 nats, not 800, and gets no "
            "gradient. softplus needs no clamp.",
        ),
        (
            lambda logits, x: _sum(-torch.distributions.Bernoulli(probs=logits.sigmoid()).log_prob(x)),
            "Bernoulli(probs=...) cuts probabilities off near 0 and 1: 800 nats become 36. Pass logits=logits instead.",
        ),
        (
            lambda logits, x: _sum(-(x * F.logsigmoid(logits) + (1 - x) * (1 - F.logsigmoid(logits)))),
            "ln(1 - sigmoid(l)) is not 1 - ln sigmoid(l): it is logsigmoid(-l).",
        ),
        (
            lambda logits, x: _sum(-(x * F.logsigmoid(logits) + (1 - x) * torch.log(1 - F.logsigmoid(logits)))),
            "logsigmoid is a logarithm already, not a probability to subtract from 1: ln p(0) is logsigmoid(-l).",
        ),
        (
            lambda logits, x: _sum(-(x * F.logsigmoid(logits) + (1 - x) * torch.log(1 - logits.sigmoid()))),
            "The ones are safe, the zeros are not: at 800, 1 - sigmoid rounds to 0. Their cost is -logsigmoid(-l).",
        ),
        (
            _with_epsilon(1e-10),
            "sigmoid + 1e-10 cuts the loss of a pixel at 23 nats and kills its gradient: use softplus(l) - x l.",
        ),
        (
            _with_epsilon(1e-12),
            "sigmoid + 1e-12 cuts the loss of a pixel at 27.6 nats and kills its gradient: use softplus(l) - x l.",
        ),
        (
            lambda logits, x: bernoulli_nll(logits.double(), x),
            "Right values, but .double() makes the result float64: return the dtype of the logits.",
        ),
        (
            lambda logits, x: bernoulli_nll(logits.float(), x.float()),
            "Right values, but .float() makes the result float32 for float64 logits: return the dtype of the logits.",
        ),
        (
            lambda logits, x: _sum((logits.sigmoid() - x) ** 2),
            "This is the squared error of the probability, not a likelihood: -log p.",
        ),
        (
            lambda logits, x: _sum(_terms(logits, x)) / 0.6931471805599453,
            "This is in bits. The course counts in nats: no division by ln 2.",
        ),
        (
            lambda logits, x: _sum(_terms(logits, x)).unsqueeze(1),
            "The shape is (B, 1): return (B,).",
        ),
        (
            lambda logits, x: _sum(F.softplus(logits) - x * logits).exp(),
            "This is 1 / p(x). Leave the logarithm: the product of many probabilities underflows.",
        ),
        (
            lambda logits, x: _by_sigmoid(logits, x).flatten(1).mean(1),
            "Two faults: pixels are averaged, where a sum belongs, and sigmoid then log gives NaN at 800.",
        ),
        (
            lambda logits, x: bernoulli_nll(logits.detach(), x),
            "The values are right, but the logits are detached: no gradient reaches them, so nothing is learned.",
        ),
    ],
    accepts=[
        lambda logits, x: _sum(_by_torch(logits, x)),
        lambda logits, x: -Bernoulli().log_prob(logits, x).flatten(1).sum(1),
        lambda logits, x: -torch.distributions.Bernoulli(logits=logits).log_prob(x).flatten(1).sum(1),
        lambda logits, x: _sum(F.softplus((1 - 2 * x) * logits)),
        lambda logits, x: _sum(-(x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits))),
        lambda logits, x: _sum(torch.logaddexp(torch.zeros_like(logits), logits) - x * logits),
        lambda logits, x: (F.softplus(logits) - x * logits).sum(tuple(range(1, x.ndim))),
        lambda logits, x: _sum(logits.clamp(min=0) - logits * x + torch.log1p(torch.exp(-logits.abs()))),
        _loop,
    ],
    speed=Speed(lambda: (torch.randn(32, 1, 28, 28), torch.ones(32, 1, 28, 28))),
)
