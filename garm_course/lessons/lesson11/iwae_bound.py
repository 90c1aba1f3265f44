"""The logarithm of a mean of weights that are known by their logarithms; equation (11.1)."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import iwae_bound

_random = partial(random, seed=11)


def _then(change: Callable[[Tensor], object]):
    """The right bound, changed at the end."""
    return lambda log_w: change(iwae_bound(log_w))


def _less(amount: Callable[[int, int], float]):
    """log-sum-exp over the samples, less a function of (B, k)."""
    return lambda log_w: log_w.logsumexp(1) - amount(*log_w.shape)


def _stable(peak: Callable[[Tensor], Tensor], back: float = 1.0):
    """log mean exp with this much taken out before and put back after."""
    return lambda log_w: (log_w - peak(log_w)).exp().mean(1).log() + back * peak(log_w).squeeze(-1)


def _row_max(log_w: Tensor) -> Tensor:
    return log_w.max(1, keepdim=True).values


def _by_loop(log_w: Tensor) -> Tensor:
    total = log_w[:, 0]
    for j in range(1, log_w.shape[1]):
        total = torch.logaddexp(total, log_w[:, j])
    return total - math.log(log_w.shape[1])


def _surrogate(log_w: Tensor) -> Tensor:
    return (log_w.softmax(1).detach() * log_w).sum(1)


def _one_image(log_w: Tensor) -> Tensor:
    return iwae_bound(log_w[:1])


EXERCISE = Exercise(
    name="iwae_bound",
    lesson="11",
    reference=iwae_bound,
    rule="log (1/k) sum_j w_j for each example, from log w (B, k), where exp(log w) itself is too small to exist.",
    axes=("example",),
    probes=[
        same(3 * _random(3, 5), grad=True),
        same(2 * _random(4, 7, seed=1) - 800.3, grad=True),
        same(torch.tensor([-800.7, -20.3, 730.9, 1.3]).double()[:, None] + _random(4, 3, seed=2)),
        same(torch.tensor([[-91.7], [3.3], [-0.4]], dtype=torch.float64).expand(3, 6).clone()),
        same(_random(5, 1, seed=3) * 30),
        same((2 * _random(2, 9, seed=4) - 83.1).float()),
    ],
    mistakes=[
        (
            lambda log_w: log_w.mean(1),
            "This is the mean of the logs: the ELBO with k samples. The log of the mean of the weights is tighter.",
        ),
        (
            lambda log_w: log_w.logsumexp(1),
            "Too high by log k: a sum of weights in place of their mean, and so no bound. It may exceed log p(x).",
        ),
        (_less(lambda B, k: math.log(B)), "log B is subtracted: the mean runs over the k samples, log_w.shape[1]."),
        (_less(lambda B, k: -math.log(k)), "log k has the wrong sign: log (1/k) is minus log k."),
        (_less(lambda B, k: math.log2(k)), "log2 k is subtracted: logarithms are natural, math.log."),
        (_less(lambda B, k: math.log10(k)), "log10 k is subtracted: logarithms are natural, math.log."),
        (_less(lambda B, k: k), "k is subtracted: dividing by k is subtracting log k."),
        (_less(lambda B, k: math.log(B * k)), "log (B k) is subtracted: the mean runs over the samples only."),
        (_less(lambda B, k: math.log(k + 1)), "log (k + 1) is subtracted: there are k weights."),
        (
            lambda log_w: log_w.logsumexp(1) / log_w.shape[1],
            "The logarithm is divided by k: the weights are, inside of it. Subtract log k.",
        ),
        (
            lambda log_w: log_w.exp().mean(1).log(),
            "Right on paper, but exp(-800) is 0 and its log -inf: take the largest log w out first, or use logsumexp.",
        ),
        (
            lambda log_w: (log_w.exp().mean(1) + 1e-10).log(),
            "A small number inside the log hides the underflow and puts a floor under the bound: use logsumexp.",
        ),
        (
            lambda log_w: log_w.exp().mean(1).clamp(min=1e-30).log(),
            "A clamp inside the log hides the underflow and puts a floor under the bound: use logsumexp.",
        ),
        (
            _stable(lambda log_w: log_w.max()),
            "The largest of the whole table is taken out: rows far below it underflow. Each row has its own maximum.",
        ),
        (
            _stable(_row_max, back=0.0),
            "The maximum was taken out of the weights and not put back: add it after the logarithm.",
        ),
        (
            _stable(_row_max, back=-1.0),
            "The maximum comes back with the wrong sign: w = exp(max) exp(log w - max), so add it after the logarithm.",
        ),
        (lambda log_w: log_w.max(1).values, "This is the largest weight alone: the mean has all k."),
        (
            lambda log_w: log_w.max(1).values - math.log(log_w.shape[1]),
            "This is the largest weight over k: a bound, but the others are missing from the sum.",
        ),
        (lambda log_w: log_w.sum(1), "Logs are summed, so weights are multiplied: sum the weights, logsumexp."),
        (
            lambda log_w: log_w.sum(1) - math.log(log_w.shape[1]),
            "Logs are summed, so weights are multiplied: logsumexp in place of sum.",
        ),
        (
            lambda log_w: log_w.mean(1) - math.log(log_w.shape[1]),
            "A mean of logs, less log k as well: log k belongs to a sum of weights, logsumexp.",
        ),
        (
            lambda log_w: log_w.logsumexp(0) - math.log(len(log_w)),
            "The mean runs over the examples: axis 0 is B. The samples are axis 1.",
        ),
        (
            lambda log_w: log_w.logsumexp(0) - math.log(log_w.shape[1]),
            "The sum runs over the examples, axis 0: the k samples of one example are a row, axis 1.",
        ),
        (lambda log_w: log_w.logsumexp(0), "The sum runs over the examples, axis 0, and log k is missing."),
        (lambda log_w: log_w.mean(0), "A mean of logs over the examples: the log of the mean over axis 1."),
        (
            lambda log_w: log_w.logsumexp((0, 1)) - math.log(log_w.numel()),
            "One number for the whole table: weights of different images do not mix. One value per example, (B,).",
        ),
        (
            lambda log_w: log_w.logsumexp((0, 1)) - math.log(log_w.shape[1]),
            "The weights of all images are added: sum over axis 1 only, one value per example.",
        ),
        (_then(lambda b: b.mean()), "This is averaged over the batch: return one value per example, (B,)."),
        (_then(lambda b: b.sum()), "This is summed over the batch: return one value per example, (B,)."),
        (_then(lambda b: -b), "The sign is that of a loss: the bound itself is asked for, near log p(x)."),
        (_then(lambda b: -b.mean()), "This is the training loss, minus the mean bound: return the bound (B,) itself."),
        (_then(lambda b: b.unsqueeze(1)), "The axis of the samples is still there, (B, 1): leave out keepdim."),
        (_then(lambda b: b.unsqueeze(0)), "There is an axis in front, (1, B): one value per example, (B,)."),
        (
            _then(lambda b: b.exp()),
            "The logarithm at the end is missing: this is the mean weight.",
        ),
        (_then(lambda b: b / math.log(2)), "These are bits: the bound is in nats, natural logarithms."),
        (_then(lambda b: b.tolist()), "A list has no gradient: return a tensor (B,)."),
        (
            _then(lambda b: b.detach()),
            "The value is right, but no gradient passes: leave out detach and no_grad.",
        ),
        (_then(lambda b: b.clamp(max=0)), "It is cut off at 0: log-weights of densities may be positive."),
        (
            _surrogate,
            "This has the gradient of the bound, not its value: weights times log-weights. Return the log of the mean.",
        ),
        (
            lambda log_w: (log_w.softmax(1) * log_w).sum(1),
            "Log-weights are averaged with the weights themselves: that is larger than the log of the mean.",
        ),
        (
            lambda log_w: log_w.log_softmax(1).mean(1),
            "log_softmax makes each row sum to 1, so the size of p(x) is lost: use logsumexp.",
        ),
        (
            lambda log_w: log_w.logcumsumexp(1) - math.log(log_w.shape[1]),
            "These are sums over the first 1, 2, ..., k samples, (B, k): the whole sum is asked for, (B,).",
        ),
        (lambda log_w: log_w - math.log(log_w.shape[1]), "The weights are divided by k but not added up: logsumexp."),
        (lambda log_w: log_w[:, 0], "Only the first sample is used: that is the ELBO with one sample."),
        (lambda log_w: log_w.median(1).values, "This is the median log-weight: take the mean of the weights."),
        (_one_image, "Only the first example is there: one value for each of the B rows."),
        (lambda log_w: iwae_bound(log_w.float()), "The weights are cast to float32: keep the dtype that comes in."),
        (lambda log_w: iwae_bound(log_w.double()), "The weights are cast to float64: keep the dtype that comes in."),
    ],
    accepts=[
        _stable(_row_max),
        _by_loop,
        lambda log_w: (log_w - math.log(log_w.shape[1])).logsumexp(1),
        lambda log_w: torch.logsumexp(log_w, dim=-1) - torch.log(torch.tensor(log_w.size(1), dtype=log_w.dtype)),
        lambda log_w: _stable(lambda w: _row_max(w).detach())(log_w),
    ],
    speed=Speed(lambda: (torch.randn(512, 500) * 9 - 90,)),
)
