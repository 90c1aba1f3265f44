"""The hinge loss of a critic; equation (14.6)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.adversarial.losses import hinge_d_loss
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _terms(real: Callable[[Tensor], Tensor], fake: Callable[[Tensor], Tensor], join=lambda a, b: a.mean() + b.mean()):
    return lambda real_scores, fake_scores: join(real(real_scores), fake(fake_scores))


def _then(change: Callable[[Tensor], object]):
    return lambda real_scores, fake_scores: change(hinge_d_loss(real_scores, fake_scores))


def _real(s: Tensor) -> Tensor:
    return F.relu(1 - s)


def _fake(s: Tensor) -> Tensor:
    return F.relu(1 + s)


EXERCISE = Exercise(
    name="hinge_d_loss",
    lesson="14",
    reference=hinge_d_loss,
    rule="mean max(0, 1 - real) + mean max(0, 1 + fake): scores beyond the margin of 1 cost nothing.",
    probes=[
        same(2 * random(7, seed=1), 2 * random(7, seed=2), grad=True),
        same(random(5, seed=3) + 0.3, 1.5 * random(9, seed=4), grad=True),
        same(random(4, seed=5).abs() + 1.1, -random(4, seed=6).abs() - 1.1),  # all beyond the margin
        same(3 * random(6, seed=7).float(), random(6, seed=8).float()),
    ],
    mistakes=[
        (_terms(_fake, _real), "The signs are swapped: real scores shall be above 1, fake ones below -1."),
        (_terms(lambda s: 1 - s, lambda s: 1 + s), "Without max(0, ·) this is the Wasserstein loss plus 2: no margin."),
        (_terms(lambda s: -s, lambda s: s), "This is the Wasserstein loss: cut both terms off at the margin."),
        (
            _terms(lambda s: -F.relu(1 - s), lambda s: -F.relu(1 + s)),
            "The sign is that of the form which a critic maximizes, min(0, ·): minimized, it needs a minus.",
        ),
        (_terms(_real, _real), "Both terms ask for high scores: fakes shall be below -1, max(0, 1 + fake)."),
        (_terms(_fake, _fake), "Both terms ask for low scores: data shall be above 1, max(0, 1 - real)."),
        (lambda real, fake: _real(real).mean(), "Only the real term is there: fakes are missing."),
        (lambda real, fake: _fake(fake).mean(), "Only the fake term is there: data are missing."),
        (
            _terms(lambda s: F.relu(-s), F.relu),
            "The margin is 0: with it the loss is zero for a critic that says 0 everywhere. It is 1.",
        ),
        (_terms(lambda s: F.relu(1 - s) ** 2, lambda s: F.relu(1 + s) ** 2), "The hinge is squared: no square here."),
        (
            lambda real, fake: F.relu(1 - real.mean()) + F.relu(1 + fake.mean()),
            "The mean is inside: max(0, 1 - mean) lets good scores pay for bad ones. Cut off each score, then average.",
        ),
        (
            _terms(_real, _fake, lambda a, b: (a.mean() + b.mean()) / 2),
            "It is halved: the sum of the two means, without a factor.",
        ),
        (
            _terms(_real, _fake, lambda a, b: a.sum() + b.sum()),
            "These are sums: take the mean over data and over fakes.",
        ),
        (
            _terms(_real, _fake, lambda a, b: torch.cat([a, b]).mean()),
            "One mean over all scores: it is halved, and weighs the sides by their sizes. Two means, added.",
        ),
        (_terms(_real, _fake, lambda a, b: torch.cat([a, b])), "The terms are not averaged: the loss is one number."),
        (
            _terms(lambda s: F.softplus(-s), F.softplus),
            "This is the cross-entropy of lesson 13, which has no margin: max(0, 1 - real), max(0, 1 + fake).",
        ),
        (
            _terms(lambda s: F.softplus(1 - s), lambda s: F.softplus(1 + s)),
            "softplus is a soft hinge: beyond the margin some gradient is left. relu is exactly 0 there.",
        ),
        (
            _terms(lambda s: (s - 1) ** 2, lambda s: (s + 1) ** 2),
            "This is least squares, which pulls back beyond the margin.",
        ),
        (
            lambda real, fake: hinge_d_loss(real.detach(), fake),
            "The value is right, but the real scores are detached: nothing is learned from data.",
        ),
        (_then(lambda loss: loss.detach()), "The value is right, but it has no gradient: no detach."),
        (_then(lambda loss: loss.item()), "A number has no gradient: leave out .item()."),
    ],
    accepts=[
        lambda real, fake: (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(),
        lambda real, fake: (
            -torch.minimum(torch.zeros_like(real), real - 1).mean()
            - torch.minimum(torch.zeros_like(fake), -fake - 1).mean()
        ),
        lambda real, fake: ((1 - real) * (real < 1)).mean() + ((1 + fake) * (fake > -1)).mean(),
    ],
    speed=Speed(lambda: (torch.randn(100_000), torch.randn(100_000))),
)
