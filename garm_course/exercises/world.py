"""Leaves the world as it was: a check must not change what the cells after it compute or show."""

import builtins
import inspect
import io
import math
import operator
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@contextmanager
def unchanged_world() -> Iterator[None]:
    """Around a check: restores what `restored` does, and drops what the answer displays."""
    with _quiet_notebook(), restored():
        yield


# Where functions are looked up that an answer could replace for everybody.
_SHARED = (torch, torch.Tensor, torch.nn.functional, torch.nn.Module, torch.nn.Linear, np, math, builtins)


def default_device() -> torch.device:
    """Where tensors are made; `torch.get_default_device` of 2.4 raises once a default device was taken back."""
    return torch.empty(0).device


@contextmanager
def restored() -> Iterator[None]:
    """Around one call: what an answer could leave behind for all code after it is as before.

    That is: random states, gradient mode, autocast, anomaly mode, deterministic mode, default dtype and device, print
    options, threads, folder, environment, standard input, open figures, and the functions of torch, NumPy, `math` and
    Python. Inside, gradients are on, autocast is off and the default dtype is float32.
    """
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    grad, dtype, device = torch.is_grad_enabled(), torch.get_default_dtype(), default_device()
    casts = {kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")}
    modes = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    strict = _deterministic()
    threads, recursion, folder, errors = torch.get_num_threads(), sys.getrecursionlimit(), os.getcwd(), np.geterr()
    shown, numpy_shown, environment = dict(vars(torch._tensor_str.PRINT_OPTS)), np.get_printoptions(), dict(os.environ)
    stdin, figures, shared = sys.stdin, _figures(), [dict(vars(one)) for one in _SHARED]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sys.stdin = io.StringIO()  # exit() closes it, input() would wait
            torch.set_grad_enabled(True)
            for kind in casts:
                torch.set_autocast_enabled(kind, False)
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        for one, before in zip(_SHARED, shared, strict=True):
            _restore_names(one, before)
        sys.stdin = stdin
        torch.set_grad_enabled(grad)
        for kind, (enabled, reduced) in casts.items():
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, reduced)
        torch.autograd.set_detect_anomaly(*modes)
        if _deterministic() != strict:  # the call imports for a second
            torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])
        torch.set_default_dtype(dtype)
        if default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        vars(torch._tensor_str.PRINT_OPTS).update(shown)
        np.set_printoptions(**numpy_shown)
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)
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


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _restore_names(one: Any, before: dict[str, Any]) -> None:
    """Undo what was assigned to a module or class; what was imported into it meanwhile stays."""
    now = vars(one)
    if len(now) == len(before) and all(map(operator.is_, now.values(), before.values())):
        return
    for name, value in before.items():
        if now.get(name) is not value:
            setattr(one, name, value)
    for name in [name for name in now if name not in before and inspect.isfunction(now[name])]:
        delattr(one, name)


@dataclass
class Stop:
    """Whether somebody pressed stop (Ctrl-C) meanwhile."""

    pressed: bool = False


@contextmanager
def pressed_stop() -> Iterator[Stop]:
    """Tells a KeyboardInterrupt that somebody sent from one that an answer raises by itself."""
    stop = Stop()
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield stop
        return

    def note(number: int, frame: Any) -> None:
        stop.pressed = True
        usual(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, usual)


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
