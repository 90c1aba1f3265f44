"""`garm tune`: a small search, and what can be put right."""

import json
import shlex

import pytest

from garm_course.cli import main


@pytest.fixture
def garm(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


@pytest.mark.slow
def test_a_search_says_what_is_best_and_goes_on(garm, tmp_path):
    pytest.importorskip("optuna", reason="needs Optuna, of the extra `tune`")
    search = ("tune", "made", "--budget", "smoke", "--storage", f"sqlite:///{tmp_path}/study.db", "--trials")
    code, out, err = garm(*search, 2)
    assert (code, err) == (0, "")
    assert "made-digits: 2 complete" in out
    assert "nats on the validation split" in out
    assert "  lr = 0.0" in out
    command = out.splitlines()[-1]
    assert command.startswith("garm train made --data digits --budget smoke --seed 1 --set")
    code, _, err = garm(*shlex.split(command)[1:-1], tmp_path / "run")
    assert code == 0, err
    best = json.loads((tmp_path / "run" / "result.json").read_text())
    assert f"lr={best['training']['lr']}" in command
    assert best["command"] == command.split(" --out")[0]
    assert "3 complete" in garm(*search, 3)[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mad",), "did you mean 'made'?"),
        (("made", "--space", ""), "the search space is empty"),
        (("made", "--space", "depth=1..3"), "no setting 'depth'"),
        (("gan",), "has no validation likelihood"),
        (("made", "--budget", "huge"), "choose one of smoke, quick, full"),
    ],
)
def test_what_can_be_put_right_is_told_in_one_line(garm, arguments, words):
    code, out, err = garm("tune", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
