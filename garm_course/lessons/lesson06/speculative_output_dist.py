"""What a round of speculative decoding puts out: guesses that are kept, and corrections; equation (6.7)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.autoregressive.sampling import speculative
from garm_course.exercises.edges import ANY_AXES, edge, first, plain, worded
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def speculative_output_dist(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """The library's function, under the name of the exercise."""
    return speculative.output_dist(p, q)


def _rows(*shape: int, seed: int) -> Tensor:
    """Probabilities, nothing round, float64."""
    return (1.3 * random(*shape, seed=seed)).softmax(-1)


P, Q = _rows(3, 5, seed=1), _rows(3, 5, seed=2)
RARE = torch.tensor([[0.4, 0.6, 3e-12, 2e-12], [0.7, 0.3, 1e-12, 5e-12]], dtype=torch.float64)  # p and q of a row
SAME = torch.tensor([0.25, 0.5, 0.125, 0.0625, 0.0625], dtype=torch.float64)  # no rounding: sums to 1
# A value that only p has, one that only q has, one that neither has; then supports that do not meet.
P0 = torch.tensor([[0.31, 0.47, 0.0, 0.0, 0.22], [0.58, 0.42, 0.0, 0.0, 0.0]], dtype=torch.float64)
Q0 = torch.tensor([[0.0, 0.34, 0.13, 0.0, 0.53], [0.0, 0.0, 0.27, 0.0, 0.73]], dtype=torch.float64)


def _total(x: Tensor) -> Tensor:
    return x.sum(-1, keepdim=True)


def _normalized(x: Tensor) -> Tensor:
    return x / _total(x).clamp(min=torch.finfo(x.dtype).tiny)


def _excess(p: Tensor, q: Tensor) -> Tensor:
    return (p - q).clamp(min=0)


def _keeps(accepted: Callable[[Tensor, Tensor], Tensor]):
    """Another law of the guesses that are kept; the correction follows from its sum."""

    def answer(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        kept = accepted(p, q)
        return kept, (1 - _total(kept)) * _normalized(_excess(p, q))

    return answer


def _corrects(corrected: Callable[[Tensor, Tensor, Tensor], Tensor]):
    """Another correction(p, q, probability of a refusal)."""

    def answer(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        kept = torch.minimum(p, q)
        return kept, corrected(p, q, 1 - _total(kept))

    return answer


def _then(change: Callable[[Tensor, Tensor], object]):
    """The right results, changed at the end."""
    return lambda p, q: change(*speculative_output_dist(p, q))


def _ratio(p: Tensor, q: Tensor) -> Tensor:
    """min(1, p / q); 1 where q is 0."""
    return torch.where(q > 0, p / q, 1.0).clamp(max=1)


def _by_loop(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    kept, corrected = torch.zeros_like(p), torch.zeros_like(p)
    for i, (a, b) in enumerate(zip(p.flatten(0, -2), q.flatten(0, -2), strict=True) if p.ndim > 1 else [(p, q)]):
        row = torch.minimum(a, b)
        over = torch.relu(a - b)
        kept.view(-1, p.shape[-1])[i] = row
        if over.sum() > 0:
            corrected.view(-1, p.shape[-1])[i] = (1 - row.sum()) * over / over.sum()
    return kept, corrected


def _by_refusals(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """The guesses that are refused, each with its own probability, added up."""
    ratio = _ratio(p, q)
    return q * ratio, _total(q * (1 - ratio)) * torch.nan_to_num(_excess(p, q) / _total(_excess(p, q)))


def _magnified(answer: Callable, p: Tensor, q: Tensor) -> list[Tensor]:
    """`use` of a probe: the results times 1e12, so that small probabilities count."""
    return [1e12 * part for part in answer(p, q)]


SMALL = (
    "Small probabilities are lost, by an epsilon or a floor: those of 1e-12 count as well, and min(p, q) and (p - q)_+ "
    "need neither."
)
ONE = "Right except for one row or one value: squeeze() without an axis removes that axis; the shape is that of p."
EQUAL = (
    "Right except where q = p: nothing is refused and nothing in excess, so corrected is 0 there, not 0 / 0. Clamp the "
    "divisor at a tiny number, or see that the sum cancels."
)
ZERO = (
    "Right except where p or q is 0: a ratio is 0 / 0 or infinite there. q min(1, p / q) is min(p, q), which needs no "
    "division, and 0 where either is 0."
)

EXERCISE = Exercise(
    name="speculative_output_dist",
    lesson="06",
    reference=speculative_output_dist,
    rule="accepted = q min(1, p / q); corrected = the probability of a refusal, 1 - sum of accepted, times (p - q)_+ "
    "divided by its sum; 0 where nothing is refused. Together they are p.",
    probes=[
        worded(probe, "accepted", "corrected")
        for probe in (
            plain(P, Q, values=False),
            plain(P, Q, use=first),
            plain(P, Q),
            same(_rows(3, 5, seed=9), _rows(3, 5, seed=10)),
            edge(same(*torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.25, 0.35]], dtype=torch.float64)), ANY_AXES),
            edge(same(_rows(2, 3, 4, seed=3), _rows(2, 3, 4, seed=4)), ANY_AXES),
            edge(same(torch.stack([P[0], SAME, P[2]]), torch.stack([Q[0], SAME, Q[2]])), EQUAL),
            edge(same(P0, Q0), ZERO),
            edge(worded(same(*RARE, use=_magnified), "1e12 accepted", "1e12 corrected"), SMALL),
            *(edge(same(_rows(*shape, seed=7), _rows(*shape, seed=8)), ONE) for shape in ((1, 4), (3, 1))),
            same(torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25])),
            same(_rows(4, 6, seed=5).float(), _rows(4, 6, seed=6).float()),
        )
    ],
    rtol=1e-5,
    atol=1e-6,
    mistakes=[
        (
            _corrects(lambda p, q, r: r * p),
            "After a refusal you draw from p. Values that q likes are kept often already, and would come too often: "
            "draw from what p has in excess, (p - q)_+.",
        ),
        (
            _corrects(lambda p, q, r: r * q),
            "After a refusal you draw from q again, which was just refused: draw from what p has in excess, (p - q)_+.",
        ),
        (
            _keeps(lambda p, q: q * _ratio(q, p)),
            "The ratio is upside down: a guess is kept with probability min(1, p / q), always where p is larger.",
        ),
        (
            _keeps(lambda p, q: q * p),
            "A guess x is kept with probability p(x) here. That keeps too few: min(1, p(x) / q(x)).",
        ),
        (
            lambda p, q: (_ratio(p, q), speculative_output_dist(p, q)[1]),
            "min(1, p / q) is the probability that x is kept *if* it is guessed. It is guessed with q: multiply.",
        ),
        (
            _corrects(lambda p, q, r: _normalized(_excess(p, q))),
            "corrected sums to 1, as if every guess were refused: multiply by the probability of a refusal.",
        ),
        (
            _corrects(lambda p, q, r: (1 - r) * _normalized(_excess(p, q))),
            "corrected is weighted by the probability of keeping. It happens after a refusal: 1 minus that.",
        ),
        (
            _corrects(lambda p, q, r: r * _excess(p, q)),
            "(p - q)_+ is not a distribution until it is divided by its sum, which is the probability of a refusal: "
            "multiply by that after dividing, or do neither.",
        ),
        (
            _corrects(lambda p, q, r: _excess(q, p)),
            "(q - p)_+ is what is guessed too often, and refused. A refusal is replaced by what p has in excess: "
            "(p - q)_+.",
        ),
        (
            _corrects(lambda p, q, r: (p - q).abs()),
            "|p - q| also counts where q is larger, and sums to twice the probability of a refusal: (p - q)_+.",
        ),
        (
            _corrects(lambda p, q, r: p - q),
            "corrected is negative where q is larger: no probability is. Clamp p - q at 0.",
        ),
        (
            _corrects(lambda p, q, r: (1 - _ratio(p, q)) * _normalized(_excess(p, q))),
            "corrected is 0 everywhere, but refused guesses lead to draws. (1 - min(1, p / q)) times (p - q)_+ is 0 as "
            "well, value by value: multiply by the total probability of a refusal, 1 - sum of accepted.",
        ),
        (
            _corrects(lambda p, q, r: (1 - torch.minimum(p, q)) * _normalized(_excess(p, q))),
            "1 - accepted is taken value by value. Any refused guess leads to a draw: 1 - sum of accepted.",
        ),
        (
            _corrects(lambda p, q, r: (1 - torch.minimum(p, q).sum(0)) * _excess(p, q) / _excess(p, q).sum(0)),
            "Both sums run over the rows, the first axis: each row is a distribution of its own, .sum(-1).",
        ),
        (
            _corrects(lambda p, q, r: (1 - torch.minimum(p, q).sum()) * _excess(p, q) / _excess(p, q).sum()),
            "Both sums run over all rows: each row is a distribution of its own, .sum(-1).",
        ),
        (
            _corrects(lambda p, q, r: (1 - torch.minimum(p, q).sum()) * _normalized(_excess(p, q))),
            "The probability of a refusal sums over all rows: each row is a distribution of its own, .sum(-1).",
        ),
        (
            _corrects(lambda p, q, r: r * _excess(p, q) / _excess(p, q).sum()),
            "The excess is divided by its sum over all rows: each row is a distribution of its own, .sum(-1).",
        ),
        (
            _corrects(lambda p, q, r: r.squeeze(-1) * _normalized(_excess(p, q))),
            "A sum over the last axis lacks keepdim=True: one number for each row, to be multiplied along the row.",
        ),
        (
            _corrects(lambda p, q, r: r * _excess(p, q) / _excess(p, q).sum(-1)),
            "A sum over the last axis lacks keepdim=True: one number for each row, to divide the row by.",
        ),
        (_keeps(lambda p, q: q * (p / (q + 1e-8)).clamp(max=1)), SMALL),
        (_then(lambda accepted, corrected: (accepted.squeeze(), corrected.squeeze())), ONE),
        (
            _keeps(lambda p, q: p),
            "accepted is p: p / q has to be clamped at 1. What is kept was guessed first, with q: q min(1, p / q).",
        ),
        (
            _keeps(lambda p, q: q),
            "Every guess is kept, so the draft speaks alone: x is kept with probability min(1, p(x) / q(x)).",
        ),
        (
            _keeps(lambda p, q: q * (p / q > 1)),
            "Only guesses with p >= q are kept. The others are kept with probability p / q, not never.",
        ),
        (
            _keeps(lambda p, q: p * _ratio(p, q)),
            "accepted is weighted by p. The guess comes from the draft, q: q min(1, p / q).",
        ),
        (
            _then(lambda accepted, corrected: (_normalized(accepted), corrected)),
            "accepted is divided by its sum: that is the law of x *given* that the guess is kept. Leave it undivided.",
        ),
        (
            _corrects(lambda p, q, r: 1 - torch.minimum(p, q)),
            "corrected is 1 - accepted, value by value. After a refusal one value comes out, drawn from (p - q)_+: the "
            "total probability of a refusal is shared out among the values.",
        ),
        (
            _corrects(lambda p, q, r: r * _excess(p, q).softmax(-1)),
            "A softmax makes values likely that p has no excess of. (p - q)_+ is divided by its sum.",
        ),
        (
            lambda p, q: speculative_output_dist(p.softmax(-1), q.softmax(-1)),
            "p and q are probabilities already: no softmax.",
        ),
        (
            lambda p, q: (min(p, q), p),
            "min and max of Python take single numbers: use torch.minimum and clamp for whole tensors.",
        ),
        (_then(lambda accepted, corrected: (corrected, accepted)), "The order: accepted first, then corrected."),
        (
            _then(lambda accepted, corrected: accepted + corrected),
            "This is the sum, which is p. Return its two parts, `return accepted, corrected`.",
        ),
        (
            _then(lambda accepted, corrected: (accepted, accepted + corrected)),
            "The second one is the sum, p. Return what comes out through a refusal alone.",
        ),
        (
            _then(lambda accepted, corrected: torch.stack([accepted, corrected])),
            "The values are right, but stacked to one tensor: return the pair, `return accepted, corrected`.",
        ),
        (_corrects(lambda p, q, r: r * _excess(p, q) / _total(_excess(p, q))), EQUAL),
        (_keeps(lambda p, q: q * (p / q).clamp(max=1)), ZERO),
        (
            lambda p, q: tuple(torch.stack(parts) for parts in zip(*map(speculative_output_dist, p, q), strict=True)),
            ANY_AXES,
        ),
    ],
    accepts=[
        lambda p, q: (torch.minimum(p, q), _excess(p, q)),
        lambda p, q: (torch.minimum(p, q), p - torch.minimum(p, q)),
        lambda p, q: (torch.where(p < q, p, q), torch.where(p > q, p - q, torch.zeros_like(p))),
        lambda p, q: (p * _ratio(q, p), (q - p).abs().sum(-1, keepdim=True) / 2 * _normalized(torch.relu(p - q))),
        _keeps(lambda p, q: torch.exp(torch.minimum(p.log(), q.log()))),
        _by_refusals,
        _by_loop,
    ],
    speed=Speed(lambda: torch.randn(2, 1000, 256).softmax(-1).unbind()),
)
