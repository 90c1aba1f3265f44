"""Data that needs no network, behind one function: `load(name, split, **options)`.

`bars_and_stripes` and `glyphs` have a known distribution, so a model's distance to the truth can be measured; `digits`
is real handwriting. Each lives in a module of its own, read when first asked for: importing this package reads no data.
"""

import inspect
from importlib import import_module

from garm_course.datasets.base import SPLITS, Dataset, Entropy

__all__ = ["SPLITS", "Dataset", "Entropy", "load", "names"]

# name -> class, in the module of the same name
_CLASSES = {"bars_and_stripes": "BarsAndStripes", "digits": "Digits", "glyphs": "Glyphs"}


def names() -> list[str]:
    """The names that `load` knows, in alphabetical order.

    Example:
        >>> names()
        ['bars_and_stripes', 'digits', 'glyphs']
    """
    return sorted(_CLASSES)


def load(name: str, split: str = "train", **options) -> Dataset:
    """Load a data set by name.

    Args:
        name: one of `names()`.
        split: "train", "validation" or "test"; `bars_and_stripes` is a whole distribution and always gives all of it.
        options: of this data set; its class lists them (`garm_course.datasets.glyphs.Glyphs`, for example).

    Returns:
        Dataset of pairs (x, y): x LongTensor (C, H, W) of levels 0..levels-1, y a LongTensor () with the class.

    Raises:
        ValueError: unknown name, split or option, or an option out of range.

    Example:
        >>> load("bars_and_stripes")
        bars_and_stripes (all): 30 images 1x4x4, 2 levels, no classes
        source: computed: every 4x4 image whose rows, or whose columns, are constant
        licence: none needed
        >>> x, y = load("digits", "validation")[0]
        >>> x.shape, y
        (torch.Size([1, 8, 8]), tensor(4))
    """
    if name not in _CLASSES:
        raise ValueError(f"unknown data set {name!r}; choose one of: {', '.join(names())}")
    cls = getattr(import_module(f"{__name__}.{name}"), _CLASSES[name])
    known = [p for p in inspect.signature(cls).parameters if p != "split"]
    for option in options:
        if option not in known:
            takes = f"its options are: {', '.join(known)}" if known else "it takes no options"
            raise ValueError(f"data set {name!r} has no option {option!r}; {takes}")
    return cls(split, **options)
