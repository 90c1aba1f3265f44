"""Where things are: the checkout that this package runs from, the recorded results, and the cache of downloads."""

import os
import sys
from pathlib import Path


def checkout() -> Path | None:
    """Root of the clone of the course that `garm_course` is imported from, or None for an installed wheel.

    Returns:
        The folder that holds `pyproject.toml`, `notebooks/` and `solutions/`, as an absolute path.
    """
    root = Path(__file__).resolve().parents[1]
    file = root / "pyproject.toml"
    return root if file.is_file() and "[tool.garm]" in file.read_text(encoding="utf-8") else None


def results_folder() -> Path:
    """Folder of the recorded runs: `results/` of the checkout, else the copy inside the installed package."""
    root = checkout()
    return root / "results" if root else Path(__file__).resolve().parent / "results"


def cache_folder() -> Path:
    """Folder for what can be made or downloaded again. It need not exist yet.

    Returns:
        The folder that the environment variable `GARM_CACHE` names; without it `~/.cache/garm` (below
        `XDG_CACHE_HOME` where that is set), and `%LOCALAPPDATA%\\garm` on Windows.

    >>> import os
    >>> os.environ["GARM_CACHE"] = "~/elsewhere"
    >>> cache_folder() == Path.home() / "elsewhere"
    True
    >>> del os.environ["GARM_CACHE"]
    """
    chosen = os.environ.get("GARM_CACHE")
    if chosen:
        return Path(os.path.expanduser(chosen))
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "garm"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "garm"


def state_folder() -> Path:
    """Folder for what is the student's own and cannot be made again, as which exercises have passed.

    Returns:
        The folder that the environment variable `GARM_STATE` names; without it `~/.local/state/garm` (below
        `XDG_STATE_HOME` where that is set), and `%LOCALAPPDATA%\\garm` on Windows. It need not exist yet.
    """
    chosen = os.environ.get("GARM_STATE")
    if chosen:
        return Path(os.path.expanduser(chosen))
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "garm"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state").expanduser() / "garm"
