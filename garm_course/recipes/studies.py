"""Recorded studies: sweeps and comparisons that are too long for a lesson, made once by a script in `studies/`.

A study is one JSON file in `results/studies/`, with the command, the versions and the hardware that made it. A script
says what is trained and measured, and leaves the rest to `record`.
"""

import argparse
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from garm_course.paths import results_folder


def recorded_study(name: str) -> dict:
    """What a study found, from `results/studies/`.

    Args:
        name: of the file, such as "beta_sweep-digits".

    Returns:
        The content of the file: at least "runs" (what was measured), "command", "versions", "hardware".

    Raises:
        ValueError: nothing is recorded under that name; the message lists what is.

    Example:
        >>> recorded_study("beta_sweep-digits")["command"]
        'python studies/beta_sweep.py --seeds 3 --steps 1500'
    """
    if name not in (known := study_names()):
        raise ValueError(f"no recorded study {name!r}; recorded: {', '.join(known) or 'none'}")
    return json.loads((results_folder() / "studies" / f"{name}.json").read_text(encoding="utf-8"))


def study_names() -> list[str]:
    """Names that `recorded_study` knows."""
    return sorted(path.stem for path in (results_folder() / "studies").glob("*.json"))


def record(
    name: str,
    study: Callable[..., dict],
    by: Sequence[str],
    arguments: Sequence[str] | None = None,
    **options: int | None,
) -> dict:
    """Make a study from the command line: run it on one thread, write its file, print its figures.

    Args:
        name: of the file in `results/studies/`; `--out` writes another one.
        study: called with the options; returns the settings and "runs", one dictionary a run.
        by: what of a run tells the groups apart whose figures are printed side by side.
        arguments: of the command line, None for those of this process.
        options: whole numbers that the command line can set, with their defaults; one that is None is left out of the
            recorded command.

    Returns:
        The content of the file: that of the study, "command", "versions", "hardware".
    """
    import torch

    from garm_course.recipes.provenance import hardware, versions
    from garm_course.weights.files import write_atomically

    parser = argparse.ArgumentParser(description=f"Record the study {name}.")
    for option, default in options.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--out", type=Path, default=results_folder() / "studies" / f"{name}.json")
    chosen = vars(parser.parse_args(arguments))
    out = chosen.pop("out")
    torch.set_num_threads(1)
    given = [f" --{option.replace('_', '-')} {value}" for option, value in chosen.items() if value is not None]
    command = f"python studies/{Path(inspect.getfile(study)).name}{''.join(given)}"
    found = {**study(**chosen), "command": command, "versions": versions(), "hardware": hardware()}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, (json.dumps(found) + "\n").encode())
    print(*figures(found["runs"], by), sep="\n")
    return found


def figures(runs: Sequence[dict], by: Sequence[str]) -> list[str]:
    """Lines that show the numbers of runs, those of a group side by side.

    Args:
        runs: of a study; figures under "validation" count as the run's own.
        by: names of what tells groups apart.

    Example:
        >>> figures([{"head": "softmax", "seed": k, "nats": 80.1234 + k} for k in range(2)], ["head"])
        ['softmax: nats [80.123, 81.123]']
    """
    groups: dict[tuple, list[dict]] = {}
    for run in runs:
        groups.setdefault(tuple(run[key] for key in by), []).append({**run, **run.get("validation", {})})
    lines = []
    for group, same in groups.items():
        keys = [key for key, value in same[0].items() if isinstance(value, int | float) and key not in ("seed", *by)]
        shown = (f"{key} {[round(run[key], 3) for run in same if key in run]}" for key in keys)
        lines.append(f"{', '.join(map(str, group))}: {', '.join(shown)}")
    return lines
