"""Record how bad samples hide copies from a copy test: `python studies/copying.py`, three seeds of each length.

Writes results/studies/copying-digits.json, which lesson 19 reads. A MADE learns 150 digits, a random part of the
training split, until it knows them by heart; 300 others are the test data, 300 more take the place of samples. For each
length of training the share of the copy test with its z, the exact duplicates among 300 samples, and beside them the
quality: the Fréchet distance to the test data in the features of the shipped classifier, and the nats of training and
test data. The same for data that were held out, and for training images in the place of samples. About three minutes on
one thread.
"""

import torch
from torch import Tensor

from garm_course import load_pretrained
from garm_course.autoregressive.made import MADE
from garm_course.datasets import load
from garm_course.evaluation.features import classify, features
from garm_course.evaluation.likelihood import log_probs
from garm_course.evaluation.samples import frechet_distance
from garm_course.recipes import record
from garm_course.training.likelihood import fit
from garm_course.trust.memorization import copy_test, nearest

MODEL = {"hidden": (512,), "direct": False}
FIT = {"batch_size": 64, "lr": 0.01, "ema": 0.0}
STEPS = (30, 100, 300, 1000)
TRAIN, HELD_OUT = 150, 300


def parts(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Disjoint random parts of the training split: to learn, to test, and held out in the place of samples."""
    x = load("digits", "train").x
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[:TRAIN]], x[order[TRAIN : TRAIN + HELD_OUT]], x[order[TRAIN + HELD_OUT : TRAIN + 2 * HELD_OUT]]


def measure(train: Tensor, test: Tensor, samples: Tensor) -> dict:
    """The copy test, as a whole and in cells (the classes that the classifier sees), with the quality beside it."""
    classifier = load_pretrained("classifier-digits")
    cells = tuple(classify(classifier, x) for x in (train, test, samples))
    whole, by_class = copy_test(train, test, samples), copy_test(train, test, samples, cells)
    figures = {
        "share": whole.share,
        "z": whole.z,
        "share_by_class": by_class.share,
        "z_by_class": by_class.z,
        "distance": nearest(samples, train).distance.median().item(),
        "frechet": frechet_distance(features(classifier, test), features(classifier, samples)),
    }
    duplicates = int((nearest(samples, train).distance == 0).sum())
    return {**{name: round(value, 3) for name, value in figures.items()}, "duplicates": duplicates}


def run(steps: int, seed: int) -> dict:
    """One training, and 300 samples of it."""
    train, test, _ = parts(seed)
    torch.manual_seed(seed)
    model = MADE((1, 8, 8), 17, **MODEL)
    fit(model, train, steps=steps, seed=seed, evaluate_every=steps, label="model", **FIT)
    samples = model.sample(HELD_OUT, rng=torch.Generator().manual_seed(seed))
    nats = {f"nats_{name}": round(-log_probs(model, x).mean().item(), 1) for name, x in (("in", train), ("out", test))}
    return {"samples": f"{steps} steps", "seed": seed, **measure(train, test, samples), **nats}


def study(seeds: int, steps: tuple[int, ...] = STEPS) -> dict:
    """All runs, with the settings that make them again."""
    runs = []
    for seed in range(seeds):
        train, test, fresh = parts(seed)
        runs.append({"samples": "held-out data", "seed": seed, **measure(train, test, fresh)})
        copies = train.repeat(HELD_OUT // TRAIN, 1, 1, 1)
        runs.append({"samples": "training images", "seed": seed, **measure(train, test, copies)})
        runs += [run(count, seed) for count in steps]
    return {"data": "digits", "model": "made", "config": MODEL, "training": FIT, "train": TRAIN, "runs": runs}


if __name__ == "__main__":
    record("copying-digits", study, by=["samples"], seeds=3)
