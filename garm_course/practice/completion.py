"""Completion of an example of which any part is given, by particles.

A model draws in its order, so what is given first conditions what is drawn after it, exactly (`sample(given=)`). What
is given further down has to act backwards. A particle is a guess at the free values so far; where a value is given,
each particle is weighted by the probability that the model gives to this value after it, and particles are drawn anew
by their weights: likely guesses are copied, unlikely ones dropped. The mean weights multiply to an estimate of p(given)
that is right on average; equation (20.11).

Sources: Gordon, Salmond and Smith (1993), IEE Proceedings F 140 (the particle filter); Del Moral (2004), "Feynman-Kac
Formulae" (the mean of the estimate).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from garm_course.evaluation_mode import evaluation_mode


class Completion(NamedTuple):
    """What `complete` found."""

    values: Tensor  # (n, D), in the order of the model
    log_evidence: float  # ln of the estimate of p(given), in nats


def complete(
    model: nn.Module,
    given: Tensor,
    n: int,
    y: Tensor | None = None,
    *,
    temperature: float = 1.0,
    rng: torch.Generator | None = None,
    uniform: Callable[[int], Tensor] | None = None,
) -> Completion:
    """Draw completions of one example, approximately from p(free | given), the better the larger n is.

    Every position takes a full pass over all particles. Weights are those of the temperature, too.

    Args:
        model: any autoregressive model.
        given: LongTensor (D,) of levels in the order of the model (`model.to_sequence`), -1 where a value is free.
        n: number of particles, at least 1. Copies of one particle are equal completions.
        y: LongTensor (1,), the class, for a class-conditional model.
        temperature: divides the logits.
        rng: of the uniforms.
        uniform: in place of `rng`, a function that gives so many uniforms: n for a position that is drawn, one for a
            resampling.

    Returns:
        The completions, and the estimate of ln p(given); that is exact where nothing given follows a free value.

    Raises:
        ValueError: for given values that do not fit, fewer than one particle, a temperature that is not positive, or
            given values that no particle can reach.
    """
    if given.dtype != torch.long or tuple(given.shape) != (model.positions,):
        raise ValueError(
            f"expected given: a LongTensor ({model.positions},) of levels, -1 where a value is free, got "
            f"{given.dtype} {tuple(given.shape)}"
        )
    if given.min() < -1 or given.max() >= model.levels or n < 1 or not temperature > 0:
        raise ValueError(
            f"expected levels -1..{model.levels - 1}, n >= 1 and temperature > 0, got {given.min()}..{given.max()}, "
            f"{n} and {temperature}"
        )
    draw = uniform or (lambda count: torch.rand(count, generator=rng, dtype=torch.float64))
    x = torch.zeros(n, model.positions, dtype=torch.long)
    y = None if y is None else y.expand(n)
    log_evidence, drawn = 0.0, False
    with torch.inference_mode(), evaluation_mode(model):
        for i, level in enumerate(given.tolist()):
            params = model.to_sequence(model(model.from_sequence(x), y))[:, i]
            p = (model.head.logits(params).double() / temperature).softmax(-1)
            if level < 0:
                drawn = True
                u = draw(n).to(p)[:, None]
                x[:, i] = (u >= p.cumsum(-1)).sum(-1).clamp(max=model.levels - 1)
                continue
            weights = p[:, level]
            if not weights.sum() > 0:
                raise ValueError(f"no particle of {n} leaves a probability for what is given at {model.place(i)}")
            log_evidence += weights.mean().log().item()
            if drawn:
                x = x[resampled(weights, draw(1).item())]
            x[:, i] = level
    return Completion(x.clone(), log_evidence)


def resampled(weights: Tensor, u: float) -> Tensor:
    """Indices (n,) drawn by weights (n,) with one uniform, which sets n equally spaced pointers: (j + u) / n.

    Example:
        >>> resampled(torch.tensor([0.5, 0.0, 0.25, 0.25]), 0.5).tolist()
        [0, 0, 2, 3]
    """
    n = len(weights)
    pointers = (torch.arange(n, dtype=weights.dtype) + u) / n * weights.sum()
    return torch.searchsorted(weights.cumsum(0), pointers).clamp(max=n - 1)
