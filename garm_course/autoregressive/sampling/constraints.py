"""Drawing under a grammar: values that it forbids are left out, and what that costs is kept.

At each step the allowed values share what the model gives to all of them, m_t in sum. So the draws follow
q(x) = p(x) / prod_t m_t, which is not p(x | the grammar): q does not see that some beginnings leave little choice
later. But each draw comes with its m_t: their product, as a weight, repairs every mean, and its own mean is the
probability of the grammar; equation (7.11).

Sources: Willard, Louf (2023), "Efficient Guided Generation for Large Language Models", arXiv 2307.09702; Park et al.
(2024), "Grammar-Aligned Decoding", arXiv 2405.21047 (the difference between q and p).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Constrained:
    """What was drawn under a grammar.

    Attributes:
        x: LongTensor (n, *shape).
        log_mass: (n,) nats, at most 0: sum over the drawn positions of the logarithm of the probability that the model,
            without filters, gives to all allowed values. Its exponential is the weight of equation (7.11).
    """

    x: Tensor
    log_mass: Tensor


class Automaton:
    """A finite automaton as a grammar: from state 0, each value leads to another state or is forbidden.

    A value after which no accepting state could be reached at the end is forbidden too, since drawing would get stuck.

    Args:
        next: LongTensor (S, V), the state after value v in state s; -1 forbids the value.
        accept: BoolTensor (S,), where a sequence may end.

    Raises:
        TypeError, ValueError: for tensors of other types, shapes or numbers.

    Example:
        >>> never_twice = Automaton(torch.tensor([[0, 1], [0, -1]]), torch.tensor([True, True]))  # no 1 after a 1
        >>> never_twice.mask(torch.tensor([0, 1]), left=3)
        tensor([[ True,  True],
                [ True, False]])
    """

    def __init__(self, next: Tensor, accept: Tensor):
        for name, value, dtype in (("next", next, torch.long), ("accept", accept, torch.bool)):
            if not isinstance(value, Tensor) or value.dtype != dtype:
                got = value.dtype if isinstance(value, Tensor) else f"a {type(value).__name__}"
                raise TypeError(f"expected {name} as a tensor of {dtype}, got {got}; convert it")
        if next.ndim != 2 or not next.numel() or accept.shape != next.shape[:1]:
            raise ValueError(
                f"expected next (S, V) and accept (S,) for S states and V values, got {tuple(next.shape)} and "
                f"{tuple(accept.shape)}; give each state a row and an entry"
            )
        if next.min() < -1 or next.max() >= len(next):
            raise ValueError(
                f"expected states 0..{len(next) - 1}, or -1 to forbid, got {int(next.min())}..{int(next.max())}; "
                "number the states from 0"
            )
        self.next, self.accept = next, accept
        self._ends = [accept]  # entry k: from which states an accepting one can be reached in k steps

    @property
    def levels(self) -> int:
        """Number V of values."""
        return self.next.shape[1]

    def start(self, n: int) -> Tensor:
        """The states of n sequences before their first value, LongTensor (n,)."""
        return self.next.new_zeros(n)

    def mask(self, state: Tensor, left: int) -> Tensor:
        """Which values are allowed.

        Args:
            state: LongTensor (n,).
            left: how many values are still to be drawn, this one included, at least 1.

        Returns:
            BoolTensor (n, V).
        """
        while len(self._ends) < left:
            self._ends.append((self._ends[-1][self.next] & (self.next >= 0)).any(1))
        after = self.next[state]
        return self._ends[left - 1][after] & (after >= 0)

    def advance(self, state: Tensor, x: Tensor) -> Tensor:
        """The states (n,) after values x (n,), each of which must be allowed."""
        return self.next[state, x]
