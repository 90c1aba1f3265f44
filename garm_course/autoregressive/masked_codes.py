"""A masked model of codes: all that is hidden is guessed at once, and the surest guesses stay.

Codes of an image have no order of their own. This model sees them from both sides, learns to guess hidden ones from any
that are seen, and draws an image in as few passes as one likes. What it pays: codes that are drawn in the same pass do
not know of each other.

Source: Chang et al. (2022), "MaskGIT: Masked Generative Image Transformer", CVPR, arXiv 2202.04200.
"""

import math

import torch
from torch import Tensor, nn

from garm_course.autoregressive.code_prior import check_captions, check_codes, hidden_words, places
from garm_course.autoregressive.guidance import check_guidance
from garm_course.autoregressive.layers.attention import FullAttention
from garm_course.autoregressive.sampling.loop import check_count, check_weights
from garm_course.autoregressive.transformer import Block, zero_linear
from garm_course.distributions.draws import uniforms
from garm_course.distributions.filters import draw, filter_logits
from garm_course.distributions.heads import at_least_float32
from garm_course.evaluation_mode import evaluation_mode
from garm_course.inputs import check_settings
from garm_course.models import configured


class MaskedCodeModel(nn.Module):
    """p(hidden code | the codes that are seen, caption), for each code by itself; as large as a `CodeTransformer`.

    Args:
        n_codes: see `CodeTransformer`.
        grid: see `CodeTransformer`.
        vocabulary: see `CodeTransformer`.
        length: see `CodeTransformer`.
        width: see `CodeTransformer`.
        layers: see `CodeTransformer`.
        heads: see `CodeTransformer`.
        dropout: see `CodeTransformer`.
        tokenizer: see `CodeTransformer`.

    Raises:
        ValueError: for sizes out of range.

    Source:
        Chang et al. (2022), arXiv 2202.04200, with the blocks of `transformer.py`.

    Example:
        >>> MaskedCodeModel(64, (4, 4), vocabulary=29, length=10)(torch.zeros(2, 4, 4, dtype=torch.long)).shape
        torch.Size([2, 4, 4, 64])
    """

    @configured
    def __init__(
        self, n_codes, grid, vocabulary, length, *, width=64, layers=3, heads=4, dropout=0.0, tokenizer=None
    ):  # fmt: skip
        super().__init__()
        check_settings(2, whole=True, n_codes=n_codes)
        check_settings(1, whole=True, vocabulary=vocabulary, length=length, width=width, layers=layers)
        height, columns = grid
        check_settings(1, whole=True, height=height, columns=columns)
        self.shape, self.levels, self.tokenizer = tuple(grid), n_codes, tokenizer
        self.vocabulary, self.caption_length = vocabulary, length
        self.words, self.codes = nn.Embedding(vocabulary + 1, width), nn.Embedding(n_codes + 1, width)
        self.word_places, self.row_places, self.column_places = (places(n, width) for n in (length, *grid))
        self.blocks = nn.ModuleList(
            Block(width, heads, window=None, turned=False, dropout=dropout, attention=FullAttention)
            for _ in range(layers)
        )
        self.norm = nn.RMSNorm(width)
        self.out = zero_linear(width, n_codes)
        self.dropout = nn.Dropout(dropout)

    @property
    def positions(self) -> int:
        """Number of codes of a grid."""
        return math.prod(self.shape)

    def forward(self, codes: Tensor, caption: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """Logits of all codes, given those that are seen.

        Args:
            codes: LongTensor (B, H', W').
            caption: LongTensor (B, up to `length`) of tokens; None for the empty caption.
            hidden: BoolTensor (B, H', W'), True where the code is not looked at; None for nowhere.

        Returns:
            (B, H', W', K) logits. Where a code is seen they say nothing: the model has read the answer.

        Raises:
            TypeError, ValueError: for codes or captions that do not fit.
        """
        check_codes(codes, self.shape, self.levels)
        check_captions(caption, len(codes), self.caption_length, self.vocabulary)
        caption = codes.new_zeros(len(codes), 0) if caption is None else caption
        seen = codes if hidden is None else codes.masked_fill(hidden, self.levels)
        where = (self.row_places[:, None] + self.column_places).flatten(0, 1)
        words = self.words(caption) + self.word_places[: caption.shape[1]]
        h = torch.cat([words, self.codes(seen.flatten(1)) + where], 1)
        h, unread = self.dropout(h), hidden_words(caption, h)
        for block in self.blocks:
            h = block(h, unread)
        logits = self.out(self.norm(h[:, caption.shape[1] :]))
        return at_least_float32(logits).unflatten(1, self.shape)

    @torch.no_grad()
    def sample(
        self, n: int, caption: Tensor | None = None, *, passes: int | None = None, guidance: float = 1.0,
        temperature: float = 1.0, hesitation: float = 1.0, rng: torch.Generator | None = None,
    ) -> Tensor:  # fmt: skip
        """Draw n code grids in a few passes; see `still_hidden` for how many codes each leaves hidden.

        A pass draws all hidden codes, each by itself, and keeps the surest: those of the largest log-probability plus
        Gumbel noise, whose size falls to 0 with the passes. Keeping the surest sharpens the law, as guidance does; what
        comes out is no exact draw of a distribution that the model could score.

        Args:
            n: how many, at least 1.
            caption: LongTensor (L,) for all, or (n, L); None for the empty caption.
            passes: from 1 to the number of codes; None for one code a pass.
            guidance: as for `CodeTransformer.sample`.
            temperature: of the codes, at least 0, see `filter_logits`.
            hesitation: size of the noise before the first pass, at least 0; 0 keeps what is surest, and all alike.
            rng: source of the uniforms. None takes torch's global generator.

        Returns:
            LongTensor (n, H', W') of codes.

        Raises:
            TypeError, ValueError: for arguments outside these ranges.
        """
        check_count(n, rng)
        check_guidance(guidance)
        check_settings(0, hesitation=hesitation)
        passes = self.positions if passes is None else passes
        like, left = check_weights(self), still_hidden(self.positions, passes)
        caption = caption.expand(n, -1) if isinstance(caption, Tensor) and caption.ndim == 1 else caption
        caption = None if caption is None else caption.to(like.device)
        u = uniforms(n, passes, 2, *self.shape, rng=rng, like=like)
        codes = torch.zeros(n, *self.shape, dtype=torch.long, device=like.device)
        hidden = torch.ones_like(codes, dtype=torch.bool)
        with evaluation_mode(self):
            for k, remain in enumerate(left):
                logits = filter_logits(self._guided(codes, caption, hidden, guidance), temperature=temperature)
                log_probs = logits.log_softmax(-1)
                codes = torch.where(hidden, draw(log_probs, u[:, k, 0]), codes)
                sure = log_probs.gather(-1, codes.unsqueeze(-1)).squeeze(-1)
                gumbel = -torch.log(-torch.log(u[:, k, 1])).to(sure)
                sure = sure + hesitation * (1 - (k + 1) / passes) * gumbel
                order = sure.masked_fill(~hidden, math.inf).flatten(1).argsort(dim=1, stable=True)
                hidden = (order.argsort(1) < remain).unflatten(1, self.shape)
        return codes

    def _guided(self, codes: Tensor, caption: Tensor | None, hidden: Tensor, guidance: float) -> Tensor:
        """Logits u + w (c - u); equation (17.4)."""
        if guidance == 1 or caption is None:
            return self(codes, caption, hidden)
        both = torch.cat([caption, torch.zeros_like(caption)])
        told, untold = self(codes.repeat(2, 1, 1), both, hidden.repeat(2, 1, 1)).chunk(2)
        return torch.lerp(untold, told, guidance)


def still_hidden(positions: int, passes: int) -> list[int]:
    """How many of so many codes are hidden after each pass: floor(D cos(pi t / 2 T)), one less than before at least.

    Args:
        positions: D, at least 1.
        passes: T, from 1 to D.

    Returns:
        T numbers, of which the last is 0.

    Raises:
        ValueError: for passes out of range.

    Source:
        Chang et al. (2022), arXiv 2202.04200, section 3.3: the cosine schedule.

    Example:
        >>> still_hidden(16, 4), still_hidden(16, 1)
        ([14, 11, 6, 0], [0])
    """
    check_settings(1, whole=True, passes=passes)
    if passes > positions:
        raise ValueError(f"expected at most {positions} passes, one for each code, got {passes}")
    left = [positions]
    for k in range(1, passes + 1):
        left.append(max(min(int(positions * math.cos(math.pi * k / 2 / passes)), left[-1] - 1), passes - k))
    return left[1:]


def masked_loss(model: MaskedCodeModel, x: Tensor, y: Tensor) -> Tensor:
    """-log p of hidden codes, given those that are seen and the caption: nats of a grid whose codes all cost as much.

    As many codes are hidden as `still_hidden` leaves after a uniformly drawn part of the passes, at least one, and any
    of them; the draws are from torch's global generator.
    """
    part = torch.rand(len(x), 1, device=x.device)
    count = (model.positions * torch.cos(math.pi / 2 * part)).ceil().clamp(min=1)
    rank = torch.rand(len(x), model.positions, device=x.device).argsort(1).argsort(1)
    hidden = (rank < count).unflatten(1, model.shape)
    nats = -model(x, y, hidden).log_softmax(-1).gather(-1, x.unsqueeze(-1)).squeeze(-1)
    return model.positions * (nats * hidden).sum() / hidden.sum()
