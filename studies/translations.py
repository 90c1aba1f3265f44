"""Record what unpaired translation does, and how often: `python studies/translations.py`, ten seeds of each setting.

Writes results/studies/translations.json, which lesson 16 reads. Digits: "color" (gray to yellow on blue), "gray3" (the
same, gray as three equal channels) and "invert" (gray to inverted gray), trained on two halves of the training images
without a pair, judged on the 180 validation images, for which the right translation is known. Glyphs: "slant" (upright
to slanted) and "serif" (sans to serif), three seeds, judged by the exact factors of the nearest prototype of the other
domain. About half an hour on one thread; `--processes 2` takes half of that.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from garm_course import load_pretrained
from garm_course.adversarial.cyclegan import CycleGAN, CycleGANGame
from garm_course.datasets import load
from garm_course.datasets.coloring import INK, PAPER, colored, shade
from garm_course.evaluation.features import classify, features
from garm_course.evaluation.samples import frechet_distance
from garm_course.recipes import record
from garm_course.training.games import AdversarialHistory, fit_game
from garm_course.transforms import scale, unscale

HALF = 628  # training images in each domain
SHOWN = 8  # images of a run that are kept as pictures
PAINTED = "color, least squares, 16 scores"  # whose pictures are kept, of all seeds; of glyphs those of seed 0 are
ONE_SCORE = ((4, 2), (4, 2), (2, 1))
LOCAL = {"width": 16, "norm": False, "critic_width": 16}  # of an 8 x 8 image, a pixel sees 9 x 9 around it
GLOBAL = {"dense": (512,), "critic_width": 16, "critic_layers": ONE_SCORE}
SHORT = {"steps": 400, "lr": 4e-3, "decay": True}
LONG = {"steps": 1000, "lr": 2e-3, "decay": True, "ema": 0.99, "loss": "hinge"}
ONE = {**LOCAL, "critic_layers": ONE_SCORE}
HINGE = {**SHORT, "loss": "hinge"}
DRAWN = {  # of a 28 x 28 glyph, blocks on a 7 x 7 grid
    "width": 16, "downs": 2, "blocks": 2, "critic_width": 16, "critic_layers": ((4, 2), (4, 2), (4, 1), (3, 1)),
}  # fmt: skip
GLYPHS = {"steps": 1000, "batch_size": 16, "lr": 2e-3, "decay": True, "ema": 0.99, "loss": "hinge"}
SANS = ("DejaVuSans", "DejaVuSans-Bold", "cmss10")
SERIF = ("DejaVuSerif", "DejaVuSerif-Bold", "STIXGeneral", "STIXGeneralBol", "cmr10", "cmb10")
RULES = ("loss", "lam", "identity", "pairs", "pool")
SETTINGS = {  # task, model, training; "pairs" is how many
    "color, least squares, 16 scores": ("color", LOCAL, SHORT),
    "color, hinge, 16 scores": ("color", LOCAL, HINGE),
    "color, hinge, one score": ("color", ONE, HINGE),
    "color, instance norm": ("color", {**ONE, "norm": True}, HINGE),
    "color, no pool": ("color", ONE, {**HINGE, "pool": 0}),
    "color, one cycle": ("color", ONE, {**HINGE, "lam": (10.0, 0.0)}),
    "color, no cycle": ("color", ONE, {**HINGE, "lam": 0.0}),
    "gray3, least squares, 16 scores": ("gray3", LOCAL, SHORT),
    "gray3, identity": ("gray3", LOCAL, {**SHORT, "identity": 5.0}),
    "invert, perceptron": ("invert", GLOBAL, LONG),
    "invert, one cycle": ("invert", GLOBAL, {**LONG, "lam": (10.0, 0.0)}),
    "invert, identity": ("invert", GLOBAL, {**LONG, "identity": 5.0}),
    "invert, 3 pairs": ("invert", GLOBAL, {**LONG, "pairs": 3}),
    "invert, 10 pairs": ("invert", GLOBAL, {**LONG, "pairs": 10}),
    "invert, convolutions": ("invert", ONE, HINGE),
    "invert, convolutions, identity": ("invert", ONE, {**HINGE, "identity": 5.0}),
    "slant": ("slant", DRAWN, GLYPHS),
    "serif": ("serif", DRAWN, GLYPHS),
}


def play(model: CycleGAN, data: tuple, training: dict, seed: int) -> AdversarialHistory:
    """Train on two data sets; the rules of the game stand among the settings."""
    rules = {name: training[name] for name in RULES if name in training}
    others = {name: value for name, value in training.items() if name not in RULES}
    return fit_game(CycleGANGame(model, **rules), data, seed=seed, **{"batch_size": 32, **others})


def domains(task: str) -> tuple:
    """Two unpaired data sets, and validation images with their translations: x, y, their classes."""
    train, validation = load("digits", "train"), load("digits", "validation")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    x_half, y_half = order[:HALF], order[HALF : 2 * HALF]
    x_of, y_of = {
        "color": (lambda x: x, colored),
        "gray3": (lambda x: x.repeat(1, 3, 1, 1), colored),
        "invert": (lambda x: x, lambda x: -x),
    }[task]
    x, v = scale(train.x, 17), scale(validation.x, 17)
    data = [TensorDataset(of(x[half]), train.y[half]) for of, half in ((x_of, x_half), (y_of, y_half))]
    return *data, x_of(v), y_of(v), validation.y


def digits_run(task: str, config: dict, training: dict, seed: int, keep_pictures: bool = False) -> dict:
    """Train on digits; errors against the true translation, and classes as the shipped classifier reads them."""
    x_data, y_data, x, y, labels = domains(task)
    training = dict(training)
    if count := training.pop("pairs", 0):
        first = x_data.tensors[0][:count]
        training["pairs"] = (first, -first)
    torch.manual_seed(seed)
    model = CycleGAN(x.shape[1:], y.shape[1:], **config)
    history = play(model, (x_data, y_data), training, seed)
    there, here = model.translate(x, "xy"), model.translate(y, "yx")
    back, forth = model.translate(there, "yx"), model.translate(here, "xy")
    found = {
        "error": (there - y).square().mean().item(),
        "error_back": (here - x).square().mean().item(),
        "cycle": (back - x).abs().mean().item(),
        "cycle_back": (forth - y).abs().mean().item(),
    }
    judge = load_pretrained("classifier-digits")
    shown = _gray(task, there)
    found["kept"] = _share(classify(judge, shown) == labels)
    found["returned"] = _share(classify(judge, unscale(back[:, :1], 17)) == labels)
    if task == "invert":
        reference = unscale(-y_data.tensors[0][: len(x)], 17)
        found["frechet"] = frechet_distance(features(judge, shown), features(judge, reference))
    pictures = {"there": there, "back": back} if keep_pictures else {}
    return {
        **{name: round(value, 5) for name, value in found.items()},
        **({"pictures": {k: [_bytes(one) for one in v[:SHOWN]] for k, v in pictures.items()}} if pictures else {}),
        "cpu_seconds": round(history.cpu_seconds, 1),
    }


def _gray(task: str, y: Tensor) -> Tensor:
    """What a y shows, as levels of one channel: inverted back, or how far each color is from paper towards ink."""
    if task == "invert":
        return unscale(-y, 17)
    return unscale(shade(y), 17)


def _bytes(image: Tensor) -> str:
    """The levels of an image as hexadecimal digits, two a number: channels, then rows, then columns."""
    return bytes(unscale(image, 17).flatten().tolist()).hex()


def glyph_domains(task: str) -> tuple:
    """Training images of two domains, drawn apart, and validation images of the first: all without flips."""
    same = {"size": 20, "shift": 1, "flip": 0.0}
    ours, theirs = {
        "slant": ({"slant": 0.0}, {"slant": 0.2}),
        "serif": ({"slant": 0.0, "fonts": SANS}, {"slant": 0.0, "fonts": SERIF}),
    }[task]
    x_data, y_data = (load("glyphs", "train", n=2000, seed=k, **same, **of) for k, of in ((1, ours), (2, theirs)))
    return x_data, y_data, load("glyphs", "validation", n=200, **same, **ours)


def glyphs_run(task: str, config: dict, training: dict, seed: int) -> dict:
    """Train on glyphs; where the nearest prototype of both domains is, and which factors it kept."""
    x_data, y_data, validation = glyph_domains(task)
    torch.manual_seed(seed)
    model = CycleGAN((1, 28, 28), (1, 28, 28), 2, 2, **config)
    history = play(model, (x_data, y_data), training, seed)
    x = scale(validation.x, 2)
    there = model.translate(x, "xy")
    back = model.translate(there, "yx")
    index, distance = y_data.nearest_prototype(unscale(there, 2))
    _, from_x = x_data.nearest_prototype(unscale(there, 2))
    _, untranslated = y_data.nearest_prototype(validation.x)
    found = y_data.prototype_factors
    kept = {
        name: _share(torch.tensor([found[name][i] == true[k] for k, i in enumerate(index.tolist())]))
        for name, true in validation.factors.items()
        if name in (("digit", "font", "dx", "dy") if task == "slant" else ("digit", "dx", "dy"))
    }
    pictures = {"x": x, "there": there, "back": back}
    return {
        "arrived": _share(distance < from_x),
        "kept": {name: round(share, 4) for name, share in kept.items()},
        "distance": round(distance.double().mean().item(), 2),
        "distance_untranslated": round(untranslated.double().mean().item(), 2),
        "cycle": round((back - x).abs().mean().item(), 5),
        **({"pictures": {k: [_bits(one) for one in v[:SHOWN]] for k, v in pictures.items()}} if seed == 0 else {}),
        "cpu_seconds": round(history.cpu_seconds, 1),
    }


def _bits(image: Tensor) -> str:
    """A black and white image as hexadecimal digits, one bit a pixel in raster order."""
    return np.packbits(unscale(image, 2).flatten().numpy().astype(np.uint8)).tobytes().hex()


def _share(right: Tensor) -> float:
    return right.double().mean().item()


def run(setting: str, seed: int, steps: int | None = None) -> dict:
    """Train one model; what it does to the validation images."""
    torch.set_num_threads(1)
    task, config, training = SETTINGS[setting]
    training = {**training, "steps": steps} if steps else training
    if task in ("slant", "serif"):
        found = glyphs_run(task, config, training, seed)
    else:
        found = digits_run(task, config, training, seed, keep_pictures=setting == PAINTED)
    return {"setting": setting, "seed": seed, **found}


def floor() -> float:
    """The Fréchet distance of the true translations to the reference that "frechet" takes."""
    judge = load_pretrained("classifier-digits")
    _, y_data, x, _, _ = domains("invert")
    return frechet_distance(features(judge, unscale(x, 17)), features(judge, unscale(-y_data.tensors[0][: len(x)], 17)))


def study(seeds: int, glyph_seeds: int, steps: int | None = None, processes: int | None = None) -> dict:
    """All runs, with what is needed to make them again; the number of processes changes no figure."""
    jobs = [
        (setting, seed)
        for setting, (task, _, _) in SETTINGS.items()
        for seed in range(glyph_seeds if task in ("slant", "serif") else seeds)
    ]
    if processes:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            runs = list(pool.map(run, *zip(*jobs, strict=True), [steps] * len(jobs)))
    else:
        runs = [run(*job, steps) for job in jobs]
    return {
        "model": "cyclegan",
        "settings": {
            name: {"task": task, "config": config, "training": training}
            for name, (task, config, training) in SETTINGS.items()
        },
        "colors": {"paper": PAPER, "ink": INK},
        "frechet_floor": round(floor(), 3),
        "runs": runs,
    }


if __name__ == "__main__":
    record("translations", study, by=["setting"], seeds=10, glyph_seeds=3, steps=None, processes=None)
