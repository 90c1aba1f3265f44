"""The order in which training examples are seen: shuffled each epoch, shared among processes, and resumable."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, default_collate


class Batches:
    """Batches (x, y) without end. Each epoch has its own order; the last incomplete batch of an epoch is left out.

    A batch is the same whatever the number of processes: each takes its equal part of it. The order is that of
    `DataLoader(data, batch_size, shuffle=True, drop_last=True, generator=order)`.

    Args:
        data: examples (x, y).
        batch_size: examples of a batch over all processes; at most all of `data`.
        order: source of the order.
        rank: which part of each batch is this process's.
        processes: which part of each batch is this process's.

    Raises:
        ValueError: if a batch cannot be divided equally.

    Attributes:
        size: examples of a batch over all processes.
        taken: batches taken from this epoch.
    """

    def __init__(
        self, data: Dataset, batch_size: int, order: torch.Generator, *, rank: int = 0, processes: int = 1
    ):  # fmt: skip
        if len(data) == 0:
            raise ValueError("expected training data, got an empty data set")
        self.data, self.size, self.rank, self.processes = data, min(batch_size, len(data)), rank, processes
        if self.size % processes:
            raise ValueError(
                f"expected a batch size divisible by {processes} processes, got {self.size}; "
                f"{self.size // processes * processes or processes} would do"
            )
        self._generator = order
        self._begin()

    def _begin(self) -> None:
        """Draw the order of an epoch."""
        self._before = self._generator.get_state()
        self._seed_of_workers()
        self._order = torch.randperm(len(self.data), generator=self._generator)
        torch.randperm(len(self.data), generator=self._generator)  # and its sampler this, of which it uses nothing
        self.taken = 0

    def _seed_of_workers(self) -> None:
        """A DataLoader draws a seed for its workers each epoch, from its generator if it has one."""
        torch.empty((), dtype=torch.int64).random_(generator=self._generator)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        if (self.taken + 1) * self.size > len(self.data):
            self._begin()
        share = self.size // self.processes
        start = self.taken * self.size + self.rank * share
        indices = self._order[start : start + share].tolist()
        self.taken += 1
        return self._fetch(indices)

    def _fetch(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        fetch = getattr(self.data, "__getitems__", None)
        return default_collate(fetch(indices) if fetch else [self.data[i] for i in indices])

    def state(self) -> dict[str, Tensor]:
        """Where it stands, as tensors; for data that are drawn afresh, the state of their draws as well."""
        state = {"order": self._before, "taken": torch.tensor(self.taken)}
        fresh = _fresh(self.data)
        return state if fresh is None else {**state, "draws": fresh.draws_state()}

    def resume(self, state: dict[str, Tensor]) -> None:
        """Go on from a state: the next batch is the one that came next.

        Raises:
            ValueError: it has taken a number of batches that an epoch does not have.
        """
        if not 0 <= int(state["taken"]) <= len(self.data) // self.size:
            raise ValueError(f"expected 0..{len(self.data) // self.size} batches taken, got {int(state['taken'])}")
        self._generator.set_state(state["order"])
        self._begin()
        self.taken = int(state["taken"])
        fresh = _fresh(self.data)
        if fresh is not None:
            fresh.set_draws_state(state["draws"])


def _fresh(data: Dataset):
    """The data set that draws its examples afresh, or None."""
    while isinstance(data, Subset):
        data = data.dataset
    return data if hasattr(data, "draws_state") else None
