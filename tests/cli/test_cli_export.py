"""`garm export`: files, sizes and what can be put right."""

import pytest

from garm_course.cli import main


@pytest.fixture
def garm(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


@pytest.mark.slow
def test_a_shipped_model_becomes_files(garm, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, of the extra `deploy`")
    code, out, err = garm("export", "gan-digits", "--out", tmp_path / "files", "--int8")
    assert (code, err) == (0, "")
    assert "gan-digits: equal to" in out
    assert out.count("generate.onnx") == 2
    files = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.*"))]
    wanted = ["files/generate.onnx", "files/model.json", "files/int8/generate.onnx", "files/int8/model.json"]
    assert sorted(files) == sorted(wanted)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("made-digits",), "a made cannot be exported"),
        (("made",), "known"),
        (("gan-digits", "--opset", 9), "opset of at least 18, got 9"),
    ],
)
def test_what_can_be_put_right_is_told_in_one_line(garm, arguments, words):
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, of the extra `deploy`")
    code, out, err = garm("export", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
