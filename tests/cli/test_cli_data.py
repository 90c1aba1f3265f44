"""`garm data list`, `fetch` and `show` as typed: tables, cards, pictures, and errors in one line."""

import hashlib
import json
from functools import partial

import matplotlib.image
import pytest
import torch
from fake_data import small_mnist, write_idx
from file_server import serve

from garm_course import datasets
from garm_course.cli.data import RAMP, characters
from garm_course.datasets import tinyshakespeare


@pytest.fixture
def garm(garm, monkeypatch):
    """`garm data ...`"""
    monkeypatch.setenv("GARM_PROGRESS", "0")
    return partial(garm, "data")


def test_list_names_every_data_set_and_where_it_is(garm, monkeypatch, tmp_path):
    monkeypatch.setenv("GARM_CACHE", str(tmp_path / "cache"))
    code, out, err = garm("list")
    assert (code, err) == (0, "")
    rows = dict(line.split(None, 1) for line in out.splitlines()[: len(datasets.names())])
    assert list(rows) == datasets.names()
    assert rows["digits"].startswith("included")
    assert rows["mnist"].startswith("to download, 11.6 MB")
    assert rows["cifar10"].startswith("to download, 170.1 MB")
    assert str(tmp_path / "cache") in out
    assert not (tmp_path / "cache").exists()  # looking makes nothing
    assert max(map(len, out.splitlines()[:-1])) <= 120
    small_mnist(monkeypatch)
    write_idx(tmp_path / "mnist")
    monkeypatch.setenv("GARM_DATA", str(tmp_path))
    rows = {row["name"]: row for row in json.loads(garm("list", "--json")[1])}
    assert rows["mnist"]["where"] == "in GARM_DATA"
    assert rows["fashion_mnist"]["where"].startswith("to download")
    assert rows["pydoc"]["what"].endswith(".")


def test_fetch_downloads_once_into_the_cache(garm, monkeypatch, tmp_path):
    monkeypatch.setenv("GARM_CACHE", str(tmp_path))
    monkeypatch.delenv("GARM_OFFLINE")
    text = (tinyshakespeare.VOCABULARY * 10).encode()
    monkeypatch.setattr(tinyshakespeare, "CHARACTERS", len(text))
    with serve() as server:
        server.files["/input.txt"] = text
        file = tinyshakespeare.FILES.files["text"]._replace(
            size=len(text), sha256=hashlib.sha256(text).hexdigest(), urls=(server.url + "/input.txt",)
        )
        monkeypatch.setattr(tinyshakespeare, "FILES", tinyshakespeare.FILES._replace(files={"text": file}))
        for _ in range(2):
            code, out, err = garm("fetch", "tinyshakespeare", "digits")
            assert (code, err) == (0, "")
            assert out == (
                f"tinyshakespeare: text: {tmp_path / 'data' / 'tinyshakespeare' / 'input.txt'}\ndigits: included\n"
            )
        assert len(server.requests) == 1
    assert datasets.load("tinyshakespeare", length=5).text.encode() == text[: len(text) * 8 // 10]


def test_fetch_says_which_files_are_yours(garm, monkeypatch, tmp_path):
    small_mnist(monkeypatch)
    write_idx(tmp_path / "mnist")
    monkeypatch.setenv("GARM_DATA", str(tmp_path))
    out = garm("fetch", "mnist")[1]
    assert out.count("(yours)") == 4


def test_fetch_looks_at_all_names_first(fails, monkeypatch):
    monkeypatch.setattr("garm_course.datasets.downloads.fetch", lambda *_: pytest.fail("began too early"))
    assert "did you mean 'cifar10'" in fails("fetch", "mnist", "cifar")


def test_fetch_of_several_goes_on_after_a_failure(garm, monkeypatch, tmp_path):
    small_mnist(monkeypatch)
    write_idx(tmp_path / "mnist")
    monkeypatch.setenv("GARM_DATA", str(tmp_path))
    code, out, err = garm("fetch", "all")
    assert code == 2
    assert out.count("(yours)") == 3 * 4
    assert out.count("included\n") == 10
    assert (
        err == "garm: error: 4 of 17 could not be fetched: binarized_mnist, cifar10, fashion_mnist, tinyshakespeare\n"
    )


def test_fetch_that_fails_is_one_line(fails):
    assert "GARM_OFFLINE" in fails("fetch", "cifar10")


@pytest.mark.parametrize("name", datasets.names())
def test_the_card_of_every_data_set_can_be_read_without_loading_it(garm, name, monkeypatch):
    monkeypatch.setattr(datasets, "load", lambda *_: pytest.fail("loaded"))
    code, out, _ = garm("show", name, "--card")
    assert code == 0
    assert out.startswith(f"{name}\n\nWhat:    ")
    for part in ("Source:", "Licence:", "Size:", "Cite:", "Flaws:", "Options:"):
        assert f"\n{part}" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digits", ["1,257 images 1x8x8", "|", "@@"]),
        ("glyphs", ["8,910 prototypes"]),
        ("patches", ["3x8x8", "CC BY 2.0"]),
        ("ring", ["real numbers", "the first points: ("]),
        ("plucked", ["G4 |", "D4 |"]),
        ("moving_digits", ["1x8x16x16"]),
        ("bars_and_stripes", ["30 images", "@@@@@@@@"]),
    ],
)
def test_show_prints_the_first_examples_and_draws_them(garm, tmp_path, name, words):
    out = tmp_path / f"{name}.png"
    code, text, err = garm("show", name, "--out", out)
    assert (code, err) == (0, "")
    for word in words:
        assert word in text
    assert text.endswith(f"written: {out}\n")
    picture = matplotlib.image.imread(out)[..., :3]
    assert picture.shape[0] > 200
    assert 0.02 < (picture < 0.9).any(-1).mean() < 0.98  # neither blank nor black


def test_show_of_a_text_is_a_page_of_it(garm, tmp_path):
    out = tmp_path / "pydoc.txt"
    code, text, _ = garm("show", "pydoc", "--split", "test", "--out", out)
    data = datasets.load("pydoc", "test")
    assert code == 0
    assert data.text[:300] in text
    assert out.read_text() == data.text


def test_show_of_downloaded_data(garm, monkeypatch, tmp_path):
    small_mnist(monkeypatch)
    write_idx(tmp_path / "mnist")
    monkeypatch.setenv("GARM_DATA", str(tmp_path))
    code, text, _ = garm("show", "mnist_thresholded", "--split", "test", "--out", tmp_path / "x.png")
    assert code == 0
    assert "10 images 1x28x28, 2 levels" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "minst"), ["did you mean 'mnist'"]),
        (("show", "digits", "--split", "dev"), ["'dev'", "train, validation, test"]),
        (("show", "digits", "--out", "digits.jpg"), ["ends in .png", "digits.png"]),
        (("show", "pydoc", "--out", "pydoc.png"), ["ends in .txt", "pydoc.txt"]),
        (("show", "digits", "--out", "nowhere/digits.png"), ["no folder nowhere"]),
        (("show", "digits", "--card", "--out", "digits.png"), ["not both"]),
        (("show", "mnist"), ["GARM_OFFLINE", 'load("digits")']),
        (("lst",), ["did you mean 'garm data list'"]),
        (("fetch",), ["NAME"]),
    ],
)
def test_mistakes_are_answered_in_one_line(fails, arguments, words):
    line = fails(*arguments)
    for word in words:
        assert word in line


def test_characters_show_what_is_bright_and_where():
    x = torch.zeros(2, 1, 3, 2, dtype=torch.long)
    x[0, 0, 1, 0] = 16
    x[1, 0, 2, 1] = 8
    middle = RAMP[round(0.5 * (len(RAMP) - 1))]
    assert characters(x, 17).split("\n") == ["    |    ", "@@  |    ", f"    |  {middle * 2}"]
    large = torch.zeros(1, 1, 20, 20, dtype=torch.long)
    large[0, 0, :2, 3] = 1
    rows = characters(large, 2).split("\n")
    assert [len(row) for row in rows] == [20] * 10
    assert rows[0] == "   @" + " " * 16


def test_fetch_all_looks_for_every_data_set(garm, monkeypatch):
    from garm_course.datasets import downloads

    monkeypatch.setattr(downloads, "fetch", lambda source, role: downloads.Found(role, False))
    code, out, _ = garm("fetch", "all")
    assert code == 0
    assert list(dict.fromkeys(line.split(":")[0] for line in out.splitlines())) == datasets.names()


def test_show_prints_frames_of_one_clip_points_in_their_order_and_the_mean_of_channels(garm, tmp_path):
    assert garm("show", "ring", "--out", tmp_path / "RING.PNG")[0] == 0
    x, y = datasets.load("ring").x[0].double().round(decimals=2).tolist()
    assert f"the first points: ({x:g}, {y:g}), " in garm("show", "ring")[1]
    clip = datasets.load("moving_digits").x[0, 0, :6]
    assert characters(clip[:, None], 17) in garm("show", "moving_digits")[1]
    color = torch.tensor([0, 16, 8]).view(1, 3, 1, 1)
    assert characters(color, 17) == 2 * RAMP[round(0.5 * (len(RAMP) - 1))]
