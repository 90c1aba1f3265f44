"""Record what differential privacy costs: `python studies/private_training.py`, three seeds of each noise.

Writes results/studies/private_training.json, which lesson 19 reads. Small MADEs are trained by DP-SGD with equally many
steps and the same settings: on 1,257 digits (a random part of the training and validation splits; the other 180, of the
same writers, are held out) with noise of several sizes, and on few and many glyphs at one epsilon, which more examples
reach with less noise. For each run epsilon by the accountants of Opacus, the nats of held-out data beside those of
pixel marginals fitted without any privacy, and how well the loss tells training from held-out images. Norms of
gradients are kept of the runs of seed 0. It needs the extra `trust`. About five minutes on one thread.
"""

import math

import torch
from torch import Tensor

from garm_course.autoregressive.made import MADE
from garm_course.datasets import load
from garm_course.evaluation.likelihood import log_probs
from garm_course.evaluation.marginals import PixelMarginals
from garm_course.recipes import record
from garm_course.trust.membership import membership_auc, tpr_at_fpr
from garm_course.trust.privacy import epsilon
from garm_course.trust.private_training import fit_private

MODEL = {"hidden": (32,), "direct": False}
FIT = {"lr": 0.02, "steps": 250, "look_every": 25}
CLIP, DELTA = 10.0, 1e-3  # a larger delta than one would promise: below 1 / examples is the rule
FEW, MANY = 1257, 12_000
SETTINGS = {  # the data, how many, expected batch, largest norm of a gradient, noise multiplier
    "digits, no clip": ("digits", FEW, 64, math.inf, 0.0),
    "digits, clip alone": ("digits", FEW, 64, CLIP, 0.0),
    "digits, noise 0.6": ("digits", FEW, 64, CLIP, 0.6),
    "digits, noise 1": ("digits", FEW, 64, CLIP, 1.0),
    "digits, noise 2": ("digits", FEW, 64, CLIP, 2.0),
    "digits, noise 4": ("digits", FEW, 64, CLIP, 4.0),
    "few glyphs, no clip": ("glyphs", FEW, 64, math.inf, 0.0),
    "few glyphs, noise": ("glyphs", FEW, 64, CLIP, 1.74),  # all with noise have epsilon 1.45
    "many glyphs, no clip": ("glyphs", MANY, 64, math.inf, 0.0),
    "many glyphs, noise": ("glyphs", MANY, 64, CLIP, 0.6),
    "many glyphs, noise, large batches": ("glyphs", MANY, 256, CLIP, 0.98),
}


def data(name: str, n: int, seed: int) -> tuple[Tensor, Tensor, int]:
    """Training images, held-out ones of the same law, and the number of levels."""
    if name == "glyphs":
        return load("glyphs", "train", n=n).x, load("glyphs", "validation").x, 2
    x = torch.cat([load("digits", split).x for split in ("train", "validation")])
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))]
    return x[:n], x[n:], 17


def run(setting: str, seed: int, steps: int = FIT["steps"]) -> dict:
    """One training; figures in nats per image."""
    name, n, batch, clip, sigma = SETTINGS[setting]
    x, held_out, levels = data(name, n, seed)
    torch.manual_seed(seed)
    model = MADE(tuple(x.shape[1:]), levels, **MODEL)
    training = {**FIT, "steps": steps, "batch_size": batch, "C": clip, "sigma": sigma}
    history = fit_private(model, x, seed=seed, label=setting, **training)
    inside, outside = -log_probs(model, x), -log_probs(model, held_out)
    promised = {
        f"epsilon_{accountant}": round(epsilon(sigma, batch / n, steps, DELTA, accountant), 3) if sigma else None
        for accountant in ("prv", "rdp")
    }
    curves = {"norms": history.norms, "clipped": history.clipped}
    return {
        "setting": setting,
        "seed": seed,
        "n": n,
        "batch_size": batch,
        "clip": None if math.isinf(clip) else clip,
        "sigma": sigma,
        **promised,
        "nats_in": round(inside.mean().item(), 2),
        "nats_out": round(outside.mean().item(), 2),
        "marginals": round(-PixelMarginals(x, levels).log_prob(held_out).mean().item(), 2),
        "auc": round(membership_auc(inside, outside), 4),
        "tpr_at_0.1": round(tpr_at_fpr(inside, outside, 0.1), 4),
        **(
            {key: [[step, round(value, 3)] for step, value in curve] for key, curve in curves.items()}
            if not seed
            else {}
        ),
    }


def study(seeds: int, steps: int = FIT["steps"], settings: tuple[str, ...] = tuple(SETTINGS)) -> dict:
    """All runs, with the settings that make them again."""
    return {
        "model": "made",
        "config": MODEL,
        "training": {**FIT, "steps": steps},
        "delta": DELTA,
        "runs": [run(setting, seed, steps) for setting in settings for seed in range(seeds)],
    }


if __name__ == "__main__":
    record("private_training", study, by=["setting"], seeds=3, steps=FIT["steps"])
