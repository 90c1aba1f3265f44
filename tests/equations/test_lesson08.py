"""The numbered equations of lesson 08, WaveNet and sound, checked numerically."""

import itertools
import math

import numpy as np
import pytest
import torch
from small_models import small_model

from garm_course.autoregressive.wavenet import WaveNet
from garm_course.datasets.plucked import NOTES, OnePeriod, Plucked, pluck
from garm_course.evaluation.audits import dependence
from garm_course.evaluation.sound import harmonic_decay, real_time_factor
from garm_course.lessons.lesson08.causal_conv1d import causal_conv1d
from garm_course.lessons.lesson08.physicist import physicist
from garm_course.lessons.lesson08.receptive_field import receptive_field
from garm_course.lessons.lesson08.residual_stack import residual_stack
from garm_course.transforms import mu_law_decode, mu_law_encode


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def decibels(wave, coded):
    return 10 * math.log10(wave.square().mean() / (wave - coded).square().mean())


@pytest.mark.equation("8.1")
def test_mu_law_is_inverted_up_to_half_a_level_and_is_fine_where_it_is_quiet():
    x = torch.linspace(-1, 1, 200_001, dtype=torch.float64)
    f = x.sign() * torch.log1p(255 * x.abs()) / math.log(256)
    assert torch.equal(mu_law_encode(x), (127.5 * (f + 1)).round().long())
    levels = torch.arange(256)
    assert torch.equal(mu_law_encode(mu_law_decode(levels)), levels)
    error = (mu_law_decode(mu_law_encode(x)).double() - x).abs()
    assert 0.0215 < error.max() < 0.0217
    assert error[x.abs() < 0.01].max() < 0.00031


@pytest.mark.equation("8.1")
def test_mu_law_wins_where_it_is_quiet_and_loses_where_it_is_loud():
    sine = torch.sin(2 * math.pi * 220 * torch.arange(8000, dtype=torch.float64) / 8000)
    for loudness, linear, mu_law in ((0.01, 9.27, 33.7), (0.5, 43.2, 38.4)):
        wave = loudness * sine
        even = (127.5 * (wave + 1)).round() / 127.5 - 1
        assert decibels(wave, even) == pytest.approx(linear, abs=0.1)
        assert decibels(wave, mu_law_decode(mu_law_encode(wave)).double()) == pytest.approx(mu_law, abs=0.1)


@pytest.mark.equation("8.2")
@pytest.mark.parametrize(("kernel", "dilations"), [(2, (1, 2, 4)), (3, (1, 3)), (2, (1, 2, 1, 2)), (4, (1, 4))])
def test_a_prediction_depends_on_as_many_samples_as_the_formula_says(kernel, dilations):
    torch.manual_seed(0)
    model = WaveNet((20,), 5, channels=4, skip=4, kernel=kernel, dilations=dilations).double()
    reach = receptive_field(kernel, dilations)
    assert model.reach == reach
    seen = dependence(model, (20,), 5, examples=6) > 0
    assert torch.equal(seen, torch.ones(20, 20).tril(-1).triu(-reach).bool())


@pytest.mark.equation("8.3")
@pytest.mark.parametrize(("k", "dilation"), [(1, 1), (2, 1), (2, 4), (3, 2), (3, 9)])
def test_a_causal_convolution_is_the_sum_and_has_no_gradient_in_the_future(k, dilation):
    x = torch.randn(2, 3, 12, generator=rng(), dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, 3, k, generator=rng(1), dtype=torch.float64)
    y = causal_conv1d(x, w, dilation)
    for t in range(12):
        times = [t - (k - 1 - j) * dilation for j in range(k)]
        expected = sum(x[..., s] @ w[..., j].T for j, s in enumerate(times) if s >= 0)
        torch.testing.assert_close(y[..., t], expected, rtol=0, atol=1e-12)
        (slope,) = torch.autograd.grad(y[..., t].sum(), x, retain_graph=True)
        assert (slope != 0).any(1).any(0).nonzero()[:, 0].tolist() == [s for s in times if s >= 0]


@pytest.mark.equation("8.4")
@pytest.mark.parametrize("dilations", [(1,), (1, 2, 4), (1, 2, 1, 2)])
def test_the_stack_is_the_heart_of_wavenet(dilations):
    torch.manual_seed(0)
    model = WaveNet((20,), 7, 3, channels=5, skip=6, dilations=dilations).double()
    for p in model.parameters():
        p.data.normal_(0, 0.4, generator=rng(3))
    x, y = torch.randint(7, (3, 20), generator=rng()), torch.tensor([0, 2, 1])
    h = torch.nn.functional.embedding(model.shifted(x), model.inputs()).mT
    residuals = [linear.weight for linear in model.residuals]
    layers = list(
        zip(
            dilations,
            [gate.weight.unflatten(1, (-1, 5)).mT for gate in model.gates],
            [gate.bias + note for gate, note in zip(model.gates, model.class_biases(y), strict=True)],
            [*residuals, torch.zeros(5, 5, dtype=torch.float64)],
            model.skips[0].weight.split(5, 1),
            strict=True,
        )
    )
    skips = residual_stack(h, layers) + model.skips[0].bias[:, None]
    torch.testing.assert_close(model.read_out(skips.mT), model(x, y), rtol=0, atol=1e-12)


@pytest.mark.equation("8.5")
def test_real_time_is_seconds_of_computing_for_each_second_of_sound():
    assert real_time_factor(3.0, 4000, rate=8000) == 6.0
    assert real_time_factor(0.25, 8000, rate=16000) == 0.5


@pytest.mark.equation("8.6")
@pytest.mark.parametrize("length", [100, 400])
def test_a_note_costs_its_coin_flips_whatever_its_length(length):
    data = Plucked("test", notes=("A3", "D4", "G4"), length=length, n=60)
    for k, note in enumerate(data.notes):
        x = data.x[data.y == k]
        given = data.log_prob(x, torch.full((len(x),), k))
        torch.testing.assert_close(given, torch.full_like(given, -(1 + NOTES[note]) * math.log(2)))
        torch.testing.assert_close(data.log_prob(x), given - math.log(3))
    periods = (36 + 27 + 20) / 3
    assert data.entropy().nats == pytest.approx(math.log(6) + periods * math.log(2))


def entropy(rows):
    share = torch.unique(rows, dim=0, return_counts=True)[1].double() / len(rows)
    return -(share * share.log()).sum().item()


def memory_costs(x, r):
    """H(x_t | the last r samples) for each t, of the equally likely rows of x."""
    costs = []
    for t in range(x.shape[1]):
        window = x[:, max(0, t - r) : t + 1]
        costs.append(entropy(window) - (entropy(window[:, :-1]) if window.shape[1] > 1 else 0))
    return costs


@pytest.mark.equation("8.7")
def test_a_memory_of_few_samples_costs_more_the_longer_the_sound_and_the_excess_is_a_divergence():
    signs = torch.tensor(list(itertools.product([-1, 1], repeat=6)))
    x = mu_law_encode(pluck(signs, 0.8, 0.98, 60))
    floor = 6 * math.log(2)
    assert sum(memory_costs(x, 60)) == pytest.approx(floor)
    totals = [sum(memory_costs(x, r)) for r in range(8)]
    assert totals == sorted(totals, reverse=True)
    assert totals[2] > floor + 1
    at_30, at_60 = sum(memory_costs(x, 1)[:30]) - entropy(x[:, :30]), sum(memory_costs(x, 1)) - entropy(x)
    assert 0 < at_30 < at_60
    # the best model with a memory of 2 is p(x_t | x_{t-2}, x_{t-1}) itself: its excess is KL(p || q)
    log_q = torch.zeros(64, dtype=torch.float64)
    for t in range(60):
        window = x[:, max(0, t - 2) : t + 1]
        same = (window[:, None] == window[None]).all(-1).sum(1)
        past = (window[:, None, :-1] == window[None, :, :-1]).all(-1).sum(1)
        log_q += (same / past).double().log()
    kl = -math.log(64) - log_q.mean().item()  # sum over p = 1/64 of log p - log q
    assert kl == pytest.approx(totals[2] - floor)


@pytest.mark.equation("8.7")
def test_the_physicist_pays_for_the_pluck_and_then_for_what_rounding_hides():
    data = Plucked("test", notes=("A3", "D4", "G4"), length=400, n=30)
    nats = physicist(data)
    torch.testing.assert_close(nats.sum(1), -OnePeriod(data).log_prob(data.x, data.y), rtol=1e-6, atol=0)
    for x, y in zip(nats, data.y, strict=True):
        p = NOTES[data.notes[y]]
        assert x[:p].sum() == pytest.approx((p + 1) * math.log(2))
        assert 0.2 * (400 - p) < x[p:].sum() < (400 - p)
    excess = nats.cumsum(1).mean(0) + data.log_prob(data.x, data.y).mean()
    assert 0 < excess[200] < excess[-1]


@pytest.mark.equation("8.8")
@pytest.mark.parametrize("note", ["A3", "D4", "G4"])
def test_harmonics_fade_by_the_cosine(note):
    p, g = NOTES[note], 0.98
    # a sound z^t obeys the string where z^(p + 1) = g (z + 1) / 2
    roots = np.roots([1, *[0] * (p - 1), -g / 2, -g / 2])
    for m in (1, 3, 6):
        angle = 2 * math.pi * m / (p + 0.5)
        root = roots[np.abs(np.angle(roots) - angle).argmin()]
        assert np.angle(root) == pytest.approx(angle, rel=2e-3)
        assert abs(root) ** (p + 0.5) == pytest.approx(g * math.cos(math.pi * m / (p + 0.5)), rel=2e-3)
    wave = pluck(torch.where(torch.rand(8, p, generator=rng()) < 0.5, -1, 1), 0.8, g, 2000)
    fades = harmonic_decay(wave, period=p + 0.5, harmonics=3, start=4 * p).median(0).values
    expected = [g * math.cos(math.pi * m / (p + 0.5)) for m in (1, 2, 3)]
    assert fades.tolist() == pytest.approx(expected, abs=0.01)


@pytest.mark.equation("8.4")
def test_an_untrained_head_of_zeros_costs_ln_of_the_levels_a_sample():
    model = small_model(WaveNet, (10,), 7, 2)
    torch.nn.init.zeros_(model.head_out.weight)
    torch.nn.init.zeros_(model.head_out.bias)
    x = torch.randint(7, (4, 10), generator=rng())
    torch.testing.assert_close(
        -model.log_prob(x, torch.tensor([0, 1, 1, 0])).double(), torch.full((4,), 10 * math.log(7), dtype=torch.float64)
    )
