"""What an exercise is, and where all of them are found.

An exercise is data. A lesson's module or package (`lesson04`) holds a list `EXERCISES`, and the registry collects the
lists of everything in this package that is named `lessonNN` when a name is first asked for.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

STUB_TEXT = "Replace this line with your answer."
STUB = f'raise NotImplementedError("{STUB_TEXT}")'  # what stands in the student edition in place of every answer


@dataclass(frozen=True, eq=False)
class Probe:
    """One case: the answer and the reference receive the same arguments and must return the same. Made by `same`.

    A probe may also be any function of an `Attempt`, for what is not an equality: `attempt.call(x)` returns the
    answer's result (already known to have the type, shape and dtype of the reference's), and
    `attempt.require(condition, cause)` refuses; with `hint=...` where the probe itself recognizes the mistake. What it
    does must follow from the attempt alone: known mistakes are run once and remembered.
    """

    args: tuple
    grad: bool = False
    use: Callable | None = None

    def __call__(self, attempt) -> None:
        attempt.case(self)


def same(*args: Any, grad: bool = False, use: Callable | None = None) -> Probe:
    """The probe "for these arguments the answer returns what the reference returns".

    Args:
        args: the arguments. They are copied for every call, so a probe may share its tensors with others.
        grad: compare the gradients with respect to all floating-point arguments as well.
        use: `use(answer, *args)` instead of `answer(*args)`: how to build and call the class that was asked for, for
            example `lambda Model, x: Model(3)(x)`. The random state is the same for the answer and the reference.
    """
    return Probe(args, grad, use)


@dataclass(frozen=True)
class Speed:
    """A function without arguments that returns arguments of the size that the lesson needs, and a generous limit.

    A right answer that needs more seconds (of processor time, so that a busy computer is no fault) passes, but the
    notebook goes on with the reference. `use` as in `same`, for arguments that a copy would spoil, as it cuts a graph.
    """

    args: Callable[[], tuple]
    seconds: float = 1.0
    use: Callable | None = None


@dataclass(frozen=True, eq=False)
class Exercise:
    """What one exercise asks for and how an answer to it is judged.

    Args:
        name: the name of the function or class that the student defines; unique over the whole course.
        lesson: two digits, "04".
        reference: the library's own function wherever there is one.
        rule: the rule of the task in one sentence; shown with every hint that is not about a known mistake.
        probes: made by `same(...)`, or functions of an `Attempt`; the first one that fails explains itself, so the
            most telling come first.
        mistakes: pairs (wrong function, hint). The hint is shown when the answer's results on all probes equal those
            of the wrong function.
        accepts: different right answers, for the tests.
        axes: names of the axes of the result, for positions in hints ("row 1, column 2").
        any_dtype: True where only the numbers count (a mask may be boolean, integer or floating-point).
        rtol: relative tolerance: two numbers a, b are equal when |a - b| <= atol + rtol |b|.
        atol: absolute tolerance.
        speed: the measurement of time, or None.
        remembered: what the reference and known mistakes did in probes, filled by `attempt`.
    """

    name: str
    lesson: str
    reference: Callable
    rule: str
    probes: tuple[Callable, ...] | list[Callable]
    mistakes: tuple[tuple[Callable, str], ...] | list[tuple[Callable, str]] = ()
    accepts: tuple[Callable, ...] | list[Callable] = ()
    axes: tuple[str, ...] = ()
    any_dtype: bool = False
    rtol: float = 1e-6
    atol: float = 1e-8
    speed: Speed | None = None
    remembered: dict = field(default_factory=dict, init=False, repr=False)


def collect(lists: list[list[Exercise]]) -> dict[str, Exercise]:
    """Joins the lists of the lessons; a name that occurs twice is an error, because answers are found by name."""
    found: dict[str, Exercise] = {}
    for exercise in (exercise for one in lists for exercise in one):
        if exercise.name in found:
            lessons = f"{found[exercise.name].lesson} and {exercise.lesson}"
            raise ValueError(f"two exercises are named {exercise.name!r} (lessons {lessons}): rename one of them")
        found[exercise.name] = exercise
    return found


@cache
def _all() -> dict[str, Exercise]:
    lessons = importlib.import_module("garm_course.lessons")
    names = sorted(module.name for module in pkgutil.iter_modules(lessons.__path__))
    return collect([importlib.import_module(f"garm_course.lessons.{name}").EXERCISES for name in names])


def exercises(lesson: str | None = None) -> list[Exercise]:
    """All exercises of the course, or of one lesson, in the order of the lessons.

    Args:
        lesson: two digits ("04"), or None for all.

    >>> [exercise.name for exercise in exercises("04")]
    ['conv_mask', 'gated_activation', 'down_shift', 'rgb_center_mask']
    """
    return [exercise for exercise in _all().values() if lesson in (None, exercise.lesson)]


def get(name: str) -> Exercise:
    """The exercise of that name.

    Raises:
        ValueError: there is none; the message lists the names that exist.
    """
    found = _all().get(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"no exercise is named {name!r}; use one of: {', '.join(sorted(_all()))}")
    return found
