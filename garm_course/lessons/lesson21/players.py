"""Strangers' models on 3-level images of five pixels, honest and not: what `blind_score` is tried on."""

from collections.abc import Callable

import torch
from torch import Tensor

Player = Callable[[Tensor, int], Tensor]  # (prefix (n, D), position i) -> scores (n, levels)
PIXELS, LEVELS = 5, 3
_SEED = 21


def _table(i: int) -> Tensor:
    """Scores of position i after each of the 3^i prefixes: (3^i, 3), float64."""
    rng = torch.Generator().manual_seed(_SEED + i)
    return 1.5 * torch.randn(LEVELS**i, LEVELS, generator=rng, dtype=torch.float64)


def honest(prefix: Tensor, i: int) -> Tensor:
    """A table: scores for position i that depend on the positions before it."""
    code = torch.zeros(len(prefix), dtype=torch.long)
    for j in range(i):
        code = LEVELS * code + prefix[:, j]
    return _table(i)[code]


def scaled(prefix: Tensor, i: int) -> Tensor:
    """An honest player that adds 5 to all its scores, so that they look more certain."""
    return honest(prefix, i) + 5


def peeker(prefix: Tensor, i: int) -> Tensor:
    """Takes what it sees at position i for the answer."""
    return honest(prefix, i) + 6 * torch.nn.functional.one_hot(prefix[:, i], LEVELS)


def future(prefix: Tensor, i: int) -> Tensor:
    """Takes the level of the next position, as it is shown, for the answer."""
    after = prefix[:, min(i + 1, PIXELS - 1)]
    return honest(prefix, i) + 3 * torch.nn.functional.one_hot(after, LEVELS)


def overwriter(prefix: Tensor, i: int) -> Tensor:
    """An honest player that spoils its input once it has looked at it."""
    scores = honest(prefix, i)
    prefix.fill_(1)
    return scores


def certain(prefix: Tensor, i: int) -> Tensor:
    """Gives level 2 a score of -1e30: a probability of 0, which is allowed."""
    scores = honest(prefix, i).clone()
    scores[:, 2] = -1e30
    return scores


def broken(prefix: Tensor, i: int) -> Tensor:
    """NaN from the third position on."""
    return honest(prefix, i) * (float("nan") if i >= 2 else 1)


def infinite(prefix: Tensor, i: int) -> Tensor:
    """Infinitely sure of level 0 at the last position."""
    scores = honest(prefix, i).clone()
    scores[:, 0] += float("inf") if i == PIXELS - 1 else 0
    return scores


def short(prefix: Tensor, i: int) -> Tensor:
    """One score too few."""
    return honest(prefix, i)[:, :-1]
