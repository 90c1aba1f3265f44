"""The numbered equations of lesson 05, PixelCNN++ and compression, checked numerically."""

import math

import pytest
import torch
import torch.nn.functional as F

from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.autoregressive.sampling.compression import compress, decompress
from garm_course.distributions.logistic_mixture import (
    DiscretizedLogisticMixture,
    bin_log_masses,
    channel_means,
    conditional_params,
    logistic_levels,
    raw_size,
)
from garm_course.evaluation.audits import all_examples

X = torch.arange(256)
POINT = 2 * X.double() / 255 - 1


def spread(value):
    return torch.full((256,), value, dtype=torch.float64)


def edges(mean, log_scale, half=1 / 255):
    return ((POINT - half - mean) * math.exp(-log_scale), (POINT + half - mean) * math.exp(-log_scale))


@pytest.mark.equation("5.1")
@pytest.mark.parametrize(("mean", "log_scale"), [(0.0, -1.0), (0.6, -3.0), (-1.02, -2.0)])
def test_a_level_has_the_mass_of_its_bin(mean, log_scale):
    a, b = edges(mean, log_scale)
    masses = torch.sigmoid(b) - torch.sigmoid(a)
    masses[0], masses[-1] = torch.sigmoid(b[0]), 1 - torch.sigmoid(a[-1])
    found = bin_log_masses(X, spread(mean), spread(log_scale), 256).exp()
    torch.testing.assert_close(found, masses, rtol=1e-8, atol=1e-14)


@pytest.mark.equation("5.2")
@pytest.mark.parametrize(("mean", "log_scale"), [(0.0, 0.0), (-1.02, -6.0), (1.7, -2.0), (0.3, -4.5)])
def test_the_masses_telescope_to_one(mean, log_scale):
    assert bin_log_masses(X, spread(mean), spread(log_scale), 256).exp().sum().item() == pytest.approx(1, abs=1e-10)


@pytest.mark.equation("5.2")
def test_a_mixture_sums_to_one_and_wrong_bins_do_not():
    head = DiscretizedLogisticMixture(256, 5)
    params = 2 * torch.randn(20, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(head.log_probs(params).exp().sum(-1), torch.ones(20).double(), rtol=0, atol=1e-10)
    totals = {}
    for half in (1 / 255, 1 / 256, 2 / 255):
        a, b = edges(-0.4, math.log(0.5), half)
        upper, lower = torch.sigmoid(b), torch.sigmoid(a)
        totals[half, "closed"] = (upper - lower).sum().item()
        upper[-1], lower[0] = 1, 0
        totals[half, "open"] = (upper - lower).sum().item()
    assert totals[1 / 255, "open"] == pytest.approx(1, abs=1e-12)
    assert totals[1 / 256, "open"] < 0.999
    assert totals[2 / 255, "open"] > 1.5
    assert totals[1 / 255, "closed"] < 0.9


@pytest.mark.equation("5.3")
def test_the_difference_of_two_sigmoids_is_a_product():
    a = torch.linspace(-12, 12, 97, dtype=torch.float64)
    for width in (1e-3, 0.5, 4.0):
        b = a + width
        product = torch.sigmoid(b) * torch.sigmoid(-a) * -torch.expm1(a - b)
        torch.testing.assert_close(torch.sigmoid(b) - torch.sigmoid(a), product, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(F.logsigmoid(a), -F.softplus(-a), rtol=0, atol=1e-12)


@pytest.mark.equation("5.4")
def test_narrow_bins_hold_density_times_width_in_the_limit():
    errors = []
    for ratio in (1.0, 0.1, 0.01):  # bin to scale
        s = 2 / 255 / ratio
        z = (POINT[140] - 0.1) / s
        density = torch.sigmoid(z) * torch.sigmoid(-z) / s
        log_s = torch.tensor(math.log(s), dtype=torch.float64)
        mass = bin_log_masses(X[140], torch.tensor(0.1, dtype=torch.float64), log_s, 256).exp()
        errors.append((density * 2 / 255 / mass - 1).abs().item())
    assert errors[0] > 1e-3
    assert errors[1] < errors[0] / 20
    assert errors[2] < errors[1] / 20


@pytest.mark.equation("5.5")
def test_means_follow_the_colors_before_them():
    mean, coef, x = torch.randn(3, 7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = channel_means(mean, coef, x)
    alpha, beta, gamma = coef.unbind(-1)
    torch.testing.assert_close(found[:, 0], mean[:, 0])
    torch.testing.assert_close(found[:, 1], mean[:, 1] + alpha * x[:, 0])
    torch.testing.assert_close(found[:, 2], mean[:, 2] + beta * x[:, 0] + gamma * x[:, 1])
    jacobian = torch.autograd.functional.jacobian(lambda x: channel_means(mean[0], coef[0], x), x[0])
    assert (jacobian.triu() == 0).all()
    assert (jacobian.tril(-1)[1:, :2].tril() != 0).sum() == 3


@pytest.mark.equation("5.6")
def test_a_shared_component_is_a_mixture_for_each_color():
    head = DiscretizedLogisticMixture(4, 3)
    raw = torch.randn(raw_size(3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    colors = torch.cartesian_prod(*[torch.arange(4)] * 3)
    log_p = head.log_prob(conditional_params(raw.expand(64, -1), colors, head), colors).sum(1)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    log_pi, mean, log_scale, coef = raw.split([3, 9, 9, 9])
    mean, log_scale, coef = mean.reshape(3, 3), log_scale.reshape(3, 3), torch.tanh(coef).reshape(3, 3)
    for row, (r, g, b) in enumerate(colors.tolist()):
        v = 2 * colors[row].double() / 3 - 1
        total = 0
        for j in range(3):
            alpha, beta, gamma = coef[:, j]
            means = mean[0, j], mean[1, j] + alpha * v[0], mean[2, j] + beta * v[0] + gamma * v[1]
            p = log_pi.softmax(0)[j]
            for c, level in enumerate((r, g, b)):
                p = p * bin_log_masses(torch.tensor(level), means[c], log_scale[c, j].clamp(min=-4.4), 4).exp()
            total = total + p
        assert total.item() == pytest.approx(log_p[row].exp().item(), rel=1e-9)


@pytest.mark.equation("5.7")
def test_rounded_hidden_numbers_have_the_law_of_the_bins():
    levels, n = 17, 40_000
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n  # a regular grid: no noise of sampling
    for mean, log_scale in ((0.2, -1.5), (-0.9, -1.0), (1.4, -2.0)):
        drawn = logistic_levels(torch.full_like(u, mean), torch.full_like(u, log_scale), u, levels)
        shares = torch.bincount(drawn, minlength=levels) / n
        k = torch.arange(levels)
        expected = bin_log_masses(k, torch.full((levels,), mean), torch.full((levels,), log_scale), levels).exp()
        torch.testing.assert_close(shares, expected, rtol=0, atol=1.5 / n)


@pytest.mark.equation("5.8")
def test_a_message_is_at_most_two_bits_longer_than_the_information():
    torch.manual_seed(0)
    model = GatedPixelCNN((1, 2, 4), 2, channels=4, layers=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    x = all_examples((1, 2, 4), 2)
    stream = compress(model, x)
    assert torch.equal(decompress(model, stream.data), x)
    with torch.no_grad():
        ideal = -model.log_prob(x) / math.log(2)
    excess = torch.tensor(stream.bits) - ideal
    assert (excess < 2).all()
    assert (excess > -1e-3).all()
    assert (2.0 ** -torch.tensor(stream.bits)).sum() <= 1  # Kraft: messages of all images, none the start of another
