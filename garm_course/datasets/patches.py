"""Small color patches of two real photographs, which scikit-learn ships: the statistics of natural images, in 8x8.

A photograph is cut into square tiles, and each tile belongs to one split. So training, validation and test hold the
same kind of content, and no pixel is in two of them.
"""

from functools import cache

import torch
from torch import Tensor

from garm_course.datasets.base import Dataset, check_integer, check_split

PHOTOGRAPHS = ("china.jpg", "flower.jpg")  # 427 x 640 pixels each
TILE = 48  # pixels; 8 x 13 whole tiles a photograph
TILES = (8, 13)


@cache
def _photographs() -> Tensor:
    """(2, 3, 427, 640) of 0..255."""
    from sklearn.datasets import load_sample_image

    return torch.stack([torch.from_numpy(load_sample_image(name).copy()) for name in PHOTOGRAPHS]).permute(0, 3, 1, 2)


def tile_split(row: int, column: int) -> str:
    """The split of a tile: of seven along a row one for validation and one for test, which never touch at an edge.

    >>> [tile_split(0, column)[:2] for column in range(8)]
    ['tr', 'tr', 'va', 'tr', 'tr', 'te', 'tr', 'tr']
    """
    return {2: "validation", 5: "test"}.get((column + 2 * row) % 7, "train")


class Patches(Dataset):
    """Square RGB patches of the photographs of a Chinese pavilion (class 0) and of a flower (class 1), 256 levels.

    Card:
        What: color patches of two photographs, in a fixed random order; the class is the photograph.
        Source: china.jpg by danielbuechele and flower.jpg by vultilion (both on Flickr), as scikit-learn ships them
            (`sklearn.datasets.load_sample_images`).
        Licence: CC BY 2.0, both photographs.
        Size: for 8x8 patches 5,328 for training, 1,080 each for validation and test.
        Cite: Pedregosa et al. (2011), Scikit-learn: Machine Learning in Python, JMLR 12, pages 2825-2830.
        Flaws: two photographs are not "natural images", and JPEG compression works on the same 8x8 blocks, so levels
            are smoother than those of a camera. Tiles touch, so patches at a tile's edge resemble their neighbors in
            another split. Decoders of JPEG may differ by a level; the fingerprint tells.

    Args:
        split: "train", "validation" or "test": disjoint tiles of 48 x 48 pixels.
        size: side of a patch in pixels, 2..48; what does not fit into a tile is cut off.
        stride: distance between patches in pixels; None for `size` (patches do not overlap). Only for training.

    Raises:
        ValueError: for another split, or an option out of range.

    Example:
        >>> data = Patches("test")
        >>> data.x.shape, data.levels
        (torch.Size([1080, 3, 8, 8]), 256)
    """

    called = "patches"

    def __init__(self, split: str = "train", *, size: int = 8, stride: int | None = None):
        check_split(split)
        check_integer("size (the side of a patch)", size, 2, TILE)
        if stride is not None:
            check_integer("stride (distance between patches)", stride, 1, TILE)
            if split != "train" and stride != size:
                raise ValueError(f"patches of {split} do not overlap, so that each pixel counts once; leave stride out")
        self.overlap = stride is not None and stride < size
        photographs = _photographs()
        x, y = [], []
        for label, photograph in enumerate(photographs):
            for row in range(TILES[0]):
                for column in range(TILES[1]):
                    if tile_split(row, column) == split:
                        tile = photograph[:, row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
                        cut = tile.unfold(1, size, stride or size).unfold(2, size, stride or size)  # (3, r, c, h, w)
                        x.append(cut.flatten(1, 2).transpose(0, 1))
                        y += [label] * len(x[-1])
        x, y = torch.cat(x).long(), torch.tensor(y)
        # a fixed order like that of a deck well shuffled: in their own, the first hundreds of patches are all sky
        order = torch.rand(len(x), dtype=torch.float64, generator=torch.Generator().manual_seed(0)).argsort()
        super().__init__(
            "patches",
            split,
            x[order],
            y[order],
            levels=256,
            n_classes=len(PHOTOGRAPHS),
            source="photographs of danielbuechele and vultilion in scikit-learn, cut into tiles",
            licence="CC BY 2.0",
        )
