"""Figures of reconstructions: what they are for images that are known, and that doubt makes each of them worse."""

import pytest
import torch
from torch import nn

from garm_course.datasets import load
from garm_course.recipes.kinds import KINDS, compare_reconstructions
from garm_course.transforms import scale


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
