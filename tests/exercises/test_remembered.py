"""Known mistakes and the reference run once per probe; nothing that an answer does changes what is remembered."""

import numpy as np
import pytest
import torch

from garm_course.exercises import grade, same, timelimit
from garm_course.exercises.edges import plain

X = torch.tensor([1.5, -2.25], dtype=torch.float64)


def counted(function):
    """The function, and the list of its arguments over all calls."""
    calls = []

    def double(x):
        calls.append(x)
        return function(x)

    return double, calls


@pytest.mark.parametrize(
    ("probe", "runs"), [(same(X), 1), (plain(X), 2)]
)  # plain: its case, of all mistakes, and itself
def test_the_reference_and_each_known_mistake_run_once(make, probe, runs):
    double, references = counted(lambda x: 2 * x)
    triple, triples = counted(lambda x: 3 * x)
    square, squares = counted(lambda x: x * x)
    make(double, [probe], mistakes=[(triple, "Twice."), (square, "No square.")])
    for _ in range(3):
        assert grade("double", lambda x: 2 * x).passed
        assert grade("double", lambda x: 3 * x).hint == "Twice."
    assert (len(references), len(triples), len(squares)) == (1, runs, runs - 1)
    for _ in range(3):
        assert grade("double", lambda x: x**2).hint == "No square."
        assert grade("double", lambda x: 4 * x).hint.endswith("The rule.")
    assert (len(references), len(triples), len(squares)) == (1, runs, runs)


def spoils(x):
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    np.seterr(all="raise")
    return x


@pytest.mark.parametrize("probe", [same(X), plain(X)])
def test_known_mistakes_run_in_a_world_that_no_answer_spoiled(make, probe):
    def root(x):
        return torch.ones(2).sqrt().double() * x.shape[0]

    divides = lambda x: torch.from_numpy(np.ones(2) / np.zeros(2)) + torch.zeros(2)  # noqa: E731
    make(root, [probe], mistakes=[(divides, "Not by zero."), (lambda x: torch.ones(2).double(), "Ones.")])
    assert grade("root", spoils).hint.endswith("The rule.")
    assert grade("root", lambda x: torch.full((2,), torch.inf).double()).hint == "Not by zero."
    assert grade("root", lambda x: torch.ones(2, dtype=x.dtype)).hint == "Ones."


def test_what_is_remembered_is_a_copy(make):
    shared = torch.zeros(2, dtype=torch.float64)

    def again(x):
        return shared.add_(1)  # gives its own memory away, and changes it with the second probe

    def double(x):
        return 2 * x

    make(double, [same(X), same(2 * X)], mistakes=[(again, "One more each time.")])
    answers = iter([torch.ones(2).double(), 2 * torch.ones(2).double()] * 2)
    for _ in range(2):
        assert grade("double", lambda x: next(answers)).hint == "One more each time."
        shared.zero_().sub_(5)


def test_what_ran_out_of_time_is_tried_again(make, monkeypatch):
    monkeypatch.setattr(timelimit, "SECONDS", 0.05)
    patient = []

    def slow(x):
        while not patient:
            pass
        return 3 * x

    def double(x):
        return 2 * x

    make(double, [same(X)], mistakes=[(slow, "Twice.")])
    assert grade("double", lambda x: 3 * x).hint.endswith("The rule.")
    patient.append(True)
    assert grade("double", lambda x: 3 * x).hint == "Twice."


def test_a_probe_that_draws_draws_the_same_in_every_check(make):
    drawn = []

    def probe(attempt):
        drawn.append(torch.rand(3))
        attempt.run(drawn[-1])

    def double(x):
        return 2 * x

    make(double, [probe], mistakes=[(lambda x: 3 * x, "Twice.")])
    for _ in range(2):
        torch.rand(5)
        assert grade("double", lambda x: 3 * x).hint == "Twice."
    assert all(torch.equal(one, drawn[0]) for one in drawn)
    assert len(drawn) == 3  # of the two answers, and once of the mistake


def test_the_random_state_is_the_same_before_every_call(make):
    def double(x):
        return 2 * x

    make(double, [same(X)], mistakes=[(lambda x: torch.rand(2).double(), "No dice.")])
    for n in (3, 5):
        torch.rand(n)  # of the notebook
        assert grade("double", lambda x: torch.rand(2).double()).hint == "No dice."
