"""Record when a VQGAN's critic begins to pay: `python studies/vqgan_critic.py`, three seeds where it decides something.

Writes results/studies/vqgan_critic.json, which lesson 17 reads. Every tokenizer has the same network, optimizer, steps
and order of the data and, by seed, the same start; what differs is the loss, the data (with or without flips) or the
grid of codes. All are judged on 1,000 validation images by the judge, who trained none of them. About eight minutes on
one thread.
"""

import torch

from garm_course import load_pretrained
from garm_course.adversarial.vqgan import VQGAN, VQGANGame
from garm_course.datasets import load
from garm_course.latent.quantizer import codebook_perplexity
from garm_course.latent.tokenizer import Tokenizer
from garm_course.recipes import record
from garm_course.recipes.kinds import compare_reconstructions
from garm_course.training.games import fit_game
from garm_course.transforms import scale

FIT = {"batch_size": 16, "lr": 3e-3, "ema": 0.98, "decay": True}
PERCEPTUAL = 0.2
CRITIC = 32  # width
SETTINGS = {  # "seeds": how many of those that were asked for
    "no critic": {},
    "0.8": {"factor": 0.8, "start": 640},
    "0.2": {"factor": 0.2, "start": 640},
    "0.05": {"factor": 0.05, "start": 640},
    "0.8 from step 0": {"factor": 0.8, "start": 0, "seeds": 1},
    "0.2 from step 1200": {"factor": 0.2, "start": 1200, "seeds": 1},
    "no flips, no critic": {"flip": 0.0},
    "no flips, 0.8": {"flip": 0.0, "factor": 0.8, "start": 640},
    "no flips, 0.2": {"flip": 0.0, "factor": 0.2, "start": 640},
    "7 x 7 codes, squared error": {"halvings": 2, "perceptual": 0.0, "seeds": 1},
}


def train(options: dict, seed: int, steps: int) -> tuple[VQGAN, dict, float]:
    """One model, its losses over the steps, and the processor seconds of its training."""
    data = load("colored_glyphs", "train", n=12_000, flip=options.get("flip", 0.01))
    perceptual = options.get("perceptual", PERCEPTUAL)
    torch.manual_seed(seed)
    tokenizer = Tokenizer(data.shape, data.levels, halvings=options.get("halvings", 3))
    model = VQGAN(tokenizer, critic_width=CRITIC if "factor" in options else 0)
    game = VQGANGame(
        model, teacher=load_pretrained("teacher-colored_glyphs") if perceptual else None, perceptual=perceptual,
        factor=options.get("factor", 0.0), start=options.get("start", 0),
    )  # fmt: skip
    history = fit_game(game, data, steps=steps, seed=seed, watch_every=40, label="tokenizer", **FIT)
    return model, history.terms, history.cpu_seconds


def measure(model: VQGAN, flip: float) -> dict:
    """Figures on the first 1,000 validation images."""
    data = load("colored_glyphs", "validation", flip=flip)
    codes = model.encode(scale(data.x, data.levels))
    with torch.no_grad():
        figures = compare_reconstructions(data, model.decode(codes))
    return {**figures, "perplexity": codebook_perplexity(codes, model.n_codes).item()}


def study(seeds: int, steps: int) -> dict:
    """All runs, with the settings that make them again."""
    runs = []
    for setting, options in SETTINGS.items():
        for seed in range(min(seeds, options.get("seeds", seeds))):
            model, terms, seconds = train(options, seed, steps)
            figures = {key: round(value, 4) for key, value in measure(model, options.get("flip", 0.01)).items()}
            curves = {name: [(step, round(value, 4)) for step, value in entries] for name, entries in terms.items()}
            runs.append({"setting": setting, "seed": seed, **figures, "cpu_seconds": round(seconds, 1),
                         **({"curves": curves} if seed == 0 else {})})  # fmt: skip
            print(setting, seed, figures, flush=True)
    training = {"steps": steps, "perceptual": PERCEPTUAL, "critic_width": CRITIC, **FIT}
    return {"data": "colored_glyphs", "model": "vqgan", "settings": SETTINGS, "training": training, "runs": runs}


if __name__ == "__main__":
    record("vqgan_critic", study, by=["setting"], seeds=3, steps=1600)
