"""What every model refuses at the door: examples, classes and orders that do not fit it.

Shapes and types are always looked at. Values are looked at where that is free, on the CPU; a program that reads a
value of another device waits for all that the device still has to do, so there `looked_at` says when it is enough.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral, Real

import torch
from torch import Tensor

FREE = ("cpu",)  # kinds of devices whose values can be read without waiting
_looked_at = ContextVar("looked_at", default=False)


def readable(x: Tensor) -> bool:
    """Whether a check may look at the values of a tensor: not on the meta device, which has none, not inside of
    `torch.func.vmap`, where a tensor stands for many, and see `looked_at`.

    Example:
        >>> readable(torch.zeros(1)), readable(torch.zeros(1, device="meta"))
        (True, False)
    """
    if x.is_meta or torch._C._functorch.is_functorch_wrapped_tensor(x):
        return False
    return x.device.type in FREE or not _looked_at.get()


@contextmanager
def looked_at() -> Iterator[None]:
    """Inside the block no check waits for a device: a loop enters it once its first batch has passed."""
    token = _looked_at.set(True)
    try:
        yield
    finally:
        _looked_at.reset(token)


def check_levels(x: Tensor, shape: tuple[int, ...], levels: int) -> None:
    """Refuse what is not a batch of examples of levels.

    Args:
        x: should be a LongTensor (B, *shape) of levels 0..levels-1.
        shape: of one example, such as (C, H, W).
        levels: number of levels.

    Raises:
        TypeError: for another type or dtype. ValueError: for another shape, an empty batch, or levels out of range.
    """
    expected = f"a LongTensor (B, {', '.join(map(str, shape))}) of levels 0..{levels - 1}"
    if not isinstance(x, Tensor) or x.dtype != torch.long:
        raise TypeError(f"expected {expected}, got {_kind(x)}; use x.long() on levels, not on values scaled to [0, 1]")
    check_shape(x, shape, expected)
    if not readable(x):
        return
    low, high = x.aminmax()
    if low < 0 or high >= levels:
        raise ValueError(
            f"expected {expected}, got levels {int(low)}..{int(high)}; "
            f"rescale them or build the model with levels={max(int(high) + 1, 2)}"
        )


def check_shape(x: Tensor, shape: tuple[int, ...], expected: str) -> None:
    """Refuse a batch that is not (B, *shape) with B >= 1 (ValueError).

    Args:
        x: the batch.
        shape: of one example.
        expected: what was expected, in words, for the message.
    """
    if tuple(x.shape[1:]) != tuple(shape):
        raise ValueError(f"expected {expected}, got shape {tuple(x.shape)}; reshape it or build the model for it")
    if len(x) == 0:
        raise ValueError(f"expected {expected}, got an empty batch; leave empty batches out")


def check_numbers(x: Tensor, shape: tuple[int, int, int]) -> None:
    """Refuse what is not a batch of images of real numbers.

    Args:
        x: should be a FloatTensor (B, C, H, W), finite.
        shape: (C, H, W).

    Raises:
        TypeError: for another type or dtype. ValueError: for another shape, an empty batch, NaN or infinity.
    """
    expected = f"a FloatTensor (B, {', '.join(map(str, shape))}) of real numbers"
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"expected {expected}, got {_kind(x)}; use dequantize(x, u, levels) on levels")
    check_shape(x, shape, expected)
    if readable(x) and not torch.isfinite(x).all():
        raise ValueError(f"expected {expected}, got NaN or infinity; look at how the data were scaled")


def check_scaled(x: Tensor) -> None:
    """Refuse what are not numbers in [-1, 1], which adversarial models read and write.

    Raises:
        TypeError: for another type or dtype. ValueError: for numbers outside of [-1, 1], NaN, or none.
    """
    expected = "images as floating-point numbers in [-1, 1]"
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"expected {expected}, got {_kind(x)}; use scale(x, levels) on levels")
    if x.numel() == 0:
        raise ValueError(f"expected {expected}, got none")
    if not readable(x):
        return
    low, high = (float(v) for v in x.aminmax())
    if not (low >= -1 and high <= 1):  # NaN compares false
        raise ValueError(f"expected {expected}, got values {low:g}..{high:g}; use scale(x, levels) on levels")


def check_sounds(x: Tensor, rate: float) -> None:
    """Refuse what are not sounds as numbers in [-1, 1] with a rate.

    Args:
        x: should be a float tensor (B, T), B and T at least 1.
        rate: should be a number above 0, the samples per second.

    Raises:
        TypeError: for another type or dtype. ValueError: for another shape, numbers outside of [-1, 1], NaN, or a rate
            that is no number above 0.
    """
    expected = "sounds as floats (B, T) in [-1, 1]"
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"expected {expected}, got {_kind(x)}; decode mu-law levels first: mu_law_decode(x)")
    if x.ndim != 2 or not x.numel():
        raise ValueError(f"expected {expected}, got shape {tuple(x.shape)}; add an axis to a single sound: x[None]")
    low, high = (float(v) for v in x.aminmax())
    if not (low >= -1 and high <= 1):  # NaN compares false
        raise ValueError(f"expected {expected}, got values {low:g}..{high:g}; divide by the largest absolute value")
    check_settings(0, above=True, rate=rate)


def check_classes(y: Tensor | None, n: int, n_classes: int) -> None:
    """Refuse classes that do not fit a model.

    Args:
        y: should be a LongTensor (n,) of classes 0..n_classes-1, or None for a model without classes.
        n: number of images.
        n_classes: 0 for a model without classes.

    Raises:
        TypeError: for another dtype. ValueError: for classes that are missing, superfluous, of another shape, or out of
            range.
    """
    if not n_classes:
        if y is not None:
            raise ValueError("got classes y, but the model was built with n_classes=0; leave y out")
        return
    expected = f"y: a LongTensor ({n},) of classes 0..{n_classes - 1}"
    if y is None:
        raise ValueError(f"expected {expected}, since the model is class-conditional; got none")
    if not isinstance(y, Tensor) or y.dtype != torch.long:
        raise TypeError(f"expected {expected}, got {_kind(y)}; use y.long()")
    if tuple(y.shape) != (n,):
        raise ValueError(f"expected {expected}, got shape {tuple(y.shape)}; give one class per image")
    if n and readable(y) and (y.min() < 0 or y.max() >= n_classes):
        raise ValueError(f"expected {expected}, got {int(y.min())}..{int(y.max())}; the model knows no such class")


def check_order(order: Tensor | list[int], n: int) -> Tensor:
    """An order of n positions as a LongTensor (n,); anything but a permutation of 0..n-1 is refused (ValueError).

    Example:
        >>> check_order([2, 0, 1], 3)
        tensor([2, 0, 1])
    """
    order = order if isinstance(order, Tensor) else torch.tensor(order, device="cpu")
    whole = not order.is_floating_point() and order.shape == (n,)
    if not whole or not (order.is_meta or torch.equal(order.sort().values.cpu(), torch.arange(n, device="cpu"))):
        got = order.flatten().tolist()
        got = f"{got}" if len(got) <= 16 else f"{len(got)} numbers from {min(got)} to {max(got)}"
        raise ValueError(f"expected order: each of 0..{n - 1} exactly once, got {got}; torch.randperm({n}) makes one")
    return order.long()


def _kind(x: object) -> str:
    return f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"


def check_settings(least: float, *, above: bool = False, whole: bool = False, **settings: object) -> None:
    """Refuse settings that are too small, not a number, or NaN (ValueError).

    Args:
        least: the smallest value that is allowed.
        above: whether a setting must be above `least`, not only reach it.
        whole: whether it must be an integer.
        settings: the settings by name.

    Example:
        >>> check_settings(0, above=True, lr=-1)
        Traceback (most recent call last):
        ValueError: lr=-1 is out of range: expected a number above 0; change it, or leave it out for the default
    """
    kind, bound = ("an integer", Integral) if whole else ("a number", Real)
    for name, value in settings.items():
        if not (isinstance(value, bound) and (value > least if above else value >= least)):
            remedy = "change it, or leave it out for the default"
            if whole and isinstance(value, Real) and value >= least and value == value // 1:
                remedy = f"write {int(value)}, without a point or an e"
            expected = f"{kind} {'above' if above else 'of at least'} {least}"
            raise ValueError(f"{name}={value} is out of range: expected {expected}; {remedy}")
