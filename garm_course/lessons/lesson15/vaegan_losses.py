"""Three losses for three players; equation (15.3)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.adversarial.vaegan import vaegan_losses
from garm_course.exercises.registry import Exercise, Speed, same


def _losses(prior: float, rec: float, gan: float) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(torch.tensor(value, dtype=torch.float64) for value in (prior, rec, gan))


def _mix(encoder: Callable, decoder: Callable, discriminator: Callable = lambda p, r, g, c: g):
    """Other shares: each a function of (prior, rec, gan, gamma)."""
    return lambda prior, rec, gan, gamma: tuple(
        share(prior, rec, gan, gamma) for share in (encoder, decoder, discriminator)
    )


def _e(p, r, g, c):
    return p + r


def _d(p, r, g, c):
    return c * r - g


EXERCISE = Exercise(
    name="vaegan_losses",
    lesson="15",
    reference=vaegan_losses,
    rule="encoder: prior + rec; decoder: gamma rec - gan; discriminator: gan. Each minimizes its own.",
    probes=[
        same(*_losses(3.1, 10.7, 1.3), 0.5, grad=True),
        same(*_losses(0.4, 2.9, 0.2), 1.7, grad=True),
        same(*_losses(7.3, 0.6, 2.4), 0.0, grad=True),
    ],
    mistakes=[
        (
            _mix(lambda p, r, g, c: p + r - g, _d),
            "gan is in the encoder's loss: codes would learn to look real, not to say what x is.",
        ),
        (_mix(lambda p, r, g, c: p + r + g, _d), "gan is added to the encoder's loss: it has no part in it."),
        (_mix(lambda p, r, g, c: p + c * r, _d), "gamma is in the encoder's loss: it weighs the decoder's only."),
        (
            _mix(lambda p, r, g, c: p, _d),
            "The encoder's reconstruction is missing: the KL alone is least if it ignores x.",
        ),
        (_mix(lambda p, r, g, c: r, _d), "The encoder's prior term is missing: codes would leave the prior."),
        (_mix(lambda p, r, g, c: r - p, _d), "The encoder's KL has the wrong sign: it is a cost."),
        (_mix(_e, lambda p, r, g, c: r - c * g), "gamma is on gan: in the paper it weighs the reconstruction."),
        (_mix(_e, lambda p, r, g, c: c * (r - g)), "gamma multiplies both: it weighs the reconstruction only."),
        (
            _mix(_e, lambda p, r, g, c: c * r + g),
            "The decoder's sign of gan is wrong: it wants the discriminator's loss to be large.",
        ),
        (_mix(_e, lambda p, r, g, c: r - g), "gamma is not used: it weighs the decoder's reconstruction."),
        (_mix(_e, lambda p, r, g, c: c * r), "The decoder's adversarial term is missing: this is an autoencoder."),
        (_mix(_e, lambda p, r, g, c: -g), "The decoder's reconstruction is missing: this is a GAN without a code."),
        (
            _mix(_e, lambda p, r, g, c: c * r - g + p),
            "The prior term is in the decoder's loss, whose weights it does not reach.",
        ),
        (
            _mix(_e, _d, lambda p, r, g, c: -g),
            "The discriminator's share is negated: gan is its loss, which it minimizes.",
        ),
        (
            _mix(_e, _d, lambda p, r, g, c: g - r),
            "-rec is in the discriminator's share: it has no part in it.",
        ),
        (
            _mix(_e, _d, lambda p, r, g, c: g + r),
            "rec is in the discriminator's share: equal features for all would win.",
        ),
        (
            lambda prior, rec, gan, gamma: (gamma * rec - gan, prior + rec, gan),
            "Encoder and decoder are swapped: the encoder comes first.",
        ),
        (
            lambda prior, rec, gan, gamma: prior + rec + gamma * rec - gan,
            "One loss for all: each player has its own; return three.",
        ),
        (
            lambda prior, rec, gan, gamma: (prior + rec, gamma * rec - gan),
            "The discriminator's share is missing: return three.",
        ),
    ],
    accepts=[
        lambda prior, rec, gan, gamma: (rec + prior, -gan + rec * gamma, gan),
        lambda prior, rec, gan, gamma: [prior + rec, gamma * rec - gan, 1.0 * gan],
        lambda prior, rec, gan, gamma: vaegan_losses(prior, rec, gan, gamma),
    ],
    speed=Speed(lambda: (*_losses(1.0, 2.0, 1.0), 0.3)),
)
