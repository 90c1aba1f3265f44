"""What keeps a critic flat: penalties by example, differentiable twice; clipping; power iteration; what is refused."""

import itertools

import pytest
import torch
from torch import nn

from garm_course.adversarial.gan import DCCritic, MLPCritic
from garm_course.adversarial.lipschitz import (
    batch_normalized,
    clip_weights,
    gradient_penalty,
    input_gradient,
    r1_of_scores,
    r1_penalty,
    spectral_norm,
)


def randn(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def critic(shape=(1, 4, 8), cls=MLPCritic, **options):
    torch.manual_seed(0)
    return cls(shape, **options).double()


@pytest.mark.parametrize("cls", [MLPCritic, DCCritic])
def test_the_penalty_takes_one_norm_for_each_example(cls):
    net, x, y, eps = critic(cls=cls), randn(6, 1, 4, 8), randn(6, 1, 4, 8, seed=1), torch.rand(6, dtype=torch.float64)
    each = [gradient_penalty(net, x[k : k + 1], y[k : k + 1], eps[k : k + 1]) for k in range(6)]
    assert gradient_penalty(net, x, y, eps).item() == pytest.approx(torch.stack(each).mean().item())
    each = [r1_penalty(net, x[k : k + 1]) for k in range(6)]
    assert r1_penalty(net, x).item() == pytest.approx(torch.stack(each).mean().item())


def test_a_critic_of_slope_one_is_not_fined_whatever_the_batch():
    w = nn.functional.normalize(randn(12), dim=0)
    for n in (1, 64):
        x = randn(n, 12, seed=n)
        assert gradient_penalty(lambda t: t @ w, x, x + 1, torch.rand(n)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("penalty", ["gradient", "r1"])
def test_penalties_have_the_gradient_of_finite_differences_in_the_weights(penalty):
    net, x, y, eps = critic((5,), hidden=(7,)), randn(6, 5), randn(6, 5, seed=1), torch.rand(6, dtype=torch.float64)

    def value():
        return gradient_penalty(net, x, y, eps) if penalty == "gradient" else r1_penalty(net, x, gamma=0.8)

    weight = net.read_out.score.weight
    [slope] = torch.autograd.grad(value(), weight)
    for k in range(7):
        ends = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight[0, k] += step
            ends.append(value().item())
            with torch.no_grad():
                weight[0, k] -= step
        assert slope[0, k].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-8)


def test_penalties_look_where_they_should():
    seen = []

    def watched(t):
        seen.append(t.detach().clone())
        return t.square().sum(1)

    x, y = randn(5, 3), randn(5, 3, seed=1)
    eps = torch.tensor([0.0, 1.0, 0.25, 0.5, 0.75], dtype=torch.float64)
    gradient_penalty(watched, x, y, eps)
    r1_penalty(watched, x)
    assert torch.allclose(seen[0], eps[:, None] * x + (1 - eps[:, None]) * y)
    assert torch.equal(seen[1], x)
    assert not x.requires_grad
    assert not y.requires_grad


def test_a_penalty_leaves_no_gradient_in_the_fakes():
    net, made = critic((3,)), randn(4, 3).requires_grad_()
    gradient_penalty(net, randn(4, 3, seed=1), made * 2, torch.rand(4, dtype=torch.float64)).backward()
    assert made.grad is None
    assert all(w.grad is not None for w in net.read_out.score.parameters() if w.ndim == 2)


def test_classes_reach_a_conditional_critic():
    net, x, y = critic((3,), n_classes=4), randn(5, 3), torch.tensor([0, 1, 2, 3, 0])
    eps = torch.rand(5, dtype=torch.float64)
    assert gradient_penalty(net, x, x + 1, eps, y) != gradient_penalty(net, x, x + 1, eps, y.roll(1))
    assert r1_penalty(net, x, y) != r1_penalty(net, x, y.roll(1))


def test_r1_of_scores_is_r1():
    net, x = critic((3,)), randn(5, 3).requires_grad_()
    assert torch.equal(r1_of_scores(net(x), x, 0.4), r1_penalty(net, x.detach(), gamma=0.4))
    assert torch.allclose(input_gradient(x.square().sum(1), x), 2 * x)


def test_a_flat_critic_gives_a_finite_penalty_and_gradient():
    net = nn.Linear(3, 1, dtype=torch.float64)
    nn.init.zeros_(net.weight)
    penalty = gradient_penalty(lambda t: net(t)[:, 0], randn(4, 3), randn(4, 3, seed=1), torch.rand(4))
    assert penalty.item() == 1
    [slope] = torch.autograd.grad(penalty, net.weight)
    assert torch.isfinite(slope).all()


def test_clipping_changes_nothing_within_the_limits():
    net = critic((3,))
    before = [w.detach().clone() for w in net.parameters()]
    clip_weights(net, 100.0)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    clip_weights(net, 0.05)
    assert max(w.abs().max().item() for w in net.parameters()) == pytest.approx(0.05)


@pytest.mark.parametrize("shape", [(3, 9), (9, 3), (1, 5), (6, 6)])
def test_power_iteration_reaches_the_largest_singular_value_from_below(shape):
    W, u = randn(*shape), randn(shape[0], seed=1)
    exact = torch.linalg.svdvals(W)[0].item()
    values = [spectral_norm(W, u, n)[0].item() for n in (1, 2, 5, 1000)]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(values))  # equal ones may differ in their last bit
    assert values[-1] == pytest.approx(exact, abs=1e-8)
    assert values[0] <= exact + 1e-12
    _, on = spectral_norm(W, u, 3)
    assert torch.allclose(spectral_norm(W, on, 2)[0], spectral_norm(W, u, 5)[0])
    assert on.norm().item() == pytest.approx(1)


def test_the_spectral_norm_has_the_gradient_of_the_singular_value():
    W, u = randn(4, 6).requires_grad_(), randn(4, seed=1)
    [found] = torch.autograd.grad(spectral_norm(W, u, 2000)[0], W)
    [exact] = torch.autograd.grad(torch.linalg.svdvals(W)[0], W)
    assert torch.allclose(found, exact, atol=1e-6)


def test_batch_normalization_is_seen_wherever_it_stands():
    assert not batch_normalized(critic())
    assert batch_normalized(DCCritic((1, 8, 8), batch_norm=True))
    assert batch_normalized(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))


def test_what_does_not_fit_is_refused():
    x = randn(4, 3)
    for call, message in [
        (lambda: gradient_penalty(torch.sum, x, x[:3], torch.rand(4)), r"one shape, got \(4, 3\) and \(3, 3\)"),
        (lambda: gradient_penalty(torch.sum, x, x, torch.rand(4, 1)), r"eps \(4,\), one number for each example"),
        (lambda: clip_weights(critic(), 0.0), "c > 0, got 0"),
        (lambda: spectral_norm(x, randn(3)), r"a matrix \(M, N\) and u \(M,\)"),
        (lambda: spectral_norm(x, randn(4), 0), "at least one step, got n=0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
