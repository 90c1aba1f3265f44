"""How text is judged: against tables of counts and compressors, and generated text by what is new and what repeats.

Novelty and repetition look at n-grams, n characters in a row. Neither is good or bad by itself: compare with held-out
text in pieces as long as the samples.
"""

import bz2
import lzma
import zlib
from collections.abc import Sequence

from garm_course.autoregressive.ngram import NGram
from garm_course.datasets.text import Text
from garm_course.evaluation.likelihood import Likelihood, evaluate
from garm_course.evaluation.marginals import Uniform
from garm_course.evaluation.samples import Interval
from garm_course.inputs import check_settings

COMPRESSORS = {
    "zlib": lambda data: zlib.compress(data, 9),
    "bz2": lambda data: bz2.compress(data, 9),
    "lzma": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
}
ORDERS = {"unigram": 0, "bigram": 1, "trigram": 2, "4-gram": 3, "5-gram": 4}  # characters before each


def compressors(text: str, after: str = "") -> dict[str, float]:
    """What general compressors make of a text, in bits per character: eight times the bytes over the characters.

    Args:
        text: at least one character.
        after: a text that is compressed before it, from which a compressor may quote; its own bytes do not count.

    Returns:
        {"zlib": ..., "bz2": ..., "lzma": ...}, each at its highest setting.

    Raises:
        ValueError: for an empty text.

    Example:
        >>> text = "the chain rule of probability"
        >>> compressors(text, after=text)["bz2"] < compressors(text)["bz2"]
        True
    """
    if not text:
        raise ValueError("expected a text of at least one character, got an empty one")
    before, both = after.encode(), (after + text).encode()
    bits = {}
    for name, compress in COMPRESSORS.items():
        size = len(compress(both)) - (len(compress(before)) if before else 0)
        bits[name] = 8 * size / len(text)
    return bits


def text_baselines(train: Text, data: Text) -> dict[str, Likelihood]:
    """Equally likely characters, and tables of counts with Witten-Bell smoothing, in the windows of a text.

    Args:
        train: the text that is counted.
        data: the text that is scored, in windows that do not overlap.

    Returns:
        {"uniform": ..., "unigram": ..., "bigram": ..., "trigram": ..., "4-gram": ..., "5-gram": ...}, in nats per
        character. A table starts anew in each window, as any model does.
    """
    tables = {name: NGram(data.shape, train.levels, order=order) for name, order in ORDERS.items()}
    for table in tables.values():
        table.fit_counts(train.tokens)
    models = {"uniform": Uniform(train.levels), **tables}
    return {name: evaluate(model, data).per_position for name, model in models.items()}


def novelty(samples: Sequence[str], text: str, n: int = 8) -> Interval:
    """The share of the n-grams of samples that do not occur in a text: 0 for a model that only quotes.

    Args:
        samples: at least two texts that were drawn independently, each of at least n characters.
        text: what the model was trained on.
        n: characters in a row, at least 1.

    Returns:
        The share in [0, 1] with its 95 % interval, over the samples: n-grams of one sample are not independent.

    Raises:
        ValueError: for fewer samples, shorter ones, or n out of range.

    Example:
        >>> novelty(["abcabc", "abcdef"], "abcabcabc", n=3).value  # of 4 each: bcd, cde and def are new
        0.375
    """
    known = set(_ngrams(text, n))
    return _share([[gram not in known for gram in grams] for grams in _each(samples, n)])


def repetition(samples: Sequence[str], n: int = 8) -> Interval:
    """The share of the n-grams of a sample that stood in it before: near 1 for a model that is caught in a loop.

    Args:
        samples: see `novelty`; longer ones repeat more, so compare those of one length only.
        n: see `novelty`.

    Returns:
        The share in [0, 1) with its 95 % interval, over the samples.

    Raises:
        ValueError: see `novelty`.

    Example:
        >>> repetition(["ababab", "abcdef"], n=2).value  # of 5 each: ab, ba, ab stood there before
        0.3
    """
    return _share([[gram in grams[:i] for i, gram in enumerate(grams)] for grams in _each(samples, n)])


def _ngrams(text: str, n: int) -> list[str]:
    return [text[i : i + n] for i in range(len(text) - n + 1)]


def _each(samples: Sequence[str], n: int) -> list[list[str]]:
    """The n-grams of each sample."""
    check_settings(1, whole=True, n=n)
    if isinstance(samples, str) or len(samples) < 2:
        got = "one text" if isinstance(samples, str) else f"{len(samples)}"
        raise ValueError(f"expected a list of at least two samples, got {got}; the interval is over samples")
    if (shortest := min(map(len, samples))) < n:
        raise ValueError(f"expected samples of at least n={n} characters, got one of {shortest}; draw longer ones")
    return [_ngrams(sample, n) for sample in samples]


def _share(found: list[list[bool]]) -> Interval:
    """The share of what is true, with a standard error over the rows, which may be of different lengths."""
    total = sum(map(len, found))
    share = sum(map(sum, found)) / total
    squares = sum((sum(row) - share * len(row)) ** 2 for row in found)
    half = 1.96 * (squares * len(found) / (len(found) - 1)) ** 0.5 / total
    return Interval(share, max(0.0, share - half), min(1.0, share + half))
