"""The data sets: their contract, the order of the digits, bars and stripes by enumeration, bad input."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from fake_data import cifar_members, small_mnist, write_amat, write_idx, write_tar
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from garm_course.datasets import (
    SPLITS,
    Dataset,
    binarized_mnist,
    card,
    cifar10,
    dataset_class,
    load,
    names,
    source_of,
    tinyshakespeare,
)
from garm_course.datasets.bars_and_stripes import BarsAndStripes


def every_image(height, width, levels=2, channels=1):
    """All images of this shape: (levels^(C H W), C, H, W)."""
    pixels = channels * height * width
    return torch.tensor(list(itertools.product(range(levels), repeat=pixels))).view(-1, channels, height, width)


@pytest.fixture
def everything(monkeypatch, tmp_path):
    """Small files for all the data sets that are downloaded."""
    small_mnist(monkeypatch)
    monkeypatch.setattr(binarized_mnist, "COUNTS", {"train": 6, "validation": 3, "test": 2})
    monkeypatch.setattr(cifar10, "PER_BATCH", 10)
    monkeypatch.setattr(cifar10, "VALIDATION", 10)
    monkeypatch.setattr(tinyshakespeare, "CHARACTERS", 6500)
    write_idx(tmp_path / "mnist")
    write_idx(tmp_path / "fashion_mnist")
    write_amat(tmp_path / "binarized_mnist")
    write_tar(tmp_path / "cifar10" / "cifar-10-binary.tar.gz", cifar_members())
    (tmp_path / "tinyshakespeare.txt").write_text(tinyshakespeare.VOCABULARY * 100, newline="")
    monkeypatch.setenv("GARM_DATA", str(tmp_path))


AXES = {"images": 3, "patches": 3, "clips": 4, "windows": 1, "notes": 1, "points": 1}


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_contract(everything, name, split):
    data = load(name, split)
    assert isinstance(data, Dataset)
    assert isinstance(data, dataset_class(name))
    assert data.name == name
    assert data.x.dtype == (torch.long if data.levels else torch.float32)
    assert data.y.dtype == torch.long
    assert data.x.shape == (len(data), *data.shape)
    assert len(data.shape) == AXES[data.called]
    assert data.y.shape == (len(data),)
    if data.levels:
        assert data.x.min() >= 0
        assert 0.9 * data.levels < data.x.max() + 1 <= data.levels
    else:
        assert data.x.isfinite().all()
    assert set(data.y.tolist()) == set(range(max(1, data.n_classes)))
    loader = DataLoader(data, batch_size=min(7, len(data)))
    x, y = next(iter(loader))
    if data.plain is data:
        assert torch.equal(x, data.x[:7])
    assert x.shape[1:] == data.shape
    assert x.dtype == data.x.dtype
    assert torch.equal(y, data.y[:7])
    values = f"{data.levels} levels" if data.levels else "real numbers"
    for part in (name, f"{len(data):,} {data.called}", values, data.source, data.licence):
        assert part in repr(data)
    assert len(data.fingerprint) == 64


@pytest.mark.parametrize("name", names())
def test_every_data_set_has_its_card(name):
    parts = card(dataset_class(name))
    assert list(parts) == ["What", "Source", "Licence", "Size", "Cite", "Flaws"]
    for words in parts.values():
        assert len(words) >= 4
        assert words.endswith(".")
        assert "  " not in words
    assert "Example" not in " ".join(parts.values())


@pytest.mark.parametrize("text", [None, "A set.\n\nCard:\n    What: this.\n", "Card:\n    Source: x.\n    What: y.\n"])
def test_a_class_without_a_whole_card_is_noticed(text):
    with pytest.raises(ValueError, match="What, Source, Licence, Size, Cite, Flaws"):
        card(type("Bare", (), {"__doc__": text}))


# SHA-256 of what comes along, (train, validation, test). They tell when data changed, and recorded figures with them.
# `digits` and `patches` may change with scikit-learn (and patches with the decoder of JPEG).
FINGERPRINTS = {
    "bars_and_stripes": ("55f9706563daf3c0", "55f9706563daf3c0", "55f9706563daf3c0"),
    "colored_glyphs": ("a131329bbba6f5ec", "4f003d9a1a2fb0b7", "3a182f347a75b5e1"),
    "digits": ("58b22e6773db7d8b", "7257ee4c8f122e4e", "ad97d6c4b06c0902"),
    "glyphs": ("61a58f6bcbbbf90d", "5a8f93b2ef896ad9", "6d1e2a734dae022a"),
    "grid": ("66292473db742117", "0225b1f4aa2287f2", "516f619277de3e45"),
    "moving_digits": ("add41915d1769e68", "2671dbc9445507b7", "ee5f808e5a8d2a70"),
    "patches": ("67f66a2e87f1822c", "238a1bf0581f6a04", "97daf84dc649836d"),
    "plucked": ("c6a85b9e30af970b", "ca3252e2509995e7", "121bcd5b545aa656"),
    "pydoc": ("9bed3bcf3fd1a3a4", "ec19e5fd33c4dd0c", "7cebe777858ad159"),
    "ring": ("2ee6e0df4f684b46", "5b22f012b2425f7a", "be3165d78eda72d8"),
}


@pytest.mark.parametrize("name", sorted(FINGERPRINTS))
def test_the_data_have_not_changed(name):
    assert tuple(load(name, split).fingerprint[:16] for split in SPLITS) == FINGERPRINTS[name]


def test_names_are_guessed_whatever_their_case():
    with pytest.raises(ValueError, match="did you mean 'fashion_mnist'"):
        load("Fashion-MNIST")


def test_a_fingerprint_sees_every_value_and_shape():
    def fingerprint(x, y=(0, 1)):
        return Dataset("d", "train", x, torch.tensor(y), levels=9, n_classes=2, source="", licence="").fingerprint

    x = torch.arange(8).view(2, 1, 2, 2)
    changed = x.clone()
    changed[1, 0, 1, 1] = 8
    known = [fingerprint(x), fingerprint(changed), fingerprint(x.view(2, 1, 4, 1)), fingerprint(x, (1, 0))]
    known += [fingerprint(x.float()), fingerprint(x.transpose(2, 3))]
    assert len(set(known)) == 6
    assert fingerprint(x.clone()) == known[0]


def test_iterating_ends():
    assert len(list(load("bars_and_stripes"))) == 30


def test_digits_keep_the_order_of_the_file():
    file = load_digits()
    splits = [load("digits", split) for split in ("train", "validation", "test")]
    assert [len(s) for s in splits] == [1257, 180, 360]
    assert torch.equal(torch.cat([s.x for s in splits]).squeeze(1), torch.tensor(file.images).long())
    assert torch.equal(torch.cat([s.y for s in splits]), torch.tensor(file.target))


@pytest.mark.parametrize("name", [name for name in names() if source_of(name) is None and name != "bars_and_stripes"])
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
        "print([m for m in ('sklearn', 'matplotlib', 'pooch', 'requests') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("minst",), {}, ["'minst'", "did you mean 'mnist'", "bars_and_stripes, binarized_mnist, cifar10"]),
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
