"""Record what differential privacy costs: `python studies/private_training.py`, three seeds of each noise.

Writes results/studies/private_training.json, which lesson 19 reads. Small MADEs are trained by DP-SGD with clips and
noise of several sizes, all with equally many steps and the same settings: on 1,257 digits (a random part of the
training and validation splits; the other 180, of the same writers, are held out), and on 12,000 glyphs. For each run
epsilon by the accountants of Opacus, the nats of held-out data beside those of pixel marginals fitted without any
privacy, and how well the loss tells training from held-out images. Norms of gradients are kept of the runs of seed 0.
It needs the extra `trust`. About three minutes on one thread.
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
FIT = {"batch_size": 64, "lr": 0.02, "steps": 250, "look_every": 25}
CLIP, DELTA = 10.0, 1e-3
GLYPHS = 12_000
SETTINGS = {  # the data, the largest norm of a gradient, the noise multiplier
    "digits, no clip": ("digits", math.inf, 0.0),
    "digits, clip alone": ("digits", CLIP, 0.0),
    "digits, noise 0.6": ("digits", CLIP, 0.6),
    "digits, noise 1": ("digits", CLIP, 1.0),
    "digits, noise 2": ("digits", CLIP, 2.0),
    "digits, noise 4": ("digits", CLIP, 4.0),
    "glyphs, no clip": ("glyphs", math.inf, 0.0),
    "glyphs, noise 0.6": ("glyphs", CLIP, 0.6),
}


def data(name: str, seed: int) -> tuple[Tensor, Tensor, int]:
    """Training images, held-out ones of the same law, and the number of levels."""
    if name == "glyphs":
        return load("glyphs", "train", n=GLYPHS).x, load("glyphs", "validation").x, 2
    x = torch.cat([load("digits", split).x for split in ("train", "validation")])
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))]
    return x[:1257], x[1257:], 17


def run(setting: str, seed: int, steps: int = FIT["steps"]) -> dict:
    """One training; figures in nats per image."""
    name, clip, sigma = SETTINGS[setting]
    x, held_out, levels = data(name, seed)
    torch.manual_seed(seed)
    model = MADE(tuple(x.shape[1:]), levels, **MODEL)
    history = fit_private(model, x, C=clip, sigma=sigma, seed=seed, label=setting, **{**FIT, "steps": steps})
    inside, outside = -log_probs(model, x), -log_probs(model, held_out)
    rate = FIT["batch_size"] / len(x)
    promised = {
        f"epsilon_{accountant}": round(epsilon(sigma, rate, steps, DELTA, accountant), 3) if sigma else None
        for accountant in ("prv", "rdp")
    }
    curves = {"norms": history.norms, "clipped": history.clipped}
    return {
        "setting": setting,
        "seed": seed,
        "n": len(x),
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
