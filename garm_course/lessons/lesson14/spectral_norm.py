"""The largest singular value of a matrix by power iteration; equation (14.5)."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from garm_course.adversarial import lipschitz
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def spectral_norm(W: Tensor, u: Tensor, n: int) -> Tensor:
    """The library's function without the vector that it returns to start from next time."""
    return lipschitz.spectral_norm(W, u, n)[0]


def _length(t: Tensor) -> Tensor:
    return normalize(t, dim=0)


def _as_it_is(t: Tensor) -> Tensor:
    return t


def _rounds(number=lambda W, u, v, old: u @ W @ v, of_v=_length, of_u=_length, more=0, W_to_v=lambda W, u: W.T @ u):
    """n rounds that normalize by `of_v` and `of_u`, then a number of W, the vectors, and u before the last round."""

    def answer(W: Tensor, u: Tensor, n: int) -> Tensor:
        for _ in range(n + more):
            v = of_v(W_to_v(W, u))
            old, u = u, of_u(W @ v)
        return number(W, u, v, old)

    return answer


def _by_hand(W: Tensor, u: Tensor, n: int) -> Tensor:
    for _ in range(n):
        v = W.T @ u / (W.T @ u).norm()
        u = W @ v / (W @ v).norm()
    return torch.dot(u, W.mv(v))


START = random(4, seed=21)
ADDED = "A number is added to the length, which is too much for small vectors: divide by the length, or F.normalize."

EXERCISE = Exercise(
    name="spectral_norm",
    lesson="14",
    reference=spectral_norm,
    rule="n times: v = normalize(Wᵀu), u = normalize(W v); then σ = uᵀ W v.",
    rtol=1e-5,
    probes=[
        plain(random(4, 6, seed=1), START, 3),
        same(random(4, 6, seed=1), START, 1),  # one step: not there yet
        same(2 * random(5, 3, seed=2), random(5, seed=3), 400),  # there: the largest singular value
        same(random(3, 7, seed=4), random(3, seed=5), 400),
        same(random(1, 4, seed=7), random(1, seed=8), 2),
        same(1000 * random(3, 1, seed=9), random(3, seed=10), 1),
        same(random(4, 4, seed=6).float(), START.float(), 2),
        *(same(torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([1.0, 1.0]), n) for n in (1, 30)),
        edge(same(1e-6 * random(4, 6, seed=11), 1e-2 * START, 3), ADDED),
    ],
    mistakes=[
        (lambda W, u, n: W.norm(), "This is the Frobenius norm, the root of the sum of all σ²."),
        (_rounds(of_v=_as_it_is), "v is not normalized: uᵀ W v is σ² then, or grows with |u|."),
        (_rounds(of_u=_as_it_is), "This is σ²: it was squared, or u was not normalized, which makes uᵀ W v = |W v|²."),
        (_rounds(of_v=_as_it_is, of_u=_as_it_is), "Nothing is normalized: the vectors grow like a power of σ."),
        (
            _rounds(of_v=normalize, of_u=normalize),
            "F.normalize works along axis 1, and vectors have axis 0 only: dim=0.",
        ),
        (_rounds(W_to_v=lambda W, u: W @ u), "v has one number for each column: it is the transpose times u, W.T @ u."),
        (_rounds(number=lambda W, u, v, old: old @ W @ v), "u is that before the last round: use the new one, uᵀ W v."),
        (lambda W, u, n: spectral_norm(W, u, 1), "One step is taken whatever n is: repeat it with the new u."),
        (
            lambda W, u, n: spectral_norm(W, torch.ones_like(u), n),
            "It starts from another vector: u comes in, so that training can go on from the last one.",
        ),
        (_rounds(more=1), "There is one step too many: n of them."),
        (_rounds(more=-1), "There is one step too few: n of them."),
        (lambda W, u, n: torch.linalg.svdvals(W)[0], "This is the exact value: after n steps it is smaller."),
        (lambda W, u, n: torch.linalg.svdvals(W)[-1], "This is the smallest singular value."),
        (_rounds(lambda W, u, v, old: W / (u @ W @ v)), "This is W / σ, the normalized weight: σ itself is asked for."),
        (_rounds(lambda W, u, v, old: (W.T @ u).norm()), "This is |Wᵀu| with the new u, half a step on: uᵀ W v."),
        (_rounds(lambda W, u, v, old: v), "This is the singular vector v: return uᵀ W v."),
        (_rounds(lambda W, u, v, old: u), "This is the singular vector u: return uᵀ W v."),
        (_rounds(lambda W, u, v, old: u * (W @ v)), "The products are not added up: u @ W @ v is one number."),
        (
            _rounds(of_v=lambda t: t / t.abs().sum(), of_u=lambda t: t / t.abs().sum()),
            "The vectors are divided by the sum of their entries' absolute values: divide by their lengths.",
        ),
        (_rounds(of_v=lambda t: t / (t.norm() + 1e-6), of_u=lambda t: t / (t.norm() + 1e-6)), ADDED),
    ],
    accepts=[_by_hand, _rounds(lambda W, u, v, old: (W @ v).norm()), _rounds(lambda W, u, v, old: (W @ v) @ u)],
    speed=Speed(lambda: (torch.randn(256, 512), torch.randn(256), 20)),
)
