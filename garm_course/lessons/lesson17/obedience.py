"""Samples beside what they were asked to be: rows of images, crossed out where a judge reads something else."""

from collections.abc import Mapping

import numpy as np

from garm_course.datasets.captions import FACTORS, describe
from garm_course.show.figures import (
    LABEL,
    TITLE,
    WIDTH,
    as_array,
    new_figure,
    show_figure,
    style,
    wrap,
)
from garm_course.show.grids import check_images, colors
from garm_course.show.sliders import Dial, Menu, slide

SIDE, GAP, LABELS = 0.56, 0.06, 1.28  # inches: of an image, between two, for the words beside a row
ANY = "any"


class Sheet:
    """Rows of samples, each under what was asked for.

    Args:
        rows: mapping from the words beside a row to a pair: images, whole numbers (N, C, H, W), and bool (N,), True
            where the judge reads all that was asked for. All rows have the same N.
        levels: of the images.
        blocks: how many rows stand side by side.

    Raises:
        ValueError: without rows, for rows of different lengths, or verdicts that do not fit.
    """

    def __init__(self, rows, levels, *, blocks=1):
        self.rows = [(name, check_images(x, levels), as_array(right)) for name, (x, right) in dict(rows).items()]
        if not self.rows or len({len(x) for _, x, _ in self.rows}) > 1:
            raise ValueError(f"expected rows of the same number of images, got {[len(x) for _, x, _ in self.rows]}")
        if any(right.shape != (len(x),) for _, x, right in self.rows):
            raise ValueError(f"expected one verdict for each image, got {[r.shape for *_, r in self.rows]}")
        self.levels, self.blocks = levels, blocks

    @property
    def obeyed(self):
        """Share of all samples that are as asked for."""
        return float(np.concatenate([right for *_, right in self.rows]).mean())

    def figure(self, title):
        """The rows in reading order, block by block; a sample that is not as asked for is framed and crossed out."""
        per_block = -(-len(self.rows) // self.blocks)
        n = len(self.rows[0][1])
        block = LABELS + n * (SIDE + GAP) + 0.15
        with style():
            words = wrap(title, WIDTH - 0.2, TITLE, "bold")
            head = 0.2 + 0.22 * (1 + words.count("\n"))
            tall = head + per_block * (SIDE + GAP) + 0.08
            fig = new_figure(max(WIDTH, self.blocks * block + 0.1), tall)
            wide = fig.get_figwidth()
            fig.text(0.1 / wide, 1 - 0.08 / tall, words, fontsize=TITLE, fontweight="bold", va="top")
            for k, (name, x, right) in enumerate(self.rows):
                column, row = divmod(k, per_block)
                left, top = 0.1 + column * block, head + row * (SIDE + GAP)
                middle = 1 - (top + SIDE / 2) / tall
                label = wrap(name, LABELS - 0.1, LABEL - 1.5)
                fig.text(left / wide, middle, label, fontsize=LABEL - 1.5, va="center", linespacing=1.05)
                for j, picture in enumerate(colors(x, self.levels)):
                    at = left + LABELS + j * (SIDE + GAP)
                    ax = fig.add_axes((at / wide, 1 - (top + SIDE) / tall, SIDE / wide, SIDE / tall))
                    ax.imshow(picture, vmin=0, vmax=1)
                    ax.set(xticks=[], yticks=[])
                    ax.spines[:].set(visible=True, color="#D0D0D0", linewidth=0.6)
                    if not right[j]:
                        ax.spines[:].set(color="black", linewidth=2.2)
                        size = x.shape[-1]
                        ax.plot([0, size - 1], [0, size - 1], color="white", lw=1.4, ls="-")
                        ax.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
        return fig


def sheet(rows, *, levels, title, alt, blocks=1):
    """Show rows of images beside what was asked for.

    Args:
        rows: see `Sheet`.
        levels: see `Sheet`.
        title: the finding.
        alt: alternative text, also the caption.
        blocks: see `Sheet`.
    """
    show_figure(Sheet(rows, levels, blocks=blocks).figure(title), alt)


def guided(sheets, *, levels, start, blocks=2):
    """Show what each strength of guidance draws for the same captions and uniforms, with a slider over w.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        sheets: mapping from w, integers without a gap, to rows as in `Sheet`.
        levels: of the images.
        start: w of the first view.
        blocks: see `Sheet`.

    Raises:
        ValueError: for strengths with gaps, a start that is none of them, or what `Sheet` refuses.
    """
    found = {w: Sheet(rows, levels, blocks=blocks) for w, rows in dict(sheets).items()}
    low, high = min(found), max(found)
    if sorted(found) != list(range(low, high + 1)) or start not in found:
        raise ValueError(f"expected rows for each integer w and a start among them, got {sorted(found)} and {start}")

    def figure(w):
        return found[w].figure(f"w = {w}: {told(found[w])}, as the judge reads them")

    def caption(w):
        return (
            f"Samples for {len(found[w].rows)} captions at guidance w = {w}; {told(found[w])}, and the others are "
            "framed and crossed out."
        )

    slide("guidance", figure, caption, [Dial("w", start, low, high)])


def told(sheet):
    """The share of the samples that are as asked for, in words; a trained number carries its sign."""
    return f"≈ {sheet.obeyed:.0%} of the samples are as asked for"


def caption_box(draw, asked: Mapping[str, int], *, levels):
    """Show what a model draws for a caption that six menus put together.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        draw: function of the factors asked for, as `parse` returns them, that returns rows as in `Sheet`.
        asked: factors of the first view.
        levels: of the images.
    """
    made = {}

    def drawn(*words):
        if words not in made:
            chosen = {name: FACTORS[name].index(w) for name, w in zip(FACTORS, words, strict=True) if w != ANY}
            made[words] = describe(chosen) if chosen else "", Sheet(draw(chosen), levels)
        return made[words]

    def figure(*words):
        text, found = drawn(*words)
        return found.figure(f"“{text}”" if text else "The empty caption")

    def caption(*words):
        text, found = drawn(*words)
        rows = ", ".join(f"≈ {right.mean():.0%} at {name}" for name, _, right in found.rows)
        return f"Samples for the caption “{text}”; as asked for are {rows}."

    first = [FACTORS[name][asked[name]] if name in asked else ANY for name in FACTORS]
    slide(
        "caption-box",
        figure,
        caption,
        [Menu(name, word, (ANY, *FACTORS[name])) for name, word in zip(FACTORS, first, strict=True)],
    )


def gray_pixels(originals, reconstructions, palette_levels, *, levels, alt, title):
    """Show originals, and below each tokenizer's reconstructions, the pixels that are no color of the palette.

    Args:
        originals: whole numbers (N, 3, H, W).
        reconstructions: mapping from a name to whole numbers (N, 3, H, W).
        palette_levels: whole numbers (P, 3), all colors that data have.
        levels: of the images.
        alt: alternative text, also the caption.
        title: the finding.
    """
    show_figure(gray_pixels_figure(originals, reconstructions, palette_levels, levels=levels, title=title), alt)


def gray_pixels_figure(originals, reconstructions, palette_levels, *, levels, title):
    """The figure that `gray_pixels` shows; arguments as there."""
    rows = [("originals", check_images(originals, levels), None)]
    known = as_array(palette_levels).astype(int)
    for name, x in dict(reconstructions).items():
        x = check_images(x, levels)
        off = ~(x[:, None] == known[None, :, :, None, None]).all(2).any(1)  # (N, H, W)
        rows += [(name, x, None), ("no color of the palette", x, off)]
    n, (tall_px, wide_px) = len(originals), rows[0][1].shape[2:]
    side = min(0.72, (WIDTH - LABELS - 0.2) / n - GAP)
    with style():
        words = wrap(title, WIDTH - 0.2, TITLE, "bold")
        head = 0.2 + 0.22 * (1 + words.count("\n"))
        tall = head + len(rows) * (side + GAP) + 0.08
        fig = new_figure(WIDTH, tall)
        fig.text(0.1 / WIDTH, 1 - 0.08 / tall, words, fontsize=TITLE, fontweight="bold", va="top")
        for row, (name, x, off) in enumerate(rows):
            top = head + row * (side + GAP)
            label = wrap(name, LABELS - 0.1, LABEL - 1.5)
            fig.text(0.1 / WIDTH, 1 - (top + side / 2) / tall, label, fontsize=LABEL - 1.5, va="center")
            for j, picture in enumerate(colors(x, levels)):
                at = 0.1 + LABELS + j * (side + GAP)
                ax = fig.add_axes((at / WIDTH, 1 - (top + side) / tall, side / WIDTH, side / tall))
                shown = picture if off is None else np.where(off[j, :, :, None], picture, 1.0)
                ax.imshow(shown, vmin=0, vmax=1, extent=(0, wide_px, tall_px, 0))
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set(visible=True, color="#D0D0D0", linewidth=0.6)
    return fig


def strips(rows, palette_levels, *, alt, title):
    """Show long strips under each other, as a study keeps them.

    Args:
        rows: mapping from a name to a strip: rows of digits, each the place of a pixel's color in the palette.
        palette_levels: whole numbers (P, 3), the colors.
        alt: alternative text, also the caption.
        title: the finding.
    """
    show_figure(strips_figure(rows, palette_levels, title=title), alt)


def strips_figure(rows, palette_levels, *, title):
    """The figure that `strips` shows; arguments as there."""
    known = as_array(palette_levels)
    images = [known[[[int(place) for place in line] for line in strip]] / known.max() for strip in rows.values()]
    left, gap = 0.85, 0.08
    wide = WIDTH - left - 0.1
    high = [wide * len(image) / image.shape[1] for image in images]
    with style():
        words = wrap(title, WIDTH - 0.2, TITLE, "bold")
        top = 0.2 + 0.22 * (1 + words.count("\n"))
        tall = top + sum(high) + gap * len(high) + 0.05
        fig = new_figure(WIDTH, tall)
        fig.text(0.1 / WIDTH, 1 - 0.08 / tall, words, fontsize=TITLE, fontweight="bold", va="top")
        for name, image, side in zip(rows, images, high, strict=True):
            fig.text(0.1 / WIDTH, 1 - (top + side / 2) / tall, name, fontsize=LABEL - 1.5, va="center")
            ax = fig.add_axes((left / WIDTH, 1 - (top + side) / tall, wide / WIDTH, side / tall))
            ax.imshow(image, vmin=0, vmax=1, aspect="auto")
            ax.set(xticks=[], yticks=[])
            top += side + gap
    return fig
