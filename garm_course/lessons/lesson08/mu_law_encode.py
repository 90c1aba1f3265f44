"""Sound in 256 levels that are fine where it is quiet; equation (8.1)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from garm_course import transforms
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def mu_law_encode(x: Tensor) -> Tensor:
    """Levels 0..255 of sound in [-1, 1]."""
    return transforms.mu_law_encode(x)


def _curve(x: Tensor) -> Tensor:
    """f(x) of (8.1), in [-1, 1]."""
    return x.sign() * torch.log1p(255 * x.abs()) / math.log(256)


def _levels(of: Callable[[Tensor], Tensor], f: Callable[[Tensor], Tensor] = _curve):
    """An answer from the levels that it makes of f(x), before they are rounded."""
    return lambda x: of(f(x)).round().long()


def _from(f: Callable[[Tensor], Tensor]):
    """An answer with another curve."""
    return _levels(lambda y: 127.5 * (y + 1), f)


def _pieces(x: Tensor) -> Tensor:
    loud = torch.log(1 + 255 * x.abs()) / math.log(256)
    return (127.5 + 127.5 * torch.where(x < 0, -loud, loud)).round().to(torch.long)


def _bits(x: Tensor) -> Tensor:
    y = x.sgn() * torch.log2(1 + 255 * x.abs()) / 8
    return torch.floor((y + 1) / 2 * 255 + 0.5).long()


def _table(x: Tensor) -> Tensor:
    q = torch.arange(255, dtype=x.dtype) + 0.5  # where one level ends and the next begins
    y = q / 127.5 - 1
    return torch.bucketize(x.contiguous(), y.sign() * torch.expm1(y.abs() * math.log(256)) / 255, right=True)


# Quiet and loud, no value on the border of two levels
SOUND = (0.4 * random(2, 300, seed=1)).clamp(-0.99, 0.99)
QUIET = 0.003 * random(3, 40, seed=2).clamp(-3, 3)

EXERCISE = Exercise(
    name="mu_law_encode",
    lesson="08",
    reference=mu_law_encode,
    rule="f(x) = sgn(x) ln(1 + 255 |x|) / ln 256 lies in [-1, 1]; the level is 127.5 (f + 1), rounded to the nearest "
    "integer.",
    probes=[
        plain(torch.cat([SOUND, torch.tensor([[-1.0, 1.0]], dtype=torch.float64).expand(2, 2)], 1)),
        plain(QUIET),
        same(torch.tensor([-1.0, 0.0, 0.01, 1.0])),  # the example of the text
        same(random(2, 3, 5, seed=3).clamp(-0.98, 0.98).float()),
        edge(
            same(torch.tensor(0.25, dtype=torch.float64)),
            "Right for tensors with axes, but a single number without axes is allowed, too: work element by element.",
        ),
        edge(
            same(torch.zeros(1, 1, dtype=torch.float64)),
            "Right except for silence: f(0) = 0, and 127.5 is rounded to the even neighbor, 128, as torch.round does.",
        ),
    ],
    axes=("sound", "sample"),
    mistakes=[
        (
            _levels(lambda y: 128 * (y + 1)),
            "Level 256 appears, which a table of 256 rows does not have: from -1 to 1 there are 255 steps, so the "
            "factor is 127.5.",
        ),
        (
            lambda x: (128 * (_curve(x) + 1)).floor().clamp(max=255).long(),
            "These are 256 intervals of equal width. Here the levels -1 and 1 are exact: round 127.5 (f + 1).",
        ),
        (
            lambda x: (127.5 * (_curve(x) + 1)).long(),
            "The fraction is cut off, so every level is half a step too low on average: use round() before long().",
        ),
        (
            lambda x: (127.5 * (_curve(x) + 1)).ceil().long(),
            "Rounding up puts every level half a step too high on average: use round().",
        ),
        (
            _from(lambda x: torch.log1p(255 * x.abs()) / math.log(256)),
            "The sign of x is lost: both halves of the wave point upward. Multiply by x.sign().",
        ),
        (
            _from(lambda x: torch.log1p(255 * x) / math.log(256)),
            "The logarithm of a negative number is NaN: take it of 1 + 255 |x| and give the sign back.",
        ),
        (
            _from(lambda x: x.sign() * torch.log1p(65535 * x.abs()) / math.log(65536)),
            "Here mu is 65,535: that is the square of 256, less one. Use 255.",
        ),
        (
            _from(lambda x: x.sign() * torch.log1p(256 * x.abs()) / math.log(257)),
            "Here mu is 256. There are 256 levels, and mu is one less, 255.",
        ),
        (
            _from(lambda x: x.sign() * torch.log10(1 + 255 * x.abs()) / math.log(256)),
            "Two different logarithms: log10 above, ln below. With one base in both places f(1) is 1.",
        ),
        (
            _from(lambda x: x.sign() * torch.log1p(255 * x.abs())),
            "The division by ln 256 is missing: f(1) is 1, not 5.545.",
        ),
        (
            _from(lambda x: x.sign() * torch.log1p(255 * x.abs()) / 255),
            "Divide by ln(1 + 255), not by 255: f(1) is 1.",
        ),
        (
            _from(lambda x: x),
            "These levels are linear, all of one size. Bend x by f first, so that quiet sound gets finer levels.",
        ),
        (
            _from(lambda x: x.sign() * torch.expm1(x.abs() * math.log(256)) / 255),
            "This is the inverse of f, the decoder, which gives loud sound the fine levels. The encoder takes a log.",
        ),
        (
            _from(lambda x: x.sign() * torch.log(255 * x.abs()) / math.log(256)),
            "The 1 in ln(1 + 255 |x|) is missing: without it f has no value at 0.",
        ),
        (
            _from(lambda x: x.sign() * torch.log1p(x.abs()) / math.log(2)),
            "mu is missing inside the logarithm: ln(1 + 255 |x|).",
        ),
        (
            _levels(lambda y: 127.5 * y),
            "Levels run from 0 to 255, and yours from -128 to 128: add 1 to f before you scale it.",
        ),
        (
            _levels(lambda y: 127.5 * (1 - y)),
            "The levels are upside down: amplitude 1 has level 255, and -1 has level 0.",
        ),
        (_levels(lambda y: 127.5 * y + 1), "Add the 1 to f, before it is multiplied by 127.5."),
        (
            _levels(lambda y: 127 * (y + 1)),
            "The highest level is 254: the distance from -1 to 1 is 255 steps, not 254.",
        ),
        (_levels(lambda y: 255 * (y + 1)), "Levels up to 510: f + 1 lies between 0 and 2, so halve it."),
        (
            lambda x: (127.5 * (_curve(x) + 1)).round(),
            "The numbers are right, but levels are integers, which index a table: end with .long().",
        ),
        (
            lambda x: mu_law_encode(x / x.abs().max()),
            "The sound is scaled to its own maximum, so quiet and loud notes sound alike: encode x as it is.",
        ),
    ],
    accepts=[_pieces, _bits, _table],
    speed=Speed(lambda: (torch.rand(100, 1000) * 2 - 1,)),
)
