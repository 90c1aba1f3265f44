"""Record how often a GAN loses modes: `python studies/mode_collapse.py`, ten seeds of each setting.

Writes results/studies/mode_collapse.json, which lesson 13 reads: for each setting and seed the number of modes that
2,500 samples reach, and their share within three standard deviations of a mode; of seed 0 some samples. A mode is
reached if it is the nearest one of at least a quarter of its fair share of samples: a smear over all modes reaches all,
with a small share near them. "line" are two Gaussians on a line, as in the lesson. About two minutes on one thread.
"""

import math

import torch
from torch.utils.data import TensorDataset

from garm_course.adversarial.gan import MLPGAN, GANGame
from garm_course.datasets import load
from garm_course.evaluation.samples import mode_counts
from garm_course.recipes import record
from garm_course.training.games import fit_game

SAMPLES, SHOWN = 2500, 300  # samples that are counted, and that are kept
PLANE = {"latents": 2, "hidden": (64, 64)}
LINE = {"latents": 4, "hidden": (32, 32), "critic_hidden": (64, 64)}
TRAINING = {"steps": 1000, "batch_size": 128}
SHORT = {"steps": 600, "batch_size": 256, "decay": True}
SETTINGS = {  # data, networks, training; the learning rates are 1e-3 where nothing is said
    "ring, minimax": ("ring", PLANE, {**TRAINING, "loss": "minimax"}),
    "grid, minimax": ("grid", PLANE, {**TRAINING, "loss": "minimax"}),
    "grid, non-saturating": ("grid", PLANE, {**TRAINING, "loss": "non_saturating"}),
    "grid, fast generator": ("grid", PLANE, {**TRAINING, "loss": "non_saturating", "lr": 4e-3, "critic_lr": 5e-4}),
    "line, one critic step": ("line", LINE, {**SHORT, "loss": "non_saturating"}),
    "line, best critic": ("line", LINE, {**SHORT, "loss": "non_saturating", "critic_steps": 5, "critic_lr": 3e-3}),
}


class Line(TensorDataset):
    """Two Gaussians with the standard deviation ½ at -1.5 and 1.5, 4,000 points (N, 1)."""

    centers, std = torch.tensor([[-1.5], [1.5]]), 0.5

    def __init__(self):
        rng = torch.Generator().manual_seed(0)
        y = torch.randint(2, (4000,), generator=rng)
        super().__init__(self.centers[y] + self.std * torch.randn(4000, 1, generator=rng), y)


def reached(x: torch.Tensor, data) -> tuple[int, float]:
    """How many modes samples reach, and the share of samples within three standard deviations of a mode."""
    cells = mode_counts(x, data.centers, math.inf).counts
    share = mode_counts(x, data.centers, 3 * data.std).share
    return int((cells >= len(x) / len(data.centers) / 4).sum()), share


def run(setting: str, seed: int, steps: int | None = None) -> dict:
    """Train one GAN on points; what its samples reach."""
    name, config, training = SETTINGS[setting]
    data = Line() if name == "line" else load(name, "train")
    torch.manual_seed(seed)
    gan = MLPGAN((data.centers.shape[1],), **config)
    training = {**training, "steps": steps} if steps else dict(training)
    game = GANGame(gan, loss=training.pop("loss"), critic_steps=training.pop("critic_steps", 1))
    history = fit_game(game, data, seed=seed, label=f"{setting}, seed {seed}", **training)
    x = gan.sample(SAMPLES, rng=torch.Generator().manual_seed(0))
    modes, share = reached(x, data)
    return {
        "setting": setting,
        "seed": seed,
        "modes": modes,
        "of": len(data.centers),
        "share": round(share, 4),
        # the seed of each setting that is drawn is 0, whatever it looks like
        **({"samples": x[:SHOWN].double().round(decimals=3).tolist()} if seed == 0 else {}),
        "cpu_seconds": round(history.cpu_seconds, 1),
    }


def study(seeds: int, steps: int | None = None) -> dict:
    """All runs, with the settings that make them again."""
    return {
        "model": "gan",
        "settings": {
            name: {"data": data, "config": config, "training": training}
            for name, (data, config, training) in SETTINGS.items()
        },
        "runs": [run(setting, seed, steps) for setting in SETTINGS for seed in range(seeds)],
    }


if __name__ == "__main__":
    record("mode_collapse", study, by=["setting"], seeds=10, steps=None)
