"""The predictive distribution of one pixel over its grey levels, as bars."""

import numpy as np

from .figures import LABEL, SMALL, TITLE, WIDTH, new_figure, palette, readable, show, style, wrap


def distribution(probs, *, alt, drawn=None, title=None, xlabel="grey level", display_id=None):
    """Show a distribution over levels; the level that was drawn is hatched and named.

    Args:
        probs: probabilities (levels,), at least 0, sum 1.
        drawn: the level that was drawn or observed.
        title: the finding. alt: alternative text, also the caption.
    """
    show(distribution_figure(probs, drawn=drawn, title=title, xlabel=xlabel), alt, display_id=display_id)


def distribution_figure(probs, *, drawn=None, title=None, xlabel="grey level"):
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


def draw_bars(ax, probs, drawn=None, xlabel="grey level"):
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
        side = "left" if drawn < 0.15 * levels else "right" if drawn > 0.85 * levels else "center"
        place = drawn + {"left": -0.4, "right": 0.4, "center": 0.0}[side]
        words = f"drawn: {drawn}"
        color = readable(palette["vermillion"])
        up = probs[drawn] + 0.03 * top
        ax.text(place, up, words, ha=side, va="bottom", fontsize=LABEL, color=color, fontweight="bold", zorder=4)
    ticks = range(levels) if levels <= 17 else np.linspace(0, levels - 1, 6).round().astype(int)
    ax.set_xticks([t for t in ticks if levels <= 10 or levels > 17 or t % 4 == 0])
    ax.set(xlim=(-0.7, levels - 0.3), ylim=(0, top * 1.12), xlabel=xlabel, ylabel="probability")
    ax.set_yticks([0, top / 2, top])
    ax.tick_params(axis="x", length=0, labelsize=SMALL)
