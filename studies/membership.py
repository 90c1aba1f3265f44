"""Record what shadow models add to a membership attack: `python studies/membership.py`, three seeds of each length.

Writes results/studies/membership-digits.json, which lesson 19 reads. A MADE is trained on a random half of the training
split of `digits`; the other half, of the same law, are the non-members. Shadow models, trained alike on complementary
halves, say how difficult each image is. Of each attack the area under its curve and the true positives at 1 % and 10 %
false positives; of seed 0 and the longest training all scores are kept. About two minutes on one thread.
"""

import torch
from torch import Tensor

from garm_course.autoregressive.made import MADE
from garm_course.datasets import load
from garm_course.evaluation.likelihood import log_probs
from garm_course.recipes import record
from garm_course.training.likelihood import fit
from garm_course.trust.membership import complementary_halves, membership_auc, shadow_scores, tpr_at_fpr

MODEL = {"hidden": (96,), "direct": False}
FIT = {"batch_size": 64, "lr": 0.02, "ema": 0.0}
STEPS = (100, 200)
SHADOWS = 12


def train(x: Tensor, steps: int, seed: int) -> MADE:
    """A network trained on these images and on nothing else: no validation data choose its weights."""
    torch.manual_seed(seed)
    model = MADE(tuple(x.shape[1:]), 17, **MODEL)
    fit(model, x, steps=steps, seed=seed, evaluate_every=steps, label="model", **FIT)
    return model


def run(steps: int, seed: int, shadows: int = SHADOWS, keep: bool = False) -> dict:
    """A target and its shadows; how well each attack tells members from others."""
    x = load("digits", "train").x
    inside = complementary_halves(len(x), shadows + 2, torch.Generator().manual_seed(seed))
    rows = [0, *range(2, shadows + 2)]  # the complement of the target's half trains nobody
    nll = torch.stack([-log_probs(train(x[inside[k]], steps, 1000 * seed + k), x) for k in rows])
    member = inside[0]
    scores = shadow_scores(nll[1:], inside[2:], nll[0])
    scores["lira, own deviations"] = shadow_scores(nll[1:], inside[2:], nll[0], pooled=False)["lira"]
    found = {"steps": steps, "seed": seed, "nats_in": nll[0][member].mean(), "nats_out": nll[0][~member].mean()}
    attacks = {
        name: {
            "auc": membership_auc(score[member], score[~member]),
            "tpr_at_0.01": tpr_at_fpr(score[member], score[~member], 0.01),
            "tpr_at_0.1": tpr_at_fpr(score[member], score[~member], 0.1),
        }
        for name, score in scores.items()
    }
    kept = {name: [round(value, 2) for value in scores[name].tolist()] for name in ("loss", "lira")}
    return {
        **{name: round(float(value), 2) if name.startswith("nats") else value for name, value in found.items()},
        "attacks": {name: {key: round(value, 4) for key, value in one.items()} for name, one in attacks.items()},
        **({"scores": kept, "member": "".join(map(str, member.int().tolist()))} if keep else {}),
    }


def study(seeds: int, shadows: int, steps: tuple[int, ...] = STEPS) -> dict:
    """All runs, with the settings that make them again."""
    runs = [
        run(count, seed, shadows, keep=seed == 0 and count == max(steps)) for count in steps for seed in range(seeds)
    ]
    return {"data": "digits", "model": "made", "config": MODEL, "training": FIT, "shadows": shadows, "runs": runs}


if __name__ == "__main__":
    record("membership-digits", study, by=["steps"], seeds=3, shadows=SHADOWS)
