"""`garm assign` and `garm grade`, from a folder to hand out to the marks."""

import csv
import json
import zipfile

import pytest

from garm_course.cli import main
from garm_course.exercises import exercises
from garm_course.grading.judge import own_answers

RIGHT = "def conv_mask(k, kind):\n    import torch\n    cells = torch.arange(k * k) < k * k // 2 + (kind == 'B')\n"
RIGHT += "    return cells.view(k, k)"


@pytest.fixture
def garm(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


@pytest.fixture
def homework(tmp_path):
    folder = tmp_path / "hw"
    folder.mkdir()
    text = 'name = "hw"\nversion = "0.1.0"\n[[exercise]]\nname = "conv_mask"\npoints = 2\n'
    (folder / "assignment.toml").write_text(text)
    return folder


def notebook(*cells):
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})


def test_an_assignment_holds_the_student_notebooks_and_what_is_asked_for(garm, tmp_path):
    out = tmp_path / "hw"
    code, said, _ = garm("assign", "4:conv_mask", "10", "--points", 2, "--due", "2027-02-01", "--zip", "--out", out)
    assert code == 0
    assert "2 notebooks, 5 exercises, 10 points" in said
    names = ["04_pixelcnn.ipynb", "10_vae.ipynb", "README.md", "requirements.txt"]
    assert sorted(path.name for path in (out / "release").iterdir()) == names
    assert sorted(zipfile.ZipFile(out / "release.zip").namelist()) == names
    assert "Replace this line with your answer." in (out / "release" / names[0]).read_text(encoding="utf-8")
    assert "Due 2027-02-01" in (out / "release" / "README.md").read_text(encoding="utf-8")
    assert garm("assign", "4", "--out", out)[0] == 2  # it is not empty
    assert "no lesson '77'" in garm("assign", "77", "--out", tmp_path / "b")[2]


def test_bad_input_is_told_before_anything_is_graded(garm, homework, tmp_path):
    assert "has no assignment.toml" in garm("grade", tmp_path, tmp_path)[2]
    assert "holds no notebook" in garm("grade", homework, homework)[2]
    (tmp_path / "a.ipynb").write_text("{}")
    file = homework / "assignment.toml"
    file.write_text(file.read_text().replace("conv_mask", "conv_musk").replace("0.1.0", "9.0"))
    code, _, err = garm("grade", homework, tmp_path / "a.ipynb")
    assert code == 2
    assert "made with 9.0: it has no exercise conv_musk" in err


@pytest.mark.slow
def test_a_course_is_graded_once(garm, homework, tmp_path, monkeypatch):
    subs = tmp_path / "subs.zip"
    with zipfile.ZipFile(subs, "w") as archive:
        archive.writestr("Ada, B_1_assignsubmission_file_/04.ipynb", notebook(RIGHT))
        archive.writestr("=Bob_2_assignsubmission_file_/04.ipynb", notebook(RIGHT.replace("'B'", "'A'")))
        archive.writestr("Eve_3_assignsubmission_file_/04.ipynb", "no notebook")
        archive.writestr("Ada's friend_4_assignsubmission_file_/04.ipynb", notebook(RIGHT))
    code, out, _ = garm("grade", homework, subs, "--json")
    lines = {line["student"]: line for line in map(json.loads, out.splitlines())}
    assert code == 0
    assert set(lines["Ada, B (1)"]) == {"file", "student", "unreadable", "exercises"}
    assert lines["Ada, B (1)"]["exercises"] == {"conv_mask": {"status": "passed", "hint": "", "flags": []}}
    wrong = lines["=Bob (2)"]["exercises"]["conv_mask"]
    assert (wrong["status"], wrong["hint"][:25]) == ("not yet", "A and B are swapped: A hi")
    assert "not a notebook" in lines["Eve (3)"]["unreadable"]
    rows = list(csv.DictReader((homework / "grades.csv").read_text(encoding="utf-8-sig").splitlines()))
    points = [(row["student"], row["points"]) for row in rows]
    assert points == [("'=Bob (2)", "0"), ("Ada's friend (4)", "2"), ("Ada, B (1)", "2"), ("Eve (3)", "0")]
    assert len(list((homework / "feedback").glob("*.html"))) == 4
    assert len(list((homework / "cache").iterdir())) == 3  # equal notebooks are graded once

    def refuse(*args, **options):
        raise AssertionError("a second run must grade nothing")

    monkeypatch.setattr("garm_course.grading.grader.ProcessPoolExecutor", refuse)
    again = garm("grade", homework, subs, "--json")[1]
    assert sorted(again.splitlines()) == sorted(out.splitlines())


@pytest.mark.slow
def test_a_full_disk_loses_nothing(garm, homework, tmp_path, monkeypatch):
    from garm_course.grading import grader

    subs = tmp_path / "subs"
    subs.mkdir()
    for k in range(3):
        (subs / f"{k}.ipynb").write_text(notebook(RIGHT + f"  # {k}"))
    write, written = grader.write_atomically, []

    def full(path, data):
        if written:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        write(path, data)

    monkeypatch.setattr(grader, "write_atomically", full)
    code, _, err = garm("grade", homework, subs)
    assert code == 2
    assert "No space left on device" in err
    monkeypatch.setattr(grader, "write_atomically", write)
    assert garm("grade", homework, subs)[0] == 0
    assert len(list((homework / "cache").iterdir())) == 3


@pytest.mark.slow
def test_the_courses_own_answers_pass_in_the_sandbox():
    assert own_answers([exercise.name for exercise in exercises()]) == ""
