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

from garm_course.inputs import check_settings


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
    return fid_from_stats(a.mean(0), _covariance(a), b.mean(0), _covariance(b))


def fid_from_stats(m1: Tensor, S1: Tensor, m2: Tensor, S2: Tensor) -> float:
    """Squared Fréchet distance of two Gaussians: |μ_1 - μ_2|² + tr(Σ_1 + Σ_2 - 2 (Σ_1^½ Σ_2 Σ_1^½)^½).

    Args:
        m1: (F,) mean.
        S1: (F, F) covariance: symmetric, no eigenvalue below 0; zero is allowed.
        m2: (F,) mean.
        S2: (F, F) covariance.

    Returns:
        At least 0, in squared units of the features.

    Raises:
        ValueError: for shapes that do not fit each other.

    Source:
        Dowson, Landau (1982), equation 4.

    Example:
        >>> fid_from_stats(torch.zeros(1), torch.eye(1), torch.ones(1), 4 * torch.eye(1))  # (0 - 1)² + (1 - 2)²
        2.0
    """
    if m1.ndim != 1 or m1.shape != m2.shape or not S1.shape == S2.shape == (len(m1), len(m1)):
        shapes = ", ".join(str(tuple(t.shape)) for t in (m1, S1, m2, S2))
        raise ValueError(f"expected means (F,) and covariances (F, F) of the same features, got shapes {shapes}")
    m1, S1, m2, S2 = (t.detach().double() for t in (m1, S1, m2, S2))
    root = _square_root(S1)
    # the eigenvalues of the symmetric Σ_1^½ Σ_2 Σ_1^½ are those of Σ_1 Σ_2
    crossed = torch.linalg.eigvalsh(root @ S2 @ root).clamp(min=0).sqrt().sum()
    return max(0.0, ((m1 - m2).square().sum() + S1.trace() + S2.trace() - 2 * crossed).item())


def frechet_at_infinity(a: Tensor, b: Tensor, *, rng: torch.Generator, points: int = 12) -> float:
    """The Fréchet distance that infinitely many examples would give: the line through FD against 1/n, at 1/n = 0.

    The bias of `frechet_distance` is proportional to 1/n once n is several times F. So it is measured at `points` sizes
    from N/4 to N, evenly spaced in 1/n, on rows drawn without replacement, and a least-squares line is extended to 0.

    Args:
        a: (N, F), N at least 4 (F + 1): a smaller covariance would be singular, and the line no line.
        b: (N, F).
        rng: of the rows, on the CPU.
        points: sizes, at least 3.

    Returns:
        In squared units of the features. An estimate, so it may be negative where the distributions agree.

    Raises:
        TypeError, ValueError: as for `frechet_distance`, for N below 4 (F + 1), or fewer than 3 points.

    Source:
        Chong, Forsyth (2020), "Effectively Unbiased FID and Inception Score and where to find them", arXiv 1911.07023.
    """
    check_settings(3, whole=True, points=points)
    a, b = _check(a, b, 2)
    n, f = a.shape
    if n < 4 * (f + 1):
        raise ValueError(f"expected at least {4 * (f + 1)} examples for {f} features, got {n}: draw more samples")
    inverse = torch.linspace(1 / n, 4 / n, points, dtype=torch.float64)
    found = []
    for size in (1 / inverse).round().long().tolist():
        rows = torch.stack([torch.randperm(n, generator=rng)[:size] for _ in range(2)])
        found.append(frechet_distance(a[rows[0]], b[rows[1]]))
    found, x = torch.tensor(found, dtype=torch.float64), inverse - inverse.mean()
    slope = (x * found).sum() / x.square().sum()
    return (found.mean() - slope * inverse.mean()).item()


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


def inception_score(probs: Tensor) -> float:
    """How sure a classifier is of each sample, and how evenly the classes occur: exp(H(mean p) - mean H(p)).

    It never looks at data, and sees one image of each class, a thousand times, as the best set of samples.

    Args:
        probs: (N, K) class probabilities of the samples, each row with sum 1.

    Returns:
        In [1, K]: 1 where all rows are equal, K where every row is certain and all K classes are equally frequent. The
        estimate depends on N, as the entropy of the mean does; no splits are made.

    Raises:
        TypeError, ValueError: for what is no table of probabilities, or has no rows.

    Source:
        Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen (2016), "Improved Techniques for Training GANs", arXiv
        1606.03498, section 4; what it misses: Barratt, Sharma (2018), "A Note on the Inception Score", arXiv
        1801.01973.

    Example:
        >>> round(inception_score(torch.eye(4)), 6), inception_score(torch.full((4, 4), 0.25))
        (4.0, 1.0)
    """
    _check_floats("probabilities", probs)
    if len(probs) == 0 or probs.min() < 0 or (probs.double().sum(1) - 1).abs().max() > 1e-4:
        raise ValueError("expected at least one row of probabilities >= 0 with sum 1; take logits.softmax(1)")
    probs = probs.detach().double().cpu()
    entropies = [torch.special.entr(p).sum(-1) for p in (probs.mean(0), probs)]
    return math.exp((entropies[0] - entropies[1].mean()).item())


class TwoSample(NamedTuple):
    """Share of held-out examples that a classifier assigns to the right set, and how many standard errors above ½."""

    accuracy: float
    z: float


def c2st(a: Tensor, b: Tensor, *, rng: torch.Generator) -> TwoSample:
    """Classifier two-sample test: can logistic regression tell two sets apart on examples that it was not fitted on?

    Half of each set, drawn at random, fits the regression on standardized features; the other halves, N examples in
    all, are classified. For equal distributions the accuracy is ½ ± 1.96 / (2 √N) in 95 % of cases.

    Args:
        a: (N, F), N even and at least 4.
        b: (N, F).
        rng: of the halves, on the CPU.

    Returns:
        TwoSample: accuracy in [0, 1], and z = (accuracy - ½) 2 √N.

    Raises:
        TypeError, ValueError: as for `frechet_distance`, or an odd or smaller N.

    Source:
        Lopez-Paz, Oquab (2017), "Revisiting Classifier Two-Sample Tests", arXiv 1610.06545, section 3.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    a, b = _check(a, b, 4)
    n = len(a)
    if n % 2:
        raise ValueError(f"expected an even number of examples, so that halves are equal, got {n}; leave one out")
    fit, test = zip(*(x[torch.randperm(n, generator=rng)].chunk(2) for x in (a, b)), strict=True)
    labels = [0] * (n // 2) + [1] * (n // 2)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    accuracy = classifier.fit(torch.cat(fit).numpy(), labels).score(torch.cat(test).numpy(), labels)
    return TwoSample(float(accuracy), (accuracy - 0.5) * 2 * math.sqrt(n))


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


class Standing(NamedTuple):
    """A model in a comparison: its figure, the ends of the 95 % interval, and the share of resamples that it wins."""

    value: float
    low: float
    high: float
    wins: float


def leaderboard(
    metric: Callable[[Tensor, Tensor], float],
    real: Tensor,
    samples: dict[str, Tensor],
    n: int,
    n_boot: int,
    gen: torch.Generator,
) -> dict[str, Standing]:
    """Compare models by one metric: equally many examples of each, resampled together.

    Every set is cut to its first n rows. In each of n_boot resamples, n rows of the data are drawn with replacement,
    once for all models, then n rows of each model, in the order of the dictionary: what a lucky draw of data does to
    one model it does to all, and cancels in the comparison. As in `bootstrap`, only the spread is used.

    Args:
        metric: (real, fake), both (n, F) -> number; smaller is better.
        real: (N, F), N at least n.
        samples: name -> (M, F), each M at least n.
        n: rows of every set that count, at least 2.
        n_boot: resamples, at least 2.
        gen: of the draws, on the CPU.

    Returns:
        name -> Standing(value, low, high, wins), in the metric's unit; `wins` is the share of resamples in which the
        model has the smallest value (the first such model, if several have), with sum 1.

    Raises:
        TypeError, ValueError: without models, for sets with fewer than n rows or other features, or settings below 2.

    Source:
        Efron, Tibshirani (1993), "An Introduction to the Bootstrap", chapters 8 and 13.
    """
    check_settings(2, whole=True, n=n, n_boot=n_boot)
    if not samples:
        raise ValueError("expected samples of at least one model, got none")
    real, *rest = (_first_rows(name, x, n) for name, x in {"the data": real, **samples}.items())
    sets = {name: _check(real, x, 2)[1] for name, x in zip(samples, rest, strict=True)}
    real = real.detach().double().cpu()
    draws = []
    for _ in range(n_boot):
        resampled = real[torch.randint(n, (n,), generator=gen)]
        draws.append([metric(resampled, x[torch.randint(n, (n,), generator=gen)]) for x in sets.values()])
    table = torch.tensor(draws, dtype=torch.float64)  # (n_boot, models)
    half, wins = 1.96 * table.std(0), table.argmin(1).bincount(minlength=len(sets)).double() / n_boot
    board = {}
    for k, (name, x) in enumerate(sets.items()):
        value = float(metric(real, x))
        board[name] = Standing(value, value - half[k].item(), value + half[k].item(), wins[k].item())
    return board


def _first_rows(name: str, x: Tensor, n: int) -> Tensor:
    _check_floats(name, x)
    if len(x) < n:
        raise ValueError(f"expected at least n={n} rows of {name}, got {len(x)}: compare at a size that all have")
    return x[:n]


def _covariance(x: Tensor) -> Tensor:
    """(F, F), unbiased, of (N, F)."""
    return x.T.cov().reshape(x.shape[1], -1)


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
