"""The static benchmark of binary MNIST: each pixel drawn once, by one person, for everybody.

The files are text, a line an image, its 784 pixels as 0 and 1 with blanks between them.
"""

import gzip
import zlib
from pathlib import Path

import torch
from torch import Tensor

from garm_course.datasets.base import Dataset, check_integer, check_split
from garm_course.datasets.downloads import File, Source, fetch

_MIRRORS = (
    "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
    # a copy beside the code of M. Yin and M. Zhou; whether its bytes are the same, the checksum decides
    "https://raw.githubusercontent.com/mingzhang-yin/ARM-gradient/bac893cfcec486bbd00b755b12cf8402053b0e84/",
)
PIXELS = 784
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
    largest = count * (2 * PIXELS + 2)  # a digit and a blank a pixel; perhaps a blank or "\r" more at each end of line
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as file:
            text = bytearray(file.read(largest + 1))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is cut or damaged ({error}); copy or download it again") from None
    if len(text) > largest:
        raise ValueError(f"{path} is longer than {count:,} lines of {PIXELS} pixels; is it another part?")
    signs = torch.frombuffer(text, dtype=torch.uint8) if text else torch.empty(0, dtype=torch.uint8)
    digit = (signs == ord("0")) | (signs == ord("1"))
    blank = (signs == ord(" ")) | (signs == ord("\n")) | (signs == ord("\r"))
    if not (digit | blank).all():
        place = int((~(digit | blank)).nonzero()[0])
        raise ValueError(f"{path} has the byte {text[place : place + 1]!r} at {place:,}, expected 0, 1 and blanks only")
    pixels = signs[digit]
    ends = (signs == ord("\n")).cumsum(0)[digit]  # the line of each pixel
    lines = ends.view(-1, PIXELS) if len(pixels) == count * PIXELS else None
    if lines is None or not (lines == torch.arange(count)[:, None]).all():
        raise ValueError(
            f"{path} holds {len(pixels):,} pixels, expected {count:,} lines of {PIXELS}; is it another part, or cut?"
        )
    return (pixels - ord("0")).long().view(count, 1, 28, 28)


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
