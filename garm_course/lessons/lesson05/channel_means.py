"""Means of the colors of a pixel that follow each other; equation (5.5)."""

import torch
from torch import Tensor

from garm_course.distributions.logistic_mixture import channel_means
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

M, C, X = random(5, 3, seed=1), random(5, 3, seed=2), random(5, 3, seed=3)


def _with(red=None, green=None, blue=None):
    """The right means, with one of them replaced by a function of ((r, g, b), (a, b, c), (x, y, z))."""

    def answer(mean: Tensor, coef: Tensor, x: Tensor) -> Tensor:
        m, k, v = mean.unbind(-1), coef.unbind(-1), x.unbind(-1)
        rows = [
            m[0] if red is None else red(m, k, v),
            m[1] + k[0] * v[0] if green is None else green(m, k, v),
            m[2] + k[1] * v[0] + k[2] * v[1] if blue is None else blue(m, k, v),
        ]
        return torch.stack(rows, -1)

    return answer


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


def _means_of_green(m, k, v):
    return m[2] + k[1] * v[0] + k[2] * (m[1] + k[0] * v[0])


EXERCISE = Exercise(
    name="channel_means",
    lesson="05",
    reference=channel_means,
    rule="Red keeps its mean; green adds α times the true red value; blue adds β times red and γ times green, with "
    "coef = (α, β, γ) on the last axis.",
    probes=[same(M, C, X), same(random(2, 4, 3, seed=4), random(2, 4, 3, seed=5), random(2, 4, 3, seed=6)),
            same(M, C, X, grad=True), same(M[0], C[0], X[0])],
    axes=("pixel", "color"),
    mistakes=[
        (
            _with(green=lambda m, k, v: m[1] + k[0] * m[0], blue=lambda m, k, v: m[2] + k[1] * m[0] + k[2] * m[1]),
            "The means of red and green stand where their true values belong. The colors before are known when green "
            "is predicted: use x (teacher forcing).",
        ),
        (
            _with(blue=_means_of_green),
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
            _with(blue=lambda m, k, v: m[2] + k[1] * v[0] + k[2] * v[1] + v[2]),
            "Blue sees its own value: a leak. Only colors before it may enter.",
        ),
        (
            _with(blue=lambda m, k, v: m[2] + k[1] * v[1] + k[2] * v[2]),
            "Blue sees itself, and red not at all: the values are one too far. β goes with x_R, γ with x_G.",
        ),
        (
            _with(red=lambda m, k, v: m[0] + k[0] * v[0], green=lambda m, k, v: m[1] + k[1] * v[1],
                  blue=lambda m, k, v: m[2] + k[2] * v[2]),
            "Each color is added to its own mean: a leak. Green follows red, blue follows red and green.",
        ),
        (
            _with(green=lambda m, k, v: m[1] + k[0] * v[1]),
            "Green sees itself: a leak. Its mean follows the value of red.",
        ),
        (
            _with(blue=lambda m, k, v: m[2] + k[1] * v[0]),
            "Blue follows red only: γ x_G is missing.",
        ),
        (
            _with(blue=lambda m, k, v: m[2] + k[2] * v[1]),
            "Blue follows green only: β x_R is missing.",
        ),
        (
            _with(green=lambda m, k, v: m[1]),
            "Green stands alone: α x_R is missing.",
        ),
        (
            _with(green=lambda m, k, v: m[1] - k[0] * v[0], blue=lambda m, k, v: m[2] - k[1] * v[0] - k[2] * v[1]),
            "The sign: what the colors before say is added.",
        ),
        (
            _with(green=lambda m, k, v: m[0] + k[0] * v[0]),
            "Green starts from the mean of red. Each color has a mean of its own.",
        ),
        (
            _with(green=lambda m, k, v: k[0] * v[0], blue=lambda m, k, v: k[1] * v[0] + k[2] * v[1]),
            "The means that the network put out are dropped: add to them.",
        ),
        (
            _with(red=lambda m, k, v: m[0] + k[1] * v[2] + k[2] * v[1], green=lambda m, k, v: m[1] + k[0] * v[2],
                  blue=lambda m, k, v: m[2]),
            "The order is that of B, G, R. Here red comes first and blue last.",
        ),
        (_in_place, "The argument `mean` is overwritten by +=: build a new tensor, with torch.stack or torch.cat."),
    ],
    accepts=[_with(), _by_matrix, _by_cat],
    speed=Speed(lambda: torch.randn(3, 32, 8, 8, 5, 3).unbind()),
)  # fmt: skip
