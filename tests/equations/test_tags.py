r"""Every `\tag{L.n}` of a lesson has a test with `@pytest.mark.equation("L.n")`, and every such test has a tag.

The markers are read from the text of the tests, so that the join holds whatever was selected to run.
"""

import ast
from pathlib import Path

import pytest

from garm_course.editions import EditionError, lessons
from garm_course.editions.equations import tags

ROOT = Path(__file__).resolve().parents[2]


def markers(text: str) -> list[str]:
    """Numbers in the `pytest.mark.equation(...)` of a test file: on functions, classes, parameters or the module."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    marks = [call for call in calls if ast.unparse(call.func) in ("pytest.mark.equation", "mark.equation")]
    return [ast.literal_eval(argument) for mark in marks for argument in mark.args]


def tagged() -> dict[str, list[str]]:
    return {one.name: tags(one.source.read_text(encoding="utf-8"), one.name) for one in lessons(ROOT)}


def marked() -> dict[str, list[str]]:
    files = sorted((ROOT / "tests" / "equations").glob("test_lesson*.py"))
    return {file.name: markers(file.read_text(encoding="utf-8")) for file in files}


def missing(numbers: dict[str, list[str]], elsewhere: dict[str, list[str]]) -> list[str]:
    known = {number for found in elsewhere.values() for number in found}
    return [f"{name}: {number}" for name, found in numbers.items() for number in found if number not in known]


def test_every_numbered_equation_has_a_test():
    assert missing(tagged(), marked()) == [], "write a test with @pytest.mark.equation for these equations"


def test_every_equation_test_has_a_numbered_equation():
    assert missing(marked(), tagged()) == [], "no lesson shows an equation with these numbers"


def test_the_join_sees_a_missing_test_and_a_missing_tag():
    lesson, tests = {"04_x": ["4.1", "4.2"]}, {"test_lesson04.py": ["4.2", "4.3"]}
    assert missing(lesson, tests) == ["04_x: 4.1"]
    assert missing(tests, lesson) == ["test_lesson04.py: 4.3"]


def test_markers_are_found_wherever_pytest_allows_them():
    text = (
        "pytestmark = pytest.mark.equation('4.1')\n"
        "@pytest.mark.equation('4.2', '4.3')\n@pytest.mark.slow\ndef test_a(): ...\n"
        "class TestB:\n    @pytest.mark.equation('4.4')\n    def test_c(self): ...\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.equation('4.5'))])\ndef test_d(x): ...\n"
        "# @pytest.mark.equation('4.6')\n'pytest.mark.equation(4.7)'\n"
    )
    assert sorted(markers(text)) == ["4.1", "4.2", "4.3", "4.4", "4.5"]


LESSON = r"""# %% [markdown]
# # Title
# $$a = b \tag{4.1}$$ and
#
# $$
# c = d \tag{4.2}
# $$
# \begin{align}
# e &= f \tag{4.3} \\
# g &= h \tag{4.4}
# \end{align}
# Write `\tag{4.9}`, or
# ```
# $$x \tag{4.8}$$
# ```

# %%
x = r"\tag{4.7}"
"""


def test_tags_are_read_from_displayed_mathematics_only():
    assert tags(LESSON, "04_x") == ["4.1", "4.2", "4.3", "4.4"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"$$a = b \tag{4.1}$$", r"$a = b \tag{4.1}$", "outside displayed"),
        (r"\tag{4.3}", r"\tag{4.2}", r"\\tag\{4.3\} was expected"),
        (r"\tag{4.1}", r"\tag{5.1}", r"\\tag\{4.1\} was expected"),
        (r"\tag{4.4}", r"\tag{4.5}", r"\\tag\{4.4\} was expected"),
        (r"\tag{4.4}", r"\tag{4.4'}", r"\\tag\{4.4\} was expected"),
    ],
)
def test_a_misplaced_or_misnumbered_tag_is_an_error(old, new, message):
    assert old in LESSON
    with pytest.raises(EditionError, match=message):
        tags(LESSON.replace(old, new), "04_x")
