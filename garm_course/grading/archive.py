"""Notebooks in whatever an LMS hands out: folders, zip and tar files, read without unpacking anything onto the disk.

Names inside of an archive are labels and never paths, so none can lead out of a folder. Links are not followed. No more
than one notebook is read at a time, and no more of it than a notebook may have, so that a bomb costs what it is worth.
"""

import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MOST_MEMBERS = 50_000
MOST_BYTES = 8 << 30  # that a whole tar file may unpack to
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
MOODLE = re.compile(r"^(?P<name>.+?)_(?P<id>\d+)_assignsubmission_file")
CANVAS = re.compile(r"^(?P<name>[^\W_]+?)(?:_LATE)?_(?P<id>\d+)_(?P<number>\d+)_.+")


class Found(NamedTuple):
    """A notebook that somebody handed in."""

    student: str
    file: str  # as it is shown: the path below the folder, or inside of the archive
    path: Path
    member: str | None  # of an archive
    problem: str = ""  # why it is not read

    def read(self, most: int) -> bytes:
        """Its bytes, at most `most` + 1 of them.

        Raises:
            ValueError: it cannot be read; the message is one sentence.
        """
        try:
            if self.member is None:
                with open(self.path, "rb") as file:
                    return file.read(most + 1)
            if self.path.suffix.lower() == ".zip":
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                    return file.read(most + 1)
            with tarfile.open(self.path) as archive:
                return archive.extractfile(self.member).read(most + 1)
        except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise ValueError(f"the file cannot be read: {str(error)[:100]}") from None
        except Exception as error:  # zlib and lzma have errors of their own
            raise ValueError(f"the file cannot be read: {type(error).__name__}") from None


def find(place: Path) -> list[Found]:
    """All notebooks below a folder, in an archive, or the one that is named; students in order, the newest file last.

    Args:
        place: a folder, a zip or tar file, or a notebook.

    Raises:
        ValueError: there is none.
    """
    if not place.exists():
        raise ValueError(f"{place} does not exist; name a folder of submissions, or a zip file")
    found = sorted(_below(place), key=lambda one: (one.student.casefold(), natural(one.file.removesuffix(".ipynb"))))
    if not found:
        raise ValueError(f"{place} holds no notebook (.ipynb); name the folder or the archive with the submissions")
    return found


def natural(name: str) -> list:
    """A key that sorts numbers in names as numbers: x-2 before x-10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def _below(place: Path) -> Iterator[Found]:
    if place.is_file():
        yield from _in_archive(place, "") if _is_archive(place.name) else [_found(place.name, place)]
        return
    for folder, folders, files in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            label = path.relative_to(place).as_posix()
            if _is_archive(name) and not path.is_symlink():
                yield from _in_archive(path, label)
            elif name.lower().endswith(".ipynb") and not name.startswith("."):
                regular = stat.S_ISREG(path.lstat().st_mode)
                yield _found(label, path, problem="" if regular else "the file is a link: it is not followed")


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def _in_archive(path: Path, label: str) -> Iterator[Found]:
    """The notebooks of an archive; of one that lies in a folder of many, `label` says which."""
    try:
        members = list(_zip_members(path) if path.suffix.lower() == ".zip" else _tar_members(path))
    except ValueError as error:
        yield _found(label or path.name, path, problem=str(error))
        return
    except Exception as error:  # zip, tar, and the compressions have many kinds of errors
        yield _found(label or path.name, path, problem=f"the archive cannot be read: {type(error).__name__}")
        return
    prefix = f"{label}/" if label else ""
    for name, problem in members:
        if name.lower().endswith(".ipynb") and not any(part.startswith((".", "__MACOSX")) for part in _parts(name)):
            yield _found(prefix + "/".join(_parts(name)), path, name, problem)


def _parts(name: str) -> list[str]:
    """The parts of a member's name, without what would lead out of a folder."""
    return [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]


def _zip_members(path: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > MOST_MEMBERS:
            raise ValueError(f"the archive has more than {MOST_MEMBERS:,} files")
        for one in archive.infolist():
            if not one.is_dir():
                link = stat.S_ISLNK(one.external_attr >> 16)
                yield one.filename, "the file is a link: it is not followed" if link else ""


def _tar_members(path: Path) -> Iterator[tuple[str, str]]:
    total = 0
    with tarfile.open(path) as archive:
        for number, one in enumerate(archive):
            total += one.size
            if number > MOST_MEMBERS or total > MOST_BYTES:
                raise ValueError(f"the archive has more than {MOST_MEMBERS:,} files, or {MOST_BYTES >> 30} GB")
            if one.isfile():
                yield one.name, ""
            elif not one.isdir():
                yield one.name, "the file is a link: it is not followed"


def _found(label: str, path: Path, member: str | None = None, problem: str = "") -> Found:
    return Found(student_of(label), label, path, member, problem)


def student_of(label: str) -> str:
    """Whose file it is, from its path: as Moodle, Canvas and nbgrader name them, else the folder, else the file.

    Example:
        >>> student_of("Ada Lovelace_123_assignsubmission_file_/04_pixelcnn.ipynb")
        'Ada Lovelace (123)'
        >>> student_of("lovelaceada_77_4711_04_pixelcnn-2.ipynb"), student_of("submitted/ada/hw1/04.ipynb")
        ('lovelaceada (77)', 'ada')
        >>> student_of("ada/04.ipynb"), student_of("ada.ipynb")
        ('ada', 'ada')
    """
    parts = label.split("/")
    for part in parts:
        known = MOODLE.match(part) or CANVAS.match(part)
        if known:
            return f"{known['name']} ({known['id']})"
    if "submitted" in parts[:-2]:
        return parts[parts.index("submitted") + 1]
    first = parts[0]
    for ending in (*ARCHIVES, ".ipynb"):
        first = first[: -len(ending)] if first.lower().endswith(ending) else first
    return first
