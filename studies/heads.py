"""Record what the logistic mixture is worth with few data: `python studies/heads.py`, three seeds of each setting.

Writes results/studies/heads.json, which lesson 05 reads. One trunk (that of the recipe `pixelcnnpp-digits`), two heads,
trained on the first 100, 300 or all 1,257 training digits with equally many steps; the weights that are best on the 180
validation images are kept, and their NLL on these is the figure. About ten minutes on one thread.
"""

import torch
from torch.utils.data import Subset

from garm_course.autoregressive.pixelcnnpp import PixelCNNPP
from garm_course.datasets import load
from garm_course.recipes import record
from garm_course.training.likelihood import fit

STEPS = 400
TRUNK = {"channels": 24, "blocks": 1, "scales": 2, "dropout": 0.5, "encoding": "thermometer"}
FIT = {"batch_size": 32, "lr": 5e-3, "evaluate_every": 25, "ema": 0.98}
HEADS = {"softmax": 0, "logistic mixture": 5}
EXAMPLES = (100, 300, 1257)


def train(mixtures: int, examples: int, seed: int, steps: int = STEPS) -> dict:
    """One run: validation nats of the best weights, the step at which they were reached, processor seconds."""
    data, validation = load("digits", "train"), load("digits", "validation")
    torch.manual_seed(seed)
    model = PixelCNNPP(tuple(data.shape), data.levels, mixtures=mixtures, **TRUNK)
    history = fit(
        model, Subset(data, range(examples)), validation=validation, steps=steps, seed=seed, label="head", **FIT
    )
    best = min(nats for _, nats in history.validation)
    return {"nats": round(best, 4), "best_step": history.best_step, "cpu_seconds": round(history.cpu_seconds, 1)}


def study(seeds: int, steps: int = STEPS) -> dict:
    """All runs, with the settings that make them again."""
    runs = [
        {"head": head, "examples": n, "seed": seed, **train(mixtures, n, seed, steps)}
        for n in EXAMPLES
        for head, mixtures in HEADS.items()
        for seed in range(seeds)
    ]
    return {
        "data": "digits",
        "model": "pixelcnnpp",
        "trunk": TRUNK,
        "training": {"steps": steps, **FIT},
        "runs": runs,
    }


if __name__ == "__main__":
    record("heads", study, by=["examples", "head"], seeds=3, steps=STEPS)
