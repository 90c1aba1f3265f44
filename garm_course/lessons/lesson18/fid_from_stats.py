"""The Fréchet distance of two Gaussians from their means and covariances; equation (18.1)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.evaluation.samples import fid_from_stats
from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _cross(S1: Tensor, S2: Tensor) -> Tensor:
    """tr (S1 S2)^½."""
    root = _root(S1)
    return torch.linalg.eigvalsh(root @ S2 @ root).clamp(min=0).sqrt().sum()


def _with(
    means: Callable = lambda m1, m2: (m1 - m2).square().sum(),
    traces: Callable = lambda S1, S2: S1.trace() + S2.trace(),
    cross: Callable = _cross,
    weight: float = 2.0,
):
    """An answer with another part."""

    def answer(m1: Tensor, S1: Tensor, m2: Tensor, S2: Tensor) -> float:
        return (means(m1, m2) + traces(S1, S2) - weight * cross(S1, S2)).item()

    return answer


def _by_product(m1: Tensor, S1: Tensor, m2: Tensor, S2: Tensor) -> float:
    cross = torch.linalg.eigvals((S1 @ S2).double()).real.clamp(min=0).sqrt().sum()
    return ((m1 - m2).square().sum() + torch.trace(S1 + S2) - 2 * cross).item()


def _by_singular_values(m1: Tensor, S1: Tensor, m2: Tensor, S2: Tensor) -> float:
    cross = torch.linalg.svdvals(_root(S1.double()) @ _root(S2.double())).sum()
    return float((m1 - m2).pow(2).sum() + S1.trace() + S2.trace() - 2 * cross)


def _by_numpy(m1: Tensor, S1: Tensor, m2: Tensor, S2: Tensor) -> float:
    import numpy as np

    product = S1.double().numpy() @ S2.double().numpy()
    cross = np.sqrt(np.linalg.eigvals(product).astype(complex)).real.sum()
    return float(((m1 - m2) ** 2).sum() + S1.diagonal().sum() + S2.diagonal().sum()) - 2 * float(cross)


def _gaussians(f: int, seed: int, rank: int = 0) -> tuple[Tensor, ...]:
    """Means (f,) and covariances (f, f), of full rank unless told otherwise."""
    factors = (random(f, rank or f + 2, seed=seed + k) for k in (0, 1))
    S1, S2 = (a @ a.T for a in factors)
    return random(f, seed=seed + 2), S1, random(f, seed=seed + 3), S2


FULL = _gaussians(3, seed=10)
M, S, M2, _ = FULL
DIAGONAL = (M, torch.diag(torch.tensor([0.49, 2.25, 6.25]).double()), M2, torch.diag(torch.tensor([1.69, 0.04, 9.61])))
SINGULAR = (
    "Wrong or NaN only where a covariance is singular: rounding makes an eigenvalue slightly negative, and its root "
    "NaN; use .clamp(min=0) before the root."
)

EXERCISE = Exercise(
    name="fid_from_stats",
    lesson="18",
    reference=fid_from_stats,
    rule="|m1 - m2|² + tr(S1) + tr(S2) - 2 times the sum of the roots of the eigenvalues of S1 @ S2; a Python number, "
    "as .item() makes it.",
    rtol=1e-4,
    atol=1e-5,
    probes=[
        same(*FULL),
        same(*_gaussians(4, seed=20)),
        same(torch.zeros(1), torch.eye(1), torch.ones(1), 4 * torch.eye(1)),
        same(*(t.double() for t in DIAGONAL)),
        same(M, S, M, S),
        same(*(t.float() for t in _gaussians(2, seed=30))),
        same(3 * M, 9 * S, M2, S),
        edge(same(*_gaussians(5, seed=40, rank=2)), SINGULAR),
        edge(same(M, torch.zeros(3, 3).double(), M2, S), SINGULAR),
    ],
    mistakes=[
        (
            _with(cross=lambda S1, S2: (S1.diagonal() * S2.diagonal()).sqrt().sum()),
            "The root is taken entry by entry, so only the variances count: (S1 S2)^½ is a matrix square root.",
        ),
        (
            _with(cross=lambda S1, S2: (S1 @ S2).diagonal().clamp(min=0).sqrt().sum()),
            "The root of the diagonal of S1 @ S2 is not the trace of its matrix root: take roots of its eigenvalues.",
        ),
        (_with(weight=1.0), "The factor 2 before the mixed term is missing."),
        (_with(lambda a, b: (a - b).norm()), "The distance of the means is not squared: |m1 - m2|²."),
        (_with(lambda a, b: torch.zeros(()).double()), "The means are forgotten: add |m1 - m2|²."),
        (
            lambda m1, S1, m2, S2: (m1 - m2).square().sum().item(),
            "Only the means are compared: two covariances differ as well.",
        ),
        (_with(weight=0.0), "The mixed term -2 tr (S1 S2)^½ is missing: equal Gaussians would be apart."),
        (_with(weight=-2.0), "The mixed term has the wrong sign: it is subtracted."),
        (
            _with(cross=lambda S1, S2: _root(S1 + S2).trace()),
            "The root of the sum is taken: it is the product S1 @ S2 that stands under the root.",
        ),
        (
            _with(cross=lambda S1, S2: (S1 @ S2).trace()),
            "The product has no root: take the roots of the eigenvalues of S1 @ S2, then add them.",
        ),
        (
            _with(cross=lambda S1, S2: (S1 @ S2).trace().sqrt()),
            "The root of the trace is not the trace of the root: take the root of each eigenvalue, then add.",
        ),
        (
            _with(cross=lambda S1, S2: torch.linalg.svdvals(S1 @ S2).sqrt().sum()),
            "These are roots of singular values: S1 @ S2 is not symmetric, so they differ from its eigenvalues.",
        ),
        (
            _with(cross=lambda S1, S2: torch.linalg.eigvalsh(S1 @ S2).clamp(min=0).sqrt().sum()),
            "torch.linalg.eigvalsh reads one triangle of a symmetric matrix, and S1 @ S2 is not symmetric.",
        ),
        (
            _with(cross=lambda S1, S2: (_root(S1) @ _root(S2)).trace()),
            "tr(S1^½ S2^½) equals tr (S1 S2)^½ only if the covariances commute: take eigenvalues of S1 @ S2.",
        ),
        (
            lambda m1, S1, m2, S2: ((m1 - m2).square().sum() + (S1 - S2).square().sum()).item(),
            "This compares covariances entry by entry: variances are compared by their roots, the deviations.",
        ),
        (_with(lambda a, b: (a - b).square().mean()), "The squared differences of the means are averaged: sum them."),
        (_with(lambda a, b: (a - b).abs().sum()), "Absolute differences of the means are added: square them."),
        (
            _with(lambda a, b: (a - b).sum() ** 2),
            "The differences of the means are added before they are squared: square each, then add.",
        ),
        (
            _with(traces=lambda S1, S2: (S1 + S2).sum()),
            "All entries of the covariances are added: the trace adds the diagonal only.",
        ),
        (_with(traces=lambda S1, S2: S1.trace()), "The trace of S2 is missing."),
        (
            _with(traces=lambda S1, S2: S1.det() + S2.det()),
            "Determinants stand in place of traces: a trace is the sum of the variances.",
        ),
        (
            lambda m1, S1, m2, S2: (
                0.5 * (torch.linalg.solve(S2, S1).trace() - len(m1) + (m1 - m2) @ torch.linalg.solve(S2, m1 - m2))
                + 0.5 * (S2.logdet() - S1.logdet())
            ).item(),
            "This is the KL divergence of the two Gaussians: the Fréchet distance has no inverse and no logarithm.",
        ),
    ],
    accepts=[_by_product, _by_singular_values, _by_numpy],
    speed=Speed(lambda: (torch.zeros(64), torch.eye(64), torch.ones(64), 2 * torch.eye(64))),
)
