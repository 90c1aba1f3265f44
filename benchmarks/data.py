"""How long data take to load and how much memory they need, in fresh processes; the aim for MNIST is 0.5 s and 1.2.

    python benchmarks/data.py            every data set that is here: seconds, and memory as a ratio to its tensors
    python benchmarks/data.py mnist      one or several; --json for one object a row, --repeats 5 for the median of five

Memory is the peak while loading, beyond what the process had before, divided by the bytes of the tensors that come
back. MNIST loads as from a warm cache, checksums included: files that GARM_DATA supplies are put into a cache of their
own first, and where there are none, files of the same size and shape are made of glyphs (`made` in the row).
"""

import argparse
import gzip
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

from garm_course import datasets
from garm_course.datasets import downloads, mnist


def peak() -> int:
    """The largest resident memory so far, in bytes, since `forget_peak` where the system can forget."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:  # then what importing needed for a moment hides some of what loading needs
        pass


def measure_here(name: str, split: str) -> dict:
    """One row, in this process, which should be a fresh one."""
    files = json.loads(os.environ.get("GARM_BENCHMARK_FILES", "{}"))
    if files:
        known = mnist.FILES.files
        mnist.FILES = mnist.FILES._replace(
            files={role: known[role]._replace(size=size, sha256=sha) for role, (size, sha) in files.items()}
        )
    cls = datasets.dataset_class(name)  # importing the module is not loading
    forget_peak()
    before, start = peak(), time.perf_counter()
    data = cls(split)
    seconds, after = time.perf_counter() - start, peak()
    storages = [t.untyped_storage() for t in (data.x, data.y, getattr(data, "gray", data.y))]
    tensors = {storage.data_ptr(): storage.nbytes() for storage in storages}  # views share one
    start = time.perf_counter()
    again = cls(split)
    return {
        "data": name,
        "split": split,
        "examples": len(data),
        "seconds": round(seconds, 3),
        "seconds_again": round(time.perf_counter() - start, 3),
        "tensor_mb": round(sum(tensors.values()) / 1e6, 1),
        "extra_mb": round((after - before - sum(tensors.values())) / 1e6, 1),
        "memory_ratio": round((after - before) / sum(tensors.values()), 2),
        "same": again.fingerprint == data.fingerprint,
    }


def warm_cache(folder: Path) -> tuple[dict, bool]:
    """Put MNIST's files into a cache: (role -> (size, SHA-256), whether they were made up)."""
    target = folder / "data" / "mnist"
    target.mkdir(parents=True)
    found, made = {}, False
    for role, file in mnist.FILES.files.items():
        path = target / file.name
        own = downloads.supplied(mnist.FILES, role)
        cached = own or downloads.cache_folder() / "data" / "mnist" / file.name
        if cached.is_file():
            shutil.copy(cached, path)
            if own and not own.name.endswith(".gz"):
                path.write_bytes(gzip.compress(path.read_bytes(), 6))
        else:
            made = True
            path.write_bytes(gzip.compress(made_up(role), 6))
        found[role] = (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    return found, made


def made_up(role: str) -> bytes:
    """A file in IDX format with the shape of MNIST's: glyphs in gray, or labels as often as MNIST has them."""
    part, kind = role.split()
    n = sum(mnist.COUNTS[part])
    if kind == "labels":
        values = np.repeat(np.arange(10, dtype=np.uint8), mnist.COUNTS[part])
        return bytes([0, 0, 8, 1]) + n.to_bytes(4, "big") + values.tobytes()
    x = datasets.load("glyphs", "train", n=2000, flip=0.0).x[:, 0].numpy()
    noise = np.random.default_rng(0).integers(200, 256, x.shape)
    images = np.resize((x * noise).astype(np.uint8), (n, 28, 28))
    return bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in images.shape) + images.tobytes()


def measure(name: str, split: str, repeats: int, environment: dict) -> dict:
    """One row: the medians of fresh processes."""
    command = [sys.executable, __file__, "--here", name, split]
    runs = []
    for _ in range(repeats):
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    medians = {key: statistics.median(run[key] for run in runs) for key in ("seconds", "seconds_again", "memory_ratio")}
    return {**runs[0], **medians, "repeats": repeats}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="data sets (all that are here)")
    parser.add_argument("--split", default="train", choices=datasets.SPLITS)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes a row (3)")
    parser.add_argument("--here", nargs=2, metavar=("NAME", "SPLIT"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        print(json.dumps(measure_here(*options.here)))
        return
    if options.repeats < 1:
        parser.error(f"expected --repeats >= 1, got {options.repeats}")
    here = [
        name
        for name in datasets.names()
        if datasets.source_of(name) in (None, mnist.FILES)
        or not downloads.whereabouts(datasets.source_of(name)).startswith("to download")
    ]
    for name in options.names:
        if name not in here:
            parser.error(f"{name} is not here; run: garm data fetch {name}")
    with tempfile.TemporaryDirectory() as folder:
        files, made = warm_cache(Path(folder))
        for name in options.names or here:
            warm = {}
            if datasets.source_of(name) is mnist.FILES:
                warm = {"GARM_CACHE": folder, "GARM_DATA": "", "GARM_BENCHMARK_FILES": json.dumps(files)}
            row = measure(name, options.split, options.repeats, warm)
            row["made"] = bool(warm) and made
            if options.json:
                print(json.dumps(row), flush=True)
                continue
            aim = " (aim: 0.5 s, 1.2)" if name == "mnist" else ""
            print(
                f"{name} ({options.split}): {row['seconds']:.3f} s, again {row['seconds_again']:.3f} s; "
                f"{row['tensor_mb']:.1f} MB of tensors, peak {row['memory_ratio']:.2f} times that{aim}"
                f"{', files made up' if row['made'] else ''}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
