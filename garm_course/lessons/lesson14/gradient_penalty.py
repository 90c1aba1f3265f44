"""The penalty on the slope of a critic between data and fakes; equation (14.2)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from garm_course.adversarial.lipschitz import gradient_penalty
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


class _Quadratic(nn.Module):
    """f(x) = ½ Σ a x² + b·x for each example: the gradient a x + b differs from place to place."""

    def __init__(self, size: int):
        super().__init__()
        self.a = nn.Parameter(random(size, seed=31))
        self.b = nn.Parameter(random(size, seed=32))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return (0.5 * self.a * x**2 + self.b * x).sum(1)


def _penalized(answer: Callable, real: Tensor, fake: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The penalty, and its gradients in the critic's weights, zeros where there are none."""
    critic = _Quadratic(real[0].numel()).to(real.dtype)
    value = answer(critic, real, fake, eps)
    grads = [torch.zeros_like(w) for w in critic.parameters()]
    if isinstance(value, Tensor) and value.requires_grad and value.ndim == 0:
        found = torch.autograd.grad(value, list(critic.parameters()), allow_unused=True)
        grads = [g if f is None else f for g, f in zip(grads, found, strict=True)]
    return (value.detach() if isinstance(value, Tensor) else value), *grads


def _wide(eps: Tensor, x: Tensor) -> Tensor:
    return eps.reshape(-1, *[1] * (x.ndim - 1))


def _points(real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
    return (_wide(eps, real) * real + (1 - _wide(eps, real)) * fake).detach().requires_grad_()


def _slope(critic, x: Tensor, graph: bool = True) -> Tensor:
    return torch.autograd.grad(critic(x).sum(), x, create_graph=graph)[0].flatten(1)


def _of(figure: Callable[[Tensor], Tensor], points: Callable = _points, graph: bool = True):
    """A figure of the slopes (B, D) at some points."""
    return lambda critic, real, fake, eps: figure(_slope(critic, points(real, fake, eps), graph))


def _penalty(slope: Tensor) -> Tensor:
    return ((slope.norm(dim=1) - 1) ** 2).mean()


def _mean_score(critic, real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
    x = _points(real, fake, eps)
    [slope] = torch.autograd.grad(critic(x).mean(), x, create_graph=True)
    return _penalty(slope.flatten(1))


def _at(choose: Callable[[Tensor, Tensor], Tensor]):
    return lambda real, fake, eps: choose(real, fake).detach().requires_grad_()


def _one_by_one(critic, real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
    values = []
    for r, f, e in zip(real, fake, eps, strict=True):
        x = (e * r + (1 - e) * f).detach().requires_grad_()
        [slope] = torch.autograd.grad(critic(x[None]).sum(), x, create_graph=True)
        values.append((slope.pow(2).sum().sqrt() - 1) ** 2)
    return torch.stack(values).mean()


def _grad_outputs(critic, real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
    x = (fake + _wide(eps, real) * (real - fake)).requires_grad_()
    scores = critic(x)
    [slope] = torch.autograd.grad(scores, x, grad_outputs=torch.ones_like(scores), create_graph=True, retain_graph=True)
    return (slope.flatten(1).square().sum(1).sqrt() - 1).square().mean()


EXERCISE = Exercise(
    name="gradient_penalty",
    lesson="14",
    reference=gradient_penalty,
    rule="mean over examples of (|∇f(x̂)| - 1)² at x̂ = eps real + (1 - eps) fake, one norm for each example.",
    probes=[
        same(random(5, 3, seed=1), random(5, 3, seed=2) + 1, random(5, seed=3).sigmoid(), use=_penalized),
        same(random(4, 2, 3, 2, seed=4), random(4, 2, 3, 2, seed=5), random(4, seed=6).sigmoid(), use=_penalized),
        same(3 * random(6, 1, 2, 2, seed=7), random(6, 1, 2, 2, seed=8), random(6, seed=9).sigmoid(), use=_penalized),
    ],
    mistakes=[
        (
            _of(_penalty, graph=False),
            "The value is right, but the penalty has no gradient in the critic: create_graph=True is missing.",
        ),
        (
            _of(lambda s: (s.norm() - 1) ** 2),
            "One norm is taken over the whole batch: each example has its own, over all numbers of the example.",
        ),
        (
            _of(lambda s: (s.norm(dim=1).mean() - 1) ** 2),
            "The norms are averaged before 1 is subtracted, so steep and flat examples cancel: average last.",
        ),
        (
            _of(lambda s: ((s.square().sum(1) - 1) ** 2).mean()),
            "1 is subtracted from the squared norm: take the root first.",
        ),
        (_of(lambda s: (s.norm(dim=1) ** 2).mean()), "1 is not subtracted: this pulls the slope to 0, as R1 does."),
        (_of(lambda s: s.norm(dim=1).mean()), "This is the mean slope: its distance from 1, squared, is asked for."),
        (_of(lambda s: (s.norm(dim=1) - 1).mean()), "There is no square: slopes below 1 pay for slopes above."),
        (_of(lambda s: (s.norm(dim=1) - 1).abs().mean()), "This is |norm - 1|: square it."),
        (
            _of(lambda s: (s.norm(dim=1) - 1).clamp(min=0).square().mean()),
            "Only slopes above 1 are fined: the paper's penalty is two-sided.",
        ),
        (_of(lambda s: ((s.norm(dim=1) - 1) ** 2).sum()), "This is a sum: take the mean over the examples."),
        (_of(lambda s: (s.norm(dim=1) - 1) ** 2), "One number for each example: take the mean."),
        (_of(lambda s: ((s - 1) ** 2).mean()), "1 is subtracted from every entry of the gradient: from its norm."),
        (
            _of(lambda s: ((s.abs().sum(1) - 1) ** 2).mean()),
            "This is a sum of absolute values: the norm is a length.",
        ),
        (_of(lambda s: 10 * _penalty(s)), "The weight 10 is the caller's business: return the penalty itself."),
        (_of(_penalty, _at(lambda real, fake: real)), "The slope is taken at the data: x̂ lies between data and fakes."),
        (
            _of(_penalty, _at(lambda real, fake: fake)),
            "The slope is taken at the fakes: x̂ lies between data and fakes.",
        ),
        (
            _of(_penalty, _at(lambda real, fake: (real + fake) / 2)),
            "The slope is taken half way: eps says where between data and fakes, for each example.",
        ),
        (
            _of(_penalty, lambda real, fake, eps: _points(fake, real, eps)),
            "Data and fakes are swapped: eps weighs the data, 1 - eps the fakes.",
        ),
        (
            _of(_penalty, lambda real, fake, eps: (real + _wide(eps, real) * fake).detach().requires_grad_()),
            "The weights do not sum to 1: eps real + (1 - eps) fake.",
        ),
        (
            _of(_penalty, lambda real, fake, eps: _points(real, fake, eps.mean().expand(len(eps)))),
            "One eps is used for all examples: each has its own.",
        ),
        (
            _mean_score,
            "The gradient is that of the mean score, smaller by the batch size: sum the scores, each has its own x̂.",
        ),
        (_of(lambda s: _penalty(s) / 2), "It is halved: the penalty has no factor."),
    ],
    accepts=[_one_by_one, _grad_outputs, _of(lambda s: (s.square().sum(1).sqrt() - 1).square().mean())],
    rtol=1e-5,
    speed=Speed(
        lambda: (_Quadratic(784).float(), torch.randn(64, 1, 28, 28), torch.randn(64, 1, 28, 28), torch.rand(64)),
    ),
)
