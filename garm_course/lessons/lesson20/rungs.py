"""Curves of a search that stops early: those that a rung stopped go on in pale."""

from garm_course.show.figures import FAINT, MUTED, SMALL, TITLE, WIDTH, new_figure, palette, show_figure, style, wrap


def rungs_figure(curves, rungs, *, steps, title):
    """Validation curves of all configurations, strong up to the rung where each was stopped, pale after it.

    Args:
        curves: mapping from configuration, an index, to pairs [(step, nats), ...].
        rungs: R lists of indices, as `halve` returns them.
        steps: of the R rungs.
        title: the finding.
    """
    title = wrap(title, WIDTH - 0.2, TITLE, "bold")
    height = 3.4 + 0.22 * (title.count("\n") + 1)
    reached = {i: max(s for s, rung in zip(steps, rungs, strict=True) if i in rung) for i in curves}
    with style():
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((0.75 / WIDTH, 0.6 / height, (WIDTH - 2.35) / WIDTH, 2.5 / height))
        looks = {steps[0]: (palette["sky"], 0.9), steps[-1]: (palette["vermillion"], 2.2)}
        for i, points in curves.items():
            color, width = looks.get(reached[i], (palette["blue"], 1.4))
            kept, rest = ([(s, v) for s, v in points if keep(s)] for keep in (reached[i].__ge__, reached[i].__le__))
            ax.plot(*zip(*rest, strict=True), color=FAINT, lw=0.9, ls="-", zorder=1)
            ax.plot(*zip(*kept, strict=True), color=color, lw=width, ls="-")
            ax.plot(*kept[-1], marker="o", ms=2 + width, color=color)
        for step, rung in zip(steps, rungs, strict=True):
            ax.axvline(step, color=MUTED, lw=0.8, ls=":")
            ax.text(step, 1.01, f"{len(rung)} runs", fontsize=SMALL, color=MUTED, va="bottom", ha="center",
                    transform=ax.get_xaxis_transform())  # fmt: skip
        ax.set(xlabel="training step", ylabel="validation, nats per image", xlim=(0, 1.04 * steps[-1]))
        for name, color, y in (
            ("stopped first", palette["sky"], 0.9),
            ("stopped later", palette["blue"], 0.78),
            ("survivors", palette["vermillion"], 0.66),
            ("not trained", FAINT, 0.54),
        ):
            ax.plot([1.04, 1.1], [y, y], transform=ax.transAxes, clip_on=False, color=color, lw=2, ls="-")
            ax.text(1.12, y, name, transform=ax.transAxes, fontsize=SMALL, va="center")
    return fig


def show_rungs(curves, rungs, *, steps, title, alt):
    """Show `rungs_figure`; `alt` is the alternative text, also the caption."""
    show_figure(rungs_figure(curves, rungs, steps=steps, title=title), alt)
