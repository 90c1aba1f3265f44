"""Audits: is this function really an autoregressive model, does it sum to one, does it sample what it claims?

They work on any function from examples (images, texts, sounds) to parameters, a student's as well as a model of the
library, and they say where the fault is, not only that there is one. Dependence is measured by changing one input
position at a time, which needs no gradient and sees through any code.
"""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from garm_course.distributions.heads import Bernoulli, Categorical
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_order
from garm_course.transforms import coordinates, from_raster, place, to_raster

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Causality:
    """Result of `causality`. `leak` is None or (source, target), for images each (row, column, channel)."""

    ok: bool
    leak: tuple[tuple[int, ...], tuple[int, ...]] | None
    message: str

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Normalization:
    """Result of `normalization`: the total probability of all `examples` that are possible; it must be 1."""

    ok: bool
    total: float
    examples: int

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        verdict = "sums to 1" if self.ok else "does not sum to 1: this is not a probability distribution"
        return f"total probability of all {self.examples:,} examples = {self.total:.12f}: {verdict}"


@dataclass(frozen=True)
class Calibration:
    """Result of `calibration`: chi-square of sampled counts against probabilities, as a z value; total variation."""

    ok: bool
    z: float
    total_variation: float
    samples: int

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        verdict = "agree with" if self.ok else "do NOT agree with"
        return (
            f"frequencies of {self.samples:,} samples {verdict} the probabilities "
            f"(chi-square z = {self.z:+.1f}, total variation {self.total_variation:.4f})"
        )


@dataclass(frozen=True)
class Forgetting:
    """Result of `forgets`. `position` is the first at which it does not hold, or None."""

    ok: bool
    position: int | None
    message: str

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return self.message


def dependence(
    fn: Function, shape: tuple[int, ...], levels: int, *, y: int | None = None, examples: int = 3, seed: int = 0
) -> Tensor:
    """How much each output position changes when one input position is changed.

    Args:
        fn: maps LongTensor (B, *shape) (and y, if given) to parameters (B, *shape, ...).
        shape: of one example: (T,), (C, H, W), ...
        levels: number of levels of the input.
        y: class to condition on.
        examples: random examples on which it is tried; the largest change counts.
        seed: of these examples.

    Returns:
        (D, D), entry [i, j]: largest change of the parameters of position i when position j changes; D positions in
        raster order, channel innermost, see `to_raster`. Rounding differences (16 machine epsilons) count as zero.

    Raises:
        ValueError: for a result of another shape, or with NaN.
    """
    d = math.prod(shape)
    rng = torch.Generator().manual_seed(seed)
    result = torch.zeros(d, d, dtype=torch.float64)
    for _ in range(examples):
        base = torch.randint(levels, (d,), generator=rng)
        step = torch.randint(1, levels, (d,), generator=rng)
        changed = base.repeat(d, 1)
        changed[torch.arange(d), torch.arange(d)] = (base + step) % levels  # row j: position j changed
        changes, scale, rounding = [], 1e-30, 0.0
        for part in changed.split(127):  # a part at a time: all parameters of all D examples would fill the memory
            x = from_raster(torch.cat([part, base[None]]), shape)
            out = _call(fn, x, y, shape)
            if out.is_floating_point():
                rounding = 16 * torch.finfo(out.dtype).eps
            out = to_raster(out.double(), len(shape)).reshape(len(x), d, -1)  # (n + 1, D, params)
            if not torch.isfinite(out).all():
                raise ValueError("the function returned NaN or infinity; look for a division or a log of zero in it")
            changes.append((out[:-1] - out[-1]).abs().amax(2))  # (source j, target i)
            scale = max(scale, out.abs().amax().item())
        change = torch.cat(changes).cpu()
        result = torch.maximum(result, torch.where(change > rounding * scale, change, 0.0).T)
    return result


def causality(
    fn: nn.Module | Function, shape: tuple[int, ...] | None = None, levels: int | None = None, *,
    order: Tensor | None = None, y: int | None = None, examples: int = 3, seed: int = 0,
) -> Causality:  # fmt: skip
    """Find out whether the prediction of each position depends on earlier positions only.

    Args:
        fn: a model of this library, or any function from LongTensor (B, *shape) to parameters (B, *shape, ...).
        shape: of one example; taken from a model if left out.
        levels: of the examples; taken from a model if left out.
        order: LongTensor (D,) of raster positions, first to last; taken from a model, else raster order.
        y: see `dependence`.
        examples: see `dependence`.
        seed: see `dependence`.

    Returns:
        Causality; if it does not hold, `leak` names the first position (in this order) that sees something it must
        not, and the first such source.

    Example:
        >>> print(causality(lambda x: x.cumsum(3) * 1.0, (1, 2, 3), 2))  # a running sum includes the pixel itself
        leak: the prediction at row 0, column 0 depends on that pixel itself; a shift or a mask of kind A is missing
    """
    order = getattr(fn, "order", None) if order is None else order
    say = fn.place if hasattr(fn, "to_sequence") else lambda i: place(i, shape)
    fn, shape, levels = _unpack(fn, shape, levels)
    change = dependence(fn, shape, levels, y=y, examples=examples, seed=seed)
    order = torch.arange(len(change)) if order is None else check_order(order, len(change)).cpu()
    leaks = change[order][:, order].triu() > 0
    if not leaks.any():
        return Causality(True, None, "causal: every prediction depends on earlier positions only")
    target, source = (int(order[v]) for v in leaks.nonzero()[0])
    at, to = coordinates(source, shape), coordinates(target, shape)
    axis = next((axis for axis in at if at[axis] != to[axis]), None)  # the first in which they differ
    if axis is None:
        what = "value" if len(shape) == 1 else "pixel"
        cause = f"that {what} itself; a shift or a mask of kind A is missing"
    elif not torch.equal(order, order.sort().values):
        cause = f"{say(source)}, which comes later in the given order; is the mask made for this order?"
    else:
        cause = {
            "channel": "channel {channel} of the same pixel, which comes later; are the color groups masked?",
            "column": "column {column} of the same row, to its right; is everything right of the center masked?",
            "row": "row {row}, column {column}, further down; are the rows below masked, is a shift missing?",
            "frame": f"{say(source)}, a later frame; are the frames to come masked?",
            "position": f"{say(source)}, which comes later; is all that follows masked, is a shift missing?",
        }[axis].format(**at)
    leak = (tuple(at.values()), tuple(to.values()))
    return Causality(False, leak, f"leak: the prediction at {say(target)} depends on {cause}")


def receptive_field(
    fn: nn.Module | Function, position: int | tuple[int, ...], shape: tuple[int, ...] | None = None,
    levels: int | None = None, *, channel: int = 0, y: int | None = None, examples: int = 3, seed: int = 0,
) -> Tensor:  # fmt: skip
    """Which values the prediction at one position depends on, and how strongly.

    Args:
        fn: see `causality`.
        position: of the prediction: (row, column) of an image, a number in a sequence, (frame, row, column) of a clip.
        shape: see `causality`.
        levels: see `causality`.
        channel: color channel of the prediction, in images and clips.
        y: see `causality`.
        examples: see `causality`.
        seed: see `causality`.

    Returns:
        (*shape): largest change of the prediction when that input is changed; zero where there is no influence.
    """
    fn, shape, levels = _unpack(fn, shape, levels)
    at = (position,) if isinstance(position, int) else (*position, channel) if len(shape) > 2 else tuple(position)
    raster = from_raster(torch.arange(math.prod(shape))[None], shape)[0]
    raster = raster.movedim(0, -1) if len(shape) > 2 else raster  # channel last, as in `at`
    if len(at) != len(shape) or not all(0 <= i < size for i, size in zip(at, raster.shape, strict=True)):
        raise ValueError(f"expected a position inside {shape}, got position {position}, channel {channel}")
    change = dependence(fn, shape, levels, y=y, examples=examples, seed=seed)[raster[at]]
    return from_raster(change[None], shape)[0]


@torch.inference_mode()
def forgets(model: nn.Module, *, y: int | None = None, examples: int = 3, seed: int = 0) -> Forgetting:
    """Find out whether a model of sequences forgets what lies further back than its `reach`, reading and drawing.

    Two texts that are alike from some value on must have the same predictions from `reach` values later on; and steps
    with a state that holds no more than the reach must give what the full pass gives, over three times the reach.

    Args:
        model: a `SequenceModel`; it is audited in float64.
        y: class to condition on.
        examples: random texts on which it is tried.
        seed: of these texts.

    Returns:
        Forgetting; if it does not hold, `position` and the message name the first position where it does not.

    Raises:
        TypeError: for a model without a reach. ValueError: for one whose reach is unbounded.
    """
    if not hasattr(model, "reach"):
        raise TypeError(f"expected a model of sequences with a `reach`, got a {type(model).__name__}")
    if model.reach is None:
        raise ValueError("this model sees its whole past (reach is None), so that it must forget nothing")
    model = copy.deepcopy(model).double().cpu().eval()
    reach, length, n = model.reach, 3 * model.reach + 3, examples
    rng, classes = torch.Generator().manual_seed(seed), None if y is None else torch.full((n,), y)
    x = torch.randint(model.levels, (n, length), generator=rng)
    alike = length - reach - 2 - reach // 2  # from this value on
    other = x.clone()
    other[:, :alike] = (x[:, :alike] + torch.randint(1, model.levels, (n, alike), generator=rng)) % model.levels
    params, changed = model(x, classes), model(other, classes)
    tolerance = 1e-10 * params.abs().amax().clamp(min=1)
    far = slice(alike + reach, None)
    if (found := _first(changed[:, far], params[:, far], tolerance)) is not None:
        at = alike + reach + found
        return Forgetting(False, at, f"the prediction at {model.place(at)} depends on values more than {reach} back; "
                                     "is there a mask, or a state, that does not end?")  # fmt: skip
    state = model.start(n, classes, length=length)
    steps = torch.stack([model.step(state, i, x[:, i - 1] if i else None) for i in range(length)], 1)
    if (at := _first(steps, params, tolerance)) is not None:
        return Forgetting(False, at, f"from {model.place(at)} on, steps and the full pass differ; "
                                     "is a slot of the state written over too early, or read too late?")  # fmt: skip
    return Forgetting(True, None, f"forgets: what lies more than {reach} back changes nothing, cached or not")


def _first(a: Tensor, b: Tensor, tolerance: Tensor) -> int | None:
    """The first position at which a and b (n, T, ...) differ by more than a tolerance."""
    differs = ((a - b).abs() > tolerance).movedim(1, 0).flatten(1).any(1).nonzero()
    return int(differs[0]) if len(differs) else None


def all_examples(shape: tuple[int, ...], levels: int, *, limit: int = 2**20) -> Tensor:
    """Every possible example of a small space.

    Returns:
        LongTensor (levels ** D, *shape), in counting order.

    Raises:
        ValueError: if there are more than `limit`.

    Example:
        >>> all_examples((1, 2, 2), 2).shape
        torch.Size([16, 1, 2, 2])
    """
    d = math.prod(shape)
    if levels**d > limit:
        raise ValueError(f"{levels}^{d} examples are too many to enumerate (limit {limit:,}); take a smaller shape")
    return torch.tensor(list(itertools.product(range(levels), repeat=d))).reshape(-1, *shape)


@torch.inference_mode()
def normalization(
    model: nn.Module | Function, shape: tuple[int, ...] | None = None, levels: int | None = None, *,
    y: int | None = None, tolerance: float = 1e-5,
) -> Normalization:  # fmt: skip
    """Sum the probability of every possible example of a small space; it must be 1.

    Args:
        model: a model of this library, or a function from LongTensor (B, *shape) to log-probabilities (B,) in nats, or
            to parameters: logits (B, *shape, levels), or (B, *shape) for binary values.
        shape: of one example; taken from a model if left out.
        levels: of the examples; taken from a model if left out.
        y: class to condition on.
        tolerance: largest distance from 1 that counts as rounding (models of the library are audited in float64).

    Raises:
        ValueError: if there are more than a million examples, or for a result of another shape.
    """
    fn, shape, levels = _unpack(model, shape, levels, method="log_prob")
    x = all_examples(shape, levels)
    total = _log_probs(fn, x, y, levels).exp().sum().item()
    return Normalization(abs(total - 1) <= tolerance, total, len(x))


@torch.inference_mode()
def calibration(
    model: nn.Module | Function, samples: Tensor, levels: int | None = None, *, y: int | None = None
) -> Calibration:
    """Compare how often each example of a small space was sampled with its probability.

    Args:
        model: a model of this library, or a function as in `normalization`.
        samples: LongTensor (N, *shape) that claim to come from it.
        levels: of the examples; taken from a model if left out.
        y: class that they were conditioned on.

    Returns:
        Calibration; ok if chi-square (examples expected fewer than 5 times are pooled), as a normal deviate, lies
        within 4 standard deviations.

    Raises:
        ValueError: for samples that are none of this model, or a space too large to enumerate.

    Source:
        Chi-square as a normal deviate: Wilson and Hilferty (1931), PNAS 17(12). It holds in the far tail and for few
        degrees of freedom, where (chi² - k) / sqrt(2 k) does not.
    """
    if not isinstance(samples, Tensor) or samples.dtype != torch.long or samples.ndim < 2 or len(samples) == 0:
        got = f"{samples.dtype} {tuple(samples.shape)}" if isinstance(samples, Tensor) else type(samples).__name__
        raise ValueError(f"expected samples as a LongTensor (N, *shape) with N >= 1, got {got}")
    shape = samples.shape[1:] if getattr(model, "elastic", True) else model.shape
    fn, shape, levels = _unpack(model, shape, levels, method="log_prob")
    if tuple(samples.shape[1:]) != shape or samples.min() < 0 or samples.max() >= levels:
        raise ValueError(
            f"expected samples of shape (N, {', '.join(map(str, shape))}) with levels 0..{levels - 1}, got shape "
            f"{tuple(samples.shape)} with levels {int(samples.min())}..{int(samples.max())}; draw them from this model"
        )
    x = all_examples(shape, levels)
    p = _log_probs(fn, x, y, levels).exp()
    weights = levels ** torch.arange(math.prod(shape) - 1, -1, -1)
    counts = torch.bincount((samples.flatten(1).cpu() * weights).sum(1), minlength=len(x)).double()
    n = len(samples)
    order = p.argsort(descending=True)
    expected, counts = n * p[order], counts[order]
    own = expected >= 5
    expected = torch.cat([expected[own], expected[~own].sum().reshape(1)])
    pooled = torch.cat([counts[own], counts[~own].sum().reshape(1)])
    used = expected > 0
    chi2 = ((pooled - expected)[used] ** 2 / expected[used]).sum().item() + (math.inf if pooled[~used].any() else 0)
    freedom = max(int(used.sum()) - 1, 1)
    spread = 2 / (9 * freedom)
    z = ((chi2 / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    return Calibration(abs(z) < 4, z, (counts / n - p[order]).abs().sum().item() / 2, n)


def _unpack(fn, shape, levels, method: str | None = None):
    """A function on the CPU in float64, and the shape and levels that belong to it."""
    if isinstance(fn, nn.Module):
        shape, levels = shape or getattr(fn, "shape", None), levels or getattr(fn, "levels", None)
        module = copy.deepcopy(fn).double().cpu().eval()
        fn = getattr(module, method, module) if method else module
    if shape is None or levels is None:
        raise ValueError(
            "expected shape=(C, H, W) and levels=... (or another shape): the function does not say what it takes"
        )
    if not 1 <= len(shape) <= 4 or min(shape) < 1 or levels < 2:
        raise ValueError(f"expected a shape of 1 to 4 positive sizes and levels >= 2, got {tuple(shape)}, {levels}")
    return fn, tuple(shape), levels


def _log_probs(fn: Function, x: Tensor, y: int | None, levels: int) -> Tensor:
    """(B,) nats in float64, from a function that returns them, or the parameters of all positions."""
    parts = []
    for part in x.split(4096):
        out = fn(part) if y is None else fn(part, torch.full((len(part),), y))
        shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        if shape == (len(part),):
            parts.append(out.double())
        elif shape == (*part.shape, levels):
            parts.append(Categorical(levels).log_prob(out.double(), part).flatten(1).sum(1))
        elif shape == tuple(part.shape) and levels == 2:
            parts.append(Bernoulli().log_prob(out.double(), part).flatten(1).sum(1))
        else:
            raise ValueError(
                f"expected log-probabilities (B,) or logits (B, {', '.join(map(str, part.shape[1:]))}, {levels}) of "
                f"{len(part)} examples, got {shape}"
            )
    return torch.cat(parts)


@torch.inference_mode()
def _call(fn: Function, x: Tensor, y: int | None, shape: tuple[int, ...]) -> Tensor:
    with evaluation_mode(fn if isinstance(fn, nn.Module) else nn.Identity()):
        out = fn(x) if y is None else fn(x, torch.full((len(x),), y))
    if not isinstance(out, Tensor) or tuple(out.shape[: 1 + len(shape)]) != (len(x), *shape):
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(f"expected parameters of shape (B, {', '.join(map(str, shape))}, ...), got {got}; "
                         "put the levels last")  # fmt: skip
    return out
