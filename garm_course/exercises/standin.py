"""What the name of an exercise means after an answer that is not right: the course's code, and the answer beside it."""

import functools
import inspect
from typing import Any

from garm_course.exercises.arguments import fresh
from garm_course.exercises.attempt import Call
from garm_course.exercises.world import seed_all


def stand_in(reference: Any, answer: Any, call: Call | None) -> Any:
    """The course's function or class under the student's eyes: it works as the reference does.

    Its attributes are the student's: `mine` is the answer, `retry()` repeats the call that failed with the answer and
    returns what comes out (or raises), `arguments` are copies of those of that call.

    Args:
        reference: of the exercise; its source is what `name??` shows.
        answer: what the student wrote.
        call: that failed, or None if none did.
    """
    if inspect.isclass(reference):
        made = type(
            reference.__name__, (reference,), {"__doc__": reference.__doc__, "__module__": reference.__module__}
        )
    else:

        @functools.wraps(reference)
        def made(*args: Any, **kwargs: Any) -> Any:
            return reference(*args, **kwargs)

    made.mine, made.__wrapped__ = answer, reference
    if call is not None:
        made.retry = functools.partial(_again, answer, call)
        made.arguments = tuple(fresh(a) for a in call.args)
    return made


def course_code(function: Any) -> Any:
    """What a stand-in stands for; anything else unchanged."""
    return vars(function).get("__wrapped__", function) if hasattr(function, "mine") else function


def invitation(name: str, call: Call | None) -> str:
    """One line that says how to call one's own answer."""
    if call is None:
        return f"Yours is {name}.mine."
    if call.code:
        return f"Yours is {name}.mine; the call that failed: {name}.mine{call.code}"
    return f"Yours is {name}.mine; {name}.retry() repeats the call that failed, {name}.arguments are its arguments."


def _again(answer: Any, call: Call) -> Any:
    """Call an answer as the check did."""
    seed_all()
    args = [fresh(a) for a in call.args]
    return answer(*args) if call.use is None else call.use(answer, *args)
