"""Files of the user and of the cache: read right, split right, and refused where they are not what they should be."""

import contextlib
import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch
from fake_data import cifar_members, idx_bytes, small_mnist, write_amat, write_idx, write_tar

from garm_course.datasets import binarized_mnist, cifar10, idx, load, mnist, tinyshakespeare
from garm_course.datasets.downloads import DownloadError


@pytest.fixture
def mine(monkeypatch, tmp_path):
    """A folder of the user's own files, empty."""
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("GARM_DATA", str(folder))
    return folder


def one_line(error):
    message = str(error.value)
    assert "\n" not in message
    return message


# --- IDX -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "folder"), [("mnist", "mnist"), ("mnist", "MNIST/raw"), ("mnist", "."),
                                              ("fashion_mnist", "FashionMNIST/raw")])  # fmt: skip
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_split_in_the_order_of_the_file(monkeypatch, mine, name, folder, packed):
    small_mnist(monkeypatch)
    arrays = write_idx(mine / folder, packed)
    for split, part, rows in (
        ("train", "train", slice(0, 50)),
        ("validation", "train", slice(50, 60)),
        ("test", "test", slice(0, 10)),
    ):
        data = load(name, split)
        assert np.array_equal(data.x[:, 0].numpy(), arrays[f"{part} images"][rows])
        assert np.array_equal(data.y.numpy(), arrays[f"{part} labels"][rows])
        assert "your own" in data.source
        few = load(name, split, n=3)
        assert torch.equal(few.x, data.x[:3])
        assert torch.equal(few.y, data.y[:3])


@pytest.mark.parametrize("piece", [1, 100, 783, 784, 10_000])
def test_idx_rows_do_not_depend_on_the_size_of_the_pieces(monkeypatch, tmp_path, piece):
    monkeypatch.setattr(idx, "PIECE", piece)
    array = np.random.default_rng(0).integers(0, 256, (7, 3, 5))
    path = tmp_path / "file"
    path.write_bytes(idx_bytes(array))
    for first, stop in ((0, 7), (2, 5), (6, 7), (0, 1)):
        assert np.array_equal(idx.read(path, (7, 3, 5), first, stop).numpy(), array[first:stop])


def packed(content):
    return gzip.compress(content, mtime=0)


GOOD = idx_bytes(np.arange(60).reshape(5, 3, 4))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["not an IDX file"]),
        (b"<html>404</html>", ["not an IDX file", "3c 68 74 6d"]),
        (b"\x00\x00\x0d\x03" + GOOD[4:], ["type 0x0d", "unsigned bytes"]),
        (b"\x00\x00\x08\x01" + GOOD[4:], ["1 axes", "expected 3", "labels"]),
        (GOOD[:4] + b"\xff\xff\xff\xff" + GOOD[8:], ["4294967295", "(5, 3, 4)"]),
        (GOOD[:12], ["(5, 3)", "(5, 3, 4)"]),
        (GOOD[:-1], ["59 of 60 bytes"]),
        (GOOD + b"x", ["more than 60 bytes"]),
        (packed(GOOD)[:-9], ["cut or damaged"]),
        (packed(GOOD)[:-8] + bytes(8), ["cut or damaged"]),
        (packed(GOOD)[:40] + b"\xff" * 40, ["cut or damaged"]),
        (b"\x1f\x8bno gzip after all", ["cut or damaged"]),
        (packed(GOOD)[:10] + b"\xff" * 40, ["cut or damaged"]),
        (packed(GOOD[:-1]), ["59 of 60 bytes"]),
    ],
    ids=range(14),
)
def test_corrupted_idx_files_are_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        idx.read(path, (5, 3, 4))
    message = one_line(error)
    for word in [str(path), *words]:
        assert word in message


def test_a_bomb_in_idx_format_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.gz"
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as file:
        file.write(GOOD)
        for _ in range(64):
            file.write(bytes(2**20))
    path.write_bytes(packed.getvalue())
    read = []

    class Counted(gzip.GzipFile):
        def readinto(self, view):
            read.append(len(view))
            return super().readinto(view)

    original, gzip.open = gzip.open, lambda path: Counted(path)
    try:
        with pytest.raises(ValueError, match="more than 60 bytes"):
            idx.read(path, (5, 3, 4))
    finally:
        gzip.open = original
    assert sum(read) <= 2 * idx.PIECE


def test_data_of_the_same_format_in_the_wrong_folder_are_noticed(monkeypatch, mine):
    small_mnist(monkeypatch)
    write_idx(mine / "mnist")
    monkeypatch.setattr(mnist, "COUNTS", {"train": (7, 5) + (6,) * 8, "test": (1,) * 10})
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load("mnist")
    assert "other classes than mnist" in one_line(error)
    load("mnist", "test")


def test_fashion_mnist_does_not_take_files_that_lie_about(monkeypatch, mine):
    small_mnist(monkeypatch)
    write_idx(mine)
    load("mnist")
    with pytest.raises(DownloadError, match="fashion_mnist/train"):
        load("fashion_mnist")


def test_files_may_have_the_name_with_a_dot(monkeypatch, mine):
    small_mnist(monkeypatch)
    arrays = write_idx(mine / "mnist", packed=False)
    for file in (mine / "mnist").iterdir():
        file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    assert np.array_equal(load("mnist", "test").x[:, 0].numpy(), arrays["test images"])


# --- the variants of MNIST -------------------------------------------------------------------------------------------


def test_thresholded_mnist_is_above_127(monkeypatch, mine):
    small_mnist(monkeypatch)
    arrays = write_idx(mine / "mnist")
    for split, rows in (("train", slice(0, 50)), ("validation", slice(50, 60))):
        data = load("mnist_thresholded", split)
        assert (data.name, data.levels) == ("mnist_thresholded", 2)
        assert np.array_equal(data.x[:, 0].numpy(), arrays["train images"][rows] > 127)


def test_dynamic_mnist_is_drawn_afresh_in_training_and_fixed_elsewhere(monkeypatch, mine):
    small_mnist(monkeypatch)
    arrays = write_idx(mine / "mnist")
    train = load("mnist_dynamic")
    first, second = train[:][0], train[:][0]
    assert not torch.equal(first, second)
    assert not torch.equal(first, train.x)
    again = load("mnist_dynamic")
    assert torch.equal(again[:][0], first)  # the draws follow from the seed and the order of the accesses
    assert not torch.equal(load("mnist_dynamic", seed=1)[:][0], first)
    assert torch.equal(load("mnist_dynamic", seed=1).x, train.x)
    for split in ("validation", "test"):
        data = load("mnist_dynamic", split)
        assert torch.equal(data[:][0], data.x)
        assert torch.equal(data[3][0], data.x[3])
        assert torch.equal(load("mnist_dynamic", split, seed=5).x, data.x)
        few = load("mnist_dynamic", split, n=4)
        assert torch.equal(few.x, data.x[:4])
    gray = arrays["train images"][:50].astype(float) / 255
    draws = torch.stack([train[:][0][:, 0] for _ in range(400)]).double().mean(0).numpy()
    standard_error = np.sqrt(gray * (1 - gray) / 400)
    assert (np.abs(draws - gray) <= 5.5 * standard_error + 1e-12).all()  # 39,200 comparisons
    z = (draws - gray).mean() / (np.sqrt((standard_error**2).sum()) / gray.size)
    assert abs(z) < 4


@pytest.mark.parametrize("u", [0.0, 1 - 2**-24])
def test_the_outermost_uniforms_draw_black_and_white_right(monkeypatch, u):
    monkeypatch.setattr(torch, "rand", lambda shape, generator: torch.full(tuple(shape), u))
    gray = torch.tensor([0, 255], dtype=torch.uint8)
    assert mnist.binarize(gray, torch.Generator()).tolist() == [0, 1]


def test_the_fixed_draws_of_the_splits_are_independent(monkeypatch, mine):
    small_mnist(monkeypatch)
    write_idx(mine / "mnist")
    for part, n in (("train", 60), ("t10k", 10)):
        path = mine / "mnist" / f"{part}-images-idx3-ubyte.gz"
        path.write_bytes(packed(idx_bytes(np.full((n, 28, 28), 127))))
    draws = [load("mnist_dynamic", split, n=10).x for split in ("train", "validation", "test")]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs((draws[a] == draws[b]).double().mean().item() - 0.5) < 4 * 0.5 / 7840**0.5


def test_black_and_white_are_never_drawn_otherwise():
    gray = torch.tensor([0, 255], dtype=torch.uint8).repeat(100_000)
    assert torch.equal(mnist.binarize(gray, torch.Generator().manual_seed(0)).bool(), gray > 0)


def test_workers_draw_differently_and_epochs_too(monkeypatch, mine):
    small_mnist(monkeypatch)
    write_idx(mine / "mnist")
    halves = []
    for seed in (0, 10):
        train = load("mnist_dynamic", seed=seed)
        train.gray[:] = 127  # all images have the same distribution
        loader = torch.utils.data.DataLoader(
            train, batch_size=25, num_workers=2, generator=torch.Generator().manual_seed(0)
        )
        halves += [x for _ in range(2) for x, _ in loader]
    assert all(not torch.equal(a, b) for i, a in enumerate(halves) for b in halves[:i])


# --- static binarized MNIST ------------------------------------------------------------------------------------------


@pytest.fixture
def small_amat(monkeypatch):
    monkeypatch.setattr(binarized_mnist, "COUNTS", {"train": 6, "validation": 3, "test": 2})


def test_amat_files_are_read_as_written(small_amat, mine):
    arrays = write_amat(mine / "binarized_mnist")
    for split, array in arrays.items():
        data = load("binarized_mnist", split)
        assert np.array_equal(data.x.flatten(1).numpy(), array)
        assert (data.levels, data.n_classes) == (2, 0)
    few = load("binarized_mnist", n=2).x
    assert torch.equal(few, load("binarized_mnist").x[:2])
    assert few.untyped_storage().nbytes() == few.numel() * 8  # the rest is not kept


def test_a_bomb_in_text_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "x.amat.gz"
    path.write_bytes(packed(bytes(10**6)))
    asked = []

    class Counted(gzip.GzipFile):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    monkeypatch.setattr(gzip, "open", lambda path: Counted(path))
    monkeypatch.setattr(binarized_mnist, "PIECE", 1000)
    with pytest.raises(ValueError, match="line 1"):
        binarized_mnist.read(path, 2)
    assert sum(asked) < 10_000
    assert min(asked) > 0


@pytest.mark.parametrize("piece", [1, 700, 1568, 5000])
def test_lines_do_not_depend_on_the_size_of_the_pieces(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(binarized_mnist, "PIECE", piece)
    array = np.random.default_rng(0).integers(0, 2, (3, 784))
    path = tmp_path / "x.amat"
    path.write_text("".join(" ".join(map(str, row)) + "\n" for row in array.tolist()))
    assert np.array_equal(binarized_mnist.read(path, 3).flatten(1).numpy(), array)


ROW = b" ".join([b"0", b"1"] * 392)


@pytest.mark.parametrize("content", [ROW + b"\n" + ROW + b"\n", ROW + b"\n" + ROW, ROW + b" \n" + ROW + b" \n",
                                     ROW + b"\r\n" + ROW + b"\r\n", packed(ROW + b"\n" + ROW)],
                         ids=range(5))  # fmt: skip
def test_every_usual_end_of_line_is_fine(tmp_path, content):
    path = tmp_path / "x.amat"
    path.write_bytes(content)
    assert torch.equal(binarized_mnist.read(path, 2).flatten(), torch.arange(2 * 784) % 2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["0 lines, expected 2"]),
        (ROW + b"\n", ["1 lines, expected 2", "cut"]),
        (ROW + b"\n" + ROW[:-2], ["line 2", "784 pixels"]),
        (ROW[:-2] + b"\n" + ROW + b" 1", ["line 1", "784 pixels"]),
        ((ROW + b"\n") * 3, ["more than 2 lines"]),
        (ROW.replace(b"1", b"2", 1) + b"\n" + ROW, ["line 1", "b'0 2 0 1"]),
        (b"<html>" + ROW, ["line 1", "b'<html>"]),
        (packed(ROW + b"\n" + ROW)[:-5], ["cut or damaged"]),
        (packed(bytes(10**7)), ["line 1", "784 pixels"]),
    ],
    ids=range(9),
)
def test_amat_files_that_are_none_are_refused(tmp_path, content, words):
    path = tmp_path / "x.amat"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        binarized_mnist.read(path, 2)
    message = one_line(error)
    for word in [str(path), *words]:
        assert word in message


@pytest.mark.parametrize("content", [(ROW + b" \r\n") * 2])
def test_a_blank_and_a_carriage_return_at_each_end_are_as_long_as_a_line_may_be(tmp_path, content):
    path = tmp_path / "x.amat"
    path.write_bytes(content)
    assert binarized_mnist.read(path, 2).shape == (2, 1, 28, 28)


def test_a_bomb_of_zeros_and_ones_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "x.amat"
    path.write_bytes(packed((ROW + b"\n") * 2000))
    asked = []

    class Counted(gzip.GzipFile):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    monkeypatch.setattr(gzip, "open", lambda path: Counted(path))
    with pytest.raises(ValueError, match="more than 2 lines"):
        binarized_mnist.read(path, 2)
    assert min(asked) > 0
    assert sum(asked) <= 2 * binarized_mnist.PIECE


# --- CIFAR-10 --------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_cifar(monkeypatch):
    monkeypatch.setattr(cifar10, "PER_BATCH", 10)
    monkeypatch.setattr(cifar10, "VALIDATION", 7)


@pytest.mark.parametrize(("name", "mode"), [("cifar-10-binary.tar.gz", "w:gz"), ("cifar-10-binary.tar", "w")])
def test_cifar_images_are_planes_of_red_green_and_blue(small_cifar, mine, name, mode):
    members = cifar_members()
    write_tar(mine / "cifar10" / name, members, mode=mode)
    raw = {n: np.frombuffer(members[cifar10.FOLDER + n], np.uint8).reshape(10, 3073)
           for names in cifar10.BATCHES.values() for n in names}  # fmt: skip
    train = np.concatenate([raw[f"data_batch_{k}.bin"] for k in range(1, 6)])
    for split, rows in (("train", train[:43]), ("validation", train[43:]), ("test", raw["test_batch.bin"])):
        data = load("cifar10", split)
        assert np.array_equal(data.y.numpy(), rows[:, 0])
        assert np.array_equal(data.x.numpy(), rows[:, 1:].reshape(-1, 3, 32, 32))
        assert torch.equal(load("cifar10", split, n=3).x, data.x[:3])
    assert torch.equal(load("cifar10", n=12).x, torch.tensor(train[:12, 1:].reshape(-1, 3, 32, 32)).long())


def info(name, size=0, kind=tarfile.REGTYPE, target=""):
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = size, kind, target
    return entry


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (info("../../escaped.bin"), ["'../../escaped.bin'", "does not belong", "nothing of it was unpacked"]),
        (info("/etc/escaped.bin"), ["escaped.bin", "does not belong"]),
        (info(cifar10.FOLDER + "../escaped.bin"), ["does not belong"]),
        (info(cifar10.FOLDER + "data_batch_1.bin", kind=tarfile.SYMTYPE, target="/etc/passwd"), ["does not belong"]),
        (info(cifar10.FOLDER + "data_batch_1.bin", kind=tarfile.LNKTYPE, target="x"), ["does not belong"]),
        (info(cifar10.FOLDER + "data_batch_1.bin", kind=tarfile.CHRTYPE), ["does not belong"]),
        (info("cifar-10-batches-py/data_batch_1"), ["does not belong"]),
        (info(cifar10.FOLDER + "data_batch_1.bin"), ["0 bytes", "cannot be"]),
        (info("data_batch_1.bin", size=10 * cifar10.RECORD), ["does not belong"]),
        (info(cifar10.FOLDER + "readme.html", size=2**16 + 1), ["65,537 bytes", "cannot be"]),
    ],
)
def test_strange_archives_are_refused_and_write_nothing(small_cifar, mine, tmp_path, extra, words):
    write_tar(mine / "cifar10" / "cifar-10-binary.tar.gz", cifar_members(), extra=[extra])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load("cifar10")
    message = one_line(error)
    for word in ["cifar-10-binary.tar.gz", *words]:
        assert word in message
    assert sorted(tmp_path.rglob("*")) == before


def test_absurd_sizes_are_refused_before_they_are_read(small_cifar, mine):
    path = mine / "cifar10" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    header = info(cifar10.FOLDER + "data_batch_1.bin", size=2**60).tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(packed(header + bytes(10**6)))
    with pytest.raises(ValueError, match="1,152,921,504,606,846,976 bytes, which cannot be"):
        load("cifar10")


def test_a_bomb_in_the_archive_is_not_unpacked(small_cifar, mine):
    """A stream that goes on for gigabytes after its first header is left at the first member that does not belong."""
    path = mine / "cifar10" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    with gzip.open(path, "wb", 1) as file:
        file.write(info("bomb", size=2**36).tobuf(tarfile.GNU_FORMAT))
        for _ in range(50):
            file.write(bytes(2**20))
    with pytest.raises(ValueError, match="'bomb' that does not belong"):
        load("cifar10")


def test_a_name_that_is_a_bomb_is_not_unpacked(small_cifar, mine):
    """The name of a member of a tar archive may itself be gigabytes long."""
    path = mine / "cifar10" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    with gzip.open(path, "wb", 1) as file:
        file.write(info("././@LongLink", size=2**30, kind=tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT))
        for _ in range(8):
            file.write(bytes(2**20))
    with pytest.raises(ValueError, match="far more than CIFAR-10"):
        load("cifar10")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[: len(content) // 2], ["cut, damaged"]),
        (lambda content: content[:1000] + bytes(2000) + content[3000:], ["cifar-10-binary.tar.gz"]),
        (lambda content: b"", ["cut, damaged or no tar archive"]),
        (lambda content: b"\x1f\x8b\x08", ["cut, damaged or no tar archive"]),
        (lambda content: b"<html>404</html>", ["cut, damaged or no tar archive"]),
    ],
)
def test_damaged_archives_are_refused(small_cifar, mine, damage, words):
    path = mine / "cifar10" / "cifar-10-binary.tar.gz"
    write_tar(path, cifar_members())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load("cifar10")
    message = one_line(error)
    for word in words:
        assert word in message


def test_an_archive_with_a_flipped_bit_is_never_read_with_other_pixels(small_cifar, mine):
    """The checksum of gzip stands behind everything that a reader wants."""
    path, rng = mine / "cifar10" / "cifar-10-binary.tar.gz", np.random.default_rng(0)
    write_tar(path, cifar_members())
    good, x = path.read_bytes(), load("cifar10", "test").x
    for place in rng.integers(20, len(good), 100):
        damaged = bytearray(good)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(ValueError):
            assert torch.equal(load("cifar10", "test").x, x)  # a bit that means nothing


def test_an_archive_of_other_classes_is_refused(small_cifar, mine):
    path, members = mine / "cifar10" / "cifar-10-binary.tar.gz", cifar_members()
    name = cifar10.FOLDER + "data_batch_1.bin"
    members[name] = bytes([(members[name][0] + 1) % 10]) + members[name][1:]
    write_tar(path, members)
    for split in ("train", "validation"):
        with pytest.raises(ValueError, match="has other classes than CIFAR-10; is it another data set"):
            load("cifar10", split, n=3)
    assert len(load("cifar10", "test")) == 10


def test_an_archive_with_a_batch_twice_is_refused(small_cifar, mine):
    members = cifar_members()
    twice = info(cifar10.FOLDER + "test_batch.bin", size=len(members[cifar10.FOLDER + "test_batch.bin"]))
    write_tar(mine / "cifar10" / "cifar-10-binary.tar.gz", members, extra=[twice])
    with pytest.raises(ValueError, match=r"has test_batch\.bin twice"):
        load("cifar10", "test")


def test_archives_that_lack_a_batch_or_have_a_strange_class_are_refused(small_cifar, mine):
    path = mine / "cifar10" / "cifar-10-binary.tar.gz"
    members = cifar_members()
    del members[cifar10.FOLDER + "data_batch_3.bin"]
    write_tar(path, members)
    with pytest.raises(ValueError, match=r"lacks data_batch_3\.bin.*binary version"):
        load("cifar10")
    members = cifar_members()
    members[cifar10.FOLDER + "test_batch.bin"] = bytes([10]) + members[cifar10.FOLDER + "test_batch.bin"][1:]
    write_tar(path, members)
    with pytest.raises(ValueError, match=r"class 10, expected 0\.\.9"):
        load("cifar10", "test")


def test_batches_have_the_order_of_their_numbers_not_of_the_archive(small_cifar, mine):
    path = mine / "cifar10" / "cifar-10-binary.tar.gz"
    members = cifar_members()
    write_tar(path, members)
    known = load("cifar10").x
    write_tar(path, dict(reversed(members.items())))
    assert torch.equal(load("cifar10").x, known)


# --- Tiny Shakespeare ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_text(monkeypatch):
    monkeypatch.setattr(tinyshakespeare, "CHARACTERS", 650)
    order = np.random.default_rng(0).permutation(650)  # no part of it is like another
    return "".join((tinyshakespeare.VOCABULARY * 10)[i] for i in order)


@pytest.mark.parametrize("place", ["text/tinyshakespeare.txt", "tinyshakespeare/input.txt", "tinyshakespeare.txt"])
def test_a_text_is_cut_where_the_card_says(small_text, mine, place):
    (mine / place).parent.mkdir(exist_ok=True)
    (mine / place).write_text(small_text, encoding="utf-8", newline="\r\n")
    parts = [load("tinyshakespeare", split, length=10) for split in ("train", "validation", "test")]
    assert [len(part.text) for part in parts] == [520, 65, 65]
    assert "".join(part.text for part in parts) == small_text
    assert parts[0].levels == 65


@pytest.mark.parametrize("wrong", ["too short", "\u00e9" * 650, "a" * 650, "".join(map(chr, range(300, 950)))])
def test_another_text_is_refused(small_text, mine, wrong):
    (mine / "tinyshakespeare.txt").write_text(wrong, encoding="utf-8")
    with pytest.raises(ValueError, match="is it another text") as error:
        load("tinyshakespeare")
    assert "tinyshakespeare.txt" in one_line(error)


def test_of_a_text_that_is_too_long_no_more_is_read_than_has_to_be(small_text, mine):
    (mine / "tinyshakespeare.txt").write_text(small_text * 10)
    with pytest.raises(ValueError, match="has 1,300 characters"):  # twice as many: each newline may be two
        load("tinyshakespeare")


# --- n first images ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_files(monkeypatch, mine, small_amat, small_cifar):
    small_mnist(monkeypatch)
    write_idx(mine / "mnist")
    write_amat(mine / "binarized_mnist")
    write_tar(mine / "cifar10" / "cifar-10-binary.tar.gz", cifar_members())


@pytest.mark.parametrize(
    ("name", "split", "most"),
    [("mnist", "train", 50), ("mnist", "validation", 10), ("mnist_dynamic", "test", 10), ("cifar10", "train", 43),
     ("cifar10", "validation", 7), ("binarized_mnist", "validation", 3)],
)  # fmt: skip
def test_n_is_from_one_to_all_and_the_rest_takes_no_memory(small_files, name, split, most):
    for n in (0, -1, most + 1, True, 2.0):
        with pytest.raises(ValueError, match=rf"1\.\.{most} as n"):
            load(name, split, n=n)
    assert len(load(name, split, n=most)) == most
    few = load(name, split, n=2)
    assert len(few) == 2
    for tensor in (few.x, few.y):
        assert tensor.untyped_storage().nbytes() == tensor.nbytes


# --- from the cache, and instead -------------------------------------------------------------------------------------


def test_the_cache_is_used_and_checked(monkeypatch, tmp_path):
    """Files that `garm data fetch` left in the cache load like the user's own, and their checksums are compared."""
    small_mnist(monkeypatch)
    arrays = write_idx(tmp_path / "cache" / "data" / "mnist")
    monkeypatch.setenv("GARM_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DownloadError):  # random numbers do not have MNIST's checksum
        load("mnist")
    files = {}
    for role, file in mnist.FILES.files.items():
        content = (tmp_path / "cache" / "data" / "mnist" / file.name).read_bytes()
        files[role] = file._replace(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(mnist, "FILES", mnist.FILES._replace(files=files))
    data = load("mnist")
    assert np.array_equal(data.x[:, 0].numpy(), arrays["train images"][:50])
    assert "downloaded" in data.source


@pytest.mark.parametrize("name", ["mnist", "mnist_thresholded", "mnist_dynamic", "binarized_mnist", "fashion_mnist",
                                  "cifar10", "tinyshakespeare"])  # fmt: skip
def test_without_files_and_network_the_message_says_what_to_do(name):
    with pytest.raises(DownloadError) as error:
        load(name)
    message = one_line(error)
    for word in ("GARM_OFFLINE", "GARM_DATA", f'load("{name}", offline="'):
        assert word in message


def test_another_data_set_instead_is_announced(capsys):
    data = load("mnist", "validation", offline="digits")
    assert (data.name, data.split) == ("digits", "validation")
    assert (
        capsys.readouterr().out
        == "mnist is not here and could not be downloaded; this is digits instead (why: leave offline= out)\n"
    )
    assert len(load("mnist_dynamic", "test", offline="glyphs", n=7, seed=3).x) == 7
    assert "this is glyphs instead (why" in capsys.readouterr().out
    load("tinyshakespeare", offline="digits", length=5)
    assert "this is digits instead, without length (why" in capsys.readouterr().out


def test_what_is_here_is_not_replaced(monkeypatch, mine, capsys):
    small_mnist(monkeypatch)
    write_idx(mine / "mnist")
    assert load("mnist", offline="digits").name == "mnist"
    assert load("glyphs", "test", n=2, offline="digits").name == "glyphs"
    assert capsys.readouterr().out == ""


def test_a_wrong_file_is_no_reason_for_other_data(monkeypatch, mine):
    small_mnist(monkeypatch)
    write_idx(mine / "mnist")
    (mine / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"broken")
    with pytest.raises(ValueError, match="not an IDX file"):
        load("mnist", offline="digits")


def test_the_name_of_the_data_to_fall_back_on_is_checked_even_where_it_is_not_needed():
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        load("digits", offline="digit")


def test_a_wrong_folder_is_no_reason_for_other_data(monkeypatch, tmp_path):
    monkeypatch.setenv("GARM_DATA", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="not a folder"):
        load("mnist", offline="digits")
