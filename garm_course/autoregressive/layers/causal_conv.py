"""Masks and the causal convolution: each output sees the pixels before it in raster order, and nothing else.

Raster order reads row by row, and inside a pixel R, then G, then B. A k x k kernel has three parts: the rows above
the center (all known), the pixels to the left (known), and the center itself, where it depends on the kind of mask
and on the color. `CausalConv2d` holds only the parts that are known, so no multiplication and no gradient goes into
weights that a mask would zero.

Source: van den Oord, Kalchbrenner, Kavukcuoglu (2016), "Pixel Recurrent Neural Networks", arXiv 1601.06759, section
3.4.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_mask(k: int, kind: str) -> Tensor:
    """The mask of a k x k convolution kernel in raster order; equation (4.1).

    Args:
        k: odd kernel size, at least 1.
        kind: "A" hides the center pixel (first layer), "B" lets it through (all later layers).

    Returns:
        (k, k) of 0 and 1: (k² - 1) / 2 ones for kind A, one more for kind B.

    Raises:
        ValueError: for an even k or another kind.

    Example:
        >>> conv_mask(3, "A")
        tensor([[1., 1., 1.],
                [1., 0., 0.],
                [0., 0., 0.]])
    """
    _check_kind(kind)
    _check_kernel(k)
    mask = torch.zeros(k, k)
    mask[: k // 2] = 1  # the rows above
    mask[k // 2, : k // 2] = 1  # the pixels to the left
    mask[k // 2, k // 2] = kind == "B"
    return mask


def mask3d(k: int, kind: str) -> Tensor:
    """The mask of a k x k x k kernel over clips, frame by frame and inside a frame in raster order; equation (9.2).

    Args:
        k: odd kernel size, at least 1.
        kind: "A" hides the center pixel (first layer), "B" lets it through (all later layers).

    Returns:
        (k, k, k) over (frame, row, column) of 0 and 1: (k³ - 1) / 2 ones for kind A, one more for kind B.

    Raises:
        ValueError: for an even k or another kind.

    Example:
        >>> mask3d(3, "A").sum((1, 2))  # the frame before is known whole, the one after not at all
        tensor([9., 4., 0.])
    """
    mask = torch.zeros(k, k, k)
    mask[: k // 2] = 1  # the frames before
    mask[k // 2] = conv_mask(k, kind)
    return mask


def rgb_center_mask(c_in: int, c_out: int, kind: str, colors: int = 3) -> Tensor:
    """Which input feature may reach which output feature at the same pixel: R before G before B.

    Features come in equal groups RR..GG..BB. Kind A lets a group see strictly earlier colors, kind B also its own.

    Args:
        c_in: number of features that come in, divisible by `colors`.
        c_out: number of features that go out, divisible by `colors`.
        kind: "A" or "B".
        colors: 3 for RGB, 1 for gray.

    Returns:
        (c_out, c_in) of 0 and 1: the row is the output feature, as in a convolution's weight.

    Raises:
        ValueError: for sizes that do not split into equal groups, or another kind.

    Example:
        >>> rgb_center_mask(3, 3, "A")
        tensor([[0., 0., 0.],
                [1., 0., 0.],
                [1., 1., 0.]])
    """
    _check_kind(kind)
    if c_in % colors or c_out % colors:
        raise ValueError(f"expected feature counts divisible by {colors} colors, got {c_in} in and {c_out} out")
    source = torch.arange(c_in) // (c_in // colors)  # color of each input feature
    target = torch.arange(c_out) // (c_out // colors)
    allowed = source < target[:, None] if kind == "A" else source <= target[:, None]
    return allowed.float()


def _check_kind(kind: str) -> None:
    if kind not in ("A", "B"):
        raise ValueError(f'expected a mask of kind "A" or "B", got {kind!r}')


def _check_kernel(k: int) -> None:
    if k < 1 or k % 2 == 0:
        raise ValueError(f"expected an odd kernel size >= 1 (a kernel needs a center), got {k}")


class CausalConv2d(nn.Module):
    """A k x k convolution whose output at a pixel depends on earlier pixels only (kind A), or on itself too (kind B).

    Equal to a convolution with `weight * conv_mask(k, kind)` (and `rgb_center_mask` at the center), at about half the
    arithmetic: the rows above are one k//2 x k kernel, the current row is one 1 x (k//2 + 1) kernel.

    Args:
        c_in: features that come in, divisible by `colors`.
        c_out: features that go out, of all `parts`, divisible by `colors`.
        k: odd kernel size; k=1 is the masked 1x1 convolution.
        kind: "A" or "B".
        colors: color channels of the image.
        parts: 2 if the output is two stacked feature maps (tanh and sigmoid half of a gate), each grouped by color.
        above: False leaves out the rows above (the horizontal stack of a Gated PixelCNN).

    Raises:
        ValueError: for an even k, features that do not split by color, or a kernel that would see nothing.
    """

    def __init__(
        self, c_in: int, c_out: int, k: int, kind: str, *, colors: int = 1, parts: int = 1, above: bool = True
    ):
        super().__init__()
        _check_kernel(k)
        self.c_in, self.c_out, self.kind, self.colors, self.parts = c_in, c_out, kind, colors, parts
        self.reach = k // 2
        center = rgb_center_mask(c_in, c_out // parts, kind, colors).repeat(parts, 1)
        has_center = kind == "B" or colors > 1
        taps = self.reach + has_center  # kernel width on the current row
        if taps == 0:
            raise ValueError("a 1 x 1 kernel of kind A sees nothing at all; expected an odd kernel size >= 3")
        fan_in = c_in * ((self.reach * k if above else 0) + taps)
        bound = 1 / math.sqrt(max(fan_in, 1))

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))

        self.above = parameter(c_out, c_in, self.reach, k) if above and self.reach else None
        self.row = parameter(c_out, c_in, 1, taps)
        self.bias = parameter(c_out)
        mask = torch.ones(c_out, c_in, 1, taps)
        if has_center:
            mask[..., -1] = center.unsqueeze(-1)
        self.register_buffer("mask", None if colors == 1 else mask, persistent=False)

    def row_weight(self) -> Tensor:
        """(c_out, c_in, 1, taps) kernel of the current row, with the center masked by color where there is color."""
        return self.row if self.mask is None else self.row * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H, W)."""
        p = self.reach
        width = self.row.shape[-1]
        # kind A without a center: the kernel ends one pixel to the left of the target
        out = F.conv2d(F.pad(x, (p, width - p - 1, 0, 0)) if p else x, self.row_weight(), self.bias)
        if self.above is not None:
            out = out + F.conv2d(F.pad(x, (p, p, p, -1)), self.above)  # all rows but the last one are above some row
        return out


class ConvCache:
    """One causal convolution while an image is being drawn: computes each output feature once, pixel by pixel.

    Keeps the current row of inputs, and the rows above that the kernel still reaches. What the rows above contribute to
    the current row is one matrix product a row; what remains for a pixel is another one. At this size an
    operation costs more to call than to compute, so the line is cut into its slots and windows (views) once.

    `column` may be a slice instead of a number, for an image of one color: features are then (columns * n, ...), column
    by column, and a column that is written again replaces what was there.
    """

    def __init__(self, conv: CausalConv2d, n: int, width: int):
        weight = conv.row_weight().detach()
        taps = weight.shape[-1]
        self.conv, self.width = conv, width
        self.line = weight.new_zeros(n, conv.reach + width, conv.c_in)  # the current row, with its left padding
        self.rows = weight.new_zeros(n, conv.reach, width + 2 * conv.reach, conv.c_in)  # the rows above, padded
        # per color: (taps * c_in, parts * group) matrix that maps a flattened window to the features of this color
        weight = weight.permute(3, 1, 0, 2).reshape(taps * conv.c_in, conv.c_out)
        self.weights = [by_color(weight, conv.parts, conv.colors)[color].contiguous() for color in range(conv.colors)]
        # per color and column: the (n, group) place of its input features; per column: the (n, taps * c_in) they fill
        self.all_slots = by_color(self.line[:, conv.reach :].movedim(1, 0), 1, conv.colors)
        self.slots = [slots.unbind() for slots in self.all_slots]
        self.all_windows = self.line.flatten(1).unfold(1, taps * conv.c_in, conv.c_in).movedim(1, 0)
        self.windows = self.all_windows.unbind()
        self.base = None

    def start_row(self, extra: Tensor | None = None) -> None:
        """Prepare a row: bias, rows above, and `extra` (added to (W, n, c_out)) become the base of each pixel."""
        conv, n = self.conv, self.line.shape[0]
        if self.base is not None and conv.above is None and extra is None:
            return  # nothing but the bias: the same for all rows
        out = conv.bias.detach().expand(self.width, n, conv.c_out)
        if conv.above is not None:
            windows = self.rows.unfold(2, 2 * conv.reach + 1, 1).permute(2, 0, 3, 1, 4)  # (W, n, c_in, reach, k)
            out = out + windows.flatten(2) @ conv.above.detach().flatten(1).T
        if extra is not None:
            out = out + extra
        # per color and column: (n, features of that color), contiguous
        self.all_bases = by_color(out, conv.parts, conv.colors).contiguous()
        self.base = [base.unbind() for base in self.all_bases]

    def end_row(self) -> None:
        """The current row is complete: move it up."""
        if self.conv.above is not None:
            row = F.pad(self.line, (0, 0, 0, self.conv.reach)).unsqueeze(1)  # (n, 1, W + 2 reach, c_in)
            self.rows = torch.cat([self.rows[:, 1:], row], 1)

    def write(self, column: int | slice, color: int, features: Tensor) -> None:
        """Store the input features (n, group) of this color at this column."""
        if isinstance(column, slice):
            self.all_slots[color, column] = features.unflatten(0, (-1, len(self.line)))
        else:
            self.slots[color][column].copy_(features)

    def read(self, column: int | slice, color: int) -> Tensor:
        """(n, parts * group) output features of this color at this column."""
        window = self.all_windows[column].flatten(0, 1) if isinstance(column, slice) else self.windows[column]
        return torch.addmm(self._base(column, color), window, self.weights[color])

    def step(self, column: int | slice, color: int, features: Tensor) -> Tensor:
        """Input features (n, group) of this color at this column -> its output features (n, parts * group)."""
        if self.conv.colors == 1 and not self.conv.reach:  # a 1x1 convolution sees nothing else
            return torch.addmm(self._base(column, 0), features, self.weights[0])
        self.write(column, color, features)
        return self.read(column, color)

    def _base(self, column: int | slice, color: int) -> Tensor:
        if isinstance(column, slice):
            return self.all_bases[color, column].flatten(0, 1)
        return self.base[color][column]


def by_color(features: Tensor, parts: int, colors: int) -> Tensor:
    """(..., parts * colors * group) -> (colors, ..., parts * group): the features of each color, all parts together."""
    split = features.unflatten(-1, (parts, colors, -1))
    return split.movedim(-2, 0).flatten(-2)
