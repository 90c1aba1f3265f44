"""A KL term that leaves each latent some nats for nothing; equation (11.6)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.edges import edge
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.bounds import free_bits


def _kl(b: int, scales: list[float], seed: int) -> Tensor:
    """(b, Z) positive numbers, latent j within 0.3 to 1.7 scales[j], not one like another, float64."""
    return (1 + 0.7 * random(b, len(scales), seed=seed).tanh()) * torch.tensor(scales, dtype=torch.float64)


def _of_means(figure: Callable[[Tensor, float], object]):
    """A function of the KL of each latent, averaged over the batch (Z,), and lam."""
    return lambda kl, lam: figure(kl.mean(0), lam)


def _then(change: Callable[[Tensor], object]):
    """The right result, changed at the end."""
    return lambda kl, lam: change(free_bits(kl, lam))


def _by_loop(kl: Tensor, lam: float) -> Tensor:
    total = kl.new_zeros(())
    for j in range(kl.shape[1]):
        mean = kl[:, j].mean()
        total = total + (mean if mean > lam else lam)
    return total


_SOFT = "softplus is a soft max: below lam some gradient is left, and the latent still shrinks."
_STRAIGHT = "The value is right, but the gradient below lam is not zero: it is max that must be differentiated."
_NEAR = torch.tensor([[0.59, 0.2, 0.61], [0.606, 0.3, 0.62]], dtype=torch.float64)  # means 0.002 and 0.015 from 0.6
_RICH = torch.tensor([[0.0, 0.31, 2.2, 0.9], [1.9, 2.7, 0.4, 0.2], [0.4, 3.3, 0.8, 0.35]], dtype=torch.float64)

EXERCISE = Exercise(
    name="free_bits",
    lesson="11",
    reference=free_bits,
    rule="sum over latents of max(lam, KL_j averaged over the batch): the mean first, then max, then the sum.",
    probes=[
        same(_RICH, 0.6, grad=True),
        same(_kl(3, [0.5, 1.1, 0.4, 2.3], seed=9), 0.6),  # the same shape and lam once more
        same(_kl(6, [0.2, 3.1, 0.45, 1.9], seed=1), 0.5, grad=True),
        same(_kl(5, [0.02, 0.2, 0.1], seed=2), 0.7),  # all below: a constant
        same(torch.tensor([[0.1, 0.05], [0.9, 0.4]], dtype=torch.float64), 0.6),  # one image above lam, one below
        same(_kl(3, [4.0, 2.3, 1.4, 3.3, 2.7], seed=3), 0.15, grad=True),  # all above: the plain KL
        same(_kl(4, [0.6, 1.7], seed=4), 0.0, grad=True),
        same(_kl(7, [0.8], seed=7), 0.1, grad=True),
        same(torch.tensor([[0.0, 2.0], [0.2, 4.0]]), 0.5),
        same(_kl(7, [0.3, 2.0, 0.9], seed=8).float(), 0.5),
        edge(same(_NEAR, 0.6, grad=True), _SOFT),
        edge(same(_kl(3, [900.0, 3.0, 0.2], seed=5), 1.3, grad=True), "A large KL is cut off: max has no upper end."),
        edge(
            same(_kl(1, [0.9, 0.1, 2.2, 0.3], seed=6), 0.25, grad=True),
            "Right except for a batch of one image: without an axis, squeeze() removes that of the batch; and the "
            "mean divides by B, not by B - 1.",
        ),
    ],
    mistakes=[
        (
            lambda kl, lam: kl.sum(1).clamp(min=lam).mean(),
            "max comes after the sum over latents: one busy latent pays for all, and the others may collapse.",
        ),
        (
            lambda kl, lam: kl.mean(0).sum().clamp(min=lam),
            "max is taken of the total: one busy latent pays for all. Each latent has its own lam.",
        ),
        (
            lambda kl, lam: kl.sum(1).mean().clamp(min=lam * kl.shape[1]),
            "max is taken of the total, with Z lam: one busy latent still pays for all. Take it of each latent.",
        ),
        (
            lambda kl, lam: kl.clamp(min=lam).sum(1).mean(),
            "max is taken before the mean over the batch: lam bounds the average of a latent, not each image.",
        ),
        (
            lambda kl, lam: kl.clamp(min=lam).sum(1),
            "max is taken for each image, and the batch is not averaged: the mean over the batch comes first.",
        ),
        (
            lambda kl, lam: kl.sum(0).clamp(min=lam).sum(),
            "Summed over the batch: take the mean over the images, so that lam does not depend on the batch size.",
        ),
        (
            _of_means(lambda m, lam: m.clamp(max=lam).sum()),
            "This is min, not max: large KL goes free and small KL is punished.",
        ),
        (
            _of_means(lambda m, lam: (m - lam).clamp(min=0).sum()),
            "lam is subtracted: the gradient is right, but the value is max(lam, KL) and not max(0, KL - lam).",
        ),
        (_of_means(lambda m, lam: lam + (m - lam).clamp(min=0).sum()), "lam is added once: each latent has its own."),
        (_of_means(lambda m, lam: (m - lam).sum()), "lam is subtracted, without max: nothing is free."),
        (_of_means(lambda m, lam: (m - lam).abs().sum()), "|KL - lam| pulls every latent to lam: max(lam, KL)."),
        (_of_means(lambda m, lam: m.sum()), "This is the plain KL: lam is not used."),
        (_of_means(lambda m, lam: (m + lam).sum()), "lam is added: a constant changes no gradient. max(lam, KL)."),
        (_of_means(lambda m, lam: lam * m.sum()), "lam is a weight here, as beta is: it should be a floor, max."),
        (_of_means(lambda m, lam: m[m > lam].sum()), "Latents below lam are left out: each counts lam, a constant."),
        (
            _of_means(lambda m, lam: torch.where(m > lam, m, m.detach()).sum()),
            "The gradient is right, but a latent below lam counts as lam nats, not as its own KL.",
        ),
        (_of_means(lambda m, lam: (m + (m.clamp(min=lam) - m).detach()).sum()), _STRAIGHT),
        (_of_means(lambda m, lam: (lam + F.softplus(m - lam, beta=100)).sum()), _SOFT),
        (
            _of_means(lambda m, lam: (lam + F.leaky_relu(m - lam)).sum()),
            "A leaky maximum: below lam the value still falls, and its gradient pushes the latent to collapse.",
        ),
        (_of_means(lambda m, lam: m.clamp(min=lam).max()), "Only the largest latent counts: sum over the latents."),
        (_of_means(lambda m, lam: m.clamp(min=1.0).sum()), "lam is fixed at 1: use the argument."),
        (
            lambda kl, lam: kl.mean(1).clamp(min=lam).sum(),
            "The mean runs over the latents, axis 1: over the batch, axis 0, and the sum over the latents.",
        ),
        (lambda kl, lam: kl[0].clamp(min=lam).sum(), "Only the first image counts: take the mean over the batch."),
        (
            lambda kl, lam: sum(max(m, lam) for m in kl.mean(0)),
            "Python's max returns the plain number lam for a latent below it, and where all are, so is the sum: "
            "torch.clamp stays with tensors.",
        ),
        (_then(lambda f: f.item()), "A number without gradient: leave out .item()."),
    ],
    accepts=[
        _by_loop,
        _of_means(lambda m, lam: torch.maximum(m, torch.full_like(m, lam)).sum()),
        _of_means(lambda m, lam: (F.relu(m - lam) + lam).sum()),
        _of_means(lambda m, lam: torch.where(m > lam, m, lam).sum()),
        lambda kl, lam: torch.clamp(kl.sum(0) / kl.shape[0], min=lam).sum(),
        lambda kl, lam: torch.mean(kl, dim=0).clamp_min(lam).sum(dim=-1),
    ],
    speed=Speed(lambda: (torch.rand(512, 256), 0.1)),
)
