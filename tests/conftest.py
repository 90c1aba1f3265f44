"""Environment of all tests, set before any of them imports torch.

With shared cores, OpenMP threads that spin while they wait make small models 10 to 20 times slower; `make test` sets
the same values for its workers. No test asks the network: those of downloads allow it for a server on this machine.
The user's own data and cache are left alone, but for the tests marked `external`, which read GARM_DATA.
"""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["GARM_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _own_data(request, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("GARM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    if request.node.get_closest_marker("external") is None:
        monkeypatch.delenv("GARM_DATA", raising=False)
