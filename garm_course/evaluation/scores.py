"""What a number says about a model: only numbers of one kind can be ranked.

An autoregressive model has an exact likelihood, a VAE a bound on it, a VQ-VAE the cost of its codes beside the error of
what they rebuild, a GAN nothing of the sort. Put into one column, such numbers look alike and are not. A `Score` knows
its kind, and comparing unlike kinds raises, with one exception that is a theorem: an upper bound that lies below another
model's exact NLL proves the model with the bound better. The reverse proves nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

KINDS = {
    "exact": "exact NLL",
    "bound": "at most",
    "code": "codes and reconstruction",
    "none": "no likelihood",
}


@dataclass(frozen=True)
class Score:
    """A number of nats, smaller is better, and what it is; equation (21.1).

    Args:
        nats: the number; NaN for a model without a likelihood.
        kind: "exact", "bound" (an upper bound on the NLL), "code" or "none".
        stderr: its standard error.

    Raises:
        ValueError: for an unknown kind, a number where there is none, or none where there must be one.

    Example:
        >>> Score(78.3, "exact") < Score(80.0, "exact"), Score(77.0, "bound") < Score(78.3, "exact")
        (True, True)
        >>> Score(78.3, "exact") < Score(80.0, "bound")
        Traceback (most recent call last):
        ...
        TypeError: exact NLL 78.30 and at most 80.00 cannot be ranked: the bound may lie far above the NLL
    """

    nats: float
    kind: str
    stderr: float = 0.0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"expected a kind of {', '.join(KINDS)}, got {self.kind!r}")
        if (self.kind == "none") != math.isnan(self.nats):
            raise ValueError(f"a score of kind {self.kind!r} cannot be {self.nats}: NaN is for models without a likelihood")

    def __str__(self) -> str:
        if self.kind == "none":
            return KINDS["none"]
        return f"{'≤ ' if self.kind == 'bound' else ''}{self.nats:.2f}"

    def __lt__(self, other: "Score") -> bool:
        """Whether this model is better; TypeError where the numbers do not say."""
        if not isinstance(other, Score):
            return NotImplemented
        if self.kind == other.kind in ("exact", "code"):
            return self.nats < other.nats
        if (self.kind, other.kind) == ("bound", "exact") and self.nats < other.nats:
            return True
        if (self.kind, other.kind) == ("exact", "bound") and other.nats < self.nats:
            return False
        raise TypeError(f"{_told(self)} and {_told(other)} cannot be ranked: {_reason(self.kind, other.kind)}")


def ranked(scores: Mapping[str, Score]) -> dict[str, list[str]]:
    """Names by kind, the best first inside of each; kinds are not ranked against each other.

    Bounds are listed by their value, which ranks the bounds and not the models.

    Args:
        scores: name -> score.
    """
    found = {kind: [name for name, score in scores.items() if score.kind == kind] for kind in KINDS}
    for kind in ("exact", "bound", "code"):
        found[kind].sort(key=lambda name: scores[name].nats)
    return {kind: names for kind, names in found.items() if names}


def _told(score: Score) -> str:
    return KINDS["none"] if score.kind == "none" else f"{KINDS[score.kind]} {score.nats:.2f}"


def _reason(one: str, other: str) -> str:
    kinds = {one, other}
    if "none" in kinds:
        return "a model without a likelihood has no place on this scale"
    if "code" in kinds:
        return "codes and their reconstruction are no likelihood of the data"
    return "the bound may lie far above the NLL" if kinds == {"exact", "bound"} else "two bounds may be unequally loose"
