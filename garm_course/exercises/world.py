"""Leaves the world as it was: a check must not change what the cells after it compute or show."""

import io
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import numpy as np
import torch


@contextmanager
def unchanged_world() -> Iterator[None]:
    """Around a check: restores what `restored` does, and drops what the answer displays."""
    with _quiet_notebook(), restored():
        yield


@contextmanager
def restored() -> Iterator[None]:
    """Around one call: restores random states, gradient mode, default dtype and device, threads, folder; drops figures.

    Inside, gradients are on and the default dtype is float32.
    """
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    grad, dtype, device = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device()
    threads, recursion, folder, errors = torch.get_num_threads(), sys.getrecursionlimit(), os.getcwd(), np.geterr()
    stdin, figures = sys.stdin, _figures()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sys.stdin = io.StringIO()  # exit() closes it, input() would wait
            torch.set_grad_enabled(True)
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        sys.stdin = stdin
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        sys.setrecursionlimit(recursion)
        os.chdir(folder)
        np.seterr(**errors)
        for number in _figures() - figures:
            sys.modules["matplotlib.pyplot"].close(number)
        torch.set_rng_state(torch_state)
        if cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def seed_all() -> None:
    """The same global random state before every call, of the answer and of the reference."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed would also remember a traceback for a GPU's first use
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)


class Recorder(io.StringIO):
    """Takes the place of standard output; keeps the first 2,000 characters and 10 lines."""

    def write(self, text: str) -> int:
        if self.tell() < 2000:
            super().write(text[: 2000 - self.tell()])
        return len(text)

    def getvalue(self) -> str:
        lines = super().getvalue().splitlines()
        return "\n".join(lines[:10] + ["..."] * (len(lines) > 10 or self.tell() >= 2000))


@contextmanager
def recorded_output() -> Iterator[Recorder]:
    """Catch what is printed inside the block, on both streams, and keep it in a Recorder."""
    recorder = Recorder()
    with redirect_stdout(recorder), redirect_stderr(recorder):
        yield recorder


def shell():
    """The running IPython shell, or None; IPython is not imported for it."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()


@contextmanager
def _quiet_notebook() -> Iterator[None]:
    """In a notebook: nothing that the answer displays appears, and exit() does not end the kernel."""
    ip = shell()
    if ip is None:
        yield
        return
    from IPython.utils.capture import capture_output

    def ask_exit() -> None:
        raise SystemExit

    ip.ask_exit = ask_exit
    try:
        with capture_output(stdout=False, stderr=False, display=True):
            yield
    finally:
        del ip.ask_exit


def _figures() -> set[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set(pyplot.get_fignums()) if pyplot is not None and hasattr(pyplot, "get_fignums") else set()
