"""The unit of a Gated PixelCNN, tanh times sigmoid; equation (4.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.pixelcnn import gated_activation
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

X = random(2, 6, 4, 8, seed=4)


def _of(function, dim: int = 1):
    """An answer from a function of the two halves."""
    return lambda x: function(*x.chunk(2, dim))


def _gate(a: Tensor, b: Tensor) -> Tensor:
    return a.tanh() * b.sigmoid()


def _tanh_by_exp(a: Tensor) -> Tensor:
    return (a.exp() - (-a).exp()) / (a.exp() + (-a).exp())


def _parts_of_two(x: Tensor) -> Tensor:
    a, b = torch.split(x, 2, dim=1)
    return _gate(a, b)


EXERCISE = Exercise(
    name="gated_activation",
    lesson="04",
    reference=gated_activation,
    rule="tanh of the first half of the channels times sigmoid of the second half, element by element.",
    probes=[
        plain(X),
        same(random(4, 2, 6, 2, seed=5)),
        same(torch.tensor([0.5, 0.0]).view(1, 2, 1, 1)),  # the example of the text
        same(random(2, 4, 2, 6, seed=6).float()),
        plain(1000 * random(2, 4, 2, 6, seed=4)),
        same(X, grad=True),
        edge(
            same(1000 * X, grad=True),
            "The values are right, but not the gradient at large numbers, where an exp overflows.",
        ),
    ],
    axes=("image", "channel", "row", "column"),
    rtol=1e-5,
    atol=3e-7,
    mistakes=[
        (
            _of(lambda a, b: _gate(b, a)),
            "The halves are swapped. The convention: tanh of the first half of the channels, sigmoid of the second.",
        ),
        (
            _of(lambda a, b: a.tanh() + b.sigmoid()),
            "Multiply the two, do not add them: a product lets the sigmoid open and close the gate.",
        ),
        (lambda x: F.glu(x, 1), "This is a gated linear unit (GLU): the tanh on the first half is missing."),
        (
            F.glu,
            "This is F.glu along the last axis: the tanh is missing, and the halves are those of the channels (dim=1).",
        ),
        (_of(lambda a, b: a.sigmoid() * b.sigmoid()), "Sigmoid on both halves: the first half takes tanh."),
        (_of(lambda a, b: a.tanh() * b.tanh()), "tanh on both halves: the second one takes sigmoid, between 0 and 1."),
        (_of(lambda a, b: a.tanh() * b), "The second half lacks its sigmoid: the gate must be between 0 and 1."),
        (_of(lambda a, b: a * b), "Neither tanh nor sigmoid: put tanh on the first half, sigmoid on the second."),
        (_of(_gate, 2), "The rows were split into halves. The channels are the second axis of (B, 2C, H, W): dim=1."),
        (
            _of(_gate, 3),
            "The columns were split into halves. The channels are the second axis of (B, 2C, H, W): dim=1.",
        ),
        (_of(_gate, 0), "The batch was split into halves. The channels are the second axis of (B, 2C, H, W): dim=1."),
        (
            lambda x: _gate(*x.split(2, 1)[:2]),
            "torch.split(x, 2, dim=1) makes parts of 2 channels: the 2 is a size. torch.chunk makes 2 parts.",
        ),
        (
            _parts_of_two,
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
            "Even and odd channels were separated. The first half is channels 0 to C - 1, the second half is the rest.",
        ),
        (_of(lambda a, b: a.relu() * b.sigmoid()), "relu on the first half: the equation has tanh there."),
        (lambda x: x.tanh() * x.sigmoid(), "Both act on all channels. tanh takes the first half, sigmoid the second."),
        (_of(lambda a, b: a.tanh() * a.sigmoid()), "Both factors read the first half: sigmoid takes the second half."),
        (_of(lambda a, b: b.tanh() * b.sigmoid()), "Both factors read the second half: tanh takes the first half."),
        (
            _of(lambda a, b: (a * b.sigmoid()).tanh()),
            "A parenthesis in the wrong place: tanh(a) * sigmoid(b), not tanh(a * sigmoid(b)).",
        ),
        (
            _of(lambda a, b: a.tanh() * b.softmax(1)),
            "A softmax lets the channels compete. The gate of each channel stands alone: sigmoid.",
        ),
        (
            _of(lambda a, b: torch.cat([a.tanh(), b.sigmoid()], 1)),
            "The two halves stand side by side: multiply them, so that C channels come out of 2C.",
        ),
        (_of(lambda a, b: a.tanh() * (1 - b.sigmoid())), "The gate is inverted: sigmoid(b), not 1 - sigmoid(b)."),
        (_of(lambda a, b: a.tanh()), "The second half is not used: multiply by its sigmoid."),
        (
            _of(lambda a, b: _tanh_by_exp(a) * b.sigmoid()),
            "Your tanh by exponentials overflows for large inputs: inf / inf is NaN. torch.tanh does not.",
        ),
        (
            _of(lambda a, b: a.tanh() * (b.exp() / (1 + b.exp()))),
            "Your sigmoid by exponentials overflows for large inputs: inf / inf is NaN. torch.sigmoid does not.",
        ),
        (
            _of(lambda a, b: _tanh_by_exp(a) * (b.exp() / (1 + b.exp()))),
            "tanh and sigmoid by exponentials overflow for large inputs: inf / inf is NaN. Those of torch do not.",
        ),
    ],
    accepts=[
        _of(_gate),
        _of(lambda a, b: a.tanh() * (0.5 + 0.5 * torch.tanh(b / 2))),
        _of(lambda a, b: (2 * torch.sigmoid(2 * a) - 1) * b.sigmoid()),
        lambda x: torch.tanh(x[:, : x.shape[1] // 2]) * torch.sigmoid(x[:, x.shape[1] // 2 :]),
        lambda x: _gate(*x.unflatten(1, (2, -1)).unbind(1)),
        lambda x: F.glu(torch.cat([x.chunk(2, 1)[0].tanh(), x.chunk(2, 1)[1]], 1), dim=1),
    ],
    speed=Speed(lambda: (torch.rand(64, 64, 28, 28),)),
)
