"""A notebook alone on Colab, simulated: its setup cell installs the course beside Colab's own torch and numpy.

Colab's Python is played by a fresh virtual environment with torch, numpy, matplotlib, ipywidgets, ipykernel and
nbclient, installed by pip as anyone would (about a minute). Sharing this project's site-packages would be faster and
would prove nothing: pip would find garm-course and its dependencies there already. The course comes from a wheel of
this checkout through GARM_SOURCE, since the release tag may not be published yet.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from garm_course.editions import lessons

ROOT = Path(__file__).resolve().parents[2]
LESSONS = lessons(ROOT)
COLAB = ("torch", "numpy", "matplotlib", "ipywidgets", "ipykernel", "nbclient")
pytestmark = pytest.mark.slow

EXECUTE = """
import sys, nbformat, nbclient
nb = nbformat.read(sys.argv[1], as_version=4)
try:
    nbclient.NotebookClient(nb, timeout=300, kernel_name="python3").execute()
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


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """The interpreter of a fresh environment as Colab has it."""
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    constraints = ["-c", ROOT / "constraints.txt"] if (ROOT / "constraints.txt").exists() else []
    run(python, "-m", "pip", "install", "--quiet", *constraints, *COLAB, env=surroundings())
    yield python
    shutil.rmtree(folder)  # 1.6 GB


def installed(python):
    lines = run(python, "-m", "pip", "list", "--format=freeze", env=surroundings()).splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_a_notebook_alone_installs_the_course_and_runs_to_its_end(lesson, colab, wheel, tmp_path):
    run(colab, "-m", "pip", "uninstall", "--quiet", "--yes", "garm-course", env=surroundings())
    before = installed(colab)
    assert "garm-course" not in before
    notebook = shutil.copy(lesson.student, tmp_path)
    run(colab, "-c", EXECUTE, notebook, cwd=tmp_path, env=surroundings(GARM_SOURCE=str(wheel), GARM_BUDGET="smoke"))
    after = installed(colab)
    assert "garm-course" in after
    assert {name: after.get(name) for name in before} == before  # nothing that was there was replaced
    assert [path.name for path in tmp_path.iterdir()] == [Path(notebook).name]
    where = run(colab, "-c", "import garm_course; print(garm_course.__file__)", cwd=tmp_path, env=surroundings())
    assert Path(where.strip()).is_relative_to(colab.parents[1])
