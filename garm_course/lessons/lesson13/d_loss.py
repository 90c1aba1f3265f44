"""The discriminator's loss from logits; equations (13.1) and (13.5)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.adversarial.losses import minimax_d_loss
from garm_course.exercises.edges import plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson13.certain import OVERFLOWS, STOPS, certain


def d_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The library's loss under the name, and with the arguments, of the lesson."""
    return minimax_d_loss(real_logits, fake_logits)


def _real(s: Tensor) -> Tensor:
    """-log σ(s)"""
    return F.softplus(-s)


def _fake(s: Tensor) -> Tensor:
    """-log (1 - σ(s))"""
    return F.softplus(s)


def _terms(real: Callable = _real, fake: Callable = _fake, join: Callable = lambda a, b: a.mean() + b.mean()):
    return lambda real_logits, fake_logits: join(real(real_logits), fake(fake_logits))


def _bce(s: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(s, torch.full_like(s, label))


EXERCISE = Exercise(
    name="d_loss",
    lesson="13",
    reference=d_loss,
    rule="mean of -log σ(real) plus mean of -log(1 - σ(fake)), from logits, finite for logits of any size.",
    rtol=1e-5,
    probes=[
        plain(3 * random(4, seed=3), random(7, seed=4)),
        same(2 * random(5, seed=1), 1.5 * random(5, seed=2) - 0.4, grad=True),
        same(3 * random(6, seed=7), random(2, seed=8), grad=True),
        same(random(1, seed=9), random(3, seed=10), grad=True),
        same(random(6, seed=5).float(), random(6, seed=6).float(), grad=True),
        certain(torch.tensor([900.0, -900.0]).double(), torch.tensor([-900.0, 900.0, 0.5]).double()),
        certain(torch.tensor([5.0, -4000.0]).double(), torch.tensor([-4000.0, 4000.0]).double()),
        same(torch.tensor([-900.0]), torch.tensor([900.0]), grad=True),  # 1800
    ],
    mistakes=[
        (_terms(_fake, _real), "The labels are swapped: the loss must fall when real logits rise and fake ones fall."),
        (_terms(fake=lambda s: -_fake(s)), "The fake term has the wrong sign: softplus(fake) is a cost, and added."),
        (_terms(fake=_real), "Both terms ask for 'real': this is the generator's wish for the fakes."),
        (_terms(real=_fake), "Both terms ask for 'fake': the first is -log σ(real)."),
        (lambda real, fake: _real(real).mean(), "Only the real term is there: D must also learn what a fake is."),
        (lambda real, fake: _fake(fake).mean(), "Only the fake term is there: D must also learn what is real."),
        (
            _terms(join=lambda a, b: torch.cat([a, b]).mean()),
            "One mean over all logits is half of it, and weighs the sides by their sizes: two means, added.",
        ),
        (
            _terms(join=lambda a, b: 2 * torch.cat([a, b]).mean()),
            "Data and fakes are averaged together, so the larger batch weighs more: take the mean of each by itself.",
        ),
        (
            _terms(join=lambda a, b: (a.sum() + b.sum()) / len(a)),
            "Fakes are divided by the number of data: take two means.",
        ),
        (_terms(join=lambda a, b: a.sum() + b.sum()), "These are sums: take the mean of each side."),
        (_terms(join=lambda a, b: torch.cat([a, b])), "The terms are not averaged: the loss is one number."),
        (
            _terms(lambda s: 1 - torch.sigmoid(s), torch.sigmoid),
            "There is no logarithm: these are the probabilities of an error. Take -log σ(real) and -log(1 - σ(fake)).",
        ),
        (lambda real, fake: _real(real.mean()) + _fake(fake.mean()), "The logits are averaged: average -log σ."),
        (
            _terms(lambda s: _bce(torch.sigmoid(s), 1.0), lambda s: _bce(torch.sigmoid(s), 0.0)),
            "A sigmoid is applied twice: softplus and BCE with logits have one inside, so leave yours out.",
        ),
        (_terms(lambda s: (s - 1) ** 2, lambda s: s**2), "This is the least-squares loss: -log σ and -log(1 - σ)."),
        (
            _terms(lambda s: F.relu(1 - s), lambda s: F.relu(1 + s)),
            "This is the hinge loss of lesson 14: -log σ(real) and -log(1 - σ(fake)) are asked for.",
        ),
        (_terms(lambda s: -s, lambda s: s), "This is the Wasserstein loss, without any logarithm."),
        (_terms(lambda s: _bce(s, 0.9)), "The real labels are smoothed to 0.9: they are 1 here."),
        (_terms(lambda s: -torch.sigmoid(s).log(), lambda s: -(1 - torch.sigmoid(s)).log()), OVERFLOWS),
        (_terms(lambda s: _real(s).clamp(max=100), lambda s: _fake(s).clamp(max=100)), STOPS),
        (
            lambda real, fake: minimax_d_loss(real, fake.detach()),
            "The value is right, but the fake logits are detached: detach the fakes before D sees them, not after.",
        ),
        (lambda real, fake: minimax_d_loss(real.detach(), fake), "The real logits are detached: data teach D nothing."),
        (
            lambda real, fake: minimax_d_loss(real, fake).detach(),
            "The value is right, but it has no gradient: no detach, no .data and no torch.no_grad.",
        ),
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
