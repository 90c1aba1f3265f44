"""Record how well a prior over codes obeys its caption: `python studies/captions.py`, three seeds.

Writes results/studies/captions.json, which lesson 17 reads. The priors are the runs of `garm train caption_transformer
--data colored_glyphs` in runs/, and are trained if they are not there. Per seed: nats of validation codes given their
caption, none, and another's; guidance against obedience, distance and coverage, for 300 full captions; completion,
where the first rows of an image say one thing and the caption another; and, of one seed, a masked model of the same
size after as many steps on the same data, in 1 to 16 passes. All is judged on validation images, by a classifier that
trained nothing. About twelve minutes on one thread, half of them if the runs are there.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from garm_course.autoregressive.masked_codes import MaskedCodeModel, masked_loss
from garm_course.datasets.captions import FACTORS, CaptionedGlyphs, describe, encode
from garm_course.evaluation.features import asked_for, features
from garm_course.evaluation.samples import density_coverage, frechet_distance
from garm_course.recipes import RECIPES, record, train
from garm_course.recipes.code_texts import codes_of, full_captions, images_of, tokenizer_of
from garm_course.training.likelihood import fit
from garm_course.weights import load_pretrained

RECIPE = RECIPES["caption_transformer-colored_glyphs"]
WEIGHTS = (0, 1, 2, 4, 8)  # of guidance
PASSES = (1, 2, 4, 8, 16)
ASKED = 300  # captions, and images of each setting
COMPLETED = 200  # images of which the first rows are given
THREE = ("digit", "hue", "slant")


def rng() -> torch.Generator:
    """The same draws for each setting, so that differences are paired."""
    return torch.Generator().manual_seed(0)


def obedience(prior: nn.Module, codes: Tensor, data: CaptionedGlyphs, judge: nn.Module) -> dict:
    """What the judge reads in the images of codes that were drawn for the first full captions of `data`."""
    x, n = images_of(prior, codes), len(codes)
    asked = {name: data.labels[:n, k] for k, name in enumerate(FACTORS)}
    a, b = features(judge, data.x[:n]), features(judge, x)
    return {
        **asked_for(judge, x, asked),
        "all": asked_for(judge, x, {name: asked[name] for name in THREE})["all"],
        "frechet": frechet_distance(a, b),
        "coverage": density_coverage(a, b).coverage,
        "off": data.nearest_prototype(x)[1].double().mean().item(),
    }


def contradicted(data: CaptionedGlyphs, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Full captions of the first images with another value of one factor: tokens, that value, and the image's own."""
    own = data.labels[:COMPLETED].clone()
    k, values = list(FACTORS).index(name), len(FACTORS[name])
    other = own.clone()
    other[:, k] = (own[:, k] + torch.randint(1, values, (COMPLETED,), generator=rng())) % values
    tokens = torch.stack([encode(describe(dict(zip(FACTORS, row, strict=True)))) for row in other.tolist()])
    return tokens, other[:, k], own[:, k]


def completion(prior: nn.Module, codes: Tensor, data: CaptionedGlyphs, judge: nn.Module) -> list[dict]:
    """Who wins where the first rows and the caption disagree: shares of images with the value of either."""
    found = []
    for name in ("hue", "digit"):
        tokens, other, own = contradicted(data, name)
        for rows in range(prior.shape[0]):
            given = codes.flatten(1)[:, : rows * prior.shape[1]]
            for w in (1, 3):
                drawn = prior.sample(COMPLETED, tokens, guidance=w, given=given, rng=rng())
                read = judge.read(images_of(prior, drawn))[name]
                shares = {
                    who: (read == value).double().mean().item() for who, value in (("caption", other), ("image", own))
                }
                found.append({"what": "completion", "setting": f"another {name}, {rows} rows, w = {w}", "factor": name,
                              "rows": rows, "w": w, **shares})  # fmt: skip
    return found


def masked(prior: nn.Module, train_data: CaptionedGlyphs, seed: int) -> MaskedCodeModel:
    """The masked model of the same size, after as many steps as the prior on the same codes and captions."""
    config = {k: v for k, v in prior.config.items() if k in ("n_codes", "grid", "vocabulary", "length", *RECIPE.config)}
    torch.manual_seed(seed)
    model = MaskedCodeModel(**config)
    texts, settings = RECIPE.texts(prior, train_data, seed), RECIPE.settings("quick")
    fit(model, texts, loss=masked_loss, seed=seed, label=f"masked, seed {seed}", **settings)
    return model


def study(seeds: int, masked_seeds: int) -> dict:
    """All runs, with the settings that make them again; the masked model has seeds of its own number."""
    data, train_data = RECIPE.load("validation"), RECIPE.load("train")
    judge = load_pretrained(f"judge-{data.name}")
    runs = []
    for seed in range(seeds):
        folder = Path("runs") / f"{RECIPE.name}-{seed}"
        prior, result = train(RECIPE, folder, seed=seed, resume=True)
        codes, full = codes_of(tokenizer_of(prior), data, n=COMPLETED), full_captions(data, n=ASKED)
        nats = {key: result["validation"][key] for key in ("nats", "empty", "other")}
        runs.append({"what": "nats", "setting": "full captions", "seed": seed, **nats})
        for w in WEIGHTS:
            drawn = prior.sample(ASKED, full, guidance=w, rng=rng())
            figures = obedience(prior, drawn, data, judge)
            runs.append({"what": "guidance", "setting": f"w = {w}", "seed": seed, "w": w, **figures})
        runs += [{**one, "seed": seed} for one in completion(prior, codes, data, judge)]
        if seed >= masked_seeds:
            continue
        model = masked(prior, train_data, seed)
        for passes in PASSES:
            drawn = model.sample(ASKED, full, passes=passes, rng=rng())
            figures = obedience(prior, drawn, data, judge)
            runs.append({"what": "masked", "setting": f"{passes} passes", "seed": seed, "passes": passes, **figures})
    return {
        "data": RECIPE.data,
        "tokenizer": RECIPE.tokenizer,
        "config": RECIPE.config,
        "training": RECIPE.settings("quick"),
        "images": {"guidance": ASKED, "masked": ASKED, "completion": COMPLETED},
        "runs": runs,
    }


if __name__ == "__main__":
    record("captions", study, by=["what", "setting"], seeds=3, masked_seeds=1)
