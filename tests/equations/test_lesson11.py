"""The numbered equations of lesson 11, tighter bounds and posterior collapse, checked numerically."""

import math
from itertools import pairwise

import pytest
import torch

from garm_course.latent.bounds import (
    active_units,
    free_bits,
    iwae_bound,
    kl_diag_gaussian,
    leave_one_out,
    reparameterize,
)
from garm_course.latent.ppca import PPCA
from garm_course.latent.priors import GaussianPosterior, StandardNormal

W = torch.tensor([[2.0, 0.3], [-1.1, 1.4], [0.4, -0.8], [1.5, 0.9], [0.2, 1.2]], dtype=torch.float64)
B = torch.tensor([0.5, -1.0, 0.3, 0.0, 2.0], dtype=torch.float64)
MODEL = PPCA(W, B, 0.5)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(n, seed=1):
    return randn(n, 2, seed=seed) @ W.T + B + math.sqrt(0.5) * randn(n, 5, seed=seed + 1)


def log_weights(x, mu, logvar, eps):
    z = reparameterize(mu[:, None], logvar[:, None], eps)
    return (
        MODEL.log_likelihood(x[:, None], z) + StandardNormal(2).log_prob(z) - GaussianPosterior(mu, logvar).log_prob(z)
    )


def bad_encoder(x, shrink=0.6, shift=0.25, variance=0.15):
    mu = shrink * MODEL.posterior(x)[0] + shift
    return mu, torch.full_like(mu, math.log(variance))


@pytest.mark.equation("11.1")
def test_bounds_lie_in_order_between_the_elbo_and_the_likelihood():
    x = data(300)
    mu, logvar = bad_encoder(x)
    table = log_weights(x, mu, logvar, randn(300, 64, 2, seed=4))
    bounds = [iwae_bound(table.reshape(-1, k)).mean().item() for k in (1, 2, 4, 8, 16, 32, 64)]
    assert all(a < b for a, b in pairwise(bounds))
    elbo = (MODEL.expected_log_likelihood(x, mu, logvar) - kl_diag_gaussian(mu, logvar)).mean().item()
    assert bounds[0] == pytest.approx(elbo, abs=4 * table.mean(1).std().item() / 300**0.5)
    errors = iwae_bound(table) - MODEL.log_prob(x)
    assert errors.mean() < 0  # by more than chance allows the other way
    assert errors.mean() + 4 * errors.std() / 300**0.5 < 0.05


@pytest.mark.equation("11.1")
def test_the_mean_weight_is_an_unbiased_estimate_of_the_likelihood():
    x = data(1)
    mean, covariance = MODEL.posterior(x)
    wide = (covariance.diagonal() * 2).log()[None]  # wider than the posterior: the variance is finite
    w = (log_weights(x, mean + 0.1, wide, randn(1, 200_000, 2)) - MODEL.log_prob(x)).exp()
    assert w.mean().item() == pytest.approx(1, abs=4 * w.std().item() / 200_000**0.5)


@pytest.mark.equation("11.2")
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_leaving_one_out_never_helps_in_any_row(scale):
    log_w = scale * randn(500, 6) - 80
    by_hand = torch.stack([iwae_bound(torch.cat([log_w[:, :j], log_w[:, j + 1 :]], 1)) for j in range(6)]).mean(0)
    assert torch.allclose(leave_one_out(log_w), by_hand, atol=1e-12)
    assert (iwae_bound(log_w) > by_hand).all()
    without = torch.stack([log_w[:, [i for i in range(6) if i != j]].exp().mean(1) for j in range(6)])
    assert torch.allclose(without.mean(0).log(), iwae_bound(log_w), atol=1e-9)  # the mean of the means is the mean


@pytest.mark.equation("11.2")
def test_equal_weights_are_the_case_of_equality():
    log_w = torch.full((2, 5), -3.7, dtype=torch.float64)
    assert torch.allclose(leave_one_out(log_w), iwae_bound(log_w), atol=1e-12)


@pytest.mark.equation("11.3")
def test_with_the_true_posterior_every_weight_is_the_likelihood():
    x = data(50)
    mean, covariance = MODEL.posterior(x)
    posterior = torch.distributions.MultivariateNormal(mean[:, None], covariance)
    z = posterior.sample((7,)).movedim(0, 1).squeeze(2)
    log_w = MODEL.log_likelihood(x[:, None], z) + StandardNormal(2).log_prob(z) - posterior.log_prob(z)
    assert torch.allclose(log_w, MODEL.log_prob(x)[:, None].expand(50, 7), atol=1e-9)


@pytest.mark.equation("11.4")
def test_only_what_varies_is_active():
    noise = randn(400, 4)
    noise = (noise - noise.mean(0)) / noise.std(0)
    mu = noise * torch.tensor([0.0, 0.0995, 0.1005, 2.0]) + torch.tensor([3.0, 5.0, 0.0, -1.0])
    assert active_units(mu.double()) == 2  # variances 0, 0.0099, 0.0101, 4


VARIANCES = torch.tensor([9.0, 4.0, 2.0, 0.5], dtype=torch.float64)


def linear_terms(w, v, s, sigma2=0.5):
    """Distortion and rate of each direction of a linear VAE: decoder w, encoder N(v x, s), data of these variances."""
    error = VARIANCES * (1 - w * v) ** 2 + w**2 * s
    return error / (2 * sigma2), 0.5 * (VARIANCES * v**2 + s - 1 - s.log()), error


def minimum(beta, sigma2=0.5):
    w, v, log_s = (torch.full((4,), a, dtype=torch.float64, requires_grad=True) for a in (1.0, 0.2, -0.5))
    optimizer = torch.optim.LBFGS([w, v, log_s], max_iter=2000, tolerance_grad=1e-12, tolerance_change=0,
                                  line_search_fn="strong_wolfe")  # fmt: skip

    def loss():
        optimizer.zero_grad()
        distortion, rate, _ = linear_terms(w, v, log_s.exp(), sigma2)
        total = (distortion + beta * rate).sum()
        total.backward()
        return total

    optimizer.step(loss)
    return w.detach(), v.detach(), log_s.detach().exp()


@pytest.mark.equation("11.5")
def test_columns_of_the_best_linear_vae_and_their_kl():
    sigma2 = 0.8
    w, v, s = minimum(1.0, sigma2)
    assert torch.allclose(w**2, (VARIANCES - sigma2).clamp(min=0), atol=1e-5)
    rate = linear_terms(w, v, s, sigma2)[1]
    assert torch.allclose(rate, 0.5 * (VARIANCES / sigma2).clamp(min=1).log(), atol=1e-6)
    assert w[3].abs() < 1e-3  # 0.5 < 0.8: silent


@pytest.mark.equation("11.5")
def test_no_other_columns_have_a_higher_likelihood():
    g = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(randn(4, 4)).Q
    x = randn(2000, 4, seed=3)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / len(x))).T * VARIANCES.sqrt() @ rotation.T

    def score(lengths):
        return PPCA(rotation * lengths.sqrt(), torch.zeros(4, dtype=torch.float64), 0.8).log_prob(x).mean()

    best = (VARIANCES - 0.8).clamp(min=0)
    top = score(best)
    for _ in range(50):
        other = (best + 0.3 * torch.randn(4, generator=g, dtype=torch.float64)).clamp(min=0)
        assert score(other) <= top + 1e-12


@pytest.mark.equation("11.5")
def test_the_exact_posterior_of_orthogonal_columns_is_diagonal_so_the_elbo_is_the_likelihood():
    rotation = torch.linalg.qr(randn(4, 4)).Q
    model = PPCA(rotation * (VARIANCES - 0.5).clamp(min=0).sqrt(), torch.zeros(4, dtype=torch.float64), 0.5)
    x = randn(20, 4, seed=5)
    mean, covariance = model.posterior(x)
    assert torch.allclose(covariance, covariance.diagonal().diag(), atol=1e-12)
    logvar = covariance.diagonal().log().expand_as(mean)
    elbo = model.expected_log_likelihood(x, mean, logvar) - kl_diag_gaussian(mean, logvar)
    assert torch.allclose(elbo, model.log_prob(x), atol=1e-10)


@pytest.mark.equation("11.6")
def test_free_bits_value_and_gradient():
    kl = torch.tensor([[0.0, 2.0, 0.4], [0.2, 4.0, 0.9]], dtype=torch.float64, requires_grad=True)
    total = free_bits(kl, 0.5)
    assert total.item() == pytest.approx(0.5 + 3.0 + 0.65)
    total.backward()
    assert kl.grad.sum(0).tolist() == [0.0, 1.0, 1.0]


@pytest.mark.equation("11.7")
def test_information_lies_between_entropy_less_distortion_and_rate():
    p_x, q, p_z, p_xz = (
        (2 * randn(500, *shape, seed=i)).softmax(-1) for i, shape in enumerate([(6,), (6, 4), (4,), (4, 6)])
    )
    joint = p_x[:, :, None] * q
    q_z = joint.sum(1, keepdim=True)
    information = (joint * (q / q_z).log()).sum((1, 2))
    rate = (joint * (q / p_z[:, None]).log()).sum((1, 2))
    distortion = -(joint * p_xz.transpose(1, 2).log()).sum((1, 2))
    entropy = -(p_x * p_x.log()).sum(1)
    assert (entropy - distortion < information).all()
    assert (information < rate).all()
    # both are equalities for the prior q(z) and the decoder q(x | z)
    rate_best = (joint * (q / q_z).log()).sum((1, 2))
    distortion_best = -(joint * (joint / q_z).log()).sum((1, 2))
    assert torch.allclose(rate_best + distortion_best, entropy, atol=1e-12)


@pytest.mark.equation("11.8")
@pytest.mark.parametrize("beta", [0.7, 3.0, 10.0, 30.0])
def test_reverse_water_filling(beta):
    w, v, s = minimum(beta)
    _, rate, error = linear_terms(w, v, s)
    water = torch.tensor(beta * 0.5, dtype=torch.float64)
    assert torch.allclose(error, torch.minimum(VARIANCES, water), atol=1e-4)
    assert torch.allclose(rate, 0.5 * (VARIANCES / water).clamp(min=1).log(), atol=1e-4)


@pytest.mark.equation("11.8")
def test_the_slope_of_the_curve_is_minus_beta():
    def point(beta):
        water = beta * 0.5
        error = torch.minimum(VARIANCES, torch.tensor(water, dtype=torch.float64))
        return 0.5 * (VARIANCES / water).clamp(min=1).log().sum(), error.sum() / (2 * 0.5)

    for beta in (0.7, 1.9, 3.0, 10.0):
        (r0, d0), (r1, d1) = point(beta * (1 - 1e-6)), point(beta * (1 + 1e-6))
        assert ((d1 - d0) / (r1 - r0)).item() == pytest.approx(-beta, rel=1e-4)


@pytest.mark.equation("11.9")
def test_the_gap_is_half_the_variance_of_a_weight_over_k():
    posterior, q = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.5, 1.3)
    line = torch.linspace(-15, 15, 40_001, dtype=torch.float64)
    variance = torch.trapezoid((2 * posterior.log_prob(line) - q.log_prob(line)).exp(), line).item() - 1
    z = 0.5 + 1.3 * randn(40_000, 64)
    r = (posterior.log_prob(z) - q.log_prob(z)).exp().mean(1)
    gaps = r - 1 - r.log()
    assert gaps.mean().item() == pytest.approx(variance / 128, abs=4 * gaps.std().item() / 200 + 0.02 * variance / 128)
    assert gaps.min() >= 0
    assert r.mean().item() == pytest.approx(1, abs=4 * r.std().item() / 200)  # so E[r - 1 - log r] is the gap


@pytest.mark.equation("11.10")
def test_the_gradient_weighs_each_draw_by_its_share():
    x, eps = data(3), randn(3, 6, 2, seed=7)
    mu, logvar = (t.requires_grad_() for t in bad_encoder(x))
    [whole] = torch.autograd.grad(iwae_bound(log_weights(x, mu, logvar, eps)).sum(), mu)
    table = log_weights(x, mu, logvar, eps)
    shares = table.detach().softmax(1)
    assert torch.allclose(shares.sum(1), torch.ones(3, dtype=torch.float64))
    each = torch.stack([torch.autograd.grad(table[:, j].sum(), mu, retain_graph=True)[0] for j in range(6)], 1)
    assert torch.allclose(whole, (shares[..., None] * each).sum(1), atol=1e-10)


@pytest.mark.equation("11.11")
def test_signal_to_noise_rises_for_the_decoder_and_falls_for_the_encoder():
    x = data(1)
    mean, covariance = MODEL.posterior(x)
    logvar = (covariance.diagonal().log() + 0.3)[None]

    def snr(k, repeats=20_000):
        encoder = torch.full((repeats, 2), 0.15, dtype=torch.float64, requires_grad=True)
        decoder = torch.zeros(repeats, 5, dtype=torch.float64, requires_grad=True)
        eps = randn(repeats, k, 2, seed=k)
        bound = iwae_bound(log_weights(x - decoder, mean + encoder, logvar.expand(repeats, 2), eps))
        return [
            (g.mean(0).abs() / g.std(0)).mean().item() for g in torch.autograd.grad(bound.sum(), (encoder, decoder))
        ]

    few, many = snr(4), snr(64)
    assert math.log2(many[0] / few[0]) / 4 == pytest.approx(-0.5, abs=0.1)
    assert math.log2(many[1] / few[1]) / 4 == pytest.approx(0.5, abs=0.05)


@pytest.mark.equation("11.11")
def test_what_the_encoder_can_gain_vanishes_while_the_decoder_keeps_its_gradient():
    """The mean gradient of the encoder falls like 1/k, that of the decoder tends to the gradient of log p(x)."""
    x = data(1)
    mean, covariance = MODEL.posterior(x)
    logvar = (covariance.diagonal().log() + 0.3)[None]
    means = {}
    for k in (8, 32):
        encoder = torch.full((60_000, 2), 0.15, dtype=torch.float64, requires_grad=True)
        decoder = torch.zeros(60_000, 5, dtype=torch.float64, requires_grad=True)
        weights = log_weights(x - decoder, mean + encoder, logvar.expand(60_000, 2), randn(60_000, k, 2, seed=k))
        means[k] = [g.mean(0) for g in torch.autograd.grad(iwae_bound(weights).sum(), (encoder, decoder))]
    assert (means[8][0].norm() / means[32][0].norm()).item() == pytest.approx(4, rel=0.25)
    shift = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    [exact] = torch.autograd.grad(MODEL.log_prob(x - shift).sum(), shift)
    assert torch.allclose(means[32][1], exact[0], rtol=0.05, atol=0.05)
