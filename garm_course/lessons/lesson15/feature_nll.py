"""Half the squared distance of features, without a gradient on the target's side; equation (15.2)."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.adversarial.vaegan import feature_nll
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

_random = partial(random, seed=15)


def _with_gradients(answer: Callable, fx: Tensor, frec: Tensor) -> tuple[Tensor, ...]:
    """The losses, and the gradients of their sum in both arguments, zeros where there are none."""
    fx, frec = fx.clone().requires_grad_(), frec.clone().requires_grad_()
    value = answer(fx, frec)
    if not isinstance(value, Tensor) or not value.requires_grad:
        return value, torch.zeros_like(fx), torch.zeros_like(frec)
    found = torch.autograd.grad(value.sum(), (fx, frec), allow_unused=True)
    zeros = (torch.zeros_like(fx), torch.zeros_like(frec))
    return value.detach(), *(z if g is None else g for g, z in zip(found, zeros, strict=True))


def _of(figure: Callable[[Tensor], Tensor]):
    """A figure of the flattened differences (B, F), with the target detached."""
    return lambda fx, frec: figure((fx.detach() - frec).flatten(1))


def _then(change: Callable[[Tensor], object]):
    return lambda fx, frec: change(feature_nll(fx, frec))


def _half(difference: Tensor) -> Tensor:
    return 0.5 * difference.square().sum(1)


def _by_loop(fx: Tensor, frec: Tensor) -> Tensor:
    return torch.stack([((a.detach() - b) ** 2).sum() / 2 for a, b in zip(fx, frec, strict=True)])


EXERCISE = Exercise(
    name="feature_nll",
    lesson="15",
    reference=feature_nll,
    rule="½ the sum over features of (fx.detach() - frec)², one number for each example.",
    probes=[
        same(_random(4, 3), _random(4, 3, seed=5), use=_with_gradients),
        same(
            _random(3, 2, 2, 5, seed=6), _random(3, 2, 2, 5, seed=7), use=_with_gradients
        ),  # features of a convolution
        same(2 * _random(5, 7, seed=8), _random(5, 7, seed=9), use=_with_gradients),
        same(_random(2, 4).float(), _random(2, 4, seed=5).float()),
    ],
    mistakes=[
        (
            lambda fx, frec: _half((fx - frec).flatten(1)),
            "The value is right, but the originals' features have a gradient too: detach the target.",
        ),
        (
            lambda fx, frec: _half((fx - frec.detach()).flatten(1)),
            "The value is right, but the wrong side is detached: the reconstruction must learn, frec.",
        ),
        (
            lambda fx, frec: _half((fx - frec).detach().flatten(1)),
            "The value is right, but both sides are detached: nothing learns.",
        ),
        (_of(lambda d: d.square().sum(1)), "The factor ½ of the Gaussian's exponent is missing."),
        (_of(lambda d: 0.5 * d.square().mean(1)), "This is the mean over features: a log-likelihood sums over them."),
        (_of(lambda d: d.square().mean(1)), "This is the mean squared error: sum over features, and take half."),
        (_of(lambda d: _half(d).mean()), "It is averaged over the batch: one number for each example."),
        (_of(lambda d: _half(d).sum()), "It is summed over the batch: one number for each example."),
        (
            _of(lambda d: d.abs().sum(1)),
            "Absolute differences belong to a Laplace distribution: square, and halve.",
        ),
        (_of(lambda d: 0.5 * d.abs().sum(1)), "These are absolute differences, halved: square them first."),
        (_of(lambda d: d.norm(dim=1)), "This is the distance, a root: the exponent has ½ of its square."),
        (_of(lambda d: 0.5 * d.norm(dim=1)), "There is a root too much: ½ of the squared distance."),
        (_of(lambda d: 0.5 * d.sum(1) ** 2), "The sum is squared: square each difference, then add."),
        (_of(lambda d: -_half(d)), "The sign is that of the log-likelihood: this is a loss, at least 0."),
        (_of(lambda d: 0.5 * d.square()), "The features are not added up: sum over all but the first axis."),
        (
            _of(lambda d: _half(d) + 0.9189385332046727 * d.shape[1]),
            "The constant ½ F log 2π is added: it is left out here, since it has no gradient.",
        ),
        (
            lambda fx, frec: 1 - F.cosine_similarity(fx.detach().flatten(1), frec.flatten(1)),
            "This is one minus the cosine: lengths count as well, ½ Σ (fx - frec)².",
        ),
        (_then(lambda loss: loss.tolist()), "A list has no gradient: return a tensor (B,)."),
        (_then(lambda loss: loss.unsqueeze(1)), "There is an axis of length 1 behind: return (B,)."),
    ],
    accepts=[
        lambda fx, frec: F.mse_loss(frec, fx.detach(), reduction="none").flatten(1).sum(1) / 2,
        _by_loop,
        lambda fx, frec: 0.5 * torch.linalg.vector_norm((fx.data - frec).flatten(1), dim=1) ** 2,
    ],
    speed=Speed(lambda: (torch.randn(256, 512), torch.randn(256, 512))),
)
