"""Likelihood on held-out data, with its standard error, and the baselines that every model must beat."""

import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from garm_course.datasets.pairs import as_pairs, collate, plain, take
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import looked_at


@dataclass(frozen=True)
class Likelihood:
    """Mean negative log-likelihood per example in nats, its standard error, the number of examples, their
    dimensions.

    `bound` is "" for an exact likelihood; otherwise it names the bound ("ELBO", "IWAE-500"), and the figure is an upper
    bound on the NLL.
    """

    nats: float
    stderr: float
    n: int
    dims: int
    bound: str = ""

    @property
    def bits_per_dim(self) -> float:
        """The same figure in bits per dimension."""
        return bits_per_dim(self.nats, self.dims)

    def __str__(self) -> str:
        sign, kind = ("≤ ", f", {self.bound}") if self.bound else ("", "")
        details = f"({self.bits_per_dim:.3f} bits/dim, {self.n} examples{kind})"
        return f"{sign}{self.nats:.2f} ± {self.stderr:.2f} nats {details}"


def bits_per_dim(nats: float, dims: int) -> float:
    """Nats per example as bits per dimension: nats / (D ln 2).

    Example:
        >>> round(bits_per_dim(784 * math.log(256), 784), 6)  # uniform over 256 levels
        8.0
    """
    return nats / (dims * math.log(2))


def log_probs(model, dataset: Dataset, *, batch_size: int = 256) -> Tensor:
    """log p(x), or log p(x | y) for a class-conditional model, of every example of a data set.

    Args:
        model: anything with `log_prob(x, y=None) -> (B,)` in nats.
        dataset: examples (x, y), see `datasets.pairs.as_pairs`; of data that change at each access (augmented, drawn
            afresh), their fixed copy `plain`.
        batch_size: examples at a time; it changes the memory, not the result.

    Returns:
        float64 tensor (N,) on the CPU, in nats, in the order of the data set.

    Raises:
        TypeError: for a model without `log_prob`, or what is no data set.
    """
    check_scores(model, "log_prob")
    return _each(model, dataset, lambda x, *y: model.log_prob(x, *y), batch_size)


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
    network = isinstance(model, nn.Module)
    classes = network and bool(getattr(model, "n_classes", 0))
    device = next((p.device for p in model.parameters()), None) if network else None
    # a loader draws a seed for its workers even without any: from here, so that evaluating moves no global generator
    order = torch.Generator()
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch_size, generator=order, collate_fn=collate)
    with evaluation_mode(model if network else nn.Identity()):
        parts = []
        for x, y in loader:
            with looked_at() if parts else nullcontext():
                parts.append(figure(x.to(device), *([y.to(device)] if classes else [])))
    return torch.cat(parts).cpu().double()  # in one piece: each copy waits for the device


def evaluate(model, dataset: Dataset, *, k: int | None = None, seed: int = 0, batch_size: int = 256) -> Likelihood:
    """Mean negative log-likelihood of a data set, or an upper bound on it for a latent-variable model, dropout off.

    Args:
        model: see `log_probs`; a model with `elbo` is evaluated by `lower_bounds`.
        dataset: see `log_probs`.
        batch_size: see `log_probs`.
        k: importance samples of the bound, see `lower_bounds`; None for the ELBO.
        seed: of the draws of the bound.

    Returns:
        Likelihood in nats per example, whose `bound` says if it is one; the standard error is that of the mean over the
        examples.

    Raises:
        ValueError: for an empty data set, k for a model with an exact likelihood, or a figure that is not finite.
        TypeError: for a model with neither `log_prob` nor `elbo`, or what is no data set.
    """
    check_scores(model, "log_prob", "elbo")
    log_q, bound = _log_likelihoods(model, dataset, k, seed, batch_size)
    nll = -log_q
    if not torch.isfinite(nll).all():
        bad = int((~torch.isfinite(nll)).nonzero()[0])
        raise ValueError(
            f"the log-likelihood of example {bad} is {-nll[bad].item()}; the model diverged, train it again"
        )
    stderr = (nll.std() / math.sqrt(len(nll))).item() if len(nll) > 1 else math.nan
    return Likelihood(nll.mean().item(), stderr, len(nll), _dims(dataset), bound)


def _log_likelihoods(model, dataset: Dataset, k: int | None, seed: int, batch_size: int) -> tuple[Tensor, str]:
    """log q(x) of every example, exactly or by a lower bound, and the name of the bound."""
    if hasattr(model, "elbo"):
        values = lower_bounds(model, dataset, k=k, seed=seed, batch_size=batch_size)
        return values, "ELBO" if k is None else f"IWAE-{k}"
    if k is not None:
        raise ValueError(
            f"k={k} importance samples are for models with latents; {type(model).__name__} is exact: leave k out"
        )
    return log_probs(model, dataset, batch_size=batch_size), ""


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
    gap = log_probs(data, data, batch_size=batch_size) - log_q
    stderr = (gap.std() / math.sqrt(len(gap))).item() if len(gap) > 1 else math.nan
    return Likelihood(gap.mean().item(), stderr, len(gap), _dims(data), bound)


def _dims(dataset: Dataset) -> int:
    """Numbers of an example."""
    x, _ = take(plain(as_pairs(dataset)), [0])
    return x[0].numel()


class Uniform:
    """Every level of every pixel equally likely: D ln(levels) nats."""

    def __init__(self, levels: int):
        self.levels = levels

    def log_prob(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B,) nats."""
        return torch.full((len(x),), -x[0].numel() * math.log(self.levels), dtype=torch.float64)


class PixelMarginals:
    """Independent pixels, each with its own histogram over the levels.

    Args:
        x: LongTensor (N, C, H, W), the training images.
        levels: number of levels.
        smoothing: count that is added to every bin, so that no level has probability zero.
    """

    def __init__(self, x: Tensor, levels: int, smoothing: float = 0.2):
        cells = x.flatten(1) + levels * torch.arange(x[0].numel())  # (N, D): one histogram bin per pixel and level
        counts = torch.bincount(cells.flatten(), minlength=levels * x[0].numel()).double() + smoothing
        counts = counts.unflatten(0, (*x.shape[1:], levels))  # (C, H, W, levels)
        self.table = (counts / counts.sum(-1, keepdim=True)).log()

    def log_prob(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) -> (B,) nats."""
        table = self.table.expand(len(x), *self.table.shape)
        return table.gather(-1, x.unsqueeze(-1)).flatten(1).sum(1)


class ClassMarginals:
    """A mixture of pixel marginals, one for each class: log p(x) = log sum_y p(y) p(x | y).

    Args:
        x: training images LongTensor (N, C, H, W).
        y: their classes (N,).
        levels: see `PixelMarginals`.
        smoothing: see `PixelMarginals`.
    """

    def __init__(self, x: Tensor, y: Tensor, levels: int, smoothing: float = 0.2):
        classes, counts = y.unique(return_counts=True)
        self.prior = (counts / counts.sum()).double().log()
        self.parts = [PixelMarginals(x[y == c], levels, smoothing) for c in classes]

    def log_prob(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) -> (B,) nats."""
        return torch.stack([p + part.log_prob(x) for p, part in zip(self.prior, self.parts, strict=True)]).logsumexp(0)


def baselines(train: Dataset, dataset: Dataset) -> dict[str, Likelihood]:
    """The three baselines, fitted to `train` and evaluated on `dataset`: uniform, pixel marginals, class marginals.

    Args:
        train: data sets of this course, with `.x`, `.y` and `.levels`.
        dataset: data sets of this course, with `.x`, `.y` and `.levels`.

    Returns:
        {"uniform": ..., "pixel marginals": ..., "class marginals": ...}

    Raises:
        ValueError: for data of real numbers, which have no levels to count.
    """
    if train.levels is None:
        raise ValueError(
            f"expected data of whole levels, got {train.name} of real numbers; fit a density to them instead"
        )
    return {
        "uniform": evaluate(Uniform(train.levels), dataset),
        "pixel marginals": evaluate(PixelMarginals(train.x, train.levels), dataset),
        "class marginals": evaluate(ClassMarginals(train.x, train.y, train.levels), dataset),
    }
