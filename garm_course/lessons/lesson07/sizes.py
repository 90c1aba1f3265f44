"""What a text costs under models and compressors, as the sizes of files."""

import math

from garm_course.show.figures import (
    LABEL,
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

COLORS = {"table": "sky", "compressor": "orange", "network": "green", "both": "purple"}


def file_sizes(rungs, characters, *, alt, title):
    """Show what a text would take on a disk, the largest file on top.

    Args:
        rungs: name -> (nats per character, kind); a kind is "table", "compressor", "network" or "both".
        characters: of the text.
        alt: alternative text, also the caption.
        title: the finding.
    """
    show_figure(sizes_figure(rungs, characters, title=title), alt)


def kilobytes(nats, characters):
    """The size of a file of so many characters, in units of 1,000 bytes.

    >>> round(kilobytes(8 * math.log(2), 5000), 6)  # eight bits a character
    5.0
    """
    return nats * characters / math.log(2) / 8000


def sizes_figure(rungs, characters, *, title):
    """The figure that `file_sizes` shows; arguments as there."""
    unknown = {kind for _, kind in rungs.values()} - COLORS.keys()
    if not rungs or unknown:
        raise ValueError(f"expected rungs of the kinds {', '.join(COLORS)}, got {sorted(unknown) or 'none'}")
    rows = sorted(rungs.items(), key=lambda rung: -rung[1][0])
    with style():
        words = wrap(title, WIDTH - 0.3, TITLE, "bold")
        head = 0.22 + 0.24 * (words.count("\n") + 1)
        height = head + 0.27 * len(rows) + 0.75
        fig = new_figure(WIDTH, height)
        fig.text(0.1 / WIDTH, 1 - 0.1 / height, words, fontsize=TITLE, fontweight="bold", va="top")
        left = max(text_width(name, LABEL) for name in rungs) + 0.3
        ax = fig.add_axes((left / WIDTH, 0.72 / height, 1 - (left + 1.5) / WIDTH, 0.27 * len(rows) / height))
        for place, (_, (nats, kind)) in enumerate(rows):
            size = kilobytes(nats, characters)
            hatch = {"compressor": "///", "both": "xx"}.get(kind, "")
            ax.barh(place, size, height=0.74, color=palette[COLORS[kind]], hatch=hatch, edgecolor="white", linewidth=0)
            ax.text(size + 0.25, place, f"{size:.1f} kB, {nats:.2f} nats", va="center", fontsize=SMALL)
        ax.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, kilobytes(rows[0][1][0], characters)))
        ax.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=LABEL)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("kilobytes (1,000 bytes) for the whole split", fontsize=SMALL)
        kinds = [kind for kind in COLORS if kind in {kind for _, kind in rungs.values()}]
        marks = {"table": "table of counts", "compressor": "compressor (striped)", "network": "network",
                 "both": "network and table (crossed)"}  # fmt: skip
        x = 0.1
        for kind in kinds:
            fig.text(x / WIDTH, 0.1 / height, "■", fontsize=SMALL, color=palette[COLORS[kind]])
            fig.text((x + 0.17) / WIDTH, 0.1 / height, marks[kind], fontsize=SMALL, color=MUTED)
            x += text_width(marks[kind], SMALL) + 0.45
    return fig
