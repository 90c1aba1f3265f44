"""Precision, recall, density and coverage of samples, from balls around points; equation (18.4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.evaluation.samples import density_coverage, precision_recall
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def prdc(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    """All four shares with the same k; see `precision_recall` and `density_coverage`.

    Args:
        real: (N, F).
        fake: (N, F).
        k: neighbors, 1..N-1.

    Returns:
        {"precision": ..., "recall": ..., "density": ..., "coverage": ...}.
    """
    return precision_recall(real, fake, k)._asdict() | density_coverage(real, fake, k)._asdict()


def _radii(x: Tensor, k: int) -> Tensor:
    return torch.cdist(x, x).sort(1).values[:, k]  # the point itself is at place 0


def _with(
    distance: Callable = torch.cdist,
    radii: Callable = _radii,
    inside: Callable = torch.le,
    change: Callable = lambda found, *_: {},
):
    """An answer with other radii, another border, or other results, functions of what is inside which balls."""

    def answer(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
        between = distance(real, fake)
        of_real = inside(between, radii(real, k)[:, None])  # [i, j]: sample j in the ball of data i
        of_fake = inside(between, radii(fake, k)[None])  # [i, j]: data i in the ball of sample j
        found = {
            "precision": of_real.any(0).double().mean().item(),
            "recall": of_fake.any(1).double().mean().item(),
            "density": of_real.sum().item() / (k * len(fake)),
            "coverage": of_real.any(1).double().mean().item(),
        }
        return found | change(found, of_real, of_fake, k)

    return answer


def _share(inside: Tensor, axis: int) -> float:
    return inside.any(axis).double().mean().item()


def _of_both(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    """Radii to the k-th neighbor in the other set."""
    between = torch.cdist(real, fake)
    of_real = between <= between.kthvalue(k, 1).values[:, None]
    of_fake = between <= between.kthvalue(k, 0).values[None]
    return {
        "precision": _share(of_real, 0),
        "recall": _share(of_fake, 1),
        "density": of_real.sum().item() / (k * len(fake)),
        "coverage": _share(of_real, 1),
    }


def _by_loop(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    def radius(points: Tensor, i: int) -> float:
        return sorted((points[i] - p).norm().item() for j, p in enumerate(points) if j != i)[k - 1] + 1e-12

    def hits(points: Tensor, others: Tensor) -> list[list[bool]]:
        radii = [radius(points, i) for i in range(len(points))]
        return [[(p - q).norm().item() <= r for q in others] for p, r in zip(points, radii, strict=True)]

    a, b = hits(real, fake), hits(fake, real)
    return {
        "coverage": sum(map(any, a)) / len(a),
        "density": sum(map(sum, a)) / k / len(fake),
        "precision": sum(map(any, zip(*a, strict=True))) / len(fake),
        "recall": sum(map(any, zip(*b, strict=True))) / len(real),
    }


def _by_topk(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    def radii(x: Tensor) -> Tensor:
        return torch.cdist(x, x).topk(k + 1, largest=False).values.amax(1, keepdim=True)

    a, b = torch.cdist(real, fake) <= radii(real), torch.cdist(fake, real) <= radii(fake)
    return {
        "precision": a.any(0).float().mean().item(),
        "recall": b.any(0).float().mean().item(),
        "density": a.float().mean().item() * len(real) / k,
        "coverage": a.any(1).float().mean().item(),
    }


def _whole(*shape: int, seed: int, spread: float = 2.0) -> Tensor:
    """Points with integer coordinates, whose distances are exact and often equal."""
    return (spread * random(*shape, seed=seed)).round()


REAL, FAKE = random(12, 2, seed=1), 0.8 * random(12, 2, seed=2) + 0.5
FAR = torch.cat([FAKE[:-1], FAKE[-1:] + 30])
ON = (
    torch.tensor([[0.0, 0.0], [2.0, 0.0], [9.0, 0.0], [9.0, 3.0]]),
    torch.tensor([[0.0, 2.0], [2.0, 3.0], [9.0, 6.0], [-20.0, 0.0]]),
)
BORDER = "Right except for a point exactly on the border of a ball: it counts as inside, <=."

EXERCISE = Exercise(
    name="prdc",
    lesson="18",
    reference=prdc,
    rule="The ball of a point reaches to its k-th other point of the same set. Precision, density and coverage use the "
    "balls of real, recall those of fake.",
    probes=[
        same(REAL, FAKE, 3),
        same(random(11, 3, seed=3), random(11, 3, seed=4), 2),
        same(REAL, FAR, 2),
        same(torch.cat([REAL[:-1], REAL[-1:] - 30]), FAKE, 3),
        same(REAL, FAKE, 1),
        same(random(9, 1, seed=5), 1.5 * random(9, 1, seed=6), 2),
        same(REAL, REAL + 100, 4),
        same(torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[0.5], [0.6], [20.0]]), 1),
        same(REAL.float(), REAL.float(), 3),
        edge(same(*ON, 1), BORDER),
        edge(same(_whole(10, 2, seed=7), _whole(10, 2, seed=8), 2), BORDER),
    ],
    mistakes=[
        (
            _with(radii=lambda x, k: torch.cdist(x, x).sort(1).values[:, k - 1]),
            "k counts the point itself, at distance 0: the radius reaches to the k-th *other* point.",
        ),
        (
            _with(radii=lambda x, k: torch.cdist(x, x).sort(1).values[:, min(k + 1, len(x) - 1)]),
            "The radius reaches to neighbor k + 1: the point itself is already at place 0 of the sorted distances.",
        ),
        (
            _with(change=lambda f, *_: {"precision": f["recall"], "recall": f["precision"]}),
            "Precision and recall are exchanged: precision is the share of samples that lie where data are.",
        ),
        (
            _with(change=lambda f, *_: {"density": f["coverage"], "coverage": f["density"]}),
            "Density and coverage are exchanged: coverage is a share of balls, density counts all hits.",
        ),
        (
            _with(change=lambda f, a, b, k: {"density": k * f["density"]}),
            "The density is not divided by k: a sample of the data's law lies in k balls on average.",
        ),
        (
            _with(change=lambda f, a, b, k: {"coverage": _share(b, 0)}),
            "The coverage uses balls around samples: take balls around data, which samples cannot blow up.",
        ),
        (
            _with(change=lambda f, *_: {"recall": f["coverage"]}),
            "The recall uses balls around data, which makes it the coverage: take balls around samples.",
        ),
        (
            _with(change=lambda f, a, b, k: {"precision": _share(b, 0)}),
            "The precision asks which samples' balls hold data: ask which samples lie in a ball around data.",
        ),
        (
            _with(change=lambda f, a, b, k: {"precision": _share(a, 1)}),
            "The precision counts balls that were hit, which is the coverage: count samples that hit a ball.",
        ),
        (
            _with(change=lambda f, a, b, k: {"coverage": _share(a, 0)}),
            "The coverage counts samples that hit a ball, which is the precision: count balls that were hit.",
        ),
        (
            _with(change=lambda f, a, b, k: {"recall": _share(b, 0)}),
            "The recall counts samples whose ball holds data: count data that lie in a ball around a sample.",
        ),
        (
            _with(change=lambda f, a, b, k: {"density": b.sum().item() / (k * len(b))}),
            "The density uses balls around samples: take balls around data.",
        ),
        (
            _with(change=lambda f, *_: {"density": min(1.0, f["density"])}),
            "The density is cut at 1: it may be larger, where samples crowd in the middle of the data.",
        ),
        (
            _with(change=lambda f, a, b, k: {"density": f["density"] * k / len(a)}),
            "The density is divided by the number of data, not by k.",
        ),
        (_of_both, "The radius is taken in the other set: it reaches to the k-th neighbor in the point's own set."),
        (
            _with(radii=lambda x, k: torch.cdist(x, x).sort(1).values[:, 1 : k + 1].mean(1)),
            "The radius is the mean distance of the k neighbors: it reaches to the k-th one.",
        ),
        (
            _with(radii=lambda x, k: _radii(x, k).mean().expand(len(x))),
            "All balls have the same radius: every point has its own.",
        ),
        (
            _with(distance=lambda x, y: torch.cdist(x, y) ** 2),
            "The distances between the sets are squared and the radii are not.",
        ),
        (_with(distance=lambda x, y: torch.cdist(x, y, p=1)), "Distances between the sets are sums of |differences|."),
        (
            _with(radii=lambda x, k: torch.cdist(x, x).sort(1, descending=True).values[:, k - 1]),
            "The radius reaches to the k-th farthest point: take the k-th nearest.",
        ),
        (
            _with(change=lambda f, a, b, k: {"precision": a.all(0).double().mean().item()}),
            "The precision asks for samples that lie in all balls: one ball is enough, any.",
        ),
        (_with(inside=torch.lt), BORDER),
    ],
    accepts=[_with(), _by_loop, _by_topk],
    speed=Speed(lambda: (torch.randn(60, 8), torch.randn(60, 8), 5)),
)
