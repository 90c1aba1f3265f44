"""DP-SGD: its formula, its sensitivity, its accountant against an exact law, and the bound on any attack."""

import math

import pytest
import torch

from garm_course.autoregressive.made import MADE
from garm_course.inputs import readable
from garm_course.trust.privacy import (
    clipped_sum,
    dp_sgd_grad,
    epsilon,
    example_nll,
    poisson_batch,
    tpr_bound,
)
from garm_course.trust.private_training import fit_private


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def made():
    torch.manual_seed(0)
    return MADE((1, 3, 3), 4, hidden=(8,), direct=False)


def small(seed=0):
    """A model as (loss, params), examples, and noise."""
    model, x = made().double(), torch.randint(4, (6, 1, 3, 3), generator=rng(seed))
    params = dict(model.named_parameters())
    return (
        model,
        example_nll(model),
        params,
        x,
        {name: torch.randn(w.shape, generator=rng(9), dtype=w.dtype) for name, w in params.items()},
    )


@pytest.mark.parametrize("C", [0.5, 4.0, math.inf])
def test_the_private_gradient_is_the_written_one_whatever_the_chunks(C):
    model, loss, params, x, noise = small()
    total = {name: torch.zeros_like(w) for name, w in params.items()}
    for one in x:
        model.zero_grad()
        (-model.log_prob(one[None]).sum()).backward()
        norm = torch.cat([w.grad.flatten() for w in model.parameters()]).norm()
        for name, w in model.named_parameters():
            total[name] += w.grad * min(1.0, C / norm)
    model.zero_grad()
    sigma = 0.0 if math.isinf(C) else 0.7
    for chunk in (1, 4, 64):
        found = dp_sgd_grad(loss, params, x, C, sigma, noise, batch=8, chunk=chunk)
        for name in params:
            written = (total[name] + (sigma * C * noise[name] if sigma else 0)) / 8
            assert torch.allclose(found[name], written, atol=1e-10)
    assert all(w.grad is None for w in model.parameters())


def test_no_example_moves_the_sum_by_more_than_the_clip():
    def loss(params, x):
        return (params["a"] * x[0]).sum() + (params["b"] * x[1:]).sum()

    params = {"a": torch.zeros(1), "b": torch.zeros(3)}
    x = torch.randn(9, 4, generator=rng())
    for size in (0.01, 1.0, 1e3):
        more = torch.cat([x, size * torch.ones(1, 4)])
        before, after = (clipped_sum(loss, params, each, 1.5)[0] for each in (x, more))
        moved = torch.cat([(after[k] - before[k]).flatten() for k in params]).norm().item()
        assert moved == pytest.approx(min(1.5, 2 * size), rel=1e-3)


def test_when_nobody_is_drawn_the_step_is_noise():
    _, loss, params, x, noise = small()
    found = dp_sgd_grad(loss, params, x[:0], 2.0, 0.5, noise, batch=4)
    assert all(torch.allclose(found[name], noise[name] * 0.25) for name in params)
    total, norms = clipped_sum(loss, params, x[:0], 2.0)
    assert norms.shape == (0,)
    assert not any(one.any() for one in total.values())


def test_checks_read_values_again_outside_of_vmap():
    seen = []
    torch.func.vmap(lambda x: seen.append(readable(x)) or x)(torch.ones(2))
    assert seen == [False]
    assert readable(torch.ones(2))
    with pytest.raises(ValueError, match=r"levels 0\.\.3"):
        made().log_prob(torch.full((1, 1, 3, 3), 9))


def test_a_poisson_batch_has_a_binomial_size():
    sizes = torch.tensor([len(poisson_batch(50, 0.2, g)) for g in [rng(3)] for _ in range(2000)]).double()
    assert sizes.mean().item() == pytest.approx(10, abs=4 * math.sqrt(8 / 2000))
    assert sizes.var().item() == pytest.approx(8, rel=0.15)
    assert poisson_batch(5, 1.0, rng()).tolist() == [0, 1, 2, 3, 4]
    assert poisson_batch(3, 1e-12, rng()).tolist() == []


def normal_cdf(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


def delta_of_the_gaussian_mechanism(eps, sigma):
    """Exact: Balle, Wang (2018), arXiv 1805.06530, theorem 8, of sensitivity 1."""
    return normal_cdf(0.5 / sigma - eps * sigma) - math.exp(eps) * normal_cdf(-0.5 / sigma - eps * sigma)


@pytest.mark.parametrize("sigma", [0.8, 2.0])
@pytest.mark.parametrize("steps", [1, 9])
def test_the_accountant_knows_the_exact_law_of_the_gaussian_mechanism(sigma, steps):
    pytest.importorskip("opacus", reason="needs Opacus, of the extra `trust`")
    found = epsilon(sigma, 1.0, steps, 1e-3)
    one = sigma / math.sqrt(steps)  # without sampling, several steps are one of less noise
    assert delta_of_the_gaussian_mechanism(found, one) <= 1e-3  # an upper bound
    assert delta_of_the_gaussian_mechanism(found - 0.03, one) > 1e-3
    assert epsilon(sigma, 1.0, steps, 1e-3, "rdp") > found


def test_sampling_and_noise_lower_epsilon_and_steps_raise_it():
    pytest.importorskip("opacus", reason="needs Opacus, of the extra `trust`")
    base = epsilon(1.0, 64 / 1257, 250, 1e-3)
    assert base == pytest.approx(3.66, abs=0.02)  # 3.65 by the accountant of Google's dp-accounting 0.6.0
    assert epsilon(2.0, 64 / 1257, 250, 1e-3) < base < epsilon(1.0, 64 / 1257, 500, 1e-3) < epsilon(1.0, 1.0, 500, 1e-3)


def test_without_opacus_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opacus.accountants", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'garm-course\[trust\]'"):
        epsilon(1.0, 0.1, 10, 1e-3)


def test_the_best_attack_on_the_gaussian_mechanism_stays_below_the_bound_and_touches_it():
    """Neyman and Pearson: one draw of N(0, 1) or N(1/sigma, 1); at each epsilon the bound is a pair of tangents."""
    fpr = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    normal = torch.distributions.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)
    best = 1 - normal.cdf(normal.icdf(1 - fpr) - 1 / 1.2)
    for eps in (0.2, 1.0, 2.5):
        gap = tpr_bound(fpr, eps, delta_of_the_gaussian_mechanism(eps, 1.2)) - best
        assert gap.min() > -1e-9
        assert gap.min() < 1e-4


def test_private_training_learns_counts_and_goes_on_where_it_was_stopped(tmp_path):
    from garm_course.training import Checkpoints

    x = torch.randint(2, (40, 1, 3, 3), generator=rng())
    x[:, :, 1:] = x[:, :, :1]  # the rows are equal
    before, runs = -made().log_prob(x).mean().item(), []
    for steps in ((60,), (60, 60)):
        model = made()
        settings = {"C": 5.0, "sigma": 0.3, "lr": 0.02, "steps": 60, "batch_size": 10, "look_every": 20}
        if len(steps) > 1:  # a run of which the last third is taken again
            folder = Checkpoints(tmp_path, every=20, keep=9)
            fit_private(made(), x, checkpoints=folder, **settings)
            newest = sorted(p for p in tmp_path.iterdir() if "60" in p.name)
            assert newest
            for path in newest:
                path.unlink() if path.is_file() else __import__("shutil").rmtree(path)
            history = fit_private(model, x, checkpoints=folder, resume=True, **settings)
        else:
            history = fit_private(model, x, **settings)
        runs.append((model, history))
    assert -runs[0][0].log_prob(x).mean().item() < before - 2
    assert all(torch.equal(a, b) for a, b in zip(runs[0][0].parameters(), runs[1][0].parameters(), strict=True))
    assert runs[0][1].norms == runs[1][1].norms
    assert [step for step, _ in runs[0][1].drawn] == [20, 40, 60]
    assert sum(mean for _, mean in runs[0][1].drawn) / 3 == pytest.approx(10, abs=4 * math.sqrt(7.5 / 60))
    assert all(0 <= share <= 1 for _, share in runs[0][1].clipped)


def test_private_training_divides_by_the_expected_batch_and_counts_what_it_clips(monkeypatch):
    from garm_course.trust import private_training

    seen, written = [], private_training.noisy_mean
    monkeypatch.setattr(private_training, "noisy_mean", lambda *all: seen.append(all[1:3] + all[4:]) or written(*all))
    x = torch.randint(4, (40, 1, 3, 3), generator=rng())
    for clip, share in ((1e-4, 1.0), (1e6, 0.0)):
        history = fit_private(made(), x, C=clip, sigma=0.1, steps=4, batch_size=10, look_every=1)
        assert {drawn for _, drawn in history.drawn} != {10.0}
        assert [clipped for _, clipped in history.clipped] == [share] * 4
    assert seen == [(clip, 0.1, pytest.approx(10)) for clip in (1e-4, 1e6) for _ in range(4)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"C": 0.0}, "C=0.0"),
        ({"sigma": -1.0}, "sigma=-1.0"),
        ({"C": math.inf}, "finite C with noise"),
        ({"data": torch.zeros(0, 1, 3, 3, dtype=torch.long)}, "empty data set"),
        ({"model": MADE((1, 3, 3), 4, 2, hidden=(8,))}, "without classes"),
    ],
)
def test_private_training_refuses_what_makes_no_sense(change, said):
    call = {"model": made(), "data": torch.zeros(5, 1, 3, 3, dtype=torch.long), "C": 1.0, "sigma": 1.0} | change
    with pytest.raises(ValueError, match=said):
        fit_private(call.pop("model"), call.pop("data"), steps=2, **call)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: epsilon(0.0, 0.1, 10, 1e-3), "sigma=0.0"),
        (lambda: epsilon(1.0, 1.1, 10, 1e-3), "rate=1.1"),
        (lambda: epsilon(1.0, 0.1, 0, 1e-3), "steps=0"),
        (lambda: epsilon(1.0, 0.1, 10, 0.0), "delta=0.0"),
        (lambda: epsilon(1.0, 0.1, 10, 1.0), "delta=1.0"),
        (lambda: epsilon(1.0, 0.1, 10, 1e-3, "mine"), "accountant"),
        (lambda: tpr_bound(torch.tensor(0.1), 0.0, 1e-3), "epsilon=0.0"),
        (lambda: tpr_bound(torch.tensor(0.1), 1.0, 2.0), "delta=2.0"),
        (lambda: tpr_bound(torch.tensor(1.5), 1.0, 0.1), "false positive rates"),
        (lambda: poisson_batch(5, 0.0, rng()), "rate=0.0"),
        (lambda: dp_sgd_grad(*small()[1:4], 1.0, 1.0, {}, 4), "noise of the names"),
        (lambda: dp_sgd_grad(*small()[1:4], 1.0, 1.0, small()[4], 0), "batch=0"),
    ],
)
def test_numbers_out_of_range_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
