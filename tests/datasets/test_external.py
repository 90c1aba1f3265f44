"""Real MNIST and Shakespeare, where the environment variable GARM_DATA names a folder that has them.

    GARM_DATA=... python -m pytest -m external tests/test_external.py

The figures hold for the original files and for re-encoded ones whose gray levels are off by one here and there.
"""

import os
from pathlib import Path

import pytest
import torch

from garm_course.datasets import load
from garm_course.datasets.downloads import supplied
from garm_course.datasets.mnist import COUNTS, FILES
from garm_course.datasets.tinyshakespeare import FILES as TEXT


def there(source):
    folder = os.environ.get("GARM_DATA")
    return bool(folder) and Path(folder).expanduser().is_dir() and all(supplied(source, role) for role in source.files)


pytestmark = pytest.mark.external
needs_mnist = pytest.mark.skipif(not there(FILES), reason="GARM_DATA names no folder with MNIST")
needs_text = pytest.mark.skipif(not there(TEXT), reason="GARM_DATA names no folder with Tiny Shakespeare")
SPLITS = {"train": 50_000, "validation": 10_000, "test": 10_000}


@needs_mnist
def test_mnist_has_its_counts_means_and_classes():
    parts = {split: load("mnist", split) for split in SPLITS}
    assert {split: len(part) for split, part in parts.items()} == SPLITS
    both = torch.cat([parts["train"].y, parts["validation"].y])
    assert tuple(both.bincount().tolist()) == COUNTS["train"]
    assert tuple(parts["test"].y.bincount().tolist()) == COUNTS["test"]
    assert both[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert parts["test"].y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    gray = torch.cat([parts["train"].x.double().mean((1, 2, 3)), parts["validation"].x.double().mean((1, 2, 3))])
    assert gray.mean().item() == pytest.approx(33.318, abs=0.01)
    assert parts["test"].x.double().mean().item() == pytest.approx(33.79, abs=0.02)
    assert parts["train"].x.max() == 255


@needs_mnist
def test_the_binary_variants_have_the_ink_of_the_gray_one():
    for split in ("validation", "test"):
        gray = load("mnist", split).x
        assert torch.equal(load("mnist_thresholded", split).x, (gray > 127).long())
        drawn = load("mnist_dynamic", split).x.double()
        p = gray.double() / 255
        z = (drawn.mean() - p.mean()) / ((p * (1 - p)).sum().sqrt() / p.numel())
        assert abs(z.item()) < 4
        assert ((drawn == 1) <= (p > 0)).all()


@needs_mnist
def test_some_ten_thresholded_images_are_in_two_splits():
    rows = [{row.numpy().tobytes() for row in load("mnist_thresholded", split).x.bool()} for split in SPLITS]
    assert sum(len(a & b) for a, b in ((rows[0], rows[1]), (rows[0], rows[2]), (rows[1], rows[2]))) == 12


@needs_text
def test_shakespeare_is_whole():
    parts = {split: load("tinyshakespeare", split) for split in SPLITS}
    assert {split: len(part.text) for split, part in parts.items()} == {
        "train": 892_315, "validation": 111_539, "test": 111_540}  # fmt: skip
    assert parts["train"].text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.")
    assert parts["test"].text.startswith("?\n\nGREMIO:\nGood morrow, neighbour Baptista.")
    everything = "".join(part.text for part in parts.values())
    assert len(set(everything)) == 65
    assert everything.count("\n") == 40_000
