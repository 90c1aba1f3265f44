"""Models on disk: weights as safetensors, with the configuration and the record of the run as JSON in its header.

Nothing is pickled, so a file from a stranger can hold wrong numbers but no code; and a model is made only after its
shapes were compared with those of the file, so that it costs no more than the file is large. A file is written beside
its place and then moved there in one step: a crash leaves the old file or the new one, never half of one.
"""

import inspect
import json
import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from garm_course.models import CLASSES, home, model_class
from garm_course.weights.packing import pack, unpack
from garm_course.weights.sealed import entry, read_tensors, sealed

FORMAT = "garm-course 1"
ENTRIES = {"format", "model", "config", "record", "sha256"}  # of a header


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
    write_atomically(path, sealed(pack(tensors) if packed else tensors, metadata))


def _skeleton(name: str, config: dict, tensors: dict[str, Tensor], path: Path) -> nn.Module:
    """A model without numbers, on the `meta` device, whose shapes and dtypes were compared with the tensors of a file.

    Whatever the configuration asks for costs neither memory nor time: it is stopped as soon as it has called torch far
    more often than the tensors of the file need.

    Args:
        name: of the model.
        config: its configuration.
        tensors: its `state_dict`, in any one floating-point type.
        path: of the file, for messages.

    Raises:
        ValueError: the configuration does not fit the model, or the tensors do not fit the configuration.
    """
    try:
        # A block that is left by the limit cannot switch gradients on again, which is a call of torch as well.
        with torch.set_grad_enabled(torch.is_grad_enabled()), torch.device("meta"), _Calls(1000 + 100 * len(tensors)):
            model = build_model(name, config)
    except Exception as error:  # a configuration of a stranger: torch and Python have many words for what cannot be
        raise ValueError(
            f"the configuration in {path} does not fit a {name} ({_short(error)}); train it again"
        ) from None
    expected, wrong = {key: tensor.dtype for key, tensor in model.state_dict().items()}, None
    try:
        model.load_state_dict({k: torch.empty_like(v, device="meta") for k, v in tensors.items()}, assign=True)
    except RuntimeError as error:
        wrong = str(error).splitlines()[-1].strip()
    else:
        for key, tensor in model.state_dict().items():
            if tensor.dtype != expected[key] and not (tensor.is_floating_point() and expected[key].is_floating_point):
                wrong = f"{key} is of {tensor.dtype}, expected {expected[key]}"
    if sum(buffer.numel() for buffer in model.buffers()) > 2**24 + sum(tensor.numel() for tensor in tensors.values()):
        wrong = wrong or "it asks for constants far larger than the weights"
    if wrong:
        raise ValueError(f"the weights in {path} do not fit its configuration ({wrong:.300}); train it again")
    return model


class _Calls(TorchFunctionMode):
    """Inside the block torch may be called so many times, and then raises ValueError."""

    def __init__(self, left: int):
        super().__init__()
        self.left = left

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.left -= 1
        if self.left < 0:
            raise ValueError("it asks for far more than the file has")
        return func(*args, **(kwargs or {}))


def _short(error: Exception) -> str:
    return f"{' '.join(str(error).split()) or type(error).__name__:.200}"


def load_model(path: Path | str, expected: str | None = None, *, dtype: torch.dtype | None = None) -> nn.Module:
    """Read a model that `save_model` wrote; it comes back on the CPU, in evaluation mode, with its `record`.

    Args:
        path: the safetensors file.
        expected: name of the model that it must be, or None for any.
        dtype: of the weights, None for that of the file. For weights that are stored in half precision float32 is the
            better choice, since the tables of constants that a model makes for itself then keep theirs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated or not as it was written, is no model of this course, holds another model than
            expected, or its weights do not fit its configuration.
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
    if foreign := metadata.keys() - ENTRIES:
        raise ValueError(f"{path} has {min(foreign)!r:.60} in its header, which does not belong there; train it again")
    try:
        config, record = entry(metadata, "config"), entry(metadata, "record")
    except ValueError as error:
        raise ValueError(f"the configuration in {path} does not fit a {name} ({error}); train it again") from None
    try:
        tensors = unpack(tensors)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; train or copy it again") from None
    _skeleton(name, config, tensors, path)
    try:
        model = _quietly_built(name, config)
    except ValueError as error:  # of values that a model without numbers does not look at
        raise ValueError(
            f"the configuration in {path} does not fit a {name} ({_short(error)}); train it again"
        ) from None
    model.record = record
    stored = next((tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()), None)
    model.to(dtype or stored).load_state_dict(tensors)
    return model.eval()
