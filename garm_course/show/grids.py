"""Sample grids: images of a model, or of several models side by side in the same layout, so that they compare."""

from collections.abc import Mapping, Sequence

import numpy as np

from garm_course.show.figures import (
    DPI,
    INK,
    LABEL,
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

TINT = np.array([0.80, 0.91, 0.98])  # pale sky behind the pixels that were given
GAP = 5  # dots between two images


def grid(
    images, *, levels, alt, titles=None, rows=None, cols=None, title=None, given_mask=None, ink=None, display_id=None
):
    """Show a grid of images, the first 16 unless `rows` and `cols` say otherwise.

    Args:
        images: whole numbers (N, C, H, W) of levels 0..levels-1, C = 1 or 3.
        levels: number of gray levels.
        alt: alternative text, also the caption.
        titles: one short text above each image.
        rows: how many, or a list of labels, one for each row or column.
        cols: how many, or a list of labels, one for each row or column.
        title: the finding, above the grid.
        given_mask: bool (H, W), (C, H, W) or (N, C, H, W), True where a completion was given the pixel: that part is
            outlined (and tinted, where it is ink on paper), the rest was drawn by the model.
        ink: draw level 0 as white paper (default for one channel) or as black (for photographs).
    """
    fig = panels_figure(
        {"": images},
        levels=levels,
        titles=titles,
        rows=rows,
        cols=cols or (None if rows else 8),
        title=title,
        given_mask=given_mask,
        ink=ink,
    )
    show_figure(fig, alt, display_id=display_id)


def panels(panels, *, levels, alt, rows=None, cols=None, title=None, given_mask=None, ink=None, display_id=None):
    """Show several grids of the same layout side by side, each under its own title: one model each, or data and model.

    Args:
        panels: mapping from the title of a panel to its images, whole numbers (N, C, H, W), or pairs (title, images).
        given_mask: for the panels that are completions: one mask for all panels, or a mapping from title to mask.
        levels: as in `grid`; 4 columns by default.
        alt: as in `grid`; 4 columns by default.
        rows: as in `grid`; 4 columns by default.
        cols: as in `grid`; 4 columns by default.
        title: as in `grid`; 4 columns by default.
        ink: as in `grid`; 4 columns by default.
    """
    fig = panels_figure(panels, levels=levels, rows=rows, cols=cols, title=title, given_mask=given_mask, ink=ink)
    show_figure(fig, alt, display_id=display_id)


def panels_figure(panels, *, levels, titles=None, rows=None, cols=None, title=None, given_mask=None, ink=None):
    """The figure that `grid` and `panels` show; arguments as there."""
    panels = {name: check_images(x, levels) for name, x in dict(panels).items()}
    if not panels:
        raise ValueError("expected at least one panel of images, got none")
    count = min(len(x) for x in panels.values())
    row_labels, col_labels = _labels(rows), _labels(cols)
    n_cols = len(col_labels) if col_labels else (cols or -(-min(16, count) // (rows if isinstance(rows, int) else 4)))
    n_rows = len(row_labels) if row_labels else (rows or -(-min(16, count) // n_cols))
    n_cols = n_cols if row_labels or col_labels else min(n_cols, count)
    masks = given_mask if isinstance(given_mask, Mapping) else dict.fromkeys(panels, given_mask)
    _, _, height, width = next(iter(panels.values())).shape

    # The layout is made in dots, so that every pixel of an image is a square of the same whole number of dots.
    gutter = round(max((text_width(s, SMALL) for s in row_labels), default=0) * DPI) + (15 if row_labels else 0)
    between, free = 40, WIDTH * DPI - gutter - 20
    scale = int(((free - between * (len(panels) - 1)) / len(panels) - GAP) / n_cols - GAP) // width
    # Not larger than 0.75 inches an image, and all rows on one screen.
    scale = max(1, min(scale, 112 // max(height, width), 820 // (n_rows * height)))
    head = 34 if titles is not None else 0  # above every row of images
    panel_w, tile_h = n_cols * (width * scale + GAP) + GAP, height * scale
    panel_h = n_rows * (tile_h + GAP + head) + GAP
    content = gutter + len(panels) * panel_w + (len(panels) - 1) * between + 20
    total_w = round(max(fitting_width(content / DPI, title), 5.0) * DPI)
    line = DPI / 72 * 1.3  # dots per point of text, with the space between lines
    title = wrap(title, total_w / DPI - 0.2, TITLE, "bold") if title else ""
    names = [wrap(name, panel_w / DPI, LABEL) for name in panels] if any(panels) else []
    key = any(mask is not None for mask in masks.values())
    lines_of_names = max((name.count("\n") + 1 for name in names), default=0)
    top = 10 + (title.count("\n") + 1) * TITLE * line * bool(title) + lines_of_names * LABEL * line + 4
    top = round(top + (SMALL * line + 4) * bool(col_labels) + (SMALL * line + 12) * key)
    total_h = round(top + panel_h + 10)
    with style():
        fig = new_figure(total_w / DPI, total_h / DPI)

        def text(x, y, s, **options):  # in dots from the upper left corner
            return fig.text(x / total_w, 1 - y / total_h, s, **options)

        y = 10
        if title:
            text(10, y, title, fontsize=TITLE, fontweight="bold", va="top")
            y += (title.count("\n") + 1) * TITLE * line
        if key:
            _key(
                fig, 10, y + 2, total_w, total_h, tinted=ink is not False and next(iter(panels.values())).shape[1] == 1
            )
        left = gutter + 10
        for index, (name, x) in enumerate(panels.items()):
            if name:
                down = top - 9 - (SMALL * line + 4) * bool(col_labels)
                text(left + GAP - 2, down, names[index], fontsize=LABEL, va="baseline", linespacing=1.2)
            for c, label in enumerate(col_labels):
                middle = left + GAP + c * (width * scale + GAP) + width * scale / 2
                text(middle, top - 4, label, fontsize=SMALL, ha="center", va="bottom")
            ax = fig.add_axes((left / total_w, 1 - (top + panel_h) / total_h, panel_w / total_w, panel_h / total_h))
            sheet, outlines = _sheet(x, levels, n_rows, n_cols, scale, head, masks.get(name), ink)
            ax.imshow(sheet, interpolation="nearest", extent=(0, panel_w, panel_h, 0), aspect="auto")
            ax.plot(*outlines, color=palette["blue"], lw=1.1, ls="-", solid_capstyle="butt")
            ax.set(xlim=(0, panel_w), ylim=(panel_h, 0))
            ax.axis("off")
            for n, caption in enumerate((titles or [])[: min(n_rows * n_cols, len(x))]):
                r, c = divmod(n, n_cols)
                across = GAP + c * (width * scale + GAP) + width * scale / 2
                down = r * (tile_h + GAP + head) + GAP + head - 4
                ax.text(across, down, caption, fontsize=SMALL, ha="center", va="bottom")
            if index == 0:
                for r, label in enumerate(row_labels):
                    middle = top + r * (tile_h + GAP + head) + GAP + head + tile_h / 2
                    text(gutter + 4, middle, label, fontsize=SMALL, ha="right", va="center")
            left += panel_w + between
    return fig


def check_images(images, levels):
    """Images as a numpy array of whole numbers (N, C, H, W), refused with a message if they are anything else."""
    x = np.asarray(images.detach().cpu() if hasattr(images, "detach") else images)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or x.size == 0:
        raise ValueError(
            f"expected images of shape (N, C, H, W), C 1 or 3, N at least 1, got {x.shape}; one image is x[None]"
        )
    if not np.issubdtype(x.dtype, np.integer):
        raise ValueError(f"expected whole gray levels (LongTensor), got {x.dtype}; round and convert with .long()")
    if x.min() < 0 or x.max() >= levels:
        raise ValueError(
            f"expected gray levels 0..{levels - 1}, got {x.min()}..{x.max()}; is levels={levels} the model's?"
        )
    return x


def colors(x, levels, ink=None):
    """RGB values 0..1 of shape (N, H, W, 3) of checked images: dark ink on white paper if there is one channel."""
    shade = x.transpose(0, 2, 3, 1) / (levels - 1)
    if ink or (ink is None and x.shape[1] == 1):
        shade = 1 - shade * 0.9  # the darkest ink is not quite black: outlines stay visible on it
    return np.broadcast_to(shade, (*shade.shape[:3], 3))


def _sheet(x, levels, n_rows, n_cols, scale, head, mask, ink):
    """One picture of all images, and the outlines of the given parts as a pair of coordinate lists in its dots."""
    n, channels, height, width = x.shape
    rgb = colors(x, levels, ink)
    given = np.zeros((n, height, width), bool)
    if mask is not None:
        mask = np.asarray(mask.detach().cpu() if hasattr(mask, "detach") else mask).astype(bool)
        try:
            given[:] = np.broadcast_to(mask, (n, channels, height, width)).all(1)
        except ValueError:
            raise ValueError(
                f"expected given_mask ({height}, {width}) or one that broadcasts to {x.shape}, got {mask.shape}"
            ) from None
        if channels == 1 and ink is not False:
            rgb = np.where(given[..., None], rgb * TINT, rgb)
    step_h, step_w = height * scale + GAP + head, width * scale + GAP
    sheet = np.ones((n_rows * step_h + GAP, n_cols * step_w + GAP, 3))
    xs, ys = [], []
    for k in range(min(n, n_rows * n_cols)):
        r, c = divmod(k, n_cols)
        top, left = r * step_h + head + GAP, c * step_w + GAP
        bottom, right = top + height * scale, left + width * scale
        sheet[top - 2 : bottom + 2, left - 2 : right + 2] = 0.82  # a frame, or white paper would have no edge
        sheet[top:bottom, left:right] = rgb[k].repeat(scale, 0).repeat(scale, 1)
        for x0, y0, x1, y1 in _edges(given[k]):
            xs += [left + x0 * scale, left + x1 * scale, None]
            ys += [top + y0 * scale, top + y1 * scale, None]
    return sheet, (np.array(xs, float), np.array(ys, float))


def _edges(given):
    """Segments (x0, y0, x1, y1) around the region where `given` is True, in pixels."""
    padded = np.pad(given, 1).astype(int)
    across, down = np.diff(padded, axis=0)[:, 1:-1], np.diff(padded, axis=1)[1:-1]
    return [(c, r, c + 1, r) for r, c in np.argwhere(across)] + [(c, r, c, r + 1) for r, c in np.argwhere(down)]


def _key(fig, left, top, total_w, total_h, tinted):
    from matplotlib.patches import Rectangle

    size = 22
    box = Rectangle((left / total_w, 1 - (top + size) / total_h), size / total_w, size / total_h)
    box.set(facecolor=TINT if tinted else "white", edgecolor=palette["blue"], linewidth=1.1, transform=fig.transFigure)
    fig.add_artist(box)
    words = f"{'outlined and tinted' if tinted else 'outlined'}: the part that was given"
    fig.text(
        (left + size + 10) / total_w, 1 - (top + size / 2) / total_h, words, fontsize=SMALL, va="center", color=INK
    )


def _labels(rows):
    return [str(label) for label in rows] if isinstance(rows, Sequence) and not isinstance(rows, str) else []
