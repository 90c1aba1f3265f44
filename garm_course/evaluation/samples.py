"""How far samples are from data: distances between two sets of features, and counts of the modes that were reached.

A set of features is a float tensor (N, F), such as `features(classifier, x)`, and both sets have the same N: every
estimate here depends on the number of examples, so that unequal numbers do not compare. A distance is measured in the
units of the features; it compares models only in the same features, on the same data, at the same N.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet distance of the Gaussians with the means and covariances of two sets of features.

    |μ_a - μ_b|² + tr(Σ_a + Σ_b - 2 (Σ_a^½ Σ_b Σ_a^½)^½), with unbiased covariances. It sees two moments only, and is
    biased upwards: two halves of one data set are apart by more than 0, the more the fewer examples there are.

    Args:
        a: (N, F), N at least 2.
        b: (N, F), N at least 2.

    Returns:
        At least 0, in squared units of the features.

    Raises:
        TypeError, ValueError: for what are no two sets of equally many features.

    Source:
        Dowson, Landau (1982), "The Fréchet distance between multivariate normal distributions"; for samples: Heusel et
        al. (2017), arXiv 1706.08500 (FID, in other features).

    Example:
        >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
        >>> round(frechet_distance(x, x + 2), 6)  # a shift by 2 in each of three dimensions
        12.0
    """
    a, b = _check(a, b, 2)
    root = _square_root(a.T.cov().reshape(a.shape[1], -1))
    second = b.T.cov().reshape(a.shape[1], -1)
    # the eigenvalues of the symmetric Σ_a^½ Σ_b Σ_a^½ are those of Σ_a Σ_b
    crossed = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    means = (a.mean(0) - b.mean(0)).square().sum()
    return max(0.0, (means + root.square().sum() + second.trace() - 2 * crossed).item())


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y / F + 1)³, without bias: it may be negative.

    Args:
        a: (N, F), N at least 2.
        b: (N, F), N at least 2.

    Returns:
        An estimate whose expectation is 0 exactly where the distributions agree in their first three moments.

    Raises:
        TypeError, ValueError: as for `frechet_distance`.

    Source:
        Binkowski, Sutherland, Arbel, Gretton (2018), "Demystifying MMD GANs", arXiv 1801.01401, section 4.
    """
    a, b = _check(a, b, 2)
    n, f = a.shape

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / f + 1) ** 3

    within = sum((k.sum() - k.trace()) / (n * (n - 1)) for k in (kernel(a, a), kernel(b, b)))
    return (within - 2 * kernel(a, b).mean()).item()


class PrecisionRecall(NamedTuple):
    """Precision: share of samples that lie where data are. Recall: share of data that lie where samples are."""

    precision: float
    recall: float


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> PrecisionRecall:
    """How realistic samples are, and how much of the data they reach, apart from each other.

    A set covers the balls around its points that reach to their k-th neighbor in the set.

    Args:
        real: (N, F), N at least k + 1.
        fake: (N, F), N at least k + 1.
        k: neighbors, at least 1.

    Returns:
        PrecisionRecall, both in [0, 1].

    Raises:
        TypeError, ValueError: as for `frechet_distance`, or k < 1.

    Source:
        Kynkäänniemi, Karras, Laine, Lehtinen, Aila (2019), arXiv 1904.06991, section 2.
    """
    real, fake = _check(real, fake, _neighbors(k) + 1)
    between = torch.cdist(real, fake)  # (N real, N fake)
    precision = (between <= _radii(real, k)[:, None]).any(0).double().mean()
    recall = (between <= _radii(fake, k)[None]).any(1).double().mean()
    return PrecisionRecall(precision.item(), recall.item())


class DensityCoverage(NamedTuple):
    """Density: how many balls of data hold a sample, over k; about 1 for good samples. Coverage: share of balls hit."""

    density: float
    coverage: float


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> DensityCoverage:
    """Precision and recall with the balls around data only, which outliers among the samples cannot blow up.

    Args:
        real: (N, F), N at least k + 1.
        fake: (N, F), N at least k + 1.
        k: neighbors, at least 1.

    Returns:
        DensityCoverage: density at least 0 (not bounded by 1), coverage in [0, 1]; for data against data the expected
        coverage is about 1 - 2^-k.

    Raises:
        TypeError, ValueError: as for `frechet_distance`, or k < 1.

    Source:
        Naeem, Oh, Uh, Choi, Yoo (2020), "Reliable Fidelity and Diversity Metrics for Generative Models", arXiv
        2002.09797, equations 4 and 5.
    """
    real, fake = _check(real, fake, _neighbors(k) + 1)
    inside = torch.cdist(real, fake) <= _radii(real, k)[:, None]
    return DensityCoverage(inside.double().sum(0).mean().item() / k, inside.any(1).double().mean().item())


class ModeCounts(NamedTuple):
    """Samples near each mode, the number of modes with at least one, and the share of samples near any."""

    counts: Tensor  # LongTensor (K,)
    covered: int
    share: float


def mode_counts(x: Tensor, centers: Tensor, radius: float) -> ModeCounts:
    """Assign each sample to the nearest center, if that is near.

    Args:
        x: (N, D) samples.
        centers: (K, D) of the modes.
        radius: what counts as near; three standard deviations of a mode in the plane hold 98.9 % of its points.

    Returns:
        ModeCounts.

    Raises:
        TypeError, ValueError: for other shapes, no samples, NaN, or a radius that is not above 0.

    Example:
        >>> mode_counts(torch.tensor([[0.1], [0.2], [5.0]]), torch.tensor([[0.0], [1.0]]), radius=0.3)
        ModeCounts(counts=tensor([2, 0]), covered=1, share=0.6666666666666666)
    """
    for name, points in (("samples", x), ("centers", centers)):
        _check_floats(name, points)
    if x.shape[1] != centers.shape[1] or len(x) == 0 or len(centers) == 0:
        raise ValueError(
            f"expected samples (N, D) and centers (K, D), none empty, got {tuple(x.shape)} and {tuple(centers.shape)}"
        )
    if not radius > 0:
        raise ValueError(f"expected a radius above 0, got {radius}")
    nearest = torch.cdist(x.double(), centers.double().to(x.device)).min(1)
    near = nearest.values <= radius
    counts = nearest.indices[near].bincount(minlength=len(centers))
    return ModeCounts(counts, int((counts > 0).sum()), near.double().mean().item())


def expected_distinct(weights: Tensor, n: int) -> float:
    """How many different outcomes n independent draws are expected to show: Σ 1 - (1 - w_k)^n.

    What an exact count of the prototypes that a generator of `glyphs` has drawn is to be compared with.

    Args:
        weights: (K,) probabilities, sum 1.
        n: draws.

    Example:
        >>> expected_distinct(torch.full((2,), 0.5), 2)
        1.5
    """
    _check_floats("weights", weights[None] if weights.ndim == 1 else weights)
    if weights.ndim != 1 or weights.min() < 0 or not math.isclose(weights.sum().item(), 1, abs_tol=1e-4) or n < 0:
        raise ValueError("expected probabilities (K,) that sum to 1, and n >= 0 draws")
    return (1 - (1 - weights.double()) ** n).sum().item()


class Interval(NamedTuple):
    """A figure with the ends of its interval."""

    value: float
    low: float
    high: float


def bootstrap(
    metric: Callable[[Tensor, Tensor], float], a: Tensor, b: Tensor, n: int = 200, *, rng: torch.Generator
) -> Interval:
    """A metric of two sets with a 95 % interval: value ± 1.96 standard deviations over resampled sets.

    Both sets are drawn again, with replacement, n times. Doubled examples shift some metrics (a Fréchet distance
    upwards), which would shift the percentiles; so only the spread of the n values is used, around the value itself.

    Args:
        metric: (a, b) -> number.
        a: (N, F).
        b: (N, F).
        n: resampled pairs, at least 2.
        rng: of the draws, on the CPU.

    Returns:
        Interval(value, low, high), in the metric's unit.

    Raises:
        TypeError, ValueError: as for `frechet_distance`, or n < 2.

    Source:
        Efron, Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13 (the standard interval).
    """
    if n < 2:
        raise ValueError(f"expected at least 2 resampled pairs, got n={n}")
    a, b = _check(a, b, 2)
    value = metric(a, b)
    values = []
    for _ in range(n):
        rows = torch.randint(len(a), (2, len(a)), generator=rng)
        values.append(metric(a[rows[0]], b[rows[1]]))
    half = 1.96 * torch.tensor(values, dtype=torch.float64).std().item()
    return Interval(value, value - half, value + half)


def _square_root(matrix: Tensor) -> Tensor:
    """Of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _radii(x: Tensor, k: int) -> Tensor:
    """(N,) distance of each point to its k-th neighbor in the same set, itself left out."""
    own = torch.cdist(x, x)
    own.fill_diagonal_(math.inf)
    return own.kthvalue(k, dim=1).values


def _neighbors(k: int) -> int:
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"expected k >= 1 neighbors (an integer), got {k!r}")
    return k


def _check(a: Tensor, b: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Both sets in float64 on the CPU."""
    for name, x in (("first set", a), ("second set", b)):
        _check_floats(name, x)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"expected the same features in both sets, got {a.shape[1]} and {b.shape[1]} of them")
    if len(a) != len(b):
        raise ValueError(
            f"expected sets of equal size, got {len(a)} and {len(b)}: the estimate depends on it; cut the larger one"
        )
    if len(a) < least:
        raise ValueError(f"expected at least {least} examples in each set, got {len(a)}")
    return a.detach().double().cpu(), b.detach().double().cpu()


def _check_floats(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise TypeError(f"expected floating-point numbers as {name}, got {got}")
    if x.ndim != 2:
        raise ValueError(f"expected a table (N, F) as {name}, got shape {tuple(x.shape)}")
    if not torch.isfinite(x).all():
        raise ValueError(f"expected finite numbers as {name}, got NaN or infinity")
