"""Results of the two editions: what both show is executed once, in the solutions, and stored in both.

Outside of exercises a cell has the same source in both editions. What it shows must not depend on whether the answers
before it are the student's own or the course's, but for what `nbval_sanitize.cfg` hides (rounding, time).
"""

import configparser
import re
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from garm_course.editions.answers import stub

if TYPE_CHECKING:
    from nbformat import NotebookNode

RULES = Path(__file__).with_name("nbval_sanitize.cfg")
_VERDICT = re.compile(r"(\w+): (passed|not yet|not attempted)")


def sanitized(text: str) -> str:
    """The text without what no two runs or machines agree on, by the rules that nbval follows."""
    for regex, replacement in _rules():
        text = regex.sub(replacement, text)
    return text


@cache
def _rules() -> list[tuple[re.Pattern, str]]:
    config = configparser.RawConfigParser()
    config.read(RULES, encoding="ascii")
    return [(re.compile(config.get(name, "regex")), config.get(name, "replace")) for name in config.sections()]


def copy_shared(solutions: "NotebookNode", student: "NotebookNode") -> None:
    """Store the results of the solutions in every cell of the student edition that has the same source."""
    for _, one, other in _code(solutions, student):
        if one.source == other.source:
            other.outputs, other.execution_count = one.outputs, one.execution_count


def dependent(solutions: "NotebookNode", student: "NotebookNode") -> list[str]:
    """Cells of the same source whose text depends on the answers, one line each, from two runs at one budget."""
    return [
        f"cell {i} shows {a.strip()[:80]!r} after an answer and {b.strip()[:80]!r} after none: print what depends on "
        "the answer in the exercise's own cell, or measured numbers through report or after ≈"
        for i, one, other in _code(solutions, student)
        if one.source == other.source
        for a, b in [_first_difference(_text(one), _text(other))]
        if a != b
    ]


def disagreements(solutions: "NotebookNode", student: "NotebookNode") -> list[str]:
    """What is wrong with the stored results of the two editions side by side, one line each.

    Cells of the same source have the same results to the byte; all other cells are exercises, which show one verdict
    and nothing else: "passed" in the solutions, "not attempted" for a stub, "not yet" for code that is to be repaired.
    """
    found = []
    for i, one, other in _code(solutions, student):
        if one.source == other.source:
            if (one.outputs, one.execution_count) != (other.outputs, other.execution_count):
                found.append(f"notebooks/: cell {i} has not the result of the solutions")
            continue
        for folder, cell in (("solutions", one), ("notebooks", other)):
            blank = "not attempted" if stub() in cell.source else "not yet"
            expected = "passed" if folder == "solutions" else blank
            verdicts = [_VERDICT.match(output.get("data", {}).get("text/plain", "")) for output in cell.outputs]
            shown = [verdict and verdict[2] for verdict in verdicts]
            if cell.execution_count is not None and shown != [expected]:
                what = ", ".join(verdict or "another output" for verdict in shown) or "nothing"
                found.append(f"{folder}/: cell {i}, an exercise, must show the verdict {expected!r} alone, not {what}")
    return found


def _code(solutions: "NotebookNode", student: "NotebookNode") -> Iterator[tuple[int, "NotebookNode", "NotebookNode"]]:
    for i, (one, other) in enumerate(zip(solutions.cells, student.cells, strict=True), start=1):
        if one.cell_type == "code":
            yield i, one, other


def _text(cell: "NotebookNode") -> str:
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return sanitized("\n".join(texts))


def _first_difference(one: str, other: str) -> tuple[str, str]:
    pairs = zip_longest(one.splitlines(), other.splitlines(), fillvalue="")
    return next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
