"""Notes of a plucked string, synthesized: sound whose every note has a probability that can be computed.

Karplus and Strong's string is a delay line of p samples. It is filled with noise of two values (the pluck), and from
then on each sample is the mean of two samples one period earlier, a little damped:

    y_t = ±loudness for t < p,    y_t = damping (y_{t-p} + y_{t-p-1}) / 2 for t >= p, with y_{-1} = 0.

All chance is in the choice of the note and in the p signs of the pluck; the rest of the sound follows from them. The
choice and the signs can be read off the sound again, so its entropy is known: that of the choice, plus p ln 2.
"""

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from garm_course.datasets.base import MOST, SPLITS, Dataset, Entropy, check_classes, check_integer, check_split
from garm_course.transforms import mu_law_decode, mu_law_encode

RATE = 8000  # samples per second
# Notes by the period p of their delay line; the string sounds at 8000 / (p + 1/2) Hz, within 0.2 semitones of the name
NOTES = {"A3": 36, "C4": 30, "D4": 27, "E4": 24, "G4": 20}
SAMPLES = {"train": 2000, "validation": 300, "test": 300}


class Pluck(NamedTuple):
    """One combination of factors."""

    note: int  # index into `notes`
    period: int  # samples
    loudness: float
    damping: float


def pluck(signs: Tensor, loudness: float, damping: float, length: int) -> Tensor:
    """The sound of a string, one period at a time.

    Args:
        signs: (B, p) of -1 and 1, the noise with which the delay line is filled.
        loudness: in (0, 1].
        damping: in (0, 1].
        length: samples to make.

    Returns:
        float64 tensor (B, length) in [-1, 1].

    Source:
        K. Karplus, A. Strong (1983), "Digital Synthesis of Plucked-String and Drum Timbres", Computer Music Journal
        7(2), pages 43-55.
    """
    periods = [signs.double() * loudness]
    before = torch.zeros(len(signs), 1, dtype=torch.float64)  # the sample in front of the latest period
    for _ in range(-(-length // signs.shape[1]) - 1):
        late = torch.cat([before, periods[-1][:, :-1]], 1)
        before = periods[-1][:, -1:]
        periods.append(damping * (periods[-1] + late) / 2)
    return torch.cat(periods, 1)[:, :length]


class Plucked(Dataset):
    """Notes of a plucked string, 8,000 samples a second, each sample one of 256 mu-law levels; the class is the note.

    Card:
        What: a quarter of a second of one string, plucked at the first sample; note, loudness and damping are known.
        Source: computed with the algorithm of K. Karplus and A. Strong (1983), two-valued noise.
        Licence: none needed.
        Size: 2,000 notes for training, 300 each for validation and test, or as many as you ask for.
        Cite: Karplus and Strong (1983), Digital Synthesis of Plucked-String and Drum Timbres, Computer Music Journal
            7(2), pages 43-55.
        Flaws: one string, no chords, no noise, no room; whoever knows the algorithm predicts all but the first period.
            Pitches are those of whole periods, up to 0.2 semitones off. Where the signs of a pluck do not balance, a
            slowly fading offset stays under the tone.

    Note, loudness, damping and signs are drawn uniformly and independently.

    Args:
        split: "train", "validation" or "test": independent draws.
        notes: a name or several of NOTES.
        loudness: amplitude or amplitudes, in 0.05..1.
        damping: gain or gains of the string per period, in 0.5..1.
        length: samples a note, at least twice the longest period.
        n: notes in this split; None for 2,000 (train) or 300. Fewer notes are the first of more.
        seed: of the draws.

    Attributes:
        rate: samples per second.
        notes: their names in the order of the classes.
        factors: of each note: "note" LongTensor (N,), "loudness", "damping" float tensors (N,).
        waveform: float tensor (N, length) in [-1, 1].

    Raises:
        ValueError: for another split, an option out of range, or gains so close that the levels cannot tell them apart.

    Example:
        >>> data = Plucked("test", n=2)
        >>> data.x.shape, data.levels, data.notes
        (torch.Size([2, 2000]), 256, ('A3', 'C4', 'D4', 'E4', 'G4'))
        >>> data.entropy()  # ln 10 for the choices, and 27.4 signs of ln 2 on average
        Entropy(nats=21.294817840336545, stderr=0.0)
    """

    called = "notes"
    unit, position = "note", "sample"
    rate = RATE

    def __init__(
        self,
        split: str = "train",
        *,
        notes: str | tuple[str, ...] = tuple(NOTES),
        loudness: float | tuple[float, ...] = (0.4, 0.8),
        damping: float | tuple[float, ...] = 0.98,
        length: int = 2000,
        n: int | None = None,
        seed: int = 0,
    ):
        check_split(split)
        self.notes = tuple(notes) if isinstance(notes, (tuple, list)) else (notes,)
        for note in self.notes:
            if not isinstance(note, str) or note not in NOTES:
                raise ValueError(f"unknown note {note!r}; choose from: {', '.join(NOTES)}")
        amplitudes, gains = numbers("loudness", loudness, 0.05, 1), numbers("damping", damping, 0.5, 1)
        if not self.notes or len(set(self.notes)) < len(self.notes):
            raise ValueError(f"expected one note or several different ones, got {self.notes}")
        longest = max(NOTES[note] for note in self.notes)
        check_integer("length (samples, at least twice the longest period)", length, 2 * longest, 10_000_000)
        n = SAMPLES[split] if n is None else n
        check_integer("n (notes in the split)", n, 1, MOST)
        check_integer("seed", seed, 0, 2**60)
        # The first sample shows the loudness, the first that is not as loud shows the period and the damping
        shown = [mu_law_encode(torch.tensor([a, *(a * g / 2 for g in gains)], dtype=torch.float64)) for a in amplitudes]
        loud, damped = [int(q[0]) for q in shown], [q[1:].tolist() for q in shown]
        if len(set(loud)) < len(loud) or any(len(set(levels)) < len(levels) for levels in damped):
            raise ValueError(
                f"loudness {amplitudes} or damping {gains} are too close for 256 levels; choose them further apart"
            )
        self._plucks = [
            Pluck(k, NOTES[note], a, g)
            for (k, note), a, g in itertools.product(enumerate(self.notes), amplitudes, gains)
        ]
        self._length = length
        # 3 seed + split is a different number for every pair of seed and split
        x, chosen = self._draw(n, torch.Generator().manual_seed(3 * seed + SPLITS.index(split)))
        columns = zip(*(self._plucks[i] for i in chosen.tolist()), strict=True)
        self.factors = {name: torch.tensor(values) for name, values in zip(Pluck._fields, columns, strict=True)}
        del self.factors["period"]
        super().__init__(
            "plucked",
            split,
            x,
            self.factors["note"],
            levels=256,
            n_classes=len(self.notes),
            source=f"computed: Karplus-Strong, {', '.join(self.notes)}, {RATE} samples a second",
            licence="none needed",
        )

    @property
    def waveform(self) -> Tensor:
        """The sounds as float tensor (N, length) in [-1, 1]."""
        return mu_law_decode(self.x)

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fresh notes of the same distribution: x LongTensor (n, length) of mu-law levels, and their classes (n,)."""
        check_integer("n", n, 1)
        x, chosen = self._draw(n, rng)
        return x, torch.tensor([self._plucks[i].note for i in chosen.tolist()])

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Exact log p(x), or log p(x | y) when notes are given.

        From each x the choice and the signs are read, and the note is played again: where that gives x,
        p(x) = 2^-p / (number of choices), else 0.

        Args:
            x: LongTensor (B, length), values 0..255.
            y: LongTensor (B,) of classes, or None.

        Returns:
            float64 tensor (B,) in nats; -inf for what no string of this set sounds like.
        """
        if not isinstance(x, Tensor) or x.dtype != torch.long or x.ndim != 2 or x.shape[1] != self._length:
            got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"expected sounds as LongTensor (B, {self._length}) of levels 0..255, got {got}")
        if len(x) == 0 or x.min() < 0 or x.max() > 255:
            raise ValueError("expected at least one sound, of levels 0..255; encode with transforms.mu_law_encode")
        if y is not None:
            check_classes(y, len(x), self.n_classes)
        sound = x.cpu()
        total = torch.full((len(x),), -math.inf, dtype=torch.float64)
        for choice in self._plucks:
            p = choice.period
            levels = mu_law_encode(torch.tensor([-choice.loudness, choice.loudness], dtype=torch.float64))
            loud = torch.isin(sound[:, : p + 1], levels)
            maybe = loud[:, :p].all(1) & ~loud[:, p]  # sample p is the first that is not as loud
            if y is not None:
                maybe &= y.cpu() == choice.note
            rows = maybe.nonzero()[:, 0]
            if len(rows) == 0:
                continue
            heard = (self._play(choice, torch.where(sound[rows, :p] > 127, 1, -1)) == sound[rows]).all(1)
            choices = len(self._plucks) / (1 if y is None else len(self.notes))
            total[rows[heard]] = -p * math.log(2) - math.log(choices)
        return total.to(x.device)

    def entropy(self) -> Entropy:
        """The entropy in nats per note, exact: ln(number of choices) + (mean period) ln 2."""
        periods = sum(choice.period for choice in self._plucks) / len(self._plucks)
        return Entropy(math.log(len(self._plucks)) + periods * math.log(2), 0.0)

    def _play(self, choice: Pluck, signs: Tensor) -> Tensor:
        return mu_law_encode(pluck(signs, choice.loudness, choice.damping, self._length))

    def _draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Notes (n, length), and which of the choices each is."""
        longest = max(choice.period for choice in self._plucks)
        u = torch.rand(n, 1 + longest, dtype=torch.float64, generator=rng, device=rng.device).cpu()  # a row a note
        chosen = (u[:, 0] * len(self._plucks)).long()
        x = torch.empty(n, self._length, dtype=torch.long)
        for i, choice in enumerate(self._plucks):
            rows = (chosen == i).nonzero()[:, 0]
            if len(rows):
                x[rows] = self._play(choice, torch.where(u[rows, 1 : 1 + choice.period] < 0.5, -1, 1))
        return x, chosen


def numbers(name: str, values, low: float, high: float) -> tuple[float, ...]:
    """One number or several as a tuple of different ones within low..high."""
    values = tuple(values) if isinstance(values, (tuple, list)) else (values,)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"expected {name} in {low:g}..{high:g}, got {value!r}")
    if not values or len(set(values)) < len(values):
        raise ValueError(f"expected one {name} or several different ones, got {values}")
    return tuple(map(float, values))
