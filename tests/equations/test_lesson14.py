"""The numbered equations of lesson 14, stable GANs, checked numerically."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from garm_course.adversarial.divergences import js_divergence, total_variation, wasserstein1
from garm_course.adversarial.lipschitz import clip_weights, gradient_penalty, r1_penalty, spectral_norm
from garm_course.adversarial.losses import hinge_d_loss
from garm_course.show import interval


def randn(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.equation("14.1")
def test_sorted_differences_are_the_area_between_the_distribution_functions():
    from scipy.stats import wasserstein_distance

    a, b = randn(60, seed=1), 0.4 * randn(60, seed=2) + 1
    assert wasserstein1(a, b).item() == pytest.approx(wasserstein_distance(a.numpy(), b.numpy()), abs=1e-9)
    points = torch.cat([a, b]).sort().values
    f_a, f_b = ((s[None] <= points[:-1, None]).double().mean(1) for s in (a, b))
    assert ((f_a - f_b).abs() * points.diff()).sum().item() == pytest.approx(wasserstein1(a, b).item(), abs=1e-12)


@pytest.mark.equation("14.1")
def test_no_order_of_transport_is_cheaper_and_the_best_flat_critic_attains_it():
    a, b = randn(7, seed=3), randn(7, seed=4) + 0.5
    rng = torch.Generator().manual_seed(0)
    for _ in range(500):
        assert (a - b[torch.randperm(7, generator=rng)]).abs().mean() >= wasserstein1(a, b) - 1e-12
    points = torch.cat([a, b]).sort().values
    f_a, f_b = ((s[None] <= points[:-1, None]).double().mean(1) for s in (a, b))
    rises = torch.sign(f_b - f_a)
    f = torch.cat([torch.zeros(1, dtype=torch.float64), (rises * points.diff()).cumsum(0)])
    gain = f[torch.searchsorted(points, a)].mean() - f[torch.searchsorted(points, b)].mean()
    assert gain.item() == pytest.approx(wasserstein1(a, b).item(), abs=1e-12)


@pytest.mark.equation("14.1")
@pytest.mark.parametrize("theta", [-3.0, 0.2, 8.0])
def test_a_shift_of_a_point_has_slope_one_where_js_is_flat(theta):
    t = torch.tensor([theta], requires_grad=True)
    [slope] = torch.autograd.grad(wasserstein1(torch.zeros(1), t), t)
    assert slope.item() == math.copysign(1, theta)
    one, two = torch.eye(2, dtype=torch.float64)
    assert js_divergence(one, two).item() == pytest.approx(math.log(2))


@pytest.mark.equation("14.2")
def test_the_penalty_of_a_linear_critic_and_its_gradient_are_those_by_hand():
    w = randn(5, seed=1).requires_grad_()
    x, y, eps = randn(9, 5, seed=2), randn(9, 5, seed=3), torch.rand(9, dtype=torch.float64)
    penalty = gradient_penalty(lambda t: t @ w, x, y, eps)
    assert penalty.item() == pytest.approx((w.norm().item() - 1) ** 2)
    [slope] = torch.autograd.grad(penalty, w)
    assert torch.allclose(slope, 2 * (w.norm() - 1) * w / w.norm())


@pytest.mark.equation("14.3")
def test_a_clipped_unit_is_no_steeper_than_c_times_the_root_of_d():
    for d in (1, 10, 200):
        unit = nn.Linear(d, 1, bias=False, dtype=torch.float64)
        with torch.no_grad():
            unit.weight.copy_(10 * randn(1, d, seed=d))
        clip_weights(unit, 0.3)
        x, y = randn(50, d, seed=1), randn(50, d, seed=2)
        ratio = (unit(x) - unit(y)).abs()[:, 0] / (x - y).norm(dim=1)
        assert ratio.max() <= 0.3 * math.sqrt(d) + 1e-12
        assert unit.weight.norm() > 0.9 * 0.3 * math.sqrt(d), "the bound is nearly reached by large weights"
    layer = 0.3 * torch.sign(randn(8, 6))
    assert torch.linalg.svdvals(layer)[0] <= 0.3 * math.sqrt(48)
    assert torch.linalg.svdvals(torch.full((8, 6), 0.3))[0].item() == pytest.approx(0.3 * math.sqrt(48))


@pytest.mark.equation("14.4")
def test_r1_of_a_quadratic_form():
    A = randn(4, 4)
    A = A + A.T
    x = randn(12, 4, seed=1)
    found = r1_penalty(lambda t: 0.5 * ((t @ A) * t).sum(1), x, gamma=0.7)
    assert found.item() == pytest.approx(0.35 * (x @ A).square().sum(1).mean().item())


@pytest.mark.equation("14.5")
def test_power_iteration_converges_like_the_ratio_of_singular_values_to_the_power_2n():
    U, V = (torch.linalg.qr(randn(6, 6, seed=s)).Q for s in (1, 2))
    sigmas = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2, 0.1], dtype=torch.float64)
    W, u = U @ torch.diag(sigmas) @ V.T, randn(6, seed=3)
    assert spectral_norm(W, u, 200)[0].item() == pytest.approx(3, abs=1e-8)
    for n in (1, 4, 9):
        parts = U.T @ spectral_norm(W, u, n)[1]
        expected = sigmas ** (2 * n) * (U.T @ u)
        assert torch.allclose(parts, expected / expected.norm(), atol=1e-9)


@pytest.mark.equation("14.5")
def test_the_reshaped_kernel_is_a_stand_in_for_the_convolution_and_bounds_it_by_three():
    for seed in range(3):
        kernel = randn(5, 3, 3, 3, seed=seed)
        units = torch.eye(3 * 49, dtype=torch.float64).reshape(-1, 3, 7, 7)
        operator = torch.linalg.svdvals(F.conv2d(units, kernel, padding=1).flatten(1))[0]
        reshaped = torch.linalg.svdvals(kernel.flatten(1))[0]
        assert 1.1 * reshaped < operator <= 3 * reshaped


@pytest.mark.equation("14.6")
def test_the_hinge_optimum_is_the_sign_and_its_loss_twice_what_both_share():
    p, g = randn(40, 6, seed=1).softmax(-1), randn(40, 6, seed=2).softmax(-1)
    loss = lambda D: (p * F.relu(1 - D) + g * F.relu(1 + D)).sum(-1)  # noqa: E731
    best = loss(torch.sign(p - g))
    assert torch.allclose(best, 2 * torch.minimum(p, g).sum(-1), atol=1e-12)
    assert torch.allclose(best, 2 * (1 - total_variation(p, g)), atol=1e-12)
    for seed in range(20):
        assert (loss(torch.sign(p - g) + randn(40, 6, seed=seed)) >= best - 1e-12).all()
    real, fake = randn(30, seed=5), randn(20, seed=6)
    assert torch.allclose(hinge_d_loss(real, fake), F.relu(1 - real).mean() + F.relu(1 + fake).mean())


@pytest.mark.equation("14.7")
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5])
def test_the_eigenvalues_of_the_dirac_gan(gamma):
    def field(w):
        theta, psi = w
        value = torch.log(1 - torch.sigmoid(psi * theta))
        down, up = torch.autograd.grad(value, (theta, psi), create_graph=True)
        # the penalty of the critic x -> psi x at the datum 0, by the library's own function
        penalty = r1_penalty(lambda x: psi * x[:, 0], torch.zeros(1, 1, dtype=torch.float64), gamma=gamma)
        [brake] = torch.autograd.grad(penalty, psi, create_graph=True, allow_unused=True)
        return torch.stack([-down, up - brake])

    J = torch.autograd.functional.jacobian(field, torch.zeros(2, dtype=torch.float64))
    found = np.sort_complex(np.linalg.eigvals(J.numpy()))
    root = np.sqrt(complex(gamma**2 / 4 - 0.25))
    assert np.allclose(found, np.sort_complex(np.array([-gamma / 2 + root, -gamma / 2 - root])), atol=1e-12)


@pytest.mark.equation("14.8")
def test_the_moving_average_is_a_weighted_sum_of_all_weights_so_far():
    rho, values = 0.9, randn(50)
    average = values[0]
    for value in values[1:]:
        average = rho * average + (1 - rho) * value
    counts = torch.tensor([rho**49, *((1 - rho) * rho ** (49 - k) for k in range(1, 50))], dtype=torch.float64)
    assert counts.sum().item() == pytest.approx(1)
    assert average.item() == pytest.approx((counts * values).sum().item())


@pytest.mark.equation("14.9")
def test_the_interval_is_that_of_students_t():
    from scipy.stats import t

    values = randn(5).tolist()
    mean, half = interval(values)
    low, high = t.interval(0.95, 4, loc=np.mean(values), scale=np.std(values, ddof=1) / math.sqrt(5))
    assert (mean - half, mean + half) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))
    assert t.ppf(0.975, 4) == pytest.approx(2.776, abs=5e-4)
