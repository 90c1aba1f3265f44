"""A plugin for nbval: what a failing cell says first, and no limit that a busy machine reaches.

`python -m pytest -p tests.notebooks.nbval_words --nbval ...`. nbval shows two texts that differ; this adds the lesson,
the sentence, and what is to be done about it.
"""

import re

import pytest

from garm_course.editions.trained import REMEDY
from tests.limits import PATIENCE

NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
VERDICT = re.compile(r"(?<=: )(?:holds|does NOT hold)(?=\))")


def _cells(items):
    return [item for item in items if hasattr(item, "cell_num")]


def pytest_collection_modifyitems(items):
    for item in _cells(items):
        item.output_timeout = PATIENCE


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and _cells([item]):
        report.longrepr = f"{explain(item, call.excinfo.value)}\n\n{report.longrepr}"
    return report


def explain(item, error) -> str:
    """One line: the lesson and its cell, the sentence, and the remedy.

    Args:
        item: nbval's test of one cell.
        error: what it raised.
    """
    where = f"{item.parent.name}, code cell {item.cell_num}"
    raised = [output for output in item.test_outputs or () if output.get("output_type") == "error"]
    if raised:
        return f"{where} raises {raised[0]['ename']}: {raised[0]['evalue'].splitlines()[0][:300]}"
    if item.test_outputs is None:
        return f"{where} did not come to its end: {str(error).splitlines()[0][:300]}"
    stored, found = (_lines(item, outputs) for outputs in (item.cell.outputs, item.test_outputs))
    return f"{where}: {_difference(stored, found)}"


def _lines(item, outputs) -> list[str]:
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    return item.sanitize("\n".join(texts)).splitlines()


def _difference(stored, found) -> str:
    one, other = next((pair for pair in zip(stored, found, strict=False) if pair[0] != pair[1]), (None, None))
    if one is None:
        return f"{len(found)} lines of output, {len(stored)} are stored; run garm release and read what changed"
    if VERDICT.sub("", one) == VERDICT.sub("", other):
        remedy = "this claim holds on some machines only: claim less, or with the tolerance that the spread justifies"
    elif NUMBER.sub("0", one) == NUMBER.sub("0", other):
        remedy = REMEDY
    else:
        remedy = "not the stored words; run garm release and read what changed"
    return f"{one.strip()!r} became {other.strip()!r}: {remedy}"
