"""A child process for code that nobody has read: few rights, few resources, and an account of its processor time.

What is closed, and by what:

- In the child, `walls.py`: an audit hook, which names what it refuses (programs, processes, sockets, files outside of
  Python, the course and a folder of its own) on every system; limits of memory and of files; on Linux for x86-64 a
  filter of system calls as well (no new processes, programs or sockets), which holds against native code, too.
  Where the kernel has Landlock, files are closed to native code as well.
- From outside: where `unshare` works, no network and no sight of other processes; a bare environment; an empty folder;
  the processor time of the child and of all that descend from it, read from /proc; an end for a child that waits.

Not closed where there is no Landlock: native code that reads a file which the user may read (an audit hook sees
Python's own doors only). On
systems other than Linux nothing but the audit hook and the limits stands between a player and this computer, and time
is counted by the clock. Run what you distrust in a virtual machine.
"""

import functools
import json
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from garm_course.grading import landlock

MOST = 64 << 20  # bytes of an answer
WAIT = 60.0  # seconds by the clock in which a child that is asked must have used some processor time
START = 30.0  # seconds of a processor for starting Python and importing torch


class Foul(Exception):
    """What the child did wrong, in one line."""


class Ended(Foul):
    """The child is gone."""


class TooLong(Ended):
    """The child used more time than it was given, or waited, and was ended."""


@functools.cache
def namespaces() -> list[str]:
    """The command that gives a child its own network and processes, [] where there is none that works."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    command = [unshare, "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        works = subprocess.run([*command, "true"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        works = False
    return command if works else []


def filtered() -> bool:
    """Whether this machine has the filter of system calls, which holds against native code, too."""
    return sys.platform == "linux" and os.uname().machine == "x86_64"


def walls() -> str:
    """What closes a child in on this machine, in words."""
    found = ["audit hook, limits"]
    if filtered():
        found.append("filter of system calls")
    if landlock.version():
        found.append("files closed by Landlock")
    if namespaces():
        found.append("no network, processes of its own")
    if not os.path.isdir("/proc/self"):
        found.append("time by the clock")
    return "; ".join(found)


def tree_seconds(pid: int) -> float | None:
    """Seconds of a processor that a process and its descendants have used, ended and awaited ones included.

    None where there is no /proc.
    """
    try:
        entries = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    except OSError:
        return None
    used, children = {}, {}
    for entry in entries:
        try:
            fields = Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:  # it ended meanwhile
            continue
        used[int(entry)] = sum(map(int, fields[11:15]))
        children.setdefault(int(fields[1]), []).append(int(entry))
    total, left = 0, [pid]
    while left:
        one = left.pop()
        total += used.get(one, 0)
        left += children.get(one, [])
    return total / os.sysconf("SC_CLK_TCK")


class Sandbox:
    """A child that runs a script of this folder, and answers questions over two pipes.

    A question is a word, a small mapping and bytes; an answer is bytes. What comes back is never unpickled or parsed:
    the caller knows how many bytes it must have.

    Args:
        script: the file to run; it begins with `walls.close_in`.
        setup: the first message, a mapping that fits JSON.
        memory: bytes of address space beside what the imports take.
        wait: seconds by the clock in which a child that is asked must have used some processor time.
    """

    def __init__(self, script: Path, setup: dict, *, memory: int = 4 << 30, wait: float = WAIT):
        self.wait, self.started, self.used, self._started_at = wait, START, 0.0, time.monotonic()
        self._folder = tempfile.TemporaryDirectory(prefix="garm-")
        to_child, question = os.pipe()
        answer, from_child = os.pipe()
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": self._folder.name, "TMPDIR": self._folder.name, "LC_ALL": "C.UTF-8",
            "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONDONTWRITEBYTECODE": "1", "GARM_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        self._process = subprocess.Popen(
            [*namespaces(), sys.executable, "-I", "-u", str(script), str(to_child), str(from_child)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder.name,
            env=environment, pass_fds=(to_child, from_child), start_new_session=True,
        )  # fmt: skip
        os.close(to_child)
        os.close(from_child)
        self._question, self._answer = question, answer
        os.set_blocking(question, False)
        path = [entry for entry in sys.path if entry] + [str(Path(__file__).parents[2])]
        self.ask("begin", {"folder": self._folder.name, "memory": memory, "path": path, **setup}, seconds=START)
        self.started = self.seconds()

    def seconds(self) -> float:
        """Seconds of a processor that the child and its descendants have used so far.

        Where there is no /proc, seconds by the clock since it was started.
        """
        used = tree_seconds(self._process.pid)
        return time.monotonic() - self._started_at if used is None else used

    def ask(self, word: str, values: dict | None = None, data: bytes = b"", *, seconds: float) -> bytes:
        """Send a question and wait for its answer.

        Args:
            word: which question.
            values: a mapping that fits JSON.
            data: bytes that go with it.
            seconds: of a processor that the child may take for it.

        Raises:
            Foul: the child raised.
        Ended: it ended, or answered what is no answer, which closes it; `TooLong` if it took longer, or waited.
        """
        head = json.dumps({"word": word, **(values or {})}).encode()
        self._until = self.seconds() + seconds
        self._busy, self._busy_at = -1.0, time.monotonic()
        self._send(struct.pack("!IQ", len(head), len(data)) + head + data, seconds)
        kind, size = struct.unpack("!cQ", self._read(9, seconds))
        if size > MOST or kind not in b"AE":
            raise self._foul(Ended, "it wrote into the pipe that its answers take")
        answer = self._read(size, seconds)
        if kind == b"E":  # the child goes on
            raise Foul(answer[:400].decode("utf-8", errors="replace"))
        return answer

    @property
    def closed(self) -> bool:
        """Whether the child is gone."""
        return self._answer is None

    def close(self) -> None:
        """End the child and all that it started; what it used stays in `used`."""
        self.used = self.seconds()
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._process.kill()
        self._process.wait()
        for pipe in (self._question, self._answer):
            if pipe is not None:
                os.close(pipe)
        self._question = self._answer = None
        self._folder.cleanup()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        if self._answer is not None:
            self.close()

    def _send(self, message: bytes, seconds: float) -> None:
        rest = memoryview(message)
        while rest:
            if select.select([], [self._question], [], 0.2)[1]:
                try:
                    rest = rest[os.write(self._question, rest) :]
                except BrokenPipeError:
                    raise self._foul(Ended, self._how_it_ended()) from None
            else:
                self._look(seconds)

    def _read(self, size: int, seconds: float) -> bytes:
        found = bytearray()
        while len(found) < size:
            if select.select([self._answer], [], [], 0.2)[0]:
                piece = os.read(self._answer, min(size - len(found), 1 << 20))
                if not piece:
                    raise self._foul(Ended, self._how_it_ended())
                found += piece
            else:
                self._look(seconds)
        return bytes(found)

    def _look(self, seconds: float) -> None:
        """Refuse a child that took too long, or that waits."""
        used, now = self.seconds(), time.monotonic()
        if used > self._until:
            raise self._foul(
                TooLong, f"it used more than {seconds:.3g} seconds of a processor, all its processes together"
            )
        if used > self._busy:
            self._busy, self._busy_at = used, now
        elif now - self._busy_at > self.wait:
            raise self._foul(
                TooLong, f"it waited for {self.wait:.0f} s without computing: sleeping saves no processor time"
            )

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with code {code}: out of memory, a crash, or an exit of its own"

    def _foul(self, kind: type[Foul], text: str) -> Foul:
        self.close()
        return kind(text)
