"""Run a notebook in a fresh kernel, always in the same surroundings, never in place."""

import copy
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from garm_course.editions.address import EditionError

if TYPE_CHECKING:
    from nbformat import NotebookNode

# One thread: with another number, sums differ in the last digits and a trained model by a percent.
_FIXED = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "PYTHONHASHSEED": "0",
    "GARM_PROGRESS": "0",
    "GARM_RECORD": "0",
    "TQDM_DISABLE": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "ACCELERATE_USE_CPU": "true",
}
# An author's own settings must not reach a stored page.
_REMOVED = ("GARM_BUDGET", "GARM_GRADING", "GARM_PROBE_SEED", "MPLBACKEND", "PYTHONSTARTUP", "PYTHONWARNINGS")


def surroundings(**changes: str) -> dict[str, str]:
    """Environment of a kernel: this process's, with one thread, no accelerator, no progress bars; then `changes`."""
    kept = {key: value for key, value in os.environ.items() if key not in _REMOVED}
    return kept | _FIXED | changes


def execute(nb: "NotebookNode", folder: Path, *, timeout: float = 600, **changes: str) -> "NotebookNode":
    """An executed copy of the notebook.

    Args:
        nb: the notebook; it is not changed.
        folder: working folder of the kernel.
        timeout: seconds for one cell.
        changes: environment variables, for example `GARM_BUDGET="smoke"`.

    Raises:
        EditionError: a cell raised or took too long; the message names the cell.
    """
    try:
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    except ModuleNotFoundError:
        raise EditionError("nbclient is missing; install the tools for authors: pip install -e '.[dev]'") from None

    nb = copy.deepcopy(nb)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        nb,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],  # the kernel's warning about its own transport is no news
        resources={"metadata": {"path": str(folder)}},
    )
    with tempfile.TemporaryDirectory() as profile:  # no start-up files, no history of the person who releases
        try:
            client.execute(env=surroundings(IPYTHONDIR=profile, **changes))
        except CellExecutionError as error:
            raise EditionError(f"{_where(nb)} raised {error.ename}: {_one_line(error.evalue)}") from error
        except CellTimeoutError:
            raise EditionError(f"{_where(nb)} took more than {timeout:g} seconds") from None
        except DeadKernelError:
            raise EditionError(f"{_where(nb)} killed its kernel (memory?)") from None
    return nb


def _where(nb: "NotebookNode") -> str:
    """The last cell that began to run, by number and first line."""
    code = [(i, cell) for i, cell in enumerate(nb.cells, start=1) if cell.cell_type == "code"]
    begun = [(i, cell) for i, cell in code if cell.execution_count is not None or cell.outputs] or code[:1]
    i, cell = begun[-1]
    return f"cell {i} ({_one_line(cell.source)})"


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else "")[:120]
