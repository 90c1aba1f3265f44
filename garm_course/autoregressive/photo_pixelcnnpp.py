"""A PixelCNN++ for photographs: it starts as the predictor left + above - above left, with enlarged differences.

To pass a value on exactly is what a network learns slowly, so this model starts where simple image formats end: the
first features predict, and a direct path brings them to the means. And neighbors in a photograph differ by few levels,
which is little beside [-1, 1]: the first features start as differences of neighbors, `contrast` times larger, and what
is read out of them is divided again, so that a step of the optimizer moves a mean by a fraction of a level.

None of this is in the paper; `pixelcnnpp.py` is the paper's model.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.autoregressive.pixelcnnpp import Drawing, PixelCNNPP
from garm_course.models import configured

FOLLOW = 0.9  # how far the mean of a color follows the color before it


class PhotoPixelCNNPP(PixelCNNPP):
    """PixelCNN++ whose mixtures start around what the neighbors suggest.

    The mean of R starts at r = left + above - above left (what lies outside counts as 0), that of G likewise at
    g + 0.9 (x_R - r), and B follows G.

    Args:
        shape: (C, H, W) of the images.
        levels: number of levels of a color.
        n_classes: 0, or the number of classes of a class-conditional model.
        channels: features of each stream, at least C.
        blocks: see `PixelCNNPP`.
        scales: see `PixelCNNPP`.
        mixtures: logistic components of a pixel, at least 1.
        dropout: see `PixelCNNPP`.
        contrast: how many times larger than the values the first features start, at least 1.

    Raises:
        ValueError: for sizes out of range.

    Example:
        >>> model = PhotoPixelCNNPP((1, 2, 2), 256, channels=8, blocks=1, scales=1, mixtures=1)
        >>> means = model(torch.tensor([[[[100, 110], [120, 0]]]]))[..., 1]
        >>> around = (means + 1) * 127.5  # 110 + 120 - 100 for the last pixel, but for the untrained blocks
        >>> 115 < around[0, 0, 1, 1] < 145
        tensor(True)
    """

    name = "photo_pixelcnnpp"

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, channels=32, blocks=2, scales=2, mixtures=5, dropout=0.0, contrast=10
    ):
        if contrast < 1 or mixtures < 1 or channels < shape[0]:
            got = f"contrast={contrast}, mixtures={mixtures}, channels={channels}"
            raise ValueError(f"expected contrast, mixtures >= 1 and channels >= {shape[0]} (one a color), got {got}")
        super().__init__(
            shape,
            levels,
            n_classes,
            channels=channels,
            blocks=blocks,
            scales=scales,
            mixtures=mixtures,
            dropout=dropout,
        )
        self.contrast = contrast
        self.direct = nn.Conv2d(channels, self.out.out_channels, 1, bias=False)
        scale = torch.ones(self.out.out_channels)  # of what `out` says
        scale[mixtures : (1 + shape[0]) * mixtures] = 1 / contrast  # about the means
        self.register_buffer("scale", scale, persistent=False)
        self._start_from_neighbors()

    def read_out(self, first: Tensor, h: Tensor) -> Tensor:
        """See `PixelCNNPP.read_out`; the features before the stages count as well, in the values of the neighbors."""
        return self.direct(first) / self.contrast**2 + self.scale[:, None, None] * self.out(F.elu(h))

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None) -> Drawing:
        """See `PixelCNNPP.start`."""
        state = super().start(n, y)
        state.out, state.bias = state.out * self.scale, self.out.bias * self.scale
        state.direct = self.direct.weight.flatten(1).T.contiguous() / self.contrast**2
        return state

    def read_out_pixel(self, state: Drawing, first: Tensor, h: Tensor) -> Tensor:
        """See `PixelCNNPP.read_out_pixel`."""
        return torch.addmm(torch.addmm(state.bias, first, state.direct), F.elu(h), state.out)

    @torch.no_grad()
    def _start_from_neighbors(self) -> None:
        """Components around what the neighbors suggest, colors that follow each other, several scales."""
        k, colors, features = self.mixtures, self.shape[0], self.table.shape[1]
        log_scales = slice((1 + colors) * k, (1 + 2 * colors) * k)
        self.out.bias.zero_()
        self.out.bias[log_scales] = torch.linspace(-3.5, -0.5, k + 2)[1:-1].repeat(colors)
        self.direct.weight.mul_(0.1)
        if self.contrast > 1:
            self._start_from_differences()
        for c in range(colors):
            for conv in (self.first_left, self.first_above):  # feature c of the stream predicts color c
                conv.weight[c], conv.bias[c] = 0, 0
            self.first_left.weight[c, c * features, :, 0] = torch.tensor([-1.0, 1.0]) * self.contrast
            self.first_above.weight[c, c * features, 0, 1] = self.contrast
            rows = slice(k + c * k, k + (c + 1) * k)
            self.direct.weight[rows] = 0
            self.direct.weight[rows, c] = self.contrast
            if c:
                self.direct.weight[rows, c - 1] = -FOLLOW * self.contrast
                coef = c * (c - 1) // 2 + c - 1  # of channel c for the channel before it
                start = k + 2 * colors * k + coef * k
                self.out.bias[start : start + k] = math.atanh(FOLLOW)

    def _start_from_differences(self) -> None:
        """The kernels of the first features sum to zero over the pixels of a color, and are larger by the contrast."""
        values = slice(0, None, self.table.shape[1])  # the inputs that are values; the others are the constant 1
        for convs in ([self.first_left, self.first_above], [self.first_u]):
            weights = [conv.weight[:, values] for conv in convs]  # views
            total = sum(weight.sum((2, 3), keepdim=True) for weight in weights)
            taps = sum(weight[0, 0].numel() for weight in weights)
            for weight in weights:
                weight.sub_(total / taps).mul_(self.contrast)
        self.direct.weight.zero_()
