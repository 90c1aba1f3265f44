"""The non-saturating loss of the generator; equation (13.5)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.adversarial.losses import nonsaturating_g_loss
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def g_loss_nonsat(fake_logits: Tensor) -> Tensor:
    """The library's loss under the name, and with the argument, of the lesson."""
    return nonsaturating_g_loss(fake_logits)


def _mean(term: Callable[[Tensor], Tensor]):
    return lambda fake_logits: term(fake_logits).mean()


def _then(change: Callable[[Tensor], object]):
    return lambda fake_logits: change(nonsaturating_g_loss(fake_logits))


EXERCISE = Exercise(
    name="g_loss_nonsat",
    lesson="13",
    reference=g_loss_nonsat,
    rule="mean of -log σ(fake), from logits: its gradient is -1 per example where the discriminator is sure.",
    probes=[
        same(2 * random(5, seed=1), grad=True),
        same(random(7, seed=2) - 50, grad=True),  # D wins: the gradient must not vanish
        same(torch.tensor([-900.0, 900.0, 3.0], dtype=torch.float64), grad=True),
        same(random(4, seed=3).float()),
    ],
    mistakes=[
        (
            _mean(lambda s: -F.softplus(s)),
            "This is log(1 - σ(fake)), the saturating loss: its gradient vanishes when D wins.",
        ),
        (
            _mean(F.softplus),
            "This is the discriminator's loss on fakes: minimized, it would make fakes look more fake.",
        ),
        (_mean(F.logsigmoid), "The sign is wrong: the generator minimizes -log σ(fake)."),
        (
            _mean(lambda s: -torch.sigmoid(s).log()),
            "log of a sigmoid is infinite at -900: softplus(-s) or -F.logsigmoid(s) work on the logit itself.",
        ),
        (
            _mean(lambda s: -(torch.sigmoid(s) + 1e-8).log()),
            "A small number inside of the logarithm caps the loss, and the gradient vanishes when D wins.",
        ),
        (_mean(lambda s: (1 - torch.sigmoid(s)).log()), "log(1 - σ(fake)) saturates, and is -infinity at 900."),
        (
            _mean(lambda s: F.softplus(-torch.sigmoid(s))),
            "A sigmoid is applied twice: BCE with logits and softplus take the logit itself.",
        ),
        (_mean(lambda s: -torch.sigmoid(s)), "There is no logarithm: -σ(fake) saturates at both ends."),
        (
            _mean(lambda s: 1 - torch.sigmoid(s)),
            "This is the probability of 'fake', without a logarithm: it saturates.",
        ),
        (_mean(lambda s: -s), "This is the generator's loss of Wasserstein and hinge GANs: -log σ(fake) is asked for."),
        (_mean(lambda s: 0.5 * s**2), "This is a least-squares loss: -log σ(fake) is asked for."),
        (_mean(lambda s: 0.5 * (s - 1) ** 2), "This is a least-squares loss with the target 1: -log σ(fake)."),
        (lambda s: F.softplus(-s).sum(), "This is a sum: take the mean over the examples."),
        (lambda s: F.softplus(-s), "One number for each example: take the mean."),
        (
            lambda s: F.softplus(-s.mean()),
            "The mean is inside of the logarithm: the mean of -log σ, not of the logits.",
        ),
        (_then(lambda loss: loss / 2), "It is halved: the mean of -log σ(fake), without a factor."),
        (_then(lambda loss: loss / 0.6931471805599453), "These are bits: natural logarithms."),
        (
            lambda s: nonsaturating_g_loss(s.clamp(-20, 20)),
            "The logits are clamped: beyond, the gradient vanishes, which is what this loss is to prevent.",
        ),
        (
            lambda s: nonsaturating_g_loss(s.detach()),
            "The value is right, but the logits are detached: nothing reaches the generator.",
        ),
        (_then(lambda loss: loss.item()), "A number has no gradient: leave out .item()."),
        (
            _mean(lambda s: F.binary_cross_entropy_with_logits(s, torch.full_like(s, 0.9), reduction="none")),
            "The label is smoothed to 0.9: it is 1 here.",
        ),
        (
            _mean(lambda s: F.softplus(-s).clamp(max=100)),
            "The loss is cut off at 100: beyond, the gradient vanishes.",
        ),
    ],
    accepts=[
        lambda s: F.binary_cross_entropy_with_logits(s, torch.ones_like(s)),
        lambda s: -F.logsigmoid(s).mean(),
        lambda s: torch.logaddexp(-s, torch.zeros_like(s)).mean(),
    ],
    speed=Speed(lambda: (torch.randn(100_000),)),
)
