"""One answer in the hands of one probe: every call is copied, limited, recorded and compared with the reference."""

import inspect
import linecache
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from garm_course.exercises import timelimit
from garm_course.exercises.arguments import differ, fresh, gradients, left_behind, networks, snapshot, state_of
from garm_course.exercises.compare import difference
from garm_course.exercises.registry import STUB_TEXT, Exercise, Probe
from garm_course.exercises.timelimit import Meter, TimeUp, within
from garm_course.exercises.world import default_device, pressed_stop, recorded_output, restored, seed_all

# Where code lies that the student did not write: the course, the standard library, installed packages.
_COURSE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_NOT_THEIRS = (_COURSE, *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")))


class Refused(Exception):
    """Ends a probe: the answer is wrong, and the message says why.

    Args:
        cause: what was seen.
        hint: what to think of, if the probe recognizes the mistake.
        alike: the pairs (known mistake, hint) among which it was recognized by one case; what the answer does in the
            other probes has to agree. Empty if the probe is sure of the hint.
    """

    def __init__(self, cause: str, hint: str = "", alike: tuple = ()) -> None:
        super().__init__(cause)
        self.hint, self.alike = hint, alike


@dataclass(frozen=True)
class Call:
    """Arguments of one call of an answer, to be tried again.

    Args:
        args: as the probe has them.
        use: how the answer is called, if not as `answer(*args)`.
        code: the call as it would be typed, without the name; "" where an argument is no literal.
    """

    args: tuple = ()
    use: Callable | None = None
    code: str = ""


@dataclass
class Outcome:
    """What one call did."""

    call: Call = Call()
    value: Any = None
    want: Any = None  # what the reference returned
    gradients: tuple = ()
    slopes: tuple = ()  # of values that are right: name, gradient and expected gradient of each argument that has one
    names: tuple[str, ...] = ()  # of the parts of the result
    networks: dict | None = None  # the state in which the call left each network that it was given
    changed: str = ""  # the name of an argument that the call changed
    clear: bool = False  # what is wrong says what to do: the rule of the task is not needed
    error: str = ""
    where: str = ""  # the student's own line that raised
    stub: bool = False
    too_long: bool = False
    printed: str = ""

    def kept(self) -> "Outcome":
        """A copy that no later call can change."""
        return replace(self, value=snapshot(self.value), gradients=snapshot(self.gradients))

    def related(self, names: tuple[str, ...]) -> list[tuple[Any, Any, tuple]]:
        """What was returned and expected, and the same of the gradients, with the arguments; for `pattern`.

        Args:
            names: of the parts of a result, if this one has none of its own.
        """
        value, want, names = self.value, self.want, self.names or names
        if type(value) is type(want) is dict:
            value, want = ({f"the {key}".replace("the the ", "the "): v for key, v in d.items()} for d in (value, want))
        elif {type(value), type(want)} <= {list, tuple} and len(value) == len(want) == len(names):
            value, want = (dict(zip(names, parts, strict=True)) for parts in (value, want))
        got, asked = ({f"the gradient at {slope[0]}": slope[k] for slope in self.slopes} for k in (1, 2))
        return [] if self.error else [(value, want, self.call.args), (got, asked, self.call.args)]


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
        got.want = want.value
        cause, got.clear = self._explain(got, want, probe.args, probe.grad, probe.use, values)
        if cause:
            raise Refused(cause)
        return got.value

    def _reference(self, probe: Probe) -> Outcome:
        return self._observe(self.exercise.reference, probe.args, probe.grad, probe.use, limited=False)

    def _remembered_reference(self, probe: Probe) -> Outcome:
        memory, key = self.exercise.remembered, (self.exercise.reference, probe, str(default_device()))
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

    def too_slow(self, args: tuple, seconds: float, use: Callable | None = None) -> bool:
        """Whether a call needs more processor time than `seconds`: the better of two."""
        for _ in range(2):
            before = self.computed
            outcome = self._observe(self.answer, args, False, use, limited=True)
            taken = self.computed - before
            if outcome.error:
                raise Refused(f"At the size that the lesson needs, it raises {outcome.error}{outcome.where}.")
            if outcome.too_long:
                return True
            if taken <= seconds:
                return False
        return True

    def _observe(self, function: Any, args: tuple, grad: bool, use: Callable | None, limited: bool) -> Outcome:
        names = self._argument_names(len(args))
        outcome = Outcome(Call(args, use, "" if use else _code(args)))
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
            except BaseException as error:  # SystemExit of exit() as well
                sent = meter.over if isinstance(error, TimeUp) else stop.pressed or not limited
                if isinstance(error, (TimeUp, KeyboardInterrupt)) and sent:  # and not raised by the answer
                    raise
                outcome.stub = type(error) is NotImplementedError and error.args in ((), (STUB_TEXT,))
                outcome.error = readable(error)
                outcome.where = own_line(error)

        seed_all()
        meter = Meter(self.seconds - self.computed, self.patience - self.elapsed)
        with recorded_output() as printed, pressed_stop() as stop:
            try:
                if limited:
                    with (
                        restored(),
                        self._named_as_its_own(function),
                    ):  # neither the reference nor a known mistake runs in a world that it spoiled
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
        outcome.networks = {name: state_of(net) for name, net in networks(zip(names, mine, strict=True))} or None
        changed = [name for name, a, b in zip(names, mine, args, strict=True) if differ(a, b)]
        outcome.changed = changed[0] if changed else ""
        return outcome

    @contextmanager
    def _named_as_its_own(self, answer: Any) -> Iterator[None]:
        """Inside, the exercise's name means the answer where the answer was written, as it will once it has passed.

        Otherwise an answer that calls itself would call the course's function, to which the name was bound before.
        """
        space = getattr(answer, "__globals__", None) if inspect.isfunction(answer) else None
        if space is None or str(space.get("__name__")).startswith("garm_course"):
            yield
            return
        name, before = self.exercise.name, space.get(self.exercise.name, self)
        space[name] = answer
        try:
            yield
        finally:
            if before is self:
                space.pop(name, None)
            else:
                space[name] = before

    def hands_over(self) -> bool:
        """Whether the answer, right as it is, calls the course's function for the task."""
        codes = {f.__code__ for f in course_functions(self.exercise.reference)}
        cases = [probe for probe in self.exercise.probes if isinstance(probe, Probe)][:2]
        seen = []

        def watch(frame: Any, event: str, arg: Any) -> None:
            if event == "call" and frame.f_code in codes:
                seen.append(frame.f_code)

        before = sys.getprofile()
        for case in cases if codes else ():
            sys.setprofile(watch)
            try:
                self._observe(self.answer, case.args, False, case.use, limited=True)
            finally:
                sys.setprofile(before)
        return bool(seen)

    def _explain(
        self, got: Outcome, want: Outcome, args: tuple, grad: bool, use: Any, values: bool
    ) -> tuple[str, bool]:
        """What is wrong with a call ("" for nothing), and whether that says what to do."""
        call, names = self.describe(args), self._argument_names(len(args))
        if got.too_long:
            return self._too_long(), False
        if got.error.startswith("RecursionError"):
            name = self.exercise.name
            return (
                f"{call} raises {got.error}. Does it call itself? Inside your code {name} is your own function.",
                True,
            )
        if got.error:
            expects = "" if use else self._misfit(args)
            return expects or f"{call} raises {got.error}{got.where}.{_remedy(got.error)}", True
        exercise = self.exercise
        options = dict(any_dtype=exercise.any_dtype, rtol=exercise.rtol, atol=exercise.atol)
        if got.changed:
            value = args[names.index(got.changed)]
            if isinstance(value, torch.Generator):
                return f"{call} seeds {got.changed} anew: draw from it as it is.", True
            copy = f"{got.changed}.clone()" if isinstance(value, Tensor) else f"{type(value).__name__}({got.changed})"
            remedy = f"work on a copy, `{copy}`"
            return f"{call} changes its argument {got.changed} in place, which its caller still needs: {remedy}.", True
        like = {} if use else {a.dtype: name for name, a in zip(names, args, strict=True) if isinstance(a, Tensor)}
        options |= dict(axes=exercise.axes, like=like)
        cause = difference(got.value, want.value, values=values, **options)
        if cause:
            clear = cause == difference(got.value, want.value, values=False, **options)
            return f"{_capital(cause)}. The call: {call}.", clear
        for name, state in (want.networks or {}).items():
            cause = left_behind(name, got.networks[name], state, rtol=exercise.rtol, atol=exercise.atol)
            if cause:
                return f"{_capital(cause)}. The call: {call}.", not cause.startswith("expected")
        if grad and values:
            leaves = [name for name, a in zip(names, args, strict=True)
                      if isinstance(a, Tensor) and a.is_floating_point()]  # fmt: skip
            pairs = [*zip(leaves, got.gradients, want.gradients, strict=True)]
            got.slopes = tuple(triple for triple in pairs if triple[2] is not None)
            unreached = [name for name, g, w in pairs if w is not None and g is None]
            if unreached:
                return (
                    f"The values are right, but no gradient reaches {' and '.join(unreached)}, so nothing before could "
                    "be trained: a path of torch operations must lead from there to the result, on which nothing is "
                    f"detached (.detach(), .data, .item(), .numpy(), no_grad). The call: {call}."
                ), True
            options |= dict(axes=(), like=None)
            for name, g, w in got.slopes:
                cause = difference(g, w, **options)
                if cause:
                    return f"The values are right, but not the gradient at {name}: {cause}. The call: {call}.", False
        return "", False

    def _too_long(self) -> str:
        """How long the answer took, and what to look for: a loop that computes, or something that waits."""
        took = f"It was stopped after {self.computed:.1f} s of computing ({self.elapsed:.0f} s by the clock)"
        if self.computed >= self.seconds:
            loop = self._has_loop()
            return f"{took}: {'does each loop end, and soon?' if loop else 'the whole check should take a second.'}"
        return f"{took}: it waits instead of computing; look for sleep(), input(), or a file or lock that never comes."

    def _has_loop(self) -> bool:
        return bool(re.search(r"\b(while|for)\b", _source(self.answer)))

    def same_outcome(self, got: Outcome, known: Outcome) -> bool:
        """Whether an answer did what a known mistake does: an equal error, or equal values and gradients."""
        if (got.error, got.changed, got.too_long, got.stub) != (known.error, known.changed, known.too_long, known.stub):
            return False
        exercise = self.exercise
        options = dict(any_dtype=exercise.any_dtype, rtol=exercise.rtol, atol=exercise.atol)
        pairs = (got.value, known.value), (got.gradients, known.gradients), (got.networks, known.networks)
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
    key = mistake, probe, str(default_device())
    if key in exercise.remembered:
        return exercise.remembered[key]
    refused, outcomes = Attempt(exercise, mistake, timelimit.SECONDS).judge(probe)
    found = refused is not None, [one.kept() for one in outcomes]
    if not any(one.too_long for one in outcomes):
        exercise.remembered[key] = found
    return found


def course_functions(reference: Any) -> list:
    """The Python functions of the course that a reference consists of; none for one of torch."""
    parts = [*vars(reference).values()] if inspect.isclass(reference) else [reference]
    parts = [inspect.unwrap(part) for part in parts if callable(part)]
    return [part for part in parts if inspect.isfunction(part) and part.__module__.startswith("garm_course")]


def _source(answer: Any) -> str:
    """The answer's text, "" where there is none to be had."""
    try:
        return inspect.getsource(answer)
    except Exception:
        return ""


def _code(args: tuple) -> str:
    """Arguments as they would be typed, "" if one of them has no such form or a long one."""

    def literal(value: Any) -> bool:
        if type(value) in (list, tuple):
            return all(map(literal, value))
        return value is None or (type(value) in (bool, int, float, str) and value == value)

    text = ", ".join(map(repr, args))
    return f"({text})" if all(map(literal, args)) and len(text) < 80 else ""


def _capital(cause: str) -> str:
    return cause[:1].upper() + cause[1:]


def _parameters(function: Any) -> list[str]:
    try:
        return [name for name in inspect.signature(function).parameters if name != "self"]
    except (TypeError, ValueError):
        return []


def _remedy(error: str) -> str:
    """What to do about an error whose own text does not say it."""
    if "converted to Python scalars" in error or "cannot be converted to Scalar" in error:
        return " The functions of `math` and float() take single numbers: use those of torch for whole tensors."
    if "backward through the graph a second time" in error:
        return " The first backward frees the graph that the others need as well: retain_graph=True keeps it."
    return ""


def _short(text: str, most: int = 200) -> str:
    """As many whole sentences as fit, without the last full stop; or words, if the first sentence is too long."""
    if len(text) > most:
        end = text.rfind(". ", 0, most)
        text = text[:end] if end > 0 else text[:most].rpartition(" ")[0] + " ..."
    return text.rstrip(".")


def without_addresses(text: str) -> str:
    """The text with memory addresses replaced: they differ from run to run."""
    return re.sub(r"0x[0-9a-fA-F]{6,}", "0x...", text)


def readable(error: BaseException) -> str:
    """Type and first line of an exception, at most 200 characters of it."""
    if isinstance(error, SystemExit):
        return "SystemExit: it calls exit()"
    try:
        message = _short(str(error).strip().split("\n")[0])
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
