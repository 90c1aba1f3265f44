"""The colors of colored glyphs: which pixels have one, and the nearest one to any other.

Uncertain networks mix colors. What they draw can be told from data by its mixed pixels alone, and put right by taking
the nearest color for each.
"""

import torch
from torch import Tensor

from garm_course.datasets.glyphs import LEVELS_IN_COLOR, PALETTE
from garm_course.transforms import scale, unscale

COLORS = torch.tensor([(0, 0, 0), *PALETTE.values()])  # (7, 3): black, and the hues


def mixed_pixels(x: Tensor) -> Tensor:
    """How many pixels of each image have no color of the palette, at the nearest levels: LongTensor (B,).

    Args:
        x: (B, 3, H, W) in [-1, 1].

    Raises:
        ValueError: for images of other channels, or NaN in them.

    Example:
        >>> mixed_pixels(torch.tensor([[-1.0, -1.0, -1.0], [1.0, -1.0, -1.0], [0.2, -1.0, -1.0]]).T.reshape(1, 3, 1, 3))
        tensor([1])
    """
    _check(x)
    levels = unscale(x, LEVELS_IN_COLOR)
    known = (levels.unsqueeze(1) == COLORS.to(x.device)[:, :, None, None]).all(2).any(1)
    return (~known).flatten(1).sum(1)


def snap(x: Tensor) -> Tensor:
    """The nearest color of the palette for each pixel, the first one among ties: LongTensor (B, 3, H, W) of levels.

    Args:
        x: (B, 3, H, W) in [-1, 1].

    Raises:
        ValueError: for images of other channels.

    Example:
        >>> snap(torch.tensor([0.7, -0.8, -0.9]).reshape(1, 3, 1, 1)).flatten()
        tensor([3, 0, 0])
    """
    _check(x)
    colors = scale(COLORS, LEVELS_IN_COLOR).to(x)
    distance = (x.unsqueeze(1) - colors[:, :, None, None]).square().sum(2)  # (B, 7, H, W)
    return COLORS.to(x.device)[distance.argmin(1)].movedim(-1, 1)


def _check(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"expected color images (B, 3, H, W) in [-1, 1], got shape {tuple(x.shape)}")
