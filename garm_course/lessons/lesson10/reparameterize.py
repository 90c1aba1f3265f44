"""A draw from a Gaussian posterior that lets the gradient through; equation (10.5)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal

from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import reparameterize
from garm_course.lessons.lesson10.inputs import form


def _with_std(std: Callable[[Tensor], Tensor]):
    """mu + std(logvar) eps."""
    return lambda mu, logvar, eps: mu + std(logvar) * eps


def _of(draw: Callable[[Tensor, Tensor, Tensor], object]):
    """A function of mu, the right standard deviation, and eps."""
    return lambda mu, logvar, eps: draw(mu, (0.5 * logvar).exp(), eps)


def _then(change: Callable[[Tensor], object]):
    """The right draw, changed at the end."""
    return lambda mu, logvar, eps: change(reparameterize(mu, logvar, eps))


def _apart(answer: Callable, mu: Tensor, logvar: Tensor, eps: Tensor) -> object:
    """Calls the answer so that gradients with respect to the noise do not count."""
    return answer(mu, logvar, eps.detach())


def _under_no_grad(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    with torch.no_grad():
        std = logvar.mul(0.5).exp()
    return mu + std * eps


def _eps_in_place(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return eps.mul_((0.5 * logvar).exp()).add_(mu)


def _mu_in_place(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    mu += (0.5 * logvar).exp() * eps
    return mu


def _logvar_in_place(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu + logvar.mul_(0.5).exp_() * eps


def _by_loop(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    parts = zip(mu.unbind(-1), logvar.unbind(-1), eps.unbind(-1), strict=True)
    return torch.stack([m + (v / 2).exp() * e for m, v, e in parts], -1)


DRAW = 1.4 * random(3, 4, seed=1), random(3, 4, seed=2), random(3, 4, seed=3)
MEANS = torch.tensor([[0.0, -1.7, 0.4, 0.0], [2.6, 0.0, -0.3, 1.9]], dtype=torch.float64)
WIDE = torch.tensor([[-11.7, 12.4, 0.3, -1.2], [-0.8, -13.6, 2.9, 24.8]], dtype=torch.float64)

EXERCISE = Exercise(
    name="reparameterize",
    lesson="10",
    reference=reparameterize,
    rule="z = mu + e^{logvar / 2} eps, with the eps that comes in, differentiable in mu and logvar; of their shape.",
    axes=("example", "dimension"),
    probes=[
        same(*DRAW),
        same(*DRAW, grad=True, use=_apart),
        same(MEANS, WIDE, random(2, 4, seed=4), grad=True, use=_apart),
        same(random(5, 2, seed=5), 1.5 * random(5, 2, seed=6), random(5, 2, seed=7), grad=True, use=_apart),
        same(random(1, 3, seed=8), random(1, 3, seed=9), torch.zeros(1, 3, dtype=torch.float64)),  # the mean
        same(random(1, 1, seed=10), random(1, 1, seed=11), random(1, 1, seed=12)),
        same(*(random(2, 3, 2, seed=s) for s in (16, 17, 18))),  # any shape, such as several draws for an image
        same(*(random(4, seed=s) for s in (19, 20, 21))),
        same(*(random(2, 3, seed=s).float() for s in (13, 14, 15)), use=form),
    ],
    mistakes=[
        (
            lambda mu, logvar, eps: mu + torch.exp(0.5 * logvar * eps),
            "eps is inside of the exponent: it multiplies the standard deviation, e^{logvar / 2}.",
        ),
        (
            lambda mu, logvar, eps: reparameterize(mu, logvar.clamp(-20, 20), eps),
            "logvar is clamped: (10.5) holds for every variance, and beyond the clamp there is no gradient.",
        ),
        (
            _with_std(lambda l: l.exp()),
            "e^logvar is the variance: multiply the noise by its root, e^{logvar / 2}.",
        ),
        (
            _with_std(lambda l: l),
            "logvar is used as the standard deviation: it is ln sigma², so sigma = e^{logvar / 2}.",
        ),
        (_with_std(lambda l: (2 * l).exp()), "e^{2 logvar} is the squared variance: sigma = e^{logvar / 2}."),
        (_with_std(lambda l: (l / 4).exp()), "The root is taken twice: sigma = e^{logvar / 2}."),
        (
            _with_std(lambda l: 0.5 * l.exp()),
            "½ stands outside of the exponent: a root halves the exponent, e^{logvar / 2}.",
        ),
        (_with_std(lambda l: 0.5 * l), "logvar / 2 is ln sigma: take its exponential."),
        (
            _with_std(lambda l: l.sqrt()),
            "The root of a negative logvar is NaN: exponential first, then root.",
        ),
        (_with_std(lambda l: l.abs().sqrt()), "The root of |logvar|: exponential first, then root."),
        (_with_std(lambda l: l.abs()), "|logvar| is no standard deviation: sigma = e^{logvar / 2}."),
        (_with_std(lambda l: l**2), "logvar² is no standard deviation: sigma = e^{logvar / 2}."),
        (_with_std(lambda l: 2.0 ** (0.5 * l)), "2 in place of e: logvar is a natural logarithm, use exp."),
        (_with_std(lambda l: (-l).exp()), "e^{-logvar} is the precision: sigma = e^{logvar / 2}."),
        (_with_std(F.softplus), "softplus makes a positive number, but logvar is a logarithm: sigma = e^{logvar / 2}."),
        (
            _with_std(lambda l: F.softplus(l).sqrt()),
            "softplus in place of the exponential: the variance is e^logvar, whose root is sigma.",
        ),
        (
            _with_std(lambda l: (0.5 * l).sigmoid()),
            "sigmoid in place of the exponential: sigma = e^{logvar / 2}, which may exceed 1.",
        ),
        (_with_std(lambda l: (0.5 * l).exp() + 1e-6), "1e-6 is added to sigma: e^{logvar / 2} is positive already."),
        (
            _with_std(lambda l: (0.5 * l.clamp(-10, 10)).exp()),
            "logvar is clamped to 10: outside the value is wrong and the gradient 0. The formula needs no clamp.",
        ),
        (
            _with_std(lambda l: (0.5 * l.clamp(-5, 5)).exp()),
            "logvar is clamped to 5: outside the value is wrong and the gradient 0. The formula needs no clamp.",
        ),
        (_of(lambda mu, std, eps: mu), "eps is not used: this is the mean, not a draw."),
        (_of(lambda mu, std, eps: mu + std), "eps is not used: sigma alone is added, sigma eps belongs there."),
        (_of(lambda mu, std, eps: mu + eps), "sigma is missing: the noise keeps variance 1, and logvar has no effect."),
        (_of(lambda mu, std, eps: std * eps), "mu is missing: the noise is centered at 0."),
        (_of(lambda mu, std, eps: eps), "This is the noise itself: shift it by mu and scale it by sigma."),
        (_of(lambda mu, std, eps: mu - std * eps), "A minus: z = mu + sigma eps, or the draw is mirrored."),
        (_of(lambda mu, std, eps: mu + std + eps), "sigma is added: it multiplies eps."),
        (lambda mu, l, eps: mu + l + eps, "logvar is added: sigma = e^{logvar / 2} multiplies eps."),
        (_of(lambda mu, std, eps: std * (mu + eps)), "sigma multiplies mu as well: only the noise is scaled."),
        (
            _of(lambda mu, std, eps: std * mu + eps),
            "mu and eps are exchanged: sigma multiplies the noise.",
        ),
        (_of(lambda mu, std, eps: eps * mu + std), "mu and sigma are exchanged: sigma multiplies the noise."),
        (_of(lambda mu, std, eps: mu * (1 + std * eps)), "mu multiplies the noise as well: z = mu + sigma eps."),
        (_of(lambda mu, std, eps: mu * std * eps), "All are multiplied: mu is added."),
        (_of(lambda mu, std, eps: mu + eps / std), "eps is divided by sigma: it is multiplied by it."),
        (_of(lambda mu, std, eps: (eps - mu) / std), "This is the inverse, from z to the noise: z = mu + sigma eps."),
        (_of(lambda mu, std, eps: (eps + mu) / std), "mu + eps is divided by sigma: z = mu + sigma eps."),
        (_of(lambda mu, std, eps: mu + std * eps.abs()), "|eps|: the draws are then never below the mean."),
        (_of(lambda mu, std, eps: mu + std * eps**2), "eps is squared: z = mu + sigma eps."),
        (
            _of(lambda mu, std, eps: mu + std * eps[:, :1]),
            "All dimensions share one eps: each has its own, so that they are independent.",
        ),
        (
            _of(lambda mu, std, eps: mu + std * eps[:1]),
            "All examples share the noise of the first: each has its own row of eps.",
        ),
        (_of(lambda mu, std, eps: mu + std * eps.mean()), "eps is averaged: each element has its own noise."),
        (
            _of(lambda mu, std, eps: mu + std * torch.randn_like(std)),
            "Fresh noise, by randn or rsample: use the eps that comes in, or nobody can repeat the draw.",
        ),
        (
            _of(lambda mu, std, eps: mu + std * torch.rand_like(std)),
            "Fresh noise, and uniform instead of normal: use the eps that comes in.",
        ),
        (
            _of(lambda mu, std, eps: Normal(mu, std).sample()),
            "sample() draws its own noise and lets no gradient through (rsample does): use the eps that comes in.",
        ),
        (
            _of(lambda mu, std, eps: torch.normal(mu, std)),
            "torch.normal draws its own noise, and its gradient is 0: use the eps that comes in.",
        ),
        (
            _then(lambda z: z.detach()),
            "The values are right, but the draw is detached, as sample() is: no gradient. rsample is differentiable.",
        ),
        (
            _under_no_grad,
            "The values are right, but sigma is detached: no gradient reaches logvar, and the variance never learns.",
        ),
        (
            _of(lambda mu, std, eps: mu.detach() + std * eps),
            "The values are right, but mu is detached: no gradient reaches the mean.",
        ),
        (
            _of(lambda mu, std, eps: 2 * mu - mu.detach() + std * eps),
            "The values are right, but the gradient of mu is 2: dz / dmu = 1.",
        ),
        (_eps_in_place, "eps is overwritten in place, and its caller still needs it: write eps * sigma, not mul_."),
        (_mu_in_place, "mu is overwritten in place, and the KL term still needs it: write mu + ..., not +=."),
        (
            _logvar_in_place,
            "logvar is overwritten in place, and the KL term still needs it: write torch.exp(0.5 * logvar).",
        ),
        (_then(lambda z: z.sum(-1)), "The dimensions are summed: z has the shape of mu."),
        (_then(lambda z: z.mean(-1)), "The dimensions are averaged: z has the shape of mu."),
        (_then(lambda z: z.mean(0)), "The examples are averaged: z has the shape of mu."),
        (_then(lambda z: z.squeeze()), "squeeze() removes axes of length 1: z has the shape of mu."),
        (_then(lambda z: z.tanh()), "tanh of the draw: z = mu + sigma eps is not bounded."),
        (
            lambda mu, l, eps: (reparameterize(mu, l, eps), mu, l),
            "Three results: return z alone, the caller has mu and logvar already.",
        ),
        (_then(lambda z: z.float()), "The draw is float32 for float64 arguments: keep the dtype that comes in."),
        (_then(lambda z: z.double()), "The draw is float64 for float32 arguments: keep the dtype that comes in."),
    ],
    accepts=[
        _with_std(lambda l: l.exp().sqrt()),
        _with_std(lambda l: l.exp() ** 0.5),
        _with_std(lambda l: (l / 2).exp()),
        lambda mu, logvar, eps: torch.addcmul(mu, torch.exp(0.5 * logvar), eps),
        lambda mu, logvar, eps: eps.mul(logvar.mul(0.5).exp()).add(mu),
        _of(lambda mu, std, eps: torch.distributions.AffineTransform(mu, std)(eps)),
        _by_loop,
    ],
    speed=Speed(lambda: (torch.randn(512, 64), torch.randn(512, 64), torch.randn(512, 64))),
)
