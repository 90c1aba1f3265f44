"""`grade` judges an answer; `check` does so above a definition in a notebook, and keeps the notebook running."""

import difflib
import functools
import inspect
import os
import sys
from typing import Any

from garm_course.exercises import notebook, timelimit
from garm_course.exercises.attempt import Attempt, Outcome, Refused, known, readable
from garm_course.exercises.compare import kind_of, type_name
from garm_course.exercises.patterns import pattern
from garm_course.exercises.registry import Exercise, exercises, get
from garm_course.exercises.standin import course_code, invitation, stand_in
from garm_course.exercises.verdict import NOT_ATTEMPTED, NOT_YET, PASSED, Result, Verdict
from garm_course.exercises.world import pressed_stop, shell, unchanged_world

ENOUGH = 0.5  # of the probes that refuse an answer: where a mistake known from one case has to do the same
NOT_WRITTEN = "Write your answer in place of the line that raises NotImplementedError, then run this cell again."


class CheckFailed(Exception):
    """Raised by `check` under GARM_GRADING=1 for an answer that is not right."""


def grade(name: str, answer: Any, *, seconds: float | None = None, attempt: type[Attempt] = Attempt) -> Result:
    """Judges an answer. Whatever the answer does, this returns a result.

    Args:
        name: of the exercise.
        answer: the function or class that somebody wrote.
        seconds: time limit for all calls of the answer together (default: `timelimit.SECONDS`, 5).
        attempt: how the answer is called; another class calls it elsewhere, see `garm_course.grading.judge`.

    Returns:
        `Result(status, hint)`, status "passed", "not yet" or "not attempted".

    Raises:
        ValueError: no exercise has that name; the message lists the names.
        KeyboardInterrupt: somebody pressed stop.

    >>> grade("conv_mask", lambda k, kind: None).status
    'not yet'
    """
    exercise = get(name)
    with unchanged_world(), pressed_stop() as stop:
        try:
            return _judge(attempt(exercise, answer, timelimit.SECONDS if seconds is None else seconds))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and stop.pressed:
                raise
            if not isinstance(error, Exception):  # no probe raises such a thing: an object of the answer does
                return Result(NOT_YET, f"The answer cannot be looked at: that raises {readable(error)}.")
            blame = "This is a fault of the course and not of your answer; please report it"
            return Result(NOT_YET, f"The check of {name} itself failed. {blame}: {readable(error)}")


def _judge(attempt: Attempt) -> Result:
    exercise, answer = attempt.exercise, attempt.answer
    asked = "class" if inspect.isclass(exercise.reference) else "function"
    if not callable(answer) or inspect.isclass(answer) != (asked == "class"):
        return Result(NOT_YET, f"Expected a {asked} named {exercise.name}, got {kind_of(answer)}. {exercise.rule}")

    runs, wrong, failed = [], [], None  # failed: (refusal, outcome) of the first probe that refused the answer
    for probe in exercise.probes:
        refused, outcomes = attempt.judge(probe)
        wrong += [len(runs)] if refused else []
        runs.append(outcomes)
        if refused and failed is None:
            failed = refused, outcomes[-1]
            if outcomes[-1].stub and len(runs) == 1:
                return Result(NOT_ATTEMPTED, NOT_WRITTEN)
        if outcomes and outcomes[-1].too_long:
            last = outcomes[-1]
            return Result(NOT_YET, _with_the_task(refused, exercise), printed=last.printed, call=last.call)
    if failed is None:
        if answer is not exercise.reference and attempt.hands_over():
            return Result(NOT_YET, f"It hands the work to the course's own {exercise.name}: write the steps yourself.")
        return _timed(exercise, attempt)

    refused, outcome = failed
    cause, hint = str(refused), refused.hint
    seen = dict(printed=outcome.printed, call=outcome.call)
    if not hint or refused.alike:
        hint = _of_known_mistake(attempt, runs, wrong, refused.alike)
    if hint:
        return Result(NOT_YET, hint, detail=cause, **seen)
    names = next((one.names for run in runs for one in run if one.names), ())
    calls = [case for run in runs for one in run for case in one.related(names)]
    relation = "" if outcome.error or outcome.changed else pattern(calls, exercise.axes)
    if relation:
        return Result(NOT_YET, relation, detail=cause, **seen)
    return Result(NOT_YET, cause if outcome.clear else _with_the_task(cause, exercise), **seen)


def _of_known_mistake(attempt: Attempt, runs: list[list[Outcome]], wrong: list[int], alike: tuple) -> str:
    """The hint of the mistake that gives what the answer gave: on all probes, or, of those that are alike in the case
    that tells mistakes apart, on most of the probes `wrong` that refuse the answer. "" where there is none."""
    for mistake, hint in attempt.exercise.mistakes:
        if all(_does_the_same(attempt, mistake, runs, i) for i in range(len(runs))):
            return hint
    shares = [sum(_does_the_same(attempt, mistake, runs, i) for i in wrong) / len(wrong) for mistake, _ in alike]
    best = max(shares, default=0)
    return alike[shares.index(best)][1] if best > ENOUGH else ""


def _with_the_task(cause: Any, exercise: Exercise) -> str:
    return f"{cause} The task: {exercise.rule}"


def _does_the_same(attempt: Attempt, mistake: Any, runs: list[list[Outcome]], i: int) -> bool:
    """Whether a known mistake gives, on one probe, what the answer gave."""
    _, others = known(attempt.exercise, mistake, attempt.exercise.probes[i])
    return len(others) == len(runs[i]) and all(map(attempt.same_outcome, runs[i], others))


def _timed(exercise: Exercise, attempt: Attempt) -> Result:
    speed = exercise.speed
    try:
        slow = speed is not None and attempt.too_slow(speed.args(), speed.seconds, speed.use)
    except Refused as refused:
        return Result(NOT_YET, _with_the_task(refused, exercise))
    if not slow:
        return Result(PASSED)
    hint = f"Right, but too slow: at the size that the lesson needs it takes more than {speed.seconds:g} s."
    return Result(PASSED, hint, detail="Replace loops over elements by operations on whole tensors.", slow=True)


def check(answer: Any = None) -> Any:
    """Judges the function or class defined below it, shows the verdict, and returns what the notebook goes on with.

        @check
        def conv_mask(k: int, kind: str) -> Tensor: ...

    The exercise is found by the name of the definition. Nothing that the answer does is raised, except under
    GARM_GRADING=1: then a wrong answer raises `CheckFailed`, and the name means the answer, whatever it is.

    Args:
        answer: the definition; without one (`@check()`) a decorator that does the same is returned.

    Returns:
        The answer itself when it is right and fast enough, otherwise the course's code, with the answer as `mine`
        (see `standin`); under grading always the answer.
    """
    caller = sys._getframe(1)
    if answer is None:
        return functools.partial(_checked, caller=caller, remark="@check needs no parentheses.")
    return _checked(answer, caller)


def _checked(answer: Any, caller: Any, remark: str = "") -> Any:
    name = _name_of(answer, caller)
    known = {exercise.name: exercise for exercise in exercises()}
    if name not in known:
        near = difflib.get_close_matches(str(name), known, 1)
        hint = f"No exercise is named {name!r}" + (f"; did you mean {near[0]!r}?" if near else "; keep the given name.")
        return _conclude(caller, Verdict(str(name), Result(NOT_YET, hint), remark), answer, answer)

    reference = known[name].reference
    if course_code(answer) is reference:
        hint = "This is the course's reference; run the cell that defines yours."
        return _conclude(caller, Verdict(name, Result(NOT_ATTEMPTED, hint), remark), reference, answer)
    result = grade(name, answer)
    notebook.remember(known[name], answer, result)
    if result.passed and not result.slow:
        said = "The notebook goes on with your own code."
        return _conclude(caller, Verdict(name, result, said, remark), answer, answer)
    said = "The notebook goes on with the course's code."
    if result.status != NOT_ATTEMPTED:
        said = f"{said} {invitation(name, result.call)}"
    return _conclude(caller, Verdict(name, result, said, remark), stand_in(reference, answer, result.call), answer)


def is_reference(function: Any) -> bool:
    """Whether it is the course's own answer to an exercise: what `check` returned in place of one that is not right.

    A function that calls it is another one: this serves a notebook that wants to say whose code ran, not a grader.
    """
    return any(course_code(function) is exercise.reference for exercise in exercises())


def _conclude(caller: Any, verdict: Verdict, goes_on_with: Any, answer: Any) -> Any:
    grading = os.environ.get("GARM_GRADING", "0") not in ("", "0")
    if grading and goes_on_with is not answer:
        verdict = Verdict(verdict.name, verdict.result)
    if shell() is not None:
        from IPython.display import display

        display(verdict)
    else:
        print(repr(verdict))
    if not grading:
        return goes_on_with
    if not verdict.result.passed:
        caller.f_globals[verdict.name] = answer
        raise CheckFailed(f"{verdict.name}: {verdict.result.status}. {verdict.result.hint}")
    return answer


def _name_of(answer: Any, caller: Any) -> str:
    """The name of the definition, else the name that the caller bound the object to (for a lambda, a partial)."""
    try:
        name = answer.__name__
    except BaseException:  # a partial, a callable object, one that raises whatever it likes
        name = None
    if isinstance(name, str) and name.isidentifier():
        return name
    bound = (n for space in (caller.f_locals, caller.f_globals) for n, value in space.items() if value is answer)
    return next((n for n in bound if not n.startswith("_")), str(name or type_name(answer)))
