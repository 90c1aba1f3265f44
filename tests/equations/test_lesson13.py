"""The numbered equations of lesson 13, GAN theory, checked numerically."""

import math

import pytest
import torch

from garm_course.adversarial.divergences import (
    F_DIVERGENCES,
    js_divergence,
    kl_divergence,
    optimal_discriminator,
)
from garm_course.adversarial.losses import (
    least_squares_d_loss,
    least_squares_g_loss,
    minimax_d_loss,
    nonsaturating_g_loss,
    saturating_g_loss,
)


def table(seed, *shape):
    return torch.randn(shape or (7,), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).softmax(-1)


def value(D, p, g):
    return (p * D.log() + g * (1 - D).log()).sum(-1)


@pytest.mark.equation("13.1")
def test_minus_the_value_is_the_sum_of_two_cross_entropies_from_logits():
    rng = torch.Generator().manual_seed(0)
    real, fake = (3 * torch.randn(n, dtype=torch.float64, generator=rng) for n in (40, 25))
    V = torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean()
    assert torch.allclose(minimax_d_loss(real, fake), -V, atol=1e-12)
    assert torch.allclose(saturating_g_loss(fake), (1 - torch.sigmoid(fake)).log().mean(), atol=1e-12)


@pytest.mark.equation("13.1")
def test_a_value_estimated_from_draws_is_that_of_the_densities():
    p, g = table(1), table(2)
    logit = torch.randn(7, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    rng = torch.Generator().manual_seed(4)
    real, fake = (torch.multinomial(q, 200_000, replacement=True, generator=rng) for q in (p, g))
    terms = -torch.nn.functional.softplus(-logit[real]) - torch.nn.functional.softplus(logit[fake])
    exact = value(torch.sigmoid(logit), p, g)
    assert abs(terms.mean() - exact) < 4 * terms.std() / len(terms) ** 0.5


@pytest.mark.equation("13.2")
def test_no_discriminator_beats_the_best_and_its_slope_is_zero():
    p, g = table(1, 50, 7), table(2, 50, 7)
    best = optimal_discriminator(p, g)
    rng = torch.Generator().manual_seed(0)
    for scale in (1e-3, 0.1, 3.0):
        other = torch.sigmoid(torch.logit(best) + scale * torch.randn(50, 7, dtype=torch.float64, generator=rng))
        assert (value(other, p, g) < value(best, p, g)).all()
    D = best.clone().requires_grad_()
    [slope] = torch.autograd.grad(value(D, p, g).sum(), D)
    assert slope.abs().max() < 1e-12


@pytest.mark.equation("13.3")
def test_the_value_of_the_best_discriminator_is_twice_js_less_log_4():
    p, g = table(1, 200, 7), table(2, 200, 7)
    assert torch.allclose(value(optimal_discriminator(p, g), p, g), 2 * js_divergence(p, g) - math.log(4), atol=1e-12)
    assert ((js_divergence(p, g) > 0) & (js_divergence(p, g) < math.log(2))).all()
    assert js_divergence(p, p).abs().max() < 1e-15
    assert torch.equal(js_divergence(p, g), js_divergence(g, p))


@pytest.mark.equation("13.4")
def test_js_of_disjoint_supports_is_log_2_and_flat():
    p = torch.zeros(20, dtype=torch.float64)
    p[:4] = table(1, 4)
    values = torch.stack([js_divergence(p, p.roll(k)) for k in range(4, 17)])
    assert torch.allclose(values, torch.full_like(values, math.log(2)), atol=1e-15)
    g = torch.zeros(20, dtype=torch.float64)
    weights = torch.randn(4, dtype=torch.float64, requires_grad=True)
    moved = torch.cat([g[:10], weights.softmax(0), g[14:]])
    [slope] = torch.autograd.grad(js_divergence(p, moved), weights)
    assert slope.abs().max() < 1e-15


@pytest.mark.equation("13.7")
@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_every_critic_gives_a_lower_bound_and_the_best_one_attains_it(name):
    f = F_DIVERGENCES[name]
    p, g = table(1, 30, 7), table(2, 30, 7)
    exact = f.divergence(p, g)
    assert torch.allclose(f.bound(f.critic((p / g).log()), p, g), exact, atol=1e-12)
    rng = torch.Generator().manual_seed(0)
    for scale in (0.1, 1.0, 3.0):
        T = f.activation(scale * torch.randn(30, 7, dtype=torch.float64, generator=rng))
        assert (f.bound(T, p, g) <= exact + 1e-12).all()
    # the critic is the derivative of f, and the conjugate is the supremum of u t - f(u)
    u = torch.linspace(0.05, 20, 400_000, dtype=torch.float64, requires_grad=True)
    [slope] = torch.autograd.grad(f.f(u).sum(), u)
    assert torch.allclose(slope, f.critic(u.log()), atol=1e-9)
    for ratio in (0.3, 1.0, 2.7):
        t = f.critic(torch.tensor(ratio, dtype=torch.float64).log())
        assert (u * t - f.f(u)).max().item() == pytest.approx(f.conjugate(t).item(), abs=1e-6)


@pytest.mark.equation("13.7")
def test_divergences_of_the_table_are_those_of_their_names():
    p, g = table(1), table(2)
    assert torch.allclose(F_DIVERGENCES["KL"].divergence(p, g), kl_divergence(p, g))
    assert torch.allclose(F_DIVERGENCES["reverse KL"].divergence(p, g), kl_divergence(g, p))
    assert torch.allclose(F_DIVERGENCES["Pearson χ²"].divergence(p, g), ((p - g) ** 2 / g).sum())
    assert torch.allclose(F_DIVERGENCES["squared Hellinger"].divergence(p, g), ((p.sqrt() - g.sqrt()) ** 2).sum())
    assert torch.allclose(F_DIVERGENCES["GAN"].divergence(p, g), 2 * js_divergence(p, g) - math.log(4))


@pytest.mark.equation("13.8")
def test_least_squares_at_its_best_critic_is_pearsons_divergence():
    p, g = table(1), table(2)
    D = torch.zeros(7, dtype=torch.float64, requires_grad=True)
    loss = 0.5 * (p * (D - 1) ** 2 + g * (D + 1) ** 2).sum()
    [slope], [curve] = torch.autograd.grad(loss, D), [p + g]
    best = (D - slope / curve).detach()  # one step of Newton's method: the loss is quadratic
    assert torch.allclose(best, (p - g) / (p + g), atol=1e-12)
    pearson = ((2 * g - (p + g)) ** 2 / (p + g)).sum()  # of p + g and 2 g
    assert torch.allclose((p * best**2 + g * best**2).sum(), pearson, atol=1e-12)
    rng = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(30, dtype=torch.float64, generator=rng) for _ in range(2))
    expected = 0.5 * ((real - 1) ** 2).mean() + 0.5 * ((fake + 1) ** 2).mean()
    assert torch.allclose(least_squares_d_loss(real, fake), expected)
    assert torch.allclose(least_squares_g_loss(fake), 0.5 * (fake**2).mean())


@pytest.mark.equation("13.5")
def test_the_saturating_loss_has_no_slope_where_the_other_one_has_slope_minus_one():
    s = torch.tensor([-50.0, -3.0, 0.0, 4.0], dtype=torch.float64, requires_grad=True)
    for loss, expected in ((saturating_g_loss, -torch.sigmoid(s)), (nonsaturating_g_loss, torch.sigmoid(s) - 1)):
        [slope] = torch.autograd.grad(loss(s), s)
        assert torch.allclose(4 * slope, expected.detach(), atol=1e-12)
    [slope] = torch.autograd.grad(saturating_g_loss(s), s)
    assert slope[0].abs() < 1e-20


@pytest.mark.equation("13.6")
@pytest.mark.parametrize("seed", range(5))
def test_the_non_saturating_loss_descends_kl_less_twice_js(seed):
    theta = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(seed), requires_grad=True)
    p, g = table(seed + 50, 9), theta.softmax(0)
    D = optimal_discriminator(p, g).detach()
    [left] = torch.autograd.grad(-(g * D.log()).sum(), theta, retain_graph=True)
    [right] = torch.autograd.grad(kl_divergence(g, p) - 2 * js_divergence(p, g), theta, retain_graph=True)
    assert torch.allclose(left, right, atol=1e-12)
    [plain] = torch.autograd.grad(kl_divergence(g, p), theta)
    assert not torch.allclose(left, plain, atol=1e-3)


@pytest.mark.equation("13.9")
@pytest.mark.parametrize("eta", [0.01, 0.3, 1.7])
def test_simultaneous_steps_on_the_bilinear_game_grow_and_turn(eta):
    w = torch.tensor([0.7, -1.3], dtype=torch.float64)
    step = torch.tensor([[1, -eta], [eta, 1]], dtype=torch.float64)
    for _ in range(5):
        new = step @ w
        assert (new @ new).item() == pytest.approx((1 + eta**2) * (w @ w).item())
        cosine = (new @ w) / (new.norm() * w.norm())
        assert math.acos(cosine.item()) == pytest.approx(math.atan(eta))
        w = new


@pytest.mark.equation("13.9")
@pytest.mark.parametrize("eta", [0.1, 1.0, 1.9])
def test_steps_in_turn_keep_a_quadratic_form_and_stay_bounded(eta):
    a, b = 0.7, -1.3
    kept = a * a + b * b - eta * a * b
    for _ in range(2000):
        a = a - eta * b
        b = b + eta * a
        assert a * a + b * b - eta * a * b == pytest.approx(kept, rel=1e-6)
    assert math.hypot(a, b) < 30
