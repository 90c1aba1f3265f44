"""Figures of several runs: the interval holds the mean as often as it says, and every run is drawn."""

import math

import numpy as np
import pytest

from garm_course.show import interval, png, runs_figure


def test_the_interval_holds_the_true_mean_in_95_of_100_cases():
    rng = np.random.default_rng(0)
    for n in (2, 5, 10):
        hits = 0
        for _ in range(4000):
            mean, half = interval(rng.normal(3.0, 2.0, n))
            hits += abs(mean - 3.0) <= half
        assert hits / 4000 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def test_every_run_and_every_mean_is_drawn():
    panels = {"first": {"a": [1.0, 2.0, 3.0], "b": [5.0, 5.5]}, "second": {"a": [0.1, 0.2], "b": [0.3, 0.4, 0.2]}}
    fig = runs_figure(panels, title="A finding")
    assert len(fig.axes) == 2
    drawn = sorted(x for line in fig.axes[0].lines if line.get_marker() == "o" for x in line.get_xdata())
    assert drawn == [1.0, 2.0, 3.0, 5.0, 5.5]
    means = [line.get_xdata()[0] for line in fig.axes[1].lines if line.get_marker() == "D"]
    assert means == pytest.approx([0.15, 0.3])
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["a", "b"]
    assert len(png(fig)) < 45_000


def test_what_are_no_runs_is_refused():
    for call, message in [
        (lambda: interval([1.0]), "2 to 10 finite numbers"),
        (lambda: interval([1.0, math.nan]), "2 to 10 finite numbers"),
        (lambda: runs_figure({}), "got none"),
        (lambda: runs_figure({"x": {}}), "got none"),
        (lambda: runs_figure({"x": {"a": [1, 2]}, "y": {"b": [1, 2]}}), "the same methods"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
