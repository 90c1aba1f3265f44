"""Complete an image of which any part is given: particles that are resampled by what they predicted; (20.11)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

Conditional = Callable[[Tensor, int], Tensor]


def complete(conditional: Conditional, given: Tensor, mask: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Draw completions of what is given, and estimate its probability, with n particles.

    Args:
        conditional: conditional(x, i) -> (n, K), log-probabilities of position i given x[:, :i], of rows x (n, D).
        given: LongTensor (D,), values 0..K-1 where mask is True; anything elsewhere.
        mask: BoolTensor (D,), True where the value is given.
        u: (n, D), uniform numbers: a free position i of particle j is drawn with u[j, i].
        v: (D,), uniform numbers: particles are resampled at position i with v[i].

    Returns:
        x, LongTensor (n, D), with the given values in place; and the estimate of ln p(given), a scalar, in nats.
    """
    n, D = u.shape
    x = torch.zeros(n, D, dtype=torch.long)
    log_evidence = u.new_zeros(())
    for i in range(D):
        log_p = conditional(x, i)
        if mask[i]:
            x[:, i] = given[i]
            log_w = log_p[:, given[i]]
            log_evidence = log_evidence + log_w.logsumexp(0) - math.log(n)
            edges = log_w.softmax(0).cumsum(0)
            ticks = (torch.arange(n) + v[i]) / n * edges[-1]
            x = x[torch.searchsorted(edges, ticks).clamp(max=n - 1)]
        else:
            x[:, i] = _invert(log_p, u[:, i])
    return x, log_evidence


def _invert(log_p: Tensor, u: Tensor) -> Tensor:
    """The first level whose cumulative probability is above u."""
    cdf = log_p.exp().cumsum(1)
    return (u[:, None] >= cdf).sum(1).clamp(max=log_p.shape[1] - 1)


def _systematic(log_w: Tensor, v: Tensor) -> Tensor:
    edges = log_w.softmax(0).cumsum(0)
    ticks = (torch.arange(len(log_w)) + v) / len(log_w) * edges[-1]
    return torch.searchsorted(edges, ticks).clamp(max=len(log_w) - 1)


def _with(
    pick: Callable = _systematic,
    rows: Callable = lambda x, picked, i: x[picked],
    evidence: Callable = lambda log_w, picked: log_w.logsumexp(0) - math.log(len(log_w)),
    draw: Callable = _invert,
    which: Callable = lambda mask: mask,
    weigh: Callable = lambda log_p, given, i, x: log_p[:, given[i]],
    total: Callable = lambda parts, u: sum(parts, u.new_zeros(())),
    asked: Callable = lambda i: i,
):
    """An answer with another part."""

    def answer(conditional, given, mask, u, v):
        n, D = u.shape
        x, parts = torch.zeros(n, D, dtype=torch.long), []
        for i in range(D):
            log_p = conditional(x, asked(i))
            if which(mask)[i]:
                log_w = weigh(log_p, given, i, x)
                x[:, i] = given[i].clamp(min=0)
                picked = pick(log_w, v[i])
                parts.append(evidence(log_w, picked))
                x = rows(x, picked, i)
            else:
                x[:, i] = draw(log_p, u[:, i])
        return x, total(parts, u)

    return answer


def _keeping(reset: bool, choose: Callable, always: bool = False, normalize: bool = True):
    """An answer that carries weights along, and resamples at the end, or as soon as `choose` says so."""

    def answer(conditional, given, mask, u, v):
        n, D = u.shape
        x, log_w, found = torch.zeros(n, D, dtype=torch.long), u.new_zeros(n), u.new_zeros(())
        for i in range(D):
            log_p = conditional(x, i)
            if not mask[i]:
                x[:, i] = _invert(log_p, u[:, i])
                continue
            x[:, i] = given[i]
            before = log_w.logsumexp(0)
            log_w = log_w + log_p[:, given[i]]
            found = found + log_w.logsumexp(0) - (before if normalize else math.log(n))
            if choose(log_w.softmax(0)):
                picked = _systematic(log_w, v[i])
                x, log_w = x[picked], torch.zeros_like(log_w) if reset else log_w[picked]
        return (x[_systematic(log_w, v[-1])] if always else x), found

    return answer


def _multinomial(log_w: Tensor, v: Tensor) -> Tensor:
    return torch.multinomial(log_w.softmax(0), len(log_w), replacement=True)


def _nobody(log_w: Tensor, v: Tensor) -> Tensor:
    return torch.arange(len(log_w))


def _before_the_end(conditional, given, mask, u, v):
    """Weights only by the last given position."""
    last = int(mask.nonzero().max()) if mask.any() else -1
    x, _ = _with(pick=_nobody)(conditional, given, mask, u, v)
    log_w = conditional(x, last)[:, given[last]] if last >= 0 else u.new_zeros(len(x))
    return x[_systematic(log_w, v[last])], complete(conditional, given, mask, u, v)[1]


def _by_list(conditional, given, mask, u, v):
    n, D = u.shape
    columns, found = torch.zeros(n, 0, dtype=torch.long), torch.zeros((), dtype=u.dtype)
    for i in range(D):
        rest = torch.zeros(n, D - i, dtype=torch.long)
        log_p = conditional(torch.cat([columns, rest], 1), i)
        if mask[i]:
            w = log_p[:, int(given[i])]
            shifted = (w - w.max()).exp()
            found = found + w.max() + shifted.mean().log()
            keep = torch.multinomial(shifted, n, replacement=True)
            columns = torch.cat([columns[keep], given[i].expand(n, 1)], 1)
        else:
            level = torch.searchsorted(log_p.exp().cumsum(1), u[:, i, None], right=True)
            columns = torch.cat([columns, level.clamp(max=log_p.shape[1] - 1)], 1)
    return columns, found


def table(D: int, K: int, seed: int, strength: float = 1.5) -> Conditional:
    """A model of D positions with K levels whose conditionals are a table: any joint distribution can be enumerated."""
    tables = [(strength * random(K**i, K, seed=seed + i)).log_softmax(1) for i in range(D)]

    def conditional(x: Tensor, i: int) -> Tensor:
        code = torch.zeros(len(x), dtype=torch.long)
        for j in range(i):
            code = K * code + x[:, j]
        return tables[i][code]

    return conditional


def _far(x: Tensor, i: int) -> Tensor:
    """Position 0 is a coin, the later ones are 1 with probability e^-800 at most, and less after a 1 at position 0."""
    if i == 0:
        return torch.full((len(x), 2), math.log(0.5), dtype=torch.float64)
    rare = -800.0 - 2 * x[:, 0].double() * (i == 1)
    return torch.stack([torch.zeros_like(rare), rare], 1)


def _uniform(n: int, D: int, seed: int) -> tuple[Tensor, Tensor]:
    """u (n, D) and v (D,), from normal numbers."""
    return tuple(
        0.5 * (1 + torch.erf(random(*shape, seed=seed + k) / 2**0.5)) for k, shape in enumerate([(n, D), (D,)])
    )


def _run(answer: Callable, model: tuple, given: list[int], n: int, seed: int) -> tuple[Tensor, Tensor]:
    """The answer's result; -1 in `given` is free."""
    conditional = table(*model) if model else _far
    values = torch.tensor(given)
    x, found = answer(conditional, values, values >= 0, *_uniform(n, len(given), seed))
    return x, found if isinstance(found, Tensor) else torch.tensor(float(found), dtype=torch.float64)


def _exactly(answer: Callable, model: tuple, given: list[int], n: int, seed: int) -> list:
    """Particles, and 1000 times the evidence: where nothing depends on how particles are resampled."""
    x, found = _run(answer, model, given, n, seed)
    return [x, 1000 * found]


def _evidence(answer: Callable, model: tuple, given: list[int], n: int, seed: int) -> Tensor:
    """1000 times the evidence, for a single given position."""
    return 1000 * _run(answer, model, given, n, seed)[1]


def _shares(answer: Callable, model: tuple, given: list[int], n: int, seed: int) -> list:
    """Twice the share of each completion among the particles, and the evidence."""
    D, K = model[:2]
    x, found = _run(answer, model, given, n, seed)
    wrong = (torch.tensor(given) >= 0) & (x != torch.tensor(given))
    code = (x * K ** torch.arange(D - 1, -1, -1)).sum(1)
    shares = torch.bincount(code.clamp(0, K**D - 1), minlength=K**D).double() / n
    return [2 * shares, found, 10 * wrong.double().mean()]


BITS, LEVELS = (4, 2, 100), (3, 3, 200)
N = 20_000
FIRST = "Right in the middle, wrong where the first positions are given: all particles are equal then, and go on alike."
TINY = (
    "Right except for probabilities such as e^-800, whose exponential is 0: stay with logarithms, logsumexp for the "
    "mean, and softmax for the weights."
)

EXERCISE = Exercise(
    name="complete",
    lesson="20",
    reference=complete,
    rule="At a free position invert the cumulative distribution at u[:, i]. At a given one write the value into all "
    "particles, add ln of the mean probability that they gave it to the evidence, and draw whole particles anew in "
    "proportion to that probability.",
    rtol=0.0,
    atol=0.04,
    probes=[
        same(BITS, [-1, -1, -1, 1], N, 1, use=_shares),
        same(BITS, [-1, 1, -1, 0], N, 2, use=_shares),
        same(LEVELS, [-1, -1, 2], 7, 3, use=_evidence),
        same(LEVELS, [-1, 0, 2], N, 4, use=_shares),
        same(BITS, [-1, -1, -1, -1], 50, 5, use=_exactly),
        same(LEVELS, [2, 1, -1], 30, 6, use=_exactly),
        same(BITS, [1, 0, 0, 1], 20, 7, use=_exactly),
        same(LEVELS, [-1, 2, -1], 1, 8, use=_exactly),
        edge(same((), [-1, 1, 1], 10, 9, use=_evidence), TINY),
    ],
    mistakes=[
        (
            _with(pick=_nobody),
            "The values are clamped, and nothing is weighted: this draws free positions from what stands before "
            "them. Resample whole particles, x[indices], by the probability that they gave to the value.",
        ),
        (
            _with(evidence=lambda log_w, picked: log_w.mean()),
            "Logarithms are averaged: average the probabilities of the particles, then take the logarithm.",
        ),
        (
            _with(evidence=lambda log_w, picked: log_w.logsumexp(0)),
            "Probabilities of the particles are added: the mean is asked for, so subtract math.log(n).",
        ),
        (
            _keeping(False, lambda w: True, normalize=True),
            "Old weights are kept after resampling: a resampled particle has weight 1 again, or it counts twice.",
        ),
        (
            _with(which=lambda mask: ~mask),
            "The mask is upside down: True is where the value is given.",
        ),
        (
            _with(evidence=lambda log_w, picked: log_w[picked].logsumexp(0) - math.log(len(log_w))),
            "The evidence is averaged over resampled particles, which favors large weights: average before resampling.",
        ),
        (
            _with(pick=lambda log_w, v: _systematic(-log_w, v)),
            "Particles that gave the value a small probability are favored: the weight is the probability itself.",
        ),
        (
            _with(pick=lambda log_w, v: _systematic(2 * log_w, v)),
            "The weights are squared: resample in proportion to the probability.",
        ),
        (
            _with(pick=lambda log_w, v: log_w.argmax().expand(len(log_w))),
            "The best particle replaces all: draw in proportion to the weights, or there is one completion only.",
        ),
        (
            _with(pick=lambda log_w, v: _systematic(log_w.exp(), v)),
            "softmax is applied to probabilities: it expects logarithms.",
        ),
        (_before_the_end, "Only the last given position has a weight: each of them has, at its turn."),
        (
            _with(total=lambda parts, u: parts[-1] if parts else u.new_zeros(())),
            "Only the last given position is in the evidence: add up all of them.",
        ),
        (
            _with(total=lambda parts, u: -sum(parts, u.new_zeros(()))),
            "The evidence has the wrong sign: it is ln p, at most 0.",
        ),
        (
            _with(total=lambda parts, u: sum(parts, u.new_zeros(())).exp()),
            "This is the probability: return its logarithm.",
        ),
        (
            _with(draw=lambda log_p, u: log_p.argmax(1)),
            "Free positions take the most probable level: draw them, by inverting the cumulative sum at u[:, i].",
        ),
        (
            _with(draw=lambda log_p, u: (u * log_p.shape[1]).long()),
            "Free positions are drawn with equal chances: invert the cumulative sum of the probabilities at u[:, i].",
        ),
        (
            _with(draw=lambda log_p, u: (u[:, None] < log_p.exp().cumsum(1)).sum(1) % log_p.shape[1]),
            "The levels are counted from above: the level is the number of cumulative sums that are at most u.",
        ),
        (
            _with(draw=lambda log_p, u: (u[:, None] >= log_p.exp().cumsum(1)).sum(1).add(1) % log_p.shape[1]),
            "The level is one too high: it is the number of cumulative sums that are at most u.",
        ),
        (
            _with(asked=lambda i: max(0, i - 1)),
            "The model is asked for position i - 1 when i is drawn: conditional(x, i).",
        ),
        (
            _with(evidence=lambda log_w, picked: log_w.exp().mean().log(), pick=lambda log_w, v: _systematic(log_w, v)),
            TINY,
        ),
    ],
    accepts=[
        _with(pick=_multinomial),
        _by_list,
        _keeping(True, lambda w: 1 / w.square().sum() < len(w) / 2, always=True),
        _keeping(False, lambda w: False, always=True),
    ],
    speed=Speed(lambda: ((6, 2, 300), [-1, -1, 1, -1, 0, -1], 5000, 1), use=_run),
)
