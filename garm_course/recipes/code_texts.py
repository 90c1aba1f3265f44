"""Images as texts of codes and back, between a prior over codes and the tokenizer that it was trained for."""

import torch
from torch import Tensor, nn

from garm_course.datasets.captions import FACTORS, CaptionedGlyphs, describe, encode
from garm_course.transforms import scale
from garm_course.weights import load_pretrained

TOKENIZER = "perceptual_vqvae-colored_glyphs"  # whose codes the course's own prior models


def codes_of(tokenizer: nn.Module, data: CaptionedGlyphs, *, n: int | None = None, batch_size: int = 256) -> Tensor:
    """The codes of the first n images of a split (None: of all): LongTensor (n, H', W')."""
    return torch.cat([tokenizer.encode(scale(x, data.levels)) for x in data.x[:n].split(batch_size)])


def full_captions(data: CaptionedGlyphs, *, n: int | None = None) -> Tensor:
    """Captions that name every factor of the first n images, whatever their own leave out: LongTensor (n, 10)."""
    return torch.stack([encode(describe(dict(zip(FACTORS, row, strict=True)))) for row in data.labels[:n].tolist()])


@torch.no_grad()
def images_of(prior: nn.Module, codes: Tensor) -> Tensor:
    """The images of codes that a prior drew, by its tokenizer.

    Args:
        prior: a `CodeTransformer` with the name of its tokenizer.
        codes: LongTensor (B, H', W').

    Returns:
        LongTensor (B, C, H, W) of levels.

    Raises:
        ValueError: for a prior that names no tokenizer, or one with another book or grid.
    """
    tokenizer = tokenizer_of(prior)
    return tokenizer.levels_of(tokenizer.decode(codes))


def tokenizer_of(prior: nn.Module) -> nn.Module:
    """The pretrained tokenizer of a prior (ValueError: it names none, or one with another book or grid)."""
    if prior.tokenizer is None:
        raise ValueError("this prior names no tokenizer; build it with tokenizer=NAME, of a pretrained one")
    tokenizer = load_pretrained(prior.tokenizer)
    prior.check_book(tokenizer)
    return tokenizer
