"""Search on a recorded table: what halving keeps, what a budget buys, what Optuna is told."""

import math
import sys

import pytest
import torch

from garm_course.practice.search import METHODS, Table, expected_minimum, halving, replay

STEPS = list(range(10, 91, 10))


def table(seed=0, n=(8, 4)):
    """Curves that fall and cross now and then."""
    rng = torch.Generator().manual_seed(seed)
    end = torch.rand(math.prod(n), 1, generator=rng) * 10 + 90
    early = torch.rand(math.prod(n), 1, generator=rng) * 30
    falls = torch.exp(-torch.tensor(STEPS) / 30.0)
    return Table({"a": list(range(n[0])), "b": list(range(n[1]))}, STEPS, end + early * falls)


def test_halving_keeps_the_best_of_each_rung_and_never_looks_ahead():
    losses = table().losses[:, [0, 2, 8]]
    rungs = halving(losses, 3)
    assert [len(rung) for rung in rungs] == [32, 10, 3]
    for k in (0, 1):
        kept, gone = losses[rungs[k + 1], k], losses[[i for i in rungs[k] if i not in rungs[k + 1]], k]
        assert kept.max() < gone.min()
        later = losses.clone()
        later[:, k + 1 :] = torch.rand(len(losses), losses.shape[1] - k - 1)
        assert halving(later, 3)[k + 1] == rungs[k + 1]


def test_halving_ends_with_one_and_puts_what_diverged_last():
    losses = torch.full((5, 4), math.nan)
    losses[3] = torch.tensor([9.0, 9.0, 9.0, 9.0])
    assert halving(losses, 3) == [[0, 1, 2, 3, 4], [3], [3], [3]]
    assert halving(losses[:1], 2) == [[0]] * 4
    for bad, eta in ((torch.zeros(0, 3), 3), (torch.zeros(3), 3), (torch.zeros(3, 3), 1)):
        with pytest.raises(ValueError, match="expected losses"):
            halving(bad, eta)


def test_the_least_of_m_normal_numbers():
    draws = torch.randn(200_000, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    least = draws.min(1).values
    assert abs(-least.mean() - expected_minimum(10)) < 4 * least.std() / len(draws) ** 0.5
    assert abs(expected_minimum(1)) < 1e-12
    assert expected_minimum(2) == pytest.approx(1 / math.sqrt(math.pi), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_regret_falls_is_the_same_for_a_seed_and_ends_at_zero(method):
    if "TPE" in method:
        pytest.importorskip("optuna")
    data = table()
    regret = replay(data, method, trainings=12, seed=1)
    assert torch.equal(regret, replay(data, method, trainings=12, seed=1))
    assert (regret[1:] <= regret[:-1]).all()
    assert (regret >= 0).all()
    if method == "random":
        assert replay(data, method, trainings=32, seed=1)[-1] == 0, "all were trained"


def test_random_search_has_the_regret_of_order_statistics():
    data = table()
    curves = torch.stack([replay(data, "random", trainings=3, seed=seed) for seed in range(600)])
    final = data.losses[:, -1]
    triples = torch.combinations(torch.arange(32), 3)
    exact = final[triples].min(1).values.mean() - final.min()
    assert abs(curves[:, -1].mean() - exact) < 4 * curves[:, -1].std() / 600**0.5


def test_looking_early_finishes_fewer_and_buys_more_where_early_looks_tell():
    data = table()
    told = Table(data.settings, STEPS, data.losses[:, -1:] + torch.linspace(9, 0, 9))  # ranks are right at once
    random, asha = (
        torch.stack([replay(told, method, trainings=8, seed=seed)[-1] for seed in range(200)]).mean()
        for method in ("random", "ASHA")
    )
    assert asha < 0.7 * random


def test_what_a_setting_explains_alone_sums_to_one_where_effects_add():
    a, b = torch.randn(8, 1), torch.randn(1, 4)
    data = Table({"a": list(range(8)), "b": list(range(4))}, [1], (a + b).view(32, 1))
    shares = data.explained()
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert data.place([2, 3]) == 11


def test_what_cannot_be_replayed_is_told(monkeypatch):
    with pytest.raises(ValueError, match="expected a method of random, median rule, ASHA"):
        replay(table(), "grid", trainings=3, seed=0)
    with pytest.raises(ValueError, match="trainings >= 1"):
        replay(table(), "random", trainings=0, seed=0)
    with pytest.raises(ValueError, match=r"expected losses \(6, 2\), got \(5, 2\)"):
        Table({"a": [1, 2], "b": [1, 2, 3]}, [1, 2], torch.zeros(5, 2))
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r'pip install "garm-course\[tune\]"'):
        replay(table(), "TPE", trainings=3, seed=0)
