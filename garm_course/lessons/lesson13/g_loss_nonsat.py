"""The non-saturating loss of the generator; equation (13.5)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.adversarial.losses import nonsaturating_g_loss
from garm_course.exercises.edges import plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson13.certain import OVERFLOWS, STOPS, certain


def g_loss_nonsat(fake_logits: Tensor) -> Tensor:
    """The library's loss under the name, and with the argument, of the lesson."""
    return nonsaturating_g_loss(fake_logits)


def _mean(term: Callable[[Tensor], Tensor]):
    return lambda fake_logits: term(fake_logits).mean()


def _other_slope(s: Tensor) -> Tensor:
    """The right value with the gradient of the saturating loss."""
    saturating = -F.softplus(s).mean()
    return saturating + (nonsaturating_g_loss(s) - saturating).detach()


EXERCISE = Exercise(
    name="g_loss_nonsat",
    lesson="13",
    reference=g_loss_nonsat,
    rule="mean of -log σ(fake), from logits: its gradient is -1 per example where the discriminator is sure.",
    rtol=1e-5,
    probes=[
        plain(2 * random(5, seed=1)),
        same(2 * random(5, seed=1), grad=True),
        certain(torch.tensor([-900.0, 900.0, 3.0]).double()),
        certain(torch.tensor([-4000.0, 4000.0]).double()),
        same(random(7, seed=2) - 15, grad=True),  # D wins: the gradient must not vanish
        same(random(1, seed=4), grad=True),
        same(random(4, seed=3).float(), grad=True),
        same(torch.tensor([0.0, -50.0])),
    ],
    mistakes=[
        (_mean(lambda s: -F.softplus(s)), "This is log(1 - σ(fake)): it saturates, with no gradient when D wins."),
        (_mean(F.softplus), "This is the discriminator's loss on fakes: minimized, it makes fakes look more fake."),
        (_mean(lambda s: -torch.sigmoid(s).log()), OVERFLOWS),
        (_mean(lambda s: F.softplus(-s).clamp(max=100)), STOPS),
        (_mean(lambda s: F.softplus(-torch.sigmoid(s))), "A sigmoid is applied twice: softplus takes the logit."),
        (_mean(lambda s: -torch.sigmoid(s)), "There is no logarithm: -σ(fake) saturates at both ends."),
        (_mean(lambda s: 1 - torch.sigmoid(s)), "This is the probability of a fake, without a log: it saturates."),
        (_mean(lambda s: -s), "This is the generator's loss of Wasserstein and hinge GANs: -log σ(fake) is asked for."),
        (_mean(lambda s: F.relu(1 - s)), "This is a hinge: -log σ(fake) is asked for, which has no margin."),
        (_mean(lambda s: (s - 1) ** 2), "This is a least-squares loss with the target 1: -log σ(fake) is asked for."),
        (lambda s: F.softplus(-s), "One number for each example: take the mean."),
        (lambda s: F.softplus(-s.mean()), "The mean is inside of the logarithm: average -log σ, not the logits."),
        (lambda s: -torch.sigmoid(s).mean().log(), "The mean is inside of the logarithm: average the logarithms."),
        (
            _mean(lambda s: F.binary_cross_entropy_with_logits(s, torch.full_like(s, 0.9), reduction="none")),
            "The label is smoothed to 0.9: it is 1 here.",
        ),
        (_other_slope, "The value is right, but the gradient is that of the saturating loss: it vanishes when D wins."),
        (lambda s: nonsaturating_g_loss(s.detach()), "The logits are detached: nothing reaches the generator."),
    ],
    accepts=[
        lambda s: F.binary_cross_entropy_with_logits(s, torch.ones_like(s)),
        lambda s: -F.logsigmoid(s).mean(),
        lambda s: torch.logaddexp(-s, torch.zeros_like(s)).mean(),
    ],
    speed=Speed(lambda: (torch.randn(100_000),)),
)
