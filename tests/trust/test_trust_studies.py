"""The recorded studies of lesson 19: in the form that their scripts make, and with the orders that the lesson tells."""

import importlib.util
import itertools
import json
import math
from statistics import mean

import pytest

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


def alike(made, kept, seeds=3):
    """Whether two records have the same names, and the second so many seeds of each setting."""
    assert set(made) | HOW == set(kept)
    assert set(made["runs"][0]) == set(kept["runs"][0])
    assert len(kept["runs"]) % seeds == 0
    assert {run["seed"] for run in kept["runs"]} == set(range(seeds))


def table(study, key):
    """The runs of a study by the value of a key."""
    found = {}
    for run in study["runs"]:
        found.setdefault(run[key], []).append(run)
    return found


def test_membership(script):
    module, kept = script("membership"), recorded_study("membership-digits")
    module.FIT["batch_size"] = 8
    made = json.loads(json.dumps(module.study(1, 4, (2,))))
    made["runs"][0] = {key: made["runs"][0][key] for key in kept["runs"][0]}  # of the longest training all scores
    alike(made, kept)
    assert kept["shadows"] == 12
    by_steps = table(kept, "steps")
    assert set(by_steps) == set(module.STEPS)
    for runs in by_steps.values():
        for run in runs:
            assert run["nats_in"] < run["nats_out"]
            loss, lira = run["attacks"]["loss"], run["attacks"]["lira"]
            assert lira["auc"] > loss["auc"] + 0.1
            assert lira["tpr_at_0.01"] > 3 * loss["tpr_at_0.01"]
    short, long = (mean(run["attacks"]["lira"]["auc"] for run in by_steps[steps]) for steps in module.STEPS)
    assert long > short
    (scored,) = [run for run in kept["runs"] if "scores" in run]
    assert len(scored["member"]) == len(scored["scores"]["loss"]) == 1257


def test_canaries(script):
    module, kept = script("canaries"), recorded_study("canaries-digits")
    made = json.loads(json.dumps(module.run("planted", 0, steps=2)))
    assert set(made) == set(kept["runs"][0])
    assert kept["settings"] == module.SETTINGS
    assert kept["training"] == module.FIT
    bits = {
        setting: {count: mean(b for run in runs for b in run["bits"][count]) for count in made["bits"]}
        for setting, runs in table(kept, "setting").items()
    }
    assert list(bits) == list(module.SETTINGS)
    assert all(0 <= b <= 11 for run in kept["runs"] for part in run["bits"].values() for b in part)
    error = 1.44 / math.sqrt(4 * 12)  # an exponential law has the deviation of its mean; four settings, twelve canaries
    assert mean(of["0"] for of in bits.values()) == pytest.approx(1 / math.log(2), abs=4 * error)
    assert bits["planted"]["16"] == 11
    assert bits["planted"]["16"] > bits["planted"]["4"] > bits["planted"]["1"]
    assert bits["deduplicated"]["16"] < 5
    assert bits["planted, 300 steps"]["1"] > bits["planted"]["4"]


def test_copying(script):
    module, kept = script("copying"), recorded_study("copying-digits")
    assert kept["training"] == module.FIT
    made = json.loads(json.dumps(module.run(2, 0)))
    by_samples = table(kept, "samples")
    assert list(by_samples) == ["held-out data", "training images", *(f"{steps} steps" for steps in module.STEPS)]
    for name, runs in by_samples.items():
        assert [run["seed"] for run in runs] == [0, 1, 2]
        assert set(runs[0]) == (set(made) if "steps" in name else set(made) - {"nats_in", "nats_out"})
    assert all(abs(run["z"]) < 4 for run in by_samples["held-out data"])
    assert all(run["share"] == 1 for run in by_samples["training images"])
    first, last = by_samples[f"{module.STEPS[0]} steps"], by_samples[f"{module.STEPS[-1]} steps"]
    for early, late in zip(first, last, strict=True):
        assert early["share"] < late["share"]
        assert early["frechet"] > late["frechet"]
        assert late["nats_out"] - late["nats_in"] > 100
    assert sum(run["duplicates"] for run in last) > 0


def test_watermark(script):
    module, kept = script("watermark"), recorded_study("watermark-digits")
    made = json.loads(json.dumps(module.study(1, 4)))
    alike(made, kept, seeds=6)
    assert made["gamma"] == kept["gamma"]
    by_delta = table(kept, "delta")
    assert list(by_delta) == list(module.STRENGTHS)
    rows = [{key: mean(run[key] for run in runs) for key in runs[0]} for runs in by_delta.values()]
    assert rows[0]["found"] < 0.01
    assert rows[0]["cost"] == rows[0]["divergence"] == 0
    for weak, strong in itertools.pairwise(rows):
        assert strong["z"] > weak["z"] + 0.5
        assert strong["found_in_fours"] >= strong["found"] >= weak["found"]
        assert strong["attacked"] <= strong["found"]
        assert strong["divergence"] > weak["divergence"]


def test_private_training(script):
    module, kept = script("private_training"), recorded_study("private_training")
    assert kept["training"] == module.FIT
    runs = table(kept, "setting")
    assert list(runs) == list(module.SETTINGS)
    pytest.importorskip("opacus", reason="needs Opacus, of the extra `trust`")
    from garm_course.trust.privacy import epsilon

    alike(json.loads(json.dumps(module.study(1, 2, ("digits, noise 1",)))), kept)
    for setting, (*_, sigma) in module.SETTINGS.items():
        for run in runs[setting] if sigma else ():
            rate = run["batch_size"] / run["n"]
            assert run["epsilon_prv"] == pytest.approx(epsilon(sigma, rate, 250, kept["delta"]), abs=0.002)
            assert run["epsilon_prv"] < run["epsilon_rdp"]
            assert abs(run["auc"] - 0.5) < 0.09  # 180 held-out images: a standard error of 0.023
    nats = {setting: mean(run["nats_out"] for run in same) for setting, same in runs.items()}
    quiet = ["digits, no clip", "digits, noise 0.6", "digits, noise 1", "digits, noise 2", "digits, noise 4"]
    assert [nats[setting] for setting in quiet] == sorted(nats[setting] for setting in quiet)
