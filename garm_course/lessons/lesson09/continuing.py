"""A clip that a model continues from where it is cut, with a slider over the cut."""

import torch

from garm_course.show.figures import LABEL, SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.grids import check_images, colors
from garm_course.show.sliders import Dial, slide


def continuing(model, clip, *, given=3, rng=None):
    """Show a clip above what a model draws after its first frames, with a slider over their number.

    All are drawn before the slider moves. Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        model: a `ClipModel` of gray clips.
        clip: LongTensor (1, T, H, W), T at least 2.
        given: frames that are given in the first view, 0..T-1.
        rng: of the uniforms; None takes torch's global generator.
    """
    view = Continuations(model, clip, rng)
    if not 0 <= given < view.frames:
        raise ValueError(f"expected 0..{view.frames - 1} given frames, got {given}")
    slide("continuing", view.figure, view.caption, [Dial("frames given", given, 0, view.frames - 1)])


class Continuations:
    """What a model draws after the first 0, 1, ..., T-1 frames of a clip.

    Attributes:
        frames: T.
        drawn: LongTensor (T, T, H, W), entry k begins with k frames of the clip.
        wrong: LongTensor (T, T), pixels of each frame that differ from the clip.
    """

    def __init__(self, model, clip, rng=None):
        if clip.ndim != 4 or clip.shape[0] != 1:
            raise ValueError(f"expected a gray clip (1, T, H, W), got shape {tuple(clip.shape)}")
        check_images(clip.transpose(0, 1), model.levels)
        self.frames, self.levels, self.clip = clip.shape[1], model.levels, clip.cpu()
        given = clip.expand(self.frames, *clip.shape)
        known = torch.arange(self.frames) < torch.arange(self.frames)[:, None]  # row k: the first k frames
        mask = known[:, None, :, None, None].expand(given.shape)
        drawn = model.sample(self.frames, length=self.frames, given=given, mask=mask, rng=rng)
        self.drawn = drawn[:, 0].cpu()
        self.wrong = (self.drawn != self.clip).flatten(2).sum(2)

    def caption(self, given):
        """The picture in words."""
        counts = ", ".join(f"≈ {n}" for n in self.wrong[given, given:].tolist())
        return f"After {given} given frames of {self.frames}, the drawn ones differ from the clip in {counts} pixels."

    def figure(self, given):
        """Above, the clip; below, its first frames, and framed in color what the model draws after them."""
        side = (WIDTH - 1.0) / self.frames
        tall = 0.5 + 2 * (side + 0.12) + 0.2
        pictures = [colors(x.unsqueeze(1).numpy(), self.levels) for x in (self.clip[0], self.drawn[given])]
        with style():
            fig = new_figure(WIDTH, tall)
            words = wrap(f"{given} frames are given, the model draws the rest", WIDTH - 0.3, TITLE, "bold")
            fig.text(0.1 / WIDTH, 1 - 0.1 / tall, words, fontsize=TITLE, fontweight="bold", va="top")
            for row, (name, picture) in enumerate(zip(("real", "drawn"), pictures, strict=True)):
                up = tall - 0.5 - (row + 1) * side - row * 0.12
                fig.text(0.1 / WIDTH, (up + side / 2) / tall, name, fontsize=LABEL, va="center")
                for t in range(self.frames):
                    ax = fig.add_axes(((0.85 + t * side) / WIDTH, up / tall, 0.93 * side / WIDTH, 0.93 * side / tall))
                    ax.imshow(picture[t], interpolation="nearest")
                    ax.set(xticks=[], yticks=[])
                    mine = row == 1 and t >= given
                    for spine in ax.spines.values():
                        spine.set(visible=True, color=palette["vermillion"] if mine else "#BBBBBB", lw=2 if mine else 1)
                    if mine:
                        ax.set_xlabel(str(self.wrong[given, t].item()), fontsize=SMALL, labelpad=3)
            fig.text(0.1 / WIDTH, (up - 0.06) / tall, "pixels wrong", fontsize=SMALL, va="top")
        return fig
