"""Histograms with the models that should explain them, and a Gaussian that is dragged over data by hand."""

import math
from collections.abc import Mapping

import numpy as np

from garm_course.show.figures import (
    INK,
    LABEL,
    LINE_COLORS,
    LINE_STYLES,
    MARKERS,
    MUTED,
    SMALL,
    TITLE,
    WIDTH,
    as_array,
    new_figure,
    palette,
    readable,
    show_figure,
    style,
    text_width,
    wrap,
)
from garm_course.show.sliders import Dial, slide


def histograms(panels, *, alt, title=None, xlabel="level", ylabel="probability", left=-0.5, ymax=None, display_id=None):
    """Show histograms of data as bars, with the distributions of models over them, in one panel or several.

    Args:
        panels: mapping from the title of a panel to a mapping from name to distribution. The first distribution is the
            data's: probabilities (levels,), drawn as bars of width 1. Others are probabilities (levels,), drawn as
            marks in the middle of the bars, unconnected since there is nothing between levels, or pairs (t, density) of
            equal length, drawn as a line. Equal names look equal in all panels.
        alt: alternative text, also the caption.
        title: the finding, above the panels.
        xlabel: what is on the axes, with units.
        ylabel: what is on the axes, with units.
        left: where the bar of level 0 begins: -0.5 puts its middle at 0; 0 is for numbers spread over [k, k + 1).
        ymax: upper end of the vertical axes; None lets the bars decide, and marks that are higher leave at the top.

    Raises:
        ValueError: without panels, or for what is no distribution.
    """
    fig = histograms_figure(panels, title=title, xlabel=xlabel, ylabel=ylabel, left=left, ymax=ymax)
    show_figure(fig, alt, display_id=display_id)


def histograms_figure(panels, *, title=None, xlabel="level", ylabel="probability", left=-0.5, ymax=None):
    """The figure that `histograms` shows; arguments as there."""
    panels = {name: _distributions(name, parts) for name, parts in dict(panels).items()}
    if not panels:
        raise ValueError("expected at least one panel, got none; pass {title: {name: probabilities}}")
    names = list(dict.fromkeys(name for parts in panels.values() for name in list(parts)[1:]))
    bars = list(dict.fromkeys(next(iter(parts)) for parts in panels.values()))
    n = len(panels)
    with style():
        title = wrap(title, WIDTH - 0.3, TITLE, "bold") if title else ""
        head = 0.12 + 0.24 * (title.count("\n") + 1) * bool(title)
        between, before = 0.5, 0.85
        panel = (WIDTH - before - 0.15 - between * (n - 1)) / n
        above = [wrap(name, panel, LABEL, "bold") if name else "" for name in panels]
        named = 0.22 * max(text.count("\n") + 1 if text else 0 for text in above)
        tall = 1.8
        height = head + 0.3 + named + tall + 0.55
        fig = new_figure(WIDTH, height)
        if title:
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        handles = {}
        for k, (text, parts) in enumerate(zip(above, panels.values(), strict=True)):
            across = before + k * (panel + between)
            ax = fig.add_axes((across / WIDTH, 0.55 / height, panel / WIDTH, tall / height))
            for i, (name, values) in enumerate(parts.items()):
                if i == 0:
                    middle = np.arange(len(values)) + left + 0.5
                    look = {"color": palette["sky"], "edgecolor": "white", "linewidth": 0.4, "width": 1.0}
                    handles.setdefault(name, ax.bar(middle, values, **look))
                    ax.set_xlim(left - 0.3, left + len(values) + 0.3)
                    ax.set_ylim(0, ymax or 1.15 * values.max())
                    continue
                j = names.index(name)
                color = palette[LINE_COLORS[1:][j % 4]]
                if isinstance(values, tuple):
                    [drawn] = ax.plot(*values, color=color, ls=LINE_STYLES[j % len(LINE_STYLES)])
                else:
                    mark = {"marker": MARKERS[j % len(MARKERS)], "ms": 5.5, "mec": "white", "mew": 0.6, "ls": ""}
                    [drawn] = ax.plot(np.arange(len(values)) + left + 0.5, values, color=color, **mark)
                handles.setdefault(name, drawn)
            ax.set_xlabel(xlabel)
            if k == 0:
                ax.set_ylabel(ylabel)
            ax.tick_params(labelsize=SMALL)
            ax.locator_params(axis="y", nbins=5)
            fig.text(across / WIDTH, (0.63 + tall) / height, text, fontsize=LABEL, fontweight="bold", va="bottom")
        order = [*bars, *names]
        anchor = (0.1 / WIDTH, 1 - (head - 0.02) / height)
        options = {"ncols": len(order), "fontsize": SMALL, "frameon": False, "borderaxespad": 0, "handlelength": 2.4}
        fig.legend([handles[name] for name in order], order, loc="upper left", bbox_to_anchor=anchor, **options)
    return fig


def _distributions(panel, parts):
    """The distributions of a panel as arrays, the data's first."""
    where = f" in panel {panel!r}" if panel else ""
    if not isinstance(parts, Mapping) or not parts:
        raise ValueError(f"expected a mapping from name to probabilities{where}, got {type(parts).__name__}")
    found = {}
    for i, (name, values) in enumerate(parts.items()):
        if isinstance(values, tuple):
            t, density = (as_array(v) for v in values)
            if i == 0 or t.shape != density.shape or t.ndim != 1 or not np.isfinite(density).all() or density.min() < 0:
                raise ValueError(
                    f"expected bars first, then lines (t, density) of equal length, at least 0; look at {name!r}{where}"
                )
            found[name] = t, density
            continue
        probs = as_array(values)
        if probs.ndim != 1 or not np.isfinite(probs).all() or probs.min() < 0 or probs.sum() > 1 + 1e-3:
            raise ValueError(f"expected probabilities (levels,) with a sum of at most 1 for {name!r}{where}")
        found[name] = probs
    return found


def density_fit(x, *, bins=20, limits=None, mean=None, width=None, xlabel="value"):
    """Drag a Gaussian over data by two sliders, its mean and its width, and watch what it scores.

    The data's density is their histogram: constant on each bin, with the entropy H. So the negative log-likelihood of
    the Gaussian, NLL = H + KL(data || Gaussian), its floor and its distance from the truth are all known exactly.
    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        x: real or whole numbers (N,), the data.
        bins: how many bins the histogram has.
        limits: (low, high), the ends of the histogram; None for those of the data. For levels 0..L-1 take bins=L and
            limits=(0, L): level k then fills [k, k + 1).
        mean: of the Gaussian in the first view; the best ones by default.
        width: of the Gaussian in the first view; the best ones by default.
        xlabel: what is on the horizontal axis, with its unit.

    Raises:
        ValueError: for data that are empty, not finite, or outside of the limits, or a width that is not positive.
    """
    fit = GaussianFit(x, bins=bins, limits=limits, xlabel=xlabel)
    mean = fit.best[0] if mean is None else float(mean)
    width = fit.best[1] if width is None else float(width)
    if not (math.isfinite(mean) and math.isfinite(width) and width > 0):
        raise ValueError(f"expected a finite mean and a width above 0, got {mean} and {width}")
    low, high = (round(float(end), 6) for end in (fit.edges[0], fit.edges[-1]))
    step = (high - low) / 100
    dials = [
        Dial("mean", mean, min(low, mean), max(high, mean), step),
        Dial("width", width, min(2 * step, width), max(high - low, width), step),
    ]
    slide("density-fit", fit.figure, fit.caption, dials)


class GaussianFit:
    """A histogram as a density, and what Gaussians score on it: the numbers and pictures of `density_fit`.

    Attributes:
        edges: (bins + 1,).
        probs: (bins,), the sum is 1.
        entropy: of the density, in nats.
        best: mean and width of the Gaussian with the smallest KL(data || Gaussian): those of the histogram.
    """

    def __init__(self, x, bins=20, limits=None, xlabel="value"):
        x = as_array(x)
        if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
            raise ValueError(f"expected finite numbers (N,), N at least 1, got shape {x.shape}")
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
            raise ValueError(f"expected a number of bins of at least 1, got {bins!r}")
        low, high = map(float, limits or (x.min(), x.max()))
        if not (low < high and low <= x.min() and x.max() <= high):
            raise ValueError(
                f"expected limits around the data {x.min():g}..{x.max():g}, low < high, got {low:g}..{high:g}"
            )
        self.n, self.xlabel = len(x), xlabel
        counts, self.edges = np.histogram(x, bins, (low, high))
        self.probs = counts / counts.sum()
        self.bin = (high - low) / bins
        self.middles = (self.edges[1:] + self.edges[:-1]) / 2
        filled = self.probs > 0
        self.entropy = -np.sum(self.probs[filled] * np.log(self.probs[filled] / self.bin))
        mean = self.probs @ self.middles
        self.best = mean, math.sqrt(self.probs @ (self.middles - mean) ** 2 + self.bin**2 / 12)

    def nll(self, mean, width):
        """-log density of N(mean, width²), averaged over the histogram, in nats."""
        square = (self.best[0] - np.asarray(mean)) ** 2 + self.best[1] ** 2  # the mean of (x - mean)²
        return 0.5 * np.log(2 * np.pi * width**2) + square / (2 * width**2)

    def kl(self, mean, width):
        """KL(data || N(mean, width²)) in nats: what the Gaussian scores above the floor."""
        return self.nll(mean, width) - self.entropy

    def caption(self, mean, width):
        """One sentence with the scores. It keeps the best Gaussian for whoever finds it with the sliders."""
        found = " No Gaussian does better." if self.kl(mean, width) < self.kl(*self.best) + 0.005 else ""
        return (
            f"A Gaussian with mean {mean:.1f} and width {width:.1f} over {self.n:,} observations: its NLL is "
            f"{self.nll(mean, width):.2f} nats, the entropy of the data {self.entropy:.2f} nats, so KL(data || "
            f"Gaussian) is {self.kl(mean, width):.2f} nats.{found}"
        )

    def figure(self, mean, width):
        """Left: the histogram and the Gaussian. Right: the NLL over the mean at this width, between floor and dot."""
        low, high = self.edges[0], self.edges[-1]
        span = high - low
        t = np.linspace(low - 0.15 * span, high + 0.15 * span, 401)
        curve = np.exp(-0.5 * ((t - mean) / width) ** 2) / (width * math.sqrt(2 * math.pi))
        heights = self.probs / self.bin
        height = 3.3
        with style():
            fig = new_figure(WIDTH, height)
            ax = fig.add_axes((0.75 / WIDTH, 0.55 / height, 2.75 / WIDTH, 2.3 / height))
            bars = {"width": self.bin, "color": palette["sky"], "edgecolor": "white", "linewidth": 0.4}
            ax.bar(self.middles, heights, **bars)
            ax.plot(t, curve, color=palette["vermillion"], ls="-")
            ax.set(xlim=(t[0], t[-1]), ylim=(0, 1.25 * heights.max()), xlabel=self.xlabel, ylabel="density")
            ax.locator_params(axis="y", nbins=5)
            words = {"fontsize": LABEL, "fontweight": "bold", "va": "top"}
            fig.text(0.75 / WIDTH, 1 - 0.12 / height, "The data and your Gaussian", **words)
            fig.text(4.25 / WIDTH, 1 - 0.12 / height, "What it scores", **words)

            right = fig.add_axes((4.25 / WIDTH, 0.55 / height, 2.05 / WIDTH, 2.3 / height))
            now, least = self.nll(mean, width), self.nll(self.best[0], width)
            means = np.linspace(low, high, 201)
            top = max(now, least + 3.0)
            bottom = self.entropy - 0.08 * (top - self.entropy)
            top += 0.12 * (top - bottom)
            right.plot(means, self.nll(means, width), color=palette["blue"], ls="-")
            right.axhline(self.entropy, color="black", lw=1.6, ls="-")
            right.axhspan(bottom, self.entropy, facecolor="#F2F2F2", edgecolor="#BBBBBB", hatch="////", lw=0)
            at = min(max(mean, low), high)
            arrow = {"arrowstyle": "<->", "color": INK, "lw": 1.2, "shrinkA": 0, "shrinkB": 6}
            right.annotate("", (at, now), (at, self.entropy), arrowprops=arrow)  # from the floor to the dot
            right.plot([at], [now], marker="o", ms=8, color=palette["vermillion"], mec="white", ls="", zorder=5)
            label = f"KL {now - self.entropy:.2f} nats"
            inches = text_width(label, LABEL, "bold") + 0.12
            side = -1 if (at - low) / (high - low) * 2.05 > inches else 1
            ha = "right" if side < 0 else "left"
            place = (at + side * 0.03 * (high - low), (now + self.entropy) / 2)
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
            right.text(*place, label, fontsize=LABEL, fontweight="bold", ha=ha, va="center", bbox=box)
            right.set(xlim=(low, high), ylim=(bottom, top), xlabel="mean of the Gaussian", ylabel="NLL (nats)")
            right.locator_params(axis="y", nbins=6)
            edge = {"fontsize": SMALL, "va": "center", "clip_on": False}
            right.text(high + 0.02 * span, self.entropy, "  entropy", color=INK, **edge)
            blue = {"color": readable(palette["blue"]), "transform": right.transAxes, "ha": "left", "va": "top"}
            right.text(0.0, 1.06, f"NLL at width {width:.1f}", fontsize=SMALL, **blue)
            right.tick_params(labelsize=SMALL)
            ax.tick_params(labelsize=SMALL, colors=MUTED)
        return fig
