"""The discriminator's half of a training step: its loss, and gradients for its own weights only; equation (13.1)."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.adversarial.losses import minimax_d_loss
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed


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


def _played(answer: Callable, _G, _D, real: Tensor, z: Tensor, *, scale=1.0, calls=1, see: Callable | None = None):
    """The loss and the gradients; or what `see` shows of both networks. Two calls: in the middle of a training."""
    G = _network(nn.Sequential, 3, 4, 2, seed=30).to(real.dtype)
    D = _network(_Scores, 2, 5, 1, seed=60).to(real.dtype).eval()
    D[-1].weight.data *= scale
    weights = {"D": list(D.parameters()), "G": list(G.parameters())}
    if calls > 1:
        for k, w in enumerate(weights["D"] + weights["G"]):
            w.grad = random(*w.shape, seed=80 + k)
    for _ in range(calls):
        loss = answer(G, D, real, z)
    if see:
        return [see(part) for part in (G, D)]
    found = {"loss": loss.detach() if isinstance(loss, Tensor) else loss}
    for name, own in weights.items():
        found[f"gradients of {name}"] = [torch.zeros_like(w) if w.grad is None else w.grad for w in own]
        found[f"number of gradients of {name}"] = sum(w.grad is not None for w in own)
    return found


def _values(net: nn.Module) -> list[Tensor]:
    return [weight.detach() for weight in net.parameters()]


def _trainable(net: nn.Module) -> list[bool]:
    return [weight.requires_grad for weight in net.parameters()]


def _mode(net: nn.Module) -> str:
    return "training" if net.training else "evaluation"


def _case(real: Tensor, z: Tensor, **setting) -> Callable:
    return plain(None, None, real, z, use=partial(_played, **setting))


def _real(s: Tensor) -> Tensor:
    return F.softplus(-s).mean()


def _fake(s: Tensor) -> Tensor:
    return F.softplus(s).mean()


def _own(G: nn.Module, z: Tensor) -> Tensor:
    return G(z).detach()


def _uncut(G: nn.Module, z: Tensor) -> Tensor:
    return G(z)


def _step(real=_real, fake=_fake, fakes=_own, join=lambda a, b: a + b, around=(lambda G, D: None,) * 2):
    """A step with other terms, other fakes, another loss of the two terms, or something done before and after."""

    def answer(G: nn.Module, D: nn.Module, data: Tensor, z: Tensor) -> Tensor:
        around[0](G, D)
        loss = join(real(D(data)), fake(D(fakes(G, z))))
        loss.backward()
        around[-1](G, D)
        return loss

    return answer


def _joined(join: Callable[[Tensor, Tensor], Tensor]):
    """A loss of the single costs of all data and all fakes."""
    return _step(lambda s: F.softplus(-s), F.softplus, join=join)


def _no_backward(G, D, real, z):
    return minimax_d_loss(D(real), D(G(z).detach())).detach()


def _twice(G, D, real, z):
    loss = minimax_d_loss(D(real), D(G(z).detach()))
    loss.backward(retain_graph=True)
    loss.backward()
    return loss.detach()


def _one_by_one(G, D, real, z):
    parts = [_real(D(real)), _fake(D(_own(G, z)))]
    for part in parts:
        part.backward()
    return parts[0] + parts[1]


def _by_grad(G, D, real, z):
    with torch.no_grad():
        fake = G(z)
    loss, weights = minimax_d_loss(D(real), D(fake)), list(D.parameters())
    for w, g in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        w.grad = g if w.grad is None else w.grad + g
    return loss


def _thawed(G, D, real, z):
    G.requires_grad_(False)
    loss = minimax_d_loss(D(real), D(G(z)))
    G.requires_grad_(True)
    loss.backward(inputs=list(D.parameters()))
    return loss


EARLIER = (
    "Gradients that were there before the call are gone or overwritten: clear nothing, the loop does that. backward "
    "adds to them, and a detached fake keeps those of G as they are."
)
CERTAIN = "Right only while D is unsure: where its logits are large, use the loss of exercise 3, d_loss, as it is."
MOVED = "The call moves weights: steps of the optimizer, and clipping, come after it and belong to the loop."
FROZEN = (
    "The call leaves weights frozen, so their network never trains again. Freeze nothing: detach the fakes, "
    "D(G(z).detach())."
)
MODES = "The call leaves a network in another mode: train() and eval() belong to the loop."
SMALL = (random(6, 2, seed=1), random(6, 3, seed=2))

EXERCISE = Exercise(
    name="d_backward",
    lesson="13",
    reference=d_backward,
    rule="backward of d_loss(D(real), D(fakes)) with fakes = G(z) cut off from G: D gets gradients, G gets none.",
    rtol=1e-5,
    probes=[
        _case(random(4, 2, seed=3) + 2, random(5, 3, seed=4)),
        edge(_case(*SMALL, see=_values), MOVED),
        edge(_case(*SMALL, see=_trainable), FROZEN),
        edge(_case(*SMALL, see=_mode), MODES),
        edge(_case(*SMALL, calls=2), EARLIER),
        edge(_case(3 * random(7, 2, seed=5), 2 * random(3, 3, seed=6), scale=900.0), CERTAIN),
        _case(random(1, 2, seed=7).float(), random(1, 3, seed=8).float()),
    ],
    mistakes=[
        (_step(fakes=_uncut), "The loss is right, but G has gradients too: the fakes are not detached."),
        (
            _step(fake=lambda s: _fake(s).detach()),
            "No gradient comes from the fakes: detach or no_grad stands around D, or backward sees half of the loss. "
            "Cut the fakes, D(G(z).detach()), and call backward on the sum.",
        ),
        (_step(real=lambda s: _real(s).detach()), "No gradient comes from the data: call backward on the sum of both."),
        (_no_backward, "The loss is right, but no weight has a gradient: backward is missing, or they are cleared."),
        (_step(_fake, _real), "The labels are swapped: data count as fake, and fakes as real."),
        (_step(fake=lambda s: 0), "Only data are shown: D never sees a fake."),
        (_step(real=lambda s: 0), "Only fakes are shown: D never sees data."),
        (_step(fake=_real), "Fakes count as real here: that is the generator's wish, -log σ(D(G(z)))."),
        (_step(fake=lambda s: -_fake(s)), "The fake term has the wrong sign: both terms are costs, and added."),
        (_step(lambda s: -_real(s), lambda s: -_fake(s)), "The sign is wrong: D would learn to err. The loss is -V."),
        (_twice, "backward runs twice, so every gradient is doubled."),
        (_step(fakes=lambda G, z: z[:, :2]), "D sees the noise z, not G(z)."),
        (
            _step(fakes=lambda G, z: G(torch.randn_like(z)).detach()),
            "The fakes are made of other noise: z comes in, so that the same call gives the same loss.",
        ),
        (_joined(lambda a, b: (a.mean() + b.mean()) / 2), "The loss is halved: the sum of two means, as in (13.1)."),
        (_joined(lambda a, b: a.sum() + b.sum()), "These are sums: the mean over data plus the mean over fakes."),
        (
            _joined(lambda a, b: torch.cat([a, b]).mean()),
            "One mean over all logits is half of the loss, and weighs the sides by their sizes: two means, added.",
        ),
        (
            _joined(lambda a, b: 2 * torch.cat([a, b]).mean()),
            "Data and fakes are averaged together, so the larger batch weighs more: take the mean of each by itself.",
        ),
        (
            _step(lambda s: -torch.sigmoid(s).mean(), lambda s: torch.sigmoid(s).mean()),
            "There are no logarithms: the loss is that of exercise 3.",
        ),
        (
            _step(lambda s: F.relu(1 - s).mean(), lambda s: F.relu(1 + s).mean()),
            "This is the hinge loss, not that of exercise 3.",
        ),
        (_step(lambda s: -s.mean(), lambda s: s.mean()), "This is the Wasserstein loss, not that of exercise 3."),
        (
            _step(*(lambda s, sign=sign: -torch.sigmoid(sign * s).log().clamp(min=-100).mean() for sign in (1, -1))),
            CERTAIN,
        ),
        (_step(around=(lambda G, D: D.zero_grad(), lambda G, D: None)), EARLIER),
        (_step(fakes=_uncut, around=(lambda G, D: G.requires_grad_(False),)), FROZEN),
        (_step(around=(lambda G, D: None, lambda G, D: [w.data.clamp_(-0.01, 0.01) for w in D.parameters()])), MOVED),
        (_step(around=(lambda G, D: G.eval(),)), MODES),
    ],
    accepts=[_step(), _one_by_one, _by_grad, _thawed],
    speed=Speed(
        lambda: (
            _network(nn.Sequential, 16, 64, 2, seed=1),
            _network(_Scores, 2, 64, 1, seed=2),
            random(256, 2, seed=3),
            random(256, 16, seed=4),
        ),
    ),
)
