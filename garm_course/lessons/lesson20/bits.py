"""The weights of a row before and after rounding, with a slider for the bits."""

import torch

from garm_course.show.figures import LABEL, MUTED, TITLE, WIDTH, new_figure, palette, style
from garm_course.show.sliders import Dial, slide

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


def rounded(w, bits, rows=True):
    """Weights (R, ...) rounded to integers -m..m times a scale, with m = 2^(bits - 1) - 1.

    Args:
        w: weights.
        bits: 2 to 16.
        rows: one scale for each row; False for one scale in all.
    """
    flat = w.flatten(1) if rows else w.reshape(1, -1)
    most = 2 ** (bits - 1) - 1
    scale = (flat.abs().amax(1, keepdim=True) / most).clamp(min=torch.finfo(w.dtype).tiny)
    return ((flat / scale).round() * scale).view_as(w)


def bits(w, start=4):
    """Show how a weight matrix is rounded, with a slider for the number of bits.

    Args:
        w: weights (R, C); zeros, such as those of masks, are left out of the picture.
        start: bits of the first view, 2 to 8.
    """
    w = w.detach().double()
    slide("bits", lambda b: bits_figure(w, b), lambda b: bits_caption(w, b), [Dial("bits", start, 2, 8)])


def _errors(w, b):
    return [(rounded(w, b, rows) - w)[w != 0].square().mean().sqrt().item() for rows in (False, True)]


def bits_caption(w, b):
    """The picture in words."""
    whole, each = _errors(w, b)
    return (
        f"Weights of one layer, rounded to {NUMBERS[b]} bits. Root mean square error ≈ {whole:.4f} with one scale for "
        f"the matrix, ≈ {each:.4f} with one for each row."
    )


def bits_figure(w, b):
    """Rounded weights against the weights themselves, for one scale in all and for one scale in each row."""
    there = w != 0
    x = w[there]
    some = torch.linspace(0, len(x) - 1, min(len(x), 1500)).long()
    with style():
        height = 3.3
        fig = new_figure(WIDTH, height)
        title = f"{NUMBERS[b].capitalize()} bits: a scale for each row wastes fewer levels"
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        for k, (name, rows) in enumerate((("one scale in all", False), ("one scale in each row", True))):
            ax = fig.add_axes(((0.75 + 3.3 * k) / WIDTH, 0.6 / height, 2.9 / WIDTH, 2.0 / height))
            y = rounded(w, b, rows)[there]
            ax.plot(x[some], y[some], ".", ms=2, color=palette["blue"], alpha=0.5)
            ends = [x.min().item(), x.max().item()]
            ax.plot(ends, ends, color=MUTED, lw=0.8, ls="-")
            ax.set_title(f"{name}: error {_errors(w, b)[rows]:.4f}", fontsize=LABEL, loc="left", pad=4)
            ax.set(xlabel="weight", ylabel="rounded weight" if not k else "")
    return fig
