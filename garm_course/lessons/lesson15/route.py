"""Each loss differentiated in the weights of its own player only; equation (15.3)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.adversarial.vaegan import vaegan_losses
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

PLAYERS = ("encoder", "decoder", "critic")


def route(model: nn.Module, losses: Callable, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Give each player the gradient of its own loss; the three losses, of encoder, decoder and discriminator."""
    totals = vaegan_losses(*losses(model), gamma)
    for total, player in zip(totals, PLAYERS, strict=True):
        total.backward(inputs=list(getattr(model, player).parameters()), retain_graph=True)
    return totals


class _Model(nn.Module):
    """A VAE-GAN of three linear layers."""

    def __init__(self, size: int, seed: int):
        super().__init__()
        self.encoder, self.decoder, self.critic = (nn.Linear(size, size, dtype=torch.float64) for _ in range(3))
        for k, weight in enumerate(self.parameters()):
            weight.data = random(*weight.shape, seed=seed + k) / size**0.5


class _Losses:
    """Prior, reconstruction and GAN loss of a `_Model` on fixed examples."""

    def __init__(self, x: Tensor):
        self.x = x

    def __call__(self, model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
        mu = torch.tanh(model.encoder(self.x))
        rebuilt = torch.tanh(model.decoder(mu))
        real, fake = torch.tanh(model.critic(self.x)), torch.tanh(model.critic(rebuilt))
        prior = 0.5 * mu.square().sum(1).mean()
        rec = 0.5 * (real.detach() - fake).square().sum(1).mean()
        return prior, rec, F.softplus(-real.sum(1)).mean() + F.softplus(fake.sum(1)).mean()


def _played(answer: Callable, x: Tensor, gamma: float) -> tuple:
    """What was returned, then the gradient of every weight, zeros where there is none."""
    model = _Model(x.shape[1], seed=50)
    totals = answer(model, _Losses(x), gamma)
    given = totals if isinstance(totals, (tuple, list)) else (totals,)
    given = [t.detach() if isinstance(t, Tensor) else t for t in given]
    given += [None] * (3 - len(given))  # what is missing is told by its place
    return *given, *(torch.zeros_like(w) if w.grad is None else w.grad for w in model.parameters())


def _weights(model: nn.Module) -> list[list[Tensor]]:
    return [list(getattr(model, player).parameters()) for player in PLAYERS]


def _answer(act: Callable, returned: Callable = lambda totals: totals):
    """`act(losses, weights, gamma)` and the right return value."""

    def answer(model: nn.Module, losses: Callable, gamma: float) -> tuple:
        found = losses(model)
        act(found, _weights(model), gamma)
        return returned(vaegan_losses(*(loss.detach() for loss in found), gamma))

    return answer


def _with(encoder: Callable, decoder: Callable, discriminator: Callable = lambda p, r, g, c: g):
    """Other sums, each routed to its player: functions of (prior, rec, gan, gamma); they are returned, too."""

    def answer(model: nn.Module, losses: Callable, gamma: float) -> tuple:
        found = losses(model)
        totals = [total(*found, gamma) for total in (encoder, decoder, discriminator)]
        for total, own in zip(totals, _weights(model), strict=True):
            total.backward(inputs=own, retain_graph=True)
        return tuple(totals)

    return answer


def _e(p, r, g, c):
    return p + r


def _d(p, r, g, c):
    return c * r - g


@_answer
def _everything_everywhere(losses, weights, gamma):
    sum(vaegan_losses(*losses, gamma)).backward()


def _only(*players: int):
    @_answer
    def answer(losses, weights, gamma):
        for k in players:
            vaegan_losses(*losses, gamma)[k].backward(inputs=weights[k], retain_graph=True)

    return answer


@_answer
def _to_encoder_and_decoder(losses, weights, gamma):
    of_encoder, of_decoder, of_critic = vaegan_losses(*losses, gamma)
    (of_encoder + of_decoder).backward(inputs=weights[0] + weights[1], retain_graph=True)
    of_critic.backward(inputs=weights[2])


@_answer
def _nothing(losses, weights, gamma):
    for loss, own in zip(vaegan_losses(*losses, gamma), weights, strict=True):
        torch.autograd.grad(loss, own, retain_graph=True)


def _right(losses, weights, gamma):
    for loss, own in zip(vaegan_losses(*losses, gamma), weights, strict=True):
        loss.backward(inputs=own, retain_graph=True)


@_answer
def _twice(losses, weights, gamma):
    for _ in range(2):
        _right(losses, weights, gamma)


@_answer
def _first_of_each(losses, weights, gamma):
    _right(losses, [own[:1] for own in weights], gamma)


@_answer
def _turned(losses, weights, gamma):
    _right(losses, [weights[1], weights[0], weights[2]], gamma)


@_answer
def _by_grad(losses, weights, gamma):
    for loss, own in zip(vaegan_losses(*losses, gamma), weights, strict=True):
        for w, g in zip(own, torch.autograd.grad(loss, own, retain_graph=True), strict=True):
            w.grad = g


@_answer
def _by_hand(losses, weights, gamma):
    prior, rec, gan = losses
    encoder, decoder, discriminator = weights
    (prior + rec).backward(inputs=encoder, retain_graph=True)
    (gamma * rec - gan).backward(inputs=decoder, retain_graph=True)
    gan.backward(inputs=discriminator)  # the last one may free the graph


@_answer
def _piece_by_piece(losses, weights, gamma):
    prior, rec, gan = losses
    encoder, decoder, discriminator = weights
    for loss, own in ((prior, encoder), (rec, encoder), (gamma * rec, decoder), (-gan, decoder), (gan, discriminator)):
        loss.backward(inputs=own, retain_graph=True)  # backward adds to what is there


EXERCISE = Exercise(
    name="route",
    lesson="15",
    reference=route,
    rule="prior + rec in the encoder's weights, gamma rec - gan in the decoder's, gan in the discriminator's.",
    probes=[
        same(random(6, 3, seed=1), 0.5, use=_played),
        same(random(4, 5, seed=2), 1.7, use=_played),
        same(2 * random(5, 2, seed=3), 0.0, use=_played),
    ],
    mistakes=[
        (
            _everything_everywhere,
            "Every loss moves every player: say in whose weights, backward(inputs=...), one call for each player.",
        ),
        (
            _to_encoder_and_decoder,
            "Encoder and decoder share one backward of a sum: the encoder hears of gan, and of rec 1 + gamma times.",
        ),
        (
            _with(_e, _d, lambda p, r, g, c: g + r),
            "The discriminator minimizes rec as well: it owns the features, and can make them all alike.",
        ),
        (
            _with(_e, _d, lambda p, r, g, c: g + c * r),
            "The discriminator minimizes gamma rec as well: its loss is gan alone.",
        ),
        (
            _with(lambda p, r, g, c: p + r - g, _d),
            "The adversarial term is in the encoder's gradient: codes would have to look real, not to be right.",
        ),
        (_with(lambda p, r, g, c: p + c * r, _d), "gamma weighs rec for the encoder: it belongs to the decoder."),
        (_with(lambda p, r, g, c: p, _d), "rec is missing in the encoder's loss: its code need not show x then."),
        (_with(lambda p, r, g, c: r, _d), "The prior is missing in the encoder's loss."),
        (_with(_e, lambda p, r, g, c: r - g), "gamma is missing in the decoder's loss."),
        (_with(_e, lambda p, r, g, c: r - c * g), "gamma weighs gan: in (15.3) it weighs rec."),
        (_with(_e, lambda p, r, g, c: -g), "rec is missing in the decoder's loss."),
        (_with(_e, lambda p, r, g, c: c * r), "gan is missing in the decoder's loss: it would be no generator."),
        (
            _with(_e, lambda p, r, g, c: c * r + g),
            "The decoder minimizes gan, and so helps the discriminator: its sign is minus.",
        ),
        (
            _with(_e, _d, lambda p, r, g, c: -g),
            "The discriminator raises its own loss: gan is minimized by it.",
        ),
        (_nothing, "No weight has a gradient: backward is missing, or the gradients are thrown away."),
        (_answer(_right, lambda totals: None), "The gradients are right, but nothing is returned: the three losses."),
        (_only(0), "Only the encoder has gradients: one call for each player."),
        (_only(0, 1), "The discriminator has no gradient: its loss is gan."),
        (_only(0, 2), "The decoder has no gradient: its loss is gamma rec - gan."),
        (_only(1, 2), "The encoder has no gradient: its loss is prior + rec."),
        (_twice, "Every gradient is there twice: backward adds to .grad."),
        (_first_of_each, "Only the first weight of each player has a gradient: inputs takes the whole list."),
        (_turned, "The losses of encoder and decoder are exchanged."),
    ],
    accepts=[_by_grad, _by_hand, _piece_by_piece],
    speed=Speed(lambda: (_Model(64, seed=7), _Losses(random(256, 64, seed=8)), 0.5)),
)
