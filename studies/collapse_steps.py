"""Record what longer training does to a collapsed code: `python studies/collapse_steps.py`, three seeds of each run.

Writes results/studies/collapse_steps-digits.json, which lesson 11 reads. The VAE with a PixelCNN decoder of that
lesson, trained for 200 and for 600 steps: plainly, with the weight of the KL annealed over the first half, with free
bits of one nat for each of the 8 latents. On the validation images: the rate, minus the ELBO, what the reconstruction
loses with the code of another image, and the share of images drawn from a code that a judge reads as the digit of the
original. About five minutes on one thread.
"""

import torch
from sklearn.svm import SVC
from torch import nn

from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.datasets import load
from garm_course.evaluation.likelihood import rate_distortion
from garm_course.latent.priors import StandardNormal
from garm_course.latent.vae import VAE, MLPEncoder, NegativeELBO
from garm_course.recipes import record
from garm_course.training.likelihood import fit

LOSSES = {"plain": {}, "annealed": {"warmup": 0.5}, "free bits": {"lam": 1.0}}
STEPS = (200, 600)
FIT = {"lr": 8e-3, "ema": 0.98, "batch_size": 64}


def build(seed: int) -> VAE:
    """The model of the lesson."""
    torch.manual_seed(seed)
    decoder = GatedPixelCNN((1, 8, 8), 17, channels=16, layers=2, context=8)
    encoder = MLPEncoder((1, 8, 8), 17, outputs=16, hidden=(64,))
    return VAE(encoder, decoder, (1, 8, 8), StandardNormal(8), levels=17)


@torch.no_grad()
def measure(model: nn.Module, judge: SVC) -> dict:
    """Figures on the validation images."""
    data = load("digits", "validation")
    terms = rate_distortion(model, data)
    z = model.encode(data.x).sample(1, torch.Generator().manual_seed(0))
    own, other = (model.log_likelihood(data.x, code).mean().item() for code in (z, z.roll(1, 0)))
    drawn = model.draw(z[:, 0], rng=torch.Generator().manual_seed(3))
    same = (judge.predict(drawn.flatten(1)) == judge.predict(data.x.flatten(1))).mean()
    figures = {"rate": terms["rate"], "nats": sum(terms.values()), "swap": own - other, "same": float(same)}
    return {name: round(value, 4) for name, value in figures.items()}


def study(seeds: int, most: int = STEPS[-1]) -> dict:
    """All runs, with the settings that make them again."""
    train = load("digits", "train")
    judge = SVC(gamma=0.001).fit(train.x.flatten(1), train.y)
    runs = []
    for steps in (steps for steps in STEPS if steps <= most):
        for name, options in LOSSES.items():
            for seed in range(seeds):
                model = build(seed)
                fit(model, train, loss=NegativeELBO(**options), steps=steps, seed=seed, evaluate_every=steps,
                    label=f"{name}, {steps} steps", **FIT)  # fmt: skip
                runs.append({"loss": name, "steps": steps, "seed": seed, **measure(model, judge)})
    return {"data": "digits", "losses": LOSSES, "training": FIT, "runs": runs}


if __name__ == "__main__":
    record("collapse_steps-digits", study, by=["loss", "steps"], seeds=3, most=STEPS[-1])
