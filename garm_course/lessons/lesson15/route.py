"""Each loss differentiated in the weights of its own player only; equation (15.3)."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.adversarial.vaegan import vaegan_losses
from garm_course.exercises.arguments import snapshot
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

PLAYERS = ("encoder", "decoder", "critic")


def route(model: nn.Module, losses: Callable, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Give each player the gradient of its own loss; the three losses, of encoder, decoder and discriminator."""
    totals = vaegan_losses(*losses(model), gamma)
    for total, own in zip(totals, _weights(model), strict=True):
        total.backward(inputs=own, retain_graph=True)
    return totals


def _weights(model: nn.Module) -> list[list[Tensor]]:
    return [list(getattr(model, player).parameters()) for player in PLAYERS]


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


def _played(answer: Callable, _model, losses: _Losses, gamma: float, see: Callable | None = None) -> dict:
    """What was returned and the gradient of every weight, zeros where there is none; or what `see` shows."""
    model = _Model(losses.x.shape[1], seed=50).to(losses.x.dtype)
    totals = answer(model, losses, gamma)
    if see:
        return see(model)
    given = list(totals) if isinstance(totals, (tuple, list)) else totals
    found = {"returned losses": snapshot(given)}
    for name, own in zip(PLAYERS, _weights(model), strict=True):
        found[f"gradients of the {name}"] = [torch.zeros_like(w) if w.grad is None else w.grad for w in own]
    return found


def _values(model: nn.Module) -> list[Tensor]:
    return [weight.detach() for weight in model.parameters()]


def _trainable(model: nn.Module) -> list[bool]:
    return [weight.requires_grad for weight in model.parameters()]


def _example(model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """The losses of the text: one weight for each player."""
    e, d, c = (weight.squeeze() for weight in model.parameters())
    return e, e * d * c, d * c


def _of_example(answer: Callable, _model, losses: Callable, gamma: float) -> list[Tensor]:
    model = nn.ModuleDict({player: nn.Linear(1, 1, bias=False) for player in PLAYERS})
    for k, weight in enumerate(model.parameters()):
        weight.data.fill_(k + 1)
    answer(model, losses, gamma)
    return [weight.grad for weight in model.parameters()]


def _e(p, r, g, c):
    return p + r


def _d(p, r, g, c):
    return c * r - g


def _c(p, r, g, c):
    return g


def _with(encoder=_e, decoder=_d, critic=_c, inputs: Callable = lambda e, d, c: (e, d, c), returned: Callable = tuple):
    """Other sums, functions of (prior, rec, gan, gamma), or routed to other weights."""

    def answer(model: nn.Module, losses: Callable, gamma: float) -> tuple:
        found = losses(model)
        totals = [total(*found, gamma) for total in (encoder, decoder, critic)]
        for total, own in zip(totals, inputs(*_weights(model)), strict=True):
            if own:
                total.backward(inputs=own, retain_graph=True)
        return returned(totals)

    return answer


def _to(inputs: Callable):
    return _with(inputs=inputs)


def _then(change: Callable):
    """The right answer, and something done to all weights."""

    def answer(model: nn.Module, losses: Callable, gamma: float) -> tuple:
        totals = route(model, losses, gamma)
        for weight in model.parameters():
            change(weight)
        return totals

    return answer


def _by_grad(model: nn.Module, losses: Callable, gamma: float) -> tuple:
    totals = vaegan_losses(*losses(model), gamma)
    for total, own in zip(totals, _weights(model), strict=True):
        for w, g in zip(own, torch.autograd.grad(total, own, retain_graph=True), strict=True):
            w.grad = g
    return totals


def _computed_anew(model: nn.Module, losses: Callable, gamma: float) -> list:
    totals = []
    for k, own in enumerate(_weights(model)):
        totals.append(vaegan_losses(*losses(model), gamma)[k])
        totals[-1].backward(inputs=own)
    return totals


def _piece_by_piece(model: nn.Module, losses: Callable, gamma: float) -> tuple:
    prior, rec, gan = losses(model)
    encoder, decoder, critic = _weights(model)
    for loss, own in ((prior, encoder), (rec, encoder), (gamma * rec, decoder), (-gan, decoder), (gan, critic)):
        loss.backward(inputs=own, retain_graph=True)  # backward adds to what is there
    return prior + rec, gamma * rec - gan, gan


SMALL = (None, _Losses(random(6, 3, seed=1)), 0.5)
MOVED = "The weights have moved: only gradients are asked for, steps of the optimizer come after them."
FROZEN = (
    "Some weights do not require a gradient afterwards: say in backward(inputs=...) whose weights, and freeze nothing."
)

EXERCISE = Exercise(
    name="route",
    lesson="15",
    reference=route,
    rule="prior + rec in the encoder's weights, gamma rec - gan in the decoder's, gan in the discriminator's.",
    rtol=1e-5,
    probes=[
        plain(*SMALL, use=_played),
        same(None, _Losses(random(4, 5, seed=2)), 1.7, use=_played),
        same(None, _Losses(2 * random(5, 2, seed=3)), 0.0, use=_played),
        same(None, _Losses(random(1, 1, seed=4).float()), 0.3, use=_played),
        same(None, _example, 2.0, use=_of_example),
        edge(same(*SMALL, use=partial(_played, see=_values)), MOVED),
        edge(same(*SMALL, use=partial(_played, see=_trainable)), FROZEN),
    ],
    mistakes=[
        (_to(lambda e, d, c: [e + d + c] * 3), "Every loss moves every player: one backward(inputs=...) for each."),
        (_to(lambda e, d, c: (e + d, e + d, c)), "Encoder and decoder share a backward: each has its own loss."),
        (_to(lambda e, d, c: (e, e + d, c)), "The decoder's loss reaches the encoder as well: see its inputs."),
        (_with(_e, _d, lambda p, r, g, c: g + r), "The discriminator minimizes rec as well: gan alone is its loss."),
        (_with(lambda p, r, g, c: p + r - g), "gan is in the encoder's gradient: codes would learn to look real."),
        (_with(lambda p, r, g, c: p + c * r), "gamma weighs rec for the encoder: it belongs to the decoder."),
        (_with(lambda p, r, g, c: p), "rec is missing in the encoder's loss: its code need not show x then."),
        (_with(lambda p, r, g, c: r), "The prior is missing in the encoder's loss."),
        (_with(_e, lambda p, r, g, c: r - g), "gamma is missing in the decoder's loss."),
        (_with(_e, lambda p, r, g, c: r - c * g), "gamma weighs gan: in (15.3) it weighs rec."),
        (_with(_e, lambda p, r, g, c: -g), "rec is missing in the decoder's loss."),
        (_with(_e, lambda p, r, g, c: c * r), "gan is missing in the decoder's loss: it would be no generator."),
        (_with(_e, lambda p, r, g, c: c * r + g), "The decoder minimizes gan, and so helps the critic: -gan."),
        (_with(_e, _d, lambda p, r, g, c: -g), "The discriminator raises its own loss: gan is minimized by it."),
        (_to(lambda e, d, c: [[]] * 3), "No weight has a gradient: backward is missing, or they are thrown away."),
        (
            lambda model, losses, gamma: (route(model, losses, gamma), losses(model))[1],
            "The gradients are right, but (prior, rec, gan) are returned: the three losses of (15.3) are asked for.",
        ),
        (_with(returned=lambda totals: None), "The gradients are right, but nothing is returned: the three losses."),
        (_to(lambda e, d, c: (e, [], [])), "Only the encoder has gradients: one call for each player."),
        (_to(lambda e, d, c: ([], [], c)), "Only the critic has gradients: they are cleared, or there is one call."),
        (_to(lambda e, d, c: (e, d, [])), "The discriminator has no gradient: its loss is gan."),
        (_to(lambda e, d, c: (e, [], c)), "The decoder has no gradient: its loss is gamma rec - gan."),
        (_to(lambda e, d, c: ([], d, c)), "The encoder has no gradient: its loss is prior + rec."),
        (lambda *args: (route(*args), route(*args))[1], "Every gradient is there twice: backward adds to .grad."),
        (_to(lambda e, d, c: (d, e, c)), "The losses of encoder and decoder are exchanged."),
        (_then(lambda weight: weight.data.sub_(0.01 * weight.grad)), MOVED),
        (_then(lambda weight: weight.requires_grad_(False)), FROZEN),
    ],
    accepts=[_by_grad, _computed_anew, _piece_by_piece],
    speed=Speed(lambda: (_Model(64, seed=7), _Losses(random(256, 64, seed=8)), 0.5)),
)
