"""Relations between wrong and expected numbers, said before the numbers themselves."""

import math

import pytest
import torch

from garm_course.exercises import grade, same
from garm_course.exercises.edges import plain
from garm_course.exercises.numbers import random
from garm_course.exercises.patterns import pattern

X, Y = random(4, 3, seed=1), random(2, 5, seed=2)


def right(x):
    return x + 0.5 * x.abs()


def table(x):
    return right(x)


EVERY, RIGHT = "Every number is ", "The numbers are right, "
RELATIONS = {
    "Every number has the wrong sign.": lambda x: -right(x),
    f"{EVERY}3 times the expected one.": lambda x: 3 * right(x),
    f"{EVERY}-0.5 times the expected one.": lambda x: -right(x) / 2,
    f"{EVERY}0.6931 times the expected one (ln 2: nats and bits are exchanged).": lambda x: math.log(2) * right(x),
    f"{EVERY}multiplied by the number of rows of the first tensor: a sum stands where a mean is asked for.": (
        lambda x: right(x) * len(x)
    ),
    f"{EVERY}divided by the number of columns of the first tensor: a mean stands where a sum is asked for.": (
        lambda x: right(x) / x.shape[-1]
    ),
    f"{EVERY}the square of the expected one.": lambda x: right(x) ** 2,
    f"{EVERY}rounded to 1 decimals: return all digits.": lambda x: right(x).round(decimals=1),
    "Every number has lost its fraction (by int, //, floor or trunc): return all digits.": lambda x: right(x).floor(),
    f"{EVERY}the absolute value of the expected one.": lambda x: right(x).abs(),
    f"{EVERY}the exponential of the expected one.": lambda x: right(x).exp(),
    f"{EVERY}0.25 below the expected one.": lambda x: right(x) - 0.25,
    f"{EVERY}2.5 minus the expected one.": lambda x: 2.5 - right(x),
    f"{EVERY}nearly right, to three digits: an epsilon, a clamp, an approximation, rounding or float32 "
    "changes the others.": lambda x: right(x) + 1e-4 * right(x) ** 2 * right(x).abs().clamp(max=1),
    f"{RIGHT}but summed over the first axis, which should stay.": lambda x: right(x).sum(0),
    f"{RIGHT}but averaged over all axes, which should stay.": lambda x: right(x).mean(),
    f"{RIGHT}but axes 0 and 1 are exchanged.": lambda x: right(x).T,
    f"{RIGHT}but an axis of size 1 is left over, as by keepdim=True.": lambda x: right(x)[:, None],
    f"{RIGHT}but in reverse order along the axis of the row.": lambda x: right(x).flip(0),
    f"{RIGHT}but one place too far along the axis of the column.": lambda x: right(x).roll(1, 1),
    "All examples get the result of the first one.": lambda x: right(x)[:1].expand_as(x).clone(),
    "All examples get the mean of their results.": lambda x: right(x).mean(0).expand_as(x).clone(),
    f"{RIGHT}except those above 0.5, which stay there: they are clamped.": lambda x: right(x).clamp(max=0.5),
    "Only the last place along the axis of the column is wrong.": (
        lambda x: torch.cat([right(x)[:, :-1], x[:, -1:] - 3], 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", RELATIONS)
def test_the_relation_comes_first_and_the_numbers_below(make, sentence):
    make(table, [same(X), same(Y)], axes=("row", "column"))
    result = grade("table", RELATIONS[sentence])
    assert result.hint == sentence
    assert result.detail.startswith("Expected ")


def test_no_relation_is_made_up():
    calls = [(table(x) + 0.1 * random(*x.shape, seed=9), table(x), (x,)) for x in (X, Y)]
    assert pattern(calls) == ""
    assert pattern([(table(X), table(X), (X,))]) == ""
    ones = torch.ones(3)
    assert pattern([(2 * ones, ones, (ones,))]) == "", "of equal numbers anything could be said"
    both = [((2 * table(x), -table(x)), (table(x), table(x)), (x,)) for x in (X, Y)]
    own_ways = "Every number of element 0 is 2 times the expected one. Every number of element 1 has the wrong sign."
    assert pattern(both) == own_ways
    lost = [((2 * table(x), x), (table(x), table(x)), (x,)) for x in (X, Y)]
    assert pattern(lost) == "Every number of element 0 is 2 times the expected one."
    assert pattern([((a, b), (c, d), x) for (b, a), (d, c), x in lost]) == "", "what is wrong first has no relation"
    one = [((2 * table(x), table(x)), (table(x), table(x)), (x,)) for x in (X, Y)]
    assert pattern(one) == "Every number of element 0 is 2 times the expected one."


@pytest.mark.parametrize(
    ("sentence", "wrong"),
    [
        ("The numbers are not yet summed over the last axis: then they are right.", lambda x: right(x)),
        (
            "The numbers are right, but averaged over the first axis, which should stay.",
            lambda x: right(x).sum(1).mean(),
        ),
        (
            "Every example meets every other, as (B, 1) and (B,) combine to (B, B): only the diagonal is right.",
            lambda x: right(x).sum(1) + torch.zeros(len(x), 1),
        ),
    ],
)
def test_a_reduction_too_few_or_too_many(make, sentence, wrong):
    def total(x):
        return right(x).sum(1)

    make(total, [same(X), same(Y)])
    result = grade("total", wrong)
    assert result.hint == sentence
    assert result.detail.startswith("Expected the shape (4,), got (")


def test_parts_that_share_a_relation_are_told_at_once(make):
    def pair(x):
        return {"loss": table(x).sum(), "gradients of D": [table(x), -x]}

    make(pair, [same(X), same(Y), same(-X)])
    for factors, sentence in [
        ((3, 3, 3), "Every number is 3 times the expected one."),
        ((1, 3, 3), "Every number of the gradients of D is 3 times the expected one."),
        ((1, 1, 3), "Every number of element 1 of the gradients of D is 3 times the expected one."),
    ]:

        def wrong(x, factors=factors):
            a, b, c = factors
            return {"loss": a * table(x).sum(), "gradients of D": [b * table(x), -c * x]}

        assert grade("pair", wrong).hint == sentence


def test_gradients_alone_are_related_too(make):
    make(table, [same(X, grad=True), same(Y, grad=True)])
    result = grade("table", lambda x: 2 * right(x) - right(x).detach())
    assert result.hint == "Every number of the gradient at x is 2 times the expected one."
    assert result.detail.startswith("The values are right, but not the gradient at x: expected ")


def test_one_case_alone_does_not_tell_a_mistake(make):
    def smaller(x):
        return x.min()

    half = torch.tensor([[2.0, 6.0, 1.0]]), torch.tensor([[7.0, 1.0, 3.0]]), torch.tensor([[5.0, 2.0, 4.0]])
    make(smaller, [plain(half[0]), *map(same, half[1:])], mistakes=[(lambda x: x[0, 0], "The first, or worse.")])
    assert grade("smaller", lambda x: x[0, :1].sum()).hint == "The first, or worse."
    assert grade("smaller", lambda x: x.median()).hint.startswith("Expected 1, got 2.")


def test_an_own_judgment_is_not_overruled(make):
    def draw(n):
        return torch.rand(n)

    make(draw, [lambda attempt: attempt.require((attempt.call(9) >= 0).all(), "A draw is negative.")])
    assert grade("draw", lambda n: torch.rand(n) - 0.5).hint == "A draw is negative. The task: The rule."
