"""A mixture of known images whose pixels flip: as rich as its prototypes, and still exactly computable.

It is a Bernoulli mixture whose components have the means f and 1 - f only.

Draw a prototype with its weight, then flip each pixel independently with a small probability. Every image has positive
probability, the density is a sum over prototypes, and the distance to a prototype is a Hamming distance: one matrix
product. With a palette, the foreground takes one hue of it, independent of the shape.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from garm_course.datasets.base import Entropy, check_classes, check_images, check_integer

BLOCK = 2**22  # entries of an (images, prototypes) table at a time: 32 MB in float64, whatever the batch


class FlipMixture:
    """p(x) = sum_k w_k f^d(x, k) (1 - f)^(D - d(x, k)) over binary prototypes k, with d the Hamming distance, D = H W.

    With a palette of h hues, x = shape * hue: p(x) = p(shape) * (hues that give x) / h, and an image that no single hue
    gives has probability 0. The empty shape is black in every hue, so there the second factor is 1.

    Args:
        prototypes: (K, H, W) of 0 and 1, distinct.
        weights: (K,), or (K, Y) for prototype and class jointly; nonnegative, none of the K (or Y) totals 0; any scale.
        flip: probability f that a pixel flips, in [0, 0.5).
        palette: LongTensor (h, 3) of distinct hues (R, G, B), none of them black, or None for a binary image.
        levels: how many values a channel may take; None for as many as the palette needs, 2 without one.

    Raises:
        ValueError: when one of these does not hold.

    Example:
        >>> mixture = FlipMixture(torch.eye(2).view(2, 1, 2), torch.ones(2), flip=0.1)
        >>> mixture.log_prob(torch.tensor([[[[1, 0]]], [[[1, 1]]]])).exp()
        tensor([0.4100, 0.0900], dtype=torch.float64)
    """

    def __init__(
        self, prototypes: Tensor, weights: Tensor, flip: float, palette: Tensor | None = None, levels: int | None = None
    ):
        if prototypes.ndim != 3 or len(prototypes) != len(weights) or not ((prototypes == 0) | (prototypes == 1)).all():
            raise ValueError(
                f"expected prototypes (K, H, W) of 0 and 1 with weights (K,), got shapes {tuple(prototypes.shape)} and "
                f"{tuple(weights.shape)}"
            )
        joint = weights.double().reshape(len(weights), -1)  # (K, Y)
        if (
            not (joint >= 0).all()
            or not joint.isfinite().all()
            or (joint.sum(0) == 0).any()
            or (joint.sum(1) == 0).any()
        ):
            raise ValueError(
                "expected finite weights >= 0, positive for each prototype and class; drop those that are 0"
            )
        check_flip(flip)
        hues = [] if palette is None else [tuple(hue) for hue in palette.tolist()]
        if palette is not None and (not hues or len(set(hues)) < len(hues) or min(map(max, hues)) < 1):
            raise ValueError(f"expected at least one hue, all distinct and none black, got {hues}")
        self.flip, self.palette = float(flip), palette
        needed = 2 if palette is None else int(palette.max()) + 1
        if levels is not None and levels < needed:
            raise ValueError(f"expected at least {needed} levels for these images, got {levels}")
        self.levels = levels or needed
        self.shape = (1 if palette is None else 3, *prototypes.shape[1:])
        self.weights = joint.sum(1) / joint.sum()
        self.n_classes = joint.shape[1] if weights.ndim == 2 else 0
        self._log_given_class = (joint / joint.sum(0)).log().T.contiguous()  # (Y, K)
        # float32 is exact here: sums of zeros and ones far below 2^24, in any order of summation
        self._table = prototypes.flatten(1).float()  # (K, D)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def prototypes(self) -> Tensor:
        """The shapes, LongTensor (K, 1, H, W), without hue."""
        return self._table.long().view(-1, 1, *self.shape[1:])

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw n images.

        Args:
            n: at least 1.
            rng: one row of uniforms per image is drawn from it, so the first images do not depend on n.

        Returns:
            x LongTensor (n, C, H, W), and the index of its prototype, LongTensor (n,).
        """
        check_integer("n", n, 1)
        u = mixture_uniforms(n, self, rng)
        k = self._pick(u)
        return self.render(k, u), k

    def render(self, k: Tensor, u: Tensor) -> Tensor:
        """The images that uniforms make of prototypes k.

        Args:
            k: LongTensor (n,), indices of prototypes.
            u: (n, 2 + D) uniforms in [0, 1): column 0 chooses k, column 1 the hue, the others flip pixels.

        Returns:
            LongTensor (n, C, H, W).
        """
        x = self._flipped(k, u).view(-1, 1, *self.shape[1:])
        return x if self.palette is None else x * self.palette[self.hue(u)][:, :, None, None]

    def hue(self, u: Tensor) -> Tensor:
        """The index of the hue that uniforms (n, 2 + D) choose: LongTensor (n,)."""
        return (u[:, 1] * len(self.palette)).long()

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Exact log p(x), or log p(x | y) when classes are given.

        Args:
            x: LongTensor (B, C, H, W), values 0..levels-1.
            y: LongTensor (B,), values 0..Y-1, or None for the distribution over all classes.

        Returns:
            float64 tensor (B,) in nats; -inf for an image that cannot be drawn (no single hue, or no flips at all).
        """
        shape, share_of_hues = self._split(x)
        if y is not None:
            check_classes(y, len(x), self.n_classes)
        return self._log_shape(shape, y) + share_of_hues.log()

    def nearest_prototype(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The prototype with the smallest Hamming distance, the first one on a tie; hues are ignored.

        Args:
            x: LongTensor (B, C, H, W).

        Returns:
            (index, distance), LongTensors (B,); a pixel of the shape counts as set when any channel is not 0.
        """
        shape, _ = self._split(x)
        found = [d.min(1) for _, d in self._distances(shape)]
        return torch.cat([f.indices for f in found]), torch.cat([f.values for f in found]).long()

    def entropy(self, n: int = 2000, rng: torch.Generator | None = None) -> Entropy:
        """The entropy in nats per image: exact without flips, else nearly so.

        H(X) = H(X | K) + I(X; K) = H(X | K) + H(K) - H(K | X). Flips are independent, so H(X | K) = D Hb(f) exactly,
        and H(K) is the entropy of the weights. Only H(K | X), the doubt about which prototype an image came from, needs
        samples: it is the mean over x ~ p of the entropy of the posterior p(k | x), computed in full for each x. That
        is unbiased, because x is drawn exactly, and the standard error is tiny, because this entropy lies between 0 and
        H(K) and is near 0 for almost every x when prototypes differ in several pixels; the plain mean of -log p(x)
        would carry the spread of the number of flips as well. What doubt there is comes from the few prototypes with a
        near twin, so with few samples the standard error is itself rough: take it as an order of magnitude.

        Without flips H(X) = H(K): the logarithm of the number of prototypes where their weights are equal. A palette
        adds (1 - p(empty shape)) ln(hues), exactly: only the empty shape hides its hue.

        Args:
            n: images to average over, at least 2.
            rng: for these images; None for a fixed seed, so that the figure repeats.

        Returns:
            Entropy(nats, stderr); stderr is 0 when the figure is exact.
        """
        check_integer("n", n, 2)
        empty = self._log_shape(torch.zeros(1, self._table.shape[1])).exp().item()
        hues = 0.0 if self.palette is None else (1 - empty) * math.log(len(self.palette))
        prior = torch.special.entr(self.weights).sum().item()
        if self.flip == 0:
            return Entropy(prior + hues, 0.0)
        flips = self._table.shape[1] * -(self.flip * math.log(self.flip) + (1 - self.flip) * math.log1p(-self.flip))
        u = mixture_uniforms(n, self, rng or torch.Generator().manual_seed(0))
        blocks = self._log_likelihoods(self._flipped(self._pick(u), u))
        doubt = torch.cat([torch.special.entr((a + self.weights.log()).softmax(1)).sum(1) for _, a in blocks])
        return Entropy(flips + prior - doubt.mean().item() + hues, (doubt.std() / math.sqrt(n)).item())

    def _pick(self, u: Tensor) -> Tensor:
        return torch.searchsorted(self.weights.cumsum(0), u[:, 0].contiguous(), right=True).clamp(max=len(self) - 1)

    def _flipped(self, k: Tensor, u: Tensor) -> Tensor:
        return ((self._table[k] > 0) ^ (u[:, 2:] < self.flip)).long()  # (n, D)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The shape (B, D) of 0 and 1, and the share of hues that turn this shape into x (B,)."""
        check_images(x, self.shape, self.levels)
        if self.palette is None:
            return x.flatten(1), torch.ones(len(x), dtype=torch.float64, device=x.device)
        shape = (x > 0).any(1, keepdim=True)  # (B, 1, H, W)
        fits = [(shape * hue[:, None, None] == x).flatten(1).all(1) for hue in self.palette.to(x.device)]
        return shape.flatten(1), torch.stack(fits, 1).double().mean(1)

    def _distances(self, shape: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Hamming distances (b, K) for a few rows of `shape` (B, D) at a time: |x| + |k| - 2 <x, k>."""
        table = self._table.to(shape.device)
        ones = table.sum(1)
        step = max(1, BLOCK // len(self))
        for start in range(0, len(shape), step):
            rows = slice(start, start + step)
            x = shape[rows].float()
            yield rows, x.sum(1, keepdim=True) + ones - 2 * x @ table.T

    def _log_likelihoods(self, shape: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """log p(shape | k) in float64, (b, K), for a few rows at a time."""
        for rows, distance in self._distances(shape):
            if self.flip == 0:
                yield rows, torch.zeros_like(distance, dtype=torch.float64).masked_fill_(distance > 0, -math.inf)
            else:
                log_odds = math.log(self.flip) - math.log1p(-self.flip)
                yield rows, distance.double() * log_odds + shape.shape[1] * math.log1p(-self.flip)

    def _log_shape(self, shape: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(shape), or log p(shape | y): (B,)."""
        log_weights = (self.weights.log() if y is None else self._log_given_class).to(shape.device)
        return torch.cat(
            [
                (a + (log_weights if y is None else log_weights[y[rows]])).logsumexp(1)
                for rows, a in self._log_likelihoods(shape)
            ]
        )


def check_flip(flip: float) -> None:
    """Refuse a flip probability outside [0, 0.5), where 1 would mean the negative and 0.5 pure noise."""
    if isinstance(flip, bool) or not isinstance(flip, (int, float)) or not 0 <= flip < 0.5:
        raise ValueError(f"expected a flip probability in [0, 0.5), got {flip!r}; the default is 0.01")


def mixture_uniforms(n: int, mixture: FlipMixture, rng: torch.Generator) -> Tensor:
    """The random numbers of n images, (n, 2 + D) float64: prototype, hue, and one per pixel."""
    columns = 2 + math.prod(mixture.shape[1:])
    return torch.rand(n, columns, dtype=torch.float64, generator=rng, device=rng.device).cpu()
