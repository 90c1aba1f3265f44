"""The numbered equations of lesson 18, evaluation, checked numerically."""

import itertools
import math

import pytest
import torch

from garm_course import load
from garm_course.evaluation.samples import (
    c2st,
    density_coverage,
    fid_from_stats,
    frechet_distance,
    inception_score,
    kernel_distance,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def covariance(d, seed):
    a = normal(d, d + 2, seed=seed)
    return a @ a.T


@pytest.mark.equation("18.1")
def test_the_frechet_distance_has_a_matrix_root_whose_trace_is_a_sum_over_eigenvalues():
    m, m2, S, T = normal(4), normal(4, seed=1), covariance(4, 2), covariance(4, 3)
    values, vectors = torch.linalg.eig(S @ T)
    root = (vectors * values.sqrt()) @ torch.linalg.inv(vectors)
    assert torch.allclose((root @ root).real, S @ T)
    by_hand = (m - m2).square().sum() + (S + T).trace() - 2 * root.trace().real
    assert fid_from_stats(m, S, m2, T) == pytest.approx(by_hand.item(), rel=1e-9)
    s, t = normal(4, seed=4).abs(), normal(4, seed=5).abs()
    diagonal = ((m - m2) ** 2 + (s - t) ** 2).sum()
    assert fid_from_stats(m, torch.diag(s**2), m2, torch.diag(t**2)) == pytest.approx(diagonal.item(), rel=1e-9)


@pytest.mark.equation("18.2")
def test_the_bias_of_the_frechet_distance_halves_when_n_doubles():
    means = []
    for n in (100, 200, 400, 800):
        draws = normal(60, 2, n, 8, seed=n)
        means.append(sum(frechet_distance(a, b) for a, b in draws) / 60)
    for one, two in itertools.pairwise(means):
        assert one / two == pytest.approx(2, rel=0.12)


@pytest.mark.equation("18.3")
def test_the_kernel_distance_is_the_sum_of_its_three_means_and_unbiased():
    x, y = normal(5, 3), normal(5, 3, seed=1)

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    within = [sum(k(z[i], z[j]) for i in range(5) for j in range(5) if i != j) / 20 for z in (x, y)]
    between = sum(k(a, b) for a in x for b in y) / 25
    assert kernel_distance(x, y) == pytest.approx((sum(within) - 2 * between).item(), rel=1e-9)
    values = torch.tensor([kernel_distance(a, b) for a, b in normal(400, 2, 12, 3, seed=2)])
    assert abs(values.mean()) < 4 * values.std() / 20
    assert 0.4 < (values < 0).double().mean() < 0.75


@pytest.mark.equation("18.4")
@pytest.mark.parametrize("f", [1, 4])
def test_coverage_and_density_of_equal_distributions_do_not_depend_on_the_dimension(f):
    n, k = 40, 3
    found = [density_coverage(a, b, k) for a, b in normal(150, 2, n, f, seed=f)]
    expected = 1 - math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    for values, want in (([x.coverage for x in found], expected), ([x.density for x in found], n / n)):
        values = torch.tensor(values, dtype=torch.float64)
        # the density of n others against the k nearest of n - 1 is a little off 1: by 1 / n at most
        assert abs(values.mean() - want) < 4 * values.std() / math.sqrt(150) + (1 / n if want == 1 else 0)
    assert expected == pytest.approx(1 - 2**-k, abs=0.02)


@pytest.mark.equation("18.5")
def test_the_inception_score_is_the_exponential_of_a_mutual_information():
    p = normal(30, 6).softmax(1)
    information = (p * (p / p.mean(0)).log()).sum(1).mean()
    assert inception_score(p) == pytest.approx(information.exp().item(), rel=1e-9)
    assert 1 <= inception_score(p) <= 6
    assert inception_score(torch.eye(6)) == pytest.approx(6)


@pytest.mark.equation("18.6")
def test_ninety_nine_percent_noise_cost_at_most_ln_100():
    glyphs = load("glyphs", "validation", n=200)
    log_p = glyphs.log_prob(glyphs.x)
    for log_q in (torch.full_like(log_p, -784 * math.log(2)), log_p - 3, log_p + 3):
        mixed = torch.logaddexp(math.log(0.01) + log_p, math.log(0.99) + log_q)
        assert (mixed >= log_p - math.log(100) - 1e-9).all()
    assert math.log(100) == pytest.approx(4.61, abs=0.005)


@pytest.mark.equation("18.7")
def test_the_mode_of_a_gaussian_lies_half_its_dimension_above_a_typical_draw():
    x = normal(2000, 1000)
    gaussian = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    gap = gaussian.log_prob(torch.zeros(1000)).sum() - gaussian.log_prob(x).sum(1)
    assert abs(gap.mean() - 500) < 4 * gap.std() / math.sqrt(2000)


@pytest.mark.equation("18.8")
def test_an_accuracy_of_997_per_mille_bounds_the_likelihood_below_the_entropy_of_glyphs():
    e = 0.003
    coin = -(e * math.log2(e) + (1 - e) * math.log2(1 - e))
    assert 784 * coin * math.log(2) == pytest.approx(16.0, abs=0.05)
    assert 784 * coin * math.log(2) < load("glyphs", "validation", n=2).entropy().nats


@pytest.mark.equation("18.9")
def test_the_accuracy_of_a_two_sample_test_stays_in_its_interval_for_equal_distributions():
    rng, n = torch.Generator().manual_seed(0), 100
    inside = [abs(c2st(a, b, rng=rng).accuracy - 0.5) <= 1.96 / (2 * math.sqrt(n)) for a, b in normal(60, 2, n, 2)]
    assert sum(inside) / 60 > 0.85


@pytest.mark.equation("18.10")
def test_both_directions_of_the_divergence_are_a_cost_minus_an_entropy():
    p, q = normal(7).softmax(0), normal(7, seed=1).softmax(0)
    for a, b in ((p, q), (q, p)):
        entropy = -(a * a.log()).sum()
        assert (a * (a / b).log()).sum() == pytest.approx((-(a * b.log()).sum() - entropy).item(), rel=1e-9)
