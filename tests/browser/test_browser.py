"""The lessons in a real JupyterLab: run all, no error, mathematics set, and the widget's picture moves.

`GARM_SCREENSHOTS=folder` runs them at budget quick and stores what the page looks like, from top to bottom.
"""

import os
from pathlib import Path

import pytest
from limits import PATIENCE

from garm_course.editions import lessons

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LESSONS = tuple(lesson.name for lesson in lessons(Path(__file__).resolve().parents[2]))
WIDGETS = (  # a slider changes a picture
    "01_likelihood", "02_chain_rule", "03_pixelrnn", "04_pixelcnn", "05_pixelcnnpp", "06_sampling", "07_transformer",
    "08_wavenet", "09_video", "10_vae", "11_collapse", "12_vqvae", "13_gan_theory", "14_stable_gans", "15_vae_gan",
    "16_cyclegan", "18_evaluation", "19_trust", "17_vqgan",
    "20_practice",
    "21_capstone",
)  # fmt: skip

READY = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    return Boolean(panel?.context?.isReady && panel.content?.model && panel.sessionContext?.session?.kernel
        && panel.sessionContext.kernelDisplayStatus === 'idle');
}"""
# On a busy machine the page may not know its current notebook yet: then the command does nothing, and says nothing.
RUN_ALL = """() => {
    window.ran = '';
    const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
    const begun = () => Array.from({length: cells.length}, (_, i) => cells.get(i)).some(cell => cell.executionCount);
    const run = () => window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => {
        if (begun()) { window.ran = 'done' } else { setTimeout(run, 1000) }
    }, error => { window.ran = 'failed: ' + error });
    run();
}"""
RAN = """() => window.ran !== ''
    && window.jupyterapp.shell.currentWidget.sessionContext.kernelDisplayStatus === 'idle'"""
CODE_CELLS = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
    return Array.from({length: cells.length}, (_, i) => cells.get(i).toJSON())
        .filter(cell => cell.cell_type === 'code');
}"""
PICTURES = "cell => Array.from(cell.querySelectorAll('.jp-OutputArea img'), image => image.src)"


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    yield page
    context.close()


def run_all(page, lab, lesson):
    """Open a lesson, run all of its cells, and return them as the page has them."""
    if not (lab.folder / f"{lesson}.ipynb").exists():
        pytest.fail(f"no lesson {lesson}; this test drives the lessons that the course promises")
    page.goto(f"{lab.url}/lab/tree/{lesson}.ipynb?token={lab.token}&reset")
    page.wait_for_function(READY)
    page.evaluate(RUN_ALL)
    page.wait_for_function(RAN, timeout=1000 * PATIENCE)
    assert page.evaluate("window.ran") == "done"
    return page.evaluate(CODE_CELLS)


def take_screenshots(page, lesson):
    folder = os.environ.get("GARM_SCREENSHOTS")
    if not folder:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    scroller = page.locator(".jp-WindowedPanel-outer:visible").first
    height, step = scroller.evaluate("node => [node.scrollHeight, node.clientHeight]")
    for number, top in enumerate(range(0, height, step)):
        scroller.evaluate("(node, top) => { node.scrollTop = top }", top)
        page.wait_for_timeout(400)
        page.screenshot(path=str(Path(folder) / f"{lesson}-{number:02}.png"))


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_without_an_error_and_its_first_slider_moves_a_picture(lab, page, lesson):
    cells = run_all(page, lab, lesson)
    try:
        check_outputs(page, cells)
        take_screenshots(page, lesson)
        if lesson in WIDGETS:
            check_sliders(page)
    finally:
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")  # or all kernels stay


def check_outputs(page, cells):
    """No error, neither of Python nor in what the page made of outputs and mathematics; exercises are blank."""
    errors = [output["ename"] for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    assert errors == []
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any("not attempted" in str(cell["outputs"]) for cell in cells)
    assert page.locator(".jp-OutputArea img").count() > 0
    assert page.get_by_text("Error displaying widget").count() == 0
    assert page.get_by_text("Math input error").count() == 0
    assert page.locator("mjx-merror, .MathJax_Error").count() == 0


def check_sliders(page):
    """One step of the first slider of each cell replaces its picture, and the caption says what is shown now."""
    cells = page.locator(".jp-Notebook .jp-Cell", has=page.locator(".widget-slider"))
    assert cells.count()
    for k in range(cells.count()):
        check_slider(page, cells.nth(k))


def check_slider(page, cell):
    """A step forward, or back where the slider stands at its end."""
    handle = cell.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
    before = cell.evaluate(PICTURES)
    caption = cell.locator(".jp-OutputArea").first.inner_text()
    assert before, "the widget shows no picture before it is moved"
    handle.focus()
    page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
    page.wait_for_function(
        "([cell, old]) => JSON.stringify((" + PICTURES + ")(cell)) !== old",
        arg=[cell.element_handle(), page.evaluate("x => JSON.stringify(x)", before)],
        timeout=1000 * PATIENCE,
    )
    after = cell.evaluate(PICTURES)
    assert len(after) == len(before)  # replaced in place, not added
    assert cell.locator(".jp-OutputArea").first.inner_text() != caption  # the caption says what is shown now
    assert cell.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
