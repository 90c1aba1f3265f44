"""A notebook alone on Colab, simulated: its setup cell installs the course beside Colab's own torch and numpy.

Colab's Python is played by a fresh virtual environment that holds torch, numpy, matplotlib, ipywidgets, ipykernel,
nbclient, what these require, and nothing else: links to the packages of the environment that runs this test, so that it
costs seconds and not 1.6 GB. (A `.pth` file or `--system-site-packages` would prove nothing: pip would find garm-course
and its other dependencies there.) The linked versions are a constraint for pip: where the course would have pip replace
one of them, the installation fails, and so does the test. The course comes from a wheel of this checkout through
GARM_SOURCE, since the release tag may not be published yet; its other dependencies come from the package index.

The first lesson and the last one run to their ends; of the others the setup and the imports, since what they do later
is the same here as where nbval runs them.
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
WHOLE = (LESSONS[0], LESSONS[-1])
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


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_a_notebook_alone_installs_the_course_and_runs(lesson, colab, wheel, tmp_path):
    python, constraints = colab
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "garm-course", env=surroundings())
    before = installed(python)
    assert {"torch", "numpy"} <= set(before)
    assert not {"garm-course", "jupytext", "pytest"} & set(before)
    notebook = tmp_path / lesson.student.name
    nb = nbformat.read(lesson.student, as_version=4)
    setup, imports, *_ = (number for number, cell in enumerate(nb.cells) if cell.cell_type == "code")
    assert "GARM_SOURCE" in nb.cells[setup].source
    assert "import" in nb.cells[imports].source
    if lesson not in WHOLE:
        nb.cells = nb.cells[: imports + 1]
    nbformat.write(nb, notebook)
    environment = surroundings(GARM_SOURCE=str(wheel), GARM_BUDGET="smoke", PIP_CONSTRAINT=str(constraints))
    run(python, "-c", EXECUTE, notebook, cwd=tmp_path, env=environment)
    after = installed(python)
    assert "garm-course" in after
    assert {name: after.get(name) for name in before} == before  # nothing that was there was replaced
    assert [path.name for path in tmp_path.iterdir()] == [notebook.name]
    where = run(python, "-c", "import garm_course; print(garm_course.__file__)", cwd=tmp_path, env=surroundings())
    assert Path(where.strip()).is_relative_to(constraints.parent)
