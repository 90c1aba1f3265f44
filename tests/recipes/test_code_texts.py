"""The prior of captioned codes: its recipe, its figures, and the images that the command line draws of it."""

import dataclasses
import json
import math

import pytest
import torch

from garm_course import cli
from garm_course.autoregressive.code_prior import CodeTransformer
from garm_course.datasets.captions import FACTORS, CaptionedGlyphs, encode
from garm_course.evaluation.features import FactorClassifier
from garm_course.latent.tokenizer import Tokenizer
from garm_course.recipes import code_texts, evaluate_run, kinds, train
from garm_course.recipes import recipe as recipe_module
from garm_course.recipes.catalog import RECIPES
from garm_course.recipes.kinds import KINDS
from garm_course.weights.files import load_model

RECIPE = dataclasses.replace(
    RECIPES["caption_transformer-colored_glyphs"], sizes={"train": 60, "validation": 20, "test": 20},
    config={"width": 8, "heads": 2, "layers": 1},
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """A small untrained tokenizer and judge in the place of those that come along."""
    monkeypatch.setenv("GARM_PROGRESS", "0")

    def load(name):
        torch.manual_seed(0)
        if name.startswith("judge"):
            return FactorClassifier((3, 28, 28), 4, channels=4).eval().requires_grad_(False)
        return Tokenizer((3, 28, 28), 4, n_codes=8, dim=4, channels=8, blocks=0).eval()

    for module in (code_texts, kinds, recipe_module):
        monkeypatch.setattr(module, "load_pretrained", load)


@pytest.fixture
def run(tmp_path):
    model, result = train(RECIPE, tmp_path / "run", budget="smoke")
    return tmp_path / "run", model, result


def test_a_run_is_measured_given_the_caption_none_and_another(run):
    folder, model, result = run
    data = CaptionedGlyphs("validation", n=20)
    codes, full = code_texts.codes_of(code_texts.tokenizer_of(model), data), code_texts.full_captions(data)
    figures = result["validation"]
    assert result["kind"] == "captions"
    assert figures["n"] == 20
    for key, captions in (("nats", full), ("empty", None), ("other", full[torch.arange(-1, 19)])):
        assert figures[key] == pytest.approx(-model.log_prob(codes, captions).mean().item(), rel=1e-5), key
    drawn = model.sample(20, full, guidance=kinds.GUIDANCE, rng=torch.Generator().manual_seed(0))
    read = kinds.load_pretrained("judge").read(code_texts.images_of(model, drawn))
    right = {name: read[name] == data.labels[:, list(FACTORS).index(name)] for name in ("digit", "hue", "slant")}
    for name, each in right.items():
        assert figures[name] == pytest.approx(each.double().mean().item())
    assert figures["all"] == pytest.approx(torch.stack([*right.values()]).all(0).double().mean().item())
    assert result["baselines"]["uniform"]["nats"] == pytest.approx(16 * math.log(8))
    assert 0 < result["baselines"]["code marginals"]["nats"] < 16 * math.log(8)
    assert evaluate_run(folder, "validation")["validation"] == figures
    assert KINDS["captions"].lines([figures])


def test_full_captions_name_every_factor():
    data = CaptionedGlyphs("validation", n=30)
    assert torch.equal(code_texts.full_captions(data), CaptionedGlyphs("validation", n=30, keep=1.0, empty=0.0).tokens)


def test_each_image_is_trained_with_several_captions_of_its_own(monkeypatch):
    handed = {}
    monkeypatch.setattr(recipe_module, "fit", lambda model, data, **rest: handed.update(data=data, **rest))
    model = RECIPE.build()
    data = {split: RECIPE.load(split) for split in ("train", "validation")}
    RECIPE.fit(model, data, RECIPE.settings("quick"), 0)
    codes, captions = handed["data"].tensors
    assert len(codes) == len(captions) == 60 * RECIPE.redraws
    assert torch.equal(codes[:60], codes[60:120])
    assert not torch.equal(captions[:60], captions[60:120])
    full = code_texts.full_captions(data["train"])
    for row, caption in enumerate(captions):
        asked = set(full[row % 60].tolist()) | {0, 2}  # "digit" stands where the digit is left out
        assert set(caption.tolist()) <= asked
    assert torch.equal(handed["validation"].tensors[1], data["validation"].tokens)


def test_a_sentence_becomes_images(run, tmp_path, capsys, monkeypatch):
    folder, calls, sample = run[0], [], CodeTransformer.sample
    monkeypatch.setattr(
        CodeTransformer,
        "sample",
        lambda self, n, y=None, **rest: calls.append((n, y, rest)) or sample(self, n, y, **rest),
    )
    out = tmp_path / "a.png"

    def garm(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main(["sample", str(folder), "--out", str(out), *arguments])
        return stop.value.code, capsys.readouterr().err

    assert garm("--caption", "a red 7", "--guidance", "3", "-n", "4")[0] in (0, None)
    ((n, caption, rest),) = calls
    assert n == 4
    assert torch.equal(caption, encode("a red 7"))
    assert rest["guidance"] == 3.0
    assert out.read_bytes()[:4] == b"\x89PNG"
    assert garm("-n", "2")[0] in (0, None)
    assert calls[1][1] is None, "nothing is asked"
    code, error = garm("--caption", "a crimson 7")
    assert code == 2
    assert "unknown word 'crimson' in 'a crimson 7'; a caption may have: a, digit, " in error
    assert "takes no" not in error


def test_other_models_take_no_caption(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["sample", "gan-digits", "--out", str(tmp_path / "a.png"), "--caption", "a red 7"])
    assert "a gan takes no --caption; it takes --n, --seed" in capsys.readouterr().err


def test_a_prior_for_another_tokenizer_is_refused(run):
    record = load_model(run[0] / "model.safetensors").record
    assert record["config"]["tokenizer"] == "perceptual_vqvae-colored_glyphs"
    assert json.dumps(record["config"])
    for options, message in (
        ({"n_codes": 9, "tokenizer": "any"}, r"a tokenizer of 9 codes on a grid \(4, 4\), got 8 on \(4, 4\)"),
        ({"n_codes": 8}, "this prior names no tokenizer"),
    ):
        prior = CodeTransformer(grid=(4, 4), vocabulary=29, length=10, **options)
        with pytest.raises(ValueError, match=message):
            code_texts.images_of(prior, torch.zeros(1, 4, 4, dtype=torch.long))
