"""The order in which three PixelRNNs compute an image, and the ladder of recorded results."""

import copy

import numpy as np
import pytest

from garm_course.lessons import lesson03
from garm_course.lessons.lesson03 import scans
from garm_course.recipes import recorded, recorded_on
from garm_course.show import figures
from garm_course.show.figures import png
from garm_course.show.ladders import Rungs


@pytest.mark.parametrize(("height", "width"), [(8, 8), (3, 5), (6, 1), (1, 4)])
@pytest.mark.parametrize("name", scans.SCANS)
def test_every_state_that_is_read_was_computed_before(name, height, width):
    order, sources = scans.SCANS[name]
    steps = order(height, width)
    assert steps.shape == (height, width)
    assert sorted(set(steps.flatten())) == list(range(steps.max() + 1)), "no step is empty"
    for (r, c), at in np.ndenumerate(steps):
        for dr, dc in sources:
            if 0 <= r + dr < height and 0 <= c + dc < width:
                assert steps[r + dr, c + dc] < at


def test_the_caption_counts_pixels_and_steps():
    words = scans.scan_caption(3, 5, 2)
    assert "GRU over pixels 3 of 15 pixels (3 of 15 steps)" in words
    assert "Row LSTM 15 of 15 pixels (3 of 3 steps)" in words
    assert "Diagonal LSTM 6 of 15 pixels (3 of 7 steps)" in words


def test_moving_the_slider_updates_picture_and_caption(shown):
    lesson03.scan_orders(4, 6, step=2)
    [(name, alt)], [slider] = shown["first"], shown["sliders"]
    assert "After time step 2" in alt
    assert repr(slider) == "[slider time step: 0 to 23]"
    slider.value = 7
    (one, picture), (two, caption) = shown["later"]
    assert (one, two) == (name, f"{name}-caption")
    assert picture["image/png"] != png(scans.scan_figure(4, 6, 2))
    assert "After time step 7" in caption["text/plain"]


@pytest.mark.parametrize(("args", "words"), [((0, 5), "positive height"), ((3, 3, 9), r"a step 0\.\.8")])
def test_scans_that_do_not_exist_are_refused(args, words):
    with pytest.raises(ValueError, match=words):
        lesson03.scan_orders(*args[:2], **({"step": args[2]} if len(args) > 2 else {}))


@pytest.mark.parametrize("data", ["digits", "glyphs"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_ladder_holds_every_recorded_figure_and_descends(data, split):
    results = recorded_on(data)
    rungs = Rungs(results, split)
    nats = [row[1] for row in rungs.rows]
    assert nats == sorted(nats, reverse=True)
    assert {r[split]["nats"] for r in results} <= set(nats)
    table = str(rungs.table())
    for result in results:
        assert f"{result[split]['nats']:.1f} ± " in table
        assert f"{result['parameters']:,}" in table
        assert f"garm train {result['model']} --data {data}" in table
    assert ("uniform (baseline)" in table) == (split == "validation")
    assert ("entropy of the data (floor)" in table) == (data == "glyphs")
    assert len(png(rungs.figure(highlight={results[0]["model"]}))) < figures.MAX_BYTES
    assert f"{nats[-1]:.1f}" in rungs.alt()


def test_the_error_of_a_rung_holds_examples_and_seeds():
    result = copy.deepcopy(recorded("pixelcnn-digits"))
    result["validation"] |= {"stderr": 0.3, "seed_std": 0.4 * 3**0.5}
    (row,) = (row for row in Rungs([result]).rows if row[3])
    assert row[2] == pytest.approx(0.5)


def test_results_that_do_not_compare_are_refused():
    with pytest.raises(ValueError, match="digits and glyphs; they do not compare"):
        Rungs([recorded("pixelcnn-digits"), recorded("gated_pixelcnn-glyphs")])
    with pytest.raises(ValueError, match="at least one"):
        Rungs([])
    with pytest.raises(ValueError, match="no figures of the split 'holdout' for pixelcnn"):
        Rungs([recorded("pixelcnn-digits")], "holdout")
    with pytest.raises(ValueError, match="nothing is recorded on 'stones'; there are results on"):
        recorded_on("stones")


def test_bounds_are_marked_in_the_ladder():
    rungs = Rungs([recorded("vae-digits"), recorded("made-digits")])
    table = str(rungs.table())
    for line in table.splitlines():
        assert ("≤" in line) == line.startswith("VAE")
    assert "VAE at most 8" in rungs.alt()
    assert "MADE 8" in rungs.alt()
    texts = [text.get_text() for text in rungs.figure().axes[0].texts]
    assert sum(text.startswith("≤ 8") for text in texts) == 1
