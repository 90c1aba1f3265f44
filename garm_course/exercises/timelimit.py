"""Stops an answer that runs too long, in the same process.

The limit counts the processor time of the answer's own thread, which a busy machine does not change. An answer that
waits instead of computing is stopped by the clock, much later.

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
import functools
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SECONDS = 5.0  # of processor time: what one check grants an answer, over all of its calls
PATIENCE = 60.0  # by the clock, for an answer that waits: 5 s of processor time even where twelve programs share it
REPEAT = 0.05  # seconds between two looks at the time, and between two attempts to stop an answer


class TimeUp(BaseException):
    """The answer ran too long. Not an `Exception`, so that `except Exception` in the answer lets it through."""


class Meter:
    """Processor time and elapsed time of the current thread, from now on; any thread may read it.

    Args:
        seconds: of processor time, after which the time is up.
        patience: seconds by the clock, after which it is up as well.
    """

    def __init__(self, seconds: float = math.inf, patience: float = math.inf) -> None:
        self.seconds, self.patience = seconds, patience
        if hasattr(time, "pthread_getcpuclockid"):
            clock = time.pthread_getcpuclockid(threading.get_ident())
            self._cpu = functools.partial(time.clock_gettime, clock)
        else:  # Windows and old macOS: all threads together
            self._cpu = time.process_time
        self._began = self._cpu(), time.monotonic()

    @property
    def computed(self) -> float:
        """Seconds of processor time."""
        return self._cpu() - self._began[0]

    @property
    def elapsed(self) -> float:
        """Seconds by the clock."""
        return time.monotonic() - self._began[1]

    @property
    def over(self) -> bool:
        """Whether one of the limits is reached."""
        return self.computed >= self.seconds or self.elapsed >= self.patience

    @property
    def first_look(self) -> float:
        """Seconds by the clock before which the time cannot be up."""
        return max(min(self.seconds, self.patience), REPEAT / 10)


def within(meter: Meter, function: Callable, *args: Any) -> Any:
    """Returns `function(*args)`, or raises `TimeUp` once the meter is over. Signal handlers and timers are restored.

    Args:
        meter: made in this thread, just before.
        function: the answer.
        args: its arguments.
    """
    if meter.over:
        raise TimeUp
    tracing = sys.gettrace()
    try:
        if threading.current_thread() is not threading.main_thread():
            return _in_another_thread(meter, function, args)
        if hasattr(signal, "setitimer"):
            with _alarm(meter):
                return _enter(function, args)
        with _simulated_signal(meter):
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

    def __init__(self, meter: Meter) -> None:
        self.meter, self.hits = meter, 0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if _inside(frame) is not None and self.meter.over:
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
def _alarm(meter: Meter) -> Iterator[None]:
    handler = signal.signal(signal.SIGALRM, _Stop(meter))
    started = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, meter.first_look, REPEAT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if left:  # somebody else's alarm was running: let it ring when it would have rung
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 0.001), interval)


@contextmanager
def _simulated_signal(meter: Meter) -> Iterator[None]:
    """Where there is no `setitimer` (Windows): a second thread simulates the arrival of a signal."""
    handler = signal.signal(signal.SIGTERM, _Stop(meter))
    done, watcher = _watchdog(meter, lambda: _thread.interrupt_main(signal.SIGTERM))
    try:
        yield
    finally:
        done.set()
        watcher.join()  # before the handler changes: the default one for SIGTERM would end the process
        signal.signal(signal.SIGTERM, signal.SIG_DFL if handler is None else handler)


def _in_another_thread(meter: Meter, function: Callable, args: tuple) -> Any:
    """Outside of the main thread, which alone receives signals: the exception itself is sent to the thread."""
    ident = threading.get_ident()
    stop, sent = _Stop(meter), []

    class Sent(TimeUp):
        def __init__(self) -> None:  # runs in the thread that receives it
            super().__init__()
            stop.insist(sys._getframe(1))

    def send() -> None:
        sent.append(ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Sent)))

    def send_inside() -> None:
        if _inside(sys._current_frames().get(ident)) is not None:
            send()

    done, watcher = _watchdog(meter, send_inside)
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


def _watchdog(meter: Meter, stop: Callable[[], None]) -> tuple[threading.Event, threading.Thread]:
    """Calls `stop` once the meter is over, and again and again, until the event is set."""
    done = threading.Event()

    def watch() -> None:
        wait = meter.first_look
        while not done.wait(wait):
            if meter.over:
                stop()
            wait = REPEAT

    watcher = threading.Thread(target=watch, daemon=True, name="time limit of an answer")
    watcher.start()
    return done, watcher
