"""Figures of several runs side by side: a dot for each seed, their mean, and its interval."""

import math
from collections.abc import Mapping

import numpy as np

from garm_course.show.figures import (
    LABEL,
    MUTED,
    SMALL,
    TITLE,
    WIDTH,
    as_array,
    new_figure,
    palette,
    show_figure,
    style,
    text_width,
    wrap,
)

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # Student's t for 1 to 9 degrees of freedom


def interval(values):
    """Mean of some runs and half the width of its 95 % interval, mean ± t s / √n with Student's t.

    Args:
        values: finite numbers (n,), 2 to 10 of them.

    Returns:
        (mean, half the width).

    Example:
        >>> [round(number, 3) for number in interval([1.0, 2.0, 3.0])]
        [2.0, 2.484]
    """
    values = as_array(values).astype(float)
    if values.ndim != 1 or not 2 <= len(values) <= 10 or not np.isfinite(values).all():
        raise ValueError(f"expected 2 to 10 finite numbers, got {values.tolist()}")
    return float(values.mean()), float(T_975[len(values) - 2] * values.std(ddof=1) / math.sqrt(len(values)))


def runs(panels, *, alt, title=None, display_id=None):
    """Show the figures of several methods: a pale dot for each run, the mean, and its 95 % interval.

    Args:
        panels: mapping from what is measured (the label of the horizontal axis, with its unit and what is better) to a
            mapping from method to its runs (n,), 2 to 10 finite numbers. All panels have the same methods.
        alt: alternative text, also the caption.
        title: the finding, above the panels.

    Raises:
        ValueError: without panels, for panels with different methods, or runs that are not finite.
    """
    show_figure(runs_figure(panels, title=title), alt, display_id=display_id)


def runs_figure(panels, *, title=None):
    """The figure that `runs` shows; arguments as there."""
    panels = {name: dict(rows) for name, rows in dict(panels).items()}
    if not panels or not all(isinstance(rows, Mapping) and rows for rows in panels.values()):
        raise ValueError("expected panels of runs, got none; pass {label: {method: numbers}}")
    methods = list(next(iter(panels.values())))
    if any(list(rows) != methods for rows in panels.values()):
        raise ValueError("expected the same methods in the same order in all panels")
    found = {name: {method: interval(rows[method]) for method in methods} for name, rows in panels.items()}
    with style():
        left = 0.25 + max(text_width(method, LABEL) for method in methods)
        between, right, below = 0.3, 0.2, 0.62
        wide = (WIDTH - left - right - between * (len(panels) - 1)) / len(panels)
        title = wrap(title, WIDTH - 0.3, TITLE, "bold") if title else ""
        head = 0.15 + 0.24 * (title.count("\n") + 1) * bool(title)
        tall = 0.28 * len(methods)
        labels = [wrap(name, wide, SMALL) for name in panels]
        below += 0.16 * max(label.count("\n") for label in labels)
        height = head + tall + below
        fig = new_figure(WIDTH, height)
        if title:
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        for k, (name, rows) in enumerate(panels.items()):
            across = left + k * (wide + between)
            ax = fig.add_axes((across / WIDTH, below / height, wide / WIDTH, tall / height))
            for row, method in enumerate(methods):
                mean, half = found[name][method]
                ax.plot([mean - half, mean + half], [row, row], color=palette["blue"], lw=2.2, ls="-", zorder=2)
                ax.plot(mean, row, marker="D", ms=6, color=palette["blue"], mec="white", mew=0.7, ls="", zorder=3)
                values = as_array(rows[method])
                ax.plot(values, np.full(len(values), row), marker="o", ms=4, color=palette["vermillion"], alpha=0.55,
                        mec="none", ls="", zorder=4)  # fmt: skip
            ax.set(ylim=(len(methods) - 0.5, -0.5))
            ax.set_yticks(range(len(methods)), methods if k == 0 else [""] * len(methods), fontsize=LABEL)
            ax.tick_params(axis="y", length=0, labelcolor="#222222")
            ax.tick_params(axis="x", labelsize=SMALL)
            ax.grid(axis="y", color=MUTED, alpha=0.25, lw=0.6)
            ax.locator_params(axis="x", nbins=5)
            ax.set_xlabel(labels[k], fontsize=SMALL)
    return fig
