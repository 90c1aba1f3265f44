"""Wrong numbers that stand in a simple relation to the expected ones: a sign, a factor, another axis, a limit.

Such a relation tells more than one pair of numbers, and needs no list of known mistakes.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]  # what the answer returned and what was expected, of one shape
AXES: dict[str, Callable[[int], tuple[int, ...]]] = {  # of a tensor with n axes
    "the first axis": lambda n: (0,),
    "the last axis": lambda n: (-1,),
    "axis 1": lambda n: (1,) if n > 1 else (),
    "all axes but the first": lambda n: tuple(range(1, n)),
    "all axes": lambda n: tuple(range(n)),
}
Case = tuple[Tensor, Tensor, tuple]  # and the arguments of the call
EVERY = "Every number{} "

RTOL = 1e-5
# what the answer has done to the expected number, or left undone
FUNCTIONS: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("is the absolute value of the expected one", torch.abs),
    ("is the reciprocal of the expected one", lambda x: 1 / x),
    ("is the square of the expected one", lambda x: x**2),
    ("is the square root of the expected one", torch.sqrt),
    ("is the logarithm of the expected one", torch.log),
    ("is the exponential of the expected one", torch.exp),
    ("is exp(-x) of the expected one, x", lambda x: torch.exp(-x)),
    ("is the negative logarithm of the expected one", lambda x: -torch.log(x)),
    ("is one minus the expected one", lambda x: 1 - x),
    ("is the sigmoid of the expected one", torch.sigmoid),
    ("is the expected one without its negative part, as after a ReLU", torch.relu),
]


def pattern(calls: list[tuple[Any, Any, tuple]], axes: tuple[str, ...] = ()) -> str:
    """A sentence on how all wrong results are related to the expected ones, one for each part of a result, or "".

    Args:
        calls: result, expected result and arguments of each call: numbers, tensors, or sequences and dictionaries of
            these, whose keys are words such as "the gradients of D".
        axes: names of the axes of a result.
    """
    found: dict[tuple, list[Case]] = {}  # part of the result -> its cases
    for got, want, args in calls:
        for part, g, w in _parts(got, want):
            if g.any() or w.any() or g.shape != w.shape:  # some probes put 0 in place of numbers that do not count
                found.setdefault(part, []).append((g, w, args))
    wrong = {part: cases for part, cases in found.items() if not all(_equal(g, w) for g, w, _ in cases)}
    right = found.keys() - wrong.keys()
    everything = _relation([case for cases in wrong.values() for case in cases], axes)
    if everything:
        return everything.format(_of(wrong) if right else "")
    told = [_relation(cases, axes).format(_of([part])) for part, cases in wrong.items()]
    return " ".join(dict.fromkeys(filter(None, told[:2]))) if told and told[0] else ""


def _relation(cases: list[Case], axes: tuple[str, ...]) -> str:
    """One sentence on all these cases, with {} where the part of the result is named, or ""."""
    pairs = [(g, w) for g, w, _ in cases if w.numel()]
    if any(g.shape != w.shape for g, w in pairs):
        return _shape(pairs)
    numbers = torch.cat([w.flatten() for _, w in pairs] or [torch.zeros(0)])
    if len(numbers[numbers.isfinite()].unique()) < 3:  # two numbers are related in many ways
        return ""
    return (
        _factor(pairs)
        or _count(cases)
        or _function(pairs)
        or _rounded(pairs)
        or _offset(pairs)
        or _moved(pairs, axes)
        or _one_for_all(pairs)
        or _limit(pairs)
        or _one_place(pairs, axes)
        or _nearly(pairs)
    )


def _parts(got: Any, want: Any, part: tuple = ()) -> Iterator[tuple[tuple, Tensor, Tensor]]:
    if type(want) in (list, tuple) and type(got) in (list, tuple) and len(got) == len(want):
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            yield from _parts(g, w, (*part, f"element {i}") if len(want) > 1 else part)
    elif type(want) is type(got) is dict:
        for key in filter(got.__contains__, want):
            yield from _parts(got[key], want[key], (*part, key))
    elif type(want) in (int, float) and type(got) in (int, float):
        yield part, torch.tensor(got, dtype=torch.float64), torch.tensor(want, dtype=torch.float64)
    elif type(want) is type(got) is Tensor and _plain(got, want.device):
        yield part, got.detach().cpu().double(), want.detach().cpu().double()


def _plain(t: Tensor, device: torch.device) -> bool:
    """Whether its numbers can be read as they are."""
    strange = t.is_nested or t.is_quantized or t.is_complex() or t.layout != torch.strided
    return t.device == device and not strange


def _of(parts: Iterable[tuple]) -> str:
    """ " of element 1 of the gradients" for one part, " of the loss and of the gradients" for several."""
    parts = list(parts)
    names = [" of ".join(parts[0][::-1])] if len(parts) == 1 else dict.fromkeys(part[0] for part in parts if part)
    return " and".join(f" of {name}" for name in names if name)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=RTOL, atol=1e-9, equal_nan=True)


def _all(pairs: list[Pair], change: Callable[[Tensor], Tensor]) -> bool:
    return all(_equal(g, change(w)) for g, w in pairs)


def _ratio(got: Tensor, want: Tensor) -> float:
    """got / want where that is best defined, NaN where it is not."""
    fit = got.isfinite() & want.isfinite() & (want != 0)
    if not fit.any():
        return math.nan
    at = want.where(fit, want.new_zeros(())).abs().argmax()
    return float(got.flatten()[at] / want.flatten()[at])


def _shape(pairs: list[Pair]) -> str:
    """The right numbers, but reduced too far or not far enough."""
    pairs = [(g, w) for g, w in pairs if not _equal(g, w)]
    if not any(w.any() for _, w in pairs) or all(g.numel() == w.numel() and g.ndim < w.ndim for g, w in pairs):
        return ""  # an axis of size 1 is missing: the shapes say it
    ndim = pairs[0][0].ndim
    for i, j in combinations(range(ndim), 2):
        if all(g.ndim == ndim and _equal(g.transpose(i, j), w) for g, w in pairs):
            return f"The numbers{{}} are right, but axes {i} and {j} are exchanged."
    if all(g.numel() == w.numel() and g.ndim > w.ndim and _equal(g.flatten(), w.flatten()) for g, w in pairs):
        return "The numbers{} are right, but an axis of size 1 is left over, as by keepdim=True."
    if all(w.ndim == 1 and g.shape == (len(w), len(w)) and _equal(g.diagonal(), w) for g, w in pairs):
        return "Every example meets every other{}, as (B, 1) and (B,) combine to (B, B): only the diagonal is right."
    for axes, dims in AXES.items():
        for done, reduce in (("summed", torch.sum), ("averaged", torch.mean)):

            def reduced(t: Tensor, reduce=reduce, dims=dims) -> Tensor:
                return reduce(t, dims(t.ndim)) if t.ndim and dims(t.ndim) else t

            if all(_equal(g, reduced(w)) for g, w in pairs):
                return f"The numbers{{}} are right, but {done} over {axes}, which should stay."
            if all(_equal(reduced(g), w) for g, w in pairs):
                return f"The numbers{{}} are not yet {done} over {axes}: then they are right."
    return ""


def _factor(pairs: list[Pair]) -> str:
    c = next((c for c in (_ratio(*pair) for pair in pairs) if c == c), math.nan)
    if not c or not math.isfinite(c) or not _all(pairs, lambda w: c * w):
        return ""
    if math.isclose(c, -1, rel_tol=RTOL):
        return f"{EVERY}has the wrong sign."
    bits = any(math.isclose(abs(c), f, rel_tol=RTOL) for f in (math.log(2), 1 / math.log(2)))
    return f"{EVERY}is {c:.4g} times the expected one{' (ln 2: nats and bits are exchanged)' if bits else ''}."


def _count(cases: list[Case]) -> str:
    """A factor that is a size of the arguments: the sum where the mean is asked for, or the other way round."""
    cases = [(g, w, args) for g, w, args in cases if any(isinstance(a, Tensor) and a.ndim for a in args) and w.any()]
    ratios = [_ratio(g, w) for g, w, _ in cases]
    if not all(_equal(g, c * w) for c, (g, w, _) in zip(ratios, cases, strict=True)):
        return ""
    tensors = [next(a for a in args if isinstance(a, Tensor) and a.ndim) for *_, args in cases]
    sizes = {
        "rows of the first tensor": [len(t) for t in tensors],
        "columns of the first tensor": [t.shape[-1] for t in tensors],
        "elements of the first tensor": [t.numel() for t in tensors],
        "elements in one row of the first tensor": [t[0].numel() for t in tensors if len(t)],
    }
    for name, counts in sizes.items():
        if len(set(counts)) < 2 or len(counts) != len(ratios):
            continue
        if all(math.isclose(c, n, rel_tol=RTOL) for c, n in zip(ratios, counts, strict=True)):
            return f"{EVERY}is multiplied by the number of {name}: a sum stands where a mean is asked for."
        if all(math.isclose(c * n, 1, rel_tol=RTOL) for c, n in zip(ratios, counts, strict=True)):
            return f"{EVERY}is divided by the number of {name}: a mean stands where a sum is asked for."
    return ""


def _function(pairs: list[Pair]) -> str:
    return next((f"{EVERY}{words}." for words, change in FUNCTIONS if _all(pairs, change)), "")


def _rounded(pairs: list[Pair]) -> str:
    if len(torch.cat([g.flatten() for g, _ in pairs]).unique()) < 3:
        return ""
    digits = (n for n in range(6) if _all(pairs, lambda w, n=n: w.round(decimals=n)))
    for n in digits:
        return f"{EVERY}is rounded to {n} decimals: return all digits."
    cut = _all(pairs, torch.trunc) or _all(pairs, torch.floor)
    return f"{EVERY}has lost its fraction (by int, //, floor or trunc): return all digits." if cut else ""


def _offset(pairs: list[Pair]) -> str:
    for sign, words in ((1, "{:.4g} {} the expected one."), (-1, "{:.4g} minus the expected one.")):
        g, w = pairs[0]
        differences = (g - sign * w)[(g - sign * w).isfinite()]
        c = float(differences[0]) if len(differences) else math.nan
        if c == c and _all(pairs, lambda w, sign=sign, c=c: sign * w + c):
            return EVERY + "is " + words.format(c if sign < 0 else abs(c), "above" if c > 0 else "below")
    return ""


def _nearly(pairs: list[Pair]) -> str:
    if not all(torch.allclose(g, w, rtol=1e-3, atol=1e-6, equal_nan=True) for g, w in pairs):
        return ""
    return (
        f"{EVERY}is nearly right, to three digits: an epsilon, a clamp, an approximation, rounding or float32 "
        "changes the others."
    )


def _name(axes: tuple[str, ...], axis: int, ndim: int) -> str:
    return f"the axis of the {axes[axis]}" if len(axes) == ndim else f"axis {axis}"


def _moved(pairs: list[Pair], axes: tuple[str, ...]) -> str:
    """The right numbers at other places."""
    ndim = pairs[0][1].ndim
    if any(w.ndim != ndim for _, w in pairs):
        return ""
    subject = "The numbers{} are right, but "
    for axis in range(ndim):
        if _all(pairs, lambda w, axis=axis: w.flip(axis)):
            return f"{subject}in reverse order along {_name(axes, axis, ndim)}."
        for shift in (1, -1):
            if _all(pairs, lambda w, axis=axis, shift=shift: w.roll(shift, axis)):
                way = "too far" if shift > 0 else "too early"
                return f"{subject}one place {way} along {_name(axes, axis, ndim)}."
    square = all(w.ndim >= 2 and w.shape[-1] == w.shape[-2] for _, w in pairs)
    if square and _all(pairs, lambda w: w.mT):
        return f"{subject}the last two axes are exchanged (transposed)."
    return ""


def _one_for_all(pairs: list[Pair]) -> str:
    """One row in place of all of them."""
    if any(w.ndim == 0 for _, w in pairs) or not any(len(w) > 1 for _, w in pairs):
        return ""
    for which, one in (("first", lambda w: w[:1]), ("last", lambda w: w[-1:])):
        if _all(pairs, lambda w, one=one: one(w).expand_as(w)):
            return f"All examples get the result of the {which} one{{}}."
    if _all(pairs, lambda w: w.mean(0, keepdim=True).expand_as(w)):
        return "All examples get the mean of their results{}."
    return ""


def _limit(pairs: list[Pair]) -> str:
    """Right up to a limit, and never beyond it."""
    got, want = (torch.cat([pair[k].flatten() for pair in pairs]) for k in (0, 1))
    wrong = ~torch.isclose(got, want, rtol=RTOL, atol=1e-9, equal_nan=True)
    limits = got[wrong].unique()
    if len(limits) != 1 or len(got[~wrong].unique()) < 2 or wrong.sum() < 2 or not limits.isfinite():
        return ""
    limit = float(limits)
    for side, beyond in (("above", want > limit), ("below", want < limit)):
        if torch.equal(wrong, beyond):
            return f"The numbers{{}} are right, except those {side} {limit:.4g}, which stay there: they are clamped."
    return ""


def _one_place(pairs: list[Pair], axes: tuple[str, ...]) -> str:
    """Wrong at the first or at the last place of one axis only."""
    masks = [~torch.isclose(g, w, rtol=RTOL, atol=1e-9, equal_nan=True) for g, w in pairs]
    masks = [mask for mask in masks if mask.any()]
    ndim = masks[0].ndim
    if any(mask.ndim != ndim for mask in masks):
        return ""
    for axis in range(ndim):
        if any(mask.shape[axis] < 3 for mask in masks):
            continue
        for which, index in (("first", 0), ("last", -1)):
            if all(int(mask.sum()) == int(mask.select(axis, index).sum()) for mask in masks):
                return f"Only the {which} place along {_name(axes, axis, ndim)} is wrong{{}}."
    return ""
