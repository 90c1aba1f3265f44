"""Where the course lives: its address and release tag, and the parts of a lesson that are generated from them."""

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

from garm_course.paths import checkout


class EditionError(ValueError):
    """A lesson, or a pair of its files, that cannot be released as it is."""


@dataclass(frozen=True)
class Address:
    """Owner, name and branch of the repository, from `[tool.garm]`, and the tag `vX.Y.Z` of this version."""

    owner: str
    name: str
    branch: str
    tag: str

    @property
    def url(self) -> str:
        """The repository's page, which is also what `git clone` takes."""
        return f"https://github.com/{self.owner}/{self.name}"


def project_root(start: Path | None = None) -> Path:
    """The checkout that holds `start` (default: the current folder), else the one this package runs from.

    Raises:
        EditionError: where there is none, as with an installed wheel; it says to work in a clone.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file() and "[tool.garm]" in file.read_text(encoding="utf-8"):
            return folder
    if checkout():
        return checkout()
    raise EditionError(
        f"{start} is not inside a checkout of the course (no pyproject.toml with [tool.garm]); "
        "run this in a clone of the repository"
    )


@lru_cache
def _read(file: Path, _modified: int) -> Address:
    project = tomllib.loads(file.read_text(encoding="utf-8"))
    garm = project["tool"]["garm"]
    return Address(garm["owner"], garm["name"], garm["branch"], "v" + project["project"]["version"])


def address(root: Path | None = None) -> Address:
    """The repository's address, read from `pyproject.toml`, the one place where it stands."""
    file = (root or project_root()) / "pyproject.toml"
    return _read(file, file.stat().st_mtime_ns)


def tag(root: Path | None = None) -> str:
    """The release tag that the notebooks of this checkout belong to, `vX.Y.Z`."""
    return address(root).tag


def badges(lesson: str, root: Path | None = None) -> str:
    """One line of markdown: the Colab and the Binder badge of a lesson's student edition, at its tag.

    Args:
        lesson: name of the lesson, for example `"04_pixelcnn"`.
        root: the checkout; default the current one.
    """
    where = address(root)
    path = f"notebooks/{lesson}.ipynb"
    colab = f"https://colab.research.google.com/github/{where.owner}/{where.name}/blob/{where.tag}/{path}"
    binder = f"https://mybinder.org/v2/gh/{where.owner}/{where.name}/{where.tag}?labpath={quote(path, safe='')}"
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
        f"[![Launch on Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    )


def setup_cell(root: Path | None = None) -> str:
    """Source of the setup cell, the same in every lesson.

    It installs the release that the notebook belongs to, only where `garm_course` cannot be found (Colab), and without
    `--upgrade`: the dependencies are lower bounds, so pip keeps the torch and numpy that are there. The environment
    variable `GARM_SOURCE` names another source, for example a wheel.
    """
    where = address(root)
    return f"""\
from importlib.util import find_spec

if find_spec("garm_course") is None:  # on Colab: install the release that this notebook belongs to
    import os
    import subprocess
    import sys

    source = os.environ.get("GARM_SOURCE", "git+{where.url}@{where.tag}")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)

import garm_course

garm_course.seed(0)
print(garm_course.lesson.device_line())"""


_CELL = re.compile(r"^# %%")
_SETUP = re.compile(r"^# %%.*\btags\s*=\s*\[[^\]]*\"setup\"")


def normalize(text: str, lesson: str, root: Path | None = None) -> str:
    """The lesson's source with its generated parts renewed: the badges under the title and the setup cell.

    A missing line of badges is inserted; the setup cell must exist, its content is replaced.

    Args:
        text: the lesson in percent format.
        lesson: its name, for example `"04_pixelcnn"`.
        root: the checkout; default the current one.

    Raises:
        EditionError: no title (`# # Title` in a first markdown cell), or not exactly one cell with `tags=["setup"]`.
    """
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if _CELL.match(line)] + [len(lines)]

    setups = [(a, b) for a, b in pairwise(starts) if _SETUP.match(lines[a])]
    if len(setups) != 1:
        raise EditionError(
            f'{lesson}: expected one setup cell, found {len(setups)}; add one cell `# %% tags=["setup"]`, '
            "it may be empty: its content is generated"
        )
    in_title = range(starts[0], starts[1]) if "[markdown]" in lines[starts[0]] else range(0)
    first = next((i for i in in_title if lines[i].startswith("# # ")), None)
    if first is None:
        raise EditionError(f"{lesson}: the first cell must be markdown and hold the title, `# # Title`")

    (a, b) = setups[0]
    lines[a + 1 : b] = [*setup_cell(root).splitlines(), *([""] if b < starts[-1] else [])]
    title = lines[starts[0] : starts[1]]
    title = [line for line in title if not line.startswith("# [![")]
    at = first - starts[0] + 1
    while at < len(title) and title[at] in ("#", ""):  # the blank lines after the title, written anew below
        del title[at]
    rest = title[at:]
    title[at:] = ["#", "# " + badges(lesson, root), *(["#", *rest] if rest else [])]
    if starts[1] < starts[-1] and title[-1] != "":
        title.append("")
    lines[starts[0] : starts[1]] = title
    return "\n".join(lines).rstrip("\n") + "\n"
