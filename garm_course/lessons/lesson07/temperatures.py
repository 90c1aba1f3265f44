"""One text for each temperature, with a slider: what a model wrote, and how new and how repetitive such texts are."""

from garm_course.show.figures import LABEL, MUTED, SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.sliders import Dial, slide

COLUMNS, POINTS = 100, 8.0
ROW = 1.32 * POINTS / 72


def temperatures(texts, measures, *, held_out, prompt, at=1.0):
    """Show what was drawn at a temperature above two curves over all of them, with a slider over the temperature.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        texts: temperature -> a text that starts with `prompt`; two or more temperatures at equal distances, in order.
        measures: temperature -> (novelty, repetition), shares in [0, 1].
        held_out: (novelty, repetition) of held-out text.
        prompt: the beginning that was given, printed in gray.
        at: temperature of the first view.
    """
    steps = [b - a for a, b in zip(list(texts), list(texts)[1:], strict=False)]
    if not steps or min(steps) <= 0 or max(steps) - min(steps) > 1e-9 or at not in texts or [*measures] != [*texts]:
        raise ValueError(
            f"expected texts and measures at the same temperatures, equally far apart, and {at} among them, got "
            f"{[*texts]} and {[*measures]}"
        )
    if any(not text.startswith(prompt) for text in texts.values()):
        raise ValueError(f"expected texts that start with the prompt {prompt[:30]!r}; draw them with given=")

    def nearest(value):
        return min(texts, key=lambda t: abs(t - value))

    slide(
        "temperatures",
        lambda t: temperatures_figure(texts, measures, held_out, prompt, nearest(t)),
        lambda t: temperatures_caption(measures, held_out, nearest(t)),
        [Dial("temperature", float(at), min(texts), max(texts), steps[0])],
    )


def temperatures_caption(measures, held_out, temperature):
    """The picture in words."""
    novelty, repetition = measures[temperature]
    return (
        f"At temperature {temperature:g}, ≈ {novelty:.0%} of all strings of eight characters are new, against "
        f"≈ {held_out[0]:.0%} in held-out text, and ≈ {repetition:.0%} repeat the same sample, against "
        f"≈ {held_out[1]:.0%} in held-out text."
    )


def lines_of(text, columns=COLUMNS):
    """The text in lines of at most so many characters; its own line breaks stay.

    >>> lines_of("ab\\ncdefg", 3)
    [(0, 'ab'), (3, 'cde'), (6, 'fg')]
    """
    found, start = [], 0
    for line in text.split("\n"):
        for at in range(0, max(len(line), 1), columns):
            found.append((start + at, line[at : at + columns]))
        start += len(line) + 1
    return found


def temperatures_figure(texts, measures, held_out, prompt, temperature):
    """Above, the text of this temperature; below, novelty and repetition of all, and of held-out text as a line."""
    most = max(len(lines_of(text)) for text in texts.values())  # so that the picture keeps its height
    with style():
        words = wrap("Low temperature keeps to known strings, high temperature babbles", WIDTH - 0.3, TITLE, "bold")
        head, below = 0.45, 2.05
        height = head + 0.3 + ROW * most + 0.15 + below
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, words, fontsize=TITLE, fontweight="bold", va="top")
        fig.text(0.12 / WIDTH, 1 - head / height, f"temperature {temperature:g}", fontsize=LABEL, va="top", color=MUTED)
        mono = {"fontsize": POINTS, "family": "DejaVu Sans Mono", "va": "top"}
        for k, (start, line) in enumerate(lines_of(texts[temperature])):
            y = 1 - (head + 0.3 + k * ROW) / height
            given = max(0, min(len(line), len(prompt) - start))
            for part, color in ((line[:given], "#888888"), (" " * given + line[given:], "black")):
                if part.strip():
                    fig.text(0.12 / WIDTH, y, part.replace("$", r"\$"), color=color, **mono)
        for k, name in enumerate(("novelty", "repetition")):
            values = [100 * measures[t][k] for t in texts]
            box = ((0.75 + 3.5 * k) / WIDTH, 0.55 / height, 2.5 / WIDTH, (below - 0.85) / height)
            ax = fig.add_axes(box)
            ax.axhline(100 * held_out[k], color=MUTED, lw=1.3, ls=(0, (4, 3)))
            ax.plot(list(texts), values, color=palette["blue"], ls="-", marker="o", ms=4)
            ax.plot([temperature], [100 * measures[temperature][k]], marker="o", ms=9, mfc=palette["orange"],
                    mec="black", ls="none")  # fmt: skip
            ax.set(ylim=(0, 100 if k == 0 else 1.25 * max(*values, 100 * held_out[k])), xticks=list(texts))
            ax.set_xlabel("temperature (dashed: held-out text)", fontsize=SMALL)
            ax.set_title(f"{name} in %", fontsize=LABEL, loc="left", pad=5, fontweight="normal")
    return fig
