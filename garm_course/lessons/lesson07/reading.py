"""What a model expects of the next character while it reads a line, and how surprised it was so far."""

import torch

from garm_course.show.figures import LABEL, MUTED, SMALL, TITLE, WIDTH, new_figure, palette, style, wrap
from garm_course.show.sliders import Dial, slide

NAMES = {" ": "space", "\n": "new line"}


def next_characters(log_probs, text, vocabulary, *, at, rows=8):
    """Show a text, shaded by surprise, and the distribution of one of its characters, with a slider over the place.

    Without ipywidgets, and on a printed page, the first view stands by itself.

    Args:
        log_probs: (T, V), nats: what the model expects at each place, given what comes before it.
        text: the T characters.
        vocabulary: the V characters.
        at: place of the first view, 0..T-1.
        rows: how many of the most probable characters are shown.
    """
    if log_probs.shape != (len(text), len(vocabulary)) or not 0 <= at < len(text):
        raise ValueError(
            f"expected log_probs ({len(text)}, {len(vocabulary)}) and a place in the text, "
            f"got {tuple(log_probs.shape)} and {at}"
        )
    slide(
        "next-characters",
        lambda place: reading_figure(log_probs, text, vocabulary, place, rows),
        lambda place: reading_caption(log_probs, text, vocabulary, place),
        [Dial("character", at, 0, len(text) - 1)],
    )


def name_of(character):
    """A character in words where it is blank.

    >>> name_of(" "), name_of("e")
    ('space', 'e')
    """
    return NAMES.get(character, character)


def reading_caption(log_probs, text, vocabulary, place):
    """The picture in words."""
    best = log_probs[place].argmax().item()
    nats = -log_probs[place, vocabulary.index(text[place])].item()
    before = text[max(0, place - 12) : place].replace("\n", " ")
    return (
        f"After '{before}' the model expects '{name_of(vocabulary[best])}' with probability "
        f"≈ {log_probs[place, best].exp().item():.2f}; the next character is '{name_of(text[place])}', "
        f"which costs ≈ {nats:.1f} nats."
    )


def reading_figure(log_probs, text, vocabulary, place, rows=8):
    """Above, the text, darker where a character was a surprise; below, the most probable characters at `place`."""
    rows = min(rows, len(vocabulary))
    nats = -log_probs[torch.arange(len(text)), torch.tensor([vocabulary.index(c) for c in text])]
    lines, starts = [], [0]
    for i, character in enumerate(text):
        if character == "\n":
            starts.append(i + 1)
    lines = [(start, text[start:].split("\n")[0]) for start in starts]
    with style():
        cell, row = (WIDTH - 0.3) / max(40, *(len(line) + 1 for _, line in lines)), 0.23
        top = 0.42 + row * len(lines)
        height = top + 0.55 + 0.23 * rows + 0.5
        fig = new_figure(WIDTH, height)
        title = wrap("The darker, the more it cost: most is paid where a word begins", WIDTH - 0.3, TITLE, "bold")
        fig.text(0.1 / WIDTH, 1 - 0.08 / height, title, fontsize=TITLE, fontweight="bold", va="top")
        ax = fig.add_axes((0.15 / WIDTH, 1 - top / height, 1 - 0.3 / WIDTH, row * len(lines) / height))
        ax.set(xlim=(0, (WIDTH - 0.3) / cell), ylim=(len(lines), 0))
        ax.axis("off")
        for k, (start, line) in enumerate(lines):
            for j, character in enumerate(line + ("\n" if k + 1 < len(lines) else "")):
                i = start + j
                shade = min(1.0, nats[i].item() / 5)
                ax.add_patch(_cell(j, k, palette["vermillion"], 0.75 * shade))
                if i == place:
                    ax.add_patch(_cell(j, k, "none", 1.0, edge="black"))
                shown = character if character != "\n" else "¶"
                ax.text(j + 0.5, k + 0.56, shown, ha="center", va="center", fontsize=8.5, family="DejaVu Sans Mono",
                        color="#999999" if character == "\n" else "black")  # fmt: skip
        below = fig.add_axes((1.1 / WIDTH, 0.5 / height, 1 - 2.0 / WIDTH, 0.23 * rows / height))
        best = log_probs[place].topk(rows).indices.tolist()
        p = log_probs[place].exp()
        right = vocabulary.index(text[place])
        for k, token in enumerate(best):
            below.barh(k, p[token].item(), height=0.76, color=palette["orange" if token == right else "blue"],
                       hatch="///" if token == right else "", edgecolor="white", linewidth=0)  # fmt: skip
            below.text(p[token].item() + 0.012, k, f"{p[token].item():.2f}", va="center", fontsize=SMALL)
        below.set(xlim=(0, 1), ylim=(rows - 0.4, -0.6), xlabel="probability (striped: the character that follows)")
        below.set_yticks(range(rows), [name_of(vocabulary[token]) for token in best], fontsize=LABEL)
        below.tick_params(axis="y", length=0)
        below.xaxis.label.set(color=MUTED, fontsize=SMALL)
    return fig


def _cell(column, row, color, alpha, edge="none"):
    from matplotlib.patches import Rectangle

    return Rectangle((column, row), 1, 1, facecolor=color, alpha=alpha, edgecolor=edge, linewidth=1.6, zorder=3
                     if edge != "none" else 1)  # fmt: skip
