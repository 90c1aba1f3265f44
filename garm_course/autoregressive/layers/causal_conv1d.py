"""Causal convolutions over time, and the ring buffer that makes drawing with them cheap.

An output at time t reads inputs at t, t - d, ..., t - (k - 1) d and nothing later. While a sequence is being drawn,
only the last (k - 1) d inputs can still be read: a buffer of that length is all the memory that such a layer needs.

Sources: van den Oord et al. (2016), "WaveNet: A Generative Model for Raw Audio", arXiv 1609.03499; Paine et al. (2016),
"Fast Wavenet Generation Algorithm", arXiv 1611.09482; Ramachandran et al. (2017), arXiv 1704.06001.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_step(x_t: Tensor, buf: Tensor, w: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    """The newest output of a causal convolution, from the newest input and the inputs before it; equation (6.2).

    Args:
        x_t: (B, C_in), the input at time t.
        buf: (B, C_in, (k - 1) * dilation), the inputs before it, oldest first; zeros before the first step.
        w: (C_out, C_in, k); w[..., 0] meets the oldest input, w[..., -1] the newest.
        dilation: distance of the taps, at least 1.

    Returns:
        (B, C_out), the output at time t, and the buffer for the next step. `buf` itself stays as it is.

    Example:
        >>> y, buf = conv_step(torch.tensor([[3.0]]), torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[10.0, 1.0]]]), 2)
        >>> y, buf
        (tensor([[13.]]), tensor([[[2., 3.]]]))
    """
    window = torch.cat([buf, x_t.unsqueeze(-1)], -1)  # (B, C_in, (k - 1) dilation + 1)
    return torch.einsum("bik,oik->bo", window[..., ::dilation], w), window[..., 1:]


class CausalConv1d(nn.Conv1d):
    """A convolution whose output at time t reads inputs at t, t - d, ..., t - (k - 1) d; zeros before the first.

    Args:
        c_in: features that come in.
        c_out: features that go out.
        k: kernel size, at least 1.
        dilation: distance d of the taps, at least 1.

    Example:
        >>> CausalConv1d(3, 5, 2, dilation=4)(torch.zeros(1, 3, 10)).shape
        torch.Size([1, 5, 10])
    """

    def __init__(self, c_in: int, c_out: int, k: int, *, dilation: int = 1):
        if min(c_in, c_out, k, dilation) < 1:
            raise ValueError(
                f"expected c_in, c_out, k and dilation of at least 1, got {c_in}, {c_out}, {k} and {dilation}"
            )
        super().__init__(c_in, c_out, k, dilation=dilation)
        self.reach = (k - 1) * dilation  # how far back it reads

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, T) -> (B, c_out, T)."""
        return super().forward(F.pad(x, (self.reach, 0)))

    def taps(self) -> Tensor:
        """(k c_in, c_out): what each tap multiplies its input with, the oldest first."""
        return self.weight.permute(2, 1, 0).flatten(0, 1)


class RingBuffer:
    """One causal convolution while n sequences are being drawn: computes each output once, from its last inputs.

    Holds exactly the (k - 1) d inputs that can still be read. Nothing in it moves: input t is written over input
    t - (k - 1) d, right after this one was read for the last time.

    Args:
        conv: the layer, a `CausalConv1d` or what has its `taps`, `reach`, `in_channels`, `dilation` and `bias`.
        n: number of sequences.
        block: how many more inputs it holds: it can go back by that many, and `row` takes as many at once.

    Attributes:
        t: time of the next input; set it to an earlier one to go back there.
        bias: (c_out,), or (n, c_out) after adding what differs between the sequences.
    """

    def __init__(self, conv: CausalConv1d, n: int, block: int = 0):
        self.weight = conv.taps().detach().contiguous()  # (k c_in, c_out): all taps in one product
        self.slots = self.weight.new_zeros(conv.reach + block, n, conv.in_channels)
        self.places = self.slots.unbind()  # views, made once
        self.back = range(-conv.reach, 0, conv.dilation[0])  # of the taps but the newest
        self.bias, self.t = conv.bias.detach(), 0

    def step(self, x_t: Tensor) -> Tensor:
        """(n, c_in), the inputs at time t = 0, 1, 2, ... -> (n, c_out), the outputs at time t."""
        size = len(self.places)
        before = [self.places[(self.t + back) % size] for back in self.back]
        out = torch.addmm(self.bias, torch.cat([*before, x_t], 1), self.weight)
        if size:
            self.places[self.t % size].copy_(x_t)
        self.t += 1
        return out

    def row(self, x: Tensor) -> Tensor:
        """(m, n, c_in), the inputs at times t .. t + m - 1, m at most `block` -> (m, n, c_out), the outputs there."""
        times, size = torch.arange(self.t, self.t + len(x), device=x.device), len(self.slots)
        self.slots[times % size] = x
        taps = [self.slots[(times + back) % size] for back in self.back]
        self.t += len(x)
        return torch.cat([*taps, x], -1) @ self.weight + self.bias
