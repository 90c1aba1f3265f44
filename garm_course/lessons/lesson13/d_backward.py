"""The discriminator's half of a training step: its loss, and gradients for its own weights only; equation (13.1)."""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.adversarial.losses import minimax_d_loss
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def d_backward(G: nn.Module, D: nn.Module, real: Tensor, z: Tensor) -> Tensor:
    """Backward of the discriminator's loss at a batch of data and one of noise; G gets no gradient."""
    loss = minimax_d_loss(D(real), D(G(z).detach()))
    loss.backward()
    return loss.detach()


class _Scores(nn.Sequential):
    """A small critic with scores (B,)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, 0]


def _network(cls, *sizes: int, seed: int) -> nn.Module:
    layers = []
    for k, pair in enumerate(pairwise(sizes)):
        linear = nn.Linear(*pair, dtype=torch.float64)
        linear.weight.data, linear.bias.data = random(*pair[::-1], seed=seed + k), random(pair[1], seed=seed + 9 + k)
        layers += [linear, nn.Tanh()]
    return cls(*layers[:-1])


def _played(answer: Callable, real: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    """The loss, then the gradient of every weight of D and of G, zeros where there is none."""
    G, D = (
        _network(cls, *sizes, seed=s) for cls, sizes, s in ((nn.Sequential, (3, 4, 2), 30), (_Scores, (2, 5, 1), 60))
    )
    loss = answer(G, D, real, z)
    loss = loss.detach() if isinstance(loss, Tensor) else loss
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad for net in (D, G) for w in net.parameters()]
    return loss, *gradients


def _step(
    real_term: Callable[[Tensor], Tensor], fake_term: Callable[[Tensor], Tensor], fakes=lambda G, z: G(z).detach()
):
    """A step with other terms, or other fakes."""

    def answer(G: nn.Module, D: nn.Module, real: Tensor, z: Tensor) -> Tensor:
        loss = real_term(D(real)) + fake_term(D(fakes(G, z)))
        loss.backward()
        return loss.detach()

    return answer


def _real(s: Tensor) -> Tensor:
    return F.softplus(-s).mean()


def _fake(s: Tensor) -> Tensor:
    return F.softplus(s).mean()


def _no_backward(G, D, real, z):
    return minimax_d_loss(D(real), D(G(z).detach())).detach()


def _detached_scores(G, D, real, z):
    loss = minimax_d_loss(D(real), D(G(z)).detach())
    loss.backward()
    return loss.detach()


def _only_real(G, D, real, z):
    loss = _real(D(real))
    loss.backward()
    return loss.detach()


def _only_fake(G, D, real, z):
    loss = _fake(D(G(z).detach()))
    loss.backward()
    return loss.detach()


def _twice(G, D, real, z):
    loss = minimax_d_loss(D(real), D(G(z).detach()))
    loss.backward(retain_graph=True)
    loss.backward()
    return loss.detach()


def _generator_too(G, D, real, z):
    loss = minimax_d_loss(D(real), D(G(z).detach()))
    loss.backward()
    F.softplus(-D(G(z))).mean().backward()
    return loss.detach()


def _noise_as_data(G, D, real, z):
    loss = minimax_d_loss(D(real), D(z[:, :2]))
    loss.backward()
    return loss.detach()


def _scaled(G, D, real, z):
    loss = minimax_d_loss(D(real), D(G(z).detach()))
    loss.backward()
    for weight in D.parameters():
        weight.grad.mul_(0.1)
    return loss.detach()


def _frozen(G, D, real, z):
    with torch.no_grad():
        fake = G(z)
    loss = minimax_d_loss(D(real), D(fake))
    loss.backward()
    return loss


def _one_by_one(G, D, real, z):
    first = _real(D(real))
    first.backward()
    second = _fake(D(G(z).detach()))
    second.backward()
    return (first + second).detach()


def _cleaned(G, D, real, z):
    loss = minimax_d_loss(D(real), D(G(z)))
    loss.backward()
    G.zero_grad()
    return loss.detach()


EXERCISE = Exercise(
    name="d_backward",
    lesson="13",
    reference=d_backward,
    rule="backward of d_loss(D(real), D(fakes)) with fakes = G(z) cut off from G: D gets gradients, G gets none.",
    probes=[
        same(random(6, 2, seed=1), random(6, 3, seed=2), use=_played),
        same(random(4, 2, seed=3) + 2, random(5, 3, seed=4), use=_played),
        same(3 * random(7, 2, seed=5), 2 * random(7, 3, seed=6), use=_played),
    ],
    mistakes=[
        (
            _step(_real, _fake, lambda G, z: G(z)),
            "The loss is right, but G has gradients too: the fakes are not detached, so G learns to be caught.",
        ),
        (
            _detached_scores,
            "detach stands behind D: D(G(z)).detach() cuts D off as well. Cut the fakes: D(G(z).detach()).",
        ),
        (_no_backward, "The loss is right, but no weight has a gradient: backward is missing, or cleared after."),
        (_step(_fake, _real), "The labels are swapped: data count as fake, and fakes as real."),
        (_only_real, "Only data are shown: D never sees a fake."),
        (_only_fake, "Only fakes are shown: D never sees data."),
        (_step(_real, _real), "Fakes count as real here: that is the generator's wish, -log σ(D(G(z)))."),
        (_step(_real, lambda s: -_fake(s)), "The fake term has the wrong sign: both terms are costs, and added."),
        (_twice, "backward runs twice, so every gradient is doubled."),
        (_generator_too, "The generator's loss is part of it: that is the other player's half of the step."),
        (_noise_as_data, "D sees the noise z, not G(z)."),
        (_scaled, "The gradients of D are scaled by 0.1: learning rates belong to the optimizer."),
        (
            _step(lambda s: _real(s) / 2, lambda s: _fake(s) / 2),
            "The loss is halved: the sum of two means, as in (13.1).",
        ),
        (
            _step(lambda s: F.softplus(-s).sum(), lambda s: F.softplus(s).sum()),
            "These are sums: the mean over data plus the mean over fakes.",
        ),
        (
            _step(lambda s: -torch.sigmoid(s).mean(), lambda s: torch.sigmoid(s).mean()),
            "There are no logarithms: the loss is that of exercise 3.",
        ),
        (_step(lambda s: -s.mean(), lambda s: s.mean()), "This is the Wasserstein loss, not that of exercise 3."),
    ],
    accepts=[_frozen, _one_by_one, _cleaned],
    speed=Speed(
        lambda: (
            _network(nn.Sequential, 16, 64, 2, seed=1), _network(_Scores, 2, 64, 1, seed=2),
            random(256, 2, seed=3), random(256, 16, seed=4),
        ),
    ),
)  # fmt: skip
