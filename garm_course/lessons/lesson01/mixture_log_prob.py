"""The log-likelihood of a mixture of Bernoulli templates, in logarithms throughout."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def mixture_log_prob(logits: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    """ln q(x) with q(x) = sum_k pi_k prod_i q_k(x_i).

    Args:
        logits: (K, D), of each pixel under each template.
        weights: (K,), whose softmax is pi.
        x: (B, D), floats 0 and 1.

    Returns:
        (B,) in nats.

    >>> mixture_log_prob(torch.zeros(3, 4), torch.zeros(3), torch.ones(2, 4))
    tensor([-2.7726, -2.7726])
    """
    log_given = x @ logits.T - F.softplus(logits).sum(1)
    return (log_given + weights.log_softmax(0)).logsumexp(1)


def _given(logits: Tensor, x: Tensor) -> Tensor:
    return x @ logits.T - F.softplus(logits).sum(1)


def _with(
    given: Callable = _given,
    log_pi: Callable = lambda w: w.log_softmax(0),
    join: Callable = lambda terms: terms.logsumexp(1),
):
    """An answer with another part."""
    return lambda logits, weights, x: join(given(logits, x) + log_pi(weights))


def _one_by_one(logits: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    terms = []
    for template, log_pi in zip(logits, weights - weights.logsumexp(0), strict=True):
        nll = F.binary_cross_entropy_with_logits(template.expand_as(x), x, reduction="none").sum(1)
        terms.append(log_pi - nll)
    return torch.logsumexp(torch.stack(terms), 0)


def _by_where(logits: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    each = torch.where(x[:, None] == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(2)
    terms = each + torch.log_softmax(weights, -1)
    top = terms.max(1, keepdim=True).values.detach()
    return (terms - top).exp().sum(1).log() + top[:, 0]


def _by_distribution(logits: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    given = torch.distributions.Bernoulli(logits=logits).log_prob(x[:, None]).sum(2)
    return torch.logsumexp(given + torch.distributions.Categorical(logits=weights).logits, 1)


def _gradients(answer: Callable, logits: Tensor, weights: Tensor, x: Tensor) -> list[Tensor]:
    """The values, and the gradients of their sum."""
    logits, weights = logits.clone().requires_grad_(), weights.clone().requires_grad_()
    found = answer(logits, weights, x)
    if not isinstance(found, Tensor) or not found.requires_grad:
        return found
    return [found, *torch.autograd.grad(found.sum(), (logits, weights), allow_unused=True, materialize_grads=True)]


L, W = 1.5 * random(4, 6, seed=1), random(4, seed=2)
X = (random(5, 6, seed=3) > 0).double()
FAR = 40 * random(3, 60, seed=4)
FAR_X = (random(4, 60, seed=5) > 0).double()
TINY = (
    "Right for short images, but e^-800 is 0 in floating point, and ln 0 is minus infinity: add logarithms, and use "
    "logsumexp."
)

EXERCISE = Exercise(
    name="mixture_log_prob",
    lesson="01",
    reference=mixture_log_prob,
    rule="log q(x | k) is the sum over pixels of x l - softplus(l). Add log_softmax(weights) to it, and logsumexp over "
    "the K templates: one number for each image.",
    probes=[
        same(L, W, X),
        same(torch.zeros(3, 4), torch.zeros(3), torch.ones(2, 4)),
        same(L[:2].float(), W[:2].float(), X.float()),
        same(L, W, X, use=_gradients),
        edge(same(L, W, X[:1]), "Right except for a single image: keep its axis, the result is (1,)."),
        edge(same(L[:1], W[:1], X), "Right except for a single template, whose weight is 1."),
        edge(same(FAR, random(3, seed=6), FAR_X), TINY),
        edge(same(L, 300 * W, X), "Right except for weights such as 300, whose exponential overflows: log_softmax."),
    ],
    mistakes=[
        (_with(log_pi=lambda w: 0), "The weights are missing: add the logarithm of their softmax, log_softmax."),
        (_with(log_pi=lambda w: w), "The weights are not normalized: add log_softmax(weights), not the weights."),
        (_with(log_pi=lambda w: w.softmax(0)), "The weights are added, not their logarithms: log_softmax."),
        (_with(log_pi=lambda w: w.log()), "The logarithm of the weights themselves: take their softmax first."),
        (_with(given=lambda l, x: x @ l.T), "The softplus of the logits is missing: a pixel costs softplus(l) - x l."),
        (
            _with(given=lambda l, x: x @ l.T + F.softplus(l).sum(1)),
            "The softplus has the wrong sign: the log-probability is x l - softplus(l).",
        ),
        (
            _with(given=lambda l, x: x @ F.logsigmoid(l).T),
            "Only pixels that are 1 count: a pixel that is 0 has the log-probability -softplus(l).",
        ),
        (
            _with(given=lambda l, x: (1 - x) @ l.T - F.softplus(l).sum(1)),
            "Zeros and ones are exchanged: sigmoid(l) is the probability of a 1.",
        ),
        (
            _with(given=lambda l, x: _given(l, x) / l.shape[1]),
            "The pixels are averaged: their log-probabilities add up.",
        ),
        (_with(given=lambda l, x: x @ l.sigmoid().T), "Probabilities are added over pixels: add their logarithms."),
        (
            _with(given=lambda l, x: x @ l.log_softmax(1).T),
            "The softmax runs over the pixels, which are independent: each has a sigmoid of its own.",
        ),
        (_with(join=lambda terms: terms.logsumexp(0)), "logsumexp runs over the images: it runs over the templates."),
        (_with(join=lambda terms: terms.sum(1)), "Logarithms are added over the templates: add probabilities."),
        (
            _with(join=lambda terms: terms.mean(1)),
            "Logarithms are averaged over the templates: add probabilities, with logsumexp.",
        ),
        (
            _with(join=lambda terms: terms.max(1).values),
            "Only the best template counts: add the probabilities of all of them.",
        ),
        (
            lambda l, w, x: (w.softmax(0) * _given(l, x)).sum(1),
            "This averages the logarithms with the weights: take the logarithm of the average, logsumexp.",
        ),
        (_with(join=lambda terms: -terms.logsumexp(1)), "This is the cost: return ln q(x), which is at most 0."),
        (_with(join=lambda terms: terms.logsumexp(1).mean()), "The images are averaged: one number for each image."),
        (_with(join=lambda terms: terms.logsumexp(1).exp()), "This is q(x): return its logarithm."),
        (_with(join=lambda terms: terms), "The templates are still apart: add their probabilities, logsumexp(1)."),
        (_with(join=lambda terms: terms.exp().sum(1).log()), TINY),
    ],
    accepts=[_with(), _one_by_one, _by_where, _by_distribution],
    speed=Speed(lambda: (torch.randn(200, 784), torch.zeros(200), torch.ones(100, 784))),
)
