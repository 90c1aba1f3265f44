"""Sound as a picture: waveforms below each other on one time axis, and a stretch of them enlarged."""

import itertools
import math
from collections.abc import Mapping

import numpy as np

from garm_course.show.figures import (
    DPI,
    LABEL,
    MUTED,
    SMALL,
    TITLE,
    WIDTH,
    new_figure,
    palette,
    show_figure,
    style,
    text_width,
    wrap,
)


def waves(signals, *, rate, alt, title=None, labels=None, zoom=None, display_id=None):
    """Show waveforms below each other with one time axis and one scale of the amplitude.

    Where more than two samples fall on a dot, the range that they cover is filled: no peak is lost.

    Args:
        signals: sound in [-1, 1] of shape (N, T) or (T,), or a mapping from the label of a wave to its own (T,).
        rate: samples per second, above 0.
        alt: alternative text, also the caption.
        title: the finding, above the waves.
        labels: one short text above each wave, if `signals` is no mapping.
        zoom: (start, stop) in samples: a stretch that is marked and shown again, enlarged, in a second column
            (in amplitude, too, where it is quiet).

    Raises:
        ValueError: for signals of another shape or dtype, of different lengths, NaN or outside of [-1, 1] (mu-law codes
            are decoded first); for another number of labels, a rate that is not above 0, a stretch outside of the
            signal, and without alternative text.
    """
    show_figure(waves_figure(signals, rate=rate, title=title, labels=labels, zoom=zoom), alt, display_id=display_id)


def waves_figure(signals, *, rate, title=None, labels=None, zoom=None):
    """The figure that `waves` shows; arguments as there."""
    x, labels = check_signals(signals, labels)
    check_rate(rate)
    count, length = x.shape
    if zoom is not None and not (
        len(zoom) == 2 and all(isinstance(at, int) for at in zoom) and 0 <= zoom[0] <= zoom[1] - 2 <= length - 2
    ):
        raise ValueError(f"expected zoom=(start, stop) in whole samples inside 0..{length}, 2 or more, got {zoom}")
    left, right = 0.85, 0.35
    wide = WIDTH - left - right
    columns = [(left, wide, 0, length, _top(x))]
    if zoom is not None:
        near = _top(x[:, zoom[0] : zoom[1]])
        between = 0.4 if near == _top(x) else 0.75  # with room for the numbers of another scale
        wide = round(0.58 * (wide - between), 2)
        across = left + wide + between
        columns = [(left, wide, 0, length, _top(x)), (across, WIDTH - right - across, *zoom, near)]
    row = max(0.5, min(1.4, 3.7 / count))
    title = wrap(title, WIDTH - 0.3, TITLE, "bold") if title else ""
    names = [wrap(label, wide, SMALL) for label in labels]
    space = 0.1 + 0.17 * max((name.count("\n") + 1 for name in names), default=0)  # above every wave
    head = 0.15 + 0.24 * (title.count("\n") + 1) * bool(title) + 0.2 * (zoom is not None and not names)
    height = head + count * (space + row) + 0.55
    with style():
        fig = new_figure(WIDTH, height)
        if title:
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        for k, wave in enumerate(x):
            up = height - head - (k + 1) * (space + row)
            for c, (across, width, start, stop, top) in enumerate(columns):
                ax = fig.add_axes((across / WIDTH, up / height, width / WIDTH, row / height))
                seconds, unit = (1.0, "seconds") if (stop - start) / rate >= 1 else (1000.0, "milliseconds")
                clock = seconds / rate  # from samples to what is on the axis
                _draw(ax, wave, start, stop, clock, round(width * DPI))
                if zoom is not None and c == 0:
                    ax.axvspan(zoom[0] * clock, zoom[1] * clock, facecolor="#FAF3B5", edgecolor=MUTED, lw=0.8, zorder=0)
                ax.axhline(0, color=MUTED, lw=0.6, ls="-", zorder=1)
                ax.set(xlim=(start * clock, stop * clock), ylim=(-1.06 * top, 1.06 * top))
                last = k == count - 1
                places, numbers = _ticks(start * clock, stop * clock, width)
                ax.set_xticks(places, numbers if last else [""] * len(places))
                numbers = [f"−{top:g}", "0", f"{top:g}"] if c == 0 or top != columns[0][-1] else [""] * 3
                ax.set_yticks([-top, 0, top], numbers)
                if last:
                    ax.set_xlabel(f"time ({unit})")
            if names:
                fig.text(left / WIDTH, (up + row + 0.06) / height, names[k], fontsize=SMALL, va="bottom")
        if zoom is not None:
            across, words = columns[1][0], f"the {zoom[1] - zoom[0]:,} marked samples"
            fig.text(across / WIDTH, (height - head - space + 0.06) / height, words, fontsize=SMALL, va="bottom")
        middle = (0.55 + (count * (space + row) - space) / 2) / height
        fig.text(0.12 / WIDTH, middle, "amplitude", fontsize=LABEL, va="center", rotation=90)
    return fig


def check_rate(rate, whole=False):
    """Refuse a rate that is no number above 0, or no whole one where a player needs that (ValueError)."""
    numbers = int if whole else (int, float)
    if isinstance(rate, bool) or not isinstance(rate, numbers) or not 0 < rate < math.inf:
        kind = "a whole rate" if whole else "a rate"
        raise ValueError(f"expected {kind} above 0, got {rate!r}; it is the number of samples per second, such as 8000")


def _top(x):
    """The end of the axis of the amplitude: 1, 0.5, 0.2, ... whichever is just enough."""
    peak = np.abs(x).max()
    return next((top for top in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if 0 < peak <= top), 1.0)


def _draw(ax, wave, start, stop, clock, dots):
    """Draw samples `start` to `stop` into axes that are `dots` wide."""
    blue = palette["blue"]
    if stop - start > 2 * dots:
        places, low, high = _envelope(wave[start:stop], dots)
        ax.fill_between((start + places) * clock, low, high, color=blue, lw=0.6, zorder=2)
        return
    # The neighbors of a stretch lie outside of the axes: a line through it does not end at its first sample.
    samples = np.arange(max(0, start - 1), min(len(wave), stop + 1))
    marks = {"marker": "o", "ms": 3.5} if stop - start <= dots // 12 else {}
    width = 1.4 if stop - start <= dots // 3 else 0.9
    ax.plot(samples * clock, wave[samples], color=blue, lw=width, ls="-", zorder=2, **marks)


def _envelope(wave, dots):
    """Middles in samples (dots,), lows and highs of as many stretches of `wave`.

    A stretch ends with the first sample of the next one, so that the range has no gap where a line would have none.
    """
    edges = np.linspace(0, len(wave), dots + 1).astype(int)
    stretches = [wave[a : b + 1] for a, b in itertools.pairwise(edges)]
    return (
        (edges[:-1] + edges[1:] - 1) / 2,
        np.array([s.min() for s in stretches]),
        np.array([s.max() for s in stretches]),
    )


def _ticks(start, stop, inches):
    """Places of the ticks, 1, 2, 2.5 or 5 times 10^k apart and the last at `stop`, and their labels."""
    per = inches / (stop - start)
    power = math.floor(math.log10(stop - start)) - 1
    for step in (m * 10.0**k for k in range(power, power + 3) for m in (1, 2, 2.5, 5)):
        decimals = max(0, 2 - math.floor(math.log10(step)))
        places = [*(step * np.arange(math.ceil(start / step - 1e-9), math.ceil(stop / step - 1e-9))), stop]
        labels = [np.format_float_positional(round(float(place), decimals), trim="-") for place in places]
        room = max(text_width(label, SMALL) for label in labels) + 0.12  # of a label, with a space
        if step * per >= room + 0.1 and (stop - start) / step <= 8:
            break
    kept = [k for k, place in enumerate(places) if (stop - place) * per >= room or place == stop]
    return [places[k] for k in kept], [labels[k] for k in kept]


def check_signals(signals, labels):
    """Signals as an array (N, T) of floats, and their labels."""
    if isinstance(signals, Mapping):
        if labels is not None:
            raise ValueError("expected labels either as keys of the mapping or as `labels`, got both; leave one out")
        labels, signals = [str(label) for label in signals], list(signals.values())
        lengths = sorted({len(s) if np.ndim(s) == 1 else np.shape(s) for s in signals}, key=str)
        if len(lengths) > 1:
            raise ValueError(f"expected waves (T,) of one length, got {lengths}; cut them to the shortest")
        signals = np.stack([_array(s) for s in signals]) if signals else np.zeros((0, 0))
    x = _array(signals)
    x = x[None] if x.ndim == 1 else x
    if x.ndim != 2 or not len(x) or x.shape[1] < 2:
        raise ValueError(f"expected signals (N, T) or (T,), N at least 1 and T at least 2, got {x.shape}")
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"expected floats in [-1, 1], got {x.dtype}; decode mu-law codes first: mu_law_decode(codes)")
    if np.isnan(x).any():
        raise ValueError("expected numbers in [-1, 1], got NaN; find the step at which the model diverged")
    if np.abs(x).max() > 1 + 1e-6:
        raise ValueError(
            f"expected values in [-1, 1], got {x.min():.4g}..{x.max():.4g}; decode mu-law codes first "
            "(mu_law_decode), or divide by the largest absolute value"
        )
    labels = [] if labels is None else [str(label) for label in labels]
    if labels and len(labels) != len(x):
        raise ValueError(f"expected one label for each of {len(x)} waves, got {len(labels)}")
    return x, labels


def _array(x):
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = x.float() if x.is_floating_point() else x
    return np.asarray(x)
