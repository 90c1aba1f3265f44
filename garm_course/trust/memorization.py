"""Does a model repeat its training data? Nearest neighbors, a copy test, and canaries that were planted to be found.

That a sample resembles a training image says nothing alone: a test image may resemble it as much. Both tests here
compare with what was not trained on: `copy_test` with held-out data, `exposure` with canaries that were not planted.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from garm_course.inputs import check_settings
from garm_course.trust.ranks import check_numbers, null_deviation, share_below


class Nearest(NamedTuple):
    """Of each example its distance to the nearest of another set, float64 (A,), and which that is, LongTensor (A,)."""

    distance: Tensor
    index: Tensor


def nearest(a: Tensor, b: Tensor, batch_size: int = 256) -> Nearest:
    """The nearest neighbor of each example of one set in another, in Euclidean distance.

    Args:
        a: (A, ...) examples: levels, or features.
        b: (B, ...) examples of the same shape.
        batch_size: examples of `a` at a time; it changes the memory, not the result.

    Returns:
        Nearest: distances in the unit of the examples, 0 exactly for equal ones; of several at one distance, any.

    Raises:
        TypeError, ValueError: for what are no two sets of examples of one shape, an empty set, or NaN.

    Example:
        >>> nearest(torch.tensor([[0.0, 0.0]]), torch.tensor([[9.0, 9.0], [3.0, 4.0]]))
        Nearest(distance=tensor([5.], dtype=torch.float64), index=tensor([1]))
    """
    a, b = _flat("the first set", a), _flat("the second set", b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"expected examples of one size in both sets, got {a.shape[1]} and {b.shape[1]} numbers; "
            "take the same features of both"
        )
    squares, distances, indices = b.square().sum(1), [], []
    for part in a.split(batch_size):
        index = (squares - 2 * part @ b.T).argmin(1)
        distances.append((part - b[index]).square().sum(1).sqrt())  # from the difference, so that 0 is 0
        indices.append(index)
    return Nearest(torch.cat(distances), torch.cat(indices))


class Copying(NamedTuple):
    """Share of the pairs in which a sample is nearer to the training data than a test example; z under equal laws."""

    share: float
    z: float


def copy_test(
    train: Tensor, test: Tensor, samples: Tensor, cells: tuple[Tensor, Tensor, Tensor] | None = None
) -> Copying:
    """Whether samples lie nearer to the training data than test data do; equation (19.1).

    The share of all pairs (s, t) of a sample and a test example with d(s, train) < d(t, train), ties counted half. For
    samples of the law of the data it is 1/2, up to chance. A model that copies is above; but so blurred or noisy
    samples are below, and a model that draws badly and copies may have any share: look at the quality beside it.

    In cells of the space (digits, clusters) samples are compared with test examples of the same cell, by their
    distance to its training data, so that copies in one cell are not hidden by bad samples in another. Each
    cell weighs S T / (S + T + 1), for its S samples and T test examples (van Elteren); one that has no sample, no test
    or no training example is left out.

    Args:
        train: (N, ...) levels or features.
        test: (T, ...), of the same law and not trained on.
        samples: (S, ...) of the model.
        cells: LongTensors (N,), (T,), (S,) of cells; None for one.

    Returns:
        Copying: share in [0, 1], and z, the standard normal deviate of the share under equal laws (Mann and Whitney,
        with ties), for independent test examples.

    Raises:
        TypeError, ValueError: as for `nearest`, for cells of other lengths, or none in which all three sets have
            examples.

    Source:
        Meehan, Chaudhuri, Dasgupta (2020), "A Non-Parametric Test to Detect Data-Copying in Generative Models", arXiv
        2004.05675, sections 2 and 3; there a positive z means underfitting, here copying.

    Example:
        >>> train, test = torch.tensor([[0.0], [4.0]]), torch.tensor([[1.0], [2.0]])
        >>> copy_test(train, test, samples=train).share
        1.0
    """
    sets = {"train": train, "test": test, "samples": samples}
    if cells is None:
        cells = tuple(torch.zeros(len(x), dtype=torch.long) for x in sets.values())
    if len(cells) != 3 or any(cell.shape != (len(x),) for cell, x in zip(cells, sets.values(), strict=True)):
        raise ValueError(
            f"expected a cell for each example, LongTensors of {', '.join(str(len(x)) for x in sets.values())}, got "
            f"{', '.join(str(tuple(cell.shape)) for cell in cells)}"
        )
    weights, shares, variances = [], [], []
    for cell in cells[0].unique():
        x, t, s = (one[of == cell] for one, of in zip(sets.values(), cells, strict=True))
        if len(t) and len(s):
            of_samples, of_test = nearest(s, x).distance, nearest(t, x).distance
            weights.append(len(s) * len(t) / (len(s) + len(t) + 1))
            shares.append(share_below(of_samples, of_test))
            variances.append(null_deviation(of_samples, of_test) ** 2)
    if not weights:
        raise ValueError("expected a cell with training, test and sampled examples, got none; choose larger cells")
    w = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    share = (w * torch.tensor(shares, dtype=torch.float64)).sum().item()
    deviation = math.sqrt((w.square() * torch.tensor(variances, dtype=torch.float64)).sum())
    return Copying(share, (share - 0.5) / deviation if deviation else 0.0)


def make_canaries(x: Tensor, changed: int, levels: int, rng: torch.Generator) -> Tensor:
    """Examples in which some positions, chosen at random, are set to random levels: canaries, and their references.

    Canaries and references must have one law: make them from the same held-out examples, and plant some at random.

    Args:
        x: LongTensor (N, *shape) of levels.
        changed: how many positions, from 1 to all of them.
        levels: number of levels.
        rng: source of the positions and levels.

    Returns:
        LongTensor (N, *shape).

    Raises:
        TypeError, ValueError: for what are no examples of levels, or `changed` out of range.

    Source:
        Carlini, Liu, Erlingsson, Kos, Song (2019), "The Secret Sharer", arXiv 1802.08232, section 4.
    """
    _flat("x", x)
    if x.dtype != torch.long:
        raise TypeError(f"expected a LongTensor of levels as x, got a tensor of {x.dtype}; use x.long() on levels")
    d = x[0].numel()
    check_settings(1, whole=True, changed=changed, levels=levels)
    if changed > d:
        raise ValueError(f"changed={changed} is out of range: an example has {d} positions; change fewer")
    places = torch.rand(len(x), d, generator=rng).argsort(1)[:, :changed]
    values = torch.randint(levels, (len(x), changed), generator=rng)
    return x.flatten(1).scatter(1, places, values).reshape(x.shape)


def plant(x: Tensor, canaries: Tensor, repeats: Sequence[int]) -> Tensor:
    """Training data with canaries added, each as often as is said.

    Args:
        x: (N, *shape) training data.
        canaries: (M, *shape), none of which is in the training data or there twice.
        repeats: M counts, at least 0.

    Returns:
        (N + sum of the repeats, *shape): the training data, then the canaries.

    Raises:
        TypeError, ValueError: for other shapes or counts, or canaries that are in the training data.
    """
    if len(repeats) != len(canaries) or min(repeats) < 0:
        raise ValueError(f"expected {len(canaries)} counts of at least 0, one for each canary, got {list(repeats)}")
    known = (nearest(canaries, x).distance == 0).nonzero().flatten().tolist()
    if known:
        raise ValueError(
            f"canary {known[0]} is in the training data, so that finding it proves nothing; draw another one"
        )
    if len(deduplicate(canaries)) < len(canaries):
        raise ValueError("expected canaries that differ, got one twice; count it in `repeats` instead")
    return torch.cat([x, canaries.repeat_interleave(torch.tensor(repeats), 0)])


def deduplicate(x: Tensor) -> Tensor:
    """The examples without repetitions, in the order in which each comes first.

    Exact repetitions only: of text and photographs also near ones are removed, see the source.

    Args:
        x: (N, ...) examples.

    Source:
        Lee et al. (2022), "Deduplicating Training Data Makes Language Models Better", arXiv 2107.06499.

    Example:
        >>> deduplicate(torch.tensor([[2], [1], [2]])).tolist()
        [[2], [1]]
    """
    flat = _flat("x", x)
    group = flat.unique(dim=0, return_inverse=True)[1]
    first = torch.full((int(group.max()) + 1,), len(x)).scatter_reduce(0, group, torch.arange(len(x)), "amin")
    return x[first.sort().values.to(x.device)]


def exposure(canary_nll: Tensor, ref_nll: Tensor) -> Tensor:
    """How far a model prefers a canary to others of its kind: log2(R + 1) - log2(rank) bits; equation (19.2).

    The rank is 1 + the number of references with a lower negative log-likelihood. Without memorization all R + 1 ranks
    are equally likely, and the mean is close to 1 / ln 2 = 1.443 bits.

    Args:
        canary_nll: (M,) nats of canaries.
        ref_nll: (R,) nats of references of the same law that were not trained on.

    Returns:
        (M,) float64 bits from 0 to log2(R + 1).

    Raises:
        TypeError, ValueError: for what are no numbers (N,), none, or NaN.

    Source:
        Carlini, Liu, Erlingsson, Kos, Song (2019), arXiv 1802.08232, section 4.

    Example:
        >>> exposure(torch.tensor([1.0, 3.5]), torch.tensor([2.0, 3.0, 4.0]))
        tensor([2.0000, 0.4150], dtype=torch.float64)
    """
    canary_nll, ref_nll = check_numbers(canary_nll=canary_nll, ref_nll=ref_nll)
    rank = 1 + torch.searchsorted(ref_nll.sort().values, canary_nll)  # left: those that are equal are not lower
    return math.log2(len(ref_nll) + 1) - rank.double().log2()


def _flat(name: str, x: Tensor) -> Tensor:
    """Examples (N, ...) as float64 (N, D) on the CPU."""
    if not isinstance(x, Tensor) or x.is_complex():
        got = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise TypeError(f"expected examples (N, ...) as {name}, got {got}; use a tensor of levels or features")
    if x.ndim < 2 or not x.numel():
        raise ValueError(f"expected examples (N, ...) as {name}, at least one, got shape {tuple(x.shape)}")
    x = x.detach().double().cpu().flatten(1)
    if not torch.isfinite(x).all():
        raise ValueError(f"expected finite numbers as {name}, got NaN or infinity")
    return x
