"""The codebook as a moving average of the vectors that choose each code; equation (12.4)."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.edges import edge, plain, worded
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


def _ema(old: Tensor, new: Tensor, decay: float) -> Tensor:
    return decay * old + (1 - decay) * new


def _mixed(mix_N: Callable, mix_m: Callable | None = None, batch: Callable = _batch):
    """N and m mixed by `mix(old, new, decay)` with what `batch` makes of the vectors."""

    def answer(N, m, index, z, decay):
        n, s = batch(N, m, index, z)
        N, m = mix_N(N, n, decay), (mix_m or mix_N)(m, s, decay)
        return N, m, _ratio(m, N)

    return answer


def _new(change: Callable):
    """The moving averages of what `change(n, s, z)` makes of the batch's counts and sums."""
    return _mixed(_ema, batch=lambda N, m, index, z: change(*_batch(N, m, index, z), z))


def _code(e: Callable):
    """N and m are right, e is `e(N_old, m_old, N, m, n, s, decay)`."""

    def answer(N, m, index, z, decay):
        now, total, _ = ema_update(N, m, index, z, decay)
        return now, total, e(N, m, now, total, *_batch(N, m, index, z), decay)

    return answer


def _last_one(N: Tensor, m: Tensor, index: Tensor, z: Tensor) -> Tensor:
    """Indexed assignment in place of a sum: of several vectors with one code only one arrives."""
    s = torch.zeros_like(m)
    for i in range(len(index)):
        s[index[i]] = z[i]
    return s


def _once(N: Tensor, m: Tensor, index: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    return (_batch(N, m, index, z)[0] > 0).to(N), _last_one(N, m, index, z)


def _chosen_only(N, m, index, z, decay):
    n, _ = _batch(N, m, index, z)
    now, total, _ = ema_update(N, m, index, z, decay)
    N, m = torch.where(n > 0, now, N), torch.where((n > 0).unsqueeze(1), total, m)
    return N, m, _ratio(m, N)


def _guessed(N: Tensor, m: Tensor, index: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    chosen = F.one_hot(index).to(z.dtype)
    return chosen.sum(0), chosen.T @ z


def _by_index_add(N, m, index, z, decay):
    n = torch.zeros_like(N).index_add_(0, index, torch.ones_like(z[:, 0]))
    s = torch.zeros_like(m).index_add_(0, index, z)
    N, m = N * decay + n * (1 - decay), m * decay + s * (1 - decay)
    return N, m, m / N.clamp(min=1e-12)[:, None]


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
RARE = torch.tensor([1e-7, 1e-9, 0.7], dtype=torch.float64)  # codes that nobody has chosen for long
ADDED = (
    "A number is added to N (as the paper's smoothing does), or a clamp acts on it: a code that is rarely chosen may "
    "have an N of 1e-9. Clamp at 1e-12, which acts on 0 only."
)
NEVER = "0 / 0 is NaN for a code that was never chosen: its e is 0, so keep N from being 0 in the division."


def _case(probe: Callable) -> Callable:
    return worded(probe, "N", "m", "e")


EXERCISE = Exercise(
    name="ema_update",
    lesson="12",
    reference=ema_update,
    rule="N <- decay N + (1 - decay) count, m <- decay m + (1 - decay) sum of z, e = m / N, and 0 where N is 0.",
    rtol=1e-5,
    probes=[
        _case(plain(*(100 * t for t in _state(6, 3, 1, dead=5)), INDEX, _random(11, 3, seed=5), 0.8)),
        edge(same(RARE, RARE[:, None] * _random(3, 2, seed=11), torch.tensor([2]), _random(1, 2, seed=13), 0.9), ADDED),
        _case(same(*_state(6, 3, 3, dead=2), torch.tensor([3, 0, 1, 3, 3]), _random(5, 3, seed=6), 0.35)),
        _case(same(*_state(6, 3, 1, dead=2), INDEX, _random(11, 3, seed=7), 0.0)),
        _case(same(*(t.float() for t in _state(4, 2, 7, dead=1)), INDEX[:3], _random(3, 2, seed=8).float(), 0.5)),
        _case(same(*_state(2, 1, 9, dead=0), torch.tensor([1]), _random(1, 1, seed=10), 0.99)),
        _case(same(torch.zeros(2), torch.zeros(2, 1), torch.tensor([1, 1]), torch.tensor([[2.0], [4.0]]), 0.0)),
    ],
    mistakes=[
        (
            _mixed(lambda old, new, decay: _ema(new, old, decay)),
            "The decay is reversed: it weighs the old value, 1 - decay the new one. Decay 0 forgets the past.",
        ),
        (_mixed(lambda old, new, decay: new), "The past is forgotten: decay N + (1 - decay) n, and the same for m."),
        (_mixed(lambda old, new, decay: old + new), "Everything is added up and nothing forgotten: use the decay."),
        (
            _mixed(lambda old, new, decay: decay * old + new),
            "The new part lacks its weight 1 - decay. e is the same, but N and m grow to 1 / (1 - decay) times.",
        ),
        (
            _mixed(lambda old, new, decay: old + (1 - decay) * new),
            "The old N and m are not decayed: decay N + (1 - decay) n, and so for m.",
        ),
        (_mixed(_ema, lambda old, new, decay: _ema(new, old, decay)), "In m the decay is reversed, though not in N."),
        (_mixed(lambda old, new, decay: _ema(new, old, decay), _ema), "In N the decay is reversed, though not in m."),
        (_mixed(_ema, lambda old, new, decay: decay * old + new), "In m the new sum lacks its weight 1 - decay."),
        (_mixed(_ema, lambda old, new, decay: old + (1 - decay) * new), "The old m is not decayed, though N is."),
        (_mixed(lambda old, new, decay: old + (1 - decay) * new, _ema), "The old N is not decayed, though m is."),
        (
            _new(lambda n, s, z: (n, s / n.clamp(min=1).unsqueeze(1))),
            "m takes the batch's mean of each code: m is a sum, and e = m / N makes the mean of it.",
        ),
        (
            _new(lambda n, s, z: (n, s / n.unsqueeze(1))),
            "m takes the batch's mean, NaN for a code that it did not choose: m is a moving average of sums.",
        ),
        (_new(lambda n, s, z: (n / len(z), s / len(z))), "Counts and sums are divided by M: only e is right."),
        (_new(lambda n, s, z: (n / len(z), s)), "N takes frequencies where counts belong: do not divide by M."),
        (
            _new(lambda n, s, z: ((n > 0).to(n), s)),
            "n[index] += 1 counts each code once, however often it occurs: use bincount, index_add or one-hot sums.",
        ),
        (
            _mixed(_ema, batch=lambda *args: (_batch(*args)[0], _last_one(*args))),
            "s[index] = z keeps one vector of each code and drops the others: sum them, with index_add or one-hot.",
        ),
        (_mixed(_ema, batch=_once), "Indexing writes once for each code: both sums need index_add or one-hot."),
        (_chosen_only, "Codes that the batch did not choose keep N and m: theirs shrink by the decay as well."),
        (
            _mixed(_ema, batch=_guessed),
            "The count stops at the largest index of the batch: one_hot needs len(N), bincount minlength=len(N).",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: _ratio(s, n)),
            "e is the batch's own mean, so a code that the batch did not choose falls to 0: divide moving m by N.",
        ),
        (
            _code(lambda N, m, N1, m1, n, s, d: m1 / n.clamp(min=1).unsqueeze(1)),
            "e divides the moving m by the batch's count: divide by the moving N, which forgets as slowly as m.",
        ),
        (_code(lambda N, m, N1, m1, n, s, d: _ratio(m, N)), "e is made of the old N and m: use the updated ones."),
        (_code(lambda N, m, N1, m1, n, s, d: _ratio(m1, N)), "e divides the new m by the old N: use the updated one."),
        (_code(lambda N, m, N1, m1, n, s, d: _ratio(m, N1)), "e divides the old m by the new N: use the updated one."),
        (
            _code(lambda N, m, N1, m1, n, s, d: _ema(_ratio(m, N), _ratio(s, n), d)),
            "e is a moving average of batch means, in which small batches weigh too much: e = m / N.",
        ),
        (_code(lambda N, m, N1, m1, n, s, d: m1), "e is m itself, a sum: divide by N."),
        (_code(lambda N, m, N1, m1, n, s, d: m1 / N1.unsqueeze(1)), NEVER),
        (_code(lambda N, m, N1, m1, n, s, d: m1 / (N1 + 1e-8).unsqueeze(1)), ADDED),
        (_code(lambda N, m, N1, m1, n, s, d: m1 / N1), "N belongs to the rows of m: divide by N.unsqueeze(1)."),
    ],
    accepts=[_by_index_add, _by_scatter, _by_loop],
    speed=Speed(
        lambda: (torch.ones(64), torch.randn(64, 16), torch.randint(0, 64, (6272,)), torch.randn(6272, 16), 0.9)
    ),
)
