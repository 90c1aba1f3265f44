"""Models on disk: weights as safetensors, with the configuration and the record of the run as JSON in its header.

Nothing is pickled, so a file from a stranger can hold wrong numbers but no code. A file is written beside its place
and then moved there in one step: a crash leaves the old file or the new one, never half of one.
"""

import inspect
import json
import os
import tempfile
from pathlib import Path

import torch
from torch import nn

from garm_course.models import CLASSES, home, model_class
from garm_course.weights.packing import pack, unpack

FORMAT = "garm-course 1"


def build_model(name: str, config: dict) -> nn.Module:
    """An untrained model from its name and its `config`.

    A model that is put together from others has `config["parts"]`: by the name of the argument, the name and the config
    of each part.

    Only the module of this model is imported.

    Raises:
        ValueError: for an unknown name of a model or of an argument; the message lists the known ones.
        TypeError, ValueError: a config that does not fit.
    """
    cls = model_class(name)
    parts = {argument: build_model(*part) for argument, part in config.get("parts", {}).items()}
    arguments = {**{k: v for k, v in config.items() if k != "parts"}, **parts}
    known = inspect.signature(cls).parameters
    if unknown := arguments.keys() - known.keys():
        raise ValueError(f"a {name} has no argument {', '.join(sorted(unknown))}; it takes {', '.join(known)}")
    return cls(**arguments)


def complete_config(name: str, config: dict) -> dict:
    """A config of any age with all arguments that the model has today; one that does not fit comes back as it is."""
    try:
        return _quietly_built(name, config).config
    except (AttributeError, TypeError, ValueError):
        return config


def _quietly_built(name: str, config: dict) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # the random start is thrown away: it must not move the caller's draws
        return build_model(name, config)


def write_atomically(path: Path | str, data: bytes) -> None:
    """Write a file completely or not at all.

    Raises:
        OSError: if the folder cannot be written or the disk is full; what was there before is untouched.
    """
    path, temporary = Path(path), None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = f"cannot write {path} ({error.strerror}); free some space or choose another folder"
            raise OSError(error.errno, reason) from None
        raise


def save_model(model: nn.Module, path: Path | str, record: dict | None = None, *, packed: bool = False) -> None:
    """Write a model of the library to a safetensors file.

    Args:
        model: its class must be in the list of `garm_course.models`.
        path: the file; its folder must exist.
        record: anything JSON can hold, such as the result of the run; comes back as `model.record`.
        packed: round the weights to eight bits, for a file of a quarter of the size; see `packing`.
    """
    from safetensors.torch import save

    name, cls = getattr(model, "name", None), type(model)
    if name not in CLASSES or home(name) != f"{cls.__module__}:{cls.__qualname__}":
        raise ValueError(f"cannot save a {cls.__name__}; known models: {', '.join(CLASSES)}")
    if not hasattr(model, "config"):
        raise ValueError(f"cannot save a {cls.__name__} with parts that the library cannot build; use its models")
    metadata = {
        "format": FORMAT,
        "model": name,
        "config": json.dumps(model.config),
        "record": json.dumps(record or {}),
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    write_atomically(path, save(pack(tensors) if packed else tensors, metadata))


def read_tensors(path: Path, remedy: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a safetensors file and the metadata of its header.

    Raises:
        ValueError: the file is truncated or is none; `remedy` says what to do.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118 (no dict)
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or no safetensors file ({error}); {remedy}") from None


def load_model(path: Path | str, expected: str | None = None, *, dtype: torch.dtype | None = None) -> nn.Module:
    """Read a model that `save_model` wrote; it comes back on the CPU, in evaluation mode, with its `record`.

    Args:
        path: the safetensors file.
        expected: name of the model that it must be, or None for any.
        dtype: of the weights, None for that of the file. For weights that are stored in half precision float32 is the
            better choice, since the tables of constants that a model makes for itself then keep theirs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, is no model of this course, holds another model than expected, or its weights
            do not fit its configuration.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}; train one with `garm train`, or check the path")
    tensors, metadata = read_tensors(path, "train or copy it again")
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} was not written by this course (no {FORMAT!r} in its header); use a file of `garm train`"
        )
    name = metadata.get("model")
    if name not in CLASSES:
        raise ValueError(f"{path} holds an unknown model {name!r}; known: {', '.join(CLASSES)}; update garm_course")
    if expected is not None and name != expected:
        raise ValueError(f"{path} holds a {name}, expected a {expected}; choose the file of that model")
    try:
        model = _quietly_built(name, json.loads(metadata["config"]))
        model.record = json.loads(metadata["record"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the configuration in {path} does not fit a {name} ({error}); train it again") from None
    try:
        tensors = unpack(tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; train or copy it again") from None
    try:
        model.to(dtype or (next(iter(tensors.values())).dtype if tensors else None)).load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise ValueError(f"the weights in {path} do not fit its configuration ({first}); train it again") from None
    return model.eval()
