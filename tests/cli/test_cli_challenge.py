"""`garm challenge`: fouls end with 1, what can be put right with 2, and a board is shown."""

import json

import pytest

from garm_course.cli import main
from garm_course.grading.challenge import example_player

UNIFORM = """
import torch
class Model:
    def __init__(self, shape, levels): self.levels = levels
    def fit(self, x, y, seconds, seed): pass
    def logits(self, prefix, i): return torch.zeros(len(prefix), self.levels)
"""


@pytest.fixture
def garm(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


def test_the_example_is_printed_as_it_is(garm):
    assert garm("challenge", "--example") == (0, example_player(), "")


@pytest.mark.slow
def test_a_player_is_scored_and_stands_on_the_board(garm, tmp_path):
    file, board = tmp_path / "uniform.py", tmp_path / "board.jsonl"
    file.write_text(UNIFORM)
    code, out, _ = garm("challenge", file, "--seconds", 20, "--board", board, "--seed", 3)
    assert code == 0
    assert "digits: 181.33 ± 0.00 nats" in out
    assert "1  uniform    181.33 ± 0.00 nats  1 try" in out
    assert json.loads(board.read_text())["name"] == "uniform"
    code, out, _ = garm("challenge", "--board", board)
    assert (code, "1  uniform" in out) == (0, True)


@pytest.mark.slow
def test_a_foul_is_one_line_and_leaves_no_entry(garm, tmp_path):
    file, board = tmp_path / "cheat.py", tmp_path / "board.jsonl"
    file.write_text("from sklearn.datasets import load_digits\n" + UNIFORM)
    code, out, err = garm("challenge", file, "--board", board)
    assert (code, out) == (1, "")
    assert err == "foul: ImportError: sklearn.datasets is closed: what you train on is what you are given\n"
    assert not board.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "a player's file or --board"),
        (("none.py",), "there is no file none.py"),
        (("none.py", "--data", "mnist"), "digits or glyphs, got 'mnist'"),
        (("none.py", "--seconds", 0), "seconds > 0"),
    ],
)
def test_what_can_be_put_right_is_told_in_one_line(garm, arguments, words):
    code, out, err = garm("challenge", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_an_empty_board_says_so(garm, tmp_path):
    assert garm("challenge", "--board", tmp_path / "none.jsonl") == (0, "the board has no result yet\n", "")
