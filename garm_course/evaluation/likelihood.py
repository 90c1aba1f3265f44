"""Likelihood on held-out data in its units, with its standard error, and the paired difference of two models.

Examples that are cut from one text in a row are not independent: the errors of their figures are over blocks, see
`standard_error`.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from garm_course.datasets.pairs import as_pairs, collate, plain, take
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_settings, looked_at


@dataclass(frozen=True)
class Likelihood:
    """Mean negative log-likelihood per example in nats, its standard error, the number of examples, their
    dimensions.

    `bound` is "" for an exact likelihood; otherwise it names the bound ("ELBO", "IWAE-500"), and the figure is an upper
    bound on the NLL. `unit` is what one example is ("window", "note", "clip"), `position` what one of its dimensions is
    ("character", "sample", "pixel"), both "" for images.
    """

    nats: float
    stderr: float
    n: int
    dims: int
    bound: str = ""
    unit: str = ""
    position: str = ""

    @property
    def bits_per_dim(self) -> float:
        """The same figure in bits per dimension: per character, sample or pixel."""
        return bits_per_dim(self.nats, self.dims)

    @property
    def perplexity(self) -> float:
        """exp of the nats per dimension: among how many equally likely values the model hesitates, on average."""
        return math.exp(self.nats / self.dims)

    @property
    def per_position(self) -> "Likelihood":
        """The same figure in nats per character, sample or pixel."""
        return replace(
            self, nats=self.nats / self.dims, stderr=self.stderr / self.dims, n=self.n * self.dims, dims=1,
            unit=self.position or "dim",
        )  # fmt: skip

    def __str__(self) -> str:
        sign, kind = ("≤ ", f", {self.bound}") if self.bound else ("", "")
        if not self.unit:
            details = f"({self.bits_per_dim:.3f} bits/dim, {self.n} examples{kind})"
            return f"{sign}{self.nats:.2f} ± {self.stderr:.2f} nats {details}"
        if self.dims > 1:
            each = f"{self.nats / self.dims:.3f} per {self.position or 'dim'}"
            details = f"({each}, {self.n:,} {self.unit}s of {self.dims:,}{kind})"
            return f"{sign}{self.nats:.2f} ± {self.stderr:.2f} nats per {self.unit} {details}"
        details = f"({self.bits_per_dim:.3f} bits, perplexity {self.perplexity:.2f}, {self.n:,} {self.unit}s{kind})"
        return f"{sign}{self.nats:.3f} ± {self.stderr:.3f} nats per {self.unit} {details}"


@dataclass(frozen=True)
class Difference(Likelihood):
    """The NLL of one model minus that of another, both at the same examples: below 0 where the first is better."""

    def __str__(self) -> str:
        kind = f", {self.bound}" if self.bound else ""
        if not self.unit:
            return f"{self.nats:+.2f} ± {self.stderr:.2f} nats ({self.n} examples, paired{kind})"
        if self.dims > 1:
            details = f"({self.nats / self.dims:+.4f} per {self.position or 'dim'}, {self.n:,} {self.unit}s of"
            return f"{self.nats:+.2f} ± {self.stderr:.2f} nats per {self.unit} {details} {self.dims:,}, paired{kind})"
        return f"{self.nats:+.4f} ± {self.stderr:.4f} nats per {self.unit} ({self.n:,} {self.unit}s, paired{kind})"


def bits_per_dim(nats: float, dims: int) -> float:
    """Nats per example as bits per dimension: nats / (D ln 2).

    Example:
        >>> round(bits_per_dim(784 * math.log(256), 784), 6)  # uniform over 256 levels
        8.0
    """
    return nats / (dims * math.log(2))


def log_probs(model, dataset: Dataset, *, batch_size: int = 256) -> Tensor:
    """log p(x), or log p(x | y) for a model that is told a class or a caption, of every example of a data set.

    Args:
        model: anything with `log_prob(x, y=None) -> (B,)` in nats.
        dataset: examples (x, y), see `datasets.pairs.as_pairs`; of data that change at each access (augmented, drawn
            afresh), their fixed copy `plain`.
        batch_size: examples at a time; it changes the memory, not the result.

    Returns:
        float64 tensor (N,) on the CPU, in nats, in the order of the data set.

    Raises:
        TypeError: for a model without `log_prob`, or what is no data set.
        ValueError: for windows that overlap, whose characters would count several times.
    """
    check_scores(model, "log_prob")
    return _each(model, dataset, lambda x, *y: model.log_prob(x, *y), batch_size)


def log_probs_in_context(model, text: Dataset, context: int, *, batch_size: int = 256) -> Tensor:
    """log p of each character of a text, given at least `context` characters before it.

    The windows of `text` overlap for this: the first `context` characters of each are read and not scored. So every
    character is scored once, but for the first `context` ones of the text, which are not scored at all.

    Args:
        model: with `position_log_probs(x) -> (B, T)` in nats, such as a `SequenceModel`.
        text: a text of this course, whose `length` is that of the windows.
        context: from 1 to `length` - 1; with half of `length` each character is read twice.
        batch_size: see `log_probs`.

    Returns:
        float64 tensor (characters - context,) on the CPU, in nats, in the order of the text.

    Raises:
        TypeError: for a model that does not score positions, or data that are no text.
        ValueError: for a context out of range.
    """
    check_scores(model, "position_log_probs")
    tokens = getattr(text, "tokens", None)
    if tokens is None:
        got = type(text).__name__
        raise TypeError(f"expected a text as data for context={context}, got a {got}; leave context out")
    length = text.shape[0]
    check_settings(1, whole=True, context=context)
    if context >= length:
        raise ValueError(f"context={context} leaves nothing of windows of {length}; load the text with a larger length")
    starts = torch.tensor([*range(0, len(tokens) - length, length - context), len(tokens) - length])
    windows = tokens[starts[:, None] + torch.arange(length)]
    scored = _each(model, windows, lambda x: model.position_log_probs(x)[:, context:], batch_size)
    found = torch.empty(len(tokens) - context, dtype=torch.float64)
    for start, row in reversed(list(zip(starts, scored, strict=True))):  # the first to reach a character has read more
        found[start : start + len(row)] = row
    return found


def lower_bounds(model, dataset: Dataset, *, k: int | None = None, seed: int = 0, batch_size: int = 256) -> Tensor:
    """A lower bound on log p(x) for every example, of a latent-variable model.

    Args:
        model: with `elbo(x, y=None, rng=...)`, and `iwae_bound(x, k, y=None, rng=...)` if `k` is given.
        dataset: see `log_probs`.
        batch_size: see `log_probs`.
        k: importance samples; None for the ELBO at one draw of the latents.
        seed: of the draws, so that the same call gives the same figure.

    Returns:
        float64 tensor (N,) on the CPU, in nats: each a bound in expectation over the draws.

    Raises:
        ValueError: for an empty data set, or k for a model without importance samples (a VQ-VAE).
        TypeError: for a model without `elbo`, or what is no data set.
    """
    check_scores(model, "elbo")
    if k is not None and not hasattr(model, "iwae_bound"):
        raise ValueError(f"a {type(model).__name__} has no importance samples to draw, got k={k}; leave k out")
    rng = torch.Generator().manual_seed(seed)
    if k is None:
        return _each(model, dataset, lambda x, *y: model.elbo(x, *y, rng=rng).bound, batch_size)
    return _each(model, dataset, lambda x, *y: model.iwae_bound(x, k, *y, rng=rng), batch_size)


def rate_distortion(model, dataset: Dataset, *, seed: int = 0, batch_size: int = 256) -> dict[str, float]:
    """The two terms of the ELBO of a latent-variable model, averaged over a data set.

    Args:
        model: see `lower_bounds`.
        dataset: see `lower_bounds`.
        seed: see `lower_bounds`.
        batch_size: see `lower_bounds`.

    Returns:
        {"rate": mean KL, "distortion": mean of -log p(x | z)}, in nats per example; their sum is minus the ELBO.
    """
    rng = torch.Generator().manual_seed(seed)
    terms = _each(model, dataset, lambda x, *y: torch.stack(model.elbo(x, *y, rng=rng), 1), batch_size).mean(0)
    return {"rate": terms[1].item(), "distortion": -terms[0].item()}


def told_more(model: object) -> bool:
    """Whether the likelihood of a model is that of examples given something else: a class, or a caption."""
    return bool(getattr(model, "n_classes", 0) or getattr(model, "vocabulary", 0))


def check_scores(model: object, *methods: str) -> None:
    """Refuse a model that has none of these methods.

    Args:
        model: what should give the likelihood of examples.
        methods: "log_prob", "elbo".

    Raises:
        TypeError: it has none of them; where the model that it wraps has one, the message says so.
    """
    if any(hasattr(model, method) for method in methods):
        return
    inside, name, wanted = getattr(model, "module", None), type(model).__name__, " or ".join(methods)
    remedy = "give it one, or pass a loss(model, x, y) to fit and leave validation out"
    if any(hasattr(inside, method) for method in methods):
        remedy = f"pass the {type(inside).__name__} inside, model.module (several GPUs: start with torchrun)"
    raise TypeError(f"expected a model with {wanted}, got a {name} without; {remedy}")


@torch.no_grad()
def _each(model, dataset: Dataset, figure, batch_size: int) -> Tensor:
    """figure(x) or figure(x, y) of every example, with dropout off."""
    dataset = plain(as_pairs(dataset))
    if len(dataset) == 0:
        raise ValueError("expected at least one example to evaluate on, got an empty data set")
    source = _source(dataset)
    if getattr(source, "overlap", False):
        raise ValueError(
            f"the {source.called} of {source.name} ({source.split}) overlap, so what stands in several of them would "
            "count several times; load them without stride to evaluate on them"
        )
    network = isinstance(model, nn.Module)
    told = network and told_more(model)
    device = next((p.device for p in model.parameters()), None) if network else None
    # a loader draws a seed for its workers even without any: from here, so that evaluating moves no global generator
    order = torch.Generator()
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch_size, generator=order, collate_fn=collate)
    with evaluation_mode(model if network else nn.Identity()):
        parts = []
        for x, y in loader:
            with looked_at() if parts else nullcontext():
                parts.append(figure(x.to(device), *([y.to(device)] if told else [])))
    return torch.cat(parts).cpu().double()  # in one piece: each copy waits for the device


def standard_error(values: Tensor, block: int = 1) -> float:
    """The standard error of a mean whose terms are independent only from block to block.

    The spread of sums over blocks: for blocks of one it is the sample deviation over the root of n.

    Args:
        values: (N,), in the order of the data.
        block: how many values in a row are not independent, at least 1.

    Returns:
        In the unit of the values; NaN for a single block.

    Example:
        >>> values = torch.tensor([1.0, 1.0, 3.0, 3.0])
        >>> round(standard_error(values), 4), standard_error(values, block=2)
        (0.5774, 1.0)
    """
    blocks = torch.stack([part.sum() for part in (values - values.mean()).split(block)])
    if len(blocks) < 2:
        return math.nan
    return (blocks.square().sum() * len(blocks) / (len(blocks) - 1)).sqrt().item() / len(values)


def evaluate(
    model, dataset: Dataset, *, k: int | None = None, context: int | None = None, seed: int = 0, batch_size: int = 256
) -> Likelihood:
    """Mean negative log-likelihood of a data set, or an upper bound on it for a latent-variable model, dropout off.

    Args:
        model: see `log_probs`; a model with `elbo` is evaluated by `lower_bounds`.
        dataset: see `log_probs`.
        batch_size: see `log_probs`.
        k: importance samples of the bound, see `lower_bounds`; None for the ELBO.
        context: of a text, to score each character after at least so many others, see `log_probs_in_context`; None to
            score its windows, each from its first character on.
        seed: of the draws of the bound.

    Returns:
        Likelihood in nats per example (with `context`: per character), whose `bound` says if it is one. The standard
        error is that of the mean over the examples, or over blocks of them where neighbors are not independent
        (`Dataset.block`).

    Raises:
        ValueError: for an empty data set, windows that overlap, k for a model with an exact likelihood, a context out
            of range, or a figure that is not finite.
        TypeError: for a model with neither `log_prob` nor `elbo`, or what is no data set.
    """
    check_scores(model, "log_prob", "elbo")
    log_q, bound = _log_likelihoods(model, dataset, k, seed, batch_size, context)
    nll = -log_q
    if not torch.isfinite(nll).all():
        bad = int((~torch.isfinite(nll)).nonzero()[0])
        raise ValueError(
            f"the log-likelihood of example {bad} is {-nll[bad].item()}; the model diverged, train it again"
        )
    return _mean(nll, dataset, bound, context)


def paired(
    a, b, dataset: Dataset, *, k: int | None = None, context: int | None = None, seed: int = 0, batch_size: int = 256
) -> Difference:
    """The mean NLL of model a minus that of model b, both at the same examples, so that most of their spread cancels.

    Args:
        a: see `evaluate`.
        b: see `evaluate`.
        dataset: see `evaluate`.
        k: importance samples of the bounds, for models with latents; None for the ELBO.
        context: see `evaluate`.
        seed: of the draws of the bounds.
        batch_size: see `log_probs`.

    Returns:
        Difference: below 0 where a is better. Where one of the two is a bound, `bound` says so.

    Raises:
        ValueError, TypeError: see `evaluate`.
    """
    found, bounds = [], []
    for model in (a, b):
        check_scores(model, "log_prob", "elbo")
        importance = k if hasattr(model, "elbo") else None
        values, bound = _log_likelihoods(model, dataset, importance, seed, batch_size, context)
        found.append(values)
        bounds.append(bound or "exact")
    said = "" if bounds == ["exact", "exact"] else " minus ".join(bounds)
    return _mean(found[1] - found[0], dataset, said, context, Difference)


def _log_likelihoods(
    model, dataset: Dataset, k: int | None, seed: int, batch_size: int, context: int | None = None
) -> tuple[Tensor, str]:
    """log q(x) of every example, exactly or by a lower bound, and the name of the bound."""
    if context is not None:
        return log_probs_in_context(model, dataset, context, batch_size=batch_size), ""
    if hasattr(model, "elbo"):
        values = lower_bounds(model, dataset, k=k, seed=seed, batch_size=batch_size)
        return values, "ELBO" if k is None else f"IWAE-{k}"
    if k is not None:
        raise ValueError(
            f"k={k} importance samples are for models with latents; {type(model).__name__} is exact: leave k out"
        )
    return log_probs(model, dataset, batch_size=batch_size), ""


def _mean(
    values: Tensor, dataset: Dataset, bound: str, context: int | None = None, kind: type[Likelihood] = Likelihood
) -> Likelihood:
    """The mean of one value for each example (or character), in the unit of the data."""
    source, dims = _source(dataset), _dims(dataset)
    block, unit, position = (getattr(source, *name) for name in (("block", 1), ("unit", ""), ("position", "")))
    if context is not None:
        block, unit, dims = block * dims, position, 1
    return kind(values.mean().item(), standard_error(values, block), len(values), dims, bound, unit, position)


def kl_to_model(data, model, *, k: int | None = None, batch_size: int = 256) -> Likelihood:
    """KL(p || q) of a model q from data of known distribution p, estimated without bias by the mean of log p(x) -
    log q(x).

    Both logarithms are taken at the same examples, so most of their spread cancels.

    Args:
        data: examples drawn from p, with `log_prob(x) -> (B,)` in nats (`glyphs`, `bars_and_stripes`).
        model: q, with `log_prob`; or with `elbo`, and the result is an upper bound.
        k: importance samples of that bound, see `lower_bounds`.

    Returns:
        Likelihood: nats per example with the standard error of the paired mean; at least 0 up to that error.

    Raises:
        ValueError: for an empty data set, or k for a model with an exact likelihood.
    """
    log_q, bound = _log_likelihoods(model, data, k, 0, batch_size)
    return _mean(log_probs(data, data, batch_size=batch_size) - log_q, data, bound)


def _source(dataset: Dataset) -> Dataset:
    """The data set itself where a part of it was taken, without augmentation."""
    data = plain(as_pairs(dataset))
    while isinstance(data, Subset):
        data = data.dataset
    return data


def _dims(dataset: Dataset) -> int:
    """Numbers of an example."""
    x, _ = take(plain(as_pairs(dataset)), [0])
    return x[0].numel()
