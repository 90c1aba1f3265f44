"""What every text is: characters as whole numbers, cut into windows of equal length."""

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
        self.overlap = stride is not None and stride < length
        self.block = max(1, round(CHARACTERS_OF_A_BLOCK / (stride or length)))
        x = self.tokens.unfold(0, length, stride or length)
        y = torch.zeros(len(x), dtype=torch.long)
        super().__init__(name, split, x, y, levels=len(vocabulary), n_classes=0, source=source, licence=licence)

    def encode(self, text: str) -> Tensor:
        """Characters as tokens, LongTensor (characters,).

        Raises:
            ValueError: for a character that is not in the vocabulary.
        """
        token = {character: i for i, character in enumerate(self.vocabulary)}
        unknown = sorted(set(text) - token.keys())
        if unknown:
            raise ValueError(
                f"expected characters of {self.vocabulary!r}, got {''.join(unknown[:10])!r} as well; replace them"
            )
        return torch.tensor([token[character] for character in text], dtype=torch.long)

    def decode(self, tokens: Tensor) -> str:
        """Tokens, LongTensor (characters,) of 0..levels-1, as text."""
        if tokens.ndim != 1:
            raise ValueError(f"expected one sequence of tokens, got shape {tuple(tokens.shape)}; decode row by row")
        if tokens.numel() and (tokens.min() < 0 or tokens.max() >= len(self.vocabulary)):
            raise ValueError(
                f"expected tokens 0..{len(self.vocabulary) - 1}, got {tokens.min().item()}..{tokens.max().item()}"
            )
        return "".join(self.vocabulary[token] for token in tokens.tolist())
