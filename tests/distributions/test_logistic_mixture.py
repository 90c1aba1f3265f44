"""The discretized mixture of logistics: exact masses in float32, colors that follow each other, draws with its law."""

import math

import pytest
import torch

from garm_course.distributions.heads import output_head
from garm_course.distributions.logistic_mixture import (
    DiscretizedLogisticMixture,
    bin_log_masses,
    channel_means,
    conditional_params,
    least_log_scale,
    raw_size,
)


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 3e-6)])
@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_all_levels_sum_to_one(levels, dtype, tolerance):
    head = DiscretizedLogisticMixture(levels, 4)
    params = 3 * random(200, 12, dtype=dtype)
    torch.testing.assert_close(
        head.log_probs(params).exp().sum(-1), torch.ones(200, dtype=dtype), rtol=0, atol=tolerance
    )
    x = torch.randint(levels, (200,), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(head.log_prob(params, x), head.log_probs(params).gather(1, x[:, None])[:, 0])


@pytest.mark.parametrize("log_scale", [-9.0, -6.0, 0.0, 9.0])
@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.5, 1.0, 40.0])
def test_log_masses_and_gradients_are_finite_and_right_in_float32(mean, log_scale):
    x = torch.arange(256)
    found, gradients = {}, {}
    for dtype in (torch.float32, torch.float64):
        m, s = (torch.full((256,), v, dtype=dtype).requires_grad_() for v in (mean, log_scale))
        found[dtype] = bin_log_masses(x, m, s, 256)
        gradients[dtype] = torch.stack(torch.autograd.grad(found[dtype].sum(), (m, s)))
        assert found[dtype].isfinite().all()
        assert gradients[dtype].isfinite().all()
    torch.testing.assert_close(found[torch.float32].double(), found[torch.float64], rtol=2e-4, atol=2e-4)


def test_gradients_are_those_of_finite_differences():
    x = torch.tensor([0, 3, 8, 16])
    mean, log_scale = 0.5 * random(4, seed=1), random(4, seed=2) - 1
    assert torch.autograd.gradcheck(
        lambda m, s: bin_log_masses(x, m, s, 17), (mean.requires_grad_(), log_scale.requires_grad_())
    )


def test_each_color_depends_on_those_before_it_only():
    head = DiscretizedLogisticMixture(4, 2)
    raw = random(raw_size(3, 2)).expand(16, -1)
    x = torch.randint(4, (16, 3), generator=torch.Generator().manual_seed(0))
    params = conditional_params(raw, x, head)
    for color in range(3):
        other = x.clone()
        other[:, color:] = (other[:, color:] + 1) % 4
        assert torch.equal(conditional_params(raw, other, head)[:, color], params[:, color])
        if color:
            other = x.clone()
            other[:, color - 1] = (other[:, color - 1] + 1) % 4
            assert (conditional_params(raw, other, head)[:, color] != params[:, color]).any(1).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_conditionals_of_any_number_of_channels_multiply_to_a_distribution(channels):
    head = DiscretizedLogisticMixture(3, 2)
    x = torch.cartesian_prod(*[torch.arange(3)] * channels).reshape(-1, channels)
    raw = 2 * random(raw_size(channels, 2))
    log_p = head.log_prob(conditional_params(raw.expand(len(x), -1), x, head), x).sum(1)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_a_scale_has_a_floor_where_a_bin_holds_nearly_all():
    head = DiscretizedLogisticMixture(17, 1)
    raw = torch.tensor([0.0, 0.125, -50.0], dtype=torch.float64)  # the mean on level 9
    params = conditional_params(raw[None], torch.tensor([[9]]), head)
    assert params[0, 0, 2].item() == pytest.approx(least_log_scale(17))
    assert head.log_probs(params)[0, 0, 9].exp().item() == pytest.approx(1, abs=1e-11)
    assert math.exp(least_log_scale(17)) * math.exp(4) == pytest.approx(2 / 16)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_draws_have_the_law_of_the_mixture(levels):
    head = DiscretizedLogisticMixture(levels, 3)
    params = random(9, seed=3)
    u = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    shares = torch.bincount(head.sample(params.expand(20_000, -1), u), minlength=levels) / 20_000
    assert 0.5 * (shares - head.log_probs(params).exp()).abs().sum() < 0.01
    mean = (head.log_probs(params).exp() * torch.arange(levels)).sum()
    torch.testing.assert_close(head.mean(params), mean)


def test_means_keep_their_arguments_and_any_leading_axes():
    mean, coef, x = random(3, 2, 5, 3)
    kept = mean.clone(), coef.clone(), x.clone()
    assert channel_means(mean, coef, x).shape == (2, 5, 3)
    assert all(torch.equal(a, b) for a, b in zip(kept, (mean, coef, x), strict=True))


@pytest.mark.parametrize(("levels", "mixtures"), [(1, 5), (2.0, 5), (17, 0), (17, 2.5)])
def test_levels_and_components_out_of_range_are_refused(levels, mixtures):
    with pytest.raises(ValueError, match="levels >= 2 and mixtures >= 1"):
        DiscretizedLogisticMixture(levels, mixtures)


def test_output_head_knows_the_mixture():
    assert output_head(256, 10).n_params == 30


@pytest.mark.parametrize("log_scale", [5.0, 8.5, 9.0, 9.5, 12.0, 40.0, 105.8, 300.0])
def test_a_bell_much_wider_than_the_range_is_finite_with_its_gradient(log_scale):
    x = torch.arange(4)
    scale = torch.full((4,), log_scale, requires_grad=True)
    found = bin_log_masses(x, torch.full((4,), 7.8), scale, 4)
    found.sum().backward()
    # to first order in the width of a bin, the inner ones have a mass of width / (4 scale), the open ones a half
    expected = torch.tensor([math.log(0.5), *[math.log(2 / 3 / 4) - log_scale] * 2, math.log(0.5)])
    torch.testing.assert_close(found.detach(), expected, rtol=1e-3, atol=0.1)
    torch.testing.assert_close(scale.grad[1:3], torch.full((2,), -1.0), rtol=0, atol=0.05)
    assert scale.grad.isfinite().all()


def test_both_forms_of_the_width_agree_where_they_meet():
    log_scale = torch.linspace(7, 11, 400, dtype=torch.float64)  # the width in scales passes 1e-4 at 8.8
    found = bin_log_masses(torch.tensor(1), torch.tensor(0.0, dtype=torch.float64), log_scale, 4)
    a, b = -2 / 3 * torch.exp(-log_scale), torch.zeros(400, dtype=torch.float64)
    direct = torch.log(-torch.expm1(a - b)) + torch.nn.functional.logsigmoid(b) + torch.nn.functional.logsigmoid(-a)
    torch.testing.assert_close(found, direct, rtol=1e-9, atol=1e-9)
