"""The numbered equations of lesson 06, fast and controlled sampling, checked numerically."""

import math

import pytest
import torch
import torch.nn.functional as F
from counting import flops
from small_models import MODELS, small_model

from garm_course.autoregressive.layers.attention import CausalAttention, KeyValueCache
from garm_course.autoregressive.layers.causal_conv1d import CausalConv1d, RingBuffer, conv_step
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.autoregressive.sampling.speculative import excess, output_dist
from garm_course.distributions.filters import draw, filter_logits


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def distributions(n=200, levels=9, spread=3.0, seed=0):
    return (spread * torch.randn(n, levels, generator=rng(seed), dtype=torch.float64)).softmax(-1)


@pytest.mark.equation("6.1")
@pytest.mark.parametrize("cls", [PixelCNN, GatedPixelCNN])
@pytest.mark.parametrize("n", [1, 3])
def test_naive_drawing_costs_a_pass_for_each_value_and_cached_drawing_one_pass(cls, n):
    model = small_model(cls, (1, 9, 8), 2, dtype=torch.float32)
    with torch.no_grad():
        one_pass = flops(lambda: model(torch.zeros(n, 1, 9, 8, dtype=torch.long)))
    assert flops(lambda: model.sample_naive(n)) == 72 * one_pass
    assert 0.7 * one_pass < flops(lambda: model.sample(n)) <= one_pass


@pytest.mark.equation("6.2")
@pytest.mark.parametrize(("k", "dilation"), [(1, 1), (2, 1), (2, 8), (3, 1), (3, 3), (4, 2)])
def test_an_output_needs_the_last_inputs_and_a_ring_keeps_just_these(k, dilation):
    torch.manual_seed(0)
    conv = CausalConv1d(3, 2, k, dilation=dilation).double()
    x = torch.randn(2, 3, 31, generator=rng(), dtype=torch.float64)
    w, whole = conv.weight, conv(x)
    padded = F.pad(x, ((k - 1) * dilation, 0))
    ring, buf = RingBuffer(conv, 2), torch.zeros(2, 3, (k - 1) * dilation, dtype=torch.float64)
    assert len(ring.slots) == (k - 1) * dilation
    for t in range(31):
        # x_{t - (k-1-j) d} stands at t + j d of the padded sequence
        expected = sum(padded[..., t + j * dilation] @ w[..., j].T for j in range(k))
        y, buf = conv_step(x[..., t], buf, w, dilation)
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(ring.step(x[..., t]), expected + conv.bias, rtol=0, atol=1e-12)
        torch.testing.assert_close(whole[..., t], expected + conv.bias, rtol=0, atol=1e-12)


@pytest.mark.equation("6.3")
def test_an_output_of_attention_is_a_mean_over_the_past_and_the_cache_gives_it():
    torch.manual_seed(0)
    layer = CausalAttention(8).double()
    x = torch.randn(2, 12, 8, generator=rng(), dtype=torch.float64)
    cache, rows = KeyValueCache(layer, 2, 12), layer(x)
    q, k, v = layer.qkv(x).chunk(3, -1)
    for t in range(12):
        a = torch.stack([(q[:, t] * k[:, s]).sum(-1) / math.sqrt(8) for s in range(t + 1)], 1).exp()
        a = a / a.sum(1, keepdim=True)
        expected = layer.out(sum(a[:, s, None] * v[:, s] for s in range(t + 1)))
        torch.testing.assert_close(rows[:, t], expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(cache.extend(x[:, t : t + 1])[:, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.equation("6.4")
def test_a_value_is_the_first_whose_cumulative_probability_exceeds_the_uniform():
    p = distributions()
    u = torch.rand(200, generator=rng(1), dtype=torch.float64)
    for row, at, found in zip(p, u, draw(p.log(), u), strict=True):
        assert found == next(k for k in range(9) if row[: k + 1].sum() > at)


@pytest.mark.equation("6.4")
@pytest.mark.parametrize("cls", MODELS)
def test_the_same_uniforms_give_the_same_images(cls):
    model = small_model(cls, (1, 4, 5), 3)
    cached = model.sample(6, rng=rng())
    assert torch.equal(cached, model.sample_naive(6, rng=rng()))
    u = torch.rand(6, 20, generator=rng(), dtype=torch.float64)
    log_p = model.to_sequence(model.head.log_probs(model(cached)))  # teacher forcing on what was drawn
    assert torch.equal(draw(log_p, u), model.to_sequence(cached))


@pytest.mark.equation("6.5")
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 2.0, 7.0])
def test_temperature_is_a_power_of_the_probabilities(temperature):
    p = distributions()
    expected = p ** (1 / temperature)
    found = filter_logits(p.log() + 3, temperature=temperature).softmax(-1)
    torch.testing.assert_close(found, expected / expected.sum(-1, keepdim=True), rtol=1e-9, atol=1e-12)


@pytest.mark.equation("6.5")
def test_temperature_zero_is_the_limit():
    p = distributions()
    cold = filter_logits(p.log(), temperature=1e-4).softmax(-1)
    zero = filter_logits(p.log(), temperature=0).softmax(-1)
    assert torch.equal(zero.argmax(-1), p.argmax(-1))
    assert torch.equal(zero.max(-1).values, torch.ones(200).double())
    torch.testing.assert_close(cold, zero, rtol=0, atol=1e-6)


@pytest.mark.equation("6.6")
def test_the_entropy_rises_with_the_temperature_by_a_variance():
    log_p = distributions(levels=6, spread=1.0).log()
    T = torch.linspace(0.2, 5, 9, dtype=torch.float64)[:, None].requires_grad_()
    p = (log_p[:, None] / T).softmax(-1)  # (200, 9, 6)
    entropy = -(p * p.log()).sum(-1)
    for k in range(9):  # d entropy[:, k] / d T[k], for each distribution
        slopes = torch.stack([torch.autograd.grad(h, T, retain_graph=True)[0][k, 0] for h in entropy[:20, k]])
        mean = (p[:20, k] * log_p[:20]).sum(-1)
        variance = (p[:20, k] * log_p[:20] ** 2).sum(-1) - mean**2
        torch.testing.assert_close(slopes, variance.detach() / T[k, 0].item() ** 3, rtol=1e-7, atol=1e-10)
    assert (entropy.diff(dim=1) > 0).all()
    flat = filter_logits(torch.tensor([0.5, 0.5, 0.0]).log(), temperature=3.0).softmax(-1)
    torch.testing.assert_close(flat, torch.tensor([0.5, 0.5, 0.0]))  # the exception


@pytest.mark.equation("6.7")
def test_what_is_kept_and_what_is_corrected_add_up_to_the_target():
    p, q = distributions(seed=1), distributions(seed=2)
    kept = q * (p / q).clamp(max=1)
    refused = 1 - torch.minimum(p, q).sum(-1, keepdim=True)
    positive = (p - q).clamp(min=0)
    torch.testing.assert_close(positive.sum(-1, keepdim=True), refused, rtol=0, atol=1e-12)
    total = kept + refused * positive / positive.sum(-1, keepdim=True)
    torch.testing.assert_close(total, p, rtol=0, atol=1e-12)
    accepted, corrected = output_dist(p, q)
    torch.testing.assert_close(accepted, kept, rtol=0, atol=1e-12)
    torch.testing.assert_close(corrected, total - kept, rtol=0, atol=1e-12)
    torch.testing.assert_close(1 - accepted.sum(-1), 0.5 * (p - q).abs().sum(-1), rtol=0, atol=1e-12)


@pytest.mark.equation("6.7")
def test_the_two_moves_simulated_follow_the_target():
    p, q = distributions(1, seed=1)[0], distributions(1, seed=2)[0]
    n = 200_000
    u = torch.rand(3, n, generator=rng(3), dtype=torch.float64)
    guess = draw(q.log().expand(n, -1), u[0])
    keep = u[1] < p[guess] / q[guess]
    out = torch.where(keep, guess, draw(excess(p, q).log().expand(n, -1), u[2]))
    error = (p * (1 - p) / n).sqrt()
    assert ((torch.bincount(out, minlength=9) / n - p).abs() <= 4 * error + 1e-12).all()
    assert ((torch.bincount(guess, minlength=9) / n - p).abs() > 4 * error).any()  # the draft is another law
    kept = torch.minimum(p, q).sum()
    assert abs(keep.double().mean() - kept) < 4 * (kept * (1 - kept) / n).sqrt()


@pytest.mark.equation("6.8")
@pytest.mark.parametrize(("alpha", "block"), [(0.3, 4), (0.9, 8), (0.95, 28), (0.5, 1)])
def test_values_settled_by_a_pass(alpha, block):
    formula = (1 - alpha**block) / (1 - alpha)
    assert sum(alpha ** (j - 1) for j in range(1, block + 1)) == pytest.approx(formula)
    kept = torch.rand(100_000, block, generator=rng(), dtype=torch.float64) < alpha
    settled = (kept.long().cumprod(1).sum(1) + 1).clamp(max=block).double()
    assert abs(settled.mean().item() - formula) <= 4 * settled.std().item() / math.sqrt(len(settled))


@pytest.mark.equation("6.9")
def test_the_largest_of_logits_with_gumbel_noise_follows_the_softmax():
    logits = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0], dtype=torch.float64)
    n = 400_000
    noise = -(-torch.rand(n, 5, generator=rng(), dtype=torch.float64).log()).log()
    p = logits.softmax(-1)
    found = torch.bincount((logits + noise).argmax(-1), minlength=5) / n
    assert ((found - p).abs() < 4 * (p * (1 - p) / n).sqrt()).all()


@pytest.mark.equation("6.9")
def test_the_integral_is_the_softmax():
    logits = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0], dtype=torch.float64)
    z = torch.linspace(-12, 40, 200_001, dtype=torch.float64)[:, None]
    density = (-(z - logits) - (-(z - logits)).exp()).exp()  # of each noisy logit
    below = (-(-(z - logits)).exp()).exp()
    for j in range(5):
        others = below[:, [k for k in range(5) if k != j]].prod(1)
        integral = torch.trapezoid(density[:, j] * others, z[:, 0])
        assert integral.item() == pytest.approx(logits.softmax(-1)[j].item(), abs=1e-9)
        product = (logits[j] - z[:, 0] - logits.exp().sum() * (-z[:, 0]).exp()).exp()
        torch.testing.assert_close(density[:, j] * others, product, rtol=1e-9, atol=1e-12)
