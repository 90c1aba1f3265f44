"""Small classifiers, whose last hidden layer is the space in which samples are compared.

Distances between samples depend on the features they are taken in. Those of this course come from a network that is
trained on the data set itself (`garm train classifier --data digits`) and shipped with the package, so every distance
names it: it is no FID, whose features are those of Inception on photographs, and compares only within a data set.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from garm_course.datasets.captions import FACTORS
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_levels, check_scaled, check_shape
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
        return self.from_scaled(scale(x, self.levels))

    def from_scaled(self, x: Tensor) -> Tensor:
        """Features (B, 32) of numbers that a network drew, with the gradient in them.

        Args:
            x: FloatTensor (B, C, H, W), where data have [-1, 1]; the output of a network may lie outside.

        Raises:
            TypeError, ValueError: for levels, or images of another shape.
        """
        return self.hidden(self._scaled(x))

    def maps(self, x: Tensor) -> list[Tensor]:
        """What the two convolutions say of numbers (B, C, H, W), as for `from_scaled`: two maps (B, C', H', W')."""
        h, found = self._scaled(x), []
        for layer in self.hidden:
            h = layer(h)
            if isinstance(layer, nn.Flatten):
                return found
            if isinstance(layer, nn.ReLU):
                found.append(h)

    def _scaled(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            check_scaled(x)  # which says what to do
        check_shape(x, self.shape, f"images (B, {', '.join(map(str, self.shape))}) of the data of the {self.name}")
        return x.to(self.logits[1].weight)

    def forward(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) of levels -> logits (B, n_classes)."""
        return self.logits(self.features(x))


class FactorClassifier(DigitClassifier):
    """A classifier of captioned glyphs: it reads each factor that a caption may name, see `captions.FACTORS`.

    Two of them come along, of different seeds: the teacher, in whose features models are trained, and the judge, by
    which they are measured. Whoever is trained to please a network is measured by another one.

    Args:
        shape: see `DigitClassifier`.
        levels: see `DigitClassifier`.
        channels: see `DigitClassifier`.
        dropout: see `DigitClassifier`.

    Example:
        >>> classifier = FactorClassifier((3, 28, 28), 4, channels=4)
        >>> read = classifier.read(torch.zeros(2, 3, 28, 28, dtype=torch.long))
        >>> {name: tuple(index.shape) for name, index in read.items()}
        {'digit': (2,), 'hue': (2,), 'slant': (2,), 'bold': (2,), 'serif': (2,), 'size': (2,)}
    """

    name = "factor_classifier"
    heads: ClassVar[dict[str, int]] = {name: len(words) for name, words in FACTORS.items()}

    @configured
    def __init__(self, shape, levels, n_classes=0, *, channels=32, dropout=0.0):
        if n_classes:
            raise ValueError(f"expected n_classes=0, the factors have values of their own, got {n_classes}")
        super().__init__(shape, levels, sum(self.heads.values()), channels=channels, dropout=dropout)
        self.n_classes = 0  # it has factors

    def split(self, logits: Tensor) -> dict[str, Tensor]:
        """Logits (B, 26), as `forward` returns them, by factor: (B, values of the factor) each."""
        return dict(zip(self.heads, logits.split(list(self.heads.values()), 1), strict=True))

    @torch.no_grad()
    def read(self, x: Tensor, batch_size: int = 256) -> dict[str, Tensor]:
        """The most probable value of each factor.

        Args:
            x: LongTensor (N, C, H, W) of levels.
            batch_size: images at a time; it changes the memory, not the result.

        Returns:
            LongTensor (N,) on the CPU, by factor: places in the words of `captions.FACTORS`.

        Raises:
            TypeError, ValueError: for images that do not fit.
        """
        check_levels(x, self.shape, self.levels)
        return {name: one.argmax(1).cpu() for name, one in self.split(_each(self, self, x, batch_size)).items()}


def factor_cross_entropy(classifier: FactorClassifier, x: Tensor, y: Tensor) -> Tensor:
    """-log p of all factors of an image in nats, averaged over the batch; y is LongTensor (B, 6), see `labels`."""
    logits = classifier.split(classifier(x))
    return sum(F.cross_entropy(one, y[:, k]) for k, one in enumerate(logits.values()))


def asked_for(classifier: FactorClassifier, x: Tensor, factors: dict[str, int | Tensor]) -> dict[str, float]:
    """Share of images in which a classifier reads what was asked for.

    Args:
        classifier: that does not take part in the training of the model: see `FactorClassifier`.
        x: LongTensor (N, C, H, W) of levels.
        factors: what was asked for, as `captions.parse` returns it; or LongTensors (N,) with a value for each image, -1
            where nothing was asked.

    Returns:
        By factor that was asked for, a share in [0, 1] of the images of which it was; and under "all" the share of the
        images in which all is right that was asked for.

    Raises:
        TypeError, ValueError: for images that do not fit, an unknown factor, or nothing that was asked for.

    Source:
        This course; the idea of a classifier as the judge of a generator: Salimans et al. (2016), arXiv 1606.03498.
    """
    read = classifier.read(x)
    wanted = {name: torch.as_tensor(value).cpu().expand(len(x)) for name, value in factors.items() if name in read}
    if unknown := factors.keys() - read.keys():
        raise ValueError(f"no factor {', '.join(sorted(unknown))}; known: {', '.join(read)}")
    asked = {name: value >= 0 for name, value in wanted.items()}
    if not any(which.any() for which in asked.values()):
        raise ValueError(
            f"expected at least one factor that was asked for: {', '.join(read)}; an empty caption has none"
        )
    right = {name: (read[name] == value) | ~asked[name] for name, value in wanted.items()}
    some = torch.stack(list(asked.values())).any(0)
    shares = {name: right[name][which].double().mean().item() for name, which in asked.items() if which.any()}
    return {**shares, "all": torch.stack(list(right.values())).all(0)[some].double().mean().item()}


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
