"""Augmentation: training images that are shifted or bent a little each time, so that a model sees more of them.

It exists for training only. What evaluation sees is `plain`, the images as they are.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.datasets.base import Dataset, check_integer
from garm_course.datasets.fresh import Fresh
from garm_course.datasets.mnist import MNISTDynamic, binarize


def augment(data: Dataset, *, shift: int = 0, elastic: float = 0.0, seed: int = 0) -> Dataset:
    """The training split of a data set of images, shifted and bent anew each time that an image is asked for.

    Images that are drawn from gray values (`mnist_dynamic`) are changed before they are drawn.

    Args:
        data: the "train" split, images (C, H, W) whose level 0 is the background (so no photographs).
        shift: largest shift in pixels, up, down, left and right.
        elastic: root mean square of the displacement of a pixel, in pixels, in each direction; see `bend`.
        seed: of the draws.

    Returns:
        Dataset with the same `x`, which does not change, and fresh images from `data[i]` and from a DataLoader.

    Raises:
        ValueError: another split than "train", no images, photographs, colors that would be mixed, images that are
            augmented already, nothing to do, or an option out of range.

    Example:
        >>> from garm_course.datasets import load
        >>> train = augment(load("digits"), shift=1)
        >>> x, y = train[0]
        >>> x.shape, len(train)
        (torch.Size([1, 8, 8]), 1257)
    """
    if not isinstance(data, Dataset):
        raise ValueError(f"expected a data set, got {type(data).__name__}; load it first: load('digits')")
    if isinstance(data, _Augmented):
        raise ValueError("expected data that are not augmented yet; give shift and elastic together")
    if data.split != "train":
        raise ValueError(f"augmentation is for training only, got the split {data.split!r}; evaluate on the data as is")
    if len(data.shape) != 3 or data.levels is None:
        raise ValueError(f"expected images (C, H, W) of whole levels, got {data.called} of shape {data.shape}")
    if data.levels == 256 and data.shape[0] == 3:
        raise ValueError(
            f"{data.name} are photographs: they have no background that could move in; use them as they are"
        )
    if elastic and data.shape[0] > 1:
        raise ValueError("expected gray images to bend, got colors: interpolating them makes new ones; use shift")
    check_integer("shift (pixels)", shift, 0, min(data.shape[1:]) - 1)
    if isinstance(elastic, bool) or not isinstance(elastic, (int, float)) or not 0 <= elastic <= max(data.shape[1:]):
        raise ValueError(f"expected elastic, a displacement in pixels, from 0 to the image's size, got {elastic!r}")
    if shift == 0 and elastic == 0:
        raise ValueError("expected a shift or an elastic displacement, got neither; use the data as they are")
    check_integer("seed", seed, 0, 2**60)
    return _Augmented(data, shift, float(elastic), seed)


class _Augmented(Fresh):
    def __init__(self, data: Dataset, shift: int, elastic: float, seed: int):
        super().__init__(data.plain, seed)
        self._data, self._shift, self._elastic = data, shift, elastic
        self.source = f"{self.source}, augmented (shift {shift}, elastic {elastic:g})"

    def draw(self, index, rng: torch.Generator) -> Tensor:
        drawn = isinstance(self._data, MNISTDynamic)
        x = self._data.gray[index] if drawn else self.x[index]
        images = x.reshape(-1, *self.shape)
        if self._elastic:
            images = bend(images, self._elastic, rng)
        if self._shift:
            images = move(images, torch.randint(-self._shift, self._shift + 1, (len(images), 2), generator=rng))
        images = images.reshape(x.shape)
        return binarize(images, rng) if drawn else images


def move(x: Tensor, steps: Tensor) -> Tensor:
    """Each image moved by whole pixels; what enters from outside is level 0.

    Args:
        x: (B, C, H, W).
        steps: LongTensor (B, 2), pixels down and to the right.

    Returns:
        (B, C, H, W).
    """
    b, _, height, width = x.shape
    row = torch.arange(height)[None, :] - steps[:, :1]  # (B, H): where each row comes from
    column = torch.arange(width)[None, :] - steps[:, 1:]
    inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[:, None, :]  # (B, H, W)
    row, column = row.clamp(0, height - 1), column.clamp(0, width - 1)
    moved = x[torch.arange(b)[:, None, None], :, row[:, :, None], column[:, None, :]]  # (B, H, W, C)
    return moved.permute(0, 3, 1, 2) * inside[:, None]


def bend(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Each image bent by a smooth random displacement field of its own: elastic deformation.

    The displacement is white noise blurred by a Gaussian whose width is a seventh of the image, scaled so that its root
    mean square is `strength` pixels in each direction. Levels between pixels are interpolated and rounded.

    Args:
        x: whole levels (B, C, H, W).
        strength: in pixels.
        rng: 2 H W normal numbers an image are drawn from it.

    Returns:
        (B, C, H, W) of the dtype of x; no level is above the highest of the image, and 0 comes in from outside.

    Source:
        P. Y. Simard, D. Steinkraus, J. C. Platt (2003), "Best practices for convolutional neural networks applied to
        visual document analysis", ICDAR, section 2.
    """
    b, _, height, width = x.shape
    field = torch.randn(b, 2, height, width, generator=rng)
    for axis, size in ((2, height), (3, width)):
        sigma = size / 7
        reach = math.ceil(3 * sigma)
        kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
        kernel = kernel / kernel.square().sum().sqrt()  # keeps the variance of white noise
        shape = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
        pad = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        padded = F.pad(field, pad, mode="circular")
        field = F.conv2d(padded.flatten(0, 1)[:, None], kernel.view(shape)).view_as(field)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    row, column = rows + strength * field[:, 0], columns + strength * field[:, 1]  # (B, H, W): where pixels come from
    grid = torch.stack([2 * column / max(width - 1, 1) - 1, 2 * row / max(height - 1, 1) - 1], -1)
    return F.grid_sample(x.float(), grid, padding_mode="zeros", align_corners=True).round().to(x.dtype)
