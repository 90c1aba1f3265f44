"""What a notebook is told beside the verdicts: an exercise that was not run, a `@check` that was forgotten, and which
exercises have passed so far.

The record is one small file on the student's own machine (`record_file`); nothing is sent anywhere. `GARM_RECORD=0`
switches it off.
"""

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

from garm_course.exercises.registry import Exercise, exercises
from garm_course.exercises.verdict import NOT_ATTEMPTED, PASSED, Result
from garm_course.exercises.world import shell
from garm_course.paths import state_folder

_checked: set[int] = set()  # ids of the definitions that `check` has seen in this kernel


def record_file() -> Path | None:
    """The file with the verdicts so far, or None if `GARM_RECORD` is 0."""
    return None if os.environ.get("GARM_RECORD") == "0" else state_folder() / "exercises.json"


def record() -> dict[str, str]:
    """Name of an exercise -> "passed" or "not yet", as far as they were answered; {} if the file cannot be read."""
    file = record_file()
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def remember(exercise: Exercise, answer: Any, result: Result) -> None:
    """Note a verdict; what has passed once stays so. A disk that refuses is no reason to stop a lesson."""
    _checked.add(id(answer))
    file = record_file()
    if file is None or result.status == NOT_ATTEMPTED:
        return
    from filelock import FileLock, Timeout

    from garm_course.weights.files import write_atomically

    with contextlib.suppress(OSError, Timeout):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock", timeout=5):
            known = record()
            if known.get(exercise.name) in (PASSED, result.status):
                return
            text = json.dumps({**known, exercise.name: result.status}, indent=1) + "\n"
            write_atomically(file, text.encode())


class Progress:
    """Which exercises of which lessons have passed on this machine; `print` it, or show it in a notebook."""

    def __init__(self) -> None:
        self.lessons: dict[str, dict[str, str]] = {}
        known = record()
        for exercise in exercises():
            self.lessons.setdefault(exercise.lesson, {})[exercise.name] = known.get(exercise.name, NOT_ATTEMPTED)

    def __repr__(self) -> str:
        if record_file() is None:
            return "Verdicts are not recorded: GARM_RECORD is 0."
        lines = []
        for lesson, verdicts in self.lessons.items():
            done = [name for name, verdict in verdicts.items() if verdict == PASSED]
            open_ = [
                name + ("" if verdict == NOT_ATTEMPTED else f" ({verdict})")
                for name, verdict in verdicts.items()
                if verdict != PASSED
            ]
            bar = "".join("#" if verdict == PASSED else "." for verdict in verdicts.values())
            rest = f"open: {', '.join(open_)}" if open_ and done else "" if open_ else "all passed"
            lines.append(f"{lesson}  {bar:<6} {len(done)} of {len(verdicts)}  {rest}".rstrip())
        total = sum(verdict == PASSED for verdicts in self.lessons.values() for verdict in verdicts.values())
        count = sum(map(len, self.lessons.values()))
        return "\n".join([f"Exercises passed: {total} of {count}", *lines, f"Recorded in {record_file()}"])


def progress() -> Progress:
    """Which exercises have passed, lesson by lesson, from the record on this machine."""
    return Progress()


def watch(ip: Any) -> None:
    """Explain, in this IPython shell, a name that an exercise would have defined, and definitions without `@check`.

    Args:
        ip: the shell.
    """
    if getattr(ip, "garm_watched", False):
        return
    ip.garm_watched = True
    ip.set_custom_exc((NameError,), _explain_name)
    ip.events.register("post_run_cell", lambda result: _remind(ip, result))


def _explain_name(ip: Any, kind: type, error: NameError, traceback: Any, tb_offset: int | None = None) -> None:
    if error.name in {exercise.name for exercise in exercises()}:
        error.add_note(
            f"{error.name} is an exercise, and its cell has not been run in this kernel. Run it, answered or not: "
            "the notebook then has the course's code."
        )
    ip.showtraceback((kind, error, traceback), tb_offset=tb_offset)


def _remind(ip: Any, result: Any) -> None:
    """After a cell that defines the answer to an exercise, without `@check`."""
    source = result.info.raw_cell or ""
    defined = re.findall(r"(?m)^(?:def|class) (\w+)", source)
    names = [exercise.name for exercise in exercises() if exercise.name in defined] if defined else []
    for name in names:
        mine = ip.user_ns.get(name)
        if result.success and getattr(mine, "__module__", "") == "__main__" and id(mine) not in _checked:
            print(f"{name} was defined without @check above it, so nobody has looked at it.")


if shell() is not None:
    watch(shell())
