"""Record how a tokenizer starts: `python studies/tokenizer_start.py`, with and without a tanh, or a warm-up.

Writes results/studies/tokenizer_start.json, which lesson 17 reads. Most pixels of colored glyphs are black, which is
-1: a tanh can only get there by saturating, where its gradient vanishes. A quantizer that counts from the first step on
starts its codebook on what an untrained encoder says. Whether either of them stops this tokenizer, which has group
normalization, is what the study asks: four with squared error and equal steps, measured on 1,000 validation images.
About half a minute on one thread.
"""

import torch

from garm_course.adversarial.vqgan import VQGAN, VQGANGame
from garm_course.datasets import load
from garm_course.latent.quantizer import codebook_perplexity
from garm_course.latent.tokenizer import Tokenizer
from garm_course.recipes import record
from garm_course.training.games import fit_game
from garm_course.transforms import scale

FIT = {"batch_size": 16, "lr": 3e-3, "ema": 0.98, "decay": True}
SETTINGS = {
    "tanh, codes from the start": {"tanh": True, "warm_up": 0},
    "tanh, codes after 100 steps": {"tanh": True, "warm_up": 100},
    "linear, codes from the start": {"tanh": False, "warm_up": 0},
    "linear, codes after 100 steps": {"tanh": False, "warm_up": 100},
}


def study(seeds: int, steps: int) -> dict:
    """All runs, with the settings that make them again; "curve" has the training error of pixels over steps."""
    data, validation = load("colored_glyphs", "train", n=12_000), load("colored_glyphs", "validation")
    x, runs = scale(validation.x, validation.levels), []
    for setting, options in SETTINGS.items():
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = VQGAN(Tokenizer(data.shape, data.levels, **options), critic_width=0)
            history = fit_game(VQGANGame(model), data, steps=steps, seed=seed, watch_every=20, label="tokenizer", **FIT)
            codes = model.encode(x)
            with torch.no_grad():
                error = (model.decode(codes) - x).square().mean().item()
            runs.append({
                "setting": setting, "seed": seed, "error": round(error, 4),
                "perplexity": round(codebook_perplexity(codes, model.n_codes).item(), 2),
                "curve": [(step, round(value, 4)) for step, value in history.terms["pixels"]],
                "cpu_seconds": round(history.cpu_seconds, 1),
            })  # fmt: skip
    training = {"steps": steps, **FIT}
    return {"data": "colored_glyphs", "model": "tokenizer", "settings": SETTINGS, "training": training, "runs": runs}


if __name__ == "__main__":
    record("tokenizer_start", study, by=["setting"], seeds=1, steps=300)
