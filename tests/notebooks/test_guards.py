"""The guards refuse what nbval would let pass, and the stored notebooks of both editions have no fault."""

import base64
import copy
import io
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from garm_course.editions import lessons, notebooks
from garm_course.editions.guards import FIGURE_BYTES, NOTEBOOK_BYTES, faults

ROOT = Path(__file__).resolve().parents[2]
STORED = [path for one in lessons(ROOT) for path in (one.solutions, one.student)]
ALT = "Validation falls from 120 to 81 nats in pixel-wise steps."


@pytest.mark.parametrize("path", STORED, ids=[f"{path.parent.name}/{path.stem}" for path in STORED])
def test_a_stored_notebook_has_no_fault(path):
    assert faults(notebooks.read(path), size=path.stat().st_size) == []


def picture(image):
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def figure(image=None, alt=ALT):
    image = image or Image.radial_gradient("L")
    metadata = {"image/png": {"alt": alt}} if alt is not None else {}
    return new_output("display_data", {"image/png": picture(image), "text/plain": "[figure]"}, metadata=metadata)


def caption(text=ALT):
    return new_output("display_data", {"text/plain": text[:40] + "\n" + text[40:], "text/markdown": f"*{text}*"})


@pytest.fixture
def nb():
    """A small notebook that may be stored."""
    cells = [
        new_markdown_cell("# Title"),
        new_code_cell("print(1)", execution_count=1, outputs=[new_output("stream", name="stdout", text="1\n")]),
        new_code_cell("show(fig, alt)", execution_count=2, outputs=[figure(), caption()]),
        new_code_cell("claims()", execution_count=3),
    ]
    return new_notebook(cells=cells)


def test_a_sound_notebook_has_no_fault(nb):
    assert faults(nb, size=NOTEBOOK_BYTES) == []


def cleared(nb):
    for cell in nb.cells[1:]:
        cell.execution_count, cell.outputs = None, []


def skipped(nb):
    nb.cells[2].execution_count = 5


def last_not_run(nb):
    nb.cells[3].execution_count = None


def error(nb):
    nb.cells[1].outputs.append(new_output("error", ename="ValueError", evalue="x", traceback=[]))


def warning(nb):
    nb.cells[1].outputs.append(new_output("stream", name="stderr", text="UserWarning: odd\n"))


def blank_figure(nb):
    nb.cells[2].outputs[0] = figure(Image.new("RGB", (300, 200), "white"))


def broken_figure(nb):
    nb.cells[2].outputs[0].data["image/png"] = base64.b64encode(b"not a picture").decode()


def truncated_figure(nb):
    whole = nb.cells[2].outputs[0].data["image/png"]
    nb.cells[2].outputs[0].data["image/png"] = whole[: len(whole) // 8 * 4]


def large_figure(nb):
    nb.cells[2].outputs[0] = figure(Image.effect_noise((400, 400), 90))
    assert len(nb.cells[2].outputs[0].data["image/png"]) > FIGURE_BYTES


def no_alt(nb):
    nb.cells[2].outputs[0] = figure(alt=None)


def empty_alt(nb):
    nb.cells[2].outputs[0] = figure(alt="  ")


def no_caption(nb):
    nb.cells[2].outputs.pop()


def caption_above(nb):
    nb.cells[2].outputs.reverse()


def other_caption(nb):
    nb.cells[2].outputs[1] = caption(ALT.replace("81", "80"))


def path_in_output(nb):
    nb.cells[1].outputs[0].text = "saved in /home/ada/course/run\n"


def windows_path(nb):
    nb.cells[1].outputs[0].text = "saved in C:\\Users\\ada\n"


def path_in_text(nb):
    nb.cells[0].source = f"See {ROOT}/README.md"


def figure_beside_its_claim(nb):
    nb.cells[1].outputs[0].text = "one = 2\nmiddle pixels = 0.9999 (claimed 0.4 ± 0.001: holds)\n"


def exact_figure_beside_its_claim(nb):
    nb.cells[1].outputs[0].text = "weights == 271 (claimed 272: holds)\n"


def figure_that_holds(nb):
    nb.cells[1].outputs[0].text = "NLL = 81.8 nats (claimed 81.8 ± 1.5: does NOT hold)\n"


def no_claims(nb):
    nb.cells[3].source = "# claims()"


def claims_not_last(nb):
    nb.cells.append(new_code_cell("print(2)", execution_count=4))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cleared, "cell 2 was not executed"),
        (skipped, "cell 3 has execution count 5, expected 2"),
        (last_not_run, "cell 4 was not executed, expected 3"),
        (error, "cell 2 stores an error, ValueError"),
        (warning, "cell 2 stores a warning: UserWarning: odd"),
        (blank_figure, "cell 3: a blank figure"),
        (broken_figure, "cell 3: a figure that does not decode"),
        (truncated_figure, "cell 3: a figure that does not decode"),
        (large_figure, "cell 3: a figure of"),
        (no_alt, "cell 3: a figure without alternative text"),
        (empty_alt, "cell 3: a figure without alternative text"),
        (no_caption, "cell 3: a figure whose alternative text is not printed under it"),
        (caption_above, "cell 3: a figure whose alternative text is not printed under it"),
        (other_caption, "cell 3: a figure whose alternative text is not printed under it"),
        (path_in_output, "cell 2 shows a path of one machine: saved in /home/ada/course/run"),
        (windows_path, "cell 2 shows a path of one machine"),
        (path_in_text, "cell 1 shows a path of one machine"),
        (figure_beside_its_claim, "cell 2 says 'holds' of what does not: middle pixels = 0.9999"),
        (exact_figure_beside_its_claim, "cell 2 says 'holds' of what does not: weights == 271"),
        (figure_that_holds, "cell 2 says 'does NOT hold' of what does: NLL = 81.8 nats"),
        (no_claims, "the last code cell does not call claims()"),
        (claims_not_last, "the last code cell does not call claims()"),
    ],
)
def test_one_fault_is_found_and_named(nb, spoil, message):
    sound = copy.deepcopy(nb)
    spoil(nb)
    assert nb != sound
    found = faults(nb)
    assert any(fault.startswith(message) for fault in found), found
    assert len(found) == 1


@pytest.mark.parametrize(
    "line",
    [
        "NLL = 83.3 nats (claimed 81.8 ± 1.5: holds)",
        "NLL = 83.30 nats (claimed 81.8 ± 1.5: does NOT hold)",  # 83.304, before it was rounded
        "NLL = 83.31 nats (claimed 81.8 ± 1.5: does NOT hold)",
        "difference = 3.1e-10 (claimed 0 ± 1e-09: holds)",
        "weights == 272 (claimed 272: holds)",
        "NLL = 400 nats (claim skipped at budget smoke)",
    ],
)
def test_a_verdict_that_is_deserved_is_none(nb, line):
    nb.cells[1].outputs[0].text = line + "\n"
    assert not [fault for fault in faults(nb) if "says" in fault]


def test_a_large_notebook_is_a_fault(nb):
    assert faults(nb, size=NOTEBOOK_BYTES + 1)[0].startswith("the notebook has 400,001 bytes")


def test_an_error_shown_on_purpose_is_tagged(nb):
    error(nb)
    nb.cells[1].metadata.tags = ["raises-exception"]
    assert faults(nb) == []


@pytest.mark.parametrize(
    "text", ["a ratio of 3/4 nats/dim", "https://example.org/home/x", "GET /root", "usr/share", "s/tmp/x/"]
)
def test_a_slash_is_not_yet_a_path(nb, text):
    nb.cells[1].outputs[0].text = text
    assert faults(nb) == []
