"""The numbered equations of lesson 12, VQ-VAE, checked numerically."""

import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.datasets import load
from garm_course.evaluation.audits import all_examples
from garm_course.latent.quantizer import codebook_perplexity, ema_update, nearest_code, quantize, vq_loss
from garm_course.latent.two_stage import TwoStage
from garm_course.latent.vqvae import ConvVQVAE


def randn(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.equation("12.1")
def test_the_expanded_square_is_the_distance_and_names_the_nearest_code():
    z, codebook = randn(300, 5), randn(40, 5, seed=1) + 0.7
    expanded = (z**2).sum(1, keepdim=True) - 2 * z @ codebook.T + (codebook**2).sum(1)
    by_loop = torch.stack([((z - e) ** 2).sum(1) for e in codebook], 1)
    assert torch.allclose(expanded, by_loop, atol=1e-9)
    assert torch.equal(nearest_code(z, codebook), by_loop.argmin(1))
    assert not torch.equal((-2 * z @ codebook.T).argmin(1), by_loop.argmin(1))  # |e|² is needed, |z|² is not


@pytest.mark.equation("12.2")
def test_straight_through_has_the_value_of_the_code_and_the_derivative_of_the_identity():
    z, codebook = randn(2, 3, 2, 4).requires_grad_(), randn(6, 3, seed=1).requires_grad_()
    z_q, index = quantize(z, codebook)
    assert torch.allclose(z_q, codebook[index].movedim(-1, 1), atol=1e-12)
    jacobian = torch.autograd.functional.jacobian(lambda z: quantize(z, codebook)[0].flatten(), z)
    assert torch.allclose(jacobian.flatten(1), torch.eye(z.numel(), dtype=torch.float64))
    (to_codes,) = torch.autograd.grad(z_q.sum(), codebook, allow_unused=True)
    assert to_codes is None
    step = 1e-6 * randn(2, 3, 2, 4, seed=2)  # the true derivative is 0: the code stays
    assert torch.equal(quantize(z.detach() + step, codebook)[1], index)


@pytest.mark.equation("12.2")
def test_straight_through_ends_on_the_border_at_a_mean_loss_above_the_best():
    line, z, losses = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64), randn(1, 1, 1, 1) * 0 + 0.2, []
    for _ in range(2000):
        z = z.detach().requires_grad_()
        loss = (quantize(z, line)[0] - 0.3).square().sum()
        (slope,) = torch.autograd.grad(loss, z)
        losses.append(loss.item())
        z = z - 0.01 * slope
    assert z.item() == pytest.approx(0.5, abs=0.02)
    assert np.mean(losses[-1000:]) == pytest.approx(0.7 * 0.09 + 0.3 * 0.49, abs=0.002)


@pytest.mark.equation("12.3")
def test_the_two_terms_pull_codes_and_encoder_with_their_own_weights():
    z, e, beta = randn(7).requires_grad_(), randn(7, seed=1).requires_grad_(), 0.3
    loss = 7 * vq_loss(z, e, beta)  # means: times the number of elements it is the sum of the formula
    assert loss.item() == pytest.approx((1 + beta) * ((z - e) ** 2).sum().item())
    to_z, to_e = torch.autograd.grad(loss, (z, e))
    assert torch.allclose(to_e, 2 * (e - z))
    assert torch.allclose(to_z, 2 * beta * (z - e))


@pytest.mark.equation("12.4")
def test_decay_zero_is_a_step_of_k_means():
    z = randn(500, 3)
    start = z[:6].clone()
    index = nearest_code(z, start)
    counts, sums, e = ema_update(torch.zeros(6).double(), torch.zeros(6, 3).double(), index, z, 0.0)
    lloyd = KMeans(6, init=start.numpy(), n_init=1, max_iter=1).fit(z.numpy())
    assert np.allclose(e.numpy(), lloyd.cluster_centers_, atol=1e-9)
    assert counts.sum() == len(z)
    assert torch.allclose(sums.sum(0), z.sum(0))


@pytest.mark.equation("12.4")
def test_the_code_is_the_mean_of_its_vectors_weighted_by_age():
    decay, N, m = 0.8, torch.zeros(3).double(), torch.zeros(3, 2).double()
    batches = [
        (randn(9, 2, seed=s), torch.randint(3, (9,), generator=torch.Generator().manual_seed(s))) for s in (0, 1, 2)
    ]
    for z, index in batches:
        N, m, e = ema_update(N, m, index, z, decay)
    for k in range(3):
        weights = torch.cat([decay ** (2 - age) * (index == k).double() for age, (_, index) in enumerate(batches)])
        vectors = torch.cat([z for z, _ in batches])
        assert torch.allclose(e[k], weights @ vectors / weights.sum(), atol=1e-12)


@pytest.mark.equation("12.5")
def test_perplexity_counts_equally_frequent_codes_and_never_leaves_its_range():
    assert codebook_perplexity(torch.arange(8).repeat(3), 8).item() == pytest.approx(8, rel=1e-6)
    assert codebook_perplexity(torch.full((9,), 4), 8).item() == pytest.approx(1, rel=1e-6)
    for s in range(20):
        generator = torch.Generator().manual_seed(s)
        p = torch.rand(8, generator=generator) ** 4
        index = torch.multinomial(p, 200, True, generator=generator)
        frequency = torch.bincount(index, minlength=8).double() / 200
        value = codebook_perplexity(index, 8).item()
        assert value == pytest.approx(torch.distributions.Categorical(frequency).entropy().exp().item(), rel=1e-5)
        assert 1 <= value <= 8


@pytest.mark.equation("12.6")
def test_with_a_uniform_prior_the_rate_is_the_same_for_every_image():
    torch.manual_seed(0)
    model = ConvVQVAE((1, 8, 12), 2, n_codes=16, halvings=2)
    x = torch.randint(2, (5, 1, 8, 12))
    kl = model.elbo(x).kl.double()
    q = torch.zeros(16**2).double()  # two of the six places, written out: q is one-hot, p uniform
    q[37] = 1
    p = torch.full_like(q, 16.0**-2)
    two_places = torch.xlogy(q, q / p).sum()
    assert torch.allclose(kl, 3 * two_places.expand(5), rtol=1e-6)
    assert kl[0].item() / math.log(2) == pytest.approx(2 * 3 * math.log2(16), rel=1e-6)


@pytest.fixture(scope="module")
def tiny():
    """(bound, log p, log p(c(x) | x)) of 30 images, with all 256 maps of codes enumerated; random weights."""
    torch.manual_seed(0)
    model = ConvVQVAE((1, 4, 4), 2, n_codes=4, dim=4, channels=8, halvings=1).double()
    prior = GatedPixelCNN((1, 2, 2), 4, channels=8, layers=1, first_kernel=3).double()
    with torch.no_grad():
        for parameter in (*model.parameters(), *prior.parameters()):
            parameter *= 3
    x, maps = load("bars_and_stripes").x, all_examples((1, 2, 2), 4)
    pair = TwoStage(model.eval(), prior.eval())
    with torch.no_grad():
        log_prior, params = prior.log_prob(maps), model.decode(maps[:, 0])
        each = [model.head.log_prob(params, one.expand(256, 1, 4, 4)).flatten(1).sum(1) for one in x]
        joint = log_prior + torch.stack(each)
        bound, codes = pair.elbo(x).bound, model.encode(x)
    assert log_prior.logsumexp(0).item() == pytest.approx(0, abs=1e-6)
    log_p = joint.logsumexp(1)
    own = [(maps[:, 0] == c).all((1, 2)).nonzero().item() for c in codes]
    return bound, log_p, (joint - log_p[:, None])[torch.arange(30), own]


@pytest.mark.equation("12.7")
def test_rate_and_distortion_bound_the_exact_likelihood(tiny):
    bound, log_p, _ = tiny
    assert (bound <= log_p + 1e-9).all()
    assert (log_p - bound).max() > 0.1  # it is a bound and not the likelihood


@pytest.mark.equation("12.8")
def test_the_gap_is_what_the_posterior_leaves_to_other_maps(tiny):
    bound, log_p, log_posterior = tiny
    assert torch.allclose(log_p - bound, -log_posterior, atol=1e-6)
