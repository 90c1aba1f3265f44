"""Causal attention for queries, keys and values that are already there; equation (7.2)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson07.extremes import extreme


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each position's average of the values up to its own, weighted by how well their keys answer its query.

    Args:
        q: (B, heads, T, D) queries.
        k: (B, heads, T, D) keys.
        v: (B, heads, T, D) values.

    Returns:
        (B, heads, T, D).
    """
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1) @ v


def _past(scores: Tensor, diagonal: int = 0) -> Tensor:
    """True where the query of a row sees the key of a column."""
    return torch.ones(scores.shape[-2:], dtype=torch.bool).tril(diagonal)


def _scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.mT / math.sqrt(q.shape[-1])


def _hidden(scores: Tensor, value: float = -torch.inf) -> Tensor:
    return scores.masked_fill(~_past(scores), value)


def _scaled(scale: Callable[[Tensor], float]):
    """Another factor in front of the products."""
    return lambda q, k, v: _hidden(q @ k.mT * scale(q)).softmax(-1) @ v


def _weighted(weights: Callable[[Tensor], Tensor]):
    """Another way from scores (already scaled, not yet masked) to weights."""
    return lambda q, k, v: weights(_scores(q, k)) @ v


def _exponentials(scores: Tensor) -> Tensor:
    weights = _hidden(scores).exp()
    return weights / weights.sum(-1, keepdim=True)


def _by_rows(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    rows = []
    for t in range(q.shape[2]):
        scores = (k[:, :, : t + 1] * q[:, :, t : t + 1]).sum(-1) / q.shape[-1] ** 0.5
        rows.append((scores.softmax(-1)[..., None] * v[:, :, : t + 1]).sum(2))
    return torch.stack(rows, 2)


def _by_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) * q.shape[-1] ** -0.5
    at = torch.arange(q.shape[2])
    return torch.einsum("bhts,bhsd->bhtd", scores.masked_fill(at[None] > at[:, None], -1e9).softmax(-1), v)


def _added_mask(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    size = q.shape[2]
    return (torch.full((size, size), -torch.inf, dtype=q.dtype).triu(1) + _scores(q, k)).softmax(-1) @ v


def _case(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v of this shape."""
    return tuple(random(*shape, seed=seed + i).to(dtype) for i in range(3))


def _large(*shape: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores in the thousands."""
    q, k, v = _case(*shape, seed=seed)
    return 1000 * q, k, v


OVERFLOW = (
    "Scores of a thousand overflow in exp: inf / inf is NaN. softmax(-1) subtracts the largest score first, which "
    "changes nothing else."
)
TOO_WEAK = (
    "The future is hidden by a number that a large score can beat. Fill with -torch.inf, which softmax turns into "
    "a weight of exactly 0."
)
ONE = "Right except for a batch of one or a single head: squeeze() without an axis removes those axes as well."
EXAMPLE = (torch.zeros(1, 1, 3, 1),) * 2 + (torch.tensor([[[[3.0], [5.0], [10.0]]]]),)

EXERCISE = Exercise(
    name="causal_attention",
    lesson="07",
    reference=causal_attention,
    rule="Scores are q @ k.mT divided by the square root of D; where the key comes after the query they are -inf; a "
    "softmax over the keys, the last axis, gives the weights of v.",
    probes=[
        plain(*_case(2, 3, 5, 4, seed=0), values=False),
        plain(*_case(2, 3, 5, 4, seed=0)),
        same(*_case(3, 2, 4, 6, seed=3)),
        same(*_case(2, 2, 5, 5, seed=30)),
        same(*EXAMPLE),
        extreme(same(*_large(2, 2, 5, 3, seed=6)), OVERFLOW, TOO_WEAK),
        edge(same(*_case(1, 2, 4, 3, seed=9)), ONE),
        edge(same(*_case(2, 1, 4, 3, seed=12)), ONE),
        edge(same(*_case(2, 2, 1, 3, seed=15)), "Right except for one position, T = 1, which sees only itself."),
        same(*_case(1, 1, 1, 1, seed=18)),
        same(*_case(2, 2, 5, 4, seed=21), grad=True),
        same(*_case(2, 2, 5, 4, seed=24, dtype=torch.float32)),
    ],
    axes=("example", "head", "position", "feature"),
    rtol=1e-5,
    atol=1e-6,
    mistakes=[
        (
            _weighted(lambda s: s.masked_fill(~_past(s, -1), -torch.inf).softmax(-1)),
            "Row 0 is NaN: the mask hides everything from it. A position sees itself, so hide `triu(1)`, not "
            "`triu(0)`.",
        ),
        (
            _weighted(lambda s: s.masked_fill(~_past(s, 1), -torch.inf).softmax(-1)),
            "Position t sees position t + 1: the mask starts one diagonal too late. Hide `triu(1)`.",
        ),
        (_scaled(lambda q: 1.0), "The scale is missing: divide the products by the square root of D."),
        (_scaled(lambda q: 1 / q.shape[-1]), "The products are divided by D. Their spread is the square root of D."),
        (_scaled(lambda q: q.shape[-1] ** 0.5), "The products are multiplied by the square root of D: divide by it."),
        (
            _scaled(lambda q: q.shape[-2] ** -0.5),
            "The products are divided by the square root of T, the number of positions. D is the last axis of q.",
        ),
        (
            _scaled(lambda q: (q.shape[1] * q.shape[-1]) ** -0.5),
            "The products are divided by the root of the features of all heads. D is the last axis of q.",
        ),
        (
            _weighted(lambda s: _hidden(s).softmax(-2)),
            "The softmax runs over the queries. Each query spreads a weight of 1 over the keys, the last axis.",
        ),
        (
            _weighted(lambda s: s.masked_fill(~_past(s), 0.0).softmax(-1)),
            "Hidden scores are 0, and exp(0) = 1 is still a vote. Fill them with -torch.inf before the softmax.",
        ),
        (
            _weighted(lambda s: s.softmax(-1).masked_fill(~_past(s), 0.0)),
            "The mask comes after the softmax, so the weights of a row no longer sum to 1. Mask the scores.",
        ),
        (
            _weighted(lambda s: s.softmax(-1)),
            "The mask is missing: every position sees the whole sequence, also what comes later.",
        ),
        (
            _weighted(lambda s: s.masked_fill(~_past(s).T, -torch.inf).softmax(-1)),
            "The mask is transposed: each position sees itself and the future. Rows are queries, columns are keys.",
        ),
        (
            lambda q, k, v: causal_attention(k, q, v),
            "Queries and keys are exchanged. Rows belong to queries, columns to keys: q @ k.mT.",
        ),
        (
            lambda q, k, v: _hidden(_scores(q, k)).softmax(-1) @ k,
            "The keys are averaged. They only decide the weights: average v.",
        ),
        (
            lambda q, k, v: _hidden(_scores(q, k)).softmax(-1).mT @ v,
            "The weights are transposed: row t of the weights belongs to query t, so it is `weights @ v`.",
        ),
        (_weighted(lambda s: _hidden(s, -100.0).softmax(-1)), TOO_WEAK),
        (
            _weighted(_exponentials),
            OVERFLOW,
        ),
        (
            _weighted(lambda s: s.masked_fill(~_past(s), 0.0)),
            "The softmax is missing: weights must be positive and sum to 1.",
        ),
        (
            _weighted(lambda s: (s + _past(s)).softmax(-1)),
            "The mask of ones and zeros is added to the scores, which hides nothing. Add -inf, or use masked_fill.",
        ),
        (
            _weighted(lambda s: _hidden(s).sigmoid()),
            "A sigmoid gives each key its own weight. A softmax makes keys compete for a weight of 1.",
        ),
        (
            _weighted(lambda s: _past(s).to(s.dtype) / _past(s).sum(-1, keepdim=True)),
            "All earlier positions get the same weight, whatever the queries ask. Use the scores.",
        ),
        (
            lambda q, k, v: _hidden(_scores(q, k)).softmax(-1),
            "The weights are returned. Multiply by the values: `weights @ v`.",
        ),
        (
            lambda q, k, v: q @ k.T,
            "k.T reverses all four axes. Exchange only the last two: `k.mT` or `k.transpose(-2, -1)`.",
        ),
        (lambda q, k, v: causal_attention(q, k, v).squeeze(), ONE),
    ],
    accepts=[
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        _by_einsum,
        _by_rows,
        _added_mask,
    ],
    speed=Speed(lambda: _case(16, 4, 128, 32, seed=0, dtype=torch.float32)),
)
