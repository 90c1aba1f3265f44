"""Two domains between which the true translation is known: gray images, and images in two colors.

A gray value becomes a place on the line between two colors, paper and ink, so the way back is exact. Numbers are in
[-1, 1] in both domains. Training data are cut in two halves, of which one is colored: no image is in both domains.
"""

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from garm_course.datasets.base import Dataset
from garm_course.transforms import scale

PAPER, INK = (-1.0, -0.8, 0.2), (1.0, 0.8, -0.8)  # red, green, blue of the gray values -1 and 1


def colored(x: Tensor) -> Tensor:
    """The true translation: each gray value its own color.

    Args:
        x: (N, 1, H, W) in [-1, 1].

    Returns:
        (N, 3, H, W) in [-1, 1], on the device of x.

    Example:
        >>> colored(torch.tensor([-1.0, 1.0]).reshape(1, 1, 1, 2))[0, :, 0].T
        tensor([[-1.0000, -0.8000,  0.2000],
                [ 1.0000,  0.8000, -0.8000]])
    """
    paper, ink = _ends(x)
    return paper + (ink - paper) * (x + 1) / 2


def shade(y: Tensor) -> Tensor:
    """The way back: how far a color is from paper towards ink; a color beside their line counts as its nearest there.

    Args:
        y: (N, 3, H, W), any numbers.

    Returns:
        (N, 1, H, W); in [-1, 1] for what `colored` made.

    Example:
        >>> x = torch.linspace(-1, 1, 5).reshape(1, 1, 1, 5)
        >>> torch.allclose(shade(colored(x)), x)
        True
    """
    paper, ink = _ends(y)
    line = ink - paper
    return 2 * ((y - paper) * line).sum(1, keepdim=True) / line.square().sum() - 1


def unpaired(data: Dataset) -> tuple[TensorDataset, TensorDataset]:
    """Gray images, and colored ones of other images: a random half of the data each, the same each time.

    Args:
        data: gray images, LongTensor (N, 1, H, W) of levels, with classes.

    Returns:
        Two data sets of N // 2 examples (x, class): x (1, H, W) and (3, H, W) in [-1, 1].

    Raises:
        ValueError: for data that are no gray images.
    """
    if len(data.shape) != 3 or data.shape[0] != 1 or data.levels is None:
        raise ValueError(f"expected gray images (1, H, W) of whole levels, got {data.called} of shape {data.shape}")
    half = len(data) // 2
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    x = scale(data.x, data.levels)
    gray, other = order[:half], order[half : 2 * half]
    return TensorDataset(x[gray], data.y[gray]), TensorDataset(colored(x[other]), data.y[other])


def _ends(like: Tensor) -> tuple[Tensor, Tensor]:
    return tuple(torch.tensor(color, dtype=like.dtype, device=like.device).reshape(3, 1, 1) for color in (PAPER, INK))
