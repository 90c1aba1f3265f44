"""Text: compressors by their files, tables of counts in their order, novelty and repetition by hand and by chance."""

import bz2
import math
import random
from itertools import pairwise

import pytest

from garm_course import datasets
from garm_course.evaluation.text import compressors, novelty, repetition, text_baselines

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "runs", "away", "from", "it"]


def prose(seed, words=400):
    drawn = random.Random(seed)
    return " ".join(drawn.choice(WORDS) for _ in range(words))


def test_a_compressor_is_measured_by_its_file():
    text = prose(0)
    found = compressors(text)
    assert list(found) == ["zlib", "bz2", "lzma"]
    assert found["bz2"] == 8 * len(bz2.compress(text.encode(), 9)) / len(text)
    # each word is one of fourteen and has five characters with its space: no file can be much below, on average
    entropy = len(text.split()) * math.log2(len(WORDS)) / len(text)
    assert all(entropy * 0.9 < bits < 8 for bits in found.values())


def test_what_was_read_before_is_quoted_and_its_own_bytes_do_not_count():
    text, other = prose(1), prose(2)
    alone = compressors(text)
    after_itself, after_another = compressors(text, after=text), compressors(text, after=other)
    for name in ("zlib", "lzma"):
        assert after_itself[name] < 0.1 * alone[name]
    for name, bits in alone.items():
        assert after_itself[name] < after_another[name] < bits + 0.5
    assert compressors(text, after="") == alone
    with pytest.raises(ValueError, match="at least one character, got an empty one"):
        compressors("")


def test_a_longer_memory_predicts_a_text_better():
    train, validation = (datasets.load("pydoc", split, length=128) for split in ("train", "validation"))
    found = text_baselines(train, validation)
    assert list(found) == ["uniform", "unigram", "bigram", "trigram", "4-gram", "5-gram"]
    nats = [figure.nats for figure in found.values()]
    assert nats[0] == pytest.approx(math.log(96))
    assert all(longer < shorter - 0.1 for shorter, longer in pairwise(nats))
    assert {figure.unit for figure in found.values()} == {"character"}


def test_what_a_text_says_is_not_new_and_what_it_cannot_say_is():
    text = prose(0)
    pieces = [text[i : i + 60] for i in range(0, 600, 60)]
    assert novelty(pieces, text) == (0, 0, 0)
    assert novelty([piece.upper() for piece in pieces], text, n=30).value == 1
    fresh = [prose(seed, 12) for seed in range(3, 20)]
    shares = [novelty(fresh, text, n=n).value for n in (2, 5, 8, 12, 20)]
    assert shares == sorted(shares), "an n-gram that occurs has parts that occur"
    assert shares[0] == 0 < shares[2] < shares[-1] < 1


def test_a_loop_repeats_itself_and_an_alphabet_does_not():
    assert repetition(["ab" * 50, "cd" * 50]).value == pytest.approx(91 / 93)
    assert repetition(["abcdefghij", "klmnopqrst"], n=1) == (0, 0, 0)
    assert repetition(["aab", "aaa"], n=1).value == pytest.approx(3 / 6)


def test_the_interval_covers_the_share_of_all_samples_as_often_as_it_says():
    text = prose(0)
    many = [prose(seed, 10) for seed in range(100, 1300)]
    true = novelty(many, text).value
    inside = [low <= true <= high for _, low, high in (novelty(many[i : i + 30], text) for i in range(0, 1200, 30))]
    assert 34 <= sum(inside) <= 40  # of 40, where 38 are due: four standard errors below are 32


def test_an_interval_counts_samples_and_not_their_letters():
    text = prose(0)
    few = [prose(seed, 20) for seed in range(50, 60)]
    once, twice = novelty(few, text), novelty([sample for sample in few for _ in range(2)], text)
    assert twice.value == pytest.approx(once.value)
    assert twice.high - twice.low == pytest.approx((once.high - once.low) * math.sqrt(9 / 19), rel=1e-6)


@pytest.mark.parametrize(
    ("samples", "n", "message"),
    [
        ("one text", 2, "expected a list of at least two samples, got one text"),
        (["alone"], 2, "expected a list of at least two samples, got 1"),
        (["long enough", "no"], 3, "at least n=3 characters, got one of 2; draw longer ones"),
        (["a", "b"], 0, "n=0 is out of range"),
    ],
)
def test_what_has_no_interval_is_refused(samples, n, message):
    for judge in (lambda: novelty(samples, "text", n), lambda: repetition(samples, n)):
        with pytest.raises(ValueError, match=message):
            judge()
