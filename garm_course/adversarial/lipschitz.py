"""What keeps a critic from being too steep: penalties on its gradient, clipped weights, and the spectral norm.

Sources: Arjovsky, Chintala, Bottou (2017), arXiv 1701.07875; Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville (2017),
"Improved Training of Wasserstein GANs", arXiv 1704.00028; Mescheder, Geiger, Nowozin (2018), "Which Training Methods
for GANs do actually Converge?", arXiv 1801.04406; Miyato, Kataoka, Koyama, Yoshida (2018), "Spectral Normalization for
Generative Adversarial Networks", arXiv 1802.05957.
"""

import torch
from torch import Tensor, nn


def gradient_penalty(critic, real: Tensor, fake: Tensor, eps: Tensor, y: Tensor | None = None) -> Tensor:
    """E (|∇f(x̂)| - 1)² at points x̂ = eps real + (1 - eps) fake between data and fakes; equation (14.2).

    The norm is over all numbers of one example, and the penalty can be differentiated in the critic's weights.

    Args:
        critic: (B, ...) -> scores; called with (x, y) if y is given.
        real: (B, ...) of one shape. Their own gradients are not needed.
        fake: (B, ...) of one shape. Their own gradients are not needed.
        eps: (B,) uniforms in [0, 1], one for each example, drawn by the caller.
        y: LongTensor (B,) of classes for a conditional critic.

    Returns:
        Scalar.

    Raises:
        ValueError: for shapes that do not fit.

    Source:
        Gulrajani et al. (2017), arXiv 1704.00028, equation 3.

    Example:
        >>> steep = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.constant_(steep.weight, 3.0)  # norm 3 √2
        >>> x = torch.zeros(4, 2)
        >>> round(gradient_penalty(lambda x: steep(x)[:, 0], x, x, torch.rand(4)).item(), 3)  # (3 √2 - 1)²
        10.515
    """
    if real.shape != fake.shape:
        raise ValueError(f"expected real and fake of one shape, got {tuple(real.shape)} and {tuple(fake.shape)}")
    if tuple(eps.shape) != (len(real),):
        raise ValueError(f"expected eps ({len(real)},), one number for each example, got {tuple(eps.shape)}")
    eps = eps.reshape(-1, *[1] * (real.ndim - 1))
    x = (eps * real.detach() + (1 - eps) * fake.detach()).requires_grad_()
    return (input_gradient(_scores(critic, x, y), x).flatten(1).norm(dim=1) - 1).square().mean()


def r1_penalty(critic, real: Tensor, y: Tensor | None = None, gamma: float = 1.0) -> Tensor:
    """gamma / 2 E |∇f(x)|² at data only; equation (14.4).

    Args:
        critic: see `gradient_penalty`.
        real: see `gradient_penalty`.
        y: see `gradient_penalty`.
        gamma: weight.

    Returns:
        Scalar.

    Source:
        Mescheder, Geiger, Nowozin (2018), arXiv 1801.04406, equation 9.
    """
    x = real.detach().requires_grad_()
    return r1_of_scores(_scores(critic, x, y), x, gamma)


def r1_of_scores(scores: Tensor, x: Tensor, gamma: float = 1.0) -> Tensor:
    """`r1_penalty` from scores that were computed already, of data x that require a gradient."""
    return gamma / 2 * input_gradient(scores, x).square().flatten(1).sum(1).mean()


def input_gradient(scores: Tensor, x: Tensor) -> Tensor:
    """The gradient of each example's score (or sum of patch scores) in the example itself, with a graph to the weights.

    Args:
        scores: of the examples, each of which depends on its own example only.
        x: (B, ...), requires a gradient.

    Returns:
        The shape of x.
    """
    return torch.autograd.grad(scores.sum(), x, create_graph=True)[0]


def _scores(critic, x: Tensor, y: Tensor | None) -> Tensor:
    return critic(x) if y is None else critic(x, y)


@torch.no_grad()
def clip_weights(critic: nn.Module, c: float) -> None:
    """Clip every weight into [-c, c], in place: a crude bound on the slope; equation (14.3).

    Source:
        Arjovsky, Chintala, Bottou (2017), arXiv 1701.07875, algorithm 1.
    """
    if not c > 0:
        raise ValueError(f"expected c > 0, got {c}")
    for weight in critic.parameters():
        weight.clamp_(-c, c)


def spectral_norm(W: Tensor, u: Tensor, n: int = 1) -> tuple[Tensor, Tensor]:
    """The largest singular value of a matrix by n steps of power iteration; equation (14.5).

    v <- Wᵀu / |Wᵀu|, u <- W v / |W v|; σ = uᵀ W v, with u and v taken as constants, so that σ has a gradient in W.

    Args:
        W: (M, N).
        u: (M,), where to start: not 0, not orthogonal to the first left singular vector.
        n: steps, at least 1.

    Returns:
        σ (scalar, at most the true value), and u (M,) to start from next time.

    Raises:
        ValueError: for shapes that do not fit, or n < 1.

    Source:
        Miyato et al. (2018), arXiv 1802.05957, algorithm 1.

    Example:
        >>> sigma, _ = spectral_norm(torch.diag(torch.tensor([3.0, 2.0])), torch.tensor([1.0, 1.0]), n=30)
        >>> round(sigma.item(), 5)
        3.0
    """
    if W.ndim != 2 or tuple(u.shape) != (len(W),):
        raise ValueError(f"expected a matrix (M, N) and u (M,), got {tuple(W.shape)} and {tuple(u.shape)}")
    if n < 1:
        raise ValueError(f"expected at least one step, got n={n}")
    with torch.no_grad():
        for _ in range(n):
            v = nn.functional.normalize(W.T @ u, dim=0)
            u = nn.functional.normalize(W @ v, dim=0)
    return u @ W @ v, u


def batch_normalized(critic: nn.Module) -> bool:
    """Whether a score of this critic depends on the other examples of the batch."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in critic.modules())
