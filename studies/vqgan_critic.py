"""Record when a VQGAN's critic begins to pay: `python studies/vqgan_critic.py`, three seeds of each setting, paired.

Writes results/studies/vqgan_critic.json, which lesson 17 reads. All go on for equally many steps from the tokenizer
that comes along, which was trained by squared error and the distance in features: without a critic, or with one at
several factors of the adaptive weight, on images with flips and on images without. By seed they have the same order of
the data, and the critics the same start. All are judged on 1,000 validation images of their kind by the judge, who
trained none of them. About four minutes on one thread.
"""

from functools import cache

import torch

from garm_course import load_pretrained
from garm_course.adversarial.vqgan import VQGAN, VQGANGame
from garm_course.datasets import Dataset, load
from garm_course.latent.quantizer import codebook_perplexity
from garm_course.recipes import record
from garm_course.recipes.kinds import compare_reconstructions
from garm_course.training.games import fit_game
from garm_course.transforms import scale

FIT = {"batch_size": 16, "lr": 1e-3, "ema": 0.98, "decay": True}
PERCEPTUAL = 0.2
CRITIC = 32  # width
SETTINGS = {
    "no critic": {},
    "0.2": {"factor": 0.2},
    "0.8": {"factor": 0.8},
    "no flips, no critic": {"flip": 0.0},
    "no flips, 0.2": {"flip": 0.0, "factor": 0.2},
    "no flips, 0.8": {"flip": 0.0, "factor": 0.8},
}


@cache
def images(split: str, flip: float) -> Dataset:
    """Images of a split with this probability of flips; 12,000 for training."""
    return load("colored_glyphs", split, n=12_000 if split == "train" else 1000, flip=flip)


def train(options: dict, seed: int, steps: int) -> tuple[VQGAN, dict, float]:
    """One model, its losses over the steps, and the processor seconds of its training."""
    data = images("train", options.get("flip", 0.01))
    tokenizer = load_pretrained("perceptual_vqvae-colored_glyphs").tokenizer
    torch.manual_seed(seed)
    model = VQGAN(tokenizer, critic_width=CRITIC if "factor" in options else 0)
    teacher = load_pretrained("teacher-colored_glyphs")
    game = VQGANGame(model, teacher=teacher, perceptual=PERCEPTUAL, factor=options.get("factor", 0.0))
    history = fit_game(game, data, steps=steps, seed=seed, watch_every=20, label="tokenizer", **FIT)
    return model, history.terms, history.cpu_seconds


def measure(model: VQGAN, flip: float) -> dict:
    """Figures on the first 1,000 validation images."""
    data = images("validation", flip)
    codes = model.encode(scale(data.x, data.levels))
    with torch.no_grad():
        figures = compare_reconstructions(data, model.decode(codes))
    return {**figures, "perplexity": codebook_perplexity(codes, model.n_codes).item()}


def study(seeds: int, steps: int) -> dict:
    """All runs, with the settings that make them again."""
    runs = []
    for setting, options in SETTINGS.items():
        for seed in range(seeds):
            model, terms, seconds = train(options, seed, steps)
            figures = {key: round(value, 4) for key, value in measure(model, options.get("flip", 0.01)).items()}
            curves = {name: [(step, round(value, 4)) for step, value in entries] for name, entries in terms.items()}
            runs.append({"setting": setting, "seed": seed, **figures, "cpu_seconds": round(seconds, 1),
                         **({"curves": curves} if seed == 0 else {})})  # fmt: skip
    training = {"steps": steps, "perceptual": PERCEPTUAL, "critic_width": CRITIC, **FIT}
    return {"data": "colored_glyphs", "model": "vqgan", "settings": SETTINGS, "training": training, "runs": runs}


if __name__ == "__main__":
    record("vqgan_critic", study, by=["setting"], seeds=3, steps=200)
