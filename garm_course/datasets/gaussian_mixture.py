"""Points in the plane around known centers: a mixture of round Gaussians whose density and entropy are known.

What a generator of such points loses can be counted (which modes does it reach?) and measured (the density of its
points), which is why GANs are tried on them.
"""

import math

import torch
from torch import Tensor

from garm_course.datasets.base import MOST, SPLITS, Dataset, Entropy, check_integer, check_split

SAMPLES = {"train": 5000, "validation": 1000, "test": 1000}
GRAIN = 2.0**-20  # points lie on a lattice this fine: the last bits of a cosine differ between machines, these do not
LEAST = 1e-4  # standard deviation: a hundred times the lattice, so that it does not show
BLOCK = 2**20  # entries of a (points, centers) table at a time


class GaussianMixture(Dataset):
    """p(x) = 1/K sum_k N(x; c_k, s² I) in the plane: K equally probable modes, whose index is the class.

    `log_prob` is a density (nats per unit of area in the logarithm), so an entropy may be negative. Points are drawn in
    float64 and rounded to multiples of 2^-20: the same bits on every machine.

    Args:
        name: of the data set.
        split: of the data set; splits are independent draws.
        centers: float64 tensor (K, 2), distinct.
        std: standard deviation s of each mode, in both directions, at least 0.0001.
        n: points in this split; None for 5,000 (train) or 1,000. Fewer points are the first of more.
        seed: of the draws.
        source: where the setting comes from.

    Attributes:
        centers: float32 tensor (K, 2).
        std: s.

    Raises:
        ValueError: for a split or an option out of range.
    """

    called = "points"

    def __init__(self, name: str, split: str, centers: Tensor, std: float, n: int | None, seed: int, source: str):
        check_split(split)
        if isinstance(std, bool) or not isinstance(std, (int, float)) or not LEAST <= std < math.inf:
            raise ValueError(f"expected a standard deviation of at least {LEAST} as std, got {std!r}")
        n = SAMPLES[split] if n is None else n
        check_integer("n (points in the split)", n, 1, MOST)
        check_integer("seed", seed, 0, 2**60)
        self.std, self._centers = float(std), centers.double()
        # 3 seed + split is a different number for every pair of seed and split
        x, y = self.sample(n, torch.Generator().manual_seed(3 * seed + SPLITS.index(split)))
        super().__init__(name, split, x, y, levels=None, n_classes=len(centers), source=source, licence="none needed")

    @property
    def centers(self) -> Tensor:
        return self._centers.float()

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fresh points of the same distribution: float32 tensor (n, 2), and their modes, LongTensor (n,)."""
        check_integer("n", n, 1)
        u = torch.rand(n, 3, dtype=torch.float64, generator=rng, device=rng.device).cpu()  # a row a point
        k = (u[:, 0] * len(self._centers)).long()
        # Box and Muller (1958): a radius and an angle make two independent normal numbers
        radius, angle = (-2 * torch.log1p(-u[:, 1])).sqrt(), 2 * math.pi * u[:, 2]
        x = self._centers[k] + self.std * radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
        return ((x / GRAIN).round() * GRAIN).float(), k

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Log-density of points, or of points given their mode.

        Args:
            x: float tensor (B, 2).
            y: LongTensor (B,), values 0..K-1, or None.

        Returns:
            float64 tensor (B,) in nats.
        """
        check_points(x)
        if y is not None:
            check_modes(y, len(x), len(self._centers))
        parts = []
        for start in range(0, len(x), self._step):
            rows = slice(start, start + self._step)
            each = self._log_given_mode(x[rows])
            parts.append(
                each.logsumexp(1) - math.log(each.shape[1]) if y is None else each.gather(1, y[rows, None])[:, 0]
            )
        return torch.cat(parts)

    def entropy(self, n: int = 2000, rng: torch.Generator | None = None) -> Entropy:
        """The differential entropy in nats: H(X) = H(X | K) + H(K) - H(K | X) = ln(2 pi e s²) + ln K - doubt.

        Only the doubt H(K | X), from which mode a point came, needs samples: the mean entropy of the posterior p(k | x)
        over x ~ p. It is 0 to many digits where modes lie apart, and so is the standard error.

        Args:
            n: points to average over, at least 2.
            rng: for these points; None for a fixed seed, so that the figure repeats.

        Returns:
            Entropy(nats, stderr).
        """
        check_integer("n", n, 2)
        x, _ = self.sample(n, rng or torch.Generator().manual_seed(0))
        parts = [self._log_given_mode(x[start : start + self._step]) for start in range(0, n, self._step)]
        doubt = torch.cat([torch.special.entr(part.softmax(1)).sum(1) for part in parts])
        known = math.log(2 * math.pi * math.e * self.std**2) + math.log(len(self._centers))
        return Entropy(known - doubt.mean().item(), (doubt.std() / math.sqrt(n)).item())

    def nearest_mode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest center of each point and the distance to it.

        Args:
            x: float tensor (B, 2).

        Returns:
            (index, distance): LongTensor (B,) and float64 tensor (B,).
        """
        check_points(x)
        found = torch.cdist(x.double(), self._centers.to(x.device)).min(1)
        return found.indices, found.values

    @property
    def _step(self) -> int:
        return max(1, BLOCK // len(self._centers))

    def _log_given_mode(self, x: Tensor) -> Tensor:
        """log N(x; c_k, s² I) in float64, (B, K)."""
        square = (x.double()[:, None] - self._centers.to(x.device)).square().sum(2)
        return -square / (2 * self.std**2) - math.log(2 * math.pi * self.std**2)


def check_points(x: Tensor) -> None:
    """Refuse what is not a batch of finite points in the plane."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim != 2 or x.shape[1] != 2 or len(x) == 0:
        got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"expected points as a float tensor (B, 2) with B at least 1, got {got}")
    if not x.isfinite().all():
        raise ValueError("expected finite points, got NaN or infinity; the generator that made them diverged")


def check_modes(y: Tensor, n: int, modes: int) -> None:
    """Refuse what is not a mode for each of n points."""
    if not isinstance(y, Tensor) or y.dtype != torch.long or tuple(y.shape) != (n,):
        got = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"expected modes as LongTensor ({n},), one a point, got {got}")
    if y.min() < 0 or y.max() >= modes:
        raise ValueError(f"expected modes 0..{modes - 1}, got {y.min().item()}..{y.max().item()}")
