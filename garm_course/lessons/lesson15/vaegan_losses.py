"""Three losses for three players; equation (15.3)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.adversarial.vaegan import vaegan_losses
from garm_course.exercises.edges import worded
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _losses(prior: float, rec: float, gan: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(torch.tensor(value, dtype=dtype) for value in (prior, rec, gan))


def _e(p, r, g, c):
    return p + r


def _d(p, r, g, c):
    return c * r - g


def _mix(encoder: Callable = _e, decoder: Callable = _d, discriminator: Callable = lambda p, r, g, c: g):
    """Other shares: each a function of (prior, rec, gan, gamma)."""
    return lambda *losses: tuple(share(*losses) for share in (encoder, decoder, discriminator))


EXERCISE = Exercise(
    name="vaegan_losses",
    lesson="15",
    reference=vaegan_losses,
    rule="encoder: prior + rec; decoder: gamma rec - gan; discriminator: gan. Each minimizes its own.",
    rtol=1e-5,
    probes=[
        worded(same(*losses, gamma, grad=True), "the encoder's loss", "the decoder's loss", "the discriminator's loss")
        for losses, gamma in (
            (_losses(3.1, 10.7, 1.3), 0.5),
            (random(3, seed=1).exp().unbind(), 1.7),
            (_losses(7.3, 0.6, 2.4), 0.0),
            (_losses(0.4, 2.9, 0.2, torch.float32), 1e-3),
            (_losses(3.0, 10.0, 1.0, torch.float32), 0.5),
        )
    ],
    mistakes=[
        (_mix(lambda p, r, g, c: p + r - g), "gan is in the encoder's loss: codes would look real, not say what x is."),
        (_mix(lambda p, r, g, c: p + r + g), "gan is added to the encoder's loss: it has no part in it."),
        (_mix(lambda p, r, g, c: p + c * r), "gamma is in the encoder's loss: it weighs the decoder's only."),
        (_mix(lambda p, r, g, c: p), "The encoder's reconstruction is missing: the KL alone is least if it ignores x."),
        (_mix(lambda p, r, g, c: r), "The encoder's prior term is missing: codes would leave the prior."),
        (_mix(lambda p, r, g, c: r - p), "The encoder's KL has the wrong sign: it is a cost."),
        (
            _mix(lambda p, r, g, c: p + r.detach()),
            "The values are right, but rec is detached in the encoder's loss: codes would not learn to say what x is.",
        ),
        (_mix(_e, lambda p, r, g, c: r - c * g), "gamma is on gan: in the paper it weighs the reconstruction."),
        (_mix(_e, lambda p, r, g, c: c * (r - g)), "gamma multiplies both: it weighs the reconstruction only."),
        (_mix(_e, lambda p, r, g, c: c * r + g), "The decoder's sign of gan is wrong: it wants gan to be large."),
        (
            _mix(_e, lambda p, r, g, c: g - c * r),
            "Both signs of the decoder's loss are wrong: it wants rec to be small and the discriminator's loss large.",
        ),
        (_mix(_e, lambda p, r, g, c: r - g), "gamma is not used: it weighs the decoder's reconstruction."),
        (_mix(_e, lambda p, r, g, c: c * r), "The decoder's adversarial term is missing: this is an autoencoder."),
        (_mix(_e, lambda p, r, g, c: -g), "The decoder's reconstruction is missing: this is a GAN without a code."),
        (
            _mix(_e, lambda p, r, g, c: c * r - g + p),
            "The prior term is in the decoder's loss, whose weights it does not reach.",
        ),
        (
            _mix(_e, lambda p, r, g, c: c * r - g.detach()),
            "The values are right, but gan is detached in the decoder's loss: it would not learn to look real.",
        ),
        (_mix(_e, _d, lambda p, r, g, c: -g), "The discriminator's share is negated: it minimizes gan, its loss."),
        (_mix(_e, _d, lambda p, r, g, c: g - r), "-rec is in the discriminator's share: it has no part in it."),
        (_mix(_e, _d, lambda p, r, g, c: g + r), "rec is in the discriminator's share: equal features would win."),
        (_mix(_d, _e), "Encoder and decoder are swapped: the encoder comes first."),
        (lambda *losses: _e(*losses) + _d(*losses), "One loss for all: each player has its own; return three."),
        (lambda *losses: (_e(*losses), _d(*losses)), "The discriminator's share is missing: return three."),
    ],
    accepts=[
        lambda prior, rec, gan, gamma: (rec + prior, -gan + rec * gamma, gan),
        lambda prior, rec, gan, gamma: [prior + rec, gamma * rec - gan, 1.0 * gan],
        lambda *losses: (torch.stack(losses[:2]).sum(), torch.sub(losses[3] * losses[1], losses[2]), losses[2].clone()),
    ],
    speed=Speed(lambda: (*_losses(1.0, 2.0, 1.0), 0.3)),
)
