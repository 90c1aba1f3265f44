"""A whole course's submissions: one notebook after the other in a few processes, each result a file of its own.

A result is kept by what decides it (the bytes of the notebook, the exercises, the seed, the version), and is written
completely or not at all. So a run that was stopped goes on where it was, and a second run costs nothing.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from garm_course import __version__
from garm_course.grading.archive import Found
from garm_course.grading.judge import LARGEST, LOADING, MEMORY, SECONDS
from garm_course.weights.files import write_atomically


def results(found: list[Found], names: list[str], folder: Path, *, jobs: int = 1, seed: int = 0) -> Iterator[dict]:
    """The results of submissions, as they become ready; `file` and `student` say whose.

    Args:
        found: the submissions.
        names: of the exercises.
        folder: of the results that are kept.
        jobs: processes at a time.
        seed: of the numbers that answers are checked with, see `GARM_PROBE_SEED`.

    Raises:
        RuntimeError: the course's own answers do not pass on this machine, or the sandbox does not start.
        OSError: the disk is full; what is written stays, and the next run goes on from there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    open_: dict[str, list[Found]] = {}
    for one in found:
        try:
            raw = _read(one)
        except ValueError as error:
            yield _of(one, {"unreadable": str(error), "exercises": {}, "notes": [], "seconds": 0.0})
            continue
        key = _key(raw, names, seed)
        kept = _kept(folder / f"{key}.json")
        if kept is not None:
            yield _of(one, kept)
        else:
            open_.setdefault(key, []).append(one)
    if not open_:
        return
    context = multiprocessing.get_context("spawn")  # a judge starts afresh, with the seed
    jobs = max(1, min(jobs, len(open_)))
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(seed,)) as pool:
        try:
            failing = pool.submit(_own_answers, names).result()
            if failing:
                raise RuntimeError(
                    f"this machine is at fault: the course's own answers do not pass on it ({failing}); nothing was "
                    "graded, garm doctor looks at the installation"
                )
            tasks = {pool.submit(_judge, same[0], names): key for key, same in open_.items()}
            for task in as_completed(tasks):
                result = task.result()
                data = json.dumps(result, ensure_ascii=False, indent=1).encode(errors="replace")
                write_atomically(folder / f"{tasks[task]}.json", data)
                for one in open_[tasks[task]]:
                    yield _of(one, result)
        except BrokenProcessPool:
            raise RuntimeError("a process of the judge was ended, for want of memory perhaps; run it again with "
                               "fewer --jobs: what is graded stays") from None  # fmt: skip
        finally:
            pool.shutdown(cancel_futures=True)


def _read(one: Found) -> bytes:
    if one.problem:
        raise ValueError(one.problem)
    return one.read(LARGEST)


def _key(raw: bytes, names: list[str], seed: int) -> str:
    limits = [__version__, seed, SECONDS, LOADING, MEMORY, names]
    return hashlib.sha256(hashlib.sha256(raw).digest() + json.dumps(limits).encode()).hexdigest()


def _kept(file: Path) -> dict | None:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(file.read_text(encoding="utf-8"))
    return None


def _of(one: Found, result: dict) -> dict:
    return {"file": one.file, "student": one.student, **result}


def _begin(seed: int) -> None:
    """In a process of the judge, before any exercise is there."""
    os.environ["GARM_PROBE_SEED"] = str(seed)
    import torch

    torch.set_num_threads(1)


def _own_answers(names: list[str]) -> str:
    from garm_course.grading.judge import own_answers

    return own_answers(names)


def _judge(one: Found, names: list[str]) -> dict:
    from garm_course.grading.judge import judge

    try:
        return judge(_read(one), names)
    except ValueError as error:  # it has been changed meanwhile
        return {"unreadable": str(error), "exercises": {}, "notes": [], "seconds": 0.0}
