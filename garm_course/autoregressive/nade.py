"""NADE: a recurrence that shares the weights of all conditionals.

The hidden units for pixel i are a function of c + W_1 x_1 + ... + W_{i-1} x_{i-1}. From one pixel to the next this adds
one column of W, so all D conditionals together cost as much as one pass of an ordinary network: O(D H) instead of
O(D² H).

Drawing an image needs that recurrence. Training does not: every pixel is known, so all the sums come from a few matrix
products, one for each block of pixels.

Source: Larochelle, Murray (2011), "The Neural Autoregressive Distribution Estimator", AISTATS (PMLR 15).
"""

import math
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from garm_course.autoregressive.any_order import AnyOrder
from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.inputs import readable
from garm_course.models import configured

BLOCK = 28  # pixels at a time: within a block, every pixel sums over the others, so large blocks waste arithmetic


def nade_log_prob(x: Tensor, W: Tensor, V: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """log p(x) of a binary NADE, in nats; equation (2.3).

    p(x_i = 1 | x_<i) = sigmoid(b_i + V_i · sigmoid(a_i)), a_1 = c, a_{i+1} = a_i + W_{:,i} x_i.

    Args:
        x: (B, D) of 0 and 1, any dtype.
        W: (H, D).
        V: (D, H).
        b: (D,).
        c: (H,).

    Returns:
        (B,) nats, summed over the D pixels.

    Raises:
        ValueError: for sizes that disagree, or values other than 0 and 1.

    Example:
        >>> zero = torch.zeros
        >>> nade_log_prob(torch.tensor([[0, 1, 1]]), zero(4, 3), zero(3, 4), zero(3), zero(4))  # 3 ln(1/2)
        tensor([-2.0794])
    """
    D, H = V.shape if V.ndim == 2 else (-1, -1)
    if x.ndim != 2 or x.shape[1] != D or W.shape != (H, D) or b.shape != (D,) or c.shape != (H,):
        shapes = ", ".join(f"{k} {tuple(v.shape)}" for k, v in {"x": x, "W": W, "V": V, "b": b, "c": c}.items())
        raise ValueError(f"expected x (B, D), W (H, D), V (D, H), b (D,), c (H,), got {shapes}")
    if readable(x) and not ((x == 0) | (x == 1)).all():
        raise ValueError("expected x of 0 and 1, got other values; threshold gray images first, (x > 127).long()")
    logits = nade_params(x.to(W).unsqueeze(-1), W.T.unsqueeze(1), V.unsqueeze(-1), c).squeeze(-1) + b  # (B, D)
    return -nn.functional.softplus(torch.where(x.bool(), -logits, logits)).sum(1)


def nade_params(
    features: Tensor, W: Tensor, V: Tensor, start: Tensor, dropout: nn.Module | None = None, block: int = BLOCK
) -> Tensor:
    """V_i · sigmoid(start + sum_{j<i} W_j features_j) for all pixels i, without a loop over pixels.

    Inside a block of pixels, one matrix product with a strictly triangular arrangement of the features adds up what a
    pixel sees of its block; from block to block, the sum over whole blocks is carried.

    Args:
        features: (B, D, F), in the order of the chain rule.
        W: (D, F, H).
        V: (D, H, P).
        start: (H,) or (B, H).
        dropout: applied to the hidden units.
        block: pixels of a block; it changes the speed, not the result.

    Returns:
        (B, D, P).
    """
    (B, D, F), H = features.shape, W.shape[2]
    before = torch.ones(min(block, D), min(block, D), device=W.device, dtype=W.dtype).tril(-1)
    carried, out = start.expand(B, H), []
    for k in range(0, D, block):
        part = features[:, k : k + block]  # (B, n, F)
        n = part.shape[1]
        seen = (before[:n, None, :n, None] * part).reshape(n * B, n * F)  # row (i, b): what pixel i sees of image b
        weight = W[k : k + block].reshape(n * F, H)
        hidden = torch.sigmoid(torch.addmm(carried.repeat(n, 1), seen, weight)).view(n, B, H)
        out.append((hidden if dropout is None else dropout(hidden)) @ V[k : k + block])  # (n, B, P)
        carried = torch.addmm(carried, part.reshape(B, n * F), weight)
    return torch.cat(out).transpose(0, 1)


class NADE(AnyOrder):
    """Neural autoregressive distribution estimator, for pixels of any number of levels.

    Args:
        shape: (C, H, W) of the images.
        levels: number of gray levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.
        hidden: number H of hidden units.
        dropout: probability of dropping a hidden unit.
        encoding: see `AnyOrder`.
        order: see `AnyOrder`.

    Raises:
        ValueError: for hidden < 1, or an order that is no permutation.

    Source:
        Larochelle, Murray (2011), AISTATS (PMLR 15), equations 4 and 5.

    Example:
        >>> NADE((1, 4, 5), levels=3, hidden=8).log_prob(torch.zeros(2, 1, 4, 5, dtype=torch.long)).shape
        torch.Size([2])
    """

    name = "nade"

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, hidden=256, dropout=0.0, encoding="thermometer", order=None
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes, encoding=encoding, order=order)
        if not isinstance(hidden, int) or hidden < 1:
            raise ValueError(f"expected hidden >= 1 (a whole number of units), got {hidden}")
        D, F = self.positions, self.table.shape[1]
        self.W = nn.Parameter(torch.randn(D, F, hidden) / math.sqrt(D * F))
        self.c = nn.Parameter(torch.zeros(hidden))
        self.V = nn.Parameter(torch.randn(D, hidden, self.head.n_params) / math.sqrt(hidden))
        self.b = nn.Parameter(torch.zeros(D, self.head.n_params))
        self.classes = nn.Embedding(n_classes, hidden) if n_classes else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`: the sums of all hidden units, block by block."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        features, W, V = self.features(x), self.W, self.V  # (B, D, F), (D, F, H), (D, H, P)
        if self.order is not None:
            features, W, V = features[:, self.order], W[self.order], V[self.order]
        params = nade_params(features, W, V, self.first_sum(y), self.dropout)
        if self.order is not None:
            params = params[:, self.order.argsort()]
        return self.read_out(params + self.b)

    def first_sum(self, y: Tensor | None) -> Tensor:
        """What the hidden units add up before the first pixel: (H,), or (B, H) with classes."""
        return self.c if y is None else self.c + self.classes(y)

    # While an image is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None) -> SimpleNamespace:
        """The sum a_1 of the hidden units for n images; see `step`."""
        self.check_classes(y, n)
        return SimpleNamespace(n=n, a=self.first_sum(y).expand(n, -1).clone())

    @torch.no_grad()
    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: the recurrence (2.3)."""
        with one_thread(state.a.numel()):
            if i:
                state.a += self.table[x_prev] @ self.W[self.raster(i - 1)]
            place = self.raster(i)
            params = torch.addmm(self.b[place], torch.sigmoid(state.a), self.V[place])
        return self.parameters_of(params)
