"""Sound to hear and to see: a player, the waveform and the spectrogram of each, without a file."""

import base64
import html
import io
import wave

import numpy as np

from garm_course.show import figures
from garm_course.show.figures import (
    LABEL,
    SMALL,
    TITLE,
    WIDTH,
    new_figure,
    palette,
    show_figure,
    style,
    wrap,
)
from garm_course.show.waveforms import check_rate, check_signals

FLOOR = -60.0  # decibels below the loudest of a sound, where the spectrogram ends


def audio(signals, *, rate, alt, title=None, labels=None, window=256):
    """Show the waveform and the spectrogram of sounds, and below them a player for each.

    The players hold the sounds themselves, 16 bits a sample, so that a stored notebook plays them: 1,000 samples are
    2.7 kB. Outside of IPython only the caption is printed.

    Args:
        signals: sound in [-1, 1] of shape (N, T) or (T,), or a mapping from the label of a sound to its own (T,).
        rate: samples per second, a whole number of at least 1.
        alt: alternative text of the picture, also the caption: say what is to be heard.
        title: the finding, above the picture.
        labels: one short text for each sound, if `signals` is no mapping.
        window: samples of a stretch of the spectrogram (Hann window): more tell pitches apart, fewer tell times apart.

    Raises:
        ValueError: as for `waves`; also for a rate that is no whole number, or a window outside of 2..T.
    """
    show_figure(sounds_figure(signals, rate=rate, title=title, labels=labels, window=window), alt)
    players(signals, rate=rate, labels=labels)


def players(signals, *, rate, labels=None):
    """Show a player for each sound, without a picture; outside of IPython nothing. Arguments as for `audio`."""
    if figures._shell() is None:
        return
    from IPython.display import display

    x, labels = check_signals(signals, labels)
    labels = labels or [f"sound {k}" for k in range(1, len(x) + 1)]
    html_of_all = "".join(player(one, rate, label) for one, label in zip(x, labels, strict=True))
    words = f"[{', '.join(labels)}: {x.shape[1] / rate:.3g} s of sound each]"
    display({"text/html": html_of_all, "text/plain": words}, raw=True)


def player(x, rate, label):
    """HTML of a player with its name, which holds the sound x (T,) in [-1, 1]."""
    data = base64.b64encode(wav(x, rate)).decode()
    name = html.escape(str(label), quote=True)
    return (
        f'<div style="display:inline-block;margin:2px 10px 2px 0"><div>{name}</div>'
        f'<audio controls aria-label="{name}" style="width:220px" src="data:audio/wav;base64,{data}"></audio></div>'
    )


def wav(x, rate):
    """The bytes of a WAV file, one channel of 16 bits.

    Args:
        x: sound (T,) in [-1, 1].
        rate: samples per second, a whole number of at least 1.

    Raises:
        ValueError: for what is no such sound, or another rate.

    Example:
        >>> len(wav(np.zeros(1000), 8000))  # 44 bytes say what follows
        2044
    """
    x, _ = check_signals(x, None)
    if len(x) != 1:
        raise ValueError(f"expected one sound (T,), got {len(x)}; write a file for each, or join them")
    check_rate(rate, whole=True)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((32767 * x[0]).round().clip(-32767, 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def spectrogram(x, window=256):
    """Power of a sound by time and frequency, in decibels below its loudest, at least FLOOR.

    Args:
        x: (T,) of floats.
        window: samples of a stretch, 2..T; stretches begin an eighth of it apart.

    Returns:
        float array (window // 2 + 1, stretches); FLOOR everywhere for silence.
    """
    stretches = np.lib.stride_tricks.sliding_window_view(np.asarray(x, float), window)[:: max(window // 8, 1)]
    power = np.abs(np.fft.rfft(stretches * np.hanning(window + 1)[:-1])).T ** 2
    loudest = power.max()
    return np.maximum(10 * np.log10(np.maximum(power, 1e-30) / loudest), FLOOR) if loudest else 0 * power + FLOOR


def sounds_figure(signals, *, rate, title=None, labels=None, window=256):
    """The figure that `audio` shows: for each sound its waveform and its spectrogram; arguments as there."""
    x, labels = check_signals(signals, labels)
    check_rate(rate, whole=True)
    if not isinstance(window, int) or not 2 <= window <= x.shape[1]:
        raise ValueError(f"expected a window of 2..{x.shape[1]} samples (an integer), got {window}")
    count, length = x.shape
    left, between, right, wide = 0.75, 0.85, 0.2, 2.5
    row = max(0.6, min(1.5, 4.2 / count))
    space = 0.3 if labels else 0.15
    title = wrap(title, WIDTH - 0.3, TITLE, "bold") if title else ""
    head = 0.12 + 0.24 * (title.count("\n") + 1) * bool(title)
    height = head + count * (space + row) + 0.55
    end = 1000 * length / rate
    with style():
        fig = new_figure(WIDTH, height)
        if title:
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        for k, one in enumerate(x):
            up = height - head - (k + 1) * (space + row)
            ax = fig.add_axes((left / WIDTH, up / height, wide / WIDTH, row / height))
            ax.plot(1000 * np.arange(length) / rate, one, color=palette["blue"], lw=0.9, ls="-")
            ax.set(xlim=(0, end), ylim=(-1.06, 1.06), yticks=[-1, 0, 1])
            across = left + wide + between
            box = (across / WIDTH, up / height, (WIDTH - right - across) / WIDTH, row / height)
            right_ax = fig.add_axes(box, sharex=ax)
            half = 500 * window / rate  # the middle of a stretch is its time
            picture = spectrogram(one, window)
            right_ax.imshow(
                picture, cmap="gray_r", vmin=FLOOR, vmax=0, origin="lower", aspect="auto",
                extent=(half, end - half, 0, rate / 2000), interpolation="nearest",
            )  # fmt: skip
            right_ax.set(xlim=(0, end), yticks=[0, rate / 4000, rate / 2000])
            for axes in (ax, right_ax):
                if k == count - 1:
                    axes.set_xlabel("time (milliseconds)")
                else:
                    axes.tick_params(axis="x", labelbottom=False)
            if labels:
                fig.text(left / WIDTH, (up + row + 0.05) / height, labels[k], fontsize=SMALL, va="bottom")
        middle = (0.55 + (count * (space + row) - space) / 2) / height
        for across, words in ((0.1, "amplitude"), (left + wide + 0.2, "kilohertz")):
            fig.text(across / WIDTH, middle, words, fontsize=LABEL, va="center", rotation=90)
    return fig
