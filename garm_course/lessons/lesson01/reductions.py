"""Mistakes that every likelihood invites: right terms (B, ...), but not summed over all axes except the first.

`exercises/patterns.py` names the others of this kind by itself.
"""

from collections.abc import Callable

from torch import Tensor


def reductions(terms: Callable[..., Tensor], one: str, parts: str) -> list[tuple[Callable, str]]:
    """Pairs (wrong function, hint).

    Args:
        terms: (B, ...) nats of every part.
        one: what a row of the batch is, such as "image".
        parts: what is summed, such as "pixels".
    """
    all_axes = "Sum over all axes but the first: .flatten(1).sum(1)"
    each = f"Return one value per {one}, (B,)"
    return [
        (
            lambda *a: terms(*a).flatten(1).mean(1),
            f"The {parts} are averaged. Sum them: the NLL is of the whole {one}.",
        ),
        (lambda *a: terms(*a).mean(), f"This is one number, the mean over {parts} and batch. {each}, by a sum."),
        (lambda *a: terms(*a).sum((-2, -1)), f"Only the last two axes are summed. {all_axes}."),
        (lambda *a: terms(*a).sum(0), f"The sum runs over the batch (dim=0). {all_axes}."),
    ]


ANY_AXES = (
    "Right for four axes, but (B, ...) may have any number of them, such as (B, D): .flatten(1).sum(1) sums over all "
    "axes but the first, however many there are."
)
