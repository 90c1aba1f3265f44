"""Output heads: exact probabilities, draws that are never impossible, filters that keep what they say they keep."""

import math

import pytest
import torch

from garm_course.distributions import Bernoulli, Categorical, check_filters, draw, filter_logits, output_head

P = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


def logits(*shape, seed=0, dtype=torch.float64):
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def entropy(log_p):
    return -(log_p.exp() * log_p.clamp(min=-1e30)).sum(-1)


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_the_probabilities_of_all_levels_sum_to_one_and_log_prob_picks_them(levels):
    head = output_head(levels)
    params = logits(5, 7) if levels == 2 else logits(5, 7, levels)
    table = head.log_probs(params)
    torch.testing.assert_close(table.exp().sum(-1), torch.ones(5, 7, dtype=torch.float64), atol=1e-14, rtol=0)
    for level in range(levels):
        x = torch.full((5, 7), level)
        torch.testing.assert_close(head.log_prob(params, x), table[..., level], atol=1e-13, rtol=0)
    torch.testing.assert_close(head.logits(params).log_softmax(-1), table, atol=1e-13, rtol=0)
    assert (head.levels, head.n_params) == (levels, 1 if levels == 2 else levels)


def test_bernoulli_is_exact_where_the_sigmoid_rounds():
    params, x = torch.tensor([800.0, 800.0, -800.0, -800.0]), torch.tensor([1, 0, 1, 0])
    assert Bernoulli().log_prob(params, x).tolist() == [0, -800, -800, 0]
    assert Bernoulli().log_probs(torch.tensor([800.0])).tolist() == [[-800, 0]]
    params = torch.tensor([800.0, -800.0], requires_grad=True)
    Bernoulli().log_prob(params, torch.tensor([0, 1])).sum().backward()
    assert params.grad.tolist() == [-1, 1]  # sigmoid then log has gradient 0 or NaN here


def test_bernoulli_keeps_the_last_digits_of_a_probability_close_to_one():
    # x·l - softplus(l) is a difference of two large numbers: in float32 it gives 0 here
    log_p = Bernoulli().log_prob(torch.tensor(18.0), torch.tensor(1)).item()
    assert log_p == pytest.approx(-math.exp(-18), rel=1e-5)


@pytest.mark.parametrize("levels", [2, 5])
def test_draws_have_the_probabilities_of_the_head(levels):
    head = output_head(levels)
    params = logits(1, seed=3)[0] if levels == 2 else logits(levels, seed=3)
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000  # every quantile once: no randomness left
    x = head.sample(params.expand(len(u), *params.shape), u)
    frequencies = torch.bincount(x, minlength=levels) / len(u)
    torch.testing.assert_close(frequencies.double(), head.log_probs(params).exp(), atol=1e-5, rtol=0)


def test_draw_inverts_the_cumulative_distribution():
    u = torch.tensor([0.0, 0.1999, 0.2001, 0.6999, 0.7001, 0.9999], dtype=torch.float64)
    assert draw(P.log().expand(6, 3), u).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-24, 1 - 2**-30, 1 - 2**-53])
def test_no_level_of_probability_zero_is_ever_drawn(dtype, u):
    for impossible in ([0], [2], [0, 1], [0, 3], [1, 2, 3], [0, 1, 2], [3]):
        p = torch.tensor([0.1, 0.7, 0.15, 0.05], dtype=dtype)
        p[impossible] = 0
        x = draw((p / p.sum()).log(), torch.tensor(u, dtype=torch.float64)).item()
        assert p[x] > 0, f"drew level {x}, of probability zero"
    # many tiny levels: their rounded sum may stay below 1, and u beyond it
    many = torch.cat([torch.full((255,), 1 / 255, dtype=dtype).log(), torch.tensor([-math.inf], dtype=dtype)])
    assert draw(many, torch.tensor(u, dtype=torch.float64)).item() < 255
    certain = torch.tensor([800.0, -800.0], dtype=dtype)
    assert Bernoulli().sample(certain, torch.full((2,), u, dtype=torch.float64)).tolist() == [1, 0]


def test_a_low_temperature_sharpens_and_a_high_one_flattens():
    params = logits(50, 6)
    temperatures = [1e-30, 0.1, 0.5, 1.0, 2.0, 10.0, 1e6]
    h = torch.stack([entropy(filter_logits(params, temperature=t).log_softmax(-1)) for t in temperatures])
    assert (h.diff(dim=0) > 0).all()
    torch.testing.assert_close(h[3], entropy(params.log_softmax(-1)))  # T = 1 changes nothing
    torch.testing.assert_close(h[0], torch.zeros(50, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(h[-1], torch.full((50,), math.log(6), dtype=torch.float64))


def test_temperature_is_a_power_of_the_probability():
    expected = P**4 / (P**4).sum()
    torch.testing.assert_close(filter_logits(P.log(), temperature=0.25).softmax(-1), expected)


def test_a_temperature_near_zero_gives_the_most_probable_level_and_no_nan():
    params = torch.tensor([300.0, 500.0, -800.0])  # 500 / 1e-37 is infinite in float32
    assert filter_logits(params, temperature=1e-37).softmax(-1).tolist() == [0, 1, 0]


@pytest.mark.parametrize("k", [1, 2, 3, 6, 7, 100])
def test_top_k_keeps_exactly_k_levels_in_their_ratios(k):
    params = logits(40, 7)
    p = filter_logits(params, top_k=k).softmax(-1)
    kept = p > 0
    assert (kept.sum(-1) == min(k, 7)).all()
    for row, keep, out in zip(params, kept, p, strict=True):
        assert row[keep].min() >= (row[~keep].max() if (~keep).any() else -math.inf)
        torch.testing.assert_close(out[keep], row[keep].softmax(-1))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_among_ties_top_k_still_keeps_k(k):
    p = filter_logits(torch.zeros(9, 5), top_k=k).softmax(-1)
    assert ((p > 0).sum(-1) == k).all()


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, [1]), (0.7, [1, 2]), (0.81, [0, 1, 2]), (1.0, [0, 1, 2])])
def test_top_p_on_a_known_distribution(top_p, kept):
    assert filter_logits(P.log(), top_p=top_p).isfinite().nonzero().flatten().tolist() == kept


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.6, 0.95, 0.9999, 1.0])
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p):
    params = logits(200, 9, seed=1)
    p, kept = params.softmax(-1), filter_logits(params, top_p=top_p).isfinite()
    mass = (p * kept).sum(-1)
    assert (mass >= top_p - 1e-12).all()
    least = p.masked_fill(~kept, 2).amin(-1)  # without its least probable member the set falls short
    if top_p < 1:
        assert (mass - least < top_p + 1e-12).all()
    assert (least >= p.masked_fill(kept, 0).amax(-1)).all()


def test_filters_apply_in_the_order_temperature_top_k_top_p():
    # at T = 1/2 the masses are .04, .25, .09 / .38; of the two best the first alone has 25/34 = .735
    assert filter_logits(P.log(), temperature=0.5, top_k=2, top_p=0.73).isfinite().tolist() == [False, True, False]
    assert filter_logits(P.log(), temperature=0.5, top_k=2, top_p=0.74).isfinite().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature > 0"),
        ({"temperature": -1.0}, "temperature > 0"),
        ({"temperature": math.nan}, "temperature > 0"),
        ({"temperature": math.inf}, "temperature > 0"),
        ({"top_k": 0}, "top_k >= 1"),
        ({"top_k": 2.5}, "top_k >= 1"),
        ({"top_k": 2.0}, "top_k >= 1"),
        ({"top_p": 0.0}, "top_p in"),
        ({"top_p": 1.1}, "top_p in"),
        ({"top_p": math.nan}, "top_p in"),
    ],
)
def test_filters_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        check_filters(**{"temperature": 1.0, "top_k": None, "top_p": None, **options})
    with pytest.raises(ValueError, match=message):
        filter_logits(P.log(), **options)


@pytest.mark.parametrize("levels", [1, 0, -3, 2.0, "2"])
def test_a_pixel_needs_two_levels(levels):
    with pytest.raises(ValueError, match="at least 2"):
        output_head(levels)


def test_two_levels_take_one_number_each_and_more_a_softmax():
    assert isinstance(output_head(2), Bernoulli)
    assert isinstance(output_head(3), Categorical)
