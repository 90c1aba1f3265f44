"""The judge holds probes and references, and runs no line of a student: answers are called in a child, in a sandbox.

A question goes to the child as arguments of a call (packed by cloudpickle, as this side is trusted); what comes back is
JSON and raw numbers, see `wire`. So whatever an answer does to torch, to the engine or to itself, it does over there,
and the comparison is made here.
"""

import contextlib
import difflib
import inspect
import os
import time
from pathlib import Path
from typing import Any

import torch

from garm_course.exercises.arguments import networks
from garm_course.exercises.attempt import Attempt, Outcome, course_functions
from garm_course.exercises.checking import grade
from garm_course.exercises.registry import get
from garm_course.exercises.verdict import NOT_ATTEMPTED, NOT_YET
from garm_course.grading import wire
from garm_course.grading.sandbox import Ended, Foul, Sandbox, TooLong

MISSING, NOT_OWN = "missing", "not own"
LARGEST = 20 << 20  # bytes of a notebook
MEMORY = 1 << 30  # bytes beside what the imports take
SECONDS = 5.0  # of a processor, for all calls of one answer, as in the notebook
LOADING = 10.0  # for the definitions of a whole notebook, and for one of them
WAIT = 20.0  # by the clock, without computing
STARTS = 12  # of a child for one submission
WHY = "an answer gets all that it needs through its parameters"
PACKAGE = Path(__file__).parents[1]
CLOSED = ("garm_course.exercises", "garm_course.lessons", "garm_course.editions", "garm_course.grading")


class Session:
    """The answers of one notebook, in a child that is started anew when one of them ends it.

    Args:
        raw: the bytes of the notebook.
        names: of the exercises.
    """

    def __init__(self, raw: bytes, names: list[str]):
        self.raw, self.names, self.starts, self.seconds = raw, names, 0, 0.0
        self.rebound: list[str] = []  # exercises whose answer was not right
        self.left_out: dict[int, str] = {}  # statements that end the child, and how
        self.child: Sandbox | None = None
        self.reading: dict[str, Any] = {}
        self.found: dict[str, Any] = {}
        self.errors: dict[int, str] = {}

    def start(self) -> None:
        """Start a child and let it load what the answers need.

        Raises:
            Foul: the notebook cannot be loaded.
        """
        try:
            self._open()
            self._load(self._left())
        except Ended:
            self._one_by_one()
        self.found = self._ask("found")
        for name in self.rebound:
            self._send_course_code(name)

    def _one_by_one(self) -> None:
        """Find the statements that end the child, and leave them out."""
        self._open()
        for k in self._left():
            try:
                if self.child.closed:
                    self._open()
                    self._load([j for j in self._left() if j < k])
                self._load([k])
            except Ended as ended:
                cell = self.reading["cells"][self.reading["needed"].index(k)]
                self.left_out[k] = f"code cell {cell} was left out: {ended}"

        if self.child.closed:
            self._open()
            self._load(self._left())

    def _left(self) -> list[int]:
        return [k for k in self.reading.get("needed", ()) if k not in self.left_out]

    def _open(self) -> None:
        if self.starts >= STARTS:
            raise Foul("its process ended too often")
        self.starts += 1
        self.close()
        root = PACKAGE.parent
        hidden = [PACKAGE / "exercises", PACKAGE / "lessons", PACKAGE / "grading", PACKAGE / "editions"]
        if (root / "solutions").is_dir():  # a clone: nothing of it but the package
            hidden += [path for path in root.iterdir() if path not in (PACKAGE, root / ".venv")]
        try:
            self.child = Sandbox(
                Path(__file__).with_name("answers.py"),
                {"names": self.names, "hidden": [str(path) for path in hidden], "modules": CLOSED, "why": WHY,
                 "seed": os.environ.get("GARM_PROBE_SEED", "0")},
                memory=MEMORY, wait=WAIT,
            )  # fmt: skip
        except Foul as foul:  # nobody's code has run yet
            raise RuntimeError(
                f"the sandbox does not start on this machine ({foul}); garm doctor looks at it"
            ) from foul
        self.reading = self._ask("read", data=self.raw)

    def _load(self, statements: list[int]) -> None:
        if statements:
            self.errors = self._ask("run", {"statements": statements})["errors"]

    def _ask(self, word: str, values: dict | None = None, data: bytes = b"", seconds: float = LOADING) -> dict:
        if self.child is None or self.child.closed:
            raise Ended("its process is gone")
        try:
            found = wire.decode(self.child.ask(word, values, data, seconds=seconds))
        except ValueError as error:
            self.close()
            raise Ended(f"its result cannot be read: {error}") from None
        if not isinstance(found, dict):
            self.close()
            raise Ended("its result cannot be read")
        return found

    def ask(self, word: str, values: dict, data: bytes, seconds: float) -> tuple[dict, float]:
        """A question to a child that is there or started for it; the answer, and the processor seconds that it took.

        Raises:
            Foul: see `Sandbox.ask`. `seconds` of the exception is what it used.
        """
        if self.child is None or self.child.closed:
            self.start()
        before = self.child.seconds()
        try:
            return self._ask(word, values, data, seconds), self.child.seconds() - before
        except Foul as foul:
            foul.seconds = (self.child.used if self.child.closed else self.child.seconds()) - before
            raise

    def rebind(self, name: str) -> None:
        """From here on, the others find the course's function under this name."""
        self.rebound.append(name)
        if self.child is not None and not self.child.closed:
            self._send_course_code(name)

    def _send_course_code(self, name: str) -> None:
        self._ask("rebind", {"name": name}, packed(get(name).reference))

    def close(self) -> None:
        """End the child."""
        if self.child is not None:
            if not self.child.closed:
                self.child.close()
            self.seconds += self.child.used
            self.child.used = 0.0


def packed(value: Any) -> bytes:
    """What the judge sends: functions and classes of exercises by value, since the child has no exercises.

    Raises:
        ImportError: cloudpickle is not installed.
    """
    try:
        import cloudpickle
    except ImportError:
        raise ImportError("grading needs cloudpickle: pip install 'garm-course[grade]'") from None
    import garm_course.exercises
    import garm_course.lessons

    for module in (garm_course.exercises, garm_course.lessons):
        cloudpickle.register_pickle_by_value(module)
    return cloudpickle.dumps(value)


class Remote:
    """Stands for an answer where the judge is; it cannot be called here.

    Args:
        session: that has the answer.
        name: of the exercise.
        about: what the child says of it.
    """

    def __init__(self, session: Session, name: str, about: dict[str, Any]):
        self.session, self.name, self.loops, self.dead, self.handed = session, name, bool(about["loops"]), "", False
        if isinstance(about["parameters"], list):
            with contextlib.suppress(ValueError, TypeError):
                self.__signature__ = inspect.Signature([
                    inspect.Parameter(str(one), kind, default=None if given else inspect.Parameter.empty)
                    for one, kind, given in about["parameters"]
                ])  # fmt: skip

    def __call__(self, *args: Any) -> None:
        """Refuse: the answer is elsewhere."""
        raise RuntimeError("an answer is called in the sandbox only")


class RemoteAttempt(Attempt):
    """An `Attempt` whose answer lives in the child."""

    def _observe(self, function: Any, args: tuple, grad: bool, use: Any, limited: bool, watched: tuple = ()) -> Outcome:
        remote = remote_of(function)
        if remote is None:
            return super()._observe(function, args, grad, use, limited)
        outcome = super()._observe(lambda *mine: None, args, False, None, False)  # the call in words
        outcome.call = type(outcome.call)(args, use, outcome.call.code if not use else "")
        outcome.networks = None
        if remote.dead:  # one death is enough; the next exercise has a new process
            outcome.error = remote.dead
            return outcome
        if self.computed >= self.seconds:
            outcome.too_long = True
            return outcome
        began = time.monotonic()
        try:
            names = self._argument_names(len(args))
            slopes = [[weight.grad for weight in net.parameters()]
                      for _, net in networks(zip(names, args, strict=True))]  # fmt: skip  # cloudpickle drops them
            data = packed((args, slopes, grad, use, watched))
            asked = {"name": remote.name, "arguments": names}
            said, seconds = remote.session.ask("call", asked, data, self.seconds - self.computed)
            self._take(outcome, said)
            remote.handed |= bool(said["handed"])
            self.computed += seconds
        except TooLong as foul:
            self.computed, outcome.too_long = max(self.computed + foul.seconds, 0), True
        except Ended as ended:
            outcome.error = remote.dead = str(ended)
            self.computed += getattr(ended, "seconds", 0.0)
        except (Foul, KeyError, TypeError, ValueError, AttributeError) as error:
            outcome.error = f"its result cannot be read: {error}"
        self.elapsed += time.monotonic() - began
        return outcome

    def _explain(self, got: Outcome, want: Outcome, args: tuple, *rest: Any) -> tuple[str, bool]:
        if got.error.startswith(("it ", "its ")):  # what the sandbox saw, no exception of the answer
            return f"{self.describe(args)}: {got.error}.", True
        return super()._explain(got, want, args, *rest)

    def _take(self, outcome: Outcome, said: dict) -> None:
        """What the child says about a call, as far as it has the right types."""
        slopes = said["gradients"]
        if not isinstance(slopes, tuple) or not all(one is None or isinstance(one, torch.Tensor) for one in slopes):
            raise TypeError("no gradients")
        outcome.value, outcome.gradients = said["value"], slopes
        outcome.error, outcome.where = str(said["error"])[:300], str(said["where"])[:140]
        outcome.stub, outcome.changed = said["stub"] is True, str(said["changed"])[:60]
        outcome.printed = str(said["printed"])[:2000]
        outcome.networks = said["networks"] if isinstance(said["networks"], dict) else None

    def _has_loop(self) -> bool:
        remote = remote_of(self.answer)
        return remote.loops if remote else super()._has_loop()

    def hands_over(self) -> bool:
        """Whether the answer, right as it is, calls the course's function for the task, as far as the child can see."""
        remote = remote_of(self.answer)
        if remote is None:
            return super().hands_over()
        places = tuple((one.__module__, one.__qualname__) for one in course_functions(self.exercise.reference))
        for case in [probe for probe in self.exercise.probes if hasattr(probe, "args")][:2] if places else ():
            self._observe(self.answer, case.args, False, case.use, limited=True, watched=places)
        return remote.handed


def remote_of(answer: Any) -> Remote | None:
    """The stand-in behind an answer: itself, or that of a class."""
    return answer if isinstance(answer, Remote) else getattr(answer, "garm_remote", None)


def judge(raw: bytes, names: list[str]) -> dict[str, Any]:
    """The verdicts on one notebook. Whatever a student wrote, this returns.

    Args:
        raw: the bytes of the notebook.
        names: of the exercises.

    Returns:
        `unreadable` (a sentence, or None), `exercises` (name -> `status`, `hint`, `detail`, `call`, `flags`), `notes`
        on cells that were left out or raise, and `seconds` of a processor that the child used.
    """
    result: dict[str, Any] = {"unreadable": None, "exercises": {}, "notes": [], "seconds": 0.0}
    if len(raw) > LARGEST:
        size = f"{len(raw) / 1e6:.0f} MB, more than {LARGEST / 1e6:.0f}"
        return result | {"unreadable": f"the file has {size}: clear the outputs and submit it again"}
    session = Session(raw, names)
    try:
        session.start()
        if session.reading.get("unreadable"):
            return result | {"unreadable": str(session.reading["unreadable"])[:300]}
        for name in names:
            result["exercises"][name] = one = _verdict(session, name)
            if one["status"] not in ("passed", MISSING):
                try:
                    session.rebind(name)
                except Foul:  # a new child gets it
                    session.close()
        notes = [*session.reading["notes"], *session.errors.values(), *session.left_out.values()]
        result["notes"] = [str(note)[:300] for note in notes][:30]
    except (Foul, KeyError, TypeError, ValueError, AttributeError) as foul:
        result["unreadable"] = f"the notebook cannot be loaded: {str(foul)[:200]}"
    finally:
        session.close()
        result["seconds"] = round(session.seconds, 2)
    return result


def own_answers(names: list[str]) -> str:
    """Which of the course's own answers do not pass in the sandbox, and why: "" on a machine that can grade.

    Args:
        names: of the exercises.
    """
    failing, session = [], Session(b'{"cells": []}', names)
    try:
        session.start()
        for exercise in map(get, names):
            if session.child.closed:
                session.start()
            own = next(iter(exercise.accepts), exercise.reference)
            session.ask("take", {"name": exercise.name}, packed(own), LOADING)
            answer = remote = Remote(session, exercise.name, {"loops": True, "parameters": None})
            if inspect.isclass(own):
                answer = type(exercise.name, (), {"garm_remote": remote})
            found = grade(exercise.name, answer, seconds=SECONDS, attempt=RemoteAttempt)
            if not found.passed and not (own is exercise.reference and remote.handed):
                failing.append(f"{exercise.name}: {found.hint}")
    finally:
        session.close()
    return "; ".join(failing)


def _verdict(session: Session, name: str) -> dict[str, Any]:
    """The verdict on one exercise, as data."""
    places = session.reading["defined"].get(name)
    flags = [str(flag)[:100] for flag in session.reading["flags"]]
    if not places:
        near = difflib.get_close_matches(name, [str(one) for one in session.reading["others"]], 1, 0.8)
        hint = f"There is no function {name}" + (
            f", but {near[0]}: exercises are found by their name." if near else "."
        )
        return _said(MISSING, hint, flags)
    about = session.found.get(name)
    lost = [text for k, text in {**session.errors, **session.left_out}.items() if k in places]
    if about is None or (about["kind"] == "other"):
        cause = f"{name} was not defined: {lost[-1]}." if lost else f"{name} is no function or class."
        return _said(NOT_YET, str(cause)[:300], flags)
    if about["own"] is not True:
        return _said(NOT_OWN, f"{name} is the course's own function, not an answer to the exercise.", flags)
    if session.child.closed:
        session.start()
    answer = remote = Remote(session, name, about)
    if about["kind"] == "class":
        answer = type(name, (), {"garm_remote": remote})
    found = grade(name, answer, seconds=SECONDS, attempt=RemoteAttempt)
    if remote.handed:
        flags.append(f"calls the course's own {name}")
    call = f"{name}{found.call.code}" if found.call is not None and found.call.code else ""
    result = _said(found.status, found.hint, flags)
    if len(places) > 1 and found.status in (NOT_YET, NOT_ATTEMPTED):
        result["detail"] = f"{name} is defined {len(places)} times in this notebook: the last one counts."
    return result | {"detail": found.detail or result["detail"], "call": call, "slow": found.slow}


def _said(status: str, hint: str, flags: list[str]) -> dict[str, Any]:
    return {"status": status, "hint": hint, "detail": "", "call": "", "slow": False, "flags": sorted(set(flags))}
