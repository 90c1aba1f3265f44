"""The exact log-likelihood of probabilistic PCA; equation (10.1)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal, Normal

from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.ppca import ppca_log_marginal
from garm_course.lessons.lesson10.inputs import form

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


def _precision(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    C, d = _covariance(W, sigma2), x - b
    return -0.5 * (((d @ C) * d).sum(1) + torch.linalg.slogdet(C).logabsdet + len(b) * LOG_2PI)


def _by_precision(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    C, d = _covariance(W, sigma2), x - b
    return -0.5 * (((d @ C) * d).sum(1) - torch.linalg.slogdet(C).logabsdet + len(b) * LOG_2PI)


def _by_det(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    C = _covariance(W, sigma2)
    return -0.5 * (_square_of(C, x - b) + torch.linalg.det(C).log() + len(b) * LOG_2PI)


def _log_of_density(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    C = _covariance(W, sigma2)
    scale = torch.sqrt((2 * math.pi) ** len(b) * torch.linalg.slogdet(C).logabsdet.exp())
    return (torch.exp(-0.5 * _square_of(C, x - b)) / scale).log()


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


_SMALL = "W^T W is (Z, Z), how the latents see W: the covariance lives in x space and is W W^T + sigma2 I, (D, D)."
_NO_NOISE = "The noise is missing: W W^T alone has no inverse for Z < D. Add sigma2 on the diagonal."
_NO_EYE = "sigma2 is added to every element of W W^T: the noise is independent, it belongs on the diagonal (eye)."
_W_ALONE = "W stands in place of W W^T: the covariance of W z is W W^T."


def _no_noise(W: Tensor, sigma2: float) -> Tensor:
    return W @ W.T


def _no_eye(W: Tensor, sigma2: float) -> Tensor:
    return W @ W.T + sigma2


def _small(W: Tensor, sigma2: float) -> Tensor:
    return W.T @ W + sigma2 * _eye(W.shape[1], W)


def _w_alone(W: Tensor, sigma2: float) -> Tensor:
    return W + sigma2 * _eye(len(W), W)


SQUARE = random(3, 3, seed=1), random(3, seed=2), 0.37, random(4, 3, seed=3)


def _recognizes(attempt) -> None:
    """Where D = Z every covariance has the right shape: those that fail in other shapes are told by their values.

    How they fail elsewhere depends on how an answer inverts.
    """
    got = attempt.call(*SQUARE)
    for covariance, hint in ((_small, _SMALL), (_no_noise, _NO_NOISE), (_no_eye, _NO_EYE), (_w_alone, _W_ALONE)):
        same_values = torch.allclose(got, _with(covariance)(*SQUARE), rtol=1e-6, atol=1e-8)
        shape = "W of shape (3, 3)"
        attempt.require(not same_values, f"ppca_log_marginal with {shape} uses another covariance.", hint)


EXERCISE = Exercise(
    name="ppca_log_marginal",
    lesson="10",
    reference=ppca_log_marginal,
    rule="log N(x; b, C) with C = W W^T + sigma2 I: -½ ((x - b)^T C^-1 (x - b) + ln det C + D ln 2 pi), nats, (B,).",
    axes=("example",),
    probes=[
        _recognizes,
        same(random(5, 2, seed=4), random(5, seed=5), 0.37, random(4, 5, seed=6)),
        same(*SQUARE, grad=True),
        same(0.8 * random(4, 3, seed=7), random(4, seed=8), 2.6, 1.7 * random(6, 4, seed=9), grad=True),
        same(random(2, 3, seed=10), random(2, seed=11), 0.81, random(5, 2, seed=12)),  # more latents than pixels
        same(0.1 * random(320, 3, seed=13), random(320, seed=14), 0.003, random(2, 320, seed=15)),  # det C < 1e-700
        same(random(6, 2, seed=16), random(6, seed=17), 1.3, random(1, 6, seed=18)),
        same(random(5, 2, seed=4).float(), random(5, seed=5).float(), 0.37, random(4, 5, seed=6).float(), use=form),
    ],
    mistakes=[
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W.detach(), b.detach(), sigma2, x.detach()),
            "The values are right, but the arguments are detached: nobody could fit W by gradient descent.",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W.detach(), b, sigma2, x),
            "The values are right, but W is detached: nobody could fit it by gradient descent.",
        ),
        (_with(_small), _SMALL),
        (_with(_no_noise), _NO_NOISE),
        (_with(_no_eye), _NO_EYE),
        (_with(_w_alone), _W_ALONE),
        (
            _by_lemma(lambda m, D, Z, s: m),
            "ln det C lacks the D - Z directions that hold noise only: ln det M + (D - Z) ln sigma2.",
        ),
        (
            _by_lemma(lambda m, D, Z, s: m + D * math.log(s)),
            "D ln sigma2 belongs to det(I + W^T W / sigma2). With M = W^T W + sigma2 I it is (D - Z) ln sigma2.",
        ),
        (
            _by_lemma(lambda m, D, Z, s: m - Z * math.log(s)),
            "ln det C = ln det(I + W^T W / sigma2) + D ln sigma2: the second term is missing.",
        ),
        (
            _with(lambda W, s: W @ W.T + s**2 * _eye(len(W), W)),
            "sigma2 is squared again: it is the variance already.",
        ),
        (
            _with(lambda W, s: W @ W.T + s**0.5 * _eye(len(W), W)),
            "The root of sigma2 is on the diagonal: the covariance holds variances.",
        ),
        (_with(lambda W, s: W @ W.T + _eye(len(W), W)), "The noise has variance 1: use sigma2."),
        (
            _with(lambda W, s: W @ W.T + _eye(len(W), W) / s),
            "1 / sigma2 is the precision of the noise: add sigma2 to the diagonal.",
        ),
        (_with(lambda W, s: s * (W @ W.T) + s * _eye(len(W), W)), "sigma2 multiplies W W^T as well: only I."),
        (_with(lambda W, s: s * (W @ W.T) + _eye(len(W), W)), "sigma2 multiplies W W^T: it belongs to I."),
        (_with(lambda W, s: W @ W.T - s * _eye(len(W), W)), "The noise is subtracted: variances of a sum add."),
        (
            _with(lambda W, s: s * _eye(len(W), W)),
            "W is not used: this is p(x | z = 0). The latents add W W^T to the covariance.",
        ),
        (
            _with(lambda W, s: torch.diag((W @ W.T).diagonal() + s)),
            "Only the diagonal of the covariance is used: that W z ties the pixels together is the model.",
        ),
        (
            _with(lambda W, s: torch.linalg.cholesky(_covariance(W, s))),
            "The Cholesky factor stands in place of the covariance: its square is the covariance.",
        ),
        (
            _with(lambda W, s: _covariance(W, s) @ _covariance(W, s)),
            "The covariance is squared, as if it were a standard deviation.",
        ),
        (
            _by_precision,
            "The covariance is used as precision, in the square and in the determinant: invert it.",
        ),
        (_precision, "The inverse is missing in the square: (x - b)^T C^-1 (x - b)."),
        (
            lambda W, b, s, x: MultivariateNormal(b, scale_tril=_covariance(W, s)).log_prob(x),
            "The covariance is passed as scale_tril, which is its Cholesky factor: covariance_matrix.",
        ),
        (_of(lambda q, d, D, Z: -0.5 * (q + D * LOG_2PI)), "-½ ln det C is missing: a wide density is a low one."),
        (
            _of(lambda q, d, D, Z: -0.5 * (q + 2 * d + D * LOG_2PI)),
            "ln det C lacks its ½: the density has the root of the determinant.",
        ),
        (
            _of(lambda q, d, D, Z: -0.5 * (q + 0.5 * d + D * LOG_2PI)),
            "ln det C is halved twice: the logs of a Cholesky factor's diagonal sum to ½ ln det C already.",
        ),
        (_of(lambda q, d, D, Z: -0.5 * (q - d + D * LOG_2PI)), "The sign of ln det C: -½ ln det C."),
        (
            _of(lambda q, d, D, Z: -0.5 * (q + d.exp() + D * LOG_2PI)),
            "The determinant itself: its logarithm belongs there.",
        ),
        (
            _of(lambda q, d, D, Z: -0.5 * (q + d)),
            "-½ D ln 2 pi is missing: the density is not normalized.",
        ),
        (_of(lambda q, d, D, Z: -0.5 * q), "Only the square is there: -½ ln det C - ½ D ln 2 pi is missing."),
        (_of(lambda q, d, D, Z: -0.5 * (q + d + Z * LOG_2PI)), "Z ln 2 pi: the density is one of x, D ln 2 pi."),
        (_of(lambda q, d, D, Z: -0.5 * (q + d + LOG_2PI)), "ln 2 pi counts once: D times, for each pixel."),
        (
            _of(lambda q, d, D, Z: -0.5 * (q + d) - D * LOG_2PI),
            "D ln 2 pi lacks its ½: it is the log of a root.",
        ),
        (_of(lambda q, d, D, Z: -0.5 * (q + d - D * LOG_2PI)), "The sign of the constant: -½ D ln 2 pi."),
        (
            _of(lambda q, d, D, Z: -0.5 * (q + d + D * math.log(math.pi))),
            "ln pi in place of ln 2 pi.",
        ),
        (_of(lambda q, d, D, Z: -0.5 * (q + d + D * 2 * math.pi)), "2 pi in place of ln 2 pi."),
        (
            _of(lambda q, d, D, Z: -0.5 * (q + d + len(q) * LOG_2PI)),
            "B ln 2 pi: count the pixels, D, not the examples.",
        ),
        (_of(lambda q, d, D, Z: -q - 0.5 * (d + D * LOG_2PI)), "The square lacks its ½."),
        (_of(lambda q, d, D, Z: -q - d - D * LOG_2PI), "½ is missing throughout: this is twice the log-likelihood."),
        (_of(lambda q, d, D, Z: 0.5 * (q - d - D * LOG_2PI)), "The sign of the square: points far away are unlikely."),
        (
            _of(lambda q, d, D, Z: -0.5 * (q.sqrt() + d + D * LOG_2PI)),
            "The distance in place of its square: no root.",
        ),
        (_of(lambda q, d, D, Z: -0.5 * (q**2 + d + D * LOG_2PI)), "The square is squared once more."),
        (_of(lambda q, d, D, Z: -0.5 * (d + D * LOG_2PI) + 0 * q), "The square is missing: x has no effect."),
        (_centered(lambda x, b, W: x), "b is not used: the density is centered there, x - b."),
        (_centered(lambda x, b, W: x + b), "b is added: the density is centered at b, x - b."),
        (_centered(lambda x, b, W: x - x.mean(0)), "The mean of the batch is subtracted: the model's mean is b."),
        (
            _centered(lambda x, b, W: x - b - W.sum(1)),
            "W is in the mean as well, as if z were 1: z has mean 0, so the mean of x is b.",
        ),
        (
            _all_pairs(lambda p: p),
            "(B, B): products between different examples. Keep the diagonal, or multiply elementwise and sum over D.",
        ),
        (
            _all_pairs(lambda p: p.sum(1)),
            "Products between different examples are summed: each example pairs with itself only.",
        ),
        (
            _all_pairs(lambda p: p.mean(1)),
            "Products between different examples are averaged: each example pairs with itself only.",
        ),
        (_by_det, "The determinant of 320 pixels rounds to 0, and its log is -inf: use slogdet or logdet or Cholesky."),
        (_log_of_density, "The logarithm of a density that underflows: write the three logarithms out."),
        (_then(lambda p: p.exp()), "This is the density: leave the logarithm, it underflows otherwise."),
        (_then(lambda p: -p), "The sign: this is the negative log-likelihood."),
        (_then(lambda p: p.sum()), "This is one number, summed over the batch: return (B,)."),
        (_then(lambda p: p.mean()), "This is one number, the mean over the batch: return (B,)."),
        (_then(lambda p: -p.mean()), "This is a loss, one number: return the log-likelihood of each example, (B,)."),
        (_then(lambda p: p.unsqueeze(1)), "The shape is (B, 1): return (B,)."),
        (_then(lambda p: p.squeeze()), "squeeze() removes the batch when it holds one example: return (1,)."),
        (_then(lambda p: p / math.log(2)), "This is in bits: nats need no division by ln 2."),
        (_of(lambda q, d, D, Z: -0.5 * (q + d + D * LOG_2PI) / D), "It is divided by D: the whole image counts."),
        (
            lambda W, b, s, x: Normal(b, s**0.5).log_prob(x),
            "One value for each pixel, and without W: the covariance is W W^T + sigma2 I.",
        ),
        (
            lambda W, b, s, x: ppca_log_marginal(W.float(), b.float(), s, x.float()),
            "The result is float32 for float64 arguments: keep the dtype that comes in.",
        ),
        (_then(lambda p: p.double()), "The result is float64 for float32 arguments: keep the dtype that comes in."),
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
