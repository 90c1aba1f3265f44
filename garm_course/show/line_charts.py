"""Learning curves between the baselines that a model must beat and the floor that none can pass."""

import numpy as np

from garm_course.show.figures import (
    LINE_COLORS,
    LINE_STYLES,
    MARKERS,
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

NOISY = 150  # a curve with more points is drawn as a running mean over a pale line of what was measured


def curves(
    series,
    *,
    alt,
    baselines=None,
    floors=None,
    title=None,
    xlabel="training step",
    ylabel="nats per image",
    ylim=None,
    display_id=None,
):
    """Show learning curves, every line named at its end.

    A curve of more than 150 points is drawn twice: what was measured in pale, its running mean in full.

    Args:
        series: mapping from name to a tuple (steps, values) of sequences, or to a list of pairs [(step, value), ...].
        baselines: mapping from name to the value of a model that knows nothing of this, drawn as dashed lines.
        floors: mapping from name to the value below which no model can be (the entropy of the data), hatched beneath.
        title: the finding.
        xlabel: what is on the axes, with units.
        ylabel: what is on the axes, with units.
        alt: alternative text, also the caption.
        ylim: range of the vertical axis, chosen by itself from the levels that matter if it is None.
    """
    fig = curves_figure(
        series, baselines=baselines, floors=floors, title=title, xlabel=xlabel, ylabel=ylabel, ylim=ylim
    )
    show_figure(fig, alt, display_id=display_id)


def curves_figure(
    series, *, baselines=None, floors=None, title=None, xlabel="training step", ylabel="nats per image", ylim=None
):
    """The figure that `curves` shows; arguments as there."""
    series = {name: _points(name, points) for name, points in dict(series).items()}
    if not series:
        raise ValueError("expected at least one curve, got none")
    baselines, floors = dict(baselines or {}), dict(floors or {})
    low, high = ylim or _range(series, baselines, floors)
    with style():
        shown = {k: _running_mean(*points) if len(points[0]) > NOISY else points for k, points in series.items()}
        ends = {name: values[-1] for name, (_, values) in shown.items()} | baselines | floors
        label_width = max(text_width(_named(name, value), SMALL, "bold") for name, value in ends.items())
        title = wrap(title, WIDTH - 0.3, TITLE, "bold") if title else ""
        head = 0.15 + 0.24 * (title.count("\n") + 1) * bool(title)
        height = 3.3 + head
        fig = new_figure(WIDTH, height)
        left, right = 0.85, label_width + 0.38
        ax = fig.add_axes((left / WIDTH, 0.55 / height, 1 - (left + right) / WIDTH, 1 - (0.55 + head) / height))
        if title:
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        first = min(steps[0] for steps, _ in series.values())
        last = max(steps[-1] for steps, _ in series.values())
        room = 0.012 * max(last - first, 1e-9)  # no marker is cut at an end
        ax.set(xlim=(first - room, last + room), ylim=(low, high), xlabel=xlabel, ylabel=ylabel)
        if all((steps == steps.round()).all() for steps, _ in series.values()):
            ax.locator_params(axis="x", integer=True)  # half a frame is no place on the axis
        labels = []  # (name, value at the end, color, last step)
        for k, (name, (steps, values)) in enumerate(shown.items()):
            color, line = palette[LINE_COLORS[k % len(LINE_COLORS)]], LINE_STYLES[k % len(LINE_STYLES)]
            if values is not series[name][1]:
                ax.plot(*series[name], color=color, lw=0.8, ls="-", alpha=0.25)
            marker = MARKERS[k % len(MARKERS)]
            every = max(1, len(values) // 6)
            marks = list(range(len(values) - 1, -1, -every))
            ax.plot(steps, values, color=color, ls=line, marker=marker, markevery=marks, ms=5, mec="white", mew=0.8)
            labels.append((name, values[-1], color, steps[-1]))
        for name, value in baselines.items():
            ax.axhline(value, color=MUTED, lw=1.3, ls=(0, (4, 3)), zorder=1)
            labels.append((name, value, MUTED, last))
        for name, value in floors.items():
            ax.axhline(value, color="black", lw=1.6, ls="-", zorder=1)
            ax.axhspan(low, value, facecolor="#F2F2F2", edgecolor="#BBBBBB", hatch="////", lw=0, zorder=0)
            labels.append((name, value, "black", last))
        _name_the_ends(ax, labels, low, high, (height - 0.55 - head) * 72)
    return fig


def _name_the_ends(ax, labels, low, high, points_high):
    """Write the names right of the axes, moved apart where they would overlap, each with a thin line to its end."""
    from matplotlib.transforms import blended_transform_factory

    ax_width = ax.get_position().width * WIDTH * 72  # points
    across = blended_transform_factory(ax.transAxes, ax.transData)
    labels = sorted(labels, key=lambda label: label[1])
    wanted = [min(max(y, low), high) for _, y, _, _ in labels]
    line_height = SMALL * 1.3 * (high - low) / points_high
    placed = spread(wanted, line_height, low, high)
    first, last = ax.get_xlim()
    for (name, value, color, end), y, place in zip(labels, wanted, placed, strict=True):
        start = (end - first) / (last - first)
        gap = 18 / ax_width
        ax.plot(
            [start + 4 / ax_width, max(1, start) + 6 / ax_width, 1 + gap - 3 / ax_width],
            [y, y, place],
            transform=across,
            color=color,
            lw=0.9,
            ls="-",
            clip_on=False,
        )
        words = _named(name, value)
        ax.text(1 + gap, place, words, transform=across, fontsize=SMALL, va="center", color=readable(color))


def spread(wanted, distance, low, high):
    """Positions nearest to `wanted` (ascending) that are `distance` apart and lie between `low` and `high` if they fit.

    >>> spread([1.0, 1.1, 5.0], 1.0, 0.0, 6.0)
    [0.55, 1.55, 5.0]
    """
    blocks = []  # [sum of (wanted - offset), members]: the labels of a block touch each other
    for k, y in enumerate(wanted):
        blocks.append([y - k * distance, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, members = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += members
    flat = [total / members for total, members in blocks for _ in range(members)]
    top = high - (len(wanted) - 1) * distance
    return [round(min(max(base, low), max(top, low)) + k * distance, 10) for k, base in enumerate(flat)]


def _named(name, value):
    return f"{name}  {value:.{_decimals(value)}f}"


def _decimals(value):
    size = abs(value)
    return 1 if size >= 10 else 2 if size >= 1 or size == 0 else 3


def _points(name, points):
    pair, points = isinstance(points, tuple), list(points)
    if len(points) == 2 and (pair or np.shape(points[0]) != (2,)):
        steps, values = points
    else:
        steps, values = zip(*points, strict=True) if points else ((), ())
    steps, values = np.asarray(steps, float), np.asarray(values, float)
    if steps.shape != values.shape or steps.ndim != 1 or not len(steps):
        raise ValueError(
            f"expected steps and values of the same length for the curve {name!r}, got {steps.shape} and {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"expected finite values for the curve {name!r}, got NaN or infinity; stop the run that made it"
        )
    return steps, values


def _range(series, baselines, floors):
    """From just below the lowest level to just above the highest baseline: the first steps may leave at the top."""
    levels = [*baselines.values(), *floors.values()]
    lowest = min([values.min() for _, values in series.values()] + levels)
    highest = max([values.max() for _, values in series.values()] + levels)
    late = [values[len(values) // 10 :].max() for _, values in series.values()]
    if baselines:
        highest = min(highest, max(*baselines.values(), *late))
    margin = max(0.06 * (highest - lowest), 1e-3 * max(abs(highest), 1e-3))
    return lowest - margin, highest + margin


def _running_mean(steps, values):
    width = max(5, len(values) // 40)
    kernel = np.ones(width) / width
    return steps[width - 1 :], np.convolve(values, kernel, mode="valid")
