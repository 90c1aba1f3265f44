"""Downloads against a server on this machine that fails in every way: after each, the cache is valid or empty.

No name is looked up and nothing outside of 127.0.0.1 is asked.
"""

import errno
import hashlib
import os
import random
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from file_server import serve
from limits import PATIENCE

from garm_course.datasets import downloads
from garm_course.datasets.downloads import CacheError, DownloadError, File, Source, fetch, supplied, whereabouts

CONTENT = random.Random(0).randbytes(50_000)


@pytest.fixture
def server(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serve() as running:
        yield running


@pytest.fixture
def cache(monkeypatch, tmp_path):
    folder = tmp_path / "cache"
    monkeypatch.setenv("GARM_CACHE", str(folder))
    monkeypatch.delenv("GARM_OFFLINE", raising=False)
    monkeypatch.delenv("GARM_DATA", raising=False)
    return folder


def source(*urls, content=CONTENT, name="toy"):
    file = File("file.bin", len(content), hashlib.sha256(content).hexdigest(), urls, ("file.bin", "other.bin"))
    return Source(name, {"all": file}, (name, name.upper(), "."), "digits")


def offer(server, behavior="right", path="/file.bin", content=CONTENT):
    server.files[path] = server.files[path + ".moved"] = content
    server.behavior[path] = behavior
    return server.url + path


def in_cache(cache, partial=False):
    """Files in the cache, without locks; what is under way only if asked for."""
    return sorted(
        file.relative_to(cache).as_posix()
        for file in cache.rglob("*")
        if file.is_file() and file.name != "lock" and (partial or file.relative_to(cache).parts[0] != "partial")
    )


def assert_whole(found, cache):
    assert not found.supplied
    assert found.path == cache / "data" / "toy" / "file.bin"
    assert found.path.read_bytes() == CONTENT
    assert in_cache(cache, partial=True) == ["data/toy/file.bin"]


@pytest.mark.parametrize("behavior", ["right", "redirect", "no ranges", "chunked", "gentle", "compressing"])
def test_a_file_arrives_whole_and_is_fetched_once(server, cache, behavior):
    toy = source(offer(server, behavior))
    assert_whole(fetch(toy, "all"), cache)
    asked = len(server.requests)
    assert_whole(fetch(toy, "all"), cache)
    assert len(server.requests) == asked


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        ("403", "answered 403 Forbidden"),
        ("404", "answered 404 Not Found"),
        ("500", "answered 500"),
        ("redirect without end", "redirected without end"),
        ("another", "another checksum"),
        ("shorter", "has a file of 49,993 bytes, not 50,000"),
        ("endless", "sent more than 50,000 bytes"),
        ("stalled", "sent nothing for 0 s"),
        ("slow", "sent only"),
        ("ends early", "ended after 20,000 of 50,000 bytes"),
        ("cut without ranges", "cut the connection"),
    ],
)
def test_a_bad_mirror_is_named_with_its_reason_and_the_next_one_is_asked(server, cache, monkeypatch, behavior, reason):
    monkeypatch.setattr(downloads, "SILENCE", 0.3)
    server.cut_after = 20_000
    bad = offer(server, behavior, "/bad.bin")
    with pytest.raises(DownloadError) as error:
        fetch(source(bad), "all")
    message = str(error.value)
    assert "\n" not in message
    for words in (reason, bad.split("/")[2], 'load("digits")', 'offline="digits"', "GARM_DATA", "toy/file.bin"):
        assert words in message
    assert in_cache(cache) == []
    toy = source(bad, offer(server, path="/good.bin"))
    assert_whole(fetch(toy, "all"), cache)
    assert ("/good.bin") in [path for path, _ in server.requests]


def test_all_mirrors_and_their_reasons_are_in_the_message(server, cache):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/x"
    with pytest.raises(DownloadError) as error:
        fetch(source(offer(server, "403", "/a"), offer(server, "another", "/b"), nobody), "all")
    message = str(error.value)
    assert message.count("127.0.0.1:") == 3
    assert message.index("answered 403") < message.index("checksum") < message.index("refused the connection")


def test_a_reason_that_all_mirrors_share_is_said_once(server, cache):
    with pytest.raises(DownloadError) as error:
        fetch(source(offer(server, "404", "/a"), offer(server, "404", "/b"), offer(server, "403", "/c")), "all")
    message = str(error.value)
    assert message.count("answered 404") == message.count("answered 403") == 1  # a port may hold these digits too


def test_no_network_is_said_in_words(cache, monkeypatch):
    def no_names(host, *_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    with pytest.raises(DownloadError, match=r"data\.example\.org: was not found \(no network\?\)"):
        fetch(source("https://data.example.org/file.bin"), "all")
    assert in_cache(cache, partial=True) == []


def test_the_progress_bar_counts_bytes_and_begins_where_the_download_does(server, cache, monkeypatch):
    from garm_course import progress_bar as progressbar

    bars, steps = [], []

    class Bar:
        def update(self, n):
            steps.append(n)

        def close(self):
            bars[-1]["closed"] = True

    monkeypatch.setattr(progressbar, "progress", lambda **options: bars.append(options) or Bar())
    server.cut_after = 30_000
    fetch(source(offer(server, "cut")), "all")
    assert [bar["initial"] for bar in bars] == [0, 30_000]
    assert all(bar["total"] == 50_000 and bar["unit"] == "B" and bar["closed"] for bar in bars)
    assert sum(steps) == 50_000


def test_an_interrupted_download_keeps_what_it_has(server, cache, monkeypatch):
    toy = source(offer(server))

    def interrupted(response):
        yield response.raw.read1(10_000)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_stream", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(toy, "all")
    assert in_cache(cache) == []
    (part,) = (cache / "partial" / "toy").glob("*.part")
    got = part.stat().st_size
    assert 0 < got <= 10_000
    assert_whole(fetch(toy, "all"), cache)
    assert server.requests[-1] == ("/file.bin", f"bytes={got}-")


def test_a_cut_download_goes_on_where_it_stopped(server, cache):
    server.cut_after = 12_345
    assert_whole(fetch(source(offer(server, "cut")), "all"), cache)
    ranges = [asked for _, asked in server.requests]
    assert ranges == [None, *(f"bytes={12_345 * k}-" for k in (1, 2, 3, 4))]  # no byte twice


def test_another_mirror_goes_on_with_what_the_first_one_gave(server, cache):
    server.cut_after = 12_345
    first, second = offer(server, "cut without ranges", "/a"), offer(server, path="/b")
    assert_whole(fetch(source(first, second), "all"), cache)
    assert server.requests[-1] == ("/b", "bytes=12345-")


def test_tiny_progress_is_not_enough(server, cache):
    server.cut_after = 1
    with pytest.raises(DownloadError, match="cut the connection"):
        fetch(source(offer(server, "cut")), "all")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("kept", "behavior", "asked"),
    [
        (1000, "right", ["bytes=1000-", None]),
        (1000, "no ranges", ["bytes=1000-"]),  # that answer is the whole file already
        (50_000, "right", [None]),
        (60_000, "right", [None]),
        (1000, "another range", ["bytes=1000-", None]),
    ],
)
def test_a_wrong_beginning_is_thrown_away(server, cache, kept, behavior, asked):
    toy = source(offer(server, behavior))
    part = cache / "partial" / "toy" / f"{toy.files['all'].sha256}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(kept))
    assert_whole(fetch(toy, "all"), cache)
    assert [wanted for _, wanted in server.requests] == asked


def test_a_mirror_with_a_shorter_file_does_not_cost_what_is_here(server, cache):
    short, right = offer(server, path="/short", content=CONTENT[:900]), offer(server, path="/right")
    toy = source(short, right)
    part = cache / "partial" / "toy" / f"{toy.files['all'].sha256}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    assert_whole(fetch(toy, "all"), cache)
    assert server.requests == [("/short", "bytes=1000-"), ("/right", "bytes=1000-")]


def test_a_connection_that_becomes_slow_is_given_up_soon(server, cache, monkeypatch):
    monkeypatch.setattr(downloads, "SILENCE", 0.3)
    assert_whole(fetch(source(offer(server, "slow later")), "all"), cache)
    (_, asked) = server.requests[1]  # again, and from there on fast again
    assert 30_000 < int(asked[6:-1]) < 31_000  # a fast beginning does not count for ever


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], bytes(len(CONTENT)), CONTENT + b"x"])
def test_a_damaged_file_in_the_cache_is_fetched_again(server, cache, damage):
    toy = source(offer(server))
    fetch(toy, "all").path.write_bytes(damage)
    assert_whole(fetch(toy, "all"), cache)


KILLED = """
    import sys
    from garm_course.datasets.downloads import File, Source, fetch
    file = File("file.bin", {size}, {sha!r}, ({url!r},), ("file.bin",))
    print(fetch(Source("toy", {{"all": file}}, ("toy",), "digits"), "all").path.stat().st_size, flush=True)
"""


def start_fetching(url):
    sha = hashlib.sha256(CONTENT).hexdigest()
    code = textwrap.dedent(KILLED).format(size=len(CONTENT), sha=sha, url=url)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_a_killed_download_is_resumed(server, cache):
    url = offer(server, "steady")
    process = start_fetching(url)
    part = cache / "partial" / "toy" / f"{hashlib.sha256(CONTENT).hexdigest()}.part"
    until = time.monotonic() + PATIENCE
    while not (part.exists() and part.stat().st_size) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert in_cache(cache) == []
    got = part.stat().st_size
    assert 0 < got < len(CONTENT)
    server.behavior["/file.bin"] = "right"
    assert_whole(fetch(source(url), "all"), cache)
    assert server.requests[-1] == ("/file.bin", f"bytes={got}-")


def test_what_a_killed_process_left_is_cleared(server, cache):
    left = cache / "partial" / "toy" / "tmpabcdefgh"
    left.parent.mkdir(parents=True)
    left.write_bytes(CONTENT[:99])
    assert_whole(fetch(source(offer(server)), "all"), cache)


def test_two_processes_fetch_once(server, cache):
    url = offer(server, "gentle")
    processes = [start_fetching(url) for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert all(text.endswith("50000\n") for text in said)
    assert len(server.requests) == 1
    assert in_cache(cache, partial=True) == ["data/toy/file.bin"]


def test_waiting_for_another_process_is_said(server, cache, capsys):
    from filelock import FileLock

    toy = source(offer(server))
    lock = cache / "partial" / "toy" / "lock"
    lock.parent.mkdir(parents=True)
    code = f"import filelock, time\nwith filelock.FileLock({str(lock)!r}):\n print('held', flush=True)\n time.sleep(2)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        assert_whole(fetch(toy, "all"), cache)
    assert "waiting for another process that downloads toy" in capsys.readouterr().out
    FileLock(str(lock)).acquire(timeout=0).lock.release()  # it is free again


@pytest.mark.parametrize(
    ("code", "advice"), [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EROFS, "GARM_CACHE")]
)
@pytest.mark.parametrize("when", ["opening", "writing", "moving"])
def test_a_full_or_read_only_disk_is_told_and_leaves_nothing(server, cache, monkeypatch, code, advice, when):
    toy = source(offer(server))

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    if when == "opening":
        monkeypatch.setattr(downloads, "open", fail, raising=False)
    elif when == "moving":
        monkeypatch.setattr(downloads.os, "replace", fail)
    else:
        monkeypatch.setattr(downloads, "_bar", lambda *_: fail())
    with pytest.raises(OSError, match=advice) as error:
        fetch(toy, "all")
    assert type(error.value) is CacheError
    assert error.value.errno == code
    assert "\n" not in str(error.value)
    assert str(cache / "data" / "toy" / "file.bin") in str(error.value)
    assert in_cache(cache) == []
    if code != errno.EROFS:
        assert in_cache(cache, partial=True) == []  # the room is given back
    monkeypatch.undo()
    monkeypatch.setenv("GARM_CACHE", str(cache))
    monkeypatch.delenv("GARM_OFFLINE", raising=False)
    assert_whole(fetch(toy, "all"), cache)


def test_a_download_that_does_not_fit_is_not_begun(server, cache, monkeypatch):
    from shutil import _ntuple_diskusage

    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: _ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(OSError, match=r"1 MB are free.*make room"):
        fetch(source(offer(server)), "all")
    assert server.requests == []
    assert in_cache(cache, partial=True) == []


def test_a_cache_below_a_file_is_told(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("GARM_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.delenv("GARM_OFFLINE", raising=False)
    monkeypatch.delenv("GARM_DATA", raising=False)
    with pytest.raises(OSError, match=r"Not a directory.*GARM_CACHE"):
        fetch(source(offer(server)), "all")
    assert (tmp_path / "file").read_text() == "mine"
    assert server.requests == []


def test_offline_asks_nobody(server, cache, monkeypatch):
    monkeypatch.setenv("GARM_OFFLINE", "1")
    toy = source(offer(server))
    with pytest.raises(DownloadError, match="GARM_OFFLINE"):
        fetch(toy, "all")
    assert server.requests == []
    monkeypatch.setenv("GARM_OFFLINE", "0")
    fetch(toy, "all")
    monkeypatch.setenv("GARM_OFFLINE", "1")
    assert_whole(fetch(toy, "all"), cache)  # what is here is here


@pytest.mark.parametrize("place", ["toy/file.bin", "TOY/other.bin", "file.bin"])
def test_a_file_of_the_user_comes_first_and_is_left_alone(server, cache, monkeypatch, tmp_path, place):
    mine = tmp_path / "mine" / place
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"anything")
    monkeypatch.setenv("GARM_DATA", str(tmp_path / "mine"))
    toy = source(offer(server))
    assert fetch(toy, "all") == (mine, True)
    assert server.requests == []
    assert whereabouts(toy) == "in GARM_DATA"
    assert not cache.exists()


def test_files_of_the_user_below_home_and_beside_those_of_the_cache(server, cache, monkeypatch, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file.bin").write_bytes(b"anything")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("GARM_DATA", "~/mine")
    toy = source(offer(server))
    assert supplied(toy, "all") == tmp_path / "mine" / "file.bin"
    other = toy.files["all"]._replace(name="second.bin", names=("second.bin",))
    both = toy._replace(files={**toy.files, "second": other})
    assert whereabouts(both) == "to download, 0.1 MB"
    fetch(both, "second")
    assert whereabouts(both) == "in the cache"  # not all of it is the user's


def test_only_the_rest_of_a_download_has_to_fit(server, cache, monkeypatch):
    from shutil import _ntuple_diskusage

    toy = source(offer(server))
    part = cache / "partial" / "toy" / f"{toy.files['all'].sha256}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:49_000])
    free = downloads.ROOM + 1000
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: _ntuple_diskusage(10**9, 10**9, free))
    assert_whole(fetch(toy, "all"), cache)


def test_a_folder_of_the_user_that_is_not_there_is_told(cache, monkeypatch, tmp_path):
    for folder in (str(tmp_path / "none"), "~nobody-of-this-name/data"):
        monkeypatch.setenv("GARM_DATA", folder)
        with pytest.raises(FileNotFoundError, match="not a folder"):
            supplied(source("http://127.0.0.1:9/x"), "all")


def test_whereabouts_follow_the_file(server, cache):
    toy = source(offer(server), content=CONTENT)
    assert whereabouts(toy) == "to download, 0.1 MB"
    fetch(toy, "all")
    assert whereabouts(toy) == "in the cache"
    (cache / "data" / "toy" / "file.bin").write_bytes(CONTENT[:-1])
    assert whereabouts(toy) == "to download, 0.1 MB"


def all_sources():
    from importlib import import_module

    modules = ("mnist", "fashion_mnist", "binarized_mnist", "cifar10", "tinyshakespeare")
    return [import_module(f"garm_course.datasets.{module}").FILES for module in modules]


@pytest.mark.parametrize("source", all_sources(), ids=lambda source: source.name)
def test_the_registries_are_well_formed(source):
    from garm_course.datasets import names

    assert source.name in names()
    assert source.instead in names()
    for file in source.files.values():
        assert file.size > 0
        assert len(file.sha256) == 64
        assert int(file.sha256, 16) > 0
        assert file.urls
        assert all(url.startswith(("https://", "http://")) for url in file.urls)
        assert all(Path(name).name == name for name in (file.name, *file.names))
    sums = [file.sha256 for file in source.files.values()]
    assert len(set(sums)) == len(sums)
