"""What a pixel's prediction depends on: receptive fields with blind spot and leaks, and the masks that make them."""

import numpy as np

from garm_course.show.figures import (
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

# What a pixel can be to the target. Each state has a color, and a mark that is read without color.
STATES = {
    "target": "predicted now",
    "self": "sees itself",
    "seen": "past, seen",
    "blind": "past, blind",
    "leaked": "future, leaked",
    "future": "future, unseen",
}


def field(support, position, *, alt, title=None, channel=0, display_id=None):
    """Show which pixels the prediction of one pixel depends on; see `fields`."""
    fields({"": support}, position, alt=alt, title=title, channel=channel, display_id=display_id)


def fields(supports, position, *, alt, title=None, channel=0, display_id=None):
    """Show receptive fields side by side, with the pixels counted that are seen, blind or leaked.

    Args:
        supports: mapping from a title to what the prediction at `position` depends on: (H, W) or (C, H, W), bool or the
            size of a gradient. Anything but 0 is a dependence; sizes are shown as darker and lighter blue.
        position: (row, column) of the pixel that is predicted, the one marked "?".
        title: the finding.
        alt: alternative text, also the caption.
        channel: of a color image, the channel that is predicted: at the target itself the earlier channels are past.
    """
    show_figure(fields_figure(supports, position, title=title, channel=channel), alt, display_id=display_id)


def states(support, position, channel=0):
    """Sort the pixels of an image by what the prediction at `position` makes of them.

    Returns:
        A dict of bool arrays (H, W): seen, blind, leaked, future (every pixel but the target is in exactly one), and
        "self", True at the target if its own value leaks into its prediction.
    """
    size = np.abs(np.asarray(support.detach().cpu() if hasattr(support, "detach") else support).astype(float))
    if size.ndim not in (2, 3) or size.size == 0 or not np.isfinite(size).all():
        raise ValueError(f"expected a finite receptive field of shape (H, W) or (C, H, W), got shape {size.shape}")
    planes = size[None] if size.ndim == 2 else size
    height, width = planes.shape[1:]
    r, c = position
    if not (0 <= r < height and 0 <= c < width):
        raise ValueError(f"expected a position inside {height} x {width}, got ({r}, {c}); rows and columns start at 0")
    touched = planes.sum(0) > 0
    order = np.arange(height * width).reshape(height, width)
    past, future = order < order[r, c], order > order[r, c]
    own = np.zeros_like(past)
    own[r, c] = (planes[channel if size.ndim == 3 else 0 :, r, c] > 0).any()
    return {
        "seen": past & touched,
        "blind": past & ~touched,
        "leaked": future & touched,
        "future": future & ~touched,
        "self": own,
    }


def fields_figure(supports, position, *, title=None, channel=0):
    """The figure that `fields` shows; arguments as there."""
    supports = dict(supports)
    if not supports:
        raise ValueError("expected at least one receptive field, got none")
    n, gap = len(supports), 0.35
    panel = min((WIDTH - 0.3 - gap * (n - 1)) / n, 2.9)
    found = [states(support, position, channel) for support in supports.values()]
    present = {"target"} | {s for one in found for s, where in one.items() if where.any()}
    # One field has room for its key at the right; the key of several stands under them in one row.
    total = fitting_width(max(n * panel + gap * (n - 1) + 0.3, _key_width(present)) if n > 1 else panel + 2.2, title)
    title = wrap(title, total - 0.2, TITLE, "bold") if title else ""
    counts = [_counted(one, panel) for one in found]
    heads = [wrap(name, panel, LABEL, "bold") if name else "" for name in supports]
    head = 0.12 + 0.235 * (title.count("\n") + 1) * bool(title)
    name_lines = max(s.count("\n") + 1 if s else 0 for s in heads)
    shapes = [np.shape(s)[-2:] for s in supports.values()]
    tallest = max(h / w for h, w in shapes) * panel
    height = head + 0.21 * name_lines + 0.12 + tallest + 0.14 + 0.18 * max(s.count("\n") + 1 for s in counts)
    height += 0.36 if n > 1 else 0.0
    with style():
        fig = new_figure(total, height)
        if title:
            fig.text(0.1 / total, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        left = 0.12
        for name, support, shape, one, count in zip(heads, supports.values(), shapes, found, counts, strict=True):
            tall = shape[0] / shape[1] * panel
            bottom = height - head - 0.21 * name_lines - 0.12 - tall
            ax = fig.add_axes((left / total, bottom / height, panel / total, tall / height))
            _draw_field(ax, support, one, position)
            if name:
                up = bottom + tall + 0.06
                fig.text(left / total, up / height, name, fontsize=LABEL, fontweight="bold", va="bottom")
            fig.text(left / total, (bottom - 0.06) / height, count, fontsize=SMALL, va="top", linespacing=1.25)
            left += panel + gap
        if n == 1:
            _field_key(fig, present, 0.12 + panel + 0.3, height - head - 0.21 * name_lines - 0.34, down=True)
        else:
            _field_key(fig, present, 0.12, 0.10)
    return fig


def _counted(found, inches):
    seen, blind, leaked = (int(found[state].sum()) for state in ("seen", "blind", "leaked"))
    rest = [f"{count} {word}" for count, word in ((blind, "blind"), (leaked, "leaked")) if count]
    rest += ["sees itself"] if found["self"].any() else []
    words, rest = f"{seen} of {seen + blind} past pixels seen", ", ".join(rest)
    one_line = f"{words}, {rest}" if rest else words
    return one_line if text_width(one_line, SMALL) <= inches else f"{words},\n{rest}"


def _draw_field(ax, support, found, position):
    size = np.abs(np.asarray(support.detach().cpu() if hasattr(support, "detach") else support).astype(float))
    size = size if size.ndim == 2 else size.sum(0)
    height, width = size.shape
    positive = size[found["seen"]]
    span = np.log(positive.max() / positive.min()) if len(positive) else 0.0
    for r in range(height):
        for c in range(width):
            if (r, c) == tuple(position):
                _cell(ax, r, c, "self" if found["self"][r, c] else "target")
                continue
            state = next(s for s in ("seen", "blind", "leaked", "future") if found[s][r, c])
            strength = 1.0 if span < 1e-9 or state != "seen" else np.log(size[r, c] / positive.min()) / span
            _cell(ax, r, c, state, 0.30 + 0.70 * strength)
    r, c = position
    points = ax.get_position().width * ax.figure.get_size_inches()[0] * 72 / width  # of one pixel
    if not found["self"][r, c]:
        ax.text(c, r, "?", color="white", ha="center", va="center", fontweight="bold", fontsize=min(0.7 * points, 16))
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=MUTED, linewidth=0.8)


def _cell(ax, r, c, state, strength=1.0):
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    box = Rectangle((c - 0.5, r - 0.5), 1, 1, linewidth=0.8, edgecolor="white")
    if state == "seen":
        box.set_facecolor(1 - strength * (1 - np.array(to_rgb(palette["blue"]))) * 0.85)
    elif state == "blind":
        box.set(facecolor="#FBE3D3", edgecolor=palette["vermillion"], hatch="/////", linewidth=1.0, zorder=2)
    elif state in ("leaked", "self"):
        face, cross = (palette["yellow"], "black") if state == "leaked" else ("black", palette["yellow"])
        box.set(facecolor=face, edgecolor="black", linewidth=1.2, zorder=3)
        for slope in (1, -1):
            xs, ys = [c - 0.28, c + 0.28], [r - 0.28 * slope, r + 0.28 * slope]
            ax.plot(xs, ys, color=cross, lw=1.8, ls="-", zorder=4, solid_capstyle="round")
    elif state == "future":
        box.set_facecolor("#ECECEC")
    else:
        box.set(facecolor="black", zorder=3)
    ax.add_patch(box)


def _key_width(present):
    return sum(text_width(STATES[state], SMALL) + 0.38 for state in present)


def _field_key(fig, present, left, bottom, down=False):
    total, height = fig.get_size_inches()
    for state, words in STATES.items():
        if state not in present:
            continue
        ax = fig.add_axes((left / total, bottom / height, 0.18 / total, 0.18 / height))
        _cell(ax, 0, 0, state)
        if state == "target":
            ax.text(0, 0, "?", color="white", ha="center", va="center", fontweight="bold", fontsize=8)
        ax.set(xlim=(-0.52, 0.52), ylim=(0.52, -0.52))
        ax.axis("off")
        fig.text((left + 0.25) / total, (bottom + 0.085) / height, words, fontsize=SMALL, va="center")
        if down:
            bottom -= 0.29
        else:
            left += text_width(words, SMALL) + 0.38


def masks(masks, *, alt, title=None, rows=None, cols=None, center=None, display_id=None):
    """Show masks of convolutions as tables of 0 and 1, side by side.

    Args:
        masks: mapping from a title to a mask (rows, columns) of 0 and 1.
        title: the finding.
        alt: alternative text, also the caption.
        rows: names of the rows, for instance "RGB" for a mask over channels.
        cols: names of the columns.
        center: outline the middle cell; by default if the mask is an odd square without names.
    """
    show_figure(masks_figure(masks, title=title, rows=rows, cols=cols, center=center), alt, display_id=display_id)


def masks_figure(masks, *, title=None, rows=None, cols=None, center=None):
    """The figure that `masks` shows; arguments as there."""
    from matplotlib.patches import Rectangle

    tables = {k: np.asarray(m.detach().cpu() if hasattr(m, "detach") else m).astype(float) for k, m in masks.items()}
    for name, m in tables.items():
        if m.ndim != 2 or not np.isin(m, (0, 1)).all():
            raise ValueError(f"expected a mask (rows, columns) of 0 and 1 for {name!r}, got shape {m.shape}")
    between = 0.45 + 0.1 * bool(rows)
    widest, tallest = sum(m.shape[1] for m in tables.values()), max(m.shape[0] for m in tables.values())
    cell = min(0.34, (WIDTH - 0.4 - between * (len(tables) - 1)) / widest)
    heads = [wrap(name, max(m.shape[1] * cell + between - 0.1, 1.0), LABEL) for name, m in tables.items()]
    total = fitting_width(max(widest * cell + between * (len(tables) - 1) + 0.4 + 0.2 * bool(rows), 3.0), title)
    title = wrap(title, total - 0.2, TITLE, "bold") if title else ""
    head = 0.14 + 0.235 * (title.count("\n") + 1) * bool(title)
    head += 0.21 * max(s.count("\n") + 1 if s else 0 for s in heads) + 0.08 + 0.2 * bool(cols)
    height = head + tallest * cell + 0.12
    with style():
        fig = new_figure(total, height)
        if title:
            fig.text(0.1 / total, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        left = 0.12 + 0.2 * bool(rows)
        for name, m in zip(heads, tables.values(), strict=True):
            h, w = m.shape
            size = (left / total, (height - head - h * cell) / height, w * cell / total, h * cell / height)
            ax = fig.add_axes(size)
            for (r, c), value in np.ndenumerate(m):
                on = bool(value)
                face = palette["blue"] if on else "white"
                ax.add_patch(Rectangle((c - 0.5, r - 0.5), 1, 1, facecolor=face, edgecolor="#BFBFBF", linewidth=0.8))
                color, weight = ("white", "bold") if on else (MUTED, "normal")
                points = min(LABEL, cell * 72 * 0.5)
                ax.text(
                    c, r, f"{value:.0f}", color=color, weight=weight, ha="center", va="center_baseline", size=points
                )
            odd_square = h == w and h % 2 == 1 and not (rows or cols)
            if center if center is not None else odd_square:
                middle = Rectangle((w // 2 - 0.5, h // 2 - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=2.4)
                ax.add_patch(middle)
                middle.set_clip_on(False)
            ax.set(xlim=(-0.52, w - 0.48), ylim=(h - 0.48, -0.52))
            ax.axis("off")
            for r, label in enumerate((rows or [])[:h]):
                ax.text(-0.62, r, label, ha="right", va="center_baseline", fontsize=SMALL)
            for c, label in enumerate((cols or [])[:w]):
                ax.text(c, -0.62, label, ha="center", va="bottom", fontsize=SMALL)
            up = height - head + 0.05 + 0.2 * bool(cols)
            fig.text(left / total, up / height, name, fontsize=LABEL, va="bottom")
            left += w * cell + between
    return fig
