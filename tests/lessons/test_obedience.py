"""The pictures of lesson 17: what a judge refuses is crossed out and counted, and menus make a caption."""

import pytest
import torch

from garm_course.datasets.captions import FACTORS
from garm_course.lessons.lesson17.obedience import Sheet, caption_box, gray_pixels_figure, guided, strips_figure
from garm_course.show import png


def images(n, seed=0):
    return torch.randint(4, (n, 3, 6, 5), generator=torch.Generator().manual_seed(seed))


def rows(*verdicts):
    return {f"row {k}": (images(len(v), k), torch.tensor(v)) for k, v in enumerate(verdicts)}


def crossed_out(fig):
    return [bool(ax.lines) for ax in fig.axes]


def test_what_the_judge_refuses_is_crossed_out_and_counted():
    sheet = Sheet(rows([True, False], [True, True], [False, True]), 4, blocks=2)
    assert sheet.obeyed == pytest.approx(4 / 6)
    assert crossed_out(sheet.figure("a title")) == [False, True, False, False, True, False]
    assert png(sheet.figure("a title")).startswith(b"\x89PNG")


@pytest.mark.parametrize("wrong", [{}, {**rows([True]), "other": rows([True, True])["row 0"]}])
def test_rows_of_different_lengths_and_no_rows_are_refused(wrong):
    with pytest.raises(ValueError, match="expected rows of the same number of images"):
        Sheet(wrong, 4)
    with pytest.raises(ValueError, match="expected one verdict for each image"):
        Sheet({"row": (images(3), torch.tensor([True]))}, 4)


def test_the_slider_chooses_the_strength_and_the_caption_counts(shown):
    guided({w: rows([True] * w + [False] * (4 - w)) for w in range(4)}, levels=4, start=2)
    [(name, alt)], [slider] = shown["first"], shown["sliders"]
    assert "guidance w = 2; ≈ 50% of the samples" in alt
    assert (slider.min, slider.max, slider.value) == (0, 3, 2)
    slider.value = 1
    assert "≈ 25% of the samples" in shown["later"][-1][1]["text/markdown"]
    assert shown["later"][0][0] == name
    with pytest.raises(ValueError, match="expected rows for each integer w"):
        guided({0: rows([True]), 2: rows([True])}, levels=4, start=0)


def test_the_menus_make_the_caption_that_is_drawn(shown):
    asked = []

    def draw(factors):
        asked.append(factors)
        return rows([True, False], [True, True])

    caption_box(draw, {"digit": 7, "slant": 0}, levels=4)
    menus = dict(zip(FACTORS, shown["sliders"], strict=True))
    assert asked == [{"digit": 7, "slant": 0}], "drawn once, for the picture and its caption"
    assert "“a 7 slanted left”; as asked for are ≈ 50% at row 0, ≈ 100% at row 1" in shown["first"][0][1]
    assert repr(menus["bold"]) == "[menu bold: any, regular, bold]"
    menus["slant"].value, menus["hue"].value = "any", "blue"
    assert asked[-1] == {"digit": 7, "hue": list(FACTORS["hue"]).index("blue")}
    menus["hue"].value = menus["digit"].value = "any"
    assert asked[-1] == {}
    assert "the caption “”" in shown["later"][-1][1]["text/markdown"]


def test_only_pixels_between_the_colors_are_left_in_the_third_row():
    colors = torch.tensor([[0, 0, 0], [3, 0, 0]])
    original = colors[torch.tensor([[0, 1], [1, 0]])].permute(2, 0, 1)[None]  # (1, 3, 2, 2)
    gray = original.clone()
    gray[0, 0, 0, 1] = 2
    fig = gray_pixels_figure(original, {"mean": gray}, colors, levels=4, title="gray")
    shown = [ax.images[0].get_array() for ax in fig.axes]
    assert len(shown) == 3
    white = (shown[2] == 1).all(2)
    assert white.tolist() == [[True, False], [True, True]]


def test_a_strip_has_the_colors_of_its_digits():
    colors = torch.tensor([[0, 0, 0], [3, 0, 0], [0, 1, 3]])
    fig = strips_figure({"one": ["012", "200"]}, colors, title="strips")
    [image] = [ax.images[0].get_array() for ax in fig.axes]
    assert torch.equal(torch.tensor(image) * 3, colors[torch.tensor([[0, 1, 2], [2, 0, 0]])].double())
