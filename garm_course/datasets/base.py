"""What every data set of the course is: images and classes held in memory, with where they come from."""

from typing import NamedTuple

import torch
from torch import Tensor

SPLITS = ("train", "validation", "test")


class Entropy(NamedTuple):
    """The entropy of a known distribution in nats per image, and the standard error of that figure (0: exact)."""

    nats: float
    stderr: float


class Dataset(torch.utils.data.Dataset):
    """Pairs (image, class) in memory.

    Attributes:
        name, split: what it is called.
        x: LongTensor (N, C, H, W), values 0..levels-1.
        y: LongTensor (N,), values 0..n_classes-1 (all 0 where n_classes is 0).
        shape: (C, H, W).
        levels: how many values a pixel can take.
        n_classes: 0 where there are no classes.
        source, licence: where the images come from, and under which terms.
    """

    def __init__(
        self, name: str, split: str, x: Tensor, y: Tensor, *, levels: int, n_classes: int, source: str, licence: str
    ):
        self.name, self.split = name, split
        self.x, self.y = x, y
        self.shape = tuple(x.shape[1:])
        self.levels, self.n_classes = levels, n_classes
        self.source, self.licence = source, licence

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        classes = f"{self.n_classes} classes" if self.n_classes else "no classes"
        head = f"{self.name} ({self.split}): {len(self):,} images {size}, {self.levels} levels, {classes}"
        return f"{head}\nsource: {self.source}\nlicence: {self.licence}"


def check_split(split: str, allowed: tuple[str, ...] = SPLITS) -> None:
    """Refuse a split that does not exist."""
    if split not in allowed:
        raise ValueError(f"unknown split {split!r}; choose one of: {', '.join(allowed)}")


def check_integer(name: str, value: int, low: int, high: int | None = None) -> None:
    """Refuse an option that is not an integer in low..high."""
    in_range = (
        isinstance(value, int) and not isinstance(value, bool) and value >= low and (high is None or value <= high)
    )
    if not in_range:
        expected = f"an integer in {low}..{high}" if high is not None else f"an integer of at least {low}"
        raise ValueError(f"expected {expected} as {name}, got {value!r}")


def check_images(x: Tensor, shape: tuple[int, int, int], levels: int) -> None:
    """Refuse what is not a batch of images of this shape with these levels."""
    size = ", ".join(map(str, shape))
    if not isinstance(x, Tensor) or x.dtype != torch.long:
        got = f"dtype {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"expected a LongTensor (B, {size}) of levels 0..{levels - 1}, got {got}; convert with x.long()"
        )
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(shape):
        raise ValueError(
            f"expected images (B, {size}), got {tuple(x.shape)}; add the batch axis with x[None] if it lacks"
        )
    if len(x) == 0:
        raise ValueError("expected at least one image, got an empty batch")
    low, high = x.min().item(), x.max().item()
    if low < 0 or high >= levels:
        bad = high if high >= levels else low
        raise ValueError(f"expected levels 0..{levels - 1}, got {bad}; reduce the image to {levels} levels first")


def check_classes(y: Tensor, n: int, n_classes: int) -> None:
    """Refuse what is not one class 0..n_classes-1 for each of n images."""
    if n_classes == 0:
        raise ValueError("expected no classes, this distribution has none; leave y out")
    if not isinstance(y, Tensor) or y.dtype != torch.long or tuple(y.shape) != (n,):
        got = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"expected classes as LongTensor ({n},), one an image, got {got}")
    if y.min() < 0 or y.max() >= n_classes:
        raise ValueError(f"expected classes 0..{n_classes - 1}, got {y.min().item()}..{y.max().item()}")
