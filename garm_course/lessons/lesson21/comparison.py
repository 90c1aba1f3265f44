"""Models as points between two measurements, with the front; and differences with paired and unpaired intervals."""

from garm_course.show.figures import (
    LABEL,
    MUTED,
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

FAMILIES = {"autoregressive": ("o", "blue"), "vae": ("s", "vermillion"), "gan": ("^", "green")}
WORDS = {"autoregressive": "autoregressive", "vae": "VAE", "gan": "GAN"}


def show_points(panels, families, *, title, alt, bounds=(), logarithmic=True):
    """Show models between two measurements, smaller is better on both axes.

    Args:
        panels: list of (label of x, label of y, {name: (x, y)}, names on the front or None).
        families: name -> "autoregressive", "vae" or "gan".
        title: the finding.
        alt: alternative text, also the caption.
        bounds: names whose first panel's y is an upper bound: an arrow points to where the truth may be.
        logarithmic: whether the axis of x is.
    """
    show_figure(points_figure(panels, families, title, bounds, logarithmic), alt)


def points_figure(panels, families, title, bounds=(), logarithmic=True):
    """The figure that `show_points` shows; arguments as there."""
    from matplotlib.lines import Line2D

    with style():
        title = wrap(title, WIDTH - 0.3, TITLE, "bold")
        head = 0.4 + 0.24 * title.count("\n")
        n, tall = len(panels), 3.3
        height = tall + head + 0.95
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        wide = (WIDTH - 0.15 - 0.65 * n) / n
        for k, (xlabel, ylabel, points, front) in enumerate(panels):
            left = 0.6 + k * (wide + 0.65)
            ax = fig.add_axes((left / WIDTH, 0.95 / height, wide / WIDTH, tall / height))
            xs, ys = zip(*points.values(), strict=True)
            if front is not None:
                steps = sorted(points[name] for name in front)
                ax.step(*zip(*steps, strict=True), where="post", color=MUTED, lw=1.2, ls=(0, (4, 2)), zorder=1)
            if logarithmic:
                ax.set_xscale("log")
                ax.set_xlim(min(xs) / 2.2, max(xs) * 2.2)
            else:
                ax.set_xlim(min(xs) - 0.08 * (max(xs) - min(xs)), max(xs) + 0.12 * (max(xs) - min(xs)))
            span = max(ys) - min(ys)
            ax.set_ylim(min(ys) - 0.12 * span, max(ys) + 0.1 * span)
            _draw(ax, points, families, front, bounds if k == 0 else ())
            ax.set_xlabel(xlabel, fontsize=LABEL)
            ax.set_ylabel(ylabel, fontsize=LABEL)
        x = 0.6
        for kind in dict.fromkeys(families[name] for _, _, points, _ in panels for name in points):
            marker, color = FAMILIES[kind]
            fig.add_artist(Line2D([x / WIDTH], [0.2 / height], marker=marker, ms=7, mfc=palette[color], mec="white",
                                  ls="", transform=fig.transFigure))  # fmt: skip
            fig.text((x + 0.12) / WIDTH, 0.2 / height, WORDS[kind], fontsize=SMALL, va="center")
            x += text_width(WORDS[kind], SMALL) + 0.45
        if any(front is not None for *_, front in panels):
            fig.text(x / WIDTH, 0.2 / height, "dashed: nobody is better on both axes", fontsize=SMALL, va="center")
    return fig


def _draw(ax, points, families, front, bounds):
    """Markers, arrows of bounds, and names that cover neither a marker nor each other."""
    wide, tall = ax.get_position().size * ax.figure.get_size_inches()

    def inches(x, y):
        return (ax.transAxes.inverted().transform(ax.transData.transform((x, y))) * (wide, tall)).tolist()

    at = {name: inches(*point) for name, point in points.items()}
    taken = [(x - 0.07, x + 0.07, y - 0.07, y + 0.07) for x, y in at.values()]
    for name, (x, y) in at.items():
        marker, color = FAMILIES[families[name]]
        bold = front is not None and name in front
        place = {"xycoords": "data", "textcoords": "offset points"}
        ax.plot(*points[name], marker=marker, ms=8, color=palette[color], mec="white", mew=0.8, ls="", zorder=3)
        if name in bounds:
            arrow = {"arrowstyle": "->", "color": palette[color], "lw": 1.2}
            ax.annotate("", points[name], xytext=(0, -24), arrowprops={**arrow, "arrowstyle": "<-"}, **place)
            taken.append((x - 0.04, x + 0.04, y - 0.35, y))
        half, length = 0.075, text_width(name, SMALL, "bold" if bold else "normal")
        dx, dy = next(
            (dx, dy)
            for dy in (0, 0.14, -0.14, 0.2, -0.2, 0.3, -0.3, 0.4, -0.4, 0.5, -0.5, 0.6, -0.6)
            for dx in (0.12, -0.12 - length, -length / 2)
            if (abs(dy) > 0.1 or dx != -length / 2) and _free(x + dx, x + dx + length, y + dy - half, y + dy + half,
                                                             taken, wide)
        )  # fmt: skip
        taken.append((x + dx, x + dx + length, y + dy - half, y + dy + half))
        ax.annotate(name, points[name], xytext=(72 * dx, 72 * dy), fontsize=SMALL, va="center", zorder=4,
                    fontweight="bold" if bold else "normal", color=readable(palette[color]), **place,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85})  # fmt: skip


def _free(left, right, low, high, taken, wide):
    """Whether a rectangle is inside of the axes and covers no other."""
    inside = left >= 0 and right <= wide + 0.1
    return inside and all(right < a or left > b or high < c or low > d for a, b, c, d in taken)


def show_intervals(rows, *, xlabel, title, alt):
    """Show a difference with its paired interval and, below it, the interval without the pairing.

    Args:
        rows: name -> (paired (low, high), unpaired (low, high)).
        xlabel: what the difference is, with its unit.
        title: the finding.
        alt: alternative text, also the caption.
    """
    show_figure(intervals_figure(rows, xlabel, title), alt)


def intervals_figure(rows, xlabel, title):
    """The figure that `show_intervals` shows; arguments as there."""
    with style():
        title = wrap(title, WIDTH - 0.3, TITLE, "bold")
        head, tall = 0.4 + 0.24 * title.count("\n"), 0.46 * len(rows)
        height = head + tall + 0.95
        left = 0.3 + max(text_width(name, LABEL) for name in rows)
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((left / WIDTH, 0.95 / height, 1 - (left + 0.2) / WIDTH, tall / height))
        for k, pair in enumerate(rows.values()):
            for (low, high), shift, color, wide in zip(pair, (-0.14, 0.14), ("blue", "vermillion"), (4, 1.6),
                                                       strict=True):  # fmt: skip
                ax.plot([low, high], [k + shift] * 2, color=palette[color], lw=wide, ls="-", solid_capstyle="butt")
        ax.axvline(0, color=MUTED, lw=1.0, ls="-", zorder=0)
        ax.set(ylim=(len(rows) - 0.5, -0.5))
        ax.set_yticks(range(len(rows)), list(rows), fontsize=LABEL)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(xlabel, fontsize=LABEL)
        x = left
        for words, color in (("paired (thick)", "blue"), ("unpaired (thin)", "vermillion")):
            fig.text(x / WIDTH, 0.15 / height, words, fontsize=SMALL, fontweight="bold", va="center",
                     color=readable(palette[color]))  # fmt: skip
            x += text_width(words, SMALL, "bold") + 0.4
    return fig
