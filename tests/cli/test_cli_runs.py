"""`garm train`, `evaluate`, `sample` and `recipes` as typed: files, figures, pictures, and errors in one line."""

import errno
import inspect
import json
import math
import os
import re
import shutil
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
import torch
from limits import PATIENCE
from typer.testing import CliRunner

from garm_course import cli, load_pretrained
from garm_course.models import model_class
from garm_course.recipes.catalog import RECIPES
from garm_course.recipes.kinds import KINDS, kind_of
from garm_course.weights import files as checkpoints
from garm_course.weights import pretrained_names
from garm_course.weights.files import load_model


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The issue's own command, run once as a real process."""
    out = tmp_path_factory.mktemp("runs") / "new" / "digits"
    done = subprocess.run(
        [sys.executable, "-m", "garm_course.cli", "train", "gated_pixelcnn", "--data", "digits", "--budget", "smoke",
         "--out", str(out), "--json"],
        capture_output=True, text=True, timeout=PATIENCE,
        env=os.environ | {"GARM_PROGRESS": "1", "GARM_TRACEBACK": "0"},
    )  # fmt: skip
    return out, done


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "bars"
    os.environ["GARM_PROGRESS"] = "0"
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "gated_pixelcnn", "--data", "bars_and_stripes", "--budget", "smoke", "--out", str(out)])
    assert not stop.value.code
    return out


@pytest.fixture
def copy(bars, tmp_path):
    return shutil.copytree(bars, tmp_path / "copy")


def test_training_writes_the_run_and_prints_its_figures_as_json(digits):
    out, done = digits
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # nothing else on standard output
    assert result == json.loads((out / "result.json").read_text())
    assert sorted(p.name for p in out.iterdir()) == ["model.safetensors", "result.json"]
    for split in ("train", "validation"):
        figures = result[split]
        assert math.isfinite(figures["nats"])
        assert figures["stderr"] > 0
        assert figures["bits_per_dim"] == pytest.approx(figures["nats"] / 64 / math.log(2))
    assert (result["train"]["n"], result["validation"]["n"]) == (1257, 180)
    assert result["baselines"]["uniform"]["nats"] == pytest.approx(64 * math.log(17))
    assert result["parameters"] > 100_000
    assert result["seconds"] > 0
    assert result["config"]["levels"] == 17
    assert result["versions"]["torch"] == torch.__version__
    assert load_model(out / "model.safetensors").name == "gated_pixelcnn"


def test_training_shows_a_progress_bar_on_standard_error(digits):
    assert "gated_pixelcnn-digits" in digits[1].stderr
    assert "2/2" in digits[1].stderr
    assert "Warning" not in digits[1].stderr


def test_training_prints_nats_and_bits_beside_the_baselines(garm, tmp_path):
    code, out, err = garm("train", "gated_pixelcnn", "--data", "bars_and_stripes", "--budget", "smoke",
                          "--seed", 3, "--out", tmp_path / "run")  # fmt: skip
    assert (code, err) == (0, "")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    rows = [
        ("uniform (validation)", result["baselines"]["uniform"]),
        ("pixel marginals (validation)", result["baselines"]["pixel marginals"]),
        ("class marginals (validation)", result["baselines"]["class marginals"]),
        ("gated_pixelcnn (train)", result["train"]),
        ("gated_pixelcnn (validation)", result["validation"]),
        ("entropy of the data (floor)", result["floor"]),
    ]
    for name, figures in rows:
        line = next(line for line in out.splitlines() if line.startswith(name))
        expected = [f"{figures[k]:.{d}f}" for k, d in (("nats", 2), ("stderr", 2), ("bits_per_dim", 3))]
        expected += [f"{figures['kl']['nats']:.{2 if figures['nats'] >= 10 else 4}f}"] if "kl" in figures else []
        assert line.removeprefix(name).split() == expected
    assert "nats" in out.splitlines()[1]
    assert "bits/dim" in out.splitlines()[1]
    for told in (f"{result['parameters']:,} parameters", "seed 3", "budget smoke", str(tmp_path / "run"), "at step 2"):
        assert told in out


def test_the_folder_has_a_default_name(garm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert garm("train", "gated_pixelcnn", "--data", "bars_and_stripes", "--budget", "smoke", "--seed", 2)[0] == 0
    assert (tmp_path / "runs" / "gated_pixelcnn-bars_and_stripes-2" / "result.json").is_file()


def test_evaluating_adds_the_test_figure(garm, digits, tmp_path):
    run = shutil.copytree(digits[0], tmp_path / "run")
    code, out, _ = garm("evaluate", run, "--split", "test")
    result = json.loads((run / "result.json").read_text())
    assert code == 0
    assert result["test"]["n"] == 360
    assert f"gated_pixelcnn (test){result['test']['nats']:>32.2f}" in out
    code, out, _ = garm("evaluate", run, "--split", "validation", "--json")
    assert json.loads(out) == json.loads((run / "result.json").read_text())
    assert json.loads(out)["test"] == result["test"]


def pixels(path):
    image = matplotlib.image.imread(path)  # decodes it
    return image[..., :3]


def test_sampling_writes_a_picture_that_shows_the_samples(garm, digits, tmp_path):
    code, out, err = garm("sample", digits[0], "--out", tmp_path / "a.png")
    assert (code, out, err) == (0, f"written: {tmp_path / 'a.png'}\n", "")
    image = pixels(tmp_path / "a.png")
    assert image.shape[0] > 100
    assert image.std() > 0.1
    # a quarter of the picture or more are pixels of samples: 17 grays, of which an untrained model draws all
    assert len(np.unique((image * 255).round().astype(int).reshape(-1, 3), axis=0)) >= 17
    garm("sample", digits[0], "--out", tmp_path / "b.png", "--seed", 1)
    garm("sample", digits[0], "--out", tmp_path / "c.png", "--seed", 0)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def spied(monkeypatch):
    """The arguments with which a model was asked for samples."""
    from garm_course.autoregressive.base import Autoregressive

    calls, sample = [], Autoregressive.sample

    def spy(self, n, y=None, **options):
        calls.append({"n": n, "y": y, **options})
        return sample(self, n, y, **options)

    monkeypatch.setattr(Autoregressive, "sample", spy)
    return calls


def test_the_options_of_sampling_reach_the_model(garm, bars, tmp_path, monkeypatch):
    calls = spied(monkeypatch)
    code, _, err = garm("sample", bars, "--out", tmp_path / "a.png", "-n", 5, "--temperature", 0.5, "--top-k", 1,
                        "--top-p", 0.9, "--min-p", 0.1, "--seed", 4)  # fmt: skip
    assert code == 0, err
    (call,) = calls
    assert (call["n"], call["y"], call["temperature"], call["top_k"], call["top_p"]) == (5, None, 0.5, 1, 0.9)
    assert call["min_p"] == 0.1
    assert call["rng"].initial_seed() == 4


def test_a_conditional_model_draws_all_classes_in_turn_or_the_one_asked_for(garm, tmp_path, monkeypatch):
    calls = spied(monkeypatch)
    name = "conditional_gated_pixelcnn-digits"
    assert name in pretrained_names()
    assert garm("sample", name, "--out", tmp_path / "a.png", "-n", 12)[0] == 0
    assert garm("sample", name, "--out", tmp_path / "b.png", "-n", 3, "--class", 7)[0] == 0
    assert [call["y"].tolist() for call in calls] == [[*range(10), 0, 1], [7, 7, 7]]


def test_a_file_can_be_sampled(garm, bars, tmp_path):
    assert garm("sample", bars / "model.safetensors", "--out", tmp_path / "a.png", "-n", 1)[0] == 0
    assert pixels(tmp_path / "a.png").std() > 0


@pytest.mark.parametrize("name", pretrained_names())
def test_every_pretrained_model_can_be_sampled_and_refuses_what_it_does_not_take(garm, fails, tmp_path, name):
    out = tmp_path / "a.png"
    cls = model_class(RECIPES[name].model)
    if not hasattr(cls, "sample") and name != "vqvae-glyphs":  # whose samples are those of the pair with its prior
        assert "has no samples to draw" in fails("sample", name, "--out", out, "--n", 2)
        return
    if RECIPES[name].kind == "text":
        assert fails("sample", name, "--out", out).endswith(f"ends in .txt, got {out}; for example --out a.txt")
        code, _, err = garm("sample", name, "--out", out.with_suffix(".txt"), "--n", 2, "--length", 20)
        assert code == 0, err
        _, *samples = re.split("--- .* ---\n", out.with_suffix(".txt").read_text())
        assert [len(sample) for sample in samples] == [21, 21], "twenty characters and the end of a line"
        return
    if RECIPES[name].kind == "sound":
        assert fails("sample", name, "--out", out).endswith(f"ends in .wav, got {out}; for example --out a.wav")
        code, _, err = garm("sample", name, "--out", out.with_suffix(".wav"), "--n", 2, "--length", 20, "--class", 1)
        assert code == 0, err
        assert out.with_suffix(".wav").stat().st_size == 44 + 2 * 2 * (20 + 800)
        return
    code, _, err = garm("sample", name, "--out", out, "--n", 2)
    assert code == 0, err
    assert pixels(out).std() > 0
    out.unlink()
    if RECIPES[name].kind == "captions":
        assert garm("sample", name, "--out", out, "--n", 2, "--caption", "a red 7", "--guidance", 4)[0] == 0
        return
    if RECIPES[name].kind == "likelihood" and not hasattr(cls, "encode"):
        return  # every filter
    if name != "vqvae-glyphs":
        line = fails("sample", name, "--out", out, "--n", 2, "--temperature", 0.5, "--top-k", 3)
        known = "--n, --seed, --class" if RECIPES[name].conditional else "--n, --seed"
        assert line.endswith(f"takes no --temperature, --top-k; it takes {known}")
        assert not out.exists()


def test_models_name_the_options_that_their_sample_takes():
    from garm_course.adversarial.gan import GAN
    from garm_course.adversarial.vaegan import VAEGAN
    from garm_course.autoregressive import sampling
    from garm_course.autoregressive.base import Autoregressive
    from garm_course.latent.vae import VAE

    for cls, sample in ((Autoregressive, sampling.sample), *((cls, cls.sample) for cls in (VAE, GAN, VAEGAN))):
        options = {p.name for p in inspect.signature(sample).parameters.values() if p.kind is p.KEYWORD_ONLY}
        assert set(cls.sampling_options) == options - {"rng", "naive"}
    pair = load_pretrained("vqvae-glyphs")
    assert pair.sampling_options == (*Autoregressive.sampling_options, "mean")
    mean = pair.sample(2, rng=torch.Generator().manual_seed(0), mean=True)
    assert pair.levels_of(mean).dtype == torch.long


def test_a_model_says_which_of_its_options_the_command_line_offers(fails, tmp_path, monkeypatch):
    from garm_course.autoregressive.base import Autoregressive

    monkeypatch.setattr(Autoregressive, "sampling_options", ("temperature", "min_p"))
    line = fails("sample", "conditional_gated_pixelcnn-digits", "--out", tmp_path / "a.png", "--top-p", 0.5)
    assert line == "a gated_pixelcnn takes no --top-p; it takes --n, --seed, --class, --temperature, --min-p"


def test_recipes_are_listed_with_their_recorded_figures(garm):
    code, out, _ = garm("recipes", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [f"{row['model']}-{row['data']}" for row in rows] == list(RECIPES)
    recorded = [row for row in rows if row["recorded"]]
    assert recorded
    text = garm("recipes")[1].splitlines()
    assert len(text) == len(rows) + 1
    for row, line in zip(rows, text[1:], strict=True):
        kind = KINDS[RECIPES[f"{row['model']}-{row['data']}"].kind]
        figure = kind.headline(row["recorded"]).text if row["recorded"] else "none"
        assert line.split() == [row["model"], row["data"], *figure.split()]


@pytest.mark.parametrize("command", ["train", "evaluate", "sample", "recipes"])
def test_every_command_has_help(command):
    runner = CliRunner()
    for flag in ("--help", "-h"):
        done = runner.invoke(cli.build(), [command, flag])
        assert done.exit_code == 0
        assert command in done.output
    names = {"train": "--budget", "evaluate": "--split", "sample": "--temperature", "recipes": "--json"}
    assert names[command] in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "gated_pixelcn"],
            "did you mean 'gated_pixelcnn'? known: caption_transformer, char_transformer, classifier,",
        ),
        (
            ["train", "pixelcnn", "--data", "digts"],
            "did you mean 'digits'? known: bars_and_stripes, colored_glyphs, digits",
        ),
        (["train", "pixelcnn", "--data", "imagenet"], "no data set 'imagenet'; known: bars_and_stripes"),
        (["train", "pixelcnn", "--data", "glyphs"], "pixelcnn has recipes for: digits"),
        (["train", "pixelcnn", "--budget", "fast"], "choose one of smoke, quick, full"),
        (["train", "pixelcnn", "--seed", "one"], "--seed"),
        (["train", "pixelcnn", "--seed", "-1"], "--seed"),
        (["train", "pixelcnn", "--seed", str(2**70)], "--seed"),
        (["train", "pixelcnn", "--budgt", "smoke"], "--budgt; those of garm train are: --data, --budget, --seed,"),
        (["train"], "argument 'MODEL'"),
        (["trian", "pixelcnn"], "did you mean 'garm train'?"),
        (["evaluate"], "argument 'RUN'"),
        (["evaluate", "nowhere"], "nowhere is no folder of a run (it has no result.json); make one with `garm train`"),
        (["evaluate", "RUN", "--split", "tset"], "choose one of train, validation, test"),
        (["sample", "RUN"], "--out"),
        (["sample", "RUN", "--out", "OUT.jpg"], "ends in .png"),
        (["sample", "RUN", "--out", "nowhere/a.png"], "there is no folder nowhere; create it or choose another --out"),
        (["sample", "RUN", "--out", "OUT.png", "-n", "0"], "-n"),
        (["sample", "RUN", "--out", "OUT.png", "-n", "100000"], "-n"),
        (["sample", "RUN", "--out", "OUT.png", "--temperature", "-1"], "temperature >= 0"),
        (["sample", "RUN", "--out", "OUT.png", "--temperature", "nan"], "temperature >= 0"),
        (["sample", "RUN", "--out", "OUT.png", "--top-k", "0"], "top_k >= 1"),
        (["sample", "RUN", "--out", "OUT.png", "--top-p", "1.5"], "top_p in (0, 1]"),
        (["sample", "RUN", "--out", "OUT.png", "--min-p", "1.5"], "min_p in [0, 1]"),
        (["train", "gated_pixelcnn", "--device", "gpu"], "no --device 'gpu'; "),
        (["train", "gated_pixelcnn", "--precision", "bf61"], "no --precision 'bf61'; did you mean bf16?"),
        (["train", "gated_pixelcnn", "--track", "tensorbord"], "did you mean tensorboard? choose one of tensorboard,"),
        (["train", "made", "--budget", "quik", "--processes", "2"], "quik"),
        (["sample", "RUN", "--out", "OUT.png", "--class", "3"], "knows no classes; leave --class out"),
        (
            ["sample", "gated_pixelcnn-digts", "--out", "OUT.png"],
            "neither a run of `garm train` nor a pretrained model",
        ),
        (
            ["sample", "conditional_gated_pixelcnn-digits", "--out", "OUT.png", "--class", "10"],
            "classes 0..9, got 10..10",
        ),
        (["sample", "conditional_gated_pixelcnn-digits", "--out", "OUT.png", "--class", "-1"], "classes 0..9"),
    ],
)
def test_what_can_be_put_right_is_told_in_one_line(fails, bars, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    fill = {"RUN": str(bars), "OUT.png": str(tmp_path / "a.png"), "OUT.jpg": str(tmp_path / "a.jpg")}
    assert message.casefold() in fails(*[fill.get(a, a) for a in arguments]).casefold()
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_an_unknown_run_is_answered_with_the_pretrained_models(fails, tmp_path):
    line = fails("sample", "gated_pixelcnn-digts", "--out", tmp_path / "a.png")
    assert all(name in line for name in pretrained_names())


def test_folders_that_cannot_be_written(fails, bars, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a regular file")
    smoke = ("train", "gated_pixelcnn", "--data", "bars_and_stripes", "--budget", "smoke", "--out")
    assert "choose another folder with --out" in fails(*smoke, tmp_path / "file")
    assert "choose another folder with --out" in fails(*smoke, tmp_path / "file" / "run")
    assert "choose another --out" in fails("sample", bars, "--out", tmp_path / "file" / "a.png")
    assert "holds a run already; choose another folder with --out, or add --overwrite" in fails(*smoke, bars)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    for code in (errno.ENOSPC, errno.EROFS):

        def fail(*args, code=code, **kwargs):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(checkpoints.tempfile, "mkstemp", fail)
        assert os.strerror(code) in fails(*smoke, tmp_path)
        line = fails("sample", bars, "--out", tmp_path / "a.png")
        assert (
            line == f"cannot write {tmp_path / 'a.png'} ({os.strerror(code)}); free some space or choose another folder"
        )
        line = fails("evaluate", bars)
        assert "result.json" in line
        assert os.strerror(code) in line
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert "test" not in json.loads((bars / "result.json").read_text())


def test_damaged_runs_are_told(fails, copy, tmp_path):
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    for command in (("evaluate", copy), ("sample", copy, "--out", tmp_path / "a.png")):
        assert "truncated or no safetensors file" in fails(*command)
    (copy / "model.safetensors").unlink()
    for command in (("evaluate", copy), ("sample", copy, "--out", tmp_path / "a.png")):
        assert "there is no model file" in fails(*command)
    (copy / "result.json").write_text("{")
    assert "is damaged" in fails("evaluate", copy)
    assert not (tmp_path / "a.png").exists()


def test_a_run_that_diverges_is_told(fails, tmp_path, monkeypatch):
    from garm_course.autoregressive.pixelcnn import GatedPixelCNN

    log_prob = GatedPixelCNN.log_prob
    monkeypatch.setattr(GatedPixelCNN, "log_prob", lambda self, x, y=None: log_prob(self, x, y) * math.nan)
    line = fails("train", "gated_pixelcnn", "--data", "bars_and_stripes", "--budget", "smoke", "--out", tmp_path / "r")
    assert line.startswith("the loss became nan at step 1")
    assert "last_good.safetensors" in line
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["last_good.safetensors"]


def test_an_interrupted_run_says_so(garm, tmp_path, monkeypatch):
    from garm_course.autoregressive.pixelcnn import GatedPixelCNN

    log_prob, calls = GatedPixelCNN.log_prob, []

    def interrupted(self, x, y=None):
        calls.append(0)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return log_prob(self, x, y)

    monkeypatch.setattr(GatedPixelCNN, "log_prob", interrupted)
    code, _, err = garm("train", "gated_pixelcnn", "--data", "bars_and_stripes", "--budget", "smoke",
                        "--out", tmp_path / "r")  # fmt: skip
    assert code == 130
    assert "interrupted at step 1; it was too early to save anything" in err
    assert not (tmp_path / "r" / "result.json").exists()


def test_a_run_goes_on_after_a_kill_with_the_same_command(garm, tmp_path, monkeypatch):
    from garm_course.autoregressive.pixelcnn import GatedPixelCNN

    class Killed(BaseException):
        pass

    log_prob, calls = GatedPixelCNN.log_prob, []

    def killed(self, x, y=None):
        calls.append(0)
        if len(calls) == 2:
            raise Killed
        return log_prob(self, x, y)

    command = ["train", "gated_pixelcnn", "--data", "bars_and_stripes", "--budget", "smoke", "--save-every", 1]
    with monkeypatch.context() as patch:
        patch.setattr(GatedPixelCNN, "log_prob", killed)
        with pytest.raises(Killed):
            garm(*command, "--out", tmp_path / "r", "--resume")
    assert (tmp_path / "r" / "checkpoints" / "step-000000001.safetensors").exists()
    code, _, err = garm(*command, "--out", tmp_path / "r")
    assert code == 2
    assert "holds a run that was not finished; go on with --resume" in err
    code, _, err = garm(*command, "--out", tmp_path / "r", "--seed", 1, "--resume")
    assert code == 2
    assert "belongs to a run with other settings (seed 0, now 1)" in err
    for folder, option in (("r", ["--resume"]), ("whole", [])):
        code, _, err = garm(*command, "--out", tmp_path / folder, *option)
        assert code == 0, err
    a, b = (load_model(tmp_path / folder / "model.safetensors").state_dict() for folder in ("r", "whole"))
    assert all(torch.equal(a[k], b[k]) for k in b)
    assert not (tmp_path / "r" / "checkpoints").exists()


@pytest.mark.parametrize(("model", "data"), [("gated_pixelcnn", "bars_and_stripes"), ("gan", "digits")])
def test_two_processes_write_one_run_with_the_figures_of_one(tmp_path, model, data):
    command = [sys.executable, "-m", "garm_course.cli", "train", model, "--data", data]
    command += ["--budget", "smoke", "--device", "cpu", "--track", "tensorboard"]
    results = {}
    for n in (1, 2):
        out = tmp_path / str(n)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GARM_PROGRESS": "0"}
        done = subprocess.run([*command, "--out", str(out), "--processes", str(n)], env=environment, timeout=PATIENCE,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("written: ") == 1
        assert sorted(path.name for path in out.iterdir()) == ["logs", "model.safetensors", "result.json"]
        results[n] = json.loads((out / "result.json").read_text())
    for split in ("train", "validation"):
        one, two = (kind_of(results[n]).headline(results[n][split]).value for n in (1, 2))
        assert two == pytest.approx(one, abs=1e-4, rel=1e-4)


@pytest.fixture(scope="module")
def latent(tmp_path_factory):
    """A run whose figure is a bound."""
    os.environ["GARM_PROGRESS"] = "0"
    out = tmp_path_factory.mktemp("runs") / "vae"
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "vae", "--data", "digits", "--budget", "smoke", "--out", str(out)])
    assert not stop.value.code
    return out


def test_a_bound_is_marked_as_one(garm, latent, tmp_path):
    folder = shutil.copytree(latent, tmp_path / "copy")
    result = json.loads((folder / "result.json").read_text())
    assert result["validation"]["bound"] == "IWAE-500"
    assert result["train"]["bound"] == "ELBO"
    for split in ("train", "validation"):
        assert result[split]["rate"] + result[split]["distortion"] >= result[split]["nats"] - 1e-6
    assert result["training"]["loss"] == ["elbo", {"warmup": 0.6}]
    code, out, _ = garm("evaluate", folder, "--split", "validation")
    assert code == 0
    assert "vae (validation, at most: IWAE-500)" in out
    again = json.loads((folder / "result.json").read_text())["validation"]
    assert again == result["validation"], "the draws of a bound are seeded"


def test_a_vae_is_sampled_and_refuses_what_it_cannot_do(garm, fails, latent, tmp_path):
    assert garm("sample", latent, "--out", tmp_path / "a.png", "-n", 3)[0] == 0
    assert pixels(tmp_path / "a.png").std() > 0
    (tmp_path / "a.png").unlink()
    line = fails("sample", latent, "--out", tmp_path / "a.png", "--temperature", "1")
    assert line == "a vae takes no --temperature; it takes --n, --seed"
    from garm_course.latent.vqvae import ConvVQVAE

    checkpoints.save_model(ConvVQVAE((1, 4, 4), 2, halvings=1), tmp_path / "vq.safetensors")
    assert "a vqvae has no samples to draw" in fails("sample", tmp_path / "vq.safetensors", "--out", tmp_path / "a.png")
