"""Record ten models of digits side by side: `python studies/families.py`, five seeds of samples of each.

Writes results/studies/families-digits.json, which lesson 21 reads. The models are those that the course ships, whose
settings were chosen on validation images; everything here is measured on the test images, which chose nothing. For
each model the mean NLL (exact, or at most: importance weights, 500 draws an image); a model that is told the class has
its NLL given the class under "nats_given_class", and that of the image alone, averaged over the ten classes, under
"nats". For each seed as many samples as there are test images: the Fréchet distance and the coverage in the features of
the shipped classifier, the share of the copy test, and for models that are told a class the share that is read as it.
"training images" are random rows of the training split in the place of samples: what the metrics say of real digits;
"of the same classes" are as many of each class as the test split has, as samples of a model that is told are.
Processor milliseconds a sample, alone and in a batch, are those of the fastest of 25 calls. About a minute on one
thread.
"""

import math
import time

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from garm_course import load_pretrained
from garm_course.datasets import load
from garm_course.evaluation.features import classify, features
from garm_course.evaluation.likelihood import log_probs, lower_bounds, standard_error, told_more
from garm_course.evaluation.samples import density_coverage, frechet_distance
from garm_course.recipes import record
from garm_course.trust.memorization import copy_test

MODELS = {
    "made": "autoregressive", "nade": "autoregressive", "pixel_gru": "autoregressive",
    "gated_pixelcnn": "autoregressive", "conditional_gated_pixelcnn": "autoregressive",
    "pixelcnnpp": "autoregressive", "vae": "vae", "conditional_vae": "vae", "gan": "gan", "vaegan": "gan",
}  # fmt: skip
IMPORTANCE, CALLS = 500, 25
REAL, MATCHED = "training images", "training images of the same classes"


@torch.inference_mode()
def draw(model: nn.Module, y: Tensor, seed: int) -> Tensor:
    """One image for each class in y, which only a conditional model is told: levels."""
    told = y if told_more(model) else None
    return model.levels_of(model.sample(len(y), told, rng=torch.Generator().manual_seed(seed))).clone()


def milliseconds(model: nn.Module, y: Tensor) -> float:
    """Processor time of one image, drawn in a batch of as many as there are classes in y: the fastest of the calls."""
    draw(model, y, 0)
    spent = []
    for seed in range(CALLS):
        start = time.process_time()
        draw(model, y, seed)
        spent.append(time.process_time() - start)
    return 1000 * min(spent) / len(y)


def log_likelihoods(model: nn.Module, kind: str, y: Tensor | None = None) -> Tensor:
    """log p(x) of each test image, or log p(x | y), in nats; of a VAE a lower bound on it."""
    x = load("digits", "test").x
    if told_more(model) and y is None:  # p(x) = mean over y of p(x | y); of bounds it is a bound, by Jensen again
        each = [log_likelihoods(model, kind, torch.full((len(x),), k)) for k in range(model.n_classes)]
        return torch.stack(each).logsumexp(0) - math.log(model.n_classes)
    data = TensorDataset(x, torch.zeros(len(x), dtype=torch.long) if y is None else y)
    return lower_bounds(model, data, k=IMPORTANCE) if kind == "vae" else log_probs(model, data)


def measure(x: Tensor, asked: Tensor | None) -> dict:
    """What images are like, beside the test split."""
    train, test, classifier = load("digits", "train"), load("digits", "test"), load_pretrained("classifier-digits")
    real, fake = features(classifier, test.x), features(classifier, x)
    figures = {
        "frechet": frechet_distance(real, fake),
        "coverage": density_coverage(real, fake).coverage,
        "copying": copy_test(train.x, test.x, x).share,
    }
    if asked is not None:
        figures["obeys"] = (classify(classifier, x) == asked).double().mean().item()
    return {name: round(value, 4) for name, value in figures.items()}


def run(name: str, kind: str, seeds: int, calls: bool = True) -> list[dict]:
    """The likelihood and the time of one model, and what its samples are like, once for each seed."""
    model, test = load_pretrained(f"{name}-digits"), load("digits", "test")
    told = test.y if told_more(model) else None
    row = {"model": name, "kind": {"autoregressive": "exact", "vae": "bound", "gan": "none"}[kind]}
    if kind != "gan":
        nll = -log_likelihoods(model, kind)
        row |= {"nats": round(nll.mean().item(), 3), "stderr": round(standard_error(nll), 3)}
        if told is not None:
            row["nats_given_class"] = round(-log_likelihoods(model, kind, told).mean().item(), 3)
    if calls:
        row |= {"ms_alone": round(milliseconds(model, test.y[:1]), 4), "ms": round(milliseconds(model, test.y), 5)}
    return [{**row, "seed": seed, **measure(draw(model, test.y, seed), told)} for seed in range(seeds)]


def rows_of(y: Tensor, k: int, n: int, seed: int) -> Tensor:
    """n random rows of class k."""
    rows = (y == k).nonzero().flatten()
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(100 * seed + k))[:n]]


def study(seeds: int) -> dict:
    """All models, and real images beside them."""
    test, train = load("digits", "test"), load("digits", "train")
    runs = []
    for seed in range(seeds):
        rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[: len(test)]
        runs.append({"model": REAL, "kind": "none", "seed": seed, **measure(train.x[rows], None)})
        same = torch.cat([rows_of(train.y, k, int((test.y == k).sum()), seed) for k in range(train.n_classes)])
        runs.append({"model": MATCHED, "kind": "none", "seed": seed, **measure(train.x[same], None)})
    for name, kind in MODELS.items():
        runs += run(name, kind, seeds)
    return {"data": "digits", "split": "test", "models": MODELS, "importance": IMPORTANCE, "runs": runs}


if __name__ == "__main__":
    record("families-digits", study, by=["model"], seeds=5)
