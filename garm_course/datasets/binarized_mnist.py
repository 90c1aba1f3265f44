"""The static benchmark of binary MNIST: each pixel drawn once, by one person, for everybody.

The files are text, a line an image, its 784 pixels as 0 and 1 with blanks between them.
"""

import gzip
import zlib
from pathlib import Path

import torch
from torch import Tensor

from garm_course.datasets.base import Dataset, check_integer, check_split
from garm_course.datasets.downloads import File, Source, fetch, unpacked

_MIRRORS = (
    "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
    # a copy beside the code of M. Yin and M. Zhou; whether its bytes are the same, the checksum decides
    "https://raw.githubusercontent.com/mingzhang-yin/ARM-gradient/bac893cfcec486bbd00b755b12cf8402053b0e84/",
)
PIXELS = 784
LONGEST = 4 * PIXELS  # bytes of a line, blanks included
PIECE = 2**20  # bytes that are read at a time
COUNTS = {"train": 50_000, "validation": 10_000, "test": 10_000}


def _file(part: str, size: int, sha256: str) -> File:
    name = f"binarized_mnist_{part}.amat"
    return File(name, size, sha256, tuple(mirror + name for mirror in _MIRRORS), (name, f"{name}.gz"))


# Sizes and SHA-256 as TensorFlow Datasets lists them (url_checksums/binarized_mnist.txt)
FILES = Source(
    "binarized_mnist",
    {
        "train": _file("train", 78_400_000, "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
        "validation": _file("valid", 15_680_000, "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
        "test": _file("test", 15_680_000, "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
    },
    folders=("binarized_mnist", "BinarizedMNIST", "."),
    instead="glyphs",
)


def read(path: Path, count: int) -> Tensor:
    """Images from a text file of 0 and 1.

    Args:
        path: the file, plain or compressed with gzip.
        count: images that it must have.

    Returns:
        LongTensor (count, 1, 28, 28) of 0 and 1.

    Raises:
        ValueError: the file has another number of lines or pixels, other values, is damaged, or unpacks to far more.
    """
    x = torch.empty(count, 1, 28, 28, dtype=torch.long)
    filled, rest = 0, b""
    try:
        with unpacked(path) as file:
            while piece := file.read(PIECE):
                *lines, rest = (rest + piece).split(b"\n")
                filled = _fill(x, filled, lines, path)
                if len(rest) > LONGEST:
                    break
            filled = _fill(x, filled, [rest] if rest.strip() else [], path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is cut or damaged ({error}); copy or download it again") from None
    if filled < count:
        raise ValueError(f"{path} has {filled:,} lines, expected {count:,}; is it another part, or cut?")
    return x


def _fill(x: Tensor, filled: int, lines: list[bytes], path: Path) -> int:
    """Write lines of pixels into x from image `filled` on; returns how many are there now."""
    if filled + len(lines) > len(x):
        raise ValueError(f"{path} has more than {len(x):,} lines; is it another part?")
    for k, line in enumerate(lines, filled + 1):
        if line.count(b"0") + line.count(b"1") != PIXELS or line.translate(None, b" 01\r"):
            raise ValueError(
                f"line {k:,} of {path} is not {PIXELS} pixels of 0 and 1: {line[:20]!r}...; is it another file?"
            )
    if lines:
        pixels = bytearray(b"".join(lines).translate(None, b" \r"))  # "0" is the byte 48
        x[filled : filled + len(lines)] = (torch.frombuffer(pixels, dtype=torch.uint8) - 48).view(-1, 1, 28, 28)
    return filled + len(lines)


class BinarizedMNIST(Dataset):
    """The static binarization of MNIST: black and white digits whose pixels were drawn once and for all.

    Card:
        What: the 70,000 digits of MNIST, 28x28 pixels, each drawn once with its gray as the probability; no classes.
        Source: drawn by R. Salakhutdinov and I. Murray (2008), in the files of H. Larochelle; downloaded, or your own.
        Licence: none stated; MNIST's is CC BY-SA 3.0 as far as stated.
        Size: 50,000 images for training, 10,000 for validation, 10,000 for test; 110 MB to download.
        Cite: Salakhutdinov and Murray (2008), On the quantitative analysis of deep belief networks, ICML; Larochelle
            and Murray (2011), The Neural Autoregressive Distribution Estimator, AISTATS.
        Flaws: one draw of the noise at the edges, which a large model learns by heart. No labels come with it. Say
            "static" beside every figure: the dynamic variant differs by 1 to 2 nats.

    Args:
        split: "train", "validation" or "test", as the files have them.
        n: only the first n images of the split; None for all.

    Raises:
        ValueError: for another split or n, or a file that does not fit.
        DownloadError: the file is not here and cannot be downloaded.
    """

    def __init__(self, split: str = "train", *, n: int | None = None):
        check_split(split)
        if n is not None:
            check_integer("n (the first images of the split)", n, 1, COUNTS[split])
        found = fetch(FILES, split)
        x = read(found.path, COUNTS[split])[:n]
        super().__init__(
            "binarized_mnist",
            split,
            x if n is None else x.clone(),
            torch.zeros(len(x), dtype=torch.long),
            levels=2,
            n_classes=0,
            source=f"static binarized MNIST (Larochelle), {'your own files' if found.supplied else 'downloaded'}",
            licence="none stated",
        )
