"""How far two distributions are apart: divergences of tables of probabilities, and the critics that attain them.

Tables are p and g, (..., K), over the same K outcomes; densities on a grid, times its spacing, are tables too.

Sources: Goodfellow et al. (2014), arXiv 1406.2661, section 4; Nowozin, Cseke, Tomioka (2016), "f-GAN: Training
Generative Neural Samplers using Variational Divergence Minimization", arXiv 1606.00709; Arjovsky, Chintala, Bottou
(2017), arXiv 1701.07875.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def optimal_discriminator(p: Tensor, g: Tensor) -> Tensor:
    """D* = p / (p + g), the probability that an example came from p when both were equally likely; equation (13.2).

    Args:
        p: densities or probabilities, of one shape, not negative.
        g: densities or probabilities, of one shape, not negative.

    Returns:
        The same shape, in [0, 1]; ½ where both are 0, where no example ever is.

    Source:
        Goodfellow et al. (2014), arXiv 1406.2661, proposition 1.

    Example:
        >>> optimal_discriminator(torch.tensor([0.3, 0.0]), torch.tensor([0.1, 0.2]))
        tensor([0.7500, 0.0000])
    """
    _check_not_negative(p, g)
    total = p + g
    return torch.where(total > 0, p / torch.where(total > 0, total, 1.0), 0.5)


def kl_divergence(p: Tensor, g: Tensor) -> Tensor:
    """KL(p || g) = Σ p log(p / g) in nats: (..., K) -> (...); infinite where g is 0 and p is not."""
    check_tables(p, g)
    return (torch.xlogy(p, p) - torch.xlogy(p, g)).sum(-1)


def js_divergence(p: Tensor, g: Tensor) -> Tensor:
    """The Jensen-Shannon divergence ½ KL(p || m) + ½ KL(g || m), m = (p + g) / 2, equation (13.3).

    Args:
        p: tables (..., K), each summing to 1; zeros are allowed.
        g: tables (..., K), each summing to 1; zeros are allowed.

    Returns:
        (...) nats in [0, ln 2]: 0 for equal tables, ln 2 for tables that share no outcome.

    Raises:
        TypeError, ValueError: for tables that are none, or of different shapes.

    Source:
        Lin (1991), "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory 37.

    Example:
        >>> js_divergence(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
        tensor(0.6931)
    """
    check_tables(p, g)
    m = (p + g) / 2
    return 0.5 * kl_divergence(p, m) + 0.5 * kl_divergence(g, m)


def total_variation(p: Tensor, g: Tensor) -> Tensor:
    """½ Σ |p - g| = 1 - Σ min(p, g): (..., K) -> (...) in [0, 1]; equation (14.6)."""
    check_tables(p, g)
    return 0.5 * (p - g).abs().sum(-1)


def wasserstein1(a: Tensor, b: Tensor) -> Tensor:
    """The Wasserstein-1 distance of two samples of numbers: mean |sorted a - sorted b|; equation (14.1).

    In one dimension moving mass in order is optimal, and the distance is the area between the distribution functions.

    Args:
        a: (N,) numbers, of equal length.
        b: (N,) numbers, of equal length.

    Returns:
        Scalar, in the unit of the numbers, differentiable.

    Raises:
        TypeError, ValueError: for other shapes, unequal or no numbers.

    Source:
        Villani (2003), "Topics in Optimal Transportation", theorem 2.18.

    Example:
        >>> wasserstein1(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 2.0]))
        tensor(2.)
    """
    for s in (a, b):
        if not isinstance(s, Tensor) or not s.is_floating_point():
            raise TypeError("expected two samples as tensors of floating-point numbers")
    if a.ndim != 1 or a.shape != b.shape or len(a) == 0:
        raise ValueError(f"expected two samples (N,) of one size, got {tuple(a.shape)} and {tuple(b.shape)}")
    return (a.sort().values - b.sort().values).abs().mean()


class FDivergence(NamedTuple):
    """D_f(p || g) = Σ g f(p / g), with what its variational form needs, equation (13.7).

    Attributes:
        f: convex; f(1) = 0, but for "GAN", where it is -log 4.
        conjugate: f*(t) = sup_u (u t - f(u)).
        critic: the best T = f'(p / g), from log(p / g).
        activation: from a real score to the values that T may take.
    """

    f: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    critic: Callable[[Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]

    def divergence(self, p: Tensor, g: Tensor) -> Tensor:
        """(..., K) tables without zeros -> (...)."""
        check_tables(p, g)
        return (g * self.f(p / g)).sum(-1)

    def bound(self, t: Tensor, p: Tensor, g: Tensor) -> Tensor:
        """E_p T - E_g f*(T) <= D_f(p || g) for a critic's values t (..., K)."""
        check_tables(p, g)
        return (p * t - g * self.conjugate(t)).sum(-1)


F_DIVERGENCES = {  # Nowozin, Cseke, Tomioka (2016), tables 1, 2 and 6; r = log(p / g)
    "KL": FDivergence(
        lambda u: torch.xlogy(u, u),
        lambda t: (t - 1).exp(),
        lambda r: 1 + r,
        lambda v: v,
    ),
    "reverse KL": FDivergence(
        lambda u: -u.log(),
        lambda t: -1 - (-t).log(),
        lambda r: -(-r).exp(),
        lambda v: -(-v).exp(),
    ),
    "Pearson χ²": FDivergence(
        lambda u: (u - 1).square(),
        lambda t: t.square() / 4 + t,
        lambda r: 2 * (r.exp() - 1),
        lambda v: v,
    ),
    "squared Hellinger": FDivergence(
        lambda u: (u.sqrt() - 1).square(),
        lambda t: t / (1 - t),
        lambda r: 1 - (-r / 2).exp(),
        lambda v: 1 - (-v).exp(),
    ),
    "GAN": FDivergence(  # 2 JS - log 4, the value of the game at the best discriminator
        lambda u: torch.xlogy(u, u) - (u + 1) * (u + 1).log(),
        lambda t: -torch.log1p(-t.exp()),
        F.logsigmoid,
        F.logsigmoid,
    ),
}


def check_tables(p: Tensor, g: Tensor) -> None:
    """Refuse what are not two tables of probabilities over the same outcomes.

    Raises:
        TypeError, ValueError: the message says what was expected.
    """
    _check_not_negative(p, g)
    for name, table in (("first", p), ("second", g)):
        sums = table.sum(-1)
        worst = sums.flatten()[(sums - 1).abs().argmax()].item()
        if not math.isclose(worst, 1, abs_tol=1e-4):
            raise ValueError(f"expected probabilities that sum to 1, the {name} table sums to {worst:g}")


def _check_not_negative(p: Tensor, g: Tensor) -> None:
    for table in (p, g):
        if not isinstance(table, Tensor) or not table.is_floating_point():
            raise TypeError("expected two tensors of floating-point numbers")
        if table.numel() == 0 or not bool((table >= 0).all()):
            raise ValueError("expected probabilities that are not negative, and no NaN")
    if p.shape != g.shape:
        raise ValueError(f"expected two tables of one shape, got {tuple(p.shape)} and {tuple(g.shape)}")
