"""The nucleus: the smallest set of most probable values whose mass reaches p."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.distributions.filters import filter_logits
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import ANY_AXES, edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed

CUT = -torch.inf


def top_p_filter(logits: Tensor, p: float) -> Tensor:
    """The library's filters with all but one left out."""
    return filter_logits(logits, top_p=p)


def _law(answer: Callable, logits: Tensor, p: float) -> object:
    """`use` of a probe: the log-probabilities of the result, as a constant added to a row changes nothing.

    A row with nothing left, and what is no tensor of logits, is passed on as it is.
    """
    result = answer(logits, p)
    if type(result) is not Tensor or result.shape != logits.shape or not result.is_floating_point():
        return result
    return torch.where((result == CUT).all(-1, keepdim=True), result, result.log_softmax(-1))


NOT_MINUS_INF = (
    "A very negative number stands in place of -inf, such as -1e9 or the logarithm of 1e-9. Another filter takes it "
    "for a value, and a high temperature brings it back: use -torch.inf."
)


def _in_order(answer: Callable, logits: Tensor, p: float) -> object:
    """`use` of a probe: the same in descending order, for equal logits, of which any may stay."""
    result = _law(answer, logits, p)
    return result.sort(dim=-1, descending=True).values if type(result) is Tensor else result


def _minus_infinity(logits: Tensor, p: float):
    """The probe for -inf where it belongs, not a number that stands in for it."""

    def probe(attempt: Attempt) -> None:
        result = attempt.call(logits, p)
        cut = top_p_filter(logits, p) == CUT
        highest = result[cut].max()
        right = highest == CUT or highest > result[~cut].min() - 10
        cause = f"{attempt.describe((logits, p))}: expected -inf, got {highest:.4g}."
        attempt.require(right, cause, NOT_MINUS_INF)

    return probe


def _as_law(probe: Callable):
    """The probe with a cause that says what was compared."""

    def named(attempt: Attempt) -> None:
        try:
            probe(attempt)
        except Refused as refused:
            compared = not (attempt.outcomes[-1].error or attempt.outcomes[-1].changed)
            cause = f"In log_softmax of the result: {refused}" if compared else str(refused)
            raise Refused(cause, refused.hint, refused.alike) from refused

    return named


def _check(logits: Tensor, p: float):
    return _as_law(lambda attempt: attempt.run(logits, p, use=_law))


def _cut(keep: Callable[[Tensor, float], Tensor]):
    """-inf where keep(logits, p), a mask, is False."""
    return lambda logits, p: logits.masked_fill(~keep(logits, p), CUT)


def _ranked(keep: Callable[[Tensor, Tensor, float], Tensor], descending: bool = True):
    """-inf where keep(mass, mass up to and with it, p), from the most probable on, is False."""

    def answer(logits: Tensor, p: float) -> Tensor:
        mass, order = logits.softmax(-1).sort(dim=-1, descending=descending)
        mask = keep(mass, mass.cumsum(-1), p)
        return logits.masked_fill(~torch.zeros_like(mask).scatter(-1, order, mask), CUT)

    return answer


def _then(change: Callable[[Tensor, Tensor], object]):
    """The right result, changed at the end by change(result, logits)."""
    return lambda logits, p: change(top_p_filter(logits, p), logits)


def _kept(logits: Tensor, p: float) -> Tensor:
    return top_p_filter(logits, p) > CUT


def _before(mass: Tensor, reached: Tensor, p: float) -> Tensor:
    return reached - mass < p


def _with_first(mask: Tensor) -> Tensor:
    mask = mask.clone()
    mask[..., 0] = True
    return mask


def _shifted(mask: Tensor) -> Tensor:
    """The mask one place later, True in front."""
    return torch.cat([torch.ones_like(mask[..., :1]), mask[..., :-1]], -1)


def _sorted_mask(logits: Tensor, p: float) -> Tensor:
    """The right mask of the sorted values."""
    mass = logits.softmax(-1).sort(dim=-1, descending=True).values
    return _before(mass, mass.cumsum(-1), p)


def _scores(score: Callable[[Tensor], Tensor], stays: Callable = _before):
    """The right rule with something else than the probabilities, sorted by it."""

    def keep(logits: Tensor, p: float) -> Tensor:
        mass, order = score(logits).sort(dim=-1, descending=True)
        mask = stays(mass, mass.cumsum(-1), p)
        return torch.zeros_like(mask).scatter(-1, order, mask)

    return _cut(keep)


def _by_hand(logits: Tensor) -> Tensor:
    return logits.exp() / logits.exp().sum(-1, keepdim=True)


def _along_first(logits: Tensor, p: float) -> Tensor:
    return logits.masked_fill(top_p_filter(logits.movedim(0, -1), p).movedim(-1, 0) == CUT, CUT)


def _top_k(logits: Tensor, k: int) -> Tensor:
    return logits >= logits.topk(k, dim=-1).values[..., -1:]


def _unsorted(logits: Tensor, p: float) -> Tensor:
    mass = logits.softmax(-1)
    return mass.cumsum(-1) - mass < p


def _kept_by_all(logits: Tensor, p: float) -> Tensor:
    return _kept(logits, p).reshape(-1, logits.shape[-1]).all(0).expand_as(logits)


def _by_ranks(logits: Tensor, p: float) -> Tensor:
    order = logits.argsort(dim=-1, descending=True)
    mass = logits.softmax(-1).gather(-1, order)
    before = mass.cumsum(-1) - mass
    return torch.where(before.gather(-1, order.argsort(-1)) < p, logits, CUT)


def _by_threshold(logits: Tensor, p: float) -> Tensor:
    ordered = logits.sort(-1, descending=True).values
    count = (ordered.softmax(-1).cumsum(-1) < p).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return torch.where(logits >= ordered.gather(-1, count), logits, CUT)


def _by_shift(logits: Tensor, p: float) -> Tensor:
    ordered, order = torch.sort(logits, descending=True)
    drop = ordered.softmax(-1).cumsum(-1) >= p
    drop[..., 1:] = drop[..., :-1].clone()
    drop[..., 0] = False
    return logits.clone().masked_fill_(torch.zeros_like(drop).scatter_(-1, order, drop), CUT)


def _by_loop(logits: Tensor, p: float) -> Tensor:
    out = torch.full_like(logits, CUT)
    for row, new in zip(logits.reshape(-1, logits.shape[-1]), out.view(-1, logits.shape[-1]), strict=True):
        mass, order = row.softmax(-1).sort(descending=True)
        n = min(int(torch.searchsorted(mass.cumsum(0), p)) + 1, len(row))
        new[order[:n]] = row[order[:n]]
    return out


OVERFLOW = (
    "Right for small logits. exp overflows at 710, in float32 at 89, and is 0 far below 0: torch.softmax subtracts the "
    "largest one first."
)
LIMIT = (
    "Right for ordinary p. But a limit is set to it, or to how many values stay: p may be 0.995 or 0.02, and one value "
    "may stay or nearly all."
)
TIE = (
    "Right except at a tie, where more than the smallest set stays: it is complete once its mass equals p (>= p), "
    "and a threshold such as `logits < lowest` cannot tell equal logits apart. Of four equal ones two reach p = 0.5."
)
ONE = "Right except for one row or one value: squeeze() without an axis removes that axis; the shape is that of logits."
# Two, three, one and two values reach 0.6. On these rows the known mistakes cut off different values.
BATCH = torch.tensor(
    [
        [0.95, 2.12, 1.37, 2.92, 2.57, -0.10, 1.06],
        [0.09, 0.74, -0.08, -0.78, -0.91, -1.38, 0.22],
        [0.84, -0.62, 2.59, 0.04, -1.31, -0.47, 0.78],
        [-2.25, -4.04, -4.41, -0.68, -2.33, -1.95, -1.35],
    ],
    dtype=torch.float64,
)
THREE = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log()
RULED_OUT = torch.tensor([[1.3, CUT, 0.4, -0.7], [CUT, 0.2, CUT, -1.1]], dtype=torch.float64)

EXERCISE = Exercise(
    name="top_p_filter",
    lesson="06",
    reference=top_p_filter,
    rule="In each row, sorted by probability, a value stays if the mass of all before it is below p: so the one that "
    "crosses p stays. All others become -inf, each at its own place.",
    probes=[
        plain(BATCH, 0.6, values=False),
        _minus_infinity(BATCH, 0.6),
        _as_law(plain(BATCH, 0.6, use=_law)),
        _check(random(4, 7, seed=12), 0.6),  # the same shape and p once more
        *(edge(_check(3 * random(3, 12, seed=9), p), LIMIT) for p in (0.995, 0.9995)),
        *(edge(_check(0.1 * random(2, 12, seed=10), p), LIMIT) for p in (0.02, 0.93)),
        edge(_check(THREE, 0.7), ANY_AXES),
        _check(THREE, 0.4),
        _check(THREE, 1.0),
        edge(_check(random(2, 3, 6, seed=4) - 3, 0.88), ANY_AXES),
        _check(1.5 * random(7, seed=5), 0.55),
        _check(random(2, 4, seed=6), 1.0),
        _check(RULED_OUT, 0.85),
        *(edge(_check(offset + random(2, 5, seed=7), 0.6), OVERFLOW) for offset in (900.0, -900.0)),
        *(edge(_check(random(*shape, seed=11), 0.7), ONE) for shape in ((1, 5), (3, 1))),
        edge(_as_law(lambda attempt: attempt.run(torch.zeros(2, 4).double(), 0.5, use=_in_order)), TIE),
        _check(random(4, 6, seed=8).float(), 0.78),
    ],
    axes=("row", "value"),
    rtol=1e-5,
    atol=1e-6,
    mistakes=[
        (
            _ranked(lambda m, c, p: c <= p),
            "The value that crosses p is dropped, so the mass that is left stays below p, and nothing is left where "
            "one value has more than p. The smallest set with mass >= p has that value in it.",
        ),
        (
            _ranked(lambda m, c, p: _with_first(c <= p)),
            "The value that crosses p is dropped unless it is the first. The smallest set with mass >= p has it in it.",
        ),
        (
            _ranked(lambda m, c, p: _shifted(_shifted(c < p))),
            "One value too many is kept: the mass reaches p without it.",
        ),
        (
            _ranked(_before, descending=False),
            "The sort is ascending, so the least probable values come first and are kept: descending=True.",
        ),
        (
            _ranked(lambda m, c, p: c <= p, descending=False),
            "The sort is ascending, and the most probable values, which cross p, are dropped: descending=True.",
        ),
        (
            _cut(lambda x, p: ~_kept(x, p)),
            "The nucleus is cut out and the tail is kept: the mask is the wrong way around.",
        ),
        (
            _cut(lambda x, p: _kept(x, 1 - p) if p < 1 else torch.zeros_like(x, dtype=torch.bool)),
            "The set reaches mass 1 - p: p is what is kept, not what is cut off.",
        ),
        (
            _then(lambda r, x: x.masked_fill(r == CUT, 0.0)),
            "What is cut off gets the logit 0, which counts as e^0 = 1 in the softmax: -inf counts as 0. Use "
            "masked_fill or torch.where; multiplying by a mask cannot make -inf.",
        ),
        (_then(lambda r, x: x.masked_fill(r == CUT, -1e9)), NOT_MINUS_INF),
        (
            _then(lambda r, x: x.masked_fill(r == CUT, torch.inf)),
            "What is cut off gets +inf, so it is certain: probability 0 is -inf.",
        ),
        (
            _then(lambda r, x: x * (r > CUT) + (r == CUT) * CUT),
            "0 times infinity is NaN, so a mask cannot be multiplied by -inf: masked_fill or torch.where.",
        ),
        (
            _then(lambda r, x: r.sort(-1, descending=True).values),
            "The result is in sorted order: bring each value back to its own place, with scatter.",
        ),
        (
            _cut(_sorted_mask),
            "The mask belongs to the sorted values, but is laid on the logits as they came: scatter it first.",
        ),
        (
            _cut(lambda x, p: _sorted_mask(x, p).gather(-1, x.argsort(-1, descending=True))),
            "The mask is brought back the wrong way: gather(-1, order) sorts. scatter(-1, order, mask) undoes the "
            "sort, as gather(-1, order.argsort(-1)) does.",
        ),
        (
            _then(lambda r, x: r.sort(-1, descending=True).values.gather(-1, x.sort(-1, descending=True).indices)),
            "gather(-1, order) sorts a second time. To bring the sorted logits back: scatter(-1, order, sorted), or "
            "gather(-1, order.argsort(-1)).",
        ),
        (_cut(_unsorted), "The mass is added up in the order of the values. The most probable ones come first: sort."),
        (
            _cut(lambda x, p: x.softmax(-1).cumsum(-1) <= p),
            "Nothing is sorted, and the value that crosses p is dropped: the most probable values come first.",
        ),
        (
            _cut(lambda x, p: x.softmax(-1) >= p),
            "Each probability is compared with p. It is the mass of the set that reaches p: sort and add up.",
        ),
        (
            _cut(lambda x, p: x.softmax(-1) >= p * x.softmax(-1).amax(-1, keepdim=True)),
            "This is min-p, a share of the largest probability. Top-p adds up the mass of a set.",
        ),
        (
            _cut(lambda x, p: _top_k(x, max(1, round(p * x.shape[-1])))),
            "This is top-k with k = p V, or a softmax of a softmax, which makes all values alike. How many values "
            "top-p keeps depends on their mass, row by row.",
        ),
        (_scores(lambda x: x), "The logits themselves are added up. Mass is probability: softmax first."),
        (_scores(lambda x: x.exp()), "exp(logits) is not normalized: divide by its sum, which softmax does."),
        (
            lambda x, p: x / p,
            "p is used as a temperature, which cuts nothing off. Top-p leaves the ratios of what stays as they are.",
        ),
        (_scores(lambda x: x.softmax(0)), "The softmax runs over the first axis: the values are the last one, dim=-1."),
        (_scores(_by_hand), OVERFLOW),
        (lambda x, p: x if p >= 0.99 else top_p_filter(x, p), LIMIT),
        (_then(lambda r, x: r.squeeze()), ONE),
        (_by_threshold, TIE),
        (
            _cut(_kept_by_all),
            "What is cut off in one row is cut off in all, as by logits[..., order[drop]] = -inf: scatter the mask of "
            "each row back to its places.",
        ),
        (_along_first, "The filter runs along the first axis: the values are the last one, dim=-1."),
        (
            _then(lambda r, x: r.softmax(-1)),
            "These are probabilities. Logits are asked for, -inf where a value is cut off.",
        ),
        (
            _then(lambda r, x: x.softmax(-1).masked_fill(r == CUT, CUT)),
            "The values that stay are probabilities. Logits are asked for: mask them, not the softmax.",
        ),
        (_then(lambda r, x: r > CUT), "This is the mask. Return logits, -inf where it is False."),
        (
            _then(lambda r, x: x[r > CUT]),
            "Only the values that stay are returned, so their places are lost: keep the shape, with -inf elsewhere.",
        ),
        (
            lambda x, p: x.clone(),
            "Nothing is cut off. Log-probabilities are negative, their sum never reaches p: add up probabilities.",
        ),
        (_cut(lambda x, p: _top_k(x, 1)), "Only the most probable value is left, whatever p is: that is greedy."),
        (
            _ranked(lambda m, c, p: _with_first((c[..., :1] <= p).expand_as(c))),
            "drop[..., 1:] = drop[..., :-1] reads what it has just overwritten, so that the first one fills the row: "
            "clone() the right side.",
        ),
        (lambda x, p: torch.stack([top_p_filter(row, p) for row in x]), ANY_AXES),
        (
            lambda x, p: x[x.argsort(-1, descending=True)[~_sorted_mask(x, p)]],
            "logits[order[drop]] = -inf is for a single row: in a batch it means whole rows. scatter(-1, order, drop) "
            "makes a mask of the shape of logits.",
        ),
    ],
    accepts=[
        _by_shift,
        _by_ranks,
        _by_loop,
        _ranked(_before),
        _ranked(lambda m, c, p: c > 1 - p, descending=False),
        _then(lambda r, x: r.log_softmax(-1)),
        _then(lambda r, x: r.softmax(-1).log()),
    ],
    speed=Speed(lambda: (torch.randn(64, 256), 0.9)),
)
