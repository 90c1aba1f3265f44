"""The evidence lower bound of binary images at one draw of the latents; equation (10.3)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from garm_course.distributions.heads import bernoulli_nll
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import kl_diag_gaussian, kl_diag_gaussian_per_dim
from garm_course.lessons.lesson10.inputs import form, pixels


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


def _by_sigmoid(floor: Callable[[Tensor], Tensor]):
    """Pixels by the logarithm of floor(probability)."""
    return _pixels_by(lambda x, logits: x * floor(logits.sigmoid()).log() + (1 - x) * floor(1 - logits.sigmoid()).log())


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


def _cut(combine: Callable[[Tensor, Tensor], object]):
    """As `_of`, where binary_cross_entropy of the probabilities cuts the pixels at 100 nats."""

    def answer(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> object:
        log_p = -F.binary_cross_entropy(logits.sigmoid(), x, reduction="none")
        return combine(log_p, kl_diag_gaussian_per_dim(mu, logvar))

    return answer


def _bce(x: Tensor, logits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


X, L = pixels(3, 7, seed=1), 2 * random(3, 7, seed=2)
MU, LV = 1.2 * random(3, 4, seed=3), random(3, 4, seed=4)
CERTAIN = torch.tensor([[800.0, -800.0, 2.3], [-0.7, 800.0, -800.0]], dtype=torch.float64)
SEEN = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)  # right, right; wrong, wrong

EXERCISE = Exercise(
    name="elbo",
    lesson="10",
    reference=elbo,
    rule="ELBO = sum over pixels of log p(x | z) - KL(q || N(0, I)), in nats, at most 0; one value per example, (B,).",
    axes=("example",),
    probes=[
        same(X, L, MU, LV),
        same(X, L, MU, LV, grad=True, use=_apart),
        same(pixels(2, 5, seed=5), random(2, 5, seed=6), random(2, 2, seed=7), random(2, 2, seed=8)),
        same(SEEN, CERTAIN, random(2, 5, seed=9), random(2, 5, seed=10), grad=True, use=_apart),
        same(pixels(1, 6, seed=11), random(1, 6, seed=12), random(1, 3, seed=13), random(1, 3, seed=14)),
        same(X.float(), L.float(), MU.float(), LV.float(), use=form),
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
            _of(lambda p, k: p.mean(1) - k.sum(1) / p.shape[1]),
            "All is divided by D: this is per pixel. The bound is that of the whole image.",
        ),
        (
            _of(lambda p, k: p.sum(1) - k.sum(1) / p.shape[1]),
            "The KL is divided by D: this hidden weight makes it no bound. Both terms are sums.",
        ),
        (
            _of(lambda p, k: p.mean() - k.sum(1)),
            "binary_cross_entropy averages over pixels and examples by default: the likelihood is shrunk by B D, and "
            'the posterior collapses. reduction="none", then sum over pixels.',
        ),
        (
            _of(lambda p, k: p.mean() - k.sum(1).mean()),
            "Pixels are averaged, the KL is summed (posterior collapse), and the batch is averaged: return (B,).",
        ),
        (
            _of(lambda p, k: k.sum(1).mean() - p.mean()),
            "Pixels are averaged, the KL is summed (posterior collapse), and this is one loss: return the bound, (B,).",
        ),
        (
            _of(lambda p, k: p.mean() - k.sum()),
            "Pixels are averaged, the KL is summed over the batch as well: two sums, over all axes but the first.",
        ),
        (_of(lambda p, k: p.mean() - k.mean()), "One number, all averaged: sum over pixels and dimensions, (B,)."),
        (
            _of(lambda p, k: p.sum() - k.sum(1)),
            'The likelihood is summed over the batch (reduction="sum"), the KL is not: one value per example.',
        ),
        (
            _of(lambda p, k: p.sum(1) - k.sum()),
            "The KL is summed over the batch: each example has its own.",
        ),
        (
            _of(lambda p, k: p.sum(1) - k.sum(1).mean()),
            "The KL is averaged over the batch: each example has its own.",
        ),
        (
            _of(lambda p, k: p.sum(1).mean() - k.sum(1)),
            "The likelihood is averaged over the batch: each example has its own.",
        ),
        (
            _of(lambda p, k: p.sum(1) + k.sum(1)),
            "The KL is added: this rewards leaving the prior. Subtract it.",
        ),
        (
            _of(lambda p, k: k.sum(1) - p.sum(1)),
            "This is the negative ELBO, the loss: the bound itself is asked for, at most 0.",
        ),
        (
            _of(lambda p, k: -p.sum(1) - k.sum(1)),
            "The sign of the likelihood: binary cross-entropy is -log p(x | z), so the bound is -BCE - KL.",
        ),
        (
            _pixels_by(lambda x, logits: _terms(x, logits.sigmoid())),
            "A double sigmoid: softplus, Bernoulli(logits=...) and ..._with_logits expect raw logits.",
        ),
        (
            _pixels_by(lambda x, logits: x * logits.log() + (1 - x) * (1 - logits).log()),
            "The logits are used as probabilities: the log of a negative number is NaN. log p(1) = -softplus(-l).",
        ),
        (
            lambda x, logits, mu, logvar: F.binary_cross_entropy(logits, x) - kl_diag_gaussian(mu, logvar),
            "binary_cross_entropy takes probabilities, these are logits: binary_cross_entropy_with_logits.",
        ),
        (
            _pixels_by(lambda x, logits: Bernoulli(logits).log_prob(x)),
            "Bernoulli's first argument is probs: pass logits=logits.",
        ),
        (
            _of(lambda p, k: p.sum(1)),
            "The KL is missing: this is the likelihood alone, without a prior.",
        ),
        (_of(lambda p, k: -k.sum(1)), "The likelihood is missing: this is -KL alone, and its best q is the prior."),
        (_of(lambda p, k: p.sum(1) - 2 * k.sum(1)), "The KL counts twice: its factor ½ is missing."),
        (_of(lambda p, k: p.sum(1) - 0.5 * k.sum(1)), "The KL is halved: ½ once too often, or a beta of ½. No bound."),
        (_of(lambda p, k: 0.5 * p.sum(1) - k.sum(1)), "The likelihood is halved: its weight is 1."),
        (_of(lambda p, k: p.sum(1) - k.amax(1)), "Only the largest dimension of the KL counts: sum them."),
        (_of(lambda p, k: p.sum(1) * k.sum(1)), "The terms are multiplied: subtract the KL."),
        (
            _of(lambda p, k: p.sum(0) - k.sum(0)),
            "Both sums run over the batch (axis 0): sum over pixels and dimensions, the last axis.",
        ),
        (
            _of(lambda p, k: p.sum(1) - k.sum(0)),
            "The KL is summed over the batch (axis 0): sum over its dimensions.",
        ),
        (
            _of(lambda p, k: p.sum(0) - k.sum(1)),
            "The likelihood is summed over the batch (axis 0): sum over its pixels.",
        ),
        (_of(lambda p, k: p - k), "Nothing is summed: sum over pixels, and over dimensions, before you subtract."),
        (
            _of(lambda p, k: p - k.sum(1, keepdim=True)),
            "One value for each pixel, and the KL is in each: sum the pixels first.",
        ),
        (
            _of(lambda p, k: (p - k.sum(1, keepdim=True)).sum(1)),
            "The KL is subtracted once for each pixel: sum the pixels, then subtract it once.",
        ),
        (
            _of(lambda p, k: p.sum(1, keepdim=True) - k.sum(1)),
            "(B, 1) - (B,) is (B, B): sum both without keepdim.",
        ),
        (
            _of(lambda p, k: p.sum(1) - k.sum(1, keepdim=True)),
            "(B,) - (B, 1) is (B, B): sum both without keepdim, the KL as well.",
        ),
        (_then(lambda b: b.mean()), "This is one number, the mean over the batch: return (B,)."),
        (_then(lambda b: b.sum()), "This is one number, summed over the batch: return (B,)."),
        (_then(lambda b: -b.mean()), "This is the training loss, one number: return the bound of each example, (B,)."),
        (_then(lambda b: -b.sum()), "This is a loss, summed over the batch: return the bound of each example, (B,)."),
        (_then(lambda b: b.unsqueeze(1)), "The shape is (B, 1): without keepdim it is (B,)."),
        (_then(lambda b: b.squeeze()), "squeeze() removes the batch when it holds one example: return (1,)."),
        (_then(lambda b: b / math.log(2)), "This is in bits: nats need no division by ln 2."),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu, logvar) / (x.shape[1] * math.log(2)),
            "This is in bits/dim: the bound in nats, of the whole image, is asked for.",
        ),
        (_then(lambda b: b.exp()), "This is e^ELBO: leave the logarithm."),
        (
            lambda x, logits, mu, logvar: (_terms(x, logits).sum(1), kl_diag_gaussian(mu, logvar)),
            "The two terms are returned apart: return their difference.",
        ),
        (
            _pixels_by(lambda x, logits: _terms(1 - x, logits)),
            "Ones and zeros are exchanged: a large logit makes a 1 likely.",
        ),
        (
            _pixels_by(lambda x, logits: -F.binary_cross_entropy_with_logits(x, logits, reduction="none")),
            "The arguments are exchanged: binary_cross_entropy_with_logits takes the logits first, then the pixels.",
        ),
        (_pixels_by(lambda x, logits: x * F.logsigmoid(logits)), "Only pixels that are 1 count: a 0 has a log p, too."),
        (_pixels_by(lambda x, logits: x * logits), "The normalization is missing: x l - softplus(l)."),
        (_pixels_by(lambda x, logits: -F.softplus(logits)), "This is log p(0) for all pixels: add x l."),
        (
            _pixels_by(lambda x, logits: F.softplus(logits) * -1 - x * logits),
            "The sign of x l: log p = x l - softplus(l).",
        ),
        (
            _pixels_by(lambda x, logits: -((logits.sigmoid() - x) ** 2)),
            "The squared error of the probability is no Bernoulli likelihood: log p = x l - softplus(l).",
        ),
        (
            _pixels_by(lambda x, logits: -0.5 * (logits.sigmoid() - x) ** 2),
            "½ (p - x)² is a Gaussian's, not a Bernoulli's: log p = x l - softplus(l).",
        ),
        (
            _pixels_by(lambda x, logits: -((logits - x) ** 2)),
            "The squared distance of logits and pixels is no likelihood: log p = x l - softplus(l).",
        ),
        (
            lambda x, logits, mu, logvar: -F.mse_loss(logits.sigmoid(), x) - kl_diag_gaussian(mu, logvar),
            "A mean squared error, over all, in place of the likelihood: sum x l - softplus(l) over the pixels.",
        ),
        (
            _by_sigmoid(lambda p: p),
            "Right for small logits. At 800 sigmoid rounds to 1, and 0 times log 0 is NaN: x l - softplus(l).",
        ),
        (
            _pixels_by(lambda x, logits: torch.where(x == 1, logits.sigmoid(), 1 - logits.sigmoid()).log()),
            "At logits of 800 sigmoid rounds to 0 or 1, and its log is -inf: x l - softplus(l), or F.logsigmoid.",
        ),
        (
            _pixels_by(lambda x, logits: torch.xlogy(x, logits.sigmoid()) + torch.xlogy(1 - x, 1 - logits.sigmoid())),
            "xlogy avoids NaN, but at logits of 800 the bound is -inf: x l - softplus(l).",
        ),
        (
            _pixels_by(lambda x, logits: x * logits - (1 + logits.exp()).log()),
            "e^800 overflows, in log1p(e^l) too, and the bound is -inf: F.softplus(l) is ln(1 + e^l) without that.",
        ),
        (
            _pixels_by(lambda x, logits: -F.binary_cross_entropy(logits.sigmoid(), x, reduction="none")),
            "binary_cross_entropy cuts the loss of a pixel at 100 nats; binary_cross_entropy_with_logits is exact.",
        ),
        (
            _cut(lambda p, k: p.mean() - k.sum(1)),
            "Two faults: binary_cross_entropy averages over all by default (posterior collapse), and it cuts the loss "
            "of a pixel at 100 nats: the form that expects logits, summed over pixels.",
        ),
        (
            _cut(lambda p, k: p.mean(1) - k.sum(1)),
            "Two faults: the pixels are averaged (posterior collapse), and binary_cross_entropy cuts the loss of a "
            "pixel at 100 nats: the form that expects logits, summed over pixels.",
        ),
        (
            _cut(lambda p, k: k.sum(1) - p.sum(1)),
            "Two faults: this is the loss, the negative ELBO, and binary_cross_entropy cuts a pixel at 100 nats.",
        ),
        (
            _cut(lambda p, k: k.sum() - p.sum()),
            "This is the loss of many tutorials: negative, summed over the batch. Return the bound of each example, "
            "(B,), and take the form that expects logits: binary_cross_entropy cuts a pixel at 100 nats.",
        ),
        (
            _cut(lambda p, k: k.mean() - p.mean()),
            "This is a loss, and all is averaged: sums over pixels and dimensions, one bound per example, (B,).",
        ),
        (
            _cut(lambda p, k: p.sum() - k.sum()),
            "Two faults: one number, summed over the batch, and binary_cross_entropy cuts a pixel at 100 nats.",
        ),
        (
            _cut(lambda p, k: p.sum(1) + k.sum(1)),
            "Two faults: the KL is added, and binary_cross_entropy cuts the loss of a pixel at 100 nats.",
        ),
        (
            _of(lambda p, k: k.mean() - p.mean()),
            "This is a loss, with all of it averaged: sum over pixels and dimensions, and return the bound, (B,).",
        ),
        (
            _of(lambda p, k: k.sum(1) - p.mean(1)),
            "Two faults: pixels are averaged while the KL is summed (posterior collapse), and the sign is a loss's.",
        ),
        (
            _of(lambda p, k: p.mean(1) + k.sum(1)),
            "Two faults: pixels are averaged, and the KL is added, which rewards leaving the prior.",
        ),
        (
            _pixels_by(lambda x, logits: Bernoulli(probs=logits.sigmoid()).log_prob(x)),
            "Bernoulli(probs=...) cuts the loss of a pixel at 36 nats: pass logits=logits instead.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits.clamp(-30, 30), mu, logvar),
            "The logits are clamped to 30: a confident mistake costs 800 nats, not 30. softplus needs no clamp.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits.clamp(-20, 20), mu, logvar),
            "The logits are clamped to 20: a confident mistake costs 800 nats, not 20. softplus needs no clamp.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits.clamp(-10, 10), mu, logvar),
            "The logits are clamped to 10: a confident mistake costs 800 nats, not 10. softplus needs no clamp.",
        ),
        *(
            (
                _by_sigmoid(lambda p, e=e: p + e),
                f"sigmoid + {e:g} cuts the loss of a pixel at {-math.log(e):.1f} nats: x l - softplus(l) is exact.",
            )
            for e in (1e-12, 1e-10, 1e-8, 1e-7, 1e-6)
        ),
        *(
            (
                _by_sigmoid(lambda p, e=e: p.clamp(e, 1 - e)),
                f"sigmoid clamped to {e:g} cuts the loss of a pixel at {-math.log(e):.1f} nats: x l - softplus(l).",
            )
            for e in (1e-7, 1e-6)
        ),
        (
            _kl_by(lambda mu, l: mu**2 + (2 * l).exp() - 1 - 2 * l),
            "The KL takes logvar for a log standard deviation: the variance is e^logvar.",
        ),
        (
            _kl_by(lambda mu, l: mu**2 + (2 * l).exp() - 1 - l),
            "The KL has e^{2 logvar}: the variance is e^logvar.",
        ),
        (
            _kl_by(lambda mu, l: mu**2 + (l / 2).exp() - 1 - l),
            "The KL has sigma in place of the variance, e^logvar.",
        ),
        (_kl_by(lambda mu, l: mu**2 + l.exp() - l), "The KL lacks its -1: it must be 0 where q is the prior."),
        (_kl_by(lambda mu, l: mu**2 + l.exp() - 1), "The KL lacks its -logvar: mu² + e^logvar - 1 - logvar."),
        (_kl_by(lambda mu, l: mu**2 + l.exp() - 1 + l), "The sign of logvar in the KL: mu² + e^logvar - 1 - logvar."),
        (_kl_by(lambda mu, l: l.exp() - 1 - l), "The KL lacks mu²: mu² + e^logvar - 1 - logvar."),
        (_kl_by(lambda mu, l: mu + l.exp() - 1 - l), "mu is not squared in the KL: mu² + e^logvar - 1 - logvar."),
        (_kl_by(lambda mu, l: mu**2 + l - 1 - l.log()), "The KL takes logvar for the variance: that is e^logvar."),
        (
            _kl_by(lambda mu, l: (1 + mu**2) * (-l).exp() - 1 + l),
            "The KL is reversed, from the prior to q: q comes first.",
        ),
        (_kl_by(lambda mu, l: mu**2), "The KL compares the means only: mu² + e^logvar - 1 - logvar."),
        (
            lambda x, logits, mu, logvar: elbo(x, logits.detach(), mu, logvar),
            "The values are right, but the logits are detached: the decoder learns nothing.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu.detach(), logvar.detach()),
            "The values are right, but mu and logvar are detached: the KL trains nothing, and q leaves the prior.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu.detach(), logvar),
            "The values are right, but mu is detached: the KL does not pull it to 0.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu, logvar.detach()),
            "The values are right, but logvar is detached: the KL does not keep the variance up.",
        ),
        (_then(lambda b: b.detach()), "The values are right, but the bound is detached: nothing is trained."),
        (_then(lambda b: b.float()), "The result is float32 for float64 arguments: keep the dtype that comes in."),
        (_then(lambda b: b.double()), "The result is float64 for float32 arguments: keep the dtype that comes in."),
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
