"""Record what a VAE-GAN gains over a VAE of the same networks: `python studies/vaegan.py`, three seeds of each setting.

Writes results/studies/vaegan.json, which lesson 15 reads. All are trained on `digits` with equally many steps and
judged on the 180 validation images: samples by their Fréchet distance in the features of the shipped classifier and by
their share of gray pixels; reconstructions by squared error of pixels and of these features, and by the share that is
read as the original; the code by its KL term. About four minutes on one thread.
"""

import torch

from garm_course import load_pretrained
from garm_course.adversarial.vaegan import MLPVAEGAN, PixelLoss, VAEGANGame
from garm_course.datasets import load
from garm_course.evaluation.features import classify, features
from garm_course.evaluation.samples import frechet_distance
from garm_course.recipes import record
from garm_course.training.games import fit_game
from garm_course.training.likelihood import fit
from garm_course.transforms import scale, unscale

STEPS = 1500
PIXELS = {"batch_size": 64, "lr": 1e-3, "ema": 0.99, "clip": 1000.0}
GAME = {"batch_size": 64, "lr": 1e-3, "ema": 0.99, "r1": 0.1, "decay": True}
SETTINGS = {  # a VAE has the variance of its pixels, a VAE-GAN that of its features, and gamma
    "VAE, variance 0.12": {"pixels": 0.12},
    "VAE, variance 0.3": {"pixels": 0.3},
    "VAE-GAN, gamma 10": {"gamma": 10.0, "variance": 0.1},
    "VAE-GAN, gamma 1": {"gamma": 1.0, "variance": 0.1},
    "VAE-GAN, gamma 0.1": {"gamma": 0.1, "variance": 0.1},
    "VAE-GAN, gamma 0": {"gamma": 0.0, "variance": 0.1},
}


def train(options: dict, seed: int, steps: int = STEPS) -> tuple[MLPVAEGAN, float]:
    """One model, and the processor seconds of its training."""
    data = load("digits", "train")
    torch.manual_seed(seed)
    model = MLPVAEGAN(tuple(data.shape), data.levels)
    if "pixels" in options:
        loss = PixelLoss(options["pixels"])
        history = fit(model, data, loss=loss, steps=steps, seed=seed, evaluate_every=steps, label="VAE", **PIXELS)
    else:
        training = dict(GAME)
        game = VAEGANGame(model, r1=training.pop("r1"), **options)
        history = fit_game(game, data, steps=steps, seed=seed, label="VAE-GAN", **training)
    return model, history.cpu_seconds


def measure(model: MLPVAEGAN) -> dict:
    """Figures on the validation split."""
    validation, classifier = load("digits", "validation"), load_pretrained("classifier-digits")
    x, real = scale(validation.x, validation.levels), features(classifier, validation.x)
    drawn = model.sample(len(x), rng=torch.Generator().manual_seed(0))
    rebuilt = model.reconstruct(x)
    levels = unscale(rebuilt, validation.levels)
    with torch.no_grad():
        rate = model.prior_loss(*model.encode(x)).item()
    return {
        "frechet": frechet_distance(real, features(classifier, unscale(drawn, validation.levels))),
        "gray": gray(drawn),
        "pixels": (rebuilt - x).square().mean().item(),
        "features": (features(classifier, levels) - real).square().sum(1).mean().item(),
        "same": (classify(classifier, levels) == validation.y).double().mean().item(),
        "rate": rate,
    }


def gray(x: torch.Tensor) -> float:
    """Share of pixels that are neither nearly black nor nearly white: what blur makes."""
    return (x.abs() < 0.75).double().mean().item()


def study(seeds: int, steps: int = STEPS) -> dict:
    """All runs, with the settings that make them again."""
    runs = []
    for setting, options in SETTINGS.items():
        for seed in range(seeds):
            model, seconds = train(options, seed, steps)
            figures = {key: round(value, 4) for key, value in measure(model).items()}
            runs.append({"setting": setting, "seed": seed, **figures, "cpu_seconds": round(seconds, 1)})
    return {
        "data": "digits",
        "model": "vaegan",
        "settings": SETTINGS,
        "training": {"steps": steps, "pixels": PIXELS, "game": GAME},
        "gray_of_data": round(gray(scale(load("digits", "validation").x, 17)), 4),
        "runs": runs,
    }


if __name__ == "__main__":
    record("vaegan", study, by=["setting"], seeds=3, steps=STEPS)
