"""Environment of all tests, set before any of them imports torch.

With shared cores, OpenMP threads that spin while they wait make small models 10 to 20 times slower; `make test` sets
the same values for its workers. No test asks the network: those of downloads allow it for a server on this machine.
The user's own data and cache are left alone, but for the tests marked `external`, which read GARM_DATA.
"""

import os
import signal
from collections import Counter

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["GARM_OFFLINE"], os.environ["GARM_RECORD"] = "1", "0"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # under nohup: tests press Ctrl-C, and their programs inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    """With several workers, files that are slow as a whole come first: no worker waits for a long one at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: all(mark.name != "slow" for mark in item.getparent(pytest.Module).own_markers))


def pytest_terminal_summary(terminalreporter):
    """One line at the end: what was not tested here, and why."""
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    words = "; ".join(f"{n} ({reason})" for reason, n in reasons.most_common()) or "nothing"
    terminalreporter.write_line(f"skipped: {words}")


@pytest.fixture(autouse=True)
def _own_data(request, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("GARM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    if request.node.get_closest_marker("external") is None:
        monkeypatch.delenv("GARM_DATA", raising=False)


@pytest.fixture
def garm(capsys, monkeypatch):
    """Runs the program in this process: (exit code, standard output, standard error)."""
    from garm_course import cli

    monkeypatch.delenv("GARM_TRACEBACK", raising=False)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main([str(a) for a in arguments])
        return stop.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def fails(garm):
    """Expects exit code 2, nothing but one line on standard error; returns that line."""

    def run(*arguments):
        code, out, err = garm(*arguments)
        assert code == 2, (code, out, err)
        assert err.startswith("garm: error: "), err
        assert err.count("\n") == 1, err
        return err.removeprefix("garm: error: ").rstrip("\n")

    return run


@pytest.fixture
def shown(monkeypatch):
    """What a widget shows: its sliders, and every picture and caption with its display_id."""
    from garm_course.show import sliders

    record = {"first": [], "later": [], "sliders": []}
    real = sliders.widgets_of
    monkeypatch.setattr(sliders, "show_figure", lambda fig, alt, display_id: record["first"].append((display_id, alt)))
    monkeypatch.setattr(
        "IPython.display.update_display", lambda data, **k: record["later"].append((k["display_id"], data))
    )

    def widgets_of(dials):
        made = real(dials)
        record["sliders"] += made
        return made

    monkeypatch.setattr(sliders, "widgets_of", widgets_of)
    return record
