"""A table of metrics as a picture: one row for each set of samples, one column for each metric, shaded by rank."""

import math

import numpy as np

from garm_course.show.figures import LABEL, SMALL, TITLE, WIDTH, new_figure, show_figure, style, text_width, wrap


def scoreboard(metrics, *, ranked, large=(), alt, title):
    """Show what each metric says of each set, the ranked sets first.

    Args:
        metrics: mapping from the name of a metric to a mapping from set to its value, or None where it has none.
        ranked: names of the sets whose cells are shaded, the darkest for the best; the others stand below a line.
        large: names of the metrics that are better when they are large.
        alt: alternative text, also the caption.
        title: the finding.

    Raises:
        ValueError: for fewer than two ranked sets, or one that a metric does not know.
    """
    show_figure(scoreboard_figure(metrics, ranked=ranked, large=large, title=title), alt)


def shades(values, ranked, *, large):
    """Ranks of one metric: 0 for the worst and 1 for the best of the ranked sets that have a value.

    >>> shades({"a": 3.0, "b": 5.0, "c": None}, ["a", "b", "c"], large=False)
    {'a': 1.0, 'b': 0.0}
    """
    known = {name: values[name] for name in ranked if values[name] is not None}
    return {
        name: sum(other < value if large else other > value for other in known.values()) / max(1, len(known) - 1)
        for name, value in known.items()
    }


def scoreboard_figure(metrics, *, ranked, large=(), title):
    """The figure that `scoreboard` shows."""
    ranked = list(ranked)
    rows = ranked + [name for name in dict.fromkeys(n for v in metrics.values() for n in v) if name not in ranked]
    missing = [name for name in ranked for values in metrics.values() if name not in values]
    if len(ranked) < 2 or missing:
        raise ValueError(f"expected at least two ranked sets with an entry in every metric, got {ranked}: {missing}")
    left = 0.25 + max(text_width(name, LABEL) for name in rows)
    cell, row = (WIDTH - left - 0.1) / len(metrics), 0.27
    heads = [wrap(name, cell - 0.05, SMALL - 1.5, "bold") for name in metrics]
    title = wrap(title, WIDTH - 0.2, TITLE, "bold")
    top = 0.14 + 0.22 * (title.count("\n") + 1) + 0.15 * (max(h.count("\n") for h in heads) + 1) + 0.14
    height = top + row * len(rows) + 0.08
    with style():
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, WIDTH), ylim=(height, 0))
        ax.axis("off")
        for r, name in enumerate(rows):
            ax.text(left - 0.12, top + (r + 0.5) * row, name, fontsize=LABEL, ha="right", va="center")
        for k, (head, (name, values)) in enumerate(zip(heads, metrics.items(), strict=True)):
            x = left + k * cell
            words = {"fontsize": SMALL - 1.5, "fontweight": "bold", "ha": "center", "va": "bottom"}
            ax.text(x + cell / 2, top - 0.08, head, linespacing=1.1, **words)
            dark = shades(values, ranked, large=name in large)
            for r, row_name in enumerate(rows):
                _cell(ax, (x, top + r * row, cell, row), values.get(row_name), dark.get(row_name))
        ax.hlines(top + len(ranked) * row, 0.1, WIDTH - 0.1, color="black", linewidth=0.8)
    return fig


def _cell(ax, box, value, shade):
    """One number in its box, on a ground between nearly white and the palette's blue."""
    x, y, width, height = box
    if shade is not None:
        light, dark = np.array([0.95, 0.97, 0.99]), np.array([0.0, 0.447, 0.698])
        color = tuple(light + (dark - light) * shade)
        ax.fill_between([x + 0.02, x + width - 0.02], y + 0.02, y + height - 0.02, color=color, linewidth=0)
    ink = "white" if shade is not None and shade > 0.75 else "black"
    ax.text(x + width / 2, y + height / 2, _short(value), fontsize=SMALL, ha="center", va="center", color=ink)


def _short(value):
    """
    >>> _short(None), _short(0.123), _short(40.52), _short(-141.2), _short(12539.0)
    ('', '0.12', '40.5', '-141', '12,539')
    """
    if value is None or math.isnan(value):
        return ""
    return f"{value:.2f}" if abs(value) <= 1.5 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"
