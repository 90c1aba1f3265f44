"""A predictor that knows the string's equation, period and damping, but remembers one period, in 256 levels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def physicist(x: Tensor, period: int, damping: float = 0.98) -> Tensor:
    """Nats of every sample of notes whose period and damping are known, from samples one period earlier.

    In the pluck each sign costs ln 2, and the first sample says the loudness as well. Later, sample t is damping / 2
    times the sum of samples t - p and t - p - 1. Of these only the levels are known: each is taken as uniform over the
    amplitudes that its level stands for, so the sum has a density in the form of a trapezoid, and the probability of a
    level is the part of it that lies in the level.

    Args:
        x: LongTensor (B, T) of mu-law levels 0..255.
        period: p in samples, less than T.
        damping: of the string per period.

    Returns:
        float64 tensor (B, T) of nats; its sum over T is a note's negative log-likelihood given p.
    """
    low, high = borders(x.device)
    then = F.pad(x, (1, 0), value=128)[:, : -period - 1], x[:, :-period]  # samples t - p - 1 and t - p
    parts = [(damping / 2 * low[q], damping / 2 * high[q]) for q in then]
    now = x[:, period:]
    chance = _below(high[now], *parts) - _below(low[now], *parts)
    pluck = chance.new_full((len(x), period), math.log(2))
    pluck[:, 0] += math.log(2)
    return torch.cat([pluck, -chance.clamp(min=1e-12).log()], 1)


def borders(device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """The lowest and the highest amplitude that each of the 256 mu-law levels stands for, float64."""
    y = ((torch.arange(257, dtype=torch.float64, device=device) - 0.5) / 127.5 - 1).clamp(-1, 1)
    edges = y.sign() * torch.expm1(y.abs() * math.log(256)) / 255
    return edges[:-1], edges[1:]


def _below(s: Tensor, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """P(u + v <= s) for independent u and v, uniform over intervals (low, high)."""
    (a, b), (c, d) = first, second
    s = s.clamp(a + c, b + d)
    corners = [(s - corner).clamp(min=0).square() for corner in (a + c, b + c, a + d, b + d)]
    return (corners[0] - corners[1] - corners[2] + corners[3]) / (2 * (b - a) * (d - c))
