"""The negative log-likelihood of binary images with independent pixels, from logits; equation (1.3)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions.heads import Bernoulli, bernoulli_nll
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson00.digits import nearly
from garm_course.lessons.lesson01.reductions import ANY_AXES, reductions

L, X = 2 * random(3, 2, 4, 5, seed=1), (random(3, 2, 4, 5, seed=2) > 0.3).double()
CERTAIN = torch.tensor([[[[800.0, -800.0], [3.7, 0.2]]], [[[800.0, -1e5], [-1.3, 0.6]]]], dtype=torch.float64)
SEEN = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]], [[[1.0, 1.0], [0.0, 1.0]]]], dtype=torch.float64)
NEARLY = (
    "Nearly right: a constant inside the logarithm, or a clamp, changes the digits. softplus(l) - x l needs neither."
)
FLAT = (
    "Right values, but at logits of 800 the gradient is NaN or 0: torch.where differentiates the branch not taken as "
    "well. Take one form that is exact for all, softplus(l) - x l."
)


def _confident(attempt: Attempt) -> None:
    """One pixel with a large logit; what it costs tells what cuts or breaks the cost."""
    for logit, x in ((800.0, 0.0), (-800.0, 1.0), (800.0, 1.0), (-800.0, 0.0)):
        l, seen = (torch.tensor([[number]], dtype=torch.float64) for number in (logit, x))
        pixel, want = f"A pixel {x:.0f} with the logit {logit:.0f}", 0.0 if (logit > 0) == x else 800.0
        try:
            got = attempt.call(l, seen).item()
        except Refused as refused:
            if attempt.outcomes[-1].changed:
                raise
            hint = f"Right for small logits. {pixel} costs NaN: exp overflows, or 0 meets the infinite log of 0. "
            raise Refused(str(refused), f"{hint}Use softplus(l) - x l.") from refused
        cause = f"bernoulli_nll: a pixel {x:.0f} with the logit {logit:.0f}: expected {want:g}, got {got:.6g}."
        costs = f"Right for small logits. {pixel} costs {got:.4g} nats instead of {want:g}: "
        reason = "sigmoid rounds to 0 or 1 there, or exp overflows. softplus(l) - x l stays exact."
        if math.isfinite(got):
            reason = "a clamp or an epsilon cuts the cost, and with it the gradient. softplus(l) - x l needs neither."
        if 99 < got < 101:
            reason = "F.binary_cross_entropy stops at 100. F.binary_cross_entropy_with_logits is exact."
        if 36 < got < 36.1:
            reason = "Bernoulli(probs=...) cuts probabilities off near 0 and 1. Pass logits=logits."
        if 1e30 < got < math.inf:
            reason = "torch.nan_to_num hides an infinity. softplus(l) - x l has none."
        attempt.require(math.isclose(got, want, rel_tol=1e-6, abs_tol=1e-6), cause, costs + reason)


def _sum(term):
    return lambda logits, x: term(logits, x).flatten(1).sum(1)


def _terms(logits: Tensor, x: Tensor) -> Tensor:
    return F.softplus(logits) - x * logits


def _loop(logits: Tensor, x: Tensor) -> Tensor:
    rows = zip(logits.flatten(1), x.flatten(1), strict=True)
    return torch.stack([sum(F.softplus(-a if b == 1 else a) for a, b in zip(*row, strict=True)) for row in rows])


def _by_torch(logits: Tensor, x: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


EXERCISE = Exercise(
    name="bernoulli_nll",
    lesson="01",
    reference=bernoulli_nll,
    rule="The NLL of an image is the sum over its pixels of softplus(l) - x l, in nats; one value per image, (B,).",
    probes=[
        nearly(L, X, hint=NEARLY),
        edge(same(L[:, 0, 0], X[:, 0, 0]), ANY_AXES),
        edge(same(L[:, :, None], X[:, :, None]), ANY_AXES),
        same(L[:1, :1], X[:1, :1]),
        same(L[:1, 0, 0, :1], X[:1, 0, 0, :1]),
        _confident,
        same(L, X, grad=True),
        same(CERTAIN, SEEN),
        edge(same(CERTAIN, SEEN, grad=True), FLAT),
        same(L.float(), X.float()),
        same(torch.tensor([[2.0, -2.0]]), torch.tensor([[1.0, 0.0]])),
        same(torch.tensor([[800.0, -800.0]]), torch.tensor([[0.0, 1.0]])),
        same(CERTAIN.float(), SEEN.float()),
    ],
    axes=("image",),
    rtol=1e-5,
    atol=1e-7,
    mistakes=[
        *reductions(_terms, "image", "pixels"),
        (
            _sum(lambda logits, x: _terms(logits, 1 - x)),
            "Ones and zeros are exchanged: a large logit makes a 1 likely, so -log p(1) = softplus(-l).",
        ),
        (_sum(lambda logits, x: F.softplus(logits) + x * logits), "The sign of x l: it is softplus(l) - x l."),
        (_sum(lambda logits, x: F.softplus(logits)), "This is -log p(0) for all pixels: subtract x l."),
        (_sum(lambda logits, x: F.softplus(logits) - x), "x is subtracted where it is x l: softplus(l) - x l."),
        (
            lambda logits, x: F.cross_entropy(logits.flatten(1), x.flatten(1), reduction="none"),
            "F.cross_entropy makes the pixels compete (a softmax). Each is a coin of its own: softplus(l) - x l.",
        ),
        (
            _sum(lambda logits, x: F.softplus(-logits)),
            "This is -log p(1) for all pixels: softplus(-l) where x is 1, softplus(l) where it is 0.",
        ),
        (
            _sum(lambda logits, x: x * F.softplus(-logits)),
            "Only pixels that are 1 count. Those that are 0 cost softplus(l).",
        ),
        (
            _sum(lambda logits, x: (1 - x) * F.softplus(logits)),
            "Only pixels that are 0 count. Those that are 1 cost softplus(-l).",
        ),
        (
            _sum(lambda logits, x: F.softplus(-logits) - x * logits),
            "softplus(-l) = softplus(l) - l is the cost of a 1 already: take softplus(l) - x l, "
            "or softplus(-l) + (1 - x) l.",
        ),
        (
            _sum(lambda logits, x: _by_torch(logits.sigmoid(), x)),
            "The logits went through a sigmoid first; softplus and binary_cross_entropy_with_logits expect raw logits.",
        ),
        (
            _sum(lambda logits, x: -(x * logits.log() + (1 - x) * (1 - logits).log())),
            "The logits are used as if they were probabilities: -log p(1) = softplus(-l).",
        ),
        (
            _sum(lambda logits, x: F.binary_cross_entropy(logits, x, reduction="none")),
            "binary_cross_entropy expects probabilities, and these are logits: binary_cross_entropy_with_logits.",
        ),
        (
            _sum(lambda logits, x: F.softplus(logits.sigmoid()) - x * logits),
            "softplus is taken of sigmoid(l). It expects the raw logit: softplus(l) - x l.",
        ),
        (
            _sum(lambda logits, x: _by_torch(x, logits)),
            "The arguments are exchanged: binary_cross_entropy_with_logits takes the logits first, then the pixels.",
        ),
        (
            _sum(lambda logits, x: -(x * F.logsigmoid(logits) + (1 - x) * (1 - F.logsigmoid(logits)))),
            "ln(1 - sigmoid(l)) is not 1 - ln sigmoid(l): it is logsigmoid(-l).",
        ),
        (
            _sum(lambda logits, x: -(x * F.logsigmoid(logits) + (1 - x) * torch.log(1 - F.logsigmoid(logits)))),
            "logsigmoid is a logarithm already, not a probability to subtract from 1: ln p(0) is logsigmoid(-l).",
        ),
        (
            _sum(lambda logits, x: (logits.sigmoid() - x) ** 2),
            "This is the squared error of the probability, not a likelihood: -log p.",
        ),
        (
            _sum(lambda logits, x: torch.where(x == 1, logits, -logits).sigmoid()),
            "The probabilities of the pixels are added: it is their logarithms that add up, -log p.",
        ),
    ],
    accepts=[
        _sum(_by_torch),
        lambda logits, x: -Bernoulli().log_prob(logits, x).flatten(1).sum(1),
        _sum(lambda logits, x: -torch.distributions.Bernoulli(logits=logits).log_prob(x)),
        _sum(lambda logits, x: F.softplus((1 - 2 * x) * logits)),
        _sum(lambda logits, x: -(x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits))),
        _sum(lambda logits, x: torch.logaddexp(torch.zeros_like(logits), logits) - x * logits),
        lambda logits, x: (F.softplus(logits) - x * logits).sum(tuple(range(1, x.ndim))),
        _sum(lambda logits, x: logits.clamp(min=0) - logits * x + torch.log1p(torch.exp(-logits.abs()))),
        _loop,
    ],
    speed=Speed(lambda: (torch.randn(32, 1, 28, 28), torch.ones(32, 1, 28, 28))),
)
