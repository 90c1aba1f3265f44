"""The exercise of lesson 00: one line, to learn how exercises work."""

import math

import torch
from torch import Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson00.digits import exact


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


LN2 = math.log(2)
NATS = torch.tensor([LN2, 79.2, 0.0, 3.4012, -1.25], dtype=torch.float64)

EXERCISES = [
    Exercise(
        name="nats_to_bits",
        lesson="00",
        reference=nats_to_bits,
        rule="One bit is ln 2 nats, so ln 2 nats are 1 bit: divide by ln 2.",
        probes=[
            exact(NATS),
            exact(40 * random(2, 3, seed=1)),
            same(torch.tensor([0.693147])),
            same(torch.tensor(5.545, dtype=torch.float64)),
            same(torch.tensor([[[0.25]], [[17.0]]])),
            same(random(1, 1, seed=2).float()),
            same(torch.zeros(2, 0, 3)),
            same(NATS, grad=True),
            edge(
                same(torch.tensor([91.7, 5432.1, -5432.1])),
                "Right for small numbers, but a detour over exp(nats) or 2 ** nats overflows: divide by math.log(2).",
            ),
        ],
        atol=1e-30,  # a change of unit keeps the digits of tiny numbers
        mistakes=[
            (torch.clone, "These are still nats. Divide by the natural logarithm, math.log(2): math.log2(2) is 1."),
            (lambda nats: nats * LN2, "Divide instead of multiplying: a bit is smaller than a nat, so there are more."),
            (
                lambda nats: nats / math.log(10),
                "You divided by ln 10, which gives decimal digits. A bit has two values: ln 2.",
            ),
            (lambda nats: nats / 2, "Divide by the logarithm of 2, math.log(2), and not by 2 itself."),
            (lambda nats: nats * 2, "Divide by the logarithm of 2, math.log(2); the 2 itself is not a factor."),
            (
                lambda nats: nats / math.log10(2),
                "math.log10 is the logarithm to base 10; nats need the natural one, math.log.",
            ),
            (lambda nats: nats / math.log1p(2), "math.log1p(2) is ln 3, the logarithm of 1 + 2: use math.log(2)."),
            (lambda nats: nats / math.exp(2), "You divided by e squared. It is the logarithm of 2, math.log(2)."),
            (lambda nats: nats - LN2, "ln 2 is subtracted. A change of unit is a factor: divide by math.log(2)."),
            (lambda nats: nats + LN2, "ln 2 is added. A change of unit is a factor: divide by math.log(2)."),
            (torch.log2, "nats is already a logarithm: do not take log2 of it, change its unit by dividing by ln 2."),
            (torch.log, "nats is already a logarithm: do not take another, divide by math.log(2)."),
            (
                math.log,
                "nats is already a logarithm, and math.log takes one number: divide by that of 2 alone, math.log(2).",
            ),
            (torch.exp2, "2 to the power of nats is a number of possibilities and not an amount of information."),
            (lambda nats: nats / torch.log(2), "torch.log takes tensors only. For the number ln 2 use math.log(2)."),
            (
                lambda nats: nats // LN2,
                "`//` drops the fractions; an amount of information is no integer. Use `/`.",
            ),
            (
                lambda nats: torch.trunc(nats / LN2),
                "The fractions are cut off. An amount of information is no integer.",
            ),
            (lambda nats: (nats / LN2).abs(), "abs() loses the sign: changing the unit keeps it."),
            (lambda nats: (nats / LN2).mean(), "The mean is one number. Convert every number by itself: no mean."),
            (lambda nats: (nats / LN2).sum(), "The sum is one number. Convert every number by itself: no sum."),
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
