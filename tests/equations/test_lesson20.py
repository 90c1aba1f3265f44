"""The numbered equations of lesson 20, practice, checked numerically."""

import itertools
import math

import pytest
import torch
from torch import nn

from garm_course.lessons.lesson20.checkpoint import checkpoint
from garm_course.lessons.lesson20.complete import complete, table
from garm_course.lessons.lesson20.halve import halve
from garm_course.lessons.lesson20.quantize_rows import quantize_rows
from garm_course.practice.compress import distillation_loss
from garm_course.practice.export import BATCHES, PARITY, Graph, parity


def uniform(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.equation("20.1")
def test_the_log_uniform_law_gives_every_power_of_ten_the_same_mass():
    low, high = 3e-4, 0.3
    x = low * (high / low) ** uniform(30_000)
    for start in (3e-4, 3e-3, 3e-2):
        share = ((x >= start) & (x < 10 * start)).double().mean().item()
        assert abs(share - 1 / 3) < 4 * math.sqrt(2 / 9 / 30_000)
    assert x.median().item() == pytest.approx(math.sqrt(low * high), rel=0.1)  # the geometric mean of the ends
    plain = low + (high - low) * uniform(30_000, seed=1)
    assert (plain > 0.1).double().mean() == pytest.approx(2 / 3, abs=0.02)
    assert (plain < 3e-3).double().mean() < 0.02


@pytest.mark.equation("20.2")
def test_the_chance_of_a_hit_among_m_draws():
    m, q = 60, 0.01
    hits = (uniform(20_000, m) < q).any(1).double()
    assert abs(hits.mean() - (1 - (1 - q) ** m)) < 4 * hits.std() / math.sqrt(20_000)
    assert pytest.approx(0.954, abs=5e-4) == 1 - 0.95**60
    assert pytest.approx(0.453, abs=5e-4) == 1 - 0.99**60


@pytest.mark.equation("20.3")
@pytest.mark.parametrize(("n", "eta", "R", "first"), [(27, 3, 3, 10), (64, 2, 5, 3), (16, 4, 2, 7), (5, 5, 1, 2)])
def test_the_steps_of_successive_halving_where_survivors_go_on(n, eta, R, first):
    counts = [len(rung) for rung in halve(uniform(n, R), eta)]
    ends = [first * eta**r for r in range(R)]
    steps = sum(count * (end - begun) for count, begun, end in zip(counts, [0, *ends], ends, strict=False))
    assert steps == pytest.approx(n * first * (1 + (R - 1) * (1 - 1 / eta)))
    again = sum(count * end for count, end in zip(counts, ends, strict=True))  # started anew at each rung
    assert again == n * first * R


def train(net, optimizer, steps):
    for _ in range(steps):
        x = torch.randn(5, 3)
        optimizer.zero_grad()
        (net(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()


@pytest.mark.equation("20.6")
@pytest.mark.parametrize("missing", ["nothing", "optimizer", "rng"])
def test_a_resumed_run_ends_as_one_that_was_never_stopped_unless_a_part_is_missing(missing):
    def run():
        net = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Dropout(0.2), nn.Linear(6, 1))
        return net, torch.optim.Adam(net.parameters(), lr=0.05)

    torch.manual_seed(0)
    net, optimizer = run()
    train(net, optimizer, 4)
    saved = checkpoint(net, optimizer)
    train(net, optimizer, 5)
    other, memory = run()
    other.load_state_dict(saved["model"])
    if missing != "optimizer":
        memory.load_state_dict(saved["optimizer"])
    if missing != "rng":
        torch.set_rng_state(saved["rng"])
    train(other, memory, 5)
    ends = zip(net.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in ends) == (missing == "nothing")


@pytest.mark.equation("20.7")
def test_the_first_step_of_adam_is_the_learning_rate_times_a_sign():
    g = torch.tensor([1e-3, -1.0, 1e3, 0.0], dtype=torch.float64)
    w = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    adam = torch.optim.Adam([w], lr=0.01)
    w.grad = g.clone()
    adam.step()
    assert torch.allclose(w.detach(), -0.01 * g / (g.square().sqrt() + 1e-8), rtol=1e-9)
    assert torch.allclose(w.detach(), -0.01 * g.sign(), atol=1e-6)


@pytest.mark.equation("20.8")
def test_rounding_moves_a_weight_by_half_a_scale_at_most_and_by_a_twelfth_of_its_square_on_average():
    w = (uniform(40, 500) - 0.5) * uniform(40, 1, seed=1).exp() * 10
    q, scale = quantize_rows(w)
    errors = (w - q * scale[:, None]).abs() / scale[:, None]
    assert errors.max() <= 0.5 + 1e-9
    assert errors.max() > 0.49
    assert q.abs().amax(1).tolist() == [127] * 40
    assert errors.square().mean().sqrt().item() == pytest.approx(1 / math.sqrt(12), rel=0.02)


@pytest.mark.equation("20.9")
@pytest.mark.parametrize("T", [0.5, 1.0, 4.0, 1000.0])
def test_the_gradient_of_distillation_is_a_difference_of_two_softmaxes_and_keeps_its_scale(T):
    s, t = 4 * uniform(2, 3, 7)
    s = s.clone().requires_grad_()
    theirs, ours = (t / T).softmax(-1), (s / T).softmax(-1)
    loss = T**2 * (theirs * (theirs / ours).log()).sum(-1).mean()
    assert distillation_loss(s, t, T).item() == pytest.approx(loss.item(), rel=1e-6)
    (slope,) = torch.autograd.grad(loss, s)
    assert torch.allclose(slope, T * (ours - theirs) / 3)
    if T == 1000:
        centered = s - s.mean(-1, keepdim=True) - t + t.mean(-1, keepdim=True)
        assert torch.allclose(slope, centered.detach() / 7 / 3, rtol=0.05, atol=1e-3)


@pytest.mark.equation("20.5")
def test_the_interval_of_a_mean_covers_it_in_nineteen_of_twenty_cases():
    x = -uniform(2000, 180).log() * 10  # skewed, as costs of images are; mean 10
    half = 1.96 * x.std(1) / math.sqrt(180)
    covered = ((x.mean(1) - 10).abs() <= half).double().mean()
    assert 0.925 < covered < 0.965


class Linear(nn.Module):
    def forward(self, x):
        return 1000 * x


@pytest.mark.equation("20.10")
def test_parity_is_relative_to_the_largest_number_and_asked_at_batches_that_were_not_traced():
    graph = Graph(Linear(), {"x": (5,)}, ["y"], {})
    graph.module.register_parameter("w", nn.Parameter(torch.zeros(1)))  # tells the type of the numbers

    def elsewhere(only=None):
        def session(values):
            x = torch.from_numpy(values["x"])
            if only not in (None, len(x)):
                raise ValueError("an input of another shape")
            y = 1000 * x
            y.view(-1)[0] += 0.004 * x.abs().max()  # 4 parts in a million of the largest number
            return [y.numpy()]

        return session

    assert parity(graph, elsewhere()) == pytest.approx(4e-6, rel=0.1)
    with pytest.raises(RuntimeError, match="traced with a batch of 3 and refuses one of 1"):
        parity(graph, elsewhere(only=3))
    assert {1, 3, 64} == set(BATCHES)
    assert pytest.approx(1e-5) == PARITY


@pytest.mark.equation("20.12")
def test_pixels_reach_both_ends_and_do_not_wrap():
    def pixels(x):
        return ((x.clip(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    assert pixels(torch.tensor([-5.0, -1.0, 0.999, 1.0, 1.01])).tolist() == [0, 0, 255, 255, 255]
    levels = torch.arange(256)
    assert torch.equal(pixels(levels / 127.5 - 1), levels.to(torch.uint8))  # there and back


@pytest.mark.equation("20.4")
@pytest.mark.parametrize(("m", "c"), [(10, 1.54), (50, 2.25)])
def test_the_best_of_equals_is_better_than_they_are(m, c):
    drawn = torch.randn(20_000, m, dtype=torch.float64, generator=torch.Generator().manual_seed(m))
    best = (3 + 0.5 * drawn).min(1).values
    assert abs(best.mean() - (3 - 0.5 * c)) < 4 * best.std() / math.sqrt(20_000) + 0.5 * 0.005


def probability(model, given, D, K):
    """p(given) by enumeration: -1 is free."""
    total = 0.0
    for values in itertools.product(range(K), repeat=D):
        if all(g in (-1, v) for g, v in zip(given, values, strict=True)):
            x = torch.tensor([values])
            total += math.exp(sum(model(x, i)[0, v].item() for i, v in enumerate(values)))
    return total


@pytest.mark.equation("20.11")
@pytest.mark.parametrize(("D", "K", "given"), [(5, 2, [-1, 1, -1, 0, 1]), (4, 3, [-1, 2, -1, 1])])
def test_the_evidence_of_particles_is_right_on_average_and_its_logarithm_is_too_low(D, K, given):
    model, values = table(D, K, 7), torch.tensor(given)
    runs, n = 1000, 4
    us, vs = uniform(runs, n, D), uniform(runs, D, seed=1)
    logs = torch.stack([complete(model, values, values >= 0, u, v)[1] for u, v in zip(us, vs, strict=True)])
    p, estimates = probability(model, given, D, K), logs.exp()
    assert abs(estimates.mean() - p) < 4 * estimates.std() / math.sqrt(runs)
    assert logs.mean() < math.log(p) - 4 * logs.std() / math.sqrt(runs)
