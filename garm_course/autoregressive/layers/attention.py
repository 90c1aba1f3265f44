"""Causal self-attention, and the cache of keys and values that makes drawing with it cheap.

A position asks (query) all positions up to itself (keys) and takes the mean of what they say (values), weighted by how
well each key answers. Keys and values of earlier positions do not depend on later ones: while a sequence is being
drawn they are computed once and kept.

Sources: Vaswani et al. (2017), "Attention Is All You Need", arXiv 1706.03762, section 3.2; for the options Su et al.
(2021), arXiv 2104.09864 (rotary), Henry et al. (2020), arXiv 2010.04245 (normalized queries and keys), Child et al.
(2019), arXiv 1904.10509 (windows).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def rotary(x: Tensor, positions: Tensor) -> Tensor:
    """Turn features by angles that grow with the position, so that products depend on distances only; equation (7.6).

    Features j and j + D / 2 are a point of the plane; at position p it is turned by p 10000^(-2j / D).

    Args:
        x: (..., T, D), queries or keys; D is even.
        positions: LongTensor (T,), where each row stands.

    Returns:
        Tensor of the same shape.

    Source:
        Su et al. (2021), "RoFormer", arXiv 2104.09864, equation 34; the pairs are halves, as in GPT-NeoX.

    Example:
        >>> rotary(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))  # cos 1, sin 1
        tensor([[0.5403, 0.8415]])
    """
    return turn(x, *rotations(positions, x))


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Features x (..., D) turned by what `rotations` gives, in three operations."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def rotations(positions: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The factors of features and of exchanged halves: (cos, cos) and (-sin, sin), each (T, D), in the dtype of x."""
    half = x.shape[-1] // 2
    exact = torch.promote_types(x.dtype, torch.float32)  # a position has more digits than bfloat16 can hold
    speed = 10000 ** (-torch.arange(half, dtype=exact, device=x.device) / half)
    angle = positions.to(exact)[:, None] * speed
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


class CausalAttention(nn.Module):
    """Self-attention with several heads in which position t sees positions 0..t, or the last `window` of them.

    Args:
        width: features of a position, divisible by `heads`.
        heads: number of heads.
        window: how many positions each sees, itself included; None for all.
        turned: whether queries and keys are turned by their position, see `rotary`.
        normalized: whether queries and keys get a mean square of 1, which bounds the scores by sqrt(width / heads).
        bias: whether the two projections have one.

    Example:
        >>> CausalAttention(8, 2)(torch.zeros(1, 5, 8)).shape
        torch.Size([1, 5, 8])
    """

    def __init__(
        self, width: int, heads: int = 1, *, window: int | None = None, turned: bool = False, normalized: bool = False,
        bias: bool = True,
    ):  # fmt: skip
        super().__init__()
        if heads < 1 or width < 1 or width % heads:
            raise ValueError(f"expected a width divisible by the number of heads, got {width} and {heads}")
        if turned and width // heads % 2:
            raise ValueError(f"expected an even number of features in a head, got {width // heads}; change the width")
        if window is not None and window < 1:
            raise ValueError(f"expected a window of at least 1 position (None: all), got {window}")
        self.width, self.heads, self.window, self.turned, self.normalized = width, heads, window, turned, normalized
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def project(self, x: Tensor, first: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Positions first, first + 1, ... (B, T, width) -> queries, keys and values, each (B, heads, T, width / heads).

        Queries and keys are normalized and turned.
        """
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, heads, D)
        qk, v = qkv[:, :, :2], qkv[:, :, 2]  # queries and keys in one piece: half as many operations
        if self.normalized:
            qk = F.rms_norm(qk, qk.shape[-1:])
        if self.turned:
            positions = torch.arange(first, first + x.shape[1], device=x.device)
            qk = turn(qk, *(t[:, None, None] for t in rotations(positions, x.new_empty(qk.shape[-1:]))))
        return *qk.permute(2, 0, 3, 1, 4).unbind(), v.transpose(1, 2)

    def merge(self, heads: Tensor) -> Tensor:
        """(B, heads, T, width / heads) -> (B, T, width)."""
        return self.out(heads.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """(B, T, width) -> (B, T, width); scores of all queries and keys, `added` (heads, T, T), may be added."""
        q, k, v = self.project(x)
        if added is None and (self.window is None or self.window >= x.shape[1]):
            return self.merge(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        return self.merge(F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask(x, added)))

    def weights(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """How much each position listens to each other one: (B, T, width) -> (B, heads, T, T), whose rows sum to 1."""
        q, k, _ = self.project(x)
        return (q @ k.mT / math.sqrt(q.shape[-1]) + self.mask(x, added)).softmax(-1)

    def mask(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """What is added to the scores of x (B, T, width), (..., T, T): -inf where a query must not see a key."""
        t = torch.arange(x.shape[1], device=x.device)
        age = t[:, None] - t
        hidden = (age < 0) | (age >= (self.window or len(t)))
        added = x.new_zeros(()) if added is None else added
        return added.masked_fill(hidden, -math.inf)


class FullAttention(CausalAttention):
    """Self-attention in which each position sees all others; nothing can be kept while a sequence is drawn.

    Example:
        >>> FullAttention(8, 2)(torch.zeros(1, 5, 8)).shape
        torch.Size([1, 5, 8])
    """

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """(B, T, width) -> (B, T, width); `added` (..., T, T) to the scores."""
        q, k, v = self.project(x)
        return self.merge(F.scaled_dot_product_attention(q, k, v, attn_mask=added))

    def mask(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """What is added to the scores of x (B, T, width): `added` alone."""
        return x.new_zeros(()) if added is None else added


class KeyValueCache:
    """One layer of attention while n sequences are being drawn: keys and values of earlier positions are kept.

    A layer with a window needs no more than its last keys and values, and a query does not ask in which order they lie
    (equation 7.9): position p lies in slot p modulo `slots`, over one that nobody sees any more. There are `block`
    slots more than the window, so that as many positions can be taken back, and are there again as they were.

    Args:
        attention: the layer.
        n: number of sequences.
        length: the largest number of positions; for a layer with a window only `window` + `block` of them are kept.
        block: how many positions may be taken back or follow the first one in `extend`, in a layer with a window.

    Attributes:
        filled: how many positions were read, which is the next position.
        keys: (n * heads, slots, width / heads), normalized and turned, as they were when they were read.
        values: the same size.
    """

    def __init__(self, attention: CausalAttention, n: int, length: int, *, block: int = 0):
        self.attention, self.filled, self.length, self.block = attention, 0, length, block
        self.window = min(attention.window or length, length)
        self.slots = length if attention.window is None else min(length, self.window + block)
        size = attention.width // attention.heads
        weight = attention.out.weight.detach()
        self.keys = weight.new_zeros(n * attention.heads, self.slots, size)
        self.values = torch.zeros_like(self.keys)
        self.scale, self.nothing = size**-0.5, weight.new_zeros(())
        # -inf at slots that the newest position does not see, for each of its slots: a slice of this row
        age = -torch.arange(2 * self.slots, device=weight.device) % self.slots
        self.hidden = weight.new_zeros(2 * self.slots).masked_fill(age >= self.window, -math.inf)

    @torch.no_grad()
    def extend(self, x: Tensor) -> Tensor:
        """Outputs of the next m positions; the cache then holds them too.

        Args:
            x: (n, m, width), the inputs of positions `filled` .. `filled` + m - 1: one while drawing, several for a
                given beginning or for guesses that are to be checked. At most `block` + 1 where there is a window.

        Returns:
            (n, m, width), equal to these rows of `attention(all inputs so far)`.

        Raises:
            ValueError: if the cache is too short.
        """
        self._check_room(x.shape[1])
        q, k, v = (t.flatten(0, 1) for t in self.attention.project(x, self.filled))
        return self.attention.merge(self.attend(q, k, v).unflatten(0, (len(x), -1)))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, added: Tensor | None = None) -> Tensor:
        """Keep keys and values of the next m positions, and answer their queries; it checks nothing.

        Args:
            q: (n * heads, m, width / heads), normalized and turned where the layer does so.
            k: the same size.
            v: the same size.
            added: (heads, m, `filled` + m), added to the scores, for a layer without a window.

        Returns:
            (n * heads, m, width / heads).
        """
        m, first = q.shape[1], self.filled
        self.filled = end = first + m
        low, high = max(end - self.window, 0) if m == 1 else 0, min(end, self.slots)
        slot = first % self.slots
        if slot + m <= self.slots:
            self.keys[:, slot : slot + m], self.values[:, slot : slot + m] = k, v
        else:
            slots = torch.arange(first, end, device=q.device) % self.slots
            self.keys[:, slots], self.values[:, slots] = k, v
        hidden = None
        if m > 1:
            rows = torch.arange(first, end, device=q.device)[:, None]
            age = (rows - torch.arange(high, device=q.device)) % self.slots
            hidden = q.new_zeros(()).masked_fill(age >= (rows + 1).clamp(max=self.window), -math.inf)
        elif low // self.slots == first // self.slots:  # what it sees lies in one piece
            low, high = low % self.slots, slot + 1
        else:
            low, hidden = 0, self.hidden[self.slots - slot : 2 * self.slots - slot]
        # a row times a transposed matrix: as a matrix times a column it would take several times as long
        scores = torch.baddbmm(self.nothing, q, self.keys[:, low:high].mT, beta=0, alpha=self.scale)
        if added is not None:
            scores.unflatten(0, (-1, len(added))).add_(added)
        if hidden is not None:
            scores += hidden
        return torch.bmm(scores.softmax(-1), self.values[:, low:high])

    def forget(self, m: int) -> None:
        """Take back the last m positions, for instance guesses that were refused: a counter moves.

        Raises:
            ValueError: for more than there are, or than `block` where there is a window.
        """
        most = self.filled if self.slots == self.length else min(self.filled, self.block)
        if not 0 <= m <= most:
            raise ValueError(f"expected to forget 0..{most} positions, got {m}")
        self.filled -= m

    def _check_room(self, m: int) -> None:
        end = self.filled + m
        if end > self.length:
            raise ValueError(
                f"the cache has room for {self.length} positions, {end} are needed; make it longer or start anew"
            )
        if self.slots < self.length and m > self.block + 1:
            raise ValueError(
                f"a cache with block={self.block} takes at most {self.block + 1} positions at a time, got {m}; "
                "give them in pieces, or make the block larger"
            )
