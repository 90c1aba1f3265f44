"""What every text is: characters as whole numbers, cut into windows of equal length."""

from copy import copy

import torch
from torch import Tensor

from garm_course.datasets.base import Dataset, check_integer

CHARACTERS_OF_A_BLOCK = 2000  # about a page: what stands nearer together in a text is not independent


class Text(Dataset):
    """Windows of a text; character i of the vocabulary is token i.

    Windows do not overlap unless `stride` says so, so the NLL of a split counts each of its characters once (apart from
    fewer than `length` at the end).

    Args:
        name: as in `Dataset`.
        split: as in `Dataset`.
        source: as in `Dataset`.
        licence: as in `Dataset`.
        text: what belongs to this split.
        vocabulary: every character that a text may have, each once.
        length: characters in a window.
        stride: distance between windows; None for `length`, 1 for every start. Only for training.

    Attributes:
        x: LongTensor (N, length) of tokens, a view into `tokens`.
        text: the characters of the split.
        tokens: LongTensor (characters,), the whole split.
        vocabulary: its characters in the order of their tokens; `levels` is their number.
        block: windows in CHARACTERS_OF_A_BLOCK characters.

    Raises:
        ValueError: an option out of range, a text shorter than one window, or with a character out of the vocabulary.
    """

    called = "windows"
    unit, position = "window", "character"

    def __init__(
        self, name: str, split: str, text: str, *, vocabulary: str, length: int, stride: int | None, source: str,
        licence: str,
    ):  # fmt: skip
        check_integer("length (characters in a window)", length, 1, len(text))
        if stride is not None:
            check_integer("stride (distance between windows)", stride, 1)
            if split != "train" and stride != length:
                raise ValueError(f"windows of {split} do not overlap, so each character counts once; leave stride out")
        self.text, self.vocabulary = text, vocabulary
        self.tokens = self.encode(text)
        x, y = self._cut(length, stride or length)
        super().__init__(name, split, x, y, levels=len(vocabulary), n_classes=0, source=source, licence=licence)

    def _cut(self, length: int, stride: int) -> tuple[Tensor, Tensor]:
        """Windows at this distance, with what a likelihood over them has to know."""
        self.overlap = stride < length
        self.block = max(1, round(CHARACTERS_OF_A_BLOCK / stride))
        x = self.tokens.unfold(0, length, stride)
        return x, torch.zeros(len(x), dtype=torch.long)

    @property
    def apart(self) -> "Text":
        """The same text in windows that do not overlap, on which a likelihood is evaluated."""
        apart = copy(self)
        apart.x, apart.y = apart._cut(self.shape[0], self.shape[0])
        vars(apart).pop("fingerprint", None)  # of other windows
        return apart

    def encode(self, text: str) -> Tensor:
        """Characters as tokens, LongTensor (characters,).

        Raises:
            TypeError: for what is not a string. ValueError: for a character that is not in the vocabulary.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a text to encode, a str, got a {type(text).__name__}; decode() takes tokens")
        token = {character: i for i, character in enumerate(self.vocabulary)}
        unknown = sorted(set(text) - token.keys())
        if unknown:
            first = next(i for i, character in enumerate(text) if character not in token)
            raise ValueError(
                f"character {first} of the text, {text[first]!r}, is not in the vocabulary; expected characters of "
                f"{self.vocabulary!r}, got {''.join(unknown[:10])!r} as well: replace them"
            )
        return torch.tensor([token[character] for character in text], dtype=torch.long)

    def decode(self, tokens: Tensor) -> str:
        """Tokens, LongTensor (characters,) of 0..levels-1, as text."""
        if not isinstance(tokens, Tensor) or tokens.dtype != torch.long:
            got = f"dtype {tokens.dtype}" if isinstance(tokens, Tensor) else f"a {type(tokens).__name__}"
            raise TypeError(f"expected tokens as a LongTensor, got {got}; encode() makes them of a text")
        if tokens.ndim != 1:
            raise ValueError(f"expected one sequence of tokens, got shape {tuple(tokens.shape)}; decode row by row")
        if tokens.numel() and (tokens.min() < 0 or tokens.max() >= len(self.vocabulary)):
            raise ValueError(
                f"expected tokens 0..{len(self.vocabulary) - 1}, got {tokens.min().item()}..{tokens.max().item()}; "
                "decode with the data set that the model was trained on"
            )
        return "".join(self.vocabulary[token] for token in tokens.tolist())
