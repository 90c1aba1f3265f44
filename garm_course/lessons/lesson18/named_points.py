"""Models as named points of a plane: two numbers of each."""

import numpy as np

from garm_course.show.figures import LABEL, TITLE, WIDTH, new_figure, palette, show_figure, style, wrap


def named_points(points, *, alt, title, xlabel, ylabel):
    """Show one point for each model, with its name beside it; both axes start at 0.

    Args:
        points: mapping from name to a pair of numbers (x, y), at least 0.
        alt: alternative text, also the caption.
        title: the finding.
        xlabel: what is on the axis, with its unit.
        ylabel: what is on the axis, with its unit.

    Raises:
        ValueError: for numbers below 0, which would lie outside of the axes.
    """
    show_figure(named_points_figure(points, title=title, xlabel=xlabel, ylabel=ylabel), alt)


def named_points_figure(points, *, title, xlabel, ylabel):
    """The figure that `named_points` shows."""
    at = np.array([[float(v) for v in pair] for pair in points.values()])
    if not (at >= 0).all():
        raise ValueError(f"expected numbers of at least 0, got {at.min()}")
    title = wrap(title, WIDTH - 0.2, TITLE, "bold")
    height = 3.3 + 0.22 * (title.count("\n") + 1)
    with style():
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((0.75 / WIDTH, 0.6 / height, (WIDTH - 0.95) / WIDTH, 2.45 / height))
        ax.plot(*at.T, "o", color=palette["blue"], markersize=6)
        right, top = at.max(0)
        ax.set(xlim=(0, 1.3 * right), ylim=(0, 1.12 * top), xlabel=xlabel, ylabel=ylabel)
        for name, (x, y) in zip(points, at, strict=True):
            ax.annotate(name, (x, y), (7, 0), textcoords="offset points", fontsize=LABEL, va="center")
    return fig
