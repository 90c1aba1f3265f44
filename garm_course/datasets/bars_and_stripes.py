"""Bars and stripes: a distribution so small that everything about it can be enumerated.

An image is allowed when all its columns are constant (bars) or all its rows are (stripes). All-black and all-white are
both at once; they are *one* image each here, so that the allowed images are distinct and equally probable.
"""

import math

import torch
from torch import Tensor

from garm_course.datasets.base import SPLITS, Dataset, Entropy, check_images, check_integer, check_split


def _patterns(length: int) -> Tensor:
    """All rows of `length` bits: (2^length, length)."""
    return torch.arange(2**length)[:, None] >> torch.arange(length).flip(0) & 1


class BarsAndStripes(Dataset):
    """All 2^H + 2^W - 2 distinct bars-and-stripes images of H x W pixels, each with the same probability.

    p(x) = 1 / (2^H + 2^W - 2) for an allowed image, else 0: for 4x4, 30 images and an entropy of ln 30 nats.
    The data set is the whole distribution, so there is nothing to hold out: "train", "validation", "test" and "all"
    give the same images, and `split` reads "all". First come the 2^H images of stripes, all-black and all-white among
    them, then the 2^W - 2 of bars that are left.

    Card:
        What: small black and white images of bars or stripes, every one of them, equally probable; no classes.
        Source: computed; after D. J. C. MacKay (2003).
        Licence: none needed.
        Size: 30 images of 4x4 pixels, the same in every split.
        Cite: MacKay (2003), Information Theory, Inference, and Learning Algorithms, Cambridge University Press, chapter
            43.
        Flaws: nothing is held out, so it shows how well a model fits, not how well it generalizes. Some papers draw
            the all-black and the all-white image twice as often (32 cases); here each is one image.

    Args:
        split: "all", "train", "validation" or "test", without effect.
        size: the side of a square image, 1..12, or (height, width).

    Raises:
        ValueError: unknown split, or a side outside 1..12.

    Source:
        D. J. C. MacKay (2003), Information Theory, Inference, and Learning Algorithms, chapter 43.

    Example:
        >>> data = BarsAndStripes()
        >>> len(data), round(data.entropy().nats, 4)
        (30, 3.4012)
        >>> len(BarsAndStripes(size=(2, 3)))
        10
    """

    def __init__(self, split: str = "all", *, size: int | tuple[int, int] = 4):
        check_split(split, ("all", *SPLITS))
        sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        if len(sides) != 2:
            raise ValueError(f"expected one side or (height, width) as size, got {size!r}")
        for side in sides:
            check_integer("size (the side of the image)", side, 1, 12)
        height, width = sides
        stripes = _patterns(height)[:, :, None].expand(-1, height, width)
        bars = _patterns(width)[1:-1, None, :].expand(-1, height, width)  # all-black and all-white are in already
        x = torch.cat([stripes, bars]).unsqueeze(1)  # (2^H + 2^W - 2, 1, H, W)
        super().__init__(
            "bars_and_stripes",
            "all",
            x,
            torch.zeros(len(x), dtype=torch.long),
            levels=2,
            n_classes=0,
            source=f"computed: every {height}x{width} image whose rows, or whose columns, are constant",
            licence="none needed",
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log p(x): -ln N for one of the N allowed images, -inf for any other.

        Args:
            x: LongTensor (B, 1, H, W), values 0 or 1.

        Returns:
            float64 tensor (B,) in nats.
        """
        check_images(x, self.shape, self.levels)
        stripes = (x == x[..., :1]).flatten(1).all(1)  # every row is constant
        bars = (x == x[..., :1, :]).flatten(1).all(1)
        allowed = torch.tensor(-math.log(len(self)), dtype=torch.float64, device=x.device)
        return torch.where(stripes | bars, allowed, -math.inf)

    def entropy(self) -> Entropy:
        """The entropy ln(2^H + 2^W - 2) in nats, exact: `(nats, stderr)` with a standard error of 0."""
        return Entropy(math.log(len(self)), 0.0)
