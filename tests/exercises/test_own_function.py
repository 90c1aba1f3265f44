"""After "not yet" the name means the course's code, and the student's own function is beside it."""

import inspect

import pytest
import torch
from answers import conv_mask as right
from torch import nn

from garm_course.autoregressive.layers.causal_conv import conv_mask as reference
from garm_course.exercises import check, grade, is_reference, same


def defined(source, **names):
    space = {"check": check, "torch": torch, "__name__": "__main__", **names}
    exec(source, space)
    return space


def test_the_failing_call_can_be_repeated_and_its_arguments_looked_at(make):
    def scaled(x, w):
        return x * w.sum()

    w = torch.tensor([1.0, 2.0, 4.5])
    make(scaled, [same(torch.ones(2), torch.ones(1)), same(torch.tensor([3.0, -1.0]), w)])
    name = defined("@check\ndef scaled(x, w):\n    return x.mul_(w[-1])\n")["scaled"]
    assert torch.equal(name(torch.ones(2), w), torch.full((2,), 7.5))
    for _ in range(2):  # each time on fresh copies, although the answer changes them
        assert torch.equal(name.retry(), torch.tensor([13.5, -4.5]))
    assert torch.equal(name.arguments[0], torch.tensor([3.0, -1.0]))
    assert torch.equal(name.arguments[1], w)
    assert is_reference(name)
    assert not is_reference(name.mine)
    assert inspect.getsource(name) == inspect.getsource(scaled), "what name?? shows"


def test_the_verdict_shows_a_call_that_runs(capsys):
    space = defined("@check\ndef conv_mask(k, kind):\n    return torch.zeros(k, k)\n")
    call = capsys.readouterr().out.strip().rpartition("the call that failed: ")[2]
    assert call == "conv_mask.mine(3, 'A')"
    assert not eval(call, space).any()


def test_a_class_stays_one(make):
    class Scale(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def forward(self, x):
            return self.factor * x

    make(Scale, [same(torch.ones(2), use=lambda model, x: model(3)(x))])

    class Wrong(Scale):
        def forward(self, x):
            return x

    Wrong.__name__ = "Scale"
    got = check(Wrong)
    assert inspect.isclass(got)
    assert torch.equal(got(3)(torch.ones(2)), torch.full((2,), 3.0))
    assert got.mine is Wrong
    assert torch.equal(got.retry(), torch.ones(2))


@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_calls_itself_is_not_right(times, capsys):
    space = {"check": check, "__name__": "__main__"}
    for _ in range(times):  # from the second time on the name means the course's function already
        exec("@check\ndef conv_mask(k, kind):\n    return conv_mask(k, kind)\n", space)
    assert "Does it call itself? Inside your code conv_mask is your own function" in capsys.readouterr().out
    assert is_reference(space["conv_mask"])


def test_a_recursion_that_ends_is_right(make):
    def triangle(n):
        return n * (n + 1) // 2

    make(triangle, [same(4), same(1)])
    space = defined("def triangle(n):\n    return n if n < 2 else n + triangle(n - 1)\n", triangle=None)
    assert grade("triangle", space["triangle"]).passed


def test_the_course_s_own_function_and_what_wraps_it_are_told_apart():
    theirs = reference
    for answer in (lambda k, kind: reference(k, kind), lambda k, kind: theirs(k, kind) * 1):
        result = grade("conv_mask", answer)
        assert result.status == "not yet"
        assert "hands the work to the course's own conv_mask" in result.hint
    kept = defined("@check\ndef conv_mask(k, kind):\n    return 0\n")["conv_mask"]
    assert not grade("conv_mask", lambda k, kind: kept(k, kind)).passed
    assert grade("conv_mask", right).passed


def test_parentheses_are_no_crime(capsys):
    space = defined("@check()\ndef conv_mask(k, kind):\n    return right(k, kind)\n", right=right)
    assert space["conv_mask"](3, "A").sum() == 4
    out = capsys.readouterr().out
    assert out.startswith("conv_mask: passed")
    assert out.endswith("@check needs no parentheses.\n")
