"""The divergence of a diagonal Gaussian from the standard normal; equation (10.3)."""

import math

import torch
from torch import Tensor

from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import kl_diag_gaussian


def _numbers(*shape: int, seed: int) -> Tensor:
    """Signs mixed, nothing round, float64."""
    return 1.3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MU, LOGVAR = _numbers(3, 5, seed=1), _numbers(3, 5, seed=2)
PRIOR = torch.zeros(2, 4, dtype=torch.float64)
NARROW = torch.full((2, 3), -30.7, dtype=torch.float64)


def _terms(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


def _normals(mu: Tensor, logvar: Tensor) -> tuple:
    normal = torch.distributions.Normal
    return normal(mu, (0.5 * logvar).exp()), normal(torch.zeros_like(mu), torch.ones_like(mu))


def _of_torch(mu: Tensor, logvar: Tensor) -> Tensor:
    return torch.distributions.kl_divergence(*_normals(mu, logvar)).sum(-1)


def _full(mu: Tensor, logvar: Tensor) -> Tensor:
    q = torch.distributions.MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
    p = torch.distributions.MultivariateNormal(torch.zeros_like(mu), torch.eye(mu.shape[1], dtype=mu.dtype))
    return torch.distributions.kl_divergence(q, p)


def _loop(mu: Tensor, logvar: Tensor) -> Tensor:
    rows = []
    for m, v in zip(mu, logvar, strict=True):
        total = m.new_zeros(())
        for a, b in zip(m, v, strict=True):
            total = total + 0.5 * (a * a + b.exp() - 1 - b)
        rows.append(total)
    return torch.stack(rows)


EXERCISE = Exercise(
    name="kl_diag_gaussian",
    lesson="10",
    reference=kl_diag_gaussian,
    rule="KL(N(mu, e^logvar) || N(0, I)) is the sum over dimensions of (mu^2 + e^logvar - 1 - logvar) / 2; shape (B,).",
    probes=[
        same(MU, LOGVAR),
        same(_numbers(2, 3, seed=3), _numbers(2, 3, seed=4)),
        same(MU, LOGVAR, grad=True),
        same(PRIOR, PRIOR),
        same(_numbers(2, 3, seed=5), NARROW, grad=True),
        same(MU.float(), LOGVAR.float()),
        same(_numbers(4, 1, seed=6), _numbers(4, 1, seed=7)),
    ],
    axes=("example",),
    mistakes=[
        (
            lambda mu, logvar: -_terms(mu, logvar).sum(-1),
            "The sign: this is minus the divergence. A KL divergence is never negative; at mu = 0, logvar = 0 it is 0.",
        ),
        (
            lambda mu, logvar: _terms(mu, logvar).mean(-1),
            "The dimensions are averaged. Sum them: the divergence of independent dimensions adds up.",
        ),
        (
            lambda mu, logvar: _terms(mu, logvar).mean(),
            "This is one number, the mean over dimensions and examples. Sum over the last axis only, and return (B,).",
        ),
        (
            lambda mu, logvar: _terms(mu, logvar).sum(),
            "This is one number, summed over the batch as well. Sum over the last axis only, and return (B,).",
        ),
        (
            lambda mu, logvar: _terms(mu, logvar).sum(-1).mean(),
            "This is one number, averaged over the batch. Return one value per example, (B,): training averages later.",
        ),
        (
            lambda mu, logvar: _terms(mu, logvar).sum(0),
            "The sum runs over the examples (dim=0). The dimensions are the last axis: sum(-1).",
        ),
        (
            lambda mu, logvar: _terms(mu, logvar).mean(0),
            "This is a mean over the examples (dim=0). Sum over the dimensions, the last axis, and keep the examples.",
        ),
        (_terms, "This is one value per dimension. Sum over the last axis: the shape is (B,)."),
        (
            lambda mu, logvar: _terms(mu, logvar).sum(-1, keepdim=True),
            "The shape is (B, 1): return (B,); leave keepdim out.",
        ),
        (
            lambda mu, logvar: _terms(mu, 2 * logvar).sum(-1),
            "logvar is ln sigma^2, but this treats it as ln sigma: the variance is e^logvar, not e^(2 logvar) "
            "(and torch's Normal wants the standard deviation, e^(logvar / 2)).",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + (2 * logvar).exp() - 1 - logvar).sum(-1),
            "e^(2 logvar) is the square of the variance: logvar is ln sigma^2 already, so the term is e^logvar.",
        ),
        (
            lambda mu, logvar: _terms(mu, 0.5 * logvar).sum(-1),
            "Half of logvar is used throughout, which is ln sigma: the formula wants the variance, e^logvar.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + (0.5 * logvar).exp() - 1 - logvar).sum(-1),
            "e^(logvar / 2) is the standard deviation: the term in the formula is the variance, e^logvar.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1 - 0.5 * logvar).sum(-1),
            "The last term is halved twice: it is (... - 1 - logvar) / 2.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + logvar - 1 - logvar.log()).sum(-1),
            "logvar is used as if it were the variance, and the logarithm of a negative number is NaN: "
            "the variance is e^logvar.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + logvar - 1 - logvar.abs().log()).sum(-1),
            "logvar is used as if it were the variance. It is the logarithm of it: the variance is e^logvar.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + logvar**2 - 1 - (logvar**2).log()).sum(-1),
            "logvar is used as if it were the standard deviation: the variance is e^logvar.",
        ),
        (
            lambda mu, logvar: 2 * _terms(mu, logvar).sum(-1),
            "Right up to a factor: the ½ is missing.",
        ),
        (
            lambda mu, logvar: 0.5 * _terms(mu, logvar).sum(-1),
            "Right up to a factor: the ½ is applied twice.",
        ),
        (
            lambda mu, logvar: (0.5 * mu**2 + logvar.exp() - 1 - logvar).sum(-1),
            "The ½ reaches the first term only: put parentheses around all four.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - logvar).sum(-1),
            "The -1 is missing, once per dimension: at mu = 0, logvar = 0 the divergence is 0.",
        ),
        (
            lambda mu, logvar: 0.5 * ((mu**2 + logvar.exp() - logvar).sum(-1) - 1),
            "The -1 is subtracted once per example. It belongs to every dimension: put it inside the sum.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + torch.expm1(logvar) - 1 - logvar).sum(-1),
            "expm1 has subtracted the 1 already: leave the other one out.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() + 1 - logvar).sum(-1),
            "The sign of the 1: at mu = 0, logvar = 0 the terms must cancel to 0.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1 + logvar).sum(-1),
            "The sign of the last term: it is - logvar, which keeps the variance from shrinking to 0.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 - logvar.exp() - 1 - logvar).sum(-1),
            "The sign of the variance: it is + e^logvar.",
        ),
        (
            lambda mu, logvar: -0.5 * (1 + logvar + mu**2 - logvar.exp()).sum(-1),
            "The form with -½ has - mu^2 inside: the farther the mean is from 0, the larger the divergence.",
        ),
        (
            lambda mu, logvar: 0.5 * (logvar.exp() - 1 - logvar).sum(-1),
            "mu^2 is missing: a mean that leaves 0 costs as well.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu + logvar.exp() - 1 - logvar).sum(-1),
            "The mean enters as its square: mu^2, not mu.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu.abs() + logvar.exp() - 1 - logvar).sum(-1),
            "The mean enters as its square: mu^2, not |mu|.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu.norm(dim=-1) + (logvar.exp() - 1 - logvar).sum(-1)),
            "The norm of mu is the root of the sum of squares: the formula has the sum itself, mu^2.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu.sum(-1) ** 2 + (logvar.exp() - 1 - logvar).sum(-1)),
            "This squares the sum of the means: sum the squares, (mu**2).sum(-1).",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2).sum(-1),
            "Only the mean counts here: e^logvar - 1 - logvar is missing, 0 only for the variance 1.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1).sum(-1),
            "- logvar is missing: without it a variance of 0 would be the best.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 - 1 - logvar).sum(-1),
            "e^logvar is missing: without it a huge variance would cost nothing.",
        ),
        (
            lambda mu, logvar: 0.5 * ((1 + mu**2) * torch.exp(-logvar) - 1 + logvar).sum(-1),
            "This is KL(N(0, I) || q), the other way round: the expectation is under q, the first argument.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 * torch.exp(-logvar) + logvar.exp() - 1 - logvar).sum(-1),
            "mu^2 is divided by the variance of q. The prior's variance is 1, so mu^2 stands alone.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() + math.log(2 * math.pi)).sum(-1),
            "This is the cross-entropy -E_q ln p(z): subtract the entropy of q, then ln 2 pi cancels.",
        ),
        (
            lambda mu, logvar: -0.5 * (1 + math.log(2 * math.pi) + logvar).sum(-1),
            "This is minus the entropy of q: the other half, -E_q ln p(z), is missing.",
        ),
        (
            lambda mu, logvar: _terms(mu, logvar).sum(-1) / math.log(2),
            "This is in bits. The course counts in nats: no division by ln 2.",
        ),
        (
            lambda mu, logvar: kl_diag_gaussian(mu.detach(), logvar.detach()),
            "The values are right, but detached: no gradient reaches mu and logvar, and the encoder learns nothing.",
        ),
        (
            lambda mu, logvar: kl_diag_gaussian(mu.detach(), logvar),
            "The values are right, but mu is detached: no gradient reaches it.",
        ),
        (
            lambda mu, logvar: kl_diag_gaussian(mu, logvar.detach()),
            "The values are right, but logvar is detached: no gradient reaches it.",
        ),
        (
            lambda mu, logvar: kl_diag_gaussian(mu.float(), logvar.float()),
            "Right values, but .float() makes the result float32 for float64 arguments: return the dtype of mu.",
        ),
        (
            lambda mu, logvar: kl_diag_gaussian(mu.double(), logvar.double()),
            "Right values, but .double() makes the result float64: return the dtype of mu.",
        ),
        (
            lambda mu, logvar: torch.tensor([row.sum().item() for row in _terms(mu, logvar)]),
            "Numbers were taken out of the tensors with .item(): gradient and dtype are lost. Stay with tensors.",
        ),
        (
            lambda mu, logvar: _terms(mu, logvar.clamp(-20, 20)).sum(-1),
            "logvar is clamped to -20: a narrower q then costs too little and gets no gradient. Leave the clamp out.",
        ),
        (
            lambda mu, logvar: _terms(mu, logvar.clamp(-10, 10)).sum(-1),
            "logvar is clamped to -10: a narrower q then costs too little and gets no gradient. No clamp is needed.",
        ),
        (
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1 - (logvar.exp() + 1e-8).log()).sum(-1),
            "1e-8 was added inside a logarithm, which cuts narrow variances off: ln of the variance is logvar itself.",
        ),
    ],
    accepts=[
        lambda mu, logvar: -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(-1),
        lambda mu, logvar: -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1),
        lambda mu, logvar: 0.5 * (mu.square() + torch.expm1(logvar) - logvar).sum(1),
        lambda mu, logvar: 0.5 * ((mu * mu).sum(-1) + logvar.exp().sum(-1) - mu.shape[1] - logvar.sum(-1)),
        _of_torch,
        lambda mu, logvar: torch.distributions.kl_divergence(
            *(torch.distributions.Independent(one, 1) for one in _normals(mu, logvar))
        ),
        _full,
        _loop,
    ],
    speed=Speed(lambda: (torch.randn(256, 64), torch.randn(256, 64))),
)
