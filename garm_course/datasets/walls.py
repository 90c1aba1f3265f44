"""Walls of printed digits: images of any size whose statistics are the same everywhere.

A glyph stands in the middle of its image, so a model of glyphs knows the place. A wall has no middle: whatever was
learned from crops of it holds at every place of a larger one.
"""

import torch
from torch import Tensor

from garm_course.datasets.base import check_integer
from garm_course.datasets.glyphs import PALETTE, Glyphs
from garm_course.datasets.palette import COLORS

CELL = 24  # pixels from one digit to the next
HEIGHT = 18  # of a digit, in pixels


def wall(n: int, height: int, width: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Crops of walls, each of one hue, with a digit in every cell of 24 x 24 pixels, at a place that is drawn.

    Digits and fonts of the cells, the hue, and where the cells begin are drawn uniformly and independently, so that no
    row or column differs from another in law; the hue is all that distant cells have in common.

    Args:
        n: how many crops, at least 1.
        height: of a crop, in pixels.
        width: of a crop, in pixels.
        rng: source of the draws, a row of uniforms a crop, so that fewer crops of a size are the first of more.

    Returns:
        x LongTensor (n, 3, height, width) of 4 levels, and the hues, LongTensor (n,), places in `PALETTE`.

    Raises:
        ValueError: for sizes below 1.

    Example:
        >>> x, hue = wall(2, 32, 160, torch.Generator().manual_seed(0))
        >>> x.shape, hue.shape
        (torch.Size([2, 3, 32, 160]), torch.Size([2]))
    """
    for name, value in (("n", n), ("height", height), ("width", width)):
        check_integer(name, value, 1)
    shapes = Glyphs("train", size=HEIGHT, slant=0.0, shift=0, flip=0.0, n=1).prototypes[:, 0]  # (K, 28, 28)
    edge = (shapes.shape[-1] - CELL) // 2
    cells = shapes[:, edge : edge + CELL, edge : edge + CELL]
    rows, columns = (-(-size // CELL) + 1 for size in (height, width))
    u = torch.rand(n, 3 + rows * columns, dtype=torch.float64, generator=rng)
    top, left, hue = (u[:, :3] * torch.tensor([CELL, CELL, len(PALETTE)])).long().unbind(1)
    drawn = cells[(u[:, 3:] * len(cells)).long()].unflatten(1, (rows, columns))  # (n, rows, columns, 24, 24)
    whole = drawn.transpose(2, 3).flatten(3).flatten(1, 2)
    down, right = top[:, None] + torch.arange(height), left[:, None] + torch.arange(width)
    crop = whole[torch.arange(n)[:, None, None], down[:, :, None], right[:, None]]
    return crop[:, None] * COLORS[1 + hue][:, :, None, None], hue


def hue_of(x: Tensor) -> Tensor:
    """The hue of each image, by a vote of its pixels that are not black.

    Args:
        x: LongTensor (B, 3, H, W) of 4 levels, also such that are no color of the palette: the nearest one counts.

    Returns:
        LongTensor (B,), places in `PALETTE`; -1 where all pixels are nearest to black.
    """
    colors = COLORS.to(x.device)
    distance = (x.flatten(2).mT[:, :, None] - colors).square().sum(-1)  # (B, H W, 7)
    votes = torch.nn.functional.one_hot(distance.argmin(2), len(colors)).sum(1)[:, 1:]
    return votes.argmax(1).where(votes.sum(1) > 0, -1)
