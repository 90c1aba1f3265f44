"""A slider that draws an image pixel by pixel, with the model's prediction of the pixel that comes next."""

import numpy as np

from garm_course.show.bar_charts import draw_bars
from garm_course.show.figures import LABEL, MUTED, SMALL, WIDTH, new_figure, palette, style
from garm_course.show.grids import colors
from garm_course.show.sliders import Dial, slide


def pixel_by_pixel(model, *, y=None, rng=None, n_positions=None, position=None, ink=None):
    """Show an image as it is drawn, with a slider over positions and the predictive distribution of the current pixel.

    One image is sampled once. The predictions at *all* its positions then come from one forward pass: a causal network
    that is given the whole image returns at position i exactly what it returned while only x_1 ... x_{i-1} existed
    (teacher forcing). So moving the slider costs a picture, not a network.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        model: an autoregressive model with `sample`, `forward`, `shape` (C, H, W), `levels`, `head.log_probs(params)`.
        y: class of the image, a whole number or a LongTensor (1,), for a model with classes.
        rng: torch.Generator for the draw.
        n_positions: how many positions the slider offers, all C * H * W by default.
        position: the position of the first view, raster order with channels innermost; the middle by default.
        ink: as in `grid`.
    """
    view = Drawing(model, y=y, rng=rng, ink=ink)
    total = len(view.order)
    if n_positions is not None and not 1 <= n_positions <= total:
        raise ValueError(f"expected n_positions 1..{total}, got {n_positions}")
    channels, height, width = model.shape
    first = ((height // 2) * width + width // 2) * channels if position is None else position
    if not 0 <= first < total:
        raise ValueError(f"expected a position 0..{total - 1}, got {first}")
    step = max(1, total // (n_positions or total))
    first = first // step * step
    slide("pixel-by-pixel", view.figure, view.caption, [Dial("position", first, 0, total - 1, step)])


class Drawing:
    """One sampled image with the predictive distribution of every position: what the widget shows at each step.

    Attributes:
        image: whole numbers (C, H, W).
        probs: (C, H, W, levels).
        nats: (C, H, W), -log p of what was drawn.
        order: list of (channel, row, column) in the order of drawing.
    """

    def __init__(self, model, y=None, rng=None, ink=None):
        import torch

        channels, height, width = self.shape = tuple(model.shape)
        self.levels, self.ink = model.levels, ink
        y = torch.as_tensor(y, dtype=torch.long).reshape(1) if y is not None else None
        was_training = getattr(model, "training", False)
        if was_training:
            model.eval()  # no dropout: sample and prediction come from the same network
        with torch.no_grad():
            x = model.sample(1, y, rng=rng)
            log_probs = model.head.log_probs(model(x, y if y is None else y.to(x.device)))  # (1, C, H, W, levels)
        if was_training:
            model.train()
        self.image = x[0].cpu().numpy()
        log_probs = log_probs[0].double().cpu().numpy()
        self.probs = np.exp(log_probs)
        self.nats = -np.take_along_axis(log_probs, self.image[..., None], -1)[..., 0]
        raster = [(c, r, w) for r in range(height) for w in range(width) for c in range(channels)]
        order = getattr(model, "order", None)  # of a model that draws in another order
        self.order = raster if order is None else [raster[i] for i in order.tolist()]

    def caption(self, position):
        """One sentence on the current pixel: the distribution in words."""
        c, r, w = self.order[position]
        level, probs = self.image[c, r, w], self.probs[c, r, w]
        entropy = -np.sum(probs * np.log(np.maximum(probs, 1e-300)))
        before = sum(self.nats[at] for at in self.order[:position])
        where = f"position {position} of 0 to {len(self.order) - 1} (row {r}, column {w}{self._color(c, ', {}')})"
        return (
            f"Pixel by pixel, {where}: all before it cost ≈ {before:.1f} nats; level ≈ {level} is drawn here, with a "
            f"probability of ≈ {probs[level]:.2f}, ≈ {self.nats[c, r, w]:.2f} nats; the entropy of the prediction is "
            f"≈ {entropy:.2f} nats."
        )

    def figure(self, position):
        """Left: the image so far, the current pixel framed. Right: the predictive distribution of that pixel."""
        from matplotlib.patches import Rectangle

        channels, height, width = self.shape
        c, r, w = self.order[position]
        drawn = np.zeros(self.shape, bool)
        for at in self.order[:position]:
            drawn[at] = True
        picture = colors(np.where(drawn, self.image, 0)[None], self.levels, self.ink)[0]  # (H, W, 3)
        shown = drawn.any(0)
        with style():
            tall = 2.3
            wide = min(tall * width / height, 3.4)
            tall = wide * height / width
            fig = new_figure(WIDTH, 3.2)
            bottom = 3.2 - 0.5 - tall
            ax = fig.add_axes((0.15 / WIDTH, bottom / 3.2, wide / WIDTH, tall / 3.2))
            paper = Rectangle((-0.5, -0.5), width, height, facecolor="#F4F4F4", edgecolor="#D0D0D0", hatch="////", lw=0)
            ax.add_patch(paper)
            rgba = np.concatenate([picture, shown[..., None]], -1)
            ax.imshow(rgba, interpolation="nearest", zorder=2)
            frame = {"fill": False, "linewidth": 2.2, "zorder": 4}
            ax.add_patch(Rectangle((w - 0.5, r - 0.5), 1, 1, facecolor="white", lw=0, zorder=3))
            if shown[r, w]:  # of a color pixel, earlier channels are there already
                ax.add_patch(Rectangle((w - 0.5, r - 0.5), 1, 1, facecolor=picture[r, w], lw=0, zorder=3))
            ax.add_patch(Rectangle((w - 0.5, r - 0.5), 1, 1, edgecolor=palette["vermillion"], **frame)).set_clip_on(
                False
            )
            ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color=MUTED, linewidth=0.8)
            count = f"{position} of {len(self.order)} {'values' if channels > 1 else 'pixels'} drawn"
            fig.text(0.15 / WIDTH, 1 - 0.12 / 3.2, "The image so far", fontsize=LABEL, fontweight="bold", va="top")
            ax.set_xlabel(count, fontsize=SMALL, loc="left", color=MUTED)
            left = 0.15 + wide + 0.95
            bars = fig.add_axes((left / WIDTH, 0.62 / 3.2, 1 - (left + 0.15) / WIDTH, 1 - 1.16 / 3.2))
            draw_bars(
                bars,
                self.probs[c, r, w],
                int(self.image[c, r, w]),
                f"{self._color(c) or 'gray'} level of the framed pixel",
            )
            words = "Prediction for the framed pixel"
            fig.text((left - 0.6) / WIDTH, 1 - 0.12 / 3.2, words, fontsize=LABEL, fontweight="bold", va="top")
        return fig

    def _color(self, channel, words="{}"):
        return words.format(("red", "green", "blue")[channel]) if self.shape[0] == 3 else ""
