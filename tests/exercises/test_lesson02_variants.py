"""The same mistake, written in another way or with other random numbers, gets the same hint (lesson 02)."""

import itertools

import pytest
import torch
from torch.nn.functional import logsigmoid

from garm_course.exercises import grade


def parallel_by_comparison(logits_fn, n, D, gen):
    p = torch.sigmoid(logits_fn(torch.zeros(n, D, dtype=torch.long)))
    return (torch.rand(n, D, generator=gen) < p).long()


def parallel_from_last_to_first(logits_fn, n, D, gen):
    x = torch.zeros(n, D, dtype=torch.long)
    for i in reversed(range(D)):
        x[:, i] = torch.bernoulli(torch.sigmoid(logits_fn(x)[:, i]), generator=gen).long()
    return x


def most_likely_by_sign(logits_fn, n, D, gen):
    x = torch.zeros(n, D, dtype=torch.long)
    for i in range(D):
        x[:, i] = (logits_fn(x)[:, i] > 0).long()
    return x


def swapped_by_bernoulli(logits_fn, n, D, gen):
    x = torch.zeros(n, D, dtype=torch.long)
    for i in range(D):
        x[:, i] = torch.bernoulli(torch.sigmoid(-logits_fn(x)[:, i]), generator=gen).long()
    return x


def global_bernoulli(logits_fn, n, D, gen):
    x = torch.zeros(n, D, dtype=torch.long)
    for i in range(D):
        x[:, i] = torch.distributions.Bernoulli(logits=logits_fn(x)[:, i]).sample().long()
    return x


def generator_of_its_own(logits_fn, n, D, gen):
    gen = torch.Generator().manual_seed(42)
    x = torch.zeros(n, D, dtype=torch.long)
    for i in range(D):
        x[:, i] = (torch.rand(n, generator=gen) < torch.sigmoid(logits_fn(x)[:, i])).long()
    return x


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (parallel_by_comparison, "as if all before it were 0"),
        (parallel_from_last_to_first, "as if all before it were 0"),
        (most_likely_by_sign, "not a sample"),
        (swapped_by_bernoulli, "0 and 1 are swapped"),
        (global_bernoulli, "torch's global generator"),
        (generator_of_its_own, "gen is seeded anew"),
    ],
)
def test_a_sampler_is_judged_by_its_law(answer, words):
    result = grade("sample_ar", answer)
    assert result.status == "not yet"
    assert words in result.hint


def random_masks(seed, hidden_sign, output_sign):
    def masks(D, hidden, order):
        g = torch.Generator().manual_seed(seed)
        place = (torch.arange(D) if order is None else torch.tensor(order).argsort()) + 1
        degrees = [place] + [torch.randint(1, D, (n,), generator=g) for n in hidden]
        signs = {">": torch.gt, ">=": torch.ge}
        found = [signs[hidden_sign](b[:, None], a) for a, b in itertools.pairwise(degrees)]
        return [*found, signs[output_sign](place[:, None], degrees[-1])]

    return masks


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("hidden_sign", "output_sign", "words"),
    [(">=", ">=", "The output mask uses >="), (">", ">", "starve"), (">", ">=", "> and >= are swapped")],
)
def test_masks_are_judged_by_their_paths_whatever_the_degrees(seed, hidden_sign, output_sign, words):
    result = grade("made_masks", random_masks(seed, hidden_sign, output_sign))
    assert result.status == "not yet"
    assert words in result.hint


@pytest.mark.parametrize("seed", range(8))
def test_random_degrees_are_right(seed):
    assert grade("made_masks", random_masks(seed, ">=", ">")).status == "passed"


def test_a_random_mask_that_loses_one_pair_says_that_it_is_starved():
    def masks(D, hidden, order):
        right = random_masks(0, ">=", ">")(D, hidden, order)
        last = right[-1].clone()
        last[1 if order is None else order[1]] = False  # the pixel that is second in the order sees nothing
        return [*right[:-1], last]

    hint = grade("made_masks", masks).hint
    assert "causal, but starved" in hint


def test_a_vectorized_nade_that_includes_the_pixel_itself_is_recognized():
    def log_prob(x, W, V, b, c):
        added = x.to(W)[:, :, None] * W.T
        logits = (torch.sigmoid(c + added.cumsum(1)) * V).sum(-1) + b  # cumsum includes x_i
        return torch.where(x == 1, logsigmoid(logits), logsigmoid(-logits)).sum(1)

    assert "p_i sees x_i itself" in grade("nade_log_prob", log_prob).hint
