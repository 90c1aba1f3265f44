"""`garm lab`: give the student copies of the lessons, then start JupyterLab on them.

The copies in `work/` belong to the student. What was handed out is remembered in `work/.lessons.json`, as a SHA-256 of
each file: a copy with that sum is untouched and may be replaced by a newer lesson; any other is left alone for good.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from garm_course import paths

RECORD = ".lessons.json"
START = "00_start_here.ipynb"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("lab", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lab)
    app.command("progress")(progress)


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """All or nothing: an interrupted copy leaves no half of a lesson."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _read_record(folder: Path) -> dict[str, dict[str, str]]:
    """What was handed out. A record that is lost or damaged only means that every copy counts as touched."""
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if isinstance(record, dict) and all(isinstance(entry, dict) for entry in record.values()):
            return record
    return {}


def _beside(path: Path) -> Path:
    """A free name for a new version: `04_pixelcnn.new.ipynb`, then `.new2`, `.new3`."""
    number = 1
    while (free := path.with_name(f"{path.stem}.new{number if number > 1 else ''}.ipynb")).exists():
        number += 1
    return free


def copy_lessons(source: Path, folder: Path, update: bool = False) -> list[str]:
    """Copy the lessons of `source` that `folder` lacks; never write over a file that the student changed.

    Args:
        source: folder of the student edition, `notebooks/`.
        folder: the student's folder; it is created.
        update: offer new versions too: in place of an untouched copy, else beside it as `NAME.new.ipynb`, once.

    Returns:
        One line for each thing done or to know, in the order of the lessons.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record, said = _read_record(folder), []
    for lesson in sorted(source.glob("*.ipynb")):
        content, mine = lesson.read_bytes(), folder / lesson.name
        new, entry = _sum(content), record.setdefault(lesson.name, {})
        if not mine.exists():
            _write(mine, content)
            entry["given"] = new
            said.append(f"{lesson.name}: copied")
            continue
        current = _sum(mine.read_bytes())
        if current == new:
            entry["given"] = new
        elif new in (entry.get("given"), entry.get("offered")):
            pass  # the student's own work on this version, or one that was already offered
        elif not update:
            said.append(f"{lesson.name}: there is a new version; garm lab --update fetches it and keeps yours")
        elif current == entry.get("given"):
            _write(mine, content)
            entry["given"] = new
            said.append(f"{lesson.name}: updated (you had not changed it)")
        else:
            offer = _beside(mine)
            _write(offer, content)
            entry["offered"] = new
            said.append(f"{lesson.name}: yours is kept, the new version is beside it as {offer.name}")
    _write(folder / RECORD, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    return said


def _command(folder: Path, options: list[str]) -> list[str]:
    """The command that starts JupyterLab in `folder`, without a look at the network for news and new versions."""
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={folder}",
        *([f"--LabApp.default_url=/lab/tree/{START}"] if (folder / START).exists() else []),
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *(["--ServerApp.allow_root=True"] if getattr(os, "geteuid", lambda: 1)() == 0 else []),  # as in a container
        *options,
    ]


def lab(
    ctx: typer.Context,
    update: Annotated[bool, typer.Option("--update", help="Offer new versions of lessons beside your own.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where your copies live.", show_default="work/ of the checkout")
    ] = None,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start JupyterLab, or only copy.")] = True,
) -> None:
    """Copy the lessons into work/ and open JupyterLab there. Other options go on to it: --no-browser --port 8899."""
    root = paths.checkout()
    if root is None:
        raise ValueError(
            "the lessons are not part of the installed package; 'garm lab' works in a clone of the repository: "
            "clone it and run 'make lab' there"
        )
    source = root / "notebooks"
    if not any(source.glob("*.ipynb")):
        raise ValueError(f"no lessons in {source}; bring them back with: git checkout -- notebooks")
    if start and find_spec("jupyterlab") is None:
        raise ValueError("JupyterLab is not installed; run: python -m pip install -c constraints.txt -e '.[lab]'")

    folder = (folder or root / "work").expanduser().resolve()
    for line in copy_lessons(source, folder, update):
        typer.echo(line)
    typer.echo(f"your lessons are in {folder}")
    if not start:
        return
    command = _command(folder, ctx.args)
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(command[0], command)  # signals then reach JupyterLab itself
    raise typer.Exit(subprocess.call(command))


def progress() -> None:
    """Show which exercises have passed on this machine, lesson by lesson."""
    from garm_course.exercises import progress

    typer.echo(repr(progress()))
