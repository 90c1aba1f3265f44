"""The pictures of lesson 20: what they draw is what can be counted, and their words say so."""

import re

import pytest
import torch

from garm_course.lessons.lesson20.bits import bits_caption, bits_figure, rounded
from garm_course.lessons.lesson20.costs import Costs
from garm_course.lessons.lesson20.quantize_rows import quantize_rows
from garm_course.lessons.lesson20.rungs import rungs_figure
from garm_course.recipes import recorded_study


def test_a_run_is_drawn_in_color_up_to_its_rung_and_pale_after_it():
    curves = {i: [(step, 100.0 - step - i) for step in (10, 20, 30)] for i in range(3)}
    fig = rungs_figure(curves, [[0, 1, 2], [1, 2], [2]], steps=[10, 20, 30], title="a finding")
    ends = sorted(line.get_xdata()[0] for line in fig.axes[0].lines if line.get_marker() == "o")
    assert ends == [10, 20, 30]  # a dot where each run was stopped
    words = [text.get_text() for text in fig.axes[0].texts]
    assert {"3 runs", "2 runs", "1 runs"} <= set(words)


@pytest.mark.parametrize("b", [2, 4, 8])
def test_rounding_by_rows_is_never_worse_than_by_the_matrix(b):
    w = torch.randn(20, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(b))
    w = w * torch.logspace(-2, 0, 20)[:, None]
    whole, rows = ((rounded(w, b, per) - w).square().mean().sqrt().item() for per in (False, True))
    assert rows < whole
    shown = [float(number) for number in re.findall(r"≈ ([\d.]+)", bits_caption(w, b))]
    assert shown == pytest.approx([whole, rows], abs=6e-5)
    assert len(bits_figure(w, b).axes) == 2


def test_eight_bits_by_rows_are_those_of_the_exercise():
    w = torch.randn(5, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q, scale = quantize_rows(w)
    assert torch.allclose(rounded(w, 8), q * scale[:, None, None])


def test_the_table_of_costs_is_the_mean_over_the_seeds():
    study = recorded_study("compression-digits")
    costs = Costs(study)
    header, rows = costs.table()
    assert [len(row) for row in rows] == [len(header)] * len(costs.models)
    lost = [
        cost["lost"] for run in study["runs"] if run["model"] == "made" for cost in run["costs"]
        if (cost["kind"], cost["value"]) == ("bits per tensor", 4)
    ]  # fmt: skip
    assert costs.lost("made", "bits per tensor", 4) == pytest.approx(sum(lost) / 3)
    assert f"{sum(lost) / 3:.2f}" in rows[0]
