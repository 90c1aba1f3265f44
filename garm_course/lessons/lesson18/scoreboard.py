"""A table of numbers as a picture, each cell shaded by its place in the column; used for metrics and correlations."""

import numpy as np

from garm_course.show.figures import LABEL, SMALL, TITLE, WIDTH, new_figure, show_figure, style, text_width, wrap


def scoreboard(rows, columns, texts, shades, *, alt, title, rule=None):
    """Show a table whose cells are shaded: the darker, the higher its shade.

    Args:
        rows: names of the rows.
        columns: names of the columns.
        texts: a list of strings for each row, one a column.
        shades: numbers (rows, columns) in [0, 1], NaN for a white cell.
        alt: alternative text, also the caption.
        title: the finding.
        rule: index of a row above which a line is drawn, or None.

    Raises:
        ValueError: for texts or shades that do not fit the names.
    """
    show_figure(scoreboard_figure(rows, columns, texts, shades, title=title, rule=rule), alt)


def scoreboard_figure(rows, columns, texts, shades, *, title, rule=None):
    """The figure that `scoreboard` shows."""
    shades = np.asarray(shades, dtype=float)
    if shades.shape != (len(rows), len(columns)) or [len(row) for row in texts] != [len(columns)] * len(rows):
        raise ValueError(f"expected texts and shades of {len(rows)} rows and {len(columns)} columns")
    left = 0.25 + max(text_width(row, LABEL) for row in rows)
    cell = (WIDTH - left - 0.1) / len(columns)
    heads = [wrap(column, cell - 0.08, SMALL, "bold") for column in columns]
    title = wrap(title, WIDTH - 0.2, TITLE, "bold")
    row = 0.27
    top = 0.14 + 0.22 * (title.count("\n") + 1) + 0.17 * (max(h.count("\n") for h in heads) + 1) + 0.12
    height = top + row * len(rows) + 0.08
    with style():
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, WIDTH), ylim=(height, 0))
        ax.axis("off")
        for k, head in enumerate(heads):
            ax.text(left + (k + 0.5) * cell, top - 0.07, head, fontsize=SMALL, fontweight="bold", ha="center",
                    va="bottom", linespacing=1.15)  # fmt: skip
        for r, name in enumerate(rows):
            y = top + r * row
            ax.text(left - 0.12, y + row / 2, name, fontsize=LABEL, ha="right", va="center")
            for k, text in enumerate(texts[r]):
                x = left + k * cell
                shade = shades[r, k]
                if not np.isnan(shade):
                    ax.fill_between([x + 0.02, x + cell - 0.02], y + 0.02, y + row - 0.02, color=_tint(shade), lw=0)
                ax.text(x + cell / 2, y + row / 2, text, fontsize=SMALL, ha="center", va="center",
                        color="white" if shade > 0.75 else "black")  # fmt: skip
        if rule is not None:
            ax.plot([0.1, WIDTH - 0.1], [top + rule * row] * 2, color="black", linewidth=0.8)
    return fig


def _tint(shade):
    """From nearly white to the palette's blue."""
    light, dark = np.array([0.95, 0.97, 0.99]), np.array([0.0, 0.447, 0.698])
    return tuple(light + (dark - light) * float(np.clip(shade, 0, 1)))
