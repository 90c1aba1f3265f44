"""What makes an executed notebook unfit to be stored. nbval sees none of this: it never compares a cell that has no
execution count, nor any image, and a notebook with all outputs cleared passes."""

import base64
import io
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from garm_course.editions.trained import free_numbers
from garm_course.lesson import REPORT_PATTERN

if TYPE_CHECKING:
    from nbformat import NotebookNode

FIGURE_BYTES, NOTEBOOK_BYTES = 60_000, 400_000

_MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:home|root|Users|tmp|private|var/folders|usr|opt|mnt)/[\w.-]|\b[A-Z]:\\\w")


def faults(nb: "NotebookNode", size: int | None = None) -> list[str]:
    """Everything that is wrong with an executed notebook, one line each; empty if it may be stored.

    Args:
        nb: the executed notebook.
        size: bytes of its file, to be compared with the limit of 400 kB.
    """
    found = [
        *_counts(nb),
        *_errors(nb),
        *_figures(nb),
        *_paths(nb),
        *false_verdicts(nb),
        *free_numbers(nb),
        *_ending(nb),
    ]
    if size is not None and size > NOTEBOOK_BYTES:
        found.append(f"the notebook has {size:,} bytes, more than {NOTEBOOK_BYTES:,}; show fewer or simpler figures")
    return found


def _code(nb: "NotebookNode") -> Iterator[tuple[str, "NotebookNode"]]:
    for i, cell in enumerate(nb.cells, start=1):
        if cell.cell_type == "code":
            yield f"cell {i}", cell


def _counts(nb: "NotebookNode") -> Iterator[str]:
    for expected, (where, cell) in enumerate(_code(nb), start=1):
        if cell.execution_count != expected:
            what = "was not executed" if cell.execution_count is None else f"has execution count {cell.execution_count}"
            yield f"{where} {what}, expected {expected}; run garm release"
            return  # all later counts are off as well


def _errors(nb: "NotebookNode") -> Iterator[str]:
    for where, cell in _code(nb):
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                yield f"{where} stores an error, {output.ename}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"{where} stores a warning: {output.text.strip().splitlines()[0][:100]}"


def _figures(nb: "NotebookNode") -> Iterator[str]:
    for where, cell in _code(nb):
        for i, output in enumerate(cell.outputs):
            if "image/png" not in output.get("data", {}):
                continue
            yield from (f"{where}: {fault}" for fault in _figure(output.data["image/png"]))
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            if not alt.strip():
                yield f"{where}: a figure without alternative text; show it through garm_course.show"
            elif _letters(alt) not in _letters(" ".join(_texts(cell.outputs[i + 1 :]))):
                yield f"{where}: a figure whose alternative text is not printed under it as its caption"


def _figure(data: str) -> Iterator[str]:
    from PIL import Image

    if len(data) > FIGURE_BYTES:  # as it is stored, in base64
        yield f"a figure of {len(data):,} bytes, more than {FIGURE_BYTES:,}"
    try:
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    except Exception as error:  # Pillow raises a dozen types for a broken file
        yield f"a figure that does not decode ({type(error).__name__})"
        return
    if all(low == high for low, high in image.getextrema()):
        yield "a blank figure"


def _texts(outputs: list) -> Iterator[str]:
    """Everything that a reader sees as text."""
    for output in outputs:
        if output.output_type == "stream":
            yield output.text
        for mime, value in output.get("data", {}).items():
            if mime.startswith("text/"):
                yield value


def _letters(text: str) -> str:
    return "".join(text.split())  # a caption may be wrapped, also at a hyphen


def _paths(nb: "NotebookNode") -> Iterator[str]:
    mine = [path for path in (str(Path(__file__).resolve().parents[2]), sys.prefix) if len(path) > 1]
    for i, cell in enumerate(nb.cells, start=1):
        text = "\n".join([cell.source, *_texts(cell.get("outputs", []))])
        hit = _MACHINE_PATH.search(text) or re.search("|".join(map(re.escape, mine)), text)
        if hit:
            line = text[: hit.end()].count("\n")
            yield f"cell {i} shows a path of one machine: {text.splitlines()[line].strip()[:100]}"


def false_verdicts(nb: "NotebookNode") -> Iterator[str]:
    """Figures of `report` beside a verdict that they do not deserve, one line each; nbval hides measured figures."""
    for where, cell in _code(nb):
        for found in re.finditer(REPORT_PATTERN, "\n".join(_texts(cell.outputs)), re.MULTILINE):
            if found["skipped"]:
                continue
            value, claimed, tolerance = (float(found[name] or 0) for name in ("value", "claimed", "tolerance"))
            # half a unit of the last digit that is printed: report compares what it has measured, not what it prints
            rounding = 0 if found["relation"] == "==" else 0.5 * 10 ** Decimal(found["value"]).as_tuple().exponent
            off, hair = abs(value - claimed), 1e-9 * max(abs(claimed), tolerance)
            holds = off <= tolerance + rounding + hair
            fails = off > tolerance - rounding - hair
            if not (holds if found["verdict"] == "holds" else fails):
                yield f"{where} says {found['verdict']!r} of what {'does not' if not holds else 'does'}: {found[0]}"


def _ending(nb: "NotebookNode") -> Iterator[str]:
    code = [cell for _, cell in _code(nb)]
    if not code or not re.search(r"^(garm_course\.|lesson\.)*claims\(\)", code[-1].source, re.MULTILINE):
        yield "the last code cell does not call claims()"
