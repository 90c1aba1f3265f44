"""Captions: what they say is true of the image, words go missing as often as they should, bad ones are refused."""

import pytest
import torch

from garm_course.datasets import load
from garm_course.datasets.captions import FACTORS, LENGTH, SANS, VOCABULARY, decode, describe, encode, parse


@pytest.fixture(scope="module")
def data():
    return load("colored_glyphs", "train", n=3000)


def test_every_word_of_a_caption_is_true_of_its_image(data):
    values = {
        "digit": data.factors["digit"].tolist(),
        "hue": [FACTORS["hue"].index(hue) for hue in data.factors["hue"]],
        "slant": [(-0.2, 0.0, 0.2).index(round(slant, 3)) for slant in data.factors["slant"].tolist()],
        "bold": [int("Bol" in font or font == "cmb10") for font in data.factors["font"]],
        "serif": [int(font not in SANS) for font in data.factors["font"]],
        "size": [(16, 18, 20).index(size) for size in data.factors["size"].tolist()],
    }
    assert data.labels.T.tolist() == [values[name] for name in FACTORS]
    assert list(values) == list(FACTORS)
    for i in range(300):
        assert all(values[name][i] == index for name, index in parse(data.caption(i)).items())
        assert describe(parse(data.caption(i))) == (data.caption(i) or "a digit")
        assert torch.equal(encode(data.caption(i)), data.tokens[i])


def test_the_hue_and_the_slant_that_a_caption_names_are_those_of_the_pixels():
    data = load("colored_glyphs", "validation", keep=1.0, empty=0.0, flip=0.0)
    for word, (red, green, blue) in (("red", (3, 0, 0)), ("blue", (0, 1, 3)), ("purple", (2, 0, 3))):
        x = torch.stack([x for i, x in enumerate(data.x[:200]) if word in data.caption(i).split()])
        assert [int(x[:, k].max()) for k in range(3)] == [red, green, blue]
    lean = {}
    for word in ("left", "upright", "right"):  # how far the top is right of the bottom, on average
        ink = torch.stack([x.amax(0) > 0 for i, x in enumerate(data.x) if word in data.caption(i).split()]).double()
        at = torch.arange(28.0, dtype=torch.float64)
        top, bottom = ((part * at).sum((1, 2)) / part.sum((1, 2)) for part in (ink[:, :14], ink[:, 14:]))
        lean[word] = (top - bottom).mean()
    assert lean["left"] + 1 < lean["upright"] < lean["right"] - 1


def test_words_are_left_out_as_often_as_they_should_be(data):
    empty = data.tokens.sum(1) == 0
    assert abs(empty.double().mean() - 0.1) < 4 * (0.1 * 0.9 / len(data)) ** 0.5
    named = [parse(data.caption(i)) for i in (~empty).nonzero().flatten().tolist()]
    for name in FACTORS:
        share = sum(name in asked for asked in named) / len(named)
        assert abs(share - 0.8) < 4 * (0.8 * 0.2 / len(named)) ** 0.5
    full = load("colored_glyphs", "train", n=50, keep=1.0, empty=0.0)
    assert all(set(parse(full.caption(i))) == set(FACTORS) for i in range(50))


def test_captions_stay_the_same_and_fewer_are_the_first_of_more(data):
    few = load("colored_glyphs", "train", n=40)
    assert torch.equal(few.tokens, data.tokens[:40])
    assert torch.equal(few.x, data.x[:40])
    assert not torch.equal(load("colored_glyphs", "validation", n=40).tokens, few.tokens)
    first, again = (data.redraw(torch.Generator().manual_seed(k)) for k in (5, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, data.tokens)
    assert first.shape == (3000, LENGTH)


def test_tokens_are_words_and_then_zeros(data):
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 29
    assert int(data.tokens.max()) == 29
    ends = (data.tokens > 0).long().diff(dim=1)
    assert (ends <= 0).all()
    assert (data.tokens[:, -1] == 0).all()


def test_the_order_of_words_does_not_matter():
    assert torch.equal(encode("7 red Small"), encode("a small red 7"))
    assert decode(encode("bold slanted left digit")) == "a bold digit slanted left"
    assert encode("").tolist() == [0] * LENGTH


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: parse("a crimson 7"), ["unknown word 'crimson'", "a, digit, slanted, 0, 1", "red, orange", "large"]),
        (lambda: encode("red blue 7"), ["expected one hue", "'red' and 'blue'", "leave one of them out"]),
        (lambda: decode(torch.tensor([3, 30])), ["0..29", "3..30"]),
        (lambda: decode(torch.zeros(2, 10, dtype=torch.long)), ["(2, 10)", "one caption at a time"]),
        (lambda: load("colored_glyphs", keep=1.5), ["probability in [0, 1] as keep", "1.5"]),
        (lambda: load("colored_glyphs", empty="no"), ["as empty", "'no'"]),
    ],
)
def test_bad_captions_are_refused(ask, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        ask()
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
