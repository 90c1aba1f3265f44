"""The discriminator's loss from logits; equations (13.1) and (13.5)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.adversarial.losses import minimax_d_loss
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def d_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The library's loss under the name, and with the arguments, of the lesson."""
    return minimax_d_loss(real_logits, fake_logits)


def _terms(real: Callable[[Tensor], Tensor], fake: Callable[[Tensor], Tensor], join=lambda a, b: a.mean() + b.mean()):
    return lambda real_logits, fake_logits: join(real(real_logits), fake(fake_logits))


def _then(change: Callable[[Tensor], object]):
    return lambda real_logits, fake_logits: change(minimax_d_loss(real_logits, fake_logits))


def _says_real(s: Tensor) -> Tensor:
    """-log σ(s)"""
    return F.softplus(-s)


def _says_fake(s: Tensor) -> Tensor:
    """-log (1 - σ(s))"""
    return F.softplus(s)


def _bce(s: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(s, torch.full_like(s, label))


def _together(real: Tensor, fake: Tensor, weight: float) -> Tensor:
    labels = torch.cat([torch.ones_like(real), torch.zeros_like(fake)])
    return weight * F.binary_cross_entropy_with_logits(torch.cat([real, fake]), labels)


EXTREME = (torch.tensor([900.0, -900.0], dtype=torch.float64), torch.tensor([-900.0, 900.0, 0.5], dtype=torch.float64))

EXERCISE = Exercise(
    name="d_loss",
    lesson="13",
    reference=d_loss,
    rule="mean of -log σ(real) plus mean of -log(1 - σ(fake)), from logits, finite for logits of any size.",
    probes=[
        same(2 * random(5, seed=1), 1.5 * random(5, seed=2) - 0.4, grad=True),
        same(3 * random(4, seed=3), random(7, seed=4), grad=True),
        same(*EXTREME),
        same(random(6, seed=5).float(), random(6, seed=6).float()),
    ],
    mistakes=[
        (
            _terms(_says_fake, _says_real),
            "The labels are swapped: the loss must fall when real logits rise and fake ones fall.",
        ),
        (
            _terms(lambda s: -torch.sigmoid(s).log(), lambda s: -(1 - torch.sigmoid(s)).log()),
            "log of a sigmoid is infinite at -900: softplus or F.logsigmoid work on the logit itself.",
        ),
        (
            _terms(lambda s: -(torch.sigmoid(s) + 1e-8).log(), lambda s: -(1 - torch.sigmoid(s) + 1e-8).log()),
            "A small number inside of the logarithm caps the loss near 18: use softplus or F.logsigmoid.",
        ),
        (
            _terms(lambda s: _bce(torch.sigmoid(s), 1.0), lambda s: _bce(torch.sigmoid(s), 0.0)),
            "A sigmoid is applied twice: BCE with logits has one inside, so leave yours out.",
        ),
        (
            _terms(lambda s: F.logsigmoid(s), lambda s: F.logsigmoid(-s)),
            "The sign is wrong: this is the value V that D maximizes; the loss is minus that.",
        ),
        (
            _terms(_says_real, lambda s: -F.softplus(s)),
            "The fake term has the wrong sign: -log(1 - σ(fake)) is softplus(fake), added.",
        ),
        (
            _terms(_says_real, _says_real),
            "Both terms ask for 'real': this is the generator's wish for the fakes.",
        ),
        (_terms(_says_fake, _says_fake), "Both terms ask for 'fake': the first is -log σ(real)."),
        (lambda real, fake: _says_real(real).mean(), "Only the real term is there: D must also learn what a fake is."),
        (lambda real, fake: _says_fake(fake).mean(), "Only the fake term is there: D must also learn what is real."),
        (
            _terms(_says_real, _says_fake, lambda a, b: (a.mean() + b.mean()) / 2),
            "It is halved: the value of the game is the sum of two means; many programs halve it, (13.1) does not.",
        ),
        (
            lambda real, fake: _together(real, fake, 1.0),
            "One mean over all logits: it is halved, and weighs the sides by their sizes. Two means, added.",
        ),
        (_terms(_says_real, _says_fake, lambda a, b: a.sum() + b.sum()), "These are sums: take the mean of each side."),
        (
            _terms(_says_real, _says_fake, lambda a, b: torch.cat([a, b])),
            "The terms are not averaged: the loss is one number.",
        ),
        (
            _terms(lambda s: (s - 1) ** 2, lambda s: s**2),
            "This is the least-squares loss: -log σ(real) and -log(1 - σ(fake)) are asked for.",
        ),
        (
            _terms(lambda s: F.relu(1 - s), lambda s: F.relu(1 + s)),
            "This is the hinge loss of lesson 14: -log σ(real) and -log(1 - σ(fake)) are asked for.",
        ),
        (_terms(lambda s: -s, lambda s: s), "This is the Wasserstein loss, without any logarithm."),
        (
            _terms(lambda s: _bce(s, 0.9), lambda s: _bce(s, 0.0)),
            "The real labels are smoothed to 0.9: they are 1 here.",
        ),
        (
            _terms(_says_real, lambda s: F.softplus(s).clamp(max=100)),
            "The loss is cut off at 100: it grows without bound where D is wrong.",
        ),
        (
            lambda real, fake: minimax_d_loss(real.clamp(-20, 20), fake.clamp(-20, 20)),
            "The logits are clamped: the loss has no gradient beyond, and is wrong where D errs most.",
        ),
        (
            lambda real, fake: minimax_d_loss(real, fake.detach()),
            "The value is right, but detach cuts the fake logits from D: detach the fakes before D sees them.",
        ),
        (
            lambda real, fake: minimax_d_loss(real.detach(), fake),
            "The value is right, but the real logits are detached: D learns nothing from data.",
        ),
        (_then(lambda loss: loss.detach()), "The value is right, but it has no gradient: no detach and no .data."),
        (_then(lambda loss: loss.item()), "A number has no gradient: leave out .item()."),
        (_then(lambda loss: loss / 0.6931471805599453), "These are bits: natural logarithms."),
    ],
    accepts=[
        lambda real, fake: _bce(real, 1.0) + _bce(fake, 0.0),
        lambda real, fake: -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean(),
        lambda real, fake: (
            torch.logaddexp(-real, torch.zeros_like(real)).mean() + torch.logaddexp(fake, torch.zeros_like(fake)).mean()
        ),
    ],
    speed=Speed(lambda: (torch.randn(100_000), torch.randn(100_000))),
)
