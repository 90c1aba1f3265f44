"""A watermark by its strength: how far the count of green values moves, with a slider over stored samples."""

import numpy as np

from garm_course.show.figures import (
    INK,
    LABEL,
    SMALL,
    TITLE,
    WIDTH,
    as_array,
    new_figure,
    palette,
    style,
    wrap,
)
from garm_course.show.sliders import Dial, slide


def watermarks(counts, nats, *, length, share, alarm, strength):
    """Show the green values of images by the strength of their watermark, against the exact law without one.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        counts: mapping from strength delta, equally spaced numbers from 0 on, to green values (N,) of images.
        nats: mapping from strength to what such an image costs the model more than one without a watermark.
        length: values of an image.
        share: probability that a value is green without a watermark.
        alarm: the smallest count that is called a watermark.
        strength: of the first view.
    """
    view = Watermarks(counts, nats, length, share, alarm)
    slide("watermarks", view.figure, view.caption, [Dial("delta", float(strength), *view.ends, view.step)])


class Watermarks:
    """The numbers and pictures of `watermarks`."""

    def __init__(self, counts, nats, length, share, alarm):
        self.counts = {float(d): as_array(c).astype(int) for d, c in sorted(counts.items())}
        self.nats, self.length, self.share, self.alarm = {float(d): x for d, x in nats.items()}, length, share, alarm
        steps = np.diff(list(self.counts))
        if len(steps) < 1 or not np.allclose(steps, steps[0]):
            raise ValueError(f"expected equally spaced strengths, at least two, got {list(self.counts)}")
        self.step, self.ends = float(steps[0]), (min(self.counts), max(self.counts))

    def _nearest(self, strength):
        return min(self.counts, key=lambda d: abs(d - strength))

    def caption(self, strength):
        """The picture in words."""
        d = self._nearest(strength)
        found = (self.counts[d] >= self.alarm).mean()
        return (
            f"At delta = {d:g}, ≈ {self.counts[d].mean():.1f} of {self.length} values are green, where "
            f"{self.length * self.share:.1f} are expected without a watermark; ≈ {found:.0%} of the images have "
            f"{self.alarm} or more, and an image costs ≈ {self.nats[d]:.1f} nats more."
        )

    def figure(self, strength):
        """Bars: counts of the stored images. Dots: the binomial law without a watermark. A line: the alarm."""
        from math import comb

        d = self._nearest(strength)
        with style():
            tall = 3.1
            fig = new_figure(WIDTH, tall)
            found = (self.counts[d] >= self.alarm).mean()
            words = wrap(f"delta = {d:g}: ≈ {found:.0%} of the images are recognized", WIDTH - 0.3, TITLE, "bold")
            fig.text(0.1 / WIDTH, 1 - 0.1 / tall, words, fontsize=TITLE, fontweight="bold", va="top")
            ax = fig.add_axes((0.75 / WIDTH, 0.55 / tall, (WIDTH - 0.95) / WIDTH, 2.15 / tall))
            k = np.arange(self.length + 1)
            law = np.array([comb(self.length, i) * self.share**i * (1 - self.share) ** (self.length - i) for i in k])
            seen = np.bincount(self.counts[d], minlength=self.length + 1) / len(self.counts[d])
            green = k >= self.alarm
            ax.bar(k[~green], seen[~green], width=0.9, color=palette["sky"], lw=0)
            ax.bar(k[green], seen[green], width=0.9, color=palette["orange"], hatch="////", edgecolor="white", lw=0)
            ax.plot(k, law, marker="o", ms=3.5, lw=1.2, color="black", ls="-", mec="white", mew=0.4)
            ax.axvline(self.alarm - 0.5, color=INK, lw=1.4, ls=(0, (4, 2)))
            top = max(0.16, 1.15 * seen.max())
            ax.set(
                xlim=(10, self.length + 0.6), ylim=(0, top), xlabel="green values of an image", ylabel="share of images"
            )
            ax.text(self.alarm - 0.1, top * 0.97, f"alarm: {self.alarm} or more", fontsize=SMALL, va="top")
            ax.text(
                self.length * self.share - 4.3,
                law.max() * 1.02,
                "no watermark,\nexact",
                fontsize=SMALL,
                ha="right",
                va="top",
            )
            ax.xaxis.label.set_fontsize(LABEL)
            ax.tick_params(labelsize=SMALL)
        return fig
