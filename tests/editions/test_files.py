"""Ids, pairs and bytes: what the stored files of a lesson must agree on. Nothing is executed here."""

import json
import re

import nbformat
import pytest

from garm_course.cli import main
from garm_course.editions import EditionError, blank, build, notebooks, release
from garm_course.editions.address import setup_cell


@pytest.fixture
def released(lesson):
    release(lesson, run=False)
    return lesson


def ids(path):
    return [cell.id for cell in nbformat.read(path, as_version=4).cells]


def test_a_released_lesson_is_in_step_and_a_second_release_changes_no_byte(released):
    assert build.check(released) == []
    assert build.strays(released.root) == []
    assert release(released, run=False) == []
    assert released.student_text.read_text() == blank(released.source.read_text())


def test_ids_are_unique_and_depend_on_the_text_and_never_on_the_position(released):
    before = ids(released.solutions)
    assert len(set(before)) == len(before)
    text = released.source.read_text()
    repeated = "# %%\nclaims()\n\n# %%\nclaims()"
    released.source.write_text(text.replace("# %%\nclaims()", "# %% [markdown]\n# New.\n\n" + repeated))
    release(released, run=False)
    after = ids(released.solutions)
    assert len(set(after)) == len(after) == len(before) + 2
    assert [one for one in after if one in before] == before
    differing = sum(a != b for a, b in zip(after, ids(released.student), strict=True))
    assert differing == 1  # the exercise; every other cell is the same in both editions


def test_a_written_notebook_is_valid_and_keeps_only_known_metadata(released):
    for path in (released.solutions, released.student):
        raw = json.loads(path.read_text())
        nbformat.validate(raw)
        assert set(raw["metadata"]) == {"kernelspec", "language_info"}
        assert raw["metadata"]["language_info"] == {"name": "python"}
        assert all(set(cell["metadata"]) <= {"tags", "nbgrader"} for cell in raw["cells"])
        assert path.read_bytes().endswith(b"}\n")


def edit_notebook(path, change):
    nb = nbformat.read(path, as_version=4)
    change(nb)
    nbformat.write(nb, path)


def edit_text(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def drop_last(nb):
    nb.cells.pop()


def swap_two(nb):
    nb.cells[0], nb.cells[2] = nb.cells[2], nb.cells[0]


def retag(nb):
    nb.cells[1].metadata.tags = []


def reword(nb):
    nb.cells[0].source += " More."


def rename(nb):
    nb.cells[3].id = "abc"


def to_raw(nb):
    nb.cells[0].cell_type = "raw"


@pytest.mark.parametrize("edition", ["solutions", "student"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_last, r"\d cells against \d"),
        (swap_two, "differs in its text"),
        (retag, "cell 2 differs in its tags"),
        (reword, "cell 1 differs in its text"),
        (rename, "ids are not derived"),
        (to_raw, "cell 1 differs in its type"),
    ],
)
def test_a_notebook_that_was_edited_by_itself_is_out_of_step(released, edition, change, message):
    edit_notebook(getattr(released, edition), change)
    (fault,) = build.check(released)
    assert "out of step" in fault
    assert re.search(message, fault)


@pytest.mark.parametrize("edition", ["solutions", "student"])
def test_a_stored_figure_that_contradicts_its_claim_is_found(released, edition):
    path = getattr(released, edition)
    line = "bits in one nat = 9.999 bits (claimed 1.44 ± 0.01: holds)\n"

    def store(nb):
        cell = next(cell for cell in nb.cells if "report(" in cell.source)
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=line)]

    edit_notebook(path, store)
    found = build.check(released)
    assert any(
        f"{path.parent.name}/00_tiny.ipynb: cell" in one and "says 'holds' of what does not" in one for one in found
    )


def test_an_edited_source_is_out_of_step_with_all_that_was_made_from_it(released):
    edit_text(released.source, "bits = nats", "bits = 1.0 * nats")
    assert [fault.split()[0] for fault in build.check(released)] == ["solutions/00_tiny.ipynb"]
    edit_text(released.source, "One exercise", "One task")
    assert [fault.split()[0] for fault in build.check(released)] == [
        "notebooks/00_tiny.py",
        "solutions/00_tiny.ipynb",
        "notebooks/00_tiny.ipynb",
    ]


def test_an_edited_student_text_or_setup_cell_or_badge_is_out_of_step(released):
    edit_text(released.student_text, "raise NotImplementedError", "pass  # raise NotImplementedError")
    assert build.check(released) == ["notebooks/00_tiny.py is not the blanked solutions/00_tiny.py"]
    release(released, run=False)
    for old, new in ((setup_cell(released.root), "import garm_course"), ("labpath=", "filepath=")):
        edit_text(released.source, old, new)
        assert build.check(released)[0] == "solutions/00_tiny.py: badges or setup cell are stale"
        release(released, run=False)
        assert build.check(released) == []


def test_missing_broken_and_stray_files_are_named(released):
    released.student.unlink()
    released.solutions.write_text("{")
    faults = build.check(released)
    assert any("notebooks/00_tiny.ipynb is missing; run: garm release 00_tiny" in fault for fault in faults)
    assert any("solutions/00_tiny.ipynb is not a notebook" in fault for fault in faults)
    released.student_text.with_name("07_gone.py").write_text("")
    assert build.strays(released.root) == ["notebooks/07_gone.py belongs to no lesson in solutions/; remove it"]


def test_a_source_that_cannot_be_blanked_writes_nothing(lesson):
    edit_text(lesson.source, "    ### END SOLUTION\n", "")
    before = lesson.source.read_text()
    with pytest.raises(EditionError, match=r"^solutions/00_tiny.py: line \d+"):
        release(lesson, run=False)
    assert lesson.source.read_text() == before
    assert not lesson.solutions.exists()
    assert not lesson.student.exists()
    assert build.check(lesson)[0].startswith("solutions/00_tiny.py: line")


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    notebooks.write(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        notebooks.write(path, "new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.ipynb", "old")]


def garm(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["release", *arguments])
    return end.value.code


def test_the_command_checks_writes_and_names_what_is_wrong(lesson, monkeypatch, capsys):
    monkeypatch.chdir(lesson.root)
    assert garm("--check") == 1
    assert "notebooks/00_tiny.py is not the blanked solutions/00_tiny.py" in capsys.readouterr().err
    assert garm("0", "--no-execute") == 0
    assert "notebooks/00_tiny.ipynb" in capsys.readouterr().out
    assert garm("--check") == 0
    assert garm("--no-execute") == 0
    assert "00_tiny: nothing changed" in capsys.readouterr().out
    assert garm("07") == 2
    assert capsys.readouterr().err == "garm: error: no lesson '07'; the lessons are: 00_tiny\n"
    lesson.student.with_name("09_gone.ipynb").write_text("{}")
    assert garm("--check") == 1
    assert garm("--check", "00") == 0  # a named lesson is checked alone
