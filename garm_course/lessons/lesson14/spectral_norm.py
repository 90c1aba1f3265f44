"""The largest singular value of a matrix by power iteration; equation (14.5)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from garm_course.adversarial import lipschitz
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def spectral_norm(W: Tensor, u: Tensor, n: int) -> Tensor:
    """The library's function without the vector that it returns to start from next time."""
    return lipschitz.spectral_norm(W, u, n)[0]


def _iterate(W: Tensor, u: Tensor, n: int, figure: Callable[[Tensor, Tensor, Tensor], Tensor], scale=normalize):
    for _ in range(n):
        v = scale(W.T @ u, dim=0)
        u = scale(W @ v, dim=0)
    return figure(W, u, v)


def _then(change: Callable[[Tensor], object]):
    return lambda W, u, n: change(spectral_norm(W, u, n))


def _without_v_normalized(W: Tensor, u: Tensor, n: int) -> Tensor:
    for _ in range(n):
        v = W.T @ u
        u = normalize(W @ v, dim=0)
    return u @ W @ v


def _one_step(W: Tensor, u: Tensor, n: int) -> Tensor:
    return spectral_norm(W, u, 1)


def _own_start(W: Tensor, u: Tensor, n: int) -> Tensor:
    return spectral_norm(W, torch.ones_like(u), n)


def _rayleigh(W: Tensor, u: Tensor, n: int) -> Tensor:
    for _ in range(n):
        v = W.T @ u / (W.T @ u).norm()
        u = W @ v / (W @ v).norm()
    return torch.dot(u, W.mv(v))


def _by_length(W: Tensor, u: Tensor, n: int) -> Tensor:
    for _ in range(n):
        v = normalize(W.T @ u, dim=0)
        length = (W @ v).norm()
        u = (W @ v) / length
    return length


START = random(4, seed=21)
EXERCISE = Exercise(
    name="spectral_norm",
    lesson="14",
    reference=spectral_norm,
    rule="n times: v = normalize(Wᵀu), u = normalize(W v); then σ = uᵀ W v.",
    probes=[
        same(random(4, 6, seed=1), START, 1),  # one step: not there yet
        same(random(4, 6, seed=1), START, 3),
        same(2 * random(5, 3, seed=2), random(5, seed=3), 400),  # there: the largest singular value
        same(random(3, 7, seed=4), random(3, seed=5), 400),
        same(random(4, 4, seed=6).float(), START.float(), 2),
    ],
    mistakes=[
        (lambda W, u, n: W.norm(), "This is the Frobenius norm, the root of the sum of all σ²."),
        (_then(lambda s: s**2), "This is σ²: normalize u after every step, and return uᵀ W v."),
        (_then(lambda s: s.sqrt()), "There is a root too much: uᵀ W v is σ already."),
        (_without_v_normalized, "v is not normalized: uᵀ W v is σ² then, or grows with |u|."),
        (
            lambda W, u, n: _iterate(W, u, n, lambda W, u, v: u @ W @ v, lambda t, dim: t),
            "Nothing is normalized: the vectors grow like σ to the power of the steps.",
        ),
        (_one_step, "One step is taken whatever n is: repeat it n times."),
        (_own_start, "It starts from another vector: u comes in, so that training can go on from the last one."),
        (
            lambda W, u, n: torch.linalg.svdvals(W)[0],
            "The exact value is right in the end, but n steps were asked for: after few of them σ is smaller.",
        ),
        (lambda W, u, n: torch.linalg.svdvals(W).sum(), "All singular values are added: the largest is asked for."),
        (lambda W, u, n: torch.linalg.svdvals(W)[-1], "This is the smallest singular value."),
        (lambda W, u, n: W.abs().max(), "This is the largest entry, which bounds no vector's growth."),
        (lambda W, u, n: W.abs().sum(1).max(), "This is the largest row sum, the norm for |·|∞: σ is for lengths."),
        (
            lambda W, u, n: _iterate(W, u, n, lambda W, u, v: W / (u @ W @ v)),
            "This is W / σ, the normalized weight: σ itself is asked for.",
        ),
        (lambda W, u, n: _iterate(W, u, n, lambda W, u, v: v), "This is the singular vector v: return uᵀ W v."),
        (lambda W, u, n: _iterate(W, u, n, lambda W, u, v: u), "This is the singular vector u: return uᵀ W v."),
        (lambda W, u, n: spectral_norm(W, u, n + 1), "There is one step too many: n of them."),
        (
            lambda W, u, n: _iterate(W, u, n, lambda W, u, v: u @ W @ v, lambda t, dim: t / t.abs().sum()),
            "The vectors are divided by the sum of their entries' absolute values: divide by their lengths.",
        ),
        (_then(lambda s: s.item()), "A number has no gradient: leave out .item()."),
    ],
    accepts=[_rayleigh, _by_length, lambda W, u, n: _iterate(W, u, n, lambda W, u, v: (W @ v) @ u)],
    rtol=1e-5,
    speed=Speed(lambda: (torch.randn(256, 512), torch.randn(256), 20)),
)  # fmt: skip
