"""Recorded studies: each can be read, says how it was made, and does not pass for the result of a recipe."""

import importlib.util
import json

import pytest
import torch

from garm_course.paths import results_folder
from garm_course.recipes import recorded_names, studies
from garm_course.recipes.studies import record, recorded_study, study_names

HOW = {"command", "versions", "hardware"}  # what `record` adds to a study


def script(name):
    """A script of `studies/` as a module."""
    spec = importlib.util.spec_from_file_location(name, results_folder().parent / "studies" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_study_says_how_it_was_made_and_names_a_script_that_exists():
    assert "beta_sweep-digits" in study_names()
    for name in study_names():
        study = recorded_study(name)
        assert {"runs", "command", "versions", "hardware"} <= set(study), name
        script = study["command"].split()[1]
        assert (results_folder().parent / script).is_file(), f"{name}: there is no {script}"


def test_a_study_is_no_result_of_a_recipe():
    assert not set(study_names()) & set(recorded_names())


def test_what_is_read_is_the_file(tmp_path, monkeypatch):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "one.json").write_text(json.dumps({"runs": [1, 2.5]}))
    monkeypatch.setattr(studies, "results_folder", lambda: tmp_path)
    assert study_names() == ["one"]
    assert recorded_study("one") == {"runs": [1, 2.5]}


@pytest.mark.parametrize("name", ["two", "../one", "one.json", ""])
def test_an_unknown_study_is_refused_with_those_that_exist(name, tmp_path, monkeypatch):
    (tmp_path / "studies").mkdir()
    (tmp_path / "one.json").write_text("{}")
    (tmp_path / "studies" / "one.json").write_text("{}")
    monkeypatch.setattr(studies, "results_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"recorded: one$"):
        recorded_study(name)


def test_without_any_study_the_refusal_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "results_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match="recorded: none"):
        recorded_study("one")


def test_the_beta_sweep_is_a_whole_table():
    runs = recorded_study("beta_sweep-digits")["runs"]
    betas, seeds = sorted({r["beta"] for r in runs}), sorted({r["seed"] for r in runs})
    assert sorted((r["beta"], r["seed"]) for r in runs) == [(b, s) for b in betas for s in seeds]
    for r in runs:
        for split in ("train", "validation"):
            assert r[split]["rate"] >= 0
        v = r["validation"]
        assert v["iwae_64"] <= v["rate"] + v["distortion"]  # a tighter bound on the NLL
        assert sum(v["kl"]) == pytest.approx(v["rate"], abs=0.01)
        assert 0 <= v["active"] <= len(v["kl"])
        assert ("reconstructions" in r) == (r["seed"] == 0)


def test_the_script_makes_what_is_recorded():
    """Two steps of one run, in the form of the file; the settings of the record are those of the script."""
    module, kept = script("beta_sweep"), recorded_study("beta_sweep-digits")
    made = json.loads(json.dumps(module.study(1, 2, (2.0,))))
    assert set(made) | HOW == set(kept)
    assert set(made["runs"][0]) == set(kept["runs"][0])
    assert kept["training"] == module.SETTINGS
    assert kept["config"] == json.loads(json.dumps(module.CONFIG))
    assert sorted({r["beta"] for r in kept["runs"]}) == list(module.BETAS)
    pictures = made["runs"][0]["reconstructions"]
    assert (len(pictures), len(pictures[0])) == (module.SHOWN, 64)
    assert all(0 <= level <= 16 for picture in pictures for level in picture)


def test_the_record_of_lost_modes_is_what_its_script_makes():
    """Two steps of one seed of each setting, in the form of the file."""
    made, kept = json.loads(json.dumps(script("mode_collapse").study(1, 2))), recorded_study("mode_collapse")
    assert set(made) | HOW == set(kept)
    assert made["settings"] == kept["settings"]
    for setting in kept["settings"]:
        runs = [r for r in kept["runs"] if r["setting"] == setting]
        assert [r["seed"] for r in runs] == list(range(10))
        [one] = [r for r in made["runs"] if r["setting"] == setting]
        assert set(one) == set(runs[0])
        assert all(0 <= r["modes"] <= r["of"] == one["of"] for r in runs)
        assert len(one["samples"]) == len(runs[0]["samples"])


def test_the_record_of_stable_gans_is_what_its_script_makes(monkeypatch):
    module, kept = script("stable_gans"), recorded_study("stable_gans")
    monkeypatch.setenv("GARM_PROGRESS", "0")
    assert kept["methods"] == json.loads(json.dumps(module.METHODS))
    assert kept["problems"] == json.loads(json.dumps(module.PROBLEMS))
    for problem in module.PROBLEMS:
        made = module.run(problem, "R1 and averaged", 0, steps=2)
        for method in module.METHODS:
            runs = [r for r in kept["runs"] if (r["problem"], r["method"]) == (problem, method)]
            assert [r["seed"] for r in runs] == list(range(5))
            assert all(set(r) == set(made) for r in runs), "no run diverged"


def test_the_record_of_the_vae_gan_is_what_its_script_makes(monkeypatch):
    module, kept = script("vaegan"), recorded_study("vaegan")
    monkeypatch.setenv("GARM_PROGRESS", "0")
    made = json.loads(json.dumps(module.study(1, 2)))
    assert set(made) | HOW == set(kept)
    assert made["settings"] == kept["settings"]
    assert made["gray_of_data"] == kept["gray_of_data"]
    for setting in kept["settings"]:
        runs = [r for r in kept["runs"] if r["setting"] == setting]
        assert [r["seed"] for r in runs] == [0, 1, 2]
        assert set(runs[0]) == set(made["runs"][0])


def test_the_record_of_heads_is_what_its_script_makes(monkeypatch):
    module, kept = script("heads"), recorded_study("heads")
    monkeypatch.setenv("GARM_PROGRESS", "0")
    assert kept["trunk"] == module.TRUNK
    assert kept["training"] == {"steps": module.STEPS, **module.FIT}
    made = module.train(5, 100, 0, steps=2)
    for n in module.EXAMPLES:
        for head in module.HEADS:
            runs = [r for r in kept["runs"] if (r["head"], r["examples"]) == (head, n)]
            assert [r["seed"] for r in runs] == [0, 1, 2]
            assert all(set(r) == {"head", "examples", "seed", *made} for r in runs)


def test_a_study_is_recorded_with_its_command_and_its_figures_are_printed(tmp_path, capsys):
    def study(seeds, steps, glyph_seeds):
        return {"unit": "nats", "runs": [{"way": "a", "seed": k, "nats": steps + k / 3} for k in range(seeds)]}

    out = tmp_path / "new" / "one.json"
    options = {"seeds": 3, "steps": None, "glyph_seeds": None}
    made = record("one", study, ["way"], ["--seeds", "2", "--steps", "5", "--out", str(out)], **options)
    assert json.loads(out.read_text()) == made
    assert set(made) == {"unit", "runs", *HOW}
    assert made["command"] == "python studies/test_studies.py --seeds 2 --steps 5"
    assert made["hardware"].endswith("1 thread(s)") or torch.cuda.is_available()
    assert capsys.readouterr().out == "a: nats [5.0, 5.333]\n"
    with pytest.raises(SystemExit):
        record("one", study, ["way"], ["--seeds", "many", "--out", str(out)], **options)


def test_the_command_of_a_recorded_study_has_the_options_of_its_script():
    for name in study_names():
        _, path, *options = recorded_study(name)["command"].split()
        text = (results_folder().parent / path).read_text(encoding="utf-8")
        assert f'record("{name}", study' in text
        asked = text[text.index("    record(") :]
        assert all(f"{option[2:].replace('-', '_')}=" in asked for option in options[::2]), name
