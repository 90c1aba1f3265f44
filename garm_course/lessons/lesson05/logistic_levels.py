"""A draw from the bins of a logistic distribution by way of the hidden number; equation (5.7)."""

import torch
from torch import Tensor

from garm_course.distributions.logistic_mixture import logistic_levels
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import edge, only_numbers, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _u(*shape: int, seed: int) -> Tensor:
    return (2 * random(*shape, seed=seed)).sigmoid()


M, S, U = 0.5 * random(4, 60, seed=1), 0.5 * random(4, 60, seed=2) - 2, _u(4, 60, seed=3)
RARE = torch.tensor([1e-12, 1e-9, 1e-7, 1e-5, 1 - 1e-4, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12], dtype=torch.float64)
NARROW = 0.3 * random(60, seed=9), random(60, seed=10) - 9, _u(60, seed=11), 4096


HARD_CODED = "Right for 256 levels, not for another number of them: write levels - 1 where there is a 255, or its half."


def _located(attempt: Attempt) -> None:
    """The probe of random numbers; where no mistake is known it says in which half of (5.7) the fault lies."""
    try:
        plain(M, S, U, 256)(attempt)
    except Refused as refused:
        if refused.hint or not only_numbers(attempt):
            raise
        mean = 2 * M, torch.full_like(M, -30.0), U, 256  # with so small a scale it is the hidden number
        right = torch.equal(attempt.call(*mean), logistic_levels(*mean))
        raise Refused(f"{HIDDEN if right else PLACE} {refused}") from refused


PLACE = (
    "It is wrong even where the scale is almost 0 and the hidden number is the mean: look at the mean, and at how a "
    "hidden number becomes a level."
)
HIDDEN = "It is right where the scale is almost 0, so the level is read off rightly: the hidden number is wrong."


def _by(quantile, factor=lambda levels: (levels - 1) / 2):
    """The right draw with another hidden number, from (mean, log_scale, u), or another factor."""

    def answer(mean: Tensor, log_scale: Tensor, u: Tensor, levels: int) -> Tensor:
        return ((quantile(mean, log_scale, u) + 1) * factor(levels)).round().clamp(0, levels - 1).long()

    return answer


def _hidden(mean: Tensor, log_scale: Tensor, u: Tensor) -> Tensor:
    return mean + log_scale.exp() * (u.log() - torch.log1p(-u))


def _ended(end):
    """The right hidden number, turned into a level in another way, from (place among the levels, levels)."""
    return lambda m, s, u, levels: end((_hidden(m, s, u) + 1) * (levels - 1) / 2, levels)


def _by_bins(mean: Tensor, log_scale: Tensor, u: Tensor, levels: int) -> Tensor:
    edges = (2 * torch.arange(levels - 1, dtype=mean.dtype) + 1) / (levels - 1) - 1
    return (torch.sigmoid((edges - mean.unsqueeze(-1)) / log_scale.exp().unsqueeze(-1)) <= u.unsqueeze(-1)).sum(-1)


def _nearest(mean: Tensor, log_scale: Tensor, u: Tensor, levels: int) -> Tensor:
    points = 2 * torch.arange(levels, dtype=mean.dtype) / (levels - 1) - 1
    return (_hidden(mean, log_scale, u).unsqueeze(-1) - points).abs().argmin(-1)


EXERCISE = Exercise(
    name="logistic_levels",
    lesson="05",
    reference=logistic_levels,
    rule="The hidden number is mean + scale * logit(u); the level is the nearest point 2 x / (levels - 1) - 1, clamped "
    "to 0..levels-1, as integers.",
    probes=[
        _located,
        edge(same(0.3 * random(50, seed=4), torch.zeros(50).double(), _u(50, seed=5), 17), HARD_CODED),
        edge(same(0.2 * random(40, seed=6), random(40, seed=7) - 1, _u(40, seed=8), 3), HARD_CODED),
        same(torch.zeros(3), torch.zeros(3), torch.tensor([0.2, 0.5, 0.9]), 3),  # the example of the text
        same(M.float(), S.float(), U.float(), 17),
        same(M[:1, :1], S[:1, :1], U[:1, :1], 2),
        same(M[0, 0], S[0, 0], U[0, 0], 256),
        edge(
            same(torch.zeros(8).double(), torch.full((8,), -4.0).double(), RARE, 4096),
            "Right for ordinary u, not for u near 0 or 1: an eps or a clamp cuts the tails off. None is needed.",
        ),
        edge(
            same(*NARROW),
            "Right for wide bells, not for narrow ones (log_scale of -9, levels 4096): do not clamp the scale.",
        ),
    ],
    mistakes=[
        (
            _by(lambda m, s, u: m + s * torch.logit(u)),
            "The logarithm of the scale is used as if it were the scale: take exp(log_scale).",
        ),
        (
            _by(lambda m, s, u: m + torch.exp(-s) * torch.logit(u)),
            "You divide by the scale. A wide distribution spreads more: multiply logit(u) by exp(log_scale).",
        ),
        (
            _by(lambda m, s, u: m + torch.exp(s / 2) * torch.logit(u)),
            "exp(log_scale / 2) would be right for the logarithm of a variance. log_scale is that of the scale itself.",
        ),
        (
            _by(lambda m, s, u: m + s.exp() * torch.special.ndtri(u)),
            "This is the quantile of a Gaussian. The inverse of σ is the logit, ln u - ln(1 - u).",
        ),
        (
            _by(lambda m, s, u: m + s.exp() * torch.sigmoid(u)),
            "σ(u) is applied where its inverse is needed: logit(u) = ln u - ln(1 - u).",
        ),
        (
            _by(lambda m, s, u: m - s.exp() * torch.logit(u)),
            "The sign: a large u stands for a large value, and -logit(u) turns the order around.",
        ),
        (_by(lambda m, s, u: m + s.exp() * (u / 1 - u).log()), "u / 1 - u is u - u, that is 0: write u / (1 - u)."),
        (_by(lambda m, s, u: m + s.exp() * u.log()), "Half of the logit is missing: logit(u) = ln u - ln(1 - u)."),
        (
            _by(lambda m, s, u: m + s.exp() * (2 * u - 1)),
            "2 u - 1 is uniform in [-1, 1]. The logistic distribution needs logit(u) = ln u - ln(1 - u).",
        ),
        (
            _by(lambda m, s, u: s.exp() * (m + torch.logit(u))),
            "The mean is multiplied by the scale as well: mean + scale * logit(u).",
        ),
        (
            _by(lambda m, s, u: m + s.exp() * torch.logit(torch.rand_like(u))),
            "The draw ignores u and takes uniforms of its own. All randomness comes in through u, so use logit(u).",
        ),
        (
            _ended(lambda place, n: place.floor().clamp(0, n - 1).long()),
            "floor takes the point below. The bin of a level lies around its point: round to the nearest.",
        ),
        (
            _by(_hidden, lambda n: n / 2),
            "The factor is levels/2. Level x stands at 2 x / (levels - 1) - 1, so it is (hidden + 1) (levels - 1) / 2.",
        ),
        (
            _ended(lambda place, n: (place * n / (n - 1)).floor().clamp(0, n - 1).long()),
            "These are bins of equal width in [-1, 1]. Level x stands at 2 x / (levels - 1) - 1: round "
            "(hidden + 1) (levels - 1) / 2.",
        ),
        (
            _ended(lambda place, n: (2 * place - n + 1).round().clamp(0, n - 1).long()),
            "The hidden number is read as if it lay in [0, 1]. It lies in [-1, 1]: (hidden + 1) (levels - 1) / 2.",
        ),
        (
            _ended(lambda place, n: place.round().long()),
            "What falls outside [-1, 1] becomes a level that does not exist: clamp to 0..levels-1.",
        ),
        (
            _ended(lambda place, n: place.round().clamp(0, n).long()),
            "The last level is levels - 1: clamp to 0..levels-1.",
        ),
        (
            _ended(lambda place, n: (2 * place / (n - 1) - 1).clamp(-1, 1)),
            "This is the hidden number, clamped. The level is asked for, an integer 0..levels-1.",
        ),
        (
            _ended(lambda place, n: place.round().clamp(0, n - 1)),
            "The levels are right, but as floats: end with .long().",
        ),
    ],
    accepts=[_by(_hidden), _by_bins, _nearest],
    speed=Speed(lambda: (*torch.randn(2, 2000).unbind(), torch.rand(2000).clamp(1e-6, 1 - 1e-6), 17)),
)
