"""Transformers that predict the next value: of a text, and of an image.

Attention decides from where a position takes what it needs, a small network per position what to make of it; both only
add to the stream of features that runs through all layers. What has been found to help small models most is built in:
rotary positions, normalized queries and keys, squared ReLU, no biases, outputs that start at zero, and a convolution
over the last few inputs.

Training reads whole sequences. While one is being drawn, keys and values are kept, see `KeyValueCache`.

Sources: Vaswani et al. (2017), "Attention Is All You Need", arXiv 1706.03762; Radford et al. (2019), "Language Models
are Unsupervised Multitask Learners"; So et al. (2021), "Primer", arXiv 2109.08668 (squared ReLU, convolutions); Jordan
et al. (2024), "modded-nanogpt" (the other choices together).
"""

import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from garm_course.autoregressive.images import ImageModel
from garm_course.autoregressive.layers.attention import CausalAttention, KeyValueCache, rotations, turn
from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.autoregressive.sequences import SequenceModel
from garm_course.inputs import check_settings
from garm_course.models import configured
from garm_course.transforms import level_features


class Block(nn.Module):
    """x + attention(norm(x)), and then x + network(norm(x)), where the network is W relu(V x)^2, four times as wide."""

    def __init__(
        self, width: int, heads: int, *, window: int | None, turned: bool, dropout: float,
        attention: type[CausalAttention] = CausalAttention,
    ):  # fmt: skip
        super().__init__()
        self.first_norm, self.second_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention = attention(width, heads, window=window, turned=turned, normalized=True, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.attention.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """(B, T, width) -> (B, T, width); `added` (heads, T, T) to the scores of attention."""
        x = x + self.dropout(self.attention(self.first_norm(x), added))
        return x + self.dropout(self.down(SquaredReLU.apply(self.up(self.second_norm(x)))))


class SquaredReLU(Function):
    """max(x, 0)^2, whose gradient is 2 max(x, 0): one large tensor each way, where autograd's own rules make three."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Any shape."""
        positive = x.relu()
        return positive.mul_(positive)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep x alone."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """The gradient by x."""
        (x,) = ctx.saved_tensors
        return x.clamp_min(0).mul_(gradient).mul_(2)


class CharTransformer(SequenceModel):
    """A transformer over characters, or any other tokens, that reads sequences of any length.

    Position t reads the value before it. A beginning has a token of its own, so that nothing is padded.

    Args:
        shape: (T,), the length that it is trained on.
        levels: number of tokens.
        n_classes: 0, or the number of classes of a class-conditional model.
        width: features of a position, divisible by twice the number of heads.
        layers: number of blocks.
        heads: number of heads of attention.
        window: how many positions each sees in a layer, itself included, and how many keys and values are kept; None
            for all, in which case texts longer than `shape` show it distances that it was not trained on.
        taps: how many inputs before the present one the first convolution reads, each feature with a weight of its own.
        dropout: probability of dropping a feature of the inputs and of what a layer adds.

    Raises:
        ValueError: for widths, layers, heads, windows or taps out of range.

    Source:
        Radford et al. (2019); for what differs see the module.

    Example:
        >>> CharTransformer((64,), 96)(torch.zeros(2, 10, dtype=torch.long)).shape
        torch.Size([2, 10, 96])
    """

    name = "char_transformer"
    looks_ahead = 32

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, width=64, layers=2, heads=2, window=None, taps=3, dropout=0.0
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes)
        check_settings(1, whole=True, width=width, layers=layers)
        check_settings(0, whole=True, taps=taps)
        self.embed = nn.Embedding(levels + 1, width)
        self.taps = nn.Parameter(torch.zeros(taps, width))  # of the input one, two, ... positions before
        self.classes = nn.Embedding(n_classes, width) if n_classes else None
        self.blocks = nn.ModuleList(
            Block(width, heads, window=window, turned=True, dropout=dropout) for _ in range(layers)
        )
        self.norm = nn.RMSNorm(width)
        self.out = zero_linear(width, self.head.n_params)
        self.dropout = nn.Dropout(dropout)
        self.reach = None if window is None else 1 + layers * (window - 1) + taps  # equation (7.9)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`."""
        h = self.inputs(x, y)
        for block in self.blocks:
            h = block(h)
        return self.head.of(self.out(self.norm(h)))

    def inputs(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Features (B, T, width) of the value before each position, and of the `taps` values before that."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        e = self.embed(self.shifted(x))
        h = e if y is None else e + self.classes(y).unsqueeze(1)
        for back, tap in enumerate(self.taps[: x.shape[1] - 1], 1):
            h = h + F.pad(e[:, :-back], (0, 0, back, 0)) * tap
        return self.dropout(h)

    @torch.no_grad()
    def attention(self, x: Tensor, y: Tensor | None = None) -> list[Tensor]:
        """How much each position listens to each other one, in every layer.

        Args:
            x: LongTensor (B, T).
            y: LongTensor (B,) of classes, for a class-conditional model.

        Returns:
            A tensor (B, heads, T, T) for each layer; row t is the distribution over the positions that predict x_t,
            where position s reads x_{s-1}, and position 0 the beginning.
        """
        h, maps = self.inputs(x, y), []
        for block in self.blocks:
            maps.append(block.attention.weights(block.first_norm(h)))
            h = block(h)
        return maps

    # While a sequence is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None, *, length: int | None = None) -> SimpleNamespace:
        """Empty caches for n sequences of this length and classes y; see `step`."""
        self.check_classes(y, n)
        (length,) = self.shape_of(length)
        weight = self.embed.weight
        taps = len(self.taps)
        # what each token adds to the features of the position that reads it, and of the ones after that
        weights = torch.cat([weight.new_ones(1, weight.shape[1]), self.taps])
        tables = F.pad(weight * weights[:, None], (0, 0, 0, 1))  # (taps + 1, levels + 2, width); the last token adds 0
        nothing = self.levels + 1
        tokens = torch.full((taps + length, n), nothing, device=weight.device)
        tokens[taps] = self.levels
        return SimpleNamespace(
            tokens=tokens,  # input t lies at taps + t
            table=tables.flatten(0, 1),
            offsets=torch.arange(taps, -1, -1, device=weight.device) * len(tables[0]),
            classes=None if y is None else self.classes(y),
            **cached(self.blocks, self.norm, self.out, n, length, self.looks_ahead),
        )

    @torch.no_grad()
    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: each layer computes one row, and keeps its keys and values."""
        if i:
            state.tokens[len(self.taps) + i] = x_prev
        with one_thread(state.tokens.shape[1] * 4 * self.norm.weight.numel()):
            return self.head.of(self._rows(state, i, 1))

    @torch.no_grad()
    def look_ahead(self, state: SimpleNamespace, i: int, x_prev: Tensor | None, guesses: Tensor) -> Tensor:
        """See `Autoregressive.look_ahead`: a few rows in one pass."""
        m, n = guesses.shape
        if m > self.looks_ahead:
            raise ValueError(f"expected at most {self.looks_ahead} guesses, got {m}")
        at = len(self.taps) + i
        if i:
            state.tokens[at] = x_prev
        state.tokens[at + 1 : at + m + 1] = guesses
        with one_thread((m + 1) * n * 4 * self.norm.weight.numel()):
            return self.head.of(self._rows(state, i, m + 1).unflatten(0, (m + 1, n)))

    def _rows(self, state: SimpleNamespace, i: int, m: int) -> Tensor:
        """Outputs (m * n, n_params) of positions i .. i + m - 1 of n sequences."""
        window = state.tokens[i : i + m + len(state.offsets) - 1].unfold(0, len(state.offsets), 1)  # (m, n, taps + 1)
        h = F.embedding_bag((window + state.offsets).flatten(0, 1), state.table, mode="sum")
        if state.classes is not None:
            h = (h.unflatten(0, (m, -1)) + state.classes).flatten(0, 1)
        return rows(state, h, i, m)


class PixelTransformer(ImageModel):
    """A transformer over the values of an image in raster order.

    A position reads the values just before it (as many as there are colors, so that each value is read by the very next
    position), and its neighbors above on the left, above, and above on the right. In attention, each head likes some
    displacements better than others, wherever the position is.

    Args:
        shape: (C, H, W) of the images.
        levels: number of gray levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.
        width: features of a position, divisible by the number of heads.
        layers: number of blocks.
        heads: number of heads of attention.
        dropout: probability of dropping a feature of the inputs and of what a layer adds.
        encoding: see `level_features`.

    Raises:
        ValueError: for widths, layers or heads out of range.

    Source:
        Chen et al. (2020), "Generative Pretraining from Pixels", ICML. Its inputs are the previous pixel alone, and its
        places are learned; the bias by displacement is that of Shaw et al. (2018), arXiv 1803.02155, as one number.

    Example:
        >>> PixelTransformer((1, 4, 5), 3, width=8)(torch.zeros(2, 1, 4, 5, dtype=torch.long)).shape
        torch.Size([2, 1, 4, 5, 3])
    """

    name = "pixel_transformer"

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, width=64, layers=4, heads=4, dropout=0.0, encoding="thermometer"
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes)
        check_settings(1, whole=True, width=width, layers=layers)
        self.looks_ahead = shape[2] * shape[0]  # a row
        self.register_buffer("table", level_features(levels, encoding), persistent=False)
        reads, displacements, different = geometry(shape)
        self.register_buffer("reads", reads, persistent=False)
        self.register_buffer("displacements", displacements, persistent=False)
        self.enter = nn.Linear(reads.shape[1] * self.table.shape[1], width, bias=False)
        self.places = nn.Parameter(torch.randn(self.positions, width) / math.sqrt(width))
        self.classes = nn.Embedding(n_classes, width) if n_classes else None
        self.blocks = nn.ModuleList(
            Block(width, heads, window=None, turned=False, dropout=dropout) for _ in range(layers)
        )
        self.likes = nn.Parameter(torch.zeros(layers, heads, different))
        self.norm = nn.RMSNorm(width)
        self.out = zero_linear(width, self.head.n_params)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        values = F.pad(self.to_sequence(self.table[x]), (0, 0, 0, 1))  # (B, D + 1, F): what lies outside is zero
        h = self.enter(values[:, self.reads].flatten(2)) + self.places
        h = h if y is None else h + self.classes(y).unsqueeze(1)
        h = self.dropout(h)
        for block, added in zip(self.blocks, self.likes[:, :, self.displacements], strict=True):
            h = block(h, added)
        return self.from_sequence(self.head.of(self.out(self.norm(h))))

    # While an image is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None) -> SimpleNamespace:
        """Empty caches for n images of classes y; see `step`."""
        self.check_classes(y, n)
        places = self.places.unsqueeze(1)  # (D, 1, width)
        return SimpleNamespace(
            values=self.places.new_zeros(self.positions + 1, n, self.table.shape[1]),  # the last one stays zero
            places=places if y is None else places + self.classes(y),
            enter=self.enter.weight.T.contiguous(),
            likes=self.likes[:, :, self.displacements],  # (layers, heads, D, D)
            **cached(self.blocks, self.norm, self.out, n, self.positions, self.looks_ahead),
        )

    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: each layer computes one row, and keeps its keys and values."""
        n = state.values.shape[1]
        return self.look_ahead(state, i, x_prev, torch.empty(0, n, dtype=torch.long, device=state.values.device))[0]

    @torch.no_grad()
    def look_ahead(self, state: SimpleNamespace, i: int, x_prev: Tensor | None, guesses: Tensor) -> Tensor:
        """See `Autoregressive.look_ahead`: the positions of a row in one pass."""
        m, n = guesses.shape
        most = self.block_end(i) - i - 1
        if m > most:
            raise ValueError(f"expected at most {most} guesses, to the end of the row of position {i}, got {m}")
        if i:
            state.values[i - 1] = self.table[x_prev]
        state.values[i : i + m] = self.table[guesses]
        here, end = slice(i, i + m + 1), i + m + 1
        with one_thread((m + 1) * n * 4 * self.norm.weight.numel()):
            values = state.values[self.reads[here]].transpose(1, 2).flatten(2)  # (m + 1, n, reads * F)
            h = (values @ state.enter + state.places[here]).flatten(0, 1)
            params = rows(state, h, i, m + 1, [likes[:, here, :end] for likes in state.likes])
            return self.head.of(params.unflatten(0, (m + 1, n)))


def geometry(shape: tuple[int, int, int]) -> tuple[Tensor, Tensor, int]:
    """What positions of an image in raster order read, and how they lie to each other.

    Args:
        shape: (C, H, W).

    Returns:
        reads: LongTensor (D, C + 3), the positions that each reads: the C before it, then above on the left, above, and
            above on the right in its own color; D for one outside.
        displacements: LongTensor (D, D), the number of the displacement from position j up to position i >= j, by rows,
            columns and colors; 0 elsewhere.
        different: how many numbers there are.
    """
    colors, height, width = shape
    d = colors * height * width
    i = torch.arange(d)
    row, column, color = i // (width * colors), i // colors % width, i % colors
    before = [torch.where(i >= back, i - back, d) for back in range(1, colors + 1)]
    above = [
        torch.where((row > 0) & (column + step >= 0) & (column + step < width), i + (step - width) * colors, d)
        for step in (-1, 0, 1)
    ]
    down, right, later = (t[:, None] - t for t in (row, column, color))
    number = (down * (2 * width - 1) + right + width - 1) * (2 * colors - 1) + later + colors - 1
    number = number.where(i[:, None] >= i, 0)
    return torch.stack([*before, *above], 1), number, height * (2 * width - 1) * (2 * colors - 1)


def zero_linear(width: int, n: int) -> nn.Linear:
    """A linear layer without bias whose weights start at zero: at first all values are equally likely."""
    layer = nn.Linear(width, n, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


def cached(blocks: nn.ModuleList, norm: nn.RMSNorm, out: nn.Linear, n: int, length: int, block: int) -> dict:
    """What `rows` needs: empty caches, angles, and weights transposed, each with the gains of the norm before it."""
    layers = []
    for one in blocks:
        attention = one.attention
        layers.append(
            SimpleNamespace(
                cache=KeyValueCache(attention, n, length, block=block),
                qkv=(attention.qkv.weight * one.first_norm.weight).T.contiguous(),
                merge=attention.out.weight.T.contiguous(),
                up=(one.up.weight * one.second_norm.weight).T.contiguous(),
                down=one.down.weight.T.contiguous(),
            )
        )
    keys = layers[0].cache.keys
    turned = blocks[0].attention.turned
    positions = torch.arange(length, device=keys.device)
    angles = [t[:, None, None] for t in rotations(positions, keys)] if turned else None  # (length, 1, 1, D)
    return {"layers": layers, "angles": angles, "last": (out.weight * norm.weight).T.contiguous()}


def rows(state: SimpleNamespace, h: Tensor, i: int, m: int, added: list[Tensor] | None = None) -> Tensor:
    """The blocks at positions i .. i + m - 1 only; the same numbers as in `forward`, in fewer and smaller operations.

    Args:
        state: from `cached`; positions before i are kept there, and these from now on.
        h: (m * n, width), the inputs, position after position.
        i: the first position.
        m: number of positions.
        added: (heads, m, i + m) for each layer, added to the scores of attention.

    Returns:
        (m * n, n_params).
    """
    for number, layer in enumerate(state.layers):
        cache = layer.cache
        heads, size = cache.attention.heads, cache.keys.shape[-1:]
        qkv = torch.mm(rms_norm(h), layer.qkv).view(m, -1, 3 * heads, *size)
        qk = qkv[:, :, : 2 * heads]
        if cache.attention.normalized:
            qk = rms_norm(qk)
        if state.angles is not None:
            qk = turn(qk, *(t[i : i + m] for t in state.angles))
        parts = qk[:, :, :heads], qk[:, :, heads:], qkv[:, :, 2 * heads :]
        # (n * heads, m, D); for one position nothing has to change places
        q, k, v = (t.reshape(m, -1, *size).transpose(0, 1) if m > 1 else t.reshape(-1, 1, *size) for t in parts)
        cache.filled = i
        heard = cache.attend(q, k, v, None if added is None else added[number])
        h = torch.addmm(h, heard.transpose(0, 1).reshape(h.shape), layer.merge)
        h = torch.addmm(h, torch.mm(rms_norm(h), layer.up).relu_().square_(), layer.down)
    return torch.mm(rms_norm(h), state.last)


def rms_norm(x: Tensor) -> Tensor:
    """x (..., D) divided by the root of its mean square, as `F.rms_norm` does, for a few rows without gradients.

    Beside -x, the mean of x is 0 and its variance the mean square: that is the layer norm, one operation where the
    other takes five.
    """
    d, exact = x.shape[-1], torch.promote_types(x.dtype, torch.float32)
    return F.layer_norm(torch.cat([x, -x], -1), (2 * d,), eps=torch.finfo(exact).eps)[..., :d]
