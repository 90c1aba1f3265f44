"""The picture of ring buffers: it shows what the buffers of the library hold and read."""

import pytest
import torch

from garm_course.autoregressive.layers.causal_conv1d import CausalConv1d, RingBuffer
from garm_course.lessons.lesson06 import rings
from garm_course.show import png


@pytest.mark.parametrize("kernel", [2, 3])
def test_what_is_shown_as_kept_is_what_a_ring_buffer_holds(kernel):
    for layer in range(3):
        ring = RingBuffer(CausalConv1d(1, 1, kernel, dilation=kernel**layer), 1)
        for t in range(25):
            held = sorted(int(v) - 1 for v in ring.slots.flatten() if v)
            assert held == rings.kept(layer, kernel, t)
            ring.step(torch.tensor([[t + 1.0]]))


@pytest.mark.parametrize(("layers", "kernel", "length"), [(4, 2, 24), (1, 3, 5), (5, 2, 40), (3, 3, 30)])
def test_every_view_can_be_drawn(layers, kernel, length):
    for time in (0, length // 2, length - 1):
        assert png(rings.rings_figure(layers, kernel, length, time)).startswith(b"\x89PNG")


def test_the_caption_counts():
    words = rings.rings_caption(4, 2, 24, 17)
    assert "At time 17 the 4 layers compute one new feature each; a sampler without a cache computes 96, " in words
    assert "hold 15 earlier inputs" in words
    assert "hold 0 earlier inputs" in rings.rings_caption(4, 2, 24, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2), "1 to 5 layers"),
        ((4, 4), "kernel of 2 or 3"),
        ((4, 2, 24, 24), "a time 0..length-1"),
        ((4, 2, 50, 3), "at most 40"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    layers, kernel, *rest = arguments
    with pytest.raises(ValueError, match=message):
        rings.ring_buffers(layers, kernel, **dict(zip(("length", "time"), rest, strict=False)))


def test_the_widget_stands_by_itself_without_a_notebook(capsys):
    rings.ring_buffers()
    assert capsys.readouterr().out.startswith("At time 17 the 4 layers")
