"""Recipes: each can be built and run, a run folder is complete or absent, and its figures can be made again."""

import dataclasses
import errno
import io
import json
import math
import os
import subprocess
import sys
import wave

import pytest
import torch
from fake_data import small_mnist, write_idx

from garm_course import datasets
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.evaluation.likelihood import evaluate
from garm_course.models import CLASSES, MODELS, home, model_class, words
from garm_course.recipes import recipe as recipe_module
from garm_course.recipes.catalog import RECIPES, find
from garm_course.recipes.kinds import KINDS, kind_of
from garm_course.recipes.recipe import BUDGETS, TwoStageRecipe
from garm_course.recipes.records import recorded, recorded_on
from garm_course.recipes.runs import InterruptedRun, evaluate_run, read_result, train, write_result
from garm_course.training.loop import NonFiniteLossError
from garm_course.transforms import mu_law_encode, scale
from garm_course.weights import files as checkpoints
from garm_course.weights.files import build_model, load_model, save_model

BARS = RECIPES["gated_pixelcnn-bars_and_stripes"]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One smoke run, shared: tests that change a run make a copy."""
    os.environ["GARM_PROGRESS"] = "0"
    folder = tmp_path_factory.mktemp("runs") / "bars"
    model, result = train(BARS, folder, budget="smoke", seed=5)
    return folder, model, result


@pytest.fixture
def copy(run, tmp_path):
    import shutil

    return shutil.copytree(run[0], tmp_path / "copy")


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_run_folder_holds_the_weights_and_the_figures(run):
    folder, model, result = run
    assert names(folder) == ["model.safetensors", "result.json"]
    assert json.loads((folder / "result.json").read_text()) == json.loads(json.dumps(result)) == read_result(folder)
    back = load_model(folder / "model.safetensors")
    assert all(torch.equal(v, back.state_dict()[k]) for k, v in model.state_dict().items())
    assert back.record == json.loads(json.dumps({k: v for k, v in result.items() if k != "history"}))
    assert os.stat(folder / "result.json").st_mode & 0o777 == 0o644


def test_the_result_says_what_was_done_and_what_came_out(run):
    _, model, result = run
    assert (result["model"], result["data"], result["budget"], result["seed"]) == (
        "gated_pixelcnn", "bars_and_stripes", "smoke", 5,
    )  # fmt: skip
    data = BARS.load("validation")
    measured = evaluate(model, data)
    for split in ("train", "validation"):  # the same thirty images
        figures = result[split]
        assert figures["nats"] == pytest.approx(measured.nats)
        assert figures["stderr"] == pytest.approx(measured.stderr)
        assert figures["bits_per_dim"] == pytest.approx(measured.nats / 16 / math.log(2))
        assert figures["n"] == 30
        assert figures["kl"]["nats"] == pytest.approx(measured.nats - math.log(30))
    assert "test" not in result, "the test split is looked at once, by evaluate_run"
    assert set(result["baselines"]) == {"uniform", "pixel marginals", "class marginals"}
    assert result["baselines"]["uniform"]["nats"] == pytest.approx(16 * math.log(2))
    assert result["floor"]["nats"] == pytest.approx(math.log(30))
    assert result["parameters"] == sum(p.numel() for p in model.parameters())
    assert result["config"] == model.config
    assert result["training"]["steps"] == 2
    assert {"garm_course", "torch", "python"} <= set(result["versions"])
    assert result["hardware"]
    assert result["seconds"] >= 0
    assert result["history"]["validation"][-1][0] == 2
    assert result["command"] == "garm train gated_pixelcnn --data bars_and_stripes --budget smoke --seed 5"


def test_the_command_of_a_result_makes_the_same_run_again(run, tmp_path):
    _, model, result = run
    again, figures = train(BARS, tmp_path / "again", budget="smoke", seed=5)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    assert figures["validation"] == result["validation"]
    other, _ = train(BARS, tmp_path / "other", budget="smoke", seed=6)
    assert any(not torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())


@pytest.fixture
def few_mnist(monkeypatch, tmp_path):
    """Sixty random images in the files of MNIST, for recipes whose data set is downloaded."""
    monkeypatch.setenv("GARM_DATA", str(tmp_path))
    small_mnist(monkeypatch)
    write_idx(tmp_path / "mnist")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_fits_its_data(name, few_mnist):
    recipe = RECIPES[name]
    assert recipe.name == name
    small = {"n": 5} if "n" in recipe.options("train") else {}
    data = datasets.load(recipe.data, "train", **{**recipe.options("train"), **small})
    model = recipe.build()
    assert recipe.kind in KINDS
    for budget in BUDGETS:
        assert recipe.settings(budget)["steps"] >= 1
    assert recipe.settings("smoke")["steps"] == 2
    assert recipe.settings("full")["steps"] > recipe.settings("quick")["steps"]
    if recipe.kind == "translation":
        assert model.shapes == {"x": tuple(data.shape), "y": (3, *data.shape[1:])}
        there = model.translate(scale(data.x[:3], data.levels), "xy")
        assert torch.isfinite(model.critics["y"](there)).all()
        return
    if recipe.kind == "captions":
        codes = torch.zeros(3, *model.shape, dtype=torch.long)
        assert torch.isfinite(model.log_prob(codes, data.tokens[:3])).all()
        return
    assert (model.shape, model.levels) == (tuple(data.shape), data.levels)
    assert model.n_classes == (data.n_classes if recipe.conditional or recipe.kind == "classifier" else 0)
    assert recipe.conditional == (recipe.model.startswith("conditional_") or recipe.kind == "sound")
    x, y = data.x[:3], data.y[:3] if recipe.conditional else None
    if recipe.kind in ("classifier", "factors"):
        numbers = model(x)
    elif recipe.kind == "reconstruction":
        numbers = model.reconstruct(scale(x, data.levels))
    elif recipe.kind == "samples":
        numbers = model.critic(model.sample(3, y), y)
    else:
        numbers = model.elbo(x, y).bound if hasattr(model, "elbo") else model.log_prob(x, y)
    assert torch.isfinite(numbers).all()


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    os.environ["GARM_PROGRESS"] = "0"
    folder = tmp_path_factory.mktemp("runs") / "text"
    model, result = train(RECIPES["char_transformer-pydoc"], folder, budget="smoke")
    return folder, model, result


def test_a_text_is_trained_at_every_character_and_measured_once_a_character(text_run):
    folder, model, result = text_run
    text = datasets.load("pydoc", "validation", length=128)
    assert result["data_options"] == {
        "train": {"length": 128, "stride": 1}, "validation": {"length": 128}, "test": {"length": 128},
    }  # fmt: skip
    figures = result["validation"]
    assert figures["nats"] == pytest.approx(evaluate(model, text).nats / 128)
    assert figures["bits"] == pytest.approx(figures["nats"] / math.log(2))
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats"]))
    assert figures["in_context"] == pytest.approx(evaluate(model, text, context=32).nats)
    assert figures["n"] == len(text) * 128
    assert result["train"]["n"] == len(datasets.load("pydoc", length=128)) * 128, "each character counts once"
    assert result["training"]["muon"] == 0.02
    names = ["uniform", "unigram", "bigram", "trigram", "4-gram", "5-gram", "zlib", "bz2", "lzma"]
    assert list(result["baselines"]) == [*names, *(f"{name} after the training text" for name in names[-3:])]
    assert evaluate_run(folder, "validation")["validation"] == figures
    assert KINDS["text"].lines(list(result["baselines"].values()))[1].split()[:2] == ["4.564", "0.000"]


def test_samples_of_a_text_are_text(text_run):
    model = load_model(text_run[0] / "model.safetensors")
    x = torch.stack([datasets.load("pydoc", "validation", length=9).encode(one) for one in ("import os", "a = [1]  ")])
    assert KINDS["text"].file(model, x, "two").decode() == "--- two: 1 ---\nimport os\n--- two: 2 ---\na = [1]  \n"


@pytest.fixture(scope="module")
def sound_run(tmp_path_factory):
    os.environ["GARM_PROGRESS"] = "0"
    folder = tmp_path_factory.mktemp("runs") / "sound"
    few = dataclasses.replace(RECIPES["wavenet-plucked"], sizes={"train": 60, "validation": 30})
    model, result = train(few, folder, budget="smoke")
    return folder, model, result


def test_a_sound_is_measured_given_the_note_and_so_are_its_baselines_and_its_floor(sound_run):
    folder, model, result = sound_run
    data = datasets.load("plucked", "validation", notes=("A3", "D4", "G4"), length=1000, n=30)
    figures, found = result["validation"], result["baselines"]
    assert result["kind"] == "sound"
    assert figures["nats"] == pytest.approx(-model.log_prob(data.x, data.y).mean().item())
    assert figures["bits_per_dim"] == pytest.approx(figures["nats"] / 1000 / math.log(2))
    assert list(found) == ["uniform", "histogram", "bigram", "one period of memory"]
    nats = [entry["nats"] for entry in found.values()]
    assert nats == sorted(nats, reverse=True)
    assert nats[0] == pytest.approx(1000 * math.log(256))
    assert result["floor"]["nats"] == pytest.approx(math.log(2) + (36 + 27 + 20) / 3 * math.log(2))
    assert result["floor"]["nats"] < nats[-1]
    assert evaluate_run(folder, "validation")["validation"] == figures


def test_samples_of_a_sound_are_a_file_that_players_play(sound_run):
    model = load_model(sound_run[0] / "model.safetensors")
    x = datasets.load("plucked", "validation", notes=("A3", "D4", "G4"), length=1000).x[:2]
    with wave.open(io.BytesIO(KINDS["sound"].file(model, x, "two"))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        heard = torch.frombuffer(bytearray(file.readframes(5000)), dtype=torch.int16) / 32767
    assert len(heard) == 2 * 1800
    assert torch.equal(mu_law_encode(heard[1800:2800]), x[1])
    assert not heard[1000:1800].any()


def test_the_seed_of_a_recipe_fixes_its_random_start():
    def start(seed):
        return BARS.build(seed).state_dict()

    assert all(torch.equal(v, start(3)[k]) for k, v in start(3).items())
    assert any(not torch.equal(v, start(4)[k]) for k, v in start(3).items())


def test_unknown_names_are_answered_with_the_nearest_and_the_list():
    with pytest.raises(
        ValueError, match=r"no model 'gated_pixelcn'; did you mean 'gated_pixelcnn'\? known: .*pixelcnn"
    ):
        find("gated_pixelcn", "digits")
    with pytest.raises(
        ValueError,
        match=r"no data set 'digit'; did you mean 'digits'\? known: bars_and_stripes, colored_glyphs, digits",
    ):
        find("gated_pixelcnn", "digit")
    with pytest.raises(ValueError, match=r"no data set 'zzz'; known: "):
        find("gated_pixelcnn", "zzz")
    with pytest.raises(ValueError, match=r"no recipe for 'pixelcnn' on 'glyphs'; pixelcnn has recipes for: digits"):
        find("pixelcnn", "glyphs")
    with pytest.raises(ValueError, match="no budget 'fast'; choose one of smoke, quick, full"):
        BARS.settings("fast")


def test_an_unknown_budget_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="no budget"):
        train(BARS, tmp_path / "run", budget="fast")
    assert names(tmp_path) == []


def test_a_run_is_not_replaced_unless_asked(copy):
    before = (copy / "model.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="holds a run already; choose another folder with --out, or add --over"):
        train(BARS, copy, budget="smoke")
    assert (copy / "model.safetensors").read_bytes() == before
    train(BARS, copy, budget="smoke", seed=1, overwrite=True)
    assert (copy / "model.safetensors").read_bytes() != before
    assert read_result(copy)["seed"] == 1


def forbid_training(monkeypatch):
    def fit(*args, **kwargs):
        raise AssertionError("trained although the folder cannot be written")

    monkeypatch.setattr(recipe_module, "fit", fit)


def test_a_folder_that_cannot_be_written_is_told_before_the_training(tmp_path, monkeypatch):
    forbid_training(monkeypatch)
    (tmp_path / "file").write_text("a regular file")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OSError, match=r"cannot write in .* \((File exists|Not a directory)\); choose another") as e:
            train(BARS, out, budget="smoke")
        assert "\n" not in str(e.value)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_full_or_read_only_disk_is_told_before_the_training(tmp_path, monkeypatch, code):
    forbid_training(monkeypatch)

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(checkpoints.tempfile, "mkstemp", fail)
    with pytest.raises(OSError, match=r"cannot write .*; choose another folder with --out"):
        train(BARS, tmp_path, budget="smoke")
    assert names(tmp_path) == []


@pytest.mark.parametrize("at", ["model.safetensors", "result.json"])
def test_a_disk_that_fills_up_during_the_training_leaves_no_half_run(copy, monkeypatch, at):
    before = {name: (copy / name).read_bytes() for name in names(copy)}
    replace = os.replace

    def full(source, target):
        if str(target).endswith(at):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(checkpoints.os, "replace", full)
    with pytest.raises(OSError, match=f"cannot write .*{at} .No space left on device.; free some space"):
        train(BARS, copy, budget="smoke", seed=9, overwrite=True)
    monkeypatch.undo()
    if at == "model.safetensors":
        assert {name: (copy / name).read_bytes() for name in before} == before  # the old run, whole
    else:
        assert names(copy) == ["checkpoints", "model.safetensors"]  # no old figures beside new weights
        assert load_model(copy / "model.safetensors").record["seed"] == 9
    _, result = train(BARS, copy, budget="smoke", seed=9, overwrite=True, resume=True)  # nothing is computed again
    assert result["seed"] == 9
    assert names(copy) == ["model.safetensors", "result.json"]


def in_training(monkeypatch, at, act):
    """Let `act` replace what log_prob returns at the at-th training step."""
    calls, log_prob = [], GatedPixelCNN.log_prob

    def watched(self, x, y=None):
        value = log_prob(self, x, y)
        if self.training:
            calls.append(0)
            if len(calls) == at:
                return act(value)
        return value

    monkeypatch.setattr(GatedPixelCNN, "log_prob", watched)


def test_a_run_that_diverges_says_so_and_leaves_its_best_weights(tmp_path, monkeypatch):
    in_training(monkeypatch, 2, lambda value: value * math.nan)
    with pytest.raises(
        NonFiniteLossError, match=r"the loss became nan at step 2.*best weights so far are in .*last_good"
    ):
        train(BARS, tmp_path / "run", budget="smoke")
    assert names(tmp_path / "run") == ["last_good.safetensors"]
    weights = load_model(tmp_path / "run" / "last_good.safetensors").state_dict().values()
    assert all(torch.isfinite(w).all() for w in weights)


def test_an_interrupted_run_says_how_to_go_on_and_goes_on(tmp_path, monkeypatch):
    def interrupt(value):
        raise KeyboardInterrupt

    in_training(monkeypatch, 2, interrupt)
    with pytest.raises(InterruptedRun, match="interrupted at step 1; it was too early to save anything"):
        train(BARS, tmp_path / "run", budget="smoke")
    assert names(tmp_path / "run") == []
    monkeypatch.undo()
    in_training(monkeypatch, 2, interrupt)
    with pytest.raises(InterruptedRun, match=r"interrupted at step 1; go on with: garm train .* --resume$"):
        train(BARS, tmp_path / "run", budget="smoke", save_every=1)
    with pytest.raises(FileExistsError, match="was not finished; go on with --resume, or start anew with --overwrite"):
        train(BARS, tmp_path / "run", budget="smoke")
    monkeypatch.undo()
    _, result = train(BARS, tmp_path / "run", budget="smoke", resume=True)
    _, whole = train(BARS, tmp_path / "whole", budget="smoke")
    assert result["history"] == whole["history"]
    assert names(tmp_path / "run") == ["model.safetensors", "result.json"]
    monkeypatch.undo()
    in_training(monkeypatch, 2, interrupt)
    with pytest.raises(InterruptedRun):
        train(BARS, tmp_path / "run", budget="smoke", save_every=1, overwrite=True)
    _, anew = train(BARS, tmp_path / "run", budget="smoke", seed=4, overwrite=True)
    assert anew["seed"] == 4


def test_the_two_stages_of_a_vqvae_go_on_where_they_were(tmp_path, monkeypatch):
    recipe = find("vqvae", "glyphs")
    recipe = TwoStageRecipe(**{**recipe.__dict__, "sizes": {split: 60 for split in datasets.SPLITS}})
    _, whole = train(recipe, tmp_path / "whole", budget="smoke")
    in_training(monkeypatch, 2, lambda value: (_ for _ in ()).throw(KeyboardInterrupt))  # of the prior
    with pytest.raises(InterruptedRun, match="interrupted at step 1 of the prior; go on with"):
        train(recipe, tmp_path / "run", budget="smoke", save_every=1)
    monkeypatch.undo()
    _, result = train(recipe, tmp_path / "run", budget="smoke", resume=True)
    assert result["history"] == whole["history"]
    assert result["validation"] == whole["validation"]


def test_evaluating_adds_the_split_and_keeps_the_rest(copy):
    before = read_result(copy)
    result = evaluate_run(copy)
    assert result == read_result(copy)
    assert result["test"]["nats"] == pytest.approx(before["validation"]["nats"])
    assert {k: v for k, v in result.items() if k != "test"} == before
    assert evaluate_run(copy, "validation")["validation"] == before["validation"]
    with pytest.raises(ValueError, match="no split 'tset'; choose one of train, validation, test"):
        evaluate_run(copy, "tset")


def test_a_checkpoint_of_another_model_is_refused(copy):
    torch.manual_seed(0)
    for other, message in [
        (PixelCNN((1, 4, 4), 2, channels=16, layers=3), "holds a pixelcnn, expected a gated_pixelcnn"),
        (GatedPixelCNN((1, 4, 4), 2, channels=16, layers=2), "is not the model of"),
        (GatedPixelCNN((1, 4, 4), 2, 3, channels=16, layers=3), "is not the model of"),
    ]:
        save_model(other, copy / "model.safetensors")
        before = (copy / "result.json").read_bytes()
        with pytest.raises(ValueError, match=message):
            evaluate_run(copy)
        assert (copy / "result.json").read_bytes() == before


def test_damaged_runs_are_told(copy, tmp_path):
    def refused(error, message):
        with pytest.raises(error, match=message) as caught:
            evaluate_run(copy)
        assert "\n" not in str(caught.value)

    with pytest.raises(FileNotFoundError, match=r"is no folder of a run .*make one with `garm train`"):
        evaluate_run(tmp_path)
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[:-7])
    refused(ValueError, "truncated")
    (copy / "model.safetensors").unlink()
    refused(FileNotFoundError, "no model file")
    text = (copy / "result.json").read_bytes()
    for damage, message in [
        (text[:50], "is damaged"),
        (b"", "is damaged"),
        (b"\xff\xfe\x00", "is damaged"),
        (b"{}", "is no result of `garm train` .it lacks model, data"),
        (b"[1]", "is no result of `garm train`"),
        (b"3", "is no result of `garm train`"),
    ]:
        (copy / "result.json").write_bytes(damage)
        refused(ValueError, message)


def test_a_result_that_cannot_be_written_leaves_the_old_one(copy, monkeypatch):
    before = (copy / "result.json").read_bytes()

    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints.os, "fsync", fail)
    with pytest.raises(OSError, match=r"cannot write .*result.json"):
        write_result(copy, {"a": 1})
    assert (copy / "result.json").read_bytes() == before
    assert names(copy) == ["model.safetensors", "result.json"]


def test_recorded_results_belong_to_recipes_and_to_the_stored_weights():
    from garm_course.paths import results_folder
    from garm_course.weights import load_pretrained, pretrained_names

    results = {path.stem: json.loads(path.read_text()) for path in results_folder().glob("*.json")}
    assert results
    assert set(results) <= set(RECIPES)
    assert set(pretrained_names()) <= set(results), "weights without recorded figures"
    for name in pretrained_names():
        assert load_pretrained(name).config == RECIPES[name].build().config, f"{name}: the recipe has changed since"
    for name, result in results.items():
        if result.get("kind") == "samples":  # near the training images, with every class above 2 %
            own, memory = result["validation"]["frechet"], result["baselines"]["training images"]["frechet"]
            assert own < 2 * memory, name
            assert result["validation"]["least_class"] > 0.02, name
            continue
        kind = kind_of(result)
        worst = max(kind.headline(figures).rank for figures in result["baselines"].values())
        assert kind.headline(result["validation"]).rank < worst, name
        if "class marginals" in result["baselines"]:  # the pair of lesson 12 has a poor bound, and the lesson says so
            beaten = "pixel marginals" if name == "vqvae-glyphs" else "class marginals"
            assert result["validation"]["nats"] < result["baselines"][beaten]["nats"], name
        if result.get("floor"):
            slack = 4 * (result["validation"]["stderr"] + result["floor"]["stderr"])
            assert result["validation"]["nats"] > result["floor"]["nats"] - slack, name


def test_the_cheapest_entry_of_the_ladder_can_be_made_again(tmp_path):
    entries = recorded_on("digits") + recorded_on("glyphs")
    entry = min(entries, key=lambda e: sum(e["cpu_seconds"]) / len(e["cpu_seconds"]))
    seed, run = entry["seeds"][0], entry["runs"][0]
    assert (
        f"garm train {entry['model']} --data {entry['data']} --budget {entry['budget']} --seed {seed}"
        in entry["command"]
    )
    _, result = train(find(entry["model"], entry["data"]), tmp_path / "again", budget=entry["budget"], seed=seed)
    assert result["config"] == build_model(entry["class"], entry["config"]).config  # with all defaults
    assert result["parameters"] == entry["parameters"]
    # the order of additions differs between machines and numbers of threads: a few hundredths of a nat
    assert result["validation"]["nats"] == pytest.approx(run["validation"]["nats"], abs=0.3)


def test_a_ladder_can_stop_at_the_models_that_a_lesson_knows():
    every = recorded_on("digits")
    early = recorded_on("digits", lesson=4)
    assert early == [result for result in every if MODELS[result["model"]].lesson <= 4]
    assert 0 < len(early) < len(every)
    assert recorded_on("digits", lesson=99) == every


def test_every_model_of_a_recipe_is_in_the_list_and_the_list_has_no_other():
    """But the classes that only variants or pairs are built of."""
    trained = {recipe.model for recipe in RECIPES.values()}
    assert trained <= set(MODELS)
    assert set(MODELS) - trained == {
        "dcgan",
        "two_stage",
        "tokenizer",
        "factor_classifier",
        "ngram",
    }  # which is counted
    assert len({model.words for model in MODELS.values()}) == len(MODELS)
    for name in MODELS:
        cls = model_class(name)
        assert cls.name in CLASSES
        assert home(name) == f"{cls.__module__}:{cls.__name__}"
        assert (cls.name == name) == (name in CLASSES)
    assert words("a_new_one") == "a new one"


def test_an_unknown_model_is_answered_with_the_known_ones():
    for ask in (model_class, lambda name: checkpoints.build_model(name, {})):
        with pytest.raises(ValueError, match=r"no model 'dalle'; known: fvsbn, made, .*, classifier$"):
            ask("dalle")
    with pytest.raises(ValueError, match=r"a made has no argument size; it takes shape, levels, n_classes, hidden"):
        checkpoints.build_model("made", {"shape": (1, 2, 2), "levels": 2, "size": 3})


def test_a_model_is_built_without_importing_the_others():
    code = (
        "import sys, garm_course.models as m; assert 'torch' not in sys.modules; m.model_class('nade');"
        "print([n for n in ('latent', 'adversarial', 'autoregressive.pixelcnn') if f'garm_course.{n}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_all_that_tables_need(kind):
    one = KINDS[kind]
    assert all((one.name == kind, one.heading, one.about, one.key, one.unit))
    figures = {one.key: 0.5, "stderr": 0.25, "n": 10}
    best, worst = sorted((one.headline({**figures, one.key: x}) for x in (0.25, 0.75)), key=lambda h: h.rank)
    assert (best.value < worst.value) == (one.best > 0)
    head, row = (line.split() for line in one.lines([figures]))
    assert "±" in head
    assert row == [one.number(0.5), one.number(0.25)], "columns without a figure are left out"


def test_an_unknown_kind_is_answered_with_the_known_ones(copy):
    with pytest.raises(
        ValueError, match="no kind of result 'audio'; known: likelihood, text, sound, samples, translation, r"
    ):
        recorded_on("digits", kind="audio")
    write_result(copy, {**read_result(copy), "kind": "audio"})
    with pytest.raises(ValueError, match="no kind of result 'audio'; known: likelihood"):
        evaluate_run(copy)


def test_a_run_of_an_older_version_is_still_evaluated(copy):
    """Older results name no kind and no class, and their configurations lack arguments that came later."""
    old = read_result(copy)
    figures = old["validation"]
    for key in ("kind", "class"):
        del old[key]
    assert GatedPixelCNN((1, 4, 4), 2).config.keys() >= {"encoding"}
    del old["config"]["encoding"]
    write_result(copy, old)
    assert evaluate_run(copy, "validation")["validation"] == figures
    old["config"]["no_such_argument"] = 1
    write_result(copy, old)
    with pytest.raises(ValueError, match=r"is not the model of .*; train the run again"):
        evaluate_run(copy)


def test_another_variant_of_the_data_is_not_on_the_ladder():
    assert recorded("color_pixelcnnpp-glyphs")["data_options"]["train"]["color"]
    assert "color_pixelcnnpp" not in [result["model"] for result in recorded_on("glyphs")]


def test_the_second_stage_is_as_short_as_the_first_in_a_smoke_run(tmp_path):
    recipe = RECIPES["vqvae-glyphs"]
    assert recipe.settings("smoke")["prior"]["steps"] == 2
    assert recipe.settings("full")["prior"]["steps"] > recipe.settings("quick")["prior"]["steps"]
    small = TwoStageRecipe(**{**recipe.__dict__, "sizes": {split: 60 for split in datasets.SPLITS}})
    model, result = train(small, tmp_path / "pair", budget="smoke", seed=1)
    assert result["validation"]["bound"] == "ELBO"
    assert result["validation"]["nats"] == pytest.approx(
        result["validation"]["rate"] + result["validation"]["distortion"]
    )
    assert result["validation"]["kl"]["nats"] > 0
    back = load_model(tmp_path / "pair" / "model.safetensors", expected="two_stage")
    assert all(torch.equal(v, back.state_dict()[k]) for k, v in model.state_dict().items())
    codes = small.codes(model.vqvae, small.load("validation"))
    assert codes.tensors[0].shape == (60, 1, 7, 7)
    assert torch.equal(codes.tensors[0][:, 0], model.vqvae.encode(small.load("validation").x))
