"""The time limit by itself: every way of stopping, and nothing left behind."""

import _thread
import signal
import sys
import threading
import time

import pytest
from limits import PATIENCE

from garm_course.exercises import timelimit
from garm_course.exercises.timelimit import Meter, TimeUp, within


def loop():
    while True:
        pass


def sleep():
    time.sleep(60)


def swallow():
    while True:
        try:
            sum(range(1000))
        except:  # noqa: E722
            continue


def swallow_deeply():
    while True:
        try:
            try:
                try:
                    sum(range(1000))
                    sum(range(1000))
                except BaseException:
                    continue
            except BaseException:
                continue
        except BaseException:
            continue


def swallow_in_finally():
    while True:
        try:
            sum(range(1000))
        finally:
            continue  # noqa: B012


def swallow_below():
    def inner():
        try:
            while True:
                sum(range(1000))
        except:  # noqa: E722
            return 0

    while True:
        inner()


def generate():
    def endless():
        while True:
            try:
                yield 1
            except Exception:
                yield 2

    return sum(endless())


ENDLESS = [loop, swallow, swallow_deeply, swallow_in_finally, swallow_below, generate]


@pytest.fixture
def nothing_left_behind():
    before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGTERM), sys.gettrace()
    yield
    assert (signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGTERM), sys.gettrace()) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def stopped_after(function, limit=0.1, patience=PATIENCE) -> Meter:
    taken = Meter()
    with pytest.raises(TimeUp):
        within(Meter(limit, patience), function)
    return taken


def stopped_in_time(function) -> bool:
    """Whether it was stopped after 0.1 s of processor time: how long that is by the clock is the machine's affair."""
    return 0.1 <= stopped_after(function).computed < 3


@pytest.mark.usefixtures("nothing_left_behind")
@pytest.mark.parametrize("function", ENDLESS, ids=lambda f: f.__name__)
def test_alarm_stops(function):
    assert stopped_in_time(function)


@pytest.mark.usefixtures("nothing_left_behind")
def test_computing_is_stopped_soon_after_its_limit():
    assert 0.2 <= stopped_after(loop, limit=0.2, patience=PATIENCE).computed < 2


@pytest.mark.usefixtures("nothing_left_behind")
def test_waiting_is_stopped_by_the_clock_alone():
    taken = stopped_after(sleep, limit=0.1, patience=0.4)
    assert taken.elapsed >= 0.4
    assert taken.computed < 0.1


@pytest.mark.usefixtures("nothing_left_behind")
@pytest.mark.parametrize("alarm", [True, False])
def test_other_work_on_the_machine_does_not_shorten_the_limit(alarm, monkeypatch):
    """An answer that gets a third of a processor needs three times the clock's time, and is let finish."""

    def computes():
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            time.sleep(0.01)  # as if another process had the processor
            sum(range(50_000))
        return "done"

    if not alarm:
        monkeypatch.delattr(signal, "setitimer")
    try:
        assert within(Meter(0.3, PATIENCE), computes) == "done"
    finally:
        monkeypatch.undo()


@pytest.mark.usefixtures("nothing_left_behind")
@pytest.mark.parametrize("function", [loop, swallow, swallow_deeply, swallow_in_finally, generate])
def test_simulated_signal_stops_where_there_is_no_alarm(function, monkeypatch):
    monkeypatch.delattr(signal, "setitimer")
    try:
        assert stopped_in_time(function)
    finally:
        monkeypatch.undo()


@pytest.mark.parametrize("function", [loop, swallow, swallow_deeply, generate])
def test_stops_outside_of_the_main_thread(function):
    seen = []

    def target():
        try:
            seen.append(stopped_in_time(function))
            seen.append(within(Meter(1), lambda: "alive"))
        except BaseException as error:
            seen.append(error)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert seen == [True, "alive"]


@pytest.mark.usefixtures("nothing_left_behind")
def test_value_and_exception_pass():
    assert within(Meter(1), lambda a, b: a + b, 2, 3) == 5
    with pytest.raises(ZeroDivisionError):
        within(Meter(1), lambda: 1 / 0)
    with pytest.raises(TimeUp):
        within(Meter(0), lambda: 1)


@pytest.mark.usefixtures("nothing_left_behind")
def test_keyboard_interrupt_passes():
    def press_stop():
        _thread.interrupt_main()
        loop()

    with pytest.raises(KeyboardInterrupt):
        within(Meter(2), press_stop)


def test_an_alarm_that_was_running_still_rings():
    rung = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rung.append(time.monotonic()))
    try:
        started = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        with pytest.raises(TimeUp):
            within(Meter(0.1), loop)
        while not rung and time.monotonic() < started + PATIENCE:
            time.sleep(0.01)
        assert rung[0] - started > 0.35
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def test_handler_lets_our_own_code_alone():
    # The signal arrives outside of an answer: nothing may be raised there.
    timelimit._Stop(Meter(0))(signal.SIGALRM, sys._getframe())


def test_tracer_of_a_debugger_is_restored():
    def tracer(frame, event, arg):
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(TimeUp):
            within(Meter(0.1), swallow)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
