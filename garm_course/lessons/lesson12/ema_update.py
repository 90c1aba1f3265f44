"""The codebook as a moving average of the vectors that choose each code; equation (12.4)."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.quantizer import ema_update

_random = partial(random, seed=12)


def _state(n_codes: int, dim: int, seed: int, dead: int) -> tuple[Tensor, Tensor]:
    """N and m of a codebook that has seen some batches; the code `dead` was never chosen."""
    N = _random(n_codes, seed=seed).abs() + 0.05
    m = _random(n_codes, dim, seed=seed + 1) * N.unsqueeze(1)
    N[dead], m[dead] = 0, 0
    return N, m


def _batch(N: Tensor, m: Tensor, index: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Counts (K,) and sums (K, C) of the batch."""
    chosen = F.one_hot(index, len(N)).to(z.dtype)
    return chosen.sum(0), chosen.T @ z


def _ratio(m: Tensor, N: Tensor) -> Tensor:
    return m / N.clamp(min=1e-30).unsqueeze(1)


def _mixed(mix: Callable, divide: Callable = _ratio):
    """N and m mixed by `mix(old, new, decay)`, e by `divide(m, N)`."""

    def answer(N, m, index, z, decay):
        n, s = _batch(N, m, index, z)
        N, m = mix(N, n, decay), mix(m, s, decay)
        return N, m, divide(m, N)

    return answer


def _ema(old, new, decay):
    return decay * old + (1 - decay) * new


def _new(change: Callable):
    """The moving averages of what `change(n, s, N, m, z)` makes of the batch's counts and sums."""

    def answer(N, m, index, z, decay):
        n, s = change(*_batch(N, m, index, z), N, m, z)
        N, m = _ema(N, n, decay), _ema(m, s, decay)
        return N, m, _ratio(m, N)

    return answer


def _code(e: Callable):
    """N and m are right, e is `e(N_old, m_old, N, m, n, s, decay)`."""

    def answer(N, m, index, z, decay):
        n, s = _batch(N, m, index, z)
        now, total, _ = ema_update(N, m, index, z, decay)
        return now, total, e(N, m, now, total, n, s, decay)

    return answer


def _then(change: Callable):
    """The right N, m, e, changed at the end."""
    return lambda N, m, index, z, decay: change(*ema_update(N, m, index, z, decay))


def _assigned(counts: bool, sums: bool):
    """Indexed assignment in place of a sum: of several vectors with one code only one arrives."""

    def answer(N, m, index, z, decay):
        n, s = _batch(N, m, index, z)
        if counts:
            n = torch.zeros_like(N)
            n[index] += 1
        if sums:
            s = torch.zeros_like(m)
            for i in range(len(index)):
                s[index[i]] = z[i]
        return _finish(N, m, n, s, decay)

    return answer


def _finish(N, m, n, s, decay):
    N, m = _ema(N, n, decay), _ema(m, s, decay)
    return N, m, _ratio(m, N)


def _decayed(*, N_too: bool, m_too: bool):
    def answer(N, m, index, z, decay):
        n, s = _batch(N, m, index, z)
        N = _ema(N, n, decay) if N_too else decay * N + n
        m = _ema(m, s, decay) if m_too else decay * m + s
        return N, m, _ratio(m, N)

    return answer


def _growing(*, N_too: bool, m_too: bool):
    """What comes in is weighed by 1 - decay, but the old value is not decayed."""

    def answer(N, m, index, z, decay):
        n, s = _batch(N, m, index, z)
        N = N + (1 - decay) * n if N_too else _ema(N, n, decay)
        m = m + (1 - decay) * s if m_too else _ema(m, s, decay)
        return N, m, _ratio(m, N)

    return answer


def _offset(eps: float):
    """A small number that is added to every N before the division."""
    return _code(lambda N, m, N1, m1, n, s, d: m1 / (N1 + eps).unsqueeze(1))


def _chosen_only(N, m, index, z, decay):
    n, s = _batch(N, m, index, z)
    N = torch.where(n > 0, _ema(N, n, decay), N)
    m = torch.where((n > 0).unsqueeze(1), _ema(m, s, decay), m)
    return N, m, _ratio(m, N)


def _in_place(N, m, index, z, decay):
    n, s = _batch(N, m, index, z)
    N.mul_(decay).add_(n, alpha=1 - decay)
    m.mul_(decay).add_(s, alpha=1 - decay)
    return N, m, _ratio(m, N)


def _laplace(N, m, index, z, decay):
    N, m, _ = ema_update(N, m, index, z, decay)
    total = N.sum()
    smooth = (N + 1e-5) / (total + len(N) * 1e-5) * total
    return N, m, m / smooth.unsqueeze(1)


def _one_hot_guessed(N, m, index, z, decay):
    chosen = F.one_hot(index).to(z.dtype)
    return _finish(N, m, chosen.sum(0), chosen.T @ z, decay)


def _no_axis(N, m, index, z, decay):
    N, m, _ = ema_update(N, m, index, z, decay)
    return N, m, m / N


def _by_index_add(N, m, index, z, decay):
    n = torch.zeros_like(N).index_add_(0, index, torch.ones_like(z[:, 0]))
    s = torch.zeros_like(m).index_add_(0, index, z)
    N, m = N * decay + n * (1 - decay), m * decay + s * (1 - decay)
    return N, m, m / N.clamp(min=1e-8)[:, None]


def _by_scatter(N, m, index, z, decay):
    n = torch.bincount(index, minlength=len(N)).to(N)
    s = torch.zeros_like(m).scatter_add(0, index[:, None].expand_as(z), z)
    N, m = N.lerp(n, 1 - decay), m.lerp(s, 1 - decay)
    return N, m, torch.where(N[:, None] > 0, m / N[:, None], 0)


def _by_loop(N, m, index, z, decay):
    N, m = decay * N, decay * m
    for k in range(len(N)):
        mine = z[index == k]
        N[k] += (1 - decay) * len(mine)
        m[k] += (1 - decay) * mine.sum(0)
    return N, m, torch.nan_to_num(m / N.unsqueeze(1))


INDEX = torch.tensor([3, 0, 3, 1, 3, 0, 3, 1, 4, 3, 0])

EXERCISE = Exercise(
    name="ema_update",
    lesson="12",
    reference=ema_update,
    rule="N <- decay N + (1 - decay) count, m <- decay m + (1 - decay) sum of z, e = m / N, and 0 where N is 0.",
    probes=[
        same(*_state(6, 3, 1, dead=5), INDEX, _random(11, 3, seed=5), 0.9),
        same(*_state(5, 2, 3, dead=2), torch.tensor([3, 0, 1, 3, 3]), _random(5, 2, seed=6), 0.35),
        same(*_state(6, 3, 1, dead=2), INDEX, _random(11, 3, seed=7), 0.0),
        same(*(t.float() for t in _state(4, 2, 7, dead=1)), INDEX[:3], _random(3, 2, seed=8).float(), 0.5),
    ],
    mistakes=[
        (
            _mixed(lambda old, new, decay: (1 - decay) * old + decay * new),
            "The decay is reversed: it weighs the old value, 1 - decay the new one. Decay 0 forgets the past.",
        ),
        (
            _new(lambda n, s, N, m, z: (n, s / n.clamp(min=1).unsqueeze(1))),
            "m takes the batch's mean of each code: m is a sum, and e = m / N makes the mean of it.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: s / n.unsqueeze(1)),
            "e is the batch's own mean, NaN for a code that the batch did not choose: divide the moving m by moving N.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: _ratio(s, n)),
            "e is the batch's own mean, so a code that the batch did not choose falls to 0: divide moving m by N.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: m1 / n.unsqueeze(1)),
            "e divides m by the batch's count, 0 for a code that it did not choose: divide by the moving N.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: m1 / n.clamp(min=1).unsqueeze(1)),
            "e divides the moving m by the batch's count: divide by the moving N, which forgets as slowly as m.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: _ratio(m, N)),
            "e is made of the old N and m: use those that were just updated.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: _ratio(m1, N)),
            "e divides the new m by the old N: use the new one for both.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: _ratio(m, N1)),
            "e divides the old m by the new N: use the new one for both.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: _ema(_ratio(m, N), _ratio(s, n), d)),
            "e is a moving average of batch means, in which small batches weigh too much: e = m / N.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: m1),
            "e is m itself, a sum: divide by N.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: m1 / N1.unsqueeze(1)),
            "0 / 0 is NaN for a code that was never chosen: its e is 0, so keep N from being 0 in the division.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: m1 / N1.clamp(min=1).unsqueeze(1)),
            "N may lie below 1, since it is an average: clamp it at a tiny number, not at 1.",
        ),
        *(
            (_offset(eps), f"{eps:g} is added to every N, which shortens all codes: clamp N at a tiny number instead.")
            for eps in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: m1 / (N1 + 1).unsqueeze(1)),
            "1 is added to every N: divide by N itself, kept from being 0 by a clamp at a tiny number.",
        ),
        (_laplace, "N is smoothed (as the paper's code does): here e is m / N, and 0 where N is 0."),
        (_mixed(lambda old, new, decay: new), "The past is forgotten: decay N + (1 - decay) n, and the same for m."),
        (_mixed(lambda old, new, decay: old + new), "Everything is added up and nothing forgotten: use the decay."),
        (
            _decayed(N_too=False, m_too=False),
            "The new part lacks its weight 1 - decay. e is the same, but N and m grow to 1 / (1 - decay) times.",
        ),
        (_decayed(N_too=True, m_too=False), "In m the new sum lacks its weight 1 - decay, so every code is too long."),
        (_decayed(N_too=False, m_too=True), "In N the new count lacks its weight 1 - decay, so codes shrink."),
        (_growing(N_too=True, m_too=True), "The old N and m are not decayed: decay N + (1 - decay) n, and so for m."),
        (_growing(N_too=False, m_too=True), "The old m is not decayed, though N is: decay m + (1 - decay) sum of z."),
        (_growing(N_too=True, m_too=False), "The old N is not decayed, though m is: decay N + (1 - decay) n."),
        (
            _new(lambda n, s, N, m, z: (n, s / n.unsqueeze(1))),
            "m takes the batch's mean, NaN for a code that it did not choose: m is a moving average of sums.",
        ),
        (
            _mixed(lambda old, new, decay: 0.99 * old + 0.01 * new),
            "The decay is fixed at 0.99: use the argument.",
        ),
        (
            _new(lambda n, s, N, m, z: (n / len(z), s)),
            "N takes frequencies where counts belong: do not divide by the size of the batch.",
        ),
        (
            _new(lambda n, s, N, m, z: (n / len(z), s / len(z))),
            "Counts and sums are divided by the size of the batch: e is the same, but N and m are not.",
        ),
        (
            _new(lambda n, s, N, m, z: (n, s / len(z))),
            "The sums are divided by the size of the batch: m is a sum over the vectors of each code.",
        ),
        (
            _new(lambda n, s, N, m, z: (n, z.sum(0).expand_as(m))),
            "Every code gets the sum of all vectors: only those that chose it belong to it.",
        ),
        (
            _new(lambda n, s, N, m, z: ((n > 0).to(n), s)),
            "n[index] += 1 counts each code once, however often it occurs: use bincount, index_add or one-hot sums.",
        ),
        (
            _assigned(False, True),
            "s[index] = z keeps one vector of each code and drops the others: sum them, with index_add or one-hot.",
        ),
        (
            _assigned(True, True),
            "Indexing with repeated indices writes once for each code: both count and sum need index_add or one-hot.",
        ),
        (_chosen_only, "Codes that the batch did not choose keep N and m: theirs shrink by the decay as well."),
        (_in_place, "N and m are changed in place: return new tensors, the caller still needs the old ones."),
        (
            _one_hot_guessed,
            "The count stops at the largest index of the batch: one_hot needs len(N), bincount minlength=len(N).",
        ),
        (_no_axis, "m / N divides along the wrong axis: N belongs to the rows of m, N.unsqueeze(1)."),
        (_then(lambda N, m, e: (m, N, e)), "The results are in the wrong order: N, m, e."),
        (_then(lambda N, m, e: (e, N, m)), "The codebook comes first: the order is N, m, e."),
        (_then(lambda N, m, e: (N, m)), "The codebook e is missing: return N, m, e."),
        (_then(lambda N, m, e: e), "Only the codebook is returned: return N, m, e."),
        (_then(lambda N, m, e: (N.unsqueeze(1), m, e)), "N has an axis too many: its shape is (K,)."),
        (_then(lambda N, m, e: (N.float(), m.float(), e.float())), "The results are cast to float32: keep the dtype."),
    ],
    accepts=[_by_index_add, _by_scatter, _by_loop, _mixed(_ema)],
    speed=Speed(
        lambda: (torch.ones(64), torch.randn(64, 16), torch.randint(0, 64, (6272,)), torch.randn(6272, 16), 0.9)
    ),
)
