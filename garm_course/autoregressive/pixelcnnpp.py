"""PixelCNN++: two streams of shifted convolutions at several resolutions, and one number for each pixel to fall around.

Against Gated PixelCNN four things change. The output is a mixture of logistics, cut into bins (`logistic_mixture.py`).
A pixel is predicted as a whole, and its colors follow each other only there. The streams go down to half the resolution
and up again, with short cuts at each resolution, so that few layers see far. And causality comes from shifts, so that
nothing is masked.

The *upper* stream u sees the rows above a pixel, the *left* stream h those and the pixels to the left. `forward` runs
them over whole images, `start` and `step` over one pixel after the other; both go down and up by the same recursion.

Source: Salimans, Karpathy, Chen, Kingma (2017), "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture
Likelihood and Other Modifications", arXiv 1701.05517, figure 2.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.autoregressive.images import ImageModel
from garm_course.autoregressive.layers.shifted_conv import PixelCache, RowCache, ShiftedConv2d
from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.distributions.heads import at_least_float32, output_head
from garm_course.distributions.logistic_mixture import conditional_params, raw_size
from garm_course.models import configured
from garm_course.transforms import level_features


def concat_elu(x: Tensor) -> Tensor:
    """elu of x and of -x, stacked along the channels: no unit is ever without a gradient. (B, C, ...) -> (B, 2C, ...)

    Source: Shang, Sohn, Almeida, Lee (2016), "Understanding and Improving Convolutional Neural Networks via
    Concatenated Rectified Linear Units", arXiv 1603.05201, with elu in place of the rectifier.
    """
    return F.elu(torch.cat([x, -x], 1))


def gate(x: Tensor) -> Tensor:
    """First half of the channels times the sigmoid of the second: (B, 2C, ...) -> (B, C, ...)."""
    a, b = x.chunk(2, 1)
    return a * torch.sigmoid(b)


class GatedBlock(nn.Module):
    """A residual block of one stream: two shifted convolutions, a gate, and what comes from elsewhere.

    Args:
        channels: features of the stream.
        kernel: see `ShiftedConv2d`.
        direction: see `ShiftedConv2d`.
        sides: number of inputs from elsewhere (the other stream, a short cut), each of `channels` features.
        dropout: probability of dropping a feature between the convolutions.
        n_classes: 0, or the number of classes whose embedding enters the gate.
    """

    def __init__(self, channels: int, kernel, direction: str, sides: int, dropout: float, n_classes: int):
        super().__init__()
        self.conv_in = ShiftedConv2d(2 * channels, channels, kernel, direction)
        self.conv_out = ShiftedConv2d(2 * channels, 2 * channels, kernel, direction)
        self.sides = nn.ModuleList(nn.Conv2d(2 * channels, channels, 1) for _ in range(sides))
        self.classes = nn.Embedding(n_classes, 2 * channels) if n_classes else None
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            self.conv_out.weight.mul_(0.1)  # a block starts near the identity

    def forward(self, x: Tensor, *sides: Tensor, y: Tensor | None = None) -> Tensor:
        """(B, C, H, W), sides of the same shape, classes (B,) -> (B, C, H, W)."""
        a = self.conv_in(concat_elu(x))
        for conv, side in zip(self.sides, sides, strict=True):
            a = a + conv(concat_elu(side))
        b = self.conv_out(self.dropout(concat_elu(a)))
        return x + gate(b if y is None else b + self.classes(y)[..., None, None])


class Stage(nn.Module):
    """Both streams at one resolution: blocks on the way down, a coarser stage between, blocks on the way up."""

    def __init__(self, channels: int, blocks: int, last: bool, dropout: float, n_classes: int):
        super().__init__()
        options = {"dropout": dropout, "n_classes": n_classes}

        def pair(up: int) -> nn.ModuleList:
            return nn.ModuleList(
                [
                    GatedBlock(channels, (2, 3), "down", up, **options),  # up: the short cut
                    GatedBlock(channels, (2, 2), "down_right", 1 + up, **options),  # the upper stream, the short cut
                ]
            )

        self.down = nn.ModuleList(pair(0) for _ in range(blocks))
        self.up = nn.ModuleList(pair(1) for _ in range(blocks if last else blocks + 1))
        self.last = last
        if not last:
            self.shrink_u = ShiftedConv2d(channels, channels, (2, 3), "down", stride=2)
            self.shrink_h = ShiftedConv2d(channels, channels, (2, 2), "down_right", stride=2)
            self.grow_u = nn.ConvTranspose2d(channels, channels, 2, stride=2)  # a coarse cell: its 2 x 2 block
            self.grow_h = nn.ConvTranspose2d(channels, channels, 2, stride=2)


class PixelCNNPP(ImageModel):
    """PixelCNN++ for gray and color images of any size, conditional on a class on request.

    Args:
        shape: (C, H, W) of the images.
        levels: number of gray levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.
        channels: features of each stream.
        blocks: residual blocks at each resolution, on the way down.
        scales: number of resolutions; each halves the size of the one before (3 in the paper).
        mixtures: logistic components of a pixel (10 in the paper); 0 for a softmax over the levels, which needs gray
            images.
        dropout: probability of dropping a feature inside the blocks (0.5 in the paper).
        encoding: see `level_features`.

    Raises:
        ValueError: for sizes out of range, or a softmax with color.

    Source:
        Salimans et al. (2017), arXiv 1701.05517. Different here: upsampling does not overlap, and weights are not
        normalized.

    Example:
        >>> model = PixelCNNPP((3, 5, 4), levels=256, channels=8, blocks=1, scales=2, mixtures=2)
        >>> model(torch.zeros(2, 3, 5, 4, dtype=torch.long)).shape
        torch.Size([2, 3, 5, 4, 6])
    """

    name = "pixelcnnpp"

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, channels=32, blocks=2, scales=2, mixtures=5, dropout=0.0,
        encoding="scaled",
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes)
        if min(channels, blocks, scales) < 1 or mixtures < 0:
            got = f"channels={channels}, blocks={blocks}, scales={scales}, mixtures={mixtures}"
            raise ValueError(f"expected channels, blocks, scales >= 1 and mixtures >= 0, got {got}")
        colors = shape[0]
        if mixtures == 0 and colors > 1:
            raise ValueError(f"a softmax cannot tie the {colors} colors of a pixel; use mixtures >= 1, or gray images")
        self.channels, self.mixtures = channels, mixtures
        self.head = output_head(levels, mixtures)
        self.register_buffer("table", level_features(levels, encoding), persistent=False)
        features = colors * self.table.shape[1]
        self.first_u = ShiftedConv2d(features, channels, (2, 3), "down")
        self.first_above = ShiftedConv2d(features, channels, (1, 3), "down")
        self.first_left = ShiftedConv2d(features, channels, (2, 1), "down_right")
        self.stages = nn.ModuleList(
            Stage(channels, blocks, s == scales - 1, dropout, n_classes) for s in range(scales)
        )  # fmt: skip
        self.out = nn.Conv2d(channels, raw_size(colors, mixtures) if mixtures else self.head.n_params, 1)
        if mixtures:
            means = slice(mixtures, (1 + colors) * mixtures)
            with torch.no_grad():  # components side by side over [-1, 1]
                self.out.weight.mul_(0.1)
                self.out.bias.zero_()
                self.out.bias[means] = ((2 * torch.arange(mixtures) + 1) / mixtures - 1).repeat(colors)
                self.out.bias[means.stop : means.stop + colors * mixtures] = math.log(0.6 / mixtures)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`: parameters (B, C, H, W, 3 mixtures), or those of a softmax where that is 0."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        image = self.table[x].movedim(-1, 2).flatten(1, 2)  # (B, C * features, H, W)
        u = F.pad(self.first_u(image), (0, 0, 1, -1))  # shifted down: rows r - 2 and r - 1
        above, left = self.first_above(image), self.first_left(image)
        first = F.pad(above, (0, 0, 1, -1)) + F.pad(left, (1, -1))  # the row above; and the column to the left
        _, h = self._through(0, u, first, y)
        raw = at_least_float32(self.read_out(first, h)).movedim(1, -1)  # (B, H, W, raw)
        if not self.mixtures:
            return self.head.of(raw).unsqueeze(1)
        return conditional_params(raw, x.movedim(1, -1), self.head).movedim(-2, 1)

    def read_out(self, first: Tensor, h: Tensor) -> Tensor:
        """Raw parameters from the left stream before (`first`) and after all stages, (B, channels, H, W) each.

        The paper's model reads the stream after all stages alone.
        """
        return self.out(F.elu(h))

    def _through(self, s: int, u: Tensor, h: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Both streams (B, channels, H, W) through stage s and all coarser ones."""
        stage, skips = self.stages[s], [(u, h)]
        for upper, left in stage.down:
            u = upper(u, y=y)
            h = left(h, u, y=y)
            skips.append((u, h))
        if stage.last:
            u, h = skips.pop()
        else:
            height, width = u.shape[2:]
            u, h = self._through(s + 1, stage.shrink_u(u), stage.shrink_h(h), y)
            u, h = stage.grow_u(u)[:, :, :height, :width], stage.grow_h(h)[:, :, :height, :width]
        for upper, left in stage.up:
            skip_u, skip_h = skips.pop()
            u = upper(u, skip_u, y=y)
            h = left(h, u, skip_h, y=y)
        return u, h

    # While an image is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None) -> "Drawing":
        """Empty caches for n images of classes y; see `step`."""
        self.check_classes(y, n)
        return Drawing(self, n, y)

    @torch.no_grad()
    def step(self, state: "Drawing", i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`; the network runs for the first color of a pixel only."""
        channels, _, width = self.shape
        if i:
            color = (i - 1) % channels
            state.values[:, color] = x_prev
            if color == channels - 1:  # the pixel is complete
                state.first_left.write((i - 1) // channels % width, self.table[state.values].flatten(1))
        pixel, color = divmod(i, channels)
        if color == 0:
            row, column = divmod(pixel, width)
            if column == 0:
                with one_thread(state.values.shape[0] * self.channels * width):
                    self._start_row(state, row)
            with one_thread(state.values.shape[0] * self.channels):
                first = state.first_base[column]
                if column:
                    first = first + state.first_left.read(column - 1)
                h = state.stages.pixel(row, column, first)
                state.raw = at_least_float32(self.read_out_pixel(state, first, h))
        if not self.mixtures:
            return self.head.of(state.raw)
        with one_thread(state.values.shape[0] * self.mixtures * 10):
            return conditional_params(state.raw, state.values, self.head)[:, color]

    def read_out_pixel(self, state: "Drawing", first: Tensor, h: Tensor) -> Tensor:
        """The line of `read_out`, for one pixel (n, channels)."""
        return torch.addmm(self.out.bias, F.elu(h), state.out)

    def _start_row(self, state: "Drawing", row: int) -> None:
        """All that the rows above say about this row, for both streams."""
        line = state.first_left.line
        if row:
            above = line.transpose(1, 2).unsqueeze(2)  # (n, features, 1, W): the row just drawn
            u = state.first_u.step(above)
            state.first_base = self.first_above(above).squeeze(2).permute(2, 0, 1).contiguous().unbind()
            state.first_left.end_row()
        else:
            u = line.new_zeros(len(state.values), self.channels, 1, self.shape[2])
            state.first_base = u.squeeze(2).permute(2, 0, 1).unbind()
        state.first_left.start_row()
        state.stages.row(row, u)


class Drawing:
    """n images while they are being drawn: the values of the current pixel, and what is kept of all others."""

    def __init__(self, model: PixelCNNPP, n: int, y: Tensor | None):
        channels, _, width = model.shape
        self.values = torch.zeros(n, channels, dtype=torch.long, device=model.table.device)
        self.first_u, self.first_left = RowCache(model.first_u, n, width), PixelCache(model.first_left, n, width)
        self.first_base = ()  # of the current row, what the row above says about each pixel: (n, channels) each
        self.stages = StageCache(list(model.stages), n, width, y)
        self.out = model.out.weight.flatten(1).T.contiguous()
        self.raw = None  # parameters of the current pixel


class StageCache:
    """Both streams at one resolution while images are being drawn, and within it the coarser one."""

    def __init__(self, stages: list[Stage], n: int, width: int, y: Tensor | None):
        stage, *coarser = stages
        self.width = width
        self.down = [(UpperCache(a, n, width, y), LeftCache(b, n, width, y)) for a, b in stage.down]
        self.up = [(UpperCache(a, n, width, y), LeftCache(b, n, width, y)) for a, b in stage.up]
        self.coarser = StageCache(coarser, n, (width + 1) // 2, y) if coarser else None
        if coarser:
            self.shrink_u, self.shrink_h = RowCache(stage.shrink_u, n, width), PixelCache(stage.shrink_h, n, width)
            self.grow_u = stage.grow_u
            self.grow_h = stage.grow_h.weight.permute(0, 2, 3, 1).flatten(1)  # (c_in, 2 * 2 * c_out)
            self.grow_bias = stage.grow_h.bias.repeat(4)
            self.grown_u = None
            self.grown_h = [[None] * (width + 1) for _ in range(2)]

    def row(self, row: int, u: Tensor) -> Tensor:
        """A row (n, channels, 1, W) of the upper stream through this stage and, every second row, the coarser ones."""
        skips = [u]
        for upper, left in self.down:
            u = upper.step(u)
            left.start_row(row, u)
            skips.append(u)
        if self.coarser is None:
            u = skips.pop()
        else:
            coarse = self.shrink_u.step(u)
            if row:
                self.shrink_h.end_row()
            if coarse is not None:
                self.shrink_h.start_row()
                self.grown_u = self.grow_u(self.coarser.row(row // 2, coarse))
            u = self.grown_u[:, :, row % 2 : row % 2 + 1, : self.width]
        for upper, left in self.up:
            u = upper.step(u, skips.pop())
            left.start_row(row, u)
        return u

    def pixel(self, row: int, column: int, h: Tensor) -> Tensor:
        """A pixel (n, channels) of the left stream through this stage and, every second row and column, the coarser."""
        skips = [h]
        for _, left in self.down:
            h = left.step(column, h)
            skips.append(h)
        if self.coarser is None:
            h = skips.pop()
        else:
            self.shrink_h.write(column, h)
            if row % 2 == 0 and column % 2 == 0:
                coarse = self.coarser.pixel(row // 2, column // 2, self.shrink_h.read(column))
                block = torch.addmm(self.grow_bias, coarse, self.grow_h).chunk(4, 1)
                for k, part in enumerate(block):
                    self.grown_h[k // 2][column + k % 2] = part
            h = self.grown_h[row % 2][column]
        for _, left in self.up:
            h = left.step(column, h, skips.pop())
        return h


class UpperCache:
    """A block of the upper stream while an image is being drawn: a row in, a row out."""

    def __init__(self, block: GatedBlock, n: int, width: int, y: Tensor | None):
        self.block = block
        self.conv_in, self.conv_out = RowCache(block.conv_in, n, width), RowCache(block.conv_out, n, width)
        self.bias = None if y is None else block.classes(y)[..., None, None]

    def step(self, x: Tensor, *sides: Tensor) -> Tensor:
        """The lines of `GatedBlock.forward`, for one row (n, C, 1, W)."""
        a = self.conv_in.step(concat_elu(x))
        for conv, side in zip(self.block.sides, sides, strict=True):
            a = a + conv(concat_elu(side))
        b = self.conv_out.step(concat_elu(a))
        return x + gate(b if self.bias is None else b + self.bias)


class LeftCache:
    """A block of the left stream while an image is being drawn: a pixel in, a pixel out."""

    def __init__(self, block: GatedBlock, n: int, width: int, y: Tensor | None):
        self.block = block
        self.conv_in, self.conv_out = PixelCache(block.conv_in, n, width), PixelCache(block.conv_out, n, width)
        self.bias = None if y is None else block.classes(y)
        if len(block.sides) > 1:  # the short cut comes pixel by pixel, the upper stream row by row
            self.skip = block.sides[1].weight.flatten(1).T.contiguous()

    def start_row(self, row: int, u: Tensor) -> None:
        """Prepare a row, given that of the upper stream (n, C, 1, W)."""
        if row:
            self.conv_in.end_row()
            self.conv_out.end_row()
        above, *skip = self.block.sides
        extra = above(concat_elu(u)).squeeze(2).permute(2, 0, 1)  # (W, n, C)
        self.conv_in.start_row(extra + skip[0].bias if skip else extra)
        self.conv_out.start_row(self.bias)

    def step(self, column: int, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """The lines of `GatedBlock.forward`, for one pixel (n, C)."""
        a = self.conv_in.step(column, concat_elu(x))
        if skip is not None:
            a = torch.addmm(a, concat_elu(skip), self.skip)
        return x + gate(self.conv_out.step(column, concat_elu(a)))
