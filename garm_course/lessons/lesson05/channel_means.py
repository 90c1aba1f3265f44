"""Means of the colors of a pixel that follow each other; equation (5.5)."""

import torch
from torch import Tensor

from garm_course.distributions.logistic_mixture import channel_means
from garm_course.exercises.edges import ANY_AXES, edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _args(*shape: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Means of which some are beyond 1, coefficients and values between -1 and 1."""
    return 2 * random(*shape, 3, seed=seed), *(random(*shape, 3, seed=seed + i).tanh() for i in (1, 2))


def _with(red=None, green=None, blue=None):
    """The right means, with some of them replaced by functions of ((r, g, b), (a, b, c), (x, y, z))."""

    def answer(mean: Tensor, coef: Tensor, x: Tensor) -> Tensor:
        m, k, v = mean.unbind(-1), coef.unbind(-1), x.unbind(-1)
        return torch.stack([own(m, k, v) for own in (red or _red, green or _green, blue or _blue)], -1)

    return answer


def _red(m, k, v):
    return m[0]


def _green(m, k, v):
    return m[1] + k[0] * v[0]


def _blue(m, k, v):
    return m[2] + k[1] * v[0] + k[2] * v[1]


def _by_matrix(mean: Tensor, coef: Tensor, x: Tensor) -> Tensor:
    table = mean.new_zeros(*mean.shape[:-1], 3, 3)
    table[..., 1, 0], table[..., 2, 0], table[..., 2, 1] = coef.unbind(-1)
    return mean + (table @ x.unsqueeze(-1)).squeeze(-1)


def _by_cat(mean: Tensor, coef: Tensor, x: Tensor) -> Tensor:
    green = mean[..., 1:2] + coef[..., :1] * x[..., :1]
    blue = mean[..., 2:] + (coef[..., 1:] * x[..., :2]).sum(-1, keepdim=True)
    return torch.cat([mean[..., :1], green, blue], -1)


def _in_place(mean: Tensor, coef: Tensor, x: Tensor) -> Tensor:
    mean[..., 1] += coef[..., 0] * x[..., 0]
    mean[..., 2] += coef[..., 1] * x[..., 0] + coef[..., 2] * x[..., 1]
    return mean


EXERCISE = Exercise(
    name="channel_means",
    lesson="05",
    reference=channel_means,
    rule="Red keeps its mean; green adds α times the true red value; blue adds β times red and γ times green, with "
    "coef = (α, β, γ) on the last axis.",
    probes=[
        plain(*_args(5, seed=1)),
        edge(same(*_args(2, 4, seed=4)), ANY_AXES),
        edge(same(*_args(seed=10)), ANY_AXES),
        same(torch.zeros(3), torch.tensor([0.5, 0.1, 0.2]), torch.tensor([1.0, -1.0, 0.0])),  # the example of the text
        same(*(one.float() for one in _args(1, seed=7))),
        same(*_args(5, seed=1), grad=True),
    ],
    axes=("pixel", "color"),
    mistakes=[
        (
            _with(green=lambda m, k, v: m[1] + k[0] * m[0], blue=lambda m, k, v: m[2] + k[1] * m[0] + k[2] * m[1]),
            "The means of red and green stand where their true values belong. The colors before are known when green "
            "is predicted: use x (teacher forcing).",
        ),
        (
            _with(blue=lambda m, k, v: m[2] + k[1] * v[0] + k[2] * _green(m, k, v)),
            "Blue follows the mean of green. Green is known by then: use its true value x_G.",
        ),
        (
            _with(blue=lambda m, k, v: m[2] + k[2] * v[0] + k[1] * v[1]),
            "β and γ are exchanged: coef is (α, β, γ), β goes with red and γ with green.",
        ),
        (
            _with(green=lambda m, k, v: m[1] + k[1] * v[0], blue=lambda m, k, v: m[2] + k[0] * v[0] + k[2] * v[1]),
            "α and β are exchanged: the first coefficient is that of green.",
        ),
        (
            _with(blue=lambda m, k, v: m[2] + k[1] * v[0] + k[2] * v[2]),
            "γ stands with blue, so blue sees its own value: a leak. γ goes with the value of green, x_G.",
        ),
        (
            _with(blue=lambda m, k, v: m[2] + k[1] * v[1] + k[2] * v[2]),
            "Blue sees itself, and red not at all: the values are one too far. β goes with x_R, γ with x_G.",
        ),
        (
            lambda mean, coef, x: mean + coef * x,
            "Each color is added to its own mean: a leak. Green follows red, blue follows red and green.",
        ),
        (
            lambda mean, coef, x: mean.clone(),
            "The means come back as they were: green and blue move with what came before.",
        ),
        (
            lambda mean, coef, x: channel_means(mean, coef, x - mean),
            "The coefficients multiply x - mean, the surprise. In (5.5) they multiply the true values x themselves.",
        ),
        (
            lambda mean, coef, x: channel_means(mean, coef.roll(1, -1), x),
            "The coefficients are one place off. They come in the order α, β, γ: coef[..., 0] is α, that of green.",
        ),
        (
            lambda mean, coef, x: mean + coef * x.roll(1, -1),
            "The values are rolled by one color, so red follows blue: a leak. Red keeps its mean.",
        ),
        (_with(green=lambda m, k, v: m[1] + k[0] * v[1]), "Green sees itself: a leak. It follows the value of red."),
        (_with(blue=lambda m, k, v: m[2] + k[1] * v[0]), "Blue follows red only: γ x_G is missing."),
        (_with(blue=lambda m, k, v: m[2] + k[2] * v[1]), "Blue follows green only: β x_R is missing."),
        (_with(green=lambda m, k, v: m[1]), "Green stands alone: α x_R is missing."),
        (
            _with(red=lambda m, k, v: m[0] + k[0] * v[0]),
            "Red follows itself: a leak. It comes first and keeps its mean.",
        ),
        (
            _with(green=lambda m, k, v: m[1] - k[0] * v[0], blue=lambda m, k, v: m[2] - k[1] * v[0] - k[2] * v[1]),
            "The sign: what the colors before say is added.",
        ),
        (
            _with(green=lambda m, k, v: m[0] + k[0] * v[0]),
            "Green starts from the mean of red. Each color has its own mean.",
        ),
        (
            _with(green=lambda m, k, v: k[0] * v[0], blue=lambda m, k, v: k[1] * v[0] + k[2] * v[1]),
            "The means of green and blue that the network put out are dropped: add to them.",
        ),
        (
            lambda mean, coef, x: channel_means(mean, coef.tanh(), x),
            "The coefficients go through a second tanh. They come as they are to be used: the network has applied it.",
        ),
        (
            lambda mean, coef, x: channel_means(mean, coef, x).clamp(-1, 1),
            "The means are clamped to [-1, 1]. A mean may lie outside: then the first or the last level is likely.",
        ),
        (
            lambda mean, coef, x: channel_means(mean.clamp(-1, 1), coef, x),
            "The means of the network are clamped to [-1, 1] before anything is added. A mean may lie outside.",
        ),
        (_in_place, "The argument `mean` is overwritten by +=: build a new tensor, with torch.stack or torch.cat."),
    ],
    accepts=[_with(), _by_matrix, _by_cat],
    speed=Speed(lambda: torch.randn(3, 32, 8, 8, 5, 3).unbind()),
)
