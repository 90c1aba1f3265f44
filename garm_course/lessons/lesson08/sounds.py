"""Sound to hear and to see: a player, and for every sound its first waves and its spectrogram."""

import base64
import html
import io
import sys
import wave

import torch

from garm_course.show.figures import (
    LABEL,
    MUTED,
    SMALL,
    TITLE,
    WIDTH,
    new_figure,
    palette,
    show_figure,
    style,
    wrap,
)

PAUSE = 0.15  # seconds of silence after each sound
WINDOW, HOP = 256, 32  # samples of a stretch whose spectrum is taken, and between two of them
QUIET = -60  # decibels below the loudest: the end of the scale


def sounds(waves, *, rate, alt, title=None, first=400):
    """Show sounds below each other, waves on the left and spectrogram on the right, and a player for all in order.

    Args:
        waves: mapping from a short label to a float tensor (T,) in [-1, 1], T at least 256.
        rate: samples per second.
        alt: alternative text, also the caption: what is heard, for those who cannot hear it.
        title: the finding.
        first: how many samples of the wave are drawn.
    """
    waves = {label: torch.as_tensor(x).detach().float().cpu() for label, x in waves.items()}
    player(waves, rate=rate)
    show_figure(sounds_figure(waves, rate=rate, title=title, first=first), alt)


def player(waves, *, rate):
    """A player of sounds, with a pause between two of them; outside of a notebook one line says what it would play."""
    labels = ", ".join(waves)
    pause = torch.zeros(round(PAUSE * rate))
    sound = torch.cat([part for x in waves.values() for part in (x, pause)])
    words = f"[sound of {len(sound) / rate:.1f} seconds: {labels}]"
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(words)
        return
    from IPython.display import display

    data = base64.b64encode(wav(sound, rate)).decode()
    name = html.escape(f"Sound: {labels}", quote=True)
    element = f'<audio controls aria-label="{name}" src="data:audio/wav;base64,{data}"></audio>'
    display({"text/html": element, "text/plain": words}, raw=True)


def wav(sound, rate):
    """A float tensor (T,) in [-1, 1] as the bytes of a WAV file of 16 bits a sample."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((sound.clamp(-1, 1) * 32767).round().to(torch.int16).numpy().astype("<i2").tobytes())
    return file.getvalue()


def spectrogram(x, window=WINDOW, hop=HOP):
    """Decibels below the loudest, (window / 2 + 1, stretches), of a sound (T,) that may end in the last stretch."""
    power = torch.stft(x, window, hop, window=torch.hann_window(window), center=False, return_complex=True).abs() ** 2
    return (10 * (power / power.max().clamp(min=1e-12)).clamp(min=10 ** (QUIET / 10)).log10()).numpy()


def sounds_figure(waves, *, rate, title=None, first=400):
    """The figure that `sounds` shows; arguments as there."""
    row, gap = 0.95, 0.32
    title = wrap(title, WIDTH - 0.3, TITLE, "bold") if title else ""
    head = 0.15 + 0.24 * (title.count("\n") + 1) * bool(title)
    height = head + len(waves) * (row + gap) + 0.5
    with style():
        fig = new_figure(WIDTH, height)
        if title:
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        for k, (label, x) in enumerate(waves.items()):
            up, last = height - head - (k + 1) * (row + gap), k == len(waves) - 1
            fig.text(0.75 / WIDTH, (up + row + 0.07) / height, label, fontsize=SMALL, va="bottom")
            ax = fig.add_axes((0.75 / WIDTH, up / height, 2.9 / WIDTH, row / height))
            shown = x[:first]
            top = max(0.05, shown.abs().max().item())
            ax.plot(torch.arange(len(shown)) * 1000 / rate, shown, color=palette["blue"], lw=0.9, ls="-")
            ax.set(xlim=(0, first * 1000 / rate), ylim=(-1.1 * top, 1.1 * top))
            ax.set_yticks([-top, 0, top], [f"−{top:.1g}", "0", f"{top:.1g}"])
            ax.tick_params(labelbottom=last)
            if last:
                ax.set_xlabel("time (ms)", fontsize=LABEL)
            ax = fig.add_axes((4.4 / WIDTH, up / height, 2.65 / WIDTH, row / height))
            seconds = len(x) * 1000 / rate
            ax.imshow(
                spectrogram(x), origin="lower", aspect="auto", cmap="magma", vmin=QUIET, vmax=0,
                extent=(0, seconds, 0, rate / 2000),
            )  # fmt: skip
            ax.set_yticks([0, rate / 4000])
            ax.tick_params(labelbottom=last)
            if last:
                ax.set_xlabel("time (ms)", fontsize=LABEL)
        middle = (0.5 + len(waves) * (row + gap) / 2 - gap / 2) / height
        fig.text(0.1 / WIDTH, middle, "amplitude", fontsize=LABEL, va="center", rotation=90)
        fig.text(3.9 / WIDTH, middle, "frequency (kHz)", fontsize=LABEL, va="center", rotation=90)
        words = f"brighter: more energy, down to {-QUIET} dB below the loudest"
        fig.text((WIDTH - 0.15) / WIDTH, (height - head - 0.22) / height, words, fontsize=8, color=MUTED, ha="right")
    return fig
