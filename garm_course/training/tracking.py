"""Curves of a run for TensorBoard or Weights & Biases, through Accelerate's trackers."""

from importlib.util import find_spec
from pathlib import Path

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb"}  # name: package that it needs


class Tracker:
    """Writes the figures of a run.

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
        self._tracker.start()
        self._tracker.store_init_configuration(config or {})

    def log(self, step: int, values: dict[str, float]) -> None:
        """Write figures of a step by name, such as "train/nats"."""
        self._tracker.log(values, step=step)

    def close(self) -> None:
        """Write what is left."""
        self._tracker.finish()
