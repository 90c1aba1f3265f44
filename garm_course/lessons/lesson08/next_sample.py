"""The distribution of the next sample while a note is playing, beside the sample that comes."""

import math

import torch

from garm_course.show.figures import SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.sliders import Dial, slide


def next_sample(log_probs, x, *, time=60):
    """Show what a model expects of the next sample, with a slider over time.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        log_probs: (T, 256), the logarithms of the probabilities of each sample given those before it.
        x: LongTensor (T,) of the note's levels.
        time: of the first view, 0..T-1.
    """
    if log_probs.ndim != 2 or len(log_probs) != len(x) or not 0 <= time < len(x):
        raise ValueError(
            f"expected log_probs (T, levels), x (T,) and a time in it, got {tuple(log_probs.shape)}, {tuple(x.shape)} "
            f"and {time}"
        )
    log_probs = log_probs.detach().float().cpu()
    slide(
        "next-sample",
        lambda t: next_sample_figure(log_probs[t], int(x[t]), t),
        lambda t: next_sample_caption(log_probs[t], int(x[t]), t),
        [Dial("sample", time, 0, len(x) - 1)],
    )


def next_sample_caption(log_probs, level, time):
    """The picture in words."""
    p = log_probs.exp()
    nats = -(p * log_probs).sum().item()
    return (
        f"Before sample {time} the model hesitates between ≈ {math.exp(nats):.0f} levels; level {level} comes, "
        f"and costs ≈ {-log_probs[level].item():.1f} nats."
    )


def next_sample_figure(log_probs, level, time):
    """Probabilities of all levels as an area, and the level that comes as a line."""
    p = log_probs.exp()
    total = 2.7
    with style():
        fig = new_figure(WIDTH, total)
        title = wrap(f"What the model expects of sample {time}", WIDTH - 0.3, TITLE, "bold")
        fig.text(0.1 / WIDTH, 1 - 0.1 / total, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((0.75 / WIDTH, 0.6 / total, 1 - 0.95 / WIDTH, (total - 1.15) / total))
        ax.fill_between(torch.arange(len(p)), p, step="mid", color=palette["blue"], alpha=0.85, lw=0)
        top = 1.15 * p.max().item()
        ax.plot([level, level], [0, top], color=palette["vermillion"], lw=1.4, ls=(0, (4, 2)))
        left = level > len(p) / 2
        ax.text(level + (-3 if left else 3), top, "comes", fontsize=SMALL, va="top", ha="right" if left else "left")
        ax.set(xlim=(0, len(p) - 1), ylim=(0, top), xlabel="mu-law level", ylabel="probability")
    return fig
