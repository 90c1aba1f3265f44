"""The recorded studies of lesson 17, of captions and of the sliding window: whole, and made by their scripts."""

import dataclasses
import json

import pytest
import torch
from test_studies import HOW, script

from garm_course.recipes.kinds import ASKED, GUIDANCE
from garm_course.recipes.studies import recorded_study


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("GARM_PROGRESS", "0")
    monkeypatch.chdir(tmp_path)


def table(what):
    """The recorded figures by setting, each a dictionary of lists over seeds."""
    found = {}
    for run in recorded_study("captions")["runs"]:
        if run["what"] == what:
            for key, value in run.items():
                found.setdefault(run["setting"], {}).setdefault(key, []).append(value)
    return found


def test_the_study_of_captions_is_a_whole_table_of_shares():
    module = script("captions")
    runs = recorded_study("captions")["runs"]
    seeds = sorted({run["seed"] for run in runs})
    assert len(seeds) == 3
    expected = {"nats": 1, "guidance": len(module.WEIGHTS), "completion": 2 * 4 * 2, "masked": len(module.PASSES)}
    for what, settings in expected.items():
        assert len(table(what)) == settings
        of = seeds[:1] if what == "masked" else seeds
        assert all(figures["seed"] == of for figures in table(what).values())
    for run in runs:
        shares = {"digit", "hue", "slant", "bold", "serif", "size", "all", "coverage", "caption", "image"} & set(run)
        assert all(0 <= run[name] <= 1 for name in shares)
        assert run.get("all", 0) <= min(run.get(name, 1) for name in module.THREE)
        assert run.get("caption", 0) + run.get("image", 0) <= 1 + 1e-9


def test_a_wrong_caption_costs_more_than_none_and_none_more_than_the_right_one():
    (nats,) = table("nats").values()
    for right, none, wrong in zip(nats["nats"], nats["empty"], nats["other"], strict=True):
        assert right < none < wrong


def test_the_best_guidance_on_validation_images_is_the_one_of_the_recorded_results():
    shares = {weight: sum(table("guidance")[f"w = {weight}"]["all"]) for weight in script("captions").WEIGHTS}
    assert max(shares, key=shares.get) == GUIDANCE
    assert script("captions").ASKED == ASKED


def test_the_script_of_captions_makes_what_is_recorded(monkeypatch):
    module, kept = script("captions"), recorded_study("captions")
    small = dataclasses.replace(
        module.RECIPE, sizes={"train": 40, "validation": 40}, config={"width": 8, "heads": 2, "layers": 1},
        quick={**module.RECIPE.quick, "steps": 2, "batch_size": 8, "evaluate_every": 2},
    )  # fmt: skip
    for name, value in {"RECIPE": small, "ASKED": 8, "COMPLETED": 4, "WEIGHTS": (0, 2), "PASSES": (1, 16)}.items():
        monkeypatch.setattr(module, name, value)
    made = json.loads(json.dumps(module.study(1, 1)))
    assert set(made) | HOW == set(kept)
    for what in ("nats", "guidance", "completion", "masked"):
        of = [next(run for run in runs if run["what"] == what) for runs in (made["runs"], kept["runs"])]
        assert set(of[0]) == set(of[1])
    again = json.loads(json.dumps(module.study(1, 1)))["runs"]  # the prior is there now, and the figures are the same
    assert again == made["runs"]


def test_the_study_of_walls_remembers_as_far_as_it_says():
    runs = recorded_study("walls")["runs"]
    for run in runs:
        assert set(run["agreement"]["walls"]) == {1.0}
        window = run["agreement"]["sliding window"]
        assert len(window) == 19
        assert window[0] > window[-1]
        assert all(0 <= share <= 1 for share in window)
    for picture in runs[0]["strips"] + runs[0]["walls"]:
        assert (len(picture), {len(row) for row in picture}) == (32, {160})
        assert set("".join(picture)) <= set("0123456")


def test_the_script_of_walls_makes_what_is_recorded(monkeypatch):
    module, kept = script("walls"), recorded_study("walls")
    small = {
        "TOKENIZER": {**module.TOKENIZER, "channels": 8, "n_codes": 8},
        "TOKENIZER_FIT": {**module.TOKENIZER_FIT, "steps": 2, "batch_size": 8},
        "PRIOR": {"width": 8, "layers": 1, "heads": 2},
        "PRIOR_FIT": {**module.PRIOR_FIT, "batch_size": 8, "evaluate_every": 2},
        "CROPS": {"train": 40, "validation": 10}, "DRAWN": 3, "SHOWN": 1,
    }  # fmt: skip
    for name, value in small.items():
        monkeypatch.setattr(module, name, value)
    made = json.loads(json.dumps(module.study(1, 2)))
    assert set(made) | HOW == set(kept)
    assert set(made["runs"][0]) == set(kept["runs"][0])


def test_agreement_is_over_pairs_of_columns_that_show_a_hue():
    hues = torch.tensor([[0, 0, -1, 1], [2, -1, 2, 2]])
    assert script("walls").agreement(hues) == pytest.approx([2 / 2, 1 / 2, 1 / 2])
