"""Record how repeated canaries are exposed, and what deduplication does: `python studies/canaries.py`, three seeds.

Writes results/studies/canaries-digits.json, which lesson 19 reads. A canary is a digit that was not trained on, with
some pixels set to random levels; four are planted for each number of repeats, among the first 800 training images of
`digits`. References have the same law. For each canary its exposure in bits; at most 11. Settings: as planted, the same
data without repetitions, as planted and trained three times as long, and canaries that are nothing but noise. About two
minutes on one thread.
"""

import torch

from garm_course.autoregressive.made import MADE
from garm_course.datasets import load
from garm_course.evaluation.likelihood import log_probs
from garm_course.recipes import record
from garm_course.training.likelihood import fit
from garm_course.trust.memorization import deduplicate, exposure, make_canaries, plant

MODEL = {"hidden": (96,), "direct": False}
FIT = {"batch_size": 64, "lr": 0.02, "ema": 0.0}
TRAIN, REFERENCES = 800, 2047
REPEATS, EACH = (0, 1, 2, 4, 8, 16), 4
SETTINGS = {
    "planted": {"steps": 100, "changed": 8},
    "deduplicated": {"steps": 100, "changed": 8, "deduplicate": True},
    "planted, 300 steps": {"steps": 300, "changed": 8},
    "noise": {"steps": 100, "changed": 64},
}


def run(setting: str, seed: int, steps: int | None = None) -> dict:
    """One training on data with canaries; their exposure by number of repeats."""
    options = SETTINGS[setting]
    data, rng = load("digits", "train").x, torch.Generator().manual_seed(seed)
    x, rest, repeats = data[:TRAIN], data[TRAIN:], [count for count in REPEATS for _ in range(EACH)]
    bases = torch.randint(len(rest), (len(repeats) + REFERENCES,), generator=rng)
    made = make_canaries(rest[bases], options["changed"], 17, rng)
    canaries, references = made[: len(repeats)], made[len(repeats) :]
    planted = plant(x, canaries, repeats)
    torch.manual_seed(seed)
    model, steps = MADE((1, 8, 8), 17, **MODEL), steps or options["steps"]
    planted = deduplicate(planted) if options.get("deduplicate") else planted
    fit(model, planted, steps=steps, seed=seed, evaluate_every=steps, label="model", **FIT)
    bits = exposure(-log_probs(model, canaries), -log_probs(model, references))
    return {
        "setting": setting,
        "seed": seed,
        "examples": len(planted),
        "validation": {"nats": round(-log_probs(model, load("digits", "validation")).mean().item(), 2)},
        "bits": {
            str(count): [round(b, 2) for b in part.tolist()]
            for count, part in zip(REPEATS, bits.split(EACH), strict=True)
        },
    }


def study(seeds: int) -> dict:
    """All runs, with the settings that make them again."""
    return {
        "data": "digits",
        "model": "made",
        "config": MODEL,
        "training": FIT,
        "settings": SETTINGS,
        "references": REFERENCES,
        "runs": [run(setting, seed) for setting in SETTINGS for seed in range(seeds)],
    }


if __name__ == "__main__":
    record("canaries-digits", study, by=["setting"], seeds=3)
