"""The pictures of lesson 08: the tree reaches what the library reaches, and the next sample is told in words."""

import pytest
import torch

from garm_course.autoregressive.wavenet import WaveNet
from garm_course.datasets import load
from garm_course.evaluation.audits import dependence
from garm_course.lessons.lesson08 import next_sample, reach, reach_tree
from garm_course.show import png


@pytest.mark.parametrize("layers", [1, 4, 6])
def test_the_tree_names_the_strings_that_the_library_reaches(layers):
    model = WaveNet((80,), 3, channels=4, skip=4, dilations=tuple(2**i for i in range(layers))).double()
    oldest = 79 - int(dependence(model, (80,), 3, examples=8)[79].nonzero()[0])
    words = reach.reach_caption(layers)
    assert f"see the last {oldest} samples" in words
    for note, needs in (("G4", 21), ("D4", 28), ("A3", 37)):
        assert (f"{note} ({needs})" in words.partition("too short for")[0]) == (oldest >= needs)
    assert png(reach.reach_figure(layers)).startswith(b"\x89PNG")


def test_other_numbers_of_layers_are_refused():
    with pytest.raises(ValueError, match="1 to 6 layers"):
        reach_tree(7)


def test_what_is_expected_is_told_with_the_sample_that_comes(capsys):
    x = load("plucked", "test", notes="G4", length=100, n=1).x[0]
    log_probs = torch.full((100, 256), 1 / 256).log()
    next_sample(log_probs, x, time=7)
    assert f"between ≈ 256 levels; level {x[7]} comes, and costs ≈ 5.5 nats" in capsys.readouterr().out
    with pytest.raises(ValueError, match="a time in it"):
        next_sample(log_probs, x, time=100)
