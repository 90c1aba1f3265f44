"""Walls: the same law everywhere, one hue a wall, and digits that are whole where they have room."""

import itertools

import pytest
import torch

from garm_course.datasets.glyphs import PALETTE, Glyphs
from garm_course.datasets.walls import hue_of, wall


def crops(n, height, width, seed=0):
    return wall(n, height, width, torch.Generator().manual_seed(seed))


def test_a_wall_has_one_hue_which_its_pixels_show():
    x, hue = crops(60, 32, 48)
    colors = torch.tensor(list(PALETTE.values()))
    assert (((x == 0) | (x == colors[hue][:, :, None, None])).all(1) | (x == 0).all(1)).all()
    assert torch.equal(hue_of(x), hue)
    assert len(hue.unique()) == 6
    assert hue_of(torch.zeros(1, 3, 8, 8, dtype=torch.long)).tolist() == [-1]
    gray = torch.tensor([3, 1, 1])[None, :, None, None].expand(1, 3, 8, 8)  # nearest to red and orange, at a vote
    assert hue_of(gray).item() in (0, 1)


def test_no_row_or_column_differs_from_another():
    x, _ = crops(3000, 28, 28)
    ink = (x.amax(1) > 0).double()
    p = ink.mean()
    for axis in (1, 2):
        each = ink.mean(axis)  # (N, 28)
        error = each.std(0) / 3000**0.5
        assert ((each.mean(0) - p).abs() < 4.5 * error).all()


def test_every_digit_stands_in_its_cell():
    x, _ = crops(1, 120, 120)
    ink = (x[0].amax(0) > 0).long()
    whole = Glyphs("train", size=18, slant=0.0, shift=0, flip=0.0, n=1).prototypes[:, 0]
    shapes = whole[:, 2:26, 2:26]
    assert shapes.sum() == whole.sum(), "no digit is cut"
    found = []
    for top, left in itertools.product(range(24), range(24)):
        cells = ink[top : top + 96, left : left + 96].unflatten(0, (4, 24)).unflatten(2, (4, 24)).transpose(1, 2)
        known = (cells.reshape(16, 1, 576) == shapes.flatten(1)).all(2).any(1)
        found.append(known.sum().item())
    assert sorted(found)[-2:] == [0, 16], "at one place of the cells all are digits, at any other none"


def test_fewer_crops_are_the_first_of_more():
    few, many = crops(3, 32, 32)[0], crops(5, 32, 32)[0]
    assert torch.equal(few, many[:3])
    assert not torch.equal(few, crops(3, 32, 32, seed=1)[0])


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="width"):
        crops(1, 8, 0)
