"""The exact log-density of probabilistic PCA; equation (10.9)."""

import math

import torch
from torch import Tensor

from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.ppca import ppca_log_marginal


def _numbers(*shape: int, seed: int) -> Tensor:
    """Signs mixed, nothing round, float64."""
    return 1.3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _case(b: int, d: int, z: int, sigma2: float, seed: int) -> tuple:
    return _numbers(d, z, seed=seed), _numbers(d, seed=seed + 1), sigma2, _numbers(b, d, seed=seed + 2)


CASE, SQUARE, SINGLE = (
    _case(3, 5, 2, 0.37, seed=1),
    _case(2, 4, 4, 1.7, seed=10),
    _case(4, 1, 1, 2.3, seed=20),
)
MANY = (0.01 * _numbers(500, 2, seed=30), _numbers(500, seed=31), 0.0043, _numbers(2, 500, seed=32))
TWO_PI = math.log(2 * math.pi)


def _covariance(W: Tensor, sigma2: float) -> Tensor:
    return W @ W.T + sigma2 * torch.eye(len(W), dtype=W.dtype)


def _density(cov: Tensor, d: Tensor, *, half=0.5, logdet=0.5, dims=None, square=None) -> Tensor:
    """The logarithm of a Gaussian density with a covariance, with factors that a mistake may change."""
    dims = len(cov) if dims is None else dims
    square = (d * torch.linalg.solve(cov, d.T).T).sum(-1) if square is None else square
    return -half * square - logdet * torch.linalg.slogdet(cov).logabsdet - 0.5 * dims * TWO_PI


def _with(**factors):
    return lambda W, b, sigma2, x: _density(_covariance(W, sigma2), x - b, **factors)


def _normal(mean: Tensor, covariance: Tensor):
    return torch.distributions.MultivariateNormal(mean, covariance)


def _woodbury(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    d, (n, z) = x - b, W.shape
    inner = sigma2 * torch.eye(z, dtype=W.dtype) + W.T @ W
    v = d @ W
    square = ((d**2).sum(-1) - (v * torch.linalg.solve(inner, v.T).T).sum(-1)) / sigma2
    return -0.5 * (square + torch.logdet(inner) + (n - z) * math.log(sigma2) + n * TWO_PI)


def _by_det(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    cov, d = _covariance(W, sigma2), x - b
    square = (d @ torch.linalg.inv(cov) * d).sum(-1)
    return -0.5 * (square + torch.log(torch.linalg.det(cov)) + len(b) * TWO_PI)


def _by_product(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    cov, d = _covariance(W, sigma2), x - b
    square = (d @ torch.linalg.inv(cov) * d).sum(-1)
    scale = torch.sqrt((2 * math.pi) ** len(b) * torch.linalg.det(cov)) if len(b) < 350 else torch.zeros_like(cov[0, 0])
    return (torch.exp(-0.5 * square) / scale).log()


def _loop(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(_covariance(W, sigma2))
    rows = [torch.linalg.solve_triangular(factor, (row - b)[:, None], upper=False).square().sum() for row in x]
    return -0.5 * torch.stack(rows) - factor.diagonal().log().sum() - 0.5 * len(b) * TWO_PI


def _by_eigenvalues(W: Tensor, b: Tensor, sigma2: float, x: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(_covariance(W, sigma2))
    return -0.5 * (((x - b) @ vectors) ** 2 / values + values.log() + TWO_PI).sum(-1)


EXERCISE = Exercise(
    name="ppca_log_marginal",
    lesson="10",
    reference=ppca_log_marginal,
    rule="log p(x) = log N(x; b, C) with C = W W^T + sigma2 I, a (D, D) matrix; one value per row of x, (B,) in nats.",
    probes=[
        same(*CASE),
        same(*SQUARE),
        same(*CASE, grad=True),
        same(*SINGLE),
        same(*MANY),
        same(*(a.float() if isinstance(a, Tensor) else a for a in CASE)),
    ],
    axes=("example",),
    rtol=1e-5,
    atol=1e-7,
    mistakes=[
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W, b, math.sqrt(sigma2), x),
            "The standard deviation of the noise is on the diagonal. A covariance has the variance there: sigma2.",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W, b, sigma2**2, x),
            "sigma2 is squared. It is the variance sigma^2 already.",
        ),
        (
            lambda W, b, sigma2, x: _normal(b, W.T @ W + sigma2 * torch.eye(W.shape[1], dtype=W.dtype)).log_prob(x),
            "W^T W is a (Z, Z) matrix. The covariance lives in the space of x: W W^T, (D, D).",
        ),
        (
            lambda W, b, sigma2, x: _density(W.T @ W + sigma2 * torch.eye(W.shape[1], dtype=W.dtype), x - b),
            "W^T W is (Z, Z) and does not fit x - b, which has D numbers. The covariance of x is W W^T + sigma2 I.",
        ),
        (
            lambda W, b, sigma2, x: _normal(b, W.T @ W + sigma2 * torch.eye(len(W), dtype=W.dtype)).log_prob(x),
            "W^T W (Z, Z) cannot be added to a (D, D) identity: the covariance of W z is W W^T.",
        ),
        (
            lambda W, b, sigma2, x: _normal(b, W @ W.T).log_prob(x),
            "The noise is missing: W W^T alone has rank Z, so it is no covariance of a density in D dimensions. "
            "Add sigma2 I.",
        ),
        (
            lambda W, b, sigma2, x: _normal(b, W @ W.T + 1e-6 * torch.eye(len(W), dtype=W.dtype)).log_prob(x),
            "The noise is a small constant here. Its variance is the argument sigma2: add sigma2 I.",
        ),
        (
            lambda W, b, sigma2, x: _normal(b, W @ W.T + sigma2).log_prob(x),
            "sigma2 is added to every entry of W W^T. The noise of different pixels is independent: sigma2 I.",
        ),
        (
            lambda W, b, sigma2, x: _density(W @ W.T + sigma2, x - b),
            "sigma2 is added to all entries, which correlates the noise: add sigma2 times the identity.",
        ),
        (
            lambda W, b, sigma2, x: _normal(b, sigma2 * W @ W.T + torch.eye(len(W), dtype=W.dtype)).log_prob(x),
            "sigma2 multiplies W W^T here. It is the variance of the noise: W W^T + sigma2 I.",
        ),
        (
            lambda W, b, sigma2, x: _normal(b, W @ W.T + torch.eye(len(W), dtype=W.dtype)).log_prob(x),
            "The noise has the variance 1 here, the identity without its factor: add sigma2 I.",
        ),
        (
            lambda W, b, sigma2, x: _normal(b, sigma2 * torch.eye(len(W), dtype=W.dtype)).log_prob(x),
            "This is p(x | z = 0), with the noise alone. Averaging over z adds W W^T to the covariance.",
        ),
        (
            lambda W, b, sigma2, x: torch.distributions.Normal(b, ((W**2).sum(1) + sigma2).sqrt()).log_prob(x).sum(-1),
            "The variances are right, but the pixels are treated as independent: W z moves them together, use all of "
            "W W^T.",
        ),
        (_with(logdet=0.0), "The determinant is missing: without -½ ln |C| the density does not integrate to 1."),
        (_with(logdet=1.0), "The ½ in front of ln |C| is missing."),
        (_with(logdet=-0.5), "The sign of ln |C|: a wider Gaussian has a lower density at its center."),
        (
            _with(logdet=0.25),
            "The logarithms on the diagonal of the Cholesky factor add up to half of ln |C| already: no other ½.",
        ),
        (_with(half=1.0), "The ½ in front of the quadratic form is missing."),
        (_with(half=-0.5), "The sign of the quadratic form: the density falls with the distance from b."),
        (_with(half=0.0), "The quadratic form is missing: nothing depends on x."),
        (_with(dims=0), "The constant -(D / 2) ln 2 pi is missing. A density needs it."),
        (_with(dims=1), "The constant is -(D / 2) ln 2 pi: once for each of the D dimensions."),
        (
            lambda W, b, sigma2, x: _density(_covariance(W, sigma2), x - b, dims=W.shape[1]),
            "The constant counts the Z latents. The density is one of x: -(D / 2) ln 2 pi.",
        ),
        (
            lambda W, b, sigma2, x: _density(_covariance(W, sigma2), x - b, dims=2 * len(W)),
            "The ½ of the constant is missing: -(D / 2) ln 2 pi.",
        ),
        (
            lambda W, b, sigma2, x: _density(_covariance(W, sigma2), x),
            "The mean b is not subtracted from x.",
        ),
        (
            lambda W, b, sigma2, x: _density(_covariance(W, sigma2), x + b),
            "The mean b is added: the quadratic form is one of x - b.",
        ),
        (
            lambda W, b, sigma2, x: _density(
                _covariance(W, sigma2), x - b, square=((x - b) @ _covariance(W, sigma2) * (x - b)).sum(-1)
            ),
            "The quadratic form uses the covariance itself: it is (x - b)^T C^-1 (x - b), with the inverse.",
        ),
        (
            lambda W, b, sigma2, x: _density(_covariance(W, sigma2), x - b, square=((x - b) ** 2).sum(-1) / sigma2),
            "The quadratic form uses the noise alone: it is (x - b)^T C^-1 (x - b), with C = W W^T + sigma2 I.",
        ),
        (
            lambda W, b, sigma2, x: _density(
                _covariance(W, sigma2), x - b, square=(x - b) @ torch.linalg.inv(_covariance(W, sigma2)) @ (x - b).T
            ),
            "This is (B, B): every example with every other. Only its diagonal is asked for: "
            "multiply by x - b element by element, and sum.",
        ),
        (
            lambda W, b, sigma2, x: -ppca_log_marginal(W, b, sigma2, x),
            "The sign: this is the negative log-density.",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W, b, sigma2, x).exp(),
            "This is the density. Return its logarithm: with hundreds of pixels the density itself underflows.",
        ),
        (
            _by_det,
            "Right in few dimensions. With 500 the determinant underflows to 0: take torch.logdet or Cholesky.",
        ),
        (
            _by_product,
            "In many dimensions the density and its scale underflow before the logarithm: add logarithms instead.",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W, b, sigma2, x).sum(),
            "This is one number, the sum over the batch. Return one value per example, (B,).",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W, b, sigma2, x).mean(),
            "This is one number, the mean over the batch. Return one value per example, (B,).",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W, b, sigma2, x) / len(b),
            "This is the log-density per dimension. Leave out the division by D.",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W, b, sigma2, x) / math.log(2),
            "This is in bits. The course counts in nats: no division by ln 2.",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W, b, sigma2, x).unsqueeze(1),
            "The shape is (B, 1): return (B,).",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W.detach(), b.detach(), sigma2, x.detach()),
            "The values are right, but detached: W and b could not be fitted.",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W.detach(), b, sigma2, x),
            "The values are right, but W is detached: it could not be fitted.",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W.float(), b.float(), sigma2, x.float()),
            "Right values, but .float() makes the result float32 for float64 arguments: return the dtype of x.",
        ),
        (
            lambda W, b, sigma2, x: ppca_log_marginal(W.double(), b.double(), sigma2, x.double()),
            "Right values, but .double() makes the result float64: return the dtype of x.",
        ),
    ],
    accepts=[
        lambda W, b, sigma2, x: _normal(b, _covariance(W, sigma2)).log_prob(x),
        lambda W, b, sigma2, x: _normal(b, W @ W.T + sigma2 * torch.eye(len(W))).log_prob(x),
        lambda W, b, sigma2, x: torch.distributions.LowRankMultivariateNormal(
            b, W, torch.full_like(b, sigma2)
        ).log_prob(x),
        _with(),
        _woodbury,
        _by_eigenvalues,
        _loop,
    ],
    speed=Speed(lambda: (torch.randn(64, 8), torch.randn(64), 0.5, torch.randn(256, 64))),
)
