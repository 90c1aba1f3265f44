"""Record what a sliding window remembers: `python studies/walls.py`, a strip five times as wide as the window.

Writes results/studies/walls.json, which lesson 17 reads. A tokenizer and a prior are trained on crops of walls of
digits, each wall of one hue, with 4 x 4 codes a crop; then canvases of 4 x 20 codes are drawn through the window. How
often two columns of codes show one hue, against their distance, tells how far the window remembers: on a wall it is
always. One seed. About three minutes on one thread.
"""

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from garm_course.adversarial.vqgan import VQGAN, VQGANGame
from garm_course.autoregressive.code_prior import CodeTransformer
from garm_course.datasets.palette import snap
from garm_course.datasets.walls import COLORS, hue_of, wall
from garm_course.evaluation.likelihood import evaluate
from garm_course.latent.tokenizer import Tokenizer
from garm_course.recipes import record
from garm_course.training.games import fit_game
from garm_course.training.likelihood import fit
from garm_course.transforms import scale

SIDE, STEP = 32, 8  # pixels of a crop, and of a code
TOKENIZER = {"n_codes": 64, "dim": 8, "channels": 64, "blocks": 1}
TOKENIZER_FIT = {"steps": 1000, "batch_size": 16, "lr": 3e-3, "ema": 0.98, "decay": True}
PRIOR = {"width": 64, "layers": 3, "heads": 4}
PRIOR_FIT = {"steps": 1000, "batch_size": 64, "lr": 4e-3, "muon": 0.02, "evaluate_every": 250}
CROPS = {"train": 8000, "validation": 500}
CANVAS = (4, 20)  # codes
DRAWN, SHOWN = 200, 4  # canvases, and those that are kept as pictures


def agreement(hues: Tensor) -> list[float]:
    """Share of pairs of columns that show one hue, of those that show any: hues (N, W) -> distances 1..W-1."""
    shares = []
    for d in range(1, hues.shape[1]):
        a, b = hues[:, :-d], hues[:, d:]
        seen = (a >= 0) & (b >= 0)
        shares.append((a == b)[seen].double().mean().item())
    return shares


def columns(x: Tensor) -> Tensor:
    """The hue that each column of codes shows: images (N, 3, H, W) of levels -> (N, W / 8)."""
    parts = torch.stack(x.split(STEP, 3), 1)  # (N, W / 8, 3, H, 8)
    return hue_of(parts.flatten(0, 1)).unflatten(0, parts.shape[:2])


def pictures(x: Tensor) -> list[list[str]]:
    """Images of levels as rows of digits: 0 for black, then the places of the hues in the palette."""
    index = (x[:, None] == COLORS[:, :, None, None]).all(2).long().argmax(1)  # (N, H, W)
    return [["".join(map(str, row)) for row in image] for image in index.tolist()]


@torch.no_grad()
def decoded(tokenizer: nn.Module, codes: Tensor) -> Tensor:
    """Codes as images (N, 3, 8 H', 8 W') of levels, each pixel of the nearest color."""
    return torch.cat([snap(tokenizer.decode(part)) for part in codes.split(50)])


def study(seeds: int, steps: int) -> dict:
    """A run for each seed, with the settings that make it again; `steps` of the prior."""
    crops = {split: wall(n, SIDE, SIDE, torch.Generator().manual_seed(k)) for k, (split, n) in enumerate(CROPS.items())}
    long, _ = wall(DRAWN, SIDE, STEP * CANVAS[1], torch.Generator().manual_seed(2))
    runs = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        tokenizer = VQGAN(Tokenizer((3, SIDE, SIDE), 4, **TOKENIZER), critic_width=0)
        fit_game(VQGANGame(tokenizer), TensorDataset(*crops["train"]), seed=seed, **TOKENIZER_FIT)
        codes = {split: tokenizer.encode(scale(x, 4)) for split, (x, _) in crops.items()}
        texts = {split: TensorDataset(one, torch.zeros(len(one), 1, dtype=torch.long)) for split, one in codes.items()}
        prior = CodeTransformer(tokenizer.n_codes, tokenizer.grid, vocabulary=1, length=1, **PRIOR)
        settings = {**PRIOR_FIT, "steps": steps}
        fit(prior, texts["train"], validation=texts["validation"], seed=seed, **settings)
        drawn = prior.sample_wide(None, *CANVAS, n=DRAWN, rng=torch.Generator().manual_seed(seed))
        wide, x = decoded(tokenizer, drawn), scale(crops["validation"][0], 4)
        runs.append({
            "seed": seed,
            "validation": {
                "error": (tokenizer.reconstruct(x) - x).square().mean().item(),
                "nats": evaluate(prior, texts["validation"]).nats,
            },
            "agreement": {
                "walls": agreement(columns(long)),
                "reconstructed crops": agreement(columns(decoded(tokenizer, codes["validation"]))),
                "sliding window": agreement(columns(wide)),
            },
            **({"strips": pictures(wide[:SHOWN]), "walls": pictures(long[:SHOWN])} if seed == 0 else {}),
        })  # fmt: skip
    return {
        "tokenizer": {**TOKENIZER, **TOKENIZER_FIT},
        "prior": {**PRIOR, **PRIOR_FIT, "steps": steps},
        "crops": CROPS,
        "canvas": CANVAS,
        "images": DRAWN,
        "runs": runs,
    }


if __name__ == "__main__":
    record("walls", study, by=["seed"], seeds=1, steps=PRIOR_FIT["steps"])
