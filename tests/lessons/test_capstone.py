"""The pictures of lesson 21: what they draw is what can be counted; weights, fronts and records."""

import math

import pytest
import torch

from garm_course import load, load_pretrained
from garm_course.evaluation import all_examples, log_probs
from garm_course.lessons.lesson21.comparison import intervals_figure, points_figure
from garm_course.lessons.lesson21.mass import mass_at, mass_figure
from garm_course.lessons.lesson21.records import NAMES, rows
from garm_course.lessons.lesson21.who_wins import _figure, weighted
from garm_course.recipes import recorded_study

TABLE = {"nats": {"a": 1.0, "b": 2.0}, "ms": {"a": 9.0, "b": 3.0, "c": 1.0}}


def test_bars_are_the_masses_and_the_rest_is_one_more_bar():
    mass = torch.tensor([0.3, 0.1, 0.2])
    axes = mass_figure({"one": mass, "two": mass / 2}, "a finding").axes
    heights = [[bar.get_height() for bar in ax.patches] for ax in axes]
    assert heights[::2] == [pytest.approx([0.3, 0.1, 0.2]), pytest.approx([0.15, 0.05, 0.1])]
    assert heights[1::2] == [pytest.approx([1, 0.4]), pytest.approx([1, 0.7])]  # of a frame from 0 to 1
    assert [ax.texts[0].get_text() for ax in axes[1::2]] == ["40%", "70%"]
    assert axes[0].get_ylim() == axes[2].get_ylim()


def test_at_temperature_one_the_mass_is_the_probability_and_below_it_is_concentrated():
    data, model = load("bars_and_stripes"), load_pretrained("made-bars_and_stripes")
    x = all_examples((1, 4, 4), 2)
    with torch.inference_mode():
        logits = model(x).reshape(len(x), -1).double()
    codes = (x.flatten(1) * 2 ** torch.arange(15, -1, -1)).sum(1)
    wanted = (data.x.flatten(1) * 2 ** torch.arange(15, -1, -1)).sum(1)
    inside = torch.tensor([int((codes == code).nonzero()) for code in wanted])
    assert torch.allclose(mass_at(logits, x.flatten(1), inside, 1.0), log_probs(model, data).exp(), atol=1e-6)
    everything = torch.arange(len(x))
    assert mass_at(logits, x.flatten(1), everything, 0.5).sum().item() == pytest.approx(1, abs=1e-6)
    cold, warm = (mass_at(logits, x.flatten(1), inside, t) for t in (0.5, 2.0))
    assert cold.sum() > 0.9999 > warm.sum()
    assert cold.min() < 0.5 / 30 < 1.2 / 30 < cold.max()


def test_a_front_is_drawn_through_its_points_and_bounds_have_an_arrow():
    points = {"a": (1.0, 5.0), "b": (2.0, 3.0), "c": (9.0, 4.0)}
    kinds = {"a": "vae", "b": "gan", "c": "autoregressive"}
    ax = points_figure([("ms", "nats", points, ["a", "b"])], kinds, "a finding", bounds=("a",)).axes[0]
    assert [list(axis) for axis in ax.lines[0].get_data()] == [[1.0, 2.0], [5.0, 3.0]]
    words = [text.get_text() for text in ax.texts]
    assert sorted(words) == ["", "a", "b", "c"]
    assert ax.get_xscale() == "log"


def test_intervals_are_drawn_from_end_to_end():
    ax = intervals_figure({"a": ((1.0, 2.0), (-1.0, 4.0))}, "nats", "a finding").axes[0]
    assert [list(line.get_xdata()) for line in ax.lines[:2]] == [[1.0, 2.0], [-1.0, 4.0]]


def test_weights_decide_and_what_has_no_number_drops_out():
    assert list(weighted(TABLE, {"nats": 1, "ms": 0})) == ["a", "b"]
    assert list(weighted(TABLE, {"nats": 0, "ms": 2})) == ["c", "b", "a"]
    assert weighted(TABLE, {"nats": 3, "ms": 1}) == {"a": 1.25, "b": 1.75}
    assert weighted(TABLE, {"nats": 0, "ms": 0}) == {}
    bars = _figure(["a", "b", "c"], weighted(TABLE, {"nats": 3, "ms": 1})).axes[0]
    assert "has no such number" in [text.get_text() for text in bars.texts]


def test_the_rows_are_those_of_the_record():
    study = recorded_study("families-digits")
    found = rows(study)
    assert list(found) == list(NAMES.values())
    for model, name in NAMES.items():
        runs = [run for run in study["runs"] if run["model"] == model]
        assert found[name].frechet == pytest.approx(sum(run["frechet"] for run in runs) / 5)
        assert math.isnan(found[name].score.nats) == ("nats" not in runs[0])
        assert math.isnan(found[name].obeys) == ("obeys" not in runs[0])
