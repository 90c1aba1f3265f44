"""A watermark in samples: a secret key favors a part of the values at each step, and counting finds it again.

For each position and each value before it the key chooses a green list. Whoever draws adds delta to the logits of green
values; whoever has the key counts the green values of any sequence, without the model. In sequences that have nothing
to do with the key each value is green with the same probability, independently over positions, so the count is
binomial, exactly: no approximation stands behind the p-value.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from garm_course.inputs import check_settings


class GreenList:
    """Green lists of a key: of `levels` values always the same number, floor(gamma * levels), chosen by a hash.

    Args:
        seed: the key, an integer; keep it secret, or the watermark can be removed.
        gamma: share of values that are green, in (0, 1); `share` is what the whole number of values makes of it.
        levels: number of values, at least 2.

    Raises:
        ValueError: for gamma outside (0, 1), or so small that no value is green.

    Source:
        Kirchenbauer et al. (2023), "A Watermark for Large Language Models", arXiv 2301.10226, algorithm 2; here the
        position enters the hash too, which makes the counts independent, and a shifted copy unreadable.

    Example:
        >>> green = GreenList(seed=7, gamma=0.5, levels=4)
        >>> green.mask(3, torch.tensor([0, 1])).sum(1)
        tensor([2, 2])
    """

    def __init__(self, seed: int, gamma: float, levels: int):
        check_settings(2, whole=True, levels=levels)
        _check_gamma(gamma)
        if not isinstance(seed, int):
            raise ValueError(f"seed={seed!r} is out of range: expected an integer as the key")
        self.seed, self.gamma, self.levels = seed, gamma, levels
        self.size = int(gamma * levels + 1e-9)
        if self.size < 1:
            raise ValueError(f"gamma={gamma} makes none of {levels} values green; choose at least {1 / levels:.3g}")
        self._masks: dict[int, Tensor] = {}  # position -> (levels + 1, levels); the last row is for no value before

    @property
    def share(self) -> float:
        """The probability that a value of a sequence without the watermark is green: what `p_value` needs."""
        return self.size / self.levels

    def mask(self, position: int, previous: Tensor | None) -> Tensor:
        """Which values are green.

        Args:
            position: in the order in which values are drawn, from 0.
            previous: LongTensor (B,), the value before; None at the first position.

        Returns:
            BoolTensor (B, levels); (1, levels) without a value before.
        """
        table = self._table(position)
        if previous is None:
            return table[-1:]
        return table.to(previous.device)[previous]

    def favor(self, delta: float) -> Callable[[Tensor, int, Tensor | None], Tensor]:
        """What draws the watermark, for `model.sample(n, transform=green.favor(delta))`.

        Args:
            delta: what is added to the logits of green values, above 0, in nats.

        Returns:
            (logits (B, levels), position, previous) -> logits.
        """
        check_settings(0, above=True, delta=delta)

        def favored(logits: Tensor, position: int, previous: Tensor | None) -> Tensor:
            return logits + delta * self.mask(position, previous).to(logits)

        return favored

    def count(self, tokens: Tensor) -> Tensor:
        """How many values of each sequence are green.

        Args:
            tokens: LongTensor (B, T) in the order in which they were drawn: `model.to_sequence(x)`.

        Returns:
            LongTensor (B,), from 0 to T.

        Raises:
            TypeError, ValueError: for what are no sequences of values 0..levels-1.
        """
        return self.hits(tokens).sum(1)

    def hits(self, tokens: Tensor) -> Tensor:
        """Which values of each sequence are green: BoolTensor (B, T), see `count`."""
        if not isinstance(tokens, Tensor) or tokens.dtype != torch.long:
            raise TypeError("expected tokens as a LongTensor (B, T) of values; use model.to_sequence(x)")
        if tokens.ndim != 2 or not tokens.numel():
            raise ValueError(
                f"expected tokens (B, T), none of them 0, got {tuple(tokens.shape)}; use model.to_sequence(x)"
            )
        if tokens.min() < 0 or tokens.max() >= self.levels:
            raise ValueError(
                f"expected values 0..{self.levels - 1}, got {int(tokens.min())}..{int(tokens.max())}; "
                "the key belongs to another model"
            )
        found = []
        for i, value in enumerate(tokens.T):
            mask = self.mask(i, tokens[:, i - 1] if i else None).expand(len(tokens), -1)
            found.append(mask.to(tokens.device).gather(1, value[:, None])[:, 0])
        return torch.stack(found, 1)

    def count_together(self, tokens: Tensor) -> tuple[int, int]:
        """How many values of several sequences of one source are green, and of how many, each choice counted once.

        Sequences of one source repeat each other, in an empty border, say: the same value after the same value at the
        same position is green again, and no further evidence. Added up, counts would find the watermark where none is.

        Args:
            tokens: see `count`.

        Returns:
            The count and the total for `p_value`. Different values in one place compete for the green ones, which makes
            the count of a random key spread a little less than a binomial one, never more (Hoeffding 1963).

        Raises:
            TypeError, ValueError: see `count`.
        """
        hits = self.hits(tokens)
        previous = torch.cat([torch.full_like(tokens[:, :1], self.levels), tokens[:, :-1]], 1)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        choices, which = ((places * (self.levels + 1) + previous) * self.levels + tokens).unique(return_inverse=True)
        green = torch.zeros_like(choices, dtype=torch.bool).scatter(0, which.flatten(), hits.flatten())
        return int(green.sum()), len(choices)

    def _table(self, position: int) -> Tensor:
        if position not in self._masks:
            rows, text = self.levels + 1, f"{self.seed},{position}".encode()
            draws = np.frombuffer(hashlib.shake_256(text).digest(8 * rows * self.levels), dtype="<u8")
            ranks = draws.reshape(rows, self.levels).argsort(1, kind="stable").argsort(1)
            self._masks[position] = torch.from_numpy(ranks < self.size)
        return self._masks[position]


def p_value(count: Tensor | int, T: int, gamma: float) -> Tensor:
    """P(K >= count) for a binomial K of T draws with probability gamma: how surprising a count is without a watermark.

    It holds for one sequence and a random key. For several sequences of one source see `GreenList.count_together`.

    Args:
        count: (...) green values, 0..T.
        T: values of a sequence, at least 1.
        gamma: the probability of green, in (0, 1): `GreenList.share`.

    Returns:
        (...) float64 in [0, 1].

    Raises:
        ValueError: for numbers out of range.

    Example:
        >>> p_value(torch.tensor([0, 2]), T=2, gamma=0.5)
        tensor([1.0000, 0.2500], dtype=torch.float64)
    """
    check_settings(1, whole=True, T=T)
    _check_gamma(gamma)
    count = torch.as_tensor(count)
    if count.is_floating_point() or (count < 0).any() or (count > T).any():
        raise ValueError(f"expected counts as whole numbers 0..{T}, got {count.flatten().tolist()[:8]}")
    k = torch.arange(T + 1, dtype=torch.float64)
    total = torch.tensor(float(T), dtype=torch.float64)
    choose = torch.lgamma(total + 1) - torch.lgamma(k + 1) - torch.lgamma(total - k + 1)
    log_masses = choose + k * np.log(gamma) + (total - k) * np.log1p(-gamma)
    tails = log_masses.flip(0).logcumsumexp(0).flip(0).exp().clamp(max=1)  # small tails keep their relative precision
    tails[0] = 1.0
    return tails.to(count.device)[count.long()]


def _check_gamma(gamma: float) -> None:
    if not 0 < gamma < 1:
        raise ValueError(f"gamma={gamma} is out of range: expected a share in (0, 1), such as 0.5")
