"""A probe that tells lost digits from other mistakes: a rounded ln 2, a rounded result."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import plain


def exact(*args: Any) -> Callable[[Attempt], None]:
    """The probe `plain(*args)`, with a hint for a constant or a result that has too few digits, however many."""
    case = plain(*args)

    def probe(attempt: Attempt) -> None:
        try:
            case(attempt)
        except Refused as refused:
            got, want = attempt.outcomes[-1].value, attempt.exercise.reference(*args)
            if type(got) is not Tensor or got.shape != want.shape or refused.hint:
                raise
            factors = got[want != 0] / want[want != 0]
            if torch.allclose(factors, factors[0]) and 0.97 < factors[0] < 1.03:
                used = math.log(2) / factors[0].item()
                hint = (
                    f"{used:.5g} is rounded (or its inverse, {1 / used:.5g}), so the digits end early: use math.log(2)."
                )
                raise Refused(str(refused), hint) from refused
            for n in range(6):
                if torch.allclose(got, want.round(decimals=n), atol=1e-7):
                    hint = f"The result is rounded to {n} decimals. Return all digits: rounding is for printing."
                    raise Refused(str(refused), hint) from refused
            raise

    return probe
