"""The pictures of lesson 19: what they show is what can be counted, and their words say so."""

import math
import re

import pytest
import torch

from garm_course.lessons.lesson19.maps import maps_figure
from garm_course.lessons.lesson19.thresholds import Thresholds
from garm_course.lessons.lesson19.watermarks import Watermarks
from garm_course.show import png
from garm_course.trust import p_value
from garm_course.trust.privacy import tpr_bound

GENERATOR = torch.Generator().manual_seed(0)
MEMBER = torch.rand(400, generator=GENERATOR) < 0.5
SCORES = torch.randn(400, generator=GENERATOR) - 2.0 * MEMBER


@pytest.fixture(scope="module")
def attack():
    return Thresholds({"noise": torch.randn(400, generator=GENERATOR), "score": SCORES}, MEMBER, 1.0, 1e-3, (-4.0, 4.0))


def test_the_rates_at_a_threshold_are_those_that_one_counts(attack):
    for threshold in (-3.0, -1.0, 0.5):
        tpr, fpr = attack.rates(threshold)
        assert tpr == pytest.approx((SCORES[MEMBER] < threshold).double().mean().item())
        assert fpr == pytest.approx((SCORES[~MEMBER] < threshold).double().mean().item())
        said = [float(x) for x in re.findall(r"≈ ([\d.]+)%", attack.caption(threshold))]
        bound = tpr_bound(torch.tensor(fpr), 1.0, 1e-3).item()
        assert said == pytest.approx([100 * tpr, 100 * fpr, 100 * bound], abs=0.06)


def test_the_first_threshold_accuses_at_most_one_in_a_hundred(attack):
    assert attack.rates(attack.default)[1] <= 0.01
    assert png(attack.figure(attack.default)).startswith(b"\x89PNG")


def test_an_attack_without_members_is_refused():
    with pytest.raises(ValueError, match="for members and for others"):
        Thresholds({"score": SCORES}, torch.ones(400, dtype=torch.bool), 1.0, 1e-3, (-4.0, 4.0))


def test_the_caption_of_a_watermark_counts_the_images_beyond_the_alarm():
    alarm = int((p_value(torch.arange(65), 64, 8 / 17) > 1e-3).sum())
    counts = {0.0: torch.full((10,), 30), 1.0: torch.tensor([alarm - 1, alarm, 50, 60])}
    view = Watermarks(counts, {0.0: 0.0, 1.0: 2.5}, 64, 8 / 17, alarm)
    assert "≈ 75% of the images" in view.caption(1.2)  # the nearest strength
    assert "≈ 0% of the images" in view.caption(0.0)
    assert f"where {64 * 8 / 17:.1f} are expected" in view.caption(0.0)
    assert math.isclose(view.step, 1.0)
    assert png(view.figure(1.0)).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="equally spaced"):
        Watermarks({0.0: counts[0.0], 1.0: counts[0.0], 3.0: counts[0.0]}, {}, 64, 0.5, alarm)


def test_every_image_has_its_map_and_its_name():
    images = torch.zeros(2, 1, 4, 3, dtype=torch.long)
    assert png(
        maps_figure(images, torch.rand(2, 4, 3), levels=5, title="maps", names=["a", "b"], rows=["c", "d"], unit="e")
    ).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="a map and a name for each of 2 images"):
        maps_figure(images, torch.rand(2, 3, 4), levels=5, title="maps", names=["a", "b"], rows=["c", "d"], unit="e")
