"""Record three families on bars and stripes: `python studies/families_bars.py`, three seeds of each setting.

Writes results/studies/families-bars_and_stripes.json, which lesson 21 reads. The data are 30 equally probable images of
4x4 bits, so everything is known. An autoregressive model gives its exact probability to each of the 65,536 images; a
VAE a bound (the ELBO, and importance weights, 5,000 draws an image); a GAN no likelihood. Of 30,000 samples of each
model: the share that is one of the 30 images, how many of the 30 occur at all (of an autoregressive model: at least
once on average), and the share of each. Each training may take 20 processor seconds. Settings were chosen by a few
trials with seed 0; there is nothing to hold out, since the data are the whole distribution. About five minutes on one
thread.
"""

import math

import torch
from torch import Tensor, nn

from garm_course.adversarial.gan import MLPGAN, GANGame
from garm_course.datasets import load
from garm_course.evaluation.audits import all_examples
from garm_course.evaluation.likelihood import log_probs, lower_bounds
from garm_course.evaluation.samples import mode_counts
from garm_course.latent.vae import MLPVAE, NegativeELBO
from garm_course.recipes import record
from garm_course.recipes.catalog import find
from garm_course.training.games import fit_game
from garm_course.training.likelihood import fit

SAMPLES, IMPORTANCE = 30_000, 5000
VAE_FIT = {"batch_size": 30, "ema": 0.98}
GAN_FIT = {"batch_size": 30, "lr": 1e-3, "ema": 0.98}
GAN_NETWORKS = {"latents": 16, "hidden": (128, 128)}
SMALL = {"config": {"latents": 4, "hidden": (128,)}, "lr": 1e-2, "warmup": 0.0}
LARGE = {"latents": 4, "hidden": (256, 256)}
SETTINGS = {
    **{name: {"family": "autoregressive", "recipe": name} for name in ("made", "nade", "gated_pixelcnn")},
    "VAE, small": {"family": "vae", **SMALL, "steps": 1500},
    "VAE, 4 latents": {"family": "vae", "config": LARGE, "lr": 3e-3, "warmup": 0.5, "steps": 4000},
    "VAE, 2 latents": {"family": "vae", "config": {**LARGE, "latents": 2}, "lr": 3e-3, "warmup": 0.5, "steps": 6000},
    "GAN, R1 0.1": {"family": "gan", "r1": 0.1, "steps": 1500},
    "GAN, R1 1": {"family": "gan", "r1": 1.0, "steps": 1500},
    "GAN, R1 3": {"family": "gan", "r1": 3.0, "steps": 1500},
    "GAN, R1 1, four times the steps": {"family": "gan", "r1": 1.0, "steps": 6000},
    "GAN, R1 3, four times the steps": {"family": "gan", "r1": 3.0, "steps": 6000},
}


def train(setting: dict, seed: int, steps: int | None = None) -> tuple[nn.Module, float]:
    """One model, and the processor seconds of its training."""
    data, kind = load("bars_and_stripes"), setting["family"]
    if kind == "autoregressive":
        recipe = find(setting["recipe"], "bars_and_stripes")
        model, settings = recipe.build(seed), recipe.settings("quick")
        settings |= {"steps": steps, "evaluate_every": steps} if steps else {}
        return model, recipe.fit(model, {"train": data, "validation": data}, settings, seed).cpu_seconds
    steps = steps or setting["steps"]
    torch.manual_seed(seed)
    if kind == "vae":
        model = MLPVAE(tuple(data.shape), data.levels, **setting["config"])
        loss = NegativeELBO(warmup=setting["warmup"])
        options = {"loss": loss, "lr": setting["lr"], "evaluate_every": steps, **VAE_FIT}
        return model, fit(model, data, steps=steps, seed=seed, label="VAE", **options).cpu_seconds
    model = MLPGAN(tuple(data.shape), data.levels, **GAN_NETWORKS)
    game = GANGame(model, r1=setting["r1"])
    return model, fit_game(game, data, steps=steps, seed=seed, label="GAN", **GAN_FIT).cpu_seconds


@torch.inference_mode()
def shares(model: nn.Module, n: int = SAMPLES) -> Tensor:
    """The share of each of the 30 images among n samples: (30,), float64."""
    data = load("bars_and_stripes")
    x = model.levels_of(model.sample(n, rng=torch.Generator().manual_seed(0)))
    counts = mode_counts(x.flatten(1).double(), data.x.flatten(1).double(), radius=0.5).counts
    return counts.double() / n


@torch.inference_mode()
def measure(model: nn.Module, kind: str) -> dict:
    """What is known of a model: its mass on the 30 images, and what its kind of likelihood allows."""
    data = load("bars_and_stripes")
    entropy = math.log(len(data))
    if kind == "autoregressive":
        total = log_probs(model, all_examples(tuple(data.shape), data.levels)).exp().sum().item()
        inside = log_probs(model, data)
        mass = inside.exp()
        figures = {"total": total, "kl": -inside.mean().item() - entropy}
    else:
        mass, figures = shares(model), {}
    if kind == "vae":
        figures["kl_elbo"] = -lower_bounds(model, repeated(data)).mean().item() - entropy
        figures["kl_bound"] = -lower_bounds(model, data, k=IMPORTANCE, batch_size=2).mean().item() - entropy
    return {
        "valid": mass.sum().item(),
        "modes": int((mass >= 1 / SAMPLES).sum()),
        **figures,
        "mass": [round(value, 5) for value in mass.tolist()],
    }


def repeated(data, times: int = 100) -> list[tuple[Tensor, Tensor]]:
    """Each image several times, so that the draws of the ELBO average out."""
    return [data[i] for i in range(len(data)) for _ in range(times)]


def study(seeds: int, steps: int | None = None) -> dict:
    """All runs, with the settings that make them again."""
    runs = []
    for name, setting in SETTINGS.items():
        for seed in range(seeds):
            model, seconds = train(setting, seed, steps)
            figures = measure(model, setting["family"])
            figures = {key: round(value, 5) if isinstance(value, float) else value for key, value in figures.items()}
            runs.append({"setting": name, "seed": seed, **figures, "cpu_seconds": round(seconds, 1)})
    return {
        "data": "bars_and_stripes",
        "settings": SETTINGS,
        "training": {"vae": VAE_FIT, "gan": {**GAN_FIT, "networks": GAN_NETWORKS}},
        "samples": SAMPLES,
        "importance": IMPORTANCE,
        "runs": runs,
    }


if __name__ == "__main__":
    record("families-bars_and_stripes", study, by=["setting"], seeds=3, steps=None)
