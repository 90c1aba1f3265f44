"""Images beside what models make of them: what is drawn, what the slider says, and what is refused."""

import pytest
import torch

from garm_course.lessons.lesson15.comparisons import beside, beside_figure
from garm_course.show import png


def stack(n=4, seed=0, channels=1):
    return torch.randint(17, (n, channels, 8, 8), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_panel_shows_the_image_of_its_title(channels):
    x, y = stack(channels=channels), stack(seed=1, channels=channels)
    fig = beside_figure({"original": x, "copy": y}, levels=17, index=2)
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["original", "copy"]
    shown = [ax.images[0].get_array() for ax in fig.axes]
    same = beside_figure({"original": x, "copy": x}, levels=17, index=2)
    assert (same.axes[0].images[0].get_array() == same.axes[1].images[0].get_array()).all()
    assert (shown[0] != shown[1]).any()
    assert len(png(fig)) < 45_000


def test_the_slider_tells_how_far_each_panel_is(shown):
    x = stack()
    y = x.clone()
    y[1] = 16 - x[1]
    beside({"original": x, "copy": x, "inverse": y}, levels=17, start=0)
    assert shown["first"][0][1].endswith("as a share of its range: copy ≈ 0.00, inverse ≈ 0.00.")
    [slider] = shown["sliders"]
    slider.value = 1
    off = (x[1] - y[1]).abs().double().mean().item() / 16
    assert f"copy ≈ 0.00, inverse ≈ {off:.2f}" in str(shown["later"][-1])
    assert "Image 1 of 0 to 3" in str(shown["later"][-1])


def test_what_does_not_compare_is_refused():
    for call, message in [
        (lambda: beside({"one": stack()}, levels=17), "at least two titles"),
        (lambda: beside({"a": stack(), "b": stack(5)}, levels=17), "panels of one shape"),
        (lambda: beside({"a": stack(1), "b": stack(1)}, levels=17), "at least two images"),
        (lambda: beside({"a": stack(), "b": stack()}, levels=17, start=4), "start=4"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
