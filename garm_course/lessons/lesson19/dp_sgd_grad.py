"""The gradient of DP-SGD: every example is clipped by itself, the sum gets noise; equation (19.6)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, vmap

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.trust.privacy import dp_sgd_grad

Tensors = dict[str, Tensor]
Loss = Callable[[Tensors, Tensor], Tensor]


def product(p: Tensors, x: Tensor) -> Tensor:
    """The loss of the example in the text: its gradient is x."""
    return p["w"] * x


def network(p: Tensors, x: Tensor) -> Tensor:
    """Half the squared error of a small network; the last entry of an example is what it should say."""
    hidden = torch.tanh(p["A"] @ x[:-1] + p["a"])
    return (p["b"] @ hidden + p["c"] - x[-1]).square() / 2


def images(p: Tensors, x: Tensor) -> Tensor:
    """A loss of examples that have two axes."""
    return torch.tanh((p["W"] * x).sum() + p["c"]) + 0.1 * p["c"].square()


def _gradients(loss: Loss, params: Tensors, x: Tensor) -> list[Tensors]:
    """The gradients of the examples, one after the other, none for no example."""
    found = []
    for example in x:
        leaves = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
        parts = torch.autograd.grad(loss(leaves, example), list(leaves.values()))
        found.append(dict(zip(leaves, parts, strict=True)))
    return found


def _norm(g: Tensors) -> Tensor:
    return torch.cat([part.flatten() for part in g.values()]).norm()


def _clipped(g: Tensors, C: float) -> Tensors:
    share = min(1.0, C / max(_norm(g).item(), 1e-300))
    return {name: share * part for name, part in g.items()}


def _dp(clip=_clipped, noisy=lambda s, z, C, sigma, b, drawn: (s + sigma * C * z) / b, around=None):
    """An answer with another clipping, another noise or another division."""

    def answer(loss, params, x, C, sigma, noise, batch):
        each = [clip(g, C) for g in _gradients(loss, params, x)]
        total = {name: sum((g[name] for g in each), torch.zeros_like(p)) for name, p in params.items()}
        found = {name: noisy(total[name], noise[name], C, sigma, batch, len(x)) for name in params}
        return around(found, params) if around else found

    return answer


def _scaled(share):
    """A clipping that multiplies all tensors of an example by one number, a function of its gradient and C."""
    return lambda g, C: {name: share(g, C) * part for name, part in g.items()}


def _each_tensor(g: Tensors, C: float) -> Tensors:
    return {name: part * min(1.0, C / max(part.norm().item(), 1e-300)) for name, part in g.items()}


def _mean_clipped(loss, params, x, C, sigma, noise, batch):
    each = _gradients(loss, params, x)
    mean = {n: sum((g[n] for g in each), torch.zeros_like(p)) / batch for n, p in params.items()}
    mean = _clipped(mean, C)
    return {n: mean[n] + sigma * C * noise[n] / batch for n in params}


def _sum_clipped(loss, params, x, C, sigma, noise, batch):
    each = _gradients(loss, params, x)
    total = _clipped({n: sum((g[n] for g in each), torch.zeros_like(p)) for n, p in params.items()}, C)
    return {n: (total[n] + sigma * C * noise[n]) / batch for n in params}


def _one_share(loss, params, x, C, sigma, noise, batch):
    each = _gradients(loss, params, x)
    share = min([1.0, *(C / max(_norm(g).item(), 1e-300) for g in each)])
    total = {n: share * sum((g[n] for g in each), torch.zeros_like(p)) for n, p in params.items()}
    return {n: (total[n] + sigma * C * noise[n]) / batch for n in params}


def _whole_norm(loss, params, x, C, sigma, noise, batch):
    each = _gradients(loss, params, x)
    share = min(1.0, C / max(sum(_norm(g).item() ** 2 for g in each) ** 0.5, 1e-300))
    total = {n: share * sum((g[n] for g in each), torch.zeros_like(p)) for n, p in params.items()}
    return {n: (total[n] + sigma * C * noise[n]) / batch for n in params}


def _noise_clipped(loss, params, x, C, sigma, noise, batch):
    found = _dp()(loss, params, x, C, sigma, noise, 1.0)
    return {n: part / batch for n, part in _clipped(found, C).items()}


def _own_noise(loss, params, x, C, sigma, noise, batch):
    return dp_sgd_grad(loss, params, x, C, sigma, {n: torch.randn_like(z) for n, z in noise.items()}, batch)


def _flat(loss, params, x, C, sigma, noise, batch):
    rows = [torch.cat([part.flatten() for part in g.values()]) for g in _gradients(loss, params, x)]
    whole = torch.cat([torch.zeros_like(p).flatten() for p in params.values()])
    for row in rows:
        whole = whole + row / torch.clamp(row.norm() / C, min=1)
    whole = whole + sigma * C * torch.cat([noise[n].flatten() for n in params])
    parts = (whole / batch).split([p.numel() for p in params.values()])
    return {n: part.view_as(p) for (n, p), part in zip(params.items(), parts, strict=True)}


def _stacked(loss, params, x, C, sigma, noise, batch):
    if not len(x):
        return {n: sigma * C * z / batch for n, z in noise.items()}
    each = vmap(grad(loss), in_dims=(None, 0))(params, x)
    squares = torch.stack([g.reshape(len(x), -1).pow(2).sum(1) for g in each.values()]).sum(0)
    share = torch.minimum(torch.ones_like(squares), C * squares.rsqrt())
    return {
        n: ((g * share.view(-1, *[1] * (g.ndim - 1))).sum(0) + sigma * C * noise[n]) / batch for n, g in each.items()
    }


def _lists(loss, params, x, C, sigma, noise, batch):
    return {n: list(part.flatten()) for n, part in dp_sgd_grad(loss, params, x, C, sigma, noise, batch).items()}


def _in_place(loss, params, x, C, sigma, noise, batch):
    found = dp_sgd_grad(loss, params, x, C, sigma, noise, batch)
    for name, part in found.items():
        params[name] -= part
    return found


def _weights(seed: int) -> Tensors:
    shapes = {"A": (3, 4), "a": (3,), "b": (3,), "c": ()}
    return {name: random(*shape, seed=seed + k) for k, (name, shape) in enumerate(shapes.items())}


def _floats(tensors: Tensors) -> Tensors:
    return {name: t.float() for name, t in tensors.items()}


X, P, Z = 1.5 * random(6, 5, seed=1), _weights(10), _weights(20)
LOUD = torch.cat([1000.0 * random(1, 5, seed=2), random(3, 5, seed=3)])
ONE = {"w": torch.tensor(1.0)}, {"w": torch.tensor(0.5)}
NOBODY = (
    "Right except where nobody was drawn, x of shape (0, ...): the sum is 0 then, and the noise is still there. vmap "
    "needs at least one example, so ask for len(x) first."
)
SINGLE = "Right except for a batch of one: squeeze() without an axis removes that axis as well."
FLAT = "Right except for a gradient of 0: its norm is 0, and 0 / 0 is NaN. Take C / norm and clamp it at 1."
SHAPES = "Right for examples that are vectors: an example may have any number of axes, and vmap maps over the first."

EXERCISE = Exercise(
    name="dp_sgd_grad",
    lesson="19",
    reference=dp_sgd_grad,
    rule="Each example has one gradient, and one norm over all tensors together; it is multiplied by min(1, C / norm). "
    "To the sum comes sigma * C * noise, and everything is divided by batch, the expected number of examples.",
    probes=[
        plain(network, P, X, 0.8, 1.3, Z, 8.0),
        plain(network, P, X, 0.8, 0.0, Z, 8.0),
        same(product, ONE[0], torch.tensor([3.0, -0.5]), 1.0, 2.0, ONE[1], 2),
        same(network, _weights(30), 2 * random(5, 5, seed=4), 2.5, 0.7, _weights(40), 4.0),
        same(network, P, X, 1e6, 0.0, Z, 6.0),
        same(network, P, LOUD, 0.3, 0.0, Z, 4.0),
        same(network, P, X, 0.8, 2.6, Z, 8.0),
        edge(
            same(
                images,
                {"W": random(2, 3, seed=5), "c": random(seed=6)},
                random(4, 2, 3, seed=7),
                0.5,
                1.1,
                {"W": random(2, 3, seed=8), "c": random(seed=9)},
                5.0,
            ),
            SHAPES,
        ),
        edge(
            same(network, _floats(P), X.float(), 0.8, 1.3, _floats(Z), 8.0),
            "Right for float64, not for float32: make new tensors with torch.zeros_like.",
        ),
        edge(same(network, P, X[:1], 0.8, 1.3, Z, 8.0), SINGLE),
        edge(same(product, ONE[0], torch.tensor([0.0, 2.0]), 1.0, 2.0, ONE[1], 2), FLAT),
        edge(same(network, P, X[:0], 0.8, 1.3, Z, 8.0), NOBODY),
    ],
    rtol=1e-5,
    atol=1e-7,
    mistakes=[
        (
            _mean_clipped,
            "The mean is clipped: one example is still unbounded in it, because the others may cancel the rest. Clip "
            "the gradient of each example before the sum.",
        ),
        (
            _sum_clipped,
            "The sum is clipped: what one example contributes to it is not bounded. Clip the gradient of each example.",
        ),
        (
            _dp(_scaled(lambda g, C: C / _norm(g))),
            "Every gradient is brought to the norm C, the small ones as well: multiply by min(1, C / norm).",
        ),
        (
            _dp(_each_tensor),
            "Each tensor is clipped by itself, so an example may contribute C times the root of the number of tensors: "
            "one norm per example, over all parameters together.",
        ),
        (
            _dp(noisy=lambda s, z, C, sigma, b, drawn: (s + sigma * z) / b),
            "The noise has deviation sigma, not sigma * C: it must be in proportion to what one example can do.",
        ),
        (
            _dp(noisy=lambda s, z, C, sigma, b, drawn: (s + sigma * C * z) / max(drawn, 1)),
            "It is divided by the number of examples that were drawn, which tells who was there: divide by batch.",
        ),
        (
            _dp(noisy=lambda s, z, C, sigma, b, drawn: s / b + sigma * C * z),
            "The noise comes after the division, so there is `batch` times too much of it: add it to the sum.",
        ),
        (
            _dp(noisy=lambda s, z, C, sigma, b, drawn: (s + drawn * sigma * C * z) / b),
            "The noise is added once per example: the sum gets it once.",
        ),
        (_dp(noisy=lambda s, z, C, sigma, b, drawn: s / b), "The noise is missing: clipping alone is no privacy."),
        (
            _dp(lambda g, C: g),
            "Nothing is clipped: an example with a large gradient shows through any noise.",
        ),
        (
            _dp(_scaled(lambda g, C: min(1.0, C / max(_norm(g).item() ** 2, 1e-300)))),
            "The norm is not a norm yet: take the root of the sum of squares.",
        ),
        (
            _dp(lambda g, C: {name: part.clamp(-C, C) for name, part in g.items()}),
            "Every number is clamped to [-C, C]: the norm of a long gradient is still large. Scale the whole gradient.",
        ),
        (
            _dp(_scaled(lambda g, C: min(1.0, _norm(g).item() / C))),
            "The fraction is upside down: large gradients are to shrink, by C / norm.",
        ),
        (
            _dp(_scaled(lambda g, C: max(1.0, C / max(_norm(g).item(), 1e-300)))),
            "The factor is at least 1, so large gradients stay and small ones grow: it is at most 1, clamp(max=1).",
        ),
        (
            _whole_norm,
            "One norm is taken over the whole batch, axis 0 included: each example has a norm of its own.",
        ),
        (
            _dp(noisy=lambda s, z, C, sigma, b, drawn: s / max(drawn, 1) + sigma * C * z / b),
            "The sum is divided by the number of examples that were drawn, which tells who was there: divide by batch.",
        ),
        (
            _one_share,
            "All examples are scaled by the factor of the largest one, which tells how large it was: each has its own.",
        ),
        (
            _dp(_scaled(lambda g, C: min(1.0, C / max(sum(t.norm().item() for t in g.values()), 1e-300)))),
            "The norms of the tensors are added. The norm over all of them is the root of the sum of their squares.",
        ),
        (
            _dp(_scaled(lambda g, C: min(1.0, C / max(sum(t.abs().sum().item() for t in g.values()), 1e-300)))),
            "This is the sum of absolute values: the Gaussian mechanism needs the Euclidean norm.",
        ),
        (
            _dp(_scaled(lambda g, C: float(_norm(g).item() <= C))),
            "Examples with a gradient above C are left out: scale them down to C instead.",
        ),
        (
            _dp(_scaled(lambda g, C: C / (_norm(g).item() + C))),
            "Small gradients shrink as well: below C they stay as they are, min(1, C / norm).",
        ),
        (
            _dp(noisy=lambda s, z, C, sigma, b, drawn: (s + sigma**2 * C * z) / b),
            "The noise is multiplied by the variance, sigma squared: its deviation is sigma * C.",
        ),
        (
            _dp(noisy=lambda s, z, C, sigma, b, drawn: (s + sigma * C**2 * z) / b),
            "The noise is multiplied by C squared: its deviation is sigma * C.",
        ),
        (
            _dp(noisy=lambda s, z, C, sigma, b, drawn: s + sigma * C * z),
            "The division is missing: this is the noisy sum, and batch makes a mean of it.",
        ),
        (
            _dp(noisy=lambda s, z, C, sigma, b, drawn: (s - sigma * C * z) / b),
            "The noise is subtracted. Its distribution is the same, but add it, so that a run can be repeated.",
        ),
        (
            _dp(noisy=lambda s, z, C, sigma, b, drawn: (s + sigma * C * z / b**0.5) / b),
            "The noise is divided by the root of batch: the sum gets sigma * C * noise.",
        ),
        (
            _dp(lambda g, C: {name: C * part for name, part in _clipped(g, C).items()}),
            "The clipped gradients are multiplied by C once more.",
        ),
        (
            _noise_clipped,
            "The noisy sum is clipped: that removes noise where it is needed. Clip the examples, then add the noise.",
        ),
        (
            _dp(around=lambda found, params: {name: params[name] - part for name, part in found.items()}),
            "This is a step of descent with learning rate 1: return the gradient, the optimizer makes the step.",
        ),
        (_own_noise, "New noise is drawn: use the numbers in `noise`, so that a run can be repeated."),
        (_lists, "The tensors have become lists: return a tensor of the shape of each parameter."),
        (_in_place, "The parameters themselves have moved: return the gradient, and leave params alone."),
    ],
    accepts=[_dp(), _flat, _stacked],
    speed=Speed(lambda: (network, _floats(P), torch.randn(64, 5), 1.0, 1.0, _floats(Z), 64.0)),
)
