"""Output heads: what a pixel may be, given the numbers that a network puts out for it.

A head turns *parameters* (what the network computes, channel axis last) into log-probabilities in nats and into
draws. Draws use the inverse of the cumulative distribution function at a uniform number that the caller passes in, so
that the same uniforms give the same pixels, however the parameters were computed.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


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
    return (_below_one(u, cdf).unsqueeze(-1) >= cdf).sum(-1)


def _below_one(u: Tensor, like: Tensor) -> Tensor:
    """Uniforms in the dtype of `like`, where rounding may have made a 1 of them: keep them below."""
    return u.to(like.dtype).clamp(max=1 - torch.finfo(like.dtype).eps)


def filter_logits(
    logits: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Sharpen or truncate a categorical distribution; what is cut off gets `-inf`, the rest keeps its ratios.

    p_T(x) ∝ p(x)^(1/T); top-k keeps the k most probable levels; top-p keeps the smallest set of most probable levels
    whose mass reaches p. They apply in this order. Samples are then no longer samples of the model.

    Args:
        logits: (..., levels), in nats, any constant offset.
        temperature: T > 0.
        top_k: at least 1; None keeps all levels.
        top_p: in (0, 1]; None keeps all levels.

    Returns:
        (..., levels) logits.

    Raises:
        ValueError: for a value outside these ranges.

    Source:
        Top-k: Fan, Lewis, Dauphin (2018), arXiv 1805.04833. Top-p ("nucleus"): Holtzman et al. (2020), arXiv
        1904.09751.
    """
    check_filters(temperature, top_k, top_p)
    logits = (logits - logits.amax(-1, keepdim=True)) / temperature  # at most 0: a small temperature cannot overflow
    if top_k is not None and top_k < logits.shape[-1]:
        # indices, not a threshold: among ties exactly k levels survive
        kept = torch.full_like(logits, -math.inf)
        best = logits.topk(top_k, dim=-1)
        logits = kept.scatter(-1, best.indices, best.values)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        p = ordered.softmax(-1)
        before = p.cumsum(-1) - p  # mass of the levels that are more probable than this one
        ordered = ordered.masked_fill(before >= top_p, -math.inf)
        logits = torch.empty_like(logits).scatter(-1, order, ordered)
    return logits


def check_filters(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Refuse a temperature, top-k or top-p outside its range (ValueError)."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"expected a temperature > 0, got {temperature}; for the most probable level use top_k=1")
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f"expected top_k >= 1 (an integer) or None, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"expected top_p in (0, 1] or None, got {top_p}")


class Categorical:
    """A pixel that takes one of `levels` values, with a free probability for each (a softmax).

    Example:
        >>> head = Categorical(17)
        >>> head.log_prob(torch.zeros(17), torch.tensor(3)).item()  # no preference: -ln 17 nats
        -2.833213...
    """

    def __init__(self, levels: int):
        self.levels = levels
        self.n_params = levels

    def logits(self, params: Tensor) -> Tensor:
        """(..., levels) unnormalized log-probabilities in nats."""
        return params

    def log_probs(self, params: Tensor) -> Tensor:
        """(..., levels) log-probabilities of all levels in nats."""
        return params.log_softmax(-1)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """(...) log-probability in nats of the levels x (...), a LongTensor, under params (..., levels)."""
        picked = params.gather(-1, x.unsqueeze(-1)).squeeze(-1)
        return picked - params.logsumexp(-1)

    def sample(self, params: Tensor, u: Tensor) -> Tensor:
        """LongTensor (...) of levels, drawn at the uniforms u (...)."""
        return draw(self.log_probs(params), u)


class Bernoulli:
    """A binary pixel; its one parameter is the logit of being 1.

    log p(x) = x·l - softplus(l) = -softplus((1 - 2x)·l), which stays exact where sigmoid(l) rounds to 0 or 1.

    Example:
        >>> Bernoulli().log_prob(torch.tensor([800.0, -800.0]), torch.tensor([0, 1])).tolist()
        [-800.0, -800.0]
    """

    levels = 2
    n_params = 1

    def logits(self, params: Tensor) -> Tensor:
        """(..., 2) unnormalized log-probabilities in nats: 0 for level 0, the logit for level 1."""
        return torch.stack([torch.zeros_like(params), params], -1)

    def log_probs(self, params: Tensor) -> Tensor:
        """(..., 2) log-probabilities of both levels in nats."""
        return torch.stack([-F.softplus(params), -F.softplus(-params)], -1)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """(...) log-probability in nats of the pixels x (...), a LongTensor of 0 and 1, under logits (...)."""
        return -F.softplus(torch.where(x.bool(), -params, params))  # no difference of two large numbers

    def sample(self, params: Tensor, u: Tensor) -> Tensor:
        """LongTensor (...) of 0 and 1, drawn at the uniforms u (...): 1 where u is at least p(0)."""
        return (_below_one(u, params) >= torch.sigmoid(-params)).long()


def output_head(levels: int) -> Categorical | Bernoulli:
    """The head for pixels of this many gray levels: one logit for two levels, a softmax for more."""
    if not isinstance(levels, int) or levels < 2:
        raise ValueError(f"expected an integer number of levels, at least 2, got {levels!r}")
    return Bernoulli() if levels == 2 else Categorical(levels)
