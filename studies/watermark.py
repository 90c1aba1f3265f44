"""Record what a watermark costs and how it is found: `python studies/watermark.py`, six keys for each strength.

Writes results/studies/watermark-digits.json, which lesson 19 reads. Samples of the shipped gated PixelCNN of `digits`,
drawn with green lists; the key finds them in single images of 64 values and in groups of four, also after some pixels
became random. Without a watermark z still differs between keys, since images of one model resemble each other. Two
costs, in nats an image: what the samples lose in the model's own likelihood, and how far their law diverges from the
model. About two minutes on one thread.
"""

import math

import torch
from torch import Tensor

from garm_course import load_pretrained
from garm_course.recipes import record
from garm_course.trust.memorization import make_canaries
from garm_course.trust.watermark import GreenList, p_value

MODEL = "gated_pixelcnn-digits"
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)  # nats
GAMMA, SAMPLES, ATTACKED, LEVEL = 0.5, 100, 6, 1e-3


def draw(model, green: GreenList, delta: float, seed: int, n: int) -> Tensor:
    """Images with a watermark of this strength; without one at 0."""
    transform = green.favor(delta) if delta else None
    return model.sample(n, transform=transform, rng=torch.Generator().manual_seed(seed))


@torch.no_grad()
def divergence(model, green: GreenList, delta: float, x: Tensor) -> float:
    """KL(watermarked || model) of images, in nats: the mean over draws of the sum of the conditionals' divergences."""
    log_p = model.to_sequence(model.head.logits(model(x))).log_softmax(-1)  # (B, T, levels)
    tokens, total = model.to_sequence(x), 0.0
    for i in range(tokens.shape[1]):
        mask = green.mask(i, tokens[:, i - 1] if i else None)
        log_q = (log_p[:, i] + delta * mask).log_softmax(-1)
        total += (log_q.exp() * (log_q - log_p[:, i])).sum(1).mean().item()
    return total


@torch.no_grad()
def run(delta: float, seed: int, n: int = SAMPLES) -> dict:
    """Samples with one key: z, the share that is found, and what they cost."""
    model = load_pretrained(MODEL)
    green = GreenList(seed, GAMMA, model.levels)
    x, plain = (draw(model, green, strength, seed, n) for strength in (delta, 0.0))
    changed = make_canaries(x, ATTACKED, model.levels, torch.Generator().manual_seed(seed))
    counts = {name: green.count(model.to_sequence(images)) for name, images in (("found", x), ("attacked", changed))}
    T, share = x[0].numel(), green.share
    fours = [green.count_together(four) for four in model.to_sequence(x).split(4)]
    figures = {
        "z": (counts["found"].double().mean().item() - T * share) / math.sqrt(T * share * (1 - share)),
        **{name: (p_value(count, T, share) < LEVEL).double().mean().item() for name, count in counts.items()},
        "found_in_fours": sum((p_value(*four, share) < LEVEL).item() for four in fours) / len(fours),
        "cost": (model.log_prob(plain).mean() - model.log_prob(x).mean()).item(),
        "divergence": divergence(model, green, delta, x),
    }
    return {"delta": delta, "seed": seed, **{name: round(value, 4) for name, value in figures.items()}}


def study(seeds: int, samples: int) -> dict:
    """All runs, with the settings that make them again."""
    return {
        "data": "digits",
        "model": MODEL,
        "gamma": GAMMA,
        "level": LEVEL,
        "attacked_pixels": ATTACKED,
        "samples": samples,
        "runs": [run(delta, seed, samples) for delta in STRENGTHS for seed in range(seeds)],
    }


if __name__ == "__main__":
    record("watermark-digits", study, by=["delta"], seeds=6, samples=SAMPLES)
