"""What is heard, in numbers: each measure gives the known answer for sounds that are computed, and refuses others."""

import math

import pytest
import torch

from garm_course.datasets.plucked import NOTES, RATE, Plucked, pluck
from garm_course.evaluation.sound import (
    autocorrelation,
    harmonic_decay,
    harmonic_share,
    log_spectral_distance,
    pitch,
    real_time_factor,
    semitones,
)
from garm_course.transforms import mu_law_decode, mu_law_encode


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def notes():
    """300 real notes of three pitches, and the frequency of each string."""
    data = Plucked("validation", notes=("A3", "D4", "G4"), length=1000)
    return data, torch.tensor([RATE / (NOTES[name] + 0.5) for name in data.notes], dtype=torch.float64)[data.y]


def test_real_notes_have_their_pitch(notes):
    data, true = notes
    off = semitones(pitch(data.waveform, rate=RATE), true).abs()
    assert (off < 0.1).double().mean() > 0.99  # where the pluck hardly has the fundamental, an overtone is heard
    r = autocorrelation(data.waveform, 101)
    highest = RATE / (2 + r[:, 2:].argmax(1))  # the obvious way: the period is p + 1/2, and twice that fits better
    assert (semitones(highest, true).abs() < 0.5).double().mean() < 0.5


@pytest.mark.parametrize("frequency", [93.0, 220.0, 443.7, 1234.5])
def test_the_pitch_of_a_sine_is_found_between_samples_and_follows_the_rate(frequency):
    t = torch.arange(2000, dtype=torch.float64)
    x = 0.9 * torch.sin(2 * math.pi * frequency * t / 8000)[None] * 0.999**t
    assert abs(semitones(pitch(x, rate=8000), frequency).item()) < 0.05
    torch.testing.assert_close(pitch(x, rate=4000, lowest=40.0), pitch(x, rate=8000) / 2)


def test_silence_has_no_pitch_and_a_longer_sound_changes_no_other():
    x = torch.zeros(2, 500)
    x[1] = torch.sin(torch.arange(500) / 3)
    found = pitch(x, rate=8000)
    assert found.isnan().tolist() == [True, False]
    assert torch.equal(found[1:], pitch(x[1:], rate=8000))


def test_autocorrelation_is_that_of_its_definition():
    x = torch.rand(3, 40, generator=rng(), dtype=torch.float64) * 2 - 1
    r, x = autocorrelation(x, 39), x - x.mean(1, keepdim=True)
    for lag in (0, 1, 7, 39):
        a, b = x[:, : 40 - lag], x[:, lag:]
        direct = (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()
        torch.testing.assert_close(r[:, lag], direct, rtol=0, atol=1e-9)


@pytest.mark.parametrize("p", [36, 27, 20])
def test_harmonics_fade_as_the_equation_of_the_string_says(p):
    signs = torch.where(torch.rand(4, p, generator=rng(p)) < 0.5, -1.0, 1.0)
    sound = pluck(signs, 0.4, 0.98, 1000)
    true = 0.98 * torch.cos(math.pi * torch.arange(1, 6, dtype=torch.float64) / (p + 0.5))
    assert (harmonic_decay(sound, period=p + 0.5, harmonics=5) - true).abs().max() < 2e-3
    heard = mu_law_decode(mu_law_encode(sound))  # what 8 bits leave of it
    assert (harmonic_decay(heard, period=p + 0.5, harmonics=3, start=p) - true[:3]).abs().max() < 5e-3


def test_a_note_is_harmonic_and_noise_is_not(notes):
    data, _ = notes
    for k, name in enumerate(data.notes):
        period = NOTES[name] + 0.5
        assert harmonic_share(data.waveform[data.y == k], period=period, start=200).min() > 0.98
        noise = torch.rand(200, 1000, generator=rng()) * 2 - 1
        width = round(2 * period)
        expected = (width // 4) / (width // 2)  # harmonics among all frequencies but 0
        assert harmonic_share(noise, period=period).mean() == pytest.approx(expected, abs=0.01)


def test_the_distance_of_spectra_is_small_between_halves_of_one_set_and_grows_with_what_is_wrong(notes):
    data, _ = notes
    a, b = data.waveform[:150], data.waveform[150:]
    near = log_spectral_distance(a, b)
    assert log_spectral_distance(a, a) == 0 < near == pytest.approx(log_spectral_distance(b, a))
    noisy = (b + 0.05 * torch.randn(b.shape, generator=rng())).clamp(-1, 1)
    assert near < 3 < log_spectral_distance(a, noisy) < log_spectral_distance(a, noisy.flip(1))
    assert log_spectral_distance(a, a / 10) == pytest.approx(20, abs=0.5)  # a tenth of the amplitude is 20 dB less


def test_a_sound_made_in_half_its_length_has_the_factor_one_half():
    assert real_time_factor(0.0625, 1000, rate=RATE) == 0.5


SOUND = torch.zeros(2, 1000)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pitch(SOUND.long(), rate=8000), TypeError, "decode mu-law levels first"),
        (lambda: pitch(SOUND + 1.5, rate=8000), ValueError, r"got values 1.5..1.5; divide by"),
        (lambda: pitch(SOUND / 0, rate=8000), ValueError, r"\[-1, 1\], got values nan..nan"),
        (lambda: pitch(SOUND[0], rate=8000), ValueError, r"got shape \(1000,\); add an axis"),
        (lambda: pitch(SOUND, rate=0), ValueError, "rate=0 is out of range"),
        (lambda: pitch(SOUND[:, :50], rate=8000), ValueError, "more than 101 samples, a period of 80 Hz"),
        (lambda: autocorrelation(SOUND, 1000), ValueError, "at most 999 lags"),
        (lambda: harmonic_decay(SOUND, period=27.3, harmonics=2), ValueError, "a multiple of 1/2"),
        (lambda: harmonic_decay(SOUND, period=27.5, harmonics=14), ValueError, "fewer harmonics than half"),
        (lambda: harmonic_decay(SOUND, period=27.5, harmonics=2, start=900), ValueError, "at least 165 samples"),
        (lambda: harmonic_share(SOUND, period=600.0), ValueError, "fits twice into the sound, got 600"),
        (lambda: log_spectral_distance(SOUND, SOUND[:, :500]), ValueError, "of one length and rate"),
        (lambda: log_spectral_distance(SOUND, SOUND[:1]), ValueError, "equally many sounds"),
        (lambda: log_spectral_distance(SOUND, SOUND, window=1), ValueError, "window=1"),
        (lambda: log_spectral_distance(SOUND, SOUND, window=12.5), ValueError, "window=12.5"),
        (lambda: real_time_factor(0.0, 10, rate=8000), ValueError, "seconds=0.0 is out of range"),
    ],
)
def test_what_is_no_sound_is_refused_in_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
