"""PixelRNN: recurrent networks over the pixels of an image.

Three ways to carry what has been seen to the pixel that comes next. A GRU reads the pixels one after the other, as a
sequence. A Row LSTM computes a whole row at once from the row above. A Diagonal BiLSTM goes through the image along its
diagonals, from both upper corners, so that its state at a pixel has seen all pixels above and to the left (or right).

All three train with the true image as input (teacher forcing) and draw with the same arithmetic, one pixel at a time:
the recurrent state is the cache.

Source: van den Oord, Kalchbrenner, Kavukcuoglu (2016), "Pixel Recurrent Neural Networks", arXiv 1601.06759.
"""

import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.autoregressive.images import ImageModel, PixelModel
from garm_course.autoregressive.layers.causal_conv import CausalConv2d, ConvCache, by_color
from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.models import configured
from garm_course.transforms import level_features


def shift_right(x: Tensor, start: float = 0) -> Tensor:
    """The inputs of teacher forcing: at position t the value before it, at position 0 a start value; equation (3.2).

    Args:
        x: (B, T, ...).
        start: what stands at position 0.

    Returns:
        Tensor of the same shape: [start, x_0, ..., x_{T-2}].

    Example:
        >>> shift_right(torch.tensor([[5, 6, 7]]), start=-1)
        tensor([[-1,  5,  6]])
    """
    return torch.cat([torch.full_like(x[:, :1], start), x[:, :-1]], 1)


def sequence_nll(logits: Tensor, x: Tensor) -> Tensor:
    """Negative log-likelihood of sequences in nats, summed over time; equation (3.4).

    Args:
        logits: (B, T, V), where logits[:, t] predict x[:, t] (the shift is in the input).
        x: LongTensor (B, T) of values 0..V-1.

    Returns:
        (B,) nats.

    Raises:
        ValueError: for shapes that do not fit.

    Example:
        >>> sequence_nll(torch.zeros(1, 64, 17), torch.zeros(1, 64, dtype=torch.long))  # 64 ln 17
        tensor([181.3257])
    """
    if logits.ndim != 3 or logits.shape[:2] != x.shape:
        raise ValueError(f"expected logits (B, T, V) and x (B, T), got {tuple(logits.shape)} and {tuple(x.shape)}")
    return F.cross_entropy(logits.transpose(1, 2), x, reduction="none").sum(1)


def skew(x: Tensor) -> Tensor:
    """Move row r to the right by r, so that a diagonal of the image becomes a column; equation (3.6).

    Args:
        x: (..., H, W).

    Returns:
        (..., H, W + H - 1): entry (r, r + c) holds x[r, c], the rest is zero.

    Example:
        >>> skew(torch.tensor([[1, 2], [3, 4]]))
        tensor([[1, 2, 0],
                [0, 3, 4]])
    """
    height, width = x.shape[-2:]
    # H zeros at the end of each row: read as rows of W + H - 1, every row starts one later than the one above
    return F.pad(x, (0, height)).flatten(-2)[..., : height * (width + height - 1)].unflatten(-1, (height, -1))


def unskew(s: Tensor) -> Tensor:
    """(..., H, W + H - 1) -> (..., H, W): the inverse of `skew`."""
    height, wide = s.shape[-2:]
    return F.pad(s.flatten(-2), (0, height)).unflatten(-1, (height, wide + 1))[..., : wide + 1 - height]


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM from its summed inputs: c' = f c + i g, h' = o tanh(c'); equation (3.5).

    Args:
        gates: (..., 4h): output, forget, input gate and content, before their nonlinearities.
        c: (..., h), the cell before.

    Returns:
        (h', c'), each (..., h).

    Source:
        van den Oord et al. (2016), arXiv 1601.06759, equation 3.
    """
    o, f, i, g = gates.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class PixelGRU(ImageModel):
    """A GRU over the values of an image in raster order; it sees the value before, the one above, and where it is.

    Args:
        shape: (C, H, W) of the images.
        levels: number of gray levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.
        hidden: size of the state.
        layers: number of GRU layers.
        dropout: probability of dropping a feature of the state before the read-out (and between layers).
        encoding: see `level_features`.

    Raises:
        ValueError: for hidden < 1 or layers < 1.

    Source:
        Cho et al. (2014), arXiv 1406.1078 (the GRU). As an image model: the simplest PixelRNN.

    Example:
        >>> PixelGRU((1, 4, 5), levels=3, hidden=8)(torch.zeros(2, 1, 4, 5, dtype=torch.long)).shape
        torch.Size([2, 1, 4, 5, 3])
    """

    name = "pixel_gru"

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, hidden=192, layers=1, dropout=0.0, encoding="thermometer"
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes)
        if hidden < 1 or layers < 1:
            raise ValueError(f"expected hidden >= 1 and layers >= 1, got hidden={hidden}, layers={layers}")
        self.register_buffer("table", level_features(levels, encoding), persistent=False)
        width = min(hidden, 32)
        self.places = nn.Parameter(torch.randn(self.positions, width) / math.sqrt(width))
        self.classes = nn.Embedding(n_classes, width) if n_classes else None
        self.gru = nn.GRU(
            2 * self.table.shape[1] + width, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, self.head.n_params))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`: the GRU reads all values, each of them one step late."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        return self.from_features(self.table[x], y)

    def from_features(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """`forward` from the features (B, C, H, W, F) of the levels, which have a gradient."""
        sequence = self.to_sequence(features)  # (B, D, F)
        row = self.shape[2] * self.shape[0]  # positions of one row
        above = F.pad(sequence, (0, 0, row, 0))[:, : self.positions]
        place = self.places if y is None else self.places + self.classes(y).unsqueeze(1)
        h, _ = self.gru(torch.cat([shift_right(sequence), above, place.expand(len(features), -1, -1)], 2))
        return self.from_sequence(self.head.of(self.out(self.dropout(h))))

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        if f"{prefix}place" in state_dict:  # what files of version 0.1 call it
            state_dict[f"{prefix}places"] = state_dict.pop(f"{prefix}place")
        super()._load_from_state_dict(state_dict, prefix, *rest)

    # While an image is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None) -> SimpleNamespace:
        """The zero state for n images of classes y; see `step`."""
        self.check_classes(y, n)
        zeros = self.places.new_zeros
        row = self.shape[2] * self.shape[0]
        return SimpleNamespace(
            n=n,
            h=zeros(self.gru.num_layers, n, self.gru.hidden_size),
            values=zeros(row + self.positions, n, self.table.shape[1]),  # a row of padding, then all features drawn
            classes=None if y is None else self.classes(y),
        )

    @torch.no_grad()
    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: one step of the GRU."""
        row = self.shape[2] * self.shape[0]
        with one_thread(state.h.numel()):
            if i:
                state.values[row + i - 1] = self.table[x_prev]
            before = state.values[row + i - 1] if i else torch.zeros_like(state.values[0])
            place = self.places[i] if state.classes is None else self.places[i] + state.classes
            features = torch.cat([before, state.values[i], place.expand(state.n, -1)], 1)
            h, state.h = self.gru(features.unsqueeze(1), state.h)
            return self.head.of(self.out(h[:, 0]))


class RowLSTMLayer(nn.Module):
    """An LSTM that goes down the rows: the state of a pixel comes from three states of the row above.

    The part that reads the row itself is a causal 1 x k convolution, so within a row only pixels to the left are seen.
    """

    def __init__(self, stream: int, pixel: int, channels: int, kernel: int, colors: int, n_classes: int):
        super().__init__()
        self.channels, self.kernel = channels, kernel
        self.input = CausalConv2d(stream, 4 * channels, kernel, "B", colors=colors, parts=4, above=False)
        self.state = nn.Conv1d(channels, 4 * channels, kernel, padding=kernel // 2, bias=False)
        self.classes = nn.Embedding(n_classes, 4 * channels) if n_classes else None
        with torch.no_grad():
            self.input.bias[channels : 2 * channels] += 1  # remember, until told otherwise

    def forward(self, x: Tensor, pixels: Tensor, y: Tensor | None) -> Tensor:
        """Features (B, stream, H, W) -> states (B, channels, H, W); the pixels themselves go unused."""
        gates = self.input(x)  # (B, 4h, H, W)
        if y is not None:
            gates = gates + self.classes(y)[..., None, None]
        h = c = None
        rows = []
        for row in gates.unbind(2):  # (B, 4h, W)
            row = (row if h is None else row + self.state(h)).transpose(1, 2)
            h, c = lstm_cell(row, torch.zeros_like(row[..., : self.channels]) if c is None else c)  # (B, W, h)
            h = h.transpose(1, 2)
            rows.append(h)
        return torch.stack(rows, 2)

    # While an image is drawn

    def start(self, n: int, width: int, colors: int, y: Tensor | None) -> SimpleNamespace:
        """Empty caches for n images."""
        row = self.input.bias.new_zeros(n, width, self.channels)
        return SimpleNamespace(
            input=ConvCache(self.input, n, width),
            h=row.clone(),  # states of the current row
            c=row.clone(),
            c_above=row.clone(),
            classes=None if y is None else self.classes(y),
            colors=colors,
        )

    def start_row(self, state: SimpleNamespace, pixels: Tensor, first: bool) -> None:
        """What the row above, `pixels` (n, W, pixel), contributes to the gates of this row: one convolution."""
        if first:
            extra = None
        else:
            extra = self.state(state.h.transpose(1, 2)).permute(2, 0, 1)  # (W, n, 4h)
            state.c_above, state.c = state.c, state.c_above
        if state.classes is not None:
            extra = state.classes.expand(state.h.shape[1], -1, -1) if extra is None else extra + state.classes
        if extra is None:  # replaces the base of an earlier row, see ConvCache.start_row
            extra = state.h.new_zeros(state.h.shape[1], len(state.h), 4 * self.channels)
        state.input.start_row(extra)

    def step(self, state: SimpleNamespace, column: int, color: int, features: Tensor) -> Tensor:
        """Features (n, group) of this color at this column -> states (n, group)."""
        gates = state.input.step(column, color, features)  # (n, 4 group)
        part = slice(color * gates.shape[1] // 4, (color + 1) * gates.shape[1] // 4)
        h, c = lstm_cell(gates, state.c_above[:, column, part])
        state.h[:, column, part], state.c[:, column, part] = h, c
        return h


class DiagonalBiLSTMLayer(nn.Module):
    """Two LSTMs that go along the diagonals: one from the upper left corner, one from the upper right.

    The state of a pixel comes from its neighbor above and from the one on the left (right). In the skewed image these
    two are neighbors in the column before, so that all pixels of a diagonal are computed at once. The second LSTM sees
    pixels to the right of the target, so its output moves down by one row. For the same reason it may read the pixel
    itself, besides the features of earlier pixels. The paper's does not: it never sees the last pixel of the row above,
    unless the first convolution reaches it.
    """

    def __init__(self, stream: int, pixel: int, channels: int, kernel: int, colors: int, n_classes: int):
        super().__init__()
        self.channels = channels
        self.input = CausalConv2d(stream, 4 * channels, 1, "B", colors=colors, parts=4)
        self.input_back = nn.Conv2d(stream + pixel, 4 * channels, 1)  # needs no mask: its output moves down by a row
        bound = 1 / math.sqrt(2 * channels)
        self.state = nn.Parameter(torch.empty(2, 2 * channels, 4 * channels).uniform_(-bound, bound))
        self.classes = nn.Embedding(n_classes, 8 * channels) if n_classes else None
        with torch.no_grad():
            self.input.bias[channels : 2 * channels] += 1
            self.input_back.bias[channels : 2 * channels] += 1

    def forward(self, x: Tensor, pixels: Tensor, y: Tensor | None) -> Tensor:
        """Features (B, stream, H, W) and the pixels themselves (B, pixel, H, W) -> states (B, channels, H, W)."""
        gates = torch.stack([self.input(x), self.input_back(torch.cat([x, pixels], 1)).flip(-1)])  # (2, B, 4h, H, W)
        if y is not None:
            gates = gates + torch.stack(self.classes(y).chunk(2, 1))[..., None, None]
        columns = skew(gates).permute(4, 0, 1, 3, 2)  # (W + H - 1, 2, B, H, 4h)
        directions, batch, height = columns.shape[1:4]
        h = c = columns.new_zeros(directions, batch, height, self.channels)
        states = []
        for column in columns:
            above_and_side = torch.cat([F.pad(h, (0, 0, 1, -1)), h], -1).flatten(1, 2)  # (2, B H, 2h)
            recurrent = torch.bmm(above_and_side, self.state).view_as(column)
            # outside the image gates and states are zero and stay zero
            h, c = lstm_cell(column + recurrent, c)
            states.append(h)
        ahead, back = unskew(torch.stack(states, -1).transpose(2, 3))  # (B, h, H, W) each
        return self.join(ahead, back.flip(-1))

    def join(self, ahead: Tensor, back: Tensor) -> Tensor:
        """Add the states (B, channels, H, W) of both ways, those of the way back moved down by one row."""
        return ahead + F.pad(back, (0, 0, 1, -1))

    # While an image is drawn

    def start(self, n: int, width: int, colors: int, y: Tensor | None) -> SimpleNamespace:
        """Empty caches for n images."""
        row = self.input.bias.new_zeros(n, width, self.channels)
        ahead, back = (None, None) if y is None else self.classes(y).chunk(2, 1)
        weight = self.state.detach()
        return SimpleNamespace(
            input=ConvCache(self.input, n, width),
            stream=row.new_zeros(n, width, self.input.c_in),  # inputs of the current row, for the way back
            h=row.clone(),  # states of the current row, on the way ahead
            c=row[:, 0].clone(),  # cell of the pixel to the left
            back=row.clone(),  # states of the row above, on the way back
            classes=(ahead, back),
            above=weight[:, : self.channels],  # (2, h, 4h)
            side=weight[:, self.channels :],
            # per color: (h, 4 group)
            side_of_color=[w.contiguous() for w in by_color(weight[0, self.channels :], 4, colors)],
            colors=colors,
        )

    def start_row(self, state: SimpleNamespace, pixels: Tensor, first: bool) -> None:
        """Finish the row above, `pixels` (n, W, pixel), from right to left; prepare what it contributes to this row."""
        ahead, back = state.classes
        n, width, _ = state.h.shape
        extra = state.h.new_zeros(width, n, 4 * self.channels)
        if not first:
            weight = self.input_back.weight.flatten(1)  # (4h, stream + pixel)
            gates = F.linear(torch.cat([state.stream, pixels], 2), weight, self.input_back.bias)  # (n, W, 4h)
            gates = gates + state.back @ state.above[1]
            if back is not None:
                gates = gates + back.unsqueeze(1)
            new = torch.zeros_like(state.back)
            h = c = state.h.new_zeros(n, self.channels)
            for column in reversed(range(width)):
                h, c = lstm_cell(torch.addmm(gates[:, column], h, state.side[1]), c)
                new[:, column] = h
            state.back = new
            extra = (state.h @ state.above[0]).transpose(0, 1)  # (W, n, 4h)
        if ahead is not None:
            extra = extra + ahead
        state.input.start_row(extra)

    def step(self, state: SimpleNamespace, column: int, color: int, features: Tensor) -> Tensor:
        """Features (n, group) of this color at this column -> states (n, group)."""
        group = features.shape[1]
        state.stream[:, column, color * group : (color + 1) * group] = features
        gates = state.input.step(column, color, features)  # (n, 4 group)
        size = gates.shape[1] // 4
        part = slice(color * size, (color + 1) * size)
        c = state.c[:, part]
        if column:
            gates = torch.addmm(gates, state.h[:, column - 1], state.side_of_color[color])
        else:
            c = torch.zeros_like(c)
        h, state.c[:, part] = lstm_cell(gates, c)
        state.h[:, column, part] = h
        return h + state.back[:, column, part]


class PixelLSTM(PixelModel):
    """The frame of Row LSTM and Diagonal BiLSTM: a masked convolution, LSTM layers with residuals, a masked head."""

    layer: type[nn.Module]

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, channels=32, layers=2, first_kernel=7, kernel=3, dropout=0.0,
        encoding="thermometer",
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes, channels=channels, layers=layers, encoding=encoding)
        colors, stream = shape[0], 2 * channels
        pixel = colors * self.table.shape[1]  # features of a pixel
        self.first = CausalConv2d(pixel, stream, first_kernel, "A", colors=colors)
        self.layers = nn.ModuleList(
            self.layer(stream, pixel, channels, kernel, colors, n_classes) for _ in range(layers)
        )
        self.up = nn.ModuleList(CausalConv2d(channels, stream, 1, "B", colors=colors) for _ in range(layers))
        self.head_in = CausalConv2d(stream, stream, 1, "B", colors=colors)
        self.head_out = CausalConv2d(stream, colors * self.head.n_params, 1, "B", colors=colors)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`: a masked convolution, then LSTM layers."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        return self.from_features(self.table[x], y)

    def from_features(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """`forward` from the features (B, C, H, W, F) of the levels, which have a gradient."""
        pixels = features.movedim(-1, 2).flatten(1, 2)  # (B, C * F, H, W)
        h = self.first(pixels)  # (B, 2h, H, W)
        for layer, up in zip(self.layers, self.up, strict=True):
            h = h + up(self.dropout(layer(h, pixels, y)))
        return self.read_out(self.head_out(F.relu(self.head_in(F.relu(h)))))

    # While an image is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None) -> SimpleNamespace:
        """Zero states for n images of classes y; see `step`."""
        self.check_classes(y, n)
        colors, _, width = self.shape
        return SimpleNamespace(
            n=n,
            first=ConvCache(self.first, n, width),
            layers=[layer.start(n, width, colors, y) for layer in self.layers],
            up=[ConvCache(conv, n, width) for conv in self.up],
            head=[ConvCache(conv, n, width) for conv in (self.head_in, self.head_out)],
        )

    def write_input(self, state, column, color, features):
        """Features of the pixel that was drawn last."""
        state.first.write(column, color, features)

    def start_row(self, state, first):
        """All that the rows above contribute to this row."""
        if not first:
            state.first.end_row()
        for cache in (state.first, *state.up, *state.head):
            cache.start_row()
        pixels = state.first.line[:, self.first.reach :]  # (n, W, C * F): the row just drawn
        for layer, s in zip(self.layers, state.layers, strict=True):
            layer.start_row(s, pixels, first)

    def step_pixel(self, state, column, color):
        """Parameters (n, n_params) of one pixel and color; the same lines as `from_features`, for one pixel."""
        h = state.first.read(column, color)
        for layer, s, up in zip(self.layers, state.layers, state.up, strict=True):
            h = h + up.step(column, color, layer.step(s, column, color, h))
        head_in, head_out = state.head
        return head_out.step(column, color, F.relu(head_in.step(column, color, F.relu(h))))


class RowLSTM(PixelLSTM):
    """PixelRNN with Row LSTM layers: parallel along a row, its context is a triangle above the pixel.

    Args:
        shape: (C, H, W) of the images.
        levels: number of gray levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.
        channels: size h of the states; the residual stream has 2 h features (divisible by C).
        layers: number of LSTM layers.
        first_kernel: kernel of the first convolution (7 in the paper). kernel: width of the LSTM's convolutions.
        dropout: probability of dropping a state on its way into the residual stream.
        encoding: see `level_features`.

    Source:
        van den Oord et al. (2016), arXiv 1601.06759, section 3.1; residuals: section 3.3, figure 5.

    Example:
        >>> RowLSTM((3, 4, 5), levels=2, channels=6).log_prob(torch.zeros(2, 3, 4, 5, dtype=torch.long)).shape
        torch.Size([2])
    """

    name = "row_lstm"
    layer = RowLSTMLayer


class DiagonalBiLSTM(PixelLSTM):
    """PixelRNN with Diagonal BiLSTM layers: parallel along a diagonal, its context is the whole past.

    Args:
        shape, levels, n_classes, channels, layers, first_kernel, dropout, encoding: see `RowLSTM`.

    Source:
        van den Oord et al. (2016), arXiv 1601.06759, section 3.2; residuals: section 3.3, figure 5.

    Example:
        >>> DiagonalBiLSTM((1, 4, 5), levels=3, channels=4)(torch.zeros(2, 1, 4, 5, dtype=torch.long)).shape
        torch.Size([2, 1, 4, 5, 3])
    """

    name = "diagonal_bilstm"
    layer = DiagonalBiLSTMLayer

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, channels=32, layers=2, first_kernel=7, dropout=0.0, encoding="thermometer"
    ):
        super().__init__(
            shape, levels, n_classes, channels=channels, layers=layers, first_kernel=first_kernel, dropout=dropout,
            encoding=encoding,
        )  # fmt: skip
