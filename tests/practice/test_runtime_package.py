"""The runtime of the second engine: pinned, checked, and its absence told."""

import hashlib

import pytest

from garm_course.datasets.downloads import DownloadError
from garm_course.practice import served


def test_without_a_network_the_message_says_where_the_package_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("GARM_OFFLINE", "1")
    monkeypatch.setenv("GARM_CACHE", str(tmp_path))
    monkeypatch.delenv("GARM_DATA", raising=False)
    with pytest.raises(DownloadError) as told:
        served.write_served(tmp_path / "out")
    assert "onnxruntime-web-1.30.0.tgz of onnxruntime-web is not here" in str(told.value)
    assert "as onnxruntime-web/onnxruntime-web-1.30.0.tgz" in str(told.value)
    assert "load(" not in str(told.value)
    assert not (tmp_path / "out").exists()


def test_a_package_of_ones_own_is_taken_only_if_it_is_that_version(tmp_path, monkeypatch):
    monkeypatch.setenv("GARM_DATA", str(tmp_path))
    own = tmp_path / "onnxruntime-web" / "onnxruntime-web-1.30.0.tgz"
    own.parent.mkdir()
    own.write_bytes(b"another")
    with pytest.raises(ValueError, match=r"is not onnxruntime-web 1\.30\.0; get that one: npm pack"):
        served.runtime_package()
    package = served.RUNTIME.files["package"]._replace(sha256=hashlib.sha256(b"another").hexdigest())
    monkeypatch.setattr(served, "RUNTIME", served.RUNTIME._replace(files={"package": package}))
    assert served.runtime_package() == own
