"""A transformer over the codes of an image, told in a caption what the image shows.

A tokenizer turns an image into a grid of codes; this model learns which codes go together, and with which words. It
reads one sequence, caption, beginning, codes in raster order, and predicts the codes alone: nobody asks how likely a
caption is. Words that are dropped while it trains teach it the law of images without a caption too, which guidance
needs (`guidance.py`). A canvas larger than the grid is drawn through a window (`sliding.py`).

Sources: Esser, Rombach, Ommer (2021), "Taming Transformers for High-Resolution Image Synthesis", arXiv 2012.09841;
Ramesh et al. (2021), "Zero-Shot Text-to-Image Generation", arXiv 2102.12092 (a caption before the codes).
"""

import math
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from garm_course.autoregressive.base import Autoregressive
from garm_course.autoregressive.guidance import Guided
from garm_course.autoregressive.sampling import loop
from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.autoregressive.sliding import Sliding
from garm_course.autoregressive.transformer import Block, cached, rows, zero_linear
from garm_course.inputs import check_settings, check_shape, readable
from garm_course.models import configured


class CodeTransformer(Autoregressive):
    """p(codes | caption) as a product over the codes in raster order; equation (17.2).

    A caption is a row of tokens: words 1..vocabulary, then zeros, which stand for no word and are never looked at. A
    caption of zeros, or none at all, is the empty one. Places of the grid are a learned row plus a learned column.

    Args:
        n_codes: size K of the tokenizer's codebook.
        grid: (H', W') of the codes.
        vocabulary: number of words.
        length: of the longest caption, in words.
        width: features of a position, divisible by the number of heads.
        layers: number of blocks.
        heads: number of heads of attention.
        dropout: probability of dropping a feature of the inputs and of what a layer adds.
        tokenizer: name of the pretrained tokenizer whose codes these are, for whoever makes images of them.

    Raises:
        ValueError: for sizes out of range.

    Source:
        Esser et al. (2021), arXiv 2012.09841, section 3.2; the blocks are those of `transformer.py`.

    Example:
        >>> prior = CodeTransformer(64, (4, 4), vocabulary=29, length=10)
        >>> prior.log_prob(torch.zeros(2, 4, 4, dtype=torch.long))  # untrained: -16 ln 64
        tensor([-66.5421, -66.5421], grad_fn=<SumBackward1>)
    """

    name = "caption_transformer"
    sampling_options = ("caption", "guidance", "given", "allowed", "temperature", "top_k", "top_p", "min_p", "progress")

    @configured
    def __init__(
        self, n_codes, grid, vocabulary, length, *, width=64, layers=3, heads=4, dropout=0.0, tokenizer=None
    ):  # fmt: skip
        check_settings(1, whole=True, vocabulary=vocabulary, length=length, width=width, layers=layers)
        if len(grid) != 2:
            raise ValueError(f"expected a grid (H', W') of codes, got {tuple(grid)}")
        super().__init__(grid, n_codes)
        self.vocabulary, self.caption_length, self.tokenizer = vocabulary, length, tokenizer
        self.words, self.codes = nn.Embedding(vocabulary + 1, width), nn.Embedding(n_codes + 1, width)
        self.word_places, self.row_places, self.column_places = (places(n, width) for n in (length, *grid))
        self.blocks = nn.ModuleList(
            Block(width, heads, window=None, turned=False, dropout=dropout) for _ in range(layers)
        )
        self.norm = nn.RMSNorm(width)
        self.out = zero_linear(width, self.head.n_params)
        self.dropout = nn.Dropout(dropout)

    def forward(self, codes: Tensor, caption: Tensor | None = None) -> Tensor:
        """Parameters of all codes at once, given those before and the caption.

        Args:
            codes: LongTensor (B, H', W').
            caption: LongTensor (B, up to `length`) of tokens; None for the empty caption.

        Returns:
            (B, H', W', K) logits; (B, H', W') for a book of two.
        """
        self.check_examples(codes)
        self.check_classes(caption, len(codes))
        caption = self.caption_of(caption, len(codes))
        before = torch.cat([torch.full_like(codes[:, 0, :1], self.levels), self.to_sequence(codes)[:, :-1]], 1)
        h = torch.cat([self.read(caption), self.codes(before) + self.places()], 1)
        h, hidden = self.dropout(h), hidden_words(caption, h)
        for block in self.blocks:
            h = block(h, hidden)
        return self.from_sequence(self.head.of(self.out(self.norm(h[:, caption.shape[1] :]))))

    def read(self, caption: Tensor) -> Tensor:
        """Captions (B, L) -> features (B, L, width) of their words."""
        return self.words(caption) + self.word_places[: caption.shape[1]]

    def places(self) -> Tensor:
        """(H' W', width): what says of each position where it is, a row plus a column."""
        return (self.row_places[:, None] + self.column_places).flatten(0, 1)

    def log_prob(self, codes: Tensor, caption: Tensor | None = None) -> Tensor:
        """log p(codes | caption), exactly, in nats: a sum over the codes alone; arguments as in `forward`.

        Returns:
            (B,) nats for each code text. Those of another tokenizer are another unit; equation (17.5).
        """
        return super().log_prob(codes, caption)

    def sample(
        self, n: int, caption: Tensor | None = None, *, guidance: float = 1.0, given: Tensor | None = None, **options
    ) -> Tensor:
        """Draw n code grids.

        Args:
            n: how many, at least 1.
            caption: LongTensor (L,) for all, or (n, L); None for the empty caption.
            guidance: weight w of the caption, at least 0: 0 ignores it, 1 is the model, more obeys more; see `Guided`.
            given: LongTensor (m,) or (n, m), the first m <= H' W' codes in raster order, which are kept.
            options: temperature, top_k, top_p, min_p, rng, progress, naive, allowed: as in `sampling.loop.sample`.

        Returns:
            LongTensor (n, H', W') of codes.

        Raises:
            TypeError, ValueError: for arguments outside these ranges.
        """
        loop.check_count(n, options.get("rng"))
        model = self if guidance == 1 else Guided(self, guidance)
        return loop.sample(model, n, self.for_all(caption, n), **self.kept(given, n), **options)

    def sample_naive(self, n: int, caption: Tensor | None = None, **options) -> Tensor:
        """Draw the same codes with one full forward pass for each; arguments as in `sample`."""
        return self.sample(n, caption, naive=True, **options)

    def sample_wide(
        self, caption: Tensor | None, height: int, width: int, *, n: int = 1, guidance: float = 1.0, **options
    ) -> Tensor:
        """Draw n canvases of codes that are at least as large as the grid, through a window that slides; see `Sliding`.

        Args:
            caption: as in `sample`; every window is told the same.
            height: of the canvas, in codes, at least H'.
            width: of the canvas, in codes, at least W'.
            n: how many, at least 1.
            guidance: as in `sample`.
            options: as in `sample`.

        Returns:
            LongTensor (n, height, width) of codes.

        Raises:
            TypeError, ValueError: for a canvas smaller than the grid, or other arguments outside their ranges.
        """
        loop.check_count(n, options.get("rng"))
        model = Sliding(self if guidance == 1 else Guided(self, guidance), (height, width))
        return loop.sample(model, n, self.for_all(caption, n), **options)

    # While codes are drawn

    @torch.no_grad()
    def start(self, n: int, caption: Tensor | None = None) -> SimpleNamespace:
        """Caches that have read the captions of n grids; see `step`."""
        self.check_classes(caption, n)
        caption = self.caption_of(caption, n)
        words, length = caption.shape[1], caption.shape[1] + self.positions
        places = self.places()
        hidden = hidden_words(caption, torch.cat([self.read(caption), places.expand(n, -1, -1)], 1))
        if hidden is not None:  # a row for each sequence and head, as the caches lie
            hidden = hidden.expand(-1, self.blocks[0].attention.heads, -1, -1).flatten(0, 1)
        state = SimpleNamespace(
            words=words, places=places, hidden=hidden, beginning=torch.full((n,), self.levels, device=places.device),
            **cached(self.blocks, self.norm, self.out, n, length, 0),
        )  # fmt: skip
        if words:
            self._rows(state, self.read(caption).transpose(0, 1).flatten(0, 1), 0, words)
        return state

    @torch.no_grad()
    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: each layer computes one row, and keeps its keys and values."""
        h = self.codes(x_prev if i else state.beginning) + state.places[i]
        with one_thread(len(h) * 4 * self.norm.weight.numel()):
            return self.head.of(self._rows(state, h, state.words + i, 1))

    def _rows(self, state: SimpleNamespace, h: Tensor, i: int, m: int) -> Tensor:
        """Outputs (m * n, n_params) of positions i .. i + m - 1 of the sequence that begins with the caption."""
        hidden = None if state.hidden is None else [state.hidden[:, i : i + m, : i + m]] * len(state.layers)
        return rows(state, h, i, m, hidden)

    # What is asked for, checked

    def caption_of(self, caption: Tensor | None, n: int) -> Tensor:
        """The captions of n grids as they are, or n captions without a token, on the device of the model."""
        return torch.zeros(n, 0, dtype=torch.long, device=self.out.weight.device) if caption is None else caption

    def for_all(self, caption: Tensor | None, n: int) -> Tensor | None:
        """One caption (L,) as n of them; anything else as it is."""
        return caption.expand(n, -1) if isinstance(caption, Tensor) and caption.ndim == 1 else caption

    def kept(self, given: Tensor | None, n: int) -> dict[str, Tensor]:
        """`given` codes, checked, as the loop's options `given` and `mask`."""
        if given is None:
            return {}
        expected = f"expected given: a LongTensor (m,) or ({n}, m) of the first m <= {self.positions} codes"
        if not isinstance(given, Tensor) or given.dtype != torch.long:
            raise TypeError(f"{expected}, got {_kind(given)}; use given.long()")
        first = given.expand(n, -1) if given.ndim == 1 else given
        if first.ndim != 2 or len(first) != n or first.shape[1] > self.positions:
            raise ValueError(f"{expected}, got shape {tuple(given.shape)}; use codes.flatten(1)[:, :m]")
        codes = first.new_zeros(n, self.positions)
        codes[:, : first.shape[1]] = first
        mask = torch.arange(self.positions, device=given.device) < first.shape[1]
        self.check_examples(codes := self.from_sequence(codes))
        return {"given": codes, "mask": self.from_sequence(mask[None])[0]}

    def check_examples(self, x: Tensor) -> None:
        """Refuse what is not a LongTensor (B, H', W') of codes 0..K-1."""
        check_codes(x, self.shape, self.levels)

    def check_classes(self, y: Tensor | None, n: int) -> None:
        """Refuse captions that are no LongTensor (n, up to `length`) of known words, with zeros behind them alone."""
        check_captions(y, n, self.caption_length, self.vocabulary)

    def check_book(self, tokenizer: object) -> None:
        """Refuse a tokenizer whose codes these are not: another size of the book, or another grid (ValueError)."""
        if (tokenizer.n_codes, tuple(tokenizer.grid)) != (self.levels, self.shape):
            raise ValueError(
                f"expected a tokenizer of {self.levels} codes on a grid {self.shape}, "
                f"got {tokenizer.n_codes} on {tuple(tokenizer.grid)}; use the one that the prior was trained for"
            )


def check_codes(x: Tensor, grid: tuple[int, int], n_codes: int) -> None:
    """Refuse what are no codes of a tokenizer.

    Args:
        x: should be a LongTensor (B, H', W') of codes 0..K-1.
        grid: (H', W').
        n_codes: K.

    Raises:
        TypeError: for another type or dtype. ValueError: for another grid, an empty batch, or codes outside the book.
    """
    expected = f"a LongTensor (B, {grid[0]}, {grid[1]}) of codes 0..{n_codes - 1}"
    if not isinstance(x, Tensor) or x.dtype != torch.long:
        raise TypeError(f"expected {expected}, got {_kind(x)}; use what the tokenizer's encode returns")
    check_shape(x, grid, expected)
    if readable(x) and (x.min() < 0 or x.max() >= n_codes):
        raise ValueError(
            f"expected {expected}, got {int(x.min())}..{int(x.max())}, outside of the book; "
            "use codes of the tokenizer that this prior was trained for"
        )


def check_captions(y: Tensor | None, n: int, length: int, vocabulary: int) -> None:
    """Refuse what are no captions of n images.

    Args:
        y: should be a LongTensor (n, L), L <= length, of words 1..vocabulary, with zeros behind them alone; or None.
        n: number of images.
        length: of the longest caption.
        vocabulary: number of words.

    Raises:
        TypeError: for another type or dtype. ValueError: for another shape, unknown words, or a zero before a word.
    """
    if y is None:
        return
    expected = f"captions: a LongTensor ({n}, 0 to {length}) of words 1..{vocabulary}, then zeros"
    if not isinstance(y, Tensor) or y.dtype != torch.long:
        raise TypeError(f"expected {expected}, got {_kind(y)}; use encode(text) of the data set's captions")
    if y.ndim != 2 or len(y) != n or y.shape[1] > length:
        raise ValueError(f"expected {expected}, got shape {tuple(y.shape)}; give one caption for each grid")
    if not y.numel() or not readable(y):
        return
    if y.min() < 0 or y.max() > vocabulary:
        raise ValueError(f"expected {expected}, got tokens {int(y.min())}..{int(y.max())}; it knows no such word")
    if ((y[:, :-1] == 0) & (y[:, 1:] != 0)).any():
        raise ValueError(f"expected {expected}, got a zero before a word; move the words to the front")


def hidden_words(caption: Tensor, h: Tensor) -> Tensor | None:
    """What is added to the scores of a sequence that begins with a caption, so that nobody looks at a missing word.

    Args:
        caption: LongTensor (B, L).
        h: (B, T, width), the features of the whole sequence.

    Returns:
        (B, 1, T, T): -inf where the key is a zero of the caption, but for the query that stands there itself, which
        must look at something; None for captions without a token.
    """
    if not caption.shape[1]:
        return None
    t = torch.arange(h.shape[1], device=h.device)
    missing = nn.functional.pad(caption == 0, (0, len(t) - caption.shape[1]))
    return h.new_zeros(()).masked_fill(missing[:, None, None] & (t[:, None] != t), -math.inf)


def places(n: int, width: int) -> nn.Parameter:
    """What says of n places where they are, to be learned: (n, width)."""
    return nn.Parameter(torch.randn(n, width) / math.sqrt(width))


def _kind(x: object) -> str:
    return f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
