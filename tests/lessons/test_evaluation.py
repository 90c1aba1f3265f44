"""The pictures of lesson 18: their words and numbers are those of the library, and what does not fit is refused."""

import math

import pytest
import torch

from garm_course.lessons.lesson18.balls import clouds, outlier_caption, outlier_figure
from garm_course.lessons.lesson18.forced_choice import PAIRS, ForcedChoice, exact_interval
from garm_course.lessons.lesson18.named_points import named_points_figure
from garm_course.lessons.lesson18.scoreboard import scoreboard_figure
from garm_course.lessons.lesson18.standings import standings_figure
from garm_course.show import png


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (3, 20), (10, 20), (19, 20), (20, 20), (1, 1), (57, 100)])
def test_at_the_ends_of_the_exact_interval_the_tails_are_what_they_should_be(hits, n):
    low, high = exact_interval(hits, n)

    def at_least(p, k):
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))

    assert low == 0 if hits == 0 else at_least(low, hits) == pytest.approx(0.025)
    assert high == 1 if hits == n else 1 - at_least(high, hits + 1) == pytest.approx(0.025)


def test_the_exact_interval_refuses_more_hits_than_trials():
    with pytest.raises(ValueError, match="0 <= hits <= n and n >= 1, got 3 of 2"):
        exact_interval(3, 2)


@pytest.fixture(scope="module")
def choice():
    g = torch.Generator().manual_seed(0)
    real, fake = ((torch.rand(40, 1, 6, 6, generator=g) < share).long() for share in (0.2, 0.8))
    return real, ForcedChoice(real, fake, levels=2, rng=g)


def test_each_pair_has_one_data_image_on_the_side_that_is_noted(choice):
    real, game = choice
    for k in range(PAIRS):
        assert torch.equal(game.images[k, 0 if game.data_left[k] else 1], real[k])
    assert 0 < game.data_left.sum() < PAIRS
    assert game.machine == PAIRS  # dark against light: regression sees it


def test_answers_are_counted_and_end_after_the_last_pair(choice):
    _, game = choice
    assert "which is the data?" in game.caption()
    empty = png(game.figure())
    for k in range(PAIRS + 3):
        game.answer(game.data_left[min(k, PAIRS - 1)] if k % 2 else not game.data_left[min(k, PAIRS - 1)])
    assert len(game.answers) == PAIRS
    assert game.right == PAIRS // 2
    assert f"You: {PAIRS // 2} of {PAIRS} right (95 % interval: 0.27 to 0.73)" in game.caption()
    assert png(game.figure()) != empty


def test_one_outlier_raises_the_recall_and_not_the_coverage():
    assert "hold 42 % of the data (recall), and 50 % of the balls" in outlier_caption(0)
    assert "hold 92 % of the data (recall), and 50 % of the balls" in outlier_caption(8)
    assert torch.equal(clouds(0)[1][:-1], clouds(8)[1][:-1])
    assert png(outlier_figure(8)).startswith(b"\x89PNG")


def test_tables_standings_and_points_are_drawn_or_refused():
    metrics = {"x": {"a": 1.0, "b": 3.0, "other": 0.0}, "y": {"a": None, "b": 0.5}}
    drawn = png(scoreboard_figure(metrics, ranked=["a", "b"], title="t"))
    assert drawn.startswith(b"\x89PNG")
    assert png(scoreboard_figure(metrics, ranked=["a", "b"], large=["x"], title="t")) != drawn
    with pytest.raises(ValueError, match="at least two ranked sets with an entry in every metric"):
        scoreboard_figure({"x": {"a": 1.0}}, ranked=["a", "b"], title="t")
    assert png(standings_figure({"a": (2.0, 1.0, 3.0, 1.0)}, title="t", xlabel="x")).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="at least one model"):
        standings_figure({}, title="t", xlabel="x")
    points = {"a": (1.0, 2.0), "b": (3.0, 9.0)}
    assert png(named_points_figure(points, title="t", xlabel="x", ylabel="y")).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"expected numbers of at least 0, got -1\.0"):
        named_points_figure({"a": (-1.0, 1.0)}, title="t", xlabel="x", ylabel="y")
