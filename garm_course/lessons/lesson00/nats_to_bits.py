"""The exercise of lesson 00: one line, to learn how exercises work."""

import math

import torch
from torch import Tensor

from garm_course.exercises.registry import Exercise, Speed, same


def nats_to_bits(nats: Tensor) -> Tensor:
    """The same amount of information in bits: 1 nat = 1 / ln 2 bits.

    Args:
        nats: any shape.

    Returns:
        the shape of `nats`.

    >>> nats_to_bits(torch.tensor([0.0, math.log(2), math.log(8)]))
    tensor([0., 1., 3.])
    """
    return nats / math.log(2)


def _divided_by(constant: str):
    return lambda nats: nats / float(constant), f"{constant} is rounded: use math.log(2)."


def _multiplied_by(constant: str):
    return lambda nats: nats * float(constant), f"{constant} is rounded: divide by math.log(2)."


_nats = torch.tensor([math.log(2), 79.2, 0.0, 3.4012, -1.25], dtype=torch.float64)

EXERCISES = [
    Exercise(
        name="nats_to_bits",
        lesson="00",
        reference=nats_to_bits,
        rule="One bit is ln 2 nats, so ln 2 nats are 1 bit: divide by ln 2.",
        probes=[
            same(_nats),
            same(torch.tensor([[8.3, 0.5, 2.75], [1.1, 81.43, 6.0]], dtype=torch.float64)),
            same(torch.tensor(5.545, dtype=torch.float64)),
            same(torch.tensor([0.25, 17.0])),
            same(_nats, grad=True),
        ],
        mistakes=[
            (
                lambda nats: nats + 0,
                "These are still nats. Divide by the natural logarithm, math.log(2): math.log2(2) is 1.",
            ),
            (
                lambda nats: nats * math.log(2),
                "Divide instead of multiplying: a bit is smaller than a nat, so there are more.",
            ),
            (
                lambda nats: nats / math.log(10),
                "You divided by ln 10, which gives decimal digits. A bit has two values: ln 2.",
            ),
            (lambda nats: nats / 2, "Divide by the logarithm of 2, math.log(2), and not by 2 itself."),
            (lambda nats: nats * 2, "Divide by the logarithm of 2, math.log(2); the 2 itself is not a factor."),
            (lambda nats: nats / 0.693, "0.693 is rounded (as is its inverse, 1.443): use math.log(2)."),
            *(_divided_by(constant) for constant in ("0.69", "0.6931", "0.69315")),
            *(_multiplied_by(constant) for constant in ("1.44", "1.4427")),
            (
                lambda nats: nats / math.log10(2),
                "math.log10 is the logarithm to base 10; nats need the natural one, math.log.",
            ),
            (torch.log2, "nats is already a logarithm: do not take log2 of it, change its unit by dividing by ln 2."),
            (
                math.log2,
                "nats is already a logarithm: take that of 2 alone, math.log(2), and divide by it.",
            ),
            (
                math.log,
                "nats is already a natural logarithm: do not take it again, divide by that of 2, math.log(2).",
            ),
            (torch.log, "nats is already a logarithm: do not take another, divide by math.log(2)."),
            (torch.exp2, "2 to the power of nats is a number of possibilities and not an amount of information."),
            (
                lambda nats: torch.round(nats / math.log(2)),
                "Keep the fractions: an amount of information is no integer.",
            ),
            (
                lambda nats: nats // math.log(2),
                "`//` drops the fractions; an amount of information is no integer. Use `/`.",
            ),
            (lambda nats: -nats / math.log(2), "The sign turned around: changing the unit keeps it."),
            (
                lambda nats: (nats / math.log(2)).mean(),
                "Convert every number by itself: the result has the shape of nats.",
            ),
            (lambda nats: (nats / math.log(2)).sum(), "Convert every number by itself and do not add them up."),
        ],
        accepts=[
            lambda nats: nats * math.log2(math.e),
            lambda nats: nats / torch.log(torch.tensor(2.0, dtype=nats.dtype)),
            lambda nats: torch.div(nats, 0.6931471805599453),
            lambda nats: nats / math.log(4) * 2,
        ],
        speed=Speed(lambda: (torch.rand(360),)),
    ),
]
