"""What a child does to itself before it runs a stranger's code; it runs inside of the sandbox, after the imports.

Nothing of it can be taken back by the code that follows: audit hooks cannot be removed, limits not raised, filters of
system calls not lifted.
"""

import contextlib
import ctypes
import os
import platform
import struct
import sys
import sysconfig

from garm_course.grading import landlock

REFUSED = {  # audit events of Python, and what they are told
    "os.fork": "new processes", "os.forkpty": "new processes", "os.exec": "programs", "os.posix_spawn": "programs",
    "os.spawn": "programs", "os.system": "programs", "subprocess.Popen": "programs", "pty.spawn": "programs",
    "os.kill": "signals", "os.killpg": "signals", "signal.pthread_kill": "signals", "socket.__new__": "sockets",
    "os.listdir": None, "os.scandir": None, "open": None, "os.remove": None, "os.rename": None, "os.mkdir": None,
    "os.link": None, "os.symlink": None, "shutil.copyfile": None, "os.truncate": None, "os.chmod": None,
}  # fmt: skip
TRAINED = "what you train on is what you are given"
X86_64 = {
    "ptrace": 101, "kill": 62, "tkill": 200, "tgkill": 234, "fork": 57, "vfork": 58, "execve": 59, "execveat": 322,
    "socket": 41, "connect": 42, "mount": 165, "unshare": 272, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "bpf": 321, "io_uring_setup": 425, "pidfd_open": 434, "userfaultfd": 323, "keyctl": 250,
    "perf_event_open": 298,
}  # fmt: skip


def close_in(
    *, folder: str, memory: int, path: list[str], hidden: list[str], modules: list[str], why: str = TRAINED
) -> None:
    """Close the process in.

    Args:
        folder: the only one that it may write to.
        memory: bytes of address space beside what is taken now.
        path: where modules are looked for.
        hidden: files and folders that it must not read although they lie in one of them.
        modules: names that it must not import, with what is below them.
        why: what is said of all that is refused.
    """
    limit_resources(memory)
    sys.meta_path.insert(0, closed := Closed(modules, why))
    for name in [name for name in sys.modules if closed.refuses(name)]:
        above, _, last = name.rpartition(".")
        if above in sys.modules:
            vars(sys.modules[above]).pop(last, None)
        del sys.modules[name]
    prefixes = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *path, folder, "/usr", "/etc", "/lib"}
    readable = tuple(sorted({os.path.realpath(p) for p in prefixes if p and os.path.isdir(p)}))
    places = [os.path.realpath(p) for p in hidden]
    landlock.close_files(folder=os.path.realpath(folder), readable=readable, hidden=places)
    refuse_by_audit(folder=os.path.realpath(folder), readable=readable, hidden=places, why=why)
    if sys.platform == "linux" and platform.machine() == "x86_64":
        filter_system_calls()


class Closed:
    """A finder of modules that refuses some."""

    def __init__(self, modules: list[str], why: str = ""):
        self.modules, self.why = tuple(modules), why

    def refuses(self, name: str) -> bool:
        """Whether a module is closed."""
        return any(name == one or name.startswith(one + ".") for one in self.modules)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """None for a module that others may find."""
        if self.refuses(name):
            raise ImportError(f"{name} is closed: {self.why}")


def limit_resources(memory: int) -> None:
    """Limits of the operating system; what a system does not know is left out."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(OSError, IndexError, ValueError):
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory,) * 2)
    for name, value in (("CORE", 0), ("FSIZE", 64 << 20), ("NOFILE", 256)):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def refuse_by_audit(*, folder: str, readable: tuple[str, ...], hidden: list[str], why: str) -> None:
    """Refuse events of Python by an audit hook, each with a sentence."""
    # bound here: what a stranger replaces in these modules later changes nothing
    realpath, fsdecode, write = os.path.realpath, os.fsdecode, os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    looking = False

    def inside(place: str, roots: tuple[str, ...] | list[str]) -> bool:
        return any(place == root or place.startswith(root + "/") for root in roots)

    def hook(event: str, arguments: tuple) -> None:
        nonlocal looking
        if event not in REFUSED or looking:
            return
        what = REFUSED[event]
        if what is not None:
            raise PermissionError(f"{event} is closed: a player has no {what}")
        looking = True
        try:
            places = [
                p for p in arguments[: 2 if event in TWO_PLACES else 1] if isinstance(p, str | bytes | os.PathLike)
            ]
            for place in map(realpath, map(fsdecode, places)):
                reads = event in ("os.listdir", "os.scandir") or (event == "open" and not opens_to_write(arguments))
                if place == "/dev/null" or inside(place, (folder,)):
                    continue
                if inside(place, hidden) or not (reads and inside(place, readable)):
                    verb = "read" if reads else "written"
                    raise PermissionError(f"{place} must not be {verb}: {why}")
        finally:
            looking = False

    def opens_to_write(arguments: tuple) -> bool:
        mode, flags = arguments[1], arguments[2]
        if isinstance(mode, str):
            return bool(set(mode) & set("wax+"))
        return bool(isinstance(flags, int) and flags & write)

    sys.addaudithook(hook)


TWO_PLACES = ("os.rename", "os.link", "os.symlink", "shutil.copyfile")


def filter_system_calls() -> None:
    """No new processes, programs, sockets, signals or debugging for the rest of the process (Linux, x86-64): seccomp.

    Threads are allowed. A refused call fails with EPERM; clone3 is answered as on an old kernel, so that the C library
    falls back to clone, whose flags can be read.
    """
    load, equal, set_, at_least, ret = 0x20, 0x15, 0x45, 0x35, 0x06
    allow, refuse, absent, kill, thread = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000, 0x00010000
    code = [(load, 0, 0, 4), (equal, 1, 0, 0xC000003E), (ret, 0, 0, kill), (load, 0, 0, 0)]
    code += [(at_least, 0, 1, 0x40000000), (ret, 0, 0, kill)]  # the calls of another ABI
    for number in X86_64.values():
        code += [(equal, 0, 1, number), (ret, 0, 0, refuse)]
    code += [(equal, 0, 1, 435), (ret, 0, 0, absent)]  # clone3
    code += [
        (equal, 0, 4, 56),
        (load, 0, 0, 16),
        (set_, 1, 0, thread),
        (ret, 0, 0, refuse),
        (ret, 0, 0, allow),
    ]  # clone
    code += [(ret, 0, 0, allow)]
    raw = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(code), ctypes.cast(raw, ctypes.c_void_p))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the filter of system calls was not taken")
