"""A draw from the bins of a logistic distribution by way of the hidden number; equation (5.7)."""

import torch
from torch import Tensor

from garm_course.distributions.logistic_mixture import logistic_levels
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _u(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).clamp(1e-3, 1 - 1e-3)


M, S, U = 0.5 * random(4, 60, seed=1), 0.5 * random(4, 60, seed=2) - 2, _u(4, 60, seed=3)
WIDE = (0.3 * random(50, seed=4), torch.zeros(50).double(), _u(50, seed=5), 17)


def _levels(hidden: Tensor, levels: int) -> Tensor:
    return ((hidden + 1) * (levels - 1) / 2).round().clamp(0, levels - 1).long()


def _by(quantile):
    """The right draw with another hidden number, from (mean, log_scale, u)."""
    return lambda mean, log_scale, u, levels: _levels(quantile(mean, log_scale, u), levels)


def _hidden(mean: Tensor, log_scale: Tensor, u: Tensor) -> Tensor:
    return mean + log_scale.exp() * (u.log() - torch.log1p(-u))


def _ended(end):
    """The right hidden number, turned into a level in another way."""
    return lambda mean, log_scale, u, levels: end(_hidden(mean, log_scale, u), levels)


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
    "to 0..levels-1, as whole numbers.",
    probes=[
        same(M, S, U, 256),
        same(*WIDE),
        same(0.2 * random(40, seed=6), random(40, seed=7) - 1, _u(40, seed=8), 3),
        same(M.float(), S.float(), U.float(), 17),
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
        (
            _by(lambda m, s, u: m + s.exp() * u.log()),
            "Half of the logit is missing: logit(u) = ln u - ln(1 - u).",
        ),
        (
            _by(lambda m, s, u: m + s.exp() * (2 * u - 1)),
            "2 u - 1 is uniform in [-1, 1]. The logistic distribution needs logit(u) = ln u - ln(1 - u).",
        ),
        (
            _by(lambda m, s, u: s.exp() * (m + torch.logit(u))),
            "The mean is multiplied by the scale as well: mean + scale * logit(u).",
        ),
        (
            _ended(lambda h, n: ((h + 1) * (n - 1) / 2).floor().clamp(0, n - 1).long()),
            "floor takes the point below. The bin of a level lies around its point: round to the nearest.",
        ),
        (
            _ended(lambda h, n: ((h + 1) * n / 2).round().clamp(0, n - 1).long()),
            "The factor is levels/2. Level x stands at 2 x / (levels - 1) - 1, so the way back is "
            "(hidden + 1) (levels - 1) / 2.",
        ),
        (
            _ended(lambda h, n: ((h + 1) * n / 2).floor().clamp(0, n - 1).long()),
            "These are bins of equal width in [-1, 1]. Level x stands at 2 x / (levels - 1) - 1: round "
            "(hidden + 1) (levels - 1) / 2.",
        ),
        (
            _ended(lambda h, n: (h * (n - 1)).round().clamp(0, n - 1).long()),
            "The hidden number is read as if it lay in [0, 1]. It lies in [-1, 1]: (hidden + 1) (levels - 1) / 2.",
        ),
        (
            _ended(lambda h, n: ((h + 1) * (n - 1) / 2).round().long()),
            "What falls outside [-1, 1] becomes a level that does not exist: clamp to 0..levels-1.",
        ),
        (
            _ended(lambda h, n: ((h + 1) * (n - 1) / 2).round().clamp(0, n).long()),
            "The last level is levels - 1: clamp to 0..levels-1.",
        ),
        (
            _ended(lambda h, n: h.clamp(-1, 1)),
            "This is the hidden number, clamped. The level is asked for, a whole number 0..levels-1.",
        ),
        (
            _ended(lambda h, n: ((h + 1) * (n - 1) / 2).round().clamp(0, n - 1)),
            "The levels are right, but as floats: end with .long().",
        ),
    ],
    accepts=[_by(_hidden), _by_bins, _nearest],
    speed=Speed(lambda: (*torch.randn(2, 2000).unbind(), torch.rand(2000).clamp(1e-6, 1 - 1e-6), 17)),
)
