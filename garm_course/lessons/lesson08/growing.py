"""Spectrograms that grow while sounds play, with a slider over time."""

import numpy as np

from garm_course.show.figures import MUTED, style
from garm_course.show.sliders import Dial, slide
from garm_course.show.sounds import players, sounds_figure, spectrogram

CLEAR = -30.0  # decibels below the loudest frequency of a stretch: what is weaker counts as gone


def growing(sounds, *, rate, at, title, window=128):
    """Show waveforms and spectrograms up to a moment, with a slider over the moment, and a player for each sound.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        sounds: label -> sound (T,) in [-1, 1], all of one length.
        rate: samples per second, a whole number.
        at: moment of the first view, in milliseconds; from the end of the first stretch to the end of the sounds.
        title: the finding.
        window: samples of a stretch of the spectrogram.
    """
    sounds = {name: np.asarray(one, float) for name, one in sounds.items()}
    low, high = (int(1000 * samples / rate) for samples in (window, len(next(iter(sounds.values())))))
    if not low <= at <= high:
        raise ValueError(f"expected a moment of {low}..{high} ms, got {at}")
    slide(
        "growing",
        lambda ms: growing_figure(sounds, rate, ms, title, window),
        lambda ms: growing_caption(sounds, rate, ms, window),
        [Dial("milliseconds", at, low, high)],
    )
    players(sounds, rate=rate)


def highest_clear(sound, rate, ms, window):
    """The highest frequency in Hz that is clear in the last stretch played before a moment: within 30 dB of its best.

    Args:
        sound: (T,) of floats.
        rate: samples per second.
        ms: the moment, in milliseconds, at least a stretch.
        window: samples of a stretch.
    """
    end = int(ms * rate / 1000)
    last = spectrogram(sound[max(0, end - window) : end], window)[:, -1]  # in decibels below its own loudest
    return np.flatnonzero(last >= CLEAR).max() * rate / window


def growing_caption(sounds, rate, ms, window):
    """The picture in words."""
    found = "; ".join(
        f"{name}: ≈ {highest_clear(one, rate, ms, window) / 1000:.1f} kHz" for name, one in sounds.items()
    )
    return f"After {ms} ms, the highest frequency within 30 dB of the loudest one is, {found}."


def growing_figure(sounds, rate, ms, title, window):
    """The figure of `show.audio`, blank from the moment on; a stretch counts once all of it has played."""
    with style():
        fig = sounds_figure(sounds, rate=rate, title=title, window=window)
        for k, ax in enumerate(fig.axes):
            until = ms - (500 * window / rate) * (k % 2)  # a spectrogram has the middle of a stretch as its time
            ax.axvspan(until, 1000 * len(next(iter(sounds.values()))) / rate, color="white", lw=0, zorder=4)
            ax.axvline(ms, color=MUTED, lw=1.0, ls=(0, (4, 3)), zorder=5)
    return fig
