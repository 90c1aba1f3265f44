"""Notebooks as reproducible files: the same text gives the same cells, ids, metadata and bytes."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from garm_course.editions.address import EditionError

if TYPE_CHECKING:
    from nbformat import NotebookNode

_KEPT = ("kernelspec", "accelerator", "colab")
_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def from_text(text: str, lesson: str) -> "NotebookNode":
    """The unexecuted notebook of a lesson in percent format, with derived ids."""
    try:
        import jupytext
    except ModuleNotFoundError:
        raise EditionError("jupytext is missing; install the tools for authors: pip install -e '.[dev]'") from None
    return canonical(jupytext.reads(text, fmt="py:percent"), lesson)


def canonical(nb: "NotebookNode", lesson: str) -> "NotebookNode":
    """A copy of the notebook that keeps nothing random or personal.

    Ids are hashes of lesson, type and source (never of the position: inserting a cell would change every later id),
    with a counter for repeats. Tags are kept. Widget views are dropped, since their ids are random; their `text/plain`
    stays.
    """
    import nbformat

    metadata = {key: nb.metadata[key] for key in _KEPT if key in nb.metadata}
    metadata = {"kernelspec": _KERNEL, **metadata, "language_info": {"name": "python"}}
    seen: dict[str, int] = {}
    cells = []
    for cell in nb.cells:
        kept = {key: cell.metadata[key] for key in ("tags", "nbgrader") if cell.metadata.get(key)}
        new = {"cell_type": cell.cell_type, "metadata": kept, "source": cell.source}
        new["id"] = _identity(lesson, cell.cell_type, cell.source, seen)
        if cell.cell_type == "code":
            new["execution_count"] = cell.get("execution_count")
            new["outputs"] = [_output(output) for output in cell.get("outputs", [])]
        cells.append(new)
    clean = nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
    nbformat.validate(clean)
    return clean


def _identity(lesson: str, kind: str, source: str, seen: dict[str, int]) -> str:
    key = f"{lesson}\0{kind}\0{source}"
    seen[key] = seen.get(key, 0) + 1
    return hashlib.sha256(f"{key}\0{seen[key]}".encode()).hexdigest()[:12]


def _output(output: "NotebookNode") -> dict:
    """One output without what differs between two runs of the same cell."""
    kept = {key: value for key, value in output.items() if key != "transient"}
    if "data" in kept:
        kept["data"] = {mime: value for mime, value in kept["data"].items() if mime != _WIDGET_VIEW}
    return kept


def structure(nb: "NotebookNode") -> list[tuple[str, str, tuple[str, ...]]]:
    """What two files of a pair must agree on: type, source and tags of each cell."""
    return [(c.cell_type, c.source.rstrip(), tuple(c.metadata.get("tags", []))) for c in nb.cells]


def first_difference(one: "NotebookNode", other: "NotebookNode") -> str | None:
    """Where two notebooks differ in structure, in words, or None."""
    a, b = structure(one), structure(other)
    for i, (left, right) in enumerate(zip(a, b, strict=False), start=1):
        for what, x, y in zip(("type", "text", "tags"), left, right, strict=True):
            if x != y:
                return f"cell {i} differs in its {what}"
    return None if len(a) == len(b) else f"{len(a)} cells against {len(b)}"


def keep_outputs(new: "NotebookNode", old: "NotebookNode | None") -> "NotebookNode":
    """`new` with the stored results of every code cell whose id is also in `old`; other cells stay unexecuted."""
    stored = {cell.id: cell for cell in old.cells if cell.cell_type == "code"} if old else {}
    for cell in new.cells:
        if cell.cell_type == "code" and cell.id in stored:
            cell.outputs = stored[cell.id].outputs
            cell.execution_count = stored[cell.id].execution_count
    return new


def read(path: Path) -> "NotebookNode":
    """A stored notebook.

    Raises:
        EditionError: the file is missing or is no notebook.
    """
    import nbformat

    if not path.is_file():
        raise EditionError(f"{path.parent.name}/{path.name} is missing; run: garm release {path.stem}")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises its own types, json's and unicode's alike
        raise EditionError(f"{path.parent.name}/{path.name} is not a notebook ({type(error).__name__})") from None


def dumps(nb: "NotebookNode") -> str:
    """The file's text: sorted keys, one space of indentation, one newline at the end."""
    import nbformat

    return nbformat.writes(nb, version=4).rstrip("\n") + "\n"


def write(path: Path, text: str) -> None:
    """Replace a file at once: a reader sees the old text or the new one, and a failure leaves nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
