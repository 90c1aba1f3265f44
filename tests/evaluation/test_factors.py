"""Classifiers of factors: what they read, the share that was asked for, features of numbers with a gradient."""

import math

import pytest
import torch

from garm_course import datasets, load_pretrained
from garm_course.datasets.captions import FACTORS, parse
from garm_course.evaluation.features import (
    DigitClassifier,
    FactorClassifier,
    asked_for,
    factor_cross_entropy,
    features,
)
from garm_course.transforms import scale

SHAPE, LEVELS = (3, 12, 12), 4


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return FactorClassifier(SHAPE, LEVELS, channels=4).eval()


@pytest.fixture
def x():
    return torch.randint(LEVELS, (30, *SHAPE), generator=torch.Generator().manual_seed(0))


def test_each_factor_has_its_own_logits(classifier, x):
    logits = classifier(x)
    heads = classifier.split(logits)
    assert [h.shape[1] for h in heads.values()] == [10, 6, 3, 2, 2, 3]
    assert torch.equal(torch.cat(list(heads.values()), 1), logits)
    read = classifier.read(x, batch_size=7)
    assert list(read) == list(FACTORS)
    assert all(torch.equal(read[name], heads[name].argmax(1)) for name in FACTORS)


def test_the_loss_is_the_probability_of_all_factors_at_once(classifier, x):
    y = torch.stack([torch.arange(30) % n for n in classifier.heads.values()], 1)
    with torch.no_grad():
        p = torch.stack([h.softmax(1)[torch.arange(30), y[:, k]] for k, h in
                         enumerate(classifier.split(classifier(x)).values())], 1)  # fmt: skip
    assert factor_cross_entropy(classifier, x, y).item() == pytest.approx(-p.prod(1).log().mean().item(), rel=1e-5)
    blind = torch.nn.Module()
    blind.forward, blind.split = lambda x: torch.zeros(len(x), 26), classifier.split
    uniform = sum(math.log(n) for n in classifier.heads.values())
    assert factor_cross_entropy(blind, x, y).item() == pytest.approx(uniform, rel=1e-6)


def test_the_share_that_was_asked_for(classifier, x):
    read = classifier.read(x)
    digit, hue = int(read["digit"].mode().values), int(read["hue"][0])
    found = asked_for(classifier, x, {"digit": digit, "hue": hue})
    right = {"digit": read["digit"] == digit, "hue": read["hue"] == hue}
    right["all"] = right["digit"] & right["hue"]
    assert found == {name: share.double().mean().item() for name, share in right.items()}
    assert found["digit"] > 0
    # of images with captions of their own: where nothing was asked for, nothing can be wrong
    mine = {"digit": read["digit"].clone(), "hue": torch.full((30,), -1)}
    mine["digit"][:10] = -1
    mine["digit"][10:15] = (mine["digit"][10:15] + 1) % 10
    assert asked_for(classifier, x, mine) == {"digit": 0.75, "all": 0.75}
    mine["hue"][:10] = read["hue"][:10]
    assert asked_for(classifier, x, mine) == {"digit": 0.75, "hue": 1.0, "all": pytest.approx(25 / 30)}


@pytest.mark.parametrize(
    ("factors", "words"),
    [({"color": 1}, "no factor color; known: digit, hue"), ({}, "at least one factor"), ({"hue": -1}, "at least one")],
)
def test_what_nobody_can_ask_for_is_refused(classifier, x, factors, words):
    with pytest.raises(ValueError, match=words) as error:
        asked_for(classifier, x, factors)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cls", [DigitClassifier, FactorClassifier])
def test_features_of_numbers_are_those_of_levels_and_have_a_gradient(cls, x):
    torch.manual_seed(0)
    classifier = cls(SHAPE, LEVELS, channels=4).requires_grad_(False).eval()
    numbers = scale(x, LEVELS).requires_grad_()
    assert torch.equal(classifier.from_scaled(numbers), classifier.features(x))
    classifier.from_scaled(numbers).sum().backward()
    assert numbers.grad.abs().sum() > 0
    maps = classifier.maps(numbers.detach())
    assert [tuple(m.shape) for m in maps] == [(30, 4, 6, 6), (30, 8, 3, 3)]
    assert torch.equal(maps[0], classifier.hidden[:2](numbers))
    assert all((m >= 0).all() for m in maps)
    for bad, error in ((x, TypeError), (torch.zeros(2, 3, 8, 8), ValueError)):
        with pytest.raises(error, match="images") as caught:
            classifier.from_scaled(bad)
        assert "\n" not in str(caught.value)


def test_a_classifier_of_factors_has_no_classes_of_its_own():
    with pytest.raises(ValueError, match="n_classes=0"):
        FactorClassifier(SHAPE, LEVELS, 10)


def test_teacher_and_judge_come_back_frozen_read_most_factors_and_are_not_one_network():
    data = datasets.load("colored_glyphs", "validation", n=300, keep=1.0, empty=0.0)
    found = []
    for name in ("teacher", "judge"):
        network = load_pretrained(f"{name}-colored_glyphs")
        assert not any(w.requires_grad for w in network.parameters())
        asked = {factor: data.labels[:, k] for k, factor in enumerate(FACTORS)}
        shares = asked_for(network, data.x, asked)
        assert all(shares[factor] > 0.95 for factor in ("digit", "hue", "slant", "bold", "size"))
        assert shares["serif"] > 0.8
        assert asked_for(network, data.x[:1], parse(data.caption(0)))["digit"] == 1
        found.append(features(network, data.x))
    assert not torch.allclose(*found, atol=1.0)
