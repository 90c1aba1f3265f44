"""The fixed reference that the library is measured against: dense kernels times a mask, no cache, plain torch.

This is how most public implementations compute a PixelCNN. It stays as it is when the library changes, so that ratios
keep their meaning. It loads the weights of the library's model and must give the same logits.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.autoregressive.layers.causal_conv import CausalConv2d, conv_mask
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN


class MaskedConv2d(nn.Module):
    """A dense convolution whose kernel is multiplied by a 0/1 mask in every pass, as most implementations have it."""

    def __init__(self, weight: Tensor, mask: Tensor, bias: Tensor):
        super().__init__()
        # what stands under the mask must not matter, so it is noise
        self.weight = nn.Parameter(torch.where(mask.bool(), weight, torch.randn_like(weight)))
        self.bias = nn.Parameter(bias.clone())
        self.register_buffer("mask", mask.to(weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.mask.shape
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=(height // 2, width // 2))


def dense(conv: CausalConv2d) -> MaskedConv2d:
    """The library's kernel, in two parts, as one k x k kernel; 1 x k where it does not read the rows above."""
    p, taps = conv.reach, conv.row.shape[-1]
    mask = conv_mask(2 * p + 1, conv.kind)
    weight = conv.row.new_zeros(conv.c_out, conv.c_in, 2 * p + 1, 2 * p + 1)
    weight[:, :, p, :taps] = conv.row[:, :, 0]
    if conv.above is None:
        return MaskedConv2d(weight[:, :, p : p + 1], mask[p : p + 1], conv.bias)
    weight[:, :, :p] = conv.above
    return MaskedConv2d(weight, mask, conv.bias)


def dense_vertical(conv: nn.Conv2d) -> MaskedConv2d:
    """The library's kernel of the rows up to the current one, as a k x k kernel whose lower rows are masked."""
    rows, k = conv.kernel_size
    mask = torch.zeros(k, k)
    mask[:rows] = 1
    weight = conv.weight.new_zeros(conv.out_channels, conv.in_channels, k, k)
    weight[:, :, :rows] = conv.weight
    return MaskedConv2d(weight, mask, conv.bias)


class ReferencePixelCNN(nn.Module):
    """PixelCNN for gray images without classes: (B, features, H, W) -> logits (B, 1, H, W)."""

    def __init__(self, model: PixelCNN):
        super().__init__()
        self.first = dense(model.first)
        self.blocks = nn.ModuleList(nn.ModuleList(dense(conv) for conv in block) for block in model.blocks)
        self.head = nn.Sequential(nn.ReLU(), dense(model.head_in), nn.ReLU(), dense(model.head_out))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for down, conv, up in self.blocks:
            h = h + up(F.relu(conv(F.relu(down(F.relu(h))))))
        return self.head(h)


class ReferenceGatedPixelCNN(nn.Module):
    """Gated PixelCNN for gray images without classes: (B, features, H, W) -> logits (B, 1, H, W)."""

    def __init__(self, model: GatedPixelCNN):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    dense_vertical(layer.vertical),
                    dense(layer.horizontal),
                    MaskedConv2d(layer.v_to_h.weight, torch.ones(1, 1), layer.v_to_h.bias),
                    dense(layer.out),
                ]
            )
            for layer in model.layers
        )
        self.head = nn.Sequential(nn.ReLU(), dense(model.head_in), nn.ReLU(), dense(model.head_out))

    def forward(self, x: Tensor) -> Tensor:
        v = h = x
        for i, (vertical, horizontal, v_to_h, out) in enumerate(self.layers):
            a = vertical(v)
            shifted = torch.cat([torch.zeros_like(a[:, :, :1]), a[:, :, :-1]], 2)  # down by one row
            b = horizontal(h) + v_to_h(shifted)
            v_new, h_new = self.gate(a), out(self.gate(b))
            v, h = (v + v_new, h + h_new) if i else (v_new, h_new)
        return self.head(h)

    def gate(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        return torch.tanh(a) * torch.sigmoid(b)


def reference(model: nn.Module) -> nn.Module:
    """The fixed reference implementation with the weights of the library's model."""
    with torch.no_grad():
        return (ReferenceGatedPixelCNN if isinstance(model, GatedPixelCNN) else ReferencePixelCNN)(model)


@torch.inference_mode()
def reference_step(net: nn.Module, table: Tensor, x: Tensor, i: int, u: Tensor) -> Tensor:
    """Draw position i of the binary images x (n, 1, H, W) in place by one full forward pass; its logits (n,)."""
    row, column = divmod(i, x.shape[3])
    logits = net(table[x[:, 0]].permute(0, 3, 1, 2))[:, 0, row, column]
    x[:, 0, row, column] = (u >= torch.sigmoid(-logits)).long()
    return logits
