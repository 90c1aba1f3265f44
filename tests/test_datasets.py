"""The data sets: their contract, the order of the digits, bars and stripes by enumeration, bad input."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from garm_course.datasets import Dataset, load, names
from garm_course.datasets.bars_and_stripes import BarsAndStripes


def every_image(height, width, levels=2, channels=1):
    """All images of this shape: (levels^(C H W), C, H, W)."""
    pixels = channels * height * width
    return torch.tensor(list(itertools.product(range(levels), repeat=pixels))).view(-1, channels, height, width)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_contract(name, split):
    data = load(name, split)
    assert isinstance(data, Dataset)
    assert data.name == name
    assert data.x.dtype == data.y.dtype == torch.long
    assert data.x.shape == (len(data), *data.shape)
    assert data.y.shape == (len(data),)
    assert data.x.min() >= 0
    assert data.x.max() == data.levels - 1
    assert set(data.y.tolist()) == set(range(max(1, data.n_classes)))
    x, y = next(iter(DataLoader(data, batch_size=7)))
    assert torch.equal(x, data.x[:7])
    assert torch.equal(y, data.y[:7])
    for part in (name, f"{len(data):,} images", f"{data.levels} levels", data.source, data.licence):
        assert part in repr(data)


def test_iterating_ends():
    assert len(list(load("bars_and_stripes"))) == 30


def test_digits_keep_the_order_of_the_file():
    file = load_digits()
    splits = [load("digits", split) for split in ("train", "validation", "test")]
    assert [len(s) for s in splits] == [1257, 180, 360]
    assert torch.equal(torch.cat([s.x for s in splits]).squeeze(1), torch.tensor(file.images).long())
    assert torch.equal(torch.cat([s.y for s in splits]), torch.tensor(file.target))


@pytest.mark.parametrize("name", ["digits", "glyphs"])
def test_writing_into_one_data_set_leaves_the_next_alone(name):
    first = load(name, "test")
    before = first.x.clone(), first.y.clone()
    first.x.fill_(1)
    first.y.fill_(1)
    again = load(name, "test")
    assert torch.equal(again.x, before[0])
    assert torch.equal(again.y, before[1])


@pytest.mark.parametrize(("size", "count"), [(4, 30), ((2, 3), 10), ((3, 2), 10), ((1, 3), 8), (1, 2)])
def test_bars_and_stripes_by_enumeration(size, count):
    data = BarsAndStripes(size=size)
    _, height, width = data.shape
    everything = every_image(height, width)
    is_bars = [all(len(set(column)) == 1 for column in zip(*image[0], strict=True)) for image in everything.tolist()]
    is_stripes = [all(len(set(row)) == 1 for row in image[0]) for image in everything.tolist()]
    allowed = everything[torch.tensor(is_bars) | torch.tensor(is_stripes)]
    assert sorted(data.x.flatten(1).tolist()) == sorted(
        allowed.flatten(1).tolist()
    )  # each once, all-black and white too
    assert len(data) == count

    p = data.log_prob(everything).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-12)
    assert torch.equal(p > 0, torch.tensor(is_bars) | torch.tensor(is_stripes))
    assert data.entropy().nats == pytest.approx(torch.special.entr(p).sum().item(), abs=1e-12)
    assert data.entropy() == (math.log(count), 0)


def test_every_split_of_bars_and_stripes_is_the_whole_distribution():
    whole = load("bars_and_stripes", "all")
    for split in ("train", "validation", "test"):
        data = load("bars_and_stripes", split)
        assert data.split == "all"
        assert torch.equal(data.x, whole.x)


def test_importing_reads_no_data():
    code = (
        "import sys, garm_course.datasets as d; d.names(); d.load('bars_and_stripes'); "
        "print([m for m in ('sklearn', 'matplotlib') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("mnist",), {}, ["'mnist'", "bars_and_stripes, digits, glyphs"]),
        (("digits", "valid"), {}, ["'valid'", "train, validation, test"]),
        (("glyphs", "all"), {}, ["'all'", "train, validation, test"]),
        (("bars_and_stripes", "dev"), {}, ["'dev'", "all, train, validation, test"]),
        (("digits",), {"size": 4}, ["'size'", "takes no options"]),
        (("bars_and_stripes",), {"sizes": 4}, ["'sizes'", "its options are: size"]),
        (("glyphs",), {"colour": True}, ["'colour'", "fonts, size, slant, shift, flip, color, n, seed"]),
        (("bars_and_stripes",), {"size": 0}, ["1..12", "got 0"]),
        (("bars_and_stripes",), {"size": (2, 13)}, ["1..12", "got 13"]),
        (("bars_and_stripes",), {"size": (2, 2, 2)}, ["(height, width)", "(2, 2, 2)"]),
        (("bars_and_stripes",), {"size": 4.0}, ["integer", "4.0"]),
    ],
)
def test_bad_requests_are_refused(arguments, options, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load(*arguments, **options)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(2, 1, 4, 4), ["LongTensor", "torch.float32", "x.long()"]),
        (torch.full((2, 1, 4, 4), math.nan), ["LongTensor", "torch.float32"]),
        ([[0]], ["LongTensor", "list"]),
        (torch.zeros(1, 4, 4, dtype=torch.long), ["(B, 1, 4, 4)", "(1, 4, 4)", "x[None]"]),
        (torch.zeros(2, 1, 4, 5, dtype=torch.long), ["(2, 1, 4, 5)"]),
        (torch.zeros(0, 1, 4, 4, dtype=torch.long), ["empty batch"]),
        (torch.full((1, 1, 4, 4), 2), ["0..1", "got 2"]),
        (torch.full((1, 1, 4, 4), -1), ["0..1", "got -1"]),
    ],
)
def test_bad_images_are_refused(x, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        BarsAndStripes().log_prob(x)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message
