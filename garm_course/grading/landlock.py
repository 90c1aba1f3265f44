"""Files that a process may open, for the rest of its life and in native code as well: Landlock (Linux 5.13 and later).

https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import struct
import sys

CREATE, ADD, RESTRICT = 444, 445, 446  # system calls, the same on every processor
EXECUTE, WRITE, READ, LIST, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
ON_FILES = EXECUTE | WRITE | READ | TRUNCATE
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def version() -> int:
    """Of Landlock in this kernel, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(ctypes.CDLL(None).syscall(CREATE, None, 0, 1), 0)


def close_files(*, folder: str, readable: tuple[str, ...], hidden: list[str]) -> bool:
    """Allow reading below some folders, and everything below one.

    Args:
        folder: that may be written to.
        readable: folders that may be read.
        hidden: real paths below them that must not; their names can still be listed.

    Returns:
        Whether it is so; False where the kernel has no Landlock.

    Raises:
        OSError: the kernel has it and refuses.
    """
    known = version()
    if not known:
        return False
    every = (1 << (13 if known < 2 else 14 if known < 3 else 15)) - 1
    libc = ctypes.CDLL(None, use_errno=True)
    rules = libc.syscall(CREATE, struct.pack("Q", every), 8, 0)
    if rules < 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no Landlock rules")
    allowed = [(root, LIST) for root in readable]  # importing a module lists its folder; so names of hidden files show
    allowed += [(path, EXECUTE | READ | LIST) for root in readable for path in _without(root, hidden)]
    allowed += [(path, READ | WRITE) for path in DEVICES if os.path.exists(path)] + [(folder, every)]
    for path, access in allowed:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        access &= every if os.path.isdir(path) else ON_FILES & every
        failed = libc.syscall(ADD, rules, 1, struct.pack("=Qi", access, handle), 0)
        os.close(handle)
        if failed:
            raise OSError(ctypes.get_errno(), "the kernel refuses a Landlock rule", path)
    if libc.prctl(38, 1, 0, 0, 0) or libc.syscall(RESTRICT, rules, 0):
        raise OSError(ctypes.get_errno(), "the kernel does not apply Landlock")
    os.close(rules)
    return True


def _without(root: str, hidden: list[str]) -> list[str]:
    """A folder as the largest parts of it that hold nothing hidden."""
    if any(root == one or root.startswith(one + "/") for one in hidden):
        return []
    if not any(one.startswith(root.rstrip("/") + "/") for one in hidden):
        return [root]
    parts = (os.path.join(root, name) for name in os.listdir(root))
    return [path for part in parts if not os.path.islink(part) for path in _without(part, hidden)]
