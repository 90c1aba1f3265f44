"""Checkpoints of a run in progress: everything that it needs to go on as if it had never stopped.

A checkpoint is one safetensors file: weights, averages, optimizer, position in the data and every random state as
tensors, the rest as JSON in its header. Nothing is pickled. It is written beside its place and moved there in one step,
so that a kill at any moment, also while it is written, leaves the checkpoints before it whole. It carries a checksum:
one that changed is refused.
"""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from garm_course.weights.files import write_atomically
from garm_course.weights.sealed import entry, read_tensors, sealed

FORMAT = "garm-course run 2"
ENTRIES = {"format", "settings", "record", "sha256"}  # of a header


class Part(NamedTuple):
    """A part of a run that can be saved and go on: its state by name, tensors and what JSON can hold.

    Anything that has these two functions by these names is one as well.
    """

    state: Callable[[], dict]
    resume: Callable[[dict], object]


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a run is saved.

    Attributes:
        folder: made when first needed.
        every: steps between checkpoints, None for every evaluation of the run.
        keep: how many of the last ones are kept, at least 1.
    """

    folder: Path | str
    every: int | None = None
    keep: int = 2

    def __post_init__(self):
        if self.keep < 1 or (self.every is not None and self.every < 1):
            raise ValueError(f"expected keep >= 1 and every >= 1 (or None), got {self.keep} and {self.every}")

    def found(self) -> list[Path]:
        """The checkpoints in the folder, oldest first."""
        return sorted(p for p in Path(self.folder).glob("step-*.safetensors") if re.fullmatch(r"step-\d{9}", p.stem))

    def save(self, step: int, settings: dict, state: dict[str, dict]) -> Path:
        """Write the checkpoint of a step, then remove all but the last `keep`, and what a kill left half written.

        Args:
            step: its number.
            settings: what a run that goes on must have in common with this one, as JSON can hold it.
            state: the state of each part of the run, see `Part`.

        Raises:
            OSError: the folder cannot be written or the disk is full; earlier checkpoints are whole.
        """
        folder = Path(self.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"cannot make the folder {folder} ({error.strerror}); choose another one"
            raise OSError(error.errno, reason) from None
        path = folder / f"step-{step:09d}.safetensors"
        tensors, record = {}, {"step": step, **{part: {} for part in state}}
        for part, values in state.items():
            for name, value in values.items():
                if isinstance(value, Tensor):  # a copy: safetensors refuses tensors that share memory (tied weights)
                    tensors[f"{part}.{name}"] = value.detach().cpu().contiguous().clone()
                else:
                    record[part][name] = value
        metadata = {"format": FORMAT, "settings": json.dumps(settings), "record": json.dumps(record)}
        write_atomically(path, sealed(tensors, metadata))
        for old in (*self.found()[: -self.keep], *folder.glob(".step-*")):
            old.unlink(missing_ok=True)
        return path

    def resume(self, settings: dict, parts: dict[str, Part]) -> None:
        """Let the parts of a run go on from the newest checkpoint, in their order; without one, nothing changes.

        Args:
            settings: as in `save`.
            parts: of the run, by name; its "history" has the number of steps.

        Raises:
            ValueError: it is damaged, no checkpoint of this course, one of an earlier version, or one of a run with
                other settings. The message has the checkpoint from which the run can go on.
        """
        found = self.found()
        if not found:
            return
        path = found[-1]
        before = f", and the run goes on from {found[-2].name}" if len(found) > 1 else ", and the run starts again"
        state = self._read(path, settings, f"delete it{before}")
        try:
            step = int(path.stem.removeprefix("step-"))
            for says in (state.pop("step"), state.get("history", {}).get("steps", step)):
                if type(says) is not int or says != step:
                    raise ValueError(f"it says that it is of step {says!r:.60}")
            if other := state.keys() ^ parts.keys():
                raise ValueError(f"it lacks the part {min(other)!r:.60}, or has it where none belongs")
            for name, part in parts.items():
                try:
                    part.resume(state[name])
                except Exception as error:  # whatever a part makes of a state that no run has written
                    reason = " ".join(str(error).split()) or "no reason given"
                    raise ValueError(f"its part {name!r}: {type(error).__name__}, {reason:.200}") from None
        except ValueError as error:
            raise ValueError(f"{path} is not what a run has written ({error}); delete it{before}") from None

    def _read(self, path: Path, settings: dict, remedy: str) -> dict:
        """The step of a checkpoint, and the state of each part."""
        tensors, metadata = read_tensors(path, remedy)
        if metadata.get("format") == "garm-course run 1":
            raise ValueError(
                f"{path} is of an earlier garm-course, and this one cannot go on with it; finish the run with that "
                f"version, or delete {path.parent} to start it again"
            )
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{path} is no checkpoint of a run (no {FORMAT!r} in its header); {remedy}")
        try:
            if other := metadata.keys() ^ ENTRIES:
                raise ValueError(f"its header lacks {min(other)!r:.60}, or has it where it does not belong")
            theirs, state = entry(metadata, "settings"), entry(metadata, "record")
            for part, values in state.items():
                if part != "step" and not isinstance(values, dict):
                    raise ValueError(f"its part {part!r:.60} is a {type(values).__name__}, expected an object")
            for key, tensor in tensors.items():
                part, _, name = key.partition(".")
                if part not in state or part == "step" or name in state[part]:
                    raise ValueError(f"its tensor {key!r:.60} belongs to no part, or is there twice")
                state[part][name] = tensor
            if "step" not in state:
                raise ValueError("it has no step")
        except ValueError as error:
            raise ValueError(f"{path} is not what a run has written ({error}); {remedy}") from None
        other = differences(theirs, json.loads(json.dumps(settings)))  # mine as they would come back
        if other:
            raise ValueError(
                f"{path} belongs to a run with other settings ({', '.join(other[:3])}); "
                "use the settings of that run, or another folder"
            )
        return state

    def remove(self) -> None:
        """Delete all checkpoints, when the run has ended and its result is written."""
        folder = Path(self.folder)
        for path in (*self.found(), *folder.glob(".step-*")):
            path.unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def differences(before: dict, now: dict) -> list[str]:
    """What differs between two settings, in words; of settings within settings only what differs in them."""
    found = []
    for name in sorted({*before, *now}):
        a, b = before.get(name), now.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += [f"{name} {difference}" for difference in differences(a, b)]
        elif a != b:
            found.append(f"{name} {a}, now {b}")
    return found


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict:
    """Tensors ("0.exp_avg", ...) and the parameter groups, as JSON can hold them."""
    state = optimizer.state_dict()
    moments = ((i, name, v) for i, found in state["state"].items() for name, v in found.items())
    return {"groups": state["param_groups"], **{f"{i}.{name}": torch.as_tensor(v) for i, name, v in moments}}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Put back what `optimizer_state` returned.

    Raises:
        ValueError: it is not that of an Adam, or of a Muon, with these weights.
    """
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        if key != "groups":
            i, name = key.split(".", 1)
            moments.setdefault(int(i), {})[name] = tensor
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    of_muon = "ns_steps" in optimizer.defaults
    kept, counter = (("momentum_buffer",), {}) if of_muon else (("exp_avg", "exp_avg_sq"), {"step": torch.Size()})
    for i, found in moments.items():
        shapes = {name: tensor.shape for name, tensor in found.items()}
        if shapes != {**counter, **dict.fromkeys(kept, weights[i].shape)}:
            raise ValueError(f"the moments of weight {i} are {', '.join(shapes)}, or have other shapes than it")
    optimizer.load_state_dict({"state": moments, "param_groups": state["groups"]})


def random_states() -> dict[str, Tensor]:
    """Every global random state of this process: torch (CPU and GPUs), numpy, random."""
    version, numbers, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  the global one, whoever uses it
    states = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor([version, *numbers], dtype=torch.int64),
        "python_gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        "numpy": torch.tensor([*keys.tolist(), position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor(cached, dtype=torch.float64),
    }
    if torch.cuda.is_available():
        states |= {f"cuda{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def load_random_states(states: dict[str, Tensor]) -> None:
    """Put back what `random_states` returned."""
    torch.set_rng_state(states["torch"])
    version, *numbers = states["python"].tolist()
    gauss = states["python_gauss"].tolist()
    random.setstate((version, tuple(numbers), gauss[0] if gauss else None))
    *keys, position, has_gauss = states["numpy"].tolist()
    numpy_state = ("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, states["numpy_gauss"].item())
    np.random.set_state(numpy_state)  # noqa: NPY002
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda{i}" in states:
            torch.cuda.set_rng_state(states[f"cuda{i}"], i)


def description(model: nn.Module) -> dict:
    """What a checkpoint must have in common with a model: its class, its configuration, the shapes of its weights."""
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    return {"class": type(model).__name__, "config": getattr(model, "config", {}), "shapes": shapes}
