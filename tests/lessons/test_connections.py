"""The drawing of a masked network: what it lights up is what autograd says, leaks and lost inputs are named."""

import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import linear

from garm_course.autoregressive.made import made_degrees, made_masks
from garm_course.lessons.lesson02 import connections


def by_gradient(masks, output):
    """Inputs that a linear network with random weights of these masks depends on."""
    x = torch.randn(masks[0].shape[1], dtype=torch.float64, requires_grad=True)
    h = x
    for mask in masks:
        h = linear(h, mask.double() * torch.rand(mask.shape, dtype=torch.float64))
    return set(torch.autograd.grad(h[output], x)[0].nonzero().flatten().tolist())


@pytest.mark.parametrize(("hidden", "order"), [([7], None), ([6, 9], [2, 4, 0, 1, 3]), ([], [4, 0, 3, 1, 2])])
def test_inputs_lit_are_those_that_matter(hidden, order):
    masks = made_masks(5, hidden, order)
    net = connections.Wiring(masks, order=order)
    for output in range(5):
        seen, missing, leaked = net.inputs(output)
        assert set(seen) == by_gradient(masks, output)
        assert (missing, leaked) == ([], [])
        place = net.order.tolist().index(output)
        assert sorted(net.order[:place].tolist()) == seen


def test_only_units_and_connections_on_a_path_are_lit():
    masks = made_masks(4, [6])
    units, edges = connections.Wiring(masks).lit(2)
    (degrees,) = made_degrees(4, [6])[1:]
    assert units[0].tolist() == [True, True, False, False]
    assert units[1].tolist() == (degrees <= 2).tolist()
    assert units[2].tolist() == [False, False, True, False]
    paths = edges[1].astype(int) @ edges[0].astype(int)
    full = (masks[1] @ masks[0]).numpy()
    assert np.array_equal(paths[2], full[2])
    assert paths[[0, 1, 3]].sum() == 0


def test_a_unit_without_inputs_is_not_on_a_path():
    masks = [torch.tensor([[0, 0], [1, 0]]), torch.tensor([[0, 0], [1, 1]])]
    units, edges = connections.Wiring(masks).lit(1)
    assert units[1].tolist() == [False, True]
    assert edges[1].tolist() == [[False, False], [False, True]]


def test_a_leak_and_a_lost_input_are_named():
    (degrees, hidden) = made_degrees(4, [6])
    leaky = [(hidden[:, None] >= degrees), (degrees[:, None] >= hidden)]
    assert connections.Wiring(leaky).inputs(2) == ([0, 1], [], [2])
    assert "must not see pixel 2" in connections.Wiring(leaky).caption(2)
    starved = [(hidden[:, None] > degrees), (degrees[:, None] > hidden)]
    net = connections.Wiring(starved)
    assert net.inputs(2) == ([0], [1], [])
    assert "pixel 1 would be allowed" in net.caption(2)
    assert net.inputs(1) == ([], [0], [])
    assert "sees no pixel through 0 of 6 hidden units" in net.caption(1)


def test_the_picture_shows_the_order_and_tells_pixels_from_hidden_units():
    order = [2, 0, 3, 1]
    figure = connections.Wiring(made_masks(4, [5], order), order=order, degrees=made_degrees(4, [5], order)).figure(3)
    assert figure.texts[0].get_text().replace("\n", " ") == "Order 2, 0, 3, 1: output 3, the 3rd, sees pixels 0 and 2"
    ax = figure.axes[0]
    places = [t.get_text() for t in ax.texts if t.get_text()[-2:] in ("st", "nd", "rd", "th")]
    assert places == ["2nd", "4th", "1st", "3rd"] * 2
    assert [type(p).__name__ for p in ax.patches] == ["Rectangle"] * 4 + ["Circle"] * 5 + ["Rectangle"] * 4
    assert "hidden units\n(degrees)" in [t.get_text() for t in ax.texts]


def test_the_picture_has_one_line_for_each_connection_and_one_circle_for_each_unit():
    masks = made_masks(4, [5, 6])
    net = connections.Wiring(masks, degrees=made_degrees(4, [5, 6]))
    ax = net.figure(3).axes[0]
    assert len(ax.lines) == sum(int(m.sum()) for m in masks)
    assert len(ax.patches) == 4 + 5 + 6 + 4
    dark = [line for line in ax.lines if line.get_linewidth() > 1]
    assert len(dark) == sum(int(e.sum()) for e in net.lit(3)[1])


def test_moving_the_slider_updates_picture_and_caption(shown):
    connections.made_paths(made_masks(5, [6]), order=None)
    [(name, alt)], [slider] = shown["first"], shown["sliders"]
    assert "Paths to output 2, number 3 of 5" in alt
    assert (slider.value, slider.min, slider.max) == (2, 0, 4)
    assert repr(slider) == "[slider output: 0 to 4]"
    slider.value = 4
    (one, picture), (two, caption) = shown["later"]
    assert (one, two) == (name, f"{name}-caption")
    assert picture["image/png"].startswith(b"\x89PNG")
    assert "sees pixels 0, 1, 2 and 3" in caption["text/plain"]


def test_without_ipywidgets_the_first_view_stands_alone(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr("garm_course.show.figures._shell", lambda: None)
    connections.made_paths(made_masks(4, [6]), output=3)
    caption, hint = capsys.readouterr().out.splitlines()
    assert caption.startswith("Paths to output 3")
    assert "pip install ipywidgets" in hint


@pytest.mark.parametrize(
    ("masks", "options", "words"),
    [
        ([], {}, "got none"),
        ([torch.ones(3)], {}, r"got \(3,\)"),
        ([torch.full((3, 3), 0.5)], {}, "did you pass weights"),
        ([torch.ones(4, 3), torch.ones(3, 5)], {}, "mask 1 has 5 columns, but the layer before it has 4 units"),
        ([torch.ones(4, 3)], {}, "as many outputs as inputs, got 4 and 3"),
        ([torch.ones(30, 3), torch.ones(3, 30)], {}, "at most 20 units"),
        ([torch.ones(3, 3)], {"output": 3}, r"expected an output 0\.\.2, got 3"),
        ([torch.ones(3, 3)], {"order": [0, 0, 1]}, "each of 0..2 exactly once"),
        ([torch.ones(3, 3)], {"degrees": [[1, 2]]}, "expected degrees of"),
    ],
)
def test_what_cannot_be_drawn_is_refused(masks, options, words):
    with pytest.raises(ValueError, match=words):
        connections.made_paths(masks, **options)
