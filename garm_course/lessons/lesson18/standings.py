"""Models in the order of a metric: value, interval, and in how many resamples each is the best."""

import numpy as np

from garm_course.show.figures import (
    LABEL,
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


def standings(board, *, alt, title, xlabel):
    """Show a leaderboard, the smallest value first.

    Args:
        board: mapping from name to (value, low, high, share of resamples that it wins).
        alt: alternative text, also the caption.
        title: the finding.
        xlabel: the metric, its unit, and what is better.

    Raises:
        ValueError: for an empty board.
    """
    show_figure(standings_figure(board, title=title, xlabel=xlabel), alt)


def standings_figure(board, *, title, xlabel):
    """The figure that `standings` shows."""
    if not board:
        raise ValueError("expected at least one model, got an empty board")
    rows = sorted(board.items(), key=lambda item: item[1][0])
    left, right, row = 0.25 + max(text_width(name, LABEL) for name, _ in rows), 1.0, 0.27
    title = wrap(title, WIDTH - 0.2, TITLE, "bold")
    top = 0.2 + 0.22 * (title.count("\n") + 1) + 0.2
    height = top + row * len(rows) + 0.6
    with style():
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        across = WIDTH - left - right
        ax = fig.add_axes((left / WIDTH, 0.55 / height, across / WIDTH, row * len(rows) / height))
        places = np.arange(len(rows))[::-1]
        values = np.array([[float(v) for v in row[:3]] for _, row in rows])
        ax.hlines(places, values[:, 1], values[:, 2], color=palette["blue"], linewidth=2.5)
        ax.plot(values[:, 0], places, "o", color=palette["blue"], markersize=5)
        ax.set(yticks=places, yticklabels=[name for name, _ in rows], ylim=(-0.6, len(rows) - 0.4), xlabel=xlabel)
        ax.tick_params(axis="y", labelsize=LABEL, length=0, labelcolor="black")
        ax.set_xlim(min(0.0, values[:, 1].min()), None)
        for place, (_, (*_, share)) in zip(places, rows, strict=True):
            ax.text(1.02, place, f"{100 * float(share):.0f} %", fontsize=SMALL, va="center",
                    transform=ax.get_yaxis_transform())  # fmt: skip
        ax.text(1.02, len(rows) - 0.35, "wins", fontsize=SMALL, fontweight="bold", transform=ax.get_yaxis_transform())
    return fig
