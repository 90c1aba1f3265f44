"""Output heads: what a pixel may be, given the numbers that a network puts out for it.

A head turns *parameters* (what the network computes, channel axis last) into log-probabilities in nats and into
draws. Draws use the inverse of the cumulative distribution function at a uniform number that the caller passes in, so
that the same uniforms give the same pixels, however the parameters were computed.

`Categorical`, `Bernoulli` and `DiscretizedLogisticMixture` (defined in `logistic_mixture.py`) are for levels, `Poisson`
for counts, `Gaussian` for real numbers. At the end stand three figures of lesson 01 that whole lessons build on:
`kl_categorical`, `bernoulli_nll` and `poisson_nll`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.distributions.filters import below_one, draw
from garm_course.distributions.logistic_mixture import DiscretizedLogisticMixture
from garm_course.inputs import readable


def at_least_float32(params: Tensor) -> Tensor:
    """bfloat16 is enough for features, not for a sum of many log-probabilities or for comparing with a uniform."""
    return params.to(torch.promote_types(params.dtype, torch.float32))


def as_weights(h: Tensor, network: torch.nn.Module) -> Tensor:
    """Numbers in the precision of a network's weights: the way back from `at_least_float32` into one that was cast."""
    return h.to(next((weight.dtype for weight in network.parameters()), h.dtype))


def ordered_logits(steps: Tensor) -> Tensor:
    """Logits of levels from differences between neighbors: output k says by how much level k beats level k - 1.

    A weight then speaks for all levels from k on, which few data reward. The sum is divided by sqrt(levels), so that it
    starts at the size of its terms.

    Args:
        steps: (..., levels), in nats.

    Returns:
        (..., levels) logits.

    Example:
        >>> ordered_logits(torch.tensor([0.0, 2.0, 0.0, -2.0]))
        tensor([0., 1., 1., 0.])
    """
    return steps.cumsum(-1) / math.sqrt(steps.shape[-1])


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

    def of(self, outputs: Tensor) -> Tensor:
        """The parameters (..., levels) in the outputs (..., levels) of a network, at least in float32."""
        return at_least_float32(outputs)

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

    def mean(self, params: Tensor) -> Tensor:
        """(...) expected level, a real number in [0, levels - 1]."""
        return params.softmax(-1) @ torch.arange(self.levels, dtype=params.dtype, device=params.device)

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

    def of(self, outputs: Tensor) -> Tensor:
        """The parameters (...) in the outputs (..., 1) of a network, at least in float32."""
        return at_least_float32(outputs).squeeze(-1)

    def logits(self, params: Tensor) -> Tensor:
        """(..., 2) unnormalized log-probabilities in nats: 0 for level 0, the logit for level 1."""
        return torch.stack([torch.zeros_like(params), params], -1)

    def log_probs(self, params: Tensor) -> Tensor:
        """(..., 2) log-probabilities of both levels in nats."""
        return torch.stack([-F.softplus(params), -F.softplus(-params)], -1)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """(...) log-probability in nats of the pixels x (...), a LongTensor of 0 and 1, under logits (...)."""
        return -F.softplus(torch.where(x.bool(), -params, params))  # no difference of two large numbers

    def mean(self, params: Tensor) -> Tensor:
        """(...) probability of a 1."""
        return torch.sigmoid(params)

    def sample(self, params: Tensor, u: Tensor) -> Tensor:
        """LongTensor (...) of 0 and 1, drawn at the uniforms u (...): 1 where u is at least p(0)."""
        return (below_one(u, params) >= torch.sigmoid(-params)).long()


class Gaussian:
    """A real number with a normal distribution; its two parameters are the mean and the log-variance.

    log p(x) = -½ (ln 2π + l + (x - m)² e^-l) with l = ln σ², a log-*density*: nats that change with the unit of x, and
    that may be positive.

    Example:
        >>> params = torch.tensor([1.0, math.log(4.0)])  # mean 1, standard deviation 2
        >>> Gaussian().log_prob(params, torch.tensor(3.0)).item()  # -½ ln(2π) - ln 2 - ½
        -2.112085...
    """

    levels = None
    n_params = 2

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """(...) log-density in nats of the floats x (...) under params (..., 2).

        Raises:
            ValueError: for integers, other shapes, or numbers that are not finite.
        """
        mean, logvar = _real_parameters(params, x)
        return -0.5 * (math.log(2 * math.pi) + logvar + (x - mean) ** 2 * torch.exp(-logvar))

    def mean(self, params: Tensor) -> Tensor:
        """(...) the means m."""
        return _real_parameters(params, None)[0]

    def sample(self, params: Tensor, u: Tensor) -> Tensor:
        """(...) real numbers m + σ Φ⁻¹(u), at the uniforms u (...) in [0, 1)."""
        mean, logvar = _real_parameters(params, None)
        u = below_one(u, params)
        u = u.clamp(min=torch.finfo(u.dtype).eps / 4)  # a 0 stands for the whole cell of numbers that round to it
        return mean + torch.exp(0.5 * logvar) * torch.special.ndtri(u)


class Poisson:
    """A count 0, 1, 2, ... without an upper end; its one parameter is the logarithm of the rate (its mean).

    log p(k) = k a - e^a - ln k! with a = ln λ. The variance is the rate as well, whatever the data say.

    Example:
        >>> Poisson().log_prob(torch.tensor(2.0).log(), torch.tensor(3)).item()  # 3 ln 2 - 2 - ln 6
        -1.712317...
    """

    levels = None
    n_params = 1

    def log_prob(self, params: Tensor, k: Tensor) -> Tensor:
        """(...) log-probability in nats of the counts k (...), under log-rates (...).

        Raises:
            ValueError: for counts that are negative or not whole, other shapes, or log-rates that are not finite.
        """
        _check_finite("log-rates", params)
        _check_counts(params, k)
        return k * params - torch.exp(params) - torch.lgamma(k.to(params.dtype) + 1)

    def mean(self, params: Tensor) -> Tensor:
        """(...) the rates."""
        return torch.exp(params)

    def sample(self, params: Tensor, u: Tensor) -> Tensor:
        """LongTensor (...): the first count whose cumulative probability exceeds u (...), in [0, 1), by bisection."""
        _check_finite("log-rates", params)
        rate = params.double().exp()
        u = below_one(u, rate)
        low, high = torch.full_like(rate, -1.0), torch.ones_like(rate)  # the answer is above low, at most high
        while (short := ~self._exceeds(high, rate, u)).any():
            low, high = torch.where(short, high, low), torch.where(short, 2 * high, high)
        while (high - low).max() > 1:
            middle = ((low + high) / 2).floor()
            enough = self._exceeds(middle, rate, u)
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return high.long()

    @staticmethod
    def _exceeds(k: Tensor, rate: Tensor, u: Tensor) -> Tensor:
        return torch.special.gammaincc(k.clamp(min=0) + 1, rate) > torch.where(k < 0, 1.0, u)  # P(K <= k) > u


def _real_parameters(params: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and log-variance (...) of params (..., 2), after a check of both arguments."""
    if params.ndim == 0 or params.shape[-1] != 2:
        raise ValueError(f"expected mean and log-variance on the last axis (..., 2), got {tuple(params.shape)}")
    _check_finite("means and log-variances", params)
    if x is not None:
        if not x.is_floating_point():
            raise ValueError(f"expected real numbers, got {x.dtype}; levels need dequantize(x, u, levels) first")
        if x.shape != params.shape[:-1]:
            raise ValueError(f"expected one mean and log-variance for each of {tuple(x.shape)}, got {_shape(params)}")
        _check_finite("real numbers", x)
    return params.unbind(-1)


def _check_finite(what: str, values: Tensor) -> None:
    if readable(values) and not torch.isfinite(values).all():
        bad = values[~torch.isfinite(values)][0].item()
        raise ValueError(f"expected finite {what}, got {bad}; look for a division by 0 or a run that diverged")


def _check_counts(rates: Tensor, k: Tensor) -> None:
    if k.shape != rates.shape:
        raise ValueError(f"expected one rate for each count, shape {_shape(k)}, got {_shape(rates)}; use rate.expand")
    if not readable(k):
        return
    bad = ~((k >= 0) & (k == k.floor() if k.is_floating_point() else True) & torch.isfinite(k))
    if bad.any():
        raise ValueError(f"expected counts 0, 1, 2, ..., got {k[bad][0].item():g}; a Poisson has no other values")


def _shape(values: Tensor) -> tuple[int, ...]:
    return tuple(values.shape)


def kl_categorical(p: Tensor, q: Tensor) -> Tensor:
    """How far a categorical distribution q is from p: the nats that coding data of p with q costs in excess.

    KL(p || q) = sum_k p_k ln(p_k / q_k), where 0 ln 0 = 0. It is infinite where q excludes what p contains.

    Args:
        p: (B, K) probabilities, at least 0, each row with the sum 1.
        q: (B, K) probabilities of the same kind.

    Returns:
        (B,) nats, at least 0, and 0 only for p = q.

    Raises:
        ValueError: for shapes that differ, or rows that are no probabilities.

    Source:
        S. Kullback, R. A. Leibler (1951), "On information and sufficiency", Annals of Mathematical Statistics 22.

    Example:
        >>> p, q = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.25, 0.25, 0.5]])
        >>> kl_categorical(p, q)
        tensor([0.6931])
    """
    if p.shape != q.shape or p.ndim != 2:
        raise ValueError(f"expected p and q of one shape (B, K), got {_shape(p)} and {_shape(q)}")
    for name, rows in (("p", p), ("q", q)):
        if not ((rows >= 0).all() and ((rows.sum(-1) - 1).abs() < 1e-4).all()):
            raise ValueError(f"expected rows of {name} that are at least 0 and sum to 1; logits need softmax(-1) first")
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """Negative log-likelihood of binary examples with independent pixels, summed over pixels.

    -log p(x) = sum_i softplus(l_i) - x_i l_i, exact for any size of the logits.

    Args:
        logits: (B, ...) logits of a pixel being 1.
        x: of the same shape, 0 and 1, whole numbers or floats.

    Returns:
        (B,) nats.

    Raises:
        ValueError: for shapes that differ, pixels other than 0 and 1, or logits that are not finite.

    Example:
        >>> bernoulli_nll(torch.tensor([[2.0, -2.0], [800.0, -800.0]]), torch.tensor([[1, 0], [0, 1]])).tolist()
        [0.253856..., 1600.0]
    """
    if logits.shape != x.shape or logits.ndim < 2:
        raise ValueError(f"expected logits and x of one shape (B, ...), got {_shape(logits)} and {_shape(x)}")
    _check_finite("logits", logits)
    if readable(x) and not ((x == 0) | (x == 1)).all():
        bad = x[(x != 0) & (x != 1)][0].item()
        raise ValueError(f"expected pixels 0 and 1, got {bad:g}; binarize them, for example with (x > 7).long()")
    return -Bernoulli().log_prob(logits, x).flatten(1).sum(1)


def poisson_nll(rate: Tensor, k: Tensor) -> Tensor:
    """Negative log-likelihood of counts with independent Poisson distributions, summed over dimensions.

    -log p(k) = sum_i λ_i - k_i ln λ_i + ln k_i!, where 0 ln 0 = 0: a rate of 0 allows the count 0 only.

    Args:
        rate: (B, ...) rates λ, at least 0 (not their logarithms).
        k: of the same shape, counts 0, 1, 2, ..., whole numbers or floats.

    Returns:
        (B,) nats; infinite where a rate of 0 meets another count than 0.

    Raises:
        ValueError: for shapes that differ, rates that are negative or not finite, or values that are no counts.

    Example:
        >>> poisson_nll(torch.tensor([[2.0, 0.0]]), torch.tensor([[3, 0]]))
        tensor([1.7123])
    """
    if rate.ndim < 2:
        raise ValueError(f"expected rates (B, ...) with one row for each example, got {_shape(rate)}")
    _check_finite("rates", rate)
    if readable(rate) and (rate < 0).any():
        raise ValueError(f"expected rates of at least 0, got {rate.min().item():g}; a network's output needs exp first")
    _check_counts(rate, k)
    k = k.to(rate.dtype)
    return (rate - torch.xlogy(k, rate) + torch.lgamma(k + 1)).flatten(1).sum(1)


def output_head(levels: int, mixtures: int = 0) -> Categorical | Bernoulli | DiscretizedLogisticMixture:
    """The head for pixels of this many gray levels: one logit for two levels, a softmax for more, or a mixture."""
    if not isinstance(levels, int) or levels < 2:
        raise ValueError(f"expected an integer number of levels, at least 2, got {levels!r}")
    if mixtures:
        return DiscretizedLogisticMixture(levels, mixtures)
    return Bernoulli() if levels == 2 else Categorical(levels)


def kl_diag_gaussian_per_dim(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, e^logvar) || N(0, 1)) of each latent, unchecked: (..., Z), (..., Z) -> (..., Z) nats."""
    # expm1: near the prior e^l - 1 - l is a difference of nearly equal numbers
    return 0.5 * (mu**2 + torch.expm1(logvar) - logvar)
