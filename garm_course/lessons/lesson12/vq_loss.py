"""Codes move to the encoder's outputs, the encoder commits to codes; equation (12.3)."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.quantizer import vq_loss

_random = partial(random, seed=12)


def _two(weigh: Callable[[Tensor, Tensor, float], Tensor]):
    """A combination of the codebook's term and the encoder's, each with its detach: (codebook, commitment, beta)."""
    return lambda z, e, beta: weigh(F.mse_loss(e, z.detach()), F.mse_loss(z, e.detach()), beta)


def _of(reduce: Callable[[Tensor], Tensor]):
    """The loss with another reduction of each difference than the mean of its squares."""
    return lambda z, e, beta: reduce(z.detach() - e) + beta * reduce(z - e.detach())


def _terms(first: Callable, second: Callable):
    """mse of what `first` and `second` make of (z, e), the second times beta."""
    return lambda z, e, beta: F.mse_loss(*first(z, e)) + beta * F.mse_loss(*second(z, e))


def _cut_z(z: Tensor, e: Tensor):
    return z.detach(), e


def _cut_e(z: Tensor, e: Tensor):
    return z, e.detach()


def _cut_both(z: Tensor, e: Tensor):
    return z.detach(), e.detach()


def _cut_none(z: Tensor, e: Tensor):
    return z, e


def _as_one(z: Tensor, e: Tensor, beta: float) -> Tensor:
    return torch.cat([(z.detach() - e).flatten(), (z - e.detach()).flatten() * beta**0.5]).square().mean() * 2


EXERCISE = Exercise(
    name="vq_loss",
    lesson="12",
    reference=vq_loss,
    rule="mean (sg(z) - e)² + beta mean (z - sg(e))², with sg = .detach(), means over all elements.",
    rtol=1e-5,
    probes=[
        same(_random(3, 2, 4, 5), _random(3, 2, 4, 5, seed=5), 0.3, grad=True),
        same(_random(3, 2, 2, 3, seed=6), _random(3, 2, 2, 3, seed=7), 1.7, grad=True),
        same(_random(5, seed=8), _random(5, seed=9), 0.6, grad=True),
        same(_random(1, 4, seed=10), _random(1, 4, seed=11), 25.0, grad=True),
        same(_random(seed=13), _random(seed=14), 0.25, grad=True),  # "any" shape: one number
        same(_random(2, 3, 2, 4).float(), _random(2, 3, 2, 4, seed=5).float(), 0.25, grad=True),
        same(torch.tensor([1.0]), torch.tensor([3.0]), 0.25, grad=True),
    ],
    mistakes=[
        (_terms(_cut_none, _cut_none), "The value is right, but nothing is detached: both terms pull both sides."),
        (_terms(_cut_e, _cut_z), "The value is right, but beta weighs the codebook's term: it belongs to z - sg(e)."),
        (_terms(_cut_z, _cut_z), "The value is right, but z is detached in both terms: detach e in the second."),
        (_terms(_cut_e, _cut_e), "The value is right, but e is detached in both terms: detach z in the first."),
        (_terms(_cut_both, _cut_both), "The value is right, but all is detached, or under no_grad: nothing learns."),
        (
            _terms(_cut_z, _cut_none),
            "The value is right, but e is not detached in the second term: both terms move it.",
        ),
        (_terms(_cut_none, _cut_e), "The value is right, but z is not detached in the first term: both terms move it."),
        (_two(lambda c, m, beta: m), "Only the encoder's term is there, without beta: the codebook's term is missing."),
        (_two(lambda c, m, beta: c), "The commitment is missing: beta times the second term, for the encoder."),
        (_two(lambda c, m, beta: beta * m), "The codebook's term is missing: without it the codes never move."),
        (_two(lambda c, m, beta: c + m), "beta is not used: it multiplies the second term."),
        (_two(lambda c, m, beta: c + 0.25 * m), "beta is fixed at 0.25: use the argument."),
        (_two(lambda c, m, beta: beta * (c + m)), "beta multiplies both terms: it belongs to the second only."),
        (_two(lambda c, m, beta: (1 - beta) * c + beta * m), "The weights are 1 - beta and beta: the first is 1."),
        (
            _two(lambda c, m, beta: c - beta * m),
            "The second term is subtracted: both are distances that should shrink.",
        ),
        (_two(lambda c, m, beta: c + beta**2 * m), "beta is squared: it stands outside of the square."),
        (_two(lambda c, m, beta: c + (1 + beta) * m), "The weight of the second term is 1 + beta: it is beta alone."),
        (_two(lambda c, m, beta: c + m / beta), "The second term is divided by beta: multiply."),
        (_of(lambda d: 0.5 * (d**2).sum()), "Right direction, other scale: means without a factor ½, not ½ sums."),
        (_of(lambda d: (d**2).sum(1).mean()), "Right direction, other scale: the mean runs over channels as well."),
        (_of(lambda d: d.abs().mean()), "Absolute differences: square them."),
        (_of(lambda d: d.norm()), "This is a norm: no root, and a mean in place of the sum."),
        (_of(lambda d: d.mean()), "The differences are not squared, so they cancel."),
        (
            lambda z, e, beta: (F.mse_loss(e, z.detach()), beta * F.mse_loss(z, e.detach())),
            "Both terms are right, but returned as a pair: return their sum.",
        ),
    ],
    accepts=[
        lambda z, e, beta: (z.detach() - e).pow(2).mean() + beta * (z - e.detach()).pow(2).mean(),
        lambda z, e, beta: torch.mean((e - z.data) ** 2) + beta * torch.mean((e.data - z) ** 2),
        _as_one,
    ],
    speed=Speed(lambda: (torch.randn(128, 16, 7, 7), torch.randn(128, 16, 7, 7), 0.25)),
)
