"""`garm release` on the tiny lesson, executed: results, bytes, refusals; and that nbval sees an altered number.

One release is made for the whole file, since each costs three kernels.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from tiny_lesson import TINY

from garm_course.editions import EditionError, Lesson, build, notebooks, release
from garm_course.editions.execution import execute
from garm_course.editions.guards import faults
from garm_course.editions.outputs import RULES, sanitized
from garm_course.lesson import device_line

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The tiny lesson, released through the command line."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "solutions").mkdir()
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "solutions" / "00_tiny.py").write_text(TINY, encoding="utf-8")
    environment = os.environ | {"GARM_BUDGET": "smoke", "OMP_NUM_THREADS": "2"}  # neither may reach a stored page
    command = [sys.executable, "-m", "garm_course.cli", "release"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    dying = r"ERROR:(?:tornado\.general|asyncio):.*\n(?:.*\n)*?.*Socket operation on non-socket\n"
    assert re.sub(dying, "", done.stderr) == ""  # but for what a kernel may say while it ends
    assert "notebooks/00_tiny.ipynb" in done.stdout
    return Lesson("00_tiny", root)


@pytest.fixture
def copied(released, tmp_path):
    shutil.copytree(released.root, tmp_path, dirs_exist_ok=True)
    return Lesson("00_tiny", tmp_path)


def text_of(path):
    nb = nbformat.read(path, as_version=4)
    return "\n".join(str(output) for cell in nb.cells for output in cell.get("outputs", []))


def test_both_editions_ran_at_budget_quick_on_one_thread_and_have_no_fault(released):
    assert build.check(released) == []
    for path in (released.solutions, released.student):
        assert faults(nbformat.read(path, as_version=4), size=path.stat().st_size) == []
        assert "1 thread · budget quick" in text_of(path)
        assert "claimed 1.44 ± 0.01: holds" in text_of(path)


def test_the_solution_passes_and_the_student_edition_is_not_attempted_yet_runs_to_its_end(released):
    assert "nats_to_bits: passed" in text_of(released.solutions)
    assert "nats_to_bits: not attempted" in text_of(released.student)
    for path in (released.solutions, released.student):
        assert "8 ln 2 nats are 8.0 bits" in text_of(path)


def test_a_second_release_changes_no_byte(released):
    before = {path: path.read_bytes() for path in released.root.rglob("*.*") if path.is_file()}
    assert release(released) == []
    assert {path: path.read_bytes() for path in released.root.rglob("*.*") if path.is_file()} == before


def test_without_executing_the_results_of_unchanged_cells_are_kept(copied):
    text = copied.source.read_text()
    copied.source.write_text(text.replace("One exercise", "One task").replace("[1, 2, 4]", "[1, 2, 5]"))
    release(copied, run=False)
    assert build.check(copied) == []
    nb = nbformat.read(copied.student, as_version=4)
    assert [cell.execution_count for cell in nb.cells if cell.cell_type == "code"] == [1, 2, 3, 4, None, 6, 7]
    assert faults(nb)[0].startswith("cell 7 was not executed")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "claimed=1.44",
            "claimed=1.54",
            r"solutions/00_tiny.ipynb: cell \d+ \(claims\(\)\) raised AssertionError: 1",
        ),
        ('print("8 ln 2', 'print(missing)\nprint("8 ln 2', r"cell \d+ \(print\(missing\)\) raised NameError"),
        (
            'print("8 ln 2',
            'print(nats_to_bits.__module__)\nprint("8 ln 2',
            r"notebooks/00_tiny.ipynb.*: cell \d+ shows '__main__' after an answer and 'garm_course.* after none",
        ),
        ("# %%\nclaims()\n", "", r"unfit to be stored: the last code cell does not call claims\(\)"),
        ("fig = Figure", 'import warnings\n\nwarnings.warn("odd")\nfig = Figure', "stores a warning"),
    ],
)
def test_a_lesson_that_fails_or_is_unfit_writes_nothing(copied, old, new, message):
    text = copied.source.read_text()
    assert old in text
    copied.source.write_text(text.replace(old, new))
    before = {path: path.read_bytes() for path in copied.root.rglob("*.*") if path.is_file()}
    with pytest.raises(EditionError, match=message):
        release(copied)
    assert {path: path.read_bytes() for path in copied.root.rglob("*.*") if path.is_file()} == before


def test_a_cell_that_takes_too_long_is_stopped_and_named(tmp_path):
    nb = notebooks.from_text("# %%\nprint(1)\n\n# %%\nwhile True:\n    pass\n", "00_x")
    with pytest.raises(EditionError, match=r"cell 2 \(while True:\) took more than 1 seconds"):
        execute(nb, tmp_path, timeout=1)
    assert nb.cells[0].outputs == []  # executing is never in place


def test_widget_views_are_dropped_and_their_text_stays(tmp_path):
    text = "# %%\nimport ipywidgets\n\nipywidgets.IntSlider(description='layers')\n"
    nb = notebooks.canonical(execute(notebooks.from_text(text, "00_x"), tmp_path), "00_x")
    (output,) = nb.cells[0].outputs
    assert list(output.data) == ["text/plain"]
    assert "layers" in output.data["text/plain"]
    assert "widgets" not in nb.metadata


def nbval(*paths):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(paths[0].parent)]
    command += ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(RULES)]
    return subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, cwd=paths[0].parent)


# Files, each with alterations of its stored outputs: text, its replacement, and the code cell that nbval must fail
# (counted from 0), or None where only a measured figure or the machine changed.
ALTERED = {
    "harmless": [
        ("1.443 bits (", "1.439 bits (", None),
        ("≈ 1.5 a step", "≈ 1.47 a step", None),
        ("1 thread · budget quick", "64 threads · budget quick", None),
    ],
    "numbers": [
        ("not attempted", "passed", 2),
        ("nats are 8.0 bits", "nats are 8.1 bits", 3),
        ("from 1 to 4", "from 1 to 5", 4),
        ("claimed 1.44 ± 0.01:", "claimed 1.45 ± 0.01:", 5),
        ("1.44 ± 0.01 bits", "1.44 ± 0.02 bits", 6),
    ],
    "words": [("8 ln 2 nats are 8.0 bits\n", "", 3), ("0.01: holds", "0.01: does NOT hold", 5)],
    "tolerance": [("± 0.01: holds", "± 0.02: holds", 5)],
    "unit": [("1.443 bits (", "1.443 nats (", 5)],
}


def alter(nb, old, new):
    """Replace in every stored text; the alternative text in the metadata is no output that nbval knows."""
    hits = 0
    for output in [output for cell in nb.cells for output in cell.get("outputs", [])]:
        place = output if "text" in output else output.data
        for key in [key for key in place if key.startswith("text")]:
            hits += old in place[key]
            place[key] = place[key].replace(old, new)
    assert hits, old


def test_nbval_sees_every_altered_number_except_a_measured_one(released, tmp_path):
    files, expected = [], set()
    for name, alterations in ALTERED.items():
        nb = nbformat.read(released.student, as_version=4)
        for old, new, cell in alterations:
            alter(nb, old, new)
            expected |= {f"{name}.ipynb::Cell {cell}"} - {f"{name}.ipynb::Cell None"}
        files.append(tmp_path / f"{name}.ipynb")
        files[-1].write_text(nbformat.writes(nb))
    done = nbval(*files)
    assert set(re.findall(r"^FAILED (\w+\.ipynb::Cell \d+)", done.stdout, re.MULTILINE)) == expected, done.stdout[
        -3000:
    ]
    assert f"{len(expected)} failed, {7 * len(files) - len(expected)} passed" in done.stdout


def test_a_measured_figure_is_hidden_and_an_exact_one_is_not():
    assert sanitized("blind == 10 (claimed 10: holds)") == "blind == 10 (claimed 10: holds)"
    assert sanitized("a = 81.43 nats (claimed 81.8 ± 1.5: holds)") == "a = MEASURED nats (claimed 81.8 ± 1.5: holds)"
    assert sanitized("a = -1.2e-06 (claim skipped at budget smoke)") == "a = MEASURED (claim skipped at budget smoke)"
    assert sanitized("k = 3, x = 4.5 and (claims)") == "k = 3, x = 4.5 and (claims)"
    assert sanitized("<A object at 0x7f00aa11bb22>") == "<A object at ADDRESS>"
    assert sanitized(device_line()) == "garm_course DEVICE"
