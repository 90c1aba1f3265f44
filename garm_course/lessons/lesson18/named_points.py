"""Models as named points of a plane: two figures of each."""

import numpy as np

from garm_course.show.figures import LABEL, SMALL, TITLE, WIDTH, new_figure, palette, show_figure, style, wrap


def named_points(points, *, alt, title, xlabel, ylabel):
    """Show one point for each model, with its name beside it, on logarithmic axes.

    Args:
        points: mapping from name to a pair of positive numbers (x, y).
        alt: alternative text, also the caption.
        title: the finding.
        xlabel: what is on the axis, with its unit and what is better.
        ylabel: what is on the axis, with its unit and what is better.

    Raises:
        ValueError: for numbers that are not positive, which have no place on logarithmic axes.
    """
    show_figure(named_points_figure(points, title=title, xlabel=xlabel, ylabel=ylabel), alt)


def named_points_figure(points, *, title, xlabel, ylabel):
    """The figure that `named_points` shows."""
    at = np.array([[float(v) for v in pair] for pair in points.values()])
    if not (at > 0).all():
        raise ValueError(f"expected positive numbers for logarithmic axes, got {at.min()}")
    title = wrap(title, WIDTH - 0.2, TITLE, "bold")
    head = 0.2 + 0.22 * (title.count("\n") + 1)
    height = head + 3.1
    with style():
        from matplotlib.ticker import NullFormatter, ScalarFormatter

        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((0.75 / WIDTH, 0.6 / height, (WIDTH - 0.95) / WIDTH, 2.45 / height))
        ax.plot(*at.T, "o", color=palette["blue"], markersize=6)
        ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
        low, high = at.min(0), at.max(0)
        room = (high / low) ** np.array([0.1, 0.15])
        ax.set(xlim=(low[0] / room[0], high[0] * room[0] ** 3), ylim=(low[1] / room[1], high[1] * room[1]))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_formatter(ScalarFormatter())
            axis.set_tick_params(which="minor", labelsize=SMALL, colors="#595959")
        if high[0] / low[0] > 6:
            ax.xaxis.set_minor_formatter(NullFormatter())
        for name, (x, y) in zip(points, at, strict=True):
            ax.annotate(name, (x, y), (7, 0), textcoords="offset points", fontsize=LABEL, va="center")
    return fig
