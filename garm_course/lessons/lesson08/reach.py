"""How far back a stack of dilated convolutions sees, drawn as a tree beside the periods of three strings."""

from garm_course.datasets.plucked import NOTES
from garm_course.show.figures import MUTED, SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.sliders import Dial, slide

STRINGS = ("G4", "D4", "A3")
LONGEST = 72  # samples that are drawn


def reach_tree(layers=4):
    """Show which earlier samples reach a prediction through layers with dilations 1, 2, 4, ..., with a slider.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        layers: of the first view, 1 to 6.
    """
    if not 1 <= layers <= 6:
        raise ValueError(f"expected 1 to 6 layers, got {layers}")
    slide("reach", reach_figure, reach_caption, [Dial("layers", layers, 1, 6)])


def reach_caption(layers):
    """The picture in words."""
    reach = 2**layers
    heard = [f"{note} ({NOTES[note] + 1})" for note in STRINGS if NOTES[note] < reach]
    missed = [f"{note} ({NOTES[note] + 1})" for note in STRINGS if NOTES[note] >= reach]
    words = [f"reaches one period of {', '.join(heard)}"] * bool(heard)
    words += [f"is too short for {', '.join(missed)}"] * bool(missed)
    return f"{layers} layers with kernels of 2 see the last {reach} samples, which {' and '.join(words)}."


def reach_figure(layers):
    """Rows are layers, columns are earlier samples; dashed lines mark the oldest sample that each string needs."""
    total = 3.6
    with style():
        fig = new_figure(WIDTH, total)
        heard = sum(NOTES[note] < 2**layers for note in STRINGS)
        title = f"{layers} layers: {2**layers} samples, enough for {heard} of 3 strings"
        fig.text(0.1 / WIDTH, 1 - 0.1 / total, wrap(title, WIDTH, TITLE, "bold"), fontsize=TITLE, fontweight="bold",
                 va="top")  # fmt: skip
        ax = fig.add_axes((0.75 / WIDTH, 0.55 / total, 1 - 0.95 / WIDTH, (total - 1.25) / total))
        ax.set(xlim=(LONGEST, -1), ylim=(-0.35, 6.5), xlabel="samples before the one that is predicted")
        ax.set_yticks(range(layers + 1), ["input", *(f"d = {2**i}" for i in range(layers))])
        ax.tick_params(labelsize=SMALL, length=0)
        ax.spines[:].set_visible(False)
        for note in STRINGS:
            needs = NOTES[note] + 1
            ax.axvline(needs, color=palette["vermillion"], lw=1.2, ls=(0, (4, 2)), zorder=1)
            ax.text(needs, 6.55, note, fontsize=SMALL, color=MUTED, ha="center", va="bottom")
        words = "oldest sample that the string needs:"
        ax.text(LONGEST, 6.55, words, fontsize=SMALL, color=MUTED, ha="left", va="bottom")
        above = {1}  # the newest input is the sample just before the predicted one
        for row in range(layers, 0, -1):
            d = 2 ** (row - 1)
            below = above | {t + d for t in above}
            for t in above:
                for s in (t, t + d):
                    ax.plot([t, s], [row, row - 1], color=palette["blue"], lw=0.6, ls="-", zorder=2)
            ax.plot(sorted(above), [row] * len(above), "o", ms=3.5, color=palette["blue"], zorder=3)
            above = below
        ax.plot(sorted(above), [0] * len(above), "o", ms=3.5, color="black", zorder=3)
    return fig
