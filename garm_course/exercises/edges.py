"""Probes that tell a mistake by one case alone: an ordinary one, or an edge where all else was right."""

from collections.abc import Callable
from typing import Any

import torch

from garm_course.exercises.attempt import Attempt, Refused, known
from garm_course.exercises.registry import same

Probe = Callable[[Attempt], None]
ANY_AXES = (
    "Right for a batch of rows, but there may be any number of axes before the last one, or none: count from the end, "
    "dim=-1, or make it a batch with reshape(-1, x.shape[-1]) and undo that with view_as."
)


def plain(*args: Any, use: Callable | None = None, values: bool = True) -> Probe:
    """The probe `same(*args, use=use)`, for a case that is rich enough to tell the mistakes apart.

    How a wrong answer fails at the edges (an empty buffer, a probability of 0) depends on how it was written, so it
    often equals no known mistake on all probes, although the cause is one of them. `_judge` asks that it equals the
    mistake on most of them.

    Args:
        args: as for `same`.
        use: as for `same`.
        values: False to look only at type, shape and dtype, and whether it raises.
    """

    case = same(*args, use=use)

    def probe(attempt: Attempt) -> None:
        try:
            attempt.case(case, values=values)
        except Refused as refused:
            alike = []
            for wrong, hint in attempt.exercise.mistakes:
                wrong_here, outcomes = known(attempt.exercise, wrong, case)
                if wrong_here and attempt.same_outcome(attempt.outcomes[-1], outcomes[-1]):
                    alike.append((wrong, hint))
            raise Refused(str(refused), alike[0][1] if alike else "", tuple(alike)) from refused

    return probe


def only_numbers(attempt: Attempt) -> bool:
    """Whether the last call returned a tensor as expected but for its numbers: then a probe may look closer."""
    outcome = attempt.outcomes[-1]
    got, want = outcome.value, outcome.want
    same_kind = isinstance(got, torch.Tensor) and (got.shape, got.dtype) == (want.shape, want.dtype)
    return same_kind and not outcome.changed


def first(answer: Callable, *args: Any) -> Any:
    """`use` of a probe for the first of two results, which may be wrong whatever the second one is."""
    result = answer(*args)
    return result[:1] if type(result) in (tuple, list) else result


def edge(probe: Probe, wrong: str, raises: str = "") -> Probe:
    """The probe of an edge case, with a hint for whatever is wrong there only.

    Args:
        probe: comes after those that show that the answer is right elsewhere.
        wrong: the hint.
        raises: another hint for an answer that raises.
    """

    def at_edge(attempt: Attempt) -> None:
        try:
            probe(attempt)
        except Refused as refused:
            if attempt.outcomes[-1].changed:  # an argument: so it is everywhere, not at the edge
                raise
            raise Refused(str(refused), raises if raises and attempt.outcomes[-1].error else wrong) from refused

    return at_edge


def worded(probe: Probe, *names: str) -> Probe:
    """The probe, with names of the results in its causes in place of "element 0" and "element 1"."""

    def named(attempt: Attempt) -> None:
        try:
            probe(attempt)
        except Refused as refused:
            cause = str(refused)
            for i, name in enumerate(names):
                cause = cause.replace(f", in element {i}", f", in {name}")
            raise Refused(cause, refused.hint, refused.alike) from refused
        finally:
            for outcome in attempt.outcomes:
                outcome.names = names

    return named
