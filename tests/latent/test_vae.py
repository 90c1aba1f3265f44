"""The VAE against what is known: PPCA in closed form, bounds in order, gradients, chunks, refusals that name causes."""

import math
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from garm_course import datasets
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.distributions.draws import normals, uniforms
from garm_course.distributions.heads import Bernoulli, Categorical, Gaussian, Poisson
from garm_course.evaluation.likelihood import evaluate, kl_to_model, lower_bounds, rate_distortion
from garm_course.latent import vae as vae_module
from garm_course.latent.bounds import (
    ELBO,
    active_units,
    free_bits,
    iwae_bound,
    kl_diag_gaussian,
    kl_poisson,
    leave_one_out,
    reparameterize,
)
from garm_course.latent.ppca import PPCA, ppca_log_marginal
from garm_course.latent.priors import (
    GaussianPosterior,
    PoissonPosterior,
    PoissonPrior,
    StandardNormal,
)
from garm_course.latent.vae import MLPVAE, VAE, NegativeELBO, NegativeIWAE
from garm_course.training.likelihood import fit
from garm_course.training.loop import NonFiniteLossError


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")
    torch.manual_seed(0)


class LinearDecoder(nn.Module):
    """x | z ~ N(W z + b, sigma2 I): the decoder of a PPCA, as a VAE sees it."""

    def __init__(self, ppca):
        super().__init__()
        self.W, self.b, self.logvar = (
            nn.Parameter(ppca.W.clone()),
            nn.Parameter(ppca.b.clone()),
            nn.Parameter(torch.tensor(ppca.sigma2, dtype=torch.float64).log()),
        )

    def forward(self, z):
        mean = z @ self.W.T + self.b
        return torch.stack([mean, self.logvar.expand_as(mean)], -1)[:, None, None]


class LinearEncoder(nn.Module):
    """q(z | x) = N(A (x - b) + shift, diag e^logvar)."""

    def __init__(self, A, b, logvar, shift=0.0):
        super().__init__()
        self.A, self.b, self.logvar, self.shift = nn.Parameter(A), b, nn.Parameter(logvar), shift

    def forward(self, x):
        mean = (x.flatten(1) - self.b) @ self.A.T + self.shift
        return torch.cat([mean, self.logvar.expand_as(mean)], 1)


@pytest.fixture(scope="module")
def world():
    """A PPCA with 5 dimensions and 2 latents, data from it, and a VAE whose encoder is wrong on purpose."""
    g = rng(1)
    W = torch.randn(5, 2, generator=g, dtype=torch.float64)
    ppca = PPCA(W, torch.randn(5, generator=g, dtype=torch.float64), 0.3)
    x = torch.randn(40, 2, generator=g, dtype=torch.float64) @ W.T + ppca.b
    x = x + math.sqrt(0.3) * torch.randn(40, 5, generator=g, dtype=torch.float64)
    precision = torch.eye(2, dtype=torch.float64) + W.T @ W / 0.3
    A = torch.linalg.solve(precision, W.T / 0.3)
    wrong = LinearEncoder(0.8 * A, ppca.b, torch.tensor([-1.5, -0.8], dtype=torch.float64), 0.15)
    return ppca, x, VAE(wrong, LinearDecoder(ppca), (1, 1, 5), StandardNormal(2), head=Gaussian()).double()


# --- closed forms ----------------------------------------------------------------------------------------------------


def test_kl_of_gaussians_is_torchs_and_monte_carlos():
    mu, logvar = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    exact = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(kl_diag_gaussian(mu, logvar), exact, atol=1e-12)
    posterior = GaussianPosterior(mu, logvar)
    z = posterior.sample(20_000, rng())
    ratio = posterior.log_prob(z) - StandardNormal(3).log_prob(z)
    assert ((ratio.mean(1) - exact).abs() < 4 * ratio.std(1) / math.sqrt(20_000)).all()
    assert torch.allclose(posterior.log_prob(z), q.log_prob(z.movedim(1, 0)).sum(-1).T, atol=1e-10)
    assert kl_diag_gaussian(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def test_kl_near_the_prior_keeps_its_digits_in_single_precision():
    mu, logvar = torch.zeros(1, 1), torch.full((1, 1), 1e-4)
    assert kl_diag_gaussian(mu, logvar).item() == pytest.approx(1e-8 / 4, rel=1e-3)


def test_kl_of_poissons_is_monte_carlos():
    rate = torch.tensor([[0.2, 3.0], [1.5, 0.0]], dtype=torch.float64)
    exact = kl_poisson(rate, 1.5)
    posterior = PoissonPosterior(rate.clamp(min=1e-300).log(), 1.5, 0.1)
    assert torch.allclose(posterior.kl().sum(1), exact, atol=1e-12)
    z = posterior.sample(20_000, rng())
    ratio = posterior.log_prob(z) - PoissonPrior(2, 1.5).log_prob(z)
    assert ((ratio.mean(1) - exact).abs() <= 4 * ratio.std(1) / math.sqrt(20_000)).all()
    for bad, prior in ((-rate, 1.0), (rate, 0.0), (rate[0], 1.0), (rate * math.inf, 1.0)):
        with pytest.raises(ValueError, match="expected"):
            kl_poisson(bad, prior)


def test_a_relaxed_count_has_the_mean_of_the_count_and_a_gradient():
    log_rate = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    z = PoissonPosterior(log_rate, 1.0, 0.02).sample(20_000, rng(), relaxed=True)[0]
    error = z.std(0) / math.sqrt(20_000)
    assert ((z.mean(0) - log_rate.exp()[0]).abs() < 4 * error + 0.02).all()
    assert ((z.var(0) - log_rate.exp()[0]).abs() < 0.1 * log_rate.exp()[0] + 0.02).all()
    (gradient,) = torch.autograd.grad(z.mean(0).sum(), log_rate)
    assert torch.allclose(gradient, log_rate.exp(), rtol=0.15)  # d rate / d log-rate
    counts = PoissonPosterior(log_rate.detach(), 1.0, 0.02).sample(1000, rng())
    assert torch.equal(counts, counts.round())
    assert counts.dtype == torch.float64


def test_relaxed_counts_are_not_cut_off():
    n, rate, high = 20_000, 50.0, 69
    posterior = PoissonPosterior(torch.full((1, 1), math.log(rate), dtype=torch.float64), 1.0, 0.01)
    share = (posterior.sample(n, rng(), relaxed=True) > high).double().mean().item()
    # at least 70 arrivals before time 1: the 70th comes after a time that is Gamma(70, rate)
    expected = torch.special.gammainc(torch.tensor(high + 1.0), torch.tensor(rate)).item()
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected / n) + 0.1 * expected)


def test_draws_depend_neither_on_the_batch_nor_on_the_dtype():
    like = torch.zeros(1, dtype=torch.float64)
    assert torch.equal(uniforms(7, 3, 5, rng=rng(), like=like)[:4], uniforms(4, 3, 5, rng=rng(), like=like))
    z = normals(4000, 5, rng=rng(), like=like)
    assert torch.allclose(normals(4000, 5, rng=rng(), like=like.float()), z.float())
    assert abs(z.mean()) < 4 / math.sqrt(z.numel())
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / z.numel())


def test_a_uniform_of_zero_is_a_finite_normal(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *size, **options: torch.zeros(*size, dtype=torch.float64))
    assert torch.isfinite(normals(3, 2, like=torch.zeros(1))).all()


def test_a_variance_is_refused_as_soon_as_it_overflows_and_no_sooner():
    edge = math.log(torch.finfo(torch.float32).max)
    fine, over = torch.full((1, 1), edge - 0.1), torch.full((1, 1), edge + 0.1)
    assert torch.isfinite(kl_diag_gaussian(torch.zeros(1, 1), fine)).all()
    with pytest.raises(FloatingPointError, match=r"ends at 88\.7"):
        kl_diag_gaussian(torch.zeros(1, 1), over)
    assert torch.isfinite(kl_diag_gaussian(torch.zeros(1, 1).double(), over.double())).all()


def test_reparameterized_draws_have_the_gradients_of_10_5():
    mu, logvar = torch.randn(4, 2, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    mu.requires_grad_(), logvar.requires_grad_()
    eps = torch.randn(4, 2, dtype=torch.float64)
    z = reparameterize(mu, logvar, eps)
    d_mu, d_logvar = torch.autograd.grad(z.sum(), (mu, logvar))
    assert torch.equal(d_mu, torch.ones_like(mu))
    assert torch.allclose(d_logvar, 0.5 * (0.5 * logvar).exp() * eps)


def test_ppca_marginal_is_that_of_the_multivariate_normal(world):
    ppca, x, _ = world
    covariance = ppca.W @ ppca.W.T + ppca.sigma2 * torch.eye(5, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(ppca.b, covariance).log_prob(x)
    assert torch.allclose(ppca.log_prob(x), exact, atol=1e-10)
    mean, cov = ppca.posterior(x)  # Bayes: log p(x) = log p(x|z) + log p(z) - log p(z|x), at any z
    z = torch.randn(40, 2, dtype=torch.float64)
    posterior = torch.distributions.MultivariateNormal(mean, cov).log_prob(z)
    assert torch.allclose(ppca.log_likelihood(x, z) + StandardNormal(2).log_prob(z) - posterior, exact, atol=1e-9)
    for arguments in ((ppca.W[0], ppca.b, 1.0, x), (ppca.W, ppca.b[:2], 1.0, x), (ppca.W, ppca.b, 1.0, x[:, :3])):
        with pytest.raises(ValueError, match="expected W"):
            ppca_log_marginal(*arguments)
    for variance in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="variance sigma2 > 0"):
            ppca_log_marginal(ppca.W, ppca.b, variance, x)


def test_ppca_fit_is_a_maximum_of_the_likelihood():
    x = torch.randn(300, 4, generator=rng(), dtype=torch.float64) * torch.tensor([3.0, 1.0, 0.7, 0.5])
    best = PPCA.fit(x, 2)
    top = best.log_prob(x).mean()
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    assert torch.allclose((best.W**2).sum(0), values[:2] - best.sigma2)
    assert best.sigma2 == pytest.approx(values[2:].mean().item())
    for k in range(20):
        g = rng(k)
        other = PPCA(
            best.W + 0.05 * torch.randn(4, 2, generator=g, dtype=torch.float64),
            best.b + 0.05 * torch.randn(4, generator=g, dtype=torch.float64),
            best.sigma2 * math.exp(0.1 * torch.randn(1, generator=g).item()),
        )
        assert other.log_prob(x).mean() < top
    with pytest.raises(ValueError, match="latents"):
        PPCA.fit(x, 4)


# --- the ELBO and tighter bounds -------------------------------------------------------------------------------------


def test_the_elbo_is_that_of_the_closed_form_and_the_rest_is_a_kl(world):
    ppca, x, model = world
    with torch.no_grad():
        q = model.encode(x[:, None, None])
        exact = ppca.expected_log_likelihood(x, q.mean, q.logvar)
        draws = torch.stack([model.elbo(x[:, None, None], rng=rng(k)).reconstruction for k in range(2000)])
        kl = model.elbo(x[:, None, None]).kl
    assert ((draws.mean(0) - exact).abs() < 4 * draws.std(0) / math.sqrt(2000) + 1e-9).all()
    assert torch.allclose(kl, kl_diag_gaussian(q.mean, q.logvar))
    mean, cov = ppca.posterior(x)
    true = torch.distributions.MultivariateNormal(mean, cov)
    guess = torch.distributions.MultivariateNormal(q.mean, torch.diag_embed(q.logvar.exp()))
    gap = torch.distributions.kl_divergence(guess, true)
    assert torch.allclose(ppca.log_prob(x), exact - kl + gap, atol=1e-10)  # (10.2)


def test_bounds_are_ordered_and_below_log_p(world):
    """ELBO <= IWAE_k <= IWAE_k+1 <= log p to Monte Carlo accuracy, on the same draws."""
    ppca, x, model = world
    repeats, top = 400, 16
    with torch.no_grad():
        wide = x[:, None, None].repeat(repeats, 1, 1, 1)
        log_w = model.log_weights(wide, top, rng=rng())  # (40 * repeats, k)
    bounds = [iwae_bound(log_w[:, :k]).unflatten(0, (repeats, -1)).mean(1) for k in (1, 2, 4, 8, 16)]
    q = model.encode(x[:, None, None])
    elbo = (ppca.expected_log_likelihood(x, q.mean, q.logvar) - kl_diag_gaussian(q.mean, q.logvar)).mean()
    assert abs(bounds[0].mean() - elbo) < 4 * bounds[0].std() / math.sqrt(repeats)
    for lower, upper in pairwise(bounds):
        gain = upper - lower  # paired: the same draws
        assert gain.mean() > 4 * gain.std() / math.sqrt(repeats)
    room = ppca.log_prob(x).mean() - bounds[-1]
    assert room.mean() > -4 * room.std() / math.sqrt(repeats)
    assert room.mean() < 0.2 * (ppca.log_prob(x).mean() - elbo)


def test_leaving_one_out_never_helps():
    log_w = 8 * torch.randn(200, 7, dtype=torch.float64) - 800
    assert (iwae_bound(log_w) >= leave_one_out(log_w)).all()
    brute = torch.stack([iwae_bound(torch.cat([log_w[:, :j], log_w[:, j + 1 :]], 1)) for j in range(7)]).mean(0)
    assert torch.allclose(leave_one_out(log_w), brute)
    for bad in (log_w[:, :1], log_w[0]):
        with pytest.raises(ValueError, match="k >= 2"):
            leave_one_out(bad)
    with pytest.raises(ValueError, match="k >= 1"):
        iwae_bound(log_w[:, :0])


def test_with_the_true_posterior_every_weight_is_the_likelihood():
    g = rng(3)
    W = torch.linalg.qr(torch.randn(5, 2, generator=g, dtype=torch.float64))[0] * torch.tensor([2.0, 0.7])
    ppca = PPCA(W, torch.zeros(5, dtype=torch.float64), 0.5)  # orthogonal columns: the posterior is diagonal
    x = torch.randn(6, 5, generator=g, dtype=torch.float64)
    _, cov = ppca.posterior(x)
    A = cov @ W.T / 0.5
    encoder = LinearEncoder(A, ppca.b, cov.diagonal().log())
    model = VAE(encoder, LinearDecoder(ppca), (1, 1, 5), StandardNormal(2), head=Gaussian()).double()
    with torch.no_grad():
        log_w = model.log_weights(x[:, None, None], 9, rng=rng())
    assert torch.allclose(log_w, ppca.log_prob(x)[:, None].expand(6, 9), atol=1e-9)


SMALL = {"latents": 3, "hidden": (12, 10)}


def small(n_classes=0, **options):
    torch.manual_seed(0)
    model = MLPVAE((1, 3, 4), 5, n_classes, **{**SMALL, **options})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # far from the start, where nothing depends on x
    return model.double()


def images(n=6, levels=5, seed=0):
    return torch.randint(levels, (n, 1, 3, 4), generator=rng(seed))


@pytest.mark.parametrize("options", [{}, {"prior": "poisson"}, {"head": "poisson"}, {"n_classes": 3}])
def test_the_bound_is_below_the_enumerated_likelihood_and_reaches_it(options):
    """p(x) by brute force over many draws of the prior; the bound with many samples comes near."""
    model = small(**options).eval()
    x, y = images(4), torch.tensor([0, 2, 1, 0]) if model.n_classes else None
    with torch.no_grad():
        z = model.prior.sample(200_000, rng(), like=torch.zeros(1, dtype=torch.float64))
        parts = []
        for i in range(4):
            nats = torch.cat([
                model.log_likelihood(x[i : i + 1], part[None], None if y is None else y[i : i + 1])[0]
                for part in z.split(50_000)
            ])  # fmt: skip
            w = (nats - nats.max()).exp()
            parts.append((nats.max() + w.mean().log(), w.std() / w.mean() / math.sqrt(len(z))))
        log_p, error = (torch.stack(part) for part in zip(*parts, strict=True))
        tight = model.iwae_bound(x, 20_000, y, rng=rng(1))
        elbo = torch.stack([model.elbo(x, y, rng=rng(k)).bound for k in range(200)])
    assert ((tight - log_p).abs() < 4 * error + 0.1).all()
    assert (elbo.mean(0) < log_p + 4 * error + 4 * elbo.std(0) / math.sqrt(200)).all()


@pytest.mark.parametrize("options", [{}, {"prior": "poisson"}, {"n_classes": 3}])
def test_exactly_k_samples_whatever_the_chunk(options, monkeypatch):
    model = small(**options).eval()
    x, y = images(5), torch.tensor([0, 2, 1, 0, 2]) if model.n_classes else None
    seen = []
    model.decoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    with torch.no_grad():
        whole = model.log_weights(x, 11, y, rng=rng())
        assert seen == [55]
        for rows in (1, 4, 11, 25):
            seen.clear()
            monkeypatch.setattr(vae_module, "CHUNK", rows * 12 * model.head.n_params)
            assert torch.allclose(model.log_weights(x, 11, y, rng=rng()), whole, atol=1e-10)
            assert sum(seen) == 55
            assert max(seen) <= max(rows, 1)
        alone = torch.cat([model.log_weights(x[i : i + 1], 11, None if y is None else y[i : i + 1], rng=g)
                           for g in [rng()] for i in range(5)])  # fmt: skip
    assert torch.allclose(alone, whole, atol=1e-10)  # the batch size does not change the draws
    assert torch.allclose(model.iwae_bound(x, 11, y, rng=rng()), iwae_bound(whole))


def test_a_bound_with_many_samples_fits_in_memory():
    """5,000 samples for each of 1,000 images within 1 GiB over what torch itself takes."""
    code = """
import resource, torch
from garm_course.latent.vae import MLPVAE
torch.set_num_threads(1)
model = MLPVAE((1, 4, 4), 2, latents=16, hidden=(8,)).eval()
x = torch.randint(2, (1000, 1, 4, 4))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with torch.no_grad():
    model.iwae_bound(x[:2], 2)
    before = peak()
    print(model.log_weights(x, 5000, rng=torch.Generator().manual_seed(0)).shape, (peak() - before) / 2**20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shape, gib = done.stdout.rsplit(" ", 1)
    assert shape == "torch.Size([1000, 5000])"
    assert float(gib) < 1


# --- losses: gradients, not only values ------------------------------------------------------------------------------


def gradients(loss, model, x):
    model.zero_grad()
    torch.manual_seed(4)
    value = loss(model, x)
    value.backward()
    return value.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}


def test_the_elbo_loss_has_the_gradient_of_its_definition():
    model, x = small().train(), images()
    for beta in (0.0, 1.0, 2.5):
        value, got = gradients(NegativeELBO(beta), model, x)
        torch.manual_seed(4)
        reconstruction, kl = model.elbo(x)
        model.zero_grad()
        (beta * kl - reconstruction).mean().backward()
        assert torch.allclose(value, (beta * kl - reconstruction).mean())
        for name, p in model.named_parameters():
            assert torch.allclose(p.grad, got[name]), name
        encoder = sum(g.abs().sum() for name, g in got.items() if name.startswith("encoder"))
        assert encoder > 0, "the reconstruction must reach the encoder through the draw"


def test_free_bits_stop_the_gradient_of_a_latent_below_them_and_of_no_other():
    kl = torch.tensor([[0.1, 2.0, 0.0], [0.5, 4.0, 0.2]], dtype=torch.float64, requires_grad=True)
    value = free_bits(kl, 0.5)
    assert value.item() == pytest.approx(0.5 + 3.0 + 0.5)
    (gradient,) = torch.autograd.grad(value, kl)
    assert torch.equal(gradient, torch.tensor([[0, 0.5, 0], [0, 0.5, 0]], dtype=torch.float64))
    for bad in ((kl[0], 0.5), (kl, -1.0), (kl, math.nan)):
        with pytest.raises(ValueError, match="expected kl"):
            free_bits(*bad)
    model, x = small().train(), images()
    with torch.no_grad():
        model.encoder.net[-1].weight.mul_(1e-3), model.encoder.net[-1].bias.zero_()
    _, free = gradients(NegativeELBO(1.0, lam=10.0), model, x)  # every latent is below
    _, none = gradients(NegativeELBO(0.0), model, x)
    assert all(torch.allclose(free[name], none[name]) for name in free)


def test_the_iwae_gradient_is_the_weighted_sum_of_its_draws():
    model, x = small().train(), images()
    value, got = gradients(NegativeIWAE(6), model, x)
    torch.manual_seed(4)
    log_w = model.log_weights(x, 6)
    assert value.item() == pytest.approx(-iwae_bound(log_w).mean().item())
    model.zero_grad()
    (-(log_w.softmax(1).detach() * log_w).sum(1).mean()).backward()  # the identity of arXiv 1509.00519, equation 13
    for name, p in model.named_parameters():
        assert torch.allclose(p.grad, got[name], atol=1e-10), name
    with pytest.raises(ValueError, match="k >= 1"):
        NegativeIWAE(0)


@pytest.mark.parametrize("make", [lambda: NegativeELBO(2.0, warmup=0.5), lambda: NegativeIWAE(4, warmup=0.5)])
def test_annealing_follows_the_progress_that_fit_reports(make):
    seen = []
    loss = make()
    annealing = getattr(loss, "annealing", loss)

    def spy(model, x, y):
        seen.append((loss.progress, annealing.weight))
        return loss(model, x, y)

    class Spied:
        progress = 1.0

        def __setattr__(self, name, value):
            setattr(loss, name, value)

        __call__ = staticmethod(spy)

    data = torch.utils.data.TensorDataset(images(20), torch.zeros(20).long())
    fit(small(), data, loss=Spied(), steps=8, batch_size=5)
    assert [p for p, _ in seen] == [k / 8 for k in range(8)]
    top = annealing.beta
    assert [w for _, w in seen] == pytest.approx([0, top / 4, top / 2, 3 * top / 4, top, top, top, top])
    assert make().progress == 1.0  # outside of a training the loss is what it ends as
    for bad in ({"beta": -1}, {"warmup": 1.5}, {"lam": -0.1}):
        with pytest.raises(ValueError, match="expected beta"):
            NegativeELBO(**bad)


def test_annealed_weights_at_0_are_the_reconstruction():
    model, x = small().eval(), images()
    with torch.no_grad():
        free = model.log_weights(x, 5, rng=rng(), beta=0.0)
        z = model.encode(x).sample(5, rng())
    assert torch.allclose(free, model.log_likelihood(x, z))


def test_a_constant_offset_is_no_active_unit():
    g = rng()
    mu = torch.stack([0.09 * torch.randn(500, generator=g) + 3, torch.zeros(500), torch.randn(500, generator=g),
                      0.05 * torch.randn(500, generator=g)], 1)  # fmt: skip
    assert active_units(mu) == 1
    assert active_units(mu, 0.001) == 3
    with pytest.raises(ValueError, match="at least two"):
        active_units(mu[:1])


# --- the model -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["gaussian", "poisson"])
@pytest.mark.parametrize("n_classes", [0, 3])
def test_a_vae_learns_what_it_is_shown(prior, n_classes):
    """Two images, one for each class: the bound comes near ln 2 (or 0, given the class)."""
    x = torch.zeros(64, 1, 3, 4, dtype=torch.long)
    x[32:, :, 1:] = 3
    y = torch.arange(64) // 32
    data = torch.utils.data.TensorDataset(x, y)
    model = MLPVAE((1, 3, 4), 5, n_classes and 2, **SMALL, prior=prior)
    fit(model, data, loss=NegativeELBO(warmup=0.5), steps=400, batch_size=32, lr=1e-2, ema=0.9)
    floor = 0 if n_classes else math.log(2)
    reached = evaluate(model, data, k=100)
    room = 0.7 if prior == "poisson" else 0.25  # a Poisson of any rate says 0 now and then
    assert floor - 0.02 < reached.nats < floor + room
    assert reached.bound == "IWAE-100"
    drawn = model.sample(40, y[12:52] if n_classes else None, rng=rng())
    known = [torch.equal(image, x[0]) or torch.equal(image, x[-1]) for image in drawn]
    assert sum(known) > (15 if prior == "poisson" else 30)
    if n_classes:
        right = [torch.equal(image, x[0 if k < 20 else -1]) for k, image in enumerate(drawn)]
        assert sum(right) > 30
    error = (model.reconstruct(x, y if n_classes else None) - x).abs().mean()
    assert error < (0.8 if prior == "poisson" and not n_classes else 0.3)  # against 1.0 for the mean image


def test_an_autoregressive_decoder_is_a_decoder():
    decoder = GatedPixelCNN((1, 3, 4), 5, channels=6, layers=1, context=3)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(12, 6).double())

    class Floats(nn.Module):
        def forward(self, x):
            return encoder(x.double())

    model = VAE(Floats(), decoder, (1, 3, 4), StandardNormal(3), levels=5).double()
    x = images()
    z = model.encode(x).sample(4, rng())
    nats = model.log_likelihood(x, z)
    for j in range(4):
        assert torch.allclose(nats[:, j], decoder.log_prob(x, z[:, j]))
    terms = model.elbo(x)
    (-terms.bound.mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    drawn = model.sample(5, rng=rng())
    assert drawn.shape == (5, 1, 3, 4)
    assert drawn.dtype == torch.long
    with pytest.raises(TypeError, match="no parameters without the pixels before"):
        model.decode(z[:, 0])
    with pytest.raises(ValueError, match="no expected image"):
        model.sample(5, mean=True)


def test_an_autoregressive_decoder_may_know_the_class_too():
    decoder = GatedPixelCNN((1, 3, 4), 5, channels=6, layers=1, context=3 + 2)
    model = VAE(MLPVAE((1, 3, 4), 5, 2, **SMALL).encoder, decoder, (1, 3, 4), StandardNormal(3), levels=5, n_classes=2)
    x, y = images(4), torch.tensor([0, 1, 1, 0])
    z = model.encode(x, y).sample(2, rng())
    condition = torch.cat([z[:, 1], F.one_hot(y, 2).float()], 1)
    assert torch.allclose(model.log_likelihood(x, z, y)[:, 1], decoder.log_prob(x, condition))
    assert model.sample(3, torch.tensor([1, 0, 1])).shape == (3, 1, 3, 4)


def test_a_model_with_a_context_reads_it():
    model = GatedPixelCNN((1, 3, 4), 5, channels=6, layers=2, context=2)
    assert model.config["context"] == 2
    assert GatedPixelCNN((1, 3, 4), 5, channels=6).config["context"] == 0
    x, h = images(3), torch.randn(3, 2)
    assert not torch.allclose(model.log_prob(x, h), model.log_prob(x, h.flip(0)))
    fast, slow = (draw(3, h.double(), rng=rng()) for draw in (model.double().sample, model.sample_naive))
    assert torch.equal(fast, slow)
    with pytest.raises(ValueError, match=r"FloatTensor \(3, 2\).*got shape \(3, 1\)"):
        model.log_prob(x, h[:, :1].double())
    for wrong in (None, torch.zeros(3, 2, dtype=torch.long)):
        with pytest.raises(TypeError, match=r"FloatTensor \(3, 2\)"):
            model.log_prob(x, wrong)
    for options in ({"context": -1}, {"context": 2, "n_classes": 3}):
        with pytest.raises(ValueError, match="expected context"):
            GatedPixelCNN((1, 3, 4), 5, channels=6, **options)


def test_heads_know_their_mean():
    u = torch.rand(20_000, generator=rng(), dtype=torch.float64)
    for head, params in (
        (Categorical(4), torch.tensor([0.3, -1.0, 0.8, 0.1])),
        (Bernoulli(), torch.tensor(0.7)),
        (Gaussian(), torch.tensor([-1.2, 0.4])),
        (Poisson(), torch.tensor(0.9)),
    ):
        params = params.double()
        draws = head.sample(params.expand(20_000, *params.shape), u).double()
        assert abs(draws.mean() - head.mean(params)) < 4 * draws.std() / math.sqrt(20_000)


def test_sampling_draws_what_the_decoder_says_for_every_head():
    for head, params in ((Poisson(), 1), (Gaussian(), 2)):
        decoder = nn.Sequential(nn.Linear(2, 12 * params), nn.Unflatten(1, (1, 3, 4, params)[: 3 + params - 1]))
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
        model = VAE(encoder, decoder, (1, 3, 4), StandardNormal(2), head=head)
        z = torch.randn(1, 2, generator=rng()).expand(5000, 2)
        drawn = model.draw(z, rng=rng()).double()
        mean = model.draw(z[:1], mean=True).double()
        assert ((drawn.mean(0) - mean[0]).abs() < 5 * drawn.std(0) / math.sqrt(5000) + 1e-6).all()


def test_the_encoder_gets_the_drawn_noise_and_no_dropout_in_evaluation():
    model = MLPVAE((1, 3, 4), 5, **SMALL, dropout=0.5, input_dropout=0.3)
    x = images()
    data = torch.utils.data.TensorDataset(x, torch.zeros(6).long())
    first, again = evaluate(model, data), evaluate(model, data)
    assert first == again
    assert evaluate(model, data, seed=1) != first
    assert model.training
    assert torch.equal(model.reconstruct(x), model.reconstruct(x))
    parts = rate_distortion(model, data)
    assert parts["rate"] + parts["distortion"] == pytest.approx(first.nats)
    batches = lower_bounds(model, data, k=3, batch_size=2)
    assert torch.allclose(batches, lower_bounds(model, data, k=3), atol=1e-4)


def test_a_bound_says_that_it_is_one():
    bars = datasets.load("bars_and_stripes", "train")
    model = MLPVAE(bars.shape, 2, latents=2, hidden=(8,))
    assert "≤" in str(evaluate(model, bars))
    assert "IWAE-7" in str(evaluate(model, bars, k=7))
    gap = kl_to_model(bars, model, k=7)
    assert gap.bound == "IWAE-7"
    assert gap.nats == pytest.approx(evaluate(model, bars, k=7).nats - math.log(30))
    exact = GatedPixelCNN(bars.shape, 2, channels=4, layers=0)
    assert "≤" not in str(evaluate(exact, bars))
    with pytest.raises(ValueError, match="exact"):
        evaluate(exact, bars, k=5)


# --- bad input -------------------------------------------------------------------------------------------------------

ENCODER = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))


class Plain(nn.Module):
    def __init__(self, *size):
        super().__init__()
        self.weight, self.size = nn.Parameter(torch.zeros(())), size

    def forward(self, z):
        return self.weight + torch.zeros(len(z), *self.size)


def gaussian_vae(encoder=ENCODER, decoder=None, **options):
    options = {"shape": (1, 3, 4), "prior": StandardNormal(2), "head": Gaussian(), **options}
    return VAE(encoder, Plain(1, 3, 4, 2) if decoder is None else decoder, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gaussian_vae(shape=(3, 4)), r"image shape \(C, H, W\)"),
        (lambda: gaussian_vae(head=None), "expected levels"),
        (lambda: gaussian_vae(head=Categorical(4), levels=5), "levels=4 for this head"),
        (lambda: gaussian_vae(head=None, levels=1), "at least 2"),
        (lambda: gaussian_vae(n_classes=-1), "n_classes >= 0"),
        (lambda: StandardNormal(0), "latents of at least 1"),
        (lambda: StandardNormal(2.0), "latents of at least 1"),
        (lambda: PoissonPrior(2, rate=0), "rate > 0"),
        (lambda: MLPVAE((1, 2, 2), 3, prior="laplace"), "expected prior 'gaussian' or 'poisson'"),
        (lambda: MLPVAE((1, 2, 2), 3, head="gauss"), "expected head 'levels' or 'poisson'"),
    ],
)
def test_models_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


X = torch.zeros(5, 1, 3, 4)


@pytest.mark.parametrize(
    ("model", "x", "error", "message"),
    [
        (gaussian_vae(nn.Sequential(nn.Flatten(), nn.Linear(12, 3))), X, ValueError,
         r"expected \(5, 4\) from the encoder \(2 numbers for each of 2 latents\), got \(5, 3\)"),
        (gaussian_vae(prior=StandardNormal(3)), X, ValueError, r"expected \(5, 6\) from the encoder"),
        (gaussian_vae(decoder=Plain(1, 3, 4)), X, ValueError, r"expected parameters \(5, 1, 3, 4, 2\) for Gaussian"),
        (gaussian_vae(decoder=Plain(12)), X, ValueError, "change the decoder or the head"),
        (gaussian_vae(decoder=Plain(1, 3, 4), head=Categorical(3), levels=3, encoder=Plain(4)), X.long(), ValueError,
         r"parameters \(5, 1, 3, 4, 3\) for Categorical"),
        (gaussian_vae(decoder=Plain(1, 3, 4, 2), head=Poisson()), X, ValueError, r"\(5, 1, 3, 4\) for Poisson"),
        (gaussian_vae(), X.long(), TypeError, "FloatTensor.*dequantize"),
        (gaussian_vae(), X[:, :, :2], ValueError, "got shape"),
        (gaussian_vae(), X[:0], ValueError, "empty batch"),
        (gaussian_vae(), X + math.nan, ValueError, "NaN or infinity"),
        (gaussian_vae(head=None, levels=3), X, TypeError, "LongTensor"),
        (gaussian_vae(head=Poisson(), decoder=Plain(1, 3, 4)), X[0], ValueError, "expected counts"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(model, x, error, message):
    with pytest.raises(error, match=message) as caught:
        model.elbo(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("k", [0, -1, 2.0, None])
def test_a_bound_needs_a_sample(k):
    with pytest.raises(ValueError, match="expected k >= 1"):
        small().iwae_bound(images(), k)


def test_classes_and_latents_that_do_not_fit_are_refused():
    model = small(n_classes=3)
    with pytest.raises(ValueError, match="class-conditional; got none"):
        model.elbo(images())
    with pytest.raises(ValueError, match="no such class"):
        model.elbo(images(2), torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="leave y out"):
        small().elbo(images(2), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"expected latents \(N, 3\), got \(2, 4\)"):
        small().decode(torch.zeros(2, 4))
    for n in (0, 2.0):
        with pytest.raises(ValueError, match="n >= 1 images"):
            small().sample(n)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([0.0, 0.0, 0.0, 800.0], r"variance exp\(logvar\) overflows: logvar is 800"),
        ([math.nan, 0.0, 0.0, 0.0], "mean mu became nan"),
        ([0.0, 0.0, -math.inf, 0.0], "log-variance logvar became -inf"),
    ],
)
def test_a_posterior_that_diverged_names_the_term_and_stops_the_training(numbers, message):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.p = nn.Parameter(torch.tensor(numbers))

        def forward(self, x):
            return self.p.expand(len(x), 4)

    model = gaussian_vae(Fixed(), Plain(1, 3, 4, 2))
    with pytest.raises(FloatingPointError, match=message):
        model.elbo(X)
    data = torch.utils.data.TensorDataset(torch.zeros(20, 1, 3, 4), torch.zeros(20).long())
    with pytest.raises(NonFiniteLossError, match=f"at step 1: .*{message}.*weights are kept"):
        fit(model, data, loss=NegativeELBO(), steps=3, batch_size=5)


def test_a_term_that_is_not_finite_is_named():
    class Huge(nn.Module):
        def forward(self, z):
            return torch.full((len(z), 1, 3, 4), 2000.0)

    model = gaussian_vae(decoder=Huge(), head=Poisson())
    with pytest.raises(FloatingPointError, match="ELBO's reconstruction term became -inf"):
        model.elbo(X)
    wide = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    with torch.no_grad():
        wide[1].bias.fill_(1e30)
        wide[1].bias[2:] = 0
    with pytest.raises(FloatingPointError, match="ELBO's kl term became inf"):
        gaussian_vae(wide, Plain(1, 3, 4), head=Poisson()).elbo(X)
    with pytest.raises(FloatingPointError, match=r"rate exp\(log_rate\) is out of range"):
        PoissonPosterior(torch.tensor([[9.0]]), 1.0, 0.1)
    with pytest.raises(ValueError, match="of one shape"):
        kl_diag_gaussian(torch.zeros(2, 3), torch.zeros(2, 2))
    assert isinstance(small().elbo(images()), ELBO)


def test_an_encoder_that_says_nothing_says_the_prior():
    for prior in (StandardNormal(2), PoissonPrior(2, rate=2.5)):
        posterior = prior.posterior(torch.zeros(3, prior.n_params * 2, dtype=torch.float64))
        assert posterior.kl().abs().max() < 1e-12
        drawn = prior.sample(4000, rng(), like=torch.zeros(1, dtype=torch.float64))
        assert ((drawn.mean(0) - posterior.mean[0]).abs() < 4 * drawn.std(0) / math.sqrt(4000)).all()


def test_an_autoregressive_decoder_draws_from_the_generator_it_is_given():
    decoder = GatedPixelCNN((1, 3, 4), 5, channels=6, layers=1, context=3)
    model = VAE(MLPVAE((1, 3, 4), 5, **SMALL).encoder, decoder, (1, 3, 4), StandardNormal(3), levels=5)
    torch.manual_seed(1)
    first = model.sample(5, rng=rng())
    torch.manual_seed(2)
    assert torch.equal(first, model.sample(5, rng=rng()))
    assert not torch.equal(first, model.sample(5, rng=rng(1)))


@pytest.mark.parametrize("options", [{}, {"prior": "poisson"}, {"n_classes": 3}, {"autoregressive": True}])
def test_the_first_images_are_the_same_however_many_are_drawn(options):
    if options.pop("autoregressive", False):
        decoder = GatedPixelCNN((1, 3, 4), 5, channels=6, layers=1, context=3)
        model = VAE(MLPVAE((1, 3, 4), 5, **SMALL).encoder, decoder, (1, 3, 4), StandardNormal(3), levels=5)
    else:
        model = small(**options)
    y = torch.tensor([2, 0, 1, 1, 0]) if model.n_classes else None
    many = model.sample(5, y, rng=rng())
    assert torch.equal(model.sample(2, None if y is None else y[:2], rng=rng()), many[:2])
    assert not torch.equal(model.sample(5, y, rng=rng(1)), many)
    torch.manual_seed(3)
    first = model.sample(5, y)
    torch.manual_seed(3)
    assert torch.equal(model.sample(5, y), first)  # torch's own generator repeats as well


def test_counts_have_weights_but_no_gradient_of_them():
    model, x = small(prior="poisson").train(), images()
    with torch.no_grad():
        assert torch.isfinite(model.iwae_bound(x, 4, rng=rng())).all()  # exact counts, in training mode as well
    with pytest.raises(ValueError, match=r"PoissonPrior have no gradient.*train with NegativeELBO"):
        NegativeIWAE(4)(model, x)
