"""Make or renew `.venv` for `make lab` and `make test`; does nothing when it is up to date.

    python3 tools/setup_env.py lab|dev

Standard library only, and written for any Python from 3.6 on, so that one that is too old is told so and not shown a
syntax error. The interpreter comes from `PYTHON`, else the best one on the path; `TORCH_INDEX` names the package index
that torch alone comes from (`https://download.pytorch.org/whl/cpu` has builds without CUDA).

`.venv/garm-setup.json` is written after everything succeeded and says what was installed: an interrupted set-up leaves
none, and is taken up where it stopped.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST = (3, 11)
CANDIDATES = ("python3.11", "python3", "python3.12", "python3.13", "python3.14", "python")  # CI runs the first
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# bytes while installing, unpacked and still packed; torch with CUDA is several times the size
ROOM = {"cpu": 2500000000, "cuda": 9000000000}
NO_NETWORK = (  # what pip's log says, on one system or another
    "NewConnectionError",
    "ConnectTimeoutError",
    "ProxyError",
    "Name or service not known",
    "nodename nor servname",
    "getaddrinfo failed",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "Connection refused",
    "Connection reset",
    "Read timed out",
)


class SetupError(Exception):
    """Something that the user can put right; the message says what."""


def say(text):
    print("garm: " + text)
    sys.stdout.flush()


def inside(venv, name):
    """Path of a program of the environment."""
    if os.name == "nt":
        return os.path.join(venv, "Scripts", name + ".exe")
    return os.path.join(venv, "bin", name)


def output_of(command):
    """What a command prints, or None if it fails or is not there."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def version_of(python):
    """(major, minor) of an interpreter, None if it does not run."""
    text = output_of([python, "-c", "import sys; print('%d %d' % sys.version_info[:2])"])
    return tuple(int(part) for part in text.split()) if text else None


def find_python():
    """An interpreter that is new enough and can make environments."""
    chosen = os.environ.get("PYTHON")
    seen, no_venv = [], None
    for name in [chosen] if chosen else CANDIDATES:
        path = shutil.which(name) or (name if os.path.isfile(name) else None)
        version = version_of(path) if path else None
        if version is None:
            continue
        if version < OLDEST:
            seen.append(f"{path} is {version[0]}.{version[1]}")
        elif output_of([path, "-c", "import venv, ensurepip"]) is None:
            no_venv = no_venv or (path, version)
        else:
            return path
    if no_venv:
        raise SetupError(
            f"{no_venv[0]} cannot make virtual environments (its module venv or ensurepip is missing). On Debian or "
            f"Ubuntu run: sudo apt install python{no_venv[1][0]}.{no_venv[1][1]}-venv"
        )
    what = "; ".join(seen) or (f"PYTHON={chosen} does not run" if chosen else "there is none on the path")
    raise SetupError(
        f"this course needs Python 3.11 or newer: {what}. Install one (https://www.python.org/downloads, or "
        "'conda env create -f environment.yml'), or name it: make lab PYTHON=/path/to/python3.11"
    )


def wanted_digest(root):
    """Changes when what has to be installed changes."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(root, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def read_stamp(venv):
    try:
        with open(os.path.join(venv, "garm-setup.json"), encoding="utf-8") as file:
            stamp = json.load(file)
        return stamp if isinstance(stamp, dict) else {}
    except (OSError, ValueError):
        return {}


def up_to_date(venv, root, extra):
    """Whether the environment holds at least `extra`, for this state of the project, at this place."""
    stamp = read_stamp(venv)
    return (
        stamp.get("digest") == wanted_digest(root)
        and stamp.get("root") == root
        and stamp.get("extra") in ("dev", extra)
        and os.path.exists(inside(venv, "garm"))
        and version_of(inside(venv, "python")) is not None
    )


def check_room(root, torch_index):
    """Refuse to begin what cannot be finished for want of space."""
    cuda = platform.system() == "Linux" and not torch_index and shutil.which("nvidia-smi")
    needed = ROOM["cuda" if cuda else "cpu"]
    free = shutil.disk_usage(root).free
    if free < needed:
        raise SetupError(
            f"{free / 1e9:.1f} GB are free in {root}, and the set-up needs {needed / 1e9:.1f} GB. "
            "Make room, or clone the course to a larger disk"
        )


def explain(log):
    """One paragraph on why pip failed, from its own log.

    Args:
        log: the text that pip wrote.
    """
    if "No space left on device" in log or "Errno 28" in log or "not enough space" in log:
        return "the disk is full (pip also unpacks in the folder for temporary files: TMPDIR names another). Make room"
    lines = log.splitlines()
    not_found = "No matching distribution found" in log
    # What was retried may have succeeded, unless a package is missing now. And where not even the first small package
    # came, it is not the package that is missing.
    severe = "\n".join(line for line in lines if not_found or "Retrying (" not in line)
    nothing_came = not any(line.strip().endswith("kB)") or ".whl" in line for line in lines)
    if any(sign in severe for sign in NO_NETWORK) or (not_found and nothing_came):
        return (
            "the package index cannot be reached: there is no network, or a proxy or firewall is in the way. Connect, "
            "or name a proxy in HTTPS_PROXY or a mirror in PIP_INDEX_URL"
        )
    if "CERTIFICATE_VERIFY_FAILED" in log or "SSLError" in log:
        return (
            "the certificate of the package index is not trusted, as behind some company networks; "
            "PIP_CERT names the certificate of the network"
        )
    if "Permission denied" in log or "Read-only file system" in log:
        return "a file could not be written; clone the course to a folder that belongs to you"
    if not_found or "ResolutionImpossible" in log or "requires a different Python" in log:
        return (
            "the package index has no build that constraints.txt asks for and this Python and system can use. "
            "Try the Python that the course is tested with: make lab PYTHON=python3.11; or set TORCH_INDEX=" + CPU_INDEX
        )
    return "pip could not install the packages; its own words above say why"


def make_venv(venv):
    """Make the environment, or make it anew if it does not run."""
    inner = inside(venv, "python")
    if (version_of(inner) or (0, 0)) >= OLDEST and output_of([inner, "-m", "pip", "--version"]):
        return
    python = find_python()
    say("making .venv with {} (Python {}.{})".format(python, *version_of(python)))
    if os.path.lexists(venv) and not os.path.exists(os.path.join(venv, "pyvenv.cfg")) and os.listdir(venv):
        raise SetupError(f"{venv} exists and is not a virtual environment; move it away")
    if subprocess.call([python, "-m", "venv", "--clear", venv]) != 0:
        raise SetupError(f"{python} could not make the virtual environment {venv}; its own words above say why")


def install(venv, root, extra, torch_index):
    """Let pip install the project and its packages at the versions of `constraints.txt`."""
    log = os.path.join(venv, "garm-pip.log")
    if os.path.exists(log):
        os.remove(log)
    pip = [inside(venv, "python"), "-m", "pip", "install", "--disable-pip-version-check", "--log", log]
    pip += ["-c", "constraints.txt"]
    commands = [[*pip, "-e", f".[{extra}]"]]
    if torch_index:  # torch first, and alone: as an extra index it could answer for any other name
        commands.insert(0, [*pip, "--index-url", torch_index, "--no-deps", "torch"])
    if any(subprocess.call(command, cwd=root) != 0 for command in commands):
        try:
            with open(log, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            text = ""
        raise SetupError(explain(text) + ". Then run the same command again: it goes on from here. Log: " + log)


def size_of(folder):
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(place, name)).st_size
    return total


def lock(root):
    """Wait until no other set-up works in this checkout; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another set-up is at work in this checkout; waiting for it")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a file system without locks
        pass
    return handle


def set_up(extra, root=ROOT):
    """Bring `.venv` up to date.

    Args:
        extra: "lab", what students need, or "dev", that and what the tests need.
        root: the checkout.
    """
    venv = os.path.join(root, ".venv")
    if up_to_date(venv, root, extra):
        return
    handle = lock(root)
    try:
        if up_to_date(venv, root, extra):  # the other set-up did it
            return
        began, torch_index = time.time(), os.environ.get("TORCH_INDEX", "").strip()
        stamp_path, old = os.path.join(venv, "garm-setup.json"), read_stamp(venv)
        if old.get("root", root) != root:
            say("this checkout was moved, so .venv is made anew")
            shutil.rmtree(venv)
        first = not os.path.exists(inside(venv, "garm"))
        if first:
            check_room(root, torch_index)
        make_venv(venv)
        if os.path.exists(stamp_path):
            os.remove(stamp_path)
        if old.get("extra") == "dev":
            extra = "dev"  # do not forget what `make test` needs because `make lab` came later
        say("installing the packages into .venv" + (" (about 1.6 GB, a minute or more)" if first else ""))
        if first and platform.system() == "Linux" and not torch_index and not shutil.which("nvidia-smi"):
            say("no NVIDIA card seen: if pip fetches gigabytes of CUDA, stop it and add TORCH_INDEX=" + CPU_INDEX)
        install(venv, root, extra, torch_index)
        with open(stamp_path + ".part", "w", encoding="utf-8") as file:
            json.dump({"digest": wanted_digest(root), "root": root, "extra": extra}, file)
        os.replace(stamp_path + ".part", stamp_path)
        say(f"set-up done in {time.time() - began:.0f} s; .venv holds {size_of(venv) / 1e9:.1f} GB")
    finally:
        if handle is not None:
            os.close(handle)


def main(arguments):
    if arguments not in (["lab"], ["dev"]):
        print("usage: python3 tools/setup_env.py lab|dev", file=sys.stderr)
        return 2
    try:
        set_up(arguments[0])
    except KeyboardInterrupt:
        print("\ngarm: set-up interrupted; run the same command again, it goes on from here", file=sys.stderr)
        return 130
    except (SetupError, OSError) as error:
        print(f"garm: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
