"""What one new value costs a stack of dilated convolutions: what is computed, what is kept, what could be forgotten."""

from garm_course.show.figures import MUTED, SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.sliders import Dial, slide

KEPT = "#9CC9E8"


def ring_buffers(layers=4, kernel=2, *, length=24, time=17):
    """Show the features of a stack with dilations 1, k, k^2, ... while a sequence is drawn, with a slider over time.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        layers: number of convolutions, 1 to 5.
        kernel: their size k, 2 or 3.
        length: of the sequence.
        time: step of the first view, 0..length-1.
    """
    if not (1 <= layers <= 5 and kernel in (2, 3)):
        raise ValueError(f"expected 1 to 5 layers with a kernel of 2 or 3, got {layers} and {kernel}")
    if not 0 <= time < length <= 40:
        raise ValueError(f"expected a time 0..length-1 and a length of at most 40, got {time} and {length}")
    slide(
        "ring-buffers",
        lambda t: rings_figure(layers, kernel, length, t),
        lambda t: rings_caption(layers, kernel, length, t),
        [Dial("time step", time, 0, length - 1)],
    )


def kept(layer, kernel, time):
    """Times of the inputs that the buffer of this layer (from 0) holds before step `time`, oldest first."""
    return list(range(max(0, time - (kernel - 1) * kernel**layer), time))


def rings_caption(layers, kernel, length, time):
    """The picture in words."""
    held = sum(len(kept(layer, kernel, time)) for layer in range(layers))
    return (
        f"At time {time} the {layers} layers compute one new feature each; a sampler without a cache computes "
        f"{layers * length}, for all {length} times. The buffers of the layers hold {held} earlier inputs together."
    )


def rings_figure(layers, kernel, length, time):
    """Columns are times, rows are layers: computed now, read from a buffer, kept for later, no longer needed."""
    with style():
        cell = (WIDTH - 1.75) / length
        total = 1.2 + 0.55 * (layers + 1)
        fig = new_figure(WIDTH, total)
        title = wrap(f"Time {time}: one column is new, the rest is there", WIDTH - 0.3, TITLE, "bold")
        fig.text(0.1 / WIDTH, 1 - 0.1 / total, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((1.6 / WIDTH, 0.72 / total, 1 - 1.75 / WIDTH, 0.55 * (layers + 1) / total))
        ax.set(xlim=(-0.5, length - 0.5), ylim=(-0.5, layers + 0.5), yticks=range(layers + 1))
        names = ["input", *(f"layer {j + 1}" for j in range(layers))]
        names = [*(f"{name}, read at d = {kernel**j}" for j, name in enumerate(names[:-1])), names[-1]]
        ax.set_yticklabels(names, fontsize=SMALL)
        ax.set_xticks(range(0, length, 4))
        ax.set_xlabel("time", fontsize=SMALL, color=MUTED)
        ax.tick_params(length=0, labelsize=SMALL)
        ax.spines[:].set_visible(False)
        size = min(0.36, 0.36 * 0.55 / max(cell, 0.01))
        for row in range(layers + 1):
            held = set(kept(row, kernel, time)) if row < layers else set()
            taps = {time - j * kernel**row for j in range(1, kernel)} & held
            for t in range(length):
                now = t == time
                face = (
                    palette["vermillion"] if now else palette["blue"] if t in taps else KEPT if t in held else "#EDEDED"
                )
                edge = "#BBBBBB" if t > time else "none"
                ax.plot(
                    t,
                    row,
                    marker="o" if now else "s",
                    ms=72 * size * cell * 1.7,
                    mfc="white" if t > time else face,
                    mec=edge if t > time else face,
                    mew=0.8,
                    zorder=3,
                )
            for t in (taps | {time}) if row < layers else ():
                ax.plot([t, time], [row, row + 1], color="black", lw=1.2, ls="-", zorder=2)
        key = (
            "orange: computed now",
            "dark blue: read from the buffer",
            "light blue: kept for later",
            "gray: forgotten",
        )
        fig.text(0.1 / WIDTH, 0.1 / total, "     ".join(key), fontsize=SMALL, color=MUTED, va="bottom")
    return fig
