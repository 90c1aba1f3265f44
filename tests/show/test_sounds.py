"""Sound in a notebook: the player holds the sound itself, the spectrogram shows its frequencies, nothing is a file."""

import base64
import io
import re
import wave

import numpy as np
import pytest
import torch

from garm_course import show
from garm_course.show import figures, sounds

TONE = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(1000) / 8000)


def samples(data):
    """The numbers in a WAV file, and its rate."""
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767, file.getframerate()


def test_a_file_holds_the_sound():
    heard, rate = samples(show.wav(TONE, 8000))
    assert rate == 8000
    assert np.abs(heard - TONE.numpy()).max() < 1e-4
    heard, _ = samples(show.wav(torch.tensor([-1.0, 1.0, 0.0]), 11_025))
    assert heard.tolist() == [-1, 1, 0]


def test_players_hold_the_sounds_under_a_picture_and_are_named(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "_shell", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append(data))
    show.audio({"a <tone>": TONE, "silence": 0 * TONE}, rate=8000, alt="A tone and silence.")
    picture, caption, players = shown
    assert "image/png" in picture
    assert caption["text/plain"] == "A tone and silence."
    assert players["text/plain"] == "[a <tone>, silence: 0.125 s of sound each]"
    assert re.findall('aria-label="(.*?)"', players["text/html"]) == ["a &lt;tone&gt;", "silence"]
    first, second = re.findall('base64,([^"]*)', players["text/html"])
    assert np.abs(samples(base64.b64decode(first))[0] - TONE.numpy()).max() < 1e-4
    assert not samples(base64.b64decode(second))[0].any()
    assert len(players["text/html"]) < 2 * 3000


def test_without_ipython_the_caption_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(figures, "_shell", lambda: None)
    assert show.audio(TONE, rate=8000, alt="A tone.") is None
    assert capsys.readouterr().out == "A tone.\n"
    with pytest.raises(ValueError, match="alternative text"):
        show.audio(TONE, rate=8000, alt=" ")


@pytest.mark.parametrize("window", [64, 256])
def test_the_spectrogram_of_a_tone_is_a_line_at_its_frequency(window):
    found = sounds.spectrogram(TONE, window)
    assert (found.argmax(0) == window // 8).all()  # 1,000 of 8,000 Hz
    assert found.max() == 0
    assert (found[[0, -1]] < -50).all()
    assert (sounds.spectrogram(0 * TONE) == sounds.FLOOR).all()


def test_waveform_and_spectrogram_share_the_time():
    figure = show.sounds_figure(torch.stack([TONE, -TONE]), rate=8000, labels=["up", "down"], title="A tone")
    left, right, *_ = figure.axes
    assert len(figure.axes) == 4
    assert left.get_xlim() == right.get_xlim() == (0, 125)
    assert right.get_ylim() == (0, 4)
    line = left.lines[0]
    assert np.allclose(line.get_ydata(), TONE)
    assert right.images[0].get_extent() == [16, 109, 0, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signals": torch.zeros(5, 100).long()}, "decode mu-law codes first"),
        ({"signals": 3 * TONE}, r"\[-1, 1\]"),
        ({"rate": 0}, "a whole rate above 0, got 0"),
        ({"rate": 8000.5}, "a whole rate above 0"),
        ({"window": 2000}, r"a window of 2\.\.1000 samples"),
        ({"labels": ["a", "b"]}, "one label for each of 1"),
    ],
)
def test_what_is_no_sound_is_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as refusal:
        show.audio(**{"signals": TONE, "rate": 8000, **arguments}, alt="no")
    assert "\n" not in str(refusal.value)


def test_a_file_of_what_is_no_sound_is_refused():
    for x in (torch.zeros(2, 100), 3 * TONE):
        with pytest.raises(ValueError, match="expected"):
            show.wav(x, 8000)
