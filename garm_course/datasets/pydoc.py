"""The language reference of Python as a text to learn, the same for every Python that reads it.

The file `pydoc.txt.gz` was made by `tools/collect_pydoc.py`; its license stands beside it, in `pydoc-license.txt`.
"""

import gzip
from functools import cache
from pathlib import Path

from garm_course.datasets.base import check_split
from garm_course.datasets.text import Text

VOCABULARY = "\n" + "".join(map(chr, range(32, 127)))
SECTIONS = 40  # of which every tenth is for validation, from the fifth on, and every tenth for test, from the tenth on


@cache
def paragraphs() -> tuple[str, ...]:
    """Every paragraph, in the order of the text, in characters of VOCABULARY."""
    return tuple(gzip.decompress(Path(__file__).with_name("pydoc.txt.gz").read_bytes()).decode("ascii").split("\n\n"))


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
        Source: `pydoc_data.topics` of Python 3.11.7, each paragraph once; quotation marks and dashes become ASCII.
        Licence: PSF License Agreement, version 2; code in the text also under the Zero-Clause BSD license.
        Size: 373,135 characters, 80 % for training, 10 % each for validation and test, in four
            stretches each.
        Cite: Python Software Foundation, The Python Language Reference.
        Flaws: small for a text. Much grammar and code, and most lines are broken at about 70 characters.

    Args:
        split: "train", "validation" or "test": no paragraph is in two of them.
        length: characters in a window.
        stride: distance between windows; None for `length`, 1 for every start. Only for training.

    Raises:
        ValueError: for another split, or an option out of range.

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
            source="language reference of Python 3.11.7 (pydoc_data.topics), each paragraph once",
            licence="PSF License Agreement, version 2",
        )
