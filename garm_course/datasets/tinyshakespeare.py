"""Tiny Shakespeare: a million characters of his plays, the text on which character models have long been compared."""

import string

from garm_course.datasets.base import check_split
from garm_course.datasets.downloads import File, Source, fetch
from garm_course.datasets.text import Text

CHARACTERS = 1_115_394
VOCABULARY = "\n !$&',-.3:;?" + string.ascii_uppercase + string.ascii_lowercase
# Size and SHA-256 as TensorFlow Datasets lists them (url_checksums/tiny_shakespeare.txt)
FILES = Source(
    "tinyshakespeare",
    {
        "text": File(
            "input.txt",
            CHARACTERS,
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            (
                "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
                "https://raw.githubusercontent.com/jcjohnson/torch-rnn/master/data/tiny-shakespeare.txt",
                "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
            ),
            ("tinyshakespeare.txt", "input.txt"),
        )
    },
    folders=("tinyshakespeare", "text", "."),
    instead="pydoc",
)
CUTS = {"train": (0, 8), "validation": (8, 9), "test": (9, 10)}  # tenths of the text


class TinyShakespeare(Text):
    """Characters of Shakespeare's plays, 65 of them.

    Card:
        What: speeches of several plays as one text, in windows of characters.
        Source: A. Karpathy's char-rnn (2015); downloaded, or your own file.
        Licence: the text is in the public domain.
        Size: 1,115,394 characters: the first 80 % for training, the next 10 % for validation, the last 10 % for test;
            1.1 MB to download.
        Cite: Karpathy (2015), The Unreasonable Effectiveness of Recurrent Neural Networks (blog), and its code
            char-rnn.
        Flaws: nanoGPT and others train on the first 90 % and call the last 10 % "validation": that part is our test
            split, so test figures compare with theirs, from a little less training text.

    Args:
        split: "train", "validation" or "test".
        length: characters in a window.
        stride: distance between windows; None for `length`, 1 for every start. Only for training.

    Raises:
        ValueError: for another split, an option out of range, or a file that is another text.
        DownloadError: the file is not here and cannot be downloaded.
    """

    def __init__(self, split: str = "train", *, length: int = 64, stride: int | None = None):
        check_split(split)
        found = fetch(FILES, "text")
        with open(found.path, encoding="utf-8", errors="replace", newline="") as file:
            text = file.read(2 * CHARACTERS).replace("\r\n", "\n")
        if len(text) != CHARACTERS or set(text) != set(VOCABULARY):
            raise ValueError(
                f"{found.path} has {len(text):,} characters, {len(set(text))} different ones, expected {CHARACTERS:,} "
                f"and {len(VOCABULARY)}; is it another text?"
            )
        first, stop = (CHARACTERS * tenths // 10 for tenths in CUTS[split])
        super().__init__(
            "tinyshakespeare",
            split,
            text[first:stop],
            vocabulary=VOCABULARY,
            length=length,
            stride=stride,
            source=f"Tiny Shakespeare (Karpathy), {'your own file' if found.supplied else 'downloaded'}",
            licence="public domain",
        )
