"""The evidence lower bound of a VAE for binary images, at one draw of the latents; equations (10.2) and (10.3)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions import bernoulli_nll
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import kl_diag_gaussian


def elbo(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """log p(x | z) - KL(q(z | x) || N(0, I)) for binary images, at the draw of z that gave the logits.

    Args:
        x: (B, ...) pixels 0 and 1. logits: of the same shape, the decoder's output. mu, logvar: (B, Z) of q(z | x).

    Returns:
        (B,) nats, at most 0.
    """
    return -bernoulli_nll(logits, x) - kl_diag_gaussian(mu, logvar)


def _numbers(*shape: int, seed: int) -> Tensor:
    """Signs mixed, nothing round, float64."""
    return 1.3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _pixels(*shape: int, seed: int) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.6).double()


def _case(b: int, *image: int, z: int, seed: int) -> tuple[Tensor, ...]:
    x, logits = _pixels(b, *image, seed=seed), _numbers(b, *image, seed=seed + 1)
    return x, logits, _numbers(b, z, seed=seed + 2), _numbers(b, z, seed=seed + 3)


CASE = _case(3, 1, 4, 5, z=4, seed=1)
SURE = (
    torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]], [[[1.0, 0.0], [0.0, 1.0]]]], dtype=torch.float64),
    torch.tensor([[[[800.0, -800.0], [3.7, 0.2]]], [[[800.0, -800.0], [-1.3, 0.6]]]], dtype=torch.float64),
    *_case(2, 1, z=3, seed=20)[2:],
)


def _sum(nats: Tensor) -> Tensor:
    return nats.flatten(1).sum(1)


def _bce(x: Tensor, logits: Tensor) -> Tensor:
    return F.softplus(logits) - x * logits


def _kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


def _made_of(likelihood, kl):
    """An answer that is log-likelihood minus divergence, each computed by its own function."""
    return lambda x, logits, mu, logvar: likelihood(x, logits) - kl(mu, logvar)


def _log_p(x: Tensor, logits: Tensor) -> Tensor:
    return -_sum(_bce(x, logits))


def _divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    return _kl(mu, logvar).sum(-1)


def _by_sigmoid(x: Tensor, logits: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return _sum(x * p.log() + (1 - x) * (1 - p).log())


def _with_epsilon(epsilon: float):
    def log_p(x: Tensor, logits: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        return _sum(x * (p + epsilon).log() + (1 - x) * (1 - p + epsilon).log())

    return log_p


def _of_torch(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    q = torch.distributions.Normal(mu, (logvar / 2).exp())
    p = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    log_p = torch.distributions.Bernoulli(logits=logits).log_prob(x)
    return log_p.flatten(1).sum(1) - torch.distributions.kl_divergence(q, p).sum(-1)


def _loop(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return torch.stack([-_bce(a, b).sum() - _kl(m, v).sum() for a, b, m, v in zip(x, logits, mu, logvar, strict=True)])


EXERCISE = Exercise(
    name="elbo",
    lesson="10",
    reference=elbo,
    rule="The ELBO is log p(x | z), summed over pixels, minus KL(q || p), summed over latents: (B,) nats, at most 0.",
    probes=[
        same(*CASE),
        same(*_case(2, 3, 2, 3, z=5, seed=10)),
        same(*CASE, grad=True),
        same(*_case(4, 7, z=2, seed=30)),
        same(*SURE),
        same(*SURE, grad=True),
        same(*(a.float() for a in CASE)),
        same(*_case(1, 1, 2, 2, z=3, seed=40)),
    ],
    axes=("example",),
    mistakes=[
        (
            _made_of(lambda x, logits: -_bce(x, logits).flatten(1).mean(1), _divergence),
            "Pixels are averaged, latents are summed: the likelihood shrinks by the number of pixels D, which is a KL "
            "with weight D and makes the posterior collapse. Sum both.",
        ),
        (
            _made_of(_log_p, lambda mu, logvar: _kl(mu, logvar).mean(-1)),
            "Latents are averaged: the divergence is too small by their number, and this is no bound. Sum both terms.",
        ),
        (
            _made_of(
                lambda x, logits: -_bce(x, logits).flatten(1).mean(1), lambda mu, logvar: _kl(mu, logvar).mean(-1)
            ),
            "Both terms are averaged, over different numbers of dimensions: their balance is lost. Sum both.",
        ),
        (
            _made_of(lambda x, logits: -_bce(x, logits).mean(), _divergence),
            "The likelihood is one number, averaged over pixels and images (the default in torch), the divergence is "
            'not: reduction="none", then sum over the pixels.',
        ),
        (
            _made_of(lambda x, logits: -_bce(x, logits).sum(), _divergence),
            "The likelihood is summed over the whole batch, the divergence is not: sum over the pixels of each image.",
        ),
        (
            _made_of(_log_p, lambda mu, logvar: _kl(mu, logvar).sum()),
            "The divergence is summed over the whole batch, the likelihood is not: sum over the latents of each image.",
        ),
        (
            _made_of(_log_p, lambda mu, logvar: _kl(mu, logvar).sum(-1).mean()),
            "The divergence is averaged over the batch, the likelihood is not: keep one value per image in both.",
        ),
        (
            _made_of(_log_p, lambda mu, logvar: _kl(mu, logvar).mean()),
            "The divergence is one number, the mean over latents and images: sum over the latents, keep the images.",
        ),
        (
            lambda x, logits, mu, logvar: _log_p(x, logits) + _divergence(mu, logvar),
            "The divergence is added. It is subtracted: a bound must not reward a q that leaves the prior.",
        ),
        (
            lambda x, logits, mu, logvar: -elbo(x, logits, mu, logvar),
            "The sign: this is the negative ELBO, the loss that one minimizes. The bound itself is asked for.",
        ),
        (
            lambda x, logits, mu, logvar: -_log_p(x, logits) - _divergence(mu, logvar),
            "The sign of the likelihood: log p(x | z) is at most 0, so it is minus the cross-entropy.",
        ),
        (
            lambda x, logits, mu, logvar: _log_p(x, logits),
            "The divergence from the prior is missing: log p(x | z) alone is the objective of an autoencoder.",
        ),
        (
            lambda x, logits, mu, logvar: -_divergence(mu, logvar),
            "The likelihood is missing: this bound would be best for a q that ignores x.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu, logvar).mean(),
            "This is one number, the mean over the batch. Return one value per image, (B,); who trains averages later.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu, logvar).sum(),
            "This is one number, the sum over the batch. Return one value per image, (B,).",
        ),
        (
            lambda x, logits, mu, logvar: -elbo(x, logits, mu, logvar).mean(),
            "This is the usual loss, minus the ELBO and averaged over the batch: return the ELBO of each image, (B,).",
        ),
        (
            lambda x, logits, mu, logvar: -elbo(x, logits, mu, logvar).sum(),
            "This is a loss, minus the ELBO and summed over the batch: return the ELBO of each image, (B,).",
        ),
        (
            lambda x, logits, mu, logvar: _bce(x, logits).mean() + _kl(mu, logvar).sum(),
            "This is a loss, one number, with averaged pixels and summed latents: sum both for each image, return the "
            "ELBO.",
        ),
        (
            lambda x, logits, mu, logvar: _bce(x, logits).mean() + _kl(mu, logvar).mean(),
            "This is a loss, one number, with averaged pixels and averaged latents: sum both for each image, return "
            "the ELBO.",
        ),
        (
            lambda x, logits, mu, logvar: _bce(x, logits).mean() + _divergence(mu, logvar).mean(),
            "This is a loss, one number, whose pixels are averaged: sum both terms for each image, return the ELBO.",
        ),
        (
            lambda x, logits, mu, logvar: _log_p(x, logits.sigmoid()) - _divergence(mu, logvar),
            "The logits went through a sigmoid before a function that applies one itself: pass the raw logits.",
        ),
        (
            _made_of(lambda x, logits: _sum(x * logits.log() + (1 - x) * (1 - logits).log()), _divergence),
            "The logits are used as if they were probabilities: log p(1) = -softplus(-l).",
        ),
        (
            _made_of(_by_sigmoid, _divergence),
            "Right for small logits. At 800 sigmoid rounds to 1, and 0 times log 0 is NaN: "
            "x l - softplus(l), or the function that takes logits.",
        ),
        (
            _made_of(
                lambda x, logits: _sum(-F.binary_cross_entropy(logits.sigmoid(), x, reduction="none")), _divergence
            ),
            "binary_cross_entropy cuts a pixel off at 100 nats: binary_cross_entropy_with_logits is exact.",
        ),
        (
            _made_of(_with_epsilon(1e-7), _divergence),
            "sigmoid + 1e-7 cuts a pixel off at 16.1 nats and kills its gradient: use x l - softplus(l).",
        ),
        (
            _made_of(_with_epsilon(1e-8), _divergence),
            "sigmoid + 1e-8 cuts a pixel off at 18.4 nats and kills its gradient: use x l - softplus(l).",
        ),
        (
            _made_of(
                lambda x, logits: torch.distributions.Bernoulli(logits.sigmoid()).log_prob(x).flatten(1).sum(1),
                _divergence,
            ),
            "Bernoulli(probabilities) cuts 800 nats down to 36. Say logits=logits instead.",
        ),
        (
            _made_of(lambda x, logits: _log_p(1 - x, logits), _divergence),
            "Ones and zeros are exchanged: a large logit makes a 1 likely.",
        ),
        (
            _made_of(lambda x, logits: -_sum((x - logits.sigmoid()) ** 2), _divergence),
            "The squared error belongs to a Gaussian decoder. Binary pixels have log p = x l - softplus(l).",
        ),
        (
            _made_of(lambda x, logits: -_sum((x - logits) ** 2), _divergence),
            "This is the squared error of the raw logits. Binary pixels have log p = x l - softplus(l).",
        ),
        (
            _made_of(lambda x, logits: -((x - logits.sigmoid()) ** 2).flatten(1).mean(1), _divergence),
            "This is the mean squared error, a Gaussian of variance D / 2: for binary pixels log p = x l - softplus(l).",
        ),
        (
            _made_of(_log_p, lambda mu, logvar: 2 * _divergence(mu, logvar)),
            "The ½ of the divergence is missing: see (10.3), or call your kl_diag_gaussian.",
        ),
        (
            _made_of(_log_p, lambda mu, logvar: 0.5 * _divergence(mu, logvar)),
            "The divergence is halved twice: see (10.3), or call your kl_diag_gaussian.",
        ),
        (
            _made_of(_log_p, lambda mu, logvar: _kl(mu, 2 * logvar).sum(-1)),
            "In the divergence logvar is used as ln sigma. It is ln sigma^2: e^logvar is the variance.",
        ),
        (
            _made_of(_log_p, lambda mu, logvar: _kl(mu, logvar).sum(0)),
            "The divergence is summed over the examples (dim=0): sum over the latents, the last axis.",
        ),
        (
            lambda x, logits, mu, logvar: _log_p(x, logits).exp() - _divergence(mu, logvar),
            "The first term is a probability, p(x | z): take its logarithm.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu, logvar) / math.log(2),
            "This is in bits. The course counts in nats: no division by ln 2.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu, logvar) / x[0].numel(),
            "This is the bound per pixel. Return that of the whole image: leave out the division by D.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu, logvar).unsqueeze(1),
            "The shape is (B, 1): return (B,).",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits.detach(), mu, logvar),
            "The values are right, but the logits are detached: the decoder learns nothing.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu.detach(), logvar.detach()),
            "The values are right, but mu and logvar are detached: nothing keeps q near the prior.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(x, logits, mu, logvar).detach(),
            "The values are right, but detached: nothing learns.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(*(a.float() for a in (x, logits, mu, logvar))),
            "Right values, but .float() makes the result float32 for float64 arguments: keep the dtype.",
        ),
        (
            lambda x, logits, mu, logvar: elbo(*(a.double() for a in (x, logits, mu, logvar))),
            "Right values, but .double() makes the result float64: return the dtype of the logits.",
        ),
        (
            _made_of(lambda x, logits: -_bce(x, logits).sum((1, 2, 3)), _divergence),
            "Axes 1, 2, 3 are summed, but (B, ...) may have any number of axes: .flatten(1).sum(1) takes all.",
        ),
    ],
    accepts=[
        lambda x, logits, mu, logvar: _log_p(x, logits) - _divergence(mu, logvar),
        lambda x, logits, mu, logvar: (
            -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
            + 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
        ),
        _of_torch,
        lambda x, logits, mu, logvar: (
            -(_sum(F.softplus((1 - 2 * x) * logits)) + 0.5 * (mu**2 + torch.expm1(logvar) - logvar).sum(-1))
        ),
        lambda x, logits, mu, logvar: (
            _sum(x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)) - _divergence(mu, logvar)
        ),
        _loop,
    ],
    speed=Speed(
        lambda: (torch.ones(64, 1, 28, 28), torch.randn(64, 1, 28, 28), torch.randn(64, 32), torch.randn(64, 32))
    ),
)
