"""The student edition runs to its end whatever the answers are: blank, a known mistake, raising, returning None.

Real lessons at budget smoke, one kernel each. An error that reaches the notebook stops it, and the test names its cell.
"""

import ast
from pathlib import Path

import pytest

from garm_course.editions import lessons, notebooks
from garm_course.editions.answers import SHOWN
from garm_course.editions.execution import execute
from garm_course.exercises.registry import exercises

ROOT = Path(__file__).resolve().parents[2]
LESSONS = lessons(ROOT)
pytestmark = pytest.mark.slow

MISTAKE = """\
from garm_course.exercises.registry import get

wrong = get("{name}").mistakes[{which}][0]


@check
"""
# What is written in place of an answer's cell, for a function and for a class.
ANSWERS = {
    "first_mistake": (
        MISTAKE + "def {name}(*args, **kwargs):\n    return wrong(*args, **kwargs)",
        MISTAKE + "class {name}(wrong):\n    pass",
    ),
    "last_mistake": (
        MISTAKE.replace("{which}", "-1") + "def {name}(*args, **kwargs):\n    return wrong(*args, **kwargs)",
        MISTAKE.replace("{which}", "-1") + "class {name}(wrong):\n    pass",
    ),
    "raises": (
        "@check\ndef {name}(*args, **kwargs):\n    raise RuntimeError('boom')",
        "@check\nclass {name}:\n    def __init__(self, *args, **kwargs):\n        raise RuntimeError('boom')",
    ),
    "returns_none": ("@check\ndef {name}(*args, **kwargs):\n    return None", "@check\nclass {name}:\n    pass"),
}


def exercise_cells(nb):
    """Pairs (code cell, the definition under `@check` in it), without those that are shown finished."""
    for cell in nb.cells:
        if cell.cell_type != "code" or "@check" not in cell.source or SHOWN in cell.metadata.get("tags", []):
            continue
        for node in ast.parse(cell.source).body:
            decorators = [ast.unparse(one) for one in getattr(node, "decorator_list", [])]
            if any(one in ("check", "garm_course.check") for one in decorators):
                yield cell, node


def shown_by(cell):
    return "\n".join(output.data["text/plain"] for output in cell.outputs if "text/plain" in output.get("data", {}))


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_the_notebook_asks_for_exactly_the_registered_exercises(lesson):
    nb = notebooks.from_text(lesson.student_text.read_text(encoding="utf-8"), lesson.name)
    asked = [node.name for _, node in exercise_cells(nb)]
    assert asked == [exercise.name for exercise in exercises(lesson.number)]


@pytest.mark.parametrize("kind", ["blank", *ANSWERS])
@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_the_student_edition_runs_to_its_end(lesson, kind, tmp_path):
    nb = notebooks.from_text(lesson.student_text.read_text(encoding="utf-8"), lesson.name)
    positions = []
    for cell, node in exercise_cells(nb):
        positions.append((nb.cells.index(cell), node.name))
        if kind != "blank":
            cell.source = ANSWERS[kind][isinstance(node, ast.ClassDef)].format(name=node.name, which=0)
    done = execute(nb, tmp_path, timeout=120, GARM_BUDGET="smoke")
    assert positions
    expected = "not attempted" if kind == "blank" else "not yet"
    verdicts = [shown_by(done.cells[at]).splitlines()[0] for at, _ in positions]
    assert verdicts == [f"{name}: {expected}" for _, name in positions]
    assert done.cells[-1].get("execution_count") or done.cells[-1].cell_type == "markdown"
    assert not any(output.output_type == "error" for cell in done.cells for output in cell.get("outputs", []))
    assert list(tmp_path.iterdir()) == []  # a lesson leaves nothing in the student's folder
