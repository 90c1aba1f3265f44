"""The probe of large logits, which tells an overflow from a number that was cut off."""

from collections.abc import Callable

import torch

from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import only_numbers
from garm_course.exercises.registry import Probe


def extreme(probe: Probe, overflow: str, otherwise: str) -> Callable[[Attempt], None]:
    """The probe, with the hint `overflow` for a result with NaN or infinity in it, and another for wrong numbers."""

    def at_extremes(attempt: Attempt) -> None:
        try:
            probe(attempt)
        except Refused as refused:
            if not only_numbers(attempt):
                raise
            finite = torch.isfinite(attempt.outcomes[-1].value).all()
            raise Refused(str(refused), otherwise if finite else overflow) from refused

    return at_extremes
