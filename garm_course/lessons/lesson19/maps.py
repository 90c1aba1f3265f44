"""Images beside maps of numbers, one number for each pixel: what a model was surprised by."""

from garm_course.show.figures import (
    FAINT,
    SMALL,
    TITLE,
    WIDTH,
    as_array,
    new_figure,
    show_figure,
    style,
    text_width,
    wrap,
)
from garm_course.show.grids import colors


def maps(images, values, *, levels, alt, title, names, rows, unit):
    """Show gray images in a row, and below each a map with one number for each pixel.

    Args:
        images: LongTensor (N, 1, H, W) of levels.
        values: (N, H, W), at least 0.
        levels: number of gray levels.
        alt: alternative text, also the caption.
        title: the finding.
        names: a short text above each image.
        rows: what the two rows show, in a word or two each.
        unit: of the numbers, which have one scale.
    """
    show_figure(maps_figure(images, values, levels=levels, title=title, names=names, rows=rows, unit=unit), alt)


def maps_figure(images, values, *, levels, title, names, rows, unit):
    """The figure that `maps` shows; arguments as there."""
    pictures, values = colors(images.cpu().numpy(), levels), as_array(values)
    if values.shape != pictures.shape[:3] or len(names) != len(values):
        raise ValueError(
            f"expected a map and a name for each of {len(pictures)} images of {pictures.shape[1:3]}, got "
            f"{values.shape} and {len(names)} names"
        )
    n = len(values)
    with style():
        words = wrap(title, WIDTH - 0.3, TITLE, "bold")
        head = 0.1 + 0.24 * (words.count("\n") + 1)
        label, bar = max(text_width(row, SMALL, "normal") for row in rows) + 0.1, 0.8
        side = min(1.35, (WIDTH - 0.2 - label - bar) / n - 0.1)
        tall = head + 0.3 + 2 * side + 0.15
        fig = new_figure(WIDTH, tall)
        fig.text(0.1 / WIDTH, 1 - 0.1 / tall, words, fontsize=TITLE, fontweight="bold", va="top")
        for k in range(n):
            left = 0.1 + label + k * (side + 0.1)
            for row, picture in enumerate((pictures[k], values[k])):
                up = tall - head - 0.25 - (row + 1) * side - 0.1 * row
                ax = fig.add_axes((left / WIDTH, up / tall, side / WIDTH, side / tall))
                drawn = ax.imshow(picture, cmap="magma_r", vmin=0, vmax=values.max(), interpolation="nearest")
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set(visible=True, color=FAINT)
                if row == 0:
                    ax.set_title(names[k], fontsize=SMALL, fontweight="normal", loc="left", pad=3)
                if k == 0:
                    ax.text(
                        -0.1 / side, 0.5, rows[row], transform=ax.transAxes, fontsize=SMALL, ha="right", va="center"
                    )
        beside = fig.add_axes(((left + side + 0.12) / WIDTH, up / tall, 0.12 / WIDTH, side / tall))
        fig.colorbar(drawn, cax=beside).set_label(unit, fontsize=SMALL)
        beside.tick_params(labelsize=SMALL)
    return fig
