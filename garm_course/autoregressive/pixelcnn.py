"""PixelCNN and Gated PixelCNN: every conditional of an image from one pass of causal convolutions.

PixelCNN is one stack of masked convolutions. It is simple, and small kernels leave it a *blind spot*: pixels that
come before the target and never reach it. Gated PixelCNN reads the rows above with a second, unmasked stack that is
shifted down by one row, so that together the two stacks see the whole past; its units multiply a tanh with a sigmoid
gate.

Both models hold the parallel computation (`forward`, for training) and the sequential one (`start`, `step`, for
sampling) next to each other. The sequential one works a row at a time where it can, and a pixel at a time where it
must.

Sources: van den Oord, Kalchbrenner, Kavukcuoglu (2016), "Pixel Recurrent Neural Networks", arXiv 1601.06759; van den
Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu (2016), "Conditional Image Generation with PixelCNN
Decoders", arXiv 1606.05328.
"""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.autoregressive.images import PixelModel
from garm_course.autoregressive.layers.causal_conv import CausalConv2d, ConvCache
from garm_course.models import configured


def down_shift(v: Tensor) -> Tensor:
    """Move every row down by one; the first row becomes zero, the last one drops out.

    Args:
        v: (B, C, H, W).

    Returns:
        (B, C, H, W): row r holds what row r - 1 held.

    Example:
        >>> down_shift(torch.arange(1, 5).reshape(1, 1, 2, 2)).squeeze()
        tensor([[0, 0],
                [1, 2]])
    """
    return F.pad(v, (0, 0, 1, -1))


def gated_activation(x: Tensor) -> Tensor:
    """tanh(first half of the channels) * sigmoid(second half); equation (4.3).

    Args:
        x: (B, 2C, H, W), or (B, 2C).

    Returns:
        (B, C, H, W), or (B, C), in (-1, 1).
    """
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)


class PixelCNN(PixelModel):
    """PixelCNN: a masked convolution of kind A, residual blocks of kind B, and a head of masked 1x1 convolutions.

    Args:
        shape: (C, H, W) of the images.
        levels: number of gray levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.
        channels: width h of the bottleneck; the residual stream has 2 h features (divisible by C).
        layers: number of residual blocks.
        first_kernel: kernel of the first layer (7 in the paper).
        kernel: kernel inside the blocks.
        dropout: probability of dropping a feature map's value in the blocks.
        encoding: see `level_features`.

    Source:
        van den Oord et al. (2016), arXiv 1601.06759, table 1 and figure 5.

    Example:
        >>> model = PixelCNN((1, 4, 5), levels=3, channels=8, layers=1)
        >>> model(torch.zeros(2, 1, 4, 5, dtype=torch.long)).shape
        torch.Size([2, 1, 4, 5, 3])
    """

    name = "pixelcnn"
    several_columns = True

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, channels=32, layers=5, first_kernel=7, kernel=3, dropout=0.0,
        encoding="thermometer",
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes, channels=channels, layers=layers, encoding=encoding)
        colors = shape[0]
        stream = 2 * channels
        self.first = CausalConv2d(colors * self.table.shape[1], stream, first_kernel, "A", colors=colors)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    CausalConv2d(stream, channels, 1, "B", colors=colors),
                    CausalConv2d(channels, channels, kernel, "B", colors=colors),
                    CausalConv2d(channels, stream, 1, "B", colors=colors),
                ]
            )
            for _ in range(layers)
        )
        self.head_in = CausalConv2d(stream, stream, 1, "B", colors=colors)
        self.head_out = CausalConv2d(stream, colors * self.head.n_params, 1, "B", colors=colors)
        self.classes = nn.Embedding(n_classes, stream) if n_classes else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`: one stack of masked convolutions."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        h = self.first(self.embed(x))  # (B, 2h, H, W)
        if y is not None:
            h = h + self.classes(y)[..., None, None]
        for down, conv, up in self.blocks:
            z = conv(F.relu(down(F.relu(h))))  # (B, h, H, W)
            h = h + up(self.dropout(F.relu(z)))
        return self.read_out(self.head_out(F.relu(self.head_in(F.relu(h)))))

    # While an image is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None) -> SimpleNamespace:
        """Empty caches for n images of classes y; see `step`."""
        self.check_classes(y, n)
        width = self.shape[2]
        return SimpleNamespace(
            n=n,
            first=ConvCache(self.first, n, width),
            blocks=[[ConvCache(conv, n, width) for conv in block] for block in self.blocks],
            head=[ConvCache(conv, n, width) for conv in (self.head_in, self.head_out)],
            classes=None if y is None else self.classes(y),  # (n, 2h)
        )

    def write_input(self, state, column, color, features):
        """Features of the pixel that was drawn last."""
        state.first.write(column, color, features)

    def start_row(self, state, first):
        """All that the rows above contribute to this row: one convolution a layer."""
        caches = [state.first, *(cache for block in state.blocks for cache in block), *state.head]
        for cache in caches:
            if not first:
                cache.end_row()
            cache.start_row(state.classes if cache is state.first else None)

    def step_pixel(self, state, column, color):
        """Parameters (n, n_params) of one pixel and color; the same lines as `forward`, for one pixel."""
        h = state.first.read(column, color)
        for down, conv, up in state.blocks:
            z = conv.step(column, color, F.relu(down.step(column, color, F.relu(h))))
            h = h + up.step(column, color, F.relu(z))
        head_in, head_out = state.head
        return head_out.step(column, color, F.relu(head_in.step(column, color, F.relu(h))))


class GatedLayer(nn.Module):
    """One layer of the two stacks: vertical (rows above and the current one), horizontal (pixels to the left).

    The vertical stack of the last layer ends in the horizontal one: its gate would have no reader, and needs no class.
    """

    def __init__(
        self, v_in: int, h_in: int, channels: int, kernel: int, kind: str, colors: int, conditions: int, last: bool,
        classes: bool,
    ):  # fmt: skip
        super().__init__()
        self.reach, self.last = kernel // 2, last
        # the vertical stack is never masked: it is shifted down by a row before anything else reads it
        self.vertical = nn.Conv2d(v_in, 2 * channels, (self.reach + 1, kernel))
        self.horizontal = CausalConv2d(h_in, 2 * channels, kernel, kind, colors=colors, parts=2, above=False)
        self.v_to_h = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.out = CausalConv2d(channels, channels, 1, "B", colors=colors)
        size = (2 if last else 4) * channels
        if classes:
            self.classes = nn.Embedding(conditions, size)
        else:
            self.classes = nn.Linear(conditions, size, bias=False) if conditions else None

    def class_bias(self, y: Tensor | None) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """The two additive terms (B, 2C) of equation (4.3) for the vertical and the horizontal stack."""
        if y is None:
            return None, None
        bias = self.classes(y)
        return (None, bias) if self.last else bias.chunk(2, 1)


class GatedPixelCNN(PixelModel):
    """Gated PixelCNN with two stacks and no blind spot, conditional on a class or on a vector on request.

    Args:
        shape: (C, H, W) of the images.
        levels: number of gray levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.
        channels: features of each stack (divisible by C).
        layers: gated layers after the first one.
        first_kernel: kernel of the first layer.
        kernel: kernel of the others.
        dropout: probability of dropping a gated feature.
        encoding: see `level_features`.
        context: 0, or the size d of a vector on which the model is conditioned in place of a class: every `y` is then a
            FloatTensor (B, d), such as the latents of a VAE whose decoder this model is.

    Source:
        van den Oord et al. (2016), arXiv 1606.05328, figure 2 and equations 2 to 4. The vertical stack has residual
        connections as well; the paper's has none.

    Example:
        >>> model = GatedPixelCNN((3, 4, 5), levels=2, n_classes=10, channels=6, layers=1)
        >>> model.log_prob(torch.zeros(2, 3, 4, 5, dtype=torch.long), torch.tensor([0, 9])).shape
        torch.Size([2])
    """

    name = "gated_pixelcnn"
    several_columns = True

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, channels=32, layers=5, first_kernel=7, kernel=3, dropout=0.0,
        encoding="thermometer", context=0,
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes, channels=channels, layers=layers, encoding=encoding)
        if context < 0 or (context and n_classes):
            raise ValueError(f"expected context >= 0, and 0 beside classes, got {context}; append one-hot classes to y")
        self.context = context
        conditions = {"conditions": n_classes or context, "classes": bool(n_classes)}
        colors, features = shape[0], shape[0] * self.table.shape[1]
        self.layers = nn.ModuleList(
            [GatedLayer(features, features, channels, first_kernel, "A", colors, last=layers == 0, **conditions)]
            + [
                GatedLayer(channels, channels, channels, kernel, "B", colors, last=i == layers, **conditions)
                for i in range(1, layers + 1)
            ]
        )
        self.head_in = CausalConv2d(channels, 2 * channels, 1, "B", colors=colors)
        self.head_out = CausalConv2d(2 * channels, colors * self.head.n_params, 1, "B", colors=colors)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`: two stacks. With a context, y is a FloatTensor (B, context)."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        v = h = self.embed(x)
        for i, layer in enumerate(self.layers):
            v_bias, h_bias = layer.class_bias(y)
            a = layer.vertical(F.pad(v, (layer.reach, layer.reach, layer.reach, 0)))  # (B, 2C, H, W): rows <= r
            b = layer.horizontal(h)  # (B, 2C, H, W): pixels to the left
            b += layer.v_to_h(down_shift(a))  # rows < r; in place, since fresh memory costs time
            if h_bias is not None:
                b = b + h_bias[..., None, None]
            h_new = layer.out(self.dropout(gated_activation(b)))  # (B, C, H, W)
            if i:
                h_new += h
            h = h_new
            if not layer.last:
                v_new = gated_activation(a if v_bias is None else a + v_bias[..., None, None])
                if i:
                    v_new += v
                v = v_new
        return self.read_out(self.head_out(F.relu(self.head_in(F.relu(h)))))

    def check_classes(self, y: Tensor | None, n: int) -> None:
        """Refuse a `y` that does not fit: classes, or the vectors of a model with a `context`."""
        if not self.context:
            super().check_classes(y, n)
            return
        expected = f"y: a FloatTensor ({n}, {self.context}), since the model is conditioned on a vector"
        if not isinstance(y, Tensor) or not y.is_floating_point():
            got = f"a tensor of {y.dtype}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
            raise TypeError(f"expected {expected}; got {got}: pass the vectors as floats")
        if tuple(y.shape) != (n, self.context):
            raise ValueError(f"expected {expected}; got shape {tuple(y.shape)}: give one vector per image")

    # While an image is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None) -> SimpleNamespace:
        """Empty caches for n images of classes y; see `step`."""
        self.check_classes(y, n)
        width = self.shape[2]
        layers = [
            SimpleNamespace(
                horizontal=ConvCache(layer.horizontal, n, width),
                out=ConvCache(layer.out, n, width),
                # the rows that the vertical stack still reaches, padded at both ends
                rows=self.table.new_zeros(n, layer.vertical.in_channels, layer.reach + 1, width + 2 * layer.reach),
                bias=layer.class_bias(y),
            )
            for layer in self.layers
        ]
        head = [ConvCache(conv, n, width) for conv in (self.head_in, self.head_out)]
        return SimpleNamespace(n=n, layers=layers, head=head)

    def write_input(self, state, column, color, features):
        """Features of the pixel that was drawn last; the vertical stack takes them when its row is complete."""
        state.layers[0].horizontal.write(column, color, features)

    def start_row(self, state, first):
        """Advance the vertical stack by the row that is complete now: one convolution a layer."""
        cache = state.layers[0].horizontal
        v = cache.line[:, cache.conv.reach :].transpose(1, 2).unsqueeze(2)  # (n, C, 1, W): the row just drawn
        for i, (layer, s) in enumerate(zip(self.layers, state.layers, strict=True)):
            v_bias, h_bias = s.bias
            if first:
                shifted = layer.v_to_h.bias  # no row above: the shifted stack is zero
            else:
                reach = layer.reach
                s.rows = torch.cat([s.rows[:, :, 1:], F.pad(v, (reach, reach))], 2)
                a = layer.vertical(s.rows)  # (n, 2C, 1, W)
                shifted = layer.v_to_h(a).squeeze(2).permute(2, 0, 1)  # (W, n, 2C)
                if not layer.last:
                    v_new = gated_activation(a if v_bias is None else a + v_bias[..., None, None])
                    v = v + v_new if i else v_new
            if h_bias is not None:
                shifted = shifted + h_bias
            s.horizontal.start_row(shifted)
            s.out.start_row()
        for cache in state.head:
            cache.start_row()

    def step_pixel(self, state, column, color):
        """Parameters (n, n_params) of one pixel and color; the horizontal half of `forward`, for one pixel."""
        h = None
        for s in state.layers:
            # the first layer reads the image itself: `write_input` has written it
            b = s.horizontal.read(column, color) if h is None else s.horizontal.step(column, color, h)  # (n, 2C)
            new = s.out.step(column, color, gated_activation(b))
            h = new if h is None else h + new
        head_in, head_out = state.head
        return head_out.step(column, color, F.relu(head_in.step(column, color, F.relu(h))))
