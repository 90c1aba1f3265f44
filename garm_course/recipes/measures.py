"""What a finished run is measured by: likelihood, accuracy of a classifier, samples of a generator, translations.

Each kind of model has one function (model, data, split) -> figures, as plain numbers for JSON. The first figure of each
kind, its headline, is what tables show.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from garm_course.datasets.base import Dataset
from garm_course.datasets.coloring import colored, shade, unpaired
from garm_course.evaluation.features import DigitClassifier, accuracy, class_shares, classify, features
from garm_course.evaluation.likelihood import (
    Likelihood,
    baselines,
    bits_per_dim,
    evaluate,
    kl_to_model,
    rate_distortion,
)
from garm_course.evaluation.samples import (
    bootstrap,
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from garm_course.transforms import scale, unscale
from garm_course.weights import load_pretrained

IMPORTANCE_SAMPLES = 500  # of the bound that is recorded for held-out data; the training data get the ELBO
TRAINING_EXAMPLES = 12_000  # of larger training data only the first ones are measured


def likelihood_figures(model: nn.Module, data: Dataset, split: str) -> dict:
    """Nats per example and bits/dim with standard error; rate and distortion of a bound; KL where it is known."""
    large = split == "train" and len(data) > TRAINING_EXAMPLES
    measured = Subset(data, range(TRAINING_EXAMPLES)) if large else data
    k = IMPORTANCE_SAMPLES if hasattr(model, "iwae_bound") and split != "train" else None
    figures = _likelihood(evaluate(model, measured, k=k))
    if hasattr(model, "elbo"):
        figures |= rate_distortion(model, measured)
    if hasattr(data, "log_prob") and not model.n_classes:
        gap = kl_to_model(data, model, k=k)
        figures["kl"] = {"nats": gap.nats, "stderr": gap.stderr}
    return figures


def classifier_figures(model: nn.Module, data: Dataset, split: str) -> dict:
    """Share of right answers, with the standard error of a share."""
    right = accuracy(model, data)
    return {"accuracy": right, "stderr": math.sqrt(right * (1 - right) / len(data)), "n": len(data)}


def sample_figures(model: nn.Module, data: Dataset, split: str) -> dict:
    """Distances between as many samples as there are examples, and these, in the features of the course's classifier.

    Samples are the first ones of seed 0; a conditional model draws the classes of the data, and "class_accuracy" is the
    share that is read as its class. On data with known prototypes, "prototypes" says how many different ones were
    drawn, how many the data show, and by how many pixels a sample differs from the nearest.
    """
    y = data.y if model.n_classes else None
    x = unscale(model.sample(len(data), y, rng=torch.Generator().manual_seed(0)), data.levels)
    classifier = load_pretrained(f"classifier-{data.name}")
    figures = compare(classifier, data.x, x)
    if model.n_classes:
        figures["class_accuracy"] = (classify(classifier, x) == y).double().mean().item()
    if hasattr(data, "nearest_prototype"):
        index, distance = data.nearest_prototype(x)
        figures["prototypes"] = {
            "distinct": len(index.unique()),
            "distinct_in_data": len(data.prototype.unique()),
            "of": len(data.prototypes),
            "pixels_off": distance.double().mean().item(),
        }
    return figures


def compare(classifier: DigitClassifier, real: Tensor, fake: Tensor) -> dict:
    """Every metric of two sets of equally many images, LongTensor (N, C, H, W) of levels, in a classifier's features.

    Returns:
        "frechet" with its bootstrap "stderr", "kernel", "precision", "recall", "density", "coverage", "least_class"
        (the smallest share of a class among the fakes), "n".
    """
    a, b = features(classifier, real), features(classifier, fake)
    frechet = bootstrap(frechet_distance, a, b, n=100, rng=torch.Generator().manual_seed(0))
    return {
        "frechet": frechet.value,
        "stderr": (frechet.high - frechet.low) / (2 * 1.96),
        "kernel": kernel_distance(a, b),
        **precision_recall(a, b)._asdict(),
        **density_coverage(a, b)._asdict(),
        "least_class": class_shares(classifier, fake).min().item(),
        "n": len(real),
    }


def translation_figures(model: nn.Module, data: Dataset, split: str) -> dict:
    """How far translated gray images are from the true colors, and what is left of them there and back.

    Returns:
        "error", the mean square difference to the true translation (numbers in [-1, 1]), with its "stderr" over images;
        "error_back", that of gray images made of colored ones; "cycle", the mean |F(G(x)) - x|; "class_accuracy", the
        share of translations that the course's classifier reads as the image's class; "n".
    """
    x = scale(data.x, data.levels)
    y = colored(x)
    there, here = model.translate(x, "xy"), model.translate(y, "yx")
    read = classify(load_pretrained(f"classifier-{data.name}"), unscale(shade(there), data.levels))
    return {
        **_square_error(there, y),
        "error_back": (here - x).square().mean().item(),
        "cycle": (model.translate(there, "yx") - x).abs().mean().item(),
        "class_accuracy": (read == data.y).double().mean().item(),
        "n": len(data),
    }


MEASURES = {
    "likelihood": likelihood_figures,
    "classifier": classifier_figures,
    "samples": sample_figures,
    "translation": translation_figures,
}


def context(kind: str, train: Dataset, validation: Dataset) -> dict:
    """What the figures of a kind are compared with: {"baselines": by name, "floor": or None}, on validation data.

    For samples that is as many training images: what a perfect memory of the training data would score.
    """
    if kind == "likelihood":
        known = {k: _likelihood(v) for k, v in baselines(train, validation).items()}
        return {"baselines": known, "floor": _floor(train)}
    if kind == "classifier":
        share = train.y.bincount(minlength=train.n_classes).argmax()
        right = (validation.y == share).double().mean().item()
        return {"baselines": {"most frequent class": {"accuracy": right, "stderr": 0.0, "n": len(validation)}},
                "floor": None}  # fmt: skip
    if kind == "translation":  # what regression learns from pairs that are none: the same image for all
        colors = unpaired(train)[1].tensors[0].mean(0, keepdim=True)
        error = _square_error(colors, colored(scale(validation.x, validation.levels)))
        return {"baselines": {"mean of the colored images": {**error, "n": len(validation)}}, "floor": None}
    rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[: len(validation)]
    classifier = load_pretrained(f"classifier-{train.name}")
    return {"baselines": {"training images": compare(classifier, validation.x, train.x[rows])}, "floor": None}


class Headline(NamedTuple):
    """The figure that a table shows, with its standard error, a text of both, and a key to sort by, best first."""

    value: float
    stderr: float
    text: str
    rank: float


def headline(figures: dict) -> Headline:
    """The first figure of a split, whatever its kind.

    Example:
        >>> headline({"nats": 90.6, "stderr": 0.8, "bound": "ELBO"}).text
        '≤ 90.60 ± 0.80'
        >>> headline({"accuracy": 0.975, "stderr": 0.01}).text
        '97.5 ± 1.0 %'
    """
    if "nats" in figures:
        value, error = figures["nats"], figures["stderr"]
        return Headline(value, error, f"{'≤ ' if figures.get('bound') else ''}{value:.2f} ± {error:.2f}", value)
    if "accuracy" in figures:
        value, error = figures["accuracy"], figures["stderr"]
        return Headline(value, error, f"{100 * value:.1f} ± {100 * error:.1f} %", -value)
    if "error" in figures:
        value, error = figures["error"], figures["stderr"]
        return Headline(value, error, f"{value:.5f} ± {error:.5f}", value)
    value, error = figures["frechet"], figures["stderr"]
    return Headline(value, error, f"{value:.1f} ± {error:.1f}", value)


def _likelihood(likelihood: Likelihood) -> dict:
    figures = {
        "nats": likelihood.nats,
        "stderr": likelihood.stderr,
        "bits_per_dim": likelihood.bits_per_dim,
        "n": likelihood.n,
    }
    return {**figures, "bound": likelihood.bound} if likelihood.bound else figures


def _square_error(found: Tensor, true: Tensor) -> dict:
    each = (found - true).square().flatten(1).mean(1).double()
    return {"error": each.mean().item(), "stderr": (each.std() / len(each) ** 0.5).item()}


def _floor(data: Dataset) -> dict | None:
    """Entropy of data whose distribution is known: no model can score less on average."""
    if not hasattr(data, "entropy"):
        return None
    nats, stderr = data.entropy()
    return {"nats": nats, "stderr": stderr, "bits_per_dim": bits_per_dim(nats, math.prod(data.shape))}
