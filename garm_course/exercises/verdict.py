"""What a check says: as data (`Result`), and as text and a framed box in a notebook (`Verdict`)."""

import html
import re
from dataclasses import dataclass, field

from garm_course.exercises.attempt import Call

PASSED, NOT_YET, NOT_ATTEMPTED = "passed", "not yet", "not attempted"

# Okabe-Ito: green, orange, blue. The color only decorates: the state is said in words.
_COLORS = {PASSED: "#009E73", NOT_YET: "#D55E00", NOT_ATTEMPTED: "#0072B2"}


@dataclass(frozen=True)
class Result:
    """The judgment on one answer.

    Args:
        status: "passed", "not yet" or "not attempted".
        hint: the cause, in a sentence or two; empty when passed.
        detail: the first difference that was seen, where the hint does not say it already.
        printed: the beginning of what the answer printed in the call that failed.
        slow: the answer is right, but too slow for the lesson.
        call: the call that failed.
    """

    status: str
    hint: str = ""
    detail: str = ""
    printed: str = ""
    slow: bool = False
    call: Call | None = field(default=None, compare=False, repr=False)

    @property
    def passed(self) -> bool:
        return self.status == PASSED


class Verdict:
    """A result as a student sees it. The text holds no times and no addresses: notebooks compare it.

    Args:
        name: of the exercise.
        result: of its check.
        goes_on: what the notebook uses from here on, and how to call one's own answer.
        remark: on how `check` was called.
    """

    def __init__(self, name: str, result: Result, goes_on: str = "", remark: str = "") -> None:
        self.name, self.result, self.goes_on, self.remark = name, result, goes_on, remark

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        first, *others = self._lines()
        lines = "<br>".join(
            f'<span style="white-space:pre-wrap">{html.escape(line)}</span>'
            if line.startswith("| ")  # printed by the answer: as it is
            else _marked_up(line)
            for line in others
        )
        return (
            f'<div role="status" style="border:1px solid {_COLORS[self.result.status]};border-left-width:6px;'
            "padding:.4em .8em;margin:.3em 0;max-width:60em;overflow-wrap:anywhere;"
            f'font-family:var(--jp-code-font-family,monospace)"><b>{html.escape(first)}</b><br>{lines}</div>'
        )

    def _lines(self) -> list[str]:
        result = self.result
        printed = [f"| {line}" for line in result.printed.splitlines()]
        lines = [f"{self.name}: {result.status}", result.hint, result.detail]
        return [line for line in [*lines, *(printed and ["It printed:", *printed]), self.goes_on, self.remark] if line]


def _marked_up(line: str) -> str:
    """A line with `code` and *emphasis*, as HTML."""
    line = html.escape(line)
    line = re.sub(r"`([^`]+)`", r"<code>\1</code>", line)
    return re.sub(r"(?<![\w*])\*(\w(?:[^*]*\w)?)\*(?![\w*])", r"<em>\1</em>", line)
