"""What is done with a table of log-probabilities: draw from it at a given uniform, sharpen it, cut off its tail."""

import math

import torch
from torch import Tensor

from garm_course.inputs import readable


def draw(log_probs: Tensor, u: Tensor) -> Tensor:
    """Draw levels by inverting the cumulative distribution function: the first level whose cumulative mass exceeds u.

    Args:
        log_probs: (..., levels) normalized log-probabilities in nats; `-inf` marks a level that cannot be drawn.
        u: (...) uniforms in [0, 1). One that was rounded up to 1 counts as the largest number below 1.

    Returns:
        LongTensor (...) of levels 0..levels-1, never one of probability zero.

    Example:
        >>> draw(torch.tensor([0.5, 0.25, 0.25]).log().expand(4, 3), torch.tensor([0.0, 0.49, 0.51, 0.99]))
        tensor([0, 0, 1, 2])
    """
    cdf = log_probs.exp().cumsum(-1)
    cdf = cdf / cdf[..., -1:]  # ends at exactly 1, so rounding cannot select a level of probability zero
    return (below_one(u, cdf).unsqueeze(-1) >= cdf).sum(-1)


def below_one(u: Tensor, like: Tensor) -> Tensor:
    """Uniforms in the dtype of `like`, where rounding may have made a 1 of them: keep them below."""
    return u.to(like.dtype).clamp(max=1 - torch.finfo(like.dtype).eps)


def filter_logits(
    logits: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
    min_p: float | None = None,
) -> Tensor:  # fmt: skip
    """Sharpen or truncate a categorical distribution; what is cut off gets `-inf`, the rest keeps its ratios.

    p_T(x) ∝ p(x)^(1/T), equation (6.5); top-k keeps the k most probable levels; top-p keeps the smallest set of most
    probable levels whose mass reaches p; min-p keeps the levels with at least that share of the largest probability.
    They apply in this order. Samples are then no longer samples of the model.

    Args:
        logits: (..., levels), in nats, any constant offset.
        temperature: T >= 0; 0 is the limit, the most probable level (the first of several).
        top_k: at least 1; None keeps all levels.
        top_p: in (0, 1]; None keeps all levels.
        min_p: in [0, 1]; None keeps all levels.

    Returns:
        (..., levels) logits.

    Raises:
        ValueError: for a value outside these ranges, or a distribution that has no level left to draw.

    Source:
        Top-k: Fan, Lewis, Dauphin (2018), arXiv 1805.04833. Top-p ("nucleus"): Holtzman et al. (2020), arXiv
        1904.09751. Min-p: Nguyen et al. (2024), arXiv 2407.01082.

    Example:
        >>> filter_logits(torch.tensor([0.2, 0.5, 0.3]).log(), top_p=0.7).softmax(-1)
        tensor([0.0000, 0.6250, 0.3750])
    """
    check_filters(temperature, top_k, top_p, min_p)
    largest = logits.amax(-1, keepdim=True)
    if readable(largest) and not torch.isfinite(largest).all():
        raise ValueError(
            "expected at least one level with a finite logit in each distribution, and no NaN; "
            "all levels are ruled out somewhere: keep one, or look for a model that diverged"
        )
    if temperature == 0:
        temperature, top_k = 1.0, 1
    logits = (logits - largest) / temperature  # at most 0: a small temperature cannot overflow
    if top_k is not None and top_k < logits.shape[-1]:
        # indices, not a threshold: among ties exactly k levels survive
        kept = torch.full_like(logits, -math.inf)
        best = logits.topk(top_k, dim=-1) if top_k > 1 else logits.max(-1, keepdim=True)  # max: the first of several
        logits = kept.scatter(-1, best.indices, best.values)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        p = ordered.softmax(-1)
        before = p.cumsum(-1) - p  # mass of the levels that are more probable than this one
        ordered = ordered.masked_fill(before >= top_p, -math.inf)
        logits = torch.empty_like(logits).scatter(-1, order, ordered)
    if min_p:
        logits = logits.masked_fill(logits < math.log(min_p), -math.inf)  # the largest logit is 0
    return logits


def check_filters(temperature: float, top_k: int | None, top_p: float | None, min_p: float | None = None) -> None:
    """Refuse a temperature, top-k, top-p or min-p outside its range (ValueError)."""
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"expected a temperature >= 0, got {temperature}; 0 takes the most probable level")
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f"expected top_k >= 1 (an integer) or None, got {top_k}; with less nothing is left to draw")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"expected top_p in (0, 1] or None, got {top_p}; at 0 nothing is left to draw")
    if min_p is not None and not 0 <= min_p <= 1:
        raise ValueError(f"expected min_p in [0, 1] or None, got {min_p}; above 1 nothing is left to draw")
