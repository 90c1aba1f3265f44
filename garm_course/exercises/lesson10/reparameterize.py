"""A draw from a Gaussian that is differentiable in its mean and variance; equation (10.4)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import reparameterize


def _numbers(*shape: int, seed: int) -> Tensor:
    """Signs mixed, nothing round, float64."""
    return 1.3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MU, LOGVAR, EPS = (_numbers(3, 4, seed=s) for s in (1, 2, 3))


def _std(logvar: Tensor) -> Tensor:
    return torch.exp(0.5 * logvar)


def _loop(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    rows = zip(mu.flatten(), logvar.flatten(), eps.flatten(), strict=True)
    return torch.stack([m + (v / 2).exp() * e for m, v, e in rows]).view_as(mu)


EXERCISE = Exercise(
    name="reparameterize",
    lesson="10",
    reference=reparameterize,
    rule="z = mu + e^(logvar / 2) eps, element by element: logvar is ln sigma^2, so e^(logvar / 2) is sigma.",
    probes=[
        same(MU, LOGVAR, EPS),
        same(_numbers(2, 3, seed=4), _numbers(2, 3, seed=5), _numbers(2, 3, seed=6)),
        same(MU, LOGVAR, EPS, grad=True),
        same(MU.float(), LOGVAR.float(), EPS.float()),
        same(MU, torch.full_like(MU, -45.3), EPS),
        same(_numbers(1, 1, seed=7), _numbers(1, 1, seed=8), _numbers(1, 1, seed=9)),
    ],
    axes=("example", "latent"),
    atol=1e-14,
    mistakes=[
        (
            lambda mu, logvar, eps: mu + logvar.exp() * eps,
            "e^logvar is the variance. The noise is scaled by the standard deviation, e^(logvar / 2).",
        ),
        (
            lambda mu, logvar, eps: mu + logvar * eps,
            "logvar is used as the standard deviation, and may be negative: sigma = e^(logvar / 2).",
        ),
        (
            lambda mu, logvar, eps: mu + 0.5 * logvar * eps,
            "logvar / 2 is ln sigma: take its exponential before you scale the noise.",
        ),
        (
            lambda mu, logvar, eps: mu + logvar.sqrt() * eps,
            "The root of logvar is NaN where logvar is negative: sigma is the root of the variance e^logvar.",
        ),
        (
            lambda mu, logvar, eps: mu + logvar.abs().sqrt() * eps,
            "logvar is used as if it were the variance: sigma is the root of e^logvar.",
        ),
        (
            lambda mu, logvar, eps: mu + (2 * logvar).exp() * eps,
            "e^(2 logvar) is sigma to the fourth power: sigma is e^(logvar / 2).",
        ),
        (
            lambda mu, logvar, eps: mu + torch.exp(-0.5 * logvar) * eps,
            "The sign in the exponent: this divides the noise by sigma. A large logvar means a wide q.",
        ),
        (
            lambda mu, logvar, eps: mu + 0.5 * logvar.exp() * eps,
            "The ½ belongs into the exponent: e^(logvar / 2), not e^logvar / 2.",
        ),
        (
            lambda mu, logvar, eps: mu + F.softplus(logvar) * eps,
            "softplus is another way to make a scale positive: here logvar is ln sigma^2, so sigma = e^(logvar / 2).",
        ),
        (
            lambda mu, logvar, eps: mu + F.softplus(logvar).sqrt() * eps,
            "softplus(logvar) is not the variance: logvar is its logarithm, so sigma = e^(logvar / 2).",
        ),
        (
            lambda mu, logvar, eps: mu + torch.exp(torch.sqrt(logvar)) * eps,
            "The root comes after the exponential: sigma is the root of e^logvar, and logvar may be negative.",
        ),
        (
            lambda mu, logvar, eps: mu - _std(logvar) * eps,
            "The sign of the noise: its distribution is the same, but for the given eps the draw is mu + sigma eps.",
        ),
        (
            lambda mu, logvar, eps: mu + _std(logvar) * torch.randn_like(mu),
            "New noise is drawn. The noise is the argument eps, so that the same draw can be made again.",
        ),
        (
            lambda mu, logvar, eps: mu + torch.randn_like(mu) * logvar.exp(),
            "New noise is drawn, and scaled by the variance: the noise is the argument eps, sigma = e^(logvar / 2).",
        ),
        (
            lambda mu, logvar, eps: torch.normal(mu, _std(logvar)),
            "torch draws its own noise here, and .sample() and torch.normal pass no gradient to mu and logvar: "
            "compute mu + sigma eps from the given eps.",
        ),
        (
            lambda mu, logvar, eps: torch.normal(mu, logvar.exp()),
            "torch draws its own noise, and is told the variance: compute mu + e^(logvar / 2) eps from the given eps.",
        ),
        (lambda mu, logvar, eps: _std(logvar) * eps, "The mean is missing: add mu."),
        (lambda mu, logvar, eps: mu + _std(logvar), "eps is missing: this is the same point at every draw."),
        (lambda mu, logvar, eps: mu + eps, "The scale is missing: eps has variance 1, q has e^logvar."),
        (lambda mu, logvar, eps: mu, "This is the mean of q, not a draw: add sigma eps."),
        (
            lambda mu, logvar, eps: (mu + eps) * _std(logvar),
            "The mean is scaled too: only the noise is multiplied by sigma.",
        ),
        (
            lambda mu, logvar, eps: _std(logvar) + mu * eps,
            "Mean and scale are exchanged: it is mu + sigma eps, not sigma + mu eps.",
        ),
        (lambda mu, logvar, eps: mu * _std(logvar) * eps, "The mean is added, not multiplied: mu + sigma eps."),
        (
            lambda mu, logvar, eps: (eps - mu) / _std(logvar),
            "This is the inverse, which turns a draw into standard noise: z = mu + sigma eps.",
        ),
        (
            lambda mu, logvar, eps: mu + _std(logvar) * eps**2,
            "eps is squared: the noise keeps its sign.",
        ),
        (
            lambda mu, logvar, eps: mu + _std(logvar) * eps.abs(),
            "eps lost its sign: the draw must lie on both sides of the mean.",
        ),
        (
            lambda mu, logvar, eps: reparameterize(mu, logvar, eps).detach(),
            "The values are right, but the result is detached: passing the gradient on is the purpose of this draw "
            "(rsample in torch).",
        ),
        (
            lambda mu, logvar, eps: reparameterize(mu.detach(), logvar, eps),
            "The values are right, but mu is detached: dz / dmu must be 1.",
        ),
        (
            lambda mu, logvar, eps: reparameterize(mu, logvar.detach(), eps),
            "The values are right, but sigma is detached: dz / dlogvar must be sigma eps / 2.",
        ),
        (
            lambda mu, logvar, eps: mu.detach() + reparameterize(torch.zeros_like(mu), logvar.detach(), eps),
            "The values are right, but neither mu nor logvar gets a gradient: detach only what must not learn.",
        ),
        (
            lambda mu, logvar, eps: mu + (_std(logvar) * eps).mean(-1, keepdim=True),
            "The noise is averaged over the dimensions: each dimension has its own.",
        ),
        (
            lambda mu, logvar, eps: (mu + _std(logvar) * eps).sum(-1),
            "The dimensions are summed: return z itself, (B, Z).",
        ),
        (
            lambda mu, logvar, eps: mu + _std(logvar) * eps[:1],
            "Every example gets the noise of the first one: use all rows of eps.",
        ),
        (
            lambda mu, logvar, eps: mu + torch.exp(0.5 * logvar.clamp(-20, 20)) * eps,
            "logvar is clamped to -20: narrower draws are wrong. No clamp is needed.",
        ),
        (
            lambda mu, logvar, eps: mu + torch.exp(0.5 * logvar.clamp(-10, 10)) * eps,
            "logvar is clamped to -10, so narrower draws are wrong: leave the clamp out.",
        ),
        (
            lambda mu, logvar, eps: mu + (logvar.exp() + 1e-8).sqrt() * eps,
            "1e-8 was added to the variance, so narrow draws are wrong: e^(logvar / 2) needs no constant.",
        ),
        (
            lambda mu, logvar, eps: mu + (_std(logvar) + 1e-6) * eps,
            "1e-6 was added to sigma, so narrow draws are wrong: e^(logvar / 2) is positive already.",
        ),
        (
            lambda mu, logvar, eps: reparameterize(mu.float(), logvar.float(), eps.float()),
            "Right values, but .float() makes the result float32 for float64 arguments: return the dtype of mu.",
        ),
        (
            lambda mu, logvar, eps: reparameterize(mu.double(), logvar.double(), eps.double()),
            "Right values, but .double() makes the result float64: return the dtype of mu.",
        ),
    ],
    accepts=[
        lambda mu, logvar, eps: mu + logvar.exp().sqrt() * eps,
        lambda mu, logvar, eps: mu + torch.exp(logvar / 2) * eps,
        lambda mu, logvar, eps: eps.mul(logvar.mul(0.5).exp_()).add_(mu),
        lambda mu, logvar, eps: torch.addcmul(mu, _std(logvar), eps),
        lambda mu, logvar, eps: mu + logvar.exp() ** 0.5 * eps,
        _loop,
    ],
    speed=Speed(lambda: (torch.randn(256, 64), torch.randn(256, 64), torch.randn(256, 64))),
)
