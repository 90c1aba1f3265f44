"""Record what a search for settings finds on 192 trainings of a MADE: `python studies/made_grid.py`, one seed of each.

Writes results/studies/made_grid-digits.json, which lesson 20 reads. Every combination of learning rate, hidden units
and two dropouts is trained for 90 steps on the digits and scored on the validation split every 10 steps. On this table
five methods of search are replayed 400 times, those with Optuna 100 times: mean regret with its standard error, median
and deciles, after each number of whole trainings. About five minutes on one thread. The test split is not touched.
"""

import torch

from garm_course.autoregressive.made import MADE
from garm_course.datasets import load
from garm_course.practice.search import METHODS, Table, replay
from garm_course.recipes import record
from garm_course.training.likelihood import fit

GRID = {
    "lr": [round(3e-4 * (100 ** (k / 7)), 6) for k in range(8)],
    "hidden": [32, 64, 128, 256],
    "dropout": [0.0, 0.25, 0.5],
    "input_dropout": [0.0, 0.2],
}
STEPS = list(range(10, 91, 10))
BUDGET, REPLAYS, REPLAYS_TPE = 24, 400, 100


def train(chosen: dict, seed: int, steps: list[int] = STEPS) -> list[float]:
    """Validation nats of one configuration at each look."""
    data, validation = (load("digits", split) for split in ("train", "validation"))
    torch.manual_seed(seed)
    model = MADE(tuple(data.shape), data.levels, hidden=(chosen["hidden"],), direct=False,
                 dropout=chosen["dropout"], input_dropout=chosen["input_dropout"])  # fmt: skip
    history = fit(model, data, validation=validation, steps=steps[-1], evaluate_every=steps[0], lr=chosen["lr"],
                  batch_size=64, ema=0.0, seed=seed, label="grid")  # fmt: skip
    return [round(nats, 3) for _, nats in history.validation]


def regrets(table: Table, method: str, replays: int, trainings: int = BUDGET) -> dict:
    """Mean, standard error and deciles of the regret after 1, 2, ... whole trainings; None before all have one."""
    all_ = torch.stack([replay(table, method, trainings=trainings, seed=seed) for seed in range(replays)])
    curves = {"mean": all_.mean(0), "stderr": all_.std(0) / replays**0.5}
    curves |= {name: all_.quantile(q, 0, interpolation="nearest") for name, q in
               (("low", 0.1), ("median", 0.5), ("high", 0.9))}  # fmt: skip
    known = all_.isfinite().all(0).tolist()
    rounded = {name: [round(v, 3) if k else None for v, k in zip(curve.tolist(), known, strict=True)]
               for name, curve in curves.items()}  # fmt: skip
    return {"method": method, "replays": replays, **rounded}


def study(seeds: int, grid: dict = GRID, steps: list[int] = STEPS) -> dict:
    """The table, what it says of the settings, and the replays."""
    combinations = torch.cartesian_prod(*(torch.arange(len(values)) for values in grid.values())).tolist()
    rows = [{name: values[k] for (name, values), k in zip(grid.items(), row, strict=True)} for row in combinations]
    losses = torch.stack([torch.tensor([train(row, seed, steps) for row in rows]) for seed in range(seeds)]).mean(0)
    table = Table(grid, steps, losses)
    ranks = losses.argsort(0).argsort(0).double()
    final = losses[:, -1]
    return {
        "data": "digits", "model": "made", "settings": grid, "steps": steps,
        "losses": [[round(value, 3) for value in row] for row in losses.tolist()],
        "explained": {name: round(share, 4) for name, share in table.explained().items()},
        "rank_correlation": [round(torch.corrcoef(torch.stack([ranks[:, k], ranks[:, -1]]))[0, 1].item(), 3)
                             for k in range(len(steps))],
        "within_a_nat": round((final < final.min() + 1).double().mean().item(), 4),
        "runs": [regrets(table, method, REPLAYS_TPE if "TPE" in method else REPLAYS) for method in METHODS],
    }  # fmt: skip


if __name__ == "__main__":
    record("made_grid-digits", study, by=["method"], seeds=1)
