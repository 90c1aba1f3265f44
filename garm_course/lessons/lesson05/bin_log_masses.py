"""The mass that a logistic distribution puts into the bin of a level; equations (5.1) and (5.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions.logistic_mixture import bin_log_masses
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

X17, X256 = torch.arange(17), torch.tensor([[0, 1, 100, 254], [255, 7, 128, 0]])
MEAN, SCALE = 0.7 * random(2, 4, seed=1), random(2, 4, seed=2) - 2
FAR = (torch.tensor([0, 40, 200, 255]), torch.tensor([0.9, 0.9, -0.9, -0.9]), torch.full((4,), -4.5), 256)


def _edges(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int, half: float | None = None):
    half = 1 / (levels - 1) if half is None else half
    centered = 2 * x / (levels - 1) - 1 - mean
    return (centered - half) * torch.exp(-log_scale), (centered + half) * torch.exp(-log_scale)


def _by_edges(low: Tensor, high: Tensor, x: Tensor, levels: int, *, first: bool = True, last: bool = True) -> Tensor:
    """The exact form from edges that may be wrong, with each end open or not."""
    a = (x == 0) & torch.tensor(first)
    b = (x == levels - 1) & torch.tensor(last)
    inside = F.logsigmoid(high).masked_fill(b, 0.0) + F.logsigmoid(-low).masked_fill(a, 0.0)
    return inside + torch.log(-torch.expm1(low - high)).masked_fill(a | b, 0.0)


def _with_half(half):
    def answer(x, mean, log_scale, levels):
        return _by_edges(*_edges(x, mean, log_scale, levels, half(levels)), x, levels)

    return answer


def _with_ends(**ends):
    def answer(x, mean, log_scale, levels):
        return _by_edges(*_edges(x, mean, log_scale, levels), x, levels, **ends)

    return answer


def _with_centered(function):
    """The exact form, with another (x, mean, log_scale, levels) -> (centered, factor)."""

    def answer(x, mean, log_scale, levels):
        centered, factor = function(x, mean, log_scale, levels)
        half = 1 / (levels - 1)
        return _by_edges((centered - half) * factor, (centered + half) * factor, x, levels)

    return answer


def _scaled(x, levels):
    return 2 * x / (levels - 1) - 1


def _masses(x, mean, log_scale, levels):
    low, high = _edges(x, mean, log_scale, levels)
    upper = torch.where(x == levels - 1, 1.0, torch.sigmoid(high))
    return upper - torch.where(x == 0, 0.0, torch.sigmoid(low))


def _reversed(x, mean, log_scale, levels):
    low, high = _edges(x, mean, log_scale, levels)
    inner = bin_log_masses(x, mean, log_scale, levels)
    return torch.where(x == 0, F.logsigmoid(-low), torch.where(x == levels - 1, F.logsigmoid(high), inner))


def _log_density(x, mean, log_scale, levels):
    z = (_scaled(x, levels) - mean) * torch.exp(-log_scale)
    return F.logsigmoid(z) + F.logsigmoid(-z) - log_scale


def _gaussian(x, mean, log_scale, levels):
    low, high = _edges(x, mean, log_scale, levels)
    upper = torch.where(x == levels - 1, 1.0, torch.special.ndtr(high))
    return torch.log(upper - torch.where(x == 0, 0.0, torch.special.ndtr(low)))


def _flipped(x, mean, log_scale, levels):
    """σ(b) - σ(a) = σ(-a) - σ(-b): take the side on which both are small, and factor the larger one out."""
    low, high = _edges(x, mean, log_scale, levels)
    right = low + high > 0
    big, small = torch.where(right, -low, high), torch.where(right, -high, low)
    inner = F.logsigmoid(big) + torch.log(-torch.expm1(F.logsigmoid(small) - F.logsigmoid(big)))
    return torch.where(x == 0, F.logsigmoid(high), torch.where(x == levels - 1, F.logsigmoid(-low), inner))


def _product(x, mean, log_scale, levels):
    low, high = _edges(x, mean, log_scale, levels)
    inner = -F.softplus(-high) - F.softplus(low) + torch.log(-torch.expm1(low - high))
    return torch.where(x == 0, -F.softplus(-high), torch.where(x == levels - 1, -F.softplus(low), inner))


def _in_double(x, mean, log_scale, levels):
    return _product(x, mean.double(), log_scale.double(), levels).to(mean.dtype)


EXERCISE = Exercise(
    name="bin_log_masses",
    lesson="05",
    reference=bin_log_masses,
    rule="ln(σ(b) - σ(a)) with the edges a, b = (x ± 1/(levels - 1) - mean) / scale of the bin around the point x of "
    "[-1, 1]; the first bin has no lower edge, the last one no upper edge.",
    probes=[
        same(X17, torch.full((17,), 0.13).double(), torch.full((17,), -1.2).double(), 17),
        same(torch.arange(3), torch.tensor([0.4, -0.3, 0.2]).double(), torch.tensor([-0.5, 0.3, 0.1]).double(), 3),
        same(X256, MEAN, SCALE, 256),
        same(X256, MEAN, SCALE, 256, grad=True),
        same(*FAR),
        same(torch.tensor([0, 90, 255]), torch.tensor([0.1, 0.1, -0.4]), torch.tensor([-3.4, -3.4, -3.1]), 256),
        same(X17.repeat(2, 1), torch.zeros(2, 17), torch.zeros(2, 17), 17),
    ],
    rtol=2e-5,
    atol=1e-6,
    mistakes=[
        (
            _with_half(lambda levels: 1 / levels),
            "The half-width is 1/levels. The points of [-1, 1] lie 2/(levels - 1) apart, and bins must tile it: "
            "1/(levels - 1) to each side.",
        ),
        (
            _with_half(lambda levels: 2 / (levels - 1)),
            "2/(levels - 1) is the whole width of a bin. Its edges lie half of it to each side of the point, "
            "or neighbors overlap and the masses sum to almost 2.",
        ),
        (
            _with_half(lambda levels: 0.5),
            "The half-width is 1/2, that of levels 0, 1, 2, ... On [-1, 1] a bin is 2/(levels - 1) wide.",
        ),
        (
            _with_ends(first=False, last=False),
            "The two outer bins are closed: what lies below -1 or above 1 is lost, and the masses sum to less than 1. "
            "The first bin has no lower edge, the last one no upper edge.",
        ),
        (_with_ends(last=False), "The last bin is closed: its upper edge is infinite, so its mass is 1 - σ(a)."),
        (_with_ends(first=False), "The first bin is closed: its lower edge is minus infinity, so its mass is σ(b)."),
        (
            _reversed,
            "The outer bins are open on the wrong side. The first one reaches down to minus infinity: σ(b). "
            "The last one reaches up: 1 - σ(a).",
        ),
        (
            lambda x, mean, log_scale, levels: torch.log(_masses(x, mean, log_scale, levels)),
            "Right on paper. Far from the mean both sigmoids round to the same float32 and the logarithm of 0 is "
            "-inf. Use ln(σ(b) - σ(a)) = ln σ(b) + ln σ(-a) + ln(1 - e^(a - b)), as in (5.3).",
        ),
        (
            lambda x, mean, log_scale, levels: torch.log(_masses(x, mean, log_scale, levels) + 1e-12),
            "Adding 1e-12 caps the cost of a surprise at 27.6 nats and takes its gradient away. Use the exact form "
            "(5.3), which needs no such guard.",
        ),
        (
            lambda x, mean, log_scale, levels: torch.log(_masses(x, mean, log_scale, levels).clamp(min=1e-12)),
            "Clamping at 1e-12 caps the cost of a surprise at 27.6 nats and takes its gradient away. Use the exact "
            "form (5.3), which needs no such guard.",
        ),
        (
            _with_centered(lambda x, m, s, n: (_scaled(x, n) - m, torch.exp(s))),
            "You multiply by the scale. Distances are counted in scales: divide by exp(log_scale).",
        ),
        (
            _with_centered(lambda x, m, s, n: (x - m, torch.exp(-s))),
            "The levels 0, 1, 2, ... are compared with a mean in [-1, 1]. Map them first: 2 x / (levels - 1) - 1.",
        ),
        (
            _with_centered(lambda x, m, s, n: (x / (n - 1) - m, torch.exp(-s))),
            "The levels are mapped to [0, 1]. The mean lives in [-1, 1]: 2 x / (levels - 1) - 1.",
        ),
        (
            _log_density,
            "This is the log-density at the point, not the mass of a bin: integrate it from edge to edge, which is a "
            "difference of two sigmoids.",
        ),
        (
            lambda x, m, s, n: _log_density(x, m, s, n) + torch.log(torch.tensor(2 / (n - 1))),
            "This is density times width, equation (5.4): an approximation for narrow bins, whose masses do not sum "
            "to 1. The difference of two sigmoids is exact.",
        ),
        (
            lambda *a: torch.exp(bin_log_masses(*a)),
            "These are the masses themselves: their logarithm is asked for.",
        ),
        (
            lambda *a: -bin_log_masses(*a),
            "The sign: this is the cost. The log-mass is asked for, a number below 0.",
        ),
        (_gaussian, "This is the bin of a Gaussian. The distribution is logistic: its cumulative function is σ."),
    ],
    accepts=[_product, _flipped, _in_double],
    speed=Speed(lambda: (torch.randint(256, (32, 8, 8, 5)), *torch.randn(2, 32, 8, 8, 5).unbind(), 256)),
)
