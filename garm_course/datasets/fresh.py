"""Training data that change each time they are asked for, beside a fixed copy that evaluation looks at."""

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from garm_course.datasets.base import Dataset


class Fresh(Dataset):
    """Examples that are drawn anew at each access while training; validation and test, and `x`, never change.

    A subclass says in `draw` how. The draws follow from the seed and the order of the accesses; each worker of a
    DataLoader has draws of its own.

    Args:
        fixed: the data set as evaluation, baselines and pictures see it; it gives the name, split, levels and so on.
        seed: of the draws.
    """

    def __init__(self, fixed: Dataset, seed: int):
        super().__init__(
            fixed.name,
            fixed.split,
            fixed.x,
            fixed.y,
            levels=fixed.levels,
            n_classes=fixed.n_classes,
            source=fixed.source,
            licence=fixed.licence,
        )
        self.called = fixed.called
        self._fixed, self._seed, self._rngs = fixed, seed, {}

    def draw(self, index, rng: torch.Generator) -> Tensor:
        """Fresh examples at an index, which may be a number, a slice or a tensor, as LongTensor."""
        raise NotImplementedError

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_rngs": {}}  # for workers that are spawned; they draw from generators of their own

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        """Several examples at once, for DataLoader: drawing them together is many times faster."""
        x, y = self[torch.tensor(indices)]
        return list(zip(x, y, strict=True))

    def __getitem__(self, index) -> tuple[Tensor, Tensor]:
        if self.split != "train":
            return self.x[index], self.y[index]
        return self.draw(index, self._rng()), self.y[index]

    @property
    def plain(self) -> Dataset:
        return self._fixed

    def draws_state(self) -> Tensor:
        """State of the draws in this process, for a run that is resumed later."""
        return self._rng().get_state()

    def set_draws_state(self, state: Tensor) -> None:
        """Go on with the draws from `draws_state()`."""
        self._rng().set_state(state)

    def _rng(self) -> torch.Generator:
        worker = get_worker_info()
        seed = self._seed if worker is None else worker.seed + self._seed  # another one for each worker and epoch
        if seed not in self._rngs:
            self._rngs[seed] = torch.Generator().manual_seed(seed)
        return self._rngs[seed]
