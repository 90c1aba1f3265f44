"""The KL divergence from a Gaussian posterior to the standard normal prior; equation (10.4)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import kl_diag_gaussian
from garm_course.lessons.lesson10.inputs import ONE, form


def _half(terms: Callable[[Tensor, Tensor], Tensor]):
    """½ sum over the dimensions of terms(mu, logvar)."""
    return lambda mu, logvar: 0.5 * terms(mu, logvar).sum(-1)


def _then(change: Callable[[Tensor], object]):
    """The right terms (B, Z), changed and reduced otherwise."""
    return lambda mu, logvar: change(0.5 * (mu**2 + logvar.exp() - 1 - logvar))


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


RICH = 1.3 * random(3, 4, seed=1), random(3, 4, seed=2)
WIDE = torch.tensor([[0.3, 22.3, -1.7, 0.9, -120.2], [-31.6, 0.4, 10.7, -0.2, 1.3]], dtype=torch.float64)
FAR = torch.tensor([[0.0, -300.0, 41.0, 7.3, 0.2], [-12.0, 0.3, -0.1, 0.0, 2.0]], dtype=torch.float64)
NARROW = torch.tensor([[-800.0, -3.0]], dtype=torch.float64)  # e^-800 is 0


LIMIT = "A number is kept from becoming small or large, by a clamp or an added epsilon: (10.4) holds without limits."
UNDERFLOW = (
    "The logarithm is taken of a variance that has become 0: at logvar = -800 e^logvar underflows, in float32 at -104 "
    "already. torch's kl_divergence takes it as well. ln sigma² is logvar itself."
)

EXERCISE = Exercise(
    name="kl_diag_gaussian",
    lesson="10",
    reference=kl_diag_gaussian,
    rule="KL = ½ sum over the dimensions of mu² + e^logvar - 1 - logvar, in nats; one value per example, (B,).",
    axes=("example",),
    probes=[
        plain(*RICH),
        same(*RICH, grad=True),
        same(random(2, 6, seed=3), 2 * random(2, 6, seed=4), grad=True),
        edge(same(*torch.zeros(2, 2, 3, dtype=torch.float64), grad=True), LIMIT),  # q is the prior
        same(torch.tensor([[1.0, -2.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(4)], [0.0, 0.0]])),
        edge(same(0.01 * random(2, 3, seed=5), 0.01 * random(2, 3, seed=6), grad=True), LIMIT),
        edge(same(FAR, WIDE, grad=True), LIMIT),
        edge(same(random(1, 6, seed=7), random(1, 6, seed=8), grad=True), ONE),
        edge(same(random(4, 1, seed=9), random(4, 1, seed=10)), ONE),
        edge(same(torch.zeros_like(NARROW), NARROW, grad=True), UNDERFLOW),
        same(random(3, 4, seed=11).float(), random(3, 4, seed=12).float(), use=form),
    ],
    mistakes=[
        (lambda mu, l: (mu**2 + l.exp() - 1 - l).sum(-1), "The factor ½ is missing."),
        (
            _half(lambda mu, l: mu**2 + (2 * l).exp() - 1 - l),
            "e^{2 logvar}: logvar is ln sigma², not ln sigma, so that the variance is e^logvar.",
        ),
        (
            _half(lambda mu, l: mu**2 + (2 * l).exp() - 1 - 2 * l),
            "e^logvar is taken for sigma, but it is the variance: sigma = e^{logvar / 2}, and ln sigma² is logvar.",
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
            _half(lambda mu, l: mu**2 + l - 1 - l),
            "The exponential is missing: the variance is e^logvar, and the two terms do not cancel.",
        ),
        (_half(lambda mu, l: mu**2 + l.exp() - l), "The -1 is missing: at the prior the KL must be 0, yours is Z / 2."),
        (
            lambda mu, l: 0.5 * ((mu**2 + l.exp() - l).sum(-1) - 1),
            "The -1 stands outside of the sum: each dimension has one, -Z in all.",
        ),
        (_half(lambda mu, l: mu**2 + l.exp() - 1), "The term -logvar is missing: nothing keeps the variance up."),
        (_half(lambda mu, l: mu**2 + l.exp() - 1 + l), "The sign of logvar: it is subtracted, a small variance costs."),
        (
            _half(lambda mu, l: mu**2 + l.exp() - 1 - 0.5 * l),
            "The logarithm in the sum is that of the variance, logvar, not ln sigma = logvar / 2.",
        ),
        (_half(lambda mu, l: mu**2 + _std(l) - 1 - l), "e^{logvar / 2} is sigma: the variance belongs there."),
        (
            _half(lambda mu, l: (1 + mu**2) * (-l).exp() - 1 + l),
            "This is the reversed KL, from the prior to q: the expectation is over q, which comes first.",
        ),
        (_half(lambda mu, l: mu + l.exp() - 1 - l), "mu is not squared: a mean below 0 costs as much as one above."),
        (_half(lambda mu, l: mu * 2 + l.exp() - 1 - l), "mu * 2 doubles mu: its square is mu**2."),
        (_half(lambda mu, l: l.exp() - 1 - l), "The term mu² is missing: only the variance is compared."),
        (
            lambda mu, l: 0.5 * (mu.sum(-1) ** 2 + (l.exp() - 1 - l).sum(-1)),
            "The sum of mu is squared: square each dimension, then sum.",
        ),
        (
            lambda mu, l: (0.5 * mu**2 + l.exp() - 1 - l).sum(-1),
            "The factor ½ belongs to all terms, not to mu² alone: mind the parentheses.",
        ),
        (
            lambda mu, l: (mu**2 + 0.5 * (l.exp() - 1 - l)).sum(-1),
            "The factor ½ belongs to all terms, mu² included: mind the parentheses.",
        ),
        (_then(lambda t: t.mean()), "This is one number, the mean over all: sum over dimensions and return (B,)."),
        (_then(lambda t: -t.sum()), "Two faults: one number, summed over the batch too, and the sign. Return (B,)."),
        (_then(lambda t: t.sum(0)), "The sum runs over the examples (axis 0): sum over the dimensions, the last axis."),
        (_then(lambda t: t.sum(-1).squeeze()), ONE),
        (
            _half(lambda mu, l: mu**2 + l.exp().detach() - 1 - l),
            "The values are right, but e^logvar is detached: the gradient then grows every variance without end.",
        ),
        (_then(lambda t: t.clamp(min=0.01).sum(-1)), LIMIT),
        (_by_torch(_std), UNDERFLOW),
        (
            _by_torch(lambda l: l),
            "Normal takes the standard deviation. Neither logvar nor its root is one: pass e^{logvar / 2}.",
        ),
        (_one_sample, "This is log q - log p at one draw, which scatters: the integral is known in closed form."),
    ],
    accepts=[
        lambda mu, logvar: -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1),
        lambda mu, logvar: 0.5 * (mu.square() + torch.expm1(logvar) - logvar).sum(dim=1),
        lambda mu, logvar: 0.5 * ((mu * mu).sum(1) + logvar.exp().sum(1) - logvar.sum(1) - mu.shape[1]),
        lambda mu, logvar: (0.5 * (mu**2 + _std(logvar) ** 2 - 1) - _std(logvar).log()).sum(-1),
        _by_loop,
    ],
    speed=Speed(lambda: (torch.randn(512, 64), torch.randn(512, 64))),
)
