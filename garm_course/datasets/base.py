"""What every data set of the course is: examples and classes held in memory, with where they come from."""

import hashlib
import re
from functools import cached_property
from inspect import cleandoc
from typing import NamedTuple

import torch
from torch import Tensor

SPLITS = ("train", "validation", "test")
MOST = 1_000_000  # examples that are drawn at a time: more would not fit into memory
CARD = ("What", "Source", "Licence", "Size", "Cite", "Flaws")  # the parts of a card, in their order


class Entropy(NamedTuple):
    """The entropy of a known distribution in nats per example, and the standard error of that figure (0: exact)."""

    nats: float
    stderr: float


class Dataset(torch.utils.data.Dataset):
    """Pairs (example, class) in memory.

    Attributes:
        name: of the data set.
        split: train, validation or test.
        x: LongTensor (N, *shape) of values 0..levels-1, or float tensor (N, *shape) where `levels` is None.
        y: LongTensor (N,), values 0..n_classes-1 (all 0 where n_classes is 0).
        shape: of one example: (C, H, W) of an image, (T,) of text or sound, (C, T, H, W) of a clip, (2,) of a point.
        levels: how many values a pixel, sample or character can take; None for real numbers.
        n_classes: 0 where there are no classes.
        source: where the examples come from.
        licence: under which terms.
        called: what its examples are called, in the plural.
        unit: what one of them is called where a figure names it ("window", "note", "clip"); "" for images and points.
        position: what one of its numbers is called there ("character", "sample", "pixel").
        block: how many examples in a row are not independent of each other.
        overlap: whether its examples share numbers, so that no likelihood may be averaged over them.
    """

    called = "images"
    unit = position = ""
    block = 1
    overlap = False

    def __init__(
        self, name: str, split: str, x: Tensor, y: Tensor, *, levels: int | None, n_classes: int, source: str,
        licence: str,
    ):  # fmt: skip
        self.name, self.split = name, split
        self.x, self.y = x, y
        self.shape = tuple(x.shape[1:])
        self.levels, self.n_classes = levels, n_classes
        self.source, self.licence = source, licence

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]

    @property
    def plain(self) -> "Dataset":
        """The same examples without augmentation or fresh draws: what evaluation looks at."""
        return self

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the examples and their classes: equal where two machines have the same data, bit for bit."""
        digest = hashlib.sha256()
        for tensor in (self.x, self.y):
            tensor = tensor.to(torch.int32) if not tensor.is_floating_point() else tensor
            array = tensor.contiguous().numpy()
            digest.update(str((array.dtype.str.lstrip("<>=|"), array.shape)).encode())
            digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        values = f"{self.levels} levels" if self.levels else "real numbers"
        classes = f"{self.n_classes} classes" if self.n_classes else "no classes"
        head = f"{self.name} ({self.split}): {len(self):,} {self.called} {size}, {values}, {classes}"
        return f"{head}\nsource: {self.source}\nlicence: {self.licence}"


def card(cls: type[Dataset]) -> dict[str, str]:
    """The card of a data set, from the section "Card:" of its class's docstring.

    Returns:
        One text for each part of CARD: what it is, its source, licence and size, how to cite it, its known flaws.

    Raises:
        ValueError: the docstring has no card, or one with other parts.
    """
    section = re.search(r"^Card:\n((?:    .*\n|\n)+)", cleandoc(cls.__doc__ or "") + "\n", re.MULTILINE)
    text = cleandoc(section[1]) if section else ""
    parts = {
        name: " ".join(words.split())
        for name, words in re.findall(r"^(\w+): (.*\n?(?:    .*\n?)*)", text, re.MULTILINE)
    }
    if tuple(parts) != CARD:
        raise ValueError(
            f"expected a card with {', '.join(CARD)} in the docstring of {cls.__name__}, got {list(parts)}"
        )
    return parts


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
