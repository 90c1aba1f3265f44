"""Eight Gaussians on a circle: the toy on which mode collapse of GANs was first drawn."""

import math

import torch

from garm_course.datasets.base import check_integer
from garm_course.datasets.gaussian_mixture import GaussianMixture


class Ring(GaussianMixture):
    """Points around centers that stand equally spaced on a circle; center k at the angle 2 pi k / modes.

    Card:
        What: points in the plane from a mixture of equally probable round Gaussians on a circle; the class is the mode.
        Source: computed; in the setting of Z. Lin, A. Khetan, G. Fanti, S. Oh (2018), radius 1 and deviation 0.01.
        Licence: none needed.
        Size: 5,000 points for training, 1,000 each for validation and test, or as many as you ask for.
        Cite: Lin et al. (2018), PacGAN: The power of two samples in generative adversarial networks, NeurIPS, arXiv
            1712.04086; the picture is that of Metz, Poole, Pfau, Sohl-Dickstein (2017), Unrolled Generative
            Adversarial Networks, ICLR, arXiv 1611.02163.
        Flaws: a toy. Two dimensions say little about many, and minimax GANs reach all eight modes more often than
            their fame has it. Radius and deviation differ between papers.

    Args:
        split: "train", "validation" or "test": independent draws.
        modes: how many centers, at least 1.
        radius: of the circle, above 0.
        std: see `GaussianMixture`, as for its methods `log_prob`, `entropy`, `nearest_mode` and `sample`.
        n: see `GaussianMixture`.
        seed: see `GaussianMixture`.

    Raises:
        ValueError: for another split, or an option out of range.

    Example:
        >>> data = Ring("test", n=3)
        >>> data.x.shape, data.n_classes
        (torch.Size([3, 2]), 8)
        >>> round(data.entropy().nats, 3)  # ln 8 + ln(2 pi e 0.01²)
        -4.293
    """

    def __init__(
        self,
        split: str = "train",
        *,
        modes: int = 8,
        radius: float = 1.0,
        std: float = 0.01,
        n: int | None = None,
        seed: int = 0,
    ):
        check_integer("modes", modes, 1, 10_000)
        if isinstance(radius, bool) or not isinstance(radius, (int, float)) or not 0 < radius < math.inf:
            raise ValueError(f"expected a radius above 0, got {radius!r}")
        angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
        centers = radius * torch.stack([angle.cos(), angle.sin()], 1)
        super().__init__("ring", split, centers, std, n, seed, f"computed: {modes} Gaussians on a circle")
