"""The likelihood ladder of a data set: every recorded model, from the baselines down, as a picture and as a table."""

import math

import numpy as np

from garm_course.models import words
from garm_course.show.figures import (
    INK,
    LINE_COLORS,
    MUTED,
    SMALL,
    TITLE,
    WIDTH,
    new_figure,
    palette,
    show_figure,
    style,
    text_width,
    wrap,
)
from garm_course.show.tables import Table


def likelihood_ladder(results, *, split="validation", highlight=None, title=None):
    """Show all recorded models of one data set: a picture of their NLL with standard errors, and a table.

    A model whose figure is a bound (a VAE's) is marked: its NLL is at most the figure, so the truth lies to the left.

    Args:
        results: entries of `results/` on one data set (`recipes.recorded_on("digits")`).
        split: "train", "validation" or "test".
        highlight: names of models (`"made"`) that the lesson is about.
        title: the finding.

    Raises:
        ValueError: for no results, results on several data sets, or a split that one of them lacks.
    """
    rungs = Rungs(results, split)
    show_figure(rungs.figure(title, set(highlight or [])), rungs.alt())
    from IPython.display import display

    display(rungs.table())


class Rungs:
    """The rungs of a ladder, from the worst to the best: what `likelihood_ladder` shows.

    Attributes:
        rows: list of (name, nats, standard error, result or None for a baseline).
        floor: (nats, standard error) of the entropy of the data, or None where it is unknown.
    """

    def __init__(self, results, split="validation"):
        results = list(results)
        if not results:
            raise ValueError("expected at least one recorded result, got none; record one with tools/record.py")
        data = sorted({result["data"] for result in results})
        if len(data) > 1:
            found = " and ".join(data)
            raise ValueError(f"expected results on one data set, got {found}; they do not compare: use recorded_on")
        missing = [result["model"] for result in results if split not in result]
        if missing:
            names = ", ".join(missing)
            raise ValueError(f"no figures of the split {split!r} for {names}; record them with tools/record.py")
        self.data, self.split = data[0], split
        first = results[0][split]
        self.dims = round(first["nats"] / first["bits_per_dim"] / math.log(2))
        rows = [(words(r["model"]), r[split]["nats"], _error(r[split], len(r["seeds"])), r) for r in results]
        if split == "validation":  # the baselines are recorded for this split
            rows += [(name, b["nats"], b["stderr"], None) for name, b in results[0]["baselines"].items()]
        self.rows = sorted(rows, key=lambda row: -row[1])
        floor = next((r["floor"] for r in results if r["floor"]), None)
        self.floor = floor and (floor["nats"], floor["stderr"])

    def table(self):
        """One row for each rung, with what it took; printed as text, rendered in a notebook."""
        header = ["model", "nats per image", "bits/dim", "parameters", "CPU seconds", "seeds", "command"]
        rows, kinds = [], []
        for name, nats, stderr, result in self.rows:
            sign = "≤ " if self.bound(result) else ""
            figures = [f"{sign}{nats:.1f} ± {stderr:.1f}" if stderr > 1e-9 else f"{sign}{nats:.1f}"]
            figures.append(f"{sign}{nats / self.dims / math.log(2):.3f}")
            if result is None:
                rows.append([f"{name} (baseline)", *figures, "", "", "", ""])
            else:
                command = result["command"][0].rpartition(" --seed")[0]
                seconds = f"{np.mean(result['cpu_seconds']):.0f}"
                seeds = str(len(result["seeds"]))
                rows.append([name, *figures, f"{result['parameters']:,}", seconds, seeds, command])
            kinds.append("baseline" if result is None else "")
        if self.floor:
            nats, bits = f"{self.floor[0]:.1f}", f"{self.floor[0] / self.dims / math.log(2):.3f}"
            rows.append(["entropy of the data (floor)", nats, bits, "", "", "", ""])
            kinds.append("floor")
        return Table(header, rows, kinds)

    def bound(self, result):
        """Name of the bound ("IWAE-500") that a result gives in place of the exact NLL, or ""."""
        return result[self.split].get("bound", "") if result else ""

    def alt(self):
        """The picture in words, with its figures."""
        rungs = ", ".join(
            f"{name} {'at most ' if self.bound(result) else ''}{nats:.1f}" for name, nats, _, result in self.rows
        )
        floor = f"; the floor is the entropy of the data, {self.floor[0]:.1f}" if self.floor else ""
        return f"Likelihood ladder of {self.data}, {self.split} split, nats per image, lower is better: {rungs}{floor}."

    def figure(self, title=None, highlight=frozenset()):
        """A dot for each rung, with two standard errors on either side; the worst baselines are off the axis."""
        best = min(nats for _, nats, _, _ in self.rows)
        models = [nats for _, nats, _, result in self.rows if result]
        low = min(best, self.floor[0] if self.floor else best)
        near = [nats for _, nats, _, _ in self.rows if nats <= max(models) + 0.6 * (max(models) - low) + 8]
        margin = 0.06 * (max(near) - low) + 2 * max(stderr for *_, stderr, _ in self.rows if math.isfinite(stderr))
        with style():
            title = wrap(title or f"The likelihood ladder of {self.data}", WIDTH - 0.3, TITLE, "bold")
            head = 0.2 + 0.24 * (title.count("\n") + 1)
            height = head + 0.27 * len(self.rows) + 0.75
            left = max(text_width(name, SMALL, "bold") for name, *_ in self.rows) + 0.3
            fig = new_figure(WIDTH, height)
            fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
            ax = fig.add_axes((left / WIDTH, 0.55 / height, 1 - (left + 0.75) / WIDTH, 1 - (0.55 + head) / height))
            high = max(near) + margin
            ax.set(xlim=(low - margin, high), ylim=(len(self.rows) - 0.4, -0.6))
            ax.set_xlabel(f"nats per image ({self.split}), ± 2 standard errors", loc="right")
            ax.set_yticks(range(len(self.rows)), [name for name, *_ in self.rows], color=INK)
            ax.tick_params(axis="y", length=0)
            for k, (_, nats, stderr, result) in enumerate(self.rows):
                lit = result is not None and result["model"] in highlight
                color = MUTED if result is None else palette["vermillion" if lit else LINE_COLORS[0]]
                if lit:
                    ax.get_yticklabels()[k].set_fontweight("bold")
                ax.axhline(k, color="#EEEEEE", lw=0.8, ls="-", zorder=0)
                outside = nats > high
                bound = self.bound(result)
                figure = ("≤ " if bound else "") + f"{nats:.1f}" + ("  →" if outside else "")
                ax.text(1.01, k, figure, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL, color=color)
                if not outside:
                    marker = ("<" if bound else "o") if result else "|"
                    ax.errorbar(nats, k, xerr=2 * stderr, color=color, marker=marker, ms=6, lw=1.4, ls="none")
            if self.floor:
                ax.axvline(self.floor[0], color="black", lw=1.6, ls="-", zorder=1)
                ax.axvspan(low - margin, self.floor[0], facecolor="#F2F2F2", edgecolor="#BBBBBB", hatch="////", lw=0)
                ax.text(self.floor[0], -0.65, f" entropy {self.floor[0]:.1f}", fontsize=SMALL, va="bottom", ha="center")
        return fig


def _error(figures, seeds):
    """Standard error of a mean over examples and seeds: that of the examples, and the spread of the seeds."""
    return math.hypot(figures["stderr"], figures.get("seed_std", 0.0) / math.sqrt(seeds))
