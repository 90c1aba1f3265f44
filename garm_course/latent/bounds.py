"""What lessons 10 and 11 derive, as plain functions: the terms of the ELBO, tighter bounds, and who uses the latents.

All figures are in nats, one for each example, unless a function says that it averages.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from garm_course.distributions.heads import kl_diag_gaussian_per_dim
from garm_course.inputs import readable


class ELBO(NamedTuple):
    """The two terms of the evidence lower bound, each (B,) in nats; equation (10.3).

    `reconstruction` is E_q log p(x | z), `kl` is KL(q(z | x) || p(z)).
    """

    reconstruction: Tensor
    kl: Tensor

    @property
    def bound(self) -> Tensor:
        """(B,) nats: reconstruction - kl, at most log p(x) in expectation."""
        return self.reconstruction - self.kl


def kl_diag_gaussian(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, diag e^logvar) || N(0, I)) = ½ sum (mu² + e^logvar - 1 - logvar); equation (10.4).

    Args:
        mu: (B, Z).
        logvar: (B, Z).

    Returns:
        (B,) nats, summed over dimensions.

    Raises:
        ValueError: for shapes that differ.
        FloatingPointError: a variance that overflows, or values that are not finite.

    Source:
        Kingma, Welling (2014), arXiv 1312.6114, appendix B.

    Example:
        >>> kl_diag_gaussian(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
        tensor([0.5000])
    """
    check_gaussian(mu, logvar)
    return kl_diag_gaussian_per_dim(mu, logvar).sum(-1)


def kl_poisson(rate: Tensor, prior_rate: Tensor | float) -> Tensor:
    """KL(Poisson(a) || Poisson(b)) = sum a ln(a / b) - a + b, where 0 ln 0 = 0; equation (10.10).

    Args:
        rate: (B, Z) rates a of the posterior, at least 0.
        prior_rate: (Z,) or a number, rates b of the prior, above 0.

    Returns:
        (B,) nats, summed over dimensions.

    Raises:
        ValueError: for rates out of range.

    Example:
        >>> kl_poisson(torch.tensor([[2.0]]), 1.0)  # 2 ln 2 - 1
        tensor([0.3863])
    """
    prior_rate = torch.as_tensor(prior_rate, dtype=rate.dtype, device=rate.device)
    if rate.ndim != 2:
        raise ValueError(f"expected rates (B, Z), one row for each example, got {tuple(rate.shape)}")
    if readable(rate) and not (torch.isfinite(rate).all() and (rate >= 0).all()):
        raise ValueError("expected finite rates of at least 0; a network's output needs exp first")
    if readable(prior_rate) and not (prior_rate > 0).all():
        raise ValueError(f"expected prior rates above 0, got {prior_rate.min().item():g}; a rate of 0 allows no count")
    return (torch.xlogy(rate, rate / prior_rate) - rate + prior_rate).sum(-1)


def reparameterize(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """z = mu + e^(logvar / 2) eps: a draw from N(mu, e^logvar) that is differentiable in both; equation (10.5).

    Args:
        mu: (..., Z).
        logvar: (..., Z).
        eps: standard normal noise that broadcasts with them.

    Returns:
        z, of the broadcast shape.

    Source:
        Kingma, Welling (2014), arXiv 1312.6114, section 2.4; Rezende, Mohamed, Wierstra (2014), arXiv 1401.4082.

    Example:
        >>> reparameterize(torch.tensor([1.0]), torch.tensor([math.log(4.0)]), torch.tensor([-0.5]))
        tensor([0.])
    """
    return mu + torch.exp(0.5 * logvar) * eps


def check_gaussian(mu: Tensor, logvar: Tensor) -> None:
    """Refuse parameters of a Gaussian posterior that cannot be computed with; the message names the term.

    Raises:
        ValueError: shapes that differ.
        FloatingPointError: NaN or infinity in either, or a log-variance whose exponential overflows.
    """
    if mu.shape != logvar.shape:
        raise ValueError(f"expected mu and logvar of one shape, got {tuple(mu.shape)} and {tuple(logvar.shape)}")
    for name, values in (("mean mu", mu), ("log-variance logvar", logvar)):
        if readable(values) and not torch.isfinite(values).all():
            bad = values[~torch.isfinite(values)].flatten()[0].item()
            raise FloatingPointError(f"the posterior's {name} became {bad}; lower the learning rate")
    limit = math.log(torch.finfo(logvar.dtype).max)
    if logvar.numel() and readable(logvar) and logvar.max() >= limit:
        raise FloatingPointError(
            f"the posterior's variance exp(logvar) overflows: logvar is {logvar.max().item():g}, and {logvar.dtype} "
            f"ends at {limit:.1f}; lower the learning rate, or start the encoder's last layer near zero"
        )


def iwae_bound(log_w: Tensor) -> Tensor:
    """The importance-weighted bound log (1/k) sum_j w_j, from k log-weights; equation (11.1).

    log w = log p(x | z) + log p(z) - log q(z | x) with z ~ q(z | x). For k = 1 the expectation is the ELBO; it never
    falls with k, and tends to log p(x).

    Args:
        log_w: (B, k) nats.

    Returns:
        (B,) nats.

    Raises:
        ValueError: for a tensor that is not (B, k) with k >= 1.

    Source:
        Burda, Grosse, Salakhutdinov (2016), arXiv 1509.00519, section 3.

    Example:
        >>> iwae_bound(torch.tensor([[-800.0, -800.0]]))  # equal weights: nothing to gain
        tensor([-800.])
    """
    if log_w.ndim != 2 or log_w.shape[1] < 1:
        raise ValueError(f"expected log-weights (B, k) with k >= 1, got {tuple(log_w.shape)}")
    return log_w.logsumexp(1) - math.log(log_w.shape[1])


def leave_one_out(log_w: Tensor) -> Tensor:
    """Mean over j of the bound with k - 1 weights, all but the j-th: never above `iwae_bound`; equation (11.2).

    Args:
        log_w: (B, k) nats, k >= 2.

    Returns:
        (B,) nats.

    Example:
        >>> leave_one_out(torch.tensor([[0.0, 1.0, 2.0]])) < iwae_bound(torch.tensor([[0.0, 1.0, 2.0]]))
        tensor([True])
    """
    k = log_w.shape[-1]
    if log_w.ndim != 2 or k < 2:
        raise ValueError(f"expected log-weights (B, k) with k >= 2, got {tuple(log_w.shape)}")
    without = log_w.unsqueeze(1).expand(-1, k, -1)[:, ~torch.eye(k, dtype=torch.bool)].unflatten(1, (k, k - 1))
    return (without.logsumexp(-1) - math.log(k - 1)).mean(1)


def free_bits(kl: Tensor, lam: float) -> Tensor:
    """sum_j max(lam, mean over the batch of KL_j): a dimension may carry lam nats at no cost; equation (11.6).

    Below lam the gradient of a dimension is zero, so the penalty cannot push it to collapse.

    Args:
        kl: (B, Z) nats for each example and dimension.
        lam: nats for each dimension, at least 0.

    Returns:
        Scalar, nats per example: a mean over the batch, as the paper defines it.

    Raises:
        ValueError: for another shape or a negative lam.

    Source:
        Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling (2016), arXiv 1606.04934: the objective with free bits.

    Example:
        >>> free_bits(torch.tensor([[0.0, 2.0], [0.2, 4.0]]), 0.5)  # 0.5 + 3
        tensor(3.5000)
    """
    if kl.ndim != 2 or not lam >= 0:
        raise ValueError(f"expected kl (B, Z) and lam >= 0, got shape {tuple(kl.shape)} and lam={lam}")
    return kl.mean(0).clamp(min=lam).sum()


def active_units(mu: Tensor, threshold: float = 0.01) -> int:
    """Number of latents whose posterior mean varies over the data: Var_x E_q[z_j] > threshold; equation (11.4).

    Args:
        mu: (N, Z) posterior means, one row for each example, N >= 2.
        threshold: of the variance.

    Source:
        Burda, Grosse, Salakhutdinov (2016), arXiv 1509.00519, section 5.

    Example:
        >>> active_units(torch.tensor([[3.0, -1.0], [3.0, 1.0]]))  # a constant offset says nothing about x
        1
    """
    if mu.ndim != 2 or len(mu) < 2:
        raise ValueError(f"expected posterior means (N, Z) of at least two examples, got {tuple(mu.shape)}")
    return int((mu.var(0) > threshold).sum())
