"""Figures of reconstructions: what they are for images that are known, and that doubt makes each of them worse."""

import dataclasses

import pytest
import torch
from torch import nn

from garm_course.datasets import load
from garm_course.recipes.catalog import RECIPES
from garm_course.recipes.kinds import KINDS, compare_reconstructions
from garm_course.recipes.runs import train
from garm_course.transforms import scale
from garm_course.weights.files import load_model


@pytest.fixture(scope="module")
def data():
    return load("colored_glyphs", "validation", n=150)


def test_figures_of_the_originals_of_their_clean_shapes_and_of_their_mean(data):
    x = scale(data.x, data.levels)
    same, found = compare_reconstructions(data, x), KINDS["reconstruction"].baselines(data, data)
    clean, mean = found["originals without flips"], found["mean of the training images"]
    assert (same["frechet"], same["frechet_of_teacher"], same["frechet_snapped"]) == pytest.approx((0, 0, 0), abs=1e-6)
    assert (same["error"], same["mixed"]) == (0, 0)
    assert same["off"] == pytest.approx(0.01 * 784, abs=4 * (7.84 / 150) ** 0.5)
    assert (clean["off"], clean["mixed"], clean["same"], clean["hue"]) == (0, 0, 1, 1)
    lit = (data.x.amax(1) > 0) != (data.prototypes[data.prototype, 0] > 0)  # what flipped
    hues = scale(torch.stack([image.flatten(1).amax(1) for image in data.x]), 4) + 1  # (N, 3), from black
    error = (lit.sum((1, 2)) * hues.square().sum(1) / (3 * 784)).mean().item()
    assert clean["error"] == pytest.approx(error, rel=1e-4)
    for key, worse in (("frechet", 1), ("error", 1), ("digit", -1), ("hue", -1), ("same", -1), ("mixed", 1)):
        assert worse * mean[key] > worse * clean[key]


def test_a_tokenizer_is_measured_on_equally_many_images_of_each_split(data):
    class Blur(nn.Module):
        n_codes = 2

        def encode(self, x):
            return (x.amax((1, 2, 3)) > 0).long()[:, None, None]

        def decode(self, index):
            return torch.zeros(len(index), 3, 28, 28)

    kind = KINDS["reconstruction"]
    figures = kind.measure(Blur(), load("colored_glyphs", "train", n=1003), "train")
    assert figures["n"] == 1000
    assert figures["perplexity"] == 1
    assert figures["mixed"] == 784
    assert kind.headline(figures).text == kind.number(figures["frechet"]) + " ± " + kind.number(figures["stderr"])


def test_a_vqgan_is_trained_measured_and_read_back(tmp_path, monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")
    recipe = dataclasses.replace(RECIPES["vqgan-colored_glyphs"], sizes={"train": 40, "validation": 40})
    model, result = train(recipe, tmp_path / "run", budget="smoke")
    assert (result["class"], result["kind"], result["validation"]["n"]) == ("vqgan", "reconstruction", 40)
    assert set(result["history"]["terms"]) == {"pixels", "codebook", "perceptual", "generator", "critic", "weight"}
    back = load_model(tmp_path / "run" / "model.safetensors", expected="vqgan")
    assert back.config == recipe.build().config
    assert all(torch.equal(v, back.state_dict()[k]) for k, v in model.state_dict().items())
    for name in ("vqvae", "perceptual_vqvae"):
        other = dataclasses.replace(RECIPES[f"{name}-colored_glyphs"], sizes=recipe.sizes)
        assert (other.config, other.quick) == (recipe.config, recipe.quick)
        plain = other.build()
        assert plain.critic is None
        game = other.play(plain, *other.loss)
        assert (game.teacher is None) == (name == "vqvae")
        assert game.betas == recipe.play(model, *recipe.loss).betas
