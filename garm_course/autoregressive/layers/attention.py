"""Causal self-attention, and the cache of keys and values that makes drawing with it cheap.

A position asks (query) all positions up to itself (keys) and takes the mean of what they say (values), weighted by how
well each key answers. Keys and values of earlier positions do not depend on later ones: while a sequence is being
drawn they are computed once and kept.

Source: Vaswani et al. (2017), "Attention Is All You Need", arXiv 1706.03762, section 3.2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CausalAttention(nn.Module):
    """Self-attention with several heads in which position t sees positions 0..t.

    Args:
        width: features of a position, divisible by `heads`.
        heads: number of heads.

    Example:
        >>> CausalAttention(8, 2)(torch.zeros(1, 5, 8)).shape
        torch.Size([1, 5, 8])
    """

    def __init__(self, width: int, heads: int = 1):
        super().__init__()
        if heads < 1 or width < 1 or width % heads:
            raise ValueError(f"expected a width divisible by the number of heads, got {width} and {heads}")
        self.width, self.heads = width, heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, width) -> queries, keys and values, each (B, heads, T, width / heads)."""
        return self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()

    def merge(self, heads: Tensor) -> Tensor:
        """(B, heads, T, width / heads) -> (B, T, width)."""
        return self.out(heads.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        q, k, v = self.project(x)
        return self.merge(F.scaled_dot_product_attention(q, k, v, is_causal=True))


class KeyValueCache:
    """One layer of attention while n sequences are being drawn: keys and values of earlier positions are kept.

    Args:
        attention: the layer.
        n: number of sequences.
        length: the largest number of positions; memory for 2 * n * length * width numbers is taken at once.
    """

    def __init__(self, attention: CausalAttention, n: int, length: int):
        self.attention, self.filled = attention, 0
        heads = (n, attention.heads, length, attention.width // attention.heads)
        self.keys = attention.out.weight.detach().new_zeros(heads)
        self.values = torch.zeros_like(self.keys)

    @torch.no_grad()
    def extend(self, x: Tensor) -> Tensor:
        """Outputs of the next m positions; the cache then holds them too.

        Args:
            x: (n, m, width), the inputs of positions `filled` .. `filled` + m - 1: one while drawing, several for a
                given beginning or for guesses that are to be checked.

        Returns:
            (n, m, width), equal to these rows of `attention(all inputs so far)`.

        Raises:
            ValueError: if the cache is too short.
        """
        m, end = x.shape[1], self.filled + x.shape[1]
        if end > self.keys.shape[2]:
            raise ValueError(
                f"the cache has room for {self.keys.shape[2]} positions, {end} are needed; make it longer or start anew"
            )
        q, k, v = self.attention.project(x)
        self.keys[:, :, self.filled : end], self.values[:, :, self.filled : end] = k, v
        # position filled + r sees positions 0 .. filled + r
        sees = torch.ones(m, end, dtype=torch.bool, device=x.device).tril(self.filled) if m > 1 else None
        self.filled = end
        return self.attention.merge(
            F.scaled_dot_product_attention(q, self.keys[:, :, :end], self.values[:, :, :end], attn_mask=sees)
        )

    def forget(self, m: int) -> None:
        """Take back the last m positions, for instance guesses that were refused."""
        if not 0 <= m <= self.filled:
            raise ValueError(f"expected to forget 0..{self.filled} positions, got {m}")
        self.filled -= m
