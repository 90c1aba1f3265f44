"""Pictures of discrete codes: mean patches, codebooks, maps, and the widget that edits a map."""

import re
import sys

import numpy as np
import pytest
import torch

from garm_course.lessons.lesson12.codes import (
    CodeEditor,
    code_editor,
    code_map,
    code_map_figure,
    code_patches,
    codebook,
    codebook_figure,
    staircase,
    staircase_figure,
)


class FourLetters:
    """A code for each 2 x 3 tile: how much ink its left column has (0..2), or 3 if anything else is inked.

    The decoder fills the tile with code / 3, and the pixel to the right of the tile as well: it reaches further.
    """

    grid, n_codes, levels = (2, 2), 4, 2
    head = property(lambda self: self)

    def encode(self, x):
        tiles = x[:, 0].unflatten(2, (2, 3)).unflatten(1, (2, 2))  # (B, 2, 2, 2, 3): row, pixel row, column, pixel
        left, rest = tiles[..., 0].sum(2), tiles[..., 1:].sum((2, 4))
        return torch.where(rest > 0, 3, left)

    def decode(self, index):
        ink = index.float()[:, None].repeat_interleave(2, 2).repeat_interleave(3, 3) / 3
        ink[:, :, :, 3] = torch.maximum(ink[:, :, :, 3], ink[:, :, :, 2])
        return ink

    def mean(self, params):
        return params


X = torch.zeros(2, 1, 4, 6, dtype=torch.long)
X[0, 0, 0, 0] = X[0, 0, 2:, 3] = X[1, 0, 1, 2] = 1  # codes [[1, 0], [0, 2]] and [[3, 0], [0, 0]]


def test_patches_are_the_means_around_the_places_of_each_code():
    model = FourLetters()
    assert model.encode(X).tolist() == [[[1, 0], [0, 2]], [[3, 0], [0, 0]]]
    patches, counts = code_patches(model, X, margin=1)
    assert counts.tolist() == [5, 1, 1, 1]
    assert patches.shape == (4, 4, 5)
    by_hand = torch.zeros(4, 4, 5)
    padded = torch.nn.functional.pad(X.float(), (1, 1, 1, 1))
    for b in range(2):
        for r in range(2):
            for c in range(2):
                k = model.encode(X)[b, r, c]
                by_hand[k] += padded[b, 0, 2 * r : 2 * r + 4, 3 * c : 3 * c + 5] / counts[k]
    assert torch.allclose(patches, by_hand)
    assert torch.equal(code_patches(model, X, margin=0)[0][2], torch.tensor([[1.0, 0, 0], [1.0, 0, 0]]))


def test_a_code_that_is_never_chosen_has_an_empty_patch():
    patches, counts = code_patches(FourLetters(), X[1:], margin=0)
    assert counts.tolist() == [3, 0, 0, 1]
    assert patches[1].abs().max() == 0


def test_the_codebook_is_shown_by_use_and_names_dead_codes():
    patches = torch.rand(5, 3, 4)
    fig = codebook_figure(patches, torch.tensor([1, 0, 7, 2, 90]), inner=1, cols=3, title="Use")
    assert [ax.get_title() for ax in fig.axes] == ["4: 90%", "2: 7.0%", "3: 2.0%", "0: 1.0%", "1: dead"]
    assert np.allclose(fig.axes[1].images[0].get_array(), 1 - 0.9 * patches[2])
    frame = fig.axes[0].patches[0]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((0.5, 0.5), 2, 1)


def test_a_map_has_the_number_of_the_code_in_its_cell():
    index = FourLetters().encode(X)
    fig = code_map_figure(X, index, title="Text")
    first, second = fig.axes
    found = {(round(t.get_position()[1], 2), round(t.get_position()[0], 2)): t.get_text() for t in first.texts}
    assert found == {(0.5, 1.0): "1", (0.5, 4.0): "0", (2.5, 1.0): "0", (2.5, 4.0): "2"}  # middles of 2 x 3 pixels
    assert [t.get_text() for t in second.texts] == ["3", "0", "0", "0"]


def test_an_exchange_decodes_the_map_with_one_other_code():
    model, view = FourLetters(), CodeEditor(FourLetters(), X[:1])
    edited = torch.tensor([[[1, 0], [3, 2]]])
    assert np.allclose(view.after(2, 3), model.decode(edited)[0, 0])
    assert np.allclose(view.before, model.decode(model.encode(X[:1]))[0, 0])
    expected = [np.abs(view.after(2, k) - view.before).sum() for k in range(4)]
    assert view.change(2) == pytest.approx(expected)
    assert view.index.tolist() == [[1, 0], [0, 2]]  # the map itself is left alone


def test_the_caption_says_how_much_changes_and_where():
    view = CodeEditor(FourLetters(), X[:1])
    words = view.caption(2, 3)
    assert "place 2 (row 1, column 0) gets code 3 for its own 0" in words
    n, share = re.search(r"≈ (\d+) of 24 pixels .* ≈ (\d+) percent", words).groups()
    assert int(n) == 6  # the tile; the pixel to its right moves from 2/3 to 1, less than half
    assert int(share) == round(100 * 6 / (6 + 2 / 3))
    assert "stays as it is" in view.caption(0, 1)


def test_the_picture_shows_the_map_and_both_images():
    view = CodeEditor(FourLetters(), X[:1])
    left, before, after = view.figure(2, 3).axes
    assert [t.get_text() for t in left.texts] == ["1", "0", "3", "2"]
    assert np.allclose(before.images[0].get_array(), 1 - 0.9 * view.before)
    assert np.allclose(after.images[0].get_array(), 1 - 0.9 * view.after(2, 3))
    for ax in (left, before, after):  # the place is framed in all of them
        assert ax.patches[-1].get_xy() == (-0.5, 1.5)


def test_a_staircase_has_flat_treads_and_marks_a_point_on_its_own():
    fig = staircase_figure([-2, -0.5, 1, 3], [4.0, 0.5, 2.0], at=1.2, title="Steps")
    (ax,) = fig.axes
    treads, jumps = (c.get_segments() for c in ax.collections)
    assert np.allclose(treads, [[[-2, 4], [-0.5, 4]], [[-0.5, 0.5], [1, 0.5]], [[1, 2], [3, 2]]])
    assert np.allclose(jumps, [[[-0.5, 4], [-0.5, 0.5]], [[1, 0.5], [1, 2]]])
    (point,) = ax.lines
    assert point.get_xydata().tolist() == [[1.2, 2.0]]
    assert {t.get_text() for t in ax.texts} == {"4.00", "0.50", "2.00", "1.2: slope 0"}


def test_moving_a_slider_updates_picture_and_caption(shown):
    code_editor(FourLetters(), X[:1], place=0, code=1)
    (name, first), (place, code) = shown["first"][0], shown["sliders"]
    assert (place.value, code.value) == (0, 1)
    assert "stays as it is" in first
    code.value = 2
    (_, picture), (_, caption) = shown["later"]
    assert [n for n, _ in shown["later"]] == [name, f"{name}-caption"]
    assert picture["image/png"].startswith(b"\x89PNG")
    assert "gets code 2 for its own 1" in caption["text/plain"]
    assert repr(place) == "[slider place: 0 to 3]"
    assert repr(code) == "[slider code: 0 to 3]"


def test_the_first_view_is_the_middle_place_and_the_code_that_changes_most(shown):
    code_editor(FourLetters(), X[:1])
    place, code = shown["sliders"]
    assert place.value == 3
    assert code.value == CodeEditor(FourLetters(), X[:1]).change(3).argmax() == 0


def test_without_ipywidgets_the_first_view_stands_alone(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr("garm_course.show.figures._shell", lambda: None)
    code_editor(FourLetters(), X[:1], place=2, code=3)
    caption, hint = capsys.readouterr().out.splitlines()
    assert caption.startswith("Codes edited: place 2")
    assert "pip install ipywidgets" in hint


def test_figures_need_alternative_text(capsys):
    patches, counts = code_patches(FourLetters(), X)
    with pytest.raises(ValueError, match="alternative text"):
        codebook(patches, counts, alt="")
    codebook(patches, counts, alt="Four patches.")
    code_map(X, FourLetters().encode(X), alt="Two maps.")
    staircase([0, 1, 2], [1, 2], at=0.5, alt="Two treads.")
    assert capsys.readouterr().out == "Four patches.\nTwo maps.\nTwo treads.\n"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: code_patches(FourLetters(), X, margin=-1), "margin of at least 0"),
        (lambda: code_patches(FourLetters(), X[:, :, :3]), "2 x 2 places divide"),
        (lambda: codebook_figure(torch.rand(3, 2), torch.ones(3)), "patches"),
        (lambda: codebook_figure(torch.rand(3, 2, 2), torch.ones(2)), "counts"),
        (lambda: codebook_figure(torch.rand(3, 2, 2) + 1, torch.ones(3)), "ink between 0"),
        (lambda: codebook_figure(torch.rand(3, 2, 2), torch.zeros(3)), "at least one choice"),
        (lambda: code_map_figure(X[:, 0], torch.zeros(2, 2, 2)), "1 to 3 images"),
        (lambda: code_map_figure(X, torch.zeros(1, 2, 2)), "1 to 3 images"),
        (lambda: staircase_figure([0, 1], [1, 2], at=0.5), "N + 1 increasing"),
        (lambda: staircase_figure([0, 2, 1], [1, 2], at=0.5), "N + 1 increasing"),
        (lambda: staircase_figure([0, 1, 2], [1, 2], at=1), "on no border"),
        (lambda: staircase_figure([0, 1, 2], [1, 2], at=3), "between 0 and 2"),
        (lambda: code_editor(FourLetters(), X), "one image"),
        (lambda: code_editor(FourLetters(), X[:1], place=4), "place 0..3"),
        (lambda: code_editor(FourLetters(), X[:1], code=-1), "code 0..3"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
