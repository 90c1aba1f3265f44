"""One image after the other, each beside what several models make of it."""

from collections.abc import Mapping

import numpy as np

from garm_course.show.figures import LABEL, SMALL, WIDTH, new_figure, style, wrap
from garm_course.show.grids import check_images, colors
from garm_course.show.sliders import Dial, slide


def beside(images, *, levels, start=0):
    """Choose an image with a slider, and see the same number of every panel side by side.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        images: mapping from the title of a panel to whole numbers (N, C, H, W), levels 0..levels-1; the first panel is
            the original, from which the caption measures the others. At least two panels of one shape.
        levels: of a pixel.
        start: index of the image of the first view.

    Raises:
        ValueError: for other shapes, fewer than two panels or images, or a start outside of them.
    """
    panels = _check(images, levels)
    n = len(next(iter(panels.values())))
    if n < 2 or not 0 <= start < n:
        raise ValueError(f"expected at least two images and a start among them, got {n} and start={start}")

    def caption(k):
        first, *others = panels
        original = panels[first][k] / (levels - 1)
        told = (f"{name} ≈ {np.abs(panels[name][k] / (levels - 1) - original).mean():.2f}" for name in others)
        return (
            f"Image {k} of 0 to {n - 1}. Mean distance of a pixel from {first}, as a share of its range: "
            f"{', '.join(told)}."
        )

    slide("beside", lambda k: beside_figure(images, levels=levels, index=k), caption, [Dial("image", start, 0, n - 1)])


def beside_figure(images, *, levels, index):
    """One view of `beside`."""
    panels = _check(images, levels)
    with style():
        side = min(1.9, (WIDTH - 0.2 - 0.3 * (len(panels) - 1)) / len(panels))
        height = side + 0.5
        fig = new_figure(WIDTH, height)
        for column, (name, stack) in enumerate(panels.items()):
            at = 0.1 + column * (side + 0.3)
            ax = fig.add_axes((at / WIDTH, 0.1 / height, side / WIDTH, side / height))
            ax.imshow(colors(stack[index : index + 1], levels)[0], vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color="#D0D0D0", linewidth=0.8)
            ax.set_title(wrap(name, side, SMALL), fontsize=LABEL, loc="left", pad=4)
    return fig


def _check(images, levels):
    if not isinstance(images, Mapping) or len(images) < 2:
        raise ValueError("expected a mapping from at least two titles to images")
    panels = {name: check_images(stack, levels) for name, stack in images.items()}
    shapes = {stack.shape for stack in panels.values()}
    if len(shapes) > 1:
        raise ValueError(f"expected panels of one shape, got {sorted(shapes)}")
    return panels
