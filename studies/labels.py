"""Record what training with labels gains without using them: `python studies/labels.py`, three seeds of each model.

Writes results/studies/labels-digits.json, which lesson 04 reads. A Gated PixelCNN that is told the class and one that
is not, trained by their recipes. Of the first its NLL given the class, its NLL of the image alone, averaged over the
classes, and the accuracy of its Bayes classifier; the gain is paired, image by image, over the second, with its
standard error. Everything on both splits: weights and settings were chosen on validation images, test images chose
nothing. About six minutes on one thread.
"""

import torch
from torch import Tensor

from garm_course.evaluation.likelihood import log_probs, standard_error
from garm_course.recipes import record
from garm_course.recipes.catalog import find


def run(seed: int, steps: int | None = None) -> list[dict]:
    """One training of each model, and one row for each split."""
    trained, data = {}, {}
    for name in ("gated_pixelcnn", "conditional_gated_pixelcnn"):
        recipe = find(name, "digits")
        settings = recipe.settings("quick") | ({"steps": steps, "evaluate_every": steps} if steps else {})
        data = {split: recipe.load(split) for split in ("train", "validation", "test")}
        trained[name] = recipe.build(seed)
        recipe.fit(trained[name], data, settings, seed)
    plain, told = trained.values()
    log_prior = (torch.bincount(data["train"].y) / len(data["train"])).log().double()
    return [
        {"split": split, "seed": seed, **measure(plain, told, data[split], log_prior)}
        for split in ("validation", "test")
    ]


@torch.no_grad()
def measure(plain: torch.nn.Module, told: torch.nn.Module, data, log_prior: Tensor) -> dict:
    """Figures on one split."""
    joint = log_prior + torch.cat([told.class_log_probs(x).double() for x in data.x.split(60)])  # (N, 10)
    marginal = joint.logsumexp(1)
    gain = marginal - log_probs(plain, data)
    figures = {
        "given_class": -log_probs(told, data).mean().item(),
        "marginal": -marginal.mean().item(),
        "plain": -log_probs(plain, data).mean().item(),
        "gain": gain.mean().item(),
        "stderr": standard_error(gain),
        "accuracy": (joint.argmax(1) == data.y).double().mean().item(),
    }
    return {name: round(value, 4) for name, value in figures.items()}


def study(seeds: int, steps: int | None = None) -> dict:
    """All runs."""
    return {"data": "digits", "runs": [row for seed in range(seeds) for row in run(seed, steps)]}


if __name__ == "__main__":
    record("labels-digits", study, by=["split"], seeds=3, steps=None)
