"""Twenty-five Gaussians on a grid: the toy on which GANs do lose modes."""

import math

import torch

from garm_course.datasets.base import check_integer
from garm_course.datasets.gaussian_mixture import GaussianMixture


class Grid(GaussianMixture):
    """Points around centers on a square grid around the origin; center k stands in column k // side, row k % side.

    Card:
        What: points in the plane from a mixture of equally probable round Gaussians on a grid; the class is the mode.
        Source: computed; in the setting of Z. Lin, A. Khetan, G. Fanti, S. Oh (2018): spacing 2, deviation 0.05.
        Licence: none needed.
        Size: 5,000 points for training, 1,000 each for validation and test, or as many as you ask for.
        Cite: Lin et al. (2018), PacGAN: The power of two samples in generative adversarial networks, NeurIPS, arXiv
            1712.04086.
        Flaws: a toy. Spacing, width and whether points are scaled to [-1, 1] differ between papers, and so do their
            counts of modes.

    Args:
        split: "train", "validation" or "test": independent draws.
        side: centers along each side, at least 1.
        spacing: between neighboring centers, above 0.
        std: see `GaussianMixture`, as for its methods `log_prob`, `entropy`, `nearest_mode` and `sample`.
        n: see `GaussianMixture`.
        seed: see `GaussianMixture`.

    Raises:
        ValueError: for another split, or an option out of range.

    Example:
        >>> data = Grid("test", n=3)
        >>> data.centers[[0, 1, 24]].tolist()
        [[-4.0, -4.0], [-4.0, -2.0], [4.0, 4.0]]
    """

    def __init__(
        self,
        split: str = "train",
        *,
        side: int = 5,
        spacing: float = 2.0,
        std: float = 0.05,
        n: int | None = None,
        seed: int = 0,
    ):
        check_integer("side (centers along a side of the grid)", side, 1, 100)
        if isinstance(spacing, bool) or not isinstance(spacing, (int, float)) or not 0 < spacing < math.inf:
            raise ValueError(f"expected a spacing above 0, got {spacing!r}")
        places = spacing * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
        centers = torch.cartesian_prod(places, places).view(-1, 2)
        super().__init__("grid", split, centers, std, n, seed, f"computed: {side * side} Gaussians on a grid")
