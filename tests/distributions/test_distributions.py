"""Output heads: exact probabilities, draws that are never impossible, filters that keep what they say they keep."""

import math

import pytest
import torch

from garm_course.distributions.filters import check_filters, draw, filter_logits
from garm_course.distributions.heads import (
    Bernoulli,
    Categorical,
    Gaussian,
    Poisson,
    bernoulli_nll,
    kl_categorical,
    output_head,
    poisson_nll,
)

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
        ({"temperature": -1.0}, "temperature >= 0"),
        ({"temperature": math.nan}, "temperature >= 0"),
        ({"temperature": math.inf}, "temperature >= 0"),
        ({"min_p": -0.1}, "min_p in"),
        ({"min_p": 1.1}, "min_p in"),
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


QUANTILES = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000  # every quantile once: no randomness left


def test_gaussian_is_the_normal_density_of_torch_and_integrates_to_one():
    params, x = logits(5, 7, 2), logits(5, 7, seed=1)
    mean, std = params[..., 0], (params[..., 1] / 2).exp()
    torch.testing.assert_close(Gaussian().log_prob(params, x), torch.distributions.Normal(mean, std).log_prob(x))
    t = torch.linspace(-60, 60, 200_001, dtype=torch.float64)
    density = Gaussian().log_prob(torch.tensor([1.3, math.log(4.7)], dtype=torch.float64).expand(len(t), 2), t).exp()
    assert torch.trapezoid(density, t).item() == pytest.approx(1, abs=1e-10)


def test_draws_of_a_gaussian_have_its_mean_and_variance_and_shape():
    params = torch.tensor([-1.7, math.log(2.3)], dtype=torch.float64).expand(len(QUANTILES), 2)
    x = Gaussian().sample(params, QUANTILES)
    assert x.mean().item() == pytest.approx(-1.7, abs=1e-9)
    assert x.var().item() == pytest.approx(2.3, rel=1e-3)
    torch.testing.assert_close(x[[50_000, 84_134]], torch.tensor([-1.7, -1.7 + 2.3**0.5]).double(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("u", [0.0, 1.0, 1 - 2**-30])
def test_draws_of_a_gaussian_are_finite_at_the_ends_of_u(dtype, u):
    x = Gaussian().sample(torch.zeros(1, 2, dtype=dtype), torch.tensor([u], dtype=torch.float64))
    assert x.dtype == dtype
    assert 4 < x.abs().item() < 9


def test_poisson_is_that_of_torch_and_sums_to_one():
    params, k = logits(5, 7) / 2, torch.arange(35).view(5, 7)
    expected = torch.distributions.Poisson(params.exp()).log_prob(k.double())  # of integers torch takes float32
    torch.testing.assert_close(Poisson().log_prob(params, k), expected)
    k = torch.arange(200)
    log_p = Poisson().log_prob(torch.full((200,), math.log(7.3), dtype=torch.float64), k)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert Poisson().log_prob(torch.zeros(2), torch.tensor([1.0, 3.0])).dtype == torch.float32


@pytest.mark.parametrize("rate", [1e-3, 0.7, 7.3, 400.0])
def test_draws_of_a_poisson_have_its_probabilities(rate):
    k = Poisson().sample(torch.full_like(QUANTILES, rate).log(), QUANTILES)
    assert k.dtype == torch.long
    assert k.double().mean().item() == pytest.approx(rate, rel=0.03)
    assert k.double().var().item() == pytest.approx(rate, rel=0.03)
    values, counts = k.unique(return_counts=True)
    log_p = Poisson().log_prob(torch.full((len(values),), math.log(rate), dtype=torch.float64), values)
    torch.testing.assert_close(counts.double() / len(k), log_p.exp(), atol=1.1e-5, rtol=0)


@pytest.mark.parametrize("u", [0.0, 1.0, 1 - 2**-30])
def test_draws_of_a_poisson_end_at_the_ends_of_u(u):
    k = Poisson().sample(torch.tensor([-800.0, 0.0, 5.0]), torch.full((3,), u))
    assert k[0] == 0
    assert (k >= 0).all()
    assert (k < 400).all()


def test_kl_categorical_is_that_of_torch_infinite_where_q_excludes_and_zero_at_home():
    p, q = logits(6, 5).softmax(-1), logits(6, 5, seed=1).softmax(-1)
    p[0, 1] = 0
    p = p / p.sum(-1, keepdim=True)
    expected = torch.distributions.kl_divergence(torch.distributions.Categorical(p), torch.distributions.Categorical(q))
    torch.testing.assert_close(kl_categorical(p, q), expected)
    assert (kl_categorical(p, q) > 0).all()
    torch.testing.assert_close(kl_categorical(p, p), torch.zeros(6, dtype=torch.float64), atol=1e-15, rtol=0)
    assert kl_categorical(q, p)[0] == math.inf


def test_the_sums_over_dimensions_are_those_of_the_heads():
    x = (logits(3, 2, 4, seed=1) > 0).long()
    params = logits(3, 2, 4)
    torch.testing.assert_close(bernoulli_nll(params, x), -Bernoulli().log_prob(params, x).sum((1, 2)))
    torch.testing.assert_close(bernoulli_nll(params, x.double()), bernoulli_nll(params, x))
    k = torch.arange(24).view(3, 2, 4)
    torch.testing.assert_close(poisson_nll(params.exp(), k), -Poisson().log_prob(params, k).sum((1, 2)))
    torch.testing.assert_close(poisson_nll(params.exp(), k.double()), poisson_nll(params.exp(), k))


def test_a_rate_of_zero_allows_zero_only():
    assert poisson_nll(torch.tensor([[0.0], [0.0]]), torch.tensor([[0], [2]])).tolist() == [0, math.inf]


NAN, COUNTS = torch.tensor([[1.0, math.nan]]), torch.tensor([[1, 2]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Gaussian().log_prob(torch.zeros(2, 3), torch.zeros(2)), "mean and log-variance on the last axis"),
        (lambda: Gaussian().log_prob(torch.zeros(2, 2), torch.zeros(3)), r"for each of \(3,\), got \(2, 2\)"),
        (lambda: Gaussian().log_prob(torch.zeros(2, 2), torch.arange(2)), "dequantize"),
        (lambda: Gaussian().log_prob(NAN, torch.zeros(1)), "finite means and log-variances, got nan"),
        (lambda: Gaussian().log_prob(torch.zeros(1, 2, 2), NAN), "finite real numbers, got nan"),
        (lambda: Gaussian().sample(NAN, torch.zeros(1)), "finite means and log-variances"),
        (lambda: Poisson().log_prob(NAN, COUNTS), "finite log-rates, got nan"),
        (lambda: Poisson().sample(NAN, torch.zeros(1, 2)), "finite log-rates, got nan"),
        (lambda: Poisson().log_prob(torch.zeros(2), torch.tensor([1, -2])), "counts 0, 1, 2, ..., got -2"),
        (lambda: Poisson().log_prob(torch.zeros(2), torch.tensor([1.5, 2])), "counts 0, 1, 2, ..., got 1.5"),
        (lambda: Poisson().log_prob(torch.zeros(2), torch.tensor([1, math.inf])), "got inf"),
        (lambda: Poisson().log_prob(torch.zeros(1), torch.tensor([1, 2])), "one rate for each count"),
        (lambda: poisson_nll(torch.tensor([[-0.5, 1]]), COUNTS), "rates of at least 0, got -0.5"),
        (lambda: poisson_nll(NAN, COUNTS), "finite rates, got nan"),
        (lambda: poisson_nll(torch.ones(1, 2), torch.tensor([[1, -1]])), "got -1"),
        (lambda: poisson_nll(torch.ones(2), torch.tensor([1, 1])), r"\(B, ...\)"),
        (lambda: poisson_nll(torch.ones(2, 1), COUNTS), "one rate for each count"),
        (lambda: bernoulli_nll(torch.ones(1, 2), COUNTS), "pixels 0 and 1, got 2"),
        (lambda: bernoulli_nll(NAN, torch.zeros(1, 2)), "finite logits, got nan"),
        (lambda: bernoulli_nll(torch.ones(2, 2), torch.zeros(1, 2)), "one shape"),
        (lambda: bernoulli_nll(torch.ones(2), torch.zeros(2)), "one shape"),
        (lambda: kl_categorical(torch.ones(2, 2) / 2, torch.ones(2, 2)), "rows of q"),
        (lambda: kl_categorical(torch.tensor([[1.5, -0.5]]), torch.ones(1, 2) / 2), "rows of p"),
        (lambda: kl_categorical(torch.tensor([[math.nan, 1]]), torch.ones(1, 2) / 2), "rows of p"),
        (lambda: kl_categorical(torch.ones(2) / 2, torch.ones(2) / 2), r"\(B, K\)"),
    ],
)
def test_what_is_no_distribution_or_no_data_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("min_p", [0.05, 0.3, 0.9, 1.0])
def test_min_p_keeps_the_levels_with_that_share_of_the_largest(min_p):
    params = logits(200, 9, seed=4)
    p, kept = params.softmax(-1), filter_logits(params, min_p=min_p).isfinite()
    assert torch.equal(kept, p >= min_p * p.amax(-1, keepdim=True))
    assert torch.equal(filter_logits(params, min_p=0.0).softmax(-1), filter_logits(params).softmax(-1))


def test_temperature_zero_is_the_limit_the_first_of_the_most_probable():
    params = torch.tensor([[1.0, 3.0, 3.0, 2.0], [-5.0, -9.0, -7.0, -8.0]])
    assert filter_logits(params, temperature=0).softmax(-1).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    warm = filter_logits(logits(50, 6), temperature=1e-4).softmax(-1)
    torch.testing.assert_close(filter_logits(logits(50, 6), temperature=0).softmax(-1), warm)


@pytest.mark.parametrize("bad", [[-math.inf] * 3, [0.0, math.nan, 1.0]])
def test_a_distribution_with_nothing_left_to_draw_is_refused(bad):
    with pytest.raises(ValueError, match="at least one level with a finite logit"):
        filter_logits(torch.tensor([[0.0, 1.0, 2.0], bad]), top_k=2)
