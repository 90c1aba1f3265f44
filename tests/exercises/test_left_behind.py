"""What a call leaves behind: in networks, in lists, in a generator, and in the world."""

import builtins
import math
import os

import numpy as np
import pytest
import torch
from torch import nn

from garm_course.exercises import grade, same


def network():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    net(torch.randn(4, 3)).sum().backward()
    return net


def step(net, x):
    loss = net(x).square().sum()
    loss.backward()
    return loss.detach()


def backward(net, x):
    return step(net, x)


def then(change):
    def answer(net, x):
        loss = step(net, x)
        change(net)
        return loss

    return answer


def first(change):
    def answer(net, x):
        change(net)
        return step(net, x)

    return answer


def each(change):
    return lambda net: [change(w) for w in net.parameters()] and None


NETWORKS = {
    "frozen": (then(lambda net: net.requires_grad_(False)), "It leaves net.0.weight frozen"),
    "detached": (then(each(lambda w: w.detach_())), "0.weight frozen"),
    "evaluation mode": (
        then(lambda net: net.eval()),
        "It leaves net in evaluation mode: it was handed over in training",
    ),
    "a part of it": (then(lambda net: net[1].eval()), "in evaluation mode"),
    "weights": (then(each(lambda w: w.data.clamp_(-0.01, 0.01))), "It changes net.0.weight"),
    "a step": (then(lambda net: torch.optim.SGD(net.parameters(), lr=0.1).step()), "It changes net.0.weight"),
    "cleared before": (first(lambda net: net.zero_grad()), "in the gradient of net.0.weight"),
    "cleared after": (then(lambda net: net.zero_grad()), "It leaves no gradient at net.0.weight"),
    "set to zero": (then(each(lambda w: w.grad.zero_())), "in the gradient of net.0.weight"),
    "statistics": (then(lambda net: net[1].running_mean.zero_()), "It changes net.1.running_mean"),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_is_left_as_the_task_leaves_it(make, kind):
    torch.manual_seed(1)
    make(backward, [same(network(), torch.randn(5, 3))])
    answer, cause = NETWORKS[kind]
    result = grade("backward", answer)
    assert result.status == "not yet"
    assert cause in result.hint
    assert grade("backward", lambda net, x: step(net, x)).passed


def test_a_gradient_that_none_may_get(make):
    def score(nets, x):
        return nets[0](x).sum().detach()

    make(score, [same([nn.Linear(3, 2)], torch.randn(4, 3))])
    answer = lambda nets, x: (loss := nets[0](x).sum()).backward() or loss.detach()  # noqa: E731
    assert "It leaves a gradient at nets[0].weight, and none may arrive there" in grade("score", answer).hint


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (lambda xs, d, g: xs.reverse(), "list(xs)"),
        (lambda xs, d, g: xs[1].reverse(), "list(xs)"),
        (lambda xs, d, g: d.update(a=2), "dict(d)"),
        (lambda xs, d, g: g.manual_seed(0), "seeds g anew"),
    ],
)
def test_lists_dictionaries_and_generators_are_compared(make, change, remedy):
    def total(xs, d, g):
        return xs[0] + torch.rand((), generator=g)

    make(total, [same([3, [1, 2.5]], {"a": 1}, torch.Generator().manual_seed(5))])
    hint = grade("total", lambda xs, d, g: [total(xs, d, g), change(xs, d, g)][0]).hint
    assert remedy in hint
    assert grade("total", lambda xs, d, g: total(xs, d, g)).passed


WORLD = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16).__enter__(),
    "anomaly mode": lambda: torch.autograd.set_detect_anomaly(True),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "print options": lambda: torch.set_printoptions(precision=1, sci_mode=True),
    "NumPy's print options": lambda: np.set_printoptions(precision=1),
    "the environment": lambda: os.environ.update(GARM_SPOILED="1"),
    "a variable that was there": lambda: os.environ.pop("PATH"),
    "torch": lambda: setattr(torch, "randn", torch.zeros),
    "a method of tensors": lambda: setattr(torch.Tensor, "sum", lambda *a, **k: 0),
    "functional": lambda: setattr(torch.nn.functional, "softplus", None),
    "math": lambda: setattr(math, "log", math.exp),
    "Python": lambda: setattr(builtins, "sum", max),
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "a folder": lambda: os.chdir("/"),
}  # fmt: skip


def world():
    return (
        torch.is_autocast_enabled("cpu"), torch.is_anomaly_enabled(), torch.are_deterministic_algorithms_enabled(),
        repr(torch.tensor([1.23456])), repr(np.array([1.23456])), dict(os.environ), torch.randn, torch.Tensor.sum,
        torch.nn.functional.softplus, math.log, sum, torch.get_default_dtype(), os.getcwd(),
    )  # fmt: skip


@pytest.mark.parametrize("kind", WORLD)
def test_the_world_is_as_before(make, kind):
    def double(x):
        return 2 * x

    def answer(x):
        WORLD[kind]()
        return x + x

    make(double, [same(torch.tensor([1.5, -2.25])), same(torch.ones(2, 3))])
    before = world()
    assert grade("double", answer).passed, "the reference and later calls run in a sound world"
    assert world() == before


def test_probes_follow_the_seed_that_is_asked_for(monkeypatch):
    from garm_course.exercises.numbers import random

    usual = random(3, seed=1)
    assert torch.equal(usual, random(3, seed=1))
    monkeypatch.setenv("GARM_PROBE_SEED", "7")
    assert not torch.equal(usual, random(3, seed=1))
    assert len({float(random(1, seed=s)) for s in range(100)}) == 100
