"""Files that have to be fetched: found where the user put them, or in the cache, or downloaded from the first mirror
that gives the right bytes.

A file in `data/` of the cache is complete and has the right SHA-256, or it is not there: bytes that are still coming
lie in `partial/`, under the checksum that they must have in the end. So a download that was cut goes on where it
stopped, from whichever mirror, and a wrong file never gets a place. A lock lets one process download while others wait.

pooch fetches a file and compares its checksum; what it lacks is in `_Resumable`: going on after a cut, and giving up on
a server that sends too much, too slowly or nothing.
"""

import errno
import gzip
import hashlib
import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from garm_course.paths import cache_folder

CONNECT = 10.0  # seconds in which a server has to accept a connection
ANSWER = 60.0  # seconds in which its headers have to be here, all of them
SILENCE = 30.0  # seconds without a byte after which it is given up
SLOW = 2_000  # bytes a second, over SILENCE seconds, below which a server is given up
CHUNK = 2**16
FULL = (errno.ENOSPC, errno.EDQUOT)
ROOM = 2**20  # bytes that must stay free on the disk


class File(NamedTuple):
    """One file of a data set.

    Attributes:
        name: its name in the cache.
        size: in bytes.
        sha256: of its content, 64 hexadecimal digits.
        urls: every mirror, the best first.
        names: names under which users keep it; the first one is shown in messages.
    """

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...]
    names: tuple[str, ...]


class Source(NamedTuple):
    """The files of a data set.

    Attributes:
        name: of the data set, and of its folder in the cache.
        files: by role, such as "train images".
        folders: where the files may lie below the folder that GARM_DATA names; the first one is shown in messages.
        instead: the embedded data set that an error message suggests, "" where there is none.
        shown: the name that was asked for, where several data sets share these files; "" for `name`.
    """

    name: str
    files: dict[str, File]
    folders: tuple[str, ...]
    instead: str
    shown: str = ""


class Found(NamedTuple):
    """A file that is there; one that the user supplied may differ from the original and has to be checked."""

    path: Path
    supplied: bool


class DownloadError(OSError):
    """A file of a data set is not here and could not be downloaded; the message says what to do."""


class CacheError(DownloadError):
    """The cache cannot be written, or the disk is full; the message says what to do."""


class _Refused(Exception):
    """This mirror will not do; the text is the reason."""


def fetch(source: Source, role: str) -> Found:
    """A file of a data set: the user's own, or from the cache, or downloaded into the cache.

    Args:
        source: the data set.
        role: a key of `source.files`.

    Returns:
        Found(path, supplied). What was not supplied by the user has the right SHA-256.

    Raises:
        DownloadError: no mirror gave the file, or the network is switched off by `GARM_OFFLINE=1`.
        CacheError: the cache cannot be written, or the disk is full.
        FileNotFoundError: GARM_DATA does not name a folder.
    """
    file = source.files[role]
    own = supplied(source, role)
    if own:
        return Found(own, True)
    path = _cached(source, file)
    if not _intact(path, file):
        _download(source, file, path)
    return Found(path, False)


def supplied(source: Source, role: str) -> Path | None:
    """The user's own copy of a file in the folder that the environment variable GARM_DATA names, or None.

    Raises:
        FileNotFoundError: GARM_DATA does not name a folder.
    """
    chosen = os.environ.get("GARM_DATA")
    if not chosen:
        return None
    root = Path(os.path.expanduser(chosen))
    if not root.is_dir():
        raise FileNotFoundError(f"GARM_DATA names {chosen!r}, which is not a folder; correct it or unset GARM_DATA")
    places = (root / folder / name for folder in source.folders for name in source.files[role].names)
    return next((place for place in places if place.is_file()), None)


def unpacked(path: Path):
    """A file opened for reading its bytes, which are unpacked where they are compressed with gzip."""
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else open(path, "rb")


def whereabouts(source: Source) -> str:
    """Where the files of a data set are: "in GARM_DATA", "in the cache", or "to download" with the missing size.

    It looks at names and sizes only; checksums are compared when the data are loaded.
    """
    missing, own = 0, 0
    for role, file in source.files.items():
        if supplied(source, role):
            own += 1
            continue
        path = _cached(source, file)
        missing += 0 if path.is_file() and path.stat().st_size == file.size else file.size
    if missing:
        return f"to download, {missing / 1e6:.1f} MB"
    return "in GARM_DATA" if own == len(source.files) else "in the cache"


def offline() -> bool:
    """Whether the environment forbids the network, by `GARM_OFFLINE=1`."""
    return os.environ.get("GARM_OFFLINE", "") not in ("", "0")


def _cached(source: Source, file: File) -> Path:
    return cache_folder() / "data" / source.name / file.name


def _intact(path: Path, file: File) -> bool:
    try:
        if path.stat().st_size != file.size:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except (FileNotFoundError, NotADirectoryError):
        return False


def _download(source: Source, file: File, path: Path) -> None:
    """Put the file in its place, or raise."""
    if offline():
        raise _cannot(source, file, [("", "GARM_OFFLINE forbids the network")])
    part = cache_folder() / "partial" / source.name / f"{file.sha256}.part"
    lock = part.with_name("lock")
    for place in (path, part, lock, *part.parent.glob("tmp*")):
        if place.is_dir():
            raise CacheError(errno.EISDIR, f"{place} is a folder, and a file belongs there; move it away")
    reasons = []
    try:
        for folder in (path.parent, part.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with _alone(lock, source):
            if _intact(path, file):  # another process has just fetched it
                return
            for left in part.parent.glob("tmp*"):  # pooch's, of a process that was killed
                left.unlink()
            if part.is_symlink():  # whoever made it: what it points to is not ours to write
                part.unlink()
            try:
                _check_room(part, file)
                for url in file.urls:
                    reason = _from_mirror(url, file, path, part)
                    if reason is None:
                        return
                    reasons.append(reason)
            except OSError as error:
                if error.errno in FULL:
                    part.unlink(missing_ok=True)  # give its room back
                raise
    except OSError as error:
        advice = "let the environment variable GARM_CACHE name a folder that you can write"
        if error.errno in FULL:
            advice = "make room there, or let GARM_CACHE name a folder on another disk"
        reason = f"cannot write {path} ({error.strerror or error}); {advice}"
        raise CacheError(error.errno, reason) from None
    raise _cannot(source, file, reasons)


def _from_mirror(url: str, file: File, path: Path, part: Path) -> tuple[str, str] | None:
    """Download from one mirror, going on as long as there is progress; host and reason of a failure, or None."""
    host = url.split("/")[2]
    while True:
        before = _size(part)
        try:
            _retrieve(url, file, path, part)
            return None
        except _Refused as refused:
            reason = (host, str(refused))
        except ValueError:  # pooch: the checksum differs; it has deleted what came
            if before == 0:
                return host, "sent a file with another checksum"
            continue  # it may have been the part that was here before: once more, from the start
        if _size(part) - before < file.size / 100:  # so it ends after a hundred cuts
            return reason


def _retrieve(url: str, file: File, path: Path, part: Path) -> None:
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # the progress bar says it better
    checksum, downloader = f"sha256:{file.sha256}", _Resumable(part, file)
    whole = pooch.retrieve(url, known_hash=checksum, fname=path.name, path=part.parent, downloader=downloader)
    os.replace(whole, path)


class _Resumable:
    """A downloader for pooch that goes on where a cut download stopped."""

    def __init__(self, part: Path, file: File):
        self.part, self.file = part, file

    def __call__(self, url: str, output_file: str, pooch) -> None:
        import requests

        have = _size(self.part)
        if have < self.file.size:
            # identity: the bytes as they are stored, or counting them and going on would not work
            headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
            try:
                with _answer(url, headers) as response:
                    self._receive(response, have)
            except requests.RequestException as error:
                raise _Refused(_in_words(error)) from None
            if _size(self.part) < self.file.size:
                raise _Refused(f"ended after {_size(self.part):,} of {self.file.size:,} bytes")
        os.replace(self.part, output_file)

    def _receive(self, response, have: int) -> None:
        if response.status_code not in (200, 206):
            raise _Refused(f"answered {response.status_code} {response.reason}")
        announced, span = (response.headers.get(name, "") for name in ("Content-Length", "Content-Range"))
        whole = announced == str(self.file.size) or span.startswith(f"bytes 0-{self.file.size - 1}/")
        start = have if response.status_code == 206 and not whole else 0
        if announced.isdigit() and start + int(announced) != self.file.size:
            raise _Refused(f"has a file of {start + int(announced):,} bytes, not {self.file.size:,}")
        with open(self.part, "ab" if start else "wb", opener=_no_link) as out, _bar(self.file, start) as bar:
            for chunk in _stream(response):
                start += len(chunk)
                if start > self.file.size:
                    raise _Refused(f"sent more than {self.file.size:,} bytes")
                out.write(chunk)
                bar.update(len(chunk))


def _no_link(path: str, flags: int) -> int:
    """Open a file that is no symbolic link; one that came since we looked is an OSError."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _answer(url: str, headers: dict[str, str]):
    """A response whose headers have come; its body is still to be read.

    The time limits of requests are for each read, so a server could send headers byte by byte for an hour: the whole
    answer is awaited beside a thread.
    """
    import requests

    answers = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(requests.get(url, headers=headers, stream=True, timeout=(CONNECT, SILENCE)))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER)
    except queue.Empty:
        raise _Refused(f"had not sent its headers after {ANSWER:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _stream(response) -> Iterator[bytes]:
    """The body in pieces; refused when it comes too slowly or is cut."""
    import urllib3

    since, received = time.monotonic(), 0
    try:
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            yield chunk
            received += len(chunk)
            seconds = time.monotonic() - since
            if seconds >= SILENCE:
                if received < SLOW * seconds:
                    raise _Refused(f"sent only {received:,} bytes in {seconds:.0f} s")
                since, received = time.monotonic(), 0
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
        raise _Refused(_in_words(error)) from None


def _in_words(error: Exception) -> str:
    """What went wrong with a connection, without the addresses and objects in a library's own message."""
    text, kind = str(error), type(error).__name__
    for sign, words in (
        ("Read timed out", f"sent nothing for {SILENCE:.0f} s"),
        ("ConnectTimeout", f"did not answer within {CONNECT:.0f} s"),
        ("timed out", f"did not answer within {CONNECT:.0f} s"),
        ("NameResolution", "was not found (no network?)"),
        ("getaddrinfo", "was not found (no network?)"),
        ("refused", "refused the connection"),
        ("unreachable", "could not be reached (no network?)"),
        ("CERTIFICATE", "has a certificate that is not trusted (a proxy in between?)"),
        ("ProxyError", "could not be reached through the proxy"),
        ("redirects", "redirected without end"),
        ("IncompleteRead", "cut the connection"),
        ("Connection broken", "cut the connection"),
        ("reset", "cut the connection"),
        ("aborted", "cut the connection"),
    ):
        if sign in text or sign in kind:
            return words
    return f"failed ({kind})"


@contextmanager
def _bar(file: File, start: int):
    from garm_course.progress_bar import progress

    bar = progress(total=file.size, label=file.name, unit="B", initial=start)
    try:
        yield bar
    finally:
        bar.close()


@contextmanager
def _alone(lock: Path, source: Source):
    """Hold the lock of a data set; a process that has to wait says so once."""
    from filelock import FileLock, Timeout

    held = FileLock(str(lock))
    try:
        held.acquire(timeout=1)
    except Timeout:
        print(f"waiting for another process that downloads {source.name}")
        held.acquire()
    try:
        yield
    finally:
        held.release()


def _check_room(part: Path, file: File) -> None:
    missing, free = file.size - _size(part), shutil.disk_usage(part.parent).free
    if free < missing + ROOM:
        raise OSError(errno.ENOSPC, f"{free / 1e6:.0f} MB are free, {file.name} needs {missing / 1e6:.0f} MB")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _cannot(source: Source, file: File, reasons: list[tuple[str, str]]) -> DownloadError:
    name, instead = source.shown or source.name, source.instead
    hosts = {}  # by reason: without a network it is the same for all
    for host, reason in reasons:
        hosts[reason] = [*hosts.get(reason, []), *([host] if host and host not in hosts.get(reason, []) else [])]
    told = "; ".join(f"{', '.join(who)}: {reason}" if who else reason for reason, who in hosts.items())
    included = f'Included, with no download: load("{instead}"), or load("{name}", offline="{instead}") to fall back. '
    return DownloadError(
        f"{file.name} of {name} is not here and could not be downloaded ({told}). {included if instead else ''}"
        f"A file that you have goes into a folder that the environment variable GARM_DATA names, "
        f"as {source.folders[0]}/{file.names[0]}"
    )
