"""An attack as a threshold on scores: what it finds, what it takes for a member by mistake, and what privacy allows."""

import numpy as np

from garm_course.show.figures import (
    INK,
    LABEL,
    MUTED,
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

LOWEST = 1e-3  # false positive rate at which the logarithmic axis begins


def thresholds(scores, member, *, epsilon, delta, ends, threshold=None):
    """Show an attack at one threshold, its curve on logarithmic axes, and the bound of privacy, with a slider.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        scores: mapping from the name of an attack to its scores (N,), lower for members; the last one is cut.
        member: BoolTensor (N,), True for what was in the training data.
        epsilon: of the promise that is drawn, above 0.
        delta: of that promise, in (0, 1).
        ends: (low, high) of the slider and the histograms; scores beyond are counted in the last bars.
        threshold: of the first view; None for the one with at most 1 % false positives.
    """
    view = Thresholds(scores, member, epsilon, delta, ends)
    dial = Dial("threshold", float(view.default if threshold is None else threshold), view.low, view.high, view.step)
    slide("thresholds", view.figure, view.caption, [dial])


class Thresholds:
    """The numbers and pictures of `thresholds`.

    Attributes:
        scores: name -> (scores of members, scores of others), sorted.
        default: the largest threshold with at most 1 % false positives.
        low: lower end of the slider.
        high: upper end of the slider.
        step: of the slider.
    """

    def __init__(self, scores, member, epsilon, delta, ends):
        member = as_array(member).astype(bool)
        self.scores = {
            name: (np.sort(as_array(s)[member]), np.sort(as_array(s)[~member])) for name, s in scores.items()
        }
        if not self.scores or not member.any() or member.all():
            raise ValueError("expected scores of at least one attack, for members and for others")
        self.name = list(self.scores)[-1]
        self.epsilon, self.delta = epsilon, delta
        others = self.scores[self.name][1]
        self.default = others[int(0.01 * len(others))]
        self.low, self.high = map(float, ends)
        self.step = (self.high - self.low) / 100
        self.default = min(max(self.default, self.low), self.high)

    def rates(self, threshold):
        """True and false positive rate of "a member, if its score is below the threshold"."""
        return tuple(float(np.searchsorted(side, threshold) / len(side)) for side in self.scores[self.name])

    def bound(self, fpr):
        """The most that the promise allows at this false positive rate."""
        ratio = np.exp(min(self.epsilon, 700.0))
        return np.minimum(np.minimum(ratio * fpr + self.delta, 1 - (1 - self.delta - fpr) / ratio), 1.0)

    def caption(self, threshold):
        """The picture in words."""
        tpr, fpr = self.rates(threshold)
        return (
            f"Below ≈ {threshold:.1f} the attack calls an image a member: it finds ≈ {tpr:.1%} of the members, and is "
            f"wrong about ≈ {fpr:.1%} of the others. Under a promise of epsilon {self.epsilon:g} and delta "
            f"{self.delta:g}, no attack could find more than ≈ {self.bound(fpr):.1%} at that price."
        )

    def figure(self, threshold):
        """Left: histograms of the scores and the threshold. Right: the curves of all attacks, and the bound."""
        with style():
            tall = 3.4
            fig = new_figure(WIDTH, tall)
            tpr, fpr = self.rates(threshold)
            words = wrap("One threshold is one point of a curve", WIDTH - 0.3, TITLE, "bold")
            fig.text(0.1 / WIDTH, 1 - 0.1 / tall, words, fontsize=TITLE, fontweight="bold", va="top")
            left = fig.add_axes((0.65 / WIDTH, 0.55 / tall, 2.75 / WIDTH, 2.35 / tall))
            members, others = self.scores[self.name]
            edges = np.linspace(self.low, self.high, 41)
            for side, name, color, line in (
                (others, "not in the data", "blue", (0, (3, 1.5))),
                (members, "members", "vermillion", "-"),
            ):
                inside = np.clip(side, self.low, self.high)
                left.hist(inside, edges, histtype="stepfilled", color=palette[color], alpha=0.28, lw=0, ls="-")
                left.hist(inside, edges, histtype="step", color=palette[color], lw=1.6, ls=line)
                left.plot([], [], color=palette[color], lw=1.6, ls=line, label=name)
            left.set_ylim(0, left.get_ylim()[1] * 1.4)
            left.axvline(threshold, ymax=0.73, color=INK, lw=1.8, ls="-")
            left.set_xlabel(f"score ({self.name})", fontsize=LABEL)
            left.set_ylabel("images", fontsize=LABEL)
            left.legend(loc="upper left", fontsize=SMALL, frameon=False, handlelength=1.6, borderaxespad=0.1)
            left.tick_params(labelsize=SMALL)

            right = fig.add_axes((4.2 / WIDTH, 0.55 / tall, 2.8 / WIDTH, 2.35 / tall))
            at = np.logspace(np.log10(LOWEST), 0, 200)
            right.fill_between(at, self.bound(at), 1, facecolor="#F2F2F2", edgecolor="#BBBBBB", hatch="////", lw=0)
            right.plot(at, self.bound(at), color="black", lw=1.4, ls="-")
            right.plot(at, at, color=MUTED, lw=1.2, ls=(0, (1, 1.5)), label="chance")
            for (name, (inside, out)), color, line in zip(
                self.scores.items(), ("blue", "vermillion"), ((0, (6, 2)), "-"), strict=False
            ):
                cuts = np.unique(np.concatenate([inside, out]))
                x = np.searchsorted(out, cuts, side="right") / len(out)
                y = np.searchsorted(inside, cuts, side="right") / len(inside)
                look = {"color": palette[color], "lw": 1.8, "ls": line, "label": name}
                right.plot(np.maximum(x, LOWEST), y, drawstyle="steps-post", **look)
            right.plot(max(fpr, LOWEST), max(tpr, LOWEST), marker="o", ms=8, color=INK, mec="white", ls="", zorder=5)
            right.set(xscale="log", yscale="log", xlim=(LOWEST, 1), ylim=(LOWEST, 1.15))
            right.legend(loc="lower right", fontsize=SMALL, frameon=False, handlelength=1.8, borderaxespad=0.1)
            words = f"hatched: excluded by ε = {self.epsilon:g}"
            right.set_title(words, fontsize=SMALL, fontweight="normal", loc="left", pad=5)
            right.set_xlabel("false positive rate", fontsize=LABEL)
            right.set_ylabel("true positive rate", fontsize=LABEL)
            right.tick_params(labelsize=SMALL)
        return fig
