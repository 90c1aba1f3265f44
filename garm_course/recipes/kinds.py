"""Kinds of results: how a run is measured, what its figures are compared with, and how tables show them.

A kind is one class, and `KINDS` lists one object of each: recipes name theirs, and the command line and RESULTS.md
go through the list. Figures are plain numbers for JSON, a dictionary for each split; the main one of a kind stands
under its `key`, with its standard error under "stderr". To add a kind, add a class and its object to `KINDS`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Subset, TensorDataset

from garm_course.datasets import dataset_class, load
from garm_course.datasets.base import Dataset
from garm_course.datasets.captions import FACTORS, CaptionedGlyphs
from garm_course.datasets.coloring import colored, shade, unpaired
from garm_course.datasets.palette import COLORS, mixed_pixels, snap
from garm_course.datasets.text import Text
from garm_course.evaluation import (
    Likelihood,
    baselines,
    bits_per_dim,
    compressors,
    evaluate,
    kl_to_model,
    rate_distortion,
    sound_baselines,
    text_baselines,
)
from garm_course.evaluation.features import (
    DigitClassifier,
    FactorClassifier,
    accuracy,
    asked_for,
    class_shares,
    classify,
    features,
)
from garm_course.evaluation.likelihood import standard_error
from garm_course.evaluation.samples import (
    bootstrap,
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from garm_course.latent.quantizer import codebook_perplexity
from garm_course.recipes.code_texts import TOKENIZER, codes_of, full_captions, images_of, tokenizer_of
from garm_course.transforms import mu_law_decode, scale, unscale
from garm_course.weights import load_pretrained

IMPORTANCE_SAMPLES = 500  # of the bound that is recorded for held-out data; the training data get the ELBO
CONTEXT = 32  # characters before each one that is scored in context
ASKED, ASKED_FOR, GUIDANCE = 300, ("digit", "hue", "slant"), 4.0  # captions that are drawn, what counts, how guided
TRAINING_EXAMPLES = 12_000  # of larger training data only the first ones are measured


class Headline(NamedTuple):
    """The main figure of a split, with its standard error, a text of both, and a key to sort by, best first."""

    value: float
    stderr: float
    text: str
    rank: float


def number(value: float, digits: int) -> str:
    """A number as tables print it.

    Example:
        >>> number(3260.561, 2), number(-0.001, 1)
        ('3,260.56', '0.0')
    """
    return f"{round(value, digits) + 0.0:,.{digits}f}"  # no "-0.0"


def bound(figures: dict) -> str:
    """The sign of an upper bound, "≤ ", or "" for an exact figure."""
    return "≤ " if figures.get("bound") else ""


class Column(NamedTuple):
    """A further figure of a kind, in tables.

    Attributes:
        key: in the figures of a split.
        heading: of the column.
        show: what a cell says, from the figures of a split; or the decimals of a plain number.
        splits: whether RESULTS.md shows it of the test split as well.
    """

    key: str
    heading: str
    show: Callable[[dict], str] | int
    splits: bool = False

    def text(self, figures: dict) -> str:
        """What a cell says; "" where the figure is not recorded."""
        if self.key not in figures:
            return ""
        return self.show(figures) if callable(self.show) else number(figures[self.key], self.show)


class Kind(ABC):
    """What all kinds share; a subclass says the rest.

    Attributes:
        name: as recipes and files of results have it.
        heading: of its section in RESULTS.md.
        about: what its figures are, for the same place.
        key: of the main figure.
        unit: of the main figure, in words.
        column: heading of the main figure in tables.
        digits: decimals of the main figure.
        factor: what it is multiplied by when it is shown.
        sign: what stands behind it then.
        best: 1 where lower is better, -1 where higher is.
        published: whether papers publish such figures, which compare on the same data.
        counted: what "n" counts, in the plural.
        position: what a model draws one after another.
        suffix: of a file of samples.
        columns: further figures, in the order of the tables.
    """

    name = heading = about = key = unit = column = sign = ""
    digits, factor, best, published, counted = 2, 1, 1, False, "examples"
    position, suffix = "pixel", ".png"
    columns: Sequence[Column] = ()

    @abstractmethod
    def measure(self, model: nn.Module, data: Dataset, split: str) -> dict:
        """The figures of a model on a split."""

    @abstractmethod
    def baselines(self, train: Dataset, validation: Dataset) -> dict[str, dict]:
        """Figures on validation data of what no model should lose against, by name."""

    def floor(self, train: Dataset) -> dict | None:
        """The figures that no model can beat on average, where they are known."""
        return None

    def file(self, model: nn.Module, samples: Tensor, title: str) -> bytes:
        """A file of samples of a model, as levels: a grid of images as PNG, or clips with a row each."""
        from garm_course.show import panels_figure, png

        columns = min(len(samples), 8)
        if samples.ndim == 5:  # (N, C, T, H, W): frame after frame
            columns, samples = samples.shape[2], samples.movedim(2, 1).flatten(0, 1)
        return png(
            panels_figure([(title, samples)], levels=model.levels, cols=columns, rows=-(-len(samples) // columns))
        )

    def decimals(self, figures: dict) -> int:
        """Decimals of the main figure in RESULTS.md."""
        return self.digits

    def number(self, value: float, digits: int | None = None) -> str:
        """A value of the main figure as tables print it, without sign; None: with the usual decimals."""
        return number(self.factor * value, self.digits if digits is None else digits)

    def headline(self, figures: dict) -> Headline:
        """The main figure of a split, with the standard error that comes of its size.

        Example:
            >>> Likelihoods().headline({"nats": 90.6, "stderr": 0.8, "bound": "ELBO"}).text
            '≤ 90.60 ± 0.80'
            >>> Texts().headline({"nats": 1.217}).text
            '1.217'
            >>> Classifiers().headline({"accuracy": 0.975, "stderr": 0.01}).text
            '97.5 ± 1.0 %'
        """
        value, error = figures[self.key], figures.get("stderr", math.nan)  # a file has a size and no error
        spread = "" if math.isnan(error) else f" ± {self.number(error)}"
        text = f"{bound(figures)}{self.number(value)}{spread}{self.sign}"
        return Headline(value, error, text, self.best * value)

    def figure(self, figures: dict | None) -> str:
        """The main figure of a split, ± its standard deviation over seeds; "" for a split that is not recorded.

        Example:
            >>> Likelihoods().figure({"nats": 90.6, "stderr": 0.8, "seed_std": 0.31, "bound": "IWAE-500"})
            '≤ 90.60 ± 0.31'
            >>> Classifiers().figure({"accuracy": 0.975, "stderr": 0.01})
            '97.5 %'
        """
        if not figures:
            return ""
        digits = self.decimals(figures)
        shown = (self.number(figures[key], digits) for key in (self.key, "seed_std") if key in figures)
        return f"{bound(figures)}{' ± '.join(shown)}{self.sign}"

    def baseline(self, figures: dict) -> str:
        """What RESULTS.md says of a baseline."""
        return self.figure(figures)

    def lines(self, rows: Sequence[dict]) -> list[str]:
        """Figures for a terminal, in aligned columns: a line of headings, then one for each row of figures."""
        columns = {
            f"{self.column or self.unit}{self.sign}": [self.number(figures[self.key]) for figures in rows],
            "±": [self.number(figures["stderr"]) if "stderr" in figures else "" for figures in rows],
            **{column.heading: [column.text(figures) for figures in rows] for column in self.columns},
        }
        shown = [[heading, *cells] for heading, cells in columns.items() if any(cells)]
        wide = [max(7, *map(len, column)) + 2 for column in shown]
        return ["".join(f"{cell:>{w}}" for cell, w in zip(row, wide, strict=True)) for row in zip(*shown, strict=True)]


class Likelihoods(Kind):
    """Nats per example and bits/dim; rate and distortion of a bound; KL to the data where it is known."""

    name, heading = "likelihood", "Likelihood"
    about = (
        "Negative log-likelihood in nats per example and in bits per dimension; lower is better. A model with latent "
        "variables has no exact one: ≤ marks an upper bound, from the ELBO or from IWAE-500, the importance-weighted "
        "bound with 500 samples. KL(data, model), where the distribution of the data is known, is the mean difference "
        "of their log-probabilities over the examples of the split."
    )
    key = unit = column = "nats"
    published = True
    columns = (
        Column("bits_per_dim", "bits/dim", lambda f: bound(f) + number(f["bits_per_dim"], 3), splits=True),
        Column("kl", "KL in nats", lambda f: bound(f) + number(f["kl"]["nats"], Likelihoods().decimals(f))),
    )

    def measure(self, model: nn.Module, data: Dataset, split: str) -> dict:
        """Mean negative log-likelihood of a split, or a bound on it; of large training data that of the first part."""
        large = split == "train" and len(data) > TRAINING_EXAMPLES
        measured = Subset(data, range(TRAINING_EXAMPLES)) if large else data
        k = IMPORTANCE_SAMPLES if hasattr(model, "iwae_bound") and split != "train" else None
        figures = self._figures(evaluate(model, measured, k=k))
        if hasattr(model, "elbo"):
            figures |= rate_distortion(model, measured)
        if hasattr(data, "log_prob") and not model.n_classes:
            gap = kl_to_model(data, model, k=k)
            figures["kl"] = {"nats": gap.nats, "stderr": gap.stderr}
        return figures

    def baselines(self, train: Dataset, validation: Dataset) -> dict[str, dict]:
        """Uniform and marginal distributions: see `evaluation.marginals.baselines`."""
        return {name: self._figures(found) for name, found in baselines(train, validation).items()}

    def floor(self, train: Dataset) -> dict | None:
        """Entropy of data whose distribution is known."""
        if not hasattr(train, "entropy"):
            return None
        nats, stderr = train.entropy()
        return {"nats": nats, "stderr": stderr, "bits_per_dim": bits_per_dim(nats, math.prod(train.shape))}

    def decimals(self, figures: dict) -> int:
        """Two, or four for the small data sets, which are known to a thousandth of a nat."""
        return 2 if abs(figures["nats"]) >= 10 else 4

    def baseline(self, figures: dict) -> str:
        """What RESULTS.md says of a baseline."""
        return f"{self.figure(figures)} nats"

    @staticmethod
    def _figures(found: Likelihood) -> dict:
        figures = {"nats": found.nats, "stderr": found.stderr, "bits_per_dim": found.bits_per_dim, "n": found.n}
        return {**figures, "bound": found.bound} if found.bound else figures


class Texts(Kind):
    """Nats per character of the windows of a text, in bits and as perplexity, and with characters before each."""

    name, heading = "text", "Text"
    about = (
        "Negative log-likelihood in nats per character, with bits per character and perplexity, over windows that do "
        "not overlap: the length of a window belongs to the figure, since its first characters are guessed from "
        f"nothing. In context: of the same text, every character after at least {CONTEXT} others. Standard errors are "
        "over blocks of 2,000 characters. Of the baselines, tables of counts score the same windows, and compressors "
        "the whole split at once."
    )
    key, unit, column, digits = "nats", "nats per character", "nats per character", 3
    counted, position, suffix, published = "characters", "character", ".txt", True
    columns = (
        Column("bits", "bits per character", 3, splits=True),
        Column("perplexity", "perplexity", 2),
        Column("in_context", "in context", 3, splits=True),
    )

    def measure(self, model: nn.Module, data: Text, split: str) -> dict:
        """Mean over the characters of a split; of held-out data also in context."""
        text = data.apart
        figures = self._figures(evaluate(model, text).per_position)
        return figures if split == "train" else figures | {"in_context": evaluate(model, text, context=CONTEXT).nats}

    def baselines(self, train: Text, validation: Text) -> dict[str, dict]:
        """Tables of counts, see `text_baselines`, and compressors alone and after the training text."""
        found = {name: self._figures(figure) for name, figure in text_baselines(train, validation).items()}
        for after, words in (("", ""), (train.text, " after the training text")):
            for name, bits in compressors(validation.text, after).items():
                nats = bits * math.log(2)
                found[name + words] = {
                    "nats": nats,
                    "bits": bits,
                    "perplexity": math.exp(nats),
                    "n": len(validation.text),
                }
        return found

    def file(self, model: nn.Module, samples: Tensor, title: str) -> bytes:
        """Texts one after another, each below a line with its number."""
        text = load(model.record["data"], "validation")
        parts = [f"--- {title}: {k} ---\n{text.decode(one)}\n" for k, one in enumerate(samples, start=1)]
        return "".join(parts).encode()

    @staticmethod
    def _figures(found: Likelihood) -> dict:
        figures = {"nats": found.nats, "stderr": found.stderr, "bits": found.bits_per_dim, "n": found.n}
        return {**figures, "perplexity": found.perplexity}


class Sounds(Kind):
    """Nats per note, given the note, beside tables of counts and who knows how the sound is made."""

    name, heading = "sound", "Sound"
    about = (
        "Negative log-likelihood in nats per note and in bits per sample, of a model that is told the note; lower is "
        'better. "One period of memory" knows the equation of the string, its period and its damping, but of the '
        "sound only the two quantized samples that its equation names. The floor is the entropy of a note whose name "
        "is known."
    )
    key, unit, column = "nats", "nats per note", "nats per note"
    counted, position, suffix = "notes", "sample", ".wav"
    columns = (Column("bits_per_dim", "bits per sample", 3, splits=True),)

    def measure(self, model: nn.Module, data: Dataset, split: str) -> dict:
        """Mean over the notes of a split."""
        return Likelihoods._figures(evaluate(model, data))

    def baselines(self, train: Dataset, validation: Dataset) -> dict[str, dict]:
        """See `evaluation.sound.sound_baselines`."""
        return {name: Likelihoods._figures(found) for name, found in sound_baselines(train, validation).items()}

    def floor(self, train: Dataset) -> dict:
        """The entropy given the note."""
        nats, stderr = train.entropy(given_class=True)
        return {"nats": nats, "stderr": stderr, "bits_per_dim": bits_per_dim(nats, math.prod(train.shape))}

    def baseline(self, figures: dict) -> str:
        """What RESULTS.md says of a baseline."""
        return f"{self.figure(figures)} nats"

    def file(self, model: nn.Module, samples: Tensor, title: str) -> bytes:
        """A WAV file of all sounds, a tenth of a second of silence after each; `title` has no place in it."""
        from garm_course.show import wav

        rate = dataset_class(model.record["data"]).rate
        return wav(F.pad(mu_law_decode(samples, model.levels - 1), (0, rate // 10)).flatten(), rate)


class Samples(Kind):
    """Distances between as many samples as there are examples, and these, in a classifier's features."""

    name, heading = "samples", "Samples"
    about = (
        "Distances between as many samples as the split has images, and these, in the features of the course's own "
        "classifier; lower is better for the Fréchet and the kernel distance, higher for the others. The features are "
        "not those of the FID, so published figures do not compare. Columns without a split are on validation."
    )
    key, unit, column, digits = "frechet", "Fréchet distance", "Fréchet", 1
    columns = (
        Column("kernel", "kernel", 1),
        Column("precision", "precision", 2),
        Column("recall", "recall", 2),
        Column("density", "density", 2),
        Column("coverage", "coverage", 2),
        Column("least_class", "least class", 3),
        Column("class_accuracy", "read as its class", 3),
        Column(
            "prototypes",
            "different prototypes",
            lambda f: "{distinct:.0f} (data: {distinct_in_data:.0f})".format(**f["prototypes"]),
        ),
    )

    def measure(self, model: nn.Module, data: Dataset, split: str) -> dict:
        """Figures of the first samples of seed 0; a conditional model draws the classes of the data.

        Returns:
            Those of `compare`; for a conditional model "class_accuracy", the share that is read as its class; on data
            with known prototypes "prototypes": how many different ones were drawn, how many the data show, and by how
            many pixels a sample differs from the nearest.
        """
        y = data.y if model.n_classes else None
        x = model.levels_of(model.sample(len(data), y, rng=torch.Generator().manual_seed(0)))
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

    def baselines(self, train: Dataset, validation: Dataset) -> dict[str, dict]:
        """As many training images: what a perfect memory of the training data would score."""
        rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[: len(validation)]
        classifier = load_pretrained(f"classifier-{train.name}")
        return {"training images": compare(classifier, validation.x, train.x[rows])}

    def baseline(self, figures: dict) -> str:
        """What RESULTS.md says of a baseline: all its figures."""
        others = ((column.heading, column.text(figures)) for column in self.columns)
        said = [f"{self.column} {self.figure(figures)}", *(f"{name} {text}" for name, text in others if text)]
        return f"({', '.join(said)})"


def compare(classifier: DigitClassifier, real: Tensor, fake: Tensor) -> dict:
    """Every metric of two sets of equally many images in a classifier's features.

    Args:
        classifier: with frozen weights.
        real: LongTensor (N, C, H, W) of levels.
        fake: as many images of the same kind.

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


class Translations(Kind):
    """How far translated gray images are from the true colors, and what is left of them there and back."""

    name, heading = "translation", "Translations"
    about = (
        "Unpaired translation between the data's gray images and colored ones, trained on two halves of the training "
        "images, of which one is colored. The true translation is known: the figures are mean square errors against it "
        "(numbers from -1 to 1), and how many translations a classifier reads as the right class."
    )
    key, unit, column, digits = "error", "square error", "square error", 5
    columns = (
        Column("error_back", "back to gray", 5),
        Column("cycle", "there and back, absolute", 4),
        Column("class_accuracy", "read as its class", 3),
    )

    def measure(self, model: nn.Module, data: Dataset, split: str) -> dict:
        """Errors of the translations of a split.

        Returns:
            "error", the mean square difference to the true translation (numbers in [-1, 1]), with its "stderr" over
            images; "error_back", that of gray images made of colored ones; "cycle", the mean |F(G(x)) - x|;
            "class_accuracy", the share of translations that the course's classifier reads as the image's class; "n".
        """
        x = scale(data.x, data.levels)
        y = colored(x)
        there, here = model.translate(x, "xy"), model.translate(y, "yx")
        read = classify(load_pretrained(f"classifier-{data.name}"), unscale(shade(there), data.levels))
        return {
            **self._error(there, y),
            "error_back": (here - x).square().mean().item(),
            "cycle": (model.translate(there, "yx") - x).abs().mean().item(),
            "class_accuracy": (read == data.y).double().mean().item(),
            "n": len(data),
        }

    def baselines(self, train: Dataset, validation: Dataset) -> dict[str, dict]:
        """The same image for all: what regression learns from pairs that are none."""
        colors = unpaired(train)[1].tensors[0].mean(0, keepdim=True)
        error = self._error(colors, colored(scale(validation.x, validation.levels)))
        return {"mean of the colored images": {**error, "n": len(validation)}}

    @staticmethod
    def _error(found: Tensor, true: Tensor) -> dict:
        each = (found - true).square().flatten(1).mean(1).double()
        return {"error": each.mean().item(), "stderr": (each.std() / len(each) ** 0.5).item()}


class Classifiers(Kind):
    """Share of right answers, with the standard error of a share."""

    name, heading = "classifier", "Classifiers"
    about = "Share of right answers. The metrics of samples use their features."
    key, unit, digits, factor, sign, best = "accuracy", "accuracy", 1, 100, " %", -1

    def measure(self, model: nn.Module, data: Dataset, split: str) -> dict:
        """Share of the images of a split that are read as their class."""
        right = accuracy(model, data)
        return {"accuracy": right, "stderr": math.sqrt(right * (1 - right) / len(data)), "n": len(data)}

    def baselines(self, train: Dataset, validation: Dataset) -> dict[str, dict]:
        """The same answer for all: the most frequent class of the training data."""
        share = train.y.bincount(minlength=train.n_classes).argmax()
        right = (validation.y == share).double().mean().item()
        return {"most frequent class": {"accuracy": right, "stderr": 0.0, "n": len(validation)}}


class Reconstructions(Kind):
    """What is left of images in their codes, as a judge sees it that trained none of them."""

    name, heading = "reconstruction", "Reconstructions"
    about = (
        "What a tokenizer leaves of the first 1,000 images of a split, read and measured by the judge, a classifier "
        "that took part in no training: the Fréchet distance to the images in its features, and how often it reads "
        "their digit, hue and size. Then the same distance in the features of the teacher, in which some are trained; "
        "the judge's distance once each pixel has the nearest color of the palette; the mean square error of pixels "
        "(numbers from -1 to 1); pixels of an image that are of no color of the palette; by how many pixels its shape, "
        "with the nearest colors, differs from the nearest prototype, and how often that is the prototype of the "
        "original; and how many codes are in use, as a perplexity. Columns without a split are on validation."
    )
    key, unit, column, digits = "frechet", "Fréchet distance of the judge", "Fréchet", 1
    columns = (
        Column("frechet_of_teacher", "the teacher's", 1),
        Column("frechet_snapped", "nearest colors", 1),
        Column("error", "square error", 4),
        *(Column(name, name, 3) for name in ("digit", "hue", "size")),
        Column("mixed", "mixed pixels", 1),
        Column("off", "off a prototype", 1),
        Column("same", "same prototype", 3),
        Column("perplexity", "codes in use", 1),
    )
    n = 1000  # images; the distance depends on it

    def measure(self, model: nn.Module, data: Dataset, split: str) -> dict:
        """Figures of the reconstructions of a split; see `compare_reconstructions`."""
        x = scale(data.x[: self.n], data.levels)
        codes = torch.cat([model.encode(part) for part in x.split(250)])
        with torch.no_grad():
            rebuilt = torch.cat([model.decode(part) for part in codes.split(250)])
        perplexity = codebook_perplexity(codes, model.n_codes).item()
        return {**compare_reconstructions(data, rebuilt), "perplexity": perplexity}

    def baselines(self, train: Dataset, validation: Dataset) -> dict[str, dict]:
        """The originals without flips, and the mean of the training images."""
        x = scale(validation.x[: self.n], validation.levels)
        hues = COLORS[1 + validation.labels[: self.n, 1]][:, :, None, None]  # (N, 3, 1, 1)
        clean = scale(validation.prototypes[validation.prototype[: self.n]] * hues, validation.levels)
        mean = scale(train.x[: self.n], train.levels).mean(0, keepdim=True).expand_as(x)
        both = {"originals without flips": clean, "mean of the training images": mean}
        return {name: compare_reconstructions(validation, rebuilt) for name, rebuilt in both.items()}


def compare_reconstructions(data: Dataset, rebuilt: Tensor) -> dict:
    """Figures of reconstructions, by the judge that comes along.

    Args:
        data: captioned glyphs.
        rebuilt: (N, 3, 28, 28) in [-1, 1], of its first N images.

    Returns:
        "frechet" with its bootstrap "stderr", "frechet_of_teacher", "frechet_snapped", "error", "digit", "hue", "size"
        (shares that the judge reads as in the original), "mixed", "off", "same", "n": see `Reconstructions.about`.
    """
    n, real, levels = len(rebuilt), data.x[: len(rebuilt)], unscale(rebuilt, data.levels)
    judge, teacher = (load_pretrained(f"{name}-{data.name}") for name in ("judge", "teacher"))
    a, b = features(judge, real), features(judge, levels)
    frechet = bootstrap(frechet_distance, a, b, n=100, rng=torch.Generator().manual_seed(0))
    read = judge.read(levels)
    shares = {
        name: (read[name] == data.labels[:n, k]).double().mean().item()
        for k, name in enumerate(read)
        if name in ("digit", "hue", "size")
    }
    snapped = snap(rebuilt)
    index, distance = data.nearest_prototype(snapped)
    return {
        "frechet": frechet.value,
        "stderr": (frechet.high - frechet.low) / (2 * 1.96),
        "frechet_of_teacher": frechet_distance(features(teacher, real), features(teacher, levels)),
        "frechet_snapped": frechet_distance(a, features(judge, snapped)),
        "error": (rebuilt - scale(real, data.levels)).square().mean().item(),
        **shares,
        "mixed": mixed_pixels(rebuilt).double().mean().item(),
        "off": distance.double().mean().item(),
        "same": (index == data.prototype[:n]).double().mean().item(),
        "n": n,
    }


class Captions(Kind):
    """Nats per code text, given the caption or not, and the share of samples in which the judge sees what was asked."""

    name, heading = "captions", "From a caption to codes"
    about = (
        "Negative log-likelihood in nats of the codes of an image, given its full caption; lower is better. It is the "
        "unit of one tokenizer, and no likelihood of images. Beside it: given the empty caption, and given another "
        "image's, all over the first 1,000 images of a split. "
        f"Then what {ASKED} full captions ask for, drawn with guidance {GUIDANCE:g}: the share of images in "
        "which the judge, a classifier that trained nothing, reads that digit, hue and slant, each and all three."
    )
    key, unit, column, digits = "nats", "nats per code text", "nats per code text", 2
    counted, position = "code texts", "code"
    columns = (
        Column("empty", "empty caption", 2),
        Column("other", "another's caption", 2),
        *(Column(name, name, 3) for name in ASKED_FOR),
        Column("all", "all three", 3, splits=True),
    )
    n = 1000  # images, of larger training data the first ones

    def measure(self, model: nn.Module, data: CaptionedGlyphs, split: str) -> dict:
        """Figures of a split; shares are of the first images' full captions, with draws of seed 0.

        Returns:
            "nats" given full captions, with "stderr", "n"; "empty" and "other", without a caption and with that of the
            image before;
            "digit", "hue", "slant" and "all", shares in [0, 1].
        """
        codes = codes_of(tokenizer_of(model), data, n=self.n)
        full, labels = full_captions(data, n=self.n), data.labels[:ASKED]
        captions = {"nats": full, "empty": torch.zeros_like(full), "other": full.roll(1, 0)}
        found = {name: evaluate(model, TensorDataset(codes, tokens)) for name, tokens in captions.items()}
        rng = torch.Generator().manual_seed(0)
        drawn = model.sample(len(labels), full[: len(labels)], guidance=GUIDANCE, rng=rng)
        asked = {name: labels[:, list(FACTORS).index(name)] for name in ASKED_FOR}
        return {
            "nats": found["nats"].nats,
            "stderr": found["nats"].stderr,
            "empty": found["empty"].nats,
            "other": found["other"].nats,
            **asked_for(load_pretrained(f"judge-{data.name}"), images_of(model, drawn), asked),
            "n": len(codes),
        }

    def baselines(self, train: CaptionedGlyphs, validation: CaptionedGlyphs) -> dict[str, dict]:
        """All codes equally likely; and each place's own counts of the training codes, plus one."""
        tokenizer = load_pretrained(TOKENIZER)
        seen, new = (codes_of(tokenizer, data).flatten(1) for data in (train, validation))
        counts = 1 + F.one_hot(seen, tokenizer.n_codes).double().sum(0)  # (H' W', K)
        nats = -(counts / counts.sum(1, keepdim=True)).log()
        each = nats.gather(1, new.T).sum(0)
        uniform = new.shape[1] * math.log(tokenizer.n_codes)
        return {
            "uniform": {"nats": uniform, "stderr": 0.0, "n": len(new)},
            "code marginals": {"nats": each.mean().item(), "stderr": standard_error(each), "n": len(new)},
        }

    def baseline(self, figures: dict) -> str:
        """What RESULTS.md says of a baseline."""
        return f"{self.figure(figures)} nats"

    def file(self, model: nn.Module, samples: Tensor, title: str) -> bytes:
        """A PNG of the images that the tokenizer makes of the codes."""
        return super().file(tokenizer_of(model), images_of(model, samples), title)


class Factors(Kind):
    """Share of right answers about each factor of an image, and their mean."""

    name, heading = "factors", "Classifiers of factors"
    about = (
        "Share of right answers about six factors of an image, their mean first. The teacher lends its features to the "
        "training of tokenizers; the judge, of another seed, measures what a model draws, and trains none."
    )
    key, unit, digits, factor, sign, best = "accuracy", "accuracy of six factors", 1, 100, " %", -1
    columns = tuple(Column(name, name, 3) for name in FactorClassifier.heads)

    def measure(self, model: nn.Module, data: Dataset, split: str) -> dict:
        """Shares of the images of a split."""
        read = model.read(data.x)
        return self._figures(torch.stack([index == data.labels[:, k] for k, index in enumerate(read.values())], 1))

    def baselines(self, train: Dataset, validation: Dataset) -> dict[str, dict]:
        """The same answer for all: the most frequent value of each factor in the training data."""
        return {"most frequent values": self._figures(validation.labels == train.labels.mode(0).values)}

    @staticmethod
    def _figures(right: Tensor) -> dict:
        each = right.double().mean(1)  # of an image
        shares = zip(FactorClassifier.heads, right.double().mean(0).tolist(), strict=True)
        stderr = (each.std() / len(each) ** 0.5).item()
        return {"accuracy": each.mean().item(), "stderr": stderr, **dict(shares), "n": len(each)}


_ALL = (
    Likelihoods(), Texts(), Sounds(), Samples(), Translations(), Reconstructions(), Captions(), Factors(),
    Classifiers(),
)  # fmt: skip
KINDS = {kind.name: kind for kind in _ALL}


def find_kind(name: str) -> Kind:
    """A kind of result by its name.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if name not in KINDS:
        raise ValueError(f"no kind of result {name!r}; known: {', '.join(KINDS)}; add a class to recipes/kinds.py")
    return KINDS[name]


def kind_of(result: dict) -> Kind:
    """The kind of a recorded result or of the result of a run; the oldest files have likelihoods and do not say so.

    Raises:
        ValueError: for an unknown kind; the message lists the known ones.
    """
    return find_kind(result.get("kind", Likelihoods.name))
