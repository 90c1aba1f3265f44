"""The numbered equations of lesson 16, CycleGAN, checked numerically."""

from itertools import permutations, product

import pytest
import torch
from torch import nn

from garm_course.adversarial.cyclegan import (
    PatchCritic,
    Translator,
    cycle_loss,
    identity_loss,
    patch_receptive_field,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def covariance(d, seed):
    a = normal(d, d, seed=seed)
    return a @ a.T + 0.1 * torch.eye(d, dtype=torch.float64)


def power(s, exponent):
    values, vectors = torch.linalg.eigh(s)
    return vectors @ torch.diag(values**exponent) @ vectors.T


@pytest.mark.equation("16.1")
def test_the_cycle_loss_is_zero_for_exact_inverses_and_for_nothing_else():
    x, y = normal(50, 6, seed=1), normal(40, 6, seed=2)
    G = normal(6, 6, seed=3)
    back = torch.linalg.inv(G)
    assert cycle_loss(lambda v: v @ G, lambda v: v @ back, x, y) < 1e-12
    off = cycle_loss(lambda v: v @ G, lambda v: v @ (back + 0.01), x, y)
    assert off > 1e-3
    there = ((x @ G) @ (back + 0.01) - x).abs().mean()
    assert torch.allclose(off, there + ((y @ (back + 0.01)) @ G - y).abs().mean(), atol=1e-12)


@pytest.mark.equation("16.1")
def test_one_direction_alone_leaves_the_other_free():
    lift = torch.eye(3, 5, dtype=torch.float64)  # G: 3 numbers into 5, F drops two
    x, y = normal(20, 3), normal(20, 5)
    assert (x @ lift @ lift.T - x).abs().max() == 0
    assert torch.allclose(cycle_loss(lambda v: v @ lift, lambda v: v @ lift.T, x, y), y[:, 3:].abs().sum() / y.numel())


@pytest.mark.equation("16.2")
def test_the_identity_loss_feeds_g_a_y_and_f_an_x():
    x, y = normal(20, 4, seed=1), normal(30, 4, seed=2)
    G, F = (lambda v, s=s: v + s * v.sin() for s in (0.5, -0.25))
    expected = 0.5 * y.sin().abs().mean() + 0.25 * x.sin().abs().mean()
    assert torch.allclose(identity_loss(G, F, x, y), expected, atol=1e-12)


@pytest.mark.equation("16.3")
@pytest.mark.parametrize(("K", "count"), [(1, 1), (2, 2), (3, 6), (4, 24)])
def test_domains_of_k_points_have_k_factorial_solutions(K, count):
    """All pairs of maps between two sets of K points: those that match the domains and return every point."""
    maps = list(product(range(K), repeat=K))
    found = [
        (g, f)
        for g in maps
        for f in maps
        if sorted(g) == sorted(f) == list(range(K))  # each point is hit by as much probability as it has
        and all(f[g[i]] == i and g[f[i]] == i for i in range(K))
    ]
    assert len(found) == count
    assert sorted(g for g, _ in found) == sorted(permutations(range(K)))


@pytest.mark.equation("16.4")
@pytest.mark.parametrize("seed", range(5))
def test_every_rotation_matches_two_gaussians_and_has_an_inverse(seed):
    sx, sy = covariance(4, 10 + seed), covariance(4, 20 + seed)
    rotation = torch.linalg.qr(normal(4, 4, seed=seed))[0]
    G = power(sy, 0.5) @ rotation @ power(sx, -0.5)
    assert torch.allclose(G @ sx @ G.T, sy, atol=1e-9)
    F = power(sx, 0.5) @ rotation.T @ power(sy, -0.5)
    assert torch.allclose(F @ G, torch.eye(4, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(F @ sy @ F.T, sx, atol=1e-9)
    x, y = normal(10, 4) @ power(sx, 0.5), normal(10, 4, seed=9) @ power(sy, 0.5)
    assert cycle_loss(lambda v: v @ G.T, lambda v: v @ F.T, x, y) < 1e-9


@pytest.mark.equation("16.4")
def test_every_linear_solution_is_a_rotation():
    sx, sy = covariance(3, 1), covariance(3, 2)
    G = torch.linalg.cholesky(sy) @ torch.linalg.inv(torch.linalg.cholesky(sx))  # another way to match them
    assert torch.allclose(G @ sx @ G.T, sy, atol=1e-9)
    R = power(sy, -0.5) @ G @ power(sx, 0.5)
    assert torch.allclose(R @ R.T, torch.eye(3, dtype=torch.float64), atol=1e-9)
    assert not torch.allclose(R, torch.eye(3, dtype=torch.float64), atol=1e-2)


@pytest.mark.equation("16.5")
def test_the_papers_critic_sees_70_pixels_and_the_gradient_agrees():
    layers = ((4, 2), (4, 2), (4, 2), (4, 1), (4, 1))
    r = 1
    for kernel, stride in reversed(layers):
        r = stride * r + (kernel - stride)
    assert r == patch_receptive_field(layers) == 70
    critic = PatchCritic(1, width=1, layers=layers).double()
    x = normal(1, 1, 160, 160).requires_grad_()
    score = critic(x)
    [g] = torch.autograd.grad(score[0, 0, score.shape[2] // 2, score.shape[3] // 2], x)
    for axis in (2, 3):
        seen = (g != 0).any(axis)[0, 0].nonzero().flatten()
        assert len(seen) == 70
        assert seen[-1] - seen[0] == 69


@pytest.mark.equation("16.6")
def test_instance_normalization_gives_mean_0_and_variance_1_and_forgets_brightness_and_contrast():
    h = 3 * normal(4, 5, 8, 8) + normal(4, 5, 1, 1, seed=1)
    mean, variance = h.mean((2, 3), keepdim=True), h.var((2, 3), correction=0, keepdim=True)
    out = (h - mean) / variance.sqrt()
    assert out.mean((2, 3)).abs().max() < 1e-12
    assert (out.var((2, 3), correction=0) - 1).abs().max() < 1e-12
    layer = next(m for m in Translator(1, 1, width=5).modules() if isinstance(m, nn.InstanceNorm2d))
    assert torch.allclose(layer(h), out, atol=1e-4)
    other = (7 * h + 2 - (7 * h + 2).mean((2, 3), keepdim=True)) / (49 * variance).sqrt()
    assert torch.allclose(other, out, atol=1e-12)
