"""The mass that a logistic distribution puts into the bin of a level; equations (5.1) and (5.3)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions.logistic_mixture import bin_log_masses
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

X17, X256 = torch.arange(17), torch.tensor([[0, 1, 100, 254], [255, 7, 128, 0]])
MEAN, SCALE = 0.7 * random(2, 4, seed=1), random(2, 4, seed=2) - 2
FAR = (torch.tensor([0, 40, 200, 255]), torch.tensor([0.9, 0.9, -0.9, -0.9]), torch.full((4,), -4.5), 256)
# bells narrower than a bin, at the places 140.8 and 89.6 (of 257 levels, whose points are exact in float32)
NARROW = (
    torch.tensor([141, 140, 130, 90, 89, 88, 0, 256]),
    torch.tensor([0.1, 0.1, 0.1, -0.3, -0.3, -0.3, -1.001, 1.001], dtype=torch.float64),
    torch.tensor([-8.0, -12, -8, -9, -12, -10, -8, -10], dtype=torch.float64),
    257,
)


# bells so wide that a bin is a small part of them; in float32
WIDE = torch.tensor([3, 200, 128]), torch.tensor([0.2, -0.4, 0.1]), torch.tensor([7.0, 8.0, 9.0]), 256

DIGITS = (
    "Right except for wide bells in float32, where e^(a - b) is almost 1, so that 1 - e^(a - b) loses its "
    "digits: -torch.expm1(a - b) keeps them."
)
UNDERFLOW = (
    "Right on paper. Far from the mean both sigmoids round to the same float32 and the logarithm of 0 is -inf. Use "
    "ln(σ(b) - σ(a)) = ln σ(b) + ln σ(-a) + ln(1 - e^(a - b)), as in (5.3)."
)
FLOOR = (
    "A small number under the logarithm (an epsilon, a clamp) caps the cost of a surprise and takes its gradient away. "
    "Use the exact form (5.3), which needs no such guard."
)


def _case(*args) -> Callable:
    """The probe `plain(*args)`, which tells a logarithm of 0, and a number that is added to all masses, by itself."""

    def probe(attempt: Attempt) -> None:
        try:
            plain(*args)(attempt)
        except Refused as refused:
            got, want = attempt.outcomes[-1].value, bin_log_masses(*args)
            if refused.hint or not isinstance(got, Tensor) or (got.shape, got.dtype) != (want.shape, want.dtype):
                raise
            rise = got.double().exp() - want.double().exp()
            floor = rise.min() > 0 and rise.max() - rise.min() < 1e-3 * rise.max()
            if not floor and not got.isinf().any():
                raise
            raise Refused(str(refused), FLOOR if floor else UNDERFLOW) from refused

    return probe


def _point(x, levels):
    return 2 * x / (levels - 1) - 1


def _inner(a, b):
    return F.logsigmoid(b) + F.logsigmoid(-a) + torch.log(-torch.expm1(a - b))


def _by(
    first=lambda a, b: F.logsigmoid(b),
    last=lambda a, b: F.logsigmoid(-a),
    inner=_inner,
    point=_point,
    half=lambda n, s: 1 / (n - 1),
    scale=torch.exp,
):
    """An answer from the log-masses of (lower edge, upper edge), with another point, half-width or scale."""

    def answer(x, mean, log_scale, levels):
        sides = [point(x, levels) - mean + sign * half(levels, log_scale) for sign in (-1, 1)]
        a, b = (side / scale(log_scale) for side in sides)
        return torch.where(x == 0, first(a, b), torch.where(x == levels - 1, last(a, b), inner(a, b)))

    return answer


def _of_masses(function, cdf=torch.sigmoid):
    """An answer that is a function of the difference (5.1)."""
    ends = lambda a, b: function(cdf(b)), lambda a, b: function(1 - cdf(a))
    return _by(*ends, lambda a, b: function(cdf(b) - cdf(a)))


def _density_times_width(x, mean, log_scale, levels):
    z = (_point(x, levels) - mean) * torch.exp(-log_scale)
    return F.logsigmoid(z) + F.logsigmoid(-z) - log_scale + math.log(2 / (levels - 1))


def _switch(x, *args):
    """As the original code: density times width where the difference is at most 1e-5."""
    exact = (_of_masses(lambda p: p)(x, *args) > 1e-5) | (x == 0) | (x == args[-1] - 1)
    return torch.where(exact, bin_log_masses(x, *args), _density_times_width(x, *args))


EXERCISE = Exercise(
    name="bin_log_masses",
    lesson="05",
    reference=bin_log_masses,
    rule="ln(σ(b) - σ(a)) with the edges a, b = (x ± 1/(levels - 1) - mean) / scale of the bin around the point x of "
    "[-1, 1]; the first bin has no lower edge, the last one no upper edge.",
    probes=[
        _case(X17, torch.full((17,), 0.13).double(), torch.full((17,), -1.2).double(), 17),
        _case(torch.arange(3), torch.tensor([0.4, -0.3, 0.2]).double(), torch.tensor([-0.5, 0.3, 0.1]).double(), 3),
        _case(X256, MEAN, SCALE, 256),
        same(torch.arange(3), torch.zeros(3), torch.zeros(3), 3),  # the example of the text
        same(X256, MEAN, SCALE, 256, grad=True),
        _case(*FAR),
        same(torch.tensor([0, 90, 255]), torch.tensor([0.1, 0.1, -0.4]), torch.tensor([-3.4, -3.4, -3.1]), 256),
        same(X17.repeat(2, 1), torch.zeros(2, 17), torch.zeros(2, 17), 17),
        same(torch.tensor(128), MEAN[0, 0], SCALE[0, 0], 256),
        same(torch.tensor([[0]]), MEAN[:1, :1], SCALE[:1, :1], 2),
        edge(same(*WIDE), DIGITS),
        edge(
            same(*NARROW, grad=True),
            "Right for wide bells, not for those narrower than a bin: clamp neither log_scale nor the result.",
        ),
    ],
    rtol=2e-5,
    atol=1e-6,
    mistakes=[
        (_of_masses(torch.log), UNDERFLOW),
        (_of_masses(lambda p: (p + 1e-12).log()), FLOOR),
        (
            _by(half=lambda n, s: 1 / n),
            "The half-width is 1/levels. The points of [-1, 1] lie 2/(levels - 1) apart, and bins must tile it: "
            "1/(levels - 1) to each side.",
        ),
        (
            _by(half=lambda n, s: 2 / (n - 1)),
            "2/(levels - 1) is the whole width of a bin. Its edges lie half of it to each side of the point, "
            "or neighbors overlap and the masses sum to almost 2.",
        ),
        (
            _by(half=lambda n, s: 0.5),
            "The half-width is 1/2, that of levels 0, 1, 2, ... On [-1, 1] a bin is 2/(levels - 1) wide.",
        ),
        (
            _by(half=lambda n, s: 1 / 255),
            "The half-width 1/255 is that of 256 levels. In general it is 1/(levels - 1).",
        ),
        (
            _by(half=lambda n, s: s.exp() / (n - 1)),
            "The half-width is not divided by the scale, only the distance of the point from the mean is: divide both.",
        ),
        (
            _by(_inner, _inner),
            "The two outer bins are closed: what lies below -1 or above 1 is lost, and the masses sum to less than 1. "
            "The first bin has no lower edge, the last one no upper edge.",
        ),
        (_by(last=_inner), "The last bin is closed: its upper edge is infinite, so its mass is 1 - σ(a)."),
        (_by(first=_inner), "The first bin is closed: its lower edge is minus infinity, so its mass is σ(b)."),
        (
            _by(lambda a, b: F.logsigmoid(-a), lambda a, b: F.logsigmoid(b)),
            "The outer bins are open on the wrong side. The first one reaches down to minus infinity: σ(b). "
            "The last one reaches up: 1 - σ(a).",
        ),
        (
            _by(lambda a, b: F.logsigmoid(a), lambda a, b: F.logsigmoid(-b)),
            "The outer bins end at the wrong edge. The first one ends at its upper edge: σ(b). The last one begins at "
            "its lower edge: 1 - σ(a).",
        ),
        (
            _by(last=lambda a, b: F.logsigmoid(a)),
            "For the last bin you take σ(a), what lies below it. Its mass is what lies above: 1 - σ(a) = σ(-a).",
        ),
        (
            _by(inner=lambda a, b: F.logsigmoid(b) + F.logsigmoid(-a)),
            "The third factor of (5.3) is missing: σ(b) σ(-a) is too large, and 1 - e^(a - b) makes it the mass.",
        ),
        (
            _by(inner=lambda a, b: F.logsigmoid(b) + F.logsigmoid(a) + torch.log(-torch.expm1(a - b))),
            "A minus is missing: the second factor of (5.3) is σ(-a), not σ(a).",
        ),
        (
            _by(
                inner=lambda a, b: (
                    _inner(a, b) + F.logsigmoid(a) + F.logsigmoid(-b) - F.logsigmoid(b) - F.logsigmoid(-a)
                )
            ),
            "a and b are exchanged in the first two factors of (5.3): σ(b) σ(-a), of the upper and of the lower edge.",
        ),
        (
            _switch,
            "Density times width where the difference is small, as in the original code, is an approximation. "
            "The form (5.3) is exact everywhere and needs no switch.",
        ),
        (
            _by(scale=lambda s: torch.exp(-s)),
            "You multiply by the scale. Distances are counted in scales: divide by exp(log_scale).",
        ),
        (_by(scale=lambda s: s), "The exponential is missing: the scale is exp(log_scale), and no scale is negative."),
        (
            _by(scale=lambda s: torch.exp(s / 2)),
            "exp(log_scale / 2) would be right for the logarithm of a variance. log_scale is that of the scale itself.",
        ),
        (
            _by(point=lambda x, n: x),
            "The levels 0, 1, 2, ... are compared with a mean in [-1, 1]. Map them first: 2 x / (levels - 1) - 1.",
        ),
        (
            _by(point=lambda x, n: x / (n - 1)),
            "The levels are mapped to [0, 1]. The mean lives in [-1, 1]: 2 x / (levels - 1) - 1.",
        ),
        (
            _by(point=lambda x, n: x / 127.5 - 1),
            "127.5 is (levels - 1) / 2 for 256 levels only. In general level x stands at 2 x / (levels - 1) - 1.",
        ),
        (
            _by(point=lambda x, n: 2 * x / n - 1),
            "The points are 2 x / levels - 1, so the last one is not 1. Level x stands at 2 x / (levels - 1) - 1.",
        ),
        (
            lambda x, m, s, n: _density_times_width(x, m, s, n) - math.log(2 / (n - 1)),
            "This is the log-density at the point, not the mass of a bin: integrate it from edge to edge, which is a "
            "difference of two sigmoids.",
        ),
        (
            _density_times_width,
            "This is density times width, equation (5.4): an approximation for narrow bins, whose masses do not sum "
            "to 1. The difference of two sigmoids is exact.",
        ),
        (_by(inner=lambda a, b: F.logsigmoid(b) + F.logsigmoid(-a) + torch.log(1 - torch.exp(a - b))), DIGITS),
        (
            _of_masses(torch.log, torch.special.ndtr),
            "This is the bin of a Gaussian. The distribution is logistic: its cumulative function is σ.",
        ),
    ],
    accepts=[
        _by(),
        _by(inner=lambda a, b: torch.log(-torch.expm1(a - b)) - F.softplus(-b) - F.softplus(a)),
        lambda x, m, s, n: _by()(x, m.double(), s.double(), n).to(m.dtype),
    ],
    speed=Speed(lambda: (torch.randint(256, (32, 8, 8, 5)), *torch.randn(2, 32, 8, 8, 5).unbind(), 256)),
)
