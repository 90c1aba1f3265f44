"""Who is beaten on every axis, and who is a compromise: the Pareto front; equation (21.6)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def pareto_front(points: Tensor) -> Tensor:
    """Indices of the points that no other point dominates.

    A point dominates another if it is at most as large on every axis, and smaller on at least one.

    Args:
        points: (N, d), smaller is better on every axis.

    Returns:
        LongTensor of indices, ascending.

    >>> pareto_front(torch.tensor([[1.0, 3.0], [2.0, 2.0], [2.0, 4.0], [3.0, 1.0]]))
    tensor([0, 1, 3])
    """
    no_worse = (points[None] <= points[:, None]).all(2)  # [i, j]: point j is no worse than point i on every axis
    better = (points[None] < points[:, None]).any(2)
    return (~(no_worse & better).any(1)).nonzero().flatten()


def _with(no_worse=lambda p, q: bool((q <= p).all()), better=lambda p, q: bool((q < p).any()),
          keep=lambda beaten: not beaten):  # fmt: skip
    """An answer with another part: q beats p."""

    def answer(points: Tensor) -> list[int]:
        return [
            i
            for i, p in enumerate(points)
            if keep(any(no_worse(p, q) and better(p, q) for j, q in enumerate(points) if j != i))
        ]

    return answer


def _as_set(points: Tensor) -> set[int]:
    front = set(range(len(points)))
    for i in range(len(points)):
        for j in range(len(points)):
            if (points[j] <= points[i]).all() and (points[j] < points[i]).any():
                front.discard(i)
    return front


def _row_by_row(points: Tensor) -> list[int]:
    return [i for i, p in enumerate(points) if not bool((((points - p) <= 0).all(1) & ((points - p) < 0).any(1)).any())]


def _best_per_axis(points: Tensor) -> list[int]:
    return sorted({int(i) for column in points.T for i in (column == column.min()).nonzero()})


def _no_ties(points: Tensor) -> list[int]:
    seen, kept = set(), []
    for i in pareto_front(points).tolist():
        if (values := tuple(points[i].tolist())) not in seen:
            seen.add(values)
            kept.append(i)
    return kept


def _first_two(points: Tensor) -> Tensor:
    return pareto_front(points[:, :2])


def _swept(points: Tensor) -> list[int]:
    """Right for two axes without ties, by sorting; wrong for more."""
    best, front = torch.inf, []
    for i in sorted(range(len(points)), key=lambda i: points[i].tolist()):
        if points[i, -1] < best:
            front.append(i)
            best = points[i, -1].item()
    return sorted(front)


def _indices(answer: Callable, points: Tensor) -> list[int]:
    """The indices in order, whatever holds them; something else as it is."""
    found = answer(points)
    if isinstance(found, Tensor) and found.dtype != torch.bool and found.ndim == 1 and not found.is_floating_point():
        found = found.tolist()
    if not isinstance(found, list | tuple | set) or not all(isinstance(i, int | Tensor) for i in found):
        return found
    return sorted(int(i) for i in found)


SIX = torch.tensor([[1.0, 5.0], [2.0, 3.0], [2.0, 3.0], [3.0, 3.0], [4.0, 1.0], [5.0, 4.0]])
MANY = random(40, 3, seed=3)
COLUMN = torch.stack([torch.full((5,), 2.0), torch.tensor([3.0, 1.0, 2.0, 1.0, 4.0])], 1)
EQUAL = torch.ones(4, 2)

EXERCISE = Exercise(
    name="pareto_front",
    lesson="21",
    reference=pareto_front,
    rule="Point j beats point i if points[j] <= points[i] on every axis and points[j] < points[i] on at least one. "
    "Return the indices of all points that nobody beats.",
    probes=[
        same(SIX, use=_indices),
        same(MANY, use=_indices),
        same(COLUMN, use=_indices),
        same(torch.tensor([[1.0, 3.0], [2.0, 2.0], [2.0, 4.0], [3.0, 1.0]]), use=_indices),
        same(random(25, 2, seed=8) - 5, use=_indices),
        edge(same(EQUAL, use=_indices), "Right except where all points are equal: nobody beats an equal, so all stay."),
        edge(same(SIX[:1], use=_indices), "Right except for a single point, which nobody beats."),
    ],
    mistakes=[
        (_with(lambda p, q: bool((q >= p).all()), lambda p, q: bool((q > p).any())), "Large is good here: minimize."),
        (
            _with(no_worse=lambda p, q: bool((q < p).all()), better=lambda p, q: True),
            "Only points that are smaller on every axis beat: equal on one axis and smaller on another beats, too.",
        ),
        (
            _with(better=lambda p, q: True),
            "Equal points beat each other: a point that beats is smaller on at least one axis.",
        ),
        (_no_ties, "Of equal points only the first is kept: nobody beats an equal, so all of them stay."),
        (
            _best_per_axis,
            "Only the best of each axis are kept: a compromise that nobody beats on all axes is on the front as well.",
        ),
        (
            lambda points: [int(points.sum(1).argmin())],
            "The smallest sum wins: units do not add, and the front has no weights.",
        ),
        (
            _with(no_worse=lambda p, q: True),
            "One axis is enough to beat: the other axes must be no worse.",
        ),
        (_with(keep=lambda beaten: beaten), "These are the points that are beaten: return the others."),
        (_first_two, "Only the first two axes are compared: use all of them."),
        (_swept, "A sweep along the first axis: it is right for two axes without ties only."),
        (
            lambda points: points[pareto_front(points)],
            "These are the points themselves: return their indices.",
        ),
        (
            lambda points: len(pareto_front(points)),
            "This is the number of points on the front: return their indices.",
        ),
        (
            lambda points: torch.zeros(len(points), dtype=torch.bool).index_fill(0, pareto_front(points), True),
            "This is a mask: return the indices, mask.nonzero().flatten().",
        ),
        (
            _with(no_worse=lambda p, q: bool((q <= p).sum() > len(p) / 2), better=lambda p, q: bool((q < p).any())),
            "Most axes are enough to beat: all of them must be no worse.",
        ),
        (
            _with(lambda p, q: bool(q.norm() < p.norm()), lambda p, q: True),
            "The distance to the origin decides: units do not add, compare axis by axis.",
        ),
    ],
    accepts=[_with(), _as_set, _row_by_row],
    speed=Speed(lambda: (torch.rand(60, 3),), use=_indices),
)
