"""The baselines that every model must beat: each position on its own, all alike, by its histogram or by the class."""

import math

import torch
from torch import Tensor
from torch.utils.data import Dataset

from garm_course.evaluation.likelihood import Likelihood, evaluate


class Uniform:
    """Every level of every pixel equally likely: D ln(levels) nats."""

    def __init__(self, levels: int):
        self.levels = levels

    def log_prob(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B,) nats."""
        return torch.full((len(x),), -x[0].numel() * math.log(self.levels), dtype=torch.float64)


class PixelMarginals:
    """Independent pixels, each with its own histogram over the levels.

    Args:
        x: LongTensor (N, C, H, W), the training images.
        levels: number of levels.
        smoothing: count that is added to every bin, so that no level has probability zero.
    """

    def __init__(self, x: Tensor, levels: int, smoothing: float = 0.2):
        cells = x.flatten(1) + levels * torch.arange(x[0].numel())  # (N, D): one histogram bin per pixel and level
        counts = torch.bincount(cells.flatten(), minlength=levels * x[0].numel()).double() + smoothing
        counts = counts.unflatten(0, (*x.shape[1:], levels))  # (C, H, W, levels)
        self.table = (counts / counts.sum(-1, keepdim=True)).log()

    def log_prob(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) -> (B,) nats."""
        table = self.table.expand(len(x), *self.table.shape)
        return table.gather(-1, x.unsqueeze(-1)).flatten(1).sum(1)


class ClassMarginals:
    """A mixture of pixel marginals, one for each class: log p(x) = log sum_y p(y) p(x | y).

    Args:
        x: training images LongTensor (N, C, H, W).
        y: their classes (N,).
        levels: see `PixelMarginals`.
        smoothing: see `PixelMarginals`.
    """

    def __init__(self, x: Tensor, y: Tensor, levels: int, smoothing: float = 0.2):
        classes, counts = y.unique(return_counts=True)
        self.prior = (counts / counts.sum()).double().log()
        self.parts = [PixelMarginals(x[y == c], levels, smoothing) for c in classes]

    def log_prob(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) -> (B,) nats."""
        return torch.stack([p + part.log_prob(x) for p, part in zip(self.prior, self.parts, strict=True)]).logsumexp(0)


def baselines(train: Dataset, dataset: Dataset) -> dict[str, Likelihood]:
    """The three baselines, fitted to `train` and evaluated on `dataset`: uniform, pixel marginals, class marginals.

    Args:
        train: data sets of this course, with `.x`, `.y` and `.levels`.
        dataset: data sets of this course, with `.x`, `.y` and `.levels`.

    Returns:
        {"uniform": ..., "pixel marginals": ..., "class marginals": ...}

    Raises:
        ValueError: for data of real numbers, which have no levels to count.
    """
    if train.levels is None:
        raise ValueError(
            f"expected data of whole levels, got {train.name} of real numbers; fit a density to them instead"
        )
    return {
        "uniform": evaluate(Uniform(train.levels), dataset),
        "pixel marginals": evaluate(PixelMarginals(train.x, train.levels), dataset),
        "class marginals": evaluate(ClassMarginals(train.x, train.y, train.levels), dataset),
    }
