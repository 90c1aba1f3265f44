"""A probe on the dtype of an answer, apart from its values.

With `any_dtype=True` a known mistake is recognized in every dtype that a student may compute it in. The dtype is then
asked for last, of answers whose values are right.
"""

from collections.abc import Callable

from torch import Tensor


def keeps_dtype(*calls: tuple[Tensor, ...], hint: str) -> Callable:
    """A probe: right values for every call, in the dtype of its first argument.

    Args:
        calls: the arguments of each call.
        hint: what a right answer in another dtype is told.
    """

    def probe(attempt) -> None:
        results = [attempt.run(*args) for args in calls]  # all values first: a wrong one is refused before its dtype
        for args, result in zip(calls, results, strict=True):
            name = attempt.exercise.name
            cause = f"{name}: expected the dtype of the first argument, {args[0].dtype}, got {result.dtype}."
            attempt.require(result.dtype == args[0].dtype, cause, hint)

    return probe
