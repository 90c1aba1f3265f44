"""What an author can ask for besides equality: classes, own judgments, random generators, speed."""

import time

import pytest
import torch
from torch import nn

from garm_course.exercises import Speed, grade, same


class Scale(nn.Module):
    """The reference of an exercise that asks for a class."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))

    def forward(self, x):
        return self.factor * x


X = torch.tensor([1.5, -2.25], dtype=torch.float64)


def test_class(make):
    make(Scale, [same(X, use=lambda Model, x: Model(3)(x))], mistakes=[(wrong_scale(2), "Two.")])
    assert grade("Scale", wrong_scale(1)).passed
    assert grade("Scale", wrong_scale(2)).hint == "Two."
    assert "Expected 4.5, got 13.5" in grade("Scale", wrong_scale(3)).hint
    assert grade("Scale", lambda factor: None).hint.startswith("Expected a class named Scale, got a function")


def wrong_scale(wrong):
    class Scale(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = nn.Parameter(torch.tensor(wrong * float(factor)))

        def forward(self, x):
            return self.factor * x

    return Scale


def test_class_whose_method_is_a_stub(make):
    make(Scale, [same(X, use=lambda Model, x: Model(3)(x))])

    class Stub(nn.Module):
        def __init__(self, factor):
            super().__init__()

        def forward(self, x):
            raise NotImplementedError

    assert grade("Scale", Stub).status == "not attempted"

    class Incomplete(nn.Module):
        def __init__(self, factor):
            super().__init__()

    assert "raises NotImplementedError: Module [Incomplete]" in grade("Scale", Incomplete).hint


def test_own_judgment_and_its_mistakes(make):
    def draw(n, rng):
        return torch.rand(n, generator=rng)

    def spread(attempt):
        x = attempt.call(100, torch.Generator().manual_seed(3))
        attempt.require(x.std() > 0.2, "The draws are all alike.")
        attempt.require(x.min() >= 0, "A draw is negative.")

    constant = (lambda n, rng: torch.full((n,), 0.5), "Use the generator.")
    make(draw, [spread], mistakes=[constant])
    assert grade("draw", draw).passed
    assert grade("draw", lambda n, rng: torch.rand(n, generator=rng) ** 1.1).passed  # no equality is asked for
    assert grade("draw", constant[0]).hint == "Use the generator."
    assert grade("draw", lambda n, rng: torch.full((n,), 0.25)).hint == "The draws are all alike. The task: The rule."
    assert (
        grade("draw", lambda n, rng: torch.rand(n, generator=rng) - 0.5).hint
        == "A draw is negative. The task: The rule."
    )
    assert "Expected the shape (100,)" in grade("draw", lambda n, rng: torch.rand(3)).hint


def test_a_probe_may_recognize_a_mistake_by_itself(make):
    def draw(n, rng):
        return torch.rand(n, generator=rng)

    def spread(attempt):
        x = attempt.call(100, torch.Generator().manual_seed(3))
        low = x.min().item()
        attempt.require(low >= 0, f"draw: a draw is {low:.0f}.", hint="rand, not randn." if low > -2 else "")

    make(draw, [spread], mistakes=[(lambda n, rng: torch.full((n,), -1.0), "A known mistake.")])
    result = grade("draw", lambda n, rng: torch.full((n,), -1.0))
    assert (result.hint, result.detail) == ("rand, not randn.", "draw: a draw is -1.")
    assert grade("draw", lambda n, rng: torch.full((n,), -3.0)).hint == "draw: a draw is -3. The task: The rule."


def test_generators_start_afresh_for_every_call(make):
    def draw(n, rng):
        return torch.rand(n, generator=rng)

    make(draw, [same(5, torch.Generator().manual_seed(3))] * 2)
    assert grade("draw", lambda n, rng: torch.rand(n, generator=rng)).passed
    assert not grade("draw", lambda n, rng: torch.rand(n + 1, generator=rng)[1:]).passed
    assert grade("draw", lambda n, rng: torch.rand(n)).status == "not yet"


def test_containers(make):
    def parts(xs, options):
        return {"sum": sum(xs), "pair": (xs[0], 2), "name": "a"}

    make(parts, [same([X, 2 * X], {"k": 1})])
    assert grade("parts", lambda xs, o: {"sum": 3 * xs[0], "pair": [xs[0], 2.0], "name": "a", "more": 1}).passed
    for wrong, cause in [
        ({"sum": X}, "The key 'pair' is missing"),
        ({"sum": X, "pair": 1, "name": "a"}, "Expected 4.5, got 1.5 at [0] (2 of 2 numbers differ), at 'sum'"),
        ({"sum": 3 * X, "pair": (X,), "name": "a"}, "Expected a tuple of 2, got 1 elements, at 'pair'"),
        ({"sum": 3 * X, "pair": (X, "2"), "name": "a"}, "Expected a number, got the str 2, in element 1, at 'pair'"),
        ({"sum": 3 * X, "pair": (X, 3), "name": "a"}, "Expected 2, got 3, in element 1, at 'pair'"),
        ({"sum": 3 * X, "pair": (X, 2), "name": "b"}, "Expected 'a', got 'b', at 'name'"),
        ([X], "Expected a dictionary, got a list of 1"),
    ]:
        assert cause in grade("parts", lambda xs, o, wrong=wrong: wrong).hint
    assert "changes its argument xs" in grade("parts", lambda xs, o: xs.pop()).hint
    assert "changes its argument options" in grade("parts", lambda xs, o: o.clear()).hint


def test_infinity_and_nan_where_they_belong(make):
    def logs(x):
        return torch.log(x)

    make(logs, [same(torch.tensor([0.0, -1.0, 2.0]))])
    assert grade("logs", lambda x: x.log()).passed
    assert "Expected -inf, got -20.72 at [0]" in grade("logs", lambda x: (x + 1e-9).log()).hint


def double(x):
    return 2 * x


def test_right_but_too_slow(make):
    make(double, [same(X)], speed=Speed(lambda: (torch.ones(100),), seconds=0.02))

    def slow(x):
        end = time.process_time() + 0.05 * (len(x) == 100)
        while time.process_time() < end:
            pass
        return 2 * x

    def sleepy(x):
        time.sleep(0.05)  # waiting takes no processor time, nor does a machine that others use
        return 2 * x

    result = grade("double", slow)
    assert (result.status, result.slow) == ("passed", True)
    assert result.hint == "Right, but too slow: at the size that the lesson needs it takes more than 0.02 s."
    assert not grade("double", sleepy).slow

    def endless(x):
        while len(x) == 100:
            pass
        return 2 * x

    assert grade("double", endless, seconds=0.2).slow


def test_failing_at_the_size_of_the_lesson_is_not_right(make):
    make(double, [same(X)], speed=Speed(lambda: (torch.ones(100),)))
    result = grade("double", lambda x: x + x.view(2))
    assert result.status == "not yet"
    assert result.hint.startswith("At the size that the lesson needs, it raises RuntimeError: shape '[2]'")


def broken(attempt):
    raise LookupError("oops")


@pytest.mark.parametrize("probes", [[broken], [same("no tensor")]])
def test_a_fault_of_the_course_is_called_so(make, probes):
    def halve(x):
        return x / 2

    make(halve, probes)
    result = grade("halve", lambda x: x)
    assert result.status == "not yet"
    assert "fault of the course and not of your answer" in result.hint
