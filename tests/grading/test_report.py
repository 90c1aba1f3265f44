"""Marks, feedback and the overview: nothing that a student wrote is a formula, markup, or a path."""

import csv
import io

import pytest

from garm_course.grading.assignment import Assignment, check_due, chosen, read_assignment
from garm_course.grading.report import as_html, as_markdown, by_student, feedback, file_name, harmless, overview, table

HW = Assignment("hw 1", {"conv_mask": 2.0, "down_shift": 1.5})


def verdict(status, hint=""):
    return {"status": status, "hint": hint, "detail": "", "call": "", "flags": ["imports gc"] * (status == "passed")}


def result(student, file, unreadable=None, **statuses):
    return {"student": student, "file": file, "unreadable": unreadable, "notes": [],
            "exercises": {name: verdict(status, f"<b>{status}") for name, status in statuses.items()}}  # fmt: skip


RESULTS = [
    result("=cmd()", "a/1.ipynb", conv_mask="passed", down_shift="missing"),
    result("=cmd()", "a/2.ipynb", conv_mask="missing", down_shift="passed"),
    result('Zoë "Z", B', "b.ipynb", conv_mask="not own", down_shift="not yet"),
    result("c", "c.ipynb", unreadable="the file is a link"),
]


def test_an_exercise_counts_from_the_last_file_that_has_it():
    students = by_student(RESULTS, list(HW.points))
    rows = list(csv.DictReader(io.StringIO(table(HW, students))))
    assert [row["student"] for row in rows] == ["'=cmd()", 'Zoë "Z", B', "c"]
    assert [row["points"] for row in rows] == ["3.5", "0", "0"]
    assert [row["conv_mask"] for row in rows] == ["passed", "not own", "missing"]
    assert rows[0]["flags"] == "imports gc"


def test_a_later_file_stands_for_an_earlier_one():
    later = [result("a", "1", conv_mask="passed", down_shift="passed"),
             result("a", "2", conv_mask="not yet", down_shift="missing")]  # fmt: skip
    assert by_student(later, list(HW.points))["a"]["exercises"]["conv_mask"]["status"] == "not yet"


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", " =1", "\t=1", "\r=1", "\n", "|x"])
def test_no_cell_is_a_formula(cell):
    assert harmless(cell) == f"'{cell}"


def test_pages_escape_what_students_wrote():
    students = by_student(RESULTS, list(HW.points))
    lines = feedback(HW, "<script>", students['Zoë "Z", B'])
    page = as_html(lines) + overview(HW, students, "walls")
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;b&gt;not yet" in page
    assert "0 of 3.5 points" in page
    assert "http" not in page
    assert r"\<b\>not yet" in as_markdown(lines)


def test_pages_of_two_students_are_two_files_that_stay_in_their_folder():
    names = ["../../etc", "a/b", "a_b", "A_B", "", "con", "x" * 500, "Zoë", "\0"]
    files = [file_name(name) for name in names]
    assert len({file.casefold() for file in files}) == len(names)
    assert all(len(file) < 80 and "/" not in file and "." not in file for file in files)


def test_an_assignment_is_read_as_it_was_written(tmp_path):
    odd = Assignment('quotes " and \\', {"conv_mask": 0.5}, "2027-02-01", "0.0.9")
    (tmp_path / "assignment.toml").write_text(odd.text(), encoding="utf-8")
    assert read_assignment(tmp_path) == odd


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "has no assignment.toml"), ("= 3", "is no assignment"), ("name = 'x'", "is no assignment"),
     ("name='x'\nversion='1'\n[[exercise]]\nname='a'\npoints=-1", "expected a number above 0"),
     ("name='x'\nversion='1'\n[[exercise]]\nname='a'\npoints=nan", "expected a number above 0")],
)  # fmt: skip
def test_a_bad_assignment_is_told(tmp_path, text, said):
    if text is not None:
        (tmp_path / "assignment.toml").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_assignment(tmp_path)


def test_what_is_asked_for():
    known = {"04": ["a", "b"], "10": ["c"]}
    assert chosen(["4", "10:c"], known) == known
    assert chosen(["04:b", "4:a"], known) == {"04": ["a", "b"]}
    for words, said in ((["5"], "no lesson '5'"), (["4:z"], "no exercise 'z'"), ([], "expected a lesson")):
        with pytest.raises(ValueError, match=said):
            chosen(words, known)
    with pytest.raises(ValueError, match="is no date"):
        check_due("tomorrow")
