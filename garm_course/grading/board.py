"""A board of results: a file with one line of JSON a result, to be shared by pull request or kept by an instructor.

Two rules keep luck off it. A place is the number of entries that are better beyond doubt, plus one: where the 95 %
interval of the difference contains 0, two entries share a place. And of one name a later result replaces an earlier one
only where it is better by a standard error (Blum and Hardt, 2015, "The Ladder", arXiv 1502.04585), so that a hundred
tries on one test set gain nothing by chance.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import torch

from garm_course.evaluation.likelihood import standard_error
from garm_course.grading.challenge import Result
from garm_course.weights.files import write_atomically


class Place(NamedTuple):
    """A line of the standings."""

    place: int
    name: str
    nats: float
    stderr: float
    kl: float | None
    tries: int


def submit(file: Path, name: str, result: Result) -> bool:
    """Add a result to a board; the file is written in one piece.

    Args:
        file: the board; it is made if it is not there.
        name: whose result it is.
        result: from `challenge`.

    Returns:
        Whether the name's standing result is this one: its first, or better than the one before by a standard error.

    Raises:
        ValueError: for an empty name, a file that is no board, or a board of other data.
    """
    if not name.strip() or "\n" in name:
        raise ValueError(f"expected a name of one line, got {name!r}")
    entries = read_board(file)
    there, ours = (entries[0]["data"], entries[0].get("kind", "exact")) if entries else None, (result.data, result.kind)
    if there not in (None, ours):
        raise ValueError(f"{file} is a board of {' and '.join(there)}, not of {' and '.join(ours)}; name another file")
    scores = [round(score, 4) for score in result.scores]
    kl = None if result.kl is None else [result.kl.nats, result.kl.stderr]
    entry = {"name": name, **result._asdict(), "scores": scores, "kl": kl}
    entries.append(entry)
    write_atomically(Path(file), "".join(json.dumps(one) + "\n" for one in entries).encode())
    return _standing(entries)[name] is entry


def read_board(file: Path) -> list[dict]:
    """The entries of a board in the order of their submission, [] where there is no file.

    Raises:
        ValueError: for a line that is no entry; the message has its number.
    """
    if not Path(file).exists():
        return []
    entries = []
    for number, line in enumerate(Path(file).read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            good = isinstance(entry["name"], str) and entry["test_sha256"] and len(entry["scores"]) > 1
            good = good and all(math.isfinite(score) for score in entry["scores"]) and "kl" in entry and entry["data"]
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            raise ValueError(f"{file}, line {number}, is no result of a challenge; remove the line")
        entries.append(entry)
    return entries


def standings(entries: list[dict]) -> list[Place]:
    """The standing entries of a board, the best first; equal places are not told apart by these data.

    Args:
        entries: from `read_board`.
    """
    best = _standing(entries)
    rows = []
    for name, entry in best.items():
        ahead = sum(_beats(other, entry) for other in best.values())
        scores, tries = torch.tensor(entry["scores"], dtype=torch.float64), sum(one["name"] == name for one in entries)
        kl = entry["kl"][0] if entry["kl"] else None
        rows.append(Place(ahead + 1, name, scores.mean().item(), standard_error(scores), kl, tries))
    return sorted(rows, key=lambda row: (row.place, row.nats if row.kl is None else row.kl))


def _standing(entries: list[dict]) -> dict[str, dict]:
    """The result of each name that counts."""
    best = {}
    for entry in entries:
        name = entry["name"]
        if name not in best or _beats(entry, best[name], errors=1.0):
            best[name] = entry
    return best


def _beats(a: dict, b: dict, errors: float = 1.96) -> bool:
    """Whether a is better than b by more than so many standard errors of their difference.

    Over the same test images the difference is paired. Otherwise the figures are compared, and KL divergences where
    there are, from which the difference between one test set and another has been taken out.
    """
    if a["test_sha256"] == b["test_sha256"] and a.get("kind") != "samples":  # whose scores are of sets, not of images
        gaps = torch.tensor(b["scores"], dtype=torch.float64) - torch.tensor(a["scores"], dtype=torch.float64)
        return gaps.mean().item() > errors * standard_error(gaps)
    (one, its), (other, others) = _figure(a), _figure(b)
    return other - one > errors * math.hypot(its, others)


def _figure(entry: dict) -> tuple[float, float]:
    if entry["kl"]:
        return tuple(entry["kl"])
    scores = torch.tensor(entry["scores"], dtype=torch.float64)
    return scores.mean().item(), standard_error(scores)
