"""Curves of a run: for TensorBoard or Weights & Biases through Accelerate's trackers, or as lines of JSON.

A tracker is anything with two methods: `log(step, values)`, called at every evaluation, and `close()`. It may end a run
in good order by raising `Stop`.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "lines": None}  # name: package that it needs


class Stop(Exception):
    """Raised by a tracker, ends the run with the best weights kept; the text becomes `history.stopped`.

    For runs of one process: of several, only the first has a tracker, and the others would wait.
    """


class Tracker(Protocol):
    """What a run tells its figures to."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Write figures of a step by name, such as "train/nats"."""

    def close(self) -> None:
        """Write what is left."""


def open_tracker(kind: str, folder: Path | str, name: str, config: dict | None = None) -> Tracker:
    """A tracker by name.

    Args:
        kind: "tensorboard", "wandb" or "lines".
        folder: where the files go.
        name: of the run.
        config: its settings, numbers and words.

    Raises:
        ValueError: for another kind. ImportError: its package is not installed.
    """
    return Lines(Path(folder) / "lines.jsonl") if kind == "lines" else Accelerated(kind, folder, name, config)


class Lines:
    """One JSON object a line, {"step": ..., name: figure}: needs no package, and is there after a crash.

    Args:
        file: lines are added to it.
    """

    def __init__(self, file: Path | str):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        self._file = open(file, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  closed by close()

    def log(self, step: int, values: dict[str, float]) -> None:
        """Add a line."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Several:
    """Tells each of some trackers.

    Args:
        trackers: in the order in which they are told; where one raises `Stop`, the others are told first.
    """

    def __init__(self, *trackers: Tracker):
        self.trackers = trackers

    def log(self, step: int, values: dict[str, float]) -> None:
        """Tell all of them."""
        stop = None
        for one in self.trackers:
            try:
                one.log(step, values)
            except Stop as wish:
                stop = stop or wish
        if stop:
            raise stop

    def close(self) -> None:
        """Close all of them."""
        for one in self.trackers:
            one.close()


class Accelerated:
    """TensorBoard or Weights & Biases.

    Args:
        kind: "tensorboard" (files in `folder`, shown by `tensorboard --logdir FOLDER`) or "wandb" (Weights & Biases;
            offline unless the environment variable WANDB_MODE says otherwise, so nothing leaves the computer unasked).
        folder: where the files go.
        name: of the run.
        config: its settings, numbers and words.

    Raises:
        ValueError: for another kind. ImportError: its package is not installed.
    """

    def __init__(self, kind: str, folder: Path | str, name: str, config: dict | None = None):
        if kind not in TRACKERS:
            raise ValueError(f"no tracker {kind!r}; choose one of {', '.join(TRACKERS)}")
        if find_spec(TRACKERS[kind]) is None:
            raise ImportError(f"tracking with {kind} needs a package: pip install {TRACKERS[kind]}")
        import os

        from accelerate.tracking import TensorBoardTracker, WandBTracker

        from garm_course.training.processes import Processes

        Processes()  # Accelerate's trackers call its logging, which must know the process it is in
        Path(folder).mkdir(parents=True, exist_ok=True)
        if kind == "tensorboard":
            self._tracker = TensorBoardTracker(name, str(folder))
        else:
            mode = os.environ.get("WANDB_MODE", "offline")
            self._tracker = WandBTracker(name, dir=str(folder), mode=mode)
        if hasattr(self._tracker, "start"):  # in older versions of Accelerate the constructor starts it
            self._tracker.start()
        self._tracker.store_init_configuration(config or {})

    def log(self, step: int, values: dict[str, float]) -> None:
        """Write figures of a step by name, such as "train/nats"."""
        self._tracker.log(values, step=step)

    def close(self) -> None:
        """Write what is left."""
        self._tracker.finish()
