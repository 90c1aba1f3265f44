"""The unit of a Gated PixelCNN, tanh times sigmoid; equation (4.3)."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.pixelcnn import gated_activation
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

_random = partial(random, seed=4)


def _halves(x: Tensor, dim: int = 1) -> tuple[Tensor, Tensor]:
    return x.chunk(2, dim)


def _gate(a: Tensor, b: Tensor) -> Tensor:
    return a.tanh() * b.sigmoid()


def _gate_in_place(x: Tensor) -> Tensor:
    a, b = _halves(x)
    return a.tanh_() * b.sigmoid_()


def _tanh_by_exp(x: Tensor) -> Tensor:
    a, b = _halves(x)
    return (a.exp() - (-a).exp()) / (a.exp() + (-a).exp()) * b.sigmoid()


def _sigmoid_by_exp(x: Tensor) -> Tensor:
    a, b = _halves(x)
    return a.tanh() * (b.exp() / (1 + b.exp()))


def _both_by_exp(x: Tensor) -> Tensor:
    a, b = _halves(x)
    return (a.exp() - (-a).exp()) / (a.exp() + (-a).exp()) * (b.exp() / (1 + b.exp()))


def _parts_of_two(x: Tensor) -> Tensor:
    parts = torch.split(x, 2, dim=1)
    return _gate(parts[0], parts[1])


def _unpacked_parts_of_two(x: Tensor) -> Tensor:
    a, b = torch.split(x, 2, dim=1)
    return _gate(a, b)


def _of_halves(function):
    return lambda x: function(*_halves(x))


def _gate_by_tanh(x: Tensor) -> Tensor:
    half = x.shape[1] // 2
    return torch.tanh(x[:, :half]) * (0.5 + 0.5 * torch.tanh(x[:, half:] / 2))


EXERCISE = Exercise(
    name="gated_activation",
    lesson="04",
    reference=gated_activation,
    rule="tanh of the first half of the channels times sigmoid of the second half, element by element.",
    probes=[
        same(_random(2, 6, 4, 8)),
        same(_random(4, 2, 6, 2, seed=5)),
        same(_random(2, 4, 2, 6).float()),
        same(_random(2, 6, 4, 8), grad=True),
        same(1000 * _random(2, 4, 2, 6)),
    ],
    axes=("image", "channel", "row", "column"),
    mistakes=[
        (
            _of_halves(lambda a, b: _gate(b, a)),
            "The halves are swapped. The convention: tanh of the first half of the channels, sigmoid of the second.",
        ),
        (
            _of_halves(lambda a, b: a.tanh() + b.sigmoid()),
            "Multiply the two, do not add them: a product lets the sigmoid open and close the gate.",
        ),
        (
            lambda x: F.glu(x, 1),
            "This is a gated linear unit (GLU): the tanh on the first half is missing.",
        ),
        (
            F.glu,
            "This is F.glu along the last axis: the tanh is missing, and the halves are those of the channels (dim=1).",
        ),
        (_of_halves(lambda a, b: a.sigmoid() * b.sigmoid()), "Sigmoid on both halves: the first half takes tanh."),
        (
            _of_halves(lambda a, b: a.tanh() * b.tanh()),
            "tanh on both halves: the second half is the gate and takes sigmoid, between 0 and 1.",
        ),
        (
            _of_halves(lambda a, b: a.tanh() * b),
            "The second half lacks its sigmoid: without it the gate is not between 0 and 1.",
        ),
        (
            _of_halves(lambda a, b: a * b),
            "Neither tanh nor sigmoid: put tanh on the first half, sigmoid on the second.",
        ),
        (
            lambda x: _gate(*_halves(x, 2)),
            "The rows were split into halves. The channels are the second axis of (B, 2C, H, W): dim=1.",
        ),
        (
            lambda x: _gate(*_halves(x, 3)),
            "The columns were split into halves. The channels are the second axis of (B, 2C, H, W): dim=1.",
        ),
        (
            lambda x: _gate(*_halves(x, 0)),
            "The batch was split into halves. The channels are the second axis of (B, 2C, H, W): dim=1.",
        ),
        (
            _parts_of_two,
            "torch.split(x, 2, dim=1) makes parts of 2 channels: the 2 is a size. torch.chunk makes 2 parts.",
        ),
        (
            _unpacked_parts_of_two,
            "In torch.split(x, 2, dim=1) the 2 is the size of a part and not how many there are; use torch.chunk.",
        ),
        (
            lambda x: _gate(x[:, 0], x[:, 1]),
            "x[:, 0] and x[:, 1] are single channels, and their axis is gone. Take halves: x[:, :C] and x[:, C:].",
        ),
        (
            lambda x: _gate(x[:, :1], x[:, 1:2]),
            "Only the first two channels are used, one for each factor. Take halves: x[:, :C] and x[:, C:].",
        ),
        (
            lambda x: _gate(x[0], x[1]),
            "x[0] and x[1] are two images of the batch. The channels are the second axis: x[:, :C] and x[:, C:].",
        ),
        (
            lambda x: _gate(x[:, 0::2], x[:, 1::2]),
            "Even and odd channels were taken in turns. The first half is channels 0 to C - 1, the second the rest.",
        ),
        (
            lambda x: _gate(x[:, 1::2], x[:, 0::2]),
            "Odd and even channels were taken in turns. The first half is channels 0 to C - 1, the second the rest.",
        ),
        (
            _of_halves(lambda a, b: a.relu() * b.sigmoid()),
            "relu on the first half: the equation has tanh there.",
        ),
        (
            _of_halves(lambda a, b: a.tanh() * b.relu()),
            "relu on the second half: the gate is a sigmoid, between 0 and 1.",
        ),
        (
            lambda x: x.tanh() * x.sigmoid(),
            "Both act on all channels. Split them first: tanh takes the first half, sigmoid the second.",
        ),
        (F.silu, "This is SiLU, x * sigmoid(x), on all channels. Split them: the two halves play different parts."),
        (
            _of_halves(lambda a, b: a.tanh() * a.sigmoid()),
            "Both factors read the first half: the sigmoid takes the second half.",
        ),
        (
            _of_halves(lambda a, b: b.tanh() * b.sigmoid()),
            "Both factors read the second half: the tanh takes the first half.",
        ),
        (
            _of_halves(lambda a, b: (a * b.sigmoid()).tanh()),
            "A parenthesis in the wrong place: tanh(a) * sigmoid(b), not tanh(a * sigmoid(b)).",
        ),
        (
            _of_halves(lambda a, b: a.tanh() * (1 - b.sigmoid())),
            "The gate is inverted: multiply by sigmoid(b), not by 1 - sigmoid(b).",
        ),
        (
            _of_halves(lambda a, b: a.tanh() * b.softmax(1)),
            "A softmax lets the channels compete. The gate of each channel stands alone: sigmoid.",
        ),
        (
            _of_halves(lambda a, b: torch.cat([a.tanh(), b.sigmoid()], 1)),
            "The two halves stand side by side: multiply them, so that C channels come out of 2C.",
        ),
        (_of_halves(lambda a, b: a.tanh()), "The second half is not used: multiply by its sigmoid."),
        (_of_halves(lambda a, b: b.sigmoid()), "The first half is not used: multiply by its tanh."),
        (
            lambda x: (x[:, : x.shape[1] // 2].tanh() * x[:, x.shape[1] // 2 :].sigmoid()).sum(1),
            "The channels are added up at the end: leave the product of shape (B, C, H, W).",
        ),
        (
            _gate_in_place,
            "tanh_ and sigmoid_ (with an underscore) overwrite the argument: use torch.tanh and torch.sigmoid.",
        ),
        (
            _tanh_by_exp,
            "Your tanh by exponentials overflows for large inputs: inf / inf is NaN. torch.tanh does not.",
        ),
        (
            _sigmoid_by_exp,
            "Your sigmoid by exponentials overflows for large inputs: inf / inf is NaN. torch.sigmoid does not.",
        ),
        (
            _both_by_exp,
            "tanh and sigmoid by exponentials overflow for large inputs: inf / inf is NaN. Those of torch do not.",
        ),
        (
            lambda x: gated_activation(x.detach()),
            "The values are right, but detached: no gradient reaches the argument, so the layer would never learn.",
        ),
    ],
    accepts=[
        _gate_by_tanh,
        lambda x: torch.tanh(x[:, : x.shape[1] // 2]) * torch.sigmoid(x[:, x.shape[1] // 2 :]),
        lambda x: _gate(*torch.split(x, x.shape[1] // 2, dim=1)),
        lambda x: _gate(*x.unflatten(1, (2, -1)).unbind(1)),
        lambda x: F.glu(torch.cat([_halves(x)[0].tanh(), _halves(x)[1]], 1), dim=1),
        lambda x: _halves(x)[0].tanh() / (1 + torch.exp(-_halves(x)[1].clamp(min=-80))),
    ],
    speed=Speed(lambda: (torch.rand(64, 64, 28, 28),)),
)
