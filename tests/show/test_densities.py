"""Histograms with models, and the Gaussian that is dragged over data: numbers, and pictures that follow."""

import re
import sys

import numpy as np
import pytest
import torch
from limits import PATIENCE

from garm_course.show.densities import GaussianFit, density_fit, histograms, histograms_figure

X = torch.tensor([0, 0, 1, 3, 4, 4, 4, 2, 0, 4])
COUNTS = {"bins": 5, "limits": (0, 5)}


def spread(x, n=2000):
    """The data spread evenly over their bins of width 1: what the histogram's density says they are."""
    return (x.double()[:, None] + (torch.arange(n, dtype=torch.float64) + 0.5) / n).flatten()


def test_the_scores_are_those_of_the_data_spread_over_their_bins():
    fit = GaussianFit(X, **COUNTS)
    for mean, width in ((2.2, 1.3), (-1.0, 4.0), (4.9, 0.4)):
        log_q = torch.distributions.Normal(mean, width).log_prob(spread(X))
        assert fit.nll(mean, width) == pytest.approx(-log_q.mean().item(), rel=1e-5)
    p = torch.bincount(X).double() / len(X)
    assert fit.entropy == pytest.approx(-(p * p.log()).sum().item())  # bins of width 1: that of the levels
    assert fit.probs.tolist() == pytest.approx(p.tolist())


def test_with_other_bins_the_entropy_is_that_of_the_density():
    x = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * 7
    assert GaussianFit(x, bins=10, limits=(0, 7)).entropy == pytest.approx(np.log(7), abs=1e-3)
    gauss = 3 * torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    fit = GaussianFit(gauss, bins=100)
    assert fit.kl(0.0, 3.0) == pytest.approx(0, abs=3e-3)  # the truth scores its entropy


def test_no_gaussian_is_better_than_the_best_and_none_reaches_the_floor():
    fit = GaussianFit(X, **COUNTS)
    mean, width = fit.best
    assert mean == pytest.approx(spread(X).mean().item())
    assert width == pytest.approx(spread(X).std().item(), rel=1e-3)
    least = fit.kl(mean, width)
    assert least > 0
    for dm, dw in ((0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1), (1, 1)):
        assert fit.kl(mean + dm, width + dw) > least


def test_the_caption_says_the_numbers():
    fit = GaussianFit(X, **COUNTS)
    words = fit.caption(1.0, 2.0)
    nll, entropy, kl = re.search(r"NLL is ([\d.]+) nats.* data ([\d.]+) nats.* is ([\d.]+) nats\.", words).groups()
    assert float(nll) == pytest.approx(fit.nll(1.0, 2.0), abs=0.006)
    assert float(kl) == pytest.approx(float(nll) - float(entropy), abs=0.011)
    assert "mean 1.0 and width 2.0 over 10 observations" in words
    assert "does better" not in words
    assert f"{fit.best[1]:.1f}" not in words  # the best is for the reader to find
    assert fit.caption(*fit.best).endswith(" nats. No Gaussian does better.")


def test_the_picture_shows_the_histogram_the_gaussian_and_its_score():
    fit = GaussianFit(X, **COUNTS)
    left, right = fit.figure(1.5, 0.8).axes
    assert [bar.get_height() for bar in left.containers[0]] == pytest.approx(list(fit.probs))
    t, curve = left.lines[0].get_data()
    assert torch.trapezoid(torch.tensor(curve), torch.tensor(t)) == pytest.approx(1, abs=0.02)
    assert t[curve.argmax()] == pytest.approx(1.5, abs=0.05)
    [dot] = [line for line in right.lines if line.get_marker() == "o"]
    assert dot.get_data()[1][0] == pytest.approx(fit.nll(1.5, 0.8))
    [arrow] = [text for text in right.texts if getattr(text, "arrow_patch", None)]
    assert (arrow.xyann[1], arrow.arrowprops["shrinkA"]) == (fit.entropy, 0)  # it stands on the floor
    low, high = right.get_ylim()
    assert low < fit.entropy < fit.nll(1.5, 0.8) < high
    assert any(f"KL {fit.kl(1.5, 0.8):.2f} nats" in text.get_text() for text in right.texts)


def test_moving_a_slider_updates_picture_and_caption(shown):
    density_fit(X, **COUNTS, mean=1, width=2)
    (name, first), (mean, width) = shown["first"][0], shown["sliders"]
    assert (mean.value, width.value) == (1, 2)
    assert "mean 1.0 and width 2.0" in first
    mean.value, width.value = 3.0, 0.5
    (_, picture), (_, caption), (_, picture2), (_, caption2) = shown["later"]
    assert [n for n, _ in shown["later"]] == [name, f"{name}-caption"] * 2
    assert picture["image/png"].startswith(b"\x89PNG")
    assert picture["image/png"] != picture2["image/png"]
    assert "mean 3.0 and width 2.0" in caption["text/plain"]
    assert "mean 3.0 and width 0.5" in caption2["text/plain"]


def test_the_first_view_is_the_best_gaussian_by_default_and_widgets_have_names_of_their_own(shown):
    density_fit(X, **COUNTS)
    density_fit(X.double())
    best = GaussianFit(X, **COUNTS).best
    assert [slider.value for slider in shown["sliders"][:2]] == pytest.approx(list(best))
    assert shown["first"][0][0] != shown["first"][1][0]


def test_the_sliders_are_readable_as_text_and_reach_the_first_view(shown):
    density_fit(X, **COUNTS, mean=-2, width=9)
    mean, width = shown["sliders"]
    assert repr(mean) == "[slider mean: -2 to 5]"
    assert repr(width) == "[slider width: 0.1 to 9]"


def test_without_ipywidgets_the_first_view_stands_alone(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr("garm_course.show.figures._shell", lambda: None)
    density_fit(X, **COUNTS)
    caption, hint = capsys.readouterr().out.splitlines()
    assert caption.startswith("A Gaussian with mean 2.7")
    assert "pip install ipywidgets" in hint


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        ([], {}, "finite numbers"),
        ([[1.0, 2.0]], {}, "finite numbers"),
        ([1.0, np.nan], {}, "finite numbers"),
        ([1.0, 2.0], {"bins": 0}, "number of bins"),
        ([1.0, 2.0], {"bins": 2.5}, "number of bins"),
        ([1.0, 2.0], {"limits": (1.5, 3)}, "limits around the data"),
        ([1.0, 1.0], {}, "limits around the data"),
        ([1.0, 2.0], {"width": 0}, "width above 0"),
        ([1.0, 2.0], {"mean": np.inf}, "finite mean"),
    ],
)
def test_data_that_make_no_histogram_are_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        density_fit(np.array(x), **options)


P, Q = torch.tensor([0.5, 0.2, 0.3]), torch.tensor([0.3, 0.3, 0.2])


def test_histograms_draw_the_data_as_bars_and_models_over_them():
    t = torch.linspace(0, 3, 20)
    fig = histograms_figure({"one": {"data": P, "Q": Q}, "two": {"data": Q, "line": (t, t / 9), "Q": P}}, left=0)
    one, two = fig.axes
    assert [bar.get_height() for bar in one.containers[0]] == pytest.approx(P.tolist())
    assert [bar.get_x() for bar in one.containers[0]] == pytest.approx([0, 1, 2])
    assert one.lines[0].get_data()[1].tolist() == pytest.approx(Q.tolist())
    assert one.lines[0].get_data()[0].tolist() == [0.5, 1.5, 2.5]
    assert one.lines[0].get_linestyle() == "None"  # nothing lies between two levels
    assert two.lines[0].get_linestyle() != "None"
    assert two.lines[0].get_data()[1].tolist() == pytest.approx((t / 9).tolist())
    same = one.lines[0], two.lines[1]
    assert same[0].get_color() == same[1].get_color() != two.lines[0].get_color()
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["data", "Q", "line"]


def test_the_vertical_axis_may_be_fixed():
    assert histograms_figure({"": {"data": P}}, ymax=0.8).axes[0].get_ylim() == (0, 0.8)
    assert histograms_figure({"": {"data": P}}).axes[0].get_ylim()[1] == pytest.approx(0.575)


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ({}, "at least one panel"),
        ({"a": {}}, "mapping from name"),
        ({"a": P}, "mapping from name"),
        ({"a": {"data": (P, P)}}, "bars first"),
        ({"a": {"data": P, "m": (P, P[:2])}}, "bars first"),
        ({"a": {"data": P, "m": (P, -P)}}, "bars first"),
        ({"a": {"data": 3 * P}}, "sum of at most 1"),
        ({"a": {"data": P, "m": -Q}}, "probabilities"),
        ({"a": {"data": P[None]}}, "probabilities"),
    ],
)
def test_what_is_no_distribution_is_refused(panels, message):
    with pytest.raises(ValueError, match=message):
        histograms_figure(panels)


def test_a_figure_needs_alternative_text(capsys):
    with pytest.raises(ValueError, match="alternative text"):
        histograms({"": {"data": P}}, alt="")
    histograms({"": {"data": P}}, alt="Three bars.")
    assert capsys.readouterr().out == "Three bars.\n"


@pytest.mark.slow
def test_in_a_notebook_the_stored_page_has_picture_caption_and_readable_sliders(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    sources = [
        "import torch\nfrom garm_course import show\n"
        "show.density_fit(torch.arange(10), bins=10, limits=(0, 10), mean=4, width=2)",
        "from ipywidgets import Widget\n"
        "[slider] = [w for w in Widget.widgets.values() if getattr(w, 'description', '') == 'mean']\n"
        "slider.value = 7",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(tmp_path)}}).execute()
    picture, caption, mean, width = notebook.cells[0].outputs
    assert "mean 7.0 and width 2.0" in caption.data["text/plain"]
    assert picture.metadata["image/png"]["alt"] == caption.data["text/plain"]
    assert mean.data["text/plain"] == "[slider mean: 0 to 10]"
    assert width.data["text/plain"].startswith("[slider width: 0.2 to")
