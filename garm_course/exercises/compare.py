"""The first difference between what an answer returned and what was expected, in words.

Nothing here trusts the answer's object: types are compared exactly, and no method of a foreign class is called (its
`__eq__` might always say True).
"""

import inspect
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

_NUMBERS = (bool, int, float)


def difference(
    got: Any,
    want: Any,
    *,
    axes: tuple[str, ...] = (),
    any_dtype: bool = False,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    values: bool = True,
    like: dict[torch.dtype, str] | None = None,
) -> str:
    """What is wrong with `got`, or "" when it equals `want`.

    Args:
        got: the answer's result.
        want: a tensor, number, string, None, or a list, tuple or dictionary of these.
        axes: names of the axes of a tensor.
        any_dtype: compare only the numbers.
        rtol: relative tolerance: |got - want| <= atol + rtol |want|.
        atol: absolute tolerance.
        values: False to compare only type, shape and dtype, and that NaN appears only where expected.
        like: for a dtype, the name of an argument that has it, to say where the answer can take it from.
    """
    options = dict(axes=axes, any_dtype=any_dtype, rtol=rtol, atol=atol, values=values, like=like)
    if type(want) is torch.Tensor:
        return _tensors(got, want, **options)
    if type(want) in _NUMBERS:
        if type(got) not in _NUMBERS and not isinstance(got, (np.floating, np.integer)):
            return f"expected a number, got {kind_of(got)}"
        got, close = float(got), math.isclose(float(got), float(want), rel_tol=rtol, abs_tol=atol)
        return "" if close or not values or (got != got and want != want) else _expected(want, got, digits=6)
    if type(want) in (list, tuple):
        if type(got) not in (list, tuple) and type(got) is not type(want):
            return f"expected {kind_of(want)}, got {kind_of(got)}"
        if len(got) != len(want):
            return f"expected {kind_of(want)}, got {len(got)} elements"
        found = ((difference(g, w, **options), f"element {i}") for i, (g, w) in enumerate(zip(got, want, strict=True)))
        return next((f"{what}, in {where}" for what, where in found if what), "")
    if type(want) is dict:
        if type(got) is not dict:
            return f"expected a dictionary, got {kind_of(got)}"
        missing = [key for key in want if key not in got]
        if missing:
            return f"the key {missing[0]!r} is missing"
        found = ((difference(got[key], want[key], **options), key) for key in want)
        return next((f"{what}, at {key!r}" for what, key in found if what), "")
    if type(got) is not type(want):
        return f"expected {kind_of(want)}, got {kind_of(got)}"
    if type(want) is str and values and got != want:
        return f"expected {want!r}, got {got!r}"
    return ""


def _tensors(got: Any, want: Tensor, *, axes, any_dtype, rtol, atol, values, like) -> str:
    if type(got) is torch.nn.Parameter:
        return "it returns a trainable nn.Parameter; return a plain tensor"
    if type(got) is not torch.Tensor:
        return f"expected a torch.Tensor, got {kind_of(got)}"
    if got.layout != torch.strided or got.is_quantized or got.is_nested:
        return "expected a dense tensor; call .to_dense()"
    if got.device != want.device:
        return f"expected a tensor on {want.device}, got one on {got.device}: make new tensors where the argument lives"
    if got.shape != want.shape:
        return f"expected the shape {tuple(want.shape)}, got {tuple(got.shape)}"
    if got.is_complex() and not want.is_complex():
        return "expected real numbers, got complex ones"
    if got.dtype != want.dtype and not any_dtype:
        numbers = values and _numbers(got, want, axes=axes, rtol=max(rtol, 1e-2), atol=max(atol, 1e-2))
        if numbers:  # the dtype may be one more consequence of what is wrong
            return f"{numbers}; moreover the dtype is {got.dtype}, not {want.dtype}"
        name = (like or {}).get(want.dtype)
        remedy = (
            f"take it from {name}, as in torch.zeros_like({name}) or {name}.new_zeros(...)"
            if name
            else (f"say dtype={want.dtype} where you make it, or convert it with .to({want.dtype})")
        )
        return f"expected the dtype {want.dtype}, got {got.dtype}: {remedy}"
    if got.requires_grad and not want.requires_grad:
        return "it asks for a gradient although no argument does; leave requires_grad alone"
    return _numbers(got, want, axes=axes, rtol=rtol, atol=atol, values=values)


def _numbers(got: Tensor, want: Tensor, *, axes, rtol, atol, values=True) -> str:
    """What is wrong with numbers of the expected shape: NaN, or the first one that differs."""
    a, b = (t.detach().cpu() for t in (got, want))
    if not b.is_complex():
        a, b = a.double(), b.double()  # exact for masks of any dtype, harmless for float32
    strange = torch.isnan(a) & ~torch.isnan(b)
    if strange.any():
        at = f" at {_position(strange, axes)}" if strange.ndim else ""
        return f"NaN{at}; look for inf / inf, inf - inf, 0 / 0, or the logarithm or root of a negative number"
    if not values:
        return ""
    wrong = ~torch.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return ""
    first = tuple(wrong.nonzero()[0].tolist())
    many = f" ({int(wrong.sum())} of {wrong.numel()} numbers differ)" if wrong.numel() > 1 else ""
    at = f" at {_position(wrong, axes)}" if first else ""
    return f"{_expected(b[first].item(), a[first].item())}{at}{many}"


def _position(wrong: Tensor, axes: tuple[str, ...]) -> str:
    first = wrong.nonzero()[0].tolist()
    if len(axes) == len(first):
        return ", ".join(f"{name} {i}" for name, i in zip(axes, first, strict=True))
    return str(first)


def _expected(want: Any, got: Any, digits: int = 4) -> str:
    """Both numbers, with as many digits as they need to look different.

    >>> _expected(0.5, 0.25), _expected(1.0, math.log(2) / 0.693)
    ('expected 0.5, got 0.25', 'expected 1, got 1.0002')
    """
    texts = str(want), str(got)
    for n in range(digits, 18):  # 17 digits tell any two float64 apart
        texts = tuple(f"{x:.{n}g}" if isinstance(x, float) else str(x) for x in (want, got))
        if texts[0] != texts[1]:
            break
    return "expected {}, got {}".format(*texts)


def kind_of(value: Any) -> str:
    """A few words on what kind of thing it is, for a student.

    >>> kind_of([1, 2]), kind_of(None)
    ('a list of 2', 'None (is there a `return` at the end?)')
    """
    if value is None:
        return "None (is there a `return` at the end?)"
    if value is NotImplemented or value is Ellipsis:
        return repr(value)
    if type(value) in (list, tuple, dict):
        return f"a {'dictionary' if type(value) is dict else type(value).__name__} of {len(value)}"
    if type(value) in (*_NUMBERS, str):
        return f"the {type(value).__name__} {str(value)[:40]}"
    if inspect.isgenerator(value):
        return "a generator: write `return`, not `yield`"
    if inspect.iscoroutine(value):
        return "a coroutine: write `def`, not `async def`"
    if type(value) is np.ndarray or isinstance(value, np.generic):
        return "a NumPy array: stay with torch, or return torch.from_numpy(...)"
    if type(value) is torch.Tensor:
        return "a nested tensor" if value.is_nested else f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, type):
        return f"the class {type.__dict__['__name__'].__get__(value)}"
    if inspect.isroutine(value):
        return "a function: it was not called"
    return f"an object of type {type_name(value)}"


def type_name(value: Any) -> str:
    """The name of a value's type, whatever the type itself says."""
    return type.__dict__["__name__"].__get__(type(value))
