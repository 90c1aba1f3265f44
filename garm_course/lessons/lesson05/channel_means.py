"""Means of the colors of a pixel that follow each other; equation (5.5)."""

import itertools

import torch
from torch import Tensor

from garm_course.distributions.logistic_mixture import channel_means
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import ANY_AXES, edge, only_numbers, plain
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


def _terms(attempt: Attempt) -> None:
    """The probe of random numbers; where no mistake is known it names the products that are missing or too many."""
    try:
        plain(*_args(5, seed=1))(attempt)
    except Refused as refused:
        if refused.hint or not only_numbers(attempt):
            raise
        found = []
        for i, j in itertools.product(range(3), range(3)):  # one coefficient and one color are 1, all else is 0
            args = torch.zeros(1, 3).double(), torch.eye(3)[i : i + 1].double(), torch.eye(3)[j : j + 1].double()
            wrong = (attempt.call(*args) - channel_means(*args))[0].tolist()
            found += [f"{COLORS[c]} {FAULT[by]} {'αβγ'[i]} x_{'RGB'[j]}" for c, by in enumerate(wrong) if by in FAULT]
        if not found:
            raise
        rule = "Each color is its own mean and the values of the colors before it, each with its coefficient."
        raise Refused(str(refused), f"{'. '.join(found[:4])}. {rule}") from refused


M = _args(5, seed=1)[0]
COLORS, FAULT = ("Red", "Green", "Blue"), {-1: "lacks", 1: "must not contain", -2: "has the wrong sign at"}


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
        _terms,
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
            lambda mean, coef, x: channel_means(mean, coef, x - mean),
            "The coefficients multiply x - mean, the surprise. In (5.5) they multiply the true values x themselves.",
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
            lambda mean, coef, x: mean + coef * x,
            "Each color is added to its own mean: a leak. Green follows red, blue follows red and green.",
        ),
        (
            _with(green=lambda m, k, v: m[1] - k[0] * v[0], blue=lambda m, k, v: m[2] - k[1] * v[0] - k[2] * v[1]),
            "The sign: what the colors before say is added.",
        ),
        (
            lambda mean, coef, x: mean.clone(),
            "The means come back as they were: green and blue move with what came before.",
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
