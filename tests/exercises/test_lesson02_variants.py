"""The same mistake, written in another way or with other random numbers, gets the same hint (lesson 02)."""

import itertools

import pytest
import torch
from torch.nn.functional import binary_cross_entropy, logsigmoid

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


def row_by_row(logits_fn, n, D, gen):
    x = torch.zeros(n, D, dtype=torch.long)
    for row in x:
        for i in range(D):
            row[i] = torch.bernoulli(torch.sigmoid(logits_fn(row)[i]), generator=gen).long()
    return x


def tensor_that_grows(logits_fn, n, D, gen):
    x = torch.empty(n, 0, dtype=torch.long)
    for i in range(D):
        p = torch.sigmoid(logits_fn(x)[:, i : i + 1])
        x = torch.cat([x, torch.bernoulli(p, generator=gen).long()], 1)
    return x


def columns_up_to_this_one(logits_fn, n, D, gen):
    x = torch.zeros(n, D, dtype=torch.long)
    for i in range(D):
        x[:, i] = torch.bernoulli(torch.sigmoid(logits_fn(x[:, : i + 1])[:, i]), generator=gen).long()
    return x


def bernoulli_of_all_logits(logits_fn, n, D, gen):
    x = torch.zeros(n, D, dtype=torch.long)
    for i in range(D):
        x[:, i] = torch.bernoulli(logits_fn(x), generator=gen)[:, i].long()
    return x


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (row_by_row, "one row at a time"),
        (tensor_that_grows, "always pass the whole tensor (n, D)"),
        (columns_up_to_this_one, "always pass the whole tensor (n, D)"),
        (bernoulli_of_all_logits, "these are logits"),
    ],
)
def test_what_logits_fn_is_given_and_what_is_done_with_it(answer, words):
    result = grade("sample_ar", answer)
    assert result.status == "not yet"
    assert words in result.hint


def test_the_detail_below_the_hint_on_odds_is_about_frequencies():
    def odds(logits_fn, n, D, gen):
        x = torch.zeros(n, D, dtype=torch.long)
        for i in range(D):
            x[:, i] = (torch.rand(n, generator=gen) < logits_fn(x)[:, i].exp()).long()
        return x

    result = grade("sample_ar", odds)
    assert "odds" in result.hint
    assert "frequencies" in result.detail


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


def test_random_degrees_counted_from_0_beside_places_from_1_are_recognized():
    def masks(D, hidden, order, low=0, high=-1, place_from=1):
        g = torch.Generator().manual_seed(3)
        place = (torch.arange(D) if order is None else torch.tensor(order).argsort()) + place_from
        degrees = [place] + [torch.randint(low, D + high, (n,), generator=g) for n in hidden]
        found = [(b[:, None] >= a).float() for a, b in itertools.pairwise(degrees)]
        return [*found, (place[:, None] > degrees[-1]).float()]

    assert "Hidden degrees count from 0 here" in grade("made_masks", masks).hint
    places = lambda D, hidden, order: masks(D, hidden, order, low=1, high=0, place_from=0)  # noqa: E731
    assert "Inputs count from 0 here" in grade("made_masks", places).hint
    both = lambda D, hidden, order: masks(D, hidden, order, place_from=0)  # noqa: E731
    assert grade("made_masks", both).status == "passed"


def nade_of(log_of_p, start=None):
    """The recurrence of a NADE with log p_i from `log_of_p(p, x)`."""

    def log_prob(x, W, V, b, c):
        x = x.to(W)
        a, total = c.expand(len(x), -1), torch.zeros(len(x)) if start == "float32" else 0
        for i in range(x.shape[1]):
            p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])
            total += log_of_p(p, x[:, i])
            a = a + x[:, i, None] * W[:, i]
        return total

    return log_prob


UNSTABLE = {
    "where": lambda p, x: torch.where(x == 1, p, 1 - p).log(),
    "two logarithms": lambda p, x: x * p.log() + (1 - x) * (1 - p).log(),
    "epsilon": lambda p, x: x * (p + 1e-8).log() + (1 - x) * (1 - p + 1e-8).log(),
    "smaller epsilon": lambda p, x: torch.log(torch.where(x == 1, p, 1 - p) + 1e-12),
    "clamp": lambda p, x: torch.where(x == 1, p, 1 - p).clamp(1e-9).log(),
    "cross-entropy of p": lambda p, x: -binary_cross_entropy(p, x, reduction="none"),
    "Bernoulli of p": lambda p, x: torch.distributions.Bernoulli(p).log_prob(x),
}


@pytest.mark.parametrize("log_of_p", UNSTABLE.values(), ids=UNSTABLE)
def test_a_logarithm_that_fails_for_large_logits_is_refused(log_of_p):
    result = grade("nade_log_prob", nade_of(log_of_p))
    assert result.status == "not yet"
    assert "Use F.logsigmoid(logit)" in result.hint


def test_an_unstable_logarithm_does_not_hide_another_mistake():
    late = nade_of(lambda p, x: torch.where(x == 1, p, 1 - p).log())
    assert "negative log-likelihood" in grade("nade_log_prob", lambda *args: -late(*args)).hint


def test_a_sum_that_starts_in_float32_is_told_how_to_start():
    hint = grade("nade_log_prob", nade_of(UNSTABLE["where"], start="float32")).hint
    assert "W.new_zeros(len(x))" in hint


def test_a_vectorized_nade_that_includes_the_pixel_itself_is_recognized():
    def log_prob(x, W, V, b, c):
        added = x.to(W)[:, :, None] * W.T
        logits = (torch.sigmoid(c + added.cumsum(1)) * V).sum(-1) + b  # cumsum includes x_i
        return torch.where(x == 1, logsigmoid(logits), logsigmoid(-logits)).sum(1)

    assert "p_i sees x_i itself" in grade("nade_log_prob", log_prob).hint
