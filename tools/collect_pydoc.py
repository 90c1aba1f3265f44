"""Write the text of the data set `pydoc` from the documentation of the Python that runs this.

    python3.11 tools/collect_pydoc.py [FILE]

The language reference comes with every Python as `pydoc_data.topics`, another text with each version. What the course
ships, and all its records rest on, is that of Python 3.11.7. The topics repeat each other: one such as "compound" holds
the sections that have topics of their own, so a fifth of the characters stand twice, and a split would test on what was
trained. Every paragraph is kept once, where it stands first, in printable ASCII.
"""

import gzip
import re
import sys
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[1] / "garm_course" / "datasets" / "pydoc.txt.gz"
PLAIN = {"‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "—": "-", "–": "-", "\t": "    "}


def collected() -> str:
    """All different paragraphs, an empty line between two; "?" for what is not ASCII."""
    from pydoc_data import topics

    seen, kept = set(), []
    for topic in topics.topics.values():
        text = "".join(PLAIN.get(character, character) for character in topic)
        text = re.sub(r"[^\n -~]", "?", text)
        for paragraph in re.split(r"\n[ \n]*\n", text.strip("\n")):
            words = " ".join(paragraph.split())
            if words and words not in seen:
                seen.add(words)
                kept.append(paragraph)
    return "\n\n".join(kept)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED
    target.write_bytes(gzip.compress(collected().encode("ascii"), mtime=0))
    print(f"wrote {target} from Python {sys.version.split()[0]}")
