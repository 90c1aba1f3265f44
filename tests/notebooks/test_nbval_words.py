"""A failing cell of nbval names the lesson, the sentence and the remedy."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from limits import PATIENCE
from nbformat.v4 import new_code_cell, new_notebook, new_output

from garm_course.editions.outputs import RULES

ROOT = Path(__file__).resolve().parents[2]
CELLS = [  # what the cell prints now, what is stored
    ("print('NLL 81.5 nats')", "NLL 81.4 nats"),
    ("print('NLL = 85.1 nats (claimed 81.8 ± 1.5: does NOT hold)')", "NLL = 81.4 nats (claimed 81.8 ± 1.5: holds)"),
    ("print('a leak')", "no leak"),
    ("print(1); print(2)", "1"),
    ("1 / 0", ""),
    ("print('NLL ≈   81.5 nats')", "NLL ≈ 1,081.4 nats"),
]


def lines_of(path, option, result):
    """The lines of a whole run of nbval that belong to the notebook."""
    cells = [
        new_code_cell(source, execution_count=1, outputs=[new_output("stream", text=f"{text}\n")] if text else [])
        for source, text in CELLS
    ]
    nbformat.write(new_notebook(cells=cells), path)
    command = [sys.executable, "-m", "pytest", "-p", "tests.notebooks.nbval_words", "-p", "no:cacheprovider", option]
    command += ["--nbval-current-env", "--nbval-sanitize-with", str(RULES), "--color=no", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert result in done.stdout, done.stdout
    return [line for line in done.stdout.splitlines() if line.startswith("07_lesson.ipynb")]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    return lines_of(tmp_path_factory.mktemp("nbval") / "07_lesson.ipynb", "--nbval", "5 failed, 1 passed")


def test_without_comparing_only_an_error_fails(tmp_path):
    (line,) = lines_of(tmp_path / "07_lesson.ipynb", "--nbval-lax", "1 failed, 5 passed")
    assert line.startswith("07_lesson.ipynb, code cell 4 raises ZeroDivisionError")


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (0, "'NLL 81.4 nats' became 'NLL 81.5 nats': a measured number outside of report"),
        (1, "this claim holds on some machines only"),
        (2, "'no leak' became 'a leak': not the stored words; run garm release"),
        (3, "2 lines of output, 1 are stored; run garm release"),
        (4, "raises ZeroDivisionError: division by zero"),
    ],
)
def test_a_failing_cell_says_what_to_do(said, cell, words):
    assert said[cell].startswith(f"07_lesson.ipynb, code cell {cell}")
    assert words in said[cell]
