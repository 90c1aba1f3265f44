"""How many codes are in use, in effect: the exponential of the entropy of their frequencies; equation (12.5)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.latent.quantizer import codebook_perplexity


def _codes(*shape: int, among: tuple[int, ...], seed: int = 12) -> Tensor:
    """Random indices that are among these codes, the first ones more often."""
    weights = 0.6 ** torch.arange(len(among)).double()
    drawn = torch.multinomial(weights, math.prod(shape), True, generator=torch.Generator().manual_seed(seed))
    return torch.tensor(among)[drawn].reshape(shape)


def _p(index: Tensor, n_codes: int) -> Tensor:
    return torch.bincount(index.flatten(), minlength=n_codes).double() / index.numel()


def _h(p: Tensor, dim: int = -1) -> Tensor:
    """Entropy in nats, 0 log 0 = 0."""
    return -torch.xlogy(p, p).sum(dim)


def _of_p(number: Callable[[Tensor], Tensor]):
    """A function of the frequencies (K,)."""
    return lambda index, n_codes: number(_p(index, n_codes))


def _of_weights(weights: Callable[[Tensor, Tensor], Tensor]):
    """exp of the entropy of other frequencies: (counts, index) -> (K,)."""
    return lambda index, n_codes: _h(weights(torch.bincount(index.flatten(), minlength=n_codes), index)).exp()


def _of_parts(number: Callable[[Tensor], Tensor], dim: int = 1):
    """A function of the entropies of the single images (dim=1) or of the single places (dim=0)."""
    return lambda index, n_codes: number(_h(F.one_hot(index.flatten(1), n_codes).double().mean(dim)))


def _by_unique(index: Tensor, n_codes: int) -> Tensor:
    counts = index.unique(return_counts=True)[1]
    return torch.distributions.Categorical(counts.double()).entropy().exp()


def _by_loop(index: Tensor, n_codes: int) -> Tensor:
    entropy = 0.0
    for k in range(n_codes):
        p = (index == k).double().mean().item()
        entropy -= p * math.log2(p) if p else 0
    return torch.tensor(2**entropy)


MANY = (
    "Right for few codes only: of thousands each is rare, and a number in the logarithm, or a clamp, moves the result. "
    "Use torch.xlogy(p, p), or add only 1e-10."
)

EXERCISE = Exercise(
    name="codebook_perplexity",
    lesson="12",
    reference=codebook_perplexity,
    rule="exp of the entropy (in nats) of the frequencies of the K codes, over all indices together.",
    any_dtype=True,
    rtol=2e-5,
    probes=[
        plain(_codes(3, 2, 3, among=(0, 2, 3, 6, 7)), 9),
        same(_codes(4, 6, among=(4, 1, 0), seed=1), 5),
        same(random(50, seed=3).mul(2).round().long().clamp(-4, 4) + 4, 12),
        same(torch.arange(8).repeat(5).reshape(2, 4, 5), 8),
        same(torch.full((2, 3, 3), 4), 6),
        same(torch.tensor(1), 3),
        same(torch.tensor([0, 0, 3, 3]), 8),
        edge(same(torch.arange(4000) % 1700, 2000), MANY),
    ],
    mistakes=[
        (lambda index, n_codes: torch.bincount(index, minlength=n_codes), "bincount takes one axis: index.flatten()."),
        (_of_p(lambda p: (-(p * (p + 1e-6).log()).sum()).exp()), MANY),
        (_of_p(lambda p: (p > 0).sum()), "This counts the codes that occur, however rarely: weigh them by frequency."),
        (_of_p(_h), "This is the entropy: the perplexity is its exponential, a number of codes."),
        (_of_p(lambda p: _h(p) / math.log(2)), "This is the entropy in bits: the perplexity is 2 to this power."),
        (_of_p(lambda p: (_h(p) / math.log(2)).exp()), "The bases must match: exp belongs to log, and 2 ** to log2."),
        (_of_p(lambda p: 2 ** _h(p)), "The bases must match: this is 2 to an entropy in nats; exp belongs to log."),
        (_of_p(lambda p: (-_h(p)).exp()), "The sign of the entropy is missing: H = -sum p log p, at least 0."),
        (
            _of_p(lambda p: (-(p * p.log()).sum()).exp()),
            "A code that is never chosen gives 0 * log 0, which is NaN: its term is 0 (torch.xlogy, or p + 1e-10).",
        ),
        (_of_weights(lambda n, index: n.double()), "These are counts: divide by index.numel(), so that they sum to 1."),
        (_of_weights(lambda n, index: n / len(n)), "The counts are divided by K: divide by index.numel() instead."),
        (
            _of_weights(lambda n, index: n / max(index.shape[:1], default=1)),
            "The counts are divided by the batch size: divide by the number of all indices, index.numel().",
        ),
        (_of_weights(lambda n, index: n.double().softmax(0)), "This is a softmax of the counts: divide by their sum."),
        (_of_weights(lambda n, index: (n + 1) / (n + 1).sum()), "1 is added to every count, so dead codes look alive."),
        (_of_p(lambda p: (_h(p) / len(p)).exp()), "The terms are averaged over the K codes: sum them."),
        (_of_p(lambda p: _h(p).exp() / len(p)), "This is the share of the codebook: do not divide by K."),
        (_of_parts(lambda h: h.exp().mean()), "This averages perplexities of single images: count all codes together."),
        (_of_parts(lambda h: h.exp()), "One number for each image: count the codes of all images together."),
        (_of_parts(lambda h: h.mean().exp()), "The entropies of single images are averaged: count all codes together."),
        (_of_parts(lambda h: h.exp().mean(), dim=0), "This averages over single places: count all codes together."),
        (_of_p(lambda p: 1 / (p**2).sum()), "This is 1 / sum p², another effective number: exp of the entropy here."),
        (_of_p(lambda p: (-p[p > 0].log().mean()).exp()), "All codes weigh the same: weigh -log p by p, and sum."),
        (_of_p(lambda p: (-p[p > 0].log().sum()).exp()), "The logarithms lack their weights: -sum p log p."),
        (_of_p(lambda p: torch.exp(-p * torch.log(p + 1e-10))), "One number for each code: sum -p log p before exp."),
        (
            _of_p(lambda p: torch.exp(-p * torch.log(p + 1e-10)).sum()),
            "The exponential comes before the sum: first sum the terms -p log p, then take exp.",
        ),
    ],
    accepts=[
        _of_p(lambda p: (-(p * (p + 1e-10).log()).sum()).exp()),
        _by_unique,
        _by_loop,
        _of_p(lambda p: 2 ** (-(p[p > 0] * p[p > 0].log2()).sum())),
        _of_p(lambda p: torch.special.entr(p).sum().exp()),
        _of_p(lambda p: (p[p > 0] ** -p[p > 0]).prod()),
    ],
    speed=Speed(lambda: (torch.randint(0, 64, (1000, 7, 7)), 64)),
)
