"""`@check` in a real kernel: no answer leaves an error, ends the kernel, or disturbs what comes after it."""

import os

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

from limits import PATIENCE  # noqa: E402

from garm_course.exercises import STUB  # noqa: E402

HEAD = """
import matplotlib.pyplot
import torch
from IPython.display import display
from garm_course.exercises import check, timelimit
def reference(k, kind):
    mask = torch.zeros(k, k)
    mask.view(-1)[: k * k // 2 + (kind == "B")] = 1
    return mask
timelimit.SECONDS = 1.5
_ = torch.manual_seed(5)
"""
ANSWERS = {
    "stub": (STUB, "not attempted"),
    "wrong": ("return reference(k, kind).T", "not yet"),
    "right": ("return reference(k, kind)", "passed"),
    "loop": ("while True: pass", "not yet"),
    "stubborn loop": ("while True:\n        try: torch.ones(3).sum()\n        except: pass", "not yet"),
    "exit": ("exit()", "not yet"),
    "quit": ("quit()", "not yet"),
    "prints": ("print('spam ' * 1000)", "not yet"),
    "displays": ("display('spam'); return reference(k, kind)", "passed"),
    "plots": ("import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show(); return reference(k, kind)", "passed"),
    "leaves a figure": ("import matplotlib.pyplot as plt; plt.plot([1, 2]); return reference(k, kind)", "passed"),
    "asks": ("return input('mask? ')", "not yet"),
    "raises": ("return reference(k, kind) + undefined_name", "not yet"),
    "warns": ("import warnings; warnings.warn('spam'); return reference(k, kind)", "passed"),
}
LAST = "print(torch.rand(1).item(), conv_mask is reference, 'sentinel')"


def execute(sources):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    nbclient.NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3", allow_errors=True).execute()
    return [cell.outputs for cell in notebook.cells]


@pytest.fixture(scope="module")
def outputs():
    sources = [f"@check\ndef conv_mask(k, kind):\n    {body}\n" for body, _ in ANSWERS.values()]
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield execute([HEAD, *sources, LAST, "import random; print(random.random() != 0.8444218515250481)"])
    finally:
        os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_leaves_one_verdict_and_no_error(outputs, name):
    found = outputs[1 + list(ANSWERS).index(name)]
    assert [output.output_type for output in found] == ["display_data"], found
    data = found[0].data
    assert data["text/plain"].startswith(f"conv_mask: {ANSWERS[name][1]}\n")
    assert 'role="status"' in data["text/html"]


def test_own_line_is_quoted_and_nothing_of_this_run_is_in_the_text(outputs):
    text = outputs[1 + list(ANSWERS).index("raises")][0].data["text/plain"]
    assert "in your line `return reference(k, kind) + undefined_name`" in text
    assert "ipykernel" not in text


def test_notebook_goes_on_as_if_nothing_had_happened(outputs):
    import torch

    torch.manual_seed(5)
    assert outputs[0] == []
    assert outputs[-2][0].text == f"{torch.rand(1).item()} False sentinel\n"
    assert outputs[-1][0].text == "True\n"
