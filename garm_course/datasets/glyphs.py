"""Printed digits with a known density: prototypes from fonts, known factors, pixels that flip with known probability.

A model's distance to the truth can be measured here: the mean of log p(x) - log q(x) over samples x estimates
KL(p || q) without bias, and the entropy is the floor that no mean negative log-likelihood can pass.
"""

import hashlib
import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from garm_course.datasets.base import MOST, SPLITS, Dataset, Entropy, check_integer, check_split
from garm_course.datasets.flip_mixture import FlipMixture, check_flip, mixture_uniforms
from garm_course.datasets.glyph_outlines import FONTS, PIXELS, place, rasterize

# (R, G, B) in levels 0..3; the shape is where any channel is not 0, and one colored pixel tells the hue
PALETTE = {
    "red": (3, 0, 0),
    "orange": (3, 1, 0),
    "yellow": (3, 3, 0),
    "green": (0, 2, 1),
    "blue": (0, 1, 3),
    "purple": (2, 0, 3),
}
LEVELS_IN_COLOR = 4
# All but one: some digits of DejaVuSansMono are bit for bit those of DejaVuSans. Without it all prototypes differ, so
# their weights are equal, and without flips the entropy is the logarithm of their number.
DEFAULT_FONTS = tuple(font for font in FONTS if font != "DejaVuSansMono")
SAMPLES = {"train": 5000, "validation": 1000, "test": 1000}
MOST_COMBINATIONS = 100_000  # 0.4 GB of prototypes
CHUNK = 2000  # images drawn at a time; it bounds the memory and does not change the draw


class Factors(NamedTuple):
    """One combination of factors; dx and dy shift right and down."""

    digit: int
    font: str
    size: int
    slant: float
    dx: int
    dy: int


class Table(NamedTuple):
    """All combinations, each equally probable, and the distinct bitmaps that they make."""

    combinations: list[Factors]  # M
    prototype: Tensor  # LongTensor (M,): the bitmap of each combination
    bitmaps: np.ndarray  # (K, 28, 28) uint8, in the order of first appearance
    fingerprint: str  # SHA-256 of the bitmaps, one bit a pixel


@lru_cache(maxsize=4)
def tabulate(fonts: tuple[str, ...], sizes: tuple[int, ...], slants: tuple[float, ...], shift: int) -> Table:
    """Render every combination of factors once; equal bitmaps become one prototype.

    Raises:
        ValueError: when a digit would leave the image, or when there are too many combinations.
    """
    combinations, bitmaps = [], []
    count = 10 * len(fonts) * len(sizes) * len(slants) * (2 * shift + 1) ** 2
    if count > MOST_COMBINATIONS:
        raise ValueError(
            f"{count:,} combinations of factors, more than {MOST_COMBINATIONS:,}; choose fewer, or less shift"
        )
    steps = list(itertools.product(range(-shift, shift + 1), repeat=2))  # (dx, dy)
    for digit, font, size, slant in itertools.product(range(10), fonts, sizes, slants):
        edges = place(font, digit, size, slant)
        if edges.min() < shift or edges.max() > PIXELS - shift:
            raise ValueError(
                f"digit {digit} of {font}, {size} pixels tall with slant {slant}, leaves the image when shifted by "
                f"{shift}; choose a smaller size, slant or shift"
            )
        bitmaps.append(rasterize(edges))
        combinations += [Factors(digit, font, size, slant, dx, dy) for dx, dy in steps]
    centered = np.stack(bitmaps)  # nothing wraps around when it is rolled: the margin was checked
    bitmaps = np.stack([np.roll(centered, (dy, dx), axis=(1, 2)) for dx, dy in steps], axis=1).reshape(
        -1, PIXELS, PIXELS
    )
    packed = np.packbits(bitmaps.reshape(len(bitmaps), -1), axis=1)  # (M, 98)
    _, first, inverse = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # np.unique sorts by content; we keep the order of the factors
    prototype = torch.from_numpy(np.argsort(order)[inverse.ravel()])
    keep = first[order]
    return Table(combinations, prototype, bitmaps[keep], hashlib.sha256(packed[keep].tobytes()).hexdigest())


@lru_cache(maxsize=4)
def mixture(
    fonts: tuple[str, ...],
    sizes: tuple[int, ...],
    slants: tuple[float, ...],
    shift: int,
    flip: float,
    hues: tuple[str, ...],
) -> FlipMixture:
    """The distribution of the images with these options, shared by the splits."""
    table = tabulate(fonts, sizes, slants, shift)
    digit = torch.tensor([c.digit for c in table.combinations])
    weights = torch.zeros(len(table.bitmaps), 10, dtype=torch.float64)
    weights.index_put_((table.prototype, digit), torch.ones(len(digit), dtype=torch.float64), accumulate=True)
    palette = torch.tensor([PALETTE[hue] for hue in hues]) if hues else None
    return FlipMixture(torch.from_numpy(table.bitmaps), weights, flip, palette, LEVELS_IN_COLOR if hues else 2)


class Glyphs(Dataset):
    """Binary 28x28 digits in the fonts of matplotlib, drawn from a distribution that is known exactly.

    Digit, font, size, slant and shift are drawn uniformly and independently, which gives one of K prototypes (equal
    bitmaps count as one, with the sum of their weights w); then each of the D = 784 pixels flips with probability f:
    p(x) = sum_k w_k f^d(x,k) (1 - f)^(D - d(x,k)), with d the Hamming distance. In color the shape takes one hue of the
    palette (drawn uniformly, independent of all else) on black, in 4 levels a channel; the flips act on the shape.

    Card:
        What: printed digits in 11 fonts with known factors and random pixel flips; every image has a known probability.
        Source: drawn from the outlines of the fonts inside matplotlib: DejaVu, STIX, Computer Modern.
        Licence: of the fonts: Bitstream Vera (DejaVu), STIX, BaKoMa (Computer Modern).
        Size: 5,000 images for training, 1,000 each for validation and test, or as many as you ask for.
        Cite: this course; the fonts as their licences say.
        Flaws: flips are independent, which no camera's or scanner's noise is. Prototypes are shared by the splits, so
            it cannot show generalization to new shapes. A new matplotlib may bring new fonts; the fingerprint tells.

    Args:
        split: "train", "validation" or "test": independent draws, from generators with different seeds.
        fonts: a name or several of `glyph_outlines.FONTS`; None for the 11 of DEFAULT_FONTS.
        size: height or heights of the digits in pixels, 12..26.
        slant: shear or shears, in -0.5..0.5 pixels to the right per pixel of height.
        shift: dx and dy are -shift..shift pixels each.
        flip: probability f of a pixel to flip, in [0, 0.5).
        color: True for all hues of `PALETTE`, or a name or several of them; False for black and white.
        n: images in this split; None for 5,000 (train) or 1,000. Fewer images are the first of more.
        seed: of the draws; the prototypes do not depend on it.

    Attributes:
        factors: of each image: "digit", "size", "dx", "dy" LongTensor (N,), "slant" float tensor (N,), "font" and, in
            color, "hue" as lists of names.
        prototype: LongTensor (N,), which prototype each image came from.
        prototypes: LongTensor (K, 1, 28, 28), shapes without hue.
        prototype_factors: factors of each prototype, as in `factors`.
        mixture: the distribution as a FlipMixture.
        prototypes_fingerprint: SHA-256 of the prototypes, one bit a pixel; it changes when the fonts do.

    Raises:
        ValueError: for an option out of range, or digits that would leave the image.
        FileNotFoundError: when matplotlib was installed without its fonts.

    Example:
        >>> data = Glyphs("test", fonts="DejaVuSans", size=20, slant=0.0, shift=0, flip=0.0, n=3)
        >>> len(data.prototypes), round(data.entropy().nats, 4)  # ten equally probable digits: ln 10
        (10, 2.3026)
        >>> data.log_prob(data.x)
        tensor([-2.3026, -2.3026, -2.3026], dtype=torch.float64)
    """

    def __init__(
        self,
        split: str = "train",
        *,
        fonts: str | tuple[str, ...] | None = None,
        size: int | tuple[int, ...] = (16, 18, 20),
        slant: float | tuple[float, ...] = (-0.2, 0.0, 0.2),
        shift: int = 1,
        flip: float = 0.01,
        color: bool | str | tuple[str, ...] = False,
        n: int | None = None,
        seed: int = 0,
    ):
        check_split(split)
        fonts = choices("font", DEFAULT_FONTS if fonts is None else fonts, FONTS)
        hues = choices("hue", tuple(PALETTE) if color is True else color, tuple(PALETTE)) if color is not False else ()
        sizes, slants = several("size", size), several("slant", slant)
        for s in sizes:
            check_integer("size (height of a digit in pixels)", s, 12, 26)
        for s in slants:
            if isinstance(s, bool) or not isinstance(s, (int, float)) or not -0.5 <= s <= 0.5:
                raise ValueError(f"expected a slant in -0.5..0.5 (pixels to the right per pixel of height), got {s!r}")
        check_integer("shift (pixels)", shift, 0, 8)
        check_flip(flip)
        n = SAMPLES[split] if n is None else n
        check_integer("n (images in the split)", n, 1, MOST)
        check_integer("seed", seed, 0, 2**60)

        slants = tuple(map(float, slants))
        self._table = tabulate(fonts, sizes, slants, shift)
        self.mixture = mixture(fonts, sizes, slants, shift, float(flip), hues)
        self._hues = hues
        # 3 seed + split is a different number for every pair of seed and split
        x, combination, hue = self._draw(n, torch.Generator().manual_seed(3 * seed + SPLITS.index(split)))
        self.prototype = self._table.prototype[combination]
        self.factors = self._factors(combination)
        if hues:
            self.factors["hue"] = [hues[i] for i in hue.tolist()]
        super().__init__(
            "glyphs",
            split,
            x,
            self.factors["digit"],
            levels=self.mixture.levels,
            n_classes=10,
            source=f"digits of {len(fonts)} fonts in matplotlib ({len(self.mixture):,} prototypes), flips {flip:g}",
            licence="fonts under the Bitstream Vera (DejaVu), STIX and BaKoMa (Computer Modern) font licences",
        )

    @property
    def prototypes_fingerprint(self) -> str:
        return self._table.fingerprint

    @property
    def prototypes(self) -> Tensor:
        return self.mixture.prototypes

    @property
    def prototype_factors(self) -> dict[str, Tensor | list[str]]:
        first = torch.full((len(self.mixture),), len(self._table.combinations))
        every = torch.arange(len(self._table.combinations))
        return self._factors(first.scatter_reduce(0, self._table.prototype, every, "amin"))

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fresh images of the same distribution: x LongTensor (n, C, 28, 28) and their digits, LongTensor (n,)."""
        check_integer("n", n, 1)
        x, combination, _ = self._draw(n, rng)
        return x, self._factors(combination)["digit"]

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Exact log p(x), or log p(x | y) when digits are given, in nats: see `FlipMixture.log_prob`."""
        return self.mixture.log_prob(x, y)

    def entropy(self, n: int = 2000, rng: torch.Generator | None = None) -> Entropy:
        """Entropy in nats per image and its standard error: see `FlipMixture.entropy`."""
        return self.mixture.entropy(n, rng)

    def nearest_prototype(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the nearest prototype and the Hamming distance to it: see `FlipMixture.nearest_prototype`."""
        return self.mixture.nearest_prototype(x)

    def _draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Images, their combination of factors, and the index of their hue (0 without color)."""
        parts = []
        for start in range(0, n, CHUNK):
            u = mixture_uniforms(min(CHUNK, n - start), self.mixture, rng)
            combination = (u[:, 0] * len(self._table.combinations)).long()
            hue = self.mixture.hue(u) if self._hues else torch.zeros_like(combination)
            parts.append((self.mixture.render(self._table.prototype[combination], u), combination, hue))
        return tuple(map(torch.cat, zip(*parts, strict=True)))

    def _factors(self, combination: Tensor) -> dict[str, Tensor | list[str]]:
        rows = [self._table.combinations[m] for m in combination.tolist()]
        columns = dict(zip(Factors._fields, zip(*rows, strict=True), strict=True))
        return {name: list(values) if name == "font" else torch.tensor(values) for name, values in columns.items()}


def several(name: str, values) -> tuple:
    """One value or a sequence as a tuple of distinct values."""
    values = tuple(values) if isinstance(values, (tuple, list, range)) else (values,)
    if not values or len(set(values)) < len(values):
        raise ValueError(f"expected one {name} or several different ones, got {values}")
    return values


def choices(name: str, chosen, known: tuple[str, ...]) -> tuple[str, ...]:
    """One name or several as a tuple of distinct, known names."""
    chosen = several(name, chosen)
    for one in chosen:
        if one not in known:
            raise ValueError(f"unknown {name} {one!r}; choose from: {', '.join(known)}")
    return chosen
