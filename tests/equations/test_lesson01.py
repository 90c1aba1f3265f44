"""The numbered equations of lesson 01, likelihood and its units, checked numerically."""

import math

import pytest
import torch
import torch.nn.functional as F

from garm_course.datasets import load
from garm_course.distributions.heads import Gaussian, Poisson, bernoulli_nll, kl_categorical, poisson_nll
from garm_course.evaluation.likelihood import bits_per_dim
from garm_course.transforms import dequantize

RNG = torch.Generator().manual_seed(0)


def random_distributions(n, k, seed):
    logits = 2 * torch.randn(n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return logits.softmax(-1)


@pytest.mark.equation("1.1")
def test_kl_is_positive_and_zero_only_for_equal_distributions():
    p, q = random_distributions(500, 7, 0), random_distributions(500, 7, 1)
    by_hand = (p * (p / q).log()).sum(-1)
    assert torch.allclose(kl_categorical(p, q), by_hand, atol=1e-12)
    assert (by_hand > 1e-6).all()
    assert kl_categorical(p, p).abs().max() < 1e-12
    for distance in (1e-2, 1e-4):  # near p it grows, whatever the direction
        assert (kl_categorical(p, (1 - distance) * p + distance * q) > 0).all()


@pytest.mark.equation("1.1")
def test_a_category_of_probability_zero_counts_nothing():
    p = torch.tensor([[0.0, 0.4, 0.6]], dtype=torch.float64)
    q = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    assert kl_categorical(p, q).item() == pytest.approx(0.4 * math.log(0.8) + 0.6 * math.log(2))


@pytest.mark.equation("1.2")
def test_cross_entropy_is_entropy_plus_kl():
    p, q = random_distributions(500, 7, 2), random_distributions(500, 7, 3)
    cross_entropy, entropy = -(p * q.log()).sum(-1), -(p * p.log()).sum(-1)
    assert torch.allclose(cross_entropy, entropy + kl_categorical(p, q), atol=1e-12)


@pytest.mark.equation("1.2")
def test_the_gradients_of_nll_and_kl_are_the_same():
    p = random_distributions(20, 5, 4)
    logits = torch.randn(20, 5, dtype=torch.float64, generator=RNG, requires_grad=True)
    [of_nll] = torch.autograd.grad(-(p * logits.log_softmax(-1)).sum(), logits)
    [of_kl] = torch.autograd.grad(kl_categorical(p, logits.softmax(-1)).sum(), logits)
    assert torch.allclose(of_nll, of_kl, atol=1e-12)


@pytest.mark.equation("1.3")
@pytest.mark.parametrize(("k", "n"), [(3, 10), (1, 7), (899, 1000)])
def test_the_best_coin_has_the_frequency(k, n):
    x = (torch.arange(n) < k).long()[:, None]

    def nll(logit):
        return bernoulli_nll(logit.expand(n, 1), x).sum()

    logit = torch.tensor(math.log(k / (n - k)), dtype=torch.float64, requires_grad=True)
    [gradient] = torch.autograd.grad(nll(logit), logit)
    assert abs(gradient.item()) < 1e-12 * n
    elsewhere = torch.tensor(0.37, dtype=torch.float64, requires_grad=True)
    [gradient] = torch.autograd.grad(nll(elsewhere), elsewhere)
    assert gradient.item() == pytest.approx(n * torch.sigmoid(elsewhere).item() - k)
    assert nll(elsewhere).item() == pytest.approx((n * F.softplus(elsewhere) - k * elsewhere).item())
    assert nll(logit) < min(nll(logit + 0.1), nll(logit - 0.1))


@pytest.mark.equation("1.4")
@pytest.mark.parametrize(
    ("nats", "dims", "bits"),
    [(784 * math.log(256), 784, 8.0), (3072 * math.log(256), 3072, 8.0), (79.20, 784, 0.1457), (4 * math.log(2), 4, 1)],
)
def test_bits_per_dimension(nats, dims, bits):
    assert bits_per_dim(nats, dims) == pytest.approx(bits, abs=5e-5)
    assert 2 ** (-bits_per_dim(nats, dims) * dims) == pytest.approx(math.exp(-nats), rel=1e-9)  # the same probability


def dequantized_gap(mean, std):
    """ln P(k) and E_u ln p(k + u) of the levels k of a Gaussian, both in closed form, and P(k)."""
    k = torch.arange(math.floor(mean - 7 * std), math.ceil(mean + 7 * std))
    normal = torch.distributions.Normal(torch.tensor(mean, dtype=torch.float64), std)
    mass = normal.cdf(k + 1) - normal.cdf(k)
    average = -0.5 * (math.log(2 * math.pi * std**2) + ((k + 0.5 - mean) ** 2 + 1 / 12) / std**2)
    return mass.log(), average, mass


@pytest.mark.equation("1.5")
@pytest.mark.parametrize(("mean", "std", "gap"), [(7.3, 2.0, 0.0105), (0.3, math.sqrt(3), 0.0141), (7.3, 6.0, 0.0012)])
def test_noise_gives_a_lower_bound_for_a_gaussian(mean, std, gap):
    log_mass, average, mass = dequantized_gap(mean, std)
    assert (log_mass >= average).all()
    measured = (mass * (log_mass - average)).sum().item()
    assert measured == pytest.approx(gap, abs=5e-5)
    assert measured == pytest.approx(1 / (24 * std**2), rel=0.05)


@pytest.mark.equation("1.5")
def test_the_closed_form_of_the_average_is_that_of_noise():
    u = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    params = torch.tensor([7.3, math.log(4.0)], dtype=torch.float64).expand(10_000, 2)
    k = torch.arange(math.floor(7.3 - 14), math.ceil(7.3 + 14))
    _, average, _ = dequantized_gap(7.3, 2.0)
    for level in (3, 7, 11):
        by_noise = Gaussian().log_prob(params, level + u).mean().item()
        assert by_noise == pytest.approx(average[k == level].item(), abs=1e-6)


@pytest.mark.equation("1.5")
def test_the_bound_is_tight_for_a_density_that_is_constant_on_every_bin():
    p = random_distributions(1, 17, 5)[0]
    k = torch.arange(17).repeat_interleave(100)
    y = dequantize(k, torch.rand(1700, dtype=torch.float64, generator=RNG), 17)
    log_density = (p[(17 * y).floor().long()] * 17).log()  # of y in [0, 1)
    assert torch.allclose(log_density - math.log(17), p.log()[k], atol=1e-12)


@pytest.mark.equation("1.6")
@pytest.mark.parametrize(("a", "b"), [(6.2, 4.5), (0.3, 2.0), (12.0, 12.0)])
def test_kl_of_two_poissons(a, b):
    k = torch.arange(200)
    log_p, log_q = (Poisson().log_prob(torch.full((200,), r, dtype=torch.float64).log(), k) for r in (a, b))
    by_sum = (log_p.exp() * (log_p - log_q)).sum().item()
    assert by_sum == pytest.approx(a * math.log(a / b) - a + b, abs=1e-10)


@pytest.mark.equation("1.6")
def test_the_best_rate_is_the_mean():
    k = load("digits", "train").x.flatten(1)[:, 20:24]
    rate = k.double().mean(0).requires_grad_()
    poisson_nll(rate.expand(len(k), 4), k).sum().backward()
    assert rate.grad.abs().max() < 1e-9


@pytest.mark.equation("1.7")
@pytest.mark.parametrize("mu", [0.0, 1.0, 3.0])
def test_the_best_gaussian_for_two_peaks_matches_their_moments(mu):
    t = torch.linspace(-mu - 12, mu + 12, 40_001, dtype=torch.float64)
    peaks = [Gaussian().log_prob(torch.tensor([m, 0.0]).double().expand(len(t), 2), t) for m in (-mu, mu)]
    log_p = torch.logaddexp(*peaks) - math.log(2)

    def kl(w):
        return torch.trapezoid(log_p.exp() * (log_p - Gaussian().log_prob(w.expand(len(t), 2), t)), t)

    best = torch.tensor([0.0, math.log(1 + mu**2)], dtype=torch.float64, requires_grad=True)
    [gradient] = torch.autograd.grad(kl(best), best)
    assert gradient.abs().max() < 1e-8
    for step in ((0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1), (1.0, -0.5)):
        assert kl(best + torch.tensor(step)) > kl(best)


def h_b(p):
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)) / math.log(2)


@pytest.mark.equation("1.8")
def test_error_and_entropy_of_calibrated_models_bound_each_other():
    for seed in range(300):  # a calibrated model is a distribution of predictions
        g = torch.Generator().manual_seed(seed)
        p = torch.sigmoid(
            4 * torch.randn(1, generator=g) + 5 * torch.rand(1, generator=g) * torch.randn(9, generator=g)
        )
        p, weight = p.double(), torch.rand(9, generator=g, dtype=torch.float64)
        weight = weight / weight.sum()
        h, e = weight @ h_b(p), weight @ torch.minimum(p, 1 - p)
        assert 2 * e <= h + 1e-12
        assert h <= h_b(e) + 1e-12


@pytest.mark.equation("1.8")
def test_both_bounds_are_reached():
    certain_or_coin = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    assert torch.allclose(h_b(certain_or_coin), 2 * torch.minimum(certain_or_coin, 1 - certain_or_coin))
    always_alike = torch.tensor([0.2, 0.8, 0.2], dtype=torch.float64)
    assert h_b(always_alike).mean().item() == pytest.approx(h_b(torch.tensor(0.2, dtype=torch.float64)).item())


@pytest.mark.equation("1.8")
def test_the_accuracy_of_a_calibrated_model_of_79_nats():
    h = bits_per_dim(79.20, 784)
    e = torch.linspace(0, 0.5, 500_001, dtype=torch.float64)
    assert 1 - h / 2 == pytest.approx(0.927, abs=5e-4)
    assert 1 - e[h_b(e) >= h][0].item() == pytest.approx(0.979, abs=5e-4)
    assert h_b(torch.tensor(0.003, dtype=torch.float64)).item() < h  # 0.997 is out of reach
    assert h_b(torch.tensor(0.003, dtype=torch.float64)).item() * 784 * math.log(2) == pytest.approx(16.0, abs=0.05)


@pytest.mark.equation("1.9")
@pytest.mark.parametrize("share", [0.01, 0.3])
def test_a_model_that_mostly_draws_noise_loses_little_likelihood(share):
    q, noise = random_distributions(2, 1000, 6)
    spoiled = share * q + (1 - share) * noise
    assert spoiled.sum().item() == pytest.approx(1)
    loss = q.log() - spoiled.log()
    assert (loss <= math.log(1 / share) + 1e-12).all()
    assert 0.1 < (q * loss).sum() < math.log(1 / share)  # where the data are what q draws
    nowhere = torch.where(
        torch.arange(1000) < 500, 0.0, noise
    )  # noise that misses the first half costs all of it there
    only = share * q + (1 - share) * nowhere / nowhere.sum()
    assert torch.allclose((q.log() - only.log())[:500], torch.full((500,), math.log(1 / share)).double())
