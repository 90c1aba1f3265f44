"""The page of `garm demo` in headless Chromium: the samples of Python, no network, keys, and pictures to look at."""

import json
import math

import numpy as np
import pytest
import torch

from garm_course.practice.completion import complete
from garm_course.practice.page import DIGITS, LATENT, TEXT, twin, write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(browser, file):
    requests = []
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.on("request", lambda request: requests.append(request.url))
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelector('#digit-says').textContent.includes('completions')")
    yield page
    page.close()
    assert requests == [file.as_uri()], "the page asked for something"
    assert errors == []


def uniforms(count, seed):
    return np.random.default_rng(seed).random(count)


COMPLETE = """async ({given, particles, u}) => {
  let k = 0;
  return complete(gru, given.map(v => v === null ? undefined : v), particles, 1, () => u[k++]);
}"""


def test_digits_are_those_of_python(page):
    model = twin(DIGITS)
    for seed in range(3):
        u = uniforms((5, 64), seed)
        drawn = page.evaluate(COMPLETE, {"given": [None] * 64, "particles": 5, "u": u.T.flatten().tolist()})
        state, values = model.start(5), []
        for i in range(64):
            p = model.step(state, i, values[-1] if values else None).softmax(-1).cumsum(-1)
            values.append((torch.tensor(u[:, i])[:, None] >= p).sum(-1).clamp(max=16))
        assert torch.stack(values, 1).tolist() == drawn


@pytest.mark.parametrize("where", ["top", "bottom", "scattered"])
def test_completions_are_those_of_python(page, where):
    rng = np.random.default_rng(3)
    image = json.loads(page.evaluate("JSON.stringify(DATA.real[0])"))
    keep = {"top": np.arange(64) < 32, "bottom": np.arange(64) >= 32, "scattered": rng.random(64) < 0.3}[where]
    given = [value if kept else None for value, kept in zip(image, keep, strict=True)]
    u = uniforms(64 * 40, 7)
    drawn = page.evaluate(COMPLETE, {"given": given, "particles": 40, "u": u.tolist()})
    source = iter(u.tolist())
    known = torch.tensor([-1 if value is None else value for value in given])
    mine, _ = complete(
        twin(DIGITS), known, 40, uniform=lambda n: torch.tensor([next(source) for _ in range(n)]).double()
    )
    assert mine.tolist() == drawn
    assert all(row[i] == value for row in drawn for i, value in enumerate(given) if value is not None)


def test_latents_are_decoded_as_in_python(page):
    model, rng = twin(LATENT), torch.Generator().manual_seed(0)
    for y in range(10):
        z = torch.randn(1, model.latents, generator=rng, dtype=torch.float64)
        with torch.no_grad():
            wanted = model.decode(z, torch.tensor([y])).softmax(-1)[0, 0].flatten(0, 1)
        found = page.evaluate("([z, y]) => decoder.probabilities(z, y).map(p => [...p])", [z[0].tolist(), y])
        assert torch.allclose(torch.tensor(found, dtype=torch.float64), wanted, atol=1e-12)


def test_text_goes_on_as_in_python(page):
    model, prompt, u = twin(TEXT), "The expression ", uniforms(60, 5)
    written = page.evaluate(
        """([prompt, u]) => {
          let {state, logits} = writer.step(writer.reset());
          for (const c of prompt) ({state, logits} = writer.step(state, writer.vocabulary.indexOf(c)));
          return u.map(v => {
            const token = draw(softmax(logits), v);
            ({state, logits} = writer.step(state, token));
            return token;
          });
        }""",
        [prompt, u.tolist()],
    )
    vocabulary = page.evaluate("writer.vocabulary")
    tokens = [vocabulary.index(c) for c in prompt]
    with torch.no_grad():
        for value in u:
            logits = model(torch.tensor([[*tokens, 0]]))[0, -1]
            p = logits.softmax(-1).cumsum(-1)
            tokens.append(min(int((value >= p).sum()), len(vocabulary) - 1))
    assert tokens[len(prompt) :] == written


def test_keys_paint_move_and_free(page):
    page.focus("#pixels button:first-child")
    page.keyboard.press("9")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("4")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    assert page.evaluate("[given[0], given[1], given[9] === undefined]") == [16, 7, True]
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "row 2, column 2: free"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # no step around the edge
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("row 2, column 1")


def test_everything_that_can_be_used_has_a_name_and_can_be_reached(page):
    unnamed = page.evaluate(
        """[...document.querySelectorAll('button, input, textarea, canvas[role=img]')].filter(e =>
             !(e.getAttribute('aria-label') || e.textContent || e.labels?.length)).map(e => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.evaluate("[...document.querySelectorAll('[role=status]')].length") == 3


def test_painting_with_a_pointer_draws_completions(page):
    page.click("#clear")
    box = page.locator("#pixels").bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 10, box["y"] + 10, steps=12)
    page.mouse.up()
    assert page.evaluate("given.slice(0, 8).every(v => v === 16) && given.slice(8).every(v => v === undefined)")
    page.wait_for_function("document.querySelector('#digit-says').textContent.startsWith('12 of 12')")


def test_a_prompt_that_cannot_be_read_is_told(page):
    page.fill("#prompt", "é")
    page.click("#write")
    assert "does not know the character é" in page.inner_text("#text-says")
    page.fill("#prompt", "x" * 90)
    page.click("#write")
    assert "at most 80 characters" in page.inner_text("#text-says")
    page.click("#prompts button:nth-child(2)")
    page.wait_for_function("document.querySelector('#text').textContent.length > 40")
    page.click("#write")
    page.wait_for_function("document.querySelector('#text-says').textContent.includes('characters in')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 390])
def test_it_fits_any_screen(browser, file, tmp_path, scheme, width):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelector('#digit-says').textContent.includes('completions')")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 20_000
    page.close()


def test_it_runs_inside_a_sandboxed_frame(browser, file):
    page = browser.new_page()
    page.set_content("<iframe sandbox='allow-scripts' style='width:900px;height:700px'></iframe>")
    page.evaluate("text => document.querySelector('iframe').srcdoc = text", file.read_text(encoding="utf-8"))
    frame = page.frames[-1]
    page.wait_for_timeout(100)
    frame = next(one for one in page.frames if one != page.main_frame)
    frame.wait_for_function("document.querySelector('#digit-says')?.textContent.includes('completions')")
    page.close()


def test_the_page_is_small(file):
    assert file.stat().st_size < 1_100_000
    assert math.isfinite(file.stat().st_size)
