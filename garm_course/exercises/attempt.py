"""One answer in the hands of one probe: every call is copied, limited, recorded and compared with the reference."""

import inspect
import linecache
import os
import re
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from garm_course.exercises import timelimit
from garm_course.exercises.arguments import differ, fresh, gradients, snapshot
from garm_course.exercises.compare import difference
from garm_course.exercises.registry import STUB_TEXT, Exercise, Probe
from garm_course.exercises.timelimit import Meter, TimeUp, within
from garm_course.exercises.world import recorded_output, restored, seed_all

# Where code lies that the student did not write: the course, the standard library, installed packages.
_COURSE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_NOT_THEIRS = (_COURSE, *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")))


class Refused(Exception):
    """Ends a probe: the answer is wrong, and the message says why. A hint, if there is one, says what to think of."""

    def __init__(self, cause: str, hint: str = "") -> None:
        super().__init__(cause)
        self.hint = hint


@dataclass
class Outcome:
    """What one call did."""

    value: Any = None
    gradients: tuple = ()
    changed: str = ""  # the name of an argument that the call changed
    error: str = ""
    where: str = ""  # the student's own line that raised
    stub: bool = False
    too_long: bool = False
    printed: str = ""

    def kept(self) -> "Outcome":
        """A copy that no later call can change."""
        return replace(self, value=snapshot(self.value), gradients=snapshot(self.gradients))


class Attempt:
    """What a probe receives in place of the raw answer.

    Args:
        exercise: holds the reference.
        answer: what the student defined.
        seconds: of processor time, for all calls of the answer together.
    """

    def __init__(self, exercise: Exercise, answer: Any, seconds: float) -> None:
        self.exercise, self.answer, self.seconds, self.patience = exercise, answer, seconds, timelimit.PATIENCE
        self.computed = self.elapsed = 0.0  # seconds that the answer's calls took so far
        self.outcomes: list[Outcome] = []  # of the probe that is running

    def judge(self, probe: Callable) -> tuple[Refused | None, list[Outcome]]:
        """Why the probe refuses the answer (None when it does not), and what the answer's calls did."""
        self.outcomes = []
        seed_all()
        try:
            probe(self)
        except Refused as refused:
            return refused, self.outcomes
        return None, self.outcomes

    def run(self, *args: Any, grad: bool = False, use: Callable | None = None, values: bool = True) -> Any:
        """Calls the answer and the reference on copies of the arguments and returns the answer's result.

        Args:
            args: as for `same`.
            grad: as for `same`.
            use: as for `same`.
            values: False to compare only type, shape and dtype.

        Raises:
            Refused: the answer failed, changed an argument, or returned something else than the reference.
        """
        return self._compare(Probe(args, grad, use), self._reference, values)

    __call__ = run

    def case(self, probe: Probe, values: bool = True) -> Any:
        """As `run`, for a case that is the same in every check: what the reference did is remembered."""
        return self._compare(probe, self._remembered_reference, values)

    def _compare(self, probe: Probe, reference: Callable[[Probe], Outcome], values: bool) -> Any:
        got = self._observe(self.answer, probe.args, probe.grad, probe.use, limited=True)
        self.outcomes.append(got)
        want = reference(probe)
        if want.error:
            raise RuntimeError(f"the reference itself fails: {want.error}")
        cause = self._explain(got, want, probe.args, probe.grad, probe.use, values)
        if cause:
            raise Refused(cause)
        return got.value

    def _reference(self, probe: Probe) -> Outcome:
        return self._observe(self.exercise.reference, probe.args, probe.grad, probe.use, limited=False)

    def _remembered_reference(self, probe: Probe) -> Outcome:
        memory, key = self.exercise.remembered, (self.exercise.reference, probe, _device())
        if key not in memory:
            memory[key] = self._reference(probe).kept()
        return memory[key]

    def call(self, *args: Any, use: Callable | None = None) -> Any:
        """The answer's result for a probe that judges it by itself, with `require`."""
        return self.run(*args, use=use, values=False)

    def require(self, condition: Any, cause: str, hint: str = "") -> None:
        """Refuses the answer unless the condition holds.

        Args:
            condition: of a right answer.
            cause: what was seen.
            hint: for a probe that recognizes the mistake by itself; it is shown above the cause, in place of the rule
                and of the hint of a known mistake.
        """
        if not condition:
            self.outcomes.append(Outcome(error=cause))
            raise Refused(cause, hint)

    def too_slow(self, args: tuple, seconds: float) -> bool:
        """Whether a call needs more processor time than `seconds`: the better of two."""
        for _ in range(2):
            before = self.computed
            outcome = self._observe(self.answer, args, False, None, limited=True)
            taken = self.computed - before
            if outcome.error:
                raise Refused(f"At the size that the lesson needs, it raises {outcome.error}{outcome.where}.")
            if outcome.too_long:
                return True
            if taken <= seconds:
                return False
        return True

    def _observe(self, function: Any, args: tuple, grad: bool, use: Callable | None, limited: bool) -> Outcome:
        outcome = Outcome()
        mine = [fresh(a) for a in args]
        leaves = []
        if grad:
            for i, a in enumerate(mine):
                if isinstance(a, Tensor) and a.is_floating_point():
                    leaves.append(a.requires_grad_())
                    mine[i] = a.clone()  # not a leaf: changing it in place is seen below, not an obscure error of torch

        def call() -> None:
            try:
                outcome.value = function(*mine) if use is None else use(function, *mine)
                if inspect.isgenerator(outcome.value) or inspect.iscoroutine(outcome.value):
                    outcome.value.close()
                outcome.gradients = gradients(outcome.value, leaves) if leaves else ()
            except (KeyboardInterrupt, TimeUp):
                raise
            except BaseException as error:  # SystemExit of exit() as well
                outcome.stub = type(error) is NotImplementedError and error.args in ((), (STUB_TEXT,))
                outcome.error = readable(error)
                outcome.where = own_line(error)

        seed_all()
        meter = Meter(self.seconds - self.computed, self.patience - self.elapsed)
        with recorded_output() as printed:
            try:
                if limited:
                    with restored():  # neither the reference nor a known mistake runs in a world that it spoiled
                        within(meter, call)
                else:
                    call()
            except TimeUp:
                outcome.too_long = True
            finally:
                if limited:
                    self.computed += meter.computed
                    self.elapsed += meter.elapsed
        outcome.printed = without_addresses(printed.getvalue())
        names = self._argument_names(len(args))
        changed = [name for name, a, b in zip(names, mine, args, strict=True) if differ(a, b)]
        outcome.changed = changed[0] if changed else ""
        return outcome

    def _explain(self, got: Outcome, want: Outcome, args: tuple, grad: bool, use: Any, values: bool) -> str:
        call = self.describe(args)
        if got.too_long:
            return self._too_long()
        if got.error:
            expects = "" if use else self._misfit(args)
            return expects or f"{call} raises {got.error}{got.where}.{_remedy(got.error)}"
        exercise = self.exercise
        options = dict(any_dtype=exercise.any_dtype, rtol=exercise.rtol, atol=exercise.atol)
        if got.changed:
            remedy = f"work on a copy, `{got.changed}.clone()`"
            return f"{call} changes its argument {got.changed} in place, which its caller still needs: {remedy}."
        named = [] if use else zip(self._argument_names(len(args)), args, strict=True)
        like = {a.dtype: name for name, a in named if isinstance(a, Tensor)}
        cause = difference(got.value, want.value, axes=exercise.axes, values=values, like=like, **options)
        if cause:
            return f"{call}: {cause}."
        if grad and values:
            names = zip(self._argument_names(len(args)), args, strict=True)
            names = [name for name, a in names if isinstance(a, Tensor) and a.is_floating_point()]
            pairs = [*zip(names, got.gradients, want.gradients, strict=True)]
            unreached = [name for name, g, w in pairs if w is not None and g is None]
            if unreached:
                return (
                    f"{call}: the values are right, but no gradient reaches {' and '.join(unreached)}, so nothing "
                    "before could be trained: a path of torch operations must lead from there to the result, on which "
                    "nothing is detached (.detach(), .data, .item(), .numpy(), no_grad)."
                )
            causes = [(name, difference(g, w, **options)) for name, g, w in pairs if w is not None]
            for name, cause in causes:
                if cause:
                    return f"{call}: the values are right, but not the gradient at {name}: {cause}."
        return ""

    def _too_long(self) -> str:
        """How long the answer took, and what to look for: a loop that computes, or something that waits."""
        took = f"It was stopped after {self.computed:.1f} s of computing ({self.elapsed:.0f} s by the clock)"
        if self.computed >= self.seconds:
            return f"{took}: look for a loop that never ends."
        return f"{took}: it waits instead of computing; look for sleep(), input(), or a file or lock that never comes."

    def same_outcome(self, got: Outcome, known: Outcome) -> bool:
        """Whether an answer did what a known mistake does: an equal error, or equal values and gradients."""
        if (got.error, got.changed, got.too_long, got.stub) != (known.error, known.changed, known.too_long, known.stub):
            return False
        exercise = self.exercise
        options = dict(any_dtype=exercise.any_dtype, rtol=exercise.rtol, atol=exercise.atol)
        pairs = (got.value, known.value), (got.gradients, known.gradients)
        return not any(difference(g, k, **options) for g, k in pairs)

    def describe(self, args: tuple) -> str:
        """The call in words: "down_shift(v) with v of shape (2, 3, 4, 5)"."""
        names, shapes, shown = self._argument_names(len(args)), [], []
        for name, a in zip(names, args, strict=True):
            if isinstance(a, Tensor):
                shapes.append(f"{name} of shape {tuple(a.shape)}")
                shown.append(name)
            else:
                shown.append(repr(a) if isinstance(a, (int, float, str, tuple)) and len(repr(a)) < 40 else name)
        text = f"{self.exercise.name}({', '.join(shown)})"
        return f"{text} with {' and '.join(shapes)}" if shapes else text

    def _argument_names(self, n: int) -> list[str]:
        names = [*_parameters(self.exercise.reference)]
        return (names + [f"argument {i + 1}" for i in range(len(names), n)])[:n]

    def _misfit(self, args: tuple) -> str:
        """A message when the answer's parameters do not fit the call."""
        try:
            inspect.signature(self.answer).bind(*args)
        except TypeError:
            has, needs = ", ".join(_parameters(self.answer)), ", ".join(self._argument_names(len(args)))
            name = self.exercise.name
            return f"It is called as {name}({needs}), but your definition reads {name}({has})."
        except Exception:  # no signature to be had
            return ""
        return ""


def known(exercise: Exercise, mistake: Callable, probe: Callable) -> tuple[bool, list[Outcome]]:
    """Whether the probe refuses a known mistake, and what the mistake's calls did; run once and remembered.

    A mistake that ran out of time is run again when it is asked for, and so is each of them on another default device.
    """
    key = mistake, probe, _device()
    if key in exercise.remembered:
        return exercise.remembered[key]
    refused, outcomes = Attempt(exercise, mistake, timelimit.SECONDS).judge(probe)
    found = refused is not None, [one.kept() for one in outcomes]
    if not any(one.too_long for one in outcomes):
        exercise.remembered[key] = found
    return found


def _device() -> str:
    return str(torch.get_default_device())


def _parameters(function: Any) -> list[str]:
    try:
        return [name for name in inspect.signature(function).parameters if name != "self"]
    except (TypeError, ValueError):
        return []


def _remedy(error: str) -> str:
    """What to do about an error whose own text does not say it."""
    if "converted to Python scalars" in error or "cannot be converted to Scalar" in error:
        return " The functions of `math` and float() take single numbers: use those of torch for whole tensors."
    return ""


def without_addresses(text: str) -> str:
    """The text with memory addresses replaced: they differ from run to run."""
    return re.sub(r"0x[0-9a-fA-F]{6,}", "0x...", text)


def readable(error: BaseException) -> str:
    """Type and first line of an exception, at most 200 characters."""
    if isinstance(error, SystemExit):
        return "SystemExit: it calls exit()"
    try:
        message = str(error).strip().split("\n")[0][:200].rstrip(".")
    except Exception:
        message = ""
    name = type(error).__name__
    return without_addresses(f"{name}: {message}" if message else name)


def own_line(error: BaseException) -> str:
    """The last line of the student's own that the exception passed: the traceback ends deep inside torch."""
    line, tb = "", error.__traceback__
    while tb is not None:
        file = tb.tb_frame.f_code.co_filename
        if not file.startswith(_NOT_THEIRS):
            line = linecache.getline(file, tb.tb_lineno).strip()[:100]
        tb = tb.tb_next
    return f", in your line `{line}`" if line else ""
