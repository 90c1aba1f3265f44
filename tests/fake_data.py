"""Files in the formats of the data sets that are downloaded: random numbers, and few of them."""

import gzip
import io
import tarfile

import numpy as np

from garm_course.datasets import binarized_mnist, cifar10, idx, mnist


def idx_bytes(array, header=None):
    """An array of bytes in IDX format."""
    header = bytes([0, 0, 8, array.ndim]) if header is None else header
    return header + b"".join(int(n).to_bytes(4, "big") for n in array.shape) + array.astype(np.uint8).tobytes()


def small_mnist(monkeypatch):
    """Let MNIST and Fashion-MNIST have 60 and 10 images, 10 of them for validation."""
    monkeypatch.setattr(idx, "ROWS", {"train": 60, "test": 10})
    monkeypatch.setattr(idx, "VALIDATION", 10)
    monkeypatch.setattr(mnist, "COUNTS", {"train": (6,) * 10, "test": (1,) * 10})
    monkeypatch.setattr("garm_course.datasets.fashion_mnist.COUNTS", {"train": (6,) * 10, "test": (1,) * 10})


def write_idx(folder, packed=True, rng=None):
    """The four files of MNIST or Fashion-MNIST; returns the arrays by role."""
    rng = rng or np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for part, stem in (("train", "train"), ("test", "t10k")):
        n = idx.ROWS[part]
        arrays[f"{part} images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{part} labels"] = np.concatenate([rng.permutation(10) for _ in range(n // 10)])
        for kind, axes in (("images", 3), ("labels", 1)):
            content = idx_bytes(arrays[f"{part} {kind}"])
            name = f"{stem}-{kind}-idx{axes}-ubyte"
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
            else:
                (folder / name).write_bytes(content)
    return arrays


def write_amat(folder, rng=None):
    """The three files of static binarized MNIST; returns the arrays (N, 784) by split."""
    rng = rng or np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for split, part in (("train", "train"), ("validation", "valid"), ("test", "test")):
        arrays[split] = rng.integers(0, 2, (binarized_mnist.COUNTS[split], 784))
        lines = "".join(" ".join(map(str, row)) + "\n" for row in arrays[split].tolist())
        (folder / f"binarized_mnist_{part}.amat").write_text(lines)
    return arrays


def cifar_members(rng=None):
    """Name and content of the members of CIFAR's archive."""
    rng = rng or np.random.default_rng(2)
    members = {cifar10.FOLDER + "batches.meta.txt": b"airplane\n", cifar10.FOLDER + "readme.html": b"<html></html>"}
    for name in cifar10.BATCHES["train"] + cifar10.BATCHES["test"]:
        records = rng.integers(0, 256, (cifar10.PER_BATCH, cifar10.RECORD), dtype=np.uint8)
        records[:, 0] = np.arange(cifar10.PER_BATCH) % 10
        members[cifar10.FOLDER + name] = records.tobytes()
    return members


def write_tar(path, members, *, extra=(), mode="w:gz"):
    """A tar archive of `members` and of the TarInfo objects in `extra`, whose content is zeros."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        folder = tarfile.TarInfo(cifar10.FOLDER.rstrip("/"))
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for info in extra:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
