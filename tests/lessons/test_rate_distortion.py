"""The curve of rate and distortion over beta: its numbers, and the picture that follows the slider."""

import copy
import re

import numpy as np
import pytest
import torch

from garm_course.datasets import load
from garm_course.lessons.lesson11.rate_distortion import Sweep, beta_sweep
from garm_course.recipes.studies import recorded_study

IMAGES = torch.arange(24).reshape(2, 1, 3, 4) % 5


def run(beta, seed, rate, distortion, kl=None):
    splits = {
        "train": {"rate": rate, "distortion": distortion},
        "validation": {"rate": rate - 0.1, "distortion": distortion + 5, "kl": kl or [0.004, rate - 0.104]},
    }
    drawn = {"reconstructions": [[int(4 * beta) % 5] * 12, [1] * 12]} if seed == 0 else {}
    return {"beta": beta, "seed": seed, **splits, **drawn}


STUDY = {
    "runs": [
        run(0.5, 0, 9.0, 60.0),
        run(0.5, 1, 10.0, 61.0),
        run(2.0, 1, 5.0, 66.0),
        run(2.0, 0, 5.5, 65.0),
        run(4.0, 0, 1.5, 77.0),
        run(4.0, 1, 1.0, 79.0),
    ]
}


def sweep(**changes):
    study = copy.deepcopy(STUDY)
    study["runs"] = changes.get("runs", study["runs"])
    return Sweep(study, changes.get("images", IMAGES), changes.get("levels", 5))


def test_the_figures_are_means_over_seeds_in_the_order_of_beta():
    s = sweep(runs=STUDY["runs"][::-1])
    assert s.betas == [0.5, 2.0, 4.0]
    assert s.seeds == 2
    assert s.rate["training"] == pytest.approx([9.5, 5.25, 1.25])
    assert s.distortion["training"] == pytest.approx([60.5, 65.5, 78.0])
    assert s.rate["validation"] == pytest.approx([9.4, 5.15, 1.15])
    assert s.distortion["validation"] == pytest.approx([65.5, 70.5, 83.0])


def test_chords_are_the_slopes_between_neighbors():
    assert sweep().chords() == pytest.approx([5.0 / -4.25, 12.5 / -4.0])
    assert sweep().chords("validation") == pytest.approx([5.0 / -4.25, 12.5 / -4.0])


def test_what_is_drawn_belongs_to_its_beta():
    s = sweep()
    assert [kl[0] for kl in s.kl] == pytest.approx([8.896, 5.396, 1.396])  # of seed 0, largest first
    assert [int(x[0, 0, 0, 0]) for x in s.reconstructions] == [2, 3, 1]
    assert s.reconstructions[0].shape == (2, 1, 3, 4)


def test_a_beta_is_found_by_its_value():
    assert [sweep().number(beta) for beta in (0.5, 2.0, 4.0)] == [1, 2, 3]
    with pytest.raises(ValueError, match=r"betas 0\.5, 2, 4, got 1"):
        sweep().number(1.0)


def test_the_caption_says_the_validation_figures():
    words = sweep().caption(2)
    assert words.startswith("Number 2 of 3, beta = 2:")
    rate, distortion, both = map(float, re.search(r"is ([\d.]+) .* distortion ([\d.]+) .*er ([\d.]+);", words).groups())
    assert (rate, distortion, both) == pytest.approx((5.15, 70.5, 75.65), abs=0.06)
    assert "1 of 2 latents carry more than 0.01 nats, the busiest one 5.40." in words


def test_the_picture_marks_the_beta_on_both_curves_and_draws_its_slope():
    s = sweep()
    for number, beta in enumerate(s.betas, 1):
        curve, bars, *pictures = s.figure(number).axes
        marked = {line.get_marker(): line.get_data() for line in curve.lines if line.get_markersize() == 9}
        for name, marker in (("training", "o"), ("validation", "s")):
            x, y = marked[marker]
            assert (x[0], y[0]) == pytest.approx((s.rate[name][number - 1], s.distortion[name][number - 1]))
        [tangent] = [line for line in curve.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None"]
        x, y = tangent.get_data()
        assert (y[1] - y[0]) / (x[1] - x[0]) == pytest.approx(-beta)
        at = s.rate["training"][number - 1]
        assert np.interp(at, x, y) == pytest.approx(s.distortion["training"][number - 1])
        assert [bar.get_height() for bar in bars.containers[0]] == pytest.approx(list(s.kl[number - 1]))
        assert [text.get_text() for text in bars.texts] == ["×"]  # the latent with 0.004 nats
        assert len(pictures) == 4


def test_all_views_share_their_axes():
    views = [sweep().figure(number).axes for number in (1, 2, 3)]
    for axes in zip(*(view[:2] for view in views), strict=True):
        assert len({(ax.get_xlim(), ax.get_ylim()) for ax in axes}) == 1


def test_the_pictures_are_the_digits_and_their_reconstructions():
    _, _, first, second, third, _ = sweep().figure(1).axes
    assert not np.array_equal(first.images[0].get_array(), second.images[0].get_array())
    assert len(np.unique(third.images[0].get_array())) == 1  # a reconstruction of one gray level


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": STUDY["runs"][:2]}, "at least two betas"),
        ({"runs": STUDY["runs"][1:]}, "exactly one run of each beta"),
        ({"runs": [*STUDY["runs"], STUDY["runs"][0]]}, "exactly one run of each beta"),
        ({"images": IMAGES[:1]}, "at least 2 images of 12 numbers"),
        ({"images": IMAGES[:, :, :2]}, "at least 2 images of 12 numbers"),
        ({"images": IMAGES.float()}, "whole gray levels"),
        ({"levels": 3}, "gray levels"),
        ({"images": torch.zeros(9, 1, 3, 4).long(), "runs": [
            {**r, "reconstructions": [[0] * 12] * 9} if r["seed"] == 0 else r for r in STUDY["runs"]]}, "at most 8"),
    ],
)  # fmt: skip
def test_a_study_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        sweep(**changes)


def test_moving_the_slider_updates_picture_and_caption(shown):
    beta_sweep(STUDY, IMAGES, levels=5, beta=2.0)
    (name, first), [slider] = shown["first"][0], shown["sliders"]
    assert slider.value == 2
    assert (slider.min, slider.max) == (1, 3)
    assert "beta = 2:" in first
    slider.value = 3
    (_, picture), (_, caption) = shown["later"]
    assert [n for n, _ in shown["later"]] == [name, f"{name}-caption"]
    assert picture["image/png"].startswith(b"\x89PNG")
    assert "beta = 4:" in caption["text/plain"]


def test_the_recorded_sweep_behaves_as_theory_says():
    s = Sweep(recorded_study("beta_sweep-digits"), load("digits", "validation").x, 17)
    for name in ("training", "validation"):
        assert (np.diff(s.rate[name]) < 0).all()  # a higher price, fewer nats
    assert (np.diff(s.distortion["training"]) > 0).all()
    for low, high, slope in zip(s.betas, s.betas[1:], s.chords(), strict=False):
        assert low - 0.15 < -slope < high + 0.15
    assert s.rate["validation"][-1] < 0.01  # collapsed
