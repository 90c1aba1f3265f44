"""Translation between domains: images that go there and back, and the patch of an image that a critic's score sees."""

from collections.abc import Mapping

import numpy as np

from garm_course.show.figures import (
    LABEL,
    MUTED,
    SMALL,
    TITLE,
    WIDTH,
    as_array,
    fitting_width,
    new_figure,
    palette,
    show_figure,
    style,
    wrap,
)
from garm_course.show.grids import check_images, colors
from garm_course.show.sliders import Dial, slide


class RoundTrip:
    """Images x, and for each model what G makes of them and what F makes of that again.

    Args:
        x: whole numbers (N, C, H, W) of levels.
        models: mapping from a name to a pair of whole numbers (N, C', H, W) and (N, C, H, W): G(x) and F(G(x)).
        reads: mapping from a name to a pair of whole numbers (N,): as which class a judge reads G(x) and F(G(x)).
        labels: (N,), the classes of x.
        levels: of all images.

    Raises:
        ValueError: without models, for shapes that do not fit, or models that are not read.
    """

    def __init__(self, x, models, reads, labels, levels):
        self.x, self.levels, self.labels = check_images(x, levels), levels, as_array(labels).astype(int)
        self.models = {k: tuple(check_images(part, levels) for part in pair) for k, pair in dict(models).items()}
        self.reads = {k: tuple(as_array(part).astype(int) for part in pair) for k, pair in dict(reads).items()}
        if not self.models or set(self.models) != set(self.reads):
            raise ValueError(f"expected models, and reads for each, got {list(self.models)} and {list(self.reads)}")
        n = len(self.x)
        for name, (there, back) in self.models.items():
            if len(there) != n or back.shape != self.x.shape:
                raise ValueError(
                    f"expected {n} images G(x) and F(G(x)) of the shape of x for {name!r}, got {there.shape} and "
                    f"{back.shape}"
                )
        if any(part.shape != (n,) for part in (self.labels, *(part for pair in self.reads.values() for part in pair))):
            raise ValueError(f"expected one class for each of {n} images")

    def figure(self, k):
        """A row for each model: x, G(x), F(G(x)), with the class that each is read as."""
        side, across, left, head = 1.15, 0.75, 1.75, 0.32
        height = head + len(self.models) * (side + 0.32) + 0.05
        with style():
            fig = new_figure(WIDTH, height)
            for row, (name, (there, back)) in enumerate(self.models.items()):
                bottom = height - head - (row + 1) * (side + 0.32) + 0.32
                middle = (bottom + side / 2) / height
                fig.text(0.1 / WIDTH, middle, wrap(name, left - 0.25, LABEL), fontsize=LABEL, va="center")
                shown = (
                    (self.x, f"a {self.labels[k]}"),
                    *zip((there, back), (f"read as {read[k]}" for read in self.reads[name]), strict=True),
                )
                for column, (images, words) in enumerate(shown):
                    at = left + column * (side + across)
                    ax = fig.add_axes((at / WIDTH, bottom / height, side / WIDTH, side / height))
                    ax.imshow(colors(images[k : k + 1], self.levels)[0], vmin=0, vmax=1)
                    ax.set(xticks=[], yticks=[])
                    ax.spines[:].set(visible=True, color="#D0D0D0", linewidth=0.8)
                    ax.set_xlabel(words, fontsize=SMALL, labelpad=2)
                    if row == 0:
                        ax.set_title(("x", "G(x)", "F(G(x))")[column], fontsize=LABEL, loc="left", pad=4)
                    if column:
                        arrow = {"arrowstyle": "->", "color": MUTED, "lw": 1.2}
                        start, end = ((at - across + 0.12) / WIDTH, middle), ((at - 0.12) / WIDTH, middle)
                        ax.annotate("", end, start, "figure fraction", "figure fraction", arrowprops=arrow)
        return fig

    def caption(self, k):
        """One sentence for each model."""
        told = [f"Image {k} of 0 to {len(self.x) - 1}, a {self.labels[k]}."]
        for name, (_, back) in self.models.items():
            there, again = (part[k] for part in self.reads[name])
            off = np.abs(back[k] - self.x[k]).mean() / (self.levels - 1)
            told.append(
                f"{name[0].upper()}{name[1:]}: G(x) is read as ≈ {there}, F(G(x)) as ≈ {again}; the way there and "
                f"back changes a pixel by ≈ {off:.2f} of its range."
            )
        return " ".join(told)


def round_trips(x, models, *, reads, labels, levels, start=0):
    """Choose an image with a slider, and see where each model takes it and what comes back.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        x: see `RoundTrip`.
        models: see `RoundTrip`.
        reads: see `RoundTrip`.
        labels: see `RoundTrip`.
        levels: see `RoundTrip`.
        start: index of the image of the first view.

    Raises:
        ValueError: for fewer than two images, a start outside of them, or what `RoundTrip` refuses.
    """
    if not isinstance(models, Mapping) or not isinstance(reads, Mapping):
        raise ValueError("expected models and reads as mappings from the name of a model to a pair")
    view = RoundTrip(x, models, reads, labels, levels)
    if len(view.x) < 2 or not 0 <= start < len(view.x):
        raise ValueError(f"expected at least two images and a start among them, got {len(view.x)} and start={start}")
    slide("round-trips", view.figure, view.caption, [Dial("image", start, 0, len(view.x) - 1)])


def patch_fields(gradients, *, alt, title=None, display_id=None):
    """Show which pixels one score of a critic depends on: the size of its gradient, framed, with the patch's sides.

    Args:
        gradients: mapping from a title to (H, W), the gradient of one score in each pixel: anything but 0 is seen.
        alt: alternative text, also the caption.
        title: the finding, above the panels.

    Raises:
        ValueError: for other shapes, a gradient that is not finite, or one that is 0 everywhere.
    """
    show_figure(patch_fields_figure(gradients, title=title), alt, display_id=display_id)


def patch_fields_figure(gradients, *, title=None):
    """The figure that `patch_fields` shows; arguments as there."""
    from matplotlib.patches import Rectangle

    sizes = {name: np.abs(as_array(g).astype(float)) for name, g in dict(gradients).items()}
    if not sizes or any(g.ndim != 2 or not np.isfinite(g).all() or not g.any() for g in sizes.values()):
        raise ValueError("expected at least one finite gradient (H, W) that is not 0 everywhere")
    n, gap = len(sizes), 0.3
    side = min((WIDTH - 0.2 - gap * (n - 1)) / n, 2.2)
    with style():
        wide = fitting_width(0.2 + n * side + (n - 1) * gap, title)
        title = wrap(title, wide - 0.2, TITLE, "bold") if title else ""
        names = [wrap(name, side, LABEL) for name in sizes]
        head = 0.12 + 0.24 * (title.count("\n") + 1) * bool(title)
        height = head + 0.21 * max(name.count("\n") + 1 for name in names) + side + 0.4
        fig = new_figure(wide, height)
        if title:
            fig.text(0.1 / wide, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        for k, (name, g) in enumerate(zip(names, sizes.values(), strict=True)):
            left = 0.1 + k * (side + gap)
            ax = fig.add_axes((left / wide, 0.3 / height, side / wide, side / height))
            rows, cols = (np.flatnonzero(g.any(axis)) for axis in (1, 0))
            tall, across = (int(seen[-1] - seen[0] + 1) for seen in (rows, cols))
            ax.imshow(-np.sqrt(g / g.max()), cmap="gray", vmin=-1, vmax=0)
            corner = (cols[0] - 0.5, rows[0] - 0.5)
            ax.add_patch(Rectangle(corner, across, tall, fill=False, edgecolor=palette["vermillion"], lw=1.6))
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color=MUTED, linewidth=0.8)
            ax.set_xlabel(f"{tall} x {across} of {g.shape[0]} x {g.shape[1]} pixels", fontsize=SMALL, loc="left")
            fig.text(left / wide, (0.3 + side + 0.06) / height, name, fontsize=LABEL, va="bottom")
    return fig
