"""What each pixel of a clip costs a model, with a slider over frames."""

import numpy as np

from garm_course.show.figures import LABEL, MUTED, SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.grids import check_images, colors
from garm_course.show.sliders import Dial, slide


def surprises(model, clip, *, frame=3):
    """Show a frame of a clip beside what each of its pixels costs, given all before it, with a slider over frames.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        model: a `ClipModel` of gray clips.
        clip: LongTensor (1, T, H, W).
        frame: of the first view, 1..T.
    """
    view = Surprises(model, clip)
    if not 1 <= frame <= view.frames:
        raise ValueError(f"expected a frame 1..{view.frames}, got {frame}")
    slide("surprises", view.figure, view.caption, [Dial("frame", frame, 1, view.frames)])


class Surprises:
    """The nats of all pixels of a clip, from one pass.

    Attributes:
        nats: (T, H, W), -log p of each pixel given all before it.
        frames: T.
    """

    def __init__(self, model, clip):
        import torch

        if clip.ndim != 4 or clip.shape[0] != 1:
            raise ValueError(f"expected a gray clip (1, T, H, W), got shape {tuple(clip.shape)}")
        check_images(clip.transpose(0, 1), model.levels)
        with torch.no_grad():
            nats = -model.head.log_prob(model(clip[None]), clip[None])[0, 0]
        self.nats, self.frames = nats.double().cpu().numpy(), clip.shape[1]
        self.pictures = colors(clip.transpose(0, 1).cpu().numpy(), model.levels)  # (T, H, W, 3)

    def caption(self, frame):
        """The picture in words."""
        nats = self.nats[frame - 1]
        row, column = np.unravel_index(nats.argmax(), nats.shape)
        return (
            f"Frame {frame} of {self.frames} costs ≈ {nats.sum():.2f} nats; its most surprising pixel, in row ≈ {row}, "
            f"column ≈ {column}, costs ≈ {nats.max():.2f} of them."
        )

    def figure(self, frame):
        """Left: the frame. Middle: nats of its pixels, on one scale for all frames. Right: nats of all frames."""
        with style():
            tall, side = 3.2, 2.0
            fig = new_figure(WIDTH, tall)
            words = f"Frame {frame}: ≈ {self.nats[frame - 1].sum():.2f} nats"
            title = wrap(words, WIDTH - 0.3, TITLE, "bold")
            fig.text(0.1 / WIDTH, 1 - 0.1 / tall, title, fontsize=TITLE, fontweight="bold", va="top")
            for k, (name, picture) in enumerate(
                {"the frame": self.pictures[frame - 1], "nats of each pixel": self.nats[frame - 1]}.items()
            ):
                ax = fig.add_axes(((0.15 + k * (side + 0.15)) / WIDTH, 0.45 / tall, side / WIDTH, side / tall))
                ax.imshow(picture, interpolation="nearest", cmap="magma_r", vmin=0, vmax=max(3.0, self.nats.max()))
                ax.set(xticks=[], yticks=[])
                ax.set_title(name, fontsize=LABEL, loc="left", pad=4)
            left = 2 * side + 0.95
            ax = fig.add_axes((left / WIDTH, 0.45 / tall, (WIDTH - left - 0.15) / WIDTH, side / tall))
            total = self.nats.sum((1, 2))
            chosen = [palette["vermillion"] if t + 1 == frame else palette["blue"] for t in range(self.frames)]
            ax.bar(range(1, self.frames + 1), total, color=chosen)
            ax.set_yscale("log")
            ax.set(xticks=range(1, self.frames + 1))
            ax.set_xlabel("frame", fontsize=SMALL, color=MUTED)
            ax.tick_params(labelsize=SMALL)
            ax.set_title("nats per frame", fontsize=LABEL, loc="left", pad=4)
        return fig
