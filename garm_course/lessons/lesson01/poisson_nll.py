"""The negative log-likelihood of counts under Poisson distributions; the likelihood behind equation (1.6)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions.heads import poisson_nll
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson01.dtypes import keeps_dtype

K = torch.tensor([[0, 3, 7, 1, 16], [2, 0, 0, 11, 5], [4, 9, 1, 0, 0]])
RATE = torch.tensor(
    [[0.37, 2.6, 9.3, 1.4, 7.7], [1.2, 0.08, 4.4, 6.5, 5.3], [12.1, 3.9, 0.61, 2.2, 0.93]], dtype=torch.float64
)
IMAGES = torch.tensor([[[[1, 0], [5, 2], [0, 8]]], [[[3, 3], [0, 1], [12, 4]]]])
EMPTY_RATE = torch.tensor([[0.0, 2.3, 0.0], [0.0, 0.7, 5.1]], dtype=torch.float64)  # pixels that are never inked
EMPTY = torch.tensor([[0, 1, 0], [0, 0, 4]])
LARGE_RATE, LARGE = torch.tensor([[91.7, 3.2]], dtype=torch.float64), torch.tensor([[200, 2]])  # 200! overflows
IMPOSSIBLE_RATE, IMPOSSIBLE = torch.tensor([[0.0, 2.6]], dtype=torch.float64), torch.tensor([[2, 3]])


def _sum(nats: Tensor) -> Tensor:
    return nats.flatten(1).sum(1)


def _log_factorial(k: Tensor) -> Tensor:
    return torch.lgamma(k.double() + 1)


def _terms(rate: Tensor, k: Tensor) -> Tensor:
    return rate - torch.xlogy(k, rate) + _log_factorial(k).to(rate.dtype)


def _of_torch(rate: Tensor, k: Tensor, **options) -> Tensor:
    return F.poisson_nll_loss(rate, k, log_input=False, reduction="none", **options)


def _table(rate: Tensor, k: Tensor) -> Tensor:
    factorials = torch.tensor([math.lgamma(n + 1) for n in range(int(k.max()) + 1)], dtype=rate.dtype)
    return _sum(rate - torch.xlogy(k, rate) + factorials[k])


def _loop(rate: Tensor, k: Tensor) -> Tensor:
    rows = []
    for row, counts in zip(rate.flatten(1), k.flatten(1).tolist(), strict=True):
        total = row.new_zeros(())
        for r, n in zip(row, counts, strict=True):
            total = total + r + math.log(math.factorial(n))
            if n > 0:
                total = total - n * r.log()
        rows.append(total)
    return torch.stack(rows)


def _stirling(k: Tensor) -> Tensor:
    k = k.double().clamp(min=1)
    return torch.where(k > 1, k * k.log() - k + 0.5 * (2 * math.pi * k).log(), 0.0)


def _epsilon_hint(epsilon: float) -> str:
    return (
        f"About {epsilon:.0e} stands in place of a rate of 0 inside the logarithm, so an impossible count costs "
        f"{-math.log(epsilon):.1f} nats instead of inf: torch.xlogy needs no clamp or epsilon."
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
    if 1e30 < abs(got) < math.inf:
        attempt.require(False, cause, LARGEST)
    if 1 < nats < 90:
        attempt.require(False, cause, _epsilon_hint(math.exp(-nats)))
    attempt.require(got == math.inf, cause, NOTHING)


EXERCISE = Exercise(
    name="poisson_nll",
    lesson="01",
    reference=poisson_nll,
    rule="The NLL is the sum over dimensions of rate - k ln(rate) + ln k!, in nats, where 0 ln 0 = 0; returns (B,).",
    probes=[
        same(RATE, K),
        same(0.5 + 1.7 * IMAGES.double().flip(0), IMAGES),
        same(RATE, K, grad=True),
        same(EMPTY_RATE, EMPTY),
        same(LARGE_RATE, LARGE),
        same(RATE[:1, :1], K[:1, :1]),
        _impossible,
        keeps_dtype(
            (EMPTY_RATE.float(), EMPTY),
            (LARGE_RATE.float(), LARGE),
            (RATE.float(), K),
            (IMAGES + 0.5, IMAGES.flip(0)),
            (RATE, K),
            hint=DTYPE,
        ),
    ],
    axes=("example",),
    any_dtype=True,  # see `keeps_dtype`
    rtol=1e-5,  # torch.lgamma of whole numbers is computed in float32
    atol=1e-6,
    mistakes=[
        (
            lambda rate, k: F.poisson_nll_loss(rate, k),
            "F.poisson_nll_loss takes the logarithm of the rate by default (log_input=True), averages everything, "
            "and leaves ln k! out.",
        ),
        (
            lambda rate, k: _sum(F.poisson_nll_loss(rate, k, reduction="none")),
            "F.poisson_nll_loss takes the logarithm of the rate by default (log_input=True), and it drops ln k!.",
        ),
        (
            lambda rate, k: _sum(rate.exp() - k * rate + _log_factorial(k)),
            "The rate is taken for its logarithm. Here the rate itself comes in: rate - k ln(rate) + ln k!.",
        ),
        (
            lambda rate, k: F.poisson_nll_loss(rate, k, log_input=False),
            'F.poisson_nll_loss averages over everything by default, and leaves ln k! out: reduction="none", then sum.',
        ),
        (
            lambda rate, k: _sum(_of_torch(rate, k, full=True)),
            "full=True adds Stirling's approximation, not ln k!. torch.lgamma(k + 1) is exact.",
        ),
        (
            lambda rate, k: _sum(F.poisson_nll_loss(rate, k, full=True, reduction="none")),
            "Two faults: log_input=True takes the rate for its logarithm, and full=True only approximates ln k!.",
        ),
        (
            lambda rate, k: F.poisson_nll_loss(rate, k, log_input=False, full=True),
            "The default averages over everything, and full=True only approximates ln k!: take "
            'reduction="none" and torch.lgamma(k + 1).',
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate) + _stirling(k)),
            "ln k! is approximated by Stirling's formula, which is off by 8 % at k = 2: torch.lgamma(k + 1) is exact.",
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate)),
            "ln k! is missing. It has no gradient, so training does not notice, but the nats and bits are wrong.",
        ),
        (
            lambda rate, k: _sum(rate - k * rate.log()),
            "ln k! is missing (fine for gradients, wrong in nats), and a rate of 0 with k = 0 gives NaN: torch.xlogy.",
        ),
        (
            lambda rate, k: _sum(rate - k * rate.log() + _log_factorial(k)),
            "Right except for a rate of 0: 0 * log 0 is NaN and must count as 0. torch.xlogy(k, rate) does that.",
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate) + torch.lgamma(k.double())),
            "lgamma(k) is ln (k - 1)!, and infinite at k = 0: ln k! is lgamma(k + 1).",
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate) + torch.lgamma(k.double() + 2)),
            "lgamma(k + 2) is ln (k + 1)!: ln k! is lgamma(k + 1).",
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate) - _log_factorial(k)),
            "The sign of ln k!: k! stands in the denominator of p, so -ln p has + ln k!.",
        ),
        (
            lambda rate, k: _sum(rate + torch.xlogy(k, rate) + _log_factorial(k)),
            "The sign of k ln(rate): p has rate^k in its numerator, so -ln p has - k ln(rate).",
        ),
        (
            lambda rate, k: _sum(-rate - torch.xlogy(k, rate) + _log_factorial(k)),
            "The sign of the rate: p has e^(-rate), so -ln p has + rate.",
        ),
        (
            lambda rate, k: -_sum(_terms(rate, k)),
            "The sign: this is the log-likelihood. The negative one is asked for.",
        ),
        (
            lambda rate, k: _sum(_log_factorial(k).to(rate.dtype) - torch.xlogy(k, rate)),
            "The term + rate is missing: without it, any larger rate would look better.",
        ),
        (
            lambda rate, k: _sum(k - torch.xlogy(rate, k) + torch.lgamma(rate + 1)),
            "Rate and count are exchanged: the first argument is the rate, the second the count.",
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(rate, k) + _log_factorial(k)),
            "xlogy(rate, k) is rate * ln k. What is needed is k * ln(rate): torch.xlogy(k, rate).",
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate) + k),
            "There is k in place of ln k!: that is torch.lgamma(k + 1).",
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate) + torch.exp(_log_factorial(k))),
            "k! itself is added, not its logarithm: torch.lgamma(k + 1) is ln k!.",
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate) + torch.xlogy(k.double(), k.double())),
            "There is k ln k in place of ln k!: this is the deviance up to k, not the NLL. torch.lgamma(k + 1).",
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate) + torch.xlogy(k.double(), k.double()) - k),
            "k ln k - k is the first part of Stirling's formula, not ln k!. torch.lgamma(k + 1) is exact.",
        ),
        (
            lambda rate, k: _terms(rate, k).flatten(1).mean(1),
            "The dimensions are averaged. Sum them: the NLL is that of the whole example.",
        ),
        (
            lambda rate, k: _terms(rate, k).sum(),
            "This is one number, summed over the examples as well. Return one value per example, (B,).",
        ),
        (
            lambda rate, k: _terms(rate, k).mean(),
            "This is one number, averaged over dimensions and examples. Sum over the dimensions, and return (B,).",
        ),
        (
            lambda rate, k: _sum(_terms(rate, k)).mean(),
            "This is one number, the mean over the examples. Return one value per example, (B,).",
        ),
        (_terms, "This is one value per dimension. Sum over all axes but the first: .flatten(1).sum(1)."),
        (lambda rate, k: _terms(rate, k).sum(-1), "Only the last axis is summed. Sum over all but the first."),
        (
            lambda rate, k: _terms(rate, k).sum(1),
            "Only axis 1 is summed (the channels of an image). Sum over all axes but the first: .flatten(1).sum(1).",
        ),
        (
            lambda rate, k: _terms(rate, k).sum((1, 2, 3)),
            "Axes 1, 2, 3 are summed, but (B, ...) may have any number of axes: .flatten(1).sum(1) takes all.",
        ),
        (lambda rate, k: _terms(rate, k).sum(0), "The sum runs over the examples (dim=0). Sum over their dimensions."),
        (
            lambda rate, k: _sum(_of_torch(rate, k) + _log_factorial(k)),
            _epsilon_hint(1e-8),  # F.poisson_nll_loss adds it
        ),
        (
            lambda rate, k: _sum(rate - k * rate.clamp(min=1e-6).log() + _log_factorial(k)),
            _epsilon_hint(1e-6),
        ),
        (
            lambda rate, k: _sum(rate - k * torch.where(rate > 0, rate, 1e-12).log() + _log_factorial(k)),
            _epsilon_hint(1e-12),
        ),
        (
            lambda rate, k: _sum(rate - torch.nan_to_num(k * rate.log()) + _log_factorial(k)),
            LARGEST,
        ),
        (
            lambda rate, k: _sum(rate - k * torch.where(rate > 0, rate, 1.0).log() + _log_factorial(k)),
            NOTHING,
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate) + _log_factorial(k)),
            DTYPE,
        ),
        (
            lambda rate, k: _sum(-(torch.exp(-rate) * rate**k / torch.exp(_log_factorial(k))).log()),
            "Right for small counts. At 200, rate^k and k! overflow, and inf / inf is NaN: take the logarithm of each "
            "factor first, rate - k ln(rate) + ln k!.",
        ),
        (
            lambda rate, k: -(torch.exp(-rate) * rate**k / torch.exp(_log_factorial(k))).log().flatten(1).mean(1),
            "Two faults: the dimensions are averaged, where a sum belongs, and k! overflows at 200 (torch.lgamma).",
        ),
        (
            lambda rate, k: _terms(rate, k).flatten(1).sum(1) / k.flatten(1).sum(1),
            "This is divided by the number of counts. The NLL is that of the whole example: a sum, not a mean.",
        ),
        (
            lambda rate, k: _sum(rate - torch.xlogy(k, rate) + torch.lgamma(rate + 1)),
            "lgamma(rate + 1) is taken, but the factorial is that of the count: lgamma(k + 1).",
        ),
        (
            lambda rate, k: _sum(rate - k * rate.log() + torch.lgamma(k.double())),
            "Two faults: lgamma(k) is ln (k - 1)!, so write k + 1, and a rate of 0 gives NaN (torch.xlogy).",
        ),
        (
            lambda rate, k: _sum(rate - k * rate.log() - _log_factorial(k)),
            "Two faults: ln k! belongs with a plus, since k! is in the denominator, and a rate of 0 gives NaN "
            "(torch.xlogy).",
        ),
        (
            lambda rate, k: _sum(rate + k * rate.log() + _log_factorial(k)),
            "Two faults: k ln(rate) belongs with a minus, since rate^k is in the numerator, and a rate of 0 gives NaN "
            "(torch.xlogy).",
        ),
        (
            lambda rate, k: _sum(-rate + k * rate.log() - _log_factorial(k)),
            "Two faults: this is the log-likelihood, without the minus, and a rate of 0 gives NaN (torch.xlogy).",
        ),
        (
            lambda rate, k: (rate - k * rate.log() + _log_factorial(k)).flatten(1).mean(1),
            "Two faults: the dimensions are averaged, where a sum belongs, and a rate of 0 gives NaN (torch.xlogy).",
        ),
        (
            lambda rate, k: (rate - k * rate.log() + _log_factorial(k)).sum(),
            "Two faults: the examples are summed as well, return (B,), and a rate of 0 gives NaN (torch.xlogy).",
        ),
        (
            lambda rate, k: (rate - k * rate.log() + _log_factorial(k)).sum(-1),
            "Two faults: only the last axis is summed (.flatten(1).sum(1) takes all), and a rate of 0 gives NaN "
            "(torch.xlogy).",
        ),
        (
            lambda rate, k: _sum(rate - k * (rate + 1e-3).log() + _log_factorial(k)),
            "1e-3 was added inside the logarithm, and the third digit is wrong: torch.xlogy(k, rate) needs nothing.",
        ),
        (
            lambda rate, k: _sum(rate.clamp(min=0.1) - k * rate.clamp(min=0.1).log() + _log_factorial(k)),
            "Small rates are clamped to 0.1: a rate of 0 is legal, and torch.xlogy(k, rate) deals with it.",
        ),
        (
            lambda rate, k: _sum(_terms(rate, k)) / math.log(2),
            "This is in bits. The course counts in nats: no division by ln 2.",
        ),
        (
            lambda rate, k: _sum(0.5 * ((k - rate) ** 2 / rate + (2 * math.pi * rate).log())),
            "This is a Gaussian with the mean and variance of the Poisson: an approximation for large rates only.",
        ),
        (
            lambda rate, k: _sum((k - rate) ** 2),
            "This is the squared error, not a likelihood: rate - k ln(rate) + ln k!.",
        ),
        (
            lambda rate, k: _sum(torch.exp(-_terms(rate, k))),
            "These are probabilities, added up. Take -ln of each first: the sum of logarithms is that of the product.",
        ),
        (
            lambda rate, k: poisson_nll(rate.detach(), k),
            "The values are right, but the rate is detached: no gradient reaches it, so nothing is learned.",
        ),
        (
            lambda rate, k: _sum(_terms(rate, k)).unsqueeze(1),
            "The shape is (B, 1): return (B,).",
        ),
    ],
    accepts=[
        lambda rate, k: -torch.distributions.Poisson(rate).log_prob(k).flatten(1).sum(1),
        lambda rate, k: -torch.distributions.Poisson(rate).log_prob(k.to(rate.dtype)).flatten(1).sum(1),
        lambda rate, k: _sum(rate - torch.xlogy(k, rate) + torch.lgamma(k + 1)),
        lambda rate, k: _sum(rate - torch.xlogy(k, rate) + torch.lgamma(k.to(rate) + 1)),
        lambda rate, k: _sum(rate - torch.xlogy(k, rate) + torch.lgamma(k + 1.0)),
        lambda rate, k: _sum(rate - torch.where(k > 0, k * rate.log(), 0.0) + torch.lgamma(k + 1.0)),
        lambda rate, k: (rate - torch.xlogy(k, rate) + torch.lgamma(k + 1.0)).sum(tuple(range(1, k.ndim))),
        lambda rate, k: _sum(rate - torch.special.xlogy(k, rate) + torch.special.gammaln(k.double() + 1)).to(
            rate.dtype
        ),
        _table,
        _loop,
    ],
    speed=Speed(lambda: (torch.rand(32, 1, 28, 28), torch.ones(32, 1, 28, 28, dtype=torch.long))),
)
