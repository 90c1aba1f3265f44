"""The negative log-likelihood of counts under Poisson distributions; the likelihood behind equation (1.6)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions.heads import poisson_nll
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson00.digits import nearly
from garm_course.lessons.lesson01.dtypes import keeps_dtype
from garm_course.lessons.lesson01.reductions import ANY_AXES, reductions

RATE, K = 0.3 + 5 * random(3, 2, 3, 4, seed=1).abs(), 1 + (5 * random(3, 2, 3, 4, seed=2).abs()).long()
EMPTY_RATE = torch.tensor([[0.0, 2.3, 0.0], [0.0, 0.7, 5.1]], dtype=torch.float64)  # pixels that are never inked
EMPTY = torch.tensor([[0, 1, 0], [0, 0, 4]])
LARGE_RATE, LARGE = torch.tensor([[91.7, 3.2], [1.2, 903.0]], dtype=torch.float64), torch.tensor([[300, 2], [1, 0]])
IMPOSSIBLE_RATE, IMPOSSIBLE = torch.tensor([[0.0, 2.6]], dtype=torch.float64), torch.tensor([[2, 3]])
EXAMPLE = torch.tensor([[2.0, 0.0]]), torch.tensor([[3, 0]])

ZERO = (
    "Right except for a rate of 0: the count 0 then costs 0, but 0 * log 0 is NaN, and a clamp or constant changes it. "
    "torch.xlogy(k, rate) is 0 there."
)
NEARLY = "Nearly right: a constant inside the logarithm, a clamp or an approximation of ln k! changes the digits."
OVERFLOW = (
    "Right for small counts and rates. At 200, rate^k and k! overflow, and e^(-rate) is 0 at 903: take the logarithm "
    "of each factor first, rate - k ln(rate) + ln k!."
)
LARGEST = (
    "An impossible count costs the largest floating-point number instead of inf: torch.nan_to_num replaces inf as well "
    "as NaN. torch.xlogy gives 0 at 0 ln 0, and inf where it is due."
)
NOTHING = (
    "A count above 0 at a rate of 0 is impossible and must cost inf, but here the term k ln(rate) is dropped wherever "
    "the rate is 0: only 0 ln 0 counts as 0."
)
DTYPE = (
    "Right values in another dtype than that of the rate: k.double() makes the result float64, and .float() makes it "
    "float32. Take k.to(rate) instead."
)


def _impossible(attempt) -> None:
    """A count above 0 at a rate of 0 costs inf; what stands there instead tells what hides it."""
    got = attempt.call(IMPOSSIBLE_RATE, IMPOSSIBLE)[0].item()
    rest = poisson_nll(IMPOSSIBLE_RATE.clamp(min=1.0), IMPOSSIBLE).item() - 1  # all but -2 ln(rate), the rate being 0
    nats = (got - rest) / 2  # of one impossible count
    cause = f"{attempt.exercise.name}: a rate of 0 with the count 2: expected inf, got {got:.6g}."
    attempt.require(not 1e30 < abs(got) < math.inf, cause, LARGEST)
    epsilon = (
        f"About {math.exp(-min(nats, 740)):.0e} stands in place of a rate of 0 inside the logarithm, so an impossible "
        f"count costs {nats:.1f} nats instead of inf: torch.xlogy needs no clamp or epsilon."
    )
    attempt.require(not 1 < nats < 740, cause, epsilon)
    attempt.require(got == math.inf, cause, NOTHING)


def _sum(term):
    return lambda rate, k: term(rate, k).flatten(1).sum(1)


def _log_factorial(k: Tensor) -> Tensor:
    return torch.lgamma(k.double() + 1)


def _terms(rate: Tensor, k: Tensor) -> Tensor:
    return rate - torch.xlogy(k, rate) + _log_factorial(k).to(rate.dtype)


def _with(log_factorial):
    """Something else in the place of ln k!."""
    return _sum(lambda rate, k: rate - torch.xlogy(k, rate) + log_factorial(rate, k.double()))


def _table(rate: Tensor, k: Tensor) -> Tensor:
    factorials = torch.tensor([math.lgamma(n + 1) for n in range(int(k.max()) + 1)], dtype=rate.dtype)
    return (rate - torch.xlogy(k, rate) + factorials[k]).flatten(1).sum(1)


def _loop(rate: Tensor, k: Tensor) -> Tensor:
    rows = []
    for row, counts in zip(rate.flatten(1), k.flatten(1).tolist(), strict=True):
        terms = [r + math.log(math.factorial(n)) - (n * r.log() if n else 0) for r, n in zip(row, counts, strict=True)]
        rows.append(sum(terms))
    return torch.stack(rows)


EXERCISE = Exercise(
    name="poisson_nll",
    lesson="01",
    reference=poisson_nll,
    rule="The NLL is the sum over dimensions of rate - k ln(rate) + ln k!, in nats, where 0 ln 0 = 0; returns (B,).",
    probes=[
        nearly(RATE, K, hint=NEARLY),
        edge(same(RATE, K // 2), "Right for counts above 0. At k = 0, ln 0! is 0 (and k ln k would be NaN)."),
        edge(same(RATE[:, 0, 0], K[:, 0, 0]), ANY_AXES),
        edge(same(RATE[:, None], K[:, None]), ANY_AXES),
        same(RATE[:1, :1], K[:1, :1]),
        same(RATE[:1, 0, 0, :1], K[:1, 0, 0, :1]),
        edge(same(EMPTY_RATE, EMPTY), ZERO),
        edge(same(LARGE_RATE, LARGE), OVERFLOW),
        _impossible,
        same(RATE, K, grad=True),
        keeps_dtype(
            (EMPTY_RATE.float(), EMPTY), (LARGE_RATE.float(), LARGE), (RATE.float(), K), EXAMPLE, (RATE, K), hint=DTYPE
        ),
    ],
    axes=("example",),
    any_dtype=True,  # see `keeps_dtype`
    rtol=1e-5,  # torch.lgamma of whole numbers is computed in float32
    atol=1e-5,
    mistakes=[
        *reductions(_terms, "example", "dimensions"),
        (
            F.poisson_nll_loss,
            "F.poisson_nll_loss takes the logarithm of the rate by default (log_input=True), averages everything, "
            "and leaves ln k! out.",
        ),
        (
            _sum(lambda rate, k: F.poisson_nll_loss(rate, k, reduction="none")),
            "F.poisson_nll_loss takes the logarithm of the rate by default (log_input=True), and it drops ln k!.",
        ),
        (
            lambda rate, k: F.poisson_nll_loss(rate, k, log_input=False),
            'F.poisson_nll_loss averages over everything by default, and leaves ln k! out: reduction="none", then sum.',
        ),
        (
            _sum(lambda rate, k: F.poisson_nll_loss(rate, k, log_input=False, full=True, reduction="none")),
            "ln k! is only approximated (full=True adds Stirling's formula): torch.lgamma(k + 1) is exact.",
        ),
        (
            _sum(lambda rate, k: rate.exp() - k * rate + _log_factorial(k)),
            "The rate is taken for its logarithm. Here the rate itself comes in: rate - k ln(rate) + ln k!.",
        ),
        (
            _with(lambda rate, k: 0),
            "ln k! is missing. It has no gradient, so training does not notice, but the nats and bits are wrong.",
        ),
        (
            _with(lambda rate, k: torch.lgamma(k)),
            "lgamma(k) is ln (k - 1)!, and infinite at k = 0: ln k! is lgamma(k + 1).",
        ),
        (_with(lambda rate, k: torch.lgamma(k + 2)), "lgamma(k + 2) is ln (k + 1)!: ln k! is lgamma(k + 1)."),
        (
            _with(lambda rate, k: -_log_factorial(k)),
            "The sign of ln k!: k! stands in the denominator of p, so -ln p has + ln k!.",
        ),
        (
            _with(lambda rate, k: torch.lgamma(rate + 1)),
            "lgamma(rate + 1) is taken, but the factorial is that of the count: lgamma(k + 1).",
        ),
        (_with(lambda rate, k: k.log()), "ln k is added in place of ln k!: that is torch.lgamma(k + 1)."),
        (_with(lambda rate, k: k), "There is k in place of ln k!: that is torch.lgamma(k + 1)."),
        (
            _with(lambda rate, k: torch.exp(_log_factorial(k))),
            "k! itself is added, not its logarithm: torch.lgamma(k + 1) is ln k!.",
        ),
        (
            _with(lambda rate, k: torch.lgamma(_log_factorial(k).exp() + 1)),
            "The factorial is taken twice: lgamma(k + 1) of the count itself is ln k! already.",
        ),
        (
            _with(lambda rate, k: torch.xlogy(k, k)),
            "There is k ln k in place of ln k!: this is the deviance up to k, not the NLL. torch.lgamma(k + 1).",
        ),
        (
            _with(lambda rate, k: torch.xlogy(k, k) - k),
            "k ln k - k is the first part of Stirling's formula, not ln k!. torch.lgamma(k + 1) is exact.",
        ),
        (
            _sum(lambda rate, k: rate + torch.xlogy(k, rate) + _log_factorial(k)),
            "The sign of k ln(rate): p has rate^k in its numerator, so -ln p has - k ln(rate).",
        ),
        (
            _sum(lambda rate, k: -rate - torch.xlogy(k, rate) + _log_factorial(k)),
            "The sign of the rate: p has e^(-rate), so -ln p has + rate.",
        ),
        (
            _sum(lambda rate, k: _terms(rate, k) - rate),
            "The term + rate is missing: without it, any larger rate would look better.",
        ),
        (
            _sum(lambda rate, k: k - torch.xlogy(rate, k) + torch.lgamma(rate + 1)),
            "Rate and count are exchanged: the first argument is the rate, the second the count.",
        ),
        (
            _sum(lambda rate, k: rate - torch.xlogy(rate, k) + _log_factorial(k)),
            "xlogy(rate, k) is rate * ln k. What is needed is k * ln(rate): torch.xlogy(k, rate).",
        ),
        (
            _sum(lambda rate, k: rate - rate.log() + _log_factorial(k)),
            "ln(rate) lacks its factor k: rate^k gives k ln(rate).",
        ),
        (
            _sum(lambda rate, k: 0.5 * ((k - rate) ** 2 / rate + (2 * math.pi * rate).log())),
            "This is a Gaussian with the mean and variance of the Poisson: an approximation for large rates only.",
        ),
        (
            _sum(lambda rate, k: (k - rate) ** 2),
            "This is the squared error, not a likelihood: rate - k ln(rate) + ln k!.",
        ),
        (
            _sum(lambda rate, k: torch.exp(-_terms(rate, k))),
            "These are probabilities, added up. Take -ln of each first: the sum of logarithms is that of the product.",
        ),
    ],
    accepts=[
        _sum(lambda rate, k: -torch.distributions.Poisson(rate).log_prob(k)),
        _sum(lambda rate, k: -torch.distributions.Poisson(rate).log_prob(k.to(rate.dtype))),
        _sum(lambda rate, k: rate - torch.xlogy(k, rate) + torch.lgamma(k + 1)),
        _sum(lambda rate, k: rate - torch.xlogy(k, rate) + torch.lgamma(k.to(rate) + 1)),
        _sum(lambda rate, k: rate - torch.where(k > 0, k * rate.log(), 0.0) + torch.lgamma(k + 1.0)),
        lambda rate, k: (rate - torch.xlogy(k, rate) + torch.lgamma(k + 1.0)).sum(tuple(range(1, k.ndim))),
        _sum(lambda rate, k: (rate - torch.xlogy(k, rate) + torch.special.gammaln(k.double() + 1)).to(rate.dtype)),
        _table,
        _loop,
    ],
    speed=Speed(lambda: (torch.rand(32, 1, 28, 28), torch.ones(32, 1, 28, 28, dtype=torch.long))),
)
