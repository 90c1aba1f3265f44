"""What critic and generator minimize, as pure functions of the critic's scores.

Scores are real numbers, high where the critic takes an example for data: (B,), or (B, 1, h, w) for a critic of patches.
A loss is the mean over all scores. A critic's loss sees real and fake scores, a generator's only the fake ones.

Sources: Goodfellow et al. (2014), "Generative Adversarial Networks", arXiv 1406.2661; Mao et al. (2017), "Least Squares
Generative Adversarial Networks", arXiv 1611.04076; Arjovsky, Chintala, Bottou (2017), "Wasserstein GAN", arXiv
1701.07875; Lim, Ye (2017), "Geometric GAN", arXiv 1705.02894.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


def minimax_d_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-E log σ(real) - E log(1 - σ(fake)): minus the value V of the game, equation (13.1).

    Args:
        real: scores, logits of "this is data"; of one shape but for the number of examples.
        fake: scores of generated examples, the same.

    Returns:
        Scalar in nats, finite for scores of any size: softplus, not the logarithm of a sigmoid.

    Source:
        Goodfellow et al. (2014), arXiv 1406.2661, equation 1.

    Example:
        >>> import torch
        >>> minimax_d_loss(torch.tensor([-900.0]), torch.tensor([900.0]))
        tensor(1800.)
    """
    check_scores(real, fake)
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def saturating_g_loss(fake: Tensor) -> Tensor:
    """E log(1 - σ(fake)), the generator's side of the same game; its gradient vanishes where the critic wins (13.5).

    Source:
        Goodfellow et al. (2014), arXiv 1406.2661, equation 1.
    """
    check_scores(fake)
    return -F.softplus(fake).mean()


def nonsaturating_g_loss(fake: Tensor) -> Tensor:
    """-E log σ(fake): the same fixed point, and a gradient of -1 where the critic wins (13.5).

    Source:
        Goodfellow et al. (2014), arXiv 1406.2661, section 3.
    """
    check_scores(fake)
    return F.softplus(-fake).mean()


def least_squares_d_loss(real: Tensor, fake: Tensor, a: float = -1.0, b: float = 1.0) -> Tensor:
    """½ E (real - b)² + ½ E (fake - a)².

    Args:
        real: scores.
        fake: scores.
        a: what the critic should say of fakes.
        b: what the critic should say of data.

    Source:
        Mao et al. (2017), arXiv 1611.04076, section 3.2.
    """
    check_scores(real, fake)
    return 0.5 * (real - b).square().mean() + 0.5 * (fake - a).square().mean()


def least_squares_g_loss(fake: Tensor, c: float = 0.0) -> Tensor:
    """½ E (fake - c)², where c is what the generator wants the critic to say; a = -1, b = 1, c = 0 give Pearson's χ².

    Source:
        Mao et al. (2017), arXiv 1611.04076, section 3.2.
    """
    check_scores(fake)
    return 0.5 * (fake - c).square().mean()


def hinge_d_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E max(0, 1 - real) + E max(0, 1 + fake): scores beyond the margin of 1 are left alone; equation (14.6).

    Source:
        Lim, Ye (2017), arXiv 1705.02894, section 3; Miyato et al. (2018), arXiv 1802.05957, equation 16.

    Example:
        >>> import torch
        >>> hinge_d_loss(torch.tensor([0.5, 3.0]), torch.tensor([-2.0, 0.0]))  # (0.5 + 0) / 2 + (0 + 1) / 2
        tensor(0.7500)
    """
    check_scores(real, fake)
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein_d_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E fake - E real: minus the difference that a 1-Lipschitz critic makes as large as it can.

    Source:
        Arjovsky, Chintala, Bottou (2017), arXiv 1701.07875, equations 2 and 3.
    """
    check_scores(real, fake)
    return fake.mean() - real.mean()


def wasserstein_g_loss(fake: Tensor) -> Tensor:
    """-E fake; the hinge loss has the same generator."""
    check_scores(fake)
    return -fake.mean()


class GANLoss(NamedTuple):
    """A pair of losses: `critic(real, fake)` and `generator(fake)`, both to be minimized."""

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


LOSSES = {
    "minimax": GANLoss(minimax_d_loss, saturating_g_loss),
    "non_saturating": GANLoss(minimax_d_loss, nonsaturating_g_loss),
    "least_squares": GANLoss(least_squares_d_loss, least_squares_g_loss),
    "hinge": GANLoss(hinge_d_loss, wasserstein_g_loss),
    "wasserstein": GANLoss(wasserstein_d_loss, wasserstein_g_loss),
}


def find_loss(name: str) -> GANLoss:
    """A pair of losses by name.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if name not in LOSSES:
        raise ValueError(f"no adversarial loss {name!r}; choose one of {', '.join(LOSSES)}")
    return LOSSES[name]


def check_scores(*scores: Tensor) -> None:
    """Refuse what are no scores of a critic: (B,), or patches (B, 1, h, w), of floats; several must agree in shape.

    Raises:
        TypeError: for what is no tensor of floats. ValueError: for another shape, an empty batch, or shapes that
            differ in more than the number of examples.
    """
    expected = "scores (B,), or (B, 1, h, w) for patches"
    for s in scores:
        if not isinstance(s, Tensor) or not s.is_floating_point():
            got = f"a tensor of {s.dtype}" if isinstance(s, Tensor) else f"a {type(s).__name__}"
            raise TypeError(f"expected {expected} as floating-point numbers, got {got}")
        if not (s.ndim == 1 or (s.ndim == 4 and s.shape[1] == 1)) or s.numel() == 0:
            raise ValueError(f"expected {expected}, got shape {tuple(s.shape)}; take away axes of length 1")
        if s.shape[1:] != scores[0].shape[1:]:
            raise ValueError(
                f"expected real and fake scores of one shape but for the number of examples, got "
                f"{tuple(scores[0].shape)} and {tuple(s.shape)}"
            )
