"""The student edition goes on whatever the answers are: a known mistake, raising, returning None.

Real lessons at budget smoke, one kernel each, with wrong answers of all kinds mixed in one notebook: each exercise is
answered twice, first wrong in one way and then in another, a mistake among the two. An error that reaches the notebook
stops it, and the test names its cell. One lesson is run to its end. Of the others the imports and the exercises are
enough: after them comes the course's code, as after blank answers, which nbval runs to the end of every lesson.
"""

import ast
import copy
import itertools
from pathlib import Path

import pytest
from limits import PATIENCE

from garm_course.editions import lessons, notebooks
from garm_course.editions.answers import SHOWN
from garm_course.editions.execution import execute
from garm_course.exercises.registry import exercises

ROOT = Path(__file__).resolve().parents[2]
LESSONS = lessons(ROOT)
WHOLE = "13"  # the lesson that is run to its end
pytestmark = pytest.mark.slow

FUNCTION = "@check\ndef {name}(*args, **kwargs):\n    "
CLASS = "@check\nclass {name}"
MISTAKE = "__import__('garm_course').exercises.get('{name}').mistakes[{which}][0]"
# What is written in place of an answer's definition, for a function and for a class; exercises take them in turns.
ANSWERS = {
    "first_mistake": (FUNCTION + f"return {MISTAKE}(*args, **kwargs)", CLASS + f"({MISTAKE}):\n    pass"),
    "raises": (
        FUNCTION + "raise RuntimeError('boom')",
        CLASS + ":\n    def __init__(self, *_):\n        boom",
    ),
    "last_mistake": (FUNCTION + f"return {MISTAKE}(*args, **kwargs)", CLASS + f"({MISTAKE}):\n    pass"),
    "returns_none": (FUNCTION + "return None", CLASS + ":\n    pass"),
}


def rewritten(cell, node, kind):
    """A copy of the cell with another answer in place of the definition; the rest of the cell stays."""
    cell = copy.deepcopy(cell)
    template = ANSWERS[kind][isinstance(node, ast.ClassDef)]
    answer = template.format(name=node.name, which=-1 if kind == "last_mistake" else 0)
    lines = cell.source.splitlines()
    lines[node.decorator_list[0].lineno - 1 : node.end_lineno] = answer.splitlines()
    cell.source, cell.id = "\n".join(lines), f"{cell.id}-{kind}"
    return cell


def exercise_cells(nb):
    """Pairs (code cell, the definition under `@check` in it), without those that are shown finished."""
    for cell in nb.cells:
        if cell.cell_type != "code" or "@check" not in cell.source or SHOWN in cell.metadata.get("tags", []):
            continue
        for node in ast.parse(cell.source).body:
            decorators = [ast.unparse(one) for one in getattr(node, "decorator_list", [])]
            if any(one in ("check", "garm_course.check") for one in decorators):
                yield cell, node


def imports(nb):
    """The code cells of a lesson up to its imports of the course."""
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    last = next(i for i, cell in enumerate(code) if "from garm_course import" in cell.source)
    return code[: last + 1]


def shown_by(cell):
    return "\n".join(output.data["text/plain"] for output in cell.outputs if "text/plain" in output.get("data", {}))


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_the_notebook_asks_for_exactly_the_registered_exercises(lesson):
    nb = notebooks.from_text(lesson.student_text.read_text(encoding="utf-8"), lesson.name)
    asked = [node.name for _, node in exercise_cells(nb)]
    assert asked == [exercise.name for exercise in exercises(lesson.number)]


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_the_student_edition_goes_on(lesson, tmp_path):
    nb = notebooks.from_text(lesson.student_text.read_text(encoding="utf-8"), lesson.name)
    if lesson.number != WHOLE:
        nb.cells = [*imports(nb), *(cell for cell, _ in exercise_cells(nb))]
    positions = []
    kinds = itertools.pairwise(itertools.cycle(ANSWERS))
    for (cell, node), pair in zip(list(exercise_cells(nb)), kinds, strict=False):
        at = next(i for i, one in enumerate(nb.cells) if one is cell)
        nb.cells[at : at + 1] = [rewritten(cell, node, kind) for kind in pair]
        positions += [(at, node.name), (at + 1, node.name)]
    done = execute(nb, tmp_path, timeout=PATIENCE, GARM_BUDGET="smoke")
    assert positions
    verdicts = [shown_by(done.cells[at]).splitlines()[0] for at, _ in positions]
    assert verdicts == [f"{name}: not yet" for _, name in positions]
    assert done.cells[-1].get("execution_count") or done.cells[-1].cell_type == "markdown"
    assert not any(output.output_type == "error" for cell in done.cells for output in cell.get("outputs", []))
    assert list(tmp_path.iterdir()) == []  # a lesson leaves nothing in the student's folder
