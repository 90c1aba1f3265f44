"""`garm doctor`: is everything here that the lessons need? One line per check, with the remedy where one fails.

It starts with Python alone: no package is imported before the check that says whether it is there and new enough.
"""

import contextlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from garm_course import paths

if TYPE_CHECKING:
    import typer

INSTALL = "in the checkout run: python -m pip install -c constraints.txt -e '.[lab]'"
NEW_KERNEL = f"{INSTALL}; if it persists: python -m ipykernel install --sys-prefix"
ON_PROCESSOR = "set ACCELERATE_USE_CPU=1 to train on the processor"
OTHER_CACHE = "let the environment variable GARM_CACHE name a folder that you can write"
FREE = 1e9  # bytes: room for notebooks, runs and the small downloads


class Check(NamedTuple):
    """Outcome of one check: what was looked at, whether it is well, what was found, and what to do if it is not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def register(app: "typer.Typer") -> None:
    """Add the command to the application, which lists and explains it; `main` starts it without the application."""
    import typer

    @app.command("doctor")
    def doctor(
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
    ) -> None:
        """Check that everything the lessons need is here; exit code 1 if something is not."""
        raise typer.Exit(report(as_json=as_json))


def python() -> Check:
    """The interpreter is new enough."""
    found = f"{sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]}, {sys.executable}"
    return Check("Python", sys.version_info[:2] >= (3, 11), found, "install Python 3.11 or newer, then run: make lab")


def _version(text: str) -> tuple[int, ...]:
    """The numbers in front of a version: `"2.13.0+cpu"` gives `(2, 13)`; zeros at the end do not count."""
    numbers = [int(part) for part in re.match(r"[\d.]*", text)[0].split(".") if part]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _required(extra: str | None) -> list[tuple[str, str]]:
    """Name and lower bound of each requirement of the package, or of one of its extras."""
    found = []
    for line in metadata.requires("garm-course") or []:
        requirement, _, marker = line.partition(";")
        name, bound = re.match(r"\s*([\w.-]+)[^>]*(?:>=\s*([\w.]+))?", requirement).groups()
        belongs = re.search(r"extra\s*==\s*['\"](\w+)['\"]", marker)
        if (belongs[1] if belongs else None) == extra and name != "garm-course":
            found.append((name, bound or "0"))
    return found


def _import_all(extra: str | None) -> tuple[list[str], list[str]]:
    """What is there, as `name version`, and what is wrong, as a sentence each."""
    good, bad = [], []
    for name, bound in _required(extra):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            bad.append(f"{name} is not here")
            continue
        if _version(version) < _version(bound):  # which may be why it, or another package, does not import
            bad.append(f"{name} {version} is older than {bound}")
            continue
        try:
            importlib.import_module({"scikit-learn": "sklearn"}.get(name, name))
        except Exception as error:  # a broken package may raise anything
            bad.append(f"{name} does not import ({type(error).__name__}: {error})")
            continue
        good.append(f"{name} {version}")
    return good, bad


def packages() -> Check:
    """Every package that the library needs imports, at the lower bound of `pyproject.toml` or newer."""
    good, bad = _import_all(None)
    return Check("packages", bool(good) and not bad, "; ".join(bad) or ", ".join(good), INSTALL)


def jupyter() -> Check:
    """Every package that the lessons need to be shown imports, at the lower bound or newer."""
    good, bad = _import_all("lab")
    return Check("Jupyter", bool(good) and not bad, "; ".join(bad) or ", ".join(good), INSTALL)


def kernel() -> Check:
    """The kernel `python3` starts, runs this interpreter, and imports the course."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(startup_timeout=60, kernel_name="python3", stderr=subprocess.DEVNULL)
    try:
        reply = client.execute_interactive(
            "import importlib.util as u, sys; assert u.find_spec('garm_course'), 'no garm_course in ' + sys.executable",
            user_expressions={"where": "sys.executable"},
            output_hook=lambda message: None,
            timeout=60,
        )["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if reply["status"] != "ok":
        return Check("kernel", False, reply.get("evalue", "the kernel answered with an error"), NEW_KERNEL)
    where = reply["user_expressions"]["where"]["data"]["text/plain"].strip("'\"").replace("\\\\", "\\")
    return Check("kernel", Path(where) == Path(sys.executable), f"python3 runs {where}", NEW_KERNEL)


def widgets() -> Check:
    """Sliders can be shown: `ipywidgets`, and the extension that draws them in JupyterLab."""
    from jupyter_core.paths import jupyter_path

    version = metadata.version("ipywidgets")
    places = [Path(p) / "labextensions" / "@jupyter-widgets" / "jupyterlab-manager" for p in jupyter_path()]
    place = next((p for p in places if (p / "package.json").is_file()), None)
    detail = f"ipywidgets {version}, " + (str(place) if place else "but no extension of JupyterLab")
    return Check(
        "widgets", place is not None, detail, "run: python -m pip install --force-reinstall jupyterlab_widgets"
    )


def device() -> Check:
    """The device that training uses computes."""
    import torch
    from accelerate import PartialState

    chosen = PartialState().device
    value = (torch.ones(64, 64, device=chosen) @ torch.ones(64, 64, device=chosen)).sum().item()
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else ""
    detail = f"{chosen}" + (f" ({name})" if name else "")
    if chosen.type == "cpu" and shutil.which("nvidia-smi"):
        detail += "; an NVIDIA driver is here, but this build of torch does not use it"
    return Check("device", value == 64.0**3, detail, ON_PROCESSOR)


def threads() -> Check:
    """Torch does not use more threads than there are processors, which makes it many times slower."""
    import torch

    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    used = torch.get_num_threads()
    return Check("threads", used <= there, f"{used} of {there}", f"set OMP_NUM_THREADS={there}")


def disk() -> Check:
    """There is room for notebooks and runs."""
    folder = paths.checkout() or Path.cwd()
    free = shutil.disk_usage(folder).free
    return Check("disk", free >= FREE, f"{free / 1e9:.1f} GB free in {folder}", f"free {FREE / 1e9:.0f} GB there")


def cache() -> Check:
    """The folder for downloads can be written."""
    folder = paths.cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"garm")
    except OSError as error:
        return Check("cache", False, f"{folder}: {error.strerror}", OTHER_CACHE)
    return Check("cache", True, f"{folder} can be written", OTHER_CACHE)


def data() -> Check:
    """The embedded data load, and GARM_DATA, if it is set, names a folder."""
    from garm_course import datasets

    own = os.environ.get("GARM_DATA")
    if own and not Path(os.path.expanduser(own)).is_dir():
        return Check("data", False, f"GARM_DATA names {own!r}, which is not a folder", "correct it or unset GARM_DATA")
    digits = datasets.load("digits", "train")
    ok = len(digits) == 1257 and tuple(digits.shape) == (1, 8, 8)
    yours = f"; your own files in {own}" if own else ""
    return Check("data", ok, f"digits: {len(digits)} training images, {tuple(digits.shape)}{yours}", INSTALL)


CHECKS: tuple[Callable[[], Check], ...] = (
    python,
    packages,
    jupyter,
    kernel,
    widgets,
    device,
    threads,
    disk,
    cache,
    data,
)
REMEDIES = {kernel: NEW_KERNEL, device: ON_PROCESSOR, cache: OTHER_CACHE}  # where a check raises; else INSTALL


def examine(checks: tuple[Callable[[], Check], ...] | None = None) -> list[Check]:
    """Run the checks; one that raises has failed, and the others still run."""
    found = []
    for check in checks or CHECKS:
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # old versions of ipykernel warn about their debugger
                found.append(check())
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
            found.append(Check(check.__name__, False, detail, REMEDIES.get(check, INSTALL)))
    return found


def report(*, as_json: bool = False) -> int:
    """Print what the checks found.

    Args:
        as_json: one JSON object instead of lines.

    Returns:
        The exit code: 0 if all is well, else 1.
    """
    found = examine()
    ok = all(check.ok for check in found)
    if as_json:
        print(json.dumps({"ok": ok, "checks": [check._asdict() for check in found]}, indent=1))
        return 0 if ok else 1
    for check in found:
        line = f"{'OK  ' if check.ok else 'FAIL'} {check.name:<9} {' '.join(check.detail.split())}"
        print(line if check.ok else f"{line}\n     -> {check.remedy}")
    print("all is well" if ok else "something is missing: see the lines marked FAIL")
    return 0 if ok else 1
