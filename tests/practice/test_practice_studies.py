"""The studies of smaller models: in the form that their scripts make, and with the orders that lesson 20 tells."""

import importlib.util
import json
from statistics import mean

import pytest
import torch

from garm_course.paths import results_folder
from garm_course.recipes.studies import recorded_study

HOW = {"command", "versions", "hardware"}  # what `record` adds to a study


@pytest.fixture
def script(monkeypatch):
    """A function that loads a script of `studies/` as a module."""
    monkeypatch.setenv("GARM_PROGRESS", "0")

    def load(name):
        path = results_folder().parent / "studies" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def costs(run, kind):
    """What one way costs in a run, by its value: bits, or the share pruned."""
    return {cost["value"]: cost for cost in run["costs"] if cost["kind"] == kind}


@pytest.mark.slow
def test_a_run_of_compression_has_the_form_of_the_record(script, monkeypatch):
    module, kept = script("compression"), recorded_study("compression-digits")
    monkeypatch.setattr(module, "BITS", (8,))
    monkeypatch.setattr(module, "SHARES", (0.3,))
    made = json.loads(json.dumps(module.run("gated_pixelcnn", 0, 1)))
    [one] = [run for run in kept["runs"] if (run["model"], run["seed"]) == ("gated_pixelcnn", 0)]
    assert set(made) == set(one)
    assert (made["used"], made["weights"]) == (one["used"], one["weights"])
    for cost in made["costs"]:
        assert set(cost) == {"kind", "value", "lost", "stderr", "bytes"}
        assert cost["value"] in costs(one, cost["kind"])
        if cost["kind"].startswith("bits"):  # of a pruned model it hangs on where the zeros are
            assert cost["bytes"] == pytest.approx(costs(one, cost["kind"])[cost["value"]]["bytes"], rel=0.02)


def test_the_record_of_compression_is_a_whole_table(script):
    module, kept = script("compression"), recorded_study("compression-digits")
    assert kept["steps"] == module.MODELS
    assert [(r["model"], r["seed"]) for r in kept["runs"]] == [(m, s) for m in module.MODELS for s in range(3)]
    for run in kept["runs"]:
        [whole] = run["costs"][:1]
        assert (whole["kind"], whole["lost"]) == ("none", 0)
        assert set(costs(run, "pruned")) == set(module.SHARES)
        for per in ("tensor", "row"):
            found = costs(run, f"bits per {per}")
            assert set(found) == set(module.BITS)
            sizes = [found[bits]["bytes"] for bits in sorted(found)]
            assert sizes == sorted(sizes)
            assert sizes[-1] < whole["bytes"] / 2  # a mask's zeros are left out of the whole file, too


def test_eight_bits_are_free_and_rows_help_where_bits_are_few():
    runs = recorded_study("compression-digits")["runs"]
    for run in runs:
        assert abs(costs(run, "bits per row")[8]["lost"]) < 0.05
        assert abs(costs(run, "float16")[16]["lost"]) < 0.05
        for bits in (3, 4):
            assert costs(run, "bits per row")[bits]["lost"] < costs(run, "bits per tensor")[bits]["lost"]


def test_half_of_the_weights_of_a_made_are_masked_and_half_of_the_rest_is_fat():
    for run in recorded_study("compression-digits")["runs"]:
        lost = costs(run, "pruned")[0.5]["lost"]
        if run["model"] == "made":
            assert run["used"] == pytest.approx(run["weights"] / 2, rel=0.01)
            assert lost < 0.05
        else:
            assert run["used"] == run["weights"]
            assert lost > 1


@pytest.mark.slow
def test_the_script_of_distillation_makes_what_is_recorded(script, monkeypatch):
    module, kept = script("distillation"), recorded_study("distillation-digits")
    assert sorted(module.LOSSES) == sorted({run["loss"] for run in kept["runs"]})
    assert list(module.MEMBERS) == kept["members"]
    monkeypatch.setattr(module, "LOSSES", module.LOSSES[-1:])  # the longest
    monkeypatch.setattr(module, "MEMBERS", module.MEMBERS[:1])  # an ensemble of one
    made = json.loads(json.dumps(module.study(1, 1)))
    assert set(made) | HOW == set(kept)
    [alone], [first, *_] = made["ensemble"]["members"], kept["ensemble"]["members"]
    assert set(alone) == set(first)
    assert made["ensemble"]["nats"] == pytest.approx(first["nats"], abs=0.05)
    assert alone["gain"] == pytest.approx(0, abs=1e-3)
    assert set(made["runs"][0]) == set(kept["runs"][0])
    assert made["config"] == kept["config"]


def test_the_ensemble_is_better_than_each_member_and_teaches_a_little():
    kept = recorded_study("distillation-digits")
    for member in kept["ensemble"]["members"]:
        assert member["gain"] < 0
        assert kept["ensemble"]["nats"] - member["nats"] == pytest.approx(member["gain"], abs=1e-3)
    losses = {run["loss"] for run in kept["runs"]}
    assert {(run["loss"], run["seed"]) for run in kept["runs"]} == {(loss, s) for loss in losses for s in range(3)}
    for run in kept["runs"]:
        [plain] = [r for r in kept["runs"] if (r["loss"], r["seed"]) == ("NLL", run["seed"])]
        assert run["nats"] - plain["nats"] == pytest.approx(run["to_nll"], abs=1e-3)
    gain = {loss: mean(run["to_nll"] for run in kept["runs"] if run["loss"] == loss) for loss in losses}
    assert gain["KL, data and samples"] < gain["KL, data"] < -0.5 < gain["NLL"] == 0
    assert min(run["nats"] for run in kept["runs"]) > kept["ensemble"]["nats"] + 3  # and far from its teacher


def test_the_record_of_the_grid_is_what_a_replay_of_its_table_finds(script):
    module, kept = script("made_grid"), recorded_study("made_grid-digits")
    assert (kept["settings"], kept["steps"]) == (module.GRID, module.STEPS)
    table = module.Table(kept["settings"], kept["steps"], torch.tensor(kept["losses"]))
    assert {name: round(share, 3) for name, share in table.explained().items()} == {
        name: round(share, 3) for name, share in kept["explained"].items()
    }
    runs = {run["method"]: run for run in kept["runs"]}
    assert set(runs) == set(module.METHODS)
    again = module.regrets(table, "ASHA", 60)
    for budget in (5, 10, 20):
        spread = 60**0.5 * again["stderr"][budget - 1]
        gap = abs(again["mean"][budget - 1] - runs["ASHA"]["mean"][budget - 1])
        assert gap < 4 * spread * (1 / 60 + 1 / 400) ** 0.5


def test_the_record_of_the_grid_has_the_order_that_lesson_20_tells():
    runs = {run["method"]: run for run in recorded_study("made_grid-digits")["runs"]}

    def mean_of(method, budget):
        return runs[method]["mean"][budget - 1], runs[method]["stderr"][budget - 1]

    def clearly(better, worse, budget):
        (a, ea), (b, eb) = mean_of(better, budget), mean_of(worse, budget)
        return b - a > 4 * (ea**2 + eb**2) ** 0.5

    assert clearly("ASHA", "random", 5)
    assert clearly("ASHA", "random", 10)
    assert clearly("ASHA", "random", 20)
    assert not clearly("TPE", "random", 10)
    assert clearly("TPE", "random", 20)


@pytest.mark.slow
def test_a_small_grid_has_the_form_of_the_record(script, monkeypatch):
    module, kept = script("made_grid"), recorded_study("made_grid-digits")
    monkeypatch.setattr(module, "REPLAYS", 3)
    monkeypatch.setattr(module, "METHODS", ("random", "ASHA"))
    grid = {"lr": [1e-3, 1e-2], "hidden": [8], "dropout": [0.0], "input_dropout": [0.0]}
    made = json.loads(json.dumps(module.study(1, grid, [1, 2, 3])))
    assert set(made) == set(kept) - HOW
    assert [set(run) for run in made["runs"]] == [set(kept["runs"][0])] * 2
