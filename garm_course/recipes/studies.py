"""Recorded studies: sweeps and comparisons that are too long for a lesson, made once by a script in `tools/`.

A study is one JSON file in `results/studies/`, with the command, the versions and the hardware that made it.
"""

import json

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
        'python tools/beta_sweep.py --seeds 3 --steps 1500'
    """
    if name not in (known := study_names()):
        raise ValueError(f"no recorded study {name!r}; recorded: {', '.join(known) or 'none'}")
    return json.loads((results_folder() / "studies" / f"{name}.json").read_text(encoding="utf-8"))


def study_names() -> list[str]:
    """Names that `recorded_study` knows."""
    return sorted(path.stem for path in (results_folder() / "studies").glob("*.json"))
