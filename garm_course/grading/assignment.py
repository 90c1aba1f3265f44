"""What is asked for: `assignment.toml`, written by `garm assign` and read by `garm grade`."""

import json
import math
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from garm_course import __version__

FILE = "assignment.toml"


@dataclass(frozen=True)
class Assignment:
    """Exercises and their points.

    Args:
        name: of the assignment.
        points: name of an exercise -> points, above 0.
        due: as text, or ""; it is told to students and enforced by nobody here.
        version: of the course that it was made with.
    """

    name: str
    points: dict[str, float]
    due: str = ""
    version: str = __version__

    def text(self) -> str:
        """The file."""
        lines = [f"name = {_quoted(self.name)}", f"version = {_quoted(self.version)}"]
        lines += [f"due = {_quoted(self.due)}"] if self.due else []
        for name, points in self.points.items():
            lines += ["", "[[exercise]]", f"name = {_quoted(name)}", f"points = {points:g}"]
        return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def chosen(words: list[str], known: dict[str, list[str]]) -> dict[str, list[str]]:
    """Lessons and their exercises, as a user names them: "04", or "10:elbo,kl_diag_gaussian".

    Args:
        words: what was typed.
        known: two digits of a lesson -> its exercises.

    Returns:
        Two digits of a lesson -> the exercises that are asked for, in the lesson's order.

    Raises:
        ValueError: an unknown lesson or exercise, or none at all.

    Example:
        >>> chosen(["4:b,a"], {"04": ["a", "b", "c"]})
        {'04': ['a', 'b']}
    """
    if not words:
        raise ValueError(f"expected a lesson, for example 04 or 04:conv_mask; there are {', '.join(known)}")
    found: dict[str, list[str]] = {}
    for word in words:
        lesson, _, names = word.partition(":")
        lesson = lesson.split("_")[0].zfill(2)
        if lesson not in known:
            raise ValueError(f"no lesson {word.partition(':')[0]!r} has exercises; there are {', '.join(known)}")
        asked = [name.strip() for name in names.split(",") if name.strip()] or known[lesson]
        unknown = [name for name in asked if name not in known[lesson]]
        if unknown:
            raise ValueError(f"lesson {lesson} has no exercise {unknown[0]!r}; it has {', '.join(known[lesson])}")
        wanted = {*found.get(lesson, []), *asked}
        found[lesson] = [name for name in known[lesson] if name in wanted]
    return found


def check_due(due: str) -> str:
    """A date that students understand: ISO 8601, with or without a time.

    Raises:
        ValueError: it is none.
    """
    try:
        datetime.fromisoformat(due)
    except ValueError:
        raise ValueError(f"--due {due!r} is no date: write 2027-02-01 or 2027-02-01T23:59+08:00") from None
    return due


def read_assignment(folder: Path) -> Assignment:
    """The assignment of a folder.

    Raises:
        ValueError: there is none, or it lacks something; the message says what.
    """
    file = folder / FILE
    if not file.is_file():
        raise ValueError(f"{folder} has no {FILE}: garm assign LESSON --out {folder} writes one")
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
        points = {one["name"]: one["points"] for one in found["exercise"]}
        assignment = Assignment(found["name"], points, found.get("due", ""), found["version"])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is no assignment ({error}); garm assign writes one") from None
    for name, value in points.items():
        if type(value) not in (int, float) or not (0 < value < math.inf):
            raise ValueError(f"{file}: the points of {name} are {value!r}, expected a number above 0")
    return assignment
