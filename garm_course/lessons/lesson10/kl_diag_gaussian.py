"""The KL divergence from a Gaussian posterior to the standard normal prior; equation (10.4)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import kl_diag_gaussian
from garm_course.lessons.lesson10.inputs import form


def _half(terms: Callable[[Tensor, Tensor], Tensor]):
    """½ sum over the dimensions of terms(mu, logvar)."""
    return lambda mu, logvar: 0.5 * terms(mu, logvar).sum(-1)


def _then(change: Callable[[Tensor], object]):
    """The right terms (B, Z), changed and reduced otherwise."""
    return lambda mu, logvar: change(0.5 * (mu**2 + logvar.exp() - 1 - logvar))


def _of(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]):
    """The right formula of other arguments."""
    return lambda mu, logvar: kl_diag_gaussian(*change(mu, logvar))


def _standard(mu: Tensor) -> Normal:
    return Normal(torch.zeros_like(mu), torch.ones_like(mu))


def _by_torch(scale: Callable[[Tensor], Tensor]):
    """torch's own KL, summed, with a scale made from logvar."""
    return lambda mu, logvar: kl_divergence(Normal(mu, scale(logvar)), _standard(mu)).sum(-1)


def _std(logvar: Tensor) -> Tensor:
    return (0.5 * logvar).exp()


def _one_sample(mu: Tensor, logvar: Tensor) -> Tensor:
    q = Normal(mu, _std(logvar))
    z = q.rsample()
    return (q.log_prob(z) - _standard(mu).log_prob(z)).sum(-1)


def _by_loop(mu: Tensor, logvar: Tensor) -> Tensor:
    total = mu.new_zeros(len(mu))
    for j in range(mu.shape[1]):
        total = total + (mu[:, j] ** 2 + logvar[:, j].exp() - 1 - logvar[:, j]) / 2
    return total


def _by_blocks(mu: Tensor, logvar: Tensor) -> Tensor:
    q = Independent(Normal(mu, logvar.exp().sqrt()), 1)
    return kl_divergence(q, Independent(_standard(mu), 1))


def _by_matrices(mu: Tensor, logvar: Tensor) -> Tensor:
    eye = torch.eye(mu.shape[1], dtype=mu.dtype)
    q = MultivariateNormal(mu, scale_tril=torch.diag_embed(_std(logvar)))
    return kl_divergence(q, MultivariateNormal(torch.zeros_like(mu), eye))


WIDE = torch.tensor([[0.3, 12.3, -1.7, 0.9, -31.2], [-11.6, 0.4, 10.7, -0.2, 1.3]], dtype=torch.float64)

EXERCISE = Exercise(
    name="kl_diag_gaussian",
    lesson="10",
    reference=kl_diag_gaussian,
    rule="KL = ½ sum over the dimensions of mu² + e^logvar - 1 - logvar, in nats; one value per example, (B,).",
    axes=("example",),
    probes=[
        same(1.3 * random(3, 4, seed=1), random(3, 4, seed=2), grad=True),
        same(torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.float64), grad=True),  # the prior
        same(random(2, 5, seed=3), WIDE, grad=True),
        same(random(1, 6, seed=4), random(1, 6, seed=5), grad=True),
        same(random(4, 1, seed=6), random(4, 1, seed=7)),
        same(random(3, 4, seed=8).float(), random(3, 4, seed=9).float(), use=form),
    ],
    mistakes=[
        (
            lambda mu, logvar: kl_diag_gaussian(mu, logvar.clamp(-20, 20)),
            "logvar is clamped: (10.4) holds for every variance, and beyond the clamp there is no gradient.",
        ),
        (
            _half(lambda mu, l: 1 + l - mu**2 - l.exp()),
            "The sign: this is the negative KL, as it stands in the ELBO. A KL divergence is never negative.",
        ),
        (
            _then(lambda t: t.mean(-1)),
            "The dimensions are averaged: sum them. The KL of independent dimensions is the sum of theirs.",
        ),
        (
            _half(lambda mu, l: mu**2 + (2 * l).exp() - 1 - l),
            "e^{2 logvar}: logvar is ln sigma², not ln sigma, so that the variance is e^logvar.",
        ),
        (
            _half(lambda mu, l: mu**2 + (2 * l).exp() - 1 - 2 * l),
            "This is right for a log standard deviation. logvar is ln sigma²: halve it for ln sigma.",
        ),
        (
            _half(lambda mu, l: mu**2 + l - 1 - l.log()),
            "logvar is used as the variance, and the logarithm of a negative number is NaN: the variance is e^logvar.",
        ),
        (
            _half(lambda mu, l: mu**2 + l**2 - 1 - (l**2).log()),
            "logvar is used as the standard deviation: it is a logarithm already, sigma² = e^logvar.",
        ),
        (
            _half(lambda mu, l: mu**2 + l**2 - 1 - 2 * l.log()),
            "logvar is used as sigma, and the logarithm of a negative number is NaN: sigma² = e^logvar.",
        ),
        (
            _half(lambda mu, l: mu**2 + l**2 - 1 - l),
            "logvar² in place of the variance: sigma² = e^logvar.",
        ),
        (
            _half(lambda mu, l: mu**2 + l - 1 - l),
            "The exponential is missing: the variance is e^logvar, and the two terms do not cancel.",
        ),
        (
            _half(lambda mu, l: mu**2 + l.exp() - 1 - l.exp().log1p()),
            "ln(1 + variance) where ln variance belongs, which is logvar itself.",
        ),
        (_then(lambda t: 2 * t.sum(-1)), "The factor ½ is missing: this is twice the KL."),
        (_then(lambda t: 0.5 * t.sum(-1)), "The factor ½ is there twice: this is half of the KL."),
        (
            _half(lambda mu, l: mu**2 + l.exp() - l),
            "The -1 is missing: where q is the prior the KL must be 0, and yours is Z / 2.",
        ),
        (
            _half(lambda mu, l: mu**2 + l.exp() + 1 - l),
            "+1 in place of -1: where q is the prior the KL must be 0, and yours is Z.",
        ),
        (
            lambda mu, l: 0.5 * ((mu**2 + l.exp() - l).sum(-1) - 1),
            "The -1 stands outside of the sum: each dimension has one, -Z in all.",
        ),
        (
            _half(lambda mu, l: mu**2 + l.exp() - 1),
            "The term -logvar is missing: nothing keeps the variance from shrinking to 0.",
        ),
        (
            _half(lambda mu, l: mu**2 + l.exp() - 1 + l),
            "The sign of logvar: it is subtracted, so that a vanishing variance costs.",
        ),
        (
            _half(lambda mu, l: mu**2 - l.exp() - 1 - l),
            "The sign of the variance: e^logvar is added, so that a wide posterior costs.",
        ),
        (
            _half(lambda mu, l: -(mu**2) + l.exp() - 1 - l),
            "The sign of mu²: it is added, a posterior far from 0 costs.",
        ),
        (
            _half(lambda mu, l: mu**2 + l.exp() - 1 - 0.5 * l),
            "The logarithm in the sum is that of the variance, logvar, not ln sigma = logvar / 2.",
        ),
        (
            _half(lambda mu, l: mu**2 + l.exp() - 1 - 2 * l),
            "logvar is doubled: it is ln sigma², already twice ln sigma.",
        ),
        (
            _half(lambda mu, l: mu**2 + _std(l) - 1 - l),
            "e^{logvar / 2} is the standard deviation: the variance belongs there, e^logvar.",
        ),
        (
            _half(lambda mu, l: mu**2 + _std(l) - 1 - 0.5 * l),
            "logvar is halved in both places: this formula is about the variance, e^logvar and logvar.",
        ),
        (
            _half(lambda mu, l: mu**2 + (-l).exp() - 1 + l),
            "logvar has the wrong sign throughout: e^{-logvar} is the precision.",
        ),
        (
            _half(lambda mu, l: mu**2 + (-l).exp() - 1 - l),
            "e^{-logvar} is the precision: the variance belongs there.",
        ),
        (
            _half(lambda mu, l: (1 + mu**2) * (-l).exp() - 1 + l),
            "This is the reversed KL, from the prior to q: the expectation is over q, which comes first.",
        ),
        (_half(lambda mu, l: mu + l.exp() - 1 - l), "mu is not squared: a mean below 0 costs as much as one above."),
        (_half(lambda mu, l: mu.abs() + l.exp() - 1 - l), "|mu| in place of mu²: the distance from 0 counts squared."),
        (
            lambda mu, l: 0.5 * (mu.sum(-1) ** 2 + (l.exp() - 1 - l).sum(-1)),
            "The sum of mu is squared: square each dimension, then sum.",
        ),
        (
            lambda mu, l: 0.5 * (mu.norm(dim=-1) + (l.exp() - 1 - l).sum(-1)),
            "The length of mu in place of its square: norm takes a root.",
        ),
        (_half(lambda mu, l: (mu - 1) ** 2 + l.exp() - 1 - l), "The prior has mean 0, not 1: mu² is the distance."),
        (
            _half(lambda mu, l: mu**2 / l.exp() + l.exp() - 1 - l),
            "mu² is divided by the variance of q: the prior's variance, 1, belongs there.",
        ),
        (_half(lambda mu, l: l.exp() - 1 - l), "The term mu² is missing: only the variance is compared."),
        (_half(lambda mu, l: mu**2), "Only the means are compared: a variance other than 1 costs as well."),
        (
            lambda mu, l: (0.5 * mu**2 + l.exp() - 1 - l).sum(-1),
            "The factor ½ belongs to all terms, not to mu² alone: mind the parentheses.",
        ),
        (
            lambda mu, l: (mu**2 + 0.5 * (l.exp() - 1 - l)).sum(-1),
            "The factor ½ belongs to all terms, mu² included: mind the parentheses.",
        ),
        (
            lambda mu, l: (-0.5 * (1 + l) + mu**2 + l.exp()).sum(-1),
            "The factor ½ belongs to all terms: in -½ (1 + logvar - mu² - e^logvar) the parenthesis holds all four.",
        ),
        (
            _then(lambda t: t.mean()),
            "This is one number, the mean over dimensions and examples: sum over dimensions and return (B,).",
        ),
        (
            _then(lambda t: t.sum()),
            "This is one number, summed over the batch as well: sum over the last axis and return (B,).",
        ),
        (
            _then(lambda t: t.sum(-1).mean()),
            "This is one number, the mean over the batch: return (B,), averaging is left to the training loop.",
        ),
        (
            _then(lambda t: -t.mean()),
            "Two faults: one number, averaged over all, and the sign. Sum over the dimensions; a KL is at least 0.",
        ),
        (
            _then(lambda t: -t.sum()),
            "Two faults: one number, summed over the batch too, and the sign. Return (B,); a KL is at least 0.",
        ),
        (
            _then(lambda t: -t.sum(-1).mean()),
            "Two faults: one number, averaged over the batch, and the sign. Return (B,); a KL is at least 0.",
        ),
        (
            _then(lambda t: -t.mean(-1)),
            "Two faults: the dimensions are averaged, and the sign. Sum them; a KL is at least 0.",
        ),
        (_then(lambda t: t.sum(0)), "The sum runs over the examples (axis 0): sum over the dimensions, the last axis."),
        (_then(lambda t: t.mean(0)), "The mean runs over the examples (axis 0): sum over the dimensions instead."),
        (_then(lambda t: t), "This is one value for each dimension: sum over the last axis."),
        (_then(lambda t: t.sum(-1, keepdim=True)), "The shape is (B, 1): without keepdim it is (B,)."),
        (_then(lambda t: t.sum(-1).squeeze()), "squeeze() removes the batch when it holds one example: return (1,)."),
        (_then(lambda t: t.squeeze().sum(-1)), "squeeze() removes an axis of length 1 before the sum: leave it out."),
        (_then(lambda t: t.prod(-1)), "The dimensions are multiplied: sum them."),
        (_then(lambda t: t.amax(-1)), "Only the largest dimension counts: sum them."),
        (_then(lambda t: t.sum(-1) / 0.6931471805599453), "This is in bits: nats need no division by ln 2."),
        (_then(lambda t: t.sum(-1).detach()), "The values are right, but detached: this term would train nothing."),
        (_of(lambda mu, l: (mu.detach(), l)), "The values are right, but mu is detached: no gradient reaches it."),
        (
            _of(lambda mu, l: (mu, l.detach())),
            "The values are right, but logvar is detached: no gradient reaches it.",
        ),
        (
            _half(lambda mu, l: mu**2 + l.exp().detach() - 1 - l),
            "The values are right, but e^logvar is detached: the gradient then grows every variance without end.",
        ),
        (
            _of(lambda mu, l: (mu, l.clamp(-10, 10))),
            "logvar is clamped to 10: outside the value is wrong and the gradient 0. The formula needs no clamp.",
        ),
        (
            _of(lambda mu, l: (mu, l.clamp(-5, 5))),
            "logvar is clamped to 5: outside the value is wrong and the gradient 0. The formula needs no clamp.",
        ),
        (
            _by_torch(lambda l: l),
            "Normal takes the standard deviation. Neither logvar nor its root is one: pass e^{logvar / 2}.",
        ),
        (
            lambda mu, l: kl_divergence(Normal(mu, _std(l)), Normal(0.0, 0.5)).sum(-1),
            "The prior has standard deviation 1, not ½.",
        ),
        (_one_sample, "This is log q - log p at one draw, which scatters: the integral is known in closed form."),
        (
            _of(lambda mu, l: (mu.float(), l.float())),
            "The result is float32 for float64 arguments: keep the dtype that comes in.",
        ),
        (
            _of(lambda mu, l: (mu.double(), l.double())),
            "The result is float64 for float32 arguments: keep the dtype that comes in.",
        ),
    ],
    accepts=[
        _by_torch(_std),
        _by_torch(lambda l: l.exp().sqrt()),
        lambda mu, logvar: -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1),
        lambda mu, logvar: 0.5 * (mu.square() + torch.expm1(logvar) - logvar).sum(dim=1),
        lambda mu, logvar: 0.5 * ((mu * mu).sum(1) + logvar.exp().sum(1) - logvar.sum(1) - mu.shape[1]),
        lambda mu, logvar: (0.5 * (mu**2 + _std(logvar) ** 2 - 1) - _std(logvar).log()).sum(-1),
        _by_loop,
        _by_blocks,
        _by_matrices,
    ],
    speed=Speed(lambda: (torch.randn(512, 64), torch.randn(512, 64))),
)
