"""Lossless compression with an autoregressive model: its exact conditionals drive an arithmetic coder.

Encoder and decoder walk the same sequential path, `start` and `step`, with all examples in one batch: rounding in
float32 depends on the size of a batch, and a probability that differs in its last bit would lose the stream. So a
stream holds a batch, which is decoded as a whole.

A stream says which model wrote it and carries checksums of itself and of the examples. What was cut, altered, written
by another model, or decoded where arithmetic rounds differently is an error, never a wrong example.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from garm_course.autoregressive.sampling.arithmetic_coding import Decoder, Encoder, cumulative_counts
from garm_course.autoregressive.sampling.loop import check_weights, initial_state
from garm_course.evaluation_mode import evaluation_mode

MAGIC = b"GARM-AC2"
_HEAD = struct.Struct(">8s16sIII")  # magic, model and classes, examples, positions of each, checksum of the examples


@dataclass(frozen=True)
class Compressed:
    """`data`: the whole stream, with its header. `bits`: length of the code of each example, without the header."""

    data: bytes
    bits: tuple[int, ...]


def compress(
    model: nn.Module, x: Tensor, y: Tensor | None = None, *, progress: Callable[[Iterable], Iterable] | None = None
) -> Compressed:
    """Encode examples without loss; equation (5.8): each takes at most 2 bits more than -log2 p(x).

    Args:
        model: an autoregressive model with a head over levels.
        x: LongTensor (B, *shape), of any length where the model is elastic.
        y: LongTensor (B,) of classes, for a class-conditional model. They are not part of the stream.
        progress: wraps the loop over positions in a progress bar.

    Returns:
        Compressed.

    Raises:
        TypeError, ValueError: for examples or classes that do not fit the model.
    """
    model.check_examples(x)
    model.check_classes(y, len(x))
    sequence = model.to_sequence(x).cpu()
    encoders = [Encoder() for _ in x]
    for i, counts in _walk(model, sequence, y, progress):
        value = sequence[:, i : i + 1]
        starts, ends = counts.gather(1, value)[:, 0].tolist(), counts.gather(1, value + 1)[:, 0].tolist()
        for encoder, start, end in zip(encoders, starts, ends, strict=True):
            encoder.encode(start, end)
    codes = [encoder.finish() for encoder in encoders]
    lengths = tuple(length for _, length in codes)
    joined = 0
    for code, length in codes:
        joined = joined << length | code
    total = sum(lengths)
    body = (joined << -total % 8).to_bytes((total + 7) // 8, "big")
    head = _HEAD.pack(MAGIC, _fingerprint(model, y), *sequence.shape, _checksum(x))
    data = head + b"".join(map(_varint, lengths)) + body
    return Compressed(data + hashlib.sha256(data).digest()[:8], lengths)


def decompress(
    model: nn.Module,
    data: bytes,
    y: Tensor | None = None,
    *,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> Tensor:
    """The examples that `compress` encoded, bit for bit.

    Args:
        model: the model that encoded them, with the same weights.
        data: the stream.
        y: the same classes.
        progress: wraps the loop over positions in a progress bar.

    Returns:
        LongTensor (B, *shape), on the CPU.

    Raises:
        ValueError: for a stream that was cut or altered, is none or of an earlier format, is of another model or of
            other classes, or was written on a machine whose arithmetic rounds differently.
    """
    if data[:8] == b"GARM-AC1":
        raise ValueError("the stream is of an earlier format, GARM-AC1; decode it with version 0.1 and encode it again")
    if len(data) < _HEAD.size + 8 or data[:8] != MAGIC:
        raise ValueError(
            f"expected a stream of compress(), got {len(data)} bytes that do not start as one; check the file"
        )
    if hashlib.sha256(data[:-8]).digest()[:8] != data[-8:]:
        raise ValueError("the stream was cut or altered (its checksum does not fit); copy or encode it again")
    _, fingerprint, n, d, checksum = _HEAD.unpack_from(data)
    model.check_classes(y, n)
    if fingerprint != _fingerprint(model, y):
        raise ValueError("the stream is one of another model or of other classes y; load the weights that wrote it")
    place, lengths = _HEAD.size, []
    for _ in range(n):
        length, place = _read_varint(data, place)
        lengths.append(length)
    left = 8 * (len(data) - 8 - place)
    joined, decoders = int.from_bytes(data[place:-8], "big"), []
    for length in lengths:
        left -= length
        decoders.append(Decoder(joined >> left & ((1 << length) - 1), length))
    sequence = torch.zeros(n, d, dtype=torch.long)
    for i, counts in _walk(model, sequence, y, progress):
        targets = torch.tensor([[decoder.target()] for decoder in decoders])
        value = torch.searchsorted(counts, targets, right=True) - 1
        sequence[:, i] = value[:, 0]
        starts, ends = counts.gather(1, value)[:, 0].tolist(), counts.gather(1, value + 1)[:, 0].tolist()
        for decoder, start, end in zip(decoders, starts, ends, strict=True):
            decoder.consume(start, end)
    x = model.from_sequence(sequence).contiguous()
    if _checksum(x) != checksum:
        raise ValueError(
            "the decoded examples do not have the checksum of the encoded ones: arithmetic rounds differently here "
            "(another processor, version of torch or number of threads); decode where it was encoded"
        )
    return x


def _walk(model: nn.Module, sequence: Tensor, y: Tensor | None, progress) -> Iterator[tuple[int, Tensor]]:
    """(position, cumulative counts (B, levels + 1)), one after the other; reads `sequence` only before the position."""
    device = check_weights(model).device
    with torch.inference_mode(), evaluation_mode(model):
        n, d = sequence.shape
        state, positions = initial_state(model, n, None if y is None else y.to(device), d), range(d)
        for i in positions if progress is None else progress(positions):
            params = model.step(state, i, sequence[:, i - 1].to(device) if i else None)
            yield i, cumulative_counts(model.head.log_probs(params)).cpu()


def _fingerprint(model: nn.Module, y: Tensor | None) -> bytes:
    """16 bytes that differ between models (kind, configuration, weights and their precision) and between classes."""
    digest = hashlib.sha256(json.dumps([model.name, model.config], sort_keys=True).encode())
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype}".encode())
        digest.update(weight.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    if y is not None:
        digest.update(y.cpu().contiguous().numpy().tobytes())
    return digest.digest()[:16]


def _checksum(x: Tensor) -> int:
    return zlib.crc32(x.cpu().contiguous().numpy().tobytes())


def _varint(value: int) -> bytes:
    """A whole number in as few bytes as it needs, seven bits in each, the lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while data[place] > 127:
        value |= (data[place] & 127) << shift
        shift, place = shift + 7, place + 1
    return value | data[place] << shift, place + 1
