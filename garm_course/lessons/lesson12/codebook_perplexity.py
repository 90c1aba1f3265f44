"""How many codes are in use, in effect: the exponential of the entropy of their frequencies; equation (12.5)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

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


def _of_p(figure: Callable[[Tensor], Tensor]):
    """A function of the frequencies (K,)."""
    return lambda index, n_codes: figure(_p(index, n_codes))


def _of_counts(figure: Callable[[Tensor], Tensor]):
    return lambda index, n_codes: figure(torch.bincount(index.flatten(), minlength=n_codes).double())


def _one_hot(index: Tensor, n_codes: int) -> Tensor:
    return F.one_hot(index, n_codes).double()


def _by_eps(index: Tensor, n_codes: int) -> Tensor:
    p = _one_hot(index.flatten(), n_codes).mean(0)
    return torch.exp(-torch.sum(p * torch.log(p + 1e-10)))


def _shifted(eps: float):
    """A number in the logarithm that keeps it finite and is too large."""
    return _of_p(lambda p: torch.exp(-torch.sum(p * torch.log(p + eps))))


def _by_unique(index: Tensor, n_codes: int) -> Tensor:
    counts = index.unique(return_counts=True)[1]
    return torch.distributions.Categorical(counts.double()).entropy().exp()


def _by_loop(index: Tensor, n_codes: int) -> Tensor:
    entropy = 0.0
    for k in range(n_codes):
        p = (index == k).double().mean().item()
        entropy -= p * math.log2(p) if p else 0
    return torch.tensor(2**entropy)


EXERCISE = Exercise(
    name="codebook_perplexity",
    lesson="12",
    reference=codebook_perplexity,
    rule="exp of the entropy (in nats) of the frequencies of the K codes, over all indices together.",
    any_dtype=True,
    rtol=2e-5,
    probes=[
        same(_codes(3, 4, 5, among=(0, 2, 3, 6, 7)), 9),
        same(_codes(4, 6, among=(4, 1, 0), seed=1), 5),
        same(torch.arange(8).repeat(5).reshape(2, 4, 5), 8),
        same(torch.full((2, 3, 3), 4), 6),
    ],
    mistakes=[
        (
            lambda index, n_codes: torch.bincount(index, minlength=n_codes),
            "bincount takes one axis only: flatten the indices first, index.flatten().",
        ),
        *(
            (_shifted(eps), f"p + {eps:g} in the logarithm moves the result: use torch.xlogy(p, p), or add only 1e-10.")
            for eps in (1e-2, 1e-3, 1e-4)
        ),
        (
            lambda index, n_codes: torch.tensor(float(index.unique().numel())),
            "This counts the codes that occur at all: one that is chosen once in a million counts as one half does.",
        ),
        (_of_p(_h), "This is the entropy: the perplexity is its exponential, a number of codes."),
        (_of_p(lambda p: _h(p) / math.log(2)), "This is the entropy in bits: the perplexity is 2 to this power."),
        (
            _of_p(lambda p: (_h(p) / math.log(2)).exp()),
            "The bases must match: exp belongs to the natural logarithm, 2 ** to log2.",
        ),
        (_of_p(lambda p: 2 ** _h(p)), "The bases must match: this is 2 to an entropy in nats; exp belongs to log."),
        (_of_p(lambda p: 10 ** _h(p)), "The bases must match: this is 10 to an entropy in nats; exp belongs to log."),
        (_of_p(lambda p: (-_h(p)).exp()), "The sign of the entropy is missing: H = -sum p log p, at least 0."),
        (
            _of_p(lambda p: (-(p * p.log()).sum()).exp()),
            "A code that is never chosen gives 0 * log 0, which is NaN: its term is 0 (torch.xlogy, or p + 1e-10).",
        ),
        (
            _of_counts(lambda n: (-torch.xlogy(n, n).sum()).exp()),
            "These are counts: divide by how many indices there are, so that frequencies sum to 1.",
        ),
        (
            _of_counts(lambda n: (-torch.xlogy(n / len(n), n / len(n)).sum()).exp()),
            "The counts are divided by K: divide by the number of indices, so that they sum to 1.",
        ),
        (
            lambda index, n_codes: _h(_of_counts(lambda n: n / len(index))(index, n_codes)).exp(),
            "The counts are divided by the batch size: divide by the number of all indices, index.numel().",
        ),
        (
            lambda index, n_codes: _h(_of_counts(lambda n: n // index.numel())(index, n_codes)).exp(),
            "A division of whole numbers, //, makes nearly all frequencies 0: use /.",
        ),
        (_of_p(lambda p: (_h(p) / len(p)).exp()), "The terms are averaged over the K codes: sum them."),
        (_of_p(lambda p: _h(p).exp() / len(p)), "This is the share of the codebook: do not divide by K."),
        (_of_p(lambda p: len(p) / _h(p).exp()), "This is K divided by the perplexity: leave K out."),
        (_of_p(lambda p: math.log(len(p)) - _h(p)), "This is the KL divergence from uniform: take exp of the entropy."),
        (
            lambda index, n_codes: _h(_one_hot(index.flatten(1), n_codes).mean(1)).exp().mean(),
            "This averages the perplexities of single images: count the codes of all images together first.",
        ),
        (
            lambda index, n_codes: _h(_one_hot(index.flatten(1), n_codes).mean(1)).exp(),
            "One number for each image: count the codes of all images together.",
        ),
        (
            lambda index, n_codes: _h(_one_hot(index.flatten(1), n_codes).mean(1)).mean().exp(),
            "The entropies of single images are averaged: count the codes of all images together first.",
        ),
        (
            lambda index, n_codes: _h(_one_hot(index, n_codes).mean(0)).exp(),
            "One number for each place of the grid: take the mean over the places as well, then the entropy.",
        ),
        (
            lambda index, n_codes: _h(_one_hot(index, n_codes).mean(0)).exp().mean(),
            "This averages the perplexities of single places: count the codes of all places together first.",
        ),
        (
            lambda index, n_codes: _h(_one_hot(index, n_codes).mean(0)).sum().exp(),
            "The entropies of all places are added: flatten the indices first, so that there is one histogram.",
        ),
        (
            _of_counts(lambda n: _h(n.softmax(0)).exp()),
            "A softmax of the counts is no frequency: divide the counts by their sum.",
        ),
        (_of_p(lambda p: _h(p.softmax(0)).exp()), "The frequencies sum to 1 already: leave out the softmax."),
        (
            _of_counts(lambda n: _h((n + 1) / (n + 1).sum()).exp()),
            "One is added to every count, so a collapsed codebook looks alive: leave the zeros.",
        ),
        (_of_p(lambda p: 1 / (p**2).sum()), "This is 1 / sum p², another effective number: exp of the entropy here."),
        (_of_p(lambda p: 1 / p.max()), "This is 1 / max p: the entropy takes all frequencies."),
        (
            _of_p(lambda p: (-p[p > 0].log().mean()).exp()),
            "Each code that occurs has the same weight here: weigh -log p by p and sum.",
        ),
        (_of_p(lambda p: (-p[p > 0].log().sum()).exp()), "The logarithms lack their weights: -sum p log p."),
        (lambda index, n_codes: torch.tensor(float(n_codes)), "This is K whatever the codes are: use the indices."),
        (lambda index, n_codes: codebook_perplexity(index, n_codes).item(), "Return a tensor: leave out .item()."),
        (_of_p(lambda p: _h(p).exp().reshape(1)), "The result has one axis: return a scalar, of shape ()."),
        (_of_p(lambda p: _h(p).exp().round()), "It is rounded: an effective number of codes need not be whole."),
        (
            _of_p(lambda p: torch.exp(-p * torch.log(p + 1e-10))),
            "One number for each code: sum the terms -p log p before you take the exponential.",
        ),
        (
            _of_p(lambda p: torch.exp(-p * torch.log(p + 1e-10)).sum()),
            "The exponential comes before the sum: first sum the terms -p log p, then take exp.",
        ),
    ],
    accepts=[
        _by_eps,
        _by_unique,
        _by_loop,
        _of_p(lambda p: 2 ** (-(p[p > 0] * p[p > 0].log2()).sum())),
        _of_p(lambda p: torch.special.entr(p).sum().exp()),
        _of_p(lambda p: (p[p > 0] ** -p[p > 0]).prod()),
    ],
    speed=Speed(lambda: (torch.randint(0, 64, (1000, 7, 7)), 64)),
)
