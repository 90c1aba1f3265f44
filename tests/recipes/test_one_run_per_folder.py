"""A folder has one run at a time; what was finished is left as it is, and what a kill left behind is tidied up."""

import os
import signal
import subprocess
import sys

import pytest

from garm_course.cli import main
from garm_course.recipes.catalog import RECIPES
from garm_course.recipes.runs import alone_in, train

BARS = RECIPES["nade-bars_and_stripes"]
LEFT = (".model.safetensors.x1", ".result.json.ab", "..writable.q")  # as a kill leaves them
HOLD = """
import sys
from garm_course.recipes.runs import alone_in

with alone_in(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def held(tmp_path):
    """A folder that another process has, and that process."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield tmp_path, process
    process.kill()
    process.communicate()


def test_a_second_run_ends_at_once_and_says_who_has_the_folder(held, capsys):
    folder, process = held
    before = files(folder)
    for options in ([], ["--resume"], ["--overwrite"]):
        with pytest.raises(SystemExit) as end:
            main(["train", "nade", "--data", "bars_and_stripes", "--budget", "smoke", "--out", str(folder), *options])
        line = capsys.readouterr().err.strip()
        assert end.value.code == 2
        assert f"is in use by another run (process {process.pid} on " in line
        assert line.endswith("wait for its end, or choose another folder with --out")
        assert "\n" not in line
    assert files(folder) == before


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_run_holds_nothing(held):
    folder, process = held
    process.kill()
    process.wait()
    train(BARS, folder, budget="smoke")
    assert sorted(files(folder)) == ["model.safetensors", "result.json"]


def test_a_run_lets_go_of_its_folder_however_it_ends(tmp_path):
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        assert 1 / 0
    with alone_in(tmp_path):
        pass
    assert files(tmp_path) == {}


@pytest.fixture
def finished(tmp_path):
    """A folder of a run that was killed after its result was written, before it had tidied up."""
    train(BARS, tmp_path, budget="smoke")
    (tmp_path / "checkpoints").mkdir()
    for name in ("checkpoints/step-000000002.safetensors", *LEFT):
        (tmp_path / name).write_bytes(b"half")
    return tmp_path


def test_a_run_that_was_finished_before_the_kill_is_already_finished(finished, capsys):
    expected = {name: data for name, data in files(finished).items() if name in ("model.safetensors", "result.json")}
    with pytest.raises(SystemExit) as end:
        main(["train", "nade", "--data", "bars_and_stripes", "--budget", "smoke", "--out", str(finished), "--resume"])
    assert end.value.code == 0
    assert "already finished: " in capsys.readouterr().out
    assert files(finished) == expected
    assert sorted(os.listdir(finished)) == ["model.safetensors", "result.json"]


def test_another_run_is_not_taken_for_a_finished_one(finished):
    before = files(finished)
    with pytest.raises(FileExistsError, match=r"holds another run \(garm train nade .* --seed 0\); choose another"):
        train(BARS, finished, budget="smoke", seed=1, resume=True)
    assert files(finished) == before


def test_a_new_run_tidies_up_as_well(finished):
    train(BARS, finished, budget="smoke", seed=1, overwrite=True)
    assert sorted(files(finished)) == ["model.safetensors", "result.json"]
