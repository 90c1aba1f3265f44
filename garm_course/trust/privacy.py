"""Differential privacy: one step of DP-SGD, what it costs in epsilon, and what epsilon promises against an attack.

A training is (epsilon, delta)-differentially private if no outcome becomes more than e^epsilon times as probable, up to
delta, when one example is added to the data or taken away. `epsilon` asks the accountant of Opacus, since accountants
written by hand are where such promises usually break. What is here serves to learn: its random numbers are no
cryptographic ones, and floating-point noise has holes that a determined attack can use (Mironov 2012).
"""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from garm_course.inputs import check_settings

Loss = Callable[[dict[str, Tensor], Tensor], Tensor]


class _NLL(nn.Module):
    """A model whose `forward` is minus its `log_prob`, for `functional_call`."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return -self.model.log_prob(x[None])[0]


def example_nll(model: nn.Module) -> Loss:
    """The negative log-likelihood of one example as a function of the weights, as `torch.func` needs it.

    Args:
        model: with `log_prob(x) -> (B,)` in nats.

    Returns:
        loss(params, x): for the parameters by name, as `dict(model.named_parameters())`, and one example (*shape), a
        scalar in nats.
    """
    whole = _NLL(model)

    def loss(params: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(whole, {f"model.{name}": weight for name, weight in params.items()}, (x,))

    return loss


def clipped_sum(
    loss: Loss, params: dict[str, Tensor], x: Tensor, C: float, chunk: int = 64
) -> tuple[dict[str, Tensor], Tensor]:
    """The sum over examples of their gradients, each scaled down to a norm of at most C.

    The norm of an example is that over all parameters together, so that adding or removing one example moves the sum by
    at most C.

    Args:
        loss: see `dp_sgd_grad`.
        params: see `dp_sgd_grad`.
        x: (B, *shape); B may be 0.
        C: above 0; infinity does not clip.
        chunk: examples whose gradients are in memory at a time.

    Returns:
        The sum by name, and (B,) norms before clipping.

    Raises:
        ValueError: for C out of range.
    """
    check_settings(0, above=True, C=C)
    params = {name: weight.detach() for name, weight in params.items()}
    total, norms = {name: torch.zeros_like(weight) for name, weight in params.items()}, []
    each = vmap(grad(loss), (None, 0), randomness="different")
    for part in x.split(chunk) if len(x) else ():
        gradients = each(params, part)
        norm = torch.stack([g.reshape(len(part), -1).square().sum(1) for g in gradients.values()]).sum(0).sqrt()
        factor = (C / norm.clamp(min=torch.finfo(norm.dtype).tiny)).clamp(max=1)
        for name, g in gradients.items():
            total[name] += torch.einsum("b,b...->...", factor, g)
        norms.append(norm)
    return total, torch.cat(norms) if norms else x.new_zeros(0, dtype=torch.float32)


def dp_sgd_grad(
    loss: Loss,
    params: dict[str, Tensor],
    x: Tensor,
    C: float,
    sigma: float,
    noise: dict[str, Tensor],
    batch: float,
    *,
    chunk: int = 64,
) -> dict[str, Tensor]:
    """The private gradient of a step: (sum_i g_i min(1, C / |g_i|) + sigma C xi) / batch; equation (19.6).

    Args:
        loss: loss(params, x) of one example (*shape), a scalar, such as `example_nll(model)`.
        params: weights by name; they are not changed.
        x: (B, *shape) examples that were drawn, see `poisson_batch`; B may be 0.
        C: largest norm of an example's gradient over all parameters, above 0.
        sigma: noise multiplier, at least 0: the deviation of the noise on the sum, in units of C.
        noise: xi, standard normal, one tensor for each of `params` by its name and of its shape.
        batch: the expected number of examples, above 0. How many were drawn would tell who was there.
        chunk: examples whose gradients are in memory at a time.

    Returns:
        A gradient for each parameter, by name.

    Raises:
        ValueError: for numbers out of range, or noise of other names or shapes.

    Source:
        Abadi et al. (2016), "Deep Learning with Differential Privacy", arXiv 1607.00133, algorithm 1.

    Example:
        >>> def loss(params, x): return (params["w"] * x).sum()  # the gradient is x
        >>> params, noise = {"w": torch.zeros(2)}, {"w": torch.tensor([1.0, 0.0])}
        >>> dp_sgd_grad(loss, params, torch.tensor([[3.0, 4.0], [0.6, 0.8]]), C=1, sigma=0.5, noise=noise, batch=2)
        {'w': tensor([0.8500, 0.8000])}
    """
    check_settings(0, sigma=sigma)
    check_settings(0, above=True, batch=batch)
    if {name: tuple(xi.shape) for name, xi in noise.items()} != {n: tuple(w.shape) for n, w in params.items()}:
        raise ValueError("expected noise of the names and shapes of the parameters; draw torch.randn_like of each")
    total, _ = clipped_sum(loss, params, x, C, chunk)
    return noisy_mean(total, C, sigma, noise, batch)


def noisy_mean(
    total: dict[str, Tensor], C: float, sigma: float, noise: dict[str, Tensor], batch: float
) -> dict[str, Tensor]:
    """The second half of `dp_sgd_grad`: noise on the sum of clipped gradients, over the expected number of examples.

    Args:
        total: from `clipped_sum`.
        C: see `dp_sgd_grad`.
        sigma: see `dp_sgd_grad`; at 0 the noise is not looked at.
        noise: see `dp_sgd_grad`.
        batch: see `dp_sgd_grad`.
    """
    return {name: (one + (sigma * C * noise[name] if sigma else 0)) / batch for name, one in total.items()}


def poisson_batch(n: int, rate: float, gen: torch.Generator) -> Tensor:
    """The examples of one step: each of n with probability `rate`, by itself. This is what accountants assume.

    Args:
        n: examples, at least 1.
        rate: in (0, 1].
        gen: source of the draws.

    Returns:
        LongTensor (B,), in increasing order; B has the mean n * rate, and may be 0.

    Raises:
        ValueError: for numbers out of range.
    """
    check_settings(1, whole=True, n=n)
    _check_rate(rate)
    return (torch.rand(n, generator=gen, dtype=torch.float64) < rate).nonzero().flatten()


def epsilon(sigma: float, rate: float, steps: int, delta: float, accountant: str = "prv") -> float:
    """The epsilon that DP-SGD with Poisson sampling has at this delta: an upper bound, by the library Opacus.

    Args:
        sigma: noise multiplier, above 0.
        rate: probability with which an example is drawn in a step, in (0, 1].
        steps: at least 1.
        delta: in (0, 1); well below 1 over the number of examples is usual.
        accountant: "prv", the privacy loss composed numerically (Gopi et al. 2021), at most 0.01 too large; or "rdp",
            by Rényi divergences (Mironov 2017), which is looser.

    Returns:
        Nats: the logarithm of a ratio of probabilities.

    Raises:
        ValueError: for numbers out of range, or another accountant.
        ModuleNotFoundError: Opacus is not installed; the message says how to get it.

    Source:
        Gopi, Lee, Wutschitz (2021), "Numerical Composition of Differential Privacy", arXiv 2106.02848; Mironov (2017),
        "Rényi Differential Privacy", arXiv 1702.07476.
    """
    check_settings(0, above=True, sigma=sigma)
    check_settings(1, whole=True, steps=steps)
    _check_rate(rate)
    _check_delta(delta)
    if accountant not in ("prv", "rdp"):
        raise ValueError(f'expected the accountant "prv" or "rdp", got {accountant!r}')
    try:
        from opacus.accountants import PRVAccountant, RDPAccountant
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "epsilon needs the library Opacus, which is not installed; run: pip install 'garm-course[trust]'"
        ) from error
    counted = PRVAccountant() if accountant == "prv" else RDPAccountant()
    counted.history = [(sigma, rate, steps)]
    with warnings.catch_warnings():  # of a logarithm of 0 that it masks, and of orders that it has tried in vain
        warnings.simplefilter("ignore")
        return float(counted.get_epsilon(delta))


def tpr_bound(fpr: Tensor, epsilon: float, delta: float) -> Tensor:
    """The most that any membership attack can reach against a model trained with (epsilon, delta)-privacy.

    min(1, e^epsilon FPR + delta, 1 - e^-epsilon (1 - delta - FPR)): whatever the attack knows, computes, or is trained
    on; equation (19.5).

    Args:
        fpr: (...) false positive rates, in [0, 1].
        epsilon: above 0, in nats.
        delta: in (0, 1).

    Returns:
        (...) float64 true positive rates.

    Raises:
        ValueError: for numbers out of range.

    Source:
        Kairouz, Oh, Viswanath (2015), "The Composition Theorem for Differential Privacy", arXiv 1311.0776, theorem 2.1.

    Example:
        >>> tpr_bound(torch.tensor([0.0, 0.1, 1.0]), epsilon=math.log(2), delta=0.01)
        tensor([0.0100, 0.2100, 1.0000], dtype=torch.float64)
    """
    check_settings(0, above=True, epsilon=epsilon)
    _check_delta(delta)
    fpr = torch.as_tensor(fpr).double()
    if not ((fpr >= 0) & (fpr <= 1)).all():
        raise ValueError("expected false positive rates in [0, 1]; they are shares of the non-members")
    ratio = math.exp(min(epsilon, 700.0))
    return torch.minimum(ratio * fpr + delta, 1 - (1 - delta - fpr) / ratio).clamp(max=1)


def _check_rate(rate: float) -> None:
    check_settings(0, above=True, rate=rate)
    if rate > 1:
        raise ValueError(f"rate={rate} is out of range: expected a probability in (0, 1]; batch size / examples")


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"delta={delta} is out of range: expected a number in (0, 1), well below 1 / examples")
