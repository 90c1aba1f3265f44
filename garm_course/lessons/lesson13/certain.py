"""Logits of a discriminator that is certain: does a loss overflow there, or does it stop growing?"""

import math
from collections.abc import Callable

from torch import Tensor

from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.registry import same

OVERFLOWS = (
    "It overflows where D is certain: at a logit of -900 the sigmoid is 0, its logarithm infinite, and so is exp(900). "
    "-log σ(s) is softplus(-s), which works on the logit itself."
)
STOPS = (
    "The loss stops growing where D is certain and wrong, and has no gradient there: binary_cross_entropy of a sigmoid "
    "stops at 100, a small number in the logarithm near 20, a clamp at its limit. Use softplus, or BCE with logits."
)


def certain(*logits: Tensor) -> Callable[[Attempt], None]:
    """The probe `same(*logits, grad=True)` at such logits, which names the two frequent causes by the number."""
    case = same(*logits, grad=True)

    def probe(attempt: Attempt) -> None:
        try:
            attempt.case(case)
        except Refused as refused:
            got, want = attempt.outcomes[-1].value, attempt.exercise.reference(*logits).item()
            number = got.item() if type(got) is Tensor and got.numel() == 1 else want
            hint = OVERFLOWS if not math.isfinite(number) else STOPS if 0 < number < 0.99 * want else ""
            raise Refused(str(refused), hint) from refused

    return probe
