"""The exact log-likelihood of probabilistic PCA; equation (10.1)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal, Normal

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.ppca import ppca_log_marginal
from garm_course.lessons.lesson10.inputs import ONE, form

LOG_2PI = math.log(2 * math.pi)


def _eye(n: int, like: Tensor) -> Tensor:
    return torch.eye(n, dtype=like.dtype)


def _covariance(W: Tensor, sigma2: float) -> Tensor:
    return W @ W.T + sigma2 * _eye(len(W), W)


def _square_of(C: Tensor, d: Tensor) -> Tensor:
    return (d * torch.linalg.solve(C, d.T).T).sum(1)


def _of(combine: Callable[[Tensor, Tensor, int, int], object]):
    """A function of the squares (B,), the log determinant of the covariance, D and Z."""

    def answer(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> object:
        C = _covariance(W, sigma2)
        return combine(_square_of(C, x - b), torch.linalg.slogdet(C).logabsdet, *W.shape)

    return answer


def _with(covariance: Callable[[Tensor, float], Tensor]):
    """The density with another covariance."""

    def answer(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
        C = covariance(W, sigma2)
        return -0.5 * (_square_of(C, x - b) + torch.linalg.slogdet(C).logabsdet + len(b) * LOG_2PI)

    return answer


def _centered(center: Callable[[Tensor, Tensor, Tensor], Tensor]):
    """The right density of center(x, b, W)."""
    return lambda W, b, sigma2, x: ppca_log_marginal(W, torch.zeros_like(b), sigma2, center(x, b, W))


def _then(change: Callable[[Tensor], object]):
    """The right density, changed at the end."""
    return lambda W, b, sigma2, x: change(ppca_log_marginal(W, b, sigma2, x))


def _by_lemma(log_det: Callable[[Tensor, int, int, float], Tensor]):
    """Inverse and determinant of the (Z, Z) matrix M = W^T W + sigma2 I, by log_det(log det M, D, Z, sigma2)."""

    def answer(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
        D, Z = W.shape
        M, d = W.T @ W + sigma2 * _eye(Z, W), x - b
        u = d @ W
        square = ((d**2).sum(1) - (u * torch.linalg.solve(M, u.T).T).sum(1)) / sigma2
        return -0.5 * (square + log_det(torch.linalg.slogdet(M).logabsdet, D, Z, sigma2) + D * LOG_2PI)

    return answer


def _pairs(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    C = _covariance(W, sigma2)
    return (x - b) @ torch.linalg.inv(C) @ (x - b).T


def _all_pairs(reduce: Callable[[Tensor], Tensor]):
    """The square with products between different examples."""

    def answer(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
        log_det = torch.linalg.slogdet(_covariance(W, sigma2)).logabsdet
        return reduce(-0.5 * (_pairs(W, b, sigma2, x) + log_det + len(b) * LOG_2PI))

    return answer


def _precision(log_det: float):
    """The inverse is missing in the square; ½ ln det C times log_det is subtracted."""

    def answer(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
        C, d = _covariance(W, sigma2), x - b
        return -0.5 * (((d @ C) * d).sum(1) + log_det * torch.linalg.slogdet(C).logabsdet + len(b) * LOG_2PI)

    return answer


def _by_det(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    C = _covariance(W, sigma2)
    return -0.5 * (_square_of(C, x - b) + torch.linalg.det(C).log() + len(b) * LOG_2PI)


def _by_cholesky(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(_covariance(W, sigma2))
    d = (x - b).T
    square = (d * torch.cholesky_solve(d, factor)).sum(0)
    return -0.5 * square - factor.diagonal().log().sum() - 0.5 * len(b) * LOG_2PI


def _by_eigenvalues(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(_covariance(W, sigma2))
    return Normal(0.0, values.sqrt()).log_prob((x - b) @ vectors).sum(1)


def _by_low_rank(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    return LowRankMultivariateNormal(b, W, torch.full_like(b, sigma2)).log_prob(x)


def _by_inverse(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    C, d = _covariance(W, sigma2), x - b
    square = torch.einsum("bi,ij,bj->b", d, torch.linalg.inv(C), d)
    return -0.5 * (square + torch.logdet(C) + len(b) * LOG_2PI)


def _by_loop(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    density = MultivariateNormal(b, _covariance(W, sigma2))
    return torch.stack([density.log_prob(row) for row in x])


SQUARE = random(3, 3, seed=1), random(3, seed=2), 0.37, random(4, 3, seed=3)  # every covariance has the right shape
TALL = random(5, 2, seed=4), random(5, seed=5), 0.37, random(4, 5, seed=6)
LINE = random(4, 2, seed=7), random(4, seed=8), 1e-6
CLOSE = (*LINE, LINE[1] + random(3, 2, seed=9) @ LINE[0].T + 1e-3 * random(3, 4, seed=10))  # log-densities above 0

DET = "det C of 320 pixels rounds to 0, and its log is -inf: use slogdet, logdet, or the factor of Cholesky."
NOISE = "sigma2 or the result is limited, by a clamp or an added number: small variances make densities above 1."

EXERCISE = Exercise(
    name="ppca_log_marginal",
    lesson="10",
    reference=ppca_log_marginal,
    rule="log N(x; b, C) with C = W W^T + sigma2 I: -½ ((x - b)^T C^-1 (x - b) + ln det C + D ln 2 pi), nats, (B,).",
    axes=("example",),
    probes=[
        plain(*SQUARE),
        plain(*TALL),
        same(*SQUARE, grad=True),
        same(0.8 * random(4, 3, seed=11), random(4, seed=12), 2.6, 1.7 * random(6, 4, seed=13), grad=True),
        same(random(2, 3, seed=14), random(2, seed=15), 41.3, 9 * random(5, 2, seed=16)),  # more latents than pixels
        edge(same(0.1 * random(320, 3, seed=17), random(320, seed=18), 0.003, random(2, 320, seed=19)), DET),
        edge(same(*CLOSE), NOISE),
        edge(same(random(6, 2, seed=20), random(6, seed=21), 1.3, random(1, 6, seed=22)), ONE),
        edge(same(random(1, 1, seed=23), random(1, seed=24), 0.6, random(4, 1, seed=25)), ONE),
        same(
            torch.tensor([[2.0], [1.0]]),
            torch.tensor([0.0, 1.0]),
            1.0,
            torch.tensor([[2.0, 2.0], [0.0, 1.0]]),
            use=form,
        ),
        same(*(a.float() if isinstance(a, Tensor) else a for a in TALL), use=form),
    ],
    mistakes=[
        (
            _with(lambda W, s: W.T @ W + s * _eye(W.shape[1], W)),
            "W^T W is (Z, Z), how the latents see W: the covariance lives in x space, W W^T + sigma2 I, (D, D).",
        ),
        (
            _with(lambda W, s: W @ W.T),
            "The noise is missing: W W^T alone has no inverse for Z < D. Add sigma2 on the diagonal.",
        ),
        (
            _with(lambda W, s: W @ W.T + s),
            "sigma2 is added to every element of W W^T: the noise is independent, it belongs on the diagonal (eye).",
        ),
        (
            _by_lemma(lambda m, D, Z, s: m),
            "ln det C lacks the D - Z directions that hold noise only: ln det M + (D - Z) ln sigma2.",
        ),
        (
            _by_lemma(lambda m, D, Z, s: m + D * math.log(s)),
            "D ln sigma2 belongs to det(I + W^T W / sigma2). With M = W^T W + sigma2 I it is (D - Z) ln sigma2.",
        ),
        (_with(lambda W, s: W @ W.T + s**2 * _eye(len(W), W)), "sigma2 is squared again: it is the variance already."),
        (_with(lambda W, s: W @ W.T + s**0.5 * _eye(len(W), W)), "The root of sigma2: C holds variances, sigma2."),
        (_with(lambda W, s: W @ W.T + _eye(len(W), W)), "The noise has variance 1: use sigma2."),
        (_with(lambda W, s: s * (W @ W.T) + _eye(len(W), W)), "sigma2 multiplies W W^T: it belongs to I."),
        (
            _with(lambda W, s: s * _eye(len(W), W)),
            "W is not used: this is p(x | z = 0). The latents add W W^T to the covariance.",
        ),
        (
            _with(lambda W, s: torch.diag((W @ W.T).diagonal() + s)),
            "Only the diagonal of the covariance is used: that W z ties the pixels together is the model.",
        ),
        (_precision(-1.0), "The covariance is used as precision, in the square and in the determinant: invert it."),
        (_precision(1.0), "The inverse is missing in the square: (x - b)^T C^-1 (x - b)."),
        (
            lambda W, b, s, x: MultivariateNormal(b, scale_tril=_covariance(W, s)).log_prob(x),
            "The covariance is passed as scale_tril, which is its Cholesky factor: covariance_matrix.",
        ),
        (_of(lambda q, d, D, Z: -0.5 * (q + D * LOG_2PI)), "-½ ln det C is missing: a wide density is a low one."),
        (_of(lambda q, d, D, Z: -0.5 * (q + 2 * d + D * LOG_2PI)), "ln det C lacks its ½: a root of det C divides."),
        (
            _of(lambda q, d, D, Z: -0.5 * (q + 0.5 * d + D * LOG_2PI)),
            "ln det C is halved twice: the logs of a Cholesky factor's diagonal sum to ½ ln det C already.",
        ),
        (_of(lambda q, d, D, Z: -0.5 * (q - d + D * LOG_2PI)), "The sign of ln det C: -½ ln det C."),
        (_of(lambda q, d, D, Z: -0.5 * (q + d)), "-½ D ln 2 pi is missing: the density is not normalized."),
        (_of(lambda q, d, D, Z: -0.5 * (q + d + Z * LOG_2PI)), "Z ln 2 pi: the density is one of x, D ln 2 pi."),
        (_of(lambda q, d, D, Z: -0.5 * (q + d + LOG_2PI)), "ln 2 pi counts once: D times, for each pixel."),
        (_of(lambda q, d, D, Z: -0.5 * (q + d) - D * LOG_2PI), "D ln 2 pi lacks its ½: it is the log of a root."),
        (_of(lambda q, d, D, Z: -q - 0.5 * (d + D * LOG_2PI)), "The square lacks its ½."),
        (_of(lambda q, d, D, Z: 0.5 * (q - d - D * LOG_2PI)), "The sign of the square: points far away are unlikely."),
        (_centered(lambda x, b, W: x), "b is not used: the density is centered there, x - b."),
        (_centered(lambda x, b, W: x + b), "b is added: the density is centered at b, x - b."),
        (_centered(lambda x, b, W: x - x.mean(0)), "The mean of the batch is subtracted: the model's mean is b."),
        (_by_det, DET),
        (_then(lambda p: p.clamp(max=0)), NOISE),
        (_then(lambda p: -p.mean()), "This is a loss, one number: return the log-likelihood of each example, (B,)."),
        (_then(lambda p: p.squeeze()), ONE),
        (
            lambda W, b, s, x: Normal(b, s**0.5).log_prob(x),
            "One value for each pixel, and without W: the covariance is W W^T + sigma2 I.",
        ),
    ],
    accepts=[
        lambda W, b, sigma2, x: MultivariateNormal(b, _covariance(W, sigma2)).log_prob(x),
        _with(_covariance),
        _by_cholesky,
        _by_inverse,
        _by_lemma(lambda m, D, Z, s: m + (D - Z) * math.log(s)),
        _by_low_rank,
        _by_eigenvalues,
        _by_loop,
        _all_pairs(lambda p: p.diagonal()),
    ],
    speed=Speed(lambda: (torch.randn(64, 8), torch.randn(64), 0.1, torch.randn(256, 64))),
)
