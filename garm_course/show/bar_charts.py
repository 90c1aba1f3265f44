"""The predictive distribution of one pixel over its gray levels, as bars."""

import numpy as np

from garm_course.show.figures import (
    LABEL,
    SMALL,
    TITLE,
    WIDTH,
    new_figure,
    palette,
    readable,
    show_figure,
    style,
    text_width,
    wrap,
)


def distribution(probs, *, alt, drawn=None, title=None, xlabel="gray level", display_id=None):
    """Show a distribution over levels; the level that was drawn is hatched and named.

    Args:
        probs: probabilities (levels,), at least 0, sum 1.
        drawn: the level that was drawn or observed.
        title: the finding.
        alt: alternative text, also the caption.
    """
    show_figure(distribution_figure(probs, drawn=drawn, title=title, xlabel=xlabel), alt, display_id=display_id)


def distribution_figure(probs, *, drawn=None, title=None, xlabel="gray level"):
    """The figure that `distribution` shows; arguments as there."""
    with style():
        title = wrap(title, WIDTH - 0.3, TITLE, "bold") if title else ""
        head = 0.2 + 0.24 * (title.count("\n") + 1) * bool(title)
        height = 2.4 + head
        fig = new_figure(WIDTH, height)
        ax = fig.add_axes((0.75 / WIDTH, 0.55 / height, 1 - 0.9 / WIDTH, 1 - (0.55 + head) / height))
        draw_bars(ax, probs, drawn, xlabel)
        if title:
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
    return fig


def draw_bars(ax, probs, drawn=None, xlabel="gray level"):
    """Draw the bars into `ax`; the vertical axis ends at 1, 0.5, 0.3, 0.2, ... whichever is just enough."""
    probs = np.asarray(probs.detach().cpu() if hasattr(probs, "detach") else probs).astype(float)
    if probs.ndim != 1 or not np.isfinite(probs).all() or probs.min() < 0 or abs(probs.sum() - 1) > 1e-3:
        raise ValueError(
            f"expected probabilities (levels,) that sum to 1, got shape {probs.shape}, sum {probs.sum():.4g}"
        )
    levels = len(probs)
    if drawn is not None and not 0 <= drawn < levels:
        raise ValueError(f"expected a drawn level 0..{levels - 1}, got {drawn}")
    bars = ax.bar(
        range(levels),
        probs,
        width=0.5 if levels <= 4 else 0.8 if levels <= 64 else 1.0,
        color=palette["blue"],
        linewidth=0,
    )
    top = next(t for t in (0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0) if probs.max() <= 0.86 * t or t == 1.0)
    if drawn is not None:
        bars[drawn].set(facecolor=palette["orange"], edgecolor="black", linewidth=1.0, hatch="////", zorder=3)
        words = f"drawn: {drawn}"
        inches = ax.get_position().width * ax.figure.get_size_inches()[0]
        half = text_width(words, LABEL, "bold") / 2 * levels / inches + 0.5  # of the words, in levels
        middle = min(max(drawn, half - 0.7), levels - 0.3 - half)
        under = probs[max(0, int(middle - half)) : int(middle + half) + 2].max()  # above all bars that it would cover
        ax.plot([drawn, drawn], [probs[drawn], under + 0.05 * top], color="black", lw=1.0, ls="-", zorder=4)
        options = {"fontsize": LABEL, "fontweight": "bold", "color": readable(palette["vermillion"])}
        ax.text(middle, under + 0.07 * top, words, ha="center", va="bottom", zorder=4, **options)
    every = 1 if levels <= 10 else 4 if levels <= 32 else levels // 4
    ax.set_xticks([*range(0, levels - every // 2, every), levels - 1] if levels > 32 else range(0, levels, every))
    ax.set(xlim=(-0.7, levels - 0.3), ylim=(0, top * 1.15), xlabel=xlabel, ylabel="probability")
    ax.set_yticks([0, top / 2, top])
    ax.tick_params(axis="x", length=0, labelsize=SMALL)
