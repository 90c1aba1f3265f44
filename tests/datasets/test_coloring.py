"""Gray and colored images with a known translation between them, and how a learned one is measured."""

import pytest
import torch

from garm_course import datasets
from garm_course.datasets.coloring import INK, PAPER, colored, shade, unpaired
from garm_course.recipes.kinds import Translations
from garm_course.transforms import scale

TRAIN, VALIDATION = datasets.load("digits", "train"), datasets.load("digits", "validation")


class Translates:
    """What `translate` of a CycleGAN does, by two given functions."""

    def __init__(self, there, back):
        self.maps = {"xy": there, "yx": back}

    def translate(self, x, direction):
        return self.maps[direction](x)


def test_black_is_paper_and_white_is_ink_and_the_way_back_is_exact():
    ends = colored(torch.tensor([-1.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)).flatten(1)
    assert ends.tolist() == [list(PAPER), list(INK)]
    x = torch.rand(5, 1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y = colored(x)
    assert y.shape == (5, 3, 3, 4)
    assert y.abs().max() <= 1
    assert torch.allclose(shade(y), x, atol=1e-12)
    assert torch.allclose(colored((x[:2] + x[2:4]) / 2), (y[:2] + y[2:4]) / 2)  # a line


def test_a_color_beside_the_line_counts_as_its_nearest_on_it():
    paper, ink = torch.tensor(PAPER, dtype=torch.float64), torch.tensor(INK, dtype=torch.float64)
    across = torch.linalg.cross(ink - paper, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    beside = (colored(torch.full((1, 1, 1, 1), 0.3, dtype=torch.float64)).flatten() + across).reshape(1, 3, 1, 1)
    assert shade(beside).item() == pytest.approx(0.3)


def test_no_image_is_in_both_domains_and_every_image_in_one():
    gray, color = unpaired(TRAIN)
    assert len(gray) == len(color) == len(TRAIN) // 2
    assert torch.equal(unpaired(TRAIN)[0].tensors[0], gray.tensors[0])
    kept = torch.cat([gray.tensors[0], shade(color.tensors[0])])

    def count(x):
        levels = ((x.flatten(1) + 1) * 8).round().long()
        return {tuple(row) for row in levels.unique(dim=0).tolist()}, len(levels)

    (mine, n), (all_of_them, total) = count(kept), count(scale(TRAIN.x, 17))
    assert mine <= all_of_them
    assert n == total - total % 2
    assert len(all_of_them - mine) <= 1  # of an odd number of images one is left out
    classes = torch.cat([gray.tensors[1], color.tensors[1]])
    assert (classes.bincount() - TRAIN.y.bincount()).abs().sum() <= 1


@pytest.mark.parametrize("name", ["patches", "pydoc"])
def test_only_gray_images_are_colored(name):
    with pytest.raises(ValueError, match=r"expected gray images \(1, H, W\) of whole levels, got"):
        unpaired(datasets.load(name, "validation"))


def test_the_true_translation_has_no_error_and_its_opposite_a_large_one():
    perfect = Translations().measure(Translates(colored, shade), VALIDATION, "validation")
    assert perfect["error"] == pytest.approx(0, abs=1e-12)
    assert perfect["error_back"] == pytest.approx(0, abs=1e-12)
    assert perfect["cycle"] == pytest.approx(0, abs=1e-6)
    assert perfect["class_accuracy"] > 0.97
    # inverted images: they come back as they were, and everything else is wrong
    opposite = Translations().measure(Translates(lambda x: colored(-x), lambda y: -shade(y)), VALIDATION, "validation")
    assert opposite["cycle"] == pytest.approx(0, abs=1e-6)
    x = scale(VALIDATION.x, 17).double()
    slope = sum((b - a) ** 2 for a, b in zip(PAPER, INK, strict=True)) / 12  # mean square of a color per gray
    assert opposite["error"] == pytest.approx((slope * (2 * x).square().mean()).item(), rel=1e-5)
    assert opposite["error_back"] == pytest.approx((2 * x).square().mean().item(), rel=1e-5)
    assert opposite["class_accuracy"] < 0.3
    assert Translations().headline(opposite).text.startswith(f"{opposite['error']:.5f} ± ")
    assert Translations().headline(perfect).rank < Translations().headline(opposite).rank


def test_the_baseline_is_the_best_constant_image():
    baseline = Translations().baselines(TRAIN, VALIDATION)["mean of the colored images"]
    mean = unpaired(TRAIN)[1].tensors[0].mean(0)
    constant = Translations().measure(
        Translates(lambda x: mean.expand(len(x), -1, -1, -1), lambda y: y[:, :1]), VALIDATION, "validation"
    )
    assert baseline["error"] == pytest.approx(constant["error"])
    assert baseline["error"] == pytest.approx(0.188, abs=2e-3)
