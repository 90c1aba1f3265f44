"""Record the rate-distortion curve of a VAE: `python studies/beta_sweep.py`, one training for each beta and seed.

Writes results/studies/beta_sweep-digits.json, which lesson 11 reads: for each beta the rate and the distortion on the
training and the validation split, and of the seed 0 what is drawn: the KL of each latent and eight reconstructions.
About four minutes on one thread.
"""

from collections.abc import Sequence

import torch

from garm_course.datasets import load
from garm_course.evaluation.likelihood import lower_bounds, rate_distortion
from garm_course.latent.bounds import active_units
from garm_course.latent.vae import MLPVAE, NegativeELBO
from garm_course.recipes import record
from garm_course.training.likelihood import fit

BETAS = (0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
CONFIG = {"latents": 8, "hidden": (64,)}  # small, and without dropout, so that training comes close to its optimum
SETTINGS = {"steps": 1500, "batch_size": 64, "lr": 8e-3, "evaluate_every": 1500}
WARMUP = 0.3  # the KL term grows to its weight: collapse that is left has not come from a bad start
SHOWN = 8  # the first digits of the validation split are reconstructed


def run(beta: float, seed: int, steps: int, train, validation) -> dict:
    """Train one VAE with this weight of the KL term; figures in nats per image."""
    torch.manual_seed(seed)
    model = MLPVAE(tuple(train.shape), train.levels, **CONFIG)
    # Without validation data: they would choose the step with the best ELBO, which is not what beta asks for.
    loss, label = NegativeELBO(beta=beta, warmup=WARMUP), f"beta {beta:g}, seed {seed}"
    history = fit(model, train, loss=loss, seed=seed, label=label, **{**SETTINGS, "steps": steps})
    with torch.no_grad():
        posterior = model.encode(validation.x)
    return {
        "beta": beta,
        "seed": seed,
        "train": rate_distortion(model, train),
        "validation": {
            **rate_distortion(model, validation),
            "iwae_64": -lower_bounds(model, validation, k=64).mean().item(),
            "active": active_units(posterior.mean),
            "kl": [round(nats, 4) for nats in posterior.kl().mean(0).tolist()],
        },
        # the seed of each beta that is drawn is 0, whatever it looks like; gray levels, rounded
        **({"reconstructions": _levels(model, validation.x[:SHOWN])} if seed == 0 else {}),
        "cpu_seconds": round(history.cpu_seconds, 1),
    }


def _levels(model, x) -> list:
    """(SHOWN, H * W) whole numbers: the expected images at the posterior means."""
    return model.reconstruct(x).round().long().flatten(1).tolist()


def study(seeds: int, steps: int, betas: Sequence[float] = BETAS) -> dict:
    """All runs, with the settings that make them again."""
    train, validation = load("digits", "train"), load("digits", "validation")
    runs = [run(beta, seed, steps, train, validation) for beta in betas for seed in range(seeds)]
    return {
        "data": "digits",
        "model": "vae",
        "config": CONFIG,
        "loss": ["elbo", {"warmup": WARMUP}],
        "training": {**SETTINGS, "steps": steps},
        "unit": "nats per image",
        "runs": runs,
    }


if __name__ == "__main__":
    record("beta_sweep-digits", study, by=["beta"], seeds=3, steps=SETTINGS["steps"])
