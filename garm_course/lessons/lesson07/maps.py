"""Where the heads of a transformer look on one line of text."""

from garm_course.show.figures import MUTED, SMALL, TITLE, WIDTH, new_figure, show_figure, style, wrap


def attention_maps(weights, text, *, alt, title):
    """Show the attention of each head as a square: rows ask, columns answer.

    Args:
        weights: a tensor (heads, T, T) for each layer; row t predicts character t, and column s has just read
            character s - 1 (column 0: the beginning).
        text: the T characters, 2 to 28, so that letters beside three heads can still be read; without line breaks.
        alt: alternative text, also the caption.
        title: the finding.
    """
    show_figure(maps_figure(weights, text, title=title), alt)


def maps_figure(weights, text, *, title):
    """The figure that `attention_maps` shows; arguments as there."""
    size = len(text)
    if not 2 <= size <= 28 or "\n" in text or any(layer.shape[1:] != (size, size) for layer in weights):
        raise ValueError(
            f"expected weights (heads, T, T) for a text of 2 to 28 characters in one line, got {size} characters and "
            f"{[tuple(layer.shape) for layer in weights]}"
        )
    heads = max(len(layer) for layer in weights)
    with style():
        words = wrap(title, WIDTH - 0.3, TITLE, "bold")
        head = 0.2 + 0.24 * (words.count("\n") + 1)
        gap, margin = 0.28, 0.3
        side = (WIDTH - margin - 0.1 - gap * (heads - 1)) / heads
        side = min(side, 3.2)
        height = head + len(weights) * (side + 0.42) + 0.35
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, words, fontsize=TITLE, fontweight="bold", va="top")
        letters = max(3.0, min(7.0, 72 * side / size * 0.9))
        for k, layer in enumerate(weights):
            for h, grid in enumerate(layer):
                bottom = height - head - (k + 1) * (side + 0.42) + 0.2
                left = margin + h * (side + gap)
                ax = fig.add_axes((left / WIDTH, bottom / height, side / WIDTH, side / height))
                ax.imshow(grid.sqrt().numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
                ax.set_title(f"layer {k + 1}, head {h + 1}", fontsize=SMALL, fontweight="normal", color=MUTED, pad=3)
                marks = {"fontsize": letters, "family": "DejaVu Sans Mono"}
                ax.set_xticks(range(size), ["^", *text[:-1].replace(" ", "·")], **marks)
                ax.set_yticks(range(size), list(text.replace(" ", "·")), **marks)
                ax.tick_params(length=0, pad=1)
        note = "rows: the character to predict; columns: the character read there (^ the beginning, · a space)"
        fig.text(0.1 / WIDTH, 0.1 / height, note, fontsize=SMALL, color=MUTED)
    return fig
