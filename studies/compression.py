"""Record what a smaller file costs: `python studies/compression.py`, three models trained afresh, three seeds each.

Writes results/studies/compression-digits.json, which lesson 20 reads: nats lost on the 180 validation images (paired,
with their standard error) and bytes of the file, against bits of a weight (per tensor and per row), for half precision,
and against the share of weights pruned. The weights that come along would not do: the larger ones are in eight bits
already. Each model has 43 to 67 % of the steps of its recipe. About three minutes on one thread.
"""

import copy

import torch

from garm_course.datasets import load
from garm_course.evaluation.likelihood import evaluate, paired
from garm_course.models import model_class
from garm_course.practice.compress import half, prune, quantize, to_bytes, used_weights
from garm_course.recipes import find, record
from garm_course.training.likelihood import fit

MODELS = {"made": 600, "pixel_gru": 300, "gated_pixelcnn": 400}  # steps; the recipes have 900, 700, 900
BITS = (8, 6, 5, 4, 3, 2)
SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9)


def train(name: str, seed: int, steps: int):
    """A model by its recipe but for the number of steps, and the processor seconds of its training."""
    recipe = find(name, "digits")
    data = {split: recipe.load(split) for split in ("train", "validation")}
    torch.manual_seed(seed)
    model = model_class(name)(tuple(data["train"].shape), data["train"].levels, **recipe.config)
    settings = {**recipe.settings("quick"), "steps": steps, "evaluate_every": max(steps // 4, 1)}
    history = fit(model, data["train"], validation=data["validation"], seed=seed, label=name, **settings)
    return model, history.cpu_seconds


def ways(model) -> dict:
    """By kind, what is done, and the smaller model with the size of its file."""
    found = {("none", 32): (copy.deepcopy(model), len(to_bytes(model)))}
    for per in ("tensor", "row"):
        found |= {(f"bits per {per}", b): (quantize(model, b, per), len(to_bytes(model, b, per))) for b in BITS}
    found[("float16", 16)] = half(model), len(to_bytes(model, 16))
    found[("bfloat16", 16)] = half(model, torch.bfloat16), len(to_bytes(model, 16))
    for share in SHARES:
        pruned = prune(model, share)
        found[("pruned", share)] = pruned, len(to_bytes(pruned))
    return found


def run(name: str, seed: int, steps: int) -> dict:
    """Train one model; what each way costs."""
    validation = load("digits", "validation")
    model, seconds = train(name, seed, steps)
    used, weights = used_weights(model)
    costs = []
    for (kind, value), (smaller, size) in ways(model).items():
        lost = paired(smaller, model, validation)
        figures = {"lost": round(lost.nats, 4), "stderr": round(lost.stderr, 4), "bytes": size}
        costs.append({"kind": kind, "value": value, **figures})
    nats = round(evaluate(model, validation).nats, 4)
    return {
        "model": name, "seed": seed, "nats": nats, "weights": weights, "used": used, "costs": costs,
        "cpu_seconds": round(seconds, 1),
    }  # fmt: skip


def study(seeds: int, steps: int | None = None) -> dict:
    """All runs, with the settings that make them again; `steps` replaces those of every model."""
    runs = [run(name, seed, steps or own) for name, own in MODELS.items() for seed in range(seeds)]
    return {"data": "digits", "split": "validation", "steps": steps or MODELS, "runs": runs}


if __name__ == "__main__":
    record("compression-digits", study, by=["model"], seeds=3, steps=None)
