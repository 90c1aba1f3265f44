"""Spectrograms that grow: nothing is shown or said of what has not been played."""

import math
from importlib import import_module

import numpy as np
import pytest
import torch

from garm_course.lessons.lesson08 import growing as show_growing
from garm_course.show import png

growing = import_module("garm_course.lessons.lesson08.growing")
TIME = torch.arange(1000) / 8000
LOW, HIGH = (0.5 * torch.sin(2 * math.pi * f * TIME) for f in (500, 2000))
CHANGES = torch.where(TIME < 0.0625, LOW, HIGH)  # 500 Hz, and 2,000 Hz from 62.5 ms on


def test_the_highest_frequency_is_that_of_the_last_stretch_that_was_played():
    for ms, expected in ((17, 500), (62, 500), (79, 2000), (125, 2000)):
        found = growing.highest_clear(CHANGES.numpy(), 8000, ms, 128)
        assert abs(found - expected) <= 2 * 8000 / 128, ms  # a Hann window is a few bins wide
    assert "low: ≈ 0.6 kHz; high: ≈ 2.1 kHz." in growing.growing_caption(
        {"low": LOW.numpy(), "high": HIGH.numpy()}, 8000, 80, 128
    )


def test_what_comes_later_leaves_no_trace_in_the_picture():
    def picture(sound, ms):
        return png(growing.growing_figure({"one": np.asarray(sound, float)}, 8000, ms, "Tone", 128))

    other = torch.where(TIME < 0.0625, LOW, 0.9 * LOW)
    assert picture(LOW, 62) == picture(other, 62)
    assert picture(LOW, 90) != picture(other, 90)


def test_a_moment_outside_of_the_sound_is_refused():
    for at in (15, 126):
        with pytest.raises(ValueError, match=rf"expected a moment of 16..125 ms, got {at}"):
            show_growing({"one": LOW}, rate=8000, at=at, title="Tone")
