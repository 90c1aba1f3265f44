"""The lessons that exist: all four files of each in step, regenerated here and compared; nothing is executed."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from garm_course.editions import blank, build, lessons

ROOT = Path(__file__).resolve().parents[2]
LESSONS = lessons(ROOT)


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_pairs_editions_badges_and_setup_cell_are_in_step(lesson):
    assert build.check(lesson) == []


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_no_answer_is_in_the_student_edition(lesson):
    source = lesson.source.read_text(encoding="utf-8")
    assert lesson.student_text.read_text(encoding="utf-8") == blank(source)
    for path in (lesson.student_text, lesson.student):
        assert "END SOLUTION" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_every_name_that_a_lesson_takes_from_the_course_is_there(lesson):
    tree = ast.parse(lesson.source.read_text(encoding="utf-8"))
    modules = {"garm_course": importlib.import_module("garm_course")}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for module, names in ((node.module, node.names) for node in imports if node.module.startswith("garm_course")):
        for name in names:
            exec(f"from {module} import {name.name} as found", taken := {})
            if inspect.ismodule(taken["found"]):
                modules[name.asname or name.name] = taken["found"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), ast.unparse(node)


def test_no_file_of_an_edition_belongs_to_no_lesson():
    assert build.strays(ROOT) == []
