"""Boards: places that luck does not give, results that replace earlier ones, files that are no boards."""

import json

import pytest
import torch

from garm_course.evaluation.likelihood import Difference
from garm_course.grading.board import read_board, standings, submit
from garm_course.grading.challenge import Result


def result(scores, *, test="t", kl=None, data="digits"):
    found = None if kl is None else Difference(kl, 0.1, len(scores), 64)
    return Result(data, 64, list(scores), found, 0.0, 1.0, "f", test, "walls", {})


def drawn(mean, *, noise=0.0, n=400, seed=0):
    """Scores that share their images: what differs between two of them is `mean` and a little noise."""
    rng = torch.Generator().manual_seed(0)
    images = 10 * torch.randn(n, generator=rng, dtype=torch.float64)
    own = noise * torch.randn(n, generator=rng.manual_seed(seed + 1), dtype=torch.float64)
    return (mean + images + own - own.mean()).tolist()


def test_a_small_difference_counts_where_it_is_paired_and_not_where_it_is_not(tmp_path):
    file = tmp_path / "board.jsonl"
    assert submit(file, "a", result(drawn(80.0)))
    assert submit(file, "b", result(drawn(80.3, noise=1.0)))
    assert [(row.place, row.name) for row in standings(read_board(file))] == [(1, "a"), (2, "b")]
    apart = tmp_path / "apart.jsonl"
    submit(apart, "a", result(drawn(80.0)))
    submit(apart, "b", result(drawn(80.3, noise=1.0), test="another"))
    assert [(row.place, row.name) for row in standings(read_board(apart))] == [(1, "a"), (1, "b")]


def test_other_images_are_compared_by_their_divergence(tmp_path):
    file = tmp_path / "board.jsonl"
    submit(file, "a", result(drawn(150.0), kl=90.0, data="glyphs"))
    submit(file, "b", result(drawn(149.0), kl=95.0, data="glyphs", test="another"))
    rows = standings(read_board(file))
    assert [(row.place, row.name, row.kl) for row in rows] == [(1, "a", 90.0), (2, "b", 95.0)]


def test_what_is_not_told_apart_shares_a_place(tmp_path):
    file = tmp_path / "board.jsonl"
    for name, mean in (("a", 80.0), ("b", 80.01), ("c", 85.0)):
        submit(file, name, result(drawn(mean, noise=3.0, seed=ord(name))))
    assert [row.place for row in standings(read_board(file))] == [1, 1, 3]


def test_a_hundred_equal_tries_change_nothing_and_a_better_one_does(tmp_path):
    file = tmp_path / "board.jsonl"
    submit(file, "a", result(drawn(80.0)))
    for seed in range(20):
        better_by_luck = [score - 0.1 for score in drawn(80.0, noise=4.0, seed=seed)]  # half a standard error
        assert not submit(file, "a", result(better_by_luck))
    assert standings(read_board(file))[0].nats == pytest.approx(torch.tensor(drawn(80.0)).mean().item(), abs=1e-4)
    assert submit(file, "a", result(drawn(78.0, noise=4.0)))
    (row,) = standings(read_board(file))
    assert (row.tries, round(row.nats - torch.tensor(drawn(78.0)).mean().item(), 3)) == (22, 0)


def test_files_that_are_no_boards_are_told_and_stay(tmp_path):
    file = tmp_path / "board.jsonl"
    submit(file, "a", result(drawn(80.0)))
    good = file.read_text()
    for bad in ("no json", "[]", json.dumps({"name": "a"}), good.strip().replace('"scores": [', '"scores": [NaN, ')):
        file.write_text(good + bad + "\n")
        with pytest.raises(ValueError, match=r"board.jsonl, line 2, is no result"):
            submit(file, "b", result(drawn(79.0)))
        assert file.read_text() == good + bad + "\n"
    file.write_text(good)
    with pytest.raises(ValueError, match="a board of digits and exact, not of glyphs and exact"):
        submit(file, "b", result(drawn(79.0), data="glyphs"))
    with pytest.raises(ValueError, match="a name of one line"):
        submit(file, " ", result(drawn(79.0)))
    assert standings([]) == []
