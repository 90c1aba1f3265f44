"""Record what distillation buys: `python studies/distillation.py`, one small student by three losses, three seeds each.

Writes results/studies/distillation-digits.json, which lesson 20 reads. The teacher is the mean of the conditionals of
four recorded models; its nats stand there beside those of each member, paired. The student learns from the labels of
the data (NLL), from the teacher at the images of the data (KL), or from the teacher at images of the data and at as
many of the teacher's own samples in turn (each step is at one kind of them). All have the same steps and, by seed, the
same start; figures are on the 180 validation images, and those of a loss are paired with those of NLL of the same
seed. About two minutes on one thread.
"""

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from garm_course import load_pretrained
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.datasets import load
from garm_course.evaluation.likelihood import evaluate, paired
from garm_course.practice.compress import distillation_loss
from garm_course.practice.ensemble import Ensemble, conditionals
from garm_course.recipes import record
from garm_course.training.likelihood import fit

MEMBERS = ("pixel_gru", "gated_pixelcnn", "pixelcnn", "row_lstm")
CONFIG = {"channels": 10, "layers": 3, "first_kernel": 3}
FIT = {"batch_size": 32, "lr": 8e-3, "ema": 0.98}
LOSSES = ("NLL", "KL, data", "KL, data and samples")
T = 1.0


class FromTeacher:
    """The loss of a student: nats of an image by which its conditionals are further from the data than the teacher's.

    Args:
        table: (N, *shape, levels) log-probabilities of the teacher; an example's y is its row.
    """

    def __init__(self, table: Tensor):
        self.table = table

    def __call__(self, model: nn.Module, x: Tensor, row: Tensor) -> Tensor:
        """The loss of a batch, a scalar."""
        return model.positions * distillation_loss(model(x), self.table[row], T)


def train(loss: str, seed: int, steps: int, teacher: Ensemble) -> tuple[nn.Module, float]:
    """One student, and the processor seconds of its training without those of the teacher."""
    data, validation = load("digits", "train"), load("digits", "validation")
    torch.manual_seed(seed)
    model = GatedPixelCNN(tuple(data.shape), data.levels, **CONFIG)
    options = {"steps": steps, "seed": seed, "evaluate_every": steps, "validation": validation, **FIT}
    if loss == "NLL":
        return model, fit(model, data, label=loss, **options).cpu_seconds
    x = data.x
    if loss == "KL, data and samples":
        x = torch.cat([x, teacher.sample(len(x), rng=torch.Generator().manual_seed(seed))])
    examples = TensorDataset(x, torch.arange(len(x)))
    return model, fit(model, examples, loss=FromTeacher(conditionals(teacher, x)), label=loss, **options).cpu_seconds


def study(seeds: int, steps: int) -> dict:
    """All runs, with the settings that make them again."""
    validation = load("digits", "validation")
    members = [load_pretrained(f"{name}-digits") for name in MEMBERS]
    teacher = Ensemble(members).eval()
    ensemble = {"nats": round(evaluate(teacher, validation).nats, 4), "members": []}
    for name, member in zip(MEMBERS, members, strict=True):
        difference = paired(teacher, member, validation)
        ensemble["members"].append({
            "model": name, "nats": round(evaluate(member, validation).nats, 4), "gain": round(difference.nats, 4),
            "stderr": round(difference.stderr, 4),
        })  # fmt: skip
    runs = []
    for seed in range(seeds):
        plain = None
        for loss in LOSSES:
            model, seconds = train(loss, seed, steps, teacher)
            plain = plain or model
            difference = paired(model, plain, validation)
            runs.append({
                "loss": loss, "seed": seed, "nats": round(evaluate(model, validation).nats, 4),
                "to_nll": round(difference.nats, 4), "stderr": round(difference.stderr, 4),
                "parameters": sum(p.numel() for p in model.parameters()), "cpu_seconds": round(seconds, 1),
            })  # fmt: skip
    return {
        "data": "digits", "split": "validation", "members": MEMBERS, "ensemble": ensemble, "config": CONFIG,
        "training": {"steps": steps, "T": T, **FIT}, "runs": runs,
    }  # fmt: skip


if __name__ == "__main__":
    record("distillation-digits", study, by=["loss"], seeds=3, steps=500)
