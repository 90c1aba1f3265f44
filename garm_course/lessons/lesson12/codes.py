"""Pictures of discrete codes: what each code of a codebook draws, the map of codes of an image, and a map to edit."""

import numpy as np
import torch
from torch import Tensor

from garm_course.show.figures import (
    INK,
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
from garm_course.show.sliders import Dial, slide


def code_patches(vqvae, x: Tensor, *, margin: int = 4) -> tuple[Tensor, Tensor]:
    """The mean patch of the images around the places where each code is chosen, and how often it is.

    Args:
        vqvae: with `encode(x) -> (B, H', W')`, `grid` and `n_codes`.
        x: LongTensor (B, C, H, W) of levels.
        margin: pixels around the H / H' x W / W' pixels of a place; outside of the image the level is 0.

    Returns:
        Patches (K, h, w), means of levels over channels and places, 0 for a code that is not chosen; counts (K,).

    Raises:
        ValueError: for a negative margin, or images that the grid does not divide.
    """
    (rows, cols), (height, width) = vqvae.grid, x.shape[2:]
    if margin < 0 or height % rows or width % cols:
        raise ValueError(
            f"expected a margin of at least 0 and images that {rows} x {cols} places divide, got margin {margin} and "
            f"{height} x {width} pixels"
        )
    tall, wide = height // rows, width // cols
    index = vqvae.encode(x).flatten()  # (B H' W')
    paper = torch.nn.functional.pad(x.float().mean(1, keepdim=True), (margin,) * 4)
    windows = torch.nn.functional.unfold(paper, (tall + 2 * margin, wide + 2 * margin), stride=(tall, wide))
    windows = windows.transpose(1, 2).flatten(0, 1)  # (B H' W', h w), places in raster order
    counts = torch.bincount(index, minlength=vqvae.n_codes)
    sums = windows.new_zeros(vqvae.n_codes, windows.shape[1]).index_add(0, index, windows)
    patches = sums / counts.clamp(min=1).unsqueeze(1)
    return patches.unflatten(1, (tall + 2 * margin, wide + 2 * margin)), counts


def codebook(patches, counts, *, alt, title=None, inner=None, cols=16, display_id=None):
    """Show one patch for each code, the most frequent first, with its number and its share.

    Args:
        patches: (K, h, w), numbers 0 (paper) to 1 (ink).
        counts: (K,), how often each code is chosen.
        alt: alternative text, also the caption.
        title: the finding.
        inner: pixels of margin around the code's own area, which is framed.
        cols: patches in a row.

    Raises:
        ValueError: for shapes that do not fit, ink outside of 0..1, or no choice at all.
    """
    show_figure(codebook_figure(patches, counts, title=title, inner=inner, cols=cols), alt, display_id=display_id)


def codebook_figure(patches, counts, *, title=None, inner=None, cols=16):
    """The figure that `codebook` shows; arguments as there."""
    from matplotlib.patches import Rectangle

    patches, counts = as_array(patches), as_array(counts)
    if patches.ndim != 3 or counts.shape != patches.shape[:1]:
        raise ValueError(f"expected patches (K, h, w) and counts (K,), got {patches.shape} and {counts.shape}")
    if not (np.isfinite(patches).all() and patches.min() >= 0 and patches.max() <= 1) or counts.sum() <= 0:
        raise ValueError("expected ink between 0 (paper) and 1, and at least one choice; divide by the highest level")
    share = counts / counts.sum()
    order = np.argsort(-counts, kind="stable")
    cols = min(cols, len(order))
    rows = -(-len(order) // cols)
    tile = min(0.42, (WIDTH - 0.2) / cols - 0.03)
    tall = tile * patches.shape[1] / patches.shape[2]
    with style():
        wide = fitting_width(0.2 + cols * (tile + 0.03), title)
        title = wrap(title, wide - 0.2, TITLE, "bold") if title else ""
        head = 0.1 + 0.24 * (title.count("\n") + 1) * bool(title)
        height = head + rows * (tall + 0.19) + 0.1
        fig = new_figure(wide, height)
        if title:
            fig.text(0.1 / wide, 1 - 0.08 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        for at, k in enumerate(order):
            row, col = divmod(at, cols)
            left, bottom = 0.1 + col * (tile + 0.03), height - head - row * (tall + 0.19) - 0.17 - tall
            ax = fig.add_axes((left / wide, bottom / height, tile / wide, tall / height))
            ax.imshow(1 - 0.9 * patches[k], cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color="#D0D0D0", linewidth=0.6)
            if inner:
                h, w = patches.shape[1:]
                box = Rectangle((inner - 0.5, inner - 0.5), w - 2 * inner, h - 2 * inner, fill=False, lw=0.7)
                ax.add_patch(box).set_edgecolor(palette["vermillion"])
            words = f"{k}: {_percent(share[k])}" if counts[k] else f"{k}: dead"
            ax.set_title(words, fontsize=6.0, fontweight="normal", loc="center", pad=1.5, color=INK)
    return fig


def staircase(borders, levels, *, at, alt, title=None, xlabel="z", ylabel="loss", display_id=None):
    """Show a function that is constant between borders, as treads with dotted jumps, and the point `at` on it.

    Args:
        borders: N + 1 increasing numbers, the outer two are the ends of the axis.
        levels: N values between them.
        at: place of the marked point, between the ends and on no border.
        alt: alternative text, also the caption.
        title: the finding.
        xlabel: what is on the axes, with units.
        ylabel: what is on the axes, with units.

    Raises:
        ValueError: for numbers of borders and levels that do not fit, borders that do not increase, or `at` outside.
    """
    fig = staircase_figure(borders, levels, at=at, title=title, xlabel=xlabel, ylabel=ylabel)
    show_figure(fig, alt, display_id=display_id)


def staircase_figure(borders, levels, *, at, title=None, xlabel="z", ylabel="loss"):
    """The figure that `staircase` shows; arguments as there."""
    borders, levels = as_array(borders), as_array(levels)
    if borders.ndim != 1 or len(borders) != len(levels) + 1 or len(levels) < 1 or (np.diff(borders) <= 0).any():
        raise ValueError(f"expected N levels between N + 1 increasing borders, got {len(levels)} and {borders}")
    if not borders[0] < at < borders[-1] or at in borders:
        raise ValueError(f"expected a point between {borders[0]:g} and {borders[-1]:g} on no border, got {at:g}")
    high = 2.9
    with style():
        fig = new_figure(WIDTH, high)
        ax = fig.add_axes((0.85 / WIDTH, 0.55 / high, 1 - 1.1 / WIDTH, 1 - 1.0 / high))
        if title:
            fig.text(0.1 / WIDTH, 1 - 0.1 / high, title, fontsize=TITLE, fontweight="bold", va="top")
        low, top = min(levels.min(), 0), levels.max()
        ax.set(xlim=(borders[0], borders[-1]), ylim=(low, low + 1.15 * (top - low)), xlabel=xlabel, ylabel=ylabel)
        ax.hlines(levels, borders[:-1], borders[1:], color=palette["blue"], lw=2.4)
        ax.vlines(borders[1:-1], levels[:-1], levels[1:], color=MUTED, lw=1.0, ls=":")
        for left, right, level in zip(borders[:-1], borders[1:], levels, strict=True):
            ax.annotate(f"{level:.2f}", ((left + right) / 2, level), (0, 5), textcoords="offset points", ha="center")
        here = levels[np.searchsorted(borders, at) - 1]
        ax.plot([at], [here], "o", color=palette["vermillion"], ms=7, mec="white", mew=0.8, zorder=4)
        words = f"{at:.2g}: slope 0"
        ax.annotate(words, (at, here), (0, 18), textcoords="offset points", color=INK, fontsize=SMALL, ha="center")
    return fig


def code_map(images, index, *, alt, title=None, levels=2, display_id=None):
    """Show images with the grid of codes that stands for each: the number of the code in every cell.

    Args:
        images: whole numbers (N, 1, H, W) of levels, N of 1 to 3.
        index: whole numbers (N, H', W').
        alt: alternative text, also the caption.
        title: the finding.
        levels: of the images.

    Raises:
        ValueError: for shapes that do not fit.
    """
    show_figure(code_map_figure(images, index, title=title, levels=levels), alt, display_id=display_id)


def code_map_figure(images, index, *, title=None, levels=2):
    """The figure that `code_map` shows; arguments as there."""
    images, index = as_array(images), as_array(index).astype(int)
    if images.ndim != 4 or images.shape[1] != 1 or index.ndim != 3 or not 1 <= len(images) == len(index) <= 3:
        raise ValueError(
            f"expected 1 to 3 images (N, 1, H, W) and codes (N, H', W'), got {images.shape}, {index.shape}"
        )
    n, side = len(images), 2.2
    with style():
        wide = fitting_width(0.1 + n * (side + 0.15), title)
        title = wrap(title, wide - 0.2, TITLE, "bold") if title else ""
        head = 0.12 + 0.24 * (title.count("\n") + 1) * bool(title)
        tall = side * images.shape[2] / images.shape[3]
        height = head + tall + 0.1
        fig = new_figure(wide, height)
        if title:
            fig.text(0.1 / wide, 1 - 0.08 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        for k in range(n):
            left = 0.1 + k * (side + 0.15)
            ax = fig.add_axes((left / wide, 0.1 / height, side / wide, tall / height))
            _draw_map(ax, images[k, 0] / (levels - 1), index[k])
    return fig


def _draw_map(ax, ink, index, place=None):
    """An image in pale ink with the grid over it, a number in every cell, and one cell framed."""
    from matplotlib.patches import Rectangle

    (height, width), (rows, cols) = ink.shape, index.shape
    ax.imshow(1 - 0.3 * ink, cmap="gray", vmin=0, vmax=1)
    tall, wide = height / rows, width / cols
    for r in range(rows + 1):
        ax.axhline(r * tall - 0.5, color=palette["sky"], lw=0.7, ls="-")
    for c in range(cols + 1):
        ax.axvline(c * wide - 0.5, color=palette["sky"], lw=0.7, ls="-")
    for r in range(rows):
        for c in range(cols):
            at = (c + 0.5) * wide - 0.5, (r + 0.5) * tall - 0.5
            ax.text(*at, str(index[r, c]), fontsize=SMALL - 1.5, ha="center", va="center", color=INK)
    if place is not None:
        r, c = divmod(place, cols)
        frame = {"fill": False, "edgecolor": palette["vermillion"], "linewidth": 2.2, "zorder": 4}
        ax.add_patch(Rectangle((c * wide - 0.5, r * tall - 0.5), wide, tall, **frame)).set_clip_on(False)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=MUTED, linewidth=0.8)


def code_editor(vqvae, x, *, place=None, code=None):
    """Put another code at one place of an image's map, by two sliders, and see where the decoded image changes.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        vqvae: with `encode`, `decode`, `head.mean`, `grid`, `n_codes`, for images of one channel.
        x: LongTensor (1, 1, H, W), the image.
        place: of the first view, r W' + c in raster order; the middle by default.
        code: of the first view; by default the one of which the decoded image changes most.

    Raises:
        ValueError: for another number of images or channels, or a place or code out of range.
    """
    view = CodeEditor(vqvae, x)
    places = view.index.size
    place = (vqvae.grid[0] // 2) * vqvae.grid[1] + vqvae.grid[1] // 2 if place is None else place
    if not 0 <= place < places:
        raise ValueError(f"expected a place 0..{places - 1}, got {place}")
    code = int(view.change(place).argmax()) if code is None else code
    if not 0 <= code < vqvae.n_codes:
        raise ValueError(f"expected a code 0..{vqvae.n_codes - 1}, got {code}")
    dials = [Dial("place", place, 0, places - 1), Dial("code", code, 0, vqvae.n_codes - 1)]
    slide("code-editor", view.figure, view.caption, dials)


class CodeEditor:
    """The map of codes of one image and what the decoder makes of it when one of them is exchanged.

    Attributes:
        index: whole numbers (H', W'), the codes of the image.
        image: (H, W), its levels as ink 0..1.
        before: (H, W), the expected ink that is decoded from them.
    """

    def __init__(self, vqvae, x):
        if x.ndim != 4 or len(x) != 1 or x.shape[1] != 1:
            raise ValueError(f"expected one image of one channel, (1, 1, H, W), got {tuple(x.shape)}")
        self.vqvae, self.top = vqvae, vqvae.levels - 1
        self.image = as_array(x[0, 0]) / self.top
        index = vqvae.encode(x)
        self.index = as_array(index[0]).astype(int)
        self.before = self._decode(index)[0]

    @torch.no_grad()
    def _decode(self, index):
        """Codes (B, H', W') -> expected ink (B, H, W)."""
        return as_array(self.vqvae.head.mean(self.vqvae.decode(index))[:, 0]) / self.top

    def after(self, place, code):
        """The expected ink (H, W) with this code at this place."""
        return self._edited(place, torch.tensor([code]))[0]

    def change(self, place):
        """(K,), the ink that changes, summed over pixels, for every code at this place."""
        every = self._edited(place, torch.arange(self.vqvae.n_codes))
        return np.abs(every - self.before).sum((1, 2))

    def _edited(self, place, codes):
        index = torch.tensor(self.index).repeat(len(codes), 1, 1)
        index.flatten(1)[:, place] = codes
        return self._decode(index)

    def caption(self, place, code):
        """One sentence on what the exchange does, and how far from the place it reaches."""
        r, c = divmod(int(place), self.index.shape[1])
        old, where = self.index[r, c], f"place {place} (row {r}, column {c})"
        if code == old:
            return f"Codes edited: {where} keeps its code {old}, so the decoded image stays as it is."
        moved = np.abs(self.after(place, code) - self.before)
        tall, wide = self.image.shape[0] / self.index.shape[0], self.image.shape[1] / self.index.shape[1]
        rows, cols = np.indices(moved.shape)
        inside = (rows // tall == r) & (cols // wide == c)
        n, own = int((moved > 0.5).sum()), moved[inside].sum() / max(moved.sum(), 1e-12)
        return (
            f"Codes edited: {where} gets code {code} for its own {old}; ≈ {n} of {moved.size} pixels change by more "
            f"than half, and ≈ {100 * own:.0f} percent of all change is inside of the framed cell."
        )

    def figure(self, place, code):
        """Left: the map of codes with the place framed. Then the decoded image, before and after the exchange."""
        from matplotlib.patches import Rectangle

        index = self.index.copy()
        index.flat[int(place)] = code
        rows, cols = index.shape
        (height, width), side = self.image.shape, 2.2
        tall = side * height / width
        high = tall + 0.5
        r, c = divmod(int(place), cols)
        with style():
            fig = new_figure(WIDTH, high)
            panels = {"The codes, one exchanged": None, "Decoded before": self.before,
                      "Decoded after": self.after(place, code)}  # fmt: skip
            for k, (name, ink) in enumerate(panels.items()):
                left = 0.15 + k * (side + 0.15)
                ax = fig.add_axes((left / WIDTH, 0.1 / high, side / WIDTH, tall / high))
                fig.text(left / WIDTH, 1 - 0.12 / high, name, fontsize=LABEL, fontweight="bold", va="top")
                if ink is None:
                    _draw_map(ax, self.image, index, int(place))
                    continue
                ax.imshow(1 - 0.9 * ink, cmap="gray", vmin=0, vmax=1)
                cell = (c * width / cols - 0.5, r * height / rows - 0.5), width / cols, height / rows
                ax.add_patch(Rectangle(*cell, fill=False, edgecolor=palette["vermillion"], linewidth=1.4))
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set(visible=True, color=MUTED, linewidth=0.8)
        return fig


def _percent(share):
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.1f}%"
