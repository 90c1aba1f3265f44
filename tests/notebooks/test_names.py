"""No lesson takes a name that every notebook has: `display(x)` and `print` work before and after each of its cells."""

import ast
import builtins
from pathlib import Path

import pytest

from garm_course.editions import lessons

TAKEN = {*dir(builtins), "display", "get_ipython", "In", "Out", "exit", "quit"}
LESSONS = lessons(Path(__file__).resolve().parents[2])


def bound(source: str) -> set[str]:
    """Names that a lesson binds at its top level: imports, definitions, assignments, loops."""
    names: set[str] = set()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names.add(statement.name)
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return names


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_no_name_of_the_notebook_is_taken(lesson):
    assert not bound(lesson.source.read_text(encoding="utf-8")) & TAKEN


def test_names_are_seen_wherever_they_are_bound():
    source = (
        "import a.b\nfrom c import d as e\nfor f, (g, h) in x:\n    i = 1\ndef j():\n    k = 1\nwith l as m: pass\n"
    )
    assert bound(source) == {"a", "e", "f", "g", "h", "i", "j", "m"}
