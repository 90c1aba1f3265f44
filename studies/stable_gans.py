"""Record what each way to steady a GAN does: `python studies/stable_gans.py`, five seeds of each on points and digits.

Writes results/studies/stable_gans.json, which lesson 14 reads. On the 25-mode grid: how many modes 2,500 samples reach,
and their share within three standard deviations of a mode, both counted as in `mode_collapse.py`. On `digits`: the
Fréchet distance of 180 samples to the validation images in the features of the shipped classifier, and the smallest
share of a class. All take the same number of generator steps; the Wasserstein ones three critic steps for each. About
twenty minutes on one thread.
"""

import math

import torch

from garm_course import load_pretrained
from garm_course.adversarial.gan import MLPGAN, GANGame
from garm_course.datasets import load
from garm_course.evaluation.features import class_shares, features
from garm_course.evaluation.samples import frechet_distance, mode_counts
from garm_course.recipes import record
from garm_course.training.games import fit_game
from garm_course.training.loop import NonFiniteLossError
from garm_course.transforms import unscale

SAMPLES = 2500
METHODS = {  # what differs from "plain": the non-saturating loss, both learning rates 1e-3 and falling to 0
    "plain": {},
    "least squares": {"loss": "least_squares"},
    "clipped weights": {"loss": "wasserstein", "clip": 0.05, "critic_steps": 3},
    "gradient penalty": {"loss": "wasserstein", "penalty": 10.0, "critic_steps": 3},
    "spectral, hinge": {"loss": "hinge", "spectral": True},
    "R1": {"r1": 0.1},
    "two learning rates": {"lr": 5e-4, "critic_lr": 2e-3},
    "averaged generator": {"ema": 0.995},
    "R1 and averaged": {"r1": 0.1, "ema": 0.995},
}
RULES = ("loss", "clip", "critic_steps", "penalty", "r1")  # of the game; the others are settings of its training
PROBLEMS = {
    "grid": {"config": {"latents": 2, "hidden": (128, 128)}, "training": {"steps": 3000, "batch_size": 128}},
    "digits": {"config": {"latents": 32, "hidden": (256, 256)}, "training": {"steps": 2500, "batch_size": 64}},
}


def run(problem: str, method: str, seed: int, steps: int | None = None) -> dict:
    """Train one GAN; its figures, or which loss was not finite."""
    data = load(problem, "train")
    setting, options = PROBLEMS[problem], dict(METHODS[method])
    training = {**setting["training"], **({"steps": steps} if steps else {})}
    torch.manual_seed(seed)
    gan = MLPGAN(tuple(data.shape), data.levels, spectral=options.pop("spectral", False), **setting["config"])
    rules = {name: options.pop(name) for name in RULES if name in options}
    row = {"problem": problem, "method": method, "seed": seed}
    try:
        label = f"{problem}, {method}, seed {seed}"
        history = fit_game(GANGame(gan, **rules), data, decay=True, seed=seed, label=label, **training, **options)
    except NonFiniteLossError as error:
        return {**row, "diverged": str(error)}
    rng = torch.Generator().manual_seed(0)
    if problem == "grid":
        x = gan.sample(SAMPLES, rng=rng)
        counts = mode_counts(x, data.centers, math.inf).counts
        row["modes"] = int((counts >= len(x) / len(data.centers) / 4).sum())
        row["share"] = round(mode_counts(x, data.centers, 3 * data.std).share, 4)
    else:
        classifier, validation = load_pretrained("classifier-digits"), load("digits", "validation")
        x = unscale(gan.sample(len(validation), rng=rng), data.levels)
        found = frechet_distance(features(classifier, validation.x), features(classifier, x))
        row["frechet"] = round(found, 3)
        row["least_class"] = round(class_shares(classifier, x).min().item(), 4)
    return {**row, "cpu_seconds": round(history.cpu_seconds, 1)}


def study(seeds: int, steps: int | None = None) -> dict:
    """All runs, with the settings that make them again."""
    return {
        "model": "gan",
        "problems": PROBLEMS,
        "methods": METHODS,
        "runs": [run(problem, method, seed, steps) for problem in PROBLEMS for method in METHODS
                 for seed in range(seeds)],
    }  # fmt: skip


if __name__ == "__main__":
    record("stable_gans", study, by=["problem", "method"], seeds=5, steps=None)
