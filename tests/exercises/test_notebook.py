"""What a notebook is told beside the verdicts, and the record of what has passed."""

import json
import os
import subprocess
import sys
import threading

import pytest
from limits import PATIENCE

from garm_course.exercises import Result, get, notebook, progress

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")


@pytest.fixture
def recording(monkeypatch, tmp_path):
    monkeypatch.setenv("GARM_RECORD", "1")
    monkeypatch.setenv("GARM_STATE", str(tmp_path / "state"))
    return tmp_path / "state" / "exercises.json"


@pytest.fixture(scope="module")
def outputs():
    sources = [
        "from garm_course import check",
        "conv_mask(3, 'A')",
        "def conv_mask(k, kind):\n    return 0",
        "@check\ndef conv_mask(k, kind):\n    return 0",
        "nothing_of_the_course",
        "def helper(k):\n    return 0",
    ]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nb = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(nb, timeout=PATIENCE, kernel_name="python3", allow_errors=True).execute()
    return [cell.outputs for cell in nb.cells]


def test_a_name_whose_exercise_was_not_run_says_so(outputs):
    assert outputs[1][-1].ename == "NameError"
    text = "\n".join(outputs[1][-1].traceback)
    assert "conv_mask is an exercise, and its cell has not been run in this kernel" in text
    assert outputs[4][-1].ename == "NameError"
    assert "exercise" not in "\n".join(outputs[4][-1].traceback)


def test_a_forgotten_check_is_noticed_and_nothing_else(outputs):
    assert outputs[2][0].text == "conv_mask was defined without @check above it, so nobody has looked at it.\n"
    assert [output.output_type for output in outputs[3]] == ["display_data"]
    assert outputs[5] == []


def test_what_has_passed_stays_so(recording):
    conv_mask, elbo = get("conv_mask"), get("elbo")
    notebook.remember(conv_mask, abs, Result("not attempted"))
    assert not recording.exists()
    for verdict in ("not yet", "passed", "not yet"):
        notebook.remember(conv_mask, abs, Result(verdict))
    notebook.remember(elbo, abs, Result("not yet"))
    assert json.loads(recording.read_text()) == {"conv_mask": "passed", "elbo": "not yet"}
    text = repr(progress())
    assert "Exercises passed: 1 of" in text
    assert "04  #...   1 of 4  open: gated_activation, down_shift, rgb_center_mask" in text
    assert "elbo (not yet)" not in text.split("04 ")[0]


def test_nothing_is_written_when_it_is_switched_off(recording, monkeypatch):
    monkeypatch.setenv("GARM_RECORD", "0")
    notebook.remember(get("conv_mask"), abs, Result("passed"))
    assert not recording.parent.exists()
    assert repr(progress()) == "Verdicts are not recorded: GARM_RECORD is 0."


@pytest.mark.parametrize("damage", ["", "[1]", "{", '{"conv_mask": 3}'])
def test_a_damaged_record_is_begun_anew(recording, damage):
    recording.parent.mkdir()
    recording.write_text(damage)
    assert "Exercises passed: 0 of" in repr(progress())
    notebook.remember(get("conv_mask"), abs, Result("passed"))
    assert json.loads(recording.read_text()) == {"conv_mask": "passed"}


def test_a_disk_that_refuses_stops_nothing(recording):
    recording.parent.write_text("a file where the folder should be")
    notebook.remember(get("conv_mask"), abs, Result("passed"))
    assert "Exercises passed: 0 of" in repr(progress())


def test_two_kernels_do_not_overwrite_each_other(recording):
    names = ["conv_mask", "elbo", "d_loss", "skew", "quantize", "free_bits"]
    each = [threading.Thread(target=notebook.remember, args=(get(n), abs, Result("passed"))) for n in names]
    for thread in each:
        thread.start()
    for thread in each:
        thread.join(PATIENCE)
    assert sorted(json.loads(recording.read_text())) == sorted(names)


def test_the_command_shows_the_same(recording):
    notebook.remember(get("elbo"), abs, Result("passed"))
    done = subprocess.run(
        [sys.executable, "-m", "garm_course.cli", "progress"], capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "GARM_STATE": str(recording.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{progress()!r}\n"
