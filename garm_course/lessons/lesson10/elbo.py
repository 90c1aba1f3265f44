"""The evidence lower bound of binary images at one draw of the latents; equation (10.3)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from garm_course.distributions.heads import bernoulli_nll
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import kl_diag_gaussian, kl_diag_gaussian_per_dim
from garm_course.lessons.lesson10.inputs import ONE, form, pixels


def elbo(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """log p(x | z) - KL(q(z | x) || p(z)) for binary pixels, a Gaussian q and the prior N(0, I); equation (10.3).

    Its mean over draws of z from q is a lower bound of log p(x).

    Args:
        x: (B, D) pixels, 0 or 1.
        logits: (B, D) of a pixel being 1, from the decoder at one draw of z.
        mu: (B, Z) of q(z | x) = N(mu, diag e^logvar).
        logvar: (B, Z) of q(z | x) = N(mu, diag e^logvar).

    Returns:
        (B,) nats, summed over pixels and dimensions, at most 0.

    Raises:
        ValueError: for shapes that do not fit, or pixels other than 0 and 1.

    Source:
        Kingma, Welling (2014), arXiv 1312.6114, equation 10 with L = 1.

    Example:
        >>> elbo(torch.ones(1, 2), torch.zeros(1, 2), torch.tensor([[1.0]]), torch.zeros(1, 1))  # -2 ln 2 - 1/2
        tensor([-1.8863])
    """
    return -bernoulli_nll(logits, x) - kl_diag_gaussian(mu, logvar)


def _terms(x: Tensor, logits: Tensor) -> Tensor:
    """log p of each pixel (B, D)."""
    return x * logits - F.softplus(logits)


def _of(combine: Callable[[Tensor, Tensor], object]):
    """A function of log p of each pixel (B, D), and of the KL of each dimension (B, Z)."""
    return lambda x, logits, mu, logvar: combine(_terms(x, logits), kl_diag_gaussian_per_dim(mu, logvar))


def _pixels_by(log_p: Callable[[Tensor, Tensor], Tensor]):
    """The bound with other terms log_p(x, logits) (B, D) of the pixels."""
    return lambda x, logits, mu, logvar: log_p(x, logits).sum(1) - kl_diag_gaussian(mu, logvar)


def _kl_by(terms: Callable[[Tensor, Tensor], Tensor]):
    """The bound with ½ sum of other terms(mu, logvar) (B, Z) as its KL."""
    return lambda x, logits, mu, logvar: _terms(x, logits).sum(1) - 0.5 * terms(mu, logvar).sum(1)


def _then(change: Callable[[Tensor], object]):
    """The right bound, changed at the end."""
    return lambda x, logits, mu, logvar: change(elbo(x, logits, mu, logvar))


def _apart(answer: Callable, x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> object:
    """Calls the answer so that gradients with respect to the pixels do not count."""
    return answer(x.detach(), logits, mu, logvar)


def _by_torch(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    q = Normal(mu, (0.5 * logvar).exp())
    kl = kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(-1)
    return Bernoulli(logits=logits).log_prob(x).sum(-1) - kl


def _by_blocks(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    prior = Independent(Normal(mu.new_zeros(mu.shape), mu.new_ones(mu.shape)), 1)
    kl = kl_divergence(Independent(Normal(mu, logvar.exp().sqrt()), 1), prior)
    return Independent(Bernoulli(logits=logits), 1).log_prob(x) - kl


def _by_loop(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    bounds = []
    for pixel, logit, m, v in zip(x, logits, mu, logvar, strict=True):
        nll = F.binary_cross_entropy_with_logits(logit, pixel, reduction="sum")
        bounds.append(-nll + 0.5 * torch.sum(1 + v - m**2 - v.exp()))
    return torch.stack(bounds)


def _bce(x: Tensor, logits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


RICH = pixels(3, 7, seed=1), 2 * random(3, 7, seed=2), 1.2 * random(3, 4, seed=3), random(3, 4, seed=4)
SEEN = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]], dtype=torch.float64)  # right, right; wrong, wrong
CERTAIN = torch.tensor([[800.0, -1000.0, 7.3, -41.2], [-6.7, 1000.0, -800.0, -38.3]], dtype=torch.float64)
WIDE = torch.tensor([[0.3, 22.3, -1.7], [-31.6, 0.4, -120.2]], dtype=torch.float64)
FAR = torch.tensor([[40.0, -13.0, 0.2], [0.7, -41.0, 3.0]], dtype=torch.float64)

CUT = (
    "Right for moderate logits. But sigmoid rounds to 0 or 1, and binary_cross_entropy, Bernoulli(probs=...), a clamp "
    "or an epsilon cut the loss of a pixel: at a wrong logit of 800 it is 800 nats. Use x l - softplus(l), or the "
    "form that expects logits."
)
LIMIT = "The KL or the bound is limited, by free bits, a clamp or an epsilon: in (10.3) all counts, small or large."

EXERCISE = Exercise(
    name="elbo",
    lesson="10",
    reference=elbo,
    rule="ELBO = sum over pixels of log p(x | z) - KL(q || N(0, I)), in nats, at most 0; one value per example, (B,).",
    axes=("example",),
    probes=[
        plain(*RICH),
        same(*RICH, grad=True, use=_apart),
        same(pixels(2, 5, seed=5), random(2, 5, seed=6), random(2, 2, seed=7), random(2, 2, seed=8)),
        edge(same(SEEN, CERTAIN, 0.7 + SEEN, 0.3 * SEEN, grad=True, use=_apart), CUT),
        edge(same(SEEN, 24 * SEEN - 12, 0.01 * random(2, 3, seed=11), 0.01 * random(2, 3, seed=12)), LIMIT),
        edge(same(pixels(2, 4, seed=13), random(2, 4, seed=14), FAR, WIDE, grad=True, use=_apart), LIMIT),
        edge(same(pixels(1, 6, seed=15), random(1, 6, seed=16), random(1, 3, seed=17), random(1, 3, seed=18)), ONE),
        edge(same(pixels(3, 1, seed=19), random(3, 1, seed=20), random(3, 1, seed=21), random(3, 1, seed=22)), ONE),
        same(
            torch.tensor([[1.0, 0.0, 1.0]]),
            torch.tensor([[2.0, -1.0, 0.0]]),
            torch.tensor([[1.0, -2.0]]),
            torch.tensor([[0.0, math.log(4)]]),
        ),
        same(*(a.float() for a in RICH), use=form),
    ],
    mistakes=[
        (
            _of(lambda p, k: p.mean(1) - k.sum(1)),
            "Pixels are averaged and the KL is summed: the likelihood is shrunk by D, the KL wins, and the posterior "
            "collapses to the prior.",
        ),
        (
            _of(lambda p, k: p.mean(1) - k.mean(1)),
            "Both terms are averaged, one over D pixels and one over Z dimensions: they no longer have one unit.",
        ),
        (
            _of(lambda p, k: p.sum(1) - k.mean(1)),
            "The KL is averaged over its dimensions, shrunk by Z: the value can exceed log p(x), so it is no bound.",
        ),
        (
            _of(lambda p, k: p.mean() - k.sum(1)),
            "binary_cross_entropy averages over pixels and examples by default: the likelihood is shrunk by B D, and "
            'the posterior collapses. reduction="none", then sum over pixels.',
        ),
        (
            _of(lambda p, k: k.sum(1).mean() - p.mean()),
            "Pixels are averaged, the KL is summed (posterior collapse), and this is one loss: return the bound, (B,).",
        ),
        (
            _of(lambda p, k: p.sum() - k.sum(1)),
            'The likelihood is summed over the batch (reduction="sum"), the KL is not: one value per example.',
        ),
        (_of(lambda p, k: p.sum(1) - k.sum()), "The KL is summed over the batch: each example has its own."),
        (_of(lambda p, k: p.sum(1) + k.sum(1)), "The KL is added: this rewards leaving the prior. Subtract it."),
        (
            _of(lambda p, k: -p.sum(1) - k.sum(1)),
            "The sign of the likelihood: binary cross-entropy is -log p(x | z), so the bound is -BCE - KL.",
        ),
        (
            _pixels_by(lambda x, logits: _terms(x, logits.sigmoid())),
            "A double sigmoid: softplus, Bernoulli(logits=...) and ..._with_logits expect raw logits.",
        ),
        (
            lambda x, logits, mu, logvar: F.binary_cross_entropy(logits, x) - kl_diag_gaussian(mu, logvar),
            "binary_cross_entropy takes probabilities, these are logits: binary_cross_entropy_with_logits.",
        ),
        (_of(lambda p, k: p.sum(1)), "The KL is missing: this is the likelihood alone, without a prior."),
        (_of(lambda p, k: p.sum(1) - 2 * k.sum(1)), "The KL counts twice: its factor ½ is missing."),
        (_of(lambda p, k: p.sum(1) - 0.5 * k.sum(1)), "The KL is halved: ½ once too often, or a beta of ½. No bound."),
        (
            _of(lambda p, k: p.sum(0) - k.sum(0)),
            "Both sums run over the batch (axis 0): sum over pixels and dimensions, the last axis.",
        ),
        (_of(lambda p, k: p - k), "Nothing is summed: sum over pixels, and over dimensions, before you subtract."),
        (
            _of(lambda p, k: (p - k.sum(1, keepdim=True)).sum(1)),
            "The KL is subtracted once for each pixel: sum the pixels, then subtract it once.",
        ),
        (_then(lambda b: -b.mean()), "This is the training loss, one number: return the bound of each example, (B,)."),
        (_then(lambda b: -b.sum()), "This is a loss, summed over the batch: return the bound of each example, (B,)."),
        (_then(lambda b: b.squeeze()), ONE),
        (_pixels_by(lambda x, logits: _terms(1 - x, logits)), "Ones and zeros are exchanged: large l makes 1 likely."),
        (
            _pixels_by(lambda x, logits: -F.binary_cross_entropy_with_logits(x, logits, reduction="none")),
            "The arguments are exchanged: binary_cross_entropy_with_logits takes the logits first, then the pixels.",
        ),
        (_pixels_by(lambda x, logits: x * F.logsigmoid(logits)), "Only pixels that are 1 count: a 0 has a log p, too."),
        (
            _pixels_by(lambda x, logits: -((logits.sigmoid() - x) ** 2)),
            "The squared error of the probability is no Bernoulli likelihood: log p = x l - softplus(l).",
        ),
        (_pixels_by(lambda x, logits: -F.binary_cross_entropy(logits.sigmoid(), x, reduction="none")), CUT),
        (_of(lambda p, k: p.sum(1) - k.clamp(min=0.01).sum(1)), LIMIT),
        (
            _kl_by(lambda mu, l: mu**2 + (2 * l).exp() - 1 - 2 * l),
            "The KL takes logvar for a log standard deviation: the variance is e^logvar.",
        ),
        (_kl_by(lambda mu, l: mu**2 + l.exp() - l), "The KL lacks its -1: it must be 0 where q is the prior."),
        (_kl_by(lambda mu, l: mu**2 + l.exp() - 1 + l), "The sign of logvar in the KL: mu² + e^logvar - 1 - logvar."),
    ],
    accepts=[
        _by_torch,
        _by_blocks,
        _by_loop,
        _pixels_by(lambda x, logits: -_bce(x, logits)),
        _pixels_by(lambda x, logits: x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)),
        _pixels_by(lambda x, logits: F.logsigmoid((2 * x - 1) * logits)),
        _pixels_by(lambda x, logits: -F.softplus(torch.where(x == 1, -logits, logits))),
        lambda x, logits, mu, logvar: -(_bce(x, logits).sum(1) + kl_diag_gaussian(mu, logvar)),
        lambda x, logits, mu, logvar: (
            -_bce(x, logits).sum(-1) + 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), -1)
        ),
    ],
    speed=Speed(lambda: (torch.ones(128, 784), torch.randn(128, 784), torch.randn(128, 32), torch.randn(128, 32))),
)
