"""One step of a VQGAN up to the optimizers: three losses of the autoencoder, one of the critic, and their gradients."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.adversarial.losses import hinge_d_loss
from garm_course.adversarial.vqgan import adaptive_weight
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def vqgan_backward(ae: nn.Module, critic: nn.Module, distance: Callable, x: Tensor, gan_on: bool) -> dict[str, Tensor]:
    """Backward of a VQGAN's losses at a batch: the autoencoder's in its weights only, the critic's in its own only.

    The autoencoder minimizes rec + codebook + 0.8 lam gan, where rec is the mean squared error plus the mean distance,
    gan = -E critic(r), and lam = `adaptive_weight`. The critic minimizes half of the hinge loss (14.6), with the same
    reconstructions r. Gradients are added to those that are there.

    Args:
        ae: images -> (reconstructions, the codebook's loss, a scalar), with its last layer as `ae.last`.
        critic: images -> scores of any shape.
        distance: (x, r) -> (B,), a distance in features.
        x: (B, C, H, W) in [-1, 1].
        gan_on: whether the critic plays; if not, it gets no gradient, and lam, gan and critic are 0.

    Returns:
        The scalars "rec", "codebook", "lam", "gan" and "critic", without a graph.

    Source:
        Esser, Rombach, Ommer (2021), arXiv 2012.09841, section 3.1; the factor 0.8 is from the authors' configurations.
    """
    r, codebook = ae(x)
    rec = F.mse_loss(r, x) + distance(x, r).mean()
    loss, lam, gan, judged = rec + codebook, *torch.zeros(3).to(rec)
    if gan_on:
        gan = -critic(r).mean()
        lam = adaptive_weight(rec, gan, ae.last.weight)
        loss = loss + 0.8 * lam * gan
        judged = 0.5 * hinge_d_loss(critic(x), critic(r.detach()))
        judged.backward()
    loss.backward(inputs=list(ae.parameters()))
    losses = {"rec": rec, "codebook": codebook, "lam": lam, "gan": gan, "critic": judged}
    return {name: value.detach() for name, value in losses.items()}


class _Autoencoder(nn.Module):
    """Two 1 x 1 convolutions and a code of signs, passed straight through."""

    def __init__(self):
        super().__init__()
        self.encoder, self.last = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encoder(x)
        code = 0.5 * z.sign()
        return self.last(z + (code - z).detach()), 0.25 * (z - code.detach()).square().mean()


class _Half(nn.Module):
    """The autoencoder of the text's example: half of each color, and no codebook."""

    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(3, 3, 1, bias=False, device="meta")  # nothing is drawn
        self.last.weight = nn.Parameter(0.5 * torch.eye(3, dtype=torch.float64)[..., None, None])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.last(x), x.new_zeros(())


class _Mean(nn.Module):
    """The critic of the text's example: twice the mean of an image."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.mean((1, 2, 3))


def _example() -> tuple:
    x = torch.ones(1, 3, 1, 1, dtype=torch.float64)
    return _Half(), _Mean(), lambda x, r: x.new_zeros(len(x)), x, True


class _Distance(nn.Module):
    """A teacher's distance (x, r) -> (B,), frozen as a teacher is."""

    def __init__(self):
        super().__init__()
        self.teacher = nn.Conv2d(3, 4, 1)
        self.requires_grad_(False)

    def forward(self, x: Tensor, r: Tensor) -> Tensor:
        return (self.teacher(x).tanh() - self.teacher(r).tanh()).square().sum(1).flatten(1).mean(1)


def _filled(network: nn.Module, seed: int, dtype: torch.dtype, earlier: bool) -> nn.Module:
    for k, weight in enumerate(network.to_empty(device="cpu").to(dtype).parameters()):
        weight.data = random(*weight.shape, seed=seed + k).to(dtype)
        weight.grad = random(*weight.shape, seed=seed + 10 + k).to(dtype) if earlier and weight.requires_grad else None
    return network


def _parts(dtype: torch.dtype = torch.float64, earlier: bool = False, scale: float = 1.0) -> tuple:
    """Autoencoder, critic and distance; `earlier`: with gradients of an earlier step. Nothing is drawn for them."""
    with torch.device("meta"):
        critic = nn.Sequential(nn.Conv2d(3, 4, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1))
        autoencoder, distance = _Autoencoder(), _Distance()
    _filled(critic, 60, dtype, earlier)
    critic[-1].weight.data *= scale
    return _filled(autoencoder, 30, dtype, earlier), critic.eval(), _filled(distance, 90, dtype, earlier)


def _read(answer: Callable, *args: object) -> object:
    """`use` of the probes: the answer's numbers as floats, whether they are tensors or not; a graph is not hidden."""
    found = answer(*args)
    if type(found) is not dict:
        return found
    plain_tensor = lambda v: isinstance(v, Tensor) and v.numel() == 1 and not v.requires_grad  # noqa: E731
    return {name: float(value) if plain_tensor(value) else value for name, value in found.items()}


def _case(b: int, gan_on: bool, *, seed: int, dtype: torch.dtype = torch.float64, **setting) -> tuple:
    return (*_parts(dtype, **setting), random(b, 3, 2, 3, seed=seed).to(dtype).tanh(), gan_on)


def _mean_gan(critic: nn.Module, r: Tensor) -> Tensor:
    return -critic(r).mean()


def _half_hinge(critic: nn.Module, x: Tensor, r: Tensor) -> Tensor:
    return 0.5 * hinge_d_loss(critic(x), critic(r.detach()))


def _step(
    rec=lambda x, r, distance: F.mse_loss(r, x) + distance(x, r).mean(),
    lam=lambda rec, gan, ae, critic: adaptive_weight(rec, gan, ae.last.weight),
    gan=_mean_gan,
    judged=_half_hinge,
    total=lambda rec, codebook, lam, gan: rec + codebook + 0.8 * lam * gan,
    on=lambda gan_on: (gan_on, gan_on),
    backward=None,
    result=lambda losses: {name: value.detach() for name, value in losses.items()},
):
    """The right step with one thing changed."""

    def answer(ae, critic, distance, x, gan_on):
        r, codebook = ae(x)
        error = rec(x, r, distance)
        weight, wish, verdict, loss = *torch.zeros(3).to(error), error + codebook
        plays, learns = on(gan_on)
        if plays:
            wish = gan(critic, r)
            weight = lam(error, wish, ae, critic)
            loss = total(error, codebook, weight, wish)
        if learns:
            verdict = judged(critic, x, r)
        (backward or _apart)(ae, critic, loss, verdict)
        return result({"rec": error, "codebook": codebook, "lam": weight, "gan": wish, "critic": verdict})

    return answer


def _apart(ae: nn.Module, critic: nn.Module, loss: Tensor, verdict: Tensor) -> None:
    """Each loss in the weights of its own player."""
    if verdict.requires_grad:
        verdict.backward(inputs=list(critic.parameters()), retain_graph=True)
    loss.backward(inputs=list(ae.parameters()))


def _everywhere(ae: nn.Module, critic: nn.Module, loss: Tensor, verdict: Tensor) -> None:
    """Each loss in all weights that it reaches."""
    if verdict.requires_grad:
        verdict.backward(retain_graph=True)
    loss.backward()


def _first_then_cleared(ae: nn.Module, critic: nn.Module, loss: Tensor, verdict: Tensor) -> None:
    loss.backward(retain_graph=True)
    critic.zero_grad()
    if verdict.requires_grad:
        verdict.backward()


def _frozen_and_thawed(ae, critic, distance, x, gan_on):
    r, codebook = ae(x)
    rec = (r - x).square().mean() + distance(x, r).mean()
    found = {"rec": rec.item(), "codebook": codebook.item(), "lam": 0.0, "gan": 0.0, "critic": 0.0}
    loss = rec + codebook
    if gan_on:
        critic.requires_grad_(False)
        gan = -critic(r).mean()
        lam = adaptive_weight(rec, gan, ae.last.weight)
        loss = loss + 0.8 * lam * gan
        found |= {"lam": lam.item(), "gan": gan.item()}
    loss.backward()
    if gan_on:
        critic.requires_grad_(True)
        judged = (F.relu(1 - critic(x)).mean() + F.relu(1 + critic(r.detach())).mean()) / 2
        judged.backward()
        found["critic"] = judged.item()
    return found


def _by_grad(ae, critic, distance, x, gan_on):
    r, codebook = ae(x)
    rec, lam, gan, judged = F.mse_loss(r, x) + distance(x, r).mean(), *torch.zeros(3).to(x)
    pairs = []
    if gan_on:
        gan = -critic(r).mean()
        lam = adaptive_weight(rec, gan, ae.last.weight)
        real, fake = critic(torch.cat([x, r.detach()])).chunk(2)
        judged = 0.5 * hinge_d_loss(real, fake)
        pairs.append((judged, critic))
    pairs.append((rec + codebook + 0.8 * lam * gan, ae))
    for loss, network in pairs:
        weights = list(network.parameters())
        for weight, grad in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = grad if weight.grad is None else weight.grad + grad
    return {"rec": rec.detach(), "codebook": codebook.detach(), "lam": lam, "gan": gan.detach(),
            "critic": judged.detach()}  # fmt: skip


def _lam_of_encoder(rec: Tensor, gan: Tensor, ae: nn.Module, critic: nn.Module) -> Tensor:
    return adaptive_weight(rec, gan, ae.encoder.weight)


def _lam_with_graph(rec: Tensor, gan: Tensor, ae: nn.Module, critic: nn.Module) -> Tensor:
    a, b = (torch.autograd.grad(loss, ae.last.weight, create_graph=True)[0].norm() for loss in (rec, gan))
    return (a / (b + 1e-4)).clamp(0, 1e4)


EARLIER = (
    "Gradients that were there before the call are gone: clear nothing, the loop does that, and backward adds to them. "
    "To keep the autoencoder's loss out of the critic, name whose gradients you want: backward(inputs=...)."
)
HELPS = (
    "The reconstruction is not detached for the critic, so the critic's loss trains the autoencoder to be caught. The "
    "values are right; the gradients of the autoencoder are not: critic(r.detach())."
)
FOOLED = (
    "The autoencoder's loss leaves gradients in the critic, which would learn to be fooled. The values are right; the "
    "gradients of the critic are not: loss.backward(inputs=list(ae.parameters()))."
)

EXERCISE = Exercise(
    name="vqgan_backward",
    lesson="17",
    reference=vqgan_backward,
    rule="The autoencoder minimizes rec + codebook + 0.8 lam gan and gets gradients from that alone; the critic "
    "minimizes half of the hinge loss of critic(x) and critic(r.detach()) and gets gradients from that alone; without "
    "gan_on, lam, gan and critic are 0.",
    rtol=1e-5,
    probes=[
        plain(*_example(), use=_read),
        plain(*_case(4, True, seed=1), use=_read),
        plain(*_case(3, False, seed=2), use=_read),
        edge(same(*_case(4, True, seed=3, earlier=True), use=_read), EARLIER),
        plain(*_case(5, True, seed=4, scale=30.0), use=_read),
        same(*_case(1, True, seed=5, dtype=torch.float32), use=_read),
    ],
    mistakes=[
        (
            _step(judged=lambda D, x, r: 0.5 * hinge_d_loss(D(x), D(r)), backward=_everywhere),
            HELPS + " The other way, too: backward() of the autoencoder's loss reaches the critic.",
        ),
        (_step(backward=_everywhere), FOOLED),
        (
            _step(
                judged=lambda D, x, r: 0.5 * hinge_d_loss(D(x), D(r)),
                backward=lambda ae, D, loss, verdict: (
                    verdict.backward(retain_graph=True) if verdict.requires_grad else None,
                    loss.backward(inputs=list(ae.parameters())),
                ),
            ),
            HELPS,
        ),
        (
            _step(total=lambda rec, codebook, lam, gan: rec + 0.8 * lam * gan),
            "The codebook's loss is missing in the total while the critic plays: the encoder's outputs would wander "
            "away from the codebook.",
        ),
        (
            _step(lam=_lam_of_encoder),
            "lam comes from the encoder's weight. It is measured at the last layer, ae.last.weight.",
        ),
        (
            _step(lam=_lam_with_graph),
            "lam has a graph, so the loss also trains the weights through lam. Detach it.",
        ),
        (
            _step(lam=lambda rec, gan, ae, D: 1 / adaptive_weight(rec, gan, ae.last.weight)),
            "lam is upside down: the reconstruction's norm stands on top.",
        ),
        (
            _step(lam=lambda rec, gan, ae, D: torch.ones_like(rec)),
            "lam is always 1: take adaptive_weight(rec, gan, ae.last.weight).",
        ),
        (
            _step(gan=lambda D, r: D(r).mean()),
            "gan has the wrong sign: the autoencoder wants a high score, so it minimizes -critic(r).mean().",
        ),
        (
            _step(gan=lambda D, r: F.relu(1 - D(r)).mean()),
            "The autoencoder's side has no hinge: gan = -critic(r).mean().",
        ),
        (
            _step(gan=lambda D, r: F.softplus(-D(r)).mean()),
            "This is the non-saturating loss. With the hinge loss gan = -critic(r).mean().",
        ),
        (
            _step(gan=lambda D, r: -D(r.detach()).mean(), lam=lambda rec, gan, ae, D: torch.ones_like(rec)),
            "The reconstruction is detached in gan, so the critic teaches the autoencoder nothing. Detach it in the "
            "critic's loss only.",
        ),
        (
            _step(total=lambda rec, codebook, lam, gan: rec + codebook + lam * gan),
            "The factor 0.8 is missing in the total loss.",
        ),
        (
            _step(total=lambda rec, codebook, lam, gan: lam * rec + codebook + 0.8 * gan),
            "lam multiplies the reconstruction. It belongs to gan.",
        ),
        (
            _step(total=lambda rec, codebook, lam, gan: rec + codebook + gan),
            "lam and 0.8 are not used: the total is rec + codebook + 0.8 lam gan.",
        ),
        (
            _step(on=lambda gan_on: (True, True)),
            "The critic plays whatever gan_on says. Before the start the reconstructions are gray mush, and telling "
            "them from data teaches the autoencoder nothing.",
        ),
        (
            _step(on=lambda gan_on: (gan_on, True)),
            "The critic learns before gan_on: it gets no gradient then, and its loss is reported as 0.",
        ),
        (
            _step(on=lambda gan_on: (True, gan_on)),
            "gan is in the autoencoder's loss before gan_on, where nobody has trained the critic.",
        ),
        (
            _step(judged=lambda D, x, r: hinge_d_loss(D(x), D(r.detach()))),
            "The critic's loss is not halved: 0.5 times the hinge loss.",
        ),
        (
            _step(judged=lambda D, x, r: 0.5 * hinge_d_loss(D(r.detach()), D(x))),
            "The critic takes reconstructions for data: hinge_d_loss(critic(x), critic(r.detach())).",
        ),
        (
            _step(judged=lambda D, x, r: 0.5 * (F.softplus(-D(x)).mean() + F.softplus(D(r.detach())).mean())),
            "This is the logistic loss of lesson 13. Use the hinge loss.",
        ),
        (
            _step(judged=lambda D, x, r: 0.5 * (D(r.detach()).mean() - D(x).mean())),
            "This is the Wasserstein loss: the hinge stops where a score is beyond 1 or -1.",
        ),
        (
            _step(judged=lambda D, x, r: _half_hinge(D, x, r).detach()),
            "The critic gets no gradient: call backward on its loss.",
        ),
        (
            _step(rec=lambda x, r, distance: F.mse_loss(r, x)),
            "The distance in features is missing: rec is the mean squared error plus distance(x, r).mean().",
        ),
        (
            _step(rec=lambda x, r, distance: distance(x, r).mean()),
            "The squared error is missing: rec is the mean squared error plus distance(x, r).mean().",
        ),
        (
            _step(rec=lambda x, r, distance: (x - r).abs().mean() + distance(x, r).mean()),
            "These are absolute errors, as in the authors' code. Here the error is squared, as in the table above.",
        ),
        (
            _step(rec=lambda x, r, distance: F.mse_loss(r, x) + distance(x, r.detach()).mean()),
            "The distance in features has no gradient: do not detach the reconstruction there.",
        ),
        (_step(backward=_first_then_cleared), EARLIER),
        (
            _step(result=dict),
            "The losses are returned with their graphs, which keeps all activations in memory: detach them.",
        ),
    ],
    accepts=[_step(), _frozen_and_thawed, _by_grad],
    speed=Speed(lambda: (*_parts(), random(8, 3, 28, 28, seed=8).tanh(), True)),
)
