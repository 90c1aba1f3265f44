"""The clip that is continued from where it is cut: what was given stays, and the words count what was drawn."""

import pytest
import torch
from small_models import small_model

from garm_course.autoregressive import FramePixelCNN
from garm_course.lessons.lesson09.continuing import Continuations, continuing
from garm_course.show import png

CLIP = torch.randint(5, (1, 4, 5, 6), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def view():
    return Continuations(small_model(FramePixelCNN, (1, 3, 5, 6), 5), CLIP, torch.Generator().manual_seed(1))


def test_a_continuation_begins_with_the_frames_that_were_given_and_is_drawn_after_them(view):
    assert view.drawn.shape == (4, 4, 5, 6)
    for given in range(4):
        assert torch.equal(view.drawn[given, :given], CLIP[0, :given])
        assert (view.wrong[given, :given] == 0).all()
        assert (view.wrong[given, given:] > 0).all()  # a random model does not hit 30 pixels


def test_the_picture_shows_the_drawn_clip_and_the_words_count_its_wrong_pixels(view):
    for given in (0, 3):
        counts = [(view.drawn[given, t] != CLIP[0, t]).sum().item() for t in range(given, 4)]
        assert view.caption(given).endswith(f"in {', '.join(f'≈ {n}' for n in counts)} pixels.")
        fig = view.figure(given)
        assert [ax.get_xlabel() for ax in fig.axes[4:]] == [""] * given + [str(n) for n in counts]
        shown = [torch.tensor(ax.images[0].get_array().data[..., 0]).double() for ax in fig.axes]
        for t in range(4):
            assert torch.equal(shown[t], shown[4 + t]) == (t < given)
        assert png(fig).startswith(b"\x89PNG")


def test_what_is_no_clip_or_no_cut_is_refused():
    model = small_model(FramePixelCNN, (1, 3, 5, 6), 5)
    with pytest.raises(ValueError, match=r"expected 0..3 given frames, got 4"):
        continuing(model, CLIP, given=4)
    with pytest.raises(ValueError, match="expected a gray clip"):
        Continuations(model, CLIP[0])
