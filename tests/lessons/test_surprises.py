"""The picture of surprises: it shows what a pass over the clip costs, and its words say so."""

import pytest
import torch
from small_models import small_model

from garm_course.autoregressive import FramePixelCNN
from garm_course.lessons.lesson09.surprises import Surprises, surprises
from garm_course.show import png


@pytest.fixture(scope="module")
def view():
    model = small_model(FramePixelCNN, (1, 4, 5, 6), 5)
    clip = torch.randint(5, (1, 4, 5, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = -model.frame_log_probs(clip[None])[0]
    return Surprises(model, clip), expected


def test_the_pixels_of_a_frame_sum_to_what_the_frame_costs(view):
    shown, expected = view
    assert torch.allclose(torch.from_numpy(shown.nats).sum((1, 2)), expected)
    for frame in range(1, 5):
        assert f"costs ≈ {expected[frame - 1]:.2f} nats" in shown.caption(frame)


def test_every_view_can_be_drawn(view):
    for frame in (1, 4):
        assert png(view[0].figure(frame)).startswith(b"\x89PNG")


def test_what_is_no_frame_or_no_clip_is_refused():
    model = small_model(FramePixelCNN, (1, 4, 5, 6), 5)
    with pytest.raises(ValueError, match=r"expected a frame 1..4, got 5"):
        surprises(model, torch.zeros(1, 4, 5, 6, dtype=torch.long), frame=5)
    with pytest.raises(ValueError, match=r"expected a gray clip"):
        Surprises(model, torch.zeros(4, 5, 6, dtype=torch.long))
