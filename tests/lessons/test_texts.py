"""The pictures of lesson 07: a text that is read, sizes of files, maps of attention, temperatures, a wheel of turns."""

import math
from importlib import import_module

import pytest
import torch

from garm_course.exercises import get
from garm_course.lessons import lesson07
from garm_course.lessons.lesson07 import maps, reading, rotary_wheel, sizes, wheel
from garm_course.show import png

temperatures = import_module("garm_course.lessons.lesson07.temperatures")
VOCABULARY = "\n abc"


def expected(text):
    """A model that gives 0.6 to the character that comes, and 0.1 to each other one."""
    p = torch.full((len(text), len(VOCABULARY)), 0.1)
    for i, character in enumerate(text):
        p[i, VOCABULARY.index(character)] = 0.6
    return p.log()


def words_of(fig):
    """All that is written in a figure."""
    return [text.get_text() for text in (*fig.texts, *(t for ax in fig.axes for t in ax.texts))]


def test_the_caption_says_what_was_expected_and_what_came():
    text = "ab\nca b"
    log_p = expected(text)
    words = reading.reading_caption(log_p, text, VOCABULARY, 3)
    assert words.startswith("After 'ab ' the model expects 'c' with probability ≈ 0.60; the next character is 'c', ")
    assert words.endswith(f"≈ {-math.log(0.6):.1f} nats.")
    log_p[5] = log_p[0]  # 'a' is expected where a space comes
    words = reading.reading_caption(log_p, text, VOCABULARY, 5)
    assert "expects 'a' with probability ≈ 0.60; the next character is 'space', which costs ≈ 2.3 nats." in words


def test_every_character_of_a_text_is_drawn_and_can_be_chosen():
    text = "ab\n\nca b"
    for place in range(len(text)):
        fig = reading.reading_figure(expected(text), text, VOCABULARY, place, rows=4)
        written = "".join(text.get_text() for text in fig.axes[0].texts)
        assert written == text.replace("\n", "¶")
        assert fig.axes[1].get_yticklabels()[0].get_text() == reading.name_of(text[place])
    assert png(fig).startswith(b"\x89PNG")


def test_a_reading_refuses_what_does_not_fit():
    for place, text in ((3, "abc"), (-1, "abc"), (0, "ab")):
        with pytest.raises(ValueError, match="a place in the text"):
            reading.next_characters(expected("abc"), text, VOCABULARY, at=place)


def test_files_are_ordered_by_size_and_labeled_with_kilobytes():
    rungs = {"two": (2 * math.log(2), "table"), "four": (4 * math.log(2), "network"), "one": (math.log(2), "both")}
    fig = sizes.sizes_figure(rungs, 8000, title="Files")
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["four", "two", "one"]
    assert [bar.get_width() for bar in fig.axes[0].patches] == pytest.approx([4, 2, 1])
    assert "2.0 kB, 1.39 nats" in words_of(fig)
    assert not any("compressor" in word for word in words_of(fig)), "a key for kinds that are not there"
    for wrong in ({}, {"a": (1.0, "guess")}):
        with pytest.raises(ValueError, match="expected rungs of the kinds"):
            sizes.sizes_figure(wrong, 8000, title="Files")


def test_a_map_has_a_square_for_each_head_with_a_letter_at_each_row():
    text = "a (b) c"
    weights = [torch.rand(heads, 7, 7).tril() for heads in (2, 1)]
    fig = maps.maps_figure(weights, text, title="Maps")
    assert [ax.get_title(loc="left") or ax.get_title() for ax in fig.axes] == [
        "layer 1, head 1", "layer 1, head 2", "layer 2, head 1",
    ]  # fmt: skip
    ax = fig.axes[1]
    assert "".join(label.get_text() for label in ax.get_yticklabels()) == "a·(b)·c"
    assert "".join(label.get_text() for label in ax.get_xticklabels()) == "^a·(b)·"
    assert torch.allclose(torch.tensor(ax.images[0].get_array().data) ** 2, weights[0][1], atol=1e-6)
    for wrong in ("a\n(b) c", "a (b)", "a"):
        with pytest.raises(ValueError, match="2 to"):
            maps.maps_figure(weights, wrong, title="Maps")


@pytest.mark.parametrize("text", ["", "short", "a\n\nb", "x" * 200, "two\n" + "y" * 60 + "\nthree"])
def test_lines_of_a_page_hold_the_whole_text_in_its_order(text):
    lines = temperatures.lines_of(text, 20)
    assert all(len(line) <= 20 and text[start : start + len(line)] == line for start, line in lines)
    assert "".join(line for _, line in lines) == text.replace("\n", "")
    assert [start for start, _ in lines] == sorted({start for start, _ in lines})


TEXTS = {0.5: "to be or", 0.75: "to\nthe\nend", 1.0: "to $x$"}
MEASURES = {0.5: (0.2, 0.1), 0.75: (0.4, 0.05), 1.0: (0.6, 0.0)}


def test_each_temperature_shows_its_own_text_and_marks_its_own_numbers():
    sizes = set()
    for at, text in TEXTS.items():
        fig = temperatures.temperatures_figure(TEXTS, MEASURES, (0.5, 0.13), "to", at)
        colors = {text.get_text().strip(): text.get_color() for text in fig.texts}
        assert f"temperature {at:g}" in colors
        assert colors["to"] == "#888888"
        rest = text[2:].split("\n")[-1].strip().replace("$", r"\$")
        assert colors[rest] == "black"
        for ax, share in zip(fig.axes, MEASURES[at], strict=True):
            assert ax.lines[-1].get_xydata().tolist() == [[at, pytest.approx(100 * share)]]
            assert list(ax.lines[1].get_xdata()) == [*TEXTS]
        words = temperatures.temperatures_caption(MEASURES, (0.5, 0.13), at)
        assert f"At temperature {at:g}, ≈ {MEASURES[at][0]:.0%} of all" in words
        assert f"≈ {MEASURES[at][1]:.0%} repeat" in words
        sizes.add(tuple(fig.get_size_inches()))
        assert png(fig).startswith(b"\x89PNG")
    assert len(sizes) == 1, "the page jumps when the slider moves"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": {0.5: "to", 0.6: "to", 1.0: "to"}}, "equally far apart"),
        ({"texts": {1.0: "to"}}, "equally far apart"),
        ({"at": 0.6}, "0.6 among them"),
        ({"measures": {0.5: (0, 0)}}, "texts and measures at the same"),
        ({"prompt": "no"}, "start with the prompt 'no'"),
    ],
)
def test_temperatures_that_do_not_fit_are_refused(change, message):
    options = {"texts": TEXTS, "measures": MEASURES, "held_out": (0.5, 0.1), "prompt": "to", "at": 1.0} | change
    with pytest.raises(ValueError, match=message) as caught:
        lesson07.temperatures(**options)
    assert "\n" not in str(caught.value)


def test_the_wheel_turns_as_rotary_does():
    rotary = get("rotary").reference
    # a position that is FREQUENCY at the frequency 1 of two features
    arrows = [torch.tensor([length * math.cos(a), length * math.sin(a)]) for length, a in (wheel.QUERY, wheel.KEY)]
    for query, key in ((0, 0), (9, 5), (3, 20)):
        q, k = (
            rotary(arrow.double().view(1, 1, 1, 2), torch.tensor([wheel.FREQUENCY * place]))
            for arrow, place in zip(arrows, (query, key), strict=True)
        )
        assert wheel.product(query, key) == pytest.approx((q * k).sum().item(), abs=1e-6)
        words = wheel.wheel_caption(query, key)
        assert f"{query - key} places apart, and their product is {wheel.product(query, key):.3f}, " in words
        assert png(wheel.wheel_figure(query, key)).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"places 0..20, got 21 and 3"):
        rotary_wheel(21, 3)


def test_the_widgets_stand_by_themselves_without_a_notebook(capsys):
    rotary_wheel()
    reading.next_characters(expected("abc"), "abc", VOCABULARY, at=1)
    out = capsys.readouterr().out
    assert out.startswith("The query at place 9 and the key at place 5 are 4 places apart")
    assert "After 'a' the model expects 'b'" in out
