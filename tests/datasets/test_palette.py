"""Colors of the palette: which pixels have none, and the nearest one."""

import pytest
import torch

from garm_course.datasets import load
from garm_course.datasets.palette import COLORS, mixed_pixels, snap
from garm_course.transforms import scale


def test_data_have_no_mixed_pixel_and_are_left_as_they_are():
    data = load("colored_glyphs", "validation", n=50)
    x = scale(data.x, data.levels)
    assert not mixed_pixels(x).any()
    assert torch.equal(snap(x), data.x)


def test_a_mixed_pixel_is_counted_and_gets_the_nearest_color():
    x = 2 * torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(0)) - 1
    levels = ((x + 1) * 1.5).round().long()
    expected, colors = torch.zeros(3, dtype=torch.long), [tuple(c) for c in COLORS.tolist()]
    for b in range(3):
        for i in range(5):
            for j in range(5):
                expected[b] += tuple(levels[b, :, i, j].tolist()) not in colors
                near = (scale(COLORS, 4) - x[b, :, i, j]).norm(dim=1).argmin()
                assert torch.equal(snap(x)[b, :, i, j], COLORS[near])
    assert torch.equal(mixed_pixels(x), expected)
    assert expected.min() > 0


@pytest.mark.parametrize("function", [mixed_pixels, snap])
def test_images_without_three_colors_are_refused(function):
    with pytest.raises(ValueError, match=r"color images \(B, 3, H, W\).*got shape \(2, 1, 4, 4\)"):
        function(torch.zeros(2, 1, 4, 4))
