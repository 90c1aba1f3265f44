"""The hinge loss of a critic; equation (14.6)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.adversarial.losses import hinge_d_loss
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _real(s: Tensor) -> Tensor:
    return F.relu(1 - s)


def _fake(s: Tensor) -> Tensor:
    return F.relu(1 + s)


def _terms(real: Callable = _real, fake: Callable = _fake, join: Callable = lambda a, b: a.mean() + b.mean()):
    return lambda real_scores, fake_scores: join(real(real_scores), fake(fake_scores))


MIXED = torch.tensor([6.2, -1.3, 0.4, 3.7])  # most beyond the margin, and so is their mean
BEYOND = random(4, seed=5).abs() + 1.1
SURE = torch.tensor([-1000.0, 1000.0, 0.3], dtype=torch.float64)
CLAMPED = "A clamp or a smooth function acts on large scores: far inside of the margin the loss is 1 - real, 1 + fake."

EXERCISE = Exercise(
    name="hinge_d_loss",
    lesson="14",
    reference=hinge_d_loss,
    rule="mean max(0, 1 - real) + mean max(0, 1 + fake): scores beyond the margin of 1 cost nothing.",
    rtol=1e-5,
    probes=[
        plain(MIXED + 0.1 * random(4, seed=3), 0.1 * random(5, seed=4) - torch.tensor([3.8, -0.7, -1.3, 2.2, -0.5])),
        same(2 * random(7, seed=1), 2 * random(7, seed=2), grad=True),
        same(random(3, seed=9), random(8, seed=10), grad=True),
        same(BEYOND, -BEYOND),  # all beyond the margin
        same(random(1, seed=11) - 1, random(1, seed=12) + 1, grad=True),
        same(3 * random(6, seed=7).float(), random(6, seed=8).float(), grad=True),
        edge(same(SURE, -2 * SURE, grad=True), CLAMPED),
        same(torch.tensor([0.5, 3.0]), torch.tensor([-2.0, 0.0])),
    ],
    mistakes=[
        (_terms(_fake, _real), "The signs are swapped: real scores shall be above 1, fake ones below -1."),
        (_terms(lambda s: 1 - s, lambda s: 1 + s), "Without max(0, ·) this is the Wasserstein loss plus 2: no margin."),
        (_terms(lambda s: -s, lambda s: s), "This is the Wasserstein loss: cut both terms off at the margin."),
        (
            _terms(lambda s: -_real(s), lambda s: -_fake(s)),
            "The sign is that of the form which a critic maximizes, min(0, ·): minimized, it needs a minus.",
        ),
        (
            _terms(lambda s: (1 - s).clamp(max=0), lambda s: (1 + s).clamp(max=0)),
            "This is min(0, ·), or clamp(max=0): the cost is what lies above 0, max(0, ·).",
        ),
        (
            _terms(lambda s: F.relu(s - 1), lambda s: F.relu(-1 - s)),
            "The signs inside of max are reversed, so good scores cost: max(0, 1 - real), max(0, 1 + fake).",
        ),
        (_terms(_real, _real), "Both terms ask for high scores: fakes should be below -1, max(0, 1 + fake)."),
        (_terms(_fake, _fake), "Both terms ask for low scores: data shall be above 1, max(0, 1 - real)."),
        (lambda real, fake: _real(real).mean(), "Only the real term is there: fakes are missing."),
        (lambda real, fake: _fake(fake).mean(), "Only the fake term is there: data are missing."),
        (_terms(join=lambda a, b: a.mean() - b.mean()), "The fake term is subtracted: both are costs, and added."),
        (_terms(lambda s: F.relu(-s), F.relu), "The margin is 0, so a critic that says 0 everywhere wins. It is 1."),
        (_terms(lambda s: 1 - F.relu(s), lambda s: 1 + F.relu(s)), "relu acts on the scores: relu(1 - real) instead."),
        (_terms(lambda s: _real(s) ** 2, lambda s: _fake(s) ** 2), "The hinge is squared: no square here."),
        (
            lambda real, fake: F.relu(1 - real.mean()) + F.relu(1 + fake.mean()),
            "The mean is inside: max(0, 1 - mean) lets good scores pay for bad ones. Cut off each score, then average.",
        ),
        (
            lambda real, fake: F.relu((1 - real).mean() + (1 + fake).mean()),
            "relu acts on the whole loss: cut off each score by itself, then average.",
        ),
        (_terms(join=lambda a, b: a.sum() + b.sum()), "These are sums: take the mean over data and over fakes."),
        (
            _terms(join=lambda a, b: torch.cat([a, b]).mean()),
            "One mean over all scores: it is halved, and weighs the sides by their sizes. Two means, added.",
        ),
        (
            _terms(join=lambda a, b: 2 * torch.cat([a, b]).mean()),
            "Data and fakes are averaged together, so the larger batch weighs more: take the mean of each by itself.",
        ),
        (_terms(join=lambda a, b: torch.cat([a, b])), "The terms are not averaged: the loss is one number."),
        (_terms(lambda s: F.softplus(-s), F.softplus), "This is the cross-entropy of lesson 13, which has no margin."),
        (
            _terms(lambda s: F.softplus(1 - s), lambda s: F.softplus(1 + s)),
            "softplus is a soft hinge: beyond the margin some gradient is left. relu is exactly 0 there.",
        ),
        (_terms(lambda s: _real(s).clamp(max=100), lambda s: _fake(s).clamp(max=100)), CLAMPED),
        (lambda real, fake: hinge_d_loss(real.detach(), fake), "The real scores are detached: data teach D nothing."),
        (
            lambda real, fake: hinge_d_loss(real, fake).detach(),
            "The value is right, but it has no gradient: no detach, no .data and no torch.no_grad.",
        ),
    ],
    accepts=[
        lambda real, fake: (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(),
        lambda real, fake: -(real - 1).clamp(max=0).mean() - (-fake - 1).clamp(max=0).mean(),
        lambda real, fake: ((1 - real) * (real < 1)).mean() + ((1 + fake) * (fake > -1)).mean(),
    ],
    speed=Speed(lambda: (torch.randn(100_000), torch.randn(100_000))),
)
