"""The rate-distortion curve of a sweep over beta, with a slider: what a VAE keeps when its code becomes expensive."""

import numpy as np

from garm_course.show.figures import INK, LABEL, MUTED, SMALL, WIDTH, new_figure, palette, readable, style
from garm_course.show.grids import check_images, colors
from garm_course.show.sliders import Dial, slide

MOST = 8  # images that fit in a row
LOOK = {  # of the two splits: color, line style, marker
    "training": (palette["blue"], "-", "o"),
    "validation": (palette["vermillion"], (0, (6, 2)), "s"),
}


def beta_sweep(study, images, *, levels, beta=1.0):
    """Show a recorded sweep over beta, with a slider over its betas; see `Sweep.figure`.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        study: from `recorded_study`: "runs" with beta, seed, the rate and distortion of "train" and "validation", the
            KL of each latent, and, for one seed of each beta, the reconstructions of the first validation images.
        images: whole numbers (N, C, H, W): these images, at least as many as were reconstructed.
        levels: number of gray levels.
        beta: of the first view; one of the study's.

    Raises:
        ValueError: for a beta that the study lacks, or images that do not fit the reconstructions.
    """
    sweep = Sweep(study, images, levels)
    first = sweep.number(beta)
    slide("beta-sweep", sweep.figure, sweep.caption, [Dial("number of beta", first, 1, len(sweep.betas))])


class Sweep:
    """The numbers and pictures of `beta_sweep`; means over the seeds, in nats per image.

    Attributes:
        betas: ascending.
        seeds: how many runs each beta has.
        rate: mapping from "training" and "validation" to (betas,) means over the seeds.
        distortion: the same for the distortion.
        kl: list of (Z,), the KL of each latent on validation data in the run that is drawn, largest first.
        reconstructions: list of whole numbers (N, C, H, W).
    """

    def __init__(self, study, images, levels):
        runs = sorted(study["runs"], key=lambda r: (r["beta"], r["seed"]))
        self.betas = sorted({r["beta"] for r in runs})
        if len(self.betas) < 2:
            raise ValueError(f"expected runs of at least two betas, got {self.betas}; record them in one study")
        self.seeds = len(runs) // len(self.betas)
        of = {"training": "train", "validation": "validation"}
        self.runs = {
            name: np.array([[r["beta"], r[split]["rate"], r[split]["distortion"]] for r in runs])
            for name, split in of.items()
        }
        self.rate = {name: self._means(table, 1) for name, table in self.runs.items()}
        self.distortion = {name: self._means(table, 2) for name, table in self.runs.items()}
        drawn = [r for r in runs if "reconstructions" in r]
        if [r["beta"] for r in drawn] != self.betas:
            raise ValueError("expected reconstructions in exactly one run of each beta; record the study again")
        self.kl = [np.sort(r["validation"]["kl"])[::-1] for r in drawn]
        tables = [np.array(r["reconstructions"]) for r in drawn]
        images = check_images(images, levels)
        n, size = tables[0].shape
        if n > MOST:
            raise ValueError(f"expected reconstructions of at most {MOST} images, got {n}; record fewer")
        if len(images) < n or images[0].size != size:
            raise ValueError(
                f"expected at least {n} images of {size} numbers, as many as were reconstructed, got {images.shape}"
            )
        self.images, self.levels = images[:n], levels
        self.reconstructions = [check_images(t.reshape(self.images.shape), levels) for t in tables]

    def _means(self, table, column):
        return np.array([table[table[:, 0] == beta, column].mean() for beta in self.betas])

    def number(self, beta):
        """Position of a beta among the study's, counted from 1, as the slider counts."""
        if beta not in self.betas:
            raise ValueError(f"expected one of the study's betas {', '.join(f'{b:g}' for b in self.betas)}, got {beta}")
        return self.betas.index(beta) + 1

    def chords(self, split="training"):
        """(betas - 1,) slopes of the straight lines between neighbors on the curve."""
        return np.diff(self.distortion[split]) / np.diff(self.rate[split])

    def caption(self, number):
        """One sentence on this beta, with its figures on validation data."""
        k = number - 1
        rate, distortion = self.rate["validation"][k], self.distortion["validation"][k]
        most = self.kl[k][0]
        return (
            f"Number {number} of {len(self.betas)}, beta = {self.betas[k]:g}: on validation data the rate is "
            f"{rate:.1f} nats and the distortion {distortion:.1f} nats, together {rate + distortion:.1f}; "
            f"{int((self.kl[k] > 0.01).sum())} of {len(self.kl[k])} latents carry more than 0.01 nats, the busiest one "
            f"{most:.2f}."
        )

    def figure(self, number):
        """Left: the curve, with the line of slope -beta. Right: KL of each latent. Below: what is reconstructed."""
        k = number - 1
        beta, height = self.betas[k], 5.3
        with style():
            fig = new_figure(WIDTH, height)
            left = fig.add_axes((0.75 / WIDTH, 2.2 / height, 3.3 / WIDTH, 2.6 / height))
            right = fig.add_axes((4.95 / WIDTH, 2.2 / height, 2.1 / WIDTH, 2.6 / height))
            self._curve(left, k)
            self._bars(right, k)
            words = {"fontsize": LABEL, "fontweight": "bold", "va": "top"}
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, f"β = {beta:g}: what the code costs, and saves", **words)
            fig.text(4.45 / WIDTH, 1 - 0.1 / height, "Who pays: KL of each latent", **words)
            self._pictures(fig, k, height)
        return fig

    def _curve(self, ax, k):
        for name, (color, line, marker) in LOOK.items():
            _, rates, distortions = self.runs[name].T
            ax.plot(rates, distortions, ls="", marker=marker, ms=3, color=color, alpha=0.35, mew=0)
            ax.plot(self.rate[name], self.distortion[name], color=color, ls=line, lw=1.6)
            x, y = self.rate[name][k], self.distortion[name][k]
            ax.plot([x], [y], marker=marker, ms=9, color=color, mec="black", mew=1.2, ls="", zorder=5)
            at = 1  # where the two curves are far apart
            place = (self.rate[name][at], self.distortion[name][at])
            below = name == "training"
            ax.annotate(
                name, place, (4, -5 if below else 6), textcoords="offset points", fontsize=SMALL,
                ha="right" if below else "left", va="top" if below else "bottom", color=readable(color),
            )  # fmt: skip
        every = np.concatenate(list(self.runs.values()))
        high, low, top = every[:, 1].max() * 1.06, every[:, 2].min() - 3, every[:, 2].max() + 4
        x, y = self.rate["training"][k], self.distortion["training"][k]
        line = np.array([-1.0, high])
        ax.plot(line, y - self.betas[k] * (line - x), color=INK, ls=(0, (1, 1.5)), lw=1.3, zorder=1)
        ax.text(
            0.97, 0.97, f"dotted: slope −β = −{self.betas[k]:g}", transform=ax.transAxes, fontsize=SMALL, ha="right",
            va="top", color=MUTED,
        )  # fmt: skip
        ax.set(xlim=(-0.03 * high, high), ylim=(low, top), xlabel="rate: KL (nats per image)")
        ax.set_ylabel("distortion: −log p(x | z) (nats)")

    def _bars(self, ax, k):
        top = 1.12 * max(kl[0] for kl in self.kl)
        bars = ax.bar(range(1, len(self.kl[k]) + 1), self.kl[k], color=palette["sky"], edgecolor="black", linewidth=0.6)
        for bar, nats in zip(bars, self.kl[k], strict=True):
            if nats <= 0.01:
                ax.text(bar.get_x() + bar.get_width() / 2, 0.02 * top, "×", ha="center", va="bottom", fontsize=LABEL)
        ax.set(ylim=(0, top), xlabel="latent, by KL (×: below 0.01)", ylabel="nats per image")
        ax.set_xticks(range(1, len(self.kl[k]) + 1))
        ax.tick_params(labelsize=SMALL)

    def _pictures(self, fig, k, height):
        side, left = 0.62, 1.55
        rows = (("digits", self.images), ("reconstructed", self.reconstructions[k]))
        for r, (name, x) in enumerate(rows):
            up = 0.82 - r * (side + 0.1)
            fig.text((left - 0.1) / WIDTH, (up + side / 2) / height, name, fontsize=SMALL, ha="right", va="center")
            for c, picture in enumerate(colors(x, self.levels)):
                box = ((left + c * (side + 0.07)) / WIDTH, up / height, side / WIDTH, side / height)
                ax = fig.add_axes(box)
                ax.imshow(picture, interpolation="nearest", aspect="auto")
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set(visible=True, color="#D1D1D1", linewidth=0.8)
