"""A draw from a Gaussian posterior that lets the gradient through; equation (10.5)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.edges import edge, plain
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


def _by_loop(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    parts = zip(mu.flatten(), logvar.flatten(), eps.flatten(), strict=True)
    return torch.stack([m + (v / 2).exp() * e for m, v, e in parts]).view_as(mu)


DRAW = 1.4 * random(3, 4, seed=1), random(3, 4, seed=2), random(3, 4, seed=3)
A, B = random(2, 3, seed=11), random(2, 3, seed=12)
MEANS = torch.tensor([[0.0, -1.7, 0.4, 0.0, 2.0], [2.6, 0.0, -0.3, 0.0, 1.9]], dtype=torch.float64)
WIDE = torch.tensor([[-11.7, 12.4, 0.3, -31.2, 43.0], [-0.8, -13.6, 2.9, -120.0, 24.8]], dtype=torch.float64)

LIMIT = "sigma is kept from becoming small or large, by a clamp or an added epsilon: (10.5) holds for every variance."
ANY = "Right for (B, Z), but mu, logvar and eps may have any shape: name no axis, and squeeze none away."

EXERCISE = Exercise(
    name="reparameterize",
    lesson="10",
    reference=reparameterize,
    rule="z = mu + e^{logvar / 2} eps, with the eps that comes in, differentiable in mu and logvar; of their shape.",
    axes=("example", "dimension"),
    probes=[
        plain(*DRAW),
        same(*DRAW, grad=True, use=_apart),
        same(
            random(3, 4, seed=4), random(3, 4, seed=5), 4 * random(3, 4, seed=6), grad=True, use=_apart
        ),  # a second call
        same(random(5, 2, seed=7), 1.5 * random(5, 2, seed=8), random(5, 2, seed=9), grad=True, use=_apart),
        edge(same(MEANS, WIDE, random(2, 5, seed=10), grad=True, use=_apart), LIMIT),
        edge(same(A, B, -0.99999 * A * (-B / 2).exp()), "Digits are lost on the way, as by .float(): keep the dtype."),
        *(
            edge(same(*(random(*shape, seed=s) for s in (13, 14, 15)), grad=True, use=_apart), ANY)
            for shape in ((1, 3), (1, 1), (2, 3, 2), (4,), ())
        ),
        same(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(4)]]), torch.tensor([[0.5, -1.5]])),
        same(*(random(2, 3, seed=s).float() for s in (16, 17, 18)), use=form),
    ],
    mistakes=[
        (
            lambda mu, logvar, eps: mu + torch.exp(0.5 * logvar * eps),
            "eps is inside of the exponent: it multiplies the standard deviation, e^{logvar / 2}.",
        ),
        (_with_std(lambda l: l.exp()), "e^logvar is the variance: multiply the noise by its root, e^{logvar / 2}."),
        (_with_std(lambda l: l), "logvar is used as sigma: it is ln sigma², so sigma = e^{logvar / 2}."),
        (_with_std(lambda l: (2 * l).exp()), "e^{2 logvar} is the squared variance: sigma = e^{logvar / 2}."),
        (_with_std(lambda l: (l / 4).exp()), "The root is taken twice: sigma = e^{logvar / 2}."),
        (
            _with_std(lambda l: 0.5 * l.exp()),
            "½ stands outside of the exponent: a root halves the exponent, e^{logvar / 2}.",
        ),
        (_with_std(lambda l: 0.5 * l), "logvar / 2 is ln sigma: take its exponential."),
        (_with_std(lambda l: l.sqrt()), "The root of a negative logvar is NaN: exponential first, then root."),
        (_with_std(lambda l: l.abs().sqrt()), "The root of |logvar|: exponential first, then root."),
        (_with_std(lambda l: (-0.5 * l).exp()), "The noise is divided by sigma: it is multiplied, e^{logvar / 2} eps."),
        (_with_std(F.softplus), "softplus makes a positive number, but logvar is a logarithm: sigma = e^{logvar / 2}."),
        (_with_std(lambda l: (0.5 * l).exp().clamp(min=1e-6)), LIMIT),
        (_of(lambda mu, std, eps: mu), "eps is not used: this is the mean, not a draw."),
        (_of(lambda mu, std, eps: mu + std), "eps is not used: sigma alone is added, sigma eps belongs there."),
        (_of(lambda mu, std, eps: mu + eps), "sigma is missing: the noise keeps variance 1, and logvar has no effect."),
        (_of(lambda mu, std, eps: std * eps), "mu is missing: the noise is centered at 0."),
        (_of(lambda mu, std, eps: mu - std * eps), "A minus: z = mu + sigma eps, or the draw is mirrored."),
        (_of(lambda mu, std, eps: mu + std + eps), "sigma is added: it multiplies eps."),
        (_of(lambda mu, std, eps: std * (mu + eps)), "sigma multiplies mu as well: only the noise is scaled."),
        (_of(lambda mu, std, eps: (mu + std) * eps), "eps multiplies mu as well: only sigma, mind the parentheses."),
        (_of(lambda mu, std, eps: std * mu + eps), "mu and eps are exchanged: sigma multiplies the noise."),
        (
            _of(lambda mu, std, eps: mu + std * eps[..., :1]),
            "All dimensions share one eps: each has its own, so that they are independent.",
        ),
        (
            _of(lambda mu, std, eps: mu + std * eps[:1]),
            "All examples share the noise of the first: each has its own row of eps.",
        ),
        (
            _of(lambda mu, std, eps: mu + std * torch.randn_like(std)),
            "Fresh noise, by randn, sample or rsample: use the eps that comes in, or nobody can repeat the draw.",
        ),
        (_then(lambda z: z.squeeze()), ANY),
        (lambda mu, l, eps: (reparameterize(mu, l, eps), mu, l), "Three results: return z alone."),
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
