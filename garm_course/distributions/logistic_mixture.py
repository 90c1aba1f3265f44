"""The output of PixelCNN++: a mixture of logistic distributions, cut into one bin for each level of a pixel.

A softmax treats 256 levels as 256 unrelated names. Here a pixel has a hidden real number with a smooth density, and a
level is the bin into which it falls: neighbors in value are neighbors in probability, and a network puts out 3 numbers
for each of K components in place of 256.

Levels 0..levels-1 stand at the points `scale(x, levels)` of [-1, 1]; bins have the width 2 / (levels - 1), and the
first and the last one are open to the outside, so that the masses of all levels sum to 1 exactly.

Source: Salimans, Karpathy, Chen, Kingma (2017), "PixelCNN++", arXiv 1701.05517, section 2.1 and 2.2.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions.filters import draw


def bin_log_masses(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """Logarithm of the mass that a logistic distribution puts into the bin of a level; equations (5.1) and (5.3).

    With the edges b > a of the bin in units of the scale, σ(b) - σ(a) = σ(b) σ(-a) (1 - e^(a - b)): a product, so its
    logarithm is exact in float32 however far out the bin lies and however narrow it is, where the difference of two
    numbers near 1 is not. An open edge loses its factors. Where the bell is much wider than the bin, 1 - e^(a - b) is
    taken as b - a - (b - a)² / 2.

    Args:
        x: LongTensor (...) of levels.
        mean: (...), for values in [-1, 1].
        log_scale: (...), in nats.
        levels: how many there are, at least 2.

    Returns:
        (...) nats, below 0.

    Example:
        >>> bin_log_masses(torch.arange(3), torch.zeros(3), torch.zeros(3), 3).exp()  # edges at -1/2 and 1/2
        tensor([0.3775, 0.2449, 0.3775])
    """
    width = 2 / (levels - 1)
    inverse = torch.exp(-log_scale)
    centered = x.to(mean.dtype) * width - 1 - mean
    low, high = (centered - width / 2) * inverse, (centered + width / 2) * inverse
    first, last = x == 0, x == levels - 1
    inside = -F.softplus(-high).masked_fill(last, 0.0) - F.softplus(low).masked_fill(first, 0.0)
    t = width * inverse
    narrow = torch.log(-torch.expm1(-t.clamp(min=1e-4)))
    wide = math.log(width) - log_scale - t / 2  # the same to 1e-9 where t < 1e-4, and exact where t underflows
    between = torch.where(t > 1e-4, narrow, wide)
    return inside + between.masked_fill(first | last, 0.0)


def logistic_levels(mean: Tensor, log_scale: Tensor, u: Tensor, levels: int) -> Tensor:
    """Draw levels by way of the hidden number: m + s logit(u), then the bin into which it falls; equation (5.7).

    Args:
        mean: (...), for values in [-1, 1].
        log_scale: (...), in nats.
        u: (...) uniforms in (0, 1).
        levels: how many there are, at least 2.

    Returns:
        LongTensor (...) of levels 0..levels-1; what falls outside [-1, 1] counts as the first or the last.

    Example:
        >>> logistic_levels(torch.zeros(3), torch.zeros(3), torch.tensor([0.2, 0.5, 0.9]), 3)
        tensor([0, 1, 2])
    """
    hidden = mean + torch.exp(log_scale) * torch.logit(u)
    return ((hidden + 1) * ((levels - 1) / 2)).round().clamp(0, levels - 1).long()


class DiscretizedLogisticMixture:
    """A pixel of `levels` values with K logistic components.

    Its 3 K parameters are the logits of the components, their means and the logarithms of their scales, in this order.

    Args:
        levels: at least 2.
        mixtures: number K of components, at least 1.

    Example:
        >>> head = DiscretizedLogisticMixture(256, 5)
        >>> round(head.log_probs(torch.randn(15)).exp().sum().item(), 5)
        1.0
    """

    def __init__(self, levels: int, mixtures: int):
        if not isinstance(levels, int) or levels < 2 or not isinstance(mixtures, int) or mixtures < 1:
            raise ValueError(f"expected levels >= 2 and mixtures >= 1, whole numbers, got {levels} and {mixtures}")
        self.levels, self.mixtures, self.n_params = levels, mixtures, 3 * mixtures

    def component_log_probs(self, params: Tensor, x: Tensor) -> Tensor:
        """(..., K) log-probability in nats of the levels x (...) under each component."""
        _, mean, log_scale = params.chunk(3, -1)
        return bin_log_masses(x.unsqueeze(-1), mean, log_scale, self.levels)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """(...) log-probability in nats of the levels x (...), a LongTensor, under params (..., 3 K)."""
        weights = params[..., : self.mixtures]
        return torch.logsumexp(weights + self.component_log_probs(params, x), -1) - weights.logsumexp(-1)

    def log_probs(self, params: Tensor) -> Tensor:
        """(..., levels) log-probabilities of all levels in nats."""
        x = torch.arange(self.levels, device=params.device)
        return self.log_prob(params.unsqueeze(-2), x.expand(*params.shape[:-1], -1))

    def logits(self, params: Tensor) -> Tensor:
        """The same: what filters work on."""
        return self.log_probs(params)

    def mean(self, params: Tensor) -> Tensor:
        """(...) expected level, a real number in [0, levels - 1]."""
        return self.log_probs(params).exp() @ torch.arange(self.levels, dtype=params.dtype, device=params.device)

    def sample(self, params: Tensor, u: Tensor) -> Tensor:
        """LongTensor (...) of levels, drawn at the uniforms u (...)."""
        return draw(self.log_probs(params), u)


def raw_size(channels: int, mixtures: int) -> int:
    """Numbers that a network puts out for a pixel of several channels: see `conditional_params`."""
    return mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)


def channel_means(mean: Tensor, coef: Tensor, x: Tensor) -> Tensor:
    """Means of R, G, B that follow the channels before them; equation (5.5).

    m_R; m_G + α x_R; m_B + β x_R + γ x_G, with the true values x (teacher forcing), not with their means.

    Args:
        mean: (..., C) means that the network put out.
        coef: (..., C (C - 1) / 2) coefficients, in the order α, β, γ: by channel, then by the channel it looks at.
        x: (..., C) values in [-1, 1]. The last channel is never read.

    Returns:
        (..., C) means.

    Example:
        >>> one = torch.ones(3)
        >>> channel_means(torch.zeros(3), torch.tensor([0.5, 0.1, 0.2]), torch.tensor([1.0, -1.0, 0.0]))
        tensor([ 0.0000,  0.5000, -0.1000])
    """
    moved, k = [], 0
    for c in range(mean.shape[-1]):
        moved.append(mean[..., c] + (coef[..., k : k + c] * x[..., :c]).sum(-1))
        k += c
    return torch.stack(moved, -1)


def conditional_params(raw: Tensor, x: Tensor, head: DiscretizedLogisticMixture) -> Tensor:
    """Parameters of each channel's conditional, given the channels before it in the same pixel.

    PixelCNN++ draws one component for a whole pixel, so that colors agree: p(x) = sum_k π_k prod_c p_k(x_c | x_<c). By
    Bayes' rule the channels seen so far speak about the component: the weights of channel c are proportional to
    π_k prod_{d<c} p_k(x_d | x_<d), equation (5.6). Each conditional is then a mixture of its own, and their product is
    p(x) exactly.

    Args:
        raw: (..., raw_size(C, K)): K logits; C x K means; C x K logarithms of scales; the coefficients, before a tanh.
        x: LongTensor (..., C) of levels. Channel c of the result depends on x[..., :c] only.
        head: says what the numbers mean.

    Returns:
        (..., C, 3 K), for `head`.
    """
    k, channels = head.mixtures, x.shape[-1]
    many = k * channels
    weights, mean, log_scale, coef = raw.split([k, many, many, raw.shape[-1] - k - 2 * many], -1)
    log_scale = log_scale.unflatten(-1, (channels, k)).clamp(min=least_log_scale(head.levels))
    mean = mean.unflatten(-1, (channels, k))
    if channels == 1:
        return torch.cat([weights.unsqueeze(-2), mean, log_scale], -1)
    values = x.to(raw.dtype) * (2 / (head.levels - 1)) - 1
    coef = torch.tanh(coef).unflatten(-1, (-1, k)).transpose(-1, -2)  # (..., K, C (C - 1) / 2)
    mean = channel_means(mean.transpose(-1, -2), coef, values.unsqueeze(-2)).transpose(-1, -2)
    log_p = bin_log_masses(x[..., :-1, None], mean[..., :-1, :], log_scale[..., :-1, :], head.levels)
    seen = torch.cat([torch.zeros_like(mean[..., :1, :]), log_p.cumsum(-2)], -2)  # (..., C, K)
    return torch.cat([weights.unsqueeze(-2) + seen, mean, log_scale], -1)


def least_log_scale(levels: int) -> float:
    """The smallest logarithm of a scale that a model may use: a bin is then e^4 = 55 scales wide.

    A component can put all but 1e-12 of its mass into one bin, and no gradient grows beyond that.
    """
    return math.log(2 / (levels - 1)) - 4
