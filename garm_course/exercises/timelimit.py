"""Stops an answer that runs too long, in the same process.

In the main thread an alarm signal interrupts the answer, elsewhere an exception is sent to its thread. Three things
make this harder than it sounds:

- The signal may arrive in our own code, a moment before or after the answer. So the handler raises only when the
  interrupted frame lies inside the answer: below the frame of `_enter`.
- A loop around `try: ... except: pass` swallows the exception. So it is raised again and again, and from the second
  time on the answer's lines are traced, which raises inside the `except:` clause too.
- One long call into C (a huge matrix product) cannot be interrupted by anything; the limit takes effect afterwards.
"""

import _thread
import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SECONDS = 5.0  # what one check grants an answer, over all of its calls
REPEAT = 0.05  # seconds between two attempts to stop it


class TimeUp(BaseException):
    """The answer ran too long. Not an `Exception`, so that `except Exception` in the answer lets it through."""


def within(seconds: float, function: Callable, *args: Any) -> Any:
    """Returns `function(*args)`, or raises `TimeUp` after so many seconds. Signal handlers and timers are restored."""
    if seconds <= 0:
        raise TimeUp
    tracing = sys.gettrace()
    try:
        if threading.current_thread() is not threading.main_thread():
            return _in_another_thread(seconds, function, args)
        if hasattr(signal, "setitimer"):
            with _alarm(seconds):
                return _enter(function, args)
        with _simulated_signal(seconds):
            return _enter(function, args)
    finally:
        if sys.gettrace() is not tracing:
            sys.settrace(tracing)


def _enter(function: Callable, args: tuple) -> Any:
    return function(*args)  # nothing else: everything below this frame is the answer


def _inside(frame: FrameType | None) -> list[FrameType] | None:
    """The frames from `frame` up to `_enter`, or None when `frame` does not lie inside an answer."""
    frames = []
    while frame is not None and frame.f_code is not _enter.__code__:
        frames.append(frame)
        frame = frame.f_back
    return None if frame is None else frames


class _Stop:
    """Raises `TimeUp` inside the answer, ever more insistently. It is the signal handler."""

    def __init__(self) -> None:
        self.hits = 0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if _inside(frame) is not None:
            self.insist(frame)
            raise TimeUp

    def insist(self, frame: FrameType) -> None:
        """From the second time on, traces the lines of the answer, so that the next one raises again."""
        self.hits += 1
        if self.hits > 1:
            # The exception raised by a tracer ends the tracing, and nested `try` statements swallow it: wait for one
            # more line at every second time, so that some line outside of all of them is reached.
            self.skip = (self.hits - 2) // 2
            for each in _inside(frame) or ():
                each.f_trace = self._trace
            sys.settrace(self._trace)

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and _inside(frame) is not None:
            self.skip -= 1
            if self.skip < 0:
                raise TimeUp
        return self._trace


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    handler = signal.signal(signal.SIGALRM, _Stop())
    started = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if left:  # somebody else's alarm was running: let it ring when it would have rung
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 0.001), interval)


@contextmanager
def _simulated_signal(seconds: float) -> Iterator[None]:
    """Where there is no `setitimer` (Windows): a second thread simulates the arrival of a signal."""
    handler = signal.signal(signal.SIGTERM, _Stop())
    done, watcher = _watchdog(seconds, lambda: _thread.interrupt_main(signal.SIGTERM))
    try:
        yield
    finally:
        done.set()
        watcher.join()  # before the handler changes: the default one for SIGTERM would end the process
        signal.signal(signal.SIGTERM, signal.SIG_DFL if handler is None else handler)


def _in_another_thread(seconds: float, function: Callable, args: tuple) -> Any:
    """Outside of the main thread, which alone receives signals: the exception itself is sent to the thread."""
    ident = threading.get_ident()
    stop, sent = _Stop(), []

    class Sent(TimeUp):
        def __init__(self) -> None:  # runs in the thread that receives it
            super().__init__()
            stop.insist(sys._getframe(1))

    def send() -> None:
        sent.append(ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Sent)))

    def send_inside() -> None:
        if _inside(sys._current_frames().get(ident)) is not None:
            send()

    done, watcher = _watchdog(seconds, send_inside)
    try:
        return _enter(function, args)
    finally:
        while True:
            try:
                done.set()
                watcher.join()
                if not sent:
                    break
                send()  # One may be on its way. Taking it back would leave the interpreter waiting for it: receive it.
                while True:
                    pass
            except TimeUp:
                if not watcher.is_alive():
                    break


def _watchdog(seconds: float, stop: Callable[[], None]) -> tuple[threading.Event, threading.Thread]:
    """Calls `stop` after so many seconds, and again and again, until the event is set."""
    done = threading.Event()

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            stop()
            wait = REPEAT

    watcher = threading.Thread(target=watch, daemon=True, name="time limit of an answer")
    watcher.start()
    return done, watcher
