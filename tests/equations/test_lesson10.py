"""The numbered equations of lesson 10, latent variables and the VAE, checked numerically."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import MultivariateNormal, Normal, Poisson, kl_divergence

from garm_course.distributions.heads import Gaussian
from garm_course.latent.bounds import kl_diag_gaussian, kl_poisson, reparameterize
from garm_course.latent.ppca import PPCA, ppca_log_marginal


def randn(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def world():
    """A PPCA of 6 dimensions and 3 latents, points, and a q for each of them that is not the posterior."""
    ppca = PPCA(randn(6, 3), randn(6, seed=1), 0.4)
    x = 2 * randn(8, 6, seed=2)
    root = randn(8, 3, 3, seed=3)
    q = MultivariateNormal(randn(8, 3, seed=4), root @ root.mT + 0.1 * torch.eye(3, dtype=torch.float64))
    return ppca, x, q, MultivariateNormal(torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))


def reconstruction(ppca, x, q):
    """E_q log p(x | z) in closed form, for a q with correlations."""
    spread = torch.einsum("dz,bzy,dy->b", ppca.W, q.covariance_matrix, ppca.W)
    return ppca.log_likelihood(x, q.mean) - 0.5 * spread / ppca.sigma2


@pytest.mark.equation("10.1")
def test_the_marginal_of_ppca_is_the_integral_over_its_latents(world):
    ppca, x, _, _ = world
    one = PPCA(ppca.W[:, :1], ppca.b, 0.4)
    grid = torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    prior = Normal(torch.zeros((), dtype=torch.float64), 1.0).log_prob(grid)
    for row in x[:3]:
        values = (one.log_likelihood(row, grid[:, None]) + prior).exp()
        integral = torch.trapezoid(values, grid).log()
        assert ppca_log_marginal(one.W, one.b, one.sigma2, row[None]).item() == pytest.approx(integral.item(), abs=1e-8)
    z = randn(400_000, 3, seed=5)  # and by its moments: x = W z + b + noise
    drawn = z @ ppca.W.T + ppca.b + math.sqrt(0.4) * randn(400_000, 6, seed=6)
    covariance = ppca.W @ ppca.W.T + 0.4 * torch.eye(6, dtype=torch.float64)
    assert torch.allclose(torch.cov(drawn.T), covariance, atol=0.08)


@pytest.mark.equation("10.2")
def test_the_likelihood_is_the_elbo_plus_the_divergence_from_the_posterior(world):
    ppca, x, q, prior = world
    mean, cov = ppca.posterior(x)
    gap = kl_divergence(q, MultivariateNormal(mean, cov))
    elbo = reconstruction(ppca, x, q) - kl_divergence(q, prior)
    assert torch.allclose(elbo + gap, ppca.log_prob(x), atol=1e-10)
    assert (gap > 0).all()


@pytest.mark.equation("10.3")
def test_the_elbo_is_reconstruction_less_the_cost_of_the_code(world):
    ppca, x, q, prior = world
    torch.manual_seed(0)
    z = q.sample((100_000,))  # (draws, 8, 3)
    log_ratio = ppca.log_likelihood(x, z) + prior.log_prob(z) - q.log_prob(z)  # the definition
    elbo = reconstruction(ppca, x, q) - kl_divergence(q, prior)
    assert ((log_ratio.mean(0) - elbo).abs() < 4 * log_ratio.std(0) / math.sqrt(100_000)).all()


@pytest.mark.equation("10.4")
def test_the_divergence_of_gaussians_in_closed_form():
    mu, logvar = randn(7, 4), randn(7, 4, seed=1)
    by_torch = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(1)
    assert torch.allclose(0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1), by_torch)
    assert torch.allclose(kl_diag_gaussian(mu, logvar), by_torch)


@pytest.mark.equation("10.5")
def test_the_slopes_of_a_reparameterized_draw():
    mu, logvar, eps = randn(5), randn(5, seed=1), randn(5, seed=2)
    step = 1e-6
    by_mu = (reparameterize(mu + step, logvar, eps) - reparameterize(mu - step, logvar, eps)) / (2 * step)
    by_logvar = (reparameterize(mu, logvar + step, eps) - reparameterize(mu, logvar - step, eps)) / (2 * step)
    assert torch.allclose(by_mu, torch.ones(5, dtype=torch.float64))
    assert torch.allclose(by_logvar, 0.5 * (logvar / 2).exp() * eps, atol=1e-8)
    z = reparameterize(mu[:, None], logvar[:, None], randn(5, 200_000, seed=3))
    assert torch.allclose(z.mean(1), mu, atol=0.02)
    assert torch.allclose(z.var(1), logvar.exp(), rtol=0.02)


@pytest.mark.equation("10.6")
@pytest.mark.parametrize(("mu", "ratio"), [(0.0, 3.75), (0.5, 4.64), (1.0, 7.5), (2.0, 21.75)])
def test_the_score_has_more_variance_than_the_path(mu, ratio):
    assert (mu**4 + 14 * mu**2 + 15) / 4 == pytest.approx(ratio, abs=0.01)
    # moments by Gauss-Hermite quadrature: exact for these polynomials
    import numpy as np

    at, weights = np.polynomial.hermite_e.hermegauss(12)
    expect = lambda values: (weights * values).sum() / math.sqrt(2 * math.pi)  # noqa: E731
    path, score = 2 * (mu + at), (mu + at) ** 2 * at
    assert expect(path) == pytest.approx(expect(score), abs=1e-12)
    assert expect(path) == pytest.approx(2 * mu, abs=1e-12)
    variances = [expect(values**2) - expect(values) ** 2 for values in (score, path)]
    assert variances[0] / variances[1] == pytest.approx((mu**4 + 14 * mu**2 + 15) / 4)


@pytest.mark.equation("10.7")
@pytest.mark.parametrize(("reduction", "variance"), [("sum", 0.5), ("mean", 32.0)])
def test_a_squared_error_is_a_gaussian_of_one_variance(reduction, variance):
    x, guess = randn(64), randn(64, seed=1)
    params = torch.stack([guess, torch.full_like(guess, math.log(variance))], -1)
    nats = -Gaussian().log_prob(params, x).sum()
    error = F.mse_loss(guess, x, reduction=reduction)
    assert nats.item() == pytest.approx((error + 32 * math.log(2 * math.pi * variance)).item())


@pytest.mark.equation("10.8")
def test_a_mean_of_squares_hides_a_weight():
    """The gradient of "mse + KL" is that of the beta-weighted ELBO, but for the factor 2 sigma² / D."""
    x, variance = randn(64), 0.03
    guess, mu, logvar = randn(64, seed=1).requires_grad_(), randn(1, 5, seed=2).requires_grad_(), randn(1, 5, seed=3)
    logvar.requires_grad_()
    tutorial = F.mse_loss(guess, x) + kl_diag_gaussian(mu, logvar).sum()
    beta = 64 / (2 * variance)
    weighted = ((x - guess) ** 2).sum() / (2 * variance) + beta * kl_diag_gaussian(mu, logvar).sum()
    for one, other in zip(
        *(torch.autograd.grad(loss, (guess, mu, logvar)) for loss in (tutorial, weighted)), strict=True
    ):
        assert torch.allclose(one * 64 / (2 * variance), other)


@pytest.mark.equation("10.9")
def test_the_cost_of_the_codes_is_information_and_mismatch():
    table = torch.rand(6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    table, prior = table / table.sum(1, keepdim=True), torch.softmax(randn(9), 0)
    marginal = table.mean(0)
    cost = (table * (table / prior).log()).sum(1).mean()
    joint = table / 6
    information = (joint * (joint / (marginal / 6)).log()).sum()  # of x and z, by its own definition
    mismatch = (marginal * (marginal / prior).log()).sum()
    assert cost.item() == pytest.approx((information + mismatch).item(), abs=1e-12)
    assert information > 0
    assert mismatch > 0


@pytest.mark.equation("10.10")
def test_the_divergence_of_poissons_is_a_sum_over_counts():
    counts = torch.arange(200, dtype=torch.float64)
    for a, b in ((2.3, 0.8), (0.4, 5.0), (1.0, 1.0)):
        p, q = (Poisson(torch.tensor(rate, dtype=torch.float64)) for rate in (a, b))
        by_sum = (p.log_prob(counts).exp() * (p.log_prob(counts) - q.log_prob(counts))).sum()
        closed = kl_poisson(torch.tensor([[a]], dtype=torch.float64), b)
        assert closed.item() == pytest.approx(by_sum.item(), abs=1e-10)
        assert closed.item() == pytest.approx(a * math.log(a / b) - a + b)
