"""What a number says about a model: only numbers of one kind can be ranked.

An autoregressive model has an exact likelihood, a VAE a bound on it, a transformer over the codes of a tokenizer the
likelihood of codes, a GAN nothing of the sort. Put into one column, such numbers look alike and are not. A `Score`
knows its kind, and comparing unlike kinds raises, with one exception that is a theorem: an upper bound that lies below
another model's exact NLL proves the model with the bound better. The reverse proves nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from garm_course.evaluation.likelihood import Likelihood

KINDS = {
    "exact": "exact NLL",
    "bound": "at most",
    "codes": "NLL of codes",
    "none": "no likelihood",
}


@dataclass(frozen=True)
class Score:
    """The mean NLL of a model on some data, smaller is better, and what kind of number it is; equation (21.1).

    It says nothing of chance: for an interval of a difference see `likelihood.paired`.

    Args:
        nats: finite; NaN for a model without a likelihood.
        kind: "exact", "bound" (an upper bound on the NLL), "codes" (of a tokenizer, not of images) or "none".

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

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"expected a kind of {', '.join(KINDS)}, got {self.kind!r}")
        if not (math.isnan(self.nats) if self.kind == "none" else math.isfinite(self.nats)):
            wanted = "NaN" if self.kind == "none" else "a finite number"
            raise ValueError(f"expected {wanted} as the nats of a score of kind {self.kind!r}, got {self.nats}")

    @classmethod
    def of(cls, likelihood: Likelihood | None) -> "Score":
        """The score of what `evaluate` returned, or of None for a model that has no likelihood."""
        if likelihood is None:
            return cls(math.nan, "none")
        return cls(likelihood.nats, "bound" if likelihood.bound else "exact")

    def __str__(self) -> str:
        if self.kind == "none":
            return KINDS["none"]
        return {"bound": "≤ "}.get(self.kind, "") + f"{self.nats:.2f}" + {"codes": " of codes"}.get(self.kind, "")

    def __lt__(self, other: "Score") -> bool:
        """Whether this model is better; TypeError where the numbers do not say."""
        if not isinstance(other, Score):
            return NotImplemented
        if self.kind == other.kind == "exact":
            return self.nats < other.nats
        if (self.kind, other.kind) == ("bound", "exact") and self.nats < other.nats:
            return True
        if (self.kind, other.kind) == ("exact", "bound") and other.nats < self.nats:
            return False
        raise TypeError(f"{_told(self)} and {_told(other)} cannot be ranked: {_reason({self.kind, other.kind})}")


def ranked(scores: Mapping[str, Score]) -> dict[str, list[str]]:
    """Names by kind; exact ones from the best to the worst, kinds never against each other.

    Bounds are in the order of their values, which ranks the bounds and not the models; the others keep their order.

    Args:
        scores: name -> score.

    Example:
        >>> ranked({"b": Score(2.0, "exact"), "a": Score(1.0, "exact"), "c": Score(1.5, "bound")})
        {'exact': ['a', 'b'], 'bound': ['c']}
    """
    found = {kind: [name for name, score in scores.items() if score.kind == kind] for kind in KINDS}
    for kind in ("exact", "bound"):
        found[kind].sort(key=lambda name: scores[name].nats)
    return {kind: names for kind, names in found.items() if names}


def _told(score: Score) -> str:
    return KINDS["none"] if score.kind == "none" else f"{KINDS[score.kind]} {score.nats:.2f}"


def _reason(kinds: set[str]) -> str:
    if "none" in kinds:
        return "a model without a likelihood has no place on this scale"
    if "codes" in kinds:
        return "codes of a tokenizer are not the data, and every tokenizer has codes of its own"
    return "the bound may lie far above the NLL" if len(kinds) == 2 else "two bounds may be unequally loose"
