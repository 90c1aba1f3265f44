"""The sounds and pictures of lesson 08: what is heard is what was drawn, and every view can be drawn."""

import io
import wave

import numpy as np
import pytest
import torch

from garm_course.autoregressive.wavenet import WaveNet
from garm_course.datasets import load
from garm_course.editions.outputs import sanitized
from garm_course.evaluation.audits import dependence
from garm_course.lessons.lesson08 import next_sample, reach, reach_tree, sounds
from garm_course.lessons.lesson08.sounds import spectrogram, wav
from garm_course.show import png


def tone(frequency, rate=8000, length=1000):
    return 0.5 * torch.sin(2 * torch.pi * frequency * torch.arange(length) / rate)


def test_a_wav_file_holds_the_sound():
    sound = tone(440)
    with wave.open(io.BytesIO(wav(sound, 8000))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, 8000, 1000)
        heard = np.frombuffer(file.readframes(1000), "<i2") / 32767
    assert np.abs(heard - sound.numpy()).max() < 2e-5


@pytest.mark.parametrize("frequency", [250, 1000, 3000])
def test_the_spectrogram_is_brightest_at_the_pitch(frequency):
    power = spectrogram(tone(frequency))
    assert power.max() == 0
    assert power.min() >= -60
    assert set(power.argmax(0) * 8000 / 256) == {frequency}


def test_outside_of_a_notebook_one_line_says_what_would_be_heard(capsys):
    sounds({"A": tone(220), "B": tone(330)}, rate=8000, alt="Two tones, the second one higher.")
    assert capsys.readouterr().out == "[sound of 0.6 seconds: A, B]\nTwo tones, the second one higher.\n"


def test_the_bytes_of_a_sound_are_not_compared_between_machines():
    element = '<audio controls aria-label="Sound: A" src="data:audio/wav;base64,UklGRgA+/A=="></audio>'
    assert sanitized(element) == '<audio controls aria-label="Sound: A" src="data:audio/wav;base64,SOUND"></audio>'


@pytest.mark.parametrize("layers", [1, 4, 6])
def test_the_tree_names_the_strings_that_the_library_reaches(layers):
    model = WaveNet((80,), 3, channels=2, skip=2, dilations=tuple(2**i for i in range(layers))).double()
    oldest = 79 - int(dependence(model, (80,), 3, examples=4)[79].nonzero()[0])
    words = reach.reach_caption(layers)
    assert f"see the last {oldest} samples" in words
    for note, needs in (("G4", 21), ("D4", 28), ("A3", 37)):
        assert (f"{note} ({needs})" in words.partition("too short for")[0]) == (oldest >= needs)
    assert png(reach.reach_figure(layers)).startswith(b"\x89PNG")


def test_other_numbers_of_layers_are_refused():
    with pytest.raises(ValueError, match="1 to 6 layers"):
        reach_tree(7)


def test_what_is_expected_is_told_with_the_sample_that_comes(capsys):
    x = load("plucked", "test", notes="G4", length=100, n=1).x[0]
    log_probs = torch.full((100, 256), 1 / 256).log()
    next_sample(log_probs, x, time=7)
    assert f"between about ≈ 256 levels; level {x[7]} comes, and costs ≈ 5.5 nats" in capsys.readouterr().out
    with pytest.raises(ValueError, match="a time in it"):
        next_sample(log_probs, x, time=100)
