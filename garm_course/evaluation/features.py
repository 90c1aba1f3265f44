"""A small classifier of digits, whose last hidden layer is the space in which samples are compared.

Distances between samples depend on the features they are taken in. Those of this course come from a network that is
trained on the data set itself (`garm train classifier --data digits`) and shipped with the package, so every distance
names it: it is no FID, whose features are those of Inception on photographs, and compares only within a data set.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_levels
from garm_course.models import configured
from garm_course.transforms import scale

FEATURES = 32


class DigitClassifier(nn.Module):
    """Two convolutions of stride 2, a hidden layer of 32 features, and one logit for each class.

    Args:
        shape: (C, H, W) of the images.
        levels: of a pixel.
        n_classes: classes, at least 2.
        channels: of the first convolution; the second has twice as many.
        dropout: probability of dropping a unit.

    Example:
        >>> classifier = DigitClassifier((1, 8, 8), 17)
        >>> classifier(torch.zeros(3, 1, 8, 8, dtype=torch.long)).shape
        torch.Size([3, 10])
    """

    name = "classifier"

    @configured
    def __init__(self, shape, levels, n_classes=10, *, channels=16, dropout=0.3):
        super().__init__()
        if n_classes < 2 or channels < 1:
            raise ValueError(f"expected n_classes >= 2 and channels >= 1, got {n_classes} and {channels}")
        self.shape, self.levels, self.n_classes = tuple(shape), levels, n_classes
        c, h, w = self.shape
        units = 2 * channels * -(-h // 4) * -(-w // 4)
        self.hidden = nn.Sequential(
            nn.Conv2d(c, channels, 3, 2, 1), nn.ReLU(), nn.Dropout(dropout),
            nn.Conv2d(channels, 2 * channels, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout),
            nn.Linear(units, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.logits = nn.Sequential(nn.Dropout(dropout), nn.Linear(FEATURES, n_classes))

    def features(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) of levels -> (B, 32), not negative."""
        check_levels(x, self.shape, self.levels)
        return self.hidden(scale(x, self.levels).to(self.logits[1].weight))

    def forward(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) of levels -> logits (B, n_classes)."""
        return self.logits(self.features(x))


def cross_entropy(classifier: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """-log p(y | x) in nats, averaged over the batch: the loss with which `fit` trains a classifier."""
    return F.cross_entropy(classifier(x), y)


def features(classifier: DigitClassifier, x: Tensor, batch_size: int = 256) -> Tensor:
    """The features of images, in which samples are compared.

    Args:
        classifier: with frozen weights, as `load_pretrained("classifier-digits")` has them.
        x: LongTensor (N, C, H, W) of levels.
        batch_size: images at a time; it changes the memory, not the result.

    Returns:
        float64 tensor (N, 32) on the CPU.

    Raises:
        ValueError: a classifier whose weights are not frozen, or images that do not fit it. TypeError: another dtype.
    """
    if any(weight.requires_grad for weight in classifier.parameters()):
        raise ValueError(
            "the classifier's weights are not frozen, so a training could move the features that its result is "
            "measured in; call classifier.requires_grad_(False) first"
        )
    check_levels(x, classifier.shape, classifier.levels)
    return _each(classifier, classifier.features, x, batch_size).double().cpu()


def classify(classifier: DigitClassifier, x: Tensor, batch_size: int = 256) -> Tensor:
    """The most probable class of each image: LongTensor (N, C, H, W) -> LongTensor (N,) on the CPU."""
    check_levels(x, classifier.shape, classifier.levels)
    return _each(classifier, classifier, x, batch_size).argmax(1).cpu()


def accuracy(classifier: DigitClassifier, data: Dataset) -> float:
    """Share of the images of a data set that are read as their class, in [0, 1]."""
    if len(data) == 0:
        raise ValueError("expected at least one image, got an empty data set")
    right = [
        (classify(classifier, x) == y).double().sum() for x, y in DataLoader(data, 256, generator=torch.Generator())
    ]
    return (sum(right) / len(data)).item()


def class_shares(classifier: DigitClassifier, x: Tensor) -> Tensor:
    """Share of the images that are read as each class: LongTensor (N, C, H, W) -> float64 (n_classes,), sum 1."""
    return classify(classifier, x).bincount(minlength=classifier.n_classes).double() / len(x)


@torch.no_grad()
def _each(classifier: nn.Module, function, x: Tensor, batch_size: int) -> Tensor:
    device = next(classifier.parameters()).device
    with evaluation_mode(classifier):
        return torch.cat([function(part.to(device)) for part in x.split(batch_size)])
