"""The best discriminator of two densities; equation (13.2)."""

import torch
from torch import Tensor

from garm_course.adversarial.divergences import optimal_discriminator
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _densities(*shape: int, seed: int) -> tuple[Tensor, Tensor]:
    return random(*shape, seed=seed).exp(), (1.5 * random(*shape, seed=seed + 1)).exp()


def _by_loop(p: Tensor, g: Tensor) -> Tensor:
    values = [float(a) / (float(a) + float(b)) for a, b in zip(p.flatten(), g.flatten(), strict=True)]
    return torch.tensor(values, dtype=p.dtype).reshape(p.shape)


MIXED = torch.tensor([[0.3, 1.7, 0.2, 2.4], [1.1, 0.4, 0.6, 0.9]])  # above and below each other
ONE_SIDED = (
    torch.tensor([0.3, 0.0, 2.0, 0.7], dtype=torch.float64),
    torch.tensor([0.1, 0.4, 0.0, 0.7], dtype=torch.float64),
)
SMALL = "A number is added to a density or to p + g, or a clamp acts on it: densities may be as small as 1e-30."
ZERO = "Wrong only where one of the densities is 0: there D* is 0 or 1."

EXERCISE = Exercise(
    name="optimal_discriminator",
    lesson="13",
    reference=optimal_discriminator,
    rule="D* = p / (p + g) at each point: the probability that what lies there came from the data.",
    rtol=1e-5,
    probes=[
        plain(*((t * (0.1 * random(4, seed=5)).exp()).float() for t in MIXED)),
        same(*_densities(3, 4, seed=3)),
        same(*_densities(1, seed=7)),
        same(random(4, seed=20).exp(), random(4, seed=20).exp()),  # one half
        *(edge(same(*(scale * t for t in _densities(4, 2, seed=9))), SMALL) for scale in (1e-12, 1e-30)),
        edge(same(*ONE_SIDED), ZERO),
        same(*(1e12 * t for t in _densities(3, seed=11))),
        same(torch.tensor([0.3, 0.0]), torch.tensor([0.1, 0.2])),
    ],
    mistakes=[
        (lambda p, g: g / (p + g), "This is the probability of a fake: D says how probable it is that x is data."),
        (lambda p, g: p / p + g, "This is p / p + g, which is 1 + g: the sum needs its parentheses, p / (p + g)."),
        (lambda p, g: p / g, "This is the ratio p / g, from 0 to infinity: a probability is p / (p + g)."),
        (lambda p, g: g / p, "This is the ratio g / p: a probability is p / (p + g)."),
        (lambda p, g: torch.full_like(p, 0.5), "One half everywhere is right only where p = g: at the equilibrium."),
        (lambda p, g: (p > g).float(), "This is a decision, 0 or 1: the probability itself is asked for."),
        (lambda p, g: p > g, "This is a decision, True or False: the probability itself is asked for."),
        (lambda p, g: (p - g) / (p + g), "This is (p - g) / (p + g), from -1 to 1: a probability is p / (p + g)."),
        (lambda p, g: p.log() - g.log(), "This is the logit log p - log g: the sigmoid of it is the probability."),
        (lambda p, g: torch.sigmoid(p - g), "The sigmoid takes the difference of the log-densities, log p - log g."),
        (lambda p, g: torch.sigmoid(p / g), "The sigmoid takes log (p / g), not the ratio itself."),
        (lambda p, g: torch.sigmoid(p), "The sigmoid of p alone: D compares p with g, p / (p + g)."),
        (lambda p, g: p / (p + g).sum(), "It is divided by a sum over all points: p and g are added at each point."),
        (lambda p, g: p / (p + g + 1e-6), SMALL),
        (lambda p, g: p / torch.maximum(p, g), "It is divided by the larger of the two: p / (p + g)."),
        (lambda p, g: p, "This is the density of the data: how it compares with g is asked for."),
        (lambda p, g: p * g, "The densities are multiplied: p / (p + g)."),
        (lambda p, g: p**2 / (p**2 + g**2), "The densities are squared: p / (p + g)."),
        (lambda p, g: (p / (p + g)).mean(), "It is averaged: one value for each point."),
        (lambda p, g: p / torch.where(g > 0, p + g, 1.0), ZERO),
    ],
    accepts=[
        lambda p, g: torch.sigmoid(p.log() - g.log()),
        lambda p, g: p / (p + g),
        lambda p, g: 1 - g / (p + g),
        _by_loop,
    ],
    axes=("row", "column"),
    speed=Speed(lambda: _densities(100, 200, seed=9)),
)
