"""Models of sequences of any length: text, sound, codes."""

import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.base import Autoregressive
from garm_course.inputs import check_levels


class SequenceModel(Autoregressive):
    """A model of examples (T,) whose length is chosen when they are drawn; it reads examples of any length.

    A subclass also accepts `start(n, y, *, length=None)`, the number of positions that will be drawn (None: `length`).

    Args:
        shape: (T,), the length that it is trained on.
        levels: number of values, such as the characters of an alphabet.
        n_classes: 0, or the number of classes of a class-conditional model.

    Attributes:
        reach: how many earlier values a prediction can see, which is all that a state has to hold; None for all.
    """

    elastic = True
    reach: int | None = None

    def __init__(self, shape: tuple[int], levels: int, n_classes: int = 0):
        if len(shape) != 1:
            raise ValueError(f"expected a shape (T,), the length of a sequence, got {tuple(shape)}")
        super().__init__(shape, levels, n_classes)

    @property
    def length(self) -> int:
        """The length T that it is trained on."""
        return self.shape[0]

    def shape_of(self, length: int | None = None) -> tuple[int]:
        """(length,), which must be at least 1 (ValueError)."""
        if length is None:
            return self.shape
        if not isinstance(length, int) or length < 1:
            raise ValueError(f"expected length >= 1 (an integer), got {length}")
        return (length,)

    def from_sequence(self, sequence: Tensor) -> Tensor:
        """(B, T, ...) for any T, as it is."""
        return sequence

    def shifted(self, x: Tensor) -> Tensor:
        """The inputs of teacher forcing, LongTensor (B, T): the value before each, `levels` before the first.

        What stands before the first value is a token of its own: padding with a level would look like one.
        """
        return F.pad(x[:, :-1], (1, 0), value=self.levels)

    def check_examples(self, x: Tensor) -> None:
        """Refuse what is not a LongTensor (B, T) of levels with T >= 1."""
        if isinstance(x, Tensor) and (x.ndim != 2 or not x.shape[1]):
            raise ValueError(
                f"expected a LongTensor (B, T) of levels 0..{self.levels - 1} with T >= 1, got shape {tuple(x.shape)}; "
                "a single sequence needs the axis of a batch: x[None]"
            )
        check_levels(x, x.shape[1:] if isinstance(x, Tensor) else self.shape, self.levels)
