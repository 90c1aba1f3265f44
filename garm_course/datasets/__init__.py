"""Data behind one function: `load(name, split, **options)`.

What is included needs no network: distributions that are known (`bars_and_stripes`, `ring`, `grid`, `glyphs`,
`colored_glyphs`, `plucked`), so that a model's distance to the truth can be measured, and real data out of installed
packages (`digits`, `patches`, `pydoc`, `moving_digits`). The benchmarks (`mnist` and its variants, `binarized_mnist`,
`fashion_mnist`, `cifar10`, `tinyshakespeare`) are downloaded once, or read from the folder that the environment
variable GARM_DATA names. Each lives in a module of its own, read when first asked for: importing this package reads no
data.
"""

import inspect
from difflib import get_close_matches
from importlib import import_module

from garm_course.datasets.base import SPLITS, Dataset, Entropy, card
from garm_course.datasets.downloads import DownloadError, Source

__all__ = [
    "SPLITS",
    "Dataset",
    "DownloadError",
    "Entropy",
    "augment",
    "card",
    "dataset_class",
    "load",
    "names",
    "source_of",
]

# name -> module and class
_CLASSES = {
    "bars_and_stripes": ("bars_and_stripes", "BarsAndStripes"),
    "binarized_mnist": ("binarized_mnist", "BinarizedMNIST"),
    "cifar10": ("cifar10", "CIFAR10"),
    "colored_glyphs": ("captions", "CaptionedGlyphs"),
    "digits": ("digits", "Digits"),
    "fashion_mnist": ("fashion_mnist", "FashionMNIST"),
    "glyphs": ("glyphs", "Glyphs"),
    "grid": ("grid", "Grid"),
    "mnist": ("mnist", "MNIST"),
    "mnist_dynamic": ("mnist", "MNISTDynamic"),
    "mnist_thresholded": ("mnist", "MNISTThresholded"),
    "moving_digits": ("moving_digits", "MovingDigits"),
    "patches": ("patches", "Patches"),
    "plucked": ("plucked", "Plucked"),
    "pydoc": ("pydoc", "Pydoc"),
    "ring": ("ring", "Ring"),
    "tinyshakespeare": ("tinyshakespeare", "TinyShakespeare"),
}


def names() -> list[str]:
    """The names that `load` knows, in alphabetical order.

    Example:
        >>> names()[:4]
        ['bars_and_stripes', 'binarized_mnist', 'cifar10', 'colored_glyphs']
    """
    return sorted(_CLASSES)


def dataset_class(name: str) -> type[Dataset]:
    """The class behind a name; its docstring has the card and the options.

    Raises:
        ValueError: for an unknown name; the message has the nearest known one.
    """
    if name not in _CLASSES:
        near = get_close_matches(str(name).lower().replace("-", "_"), _CLASSES, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown data set {name!r}; {guess}choose one of: {', '.join(names())}")
    module, cls = _CLASSES[name]
    return getattr(import_module(f"{__name__}.{module}"), cls)


def source_of(name: str) -> Source | None:
    """The files of a data set that is downloaded, or None for one that is included."""
    dataset_class(name)  # refuses an unknown name
    return getattr(import_module(f"{__name__}.{_CLASSES[name][0]}"), "FILES", None)


def load(name: str, split: str = "train", *, offline: str | None = None, **options) -> Dataset:
    """Load a data set by name.

    Args:
        name: one of `names()`.
        split: "train", "validation" or "test"; `bars_and_stripes` is a whole distribution and always gives all of it.
        offline: the name of another data set, to be loaded instead where this one is not here and cannot be downloaded
            (or the cache not be written). A line is printed then. Of the options, it gets those that it knows.
        options: of this data set; its class lists them (`help(dataset_class("glyphs"))`, or `garm data show glyphs`).

    Returns:
        Dataset of pairs (x, y): x LongTensor (C, H, W) of levels 0..levels-1 for images, y a LongTensor () with the
        class; other kinds of data have other shapes, see `Dataset`.

    Raises:
        ValueError: unknown name, split or option, an option out of range, or a file of yours that does not fit.
        DownloadError: a file is not here and could not be downloaded.

    Example:
        >>> load("bars_and_stripes")
        bars_and_stripes (all): 30 images 1x4x4, 2 levels, no classes
        source: computed: every 4x4 image whose rows, or whose columns, are constant
        licence: none needed
        >>> x, y = load("digits", "validation")[0]
        >>> x.shape, y
        (torch.Size([1, 8, 8]), tensor(4))
    """
    cls = dataset_class(name)
    known = _options(cls)
    for option in options:
        if option not in known:
            takes = f"its options are: {', '.join(known)}" if known else "it takes no options"
            raise ValueError(f"data set {name!r} has no option {option!r}; {takes}")
    if offline is None:
        return cls(split, **options)
    instead = dataset_class(offline)
    try:
        return cls(split, **options)
    except DownloadError:
        kept = {option: value for option, value in options.items() if option in _options(instead)}
        left = "".join(f", without {option}" for option in options if option not in kept)
        data = instead(split, **kept)
        print(
            f"{name} is not here and could not be downloaded; this is {offline} instead{left} (why: leave offline= out)"
        )
        return data


def augment(data: Dataset, *, shift: int = 0, elastic: float = 0.0, seed: int = 0) -> Dataset:
    """Training images, shifted or bent anew each time: see `garm_course.datasets.augmentation.augment`."""
    from garm_course.datasets.augmentation import augment

    return augment(data, shift=shift, elastic=elastic, seed=seed)


def _options(cls: type[Dataset]) -> list[str]:
    return [parameter for parameter in inspect.signature(cls).parameters if parameter != "split"]
