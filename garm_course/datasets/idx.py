"""The IDX format of MNIST and Fashion-MNIST: a header with the shape, then bytes; plain or compressed with gzip.

The header is checked before anything is made of it, and bytes go straight into the tensor, a piece at a time: neither
a header with absurd sizes nor an archive that unpacks to terabytes gets any memory.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", section "file formats".
"""

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

from garm_course.datasets.base import Dataset, check_integer, check_split
from garm_course.datasets.downloads import Source, fetch, unpacked

PIECE = 2**18
ROWS = {"train": 60_000, "test": 10_000}  # images in the files
VALIDATION = 10_000  # the last images of the training file


def read(path: Path, shape: tuple[int, ...], first: int = 0, stop: int | None = None) -> Tensor:
    """Rows first..stop-1 of an IDX file of unsigned bytes, which has to be whole and of this shape.

    Args:
        path: the file; whether it is compressed is seen from its first bytes.
        shape: that it must have.
        first: row that is wanted.
        stop: row after the last one that is wanted; None for all.

    Returns:
        LongTensor (stop - first, *shape[1:]), values 0..255.

    Raises:
        ValueError: the file is not an IDX file, has another type or shape, is cut, damaged or too long.
    """
    stop = shape[0] if stop is None else stop
    row = math.prod(shape[1:])
    x = torch.empty(stop - first, *shape[1:], dtype=torch.long)
    flat, skip = x.view(-1), first * row
    piece = bytearray(PIECE)
    bytes_, view = torch.frombuffer(piece, dtype=torch.uint8), memoryview(piece)
    try:
        with unpacked(path) as file:
            _check_header(file.read(4 + 4 * len(shape)), shape, path)
            seen = 0
            while got := file.readinto(view):
                low, high = max(seen, skip), min(seen + got, skip + len(flat))
                if low < high:
                    flat[low - skip : high - skip] = bytes_[low - seen : high - seen]
                seen += got
                if seen > shape[0] * row:
                    break
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is cut or damaged ({error}); copy or download it again") from None
    if seen != shape[0] * row:
        many = "more than " if seen > shape[0] * row else f"{seen:,} of "
        raise ValueError(f"{path} holds {many}{shape[0] * row:,} bytes after its header; copy or download it again")
    return x


def _check_header(header: bytes, shape: tuple[int, ...], path: Path) -> None:
    if len(header) < 4 or header[:2] != b"\0\0":
        raise ValueError(
            f"{path} is not an IDX file (it begins with {header[:4].hex(' ')}); supply the file in IDX format"
        )
    if header[2] != 8:
        raise ValueError(f"{path} holds values of type {header[2]:#04x}, expected unsigned bytes (0x08)")
    if header[3] != len(shape):
        raise ValueError(f"{path} has {header[3]} axes, expected {len(shape)}; is it the file of images or of labels?")
    found = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4))
    if found != shape:
        raise ValueError(f"{path} has the shape {found}, expected {shape}; it is another part or another data set")


class IdxImages(Dataset):
    """Gray 28x28 images in ten classes from a pair of IDX files: the frame of MNIST and Fashion-MNIST.

    Train are the first 50,000 images of the training file, validation its last 10,000, test the test file, in the order
    of the files.

    Args:
        name: as in `Dataset`.
        split: as in `Dataset`.
        licence: as in `Dataset`.
        files: the files, with roles "train images", "train labels", "test images" and "test labels".
        counts: images per class of the training and of the test file, which tell it from data of the same format.
        n: only the first n images; None for all.
        cite: whose data they are, for `source`.
    """

    def __init__(
        self, name: str, split: str, files: Source, counts: dict[str, tuple[int, ...]], n: int | None, cite: str,
        licence: str,
    ):  # fmt: skip
        check_split(split)
        part = "test" if split == "test" else "train"
        rows = ROWS[part]
        held = rows - VALIDATION  # where the validation images begin
        first, stop = {"train": (0, held), "validation": (held, rows), "test": (0, rows)}[split]
        if n is not None:
            check_integer("n (the first images of the split)", n, 1, stop - first)
            stop = first + n
        images, labels = fetch(files, f"{part} images"), fetch(files, f"{part} labels")
        y = read(labels.path, (rows,))
        if tuple(y.bincount(minlength=10).tolist()) != counts[part]:
            raise ValueError(
                f"{labels.path} has other classes than {files.name}; is it another data set, in the wrong folder?"
            )
        x = read(images.path, (rows, 28, 28), first, stop)
        origin = "your own files" if images.supplied else "downloaded"
        super().__init__(
            name,
            split,
            x.unsqueeze(1),
            y[first:stop].clone(),
            levels=256,
            n_classes=10,
            source=f"{cite}, {origin}",
            licence=licence,
        )
