"""The penalty on the slope of a critic between data and fakes; equation (14.2)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from garm_course.adversarial.lipschitz import gradient_penalty
from garm_course.exercises.edges import plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


class _Quadratic(nn.Module):
    """f(x) = ½ Σ a x² + b·x for each example: the gradient a x + b differs from place to place."""

    def __init__(self, size: int):
        super().__init__()
        self.a = nn.Parameter(0.4 * random(size, seed=31))
        self.b = nn.Parameter(0.1 * random(size, seed=32))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return (0.5 * self.a * x**2 + self.b * x).sum(1)


def _penalized(answer: Callable, _critic, real: Tensor, fake: Tensor, eps: Tensor) -> dict:
    """The penalty, its gradients in the critic's weights, zeros where there are none, and what the call left there."""
    critic = _Quadratic(real[0].numel()).to(real.dtype)
    value, weights = answer(critic, real, fake, eps), list(critic.parameters())
    found = [None, None]
    if isinstance(value, Tensor) and value.requires_grad and value.ndim == 0:
        found = torch.autograd.grad(value, weights, allow_unused=True)
    return {
        "penalty": value.detach() if isinstance(value, Tensor) else value,
        "gradient of the penalty": [
            torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)
        ],
        "weights whose grad the call filled": sum(w.grad is not None for w in weights),
    }


def _wide(eps: Tensor, x: Tensor) -> Tensor:
    return eps.reshape(-1, *[1] * (x.ndim - 1))


def _case(*shape: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Data, fakes and one number in [0, 1] for each example; the critic is flat at the first, steep at the last."""
    size = _wide(torch.linspace(0.2, 3, shape[0], dtype=torch.float64), torch.empty(shape))
    real, fake = size * random(*shape, seed=seed), size * (random(*shape, seed=seed + 1) + 0.5)
    return real, fake, random(shape[0], seed=seed + 2).sigmoid()


def _between(wide: Callable[[Tensor, Tensor], Tensor]):
    """x̂ with another shape of eps."""
    return lambda real, fake, eps: wide(eps, real) * real + (1 - wide(eps, real)) * fake


_points = _between(_wide)


def _of(number: Callable, points: Callable = _points, graph: bool = True, score: Callable = torch.sum):
    """A number of the gradients (B, ...) at some points."""

    def answer(critic, real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
        x = points(real, fake, eps).detach().requires_grad_()
        return number(torch.autograd.grad(score(critic(x)), x, create_graph=graph)[0])

    return answer


def _of_norms(number: Callable[[Tensor], Tensor]):
    return _of(lambda s: number(s.flatten(1).norm(dim=1)))


def _penalty(slope: Tensor) -> Tensor:
    return ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()


def _filling(critic, real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
    x = _points(real, fake, eps).requires_grad_()
    critic(x).sum().backward(create_graph=True)
    return _penalty(x.grad)


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
    rtol=1e-4,  # 1 is subtracted from norms near 1
    atol=1e-6,
    probes=[
        plain(None, *_case(4, 2, 3, 2, seed=4), use=_penalized),
        *(same(None, *_case(*shape, seed=1), use=_penalized) for shape in ((5, 3), (6, 1, 2, 2), (1, 4, 1))),
        same(None, *(t.float() for t in _case(3, 2, 2, seed=13)), use=_penalized),
        same(None, *_case(2, 3, seed=16)[:2], torch.tensor([0.0, 1.0], dtype=torch.float64), use=_penalized),
        same(lambda x: x.sum(1), *_case(3, 2, seed=19)),  # the example of the text
    ],
    mistakes=[
        (_of(_penalty, graph=False), "The value is right, but it has no gradient: create_graph=True is missing."),
        (_filling, "The penalty is right, but backward fills the grad of the weights: use torch.autograd.grad."),
        (_of(_penalty, _between(lambda eps, x: eps)), "eps acts along the last axis: reshape it to (B, 1, ..., 1)."),
        (
            _of(_penalty, _between(lambda eps, x: eps.reshape(-1, 1, 1, 1))),
            "eps gets four axes, which fits images only: as many axes of size 1 as real has after the first.",
        ),
        (_of(_penalty, score=lambda scores: scores), "There are B scores, and grad takes one number: sum them."),
        (_of(_penalty, score=torch.mean), "This is the slope of the mean score, too small by B: sum the scores."),
        (_of(lambda s: (s.norm() - 1) ** 2), "One norm is taken over the whole batch: each example has its own."),
        (_of(lambda s: ((s.norm(dim=1) - 1) ** 2).mean()), "norm(dim=1) runs over channels only: flatten(1) first."),
        (
            _of_norms(lambda n: (n.mean() - 1) ** 2),
            "The norms are averaged before 1 is subtracted, so steep and flat examples cancel: average last.",
        ),
        (_of_norms(lambda n: ((n**2 - 1) ** 2).mean()), "1 is subtracted from the squared norm: take the root first."),
        (_of_norms(lambda n: (n**2).mean()), "1 is not subtracted: this pulls the slope to 0, as R1 does."),
        (_of_norms(lambda n: (n - 1).mean()), "There is no square: slopes below 1 pay for slopes above."),
        (_of_norms(lambda n: (n - 1).abs().mean()), "This is |norm - 1|: square it."),
        (_of_norms(lambda n: (n - 1).clamp(min=0).square().mean()), "Only slopes above 1 count: those below do too."),
        (_of_norms(lambda n: 10 * ((n - 1) ** 2).mean()), "The weight 10 is the caller's business: leave it out."),
        (_of(lambda s: ((s - 1) ** 2).mean()), "1 is subtracted from every entry of the gradient: from its norm."),
        (_of(_penalty, lambda real, fake, eps: real), "The slope is taken at the data: x̂ lies between both."),
        (
            _of(_penalty, lambda real, fake, eps: (real + fake) / 2),
            "The slope is taken half way: eps says where between data and fakes, for each example.",
        ),
        (
            _of(_penalty, lambda real, fake, eps: _points(fake, real, eps)),
            "Data and fakes are swapped: eps weighs the data, 1 - eps the fakes.",
        ),
        (_of(_penalty, lambda real, fake, eps: real + _wide(eps, real) * fake), "The weights do not sum to 1."),
        (_of(_penalty, _between(lambda eps, x: eps.mean())), "One eps is used for all examples: each has its own."),
    ],
    accepts=[_one_by_one, _grad_outputs, _of_norms(lambda n: torch.var(n, correction=0) + (n.mean() - 1) ** 2)],
    speed=Speed(
        lambda: (_Quadratic(784).float(), torch.randn(64, 1, 28, 28), torch.randn(64, 1, 28, 28), torch.rand(64)),
    ),
)
