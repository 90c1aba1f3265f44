"""A Ctrl-C that waits until a step is complete."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace


@contextmanager
def deferred_interrupt(*, enabled: bool = True) -> Iterator[SimpleNamespace]:
    """Inside the block the first interrupt only sets `came`; a second one raises KeyboardInterrupt at once.

    Outside of the main thread, where Python handles no signals, or with `enabled=False`, interrupts are left alone;
    also where they are ignored, as a shell has it for what it runs in the background.

    Example:
        >>> with deferred_interrupt() as interrupt:
        ...     signal.raise_signal(signal.SIGINT)
        ...     print(interrupt.came)
        True
    """
    interrupt = SimpleNamespace(came=False)
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not enabled or ignored or threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def note(number: int, frame: object) -> None:
        if interrupt.came:
            raise KeyboardInterrupt
        interrupt.came = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
