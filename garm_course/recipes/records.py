"""Recorded results: what each recipe reached over its seeds, read from `results/`."""

import json

from garm_course.models import MODELS
from garm_course.paths import results_folder
from garm_course.recipes.kinds import find_kind, kind_of

AS_IS = {"n", "length", "stride"}  # options that make no other data of a data set


def recorded(name: str) -> dict:
    """The recorded result of a recipe, from `results/`: figures averaged over seeds, and each seed's own.

    Args:
        name: `<model>-<data>`, such as "gated_pixelcnn-digits".

    Raises:
        ValueError: nothing is recorded under that name; the message lists what is.
    """
    path = results_folder() / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"no recorded result {name!r}; recorded: {', '.join(recorded_names())}")
    return json.loads(path.read_text(encoding="utf-8"))


def recorded_names() -> list[str]:
    """Names that `recorded` knows: `<model>-<data>`."""
    return sorted(path.stem for path in results_folder().glob("*.json"))


def recorded_on(data: str, lesson: int | None = None, *, kind: str = "likelihood") -> list[dict]:
    """All recorded results of a kind on a data set, best validation figure last: the entries of its ladder.

    Results on another variant of the data (`glyphs` in color) are left out, since they do not compare.

    Args:
        data: "digits", "glyphs", ...
        lesson: leave out models that a later lesson introduces; None for all.
        kind: of the results, as `kinds.KINDS` lists them.

    Raises:
        ValueError: an unknown kind, or nothing is recorded on that data set; the message lists what there is.
    """
    wanted = find_kind(kind)
    every = [result for result in map(recorded, recorded_names()) if kind_of(result) is wanted]
    found = [result for result in every if result["data"] == data and set(result["data_options"]["train"]) <= AS_IS]
    if not found:
        there = ", ".join(sorted({result["data"] for result in every})) or "no data set"
        raise ValueError(f"nothing is recorded on {data!r}; there are results on {there}")
    known = [r for r in found if lesson is None or MODELS[r["model"]].lesson <= lesson]
    return sorted(known, key=lambda result: -wanted.headline(result["validation"]).rank)
