"""Texts side by side, each with its beginning marked: what a model wrote, as it stands."""

from garm_course.show.figures import SMALL, TITLE, WIDTH, new_figure, palette, readable, show_figure, style, wrap

COLUMNS, POINTS = 46, 8.0
ROW = 1.32 * POINTS / 72


def pages(texts, *, prompt, alt, title):
    """Show texts in two columns, in type of one width.

    Args:
        texts: name of a page -> its text, which starts with `prompt`.
        prompt: the beginning that was given, printed in another color; "" for none.
        alt: alternative text, also the caption.
        title: the finding.
    """
    show_figure(pages_figure(texts, prompt=prompt, title=title), alt)


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


def pages_figure(texts, *, prompt, title):
    """The figure that `pages` shows; arguments as there."""
    if not texts or any(not text.startswith(prompt) for text in texts.values()):
        raise ValueError(f"expected at least one text, each starting with the prompt {prompt[:30]!r}")
    sheets = [(name, lines_of(text)) for name, text in texts.items()]
    rows = [sheets[i : i + 2] for i in range(0, len(sheets), 2)]
    with style():
        words = wrap(title, WIDTH - 0.3, TITLE, "bold")
        head = 0.2 + 0.24 * (words.count("\n") + 1)
        heights = [0.34 + ROW * max(len(lines) for _, lines in row) for row in rows]
        height = head + sum(heights) + 0.1
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, words, fontsize=TITLE, fontweight="bold", va="top")
        top = head
        mono = {"fontsize": POINTS, "family": "DejaVu Sans Mono", "va": "top"}
        for row, tall in zip(rows, heights, strict=True):
            for column, (name, lines) in enumerate(row):
                left = 0.12 + column * WIDTH / 2
                fig.text(left / WIDTH, 1 - top / height, name, fontsize=SMALL, va="top",
                         color=readable(palette["blue"]))  # fmt: skip
                for k, (start, line) in enumerate(lines):
                    y = 1 - (top + 0.22 + k * ROW) / height
                    given = max(0, min(len(line), len(prompt) - start))
                    drawn = " " * given + line[given:]
                    parts = ((line[:given], "#888888"), (drawn, "black"))
                    for part, color in parts:
                        if part.strip():
                            fig.text(left / WIDTH, y, part.replace("$", r"\$"), color=color, **mono)
            top += tall
    return fig
