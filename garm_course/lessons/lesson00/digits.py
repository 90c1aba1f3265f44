"""Probes that tell lost digits from other mistakes: a rounded ln 2, a rounded result, a constant in a logarithm."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import plain

Probe = Callable[[Attempt], None]


def exact(*args: Any) -> Probe:
    """The probe `plain(*args)`, with a hint for ln 2 or a result that has too few digits, however many."""

    def told(got: Tensor, want: Tensor) -> str:
        factors = got[want != 0] / want[want != 0]
        if torch.allclose(factors, factors[0]) and 0.97 < factors[0] < 1.03:
            used = math.log(2) / factors[0].item()
            return f"{used:.5g} is rounded (or its inverse, {1 / used:.5g}), so digits are lost: use math.log(2)."
        for n in range(6):
            if torch.allclose(got, want.round(decimals=n), atol=1e-7):
                return f"The result is rounded to {n} decimals. Return all digits: rounding is for printing."
        return ""

    return _explained(told, *args)


def nearly(*args: Any, hint: str) -> Probe:
    """The probe `plain(*args)`, with a hint for an answer that agrees with the right one to two digits only."""
    return _explained(lambda got, want: hint if torch.allclose(got, want, rtol=0.01) else "", *args)


def _explained(tell: Callable[[Tensor, Tensor], str], *args: Any) -> Probe:
    case = plain(*args)

    def probe(attempt: Attempt) -> None:
        try:
            case(attempt)
        except Refused as refused:
            outcome, want = attempt.outcomes[-1], attempt.exercise.reference(*args)
            got, hint = outcome.value, refused.hint
            if (
                not (hint or outcome.changed)
                and type(got) is Tensor
                and (got.shape, got.dtype) == (want.shape, want.dtype)
            ):
                hint = tell(got.detach(), want)
            raise Refused(str(refused), hint, refused.alike) from refused

    return probe
