"""Numbers for probes: signs mixed, nothing round, the same in every run."""

import torch
from torch import Tensor


def random(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers of this shape, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
