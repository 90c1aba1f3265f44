"""Safetensors files that carry a SHA-256 of themselves: where one bit changed, anywhere, the file is refused.

The checksum stands in the header, under `sha256`, and is that of the whole file with zeros in its place. It tells a
file that a disk or a copy has damaged; it is no signature. Files of version 0.1 have none, and are read without it.
"""

import hashlib
import json
from pathlib import Path

from torch import Tensor

BLANK = "0" * 64


def sealed(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """The bytes of a safetensors file with its checksum.

    Args:
        tensors: by name.
        metadata: of the header; `sha256` is added.
    """
    from safetensors.torch import save

    data = save(tensors, {**metadata, "sha256": BLANK})
    size = 8 + int.from_bytes(data[:8], "little")
    return _header_with(data[:size], BLANK, hashlib.sha256(data).hexdigest()) + data[size:]


def read_tensors(path: Path, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file and the metadata of its header, among them its checksum if it has one.

    Args:
        path: the file.
        remedy: what to do where it is damaged.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is truncated, none, or not as it was written; the message has the remedy.
    """
    from safetensors import SafetensorError, safe_open

    with Path(path).open("rb") as raw:  # before safetensors, which calls every file that it cannot read missing
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
                metadata = file.metadata() or {}
            header = raw.read(8)
            header += raw.read(int.from_bytes(header, "little"))
            without_doubles(header[8:])
        except (SafetensorError, ValueError) as error:
            raise ValueError(f"{path} is truncated or no safetensors file ({error}); {remedy}") from None
        seal = metadata.get("sha256")
        if seal is not None:
            found = hashlib.sha256(_header_with(header, seal, BLANK))
            while piece := raw.read(2**20):
                found.update(piece)
            if found.hexdigest() != seal:
                raise ValueError(f"{path} is not as it was written (its checksum is another one); {remedy}")
    return tensors, metadata


def without_doubles(text: str | bytes) -> object:
    """What JSON of any origin holds.

    Raises:
        ValueError: for what is no JSON, nests too deeply, or has a key twice.
    """

    def object_of(pairs: list[tuple[str, object]]) -> dict:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"it has {next(key for key in keys if keys.count(key) > 1)!r:.60} twice")
        return found

    try:
        return json.loads(text, object_pairs_hook=object_of)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def entry(metadata: dict[str, str], name: str) -> dict:
    """An entry of a header that is a JSON object.

    Raises:
        ValueError: it is missing, damaged, or of another type.
    """
    if name not in metadata:
        raise ValueError(f"no {name!r} in its header")
    try:
        found = without_doubles(metadata[name])
    except ValueError as error:
        raise ValueError(f"the {name!r} in its header is damaged: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"the {name!r} in its header is a {type(found).__name__}, expected an object")
    return found


def _header_with(header: bytes, before: str, after: str) -> bytes:
    return header.replace(f'"sha256":"{before}"'.encode(), f'"sha256":"{after}"'.encode(), 1)
