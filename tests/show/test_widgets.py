"""The pixel-by-pixel widget: pictures that follow the slider, the model's numbers, and a view without ipywidgets."""

import base64
import re
import sys

import numpy as np
import pytest
import torch
from limits import PATIENCE

from garm_course.autoregressive.made import MADE
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.show import drawing as widgets


class FakeModel:
    """Predicts each value from the one before it; stands in for a PixelCNN."""

    n_classes = 0

    def __init__(self, shape, levels):
        self.shape, self.levels, self.head = shape, levels, self
        self.sampled = self.passes = 0

    def log_probs(self, params):
        return params.log_softmax(-1)

    def sample(self, n, y=None, *, rng=None):
        self.sampled += 1
        return torch.randint(0, self.levels, (n, *self.shape), generator=rng)

    def __call__(self, x, y=None):
        self.passes += 1
        order = x.permute(0, 2, 3, 1).flatten(1).float()  # raster, channel innermost
        before = torch.cat([torch.zeros(len(x), 1), order[:, :-1]], 1)
        channels, height, width = self.shape
        mean = before.view(-1, height, width, channels).permute(0, 3, 1, 2)[..., None]
        return -(((torch.arange(self.levels) - mean) / max(1, self.levels / 6)) ** 2)


SHAPES = [((1, 8, 8), 17), ((1, 5, 7), 2), ((3, 4, 5), 256)]
each_shape = pytest.mark.parametrize(("shape", "levels"), SHAPES, ids=["gray", "binary", "color"])


def drawing(shape, levels, seed=0):
    return widgets.Drawing(FakeModel(shape, levels), rng=torch.Generator().manual_seed(seed))


@each_shape
def test_all_predictions_come_from_one_sample_and_one_pass(shape, levels):
    model = FakeModel(shape, levels)
    view = widgets.Drawing(model)
    assert (model.sampled, model.passes) == (1, 1)
    assert view.probs.shape == (*shape, levels)
    assert np.allclose(view.probs.sum(-1), 1)
    assert len(view.order) == len(set(view.order)) == np.prod(shape)


def test_color_cycles_through_the_channels_of_a_pixel():
    assert drawing((3, 4, 5), 256).order[:4] == [(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 0, 1)]
    assert "green" in drawing((3, 4, 5), 256).caption(1)


@pytest.mark.parametrize(("shape", "levels"), [((1, 3, 4), 2), ((1, 4, 3), 5), ((3, 3, 2), 4)])
def test_one_pass_over_the_whole_image_predicts_as_if_the_rest_did_not_exist(shape, levels):
    torch.manual_seed(0)
    model = GatedPixelCNN(shape, levels, n_classes=2, channels=6, layers=2, dropout=0.5)
    model.train()
    view = widgets.Drawing(model, y=1, rng=torch.Generator().manual_seed(1))
    assert model.training, "the widget leaves the model as it was"
    model.eval()
    for position, (c, r, w) in enumerate(view.order):
        prefix = np.zeros_like(view.image)
        for at in view.order[:position]:
            prefix[at] = view.image[at]
        with torch.no_grad():
            log_probs = model.head.log_probs(model(torch.tensor(prefix)[None], torch.tensor([1])))
        assert np.allclose(log_probs[0, c, r, w].exp().numpy(), view.probs[c, r, w], atol=1e-5)


@each_shape
def test_the_caption_says_the_numbers_of_the_picture(shape, levels):
    view = drawing(shape, levels)
    for position in (0, 7, np.prod(shape) - 1):
        c, r, w = view.order[position]
        words = view.caption(position)
        assert f"position {position} of 0 to {np.prod(shape) - 1} (row {r}, column {w}" in words
        cost = float(re.search(r"cost ≈ ([\d.]+) nats", words)[1])
        assert cost == pytest.approx(sum(view.nats[at] for at in view.order[:position]), abs=0.051)
        assert f"level ≈ {view.image[c, r, w]} is drawn here" in words
        assert f"probability of ≈ {view.probs[c, r, w, view.image[c, r, w]]:.2f}" in words


@each_shape
def test_the_picture_shows_what_is_drawn_and_hides_what_is_not(shape, levels):
    view = drawing(shape, levels)
    for position in (0, 1, 5, np.prod(shape) - 1):
        shown = view.figure(position).axes[0].images[0].get_array()[..., 3]
        drawn = {(r, w) for _, r, w in view.order[:position]}
        assert {tuple(at) for at in np.argwhere(shown > 0)} == drawn
        c, r, w = view.order[position]
        heights = [bar.get_height() for bar in view.figure(position).axes[1].containers[0]]
        assert np.allclose(heights, view.probs[c, r, w])


def test_a_model_of_another_order_is_shown_in_its_order():
    model = MADE((1, 2, 3), 3, hidden=(8,), order=[4, 0, 5, 3, 1, 2])
    view = widgets.Drawing(model, rng=torch.Generator().manual_seed(0))
    assert view.order[:2] == [(0, 1, 1), (0, 0, 0)]
    assert "row 1, column 1" in view.caption(0)
    assert "row 0, column 0" in view.caption(1)


@each_shape
def test_moving_the_slider_updates_picture_and_caption(shown, shape, levels):
    widgets.pixel_by_pixel(FakeModel(shape, levels), rng=torch.Generator().manual_seed(0))
    (name, first), (slider,) = shown["first"][0], shown["sliders"]
    assert f"position {slider.value} of" in first
    for value in (2, 3):
        slider.value = value
    (_, picture), (_, caption), (_, picture2), (_, caption2) = shown["later"]
    assert [n for n, _ in shown["later"]] == [name, f"{name}-caption"] * 2
    assert picture["image/png"].startswith(b"\x89PNG")
    assert picture["image/png"] != picture2["image/png"]
    assert "position 2 of" in caption["text/plain"]
    assert "position 3 of" in caption2["text/plain"]


def test_two_widgets_do_not_share_their_pictures(shown):
    for _ in range(2):
        widgets.pixel_by_pixel(FakeModel((1, 4, 4), 3))
    assert shown["first"][0][0] != shown["first"][1][0]


def test_the_slider_is_readable_as_text(shown):
    widgets.pixel_by_pixel(FakeModel((1, 8, 8), 17))
    slider = shown["sliders"][0]
    assert repr(slider) == "[slider position: 0 to 63]"
    assert slider._repr_mimebundle_()["text/plain"] == "[slider position: 0 to 63]"
    assert slider.value == 36


def test_fewer_positions_are_evenly_spaced(shown):
    widgets.pixel_by_pixel(FakeModel((1, 28, 28), 2), n_positions=28, position=400)
    slider = shown["sliders"][0]
    assert (slider.step, slider.value) == (28, 392)


@pytest.mark.parametrize("arguments", [{"n_positions": 0}, {"n_positions": 17}, {"position": -1}, {"position": 16}])
def test_positions_outside_the_image_are_refused(arguments):
    with pytest.raises(ValueError, match=r"expected (a|n_)\s?position"):
        widgets.pixel_by_pixel(FakeModel((1, 4, 4), 3), **arguments)


def test_without_ipywidgets_the_first_view_stands_alone(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr("garm_course.show.figures._shell", lambda: None)
    widgets.pixel_by_pixel(FakeModel((1, 4, 4), 3))
    caption, hint = capsys.readouterr().out.splitlines()
    assert caption.startswith("Pixel by pixel, position 10 of 0 to 15")
    assert "pip install ipywidgets" in hint


@pytest.mark.slow
def test_in_a_notebook_the_stored_page_has_picture_caption_and_a_readable_slider(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    sources = [
        "from garm_course.autoregressive.pixelcnn import PixelCNN\nfrom garm_course import show, seed\n"
        "model = PixelCNN((1, 6, 6), 3, channels=6, layers=1)",
        "show.pixel_by_pixel(model, rng=seed(0))",
        "from ipywidgets import Widget\n"
        "[slider] = [w for w in Widget.widgets.values() if hasattr(w, 'value') and hasattr(w, 'step')]\n"
        "slider.value = 30",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    before = NotebookClient(
        nbformat.from_dict(dict(notebook)), timeout=PATIENCE, resources={"metadata": {"path": str(tmp_path)}}
    )
    before.nb.cells.pop()
    before.execute()
    after = NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(tmp_path)}})
    after.execute()
    for client, position in ((before, 21), (after, 30)):
        picture, caption, slider = client.nb.cells[1].outputs
        assert f"position {position} of 0 to 35" in caption.data["text/plain"]
        assert f"position {position} of 0 to 35" in picture.metadata["image/png"]["alt"]
        assert slider.data["text/plain"] == "[slider position: 0 to 35]"
    stored = [base64.b64decode(c.nb.cells[1].outputs[0].data["image/png"]) for c in (before, after)]
    assert stored[0] != stored[1], "the picture did not follow the slider"
