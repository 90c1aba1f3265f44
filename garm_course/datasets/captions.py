"""Colored glyphs with captions: every word of a caption names a factor that is known, so obedience can be counted.

A caption may leave words out, and some are empty: a model of images given captions learns what to do with any part of
one, and with none.
"""

import torch
from torch import Tensor

from garm_course.datasets.base import SPLITS
from garm_course.datasets.glyphs import PALETTE, Glyphs

SIZES, SLANTS = (16, 18, 20), (-0.2, 0.0, 0.2)  # pixels; to the right per pixel of height
BOLD = ("DejaVuSans-Bold", "DejaVuSansMono-Bold", "DejaVuSerif-Bold", "STIXGeneralBol", "cmb10")
SANS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold", "cmss10")

# factor -> the word for each of its values
FACTORS = {
    "digit": tuple("0123456789"),
    "hue": tuple(PALETTE),
    "slant": ("left", "upright", "right"),
    "bold": ("regular", "bold"),
    "serif": ("sans", "serif"),
    "size": ("small", "medium", "large"),
}
ORDER = ("size", "bold", "hue", "serif", "digit", "slant")  # of the words in a caption
VOCABULARY = ("a", "digit", "slanted", *(word for words in FACTORS.values() for word in words))  # token k + 1 is word k
LENGTH = 10  # tokens in a caption; those after its words are 0


class CaptionedGlyphs(Glyphs):
    """Glyphs in color, each with a caption such as "a small bold red serif 7 slanted left".

    A caption names each factor with probability `keep`, and is empty with probability `empty`, by draws of the split
    that stay the same. Shifts and fonts have no words.

    Card:
        What: printed digits in 6 hues, with captions whose every word is a known factor.
        Source: drawn from the outlines of the fonts inside matplotlib, as `glyphs` in color is.
        Licence: of the fonts: Bitstream Vera (DejaVu), STIX, BaKoMa (Computer Modern).
        Size: 5,000 images for training, 1,000 each for validation and test, or as many as you ask for.
        Cite: this course; the fonts as their licences say.
        Flaws: captions are made from six factors by one template, so nothing is said in two ways. Some fonts differ by
            less than the flips change, which is why "serif" is hard to see.

    Args:
        split: "train", "validation" or "test".
        n: images in this split, see `Glyphs`.
        keep: probability that a caption names a factor, in [0, 1].
        empty: probability that a caption is empty, in [0, 1].
        flip: probability of a pixel to flip, in [0, 0.5).
        seed: of the draws.

    Attributes:
        factors: of each image, as in `Glyphs`.
        labels: LongTensor (N, 6), the factors as indices into the words of `FACTORS`, in its order.
        tokens: LongTensor (N, 10), the captions: 1 + the place of each word in `VOCABULARY`, then zeros.

    Raises:
        ValueError: for an option out of range.

    Example:
        >>> data = CaptionedGlyphs("test", n=4, keep=1.0, empty=0.0)
        >>> data.caption(0)
        'a large bold red sans 9 slanted right'
        >>> parse(data.caption(0))
        {'digit': 9, 'hue': 0, 'slant': 2, 'bold': 1, 'serif': 0, 'size': 2}
    """

    def __init__(
        self, split: str = "train", n: int | None = None, *, keep: float = 0.8, empty: float = 0.1, flip: float = 0.01,
        seed: int = 0,
    ):  # fmt: skip
        for name, value in (("keep", keep), ("empty", empty)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"expected a probability in [0, 1] as {name}, got {value!r}")
        super().__init__(split, n=n, flip=flip, color=True, size=SIZES, slant=SLANTS, seed=seed)
        self.name, self.chances = "colored_glyphs", (keep, empty)
        self.labels = torch.tensor([
            [digit, FACTORS["hue"].index(hue), SLANTS.index(round(slant, 3)), font in BOLD, font not in SANS,
             SIZES.index(size)]
            for digit, hue, slant, font, size in zip(
                self.factors["digit"].tolist(), self.factors["hue"], self.factors["slant"].tolist(),
                self.factors["font"], self.factors["size"].tolist(), strict=True)
        ])  # fmt: skip
        self._full = _full_captions(self.labels)
        # other numbers than those of the images, whose generators have the seeds 3 seed + split
        self.tokens = self.redraw(torch.Generator().manual_seed(3 * seed + SPLITS.index(split) + 2**61))

    def redraw(self, rng: torch.Generator) -> Tensor:
        """Captions anew, other words left out: LongTensor (N, 10); for trainings that vary them.

        Args:
            rng: a row of uniforms an image is drawn from it.
        """
        keep, empty = self.chances
        u = torch.rand(len(self), 1 + len(ORDER), generator=rng, dtype=torch.float64)
        return _shortened(self._full, (u[:, 1:] < keep) & (u[:, :1] >= empty), u[:, 0] < empty)

    def caption(self, i: int) -> str:
        """The caption of image i, "" if it is empty."""
        return decode(self.tokens[i])


def parse(text: str) -> dict[str, int]:
    """What a caption asks for: the place of its word in `FACTORS`, for each factor that it names.

    Args:
        text: words of `VOCABULARY` in any order; "" asks for nothing.

    Raises:
        ValueError: for an unknown word, with all known ones in the message, or two values of one factor.

    Example:
        >>> parse("a red 7 slanted left")
        {'digit': 7, 'hue': 0, 'slant': 0}
    """
    asked = {}
    for word in _words(text):
        for name, values in FACTORS.items():
            if word in values:
                index = values.index(word)
                if asked.setdefault(name, index) != index:
                    raise ValueError(
                        f"expected one {name}, got {values[asked[name]]!r} and {word!r} in {text!r}; leave one of them "
                        "out"
                    )
    return {name: asked[name] for name in FACTORS if name in asked}


def describe(asked: dict[str, int]) -> str:
    """The caption that asks for these factors, its words in the order that captions of the data have.

    Example:
        >>> describe({"digit": 7, "hue": 0, "slant": 0}), describe({"size": 2})
        ('a red 7 slanted left', 'a large digit')
        >>> describe({"digit": 0, "hue": 1})  # the same token as "a"
        'an orange 0'
    """
    words = ["a"]
    for name in ORDER:
        if name in asked:
            word = FACTORS[name][asked[name]]
            words += ["slanted", word] if word in ("left", "right") else [word]
        elif name == "digit":
            words.append("digit")
    return _spoken(words)


def encode(text: str) -> Tensor:
    """A caption as tokens, as the data have it: LongTensor (10,), the words put into the order of the data's captions.

    Raises:
        ValueError: as for `parse`.

    Example:
        >>> encode("red 7").tolist() == encode("a 7 red").tolist(), decode(encode("red 7")), encode("").sum().item()
        (True, 'a red 7', 0)
    """
    words = _words(describe(parse(text))) if text.strip() else []
    return torch.tensor([1 + VOCABULARY.index(word) for word in words] + [0] * (LENGTH - len(words)))


def decode(tokens: Tensor) -> str:
    """The caption of tokens (10,), LongTensor of 0..29, of which 0 is no word.

    Raises:
        ValueError: for tokens out of range.
    """
    if tokens.ndim != 1 or not 0 <= int(tokens.min()) <= int(tokens.max()) <= len(VOCABULARY):
        raise ValueError(
            f"expected tokens ({LENGTH},) of 0..{len(VOCABULARY)}, got shape {tuple(tokens.shape)} of "
            f"{int(tokens.min())}..{int(tokens.max())}; take one caption at a time"
        )
    return _spoken([VOCABULARY[token - 1] for token in tokens.tolist() if token])


def _spoken(words: list[str]) -> str:
    """Words with spaces between them; "a" becomes "an" before a vowel, although both are one token."""
    if words[:1] == ["a"] and words[1:2] in (["orange"], ["8"]):
        words = ["an", *words[1:]]
    return " ".join(words)


def _words(text: str) -> list[str]:
    words = ["a" if word == "an" else word for word in text.lower().split()]
    for word in words:
        if word not in VOCABULARY:
            raise ValueError(f"unknown word {word!r} in {text!r}; a caption may have: {', '.join(VOCABULARY)}")
    return words


def _full_captions(labels: Tensor) -> Tensor:
    """Words that each factor of each image takes, in the order of a caption: LongTensor (N, 6, 2), 0 for no word."""
    columns = []
    for name in ORDER:
        words = [("slanted", word) if word in ("left", "right") else (word,) for word in FACTORS[name]]
        table = torch.tensor([[1 + VOCABULARY.index(word) for word in pair] + [0] * (2 - len(pair)) for pair in words])
        columns.append(table[labels[:, list(FACTORS).index(name)]])
    return torch.stack(columns, 1)


def _shortened(full: Tensor, kept: Tensor, empty: Tensor) -> Tensor:
    """Captions (N, 10) of the words (N, 6, 2) of the factors that are kept (N, 6), without gaps."""
    words = full * kept.unsqueeze(2)
    digit = ORDER.index("digit")
    words[:, digit, 0] = torch.where(kept[:, digit], words[:, digit, 0], 1 + VOCABULARY.index("digit"))
    row = torch.cat([torch.full((len(full), 1), 1 + VOCABULARY.index("a")), words.flatten(1)], 1)
    front = (row == 0).long().argsort(dim=1, stable=True)  # words first, in their order
    return row.gather(1, front)[:, :LENGTH].masked_fill(empty.unsqueeze(1), 0)
