"""Convolutions that are causal because they are shifted, not because they are masked.

PixelCNN++ uses small kernels that end at their target. "Down" reads rows up to the current one, with as many columns to
the left as to the right; "down right" reads the target and what lies above it or to its left. Nothing is masked, so no
arithmetic is wasted. With a stride of 2 the output at (r, c) stands at (2 r, 2 c) of its input, which keeps it causal.

The two caches compute the same while an image is drawn: `RowCache` a row at a time, `PixelCache` a pixel at a time.

Source: Salimans, Karpathy, Chen, Kingma (2017), "PixelCNN++", arXiv 1701.05517, section 2.3 and 2.4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ShiftedConv2d(nn.Conv2d):
    """A convolution whose kernel ends in its target's row ("down"), or in its target ("down_right").

    Args:
        c_in: features that come in.
        c_out: features that go out.
        kernel: (rows, columns); an odd number of columns for "down".
        direction: "down" or "down_right".
        stride: 1, or 2 to halve the size (odd sizes are rounded up).
    """

    def __init__(self, c_in: int, c_out: int, kernel: tuple[int, int], direction: str, stride: int = 1):
        rows, columns = kernel
        if direction not in ("down", "down_right") or (direction == "down" and columns % 2 == 0):
            raise ValueError(
                f'expected "down" with an odd number of columns, or "down_right"; got {direction!r}, {kernel}'
            )
        super().__init__(c_in, c_out, kernel, stride=stride)
        side = columns // 2 if direction == "down" else 0
        self.above = rows - 1  # rows that the kernel reads above its target
        self.left, self.right = (side, side) if direction == "down" else (columns - 1, 0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, ceil(H / stride), ceil(W / stride))."""
        return super().forward(F.pad(x, (self.left, self.right, self.above, 0)))


class RowCache:
    """A "down" convolution while an image is being drawn: one row in, one row out (every second one for stride 2)."""

    def __init__(self, conv: ShiftedConv2d, n: int, width: int):
        self.conv, self.row = conv, 0
        self.rows = conv.weight.new_zeros(n, conv.in_channels, conv.above + 1, width + conv.left + conv.right)

    def step(self, row: Tensor) -> Tensor | None:
        """The next input row (n, c_in, 1, W) -> the output row (n, c_out, 1, W'), or None between two of them."""
        conv = self.conv
        row = F.pad(row, (conv.left, conv.right))
        self.rows = torch.cat([self.rows[:, :, 1:], row], 2)
        self.row += 1
        if (self.row - 1) % conv.stride[0]:
            return None
        return F.conv2d(self.rows, conv.weight, conv.bias, conv.stride)


class PixelCache:
    """A "down right" convolution while an image is being drawn: computes each output feature once.

    What the rows above contribute to a row is one matrix product when the row starts; what remains for a pixel is
    another one. The line is cut into its slots and windows (views) once, since calling costs more than computing here.
    """

    def __init__(self, conv: ShiftedConv2d, n: int, width: int):
        rows, columns = conv.kernel_size
        weight = conv.weight.detach()
        self.conv, self.stride = conv, conv.stride[1]
        self.line = weight.new_zeros(n, columns - 1 + width, conv.in_channels)  # the current row with its left padding
        self.rows = weight.new_zeros(n, rows - 1, columns - 1 + width, conv.in_channels)  # the rows above
        self.above = weight[:, :, :-1].permute(2, 3, 1, 0).flatten(0, 2)  # (rows' taps * c_in, c_out)
        self.current = weight[:, :, -1].permute(2, 1, 0).flatten(0, 1).contiguous()
        self.slots = self.line[:, columns - 1 :].unbind(1)
        self.windows = self.line.flatten(1).unfold(1, columns * conv.in_channels, conv.in_channels).unbind(1)
        self.base = None

    def start_row(self, extra: Tensor | None = None) -> None:
        """Prepare a row of outputs: bias, rows above, and `extra`, added to (W', n, c_out)."""
        conv = self.conv
        if self.rows.shape[1]:
            windows = self.rows.unfold(2, conv.kernel_size[1], self.stride)  # (n, rows, W', c_in, columns)
            out = torch.addmm(
                conv.bias.detach(), windows.permute(2, 0, 1, 4, 3).flatten(2).flatten(0, 1), self.above
            ).unflatten(0, (windows.shape[2], -1))  # fmt: skip
        else:
            out = conv.bias.detach().expand(len(self.slots), len(self.line), -1)
        self.base = (out if extra is None else out + extra).contiguous().unbind()

    def end_row(self) -> None:
        """The current row is complete: move it up."""
        if self.rows.shape[1]:
            self.rows = torch.cat([self.rows[:, 1:], self.line.unsqueeze(1)], 1)

    def write(self, column: int, features: Tensor) -> None:
        """Store the input features (n, c_in) of this column."""
        self.slots[column].copy_(features)

    def read(self, column: int) -> Tensor:
        """(n, c_out) output features at this column of the input, a multiple of the stride."""
        return torch.addmm(self.base[column // self.stride], self.windows[column], self.current)

    def step(self, column: int, features: Tensor) -> Tensor:
        """Input features (n, c_in) of this column -> its output features (n, c_out)."""
        self.slots[column].copy_(features)
        return torch.addmm(self.base[column // self.stride], self.windows[column], self.current)
