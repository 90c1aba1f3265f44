"""Points in the plane: samples of a model or of several, before the density that they should have come from."""

import math
from collections.abc import Mapping

import numpy as np

from garm_course.show.figures import (
    DPI,
    LABEL,
    MUTED,
    SMALL,
    TITLE,
    WIDTH,
    fitting_width,
    new_figure,
    palette,
    show_figure,
    style,
    text_width,
    wrap,
)

SHARES = {0.5: 0.65, 0.9: 0.4, 0.99: 0.2}  # of the probability, and how strong the tint is of the area that holds it
RING = "center of a mode"
AREAS = "areas that hold 50, 90, 99 % of the probability"


def points(
    samples,
    *,
    alt,
    density=None,
    modes=None,
    title=None,
    limits=None,
    xlabel="$x_1$",
    ylabel="$x_2$",
    display_id=None,
):
    """Show points in the plane, in one panel or in several with the same limits and one scale for all axes.

    How many points lie outside of the limits stands above their panel. Five panels and more take several rows.

    Args:
        samples: finite numbers (N, 2), or a mapping from the title of a panel to its own (N, 2).
        alt: alternative text, also the caption.
        density: function from a float32 tensor (M, 2) to log-densities (M,) in nats, -inf where there is nothing; it
            is asked at every dot of a panel. Shaded are the smallest areas that hold 50, 90 and 99 % of the probability
            inside the limits, so it need not be normalized.
        modes: centers (K, 2), drawn as rings of one size, which says nothing about the width of a mode.
        title: the finding, above the panels.
        limits: (low, high) of both axes; None for the smallest square that holds all points and modes, and a margin.
        xlabel: what is on the axes, with units if there are any.
        ylabel: what is on the axes, with units if there are any.

    Raises:
        ValueError: for samples, modes, limits or log-densities of another shape or that are NaN, without samples, and
            without alternative text.
    """
    fig = points_figure(samples, density=density, modes=modes, title=title, limits=limits, xlabel=xlabel, ylabel=ylabel)
    show_figure(fig, alt, display_id=display_id)


def points_figure(samples, *, density=None, modes=None, title=None, limits=None, xlabel="$x_1$", ylabel="$x_2$"):
    """The figure that `points` shows; arguments as there."""
    samples = samples if isinstance(samples, Mapping) else {"": samples}
    samples = {name: _check(x, f"samples for {name!r}" if name else "samples") for name, x in samples.items()}
    if not samples:
        raise ValueError("expected at least one panel of samples, got none; pass {title: samples}")
    modes = None if modes is None else _check(modes, "modes")
    corner, side = _square([*samples.values(), *([] if modes is None else [modes])], limits)
    ticks = [_ticks(low, side) for low in corner]

    n = len(samples)
    rows = -(-n // 4)
    cols = -(-n // rows)
    items = [RING] * (modes is not None) + [AREAS] * (density is not None)
    # One panel has room for its key at the right; the key of several stands under them in one row.
    beside = 2.0 if items and n == 1 else 0.0
    left, between = 0.5 + max(text_width(label, SMALL) for label in ticks[1][1]), 0.2
    dots = int(min((WIDTH - left - 0.12 - between * (cols - 1)) / cols, 3.6) * DPI)  # of a panel, in both directions
    panel = dots / DPI
    content = left + cols * panel + (cols - 1) * between + 0.12 + beside
    total = fitting_width(max(content, _key_width(items) if n > 1 else 0.0), title)
    title = wrap(title, total - 0.2, TITLE, "bold") if title else ""
    names = [wrap(name, panel, LABEL, "bold") if name else "" for name in samples]
    notes = [wrap(_outside(x, corner, side), panel, SMALL) for x in samples.values()]
    note_height = 0.17 * max(s.count("\n") + 1 if s else 0 for s in notes)
    head = 0.2 * max(s.count("\n") + 1 if s else 0 for s in names) + note_height + 0.08
    top = 0.12 + 0.24 * (title.count("\n") + 1) * bool(title)
    row_height = head + panel + 0.28  # with the numbers under it
    under = 0.25 + 0.32 * (bool(items) and n > 1)  # the name of the axis, and the key
    height = top + rows * row_height + under

    areas = None if density is None else _areas(density, corner, side, dots)
    most = max(len(x) for x in samples.values())
    crowd = min(1.0, 100 / most)
    look = {"s": 15 * crowd**0.4 * panel / 3.6, "alpha": 0.8 * crowd**0.1, "color": palette["blue"], "linewidths": 0}
    with style():
        fig = new_figure(total, height)
        if title:
            fig.text(0.1 / total, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        for k, (x, name, note) in enumerate(zip(samples.values(), names, notes, strict=True)):
            r, c = divmod(k, cols)
            across, up = left + c * (panel + between), height - top - r * row_height - head - panel
            ax = fig.add_axes((across / total, up / height, panel / total, panel / height))
            if areas is not None:
                extent = (corner[0], corner[0] + side, corner[1], corner[1] + side)
                ax.imshow(_tint(areas), extent=extent, aspect="auto", zorder=0)
            # Snapped to whole dots all points look alike, which halves the file.
            ax.scatter(*x.T, snap=True, zorder=2, **look)
            if modes is not None:
                _rings(ax, *modes.T)
            ax.set(xlim=(corner[0], corner[0] + side), ylim=(corner[1], corner[1] + side))
            ax.set_xticks(*ticks[0])
            ax.set_yticks(ticks[1][0], ticks[1][1] if c == 0 else [""] * len(ticks[1][0]))
            ax.spines[:].set(visible=True, color=MUTED, linewidth=0.8)
            words = up + panel + 0.06 + note_height
            fig.text(across / total, words / height, name, fontsize=LABEL, fontweight="bold", va="bottom")
            fig.text(across / total, words / height, note, fontsize=SMALL, va="top", linespacing=1.2)
        middle = left + (cols * panel + (cols - 1) * between) / 2
        fig.text(middle / total, (under - 0.2) / height, xlabel, fontsize=LABEL, ha="center", va="bottom")
        middle = under + (rows * row_height - head + 0.28) / 2
        fig.text(0.12 / total, middle / height, ylabel, fontsize=LABEL, va="center", rotation=90)
        if n == 1:
            _key(fig, items, content - beside + 0.1, height - top - head - 0.12, down=True)
        else:
            _key(fig, items, 0.12, 0.18)
    return fig


def _check(x, what):
    x = np.asarray(x.detach().cpu().float() if hasattr(x, "detach") else x).astype(float)
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise ValueError(f"expected {what} of shape (N, 2), N at least 1, got {x.shape}; choose two columns to draw")
    if not np.isfinite(x).all():
        raise ValueError(f"expected finite {what}, got NaN or infinity; find the step at which the model diverged")
    return x


def _square(clouds, limits):
    """Lower left corner and side of the square that is drawn."""
    if limits is not None:
        if np.shape(limits) != (2,) or not np.isfinite(limits).all() or not limits[0] < limits[1]:
            raise ValueError(f"expected limits (low, high) of both axes, low < high, got {limits}; or leave them out")
        return (float(limits[0]), float(limits[0])), float(limits[1] - limits[0])
    low, high = np.min([x.min(0) for x in clouds], 0), np.max([x.max(0) for x in clouds], 0)
    side = 1.12 * float((high - low).max()) or 1.0
    return tuple((low + high) / 2 - side / 2), side


def _ticks(low, side):
    """Places of the ticks from `low` to `low + side` and their labels: at most six, 1, 2 or 5 times 10^k apart."""
    powers = 10.0 ** np.arange(math.floor(math.log10(side)) - 1, math.floor(math.log10(side)) + 1)
    step = next(s for s in np.outer(powers, (1, 2, 5)).ravel() if side / s <= 5)
    places = step * np.arange(math.ceil(low / step - 1e-9), math.floor((low + side) / step + 1e-9) + 1)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return places, [f"{place:.{decimals}f}".replace("-", "−") for place in places + 0.0]


def _outside(x, corner, side):
    count = int(((x < corner) | (x > np.array(corner) + side)).any(1).sum())
    return f"{count:,} of {len(x):,} outside" if count else ""


def _areas(density, corner, side, dots):
    """How many of the shares each dot belongs to, int (dots, dots), first row at the top.

    A share is the set of the densest dots that hold it together: the highest-density region.
    """
    import torch

    places = (np.arange(dots) + 0.5) / dots * side
    xs, ys = np.meshgrid(corner[0] + places, corner[1] + places[::-1])
    grid = torch.tensor(np.stack([xs.ravel(), ys.ravel()], 1), dtype=torch.float32)
    parts = []
    with torch.no_grad():
        for some in grid.split(2**16):
            found = density(some)
            if np.shape(found) != (len(some),):
                raise ValueError(f"expected log-densities ({len(some)},) for {len(some)} points, got {np.shape(found)}")
            parts.append(torch.as_tensor(found).double().cpu())
    log_p = torch.cat(parts).numpy()
    if np.isnan(log_p).any() or not np.isfinite(log_p.max()):
        got = "NaN" if np.isnan(log_p).any() else f"{log_p.max()} as the largest"
        raise ValueError(f"expected finite log-densities inside the limits (or -inf outside of the support), got {got}")
    falling = -np.sort(-log_p)
    held = np.exp(falling - falling[0]).cumsum()
    levels = [falling[np.searchsorted(held, share * held[-1])] for share in SHARES]
    return sum((log_p >= level).astype(int) for level in levels).reshape(dots, dots)


def _tint(areas):
    """RGB values 0..1 of counted areas: white paper, darker where the density is higher."""
    from matplotlib.colors import to_rgb

    strengths = np.array([0.0, *sorted(SHARES.values())])
    return 1 - strengths[areas][..., None] * (1 - np.array(to_rgb(palette["orange"])))


def _rings(ax, xs, ys):
    ax.plot(xs, ys, marker="o", ms=11, mfc="none", mec="black", mew=1.2, ls="", zorder=3)


def _key_width(items):
    return sum(_swatch(item) + text_width(item, SMALL) + 0.4 for item in items)


def _swatch(item):
    return 0.18 * (len(SHARES) if item == AREAS else 1)


def _key(fig, items, left, middle, down=False):
    """The key in one row, or down a column of two inches; `middle` is the height of its first line."""
    total, height = fig.get_size_inches()
    for item in items:
        wide = _swatch(item)
        ax = fig.add_axes((left / total, (middle - 0.09) / height, wide / total, 0.18 / height))
        if item == AREAS:
            ax.imshow(_tint(np.arange(len(SHARES), 0, -1)[None]), extent=(0, 1, 0, 1), aspect="auto")
        else:
            _rings(ax, [0.5], [0.5])
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.axis("off")
        words = wrap(item, 1.75 - wide, SMALL) if down else item
        options = {"fontsize": SMALL, "va": "top", "linespacing": 1.25}
        fig.text((left + wide + 0.08) / total, (middle + 0.08) / height, words, **options)
        if down:
            middle -= 0.18 * (words.count("\n") + 1) + 0.12
        else:
            left += wide + text_width(item, SMALL) + 0.4
