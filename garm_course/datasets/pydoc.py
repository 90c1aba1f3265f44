"""The language reference of Python as a text to learn: it comes with every Python, in `pydoc_data.topics`.

That file repeats itself, because a topic such as "compound" holds the sections that have topics of their own: a fifth
of its characters stand in it twice. A split made of it as it is would test on what was trained. So every paragraph is
kept once, where it stands first.
"""

import re
from functools import cache

from garm_course.datasets.base import check_split
from garm_course.datasets.text import Text

VOCABULARY = "\n" + "".join(map(chr, range(32, 127)))  # fixed, so that a model fits the text of any Python
PLAIN = {"‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "—": "-", "–": "-", "\t": "    "}
SECTIONS = 40  # of which every tenth is for validation, from the fifth on, and every tenth for test, from the tenth on


@cache
def paragraphs() -> tuple[str, ...]:
    """Every different paragraph of the topics, in their order, in characters of VOCABULARY ("?" for any other).

    Raises:
        FileNotFoundError: when this Python came without its documentation.
    """
    try:
        from pydoc_data import topics
    except ImportError:
        raise FileNotFoundError(
            "this Python lacks pydoc_data, the text of its help(); install one from python.org, conda or your system"
        ) from None
    seen, kept = set(), []
    for topic in topics.topics.values():
        text = "".join(PLAIN.get(character, character) for character in topic)
        text = re.sub(r"[^\n -~]", "?", text)
        for paragraph in re.split(r"\n[ \n]*\n", text.strip("\n")):
            words = " ".join(paragraph.split())
            if words and words not in seen:
                seen.add(words)
                kept.append(paragraph)
    return tuple(kept)


def split_text(split: str) -> str:
    """The text of a split: whole paragraphs, with an empty line between them."""
    kept = paragraphs()
    total = sum(map(len, kept))
    parts = {"train": [], "validation": [], "test": []}
    before = 0
    for paragraph in kept:
        section = SECTIONS * before // total
        parts[{4: "validation", 9: "test"}.get(section % 10, "train")].append(paragraph)
        before += len(paragraph)
    return "\n\n".join(parts[split]) + "\n"


class Pydoc(Text):
    """Characters of the Python language reference, 96 of them: newline and printable ASCII.

    Card:
        What: English technical text with code and grammar, in windows of characters.
        Source: `pydoc_data.topics` of the running Python, each paragraph once; quotation marks and dashes become ASCII.
        Licence: PSF License Agreement, version 2; code in the text also under the Zero-Clause BSD license.
        Size: about 373,000 characters (Python 3.11), 80 % for training, 10 % each for validation and test, in four
            stretches each.
        Cite: Python Software Foundation, The Python Language Reference.
        Flaws: it changes from one version of Python to the next, so a figure belongs to a fingerprint. Much
            grammar and code, and most lines are broken at about 70 characters.

    Args:
        split: "train", "validation" or "test": no paragraph is in two of them.
        length: characters in a window.
        stride: distance between windows; None for `length`, 1 for every start. Only for training.

    Raises:
        ValueError: for another split, or an option out of range.
        FileNotFoundError: when this Python came without its documentation.

    Example:
        >>> data = Pydoc("validation", length=32)
        >>> data.x.shape[1], data.levels
        (32, 96)
        >>> data.decode(data.x[0]) == data.text[:32]
        True
    """

    def __init__(self, split: str = "train", *, length: int = 64, stride: int | None = None):
        check_split(split)
        super().__init__(
            "pydoc",
            split,
            split_text(split),
            vocabulary=VOCABULARY,
            length=length,
            stride=stride,
            source="language reference of the running Python (pydoc_data.topics), each paragraph once",
            licence="PSF License Agreement, version 2",
        )
