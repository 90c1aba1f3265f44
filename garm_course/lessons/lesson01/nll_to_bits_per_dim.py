"""Nats per example as bits per dimension; equation (1.4)."""

import math

import numpy as np
import torch
from torch import Tensor

from garm_course.evaluation.likelihood import bits_per_dim
from garm_course.exercises.registry import Exercise, Speed, same


def nll_to_bits_per_dim(nll_nats: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The library's `bits_per_dim`, for the shape (C, H, W) of one example."""
    return bits_per_dim(nll_nats, math.prod(shape))


LN2 = math.log(2)
UNIFORM = 784 * math.log(256)


def _loop(nll_nats: Tensor, shape: tuple[int, ...]) -> Tensor:
    dims = 1
    for side in shape:
        dims *= side
    return nll_nats / dims / LN2


def _unpacked(nll_nats: Tensor, shape: tuple[int, ...]) -> Tensor:
    c, h, w = shape
    return nll_nats / (c * h * w * LN2)


def _unpacked_without_channels(nll_nats: Tensor, shape: tuple[int, ...]) -> Tensor:
    _, h, w = shape
    return nll_nats / (h * w * LN2)


def _d(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


EXERCISE = Exercise(
    name="nll_to_bits_per_dim",
    lesson="01",
    reference=nll_to_bits_per_dim,
    rule="Divide the nats of an example by D ln 2, where D = C H W counts all its values.",
    probes=[
        same(torch.tensor([UNIFORM, 79.20], dtype=torch.float64), (1, 28, 28)),
        same(torch.tensor([3072 * math.log(256), 6231.7, -118.4], dtype=torch.float64), (3, 32, 32)),
        same(torch.tensor([81.3, 107.9], dtype=torch.float64), (1, 8, 6)),
        same(torch.tensor([[12.4], [0.0]], dtype=torch.float64), (2, 3, 5)),
        same(torch.tensor([81.3, 107.9], dtype=torch.float32), (1, 8, 8)),
        same(torch.tensor(55.45, dtype=torch.float64), (16,)),
        same(torch.tensor([79.20, 31.1], dtype=torch.float64), (1, 28, 28), grad=True),
    ],
    axes=("example",),
    mistakes=[
        (lambda nll, shape: nll / _d(shape), "This is nats per dimension. A bit is ln 2 nats: divide by ln 2 as well."),
        (
            lambda nll, shape: nll / _d(shape) * LN2,
            "Divide by ln 2, do not multiply (nor divide by log2(e)): a nat is 1 / ln 2 = 1.44 bits.",
        ),
        (
            lambda nll, shape: nll / LN2,
            "This is in bits per example. Divide by the number of dimensions, D = C H W, too.",
        ),
        (
            lambda nll, shape: nll / (shape[1] * shape[2] * LN2),
            "Height times width leaves the channels out: a color pixel is three dimensions. Take math.prod(shape).",
        ),
        (
            lambda nll, shape: nll / (math.prod(shape[1:]) * LN2),
            "shape[1:] leaves the channels out. The shape is that of one image, with no axis of the batch to skip.",
        ),
        (
            _unpacked_without_channels,
            "The channels are unpacked, but not multiplied: D = C H W, a color pixel is three dimensions.",
        ),
        (
            lambda nll, shape: nll / (_d(shape) * torch.log(2)),
            "torch.log takes tensors only. For the number ln 2 use math.log(2).",
        ),
        (
            lambda nll, shape: nll / (torch.prod(shape) * LN2),
            "torch.prod takes tensors only, and a shape is a tuple: math.prod(shape).",
        ),
        (
            lambda nll, shape: math.log2(math.e) * nll.item() / _d(shape),
            ".item() wants a tensor of one element, but nll_nats may have any shape: compute with the whole tensor.",
        ),
        (
            lambda nll, shape: nll * _d(shape) * LN2,
            "It is multiplied by D and by ln 2. Divide by both: bits per dimension are few, not millions.",
        ),
        (
            lambda nll, shape: nll * _d(shape) / LN2,
            "It is multiplied by D. Divide: the bits of the image are shared among its dimensions.",
        ),
        (
            lambda nll, shape: nll / math.log2(_d(shape)),
            "log2 is taken of D. D itself divides, and ln 2 beside it: nll / (D ln 2).",
        ),
        (
            lambda nll, shape: nll / (_d(shape) * math.log2(_d(shape))),
            "D is right, but the second factor is ln 2 for every image, not log2(D).",
        ),
        (
            lambda nll, shape: nll / (len(nll) * _d(shape) * LN2),
            "It is divided by len(nll), the batch size, as well, but each NLL is that of one image already.",
        ),
        (
            lambda nll, shape: nll / (nll.shape[0] * _d(shape) * LN2),
            "It is divided by nll.shape[0], the batch size, as well, but each NLL is that of one image already.",
        ),
        (
            lambda nll, shape: nll.double() / (_d(shape) * LN2),
            "Right values, but .double() makes the result float64: return the dtype of nll_nats.",
        ),
        (lambda nll, shape: nll * LN2, "Divide by ln 2 instead of multiplying, and by D = C H W as well."),
        (
            lambda nll, shape: nll / (math.prod(shape[-2:]) * LN2),
            "The channels are forgotten: a color pixel is three dimensions, D = C H W.",
        ),
        (
            lambda nll, shape: nll / (shape[-1] * LN2),
            "D is not the width alone: it counts all values, C H W.",
        ),
        (
            lambda nll, shape: nll / (shape[0] * LN2),
            "D is not the first entry of the shape but the product of all, C H W.",
        ),
        (lambda nll, shape: nll / (sum(shape) * LN2), "The sides are added. Multiply them: D = C H W."),
        (
            lambda nll, shape: nll / (len(shape) * LN2),
            "len(shape) is the number of axes (3). D is the product of the sides, C H W.",
        ),
        (lambda nll, shape: nll / (784 * LN2), "784 is D of MNIST only: take it from the shape, C H W."),
        (
            lambda nll, shape: nll / (_d(shape) * math.log(10)),
            "This divides by ln 10, which gives decimal digits. A bit is ln 2 nats.",
        ),
        (lambda nll, shape: nll / (_d(shape) * 2), "It is divided by 2 instead of ln 2 = 0.6931."),
        (
            lambda nll, shape: nll / (_d(shape) * math.log10(2)),
            "math.log10(2) is the decimal logarithm: nats belong to the natural one, math.log(2).",
        ),
        (
            lambda nll, shape: nll / (shape[0] * shape[1] * shape[2] * LN2),
            "Right for (C, H, W), but a shape may have any length, such as (T,) of sound: math.prod(shape).",
        ),
        (
            _unpacked,
            "Right for C, H, W = shape, but a shape may have any length, such as (T,) of sound: math.prod(shape).",
        ),
        (
            lambda nll, shape: nll.exp().log2() / _d(shape),
            "exp(nll) overflows, it is 1 / p(x): divide the logarithm by ln 2 instead.",
        ),
        (
            lambda nll, shape: nll.log2() / _d(shape),
            "The NLL is a logarithm already: do not take another one, divide by ln 2.",
        ),
        (
            lambda nll, shape: nll / (_d(shape) * math.log(256)),
            "This divides by 8 ln 2 = ln 256. A bit is ln 2, however many levels a pixel has, and 8 bits are a byte.",
        ),
        (lambda nll, shape: -nll / (_d(shape) * LN2), "The sign: the argument is the negative log-likelihood already."),
        (lambda nll, shape: (nll / (_d(shape) * LN2)).mean(), "The examples are averaged: return one value for each."),
        (lambda nll, shape: (nll / (_d(shape) * LN2)).sum(), "The examples are added up: return one value for each."),
        (
            lambda nll, shape: nll / (nll.numel() * LN2),
            "This divides by the number of examples. D is that of the dimensions of one, C H W.",
        ),
        (
            lambda nll, shape: nll / (nll.numel() * _d(shape) * LN2),
            "The number of examples is divided out as well, but each NLL is of one example already.",
        ),
        (
            lambda nll, shape: nll / _d(shape) / 0.69,
            "ln 2 is rounded to 0.69, so the third digit is wrong: math.log(2).",
        ),
        (
            lambda nll, shape: nll / _d(shape) / 0.693,
            "ln 2 is rounded to 0.693, so the fourth digit is wrong: math.log(2).",
        ),
        (
            lambda nll, shape: nll * 1.44 / _d(shape),
            "1 / ln 2 is rounded to 1.44, so the third digit is wrong: math.log2(math.e).",
        ),
        (
            lambda nll, shape: nll / (_d(shape) // LN2),
            "// cuts off the fraction: use / for the division.",
        ),
        (lambda nll, shape: nll // (_d(shape) * LN2), "// rounds down to whole bits: use / for the division."),
        (
            lambda nll, shape: nll_to_bits_per_dim(nll, shape).round(decimals=2),
            "The result is rounded: return all digits, rounding is for printing.",
        ),
        (
            lambda nll, shape: nll_to_bits_per_dim(nll, shape).round(decimals=4),
            "The result is rounded to four decimals: return all digits, rounding is for printing.",
        ),
        (lambda nll, shape: 2 ** (nll / (_d(shape) * LN2)), "This is a perplexity, 2 to the bits: return the bits."),
        (
            lambda nll, shape: nll_to_bits_per_dim(nll, shape).abs(),
            "abs() hides negative values: the NLL of a density may be below 0, and has to stay so.",
        ),
        (
            lambda nll, shape: nll_to_bits_per_dim(nll, shape).clamp(min=0),
            "clamp hides negative values: the NLL of a density may be below 0, and has to stay so.",
        ),
        (
            lambda nll, shape: nll_to_bits_per_dim(nll.detach(), shape),
            "The values are right, but detached: no gradient reaches the NLL.",
        ),
    ],
    accepts=[
        lambda nll, shape: nll * math.log2(math.e) / math.prod(shape),
        lambda nll, shape: nll / torch.Size(shape).numel() / torch.log(torch.tensor(2.0, dtype=torch.float64)).item(),
        lambda nll, shape: nll / (torch.tensor(shape).prod() * LN2),
        lambda nll, shape: nll / (np.prod(shape) * np.log(2)),
        _loop,
    ],
    speed=Speed(lambda: (torch.rand(10_000), (3, 32, 32))),
)
