"""A notebook alone on Colab, simulated: its setup cell installs the course beside Colab's own torch and numpy.

Colab's Python is played by a fresh virtual environment that holds torch, numpy, matplotlib, ipywidgets, ipykernel,
nbclient, what these require, and nothing else: links to the packages of the environment that runs this test, so that it
costs seconds and not 1.6 GB. (A `.pth` file or `--system-site-packages` would prove nothing: pip would find garm-course
and its other dependencies there.) The linked versions are a constraint for pip: where the course would have pip replace
one of them, the installation fails, and so does the test. The course comes from a wheel of this checkout through
GARM_SOURCE, since the release tag may not be published yet; its other dependencies come from the package index.

The first lesson installs the course, once: its setup cell is generated and the same in all lessons, which
`tests/editions` holds. It and the last one run to their ends; of the others the imports, since what they do later is
the same here as where nbval runs them.
"""

import os
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from garm_course.editions import lessons

ROOT = Path(__file__).resolve().parents[2]
LESSONS = lessons(ROOT)
COLAB = ("torch", "numpy", "matplotlib", "ipywidgets", "ipykernel", "nbclient")
pytestmark = pytest.mark.slow

EXECUTE = """
import sys, nbformat, nbclient
nb = nbformat.read(sys.argv[1], as_version=4)
try:
    nbclient.NotebookClient(nb, timeout=None, kernel_name="python3").execute()
finally:
    nbformat.write(nb, sys.argv[1])
"""


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command[:6]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def surroundings(**changes):
    """No trace of this checkout and of the user's Jupyter: not on the path, not in the kernels."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "JUPYTER", "GARM", "VIRTUAL_ENV"))}
    return kept | {"PYTHONNOUSERSITE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"} | changes


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, env=surroundings())
    (file,) = folder.glob("*.whl")
    return file


def requirements_of(names):
    """Distributions that `names` require, directly or not, in this environment: {canonical name: distribution}."""
    found, wanted = {}, list(names)
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        needed = [Requirement(text) for text in found[name].requires or []]
        wanted += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """The interpreter of a fresh environment as Colab has it, and a constraints file of what it holds."""
    if os.name == "nt":
        pytest.skip("links to packages need rights that Windows does not give by default")
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    held = requirements_of([*COLAB, "pip"])
    for distribution in held.values():
        for entry in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (packages / entry).exists():  # a namespace that two distributions share
                (packages / entry).symlink_to(distribution.locate_file(entry))
    constraints = folder / "held.txt"
    constraints.write_text("".join(f"{name}=={one.version}\n" for name, one in sorted(held.items())))
    yield python, constraints
    shutil.rmtree(folder)


def installed(python):
    lines = run(python, "-m", "pip", "list", "--format=freeze", env=surroundings()).splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def run_whole(lesson, colab, wheel, folder):
    """The student edition in an empty folder, as it is, from its setup cell to its end."""
    python, constraints = colab
    notebook = folder / lesson.student.name
    shutil.copy(lesson.student, notebook)
    environment = surroundings(GARM_SOURCE=str(wheel), GARM_BUDGET="smoke", PIP_CONSTRAINT=str(constraints))
    run(python, "-c", EXECUTE, notebook, cwd=folder, env=environment)
    assert [path.name for path in folder.iterdir()] == [notebook.name]


def test_the_first_notebook_alone_installs_the_course_and_runs(colab, wheel, tmp_path):
    python, constraints = colab
    before = installed(python)
    assert {"torch", "numpy"} <= set(before)
    assert not {"garm-course", "jupytext", "pytest"} & set(before)
    run_whole(LESSONS[0], colab, wheel, tmp_path)
    after = installed(python)
    assert "garm-course" in after
    assert {name: after.get(name) for name in before} == before  # nothing that was there was replaced
    where = run(python, "-c", "import garm_course; print(garm_course.__file__)", cwd=tmp_path, env=surroundings())
    assert Path(where.strip()).is_relative_to(constraints.parent)


@pytest.fixture
def course(colab, wheel, tmp_path_factory):
    """The interpreter with the course in it, which the first lesson's setup cell installed where no test did."""
    if "garm-course" not in installed(colab[0]):
        run_whole(LESSONS[0], colab, wheel, tmp_path_factory.mktemp("first"))
    return colab[0]


def test_the_last_notebook_runs_to_its_end(course, colab, wheel, tmp_path):
    run_whole(LESSONS[-1], colab, wheel, tmp_path)


def test_the_imports_of_every_lesson_are_there(course, tmp_path):
    program = []
    for lesson in LESSONS:
        setup, imports, *_ = (cell for cell in nbformat.read(lesson.student, as_version=4).cells if is_code(cell))
        assert "GARM_SOURCE" in setup.source
        assert "import" in imports.source
        program.append(f"exec({imports.source!r}, {{}})\nprint({lesson.name!r})\n")
    script = tmp_path / "imports.py"
    script.write_text("".join(program), encoding="utf-8")
    imported = run(course, script, cwd=tmp_path, env=surroundings())
    assert imported.split() == [lesson.name for lesson in LESSONS]


def is_code(cell):
    return cell.cell_type == "code"
