"""Record finished runs of one recipe: `python tools/record.py RUN [RUN ...] [--no-weights]`, one run folder per seed.

Writes results/<model>-<data>.json (figures averaged over the seeds, and each seed on its own) and puts the weights of
the run with the best validation figure into garm_course/weights/, unless told to leave what is there: in half precision
if they would exceed 100 kB, in eight bits if they would exceed 300 kB even then, and not at all if the file exceeds
1 MB; all together stay below 16 MB. Each run is evaluated on the test split here, once.
"""

import json
import statistics
import sys
from pathlib import Path

import torch

from garm_course import recipes, weights
from garm_course.paths import results_folder
from garm_course.recipes.kinds import kind_of
from garm_course.weights.files import load_model, save_model, write_atomically
from garm_course.weights.packing import drop_masked

SINGLE, HALF, LIMIT = 100_000, 300_000, 1_000_000  # bytes of weights in single and half precision, and of any file


def mean_over_seeds(figures: list[dict], main: str) -> dict:
    """Every figure averaged over seeds; `stderr` is that of one seed, `seed_std` the spread of the main figure."""
    result = {}
    for key, first in figures[0].items():
        values = [f[key] for f in figures]
        if isinstance(first, dict):
            result[key] = {name: statistics.mean(value[name] for value in values) for name in first}
        else:
            result[key] = first if key in ("n", "bound") else statistics.mean(values)
    if len(figures) > 1:
        result["seed_std"] = statistics.stdev(f[main] for f in figures)
    return result


def record(runs: list[Path], ship: bool = True) -> dict:
    """Make the entry of `results/` from run folders that differ in their seed only; `ship` the best one's weights."""
    results = [recipes.read_result(run) for run in runs]
    same = ("model", "class", "kind", "data", "budget", "config", "data_options", "parameters")
    for key in same:
        if any(r.get(key) != results[0].get(key) for r in results):
            raise ValueError(f"the runs differ in {key!r}; record runs of one recipe and budget together")
    results = [r if "test" in r else recipes.evaluate_run(run) for run, r in zip(runs, results, strict=True)]
    first, splits = results[0], ("train", "validation", "test")
    kind = kind_of(first)
    best = min(range(len(runs)), key=lambda k: kind.headline(results[k]["validation"]).rank)
    entry = {
        **{key: first[key] for key in same if key in first},
        **{split: mean_over_seeds([r[split] for r in results], kind.key) for split in splits},
        "baselines": first["baselines"],
        "floor": first["floor"],
        "seeds": [r["seed"] for r in results],
        "seconds": [r["seconds"] for r in results],
        "cpu_seconds": [r["cpu_seconds"] for r in results],
        "runs": [{split: r[split] for split in splits} | {"best_step": r["training"]["best_step"]} for r in results],
        "training": {k: v for k, v in first["training"].items() if k not in ("best_step", "stopped")},
        "weights_of_seed": results[best]["seed"],
        "versions": first["versions"],
        "hardware": first["hardware"],
        "command": [r["command"] for r in results],
    }
    name = f"{first['model']}-{first['data']}"
    if not ship:
        known = name in recipes.recorded_names()
        entry["weights_of_seed"] = recipes.recorded(name)["weights_of_seed"] if known else None
    write_atomically(results_folder() / f"{name}.json", (json.dumps(entry, indent=1) + "\n").encode())
    if ship:
        put_weights(load_model(runs[best] / "model.safetensors"), results[best], weights.FOLDER / f"{name}.safetensors")
    else:
        print(f"{name}: weights left as they are, as asked for")
    return entry


def put_weights(model: torch.nn.Module, result: dict, path: Path) -> None:
    """Write the weights with their record as small as the limits ask for, or say that they are too large."""
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    packed = numbers * 2 > HALF
    if packed:
        drop_masked(model)
    elif numbers * 4 > SINGLE:
        model.half()
    save_model(model, path, {k: v for k, v in result.items() if k != "history"}, packed=packed)
    if path.stat().st_size > LIMIT:
        print(f"{path.stem}: {path.stat().st_size:,} bytes, more than {LIMIT:,}: no weights shipped")
        path.unlink()


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--no-weights"]
    if not arguments:
        sys.exit(__doc__)
    entry = record([Path(run) for run in arguments], ship=len(arguments) == len(sys.argv) - 1)
    kind = kind_of(entry)
    for split in ("validation", "test"):
        print(f"{entry['model']} on {entry['data']}, {split}: {kind.headline(entry[split]).text}, "
              f"seeds {[round(r[split][kind.key], 3) for r in entry['runs']]}")  # fmt: skip
