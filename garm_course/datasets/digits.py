"""Real handwriting: 1,797 digits of 8x8 pixels with 17 gray levels, from scikit-learn's own files.

Each pixel counts the black dots, 0 to 16, in a 4x4 block of a 32x32 bitmap. The order of the file is kept, because
neighboring images come from the same writer: a shuffle would put the same hand into training and test.
"""

from functools import cache

import torch
from torch import Tensor

from garm_course.datasets.base import Dataset, check_split

RANGES = {"train": range(1257), "validation": range(1257, 1437), "test": range(1437, 1797)}


@cache
def _all() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits  # half a second: only when digits are asked for

    file = load_digits()
    x = torch.tensor(file.images, dtype=torch.long).unsqueeze(1)  # (1797, 1, 8, 8)
    return x, torch.tensor(file.target, dtype=torch.long)


class Digits(Dataset):
    """Handwritten digits 0-9: train are images 0..1256, validation 1257..1436, test the last 360, never reshuffled.

    Card:
        What: handwritten digits of 8x8 pixels; a pixel counts the black dots, 0..16, in a 4x4 block of a bitmap.
        Source: E. Alpaydin and C. Kaynak, the test part of Optical Recognition of Handwritten Digits, in scikit-learn.
        Licence: CC BY 4.0.
        Size: 1,257 images for training, 180 for validation, 360 for test, in the order of the file.
        Cite: Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
            doi:10.24432/C50P49.
        Flaws: few images by 13 writers, in runs of one writer, so the splits differ: pixel marginals score 108 nats on
            validation and 106 on test. The standard error of a model's mean over 360 images is about 0.6 nats:
            compare models in pairs.

    Args:
        split: "train", "validation" or "test".

    Raises:
        ValueError: for another split.

    Source:
        E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
        doi:10.24432/C50P49 (its test part, which scikit-learn ships).

    Example:
        >>> for split in ("train", "validation", "test"):
        ...     print(split, len(Digits(split)))
        train 1257
        validation 180
        test 360
    """

    def __init__(self, split: str = "train"):
        check_split(split)
        part = slice(RANGES[split].start, RANGES[split].stop)
        x, y = _all()
        super().__init__(
            "digits",
            split,
            x[part].clone(),  # a copy: whoever writes into one data set must not change the next
            y[part].clone(),
            levels=17,
            n_classes=10,
            source="Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998), in scikit-learn",
            licence="CC BY 4.0",
        )
