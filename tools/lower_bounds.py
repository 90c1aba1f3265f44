"""The fast tests at the oldest versions that `pyproject.toml` allows.

    .venv/bin/python tools/lower_bounds.py FOLDER [PYTEST ARGUMENTS]

Makes an environment in FOLDER, with the Python that runs this: exactly the lower bound of each package that the course
and JupyterLab need, wheels only, and what tests need beside them as new as pip finds it. Then runs the tests that
`make check` runs, or those that the arguments choose. A folder that holds these versions already is used again.
`TORCH_INDEX` names the package index that torch alone comes from, as for `make lab`.
"""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_FOR_TESTS = ("playwright", "pre-commit")  # the browser's, and the author's: they hold others at newer versions
FAST = ("-q", "-m", "not slow and not browser")
OTHER_VERSIONS = "tests/test_project.py::test_the_tested_versions_are_the_ones_in_constraints"  # what cannot hold here


def bounds(project: dict) -> list[str]:
    """The packages that are needed to run the course, each held to its lower bound: `["torch==2.4", ...]`."""
    needed = [*project["dependencies"], *project["optional-dependencies"]["lab"]]
    return [line.replace(">=", "==") for line in needed]


def tests_need(project: dict) -> list[str]:
    """The further packages that the tests import."""
    extra = project["optional-dependencies"]["dev"]
    return [line for line in extra if not line.startswith(("garm-course", *NOT_FOR_TESTS))]


def make(folder: Path, project: dict) -> Path:
    """Make the environment unless it is there; returns its Python.

    Raises:
        subprocess.CalledProcessError: pip failed: if a bound has no wheel for this Python, it is too low.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    held, text = folder / "lower-bounds.txt", "\n".join(bounds(project)) + "\n"
    if held.exists() and held.read_text() == text:
        return python
    if folder.exists() and not (folder / "pyvenv.cfg").exists():
        raise SystemExit(f"{folder} exists and is not an environment; choose another folder")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    (folder / "asked-for.txt").write_text(text)
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "-q", "--only-binary", ":all:"]
    pip += ["-c", folder / "asked-for.txt"]
    if index := os.environ.get("TORCH_INDEX", "").strip():
        subprocess.run([*pip, "--index-url", index, "--no-deps", "torch"], check=True)
    subprocess.run([*pip, "-e", f"{ROOT}[lab]", *tests_need(project)], check=True)
    (folder / "asked-for.txt").rename(held)
    return python


def main(arguments: list[str]) -> int:
    """Make the environment and run the tests in it; returns the exit status of pytest."""
    if not arguments or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    python = make(Path(arguments[0]).absolute(), project)
    command = [python, "-m", "pytest", *(arguments[1:] or FAST), "--deselect", OTHER_VERSIONS]
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
