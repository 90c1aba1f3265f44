"""What drawing takes by an exported step in ONNX Runtime, against the library's cached steps in torch.

All sides draw the same images on one thread and take turns; what counts is processor time. Beside it the size of the
files and the nats of validation images, whose difference is what eight bits cost.

    python benchmarks/export.py            rows in words
    python benchmarks/export.py --json     one JSON object a row
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from sampling import machine

from garm_course import load, load_pretrained
from garm_course.practice.export import eight_bits, export


def seconds(job: Callable[[], object]) -> float:
    """Processor time of a call."""
    start = time.process_time()
    job()
    return time.process_time() - start


def measure(name: str, n: int, repeats: int, folder: Path, images: int = 100) -> dict:
    """One row: n images by torch, by ONNX Runtime, and by ONNX Runtime with matrices in eight bits."""
    model = load_pretrained(name)
    sides = {"torch": model, "onnx": export(model, folder / name)}
    sides["int8"] = eight_bits(folder / name, folder / f"{name}-int8")
    y = torch.arange(n) % model.n_classes if model.n_classes else None
    data = load(name.split("-")[1], "validation")
    told = data.y[:images] if model.n_classes else None
    row = {"model": name, "images": n}
    for side in sides.values():
        side.sample(n, y)
    spent = {side: [] for side in sides}
    for _ in range(repeats):
        for side, one in sides.items():
            spent[side].append(seconds(lambda one=one: one.sample(n, y)))
    for side, times in spent.items():
        row[f"seconds_{side}"] = round(statistics.median(times), 4)
    for side in ("onnx", "int8"):
        row[f"ratio_{side}"] = round(
            statistics.median(a / b for a, b in zip(spent["torch"], spent[side], strict=True)), 2
        )
    for side, kind in (("onnx", ""), ("int8", "-int8")):
        row[f"kB_{side}"] = round(sum(file.stat().st_size for file in (folder / f"{name}{kind}").glob("*.onnx")) / 1000)
        row[f"nats_{side}"] = round(-sides[side].log_prob(data.x[:images], told).mean().item(), 3)
    return row | machine()


def describe(row: dict) -> str:
    """The row as a sentence."""
    return (
        f"{row['model']}, {row['images']} images: torch {1000 * row['seconds_torch']:.1f} ms, ONNX Runtime "
        f"{1000 * row['seconds_onnx']:.1f} ms ({row['ratio_onnx']:.2f} times as fast, {row['kB_onnx']} kB, "
        f"{row['nats_onnx']:.3f} nats), eight bits {1000 * row['seconds_int8']:.1f} ms ({row['ratio_int8']:.2f} times, "
        f"{row['kB_int8']} kB, {row['nats_int8']:.3f} nats) "
        f"[torch {row['torch']}, {row['threads']} thread, load {row['load']}]"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a row, with all fields")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, in which all sides take turns (5)")
    parser.add_argument("--models", nargs="+", default=["pixel_gru-digits", "conditional_gated_pixelcnn-digits"])
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"expected --repeats >= 1, got {options.repeats}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            for n in (1, 16, 256):
                row = measure(name, n, options.repeats, Path(folder))
                print(json.dumps(row) if options.json else describe(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())
