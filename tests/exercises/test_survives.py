"""A check survives every kind of answer, names the cause, and leaves the world as it was."""

import functools
import math
import os
import random
import re
import signal
import sys
import threading
import time
import warnings

import matplotlib
import numpy as np
import pytest
import torch
from answers import conv_mask as right
from limits import PATIENCE
from torch import nn

from garm_course.exercises import STUB, check, grade, same, timelimit
from garm_course.exercises.registry import STUB_TEXT

matplotlib.use("agg")


class AlwaysEqual:
    shape, dtype = torch.Size([3, 3]), torch.float32

    def __eq__(self, other):
        return True

    def __getattr__(self, name):
        return lambda *args: True


class Subclass(torch.Tensor):
    def __eq__(self, other):
        return True

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return torch.ones(3, 3)


class Pretender:
    __class__ = torch.Tensor


class BadMessage(Exception):
    def __str__(self):
        raise RuntimeError


class ConvMask(nn.Module):
    def forward(self, k, kind):
        return right(k, kind)


def raises(error):
    def conv_mask(k, kind):
        raise error

    return conv_mask


def yields(k, kind):
    yield right(k, kind)


async def waits(k, kind):
    return right(k, kind)


def recurses(k, kind):
    return recurses(k, kind)


def recurses_deeper(k, kind):
    sys.setrecursionlimit(5000)
    return recurses(k, kind)


def wrong_name(k, kind):
    return undefined_name  # noqa: F821


def with_nan(k, kind):
    mask = right(k, kind)
    mask[0, 1] = float("nan")
    return mask


def raises_inside_torch(k, kind):
    mask = right(k, kind)
    return nn.functional.linear(mask, torch.ones(2, 2))


ODD = {
    "raises": (raises(KeyError("kind")), "raises KeyError: 'kind'"),
    "undefined name": (
        wrong_name,
        "NameError: name 'undefined_name' is not defined, in your line `return undefined_name",
    ),
    "raises in torch": (raises_inside_torch, "in your line `return nn.functional.linear(mask, torch.ones(2, 2))`"),
    "message that raises": (raises(BadMessage()), "raises BadMessage"),
    "other NotImplementedError": (raises(NotImplementedError("kind B")), "raises NotImplementedError: kind B"),
    "exit()": (lambda k, kind: exit(), "it calls exit()"),
    "sys.exit()": (lambda k, kind: sys.exit(1), "it calls exit()"),
    "generator exit": (raises(GeneratorExit()), "GeneratorExit"),
    "input()": (lambda k, kind: input("mask? "), "EOFError"),
    "recursion": (recurses, "RecursionError"),
    "deeper recursion": (recurses_deeper, "RecursionError"),
    "returns None": (lambda k, kind: None, "got None (is there a `return` at the end?)"),
    "returns a number": (lambda k, kind: 3, "Expected a torch.Tensor, got the int 3"),
    "returns a string": (lambda k, kind: "mask", "got the str mask"),
    "returns an array": (lambda k, kind: right(k, kind).numpy(), "a NumPy array: stay with torch"),
    "returns a tuple": (lambda k, kind: (right(k, kind),), "got a tuple of 1"),
    "returns a function": (lambda k, kind: right, "a function: it was not called"),
    "returns a class": (lambda k, kind: torch.Tensor, "got the class Tensor"),
    "returns ...": (lambda k, kind: ..., "got Ellipsis"),
    "generator": (yields, "write `return`, not `yield`"),
    "coroutine": (waits, "write `def`, not `async def`"),
    "shape": (lambda k, kind: right(k + 2, kind), "Expected the shape (3, 3), got (5, 5)"),
    "NaN": (with_nan, "NaN at row 0, column 1"),
    "complex": (lambda k, kind: right(k, kind) + 0j, "Expected real numbers"),
    "sparse": (lambda k, kind: right(k, kind).to_sparse(), "Expected a dense tensor"),
    "nested": (lambda k, kind: torch.nested.nested_tensor([right(k, kind)]), "Expected a dense tensor"),
    "meta device": (lambda k, kind: right(k, kind).to("meta"), "Expected a tensor on cpu, got one on meta"),
    "trainable": (lambda k, kind: nn.Parameter(right(k, kind)), "a trainable nn.Parameter"),
    "requires grad": (lambda k, kind: right(k, kind).requires_grad_(), "leave requires_grad alone"),
    "always equal": (lambda k, kind: AlwaysEqual(), "an object of type AlwaysEqual"),
    "tensor subclass": (lambda k, kind: torch.ones(3, 3).as_subclass(Subclass), "got an object of type Subclass"),
    "pretended tensor": (lambda k, kind: Pretender(), "got an object of type Pretender"),
    "too few parameters": (
        lambda k: right(k, "A"),
        "called as conv_mask(k, kind), but your definition reads conv_mask(k)",
    ),
    "too many parameters": (lambda k, kind, size: right(k, kind), "reads conv_mask(k, kind, size)"),
    "no parameters": (lambda: right(3, "A"), "but your definition reads conv_mask()"),
    "a class": (ConvMask, "Expected a function named conv_mask, got the class ConvMask"),
    "not callable": (right(3, "A"), "Expected a function named conv_mask, got a tensor of shape (3, 3)"),
    "nothing": (None, "Expected a function named conv_mask, got None"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_answer_is_refused_with_its_cause(kind):
    answer, cause = ODD[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a coroutine that was never awaited
        result = grade("conv_mask", answer)
    assert result.status == "not yet"
    assert cause in result.hint
    assert "kind B shows it" not in result.hint or result.hint.startswith("Expected a function")  # the cause is clear
    assert "\n" not in result.hint


RIGHT = {
    "lambda": lambda k, kind: right(k, kind),
    "partial": functools.partial(lambda extra, k, kind: right(k, kind), 0),
    "module": ConvMask(),
    "other parameter names": lambda size, mask_type: right(size, mask_type),
    "more parameters with defaults": lambda k, kind, device="cpu", *rest, **options: right(k, kind),
    "any parameters": lambda *args: right(*args),
    "bool": lambda k, kind: right(k, kind).bool(),
    "uint8": lambda k, kind: right(k, kind).byte(),
    "int64": lambda k, kind: right(k, kind).long(),
    "float64": lambda k, kind: right(k, kind).double(),
    "float16": lambda k, kind: right(k, kind).half(),
    "not contiguous": lambda k, kind: right(k, kind).T.contiguous().T,
    "expanded": lambda k, kind: right(k, kind)[None, None].expand(2, 3, k, k)[1, 2],
}


@pytest.mark.parametrize("kind", RIGHT)
def test_unusual_right_answer_passes(kind):
    result = grade("conv_mask", RIGHT[kind])
    assert result.status == "passed", result.hint


@pytest.mark.parametrize("error", [NotImplementedError(), NotImplementedError(STUB_TEXT)])
def test_stub_is_not_attempted(error):
    result = grade("conv_mask", raises(error))
    assert (result.status, result.hint[:10]) == ("not attempted", "Write your")


def test_stub_of_one_case_only_is_not_yet():
    def conv_mask(k, kind):
        if kind == "B":
            exec(STUB)
        return right(k, kind)

    result = grade("conv_mask", conv_mask)
    assert result.status == "not yet"
    assert "conv_mask(3, 'B') raises NotImplementedError" in result.hint


# --- time ------------------------------------------------------------------------------------------------------------


def loops(k, kind):
    while True:
        pass


def swallows(k, kind):
    while True:
        try:
            torch.ones(3, 3).sum()
        except:  # noqa: E722
            print("again")


def sleeps(k, kind):
    time.sleep(100)


def waits_for_thread(k, kind):
    threading.Event().wait()


def loops_in_exception(k, kind):
    class Endless(Exception):
        def __str__(self):
            while True:
                pass

    raise Endless


def slow_from_the_second_call(k, kind):
    while kind == "B":
        pass
    return right(k, kind)


def catches_the_stop(k, kind):
    try:
        loops(k, kind)
    except BaseException:
        return right(k, kind)


ENDLESS = [loops, swallows, loops_in_exception, slow_from_the_second_call, catches_the_stop]


@pytest.mark.parametrize("answer", ENDLESS)
def test_endless_answer_is_stopped(answer):
    before, started = signal.getsignal(signal.SIGALRM), time.process_time()
    result = grade("conv_mask", answer, seconds=0.15)
    assert time.process_time() - started < 4
    assert result.status == "not yet"
    assert re.match(r"It was stopped after [01]\.\d s of computing \(\d+ s by the clock\): ", result.hint)
    assert "does each loop end, and soon?" in result.hint or answer in (slow_from_the_second_call, catches_the_stop)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_limit_is_for_all_calls_together():
    def conv_mask(k, kind):
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass
        return right(k, kind)

    assert "It was stopped after" in grade("conv_mask", conv_mask, seconds=0.25).hint


@pytest.mark.parametrize("answer", [sleeps, waits_for_thread])
def test_waiting_answer_is_stopped_by_the_clock(answer, monkeypatch):
    monkeypatch.setattr(timelimit, "PATIENCE", 0.5)
    result = grade("conv_mask", answer, seconds=0.4)
    assert result.status == "not yet"
    assert "it waits instead of computing; look for sleep()" in result.hint


def test_endless_answer_is_stopped_in_another_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(grade("conv_mask", loops, seconds=0.15)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert "does each loop end, and soon?" in results[0].hint


def test_keyboard_interrupt_passes_through_and_the_world_is_restored():
    def conv_mask(k, kind):
        torch.set_default_dtype(torch.float64)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        grade("conv_mask", conv_mask)
    assert torch.get_default_dtype() is torch.float32


class HostileType(type):
    @property
    def __name__(cls):
        raise KeyboardInterrupt

    def __repr__(cls):
        raise SystemExit

    __str__ = __repr__


class Hostile(metaclass=HostileType):
    def __getattr__(self, name):
        raise GeneratorExit

    __class__ = property(lambda self: sys.exit())

    def __repr__(self):
        raise KeyboardInterrupt

    __str__ = __hash__ = __eq__ = __len__ = __repr__


HOSTILE = {  # made in the test: pytest itself falls over them
    "an object": Hostile,
    "a class": lambda: Hostile,
    "raises KeyboardInterrupt": lambda: raises(KeyboardInterrupt()),
    "raises TimeUp": lambda: raises(timelimit.TimeUp()),
    "raises SystemExit": lambda: raises(SystemExit()),
    "returns an object": lambda: lambda k, kind: Hostile(),
    "returns a class": lambda: lambda k, kind: Hostile,
    "returns a list": lambda: lambda k, kind: [Hostile()],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_leaves_a_check_but_a_key_that_somebody_pressed(kind):
    result = grade("conv_mask", HOSTILE[kind]())
    assert result.status == "not yet"
    assert result.hint
    check(HOSTILE[kind]())


# --- output ----------------------------------------------------------------------------------------------------------


def test_output_is_caught_and_shortened(capfd):
    def conv_mask(k, kind):
        for i in range(100_000):
            print(f"line {i}")
        print(object(), file=sys.stderr)

    result = grade("conv_mask", conv_mask)
    assert capfd.readouterr() == ("", "")
    assert result.printed.splitlines() == [f"line {i}" for i in range(10)] + ["..."]
    assert len(grade("conv_mask", lambda k, kind: print("x" * 10**6)).printed) < 2100


def test_addresses_are_replaced():
    def conv_mask(k, kind):
        print(object())
        raise ValueError(f"bad {object()}")

    result = grade("conv_mask", conv_mask)
    assert result.printed == "<object object at 0x...>"
    assert "ValueError: bad <object object at 0x...>" in result.hint
    assert grade("conv_mask", conv_mask) == result  # the same text every time: notebooks compare it


def test_figures_of_the_answer_are_closed_and_others_stay():
    import matplotlib.pyplot as plt

    mine = plt.figure()

    def conv_mask(k, kind):
        plt.figure()
        plt.plot([1, 2])
        return right(k, kind)

    assert grade("conv_mask", conv_mask).status == "passed"
    assert plt.get_fignums() == [mine.number]
    plt.close(mine)


# --- the world -------------------------------------------------------------------------------------------------------


def state():
    return (
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),  # noqa: NPY002
        random.getstate(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.empty(0).device,
        torch.get_num_threads(),
        np.geterr(),
        sys.getrecursionlimit(),
        os.getcwd(),
        sys.stdin,
        sys.stdout,
        sys.gettrace(),
        warnings.filters[:],
        signal.getsignal(signal.SIGALRM),
    )


def spoils(k, kind):
    torch.rand(5), np.random.rand(3), random.random()  # noqa: NPY002
    torch.manual_seed(7)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(torch.get_num_threads() + 1)
    np.seterr(all="raise")
    sys.setrecursionlimit(3000)
    os.chdir("/")
    warnings.simplefilter("error")
    sys.stdin = sys.stdout = None
    sys.settrace(lambda *args: None)
    raise ValueError


@pytest.mark.parametrize("answer", [right, spoils, loops], ids=lambda f: f.__name__)
def test_world_is_unchanged(answer):
    torch.manual_seed(11)
    before = state()
    grade("conv_mask", answer, seconds=0.1)
    assert state() == before


def test_gradient_mode_of_the_notebook_does_not_matter():
    with torch.no_grad():
        assert grade(
            "gated_activation", lambda x: torch.tanh(x.chunk(2, 1)[0]) * torch.sigmoid(x.chunk(2, 1)[1])
        ).passed
        assert not torch.is_grad_enabled()
    torch.set_default_dtype(torch.float64)
    try:
        assert grade("conv_mask", lambda k, kind: right(k, kind)).passed
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_answer_cannot_spoil_the_next_call():
    def down_shift(v):
        v.fill_(7)
        torch.set_grad_enabled(False)
        return v

    first = grade("down_shift", down_shift)
    assert "changes its argument v in place" in first.hint
    assert grade("down_shift", down_shift) == first
    assert grade("down_shift", lambda v: nn.functional.pad(v, (0, 0, 1, -1))).passed


# --- tensors in, tensors out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (
            lambda v: nn.functional.pad(v, (0, 0, 1, -1)).float(),
            "Expected the dtype torch.float64, got torch.float32: take it from v, as in torch.zeros_like(v) or",
        ),
        (lambda v: nn.functional.pad(v, (0, 0, 1, -1)).double(), "Expected the dtype torch.float32, got torch.float64"),
        (lambda v: v.resize_(1), "changes its argument v in place"),
        (
            lambda v: nn.functional.pad(torch.from_numpy(v.numpy()), (0, 0, 1, -1)),
            "raises RuntimeError: Can't call numpy()",
        ),
        (lambda v: torch.tensor(nn.functional.pad(v, (0, 0, 1, -1)).tolist(), dtype=v.dtype), "no gradient reaches"),
        (
            lambda v: v.unsqueeze(0),
            "Expected the shape (2, 3, 4, 5), got (1, 2, 3, 4, 5). The call: down_shift(v) with v of shape",
        ),
    ],
)
def test_down_shift_causes(answer, cause):
    result = grade("down_shift", answer)
    assert result.status == "not yet"
    assert cause in result.hint + result.detail


def test_dtype_that_no_argument_has(make):
    def ramp(n):
        return torch.arange(n) / 4

    make(ramp, [same(3)])
    hint = grade("ramp", lambda n: torch.arange(n, dtype=torch.float64) / 4).hint
    assert "got torch.float64: say dtype=torch.float32 where you make it, or convert it with .to(torch.float32)" in hint


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        (lambda x: x * 1.0002, "xpected 1, got 1.0002 at [0] (3 of 3 numbers differ)."),
        (lambda x: x * (1 + 3e-6), "xpected 1, got 1.000003 at [0] (3 of 3"),
        (lambda x: torch.cat([x[:1], 0 * x[1:] / 0]), "NaN at [1]; look for inf / inf"),
    ],
)
def test_numbers_are_printed_as_exactly_as_they_differ(make, wrong, cause):
    def same_again(x):
        return x.clone()

    make(same_again, [same(torch.tensor([1.0, -2.5, 4.25], dtype=torch.float64))])
    result = grade("same_again", wrong)
    assert cause in result.hint + result.detail


def test_numbers_without_a_position(make):
    def total(x):
        return x.sum()

    def count(x):
        return 3.0

    make(total, [same(torch.ones(3))])
    assert (
        "Expected 3, got 3.00003. The call: total(x) with x of shape (3,). The task: The rule"
        in grade("total", lambda x: 1.00001 * x.sum()).hint
    )
    assert "NaN; look for" in grade("total", lambda x: 0 * x.sum() / 0).hint
    make(count, [same(torch.ones(3))])
    assert "Expected 3, got 3.00001." in grade("count", lambda x: 3.00001).hint


def test_nan_in_the_gate_is_a_whole_sentence():
    gate = lambda a, b: a.tanh() * (b.exp() / (1 + b.exp()))  # noqa: E731
    result = grade("gated_activation", lambda x: gate(*x.chunk(2, 1)))
    assert ": ." not in result.hint + result.detail
    assert result.hint.startswith("Your sigmoid by exponentials overflows")
    assert "NaN at image 0, channel 0, row 0, column 2; look for inf / inf" in result.detail


@pytest.mark.parametrize("answer", [lambda nats: math.log(nats, 2), math.log2])
def test_functions_of_math_on_a_tensor(answer):
    result = grade("nats_to_bits", answer)
    assert result.hint.startswith("nats is already a logarithm")
    assert "The functions of `math` and float() take single numbers" in result.detail
    elsewhere = grade("gated_activation", lambda x: torch.sigmoid(x) * math.tanh(x))
    assert "take single numbers: use those of torch for whole tensors." in elsewhere.hint


def test_rounded_logarithm_of_two():
    for answer in (lambda nats: nats / 0.693, lambda nats: nats * 1.443):
        result = grade("nats_to_bits", answer)
        assert result.hint.startswith("0.693 is rounded")
        assert "Expected 1, got 1.0002 at [0] (4 of 5 numbers differ)" in result.detail
    assert grade("nats_to_bits", lambda nats: nats / math.log2(2)).hint.endswith("math.log2(2) is 1.")


def test_wrong_gradient_with_right_values():
    class Gate(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return torch.tanh(x.chunk(2, 1)[0]) * torch.sigmoid(x.chunk(2, 1)[1])

        @staticmethod
        def backward(ctx, g):
            return torch.cat([g, g], 1)

    assert "values are right, but not the gradient" in grade("gated_activation", Gate.apply).hint


def test_an_error_in_the_courses_own_code_is_not_shown_as_the_students_line():
    hint = grade("active_units", lambda mu, threshold=0.01: object()).hint  # which the probe makes a number of
    assert "raises TypeError" in hint
    assert "in your line" not in hint
