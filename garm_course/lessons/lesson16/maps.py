"""Two translators for probes: small maps of images that differ in both directions, and do or do not undo each other."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.numbers import random


class Map:
    """tanh of a linear map over the last axis, to as many numbers or to `out` of them."""

    def __init__(self, size: int, seed: int, out: int | None = None):
        self.weight, self.shift = random(size, out or size, seed=seed), random(out or size, seed=seed + 1)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight.to(x) + self.shift.to(x))


def to_y(x: Tensor) -> Tensor:
    """Undone by `to_x`."""
    return 2 * x.flip(-1) - 0.3


def to_x(y: Tensor) -> Tensor:
    """Undoes `to_y`."""
    return (y.flip(-1) + 0.3) / 2


def learning(G: Callable, F: Callable) -> Callable:
    """`use` of a probe: the loss, then its gradient at a number that G multiplies its input by, and at one of F."""

    def played(answer: Callable, _G, _F, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        g, f = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.9, 1.2))
        loss = answer(lambda v: g * G(v), lambda v: f * F(v), x, y)
        if not isinstance(loss, Tensor):
            return loss, g, f
        found = [torch.zeros(()), torch.zeros(())]
        if loss.requires_grad and loss.ndim == 0:
            found = torch.autograd.grad(loss, (g, f), allow_unused=True)
        return loss.detach(), *(torch.zeros_like(g) if t is None else t for t in found)

    return played
