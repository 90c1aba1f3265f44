"""Record a VAE, an IWAE and a VAE with Poisson latents on equal terms: `python studies/equal_vaes.py`, three seeds.

Writes results/studies/equal_vaes-digits.json, which lessons 10 and 11 read. The recorded models of these kinds have
settings of their own; here all three have those of `vae-digits`: networks, dropout, learning rate, steps and annealing.
On both splits the rate, minus the ELBO, and the bound with 500 importance samples. About five minutes on one thread.
"""

import torch

from garm_course.evaluation.likelihood import evaluate, rate_distortion
from garm_course.latent.vae import MLPVAE, NegativeELBO, NegativeIWAE
from garm_course.recipes import record
from garm_course.recipes.catalog import find
from garm_course.training.likelihood import fit

KINDS = {"VAE": {}, "trained as IWAE, k = 5": {"k": 5}, "Poisson latents": {"prior": "poisson"}}


def run(kind: str, seed: int, steps: int | None = None) -> list[dict]:
    """One training, and one row for each split."""
    recipe, options = find("vae", "digits"), KINDS[kind]
    settings = recipe.settings("quick") | ({"steps": steps, "evaluate_every": steps} if steps else {})
    data = {split: recipe.load(split) for split in ("train", "validation", "test")}
    prior = {name: value for name, value in options.items() if name == "prior"}
    torch.manual_seed(seed)
    model = MLPVAE(tuple(data["train"].shape), data["train"].levels, **recipe.config, **prior)
    warmup = recipe.loss[1]["warmup"]
    loss = NegativeIWAE(k=options["k"], warmup=warmup) if "k" in options else NegativeELBO(warmup=warmup)
    fit(model, data["train"], validation=data["validation"], loss=loss, seed=seed, label=kind, **settings)
    rows = []
    for split in ("validation", "test"):
        terms = rate_distortion(model, data[split])
        figures = {"rate": terms["rate"], "elbo": sum(terms.values()), "nats": evaluate(model, data[split], k=500).nats}
        rows.append({"kind": kind, "split": split, "seed": seed, **{k: round(v, 3) for k, v in figures.items()}})
    return rows


def study(seeds: int, steps: int | None = None) -> dict:
    """All runs."""
    recipe = find("vae", "digits")
    runs = [row for kind in KINDS for seed in range(seeds) for row in run(kind, seed, steps)]
    return {"data": "digits", "config": recipe.config, "training": recipe.settings("quick"), "runs": runs}


if __name__ == "__main__":
    record("equal_vaes-digits", study, by=["kind", "split"], seeds=3, steps=None)
