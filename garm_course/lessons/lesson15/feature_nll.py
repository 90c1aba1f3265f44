"""Half the squared distance of features, without a gradient on the target's side; equation (15.2)."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.adversarial.vaegan import feature_nll
from garm_course.exercises.edges import plain, worded
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

_random = partial(random, seed=15)


def _with_gradients(answer: Callable, fx: Tensor, frec: Tensor) -> tuple[Tensor, ...]:
    """The losses, and the gradients of their sum in both arguments, zeros where there are none."""
    leaves = fx.clone().requires_grad_(), frec.clone().requires_grad_()
    value = answer(*(leaf * 1 for leaf in leaves))
    if not isinstance(value, Tensor) or not value.requires_grad:
        return value, torch.zeros_like(fx), torch.zeros_like(frec)
    found = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    return value.detach(), *(torch.zeros_like(fx) if g is None else g for g in found)


def _of(number: Callable[[Tensor], Tensor]):
    """A number of the flattened differences (B, F), with the target detached."""
    return lambda fx, frec: number((fx.detach() - frec).flatten(1))


def _half(difference: Tensor) -> Tensor:
    return 0.5 * difference.square().flatten(1).sum(1)


def _by_loop(fx: Tensor, frec: Tensor) -> Tensor:
    return torch.stack([((a.detach() - b) ** 2).sum() / 2 for a, b in zip(fx, frec, strict=True)])


def _case(*shape: int, seed: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    return scale * _random(*shape, seed=seed), _random(*shape, seed=seed + 1)


def _named(probe: Callable) -> Callable:
    return worded(
        probe, "the losses", "the gradient at fx (the losses are right)", "the gradient at frec (the losses are right)"
    )


EXERCISE = Exercise(
    name="feature_nll",
    lesson="15",
    reference=feature_nll,
    rule="½ the sum over features of (fx.detach() - frec)², one number for each example.",
    rtol=1e-5,
    probes=[
        _named(plain(*_case(3, 2, 4, 5, seed=6), use=_with_gradients)),  # features of a convolution
        *(
            _named(same(*case, use=_with_gradients))
            for case in (
                _case(4, 3, seed=1),
                _case(1, 7, seed=8, scale=2),
                _case(2, 1, seed=10),
                [t.float() for t in _case(2, 3, 2, seed=12)],
                _case(3, 6, seed=14, scale=1000.0),
            )
        ),
        same(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])),
    ],
    mistakes=[
        (lambda fx, frec: _half(fx - frec), "The value is right, but fx has a gradient too: detach the target."),
        (lambda fx, frec: _half(fx - frec.detach()), "The value is right, but frec is detached: detach fx."),
        (lambda fx, frec: _half((fx - frec).detach()), "The value is right, but both sides are detached."),
        (_of(lambda d: d.square().sum(1)), "The factor ½ of the Gaussian's exponent is missing."),
        (_of(lambda d: 0.5 * d.square().mean(1)), "This is the mean over features: a log-likelihood sums over them."),
        (_of(lambda d: d.square().mean(1)), "This is the mean squared error: sum over features, and take half."),
        (
            lambda fx, frec: 0.5 * (fx.detach() - frec).square().sum(1),
            "Only the first feature axis is summed: features of a convolution have more, so flatten all but the first.",
        ),
        (_of(lambda d: _half(d).mean()), "It is averaged over the batch: one number for each example."),
        (_of(lambda d: _half(d).sum()), "It is summed over the batch: one number for each example."),
        (_of(lambda d: d.abs().sum(1)), "Absolute differences belong to a Laplace distribution: square, and halve."),
        (_of(lambda d: d.norm(dim=1)), "This is the distance, a root: the exponent has ½ of its square."),
        (
            _of(lambda d: 0.5 * d.norm(dim=1)),
            "This is half the distance: half the squared distance is asked for, without the root.",
        ),
        (_of(lambda d: 0.5 * d.sum(1) ** 2), "The sum is squared: square each difference, then add."),
        (_of(lambda d: (0.5 * d).square().sum(1)), "The ½ is squared as well: it stands in front of the square."),
        (_of(lambda d: 0.5 * d.square()), "The features are not added up: sum over all but the first axis."),
        (_of(lambda d: _half(d) + 0.9189385332046727 * d.shape[1]), "The constant ½ F log 2π is added: leave it out."),
        (_of(lambda d: (-_half(d)).exp()), "This is the density without its constant: take minus its logarithm."),
        (
            lambda fx, frec: 1 - F.cosine_similarity(fx.detach().flatten(1), frec.flatten(1)),
            "This is one minus the cosine: lengths count as well, ½ Σ (fx - frec)².",
        ),
    ],
    accepts=[
        lambda fx, frec: F.mse_loss(frec, fx.detach(), reduction="none").flatten(1).sum(1) / 2,
        _by_loop,
        lambda fx, frec: 0.5 * torch.linalg.vector_norm((fx.data - frec).flatten(1), dim=1) ** 2,
    ],
    speed=Speed(lambda: (torch.randn(256, 512), torch.randn(256, 512))),
)
