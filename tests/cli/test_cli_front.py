"""The command line as a user meets it: help, errors in one line, `garm lab` and `garm doctor`."""

import collections
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from limits import PATIENCE

import garm_course
from garm_course import cli, paths
from garm_course.cli import doctor, lab
from garm_course.cli.group import Group

ROOT = Path(__file__).resolve().parents[2]


def garm(*arguments, **environment):
    """Run the real program; returns (exit code, standard output, standard error)."""
    done = subprocess.run(
        [sys.executable, "-m", "garm_course.cli", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"GARM_TRACEBACK": "0"} | environment,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs `garm boom` in this process, where boom does what the test wants."""

    def run(body, *arguments):
        def build():
            app = typer.Typer(cls=Group, rich_markup_mode=None, pretty_exceptions_enable=False)
            app.command("boom")(body)
            app.command("quiet")(lambda: None)
            return app

        monkeypatch.setattr(cli, "build", build)
        with pytest.raises(SystemExit) as stop:
            cli.main(["boom", *arguments])
        return stop.value.code, capsys.readouterr().err

    monkeypatch.delenv("GARM_TRACEBACK", raising=False)
    return run


def raising(error):
    def boom():
        raise error

    return boom


# --- the program -----------------------------------------------------------------------------------------------------


COMMANDS = ["lab", "progress", "doctor", "train", "evaluate", "sample", "recipes", "tune", "export", "demo",
            "assign", "grade", "challenge", "results", "release", "data"]  # fmt: skip


def test_version_and_help():
    assert garm("--version") == (0, f"garm-course {garm_course.__version__}\n", "")
    code, out, _ = garm("--help")
    assert code == 0
    listed = re.findall(r"^  (\w+)  +\S", out.split("Commands:")[1], re.MULTILINE)
    assert listed == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: garm {name}")
    if name in ("doctor", "train", "evaluate", "recipes"):  # these print figures
        assert "--json" in out


def test_an_unknown_command_is_answered_with_the_nearest():
    code, out, err = garm("trian")
    assert (code, out) == (2, "")
    assert err.startswith("garm: error: no command 'trian'; did you mean 'garm train'?")
    assert err.count("\n") == 1
    assert "recipes" in garm("xyzzy")[2]
    assert "did you mean" not in garm("xyzzy")[2]


def test_an_unknown_option_is_one_line():
    code, _, err = garm("doctor", "--jsn")
    assert code == 2
    assert re.fullmatch(r"garm: error: No such option: ?'?--jsn.*\n", err)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("expected 17 levels,\n   got 256"), "expected 17 levels, got 256"),
        (FileNotFoundError(2, "No such file or directory", "runs/x"), "runs/x: No such file or directory"),
        (OSError("disk is full"), "disk is full"),
        (ModuleNotFoundError("No module named 'sklearn'"), "No module named 'sklearn'"),
        (ValueError(), "ValueError"),
    ],
)
def test_what_a_user_can_put_right_is_one_line(command, error, line):
    assert command(raising(error)) == (2, f"garm: error: {line}\n")


def test_ctrl_c_is_not_an_error_of_the_program(command):
    assert command(raising(KeyboardInterrupt())) == (130, "garm: error: interrupted\n")


def test_bugs_keep_their_traceback(command):
    """A RuntimeError is shown in one line only if the course raised it; torch raises that type for every bug."""
    scope = {"__name__": "garm_course.training.likelihood"}
    exec("def ours():\n    raise RuntimeError('the loss is not finite')", scope)
    assert command(scope["ours"]) == (2, "garm: error: the loss is not finite\n")
    with pytest.raises(RuntimeError, match="shape mismatch"):
        command_without_exit(raising(RuntimeError("shape mismatch")))
    with pytest.raises(KeyError):
        command_without_exit(raising(KeyError("x")))


def command_without_exit(body):
    """As the fixture `command`, for errors that are not turned into an exit."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command("boom")(body)
    app.command("quiet")(lambda: None)
    original, cli.build = cli.build, lambda: app
    try:
        cli.main(["boom"])
    finally:
        cli.build = original


def test_the_traceback_can_be_had(command, monkeypatch):
    monkeypatch.setenv("GARM_TRACEBACK", "1")
    with pytest.raises(ValueError, match="wanted"):
        command_without_exit(raising(ValueError("wanted")))


def test_exit_codes_of_commands_pass_through(command):
    def boom():
        raise typer.Exit(1)

    assert command(boom) == (1, "")
    assert command(lambda: None) == (0, "")


def test_help_is_quick():
    """Nothing heavy is imported for --help."""
    code = "import sys\nfrom garm_course import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([m for m in ('torch', 'matplotlib', 'accelerate', 'nbformat', 'numpy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


# --- paths -----------------------------------------------------------------------------------------------------------


def test_folders(monkeypatch, tmp_path):
    assert paths.checkout() == ROOT
    assert paths.results_folder() == ROOT / "results"
    monkeypatch.setenv("GARM_CACHE", str(tmp_path / "c"))
    assert paths.cache_folder() == tmp_path / "c"
    monkeypatch.delenv("GARM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if os.name == "posix":
        assert paths.cache_folder() == tmp_path / "garm"
    installed = tmp_path / "site-packages" / "garm_course" / "paths.py"
    monkeypatch.setattr(paths, "__file__", str(installed))
    assert paths.checkout() is None
    assert paths.results_folder() == installed.parent / "results"


# --- garm lab --------------------------------------------------------------------------------------------------------


@pytest.fixture
def course(tmp_path):
    """A folder of lessons and the student's folder, as (source, folder)."""
    source = tmp_path / "notebooks"
    source.mkdir()
    (source / "00_start_here.ipynb").write_text("start 1")
    (source / "04_pixelcnn.ipynb").write_text("pixels 1")
    (source / "04_pixelcnn.py").write_text("# not for students")
    return source, tmp_path / "work"


def content(folder):
    return {file.name: file.read_text() for file in folder.iterdir() if file.name != lab.RECORD}


def test_lab_copies_the_notebooks_once(course):
    source, folder = course
    assert lab.copy_lessons(source, folder) == ["00_start_here.ipynb: copied", "04_pixelcnn.ipynb: copied"]
    assert content(folder) == {"00_start_here.ipynb": "start 1", "04_pixelcnn.ipynb": "pixels 1"}
    assert lab.copy_lessons(source, folder) == []


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize("record", ["kept", "lost", "damaged"])
def test_lab_never_writes_over_the_students_work(course, update, record):
    source, folder = course
    lab.copy_lessons(source, folder)
    (folder / "04_pixelcnn.ipynb").write_text("my answers")
    (source / "04_pixelcnn.ipynb").write_text("pixels 2")
    if record == "lost":
        (folder / lab.RECORD).unlink()
    elif record == "damaged":
        (folder / lab.RECORD).write_text('{"04_pixelcnn.ipynb": [')
    for _ in range(3):
        said = lab.copy_lessons(source, folder, update)
        assert content(folder)["04_pixelcnn.ipynb"] == "my answers"
    assert any("garm lab --update" in line for line in said) == (not update)


def test_update_offers_each_version_once_beside_the_students(course):
    source, folder = course
    lab.copy_lessons(source, folder)
    (folder / "04_pixelcnn.ipynb").write_text("my answers")
    assert lab.copy_lessons(source, folder, update=True) == []  # nothing is new
    (source / "04_pixelcnn.ipynb").write_text("pixels 2")
    (said,) = lab.copy_lessons(source, folder, update=True)
    assert "04_pixelcnn.new.ipynb" in said
    assert lab.copy_lessons(source, folder, update=True) == []
    assert content(folder)["04_pixelcnn.new.ipynb"] == "pixels 2"

    (folder / "04_pixelcnn.new.ipynb").write_text("my answers, continued in the new version")
    (source / "04_pixelcnn.ipynb").write_text("pixels 3")
    lab.copy_lessons(source, folder, update=True)
    assert content(folder) == {
        "00_start_here.ipynb": "start 1",
        "04_pixelcnn.ipynb": "my answers",
        "04_pixelcnn.new.ipynb": "my answers, continued in the new version",
        "04_pixelcnn.new2.ipynb": "pixels 3",
    }


def test_update_replaces_what_the_student_has_not_touched(course):
    source, folder = course
    lab.copy_lessons(source, folder)
    (source / "04_pixelcnn.ipynb").write_text("pixels 2")
    (said,) = lab.copy_lessons(source, folder)
    assert "garm lab --update" in said
    assert content(folder)["04_pixelcnn.ipynb"] == "pixels 1"
    (said,) = lab.copy_lessons(source, folder, update=True)
    assert "updated" in said
    assert content(folder) == {"00_start_here.ipynb": "start 1", "04_pixelcnn.ipynb": "pixels 2"}


def test_a_lesson_that_was_deleted_comes_back_fresh(course):
    source, folder = course
    lab.copy_lessons(source, folder)
    (folder / "04_pixelcnn.ipynb").unlink()
    assert lab.copy_lessons(source, folder) == ["04_pixelcnn.ipynb: copied"]


def test_a_copy_that_fails_leaves_nothing_half_written(course, monkeypatch):
    source, folder = course

    def full(first, second):
        raise OSError(28, "No space left on device", str(second))

    monkeypatch.setattr(lab.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        lab.copy_lessons(source, folder)
    assert list(folder.iterdir()) == []


def test_lab_starts_jupyterlab_on_the_first_lesson(monkeypatch, tmp_path, course):
    source, folder = course
    started = []
    monkeypatch.setattr(paths, "checkout", lambda: source.parent)
    monkeypatch.setattr(lab.os, "name", "nt")  # the branch that returns
    monkeypatch.setattr(lab.subprocess, "call", lambda line: started.append(line) or 3)
    with pytest.raises(SystemExit) as stop:
        cli.main(["lab", "--no-browser", "--port", "8899"])
    assert stop.value.code == 3
    (line,) = started
    assert line[:3] == [sys.executable, "-m", "jupyterlab"]
    assert line[-3:] == ["--no-browser", "--port", "8899"]
    assert f"--ServerApp.root_dir={folder}" in line
    assert "--LabApp.default_url=/lab/tree/00_start_here.ipynb" in line
    assert "--LabApp.news_url=None" in line


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_lab_serves_the_students_folder(tmp_path):
    """The real thing: JupyterLab answers, asks for no news, and pairs nothing when a lesson is saved."""
    folder = tmp_path / "my work"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=secret"]
    server = subprocess.Popen(
        [sys.executable, "-m", "garm_course.cli", "lab", "--folder", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"

    def ask(path, body=None):
        request = urllib.request.Request(
            f"{address}{path}?token=secret", data=body and json.dumps(body).encode(), method="PUT" if body else "GET"
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            return reply.read().decode()

    try:
        for _ in range(2 * PATIENCE):  # half a second each: a busy machine takes more than a minute
            assert server.poll() is None, server.stdout.read().decode()
            with contextlib.suppress(OSError):
                ask("/api/status")
                break
            time.sleep(0.5)
        assert '"news": {"disabled": true}' in ask("/lab/tree/00_start_here.ipynb")
        lesson = json.loads(ask("/api/contents/00_start_here.ipynb"))
        ask("/api/contents/00_start_here.ipynb", {"type": "notebook", "format": "json", "content": lesson["content"]})
        assert not list(folder.glob("*.py")), "a copy was paired with a text file"
        assert {file.name for file in folder.glob("*.ipynb")} == {
            file.name for file in (ROOT / "notebooks").glob("*.ipynb")
        }
    finally:
        server.terminate()
        server.communicate(timeout=PATIENCE)


def test_lab_says_what_to_do_without_a_checkout_or_jupyterlab(monkeypatch, capsys, course):
    for checkout, missing, said in (
        (None, False, "works in a clone of the repository"),
        (course[1], False, "git checkout -- notebooks"),
        (course[0].parent, True, "JupyterLab is not installed; run: python -m pip install"),
    ):
        monkeypatch.setattr(paths, "checkout", lambda checkout=checkout: checkout)
        monkeypatch.setattr(lab, "find_spec", lambda name, missing=missing: None if missing else object())
        with pytest.raises(SystemExit) as stop:
            cli.main(["lab"])
        err = capsys.readouterr().err
        assert stop.value.code == 2
        assert said in err
        assert err.count("\n") == 1


# --- garm doctor -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_check_passes_here():
    """Where the tests run, everything is there; the kernel has a test of its own."""
    for check in doctor.examine(tuple(one for one in doctor.CHECKS if one is not doctor.kernel)):
        assert check.ok, check


@pytest.mark.slow
def test_doctor_starts_a_kernel_of_this_interpreter():
    check = doctor.kernel()
    assert check.ok, check
    assert sys.executable in check.detail


Version = collections.namedtuple("Version", "major minor micro releaselevel serial")


def old_python(patch):
    patch.setattr(doctor.sys, "version_info", Version(3, 10, 2, "final", 0))


def old_package(patch):
    patch.setattr(doctor.metadata, "version", lambda name: "0.0.9")


def broken_package(patch):
    def load(name):
        if name == "sklearn":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return object()

    patch.setattr(doctor.importlib, "import_module", load)


def no_jupyterlab(patch):
    def load(name):
        if name == "jupyterlab":
            raise ModuleNotFoundError("No module named 'jupyterlab'")
        return object()

    patch.setattr(doctor.importlib, "import_module", load)


def foreign_kernel(patch):
    import jupyter_client.manager

    reply = {"status": "ok", "user_expressions": {"where": {"data": {"text/plain": "'/usr/bin/other'"}}}}
    client = SimpleNamespace(execute_interactive=lambda *a, **k: {"content": reply}, stop_channels=lambda: None)
    manager = SimpleNamespace(shutdown_kernel=lambda now: None)
    patch.setattr(jupyter_client.manager, "start_new_kernel", lambda **options: (manager, client))


def kernel_without_course(patch):
    import jupyter_client.manager

    reply = {"status": "error", "evalue": "no garm_course in /usr/bin/python3"}
    client = SimpleNamespace(execute_interactive=lambda *a, **k: {"content": reply}, stop_channels=lambda: None)
    manager = SimpleNamespace(shutdown_kernel=lambda now: None)
    patch.setattr(jupyter_client.manager, "start_new_kernel", lambda **options: (manager, client))


def no_kernel(patch):
    import jupyter_client.manager

    def fail(**options):
        raise RuntimeError("No such kernel named python3")

    patch.setattr(jupyter_client.manager, "start_new_kernel", fail)


def no_extension(patch):
    import jupyter_core.paths

    patch.setattr(jupyter_core.paths, "jupyter_path", lambda: ["/nowhere"])


def broken_device(patch):
    import torch

    def fail(*size, device=None):
        raise RuntimeError("CUDA error: no kernel image is available")

    patch.setattr(torch, "ones", fail)


def too_many_threads(patch):
    import torch

    patch.setattr(torch, "get_num_threads", lambda: 10_000)


def full_disk(patch):
    usage = collections.namedtuple("usage", "total used free")
    patch.setattr(doctor.shutil, "disk_usage", lambda folder: usage(10**12, 10**12, 10**7))


def no_cache(patch):
    patch.setenv("GARM_CACHE", os.devnull + "/garm")


def no_data(patch):
    from garm_course import datasets

    def fail(name, split):
        raise OSError("digits.csv.gz is damaged")

    patch.setattr(datasets, "load", fail)


@pytest.mark.parametrize(
    ("fault", "check", "detail", "remedy"),
    [
        (old_python, doctor.python, "3.10.2", "3.11 or newer"),
        (old_package, doctor.packages, "torch 0.0.9 is older than 2.4", "pip install"),
        (broken_package, doctor.packages, "scikit-learn does not import (OSError: libgomp", "pip install"),
        (no_jupyterlab, doctor.jupyter, "jupyterlab does not import", "[lab]"),
        (foreign_kernel, doctor.kernel, "python3 runs /usr/bin/other", "ipykernel install --sys-prefix"),
        (kernel_without_course, doctor.kernel, "no garm_course in /usr/bin/python3", "ipykernel install"),
        (no_kernel, doctor.kernel, "No such kernel", "ipykernel install"),
        (no_extension, doctor.widgets, "no extension of JupyterLab", "jupyterlab_widgets"),
        (broken_device, doctor.device, "no kernel image", "ACCELERATE_USE_CPU=1"),
        (too_many_threads, doctor.threads, "10000 of ", "OMP_NUM_THREADS="),
        (full_disk, doctor.disk, "0.0 GB free", "free 1 GB"),
        (no_cache, doctor.cache, "Not a directory", "GARM_CACHE"),
        (no_data, doctor.data, "digits.csv.gz is damaged", "pip install"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_doctor_finds_each_fault_and_names_its_remedy(monkeypatch, fault, check, detail, remedy):
    with monkeypatch.context() as patch:
        fault(patch)
        (found,) = doctor.examine((check,))
    assert not found.ok
    assert detail in found.detail
    assert remedy in found.remedy


def test_doctor_prints_a_line_for_each_check_and_the_remedy(monkeypatch, capsys):
    def fine():
        return doctor.Check("one", True, "well", "never shown")

    def ill():
        return doctor.Check("two", False, "ill", "drink tea")

    for checks, code, lines in (
        ((fine,), 0, ["OK   one       well", "all is well"]),
        (
            (fine, ill),
            1,
            ["OK   one       well", "FAIL two       ill", "     -> drink tea",
             "something is missing: see the lines marked FAIL"],
        ),
    ):  # fmt: skip
        monkeypatch.setattr(doctor, "CHECKS", checks)
        with pytest.raises(SystemExit) as stop:
            cli.main(["doctor"])
        assert stop.value.code == code
        assert capsys.readouterr().out.splitlines() == lines
        with pytest.raises(SystemExit) as stop:
            cli.main(["doctor", "--json"])
        printed = json.loads(capsys.readouterr().out)
        assert stop.value.code == code
        assert printed["ok"] == (code == 0)
        assert [check["name"] for check in printed["checks"]] == ["one", "two"][: len(checks)]
        assert all(set(check) == {"name", "ok", "detail", "remedy"} for check in printed["checks"])


def too_old(folder, typer):
    """A path on which a typer that is broken or too old comes first, and calls itself 0.1."""
    (folder / "typer.py").write_text(typer)
    (folder / "typer-0.1.dist-info").mkdir()
    (folder / "typer-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: typer\nVersion: 0.1\n")
    return os.pathsep.join([str(folder), str(ROOT)])


def test_doctor_starts_where_typer_does_not_and_says_so(tmp_path):
    code, out, err = garm("doctor", PYTHONPATH=too_old(tmp_path, "raise ImportError('no typer')"))
    assert (code, err) == (1, "")
    (line,) = (line for line in out.splitlines() if line.startswith("FAIL packages"))
    assert re.search(r"typer 0\.1 is older than 0\.\d+", line)
    assert "torch" not in line  # the others are well


@pytest.mark.parametrize("arguments", [["doctor"], ["doctor", "--json"]], ids=" ".join)
@pytest.mark.parametrize("typer", ["raise ImportError('no typer')", "raise TypeError('too old')", "__getattr__ = 1"])
def test_doctor_starts_whatever_is_wrong_with_typer(tmp_path, typer, arguments):
    """In a process of its own, which is spared the import of the packages that are well."""
    code = (
        "import sys; from garm_course import cli; from garm_course.cli import doctor\n"
        "needed = doctor._required\n"
        "doctor._required = lambda extra: [one for one in needed(extra) if one[0] == 'typer']\n"
        "doctor.CHECKS = (doctor.python, doctor.packages)\n"
        "cli.main()"
    )
    environment = os.environ | {"PYTHONPATH": too_old(tmp_path, typer)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (1, "")
    if "--json" in arguments:
        printed = json.loads(done.stdout)
        assert not printed["ok"]
        assert [check["ok"] for check in printed["checks"]] == [True, False]
    assert re.search(r"typer 0\.1 is older than 0\.\d+", done.stdout)


def test_doctor_imports_no_package_to_start():
    code = "import sys, garm_course.cli.doctor; print({'typer', 'click', 'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("version", "bound", "older"),
    [("2.13.0+cpu", "2.4", False), ("2.4", "2.4.0", False), ("2.3.1", "2.4", True), ("1.9", "1.10", True)],
)
def test_versions_are_compared_as_numbers(version, bound, older):
    assert (doctor._version(version) < doctor._version(bound)) == older


def test_requirements_are_read_from_the_package():
    base = dict(doctor._required(None))
    assert base["torch"] == "2.4"
    assert "jupyterlab" not in base
    assert set(dict(doctor._required("lab"))) == {"jupyterlab", "ipywidgets", "ipykernel", "nbformat"}
