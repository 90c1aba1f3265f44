"""Nats per example as bits per dimension; equation (1.4)."""

import math
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from garm_course.evaluation.likelihood import bits_per_dim
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson00.digits import exact


def nll_to_bits_per_dim(nll_nats: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The library's `bits_per_dim`, for the shape (C, H, W) of one example."""
    return bits_per_dim(nll_nats, math.prod(shape))


LN2 = math.log(2)
NLL = torch.tensor([240 * math.log(256), 623.17, -118.4, 31.9], dtype=torch.float64)
ANY_LENGTH = (
    "Right for a shape (C, H, W), but it may have any length, such as (T,) of sound or four sides of a film: "
    "math.prod(shape) multiplies all."
)


def _by(divisor, hint: str) -> tuple:
    """Division by another number than D ln 2, found from nll and shape."""
    return lambda nll, shape: nll / divisor(nll, shape), hint


def _then(change):
    """A right result, changed."""
    return lambda nll, shape: change(nll_to_bits_per_dim(nll, shape))


EXERCISE = Exercise(
    name="nll_to_bits_per_dim",
    lesson="01",
    reference=nll_to_bits_per_dim,
    rule="Divide the nats of an example by D ln 2, where D = C H W counts all its values.",
    probes=[
        exact(NLL, (5, 8, 6)),
        exact(torch.tensor([784 * math.log(256), 79.20], dtype=torch.float64), (1, 28, 28)),
        exact(80 * random(2, 1, 4, seed=1), (2, 3, 5)),
        same(torch.tensor([81.3, 107.9]), (1, 8, 8)),
        same(torch.tensor([2.772589]), (1, 2, 2)),
        same(torch.tensor([[79.20]]), (1, 1, 1)),
        same(torch.tensor(55.45, dtype=torch.float64), (1, 8, 6)),
        same(torch.zeros(0, 3), (3, 4, 5)),
        edge(same(torch.tensor(55.45, dtype=torch.float64), (16,)), ANY_LENGTH),
        edge(same(torch.tensor([55.45, 0.0], dtype=torch.float64), (5, 7)), ANY_LENGTH),
        edge(same(NLL, (2, 3, 4, 5)), ANY_LENGTH),
        same(NLL, (5, 8, 6), grad=True),
    ],
    axes=("example",),
    mistakes=[
        _by(lambda nll, s: math.prod(s), "This is nats per dimension. A bit is ln 2 nats: divide by ln 2 as well."),
        _by(
            lambda nll, s: math.prod(s) / LN2,
            "Divide by ln 2, do not multiply (nor divide by log2(e)): a nat is 1 / ln 2 = 1.44 bits.",
        ),
        _by(lambda nll, s: LN2, "This is in bits per example. Divide by the number of dimensions, D = C H W, too."),
        _by(
            lambda nll, s: s[1] * s[2] * LN2,
            "Height times width leaves the channels out. A color pixel is three dimensions: math.prod(shape).",
        ),
        _by(lambda nll, s: math.prod(s[:2]) * LN2, "The last side is left out: D = C H W, math.prod(shape)."),
        _by(lambda nll, s: s[-1] * LN2, "D is not the last side alone: it counts all values, C H W."),
        _by(lambda nll, s: s[0] * LN2, "D is not the first side but the product of all, C H W."),
        _by(lambda nll, s: sum(s) * LN2, "The sides are added. Multiply them: D = C H W."),
        _by(lambda nll, s: len(s) * LN2, "len(shape) is the number of sides (3). D is their product, C H W."),
        _by(lambda nll, s: 784 * LN2, "784 is D of MNIST only: take it from the shape, C H W."),
        _by(
            lambda nll, s: len(nll) * math.prod(s) * LN2,
            "It is divided by the batch size as well, but each NLL is that of one image already.",
        ),
        _by(
            lambda nll, s: nll.numel() * LN2,
            "This divides by the number of examples. D is that of the dimensions of one, C H W.",
        ),
        _by(lambda nll, s: math.log2(math.prod(s)), "log2 is taken of D. D itself divides, and ln 2 beside it."),
        _by(lambda nll, s: math.prod(s) * 2, "It is divided by 2 instead of ln 2 = 0.6931."),
        _by(
            lambda nll, s: math.prod(s) * math.log(256),
            "This divides by 8 ln 2 = ln 256. A bit is ln 2, however many levels a pixel has, and 8 bits are a byte.",
        ),
        _by(
            lambda nll, s: math.prod(s) * math.log10(2),
            "math.log10(2) is the decimal logarithm: nats belong to the natural one, math.log(2).",
        ),
        _by(
            lambda nll, s: math.prod(s) * torch.log(2),
            "torch.log takes tensors only. For the number ln 2 use math.log(2).",
        ),
        _by(
            lambda nll, s: torch.prod(s) * LN2,
            "torch.prod takes tensors only, and a shape is a tuple: math.prod(shape).",
        ),
        _by(lambda nll, s: math.prod(s) // LN2, "// cuts off the fraction: use / for the division."),
        _by(
            lambda nll, s: LN2 / math.prod(s),
            "It is multiplied by D. Divide: the bits of the image are shared among its dimensions.",
        ),
        (
            lambda nll, shape: nll.log2() / math.prod(shape),
            "The NLL is a logarithm already: do not take another one, divide by ln 2.",
        ),
        (
            lambda nll, shape: nll.exp().log2() / math.prod(shape),
            "exp(nll) overflows, it is 1 / p(x): divide the logarithm by ln 2 instead.",
        ),
        (_then(lambda bits: 2**bits), "This is a perplexity, 2 to the bits: return the bits."),
    ],
    accepts=[
        lambda nll, shape: nll * math.log2(math.e) / math.prod(shape),
        lambda nll, shape: nll / torch.Size(shape).numel() / torch.log(torch.tensor(2.0, dtype=torch.float64)).item(),
        lambda nll, shape: nll / (torch.tensor(shape).prod() * LN2),
        lambda nll, shape: nll / (np.prod(shape) * np.log(2)),
        lambda nll, shape: reduce(lambda left, side: left / side, shape, nll) / LN2,
    ],
    speed=Speed(lambda: (torch.rand(10_000), (3, 32, 32))),
)
