"""The logarithm of a mean of weights that are known by their logarithms; equation (11.1)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import iwae_bound


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
    return log_w.amax(1, keepdim=True)


def _by_loop(log_w: Tensor) -> Tensor:
    total = log_w[:, 0]
    for j in range(1, log_w.shape[1]):
        total = torch.logaddexp(total, log_w[:, j])
    return total - math.log(log_w.shape[1])


def _gradient_of_mean(log_w: Tensor) -> Tensor:
    return (iwae_bound(log_w) - log_w.mean(1)).detach() + log_w.mean(1)


UNDERFLOW = (
    "Right for moderate log-weights. But exp(-800) is 0 and exp(800) infinite, and a clamp or a small number inside "
    "the log only hides that: take the largest log w of each row out first, or use logsumexp."
)
ROWS = "Rows may differ by hundreds of nats: take out the largest of each row, over axis 1, not one number for all."
PEAK = "What is taken out must be the largest of a row: with any other number exp of the largest may overflow."
SQUEEZE = "Right except for one row, or one sample: squeeze() without an axis removes that of the batch too, (B,)."

MIXED = 3 * random(3, 5, seed=11) + torch.tensor([[-7.3], [0.4], [5.1]])  # bounds of both signs
SPREAD = torch.tensor([[-903.7, 851.2, 3.1], [870.9, -912.3, -880.4]], dtype=torch.float64)
HOSTILE = torch.tensor([-800.7, -20.3, 730.9, 1.3], dtype=torch.float64)[:, None]  # offsets of rows

EXERCISE = Exercise(
    name="iwae_bound",
    lesson="11",
    reference=iwae_bound,
    rule="log (1/k) sum_j w_j for each example, from log w (B, k), where exp(log w) itself is too small to exist.",
    axes=("example",),
    probes=[
        plain(MIXED),
        same(MIXED, grad=True),
        same(random(5, 2, seed=7), grad=True),
        edge(same(2 * random(4, 7, seed=1) - 800.3, grad=True), UNDERFLOW),
        edge(same(HOSTILE + random(4, 3, seed=2), grad=True), ROWS),
        edge(same(SPREAD, grad=True), PEAK),
        same(HOSTILE.expand(4, 6).clone()),
        edge(same(random(5, 1, seed=3) * 30), SQUEEZE),
        edge(same(random(1, 4, seed=4), grad=True), SQUEEZE),
        edge(same(1000 * random(1, 1, seed=5)), SQUEEZE),
        same(torch.tensor([[0.0, math.log(3)]])),
        same(torch.tensor([[-800.0, -800.0]])),
        same((2 * random(2, 9, seed=6) - 83.1).float()),
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
        (_less(lambda B, k: k), "k is subtracted: dividing by k is subtracting log k."),
        (
            lambda log_w: log_w.logsumexp(1) / log_w.shape[1],
            "The logarithm is divided by k: the weights are, inside of it. Subtract log k.",
        ),
        (lambda log_w: log_w.exp().mean(1).log(), UNDERFLOW),
        (_stable(torch.max), ROWS),
        (_stable(lambda log_w: log_w.mean(1, keepdim=True)), PEAK),
        (
            _stable(_row_max, back=0.0),
            "The maximum was taken out of the weights and not put back: add it after the logarithm.",
        ),
        (
            _stable(_row_max, back=-1.0),
            "The maximum comes back with the wrong sign: w = exp(max) exp(log w - max), so add it after the logarithm.",
        ),
        (
            lambda log_w: (log_w - _row_max(log_w)).exp().mean(1).log() + _row_max(log_w),
            "The maximum comes back as (B, 1), which makes (B, B) of it: leave out keepdim there, or squeeze(1) it.",
        ),
        (
            lambda log_w: log_w - log_w.max(1).values,
            "The row maximum is (B,), which does not line up with (B, k): max(1, keepdim=True).values is (B, 1).",
        ),
        (
            lambda log_w: log_w - log_w.max(1),
            "max(1) returns two things, values and indices: take .values, or amax(1, keepdim=True).",
        ),
        (lambda log_w: log_w.max(1).values, "This is the largest weight alone: the mean has all k."),
        (
            lambda log_w: log_w.sum(1) - math.log(log_w.shape[1]),
            "Logs are summed, so weights are multiplied: logsumexp in place of sum.",
        ),
        (
            lambda log_w: log_w.logsumexp(0) - math.log(len(log_w)),
            "The mean runs over the examples: axis 0 is B. The samples are axis 1.",
        ),
        (
            lambda log_w: log_w.logsumexp(0) - math.log(log_w.shape[1]),
            "The sum runs over the examples, axis 0: the k samples of one example are a row, axis 1.",
        ),
        (
            lambda log_w: log_w.logsumexp((0, 1)) - math.log(log_w.numel()),
            "One number for the whole table: weights of different images do not mix. One value per example, (B,).",
        ),
        (_then(lambda b: -b.mean()), "This is the training loss, minus the mean bound: return the bound (B,) itself."),
        (_then(lambda b: b.squeeze()), SQUEEZE),
        (
            _gradient_of_mean,
            "The values are right, but the gradient is that of the mean of the logs: each sample has its share of the "
            "weights, softmax(log w), not 1 / k.",
        ),
        (
            lambda log_w: (log_w.softmax(1) * log_w).sum(1),
            "Log-weights are averaged with the weights themselves: that is larger than the log of the mean.",
        ),
        (
            lambda log_w: log_w.log_softmax(1).logsumexp(1),
            "log_softmax makes each row sum to 1, so the size of p(x) is lost: use logsumexp.",
        ),
        (lambda log_w: log_w - math.log(log_w.shape[1]), "The weights are divided by k but not added up: logsumexp."),
        (lambda log_w: log_w[:, 0], "Only the first sample is used: that is the ELBO with one sample."),
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
