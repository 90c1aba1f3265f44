"""`garm demo`: a file, or a server on this machine alone."""

import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from garm_course.cli import main


def test_the_page_is_written(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["demo", "--out", str(tmp_path / "site")])
    assert end.value.code == 0
    assert "written: " in capsys.readouterr().out
    text = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "__DATA__" not in text
    assert "__MODELS__" not in text
    assert not re.search(r"""(?:src|href)=|https?://|import\(|fetch\(|@import""", text), "it would ask the network"
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as end:
        main(["demo", "--out", str(tmp_path / "file")])
    assert end.value.code == 2
    assert "is a file; name a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_it_is_served_until_interrupted():
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "garm_course.cli", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = server.stdout.readline().split()[0]
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address) as answer:
        assert b"Three generative models" in answer.read()
    server.send_signal(signal.SIGINT)
    _, err = server.communicate()
    assert (server.returncode, err) == (130, "garm: error: interrupted\n")


def test_an_unknown_engine_is_told(capsys):
    with pytest.raises(SystemExit) as end:
        main(["demo", "--engine", "onx"])
    assert end.value.code == 2
    assert "no --engine 'onx'; did you mean onnx?" in capsys.readouterr().err
