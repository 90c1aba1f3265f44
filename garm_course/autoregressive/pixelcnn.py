from garm_course.autoregressive.causal_conv import CausalConv2d, ConvCache, conv_mask, rgb_center_mask
import torch
from torch import Tensor

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
    return torch.nn.functional.pad(v, (0, 0, 1, -1))


def gated_activation(x: Tensor) -> Tensor:
    """tanh(first half of the channels) * sigmoid(second half); equation (4.3).

    Args:
        x: (B, 2C, H, W), or (B, 2C).

    Returns:
        (B, C, H, W), or (B, C), in (-1, 1).
    """
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)
