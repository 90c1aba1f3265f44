"""Scores that know their kind: what may be ranked is, what may not raises with the reason."""

import math

import pytest
import torch

from garm_course import load, load_pretrained
from garm_course.evaluation import Score, evaluate, ranked

NONE = Score(math.nan, "none")


def test_exact_numbers_are_ordered_and_the_smallest_is_found():
    scores = [Score(3.0, "exact"), Score(1.0, "exact"), Score(2.0, "exact")]
    assert min(scores).nats == 1.0
    assert [s.nats for s in sorted(scores)] == [1.0, 2.0, 3.0]
    assert not Score(1.0, "exact") < Score(1.0, "exact")


def test_a_bound_below_an_exact_number_proves_and_is_proved_either_way_round():
    low, exact = Score(1.0, "bound"), Score(2.0, "exact")
    assert low < exact
    assert exact > low
    assert not exact < low


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (Score(3.0, "bound"), Score(2.0, "exact"), "the bound may lie far above the NLL"),
        (Score(2.0, "exact"), Score(2.0, "bound"), "the bound may lie far above the NLL"),
        (Score(1.0, "bound"), Score(2.0, "bound"), "two bounds may be unequally loose"),
        (Score(1.0, "codes"), Score(2.0, "exact"), "codes of a tokenizer are not the data"),
        (Score(1.0, "codes"), Score(2.0, "codes"), "every tokenizer has codes of its own"),
        (NONE, Score(2.0, "exact"), "a model without a likelihood has no place"),
        (NONE, NONE, "a model without a likelihood has no place"),
    ],
)
def test_what_cannot_be_ranked_raises_and_says_why(a, b, reason):
    for one, other in ((a, b), (b, a)):
        with pytest.raises(TypeError, match=reason):
            one < other  # noqa: B015


def test_a_sort_of_unlike_kinds_raises_instead_of_ordering_them():
    with pytest.raises(TypeError, match="cannot be ranked"):
        sorted([Score(3.0, "exact"), Score(5.0, "bound"), NONE])


@pytest.mark.parametrize("nats", [math.nan, math.inf, -math.inf])
def test_a_likelihood_is_finite(nats):
    with pytest.raises(ValueError, match="expected a finite number"):
        Score(nats, "exact")


def test_a_model_without_a_likelihood_has_no_number_and_kinds_are_known():
    with pytest.raises(ValueError, match="expected NaN"):
        Score(1.0, "none")
    with pytest.raises(ValueError, match="exact, bound, codes, none, got 'ELBO'"):
        Score(1.0, "ELBO")


def test_kinds_are_ranked_inside_of_themselves_only():
    scores = {"c": Score(3.0, "exact"), "v": Score(2.0, "bound"), "g": NONE, "a": Score(1.0, "exact")}
    assert ranked(scores) == {"exact": ["a", "c"], "bound": ["v"], "none": ["g"]}


def test_the_kind_comes_from_what_was_evaluated():
    some = torch.utils.data.Subset(load("digits", "validation"), range(4))
    exact = Score.of(evaluate(load_pretrained("nade-digits"), some))
    bound = Score.of(evaluate(load_pretrained("vae-digits"), some))
    assert (exact.kind, bound.kind, Score.of(None).kind) == ("exact", "bound", "none")
    assert str(bound).startswith("≤ ")
    assert str(NONE) == "no likelihood"
