"""Record what the logistic mixture is worth with few data: `python tools/heads.py`, three seeds of each setting.

Writes results/studies/heads.json, which lesson 05 reads. One trunk (that of the recipe `pixelcnnpp-digits`), two heads,
trained on the first 100, 300 or all 1,257 training digits with equally many steps; the weights that are best on the 180
validation images are kept, and their NLL on these is the figure. About ten minutes on one thread.
"""

import argparse
import json
from pathlib import Path

import torch
from torch.utils.data import Subset

from garm_course.autoregressive.pixelcnnpp import PixelCNNPP
from garm_course.datasets import load
from garm_course.paths import results_folder
from garm_course.recipes.provenance import hardware, versions
from garm_course.training.likelihood import fit
from garm_course.weights.files import write_atomically

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
    """All runs, with what is needed to make them again."""
    torch.set_num_threads(1)
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
        "command": f"python tools/heads.py --seeds {seeds} --steps {steps}",
        "versions": versions(),
        "hardware": hardware(),
    }


def main() -> None:
    """Parse the command line, train, write the file and print what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=results_folder() / "studies" / "heads.json")
    arguments = parser.parse_args()
    found = study(arguments.seeds, arguments.steps)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(arguments.out, (json.dumps(found) + "\n").encode())
    for n in EXAMPLES:
        for head in HEADS:
            runs = [r for r in found["runs"] if (r["head"], r["examples"]) == (head, n)]
            print(f"{n:5d} {head:17s}", *(f"{key} {[r[key] for r in runs]}" for key in ("nats", "best_step")))


if __name__ == "__main__":
    main()
