"""The order in which training examples are seen: shuffled each epoch, shared among processes, and resumable.

Examples that are tensors move to the device of the training once, levels as bytes. What is larger, or made anew each
time it is asked for, is sent batch by batch.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset

from garm_course.datasets.pairs import as_pairs, columns, narrow, take, wide
from garm_course.training.processes import Processes

FITS = 2**31  # bytes of examples that move to another device as a whole


class Batches:
    """Batches (x, y) without end. Each epoch has its own order; the last incomplete batch of an epoch is left out.

    A batch is the same whatever the number of processes: each takes its equal part of it. The order is that of
    `DataLoader(data, batch_size, shuffle=True, drop_last=True, generator=order)`.

    Args:
        data: examples (x, y), see `datasets.pairs.as_pairs`.
        batch_size: examples of a batch over all processes; at most all of `data`.
        order: source of the order.
        team: the processes that share each batch, and the device of this one; None for one process, on the CPU.

    Raises:
        ValueError: for an empty data set, or if a batch cannot be divided equally.
        TypeError: for what is no data set; the message says how to wrap it.

    Attributes:
        size: examples of a batch over all processes.
        taken: batches taken from this epoch.
    """

    def __init__(self, data: Dataset, batch_size: int, order: torch.Generator, *, team: Processes | None = None):
        rank, processes, self.device = (team.rank, team.count, team.device) if team else (0, 1, torch.device("cpu"))
        data = as_pairs(data)
        if len(data) == 0:
            raise ValueError("expected training data, got an empty data set")
        self.data, self.size, self.rank, self.processes = data, min(batch_size, len(data)), rank, processes
        if self.size % processes:
            raise ValueError(
                f"expected a batch size divisible by {processes} processes, got {self.size}; "
                f"{self.size // processes * processes or processes} would do"
            )
        self._generator, self._held = order, self._hold()
        self._begin()

    def _hold(self) -> tuple[Tensor, Tensor] | None:
        """All examples and their classes on the device, or None if they are to be sent batch by batch."""
        found = columns(self.data)
        if found is None or self.device.type == "cpu":
            return found
        found = tuple(map(narrow, found))
        return tuple(t.to(self.device) for t in found) if sum(t.nbytes for t in found) <= FITS else None

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
        indices = self._order[start : start + share]
        self.taken += 1
        return self._fetch(indices)

    def _fetch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The examples at these numbers, on the device."""
        if self._held is not None:
            indices = self._sent(indices)
            return tuple(wide(t[indices]) for t in self._held)
        return tuple(map(self._sent, take(self.data, indices.tolist())))

    def _sent(self, t: Tensor) -> Tensor:
        """A tensor on the device; nothing waits for the copy where the memory allows that."""
        if self.device.type == "cuda" and t.device.type == "cpu":
            t = t.pin_memory()
        return t.to(self.device, non_blocking=True)

    def state(self) -> dict[str, Tensor]:
        """Where it stands, as tensors; for data that are drawn afresh, the state of their draws as well."""
        draws = {name: fresh.draws_state() for name, fresh in _fresh(self.data).items()}
        return {"order": self._before, "taken": torch.tensor(self.taken), **draws}

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
        for name, fresh in _fresh(self.data).items():
            fresh.set_draws_state(state[name])


def _fresh(data: Dataset, name: str = "draws") -> dict[str, Dataset]:
    """The data sets that draw their examples afresh, by the names of their states: "draws", joined ones "draws.0"."""
    while isinstance(data, Subset):
        data = data.dataset
    if isinstance(data, ConcatDataset):
        parts = (_fresh(part, f"{name}.{k}") for k, part in enumerate(data.datasets))
        return {key: fresh for part in parts for key, fresh in part.items()}
    return {name: data} if hasattr(data, "draws_state") else {}
