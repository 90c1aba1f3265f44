"""What a wrong answer does at an edge is told by what it does there, however it is written (lessons 00 to 02)."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from garm_course.exercises import grade

LN2 = math.log(2)


def per_example(terms):
    return lambda *args: terms(*args).flatten(1).sum(1)


def of_probability(change):
    """The NLL by p = sigmoid(l), changed."""

    def terms(logits, x):
        p = logits.sigmoid()
        return -(x * change(p).log() + (1 - x) * change(1 - p).log())

    return per_example(terms)


def poisson(change):
    return per_example(lambda rate, k: rate - k * change(rate).log() + torch.lgamma(k + 1.0))


def kl(change):
    return lambda p, q: (p * (change(p) / change(q)).log()).sum(-1)


def nade(squeeze=lambda logit: logit, term=lambda logit, x: x * F.logsigmoid(logit) + (1 - x) * F.logsigmoid(-logit)):
    def log_prob(x, W, V, b, c):
        x, a, total = x.to(W), c.expand(len(x), -1), 0
        for i in range(x.shape[1]):
            total = total + squeeze(term(b[i] + torch.sigmoid(a) @ V[i], x[:, i]))
            a = a + x[:, i, None] * W[:, i]
        return total

    return log_prob


def by_branches(logit, x):
    """Right values by two branches, one of which overflows: its gradient is NaN."""
    softplus = torch.where(logit > 0, logit + (1 + (-logit).exp()).log(), (1 + logit.exp()).log())
    return x * logit - softplus


def draws(dtype=torch.long, column=lambda p, i: p[:, i], chance=torch.sigmoid, noise=None, calls=1):
    def sample(logits_fn, n, D, gen):
        x = torch.zeros(n, D, dtype=dtype)
        for i in range(D):
            for _ in range(calls):
                p = column(chance(logits_fn(x)), i)
            x[:, i] = (torch.rand(p.shape, generator=gen if noise is None else noise(i)) < p).to(dtype)
        return x.long()

    return sample


def masks(low, high):
    def answer(D, hidden, order):
        place = (torch.arange(D) if order is None else torch.tensor(order).argsort()) + 1
        layers = [place, *(low + torch.arange(n) % (D - low + high) for n in hidden)]
        found = [b[:, None] >= a for a, b in itertools.pairwise(layers)]
        return [*found, place[:, None] > layers[-1]]

    return answer


WRONG = [
    ("nats_to_bits", lambda nats: torch.log2(nats.exp()), "a detour over exp(nats)"),
    ("nats_to_bits", lambda nats: nats * 1.4427, "is rounded"),
    ("nats_to_bits", lambda nats: (nats / LN2).round(decimals=3), "rounded to 3 decimals"),
    ("nats_to_bits", lambda nats: nats.div_(LN2), "changes its argument nats in place"),
    ("nats_to_bits", lambda nats: nats.squeeze() / LN2, "the shape (1,), got ()"),
    ("kl_categorical", kl(lambda p: p), "Right except where p is 0"),
    ("kl_categorical", kl(lambda p: p + 1e-4), "Nearly right"),
    ("kl_categorical", kl(lambda p: p + 1e-8), "not where q is below 1e-8"),
    (
        "kl_categorical",
        lambda p, q: F.kl_div(q.clamp(min=1e-8).log(), p, reduction="none").sum(-1),
        "where q is below 1e-8",
    ),
    ("kl_categorical", lambda p, q: torch.xlogy(p, p / q).sum(-1).squeeze(), "the shape (1,), got ()"),
    ("bernoulli_nll", of_probability(lambda p: p), "costs inf nats instead of 800"),
    ("bernoulli_nll", of_probability(lambda p: p + 1e-9), "costs 20.72 nats instead of 800"),
    ("bernoulli_nll", of_probability(lambda p: p.clamp(min=1e-3)), "costs 6.908 nats instead of 800"),
    ("bernoulli_nll", of_probability(lambda p: p + 1e-5), "Nearly right"),
    ("bernoulli_nll", per_example(lambda l, x: -by_branches(l.clamp(-50, 50), x)), "costs 50 nats instead of 800"),
    ("bernoulli_nll", per_example(lambda l, x: -by_branches(l, x)), "the gradient is NaN or 0"),
    ("bernoulli_nll", lambda l, x: (F.softplus(l) - x * l).sum((1, 2, 3)), "any number of them"),
    ("nll_to_bits_per_dim", lambda nll, shape: nll / math.prod(shape) / 0.6931, "is rounded"),
    ("nll_to_bits_per_dim", lambda nll, s: nll / (s[0] * s[1] * s[2] * LN2), "it may have any length"),
    ("poisson_nll", poisson(lambda rate: rate), "Right except for a rate of 0"),
    ("poisson_nll", poisson(lambda rate: rate + 1e-30), "About 1e-30 stands in place of a rate of 0"),
    ("poisson_nll", poisson(lambda rate: rate + 1e-3), "Nearly right"),
    ("poisson_nll", per_example(lambda r, k: r - torch.xlogy(k, r) + torch.lgamma(k.byte() + 1.0)), "small counts"),
    ("nade_log_prob", nade(squeeze=lambda term: term.squeeze()), "Right for larger sizes"),
    ("nade_log_prob", nade(term=by_branches), "at logits of 900 the gradient is NaN or 0"),
    ("nade_log_prob", nade(term=lambda l, x: F.logsigmoid((2 * x - 1) * l.clamp(-100, 100))), "small logits only"),
    ("made_masks", masks(low=0, high=0), "has the degree 0"),
    ("made_masks", masks(low=1, high=1), "sees all D inputs"),
    ("sample_ar", draws(column=lambda p, i: p.squeeze()[:, i]), "not for n = 1 or D = 1"),
    ("sample_ar", draws(chance=lambda logit: torch.sigmoid(logit).clamp(1e-3, 1 - 1e-3)), "let no clamp cut p"),
    ("sample_ar", draws(chance=lambda logit: logit.exp() / (1 + logit.exp())), "take torch.sigmoid, not exp"),
    ("sample_ar", draws(dtype=torch.float32), "it takes a LongTensor"),
    ("sample_ar", draws(noise=lambda i: torch.Generator().manual_seed(i)), "gen is seeded anew"),
    ("sample_ar", draws(calls=2), "called more than D times"),
]


@pytest.mark.parametrize(("name", "answer", "words"), WRONG, ids=[f"{name}-{words}" for name, _, words in WRONG])
def test_wrong_at_an_edge(name, answer, words):
    result = grade(name, answer)
    assert result.status == "not yet"
    assert words in result.hint


RIGHT = [
    ("kl_categorical", lambda p, q: (p * ((p + 1e-12) / (q + 1e-12)).log()).sum(-1)),  # the text lets it pass
    ("kl_categorical", lambda p, q: (p * (p / q).log()).nan_to_num(0.0).sum(-1)),
    ("nade_log_prob", nade()),
    ("nade_log_prob", nade(term=lambda logit, x: x * logit - F.softplus(logit))),
    ("made_masks", masks(low=1, high=0)),
    ("sample_ar", draws()),
    ("sample_ar", draws(column=lambda p, i: p.float()[:, i])),
]


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_right_at_all_edges(name, answer):
    result = grade(name, answer)
    assert result.status == "passed", result.hint
