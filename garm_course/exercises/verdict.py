"""What a check says: as data (`Result`), and as text and a framed box in a notebook (`Verdict`)."""

import html
from dataclasses import dataclass

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
    """

    status: str
    hint: str = ""
    detail: str = ""
    printed: str = ""
    slow: bool = False

    @property
    def passed(self) -> bool:
        return self.status == PASSED


class Verdict:
    """A result as a student sees it. The text holds no times and no addresses: notebooks compare it."""

    def __init__(self, name: str, result: Result, goes_on: str = "") -> None:
        self.name, self.result, self.goes_on = name, result, goes_on

    def __repr__(self) -> str:
        result = self.result
        printed = "".join(f"\n| {line}" for line in result.printed.splitlines())
        parts = [f"{self.name}: {result.status}", result.hint, result.detail]
        parts += [printed and "It printed:" + printed, self.goes_on]
        return "\n".join(part for part in parts if part)

    def _repr_html_(self) -> str:
        return (
            f'<div role="status" style="border:1px solid {_COLORS[self.result.status]};border-left-width:6px;'
            'padding:.4em .8em;margin:.3em 0;max-width:60em">'
            '<pre style="white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;'
            'background:none;color:inherit;border:0;margin:0;padding:0">'
            f"{html.escape(repr(self))}</pre></div>"
        )
