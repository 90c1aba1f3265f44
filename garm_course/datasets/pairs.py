"""What is handed in as data, as the pairs (x, y) that training and evaluation read: one place for all of them.

A data set has a length and gives an example for a number: one of this course, one of `torch.utils.data`, a class of
one's own, a list. Its examples are pairs (x, y), or x alone; images may be tensors or NumPy arrays. So may be all of
the data.
"""

from collections.abc import Iterator, Mapping
from numbers import Number

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset, default_collate

from garm_course.datasets.base import Dataset


def as_pairs(data: object) -> torch.utils.data.Dataset:
    """A data set as it is, a tensor or array of examples (N, ...) as one; no example is read.

    Args:
        data: a data set with a length and examples (x, y) or x, or a tensor or NumPy array of examples.

    Raises:
        TypeError: for anything else; the message says how to wrap it.

    Example:
        >>> x, y = as_pairs(torch.zeros(5, 1, 8, 8))[3]
        >>> x.shape, y
        (torch.Size([1, 8, 8]), tensor(0))
    """
    expected = "expected a data set with a length and examples (x, y) or x"
    if isinstance(data, Tensor | np.ndarray) and data.ndim:
        x = _tensor(data)
        return TensorDataset(x, torch.zeros(len(x), dtype=torch.long))
    if isinstance(data, DataLoader):
        raise TypeError(f"{expected}, got a DataLoader; pass its data set (loader.dataset): batches are drawn here")
    if isinstance(data, tuple):
        raise TypeError(f"{expected}, got a tuple of {len(data)}; wrap tensors of one length in TensorDataset(x, y)")
    if isinstance(data, IterableDataset | Iterator):
        raise TypeError(f"{expected}, got a {type(data).__name__}, which has no order to shuffle; pass list(data)")
    kind = type(data)
    numbered = hasattr(kind, "__len__") and hasattr(kind, "__getitem__")
    if not numbered or isinstance(data, Mapping | str | bytes | Tensor | np.ndarray):
        raise TypeError(
            f"{expected}, got a {kind.__name__}; wrap tensors in TensorDataset(x, y), or pass a list of pairs"
        )
    return data


def take(data: torch.utils.data.Dataset, indices: list[int]) -> tuple[Tensor, Tensor]:
    """The examples at these numbers as a batch (x, y), asked for one by one, or together where the data set can.

    Args:
        data: what `as_pairs` returned.
        indices: numbers of examples.

    Raises:
        TypeError, ValueError: see `collate`.
    """
    fetch = getattr(data, "__getitems__", None)
    return collate(fetch(indices) if fetch else [data[i] for i in indices])


def columns(data: torch.utils.data.Dataset) -> tuple[Tensor, Tensor] | None:
    """All examples and their classes as two tensors, from which a batch is many times faster than from `take`.

    Args:
        data: what `as_pairs` returned.

    Returns:
        (x (N, ...), y (N,)), without copies where that can be; None for data that make an example when they are asked
        for it.
    """
    if isinstance(data, Subset):
        found, indices = columns(data.dataset), torch.as_tensor(data.indices, dtype=torch.long)
        return None if found is None else tuple(t[indices] for t in found)
    if type(data).__getitem__ is Dataset.__getitem__:
        return data.x, data.y
    if type(data) is TensorDataset and len(data.tensors) == 2:
        return data.tensors
    return None


def narrow(x: Tensor) -> Tensor:
    """Levels that fit into a byte as bytes, anything else as it is; `wide` undoes it."""
    bytes_do = x.dtype == torch.long and x.numel() and x.min() >= 0 and x.max() <= 255
    return x.to(torch.uint8) if bytes_do else x


def wide(x: Tensor) -> Tensor:
    """Whole numbers of any width, as data are stored, as LongTensor."""
    return x if x.is_floating_point() or x.dtype == torch.long else x.long()


def collate(examples: list) -> tuple[Tensor, Tensor]:
    """Examples (x, y) or x as a batch: levels and classes as LongTensor; where there are no classes they are 0.

    Raises:
        TypeError: for examples of which no tensor can be made.
        ValueError: for examples of different sizes, or with more than x and y.
    """
    try:
        try:
            x, y = _batch(default_collate(examples))
        except TypeError:  # joined data sets: some have tensors as classes, others numbers
            x, y = _batch(default_collate([tuple(map(_number, _parts(example))) for example in examples]))
    except TypeError as error:
        kinds = ", ".join(type(part).__name__ for part in _parts(examples[0]))
        raise TypeError(
            f"expected examples (x, y) or x of tensors, arrays and numbers, got {kinds}; let the data return tensors"
        ) from error
    except RuntimeError as error:
        raise ValueError(
            f"expected examples of one size, got {', '.join(map(str, _sizes(examples)))}; resize or pad them"
        ) from error
    return (_narrow(x) if isinstance(_parts(examples[0])[0], np.ndarray) else x), y


def plain(data: torch.utils.data.Dataset) -> torch.utils.data.Dataset:
    """The data without augmentation or fresh draws, also where only a part of them was taken, or several were joined.

    Args:
        data: what `as_pairs` returned.
    """
    if isinstance(data, Subset):
        return Subset(plain(data.dataset), data.indices)
    if isinstance(data, ConcatDataset):
        return ConcatDataset([plain(part) for part in data.datasets])
    return getattr(data, "plain", data)


def _batch(batch: object) -> tuple[Tensor, Tensor]:
    """A collated batch as (x, y)."""
    parts = _parts(batch)
    if not all(isinstance(part, Tensor) for part in parts):
        raise TypeError
    if len(parts) > 2:
        raise ValueError(f"expected examples (x, y) or x, got {len(parts)} parts; leave out what is no image or class")
    x = wide(parts[0])
    return x, wide(parts[1]) if len(parts) == 2 else torch.zeros(len(x), dtype=torch.long)


def _number(part: object) -> object:
    return torch.as_tensor(part) if isinstance(part, Number | np.ndarray) else part


def _tensor(x: Tensor | np.ndarray) -> Tensor:
    return x if isinstance(x, Tensor) else _narrow(torch.from_numpy(np.ascontiguousarray(x)))


def _narrow(x: Tensor) -> Tensor:
    """NumPy's own float64, which nobody chose, as what networks compute in."""
    return x.to(torch.get_default_dtype()) if x.dtype == torch.float64 else x


def _sizes(examples: list) -> list[tuple[int, ...]]:
    """The different sizes of x, in the order in which they come."""
    return list(dict.fromkeys(tuple(getattr(_parts(example)[0], "shape", ())) for example in examples))


def _parts(example: object) -> tuple | list:
    """(x, y) as it is, x alone as (x,)."""
    return example if isinstance(example, tuple | list) else (example,)
