"""What must stay true of the project as a whole.

One address, one version, one direction of dependencies, links that lead somewhere, a set-up that explains its failures.
"""

import ast
import importlib
import importlib.util
import inspect
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.parse
from pathlib import Path

import pytest
import yaml

import garm_course
from garm_course.editions import address, badges, lessons

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted((ROOT / "garm_course").rglob("*.py"))
FOLDERS = ("notebooks", "solutions")


def load_tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tracked():
    """Text files of the repository as git knows them, without the ignored ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [ROOT / name for name in names if name and (ROOT / name).is_file()]
    return [file for file in files if b"\0" not in file.read_bytes()[:2000]]


# --- one address, one version ----------------------------------------------------------------------------------------


def strays(text, where):
    """Addresses in a text that are not this repository's: every owner/name but the one of `pyproject.toml`."""
    found = re.findall(
        r"(?:github\.com|colab\.research\.google\.com/github|mybinder\.org/v2/gh)/([\w.-]+/[\w.-]+)", text
    )
    return sorted({one.removesuffix(".git").rstrip(".") for one in found} - {f"{where.owner}/{where.name}"})


def test_address_stands_once():
    """Outside of generated places (which other tests compare with their generators) nobody writes the address."""
    where = address(ROOT)
    written = f"/{where.owner}/{where.name}"
    generated = {"README.md", *(f"{folder}/{lesson.name}{end}" for lesson in lessons(ROOT)
                                for folder in ("solutions", "notebooks") for end in (".py", ".ipynb"))}  # fmt: skip
    for file in tracked():
        name = file.relative_to(ROOT).as_posix()
        text = file.read_text(encoding="utf-8", errors="replace")
        if name not in generated:
            assert written not in text, f"{name} writes the address; take it from pyproject.toml"
        elif name == "README.md":
            assert not strays(text, where), f"{name} leads to another repository"


def test_strays_sees_another_repository():
    assert strays("see https://github.com/someone/fork.git", address(ROOT)) == ["someone/fork"]


def test_readme_equals_its_generator():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert load_tool("renew_readme").renew(text) == text, "run: .venv/bin/python tools/renew_readme.py"


def test_readme_maps_all_lessons_and_badges_only_those_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d\d) \| (.*) \|$", text, re.MULTILINE))
    assert sorted(rows) == [f"{number:02d}" for number in range(22)]
    exist = {lesson.number: lesson for lesson in lessons(ROOT)}
    for number, row in rows.items():
        if number in exist:
            assert badges(exist[number].name, ROOT) in row
        else:
            assert "planned" in row
            assert "](" not in row


def test_the_results_in_the_readme_are_the_recorded_ones():
    from garm_course.models import words
    from garm_course.recipes import kind_of, recorded

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"^\| \[.*\]\(results/([\w-]+)\.json\) \|", text, re.MULTILINE)
    assert len(names) == 10
    for name in names:
        entry = recorded(name)
        kind, command = kind_of(entry), entry["command"][0].rpartition(" --seed")[0]
        row = f"| [{words(entry['model'])}](results/{name}.json) | `{entry['data']}` | {kind.figure(entry['test'])} | "
        assert f"{row}{kind.unit} | `{command}` |\n" in text


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md"])
def test_the_maps_show_every_room_and_no_other(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    table = text.split("\n| room | what is in it |\n|---|---|\n")[1].split("\n\n")[0]
    first_cells = " ".join(row.split(" | ")[0] for row in table.splitlines())
    assert sorted(re.findall(r"`(\w+)`", first_cells)) == sorted(rooms_that_exist())


def rooms_that_exist():
    """Files and folders at the top of the package."""
    return {path.name.removesuffix(".py") for path in (ROOT / "garm_course").iterdir()} - {"__pycache__", "__init__"}


def test_the_readme_is_one_that_a_newcomer_reads():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


def test_renewing_follows_a_fork(tmp_path):
    """In a fork, where only pyproject.toml was edited, the generator writes the fork's address."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        text.replace('owner = "garm-course"', 'owner = "someone"'), encoding="utf-8"
    )
    shutil.copytree(ROOT / "solutions", tmp_path / "solutions")
    renewed = load_tool("renew_readme").renew((ROOT / "README.md").read_text(encoding="utf-8"), tmp_path)
    assert "git clone https://github.com/someone/garm-course\n" in renewed
    assert "garm-course" not in re.findall(r"(?:github\.com|/gh|/github)/([\w.-]+)/", renewed)


def test_versions_agree():
    version = PROJECT["project"]["version"]
    assert garm_course.__version__ == version
    assert str(yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]) == version
    sections = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert next(name for name in sections if name != "Unreleased") == version
    assert "Unreleased" not in sections[1:]


def test_environment_yml_installs_the_package_and_repeats_nothing():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == PROJECT["project"]["name"]
    plain = [line for line in environment["dependencies"] if isinstance(line, str)]
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert {re.split(r"[=<>]", line)[0] for line in plain} == {"python", "pip"}
    python = next(line for line in plain if line.startswith("python="))
    assert tuple(map(int, python.split("=")[1].split("."))) >= (3, 11)
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    extra = re.fullmatch(r"-e \.\[(\w+)\]", next(line for line in pip if line.startswith("-e")))[1]
    assert extra in PROJECT["project"]["optional-dependencies"]
    assert all(line.startswith(("-e ", "-c constraints.txt", "--extra-index-url ")) for line in pip)


def test_the_tested_versions_of_python_are_the_same_everywhere():
    found = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert PROJECT["project"]["requires-python"] == f">={found[0]}"
    assert f"Tested with Python {', '.join(found[:-1])} and {found[-1]}." in (ROOT / "README.md").read_text(
        encoding="utf-8"
    )
    setup_step = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["test"][
        "steps"
    ][1]
    assert setup_step["with"]["python-version"] in found


def requirements():
    """Name and lower bound of everything that pyproject.toml asks for, apart from the optional trackers."""
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"], *extras["lab"], *extras["dev"]]
    return [line.split(">=") for line in lines if not line.startswith("garm-course")]


def test_dependencies_have_lower_bounds_only():
    extras = PROJECT["project"]["optional-dependencies"].values()
    every = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    for line in every:
        assert re.fullmatch(r"[\w.-]+>=[\d.]+|garm-course\[\w+\]", line), line


def test_constraints_pin_every_dependency_without_a_local_build():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    for name, pin in pins.items():
        assert re.fullmatch(r"\d[\w.]*", pin), f"{name}=={pin}: a local build cannot be had elsewhere"
        assert not name.startswith(("nvidia", "triton")), name
    assert pins["torch"] == "2.13.0"
    for name, bound in requirements():
        pinned = tuple(map(int, re.findall(r"\d+", pins[name])))
        assert pinned >= tuple(map(int, bound.split("."))), f"constraints.txt pins {name} below its lower bound"


def test_the_tested_versions_are_the_ones_in_constraints():
    from importlib import metadata

    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(("torch==", "numpy==", "jupyterlab==", "nbval==", "ruff==")):
            name, pin = line.split("==")
            assert metadata.version(name).split("+")[0] == pin, (
                f"this environment has another {name}: make test renews it"
            )


# --- links -----------------------------------------------------------------------------------------------------------


def markdown_texts():
    """(name, folder that links are relative to, text) of every Markdown file and every Markdown cell."""
    for file in tracked():
        if file.suffix == ".md":
            yield file.name, file.parent, file.read_text(encoding="utf-8")
        elif file.suffix == ".ipynb" and file.parent in (ROOT / "solutions", ROOT / "notebooks"):
            cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
            text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
            yield f"{file.parent.name}/{file.name}", file.parent, text


def anchors(text):
    """The anchors that GitHub makes of headings."""
    heads = re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads} | {
        h.replace(" ", "-") for h in heads
    }


def broken(folder, text):
    """Links of a Markdown text that stay inside the repository and lead nowhere."""
    text = re.sub(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$", "", text, flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    bad = []
    for link in found:
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (folder / urllib.parse.unquote(path)).resolve() if path else None
        if target is None:
            leads = urllib.parse.unquote(anchor) in anchors(text)
        else:
            leads = target.exists() and target.is_relative_to(ROOT)
        if not leads:
            bad.append(link)
    return bad


def test_links_inside_the_repository_lead_somewhere():
    texts = list(markdown_texts())
    assert any(name == "README.md" for name, _, _ in texts)
    wrong = [f"{name}: {link}" for name, folder, text in texts for link in broken(folder, text)]
    assert not wrong, wrong


def test_broken_links_are_seen():
    text = "# A head\n[a](gone.md) [b](README.md) [c](#a-head) [d](#none) `[e](code.md)` [f](https://example.org/x)"
    assert broken(ROOT, text) == ["gone.md", "#none"]


# --- the library -----------------------------------------------------------------------------------------------------


def imports(file):
    """Modules of the project that a file imports, at its top level or inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.split(".")[1] for name in found if name.startswith("garm_course.")}


FLOORS = (  # from the ground up; planned rooms have their place already
    {"evaluation_mode", "inputs", "lesson", "models", "paths", "progress_bar"},
    {"transforms"},
    {"datasets", "distributions", "show"},
    {"adversarial", "autoregressive", "latent"},
    {"evaluation"},
    {"weights"},
    {"training"},
    {"exercises", "practice", "trust"},
    {"lessons", "recipes"},
    {"editions", "grading"},
    {"cli"},
)
ROOMS = set().union(*FLOORS)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_dependencies_run_downwards(file):
    room = file.relative_to(ROOT / "garm_course").parts[0].removesuffix(".py")
    if room == "__init__":
        return
    above = [floor for floor in FLOORS if room in floor]
    assert above, f"{room} has no floor: add it to FLOORS, or put the file into a room that is there"
    below = set().union(*FLOORS[: FLOORS.index(above[0])])
    wrong = imports(file) & (ROOMS - below - {room})
    assert not wrong, f"{room} must not import {', '.join(sorted(wrong))}, which is beside or above it"


def test_the_house_has_no_more_rooms_than_a_newcomer_remembers():
    assert rooms_that_exist() <= ROOMS
    assert len(ROOMS) <= 24
    assert sum(path.suffix == ".py" for path in (ROOT / "garm_course").iterdir()) - 1 <= 7


def test_dependencies_are_seen_wherever_they_stand(tmp_path):
    file = tmp_path / "model.py"
    file.write_text("import torch\ndef f():\n    from garm_course import datasets\n    import garm_course.show.grids\n")
    assert imports(file) == {"datasets", "show"}


NOTEBOOK = {"IPython", "ipywidgets", "jupyter_client", "jupyter_core"}  # there wherever a notebook runs
MODULES = {"scikit-learn": "sklearn"}  # imported under another name than installed
ON_REQUEST = {
    "garm_course/trust/privacy.py": {"opacus"},
    "garm_course/practice/search.py": {"optuna"},
    "garm_course/grading/judge.py": {"cloudpickle"},
    "garm_course/grading/answers.py": {"cloudpickle"},
    "garm_course/practice/export.py": {"onnx", "onnxruntime", "onnxscript"},
}  # of an extra: imported inside of what needs it, which says how to get it


def foreign(source):
    """Packages that a file imports and that belong neither to Python nor to the course."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"garm_course"}


def test_lessons_and_library_import_only_what_is_installed_with_the_course():
    """The editions of lessons are built with more, which Colab and `pip install garm-course` do not have."""
    names = [re.split("[><=]", dependency)[0] for dependency in PROJECT["project"]["dependencies"]]
    installed = {MODULES.get(name, name) for name in names} | NOTEBOOK | {"PIL"}  # pillow comes with matplotlib
    files = [*(ROOT / "solutions").glob("*.py"), *(ROOT / "garm_course").rglob("*.py")]
    files = [file for file in files if "editions" not in file.parts]
    assert len(files) > 100
    found = {file.relative_to(ROOT).as_posix(): foreign(file.read_text(encoding="utf-8")) - installed for file in files}
    assert {name: packages for name, packages in found.items() if packages} == ON_REQUEST
    assert foreign("import torch.nn as nn\ndef f():\n    from jupytext.cli import g\n    from . import h") == {
        "torch", "jupytext"}  # fmt: skip


def test_import_is_cheap():
    """Nothing that is only needed for pictures, data or training is imported by `import garm_course` or by --help."""
    heavy = ["torch", "matplotlib", "sklearn", "ipywidgets", "accelerate", "IPython", "nbformat", "jupytext"]
    for module in ("garm_course", "garm_course.cli"):
        code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stdout.strip() == "[]", module
    # what a notebook uses first, the models, needs torch and no more of these
    code = (
        f"import sys, garm_course.autoregressive.pixelcnn; print([name for name in {heavy[1:]} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


PICKLES = ("import pickle", "from pickle", "torch.load(", "torch.save(", "joblib.load(", "allow_pickle=True",
           "save_state(", "load_state(")  # fmt: skip


def test_nothing_is_pickled():
    for file in tracked():
        assert file.suffix not in (".pt", ".pth", ".pkl", ".ckpt"), file
        if file.suffix in (".py", ".ipynb") and file != Path(__file__).resolve():
            text = file.read_text(encoding="utf-8")
            assert not [sign for sign in PICKLES if sign in text], file
    binaries = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in binaries if name.endswith((".pt", ".pth", ".pkl", ".ckpt"))]


def public(module):
    """Public functions and classes that a module defines, and the public methods of these classes."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing) or inspect.isclass(thing):
            yield f"{module.__name__}.{name}", thing
        if inspect.isclass(thing):
            for inner, method in vars(thing).items():
                if inspect.isfunction(method) and not inner.startswith("_") and inner != "forward":
                    yield f"{module.__name__}.{name}.{inner}", method


def test_everything_public_has_a_docstring():
    bare = []
    for found in pkgutil.walk_packages(garm_course.__path__, "garm_course."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        if not (module.__doc__ or "").strip():
            bare.append(found.name)
        bare += [name for name, thing in public(module) if not (inspect.getdoc(thing) or "").strip()]
    assert not bare, bare


def test_the_public_names_exist():
    for name in garm_course.__all__:
        assert getattr(garm_course, name) is not None
    with pytest.raises(AttributeError, match="load_pretrained"):
        garm_course.load_pretraned  # noqa: B018


# --- set-up ----------------------------------------------------------------------------------------------------------

setup = load_tool("setup_env")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", ["lab", "test", "check", "lessons"])
def test_make_targets_can_be_run_dry(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tools/setup_env.py" in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_ci_and_make_test_run_everything():
    plan = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True).stdout
    for part in ("ruff check", "ruff format --check", "release --check", "--doctest-modules", "--nbval "):
        assert part in plan
    students, teachers = (next(line for line in plan.splitlines() if line.endswith(f" {x}")) for x in FOLDERS)
    assert "ATEN_CPU_CAPABILITY=default" in teachers, "another machine's arithmetic checks the stored numbers"
    assert "--nbval " in teachers
    assert "GARM_BUDGET" not in teachers, "the solutions run in full"
    assert "--nbval-lax " in students, "blank answers run to the end; their stored results are those of the solutions"
    assert "GARM_BUDGET=smoke" in students
    assert "--max-worker-restart=0" in students, "a worker that dies must end the run"
    assert " -m " not in plan.replace("python -m pytest", ""), "make test must not leave marked tests out"
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["test"]["steps"]
    assert {"run": "make test"} in steps


def test_hooks_are_local():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]


def fake_interpreter(path, version, venv=True):
    """A program that answers as a Python of that version would, with or without the module venv."""
    path.write_text(
        "#!/bin/sh\n"
        f'case "$2" in *version_info*) echo "{version}";; *) exit {0 if venv else 1};; esac\n'
    )  # fmt: skip
    path.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("python", "version", "venv", "said"),
    [
        ("python3", "3 10", True, "needs Python 3.11 or newer"),
        ("python3.11", "3 11", False, "apt install python3.11-venv"),
        (None, "", True, "there is none on the path"),
    ],
)
def test_a_wrong_python_is_named_with_its_remedy(tmp_path, monkeypatch, python, version, venv, said):
    if python:
        fake_interpreter(tmp_path / python, version, venv)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PYTHON", raising=False)
    with pytest.raises(setup.SetupError, match=re.escape(said)):
        setup.find_python()


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_the_tested_python_is_preferred_and_another_will_do(tmp_path, monkeypatch):
    fake_interpreter(tmp_path / "python3", "3 9")
    fake_interpreter(tmp_path / "python3.12", "3 12")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PYTHON", raising=False)
    assert setup.find_python() == str(tmp_path / "python3.12")
    fake_interpreter(tmp_path / "python3.11", "3 11")
    assert setup.find_python() == str(tmp_path / "python3.11")
    monkeypatch.setenv("PYTHON", str(tmp_path / "python3"))
    with pytest.raises(setup.SetupError, match=r"python3 is 3\.9"):
        setup.find_python()


@pytest.fixture
def project(tmp_path):
    """A checkout reduced to what the set-up reads, in a folder whose name has a space."""
    root = tmp_path / "a checkout"
    (root / "tiny").mkdir(parents=True)
    (root / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "setup_env.py", root / "tools")
    (root / "constraints.txt").write_text("nowhere==1.0\n")
    (root / "pyproject.toml").write_text(
        '[project]\nname = "tiny"\nversion = "1"\noptional-dependencies.lab = ["nowhere"]\n'
    )
    return root


def run_setup(root, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    kept |= {"PYTHON": getattr(sys, "_base_executable", sys.executable), **environment}
    command = [sys.executable, str(root / "tools" / "setup_env.py"), "lab"]
    return subprocess.run(command, capture_output=True, text=True, env=kept)


@pytest.mark.slow
def test_without_a_network_the_setup_says_so_and_leaves_no_stamp(project):
    done = run_setup(
        project, PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0", PIP_TIMEOUT="1"
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("garm: error: ")]
    assert "cannot be reached" in line
    assert "run the same command again" in line
    assert "Traceback" not in done.stderr
    assert not (project / ".venv" / "garm-setup.json").exists()


def test_a_full_disk_is_refused_before_anything_is_made(project, monkeypatch, capsys):
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**11, 10**11, 10**8))
    monkeypatch.setattr(setup, "ROOT", str(project))
    monkeypatch.setattr(setup.set_up, "__defaults__", (str(project),))
    assert setup.main(["lab"]) == 2
    said = capsys.readouterr().err
    assert "0.1 GB are free" in said
    assert "Make room" in said
    assert not (project / ".venv").exists()


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError('<...>: Failed to establish a new connection: [Errno -2] Name or service", "no network"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
        (
            "ERROR: Could not find a version\nERROR: No matching distribution found for torch==2\nUsing a.whl",
            "TORCH_INDEX",
        ),
        ("ERROR: Could not find a version\nERROR: No matching distribution found for hatchling>=1.24", "no network"),
        ("PermissionError: [Errno 13] Permission denied: '/opt/x'", "belongs to you"),
        ("WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'\nerror: gcc", "own words"),
    ],
)
def test_failures_of_pip_are_explained(log, said):
    assert said in setup.explain(log)


@pytest.fixture
def fake_install(project, monkeypatch):
    """Set-up in `project` with pip replaced: counts the installs, and can be told to fail or be interrupted."""
    state = {"installs": [], "fault": None}

    def make_venv(venv):
        Path(setup.inside(venv, "python")).parent.mkdir(parents=True, exist_ok=True)

    def install(venv, root, extra, torch_index):
        state["installs"].append(extra)
        if state["fault"]:
            raise state["fault"]
        Path(setup.inside(venv, "garm")).touch()

    monkeypatch.setattr(setup, "make_venv", make_venv)
    monkeypatch.setattr(setup, "install", install)
    monkeypatch.setattr(setup, "check_room", lambda root, torch_index: None)
    monkeypatch.setattr(setup, "version_of", lambda python: (3, 11))
    monkeypatch.setattr(setup.set_up, "__defaults__", (str(project),))
    return project, state


def test_the_second_time_installs_only_what_changed(fake_install):
    project, state = fake_install
    assert [setup.main(["lab"]) for _ in range(3)] == [0, 0, 0]
    assert state["installs"] == ["lab"]
    setup.main(["dev"])
    setup.main(["dev"])
    setup.main(["lab"])  # dev holds all of lab
    assert state["installs"] == ["lab", "dev"]
    with open(project / "constraints.txt", "a") as file:
        file.write("elsewhere==2.0\n")
    setup.main(["lab"])  # and what the tests need is not forgotten
    assert state["installs"] == ["lab", "dev", "dev"]


@pytest.mark.parametrize(("fault", "code"), [(KeyboardInterrupt(), 130), (setup.SetupError("no network"), 2)])
def test_an_interrupted_setup_is_taken_up_again(fake_install, fault, code, capsys):
    project, state = fake_install
    setup.main(["lab"])
    (project / "constraints.txt").write_text("changed==1\n")
    state["fault"] = fault
    assert setup.main(["lab"]) == code
    assert "again" in capsys.readouterr().err or code == 2
    assert not (project / ".venv" / "garm-setup.json").exists()
    state["fault"] = None
    assert setup.main(["lab"]) == 0
    assert state["installs"] == ["lab"] * 3


@pytest.mark.parametrize("index", ["", "https://example.org/cpu"])
def test_the_index_of_torch_answers_for_torch_alone(tmp_path, monkeypatch, index):
    commands = []
    monkeypatch.setattr(setup.subprocess, "call", lambda command, cwd: commands.append(command) or 0)
    setup.install(str(tmp_path), str(tmp_path), "lab", index)
    asked = [command for command in commands if index and index in command]
    assert [command[-2:] for command in asked] == [["--no-deps", "torch"]] * bool(index)
    assert commands[-1][-2:] == ["-e", ".[lab]"]
    assert not any("--extra-index-url" in command for command in commands)
    assert all(command[command.index("-c") + 1] == "constraints.txt" for command in commands)


def test_a_moved_checkout_gets_a_new_environment(fake_install, monkeypatch):
    project, state = fake_install
    setup.main(["lab"])
    moved = project.with_name("elsewhere")
    project.rename(moved)
    monkeypatch.setattr(setup.set_up, "__defaults__", (str(moved),))
    (moved / ".venv" / "old").touch()
    assert setup.main(["lab"]) == 0
    assert state["installs"] == ["lab", "lab"]
    assert not (moved / ".venv" / "old").exists()


def test_a_folder_that_is_no_environment_is_left_alone(project):
    (project / ".venv").mkdir()
    (project / ".venv" / "precious.txt").write_text("mine")
    with pytest.raises(setup.SetupError, match="move it away"):
        setup.make_venv(str(project / ".venv"))
    assert (project / ".venv" / "precious.txt").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="file locks of POSIX")
def test_two_setups_wait_for_each_other(project):
    handle = setup.lock(str(project))
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import setup_env as s\n"
        f"s.lock({str(project)!r}); print('in')"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert "waiting" in other.stdout.readline()
        os.close(handle)
        assert other.stdout.readline().strip() == "in"
    finally:
        other.kill()
        other.wait()


def test_setup_runs_on_an_old_python():
    """The script that has to say "your Python is too old" uses no syntax of newer ones than 3.6."""
    source = (ROOT / "tools" / "setup_env.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__ import annotations" not in source


SEVERAL = re.compile(r"^\s*\w+(, \w+)+: |[.;] [a-z_]\w*: \S")


def arguments(docstring):
    """The lines of a docstring's `Args` and `Attributes` that begin a name."""
    inside, margin = False, 0
    for line in docstring.splitlines():
        depth = len(line) - len(line.lstrip())
        if line.strip() in ("Args:", "Attributes:"):
            inside, margin = True, depth + 4
        elif not line.strip() or depth < margin:
            inside = False
        elif inside and depth == margin:
            yield line


def test_a_line_of_arguments_holds_one():
    """Readers of docstrings, and the tools that make pages of them, take what is before the colon for one name."""
    found = []
    for file in sorted((ROOT / "garm_course").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found += [
                    f"{file.name}: {line}" for line in arguments(ast.get_docstring(node) or "") if SEVERAL.search(line)
                ]
    assert not found
    assert [*arguments("X.\n\nArgs:\n    a, b: c.\n        more\n    d: e. f: g.\n\nReturns:\n    h, i: j.")] == [
        "    a, b: c.", "    d: e. f: g."]  # fmt: skip
