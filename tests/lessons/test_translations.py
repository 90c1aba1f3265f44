"""Pictures of translation: images that go to another domain and back, and what a critic's score depends on."""

import pytest
import torch

from garm_course.lessons.lesson16 import patch_fields_figure, round_trips
from garm_course.lessons.lesson16.translations import RoundTrip
from garm_course.show import png

X = torch.arange(4 * 64).reshape(4, 1, 8, 8) % 17
LABELS = torch.tensor([3, 1, 4, 1])
MODELS = {
    "perceptron": (16 - X, X),
    "convolutions": ((16 - X).expand(-1, 3, -1, -1), (X + 1).clamp(max=16)),
}
READS = {"perceptron": (LABELS + 2, LABELS), "convolutions": (LABELS, LABELS + 1)}


def test_each_model_has_a_row_of_three_images_and_says_how_they_are_read():
    view = RoundTrip(X, MODELS, READS, LABELS, 17)
    fig = view.figure(2)
    assert len(fig.axes) == 6
    assert [ax.get_xlabel() for ax in fig.axes] == ["a 4", "read as 6", "read as 4", "a 4", "read as 4", "read as 5"]
    assert [ax.get_title(loc="left") for ax in fig.axes[:3]] == ["x", "G(x)", "F(G(x))"]
    assert len(png(fig)) < 45_000
    words = view.caption(2)
    assert words.startswith("Image 2 of 0 to 3, a 4. Perceptron: G(x) is read as ≈ 6, F(G(x)) as ≈ 4; ")
    assert "changes a pixel by ≈ 0.00 of its range. Convolutions: G(x) is read as ≈ 4, F(G(x)) as ≈ 5" in words
    assert words.endswith("changes a pixel by ≈ 0.06 of its range.")


def test_the_slider_chooses_the_image(shown):
    round_trips(X, MODELS, reads=READS, labels=LABELS, levels=17, start=1)
    [(_, caption)] = shown["first"]
    assert caption.startswith("Image 1 of 0 to 3, a 1.")
    [slider] = shown["sliders"]
    assert (slider.min, slider.max, slider.value) == (0, 3, 1)
    slider.value = 3
    assert "Image 3 of 0 to 3, a 1." in str(shown["later"][-1])


def test_what_does_not_fit_is_refused():
    good = {"reads": READS, "labels": LABELS, "levels": 17}
    for call, message in [
        (lambda: round_trips(X, {}, **{**good, "reads": {}}), "expected models, and reads for each"),
        (lambda: round_trips(X, MODELS, **{**good, "reads": {"other": READS["perceptron"]}}), "reads for each"),
        (lambda: round_trips(X, list(MODELS.items()), **good), "as mappings"),
        (lambda: round_trips(X[:3], MODELS, **good), "expected 3 images"),
        (lambda: round_trips(X, {**MODELS, "perceptron": (X, MODELS["convolutions"][0])}, **good), "of the shape of x"),
        (lambda: round_trips(X, MODELS, **{**good, "labels": LABELS[:2]}), "one class for each of 4 images"),
        (lambda: round_trips(X, MODELS, **{**good, "levels": 16}), r"gray levels 0\.\.15"),
        (lambda: round_trips(X, MODELS, **good, start=4), "a start among them"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_patch_is_framed_and_its_sides_are_told():
    small, large = torch.zeros(2, 20, 30)
    small[4:7, 5:9] = torch.tensor([1e-6, 0.2, 0.5, -1.0])
    large[0, 0] = large[19, 20] = 1.0  # what lies between belongs to it
    fig = patch_fields_figure({"a layer": small, "more layers": large}, title="A finding")
    assert [ax.get_xlabel() for ax in fig.axes] == ["3 x 4 of 20 x 30 pixels", "20 x 21 of 20 x 30 pixels"]
    frame = fig.axes[0].patches[0]
    assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (4.5, 3.5, 4, 3)
    assert {"A finding", "a layer", "more layers"} <= {text.get_text() for text in fig.texts}
    assert len(png(fig)) < 45_000
    for wrong in ({}, {"a": small * 0}, {"a": small[None]}, {"a": small / 0}):
        with pytest.raises(ValueError, match=r"finite gradient \(H, W\)"):
            patch_fields_figure(wrong)
