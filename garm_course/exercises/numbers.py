"""Numbers for probes: signs mixed, nothing round, the same in every run, and others for another `GARM_PROBE_SEED`."""

import os

import torch
from torch import Tensor


def random(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers of this shape, float64.

    Args:
        shape: of the tensor.
        seed: of these numbers. The environment variable `GARM_PROBE_SEED`, a whole number (0 if it is not set), moves
            all seeds at once: an instructor checks with numbers that nobody has seen.
    """
    moved = 1_000_003 * int(os.environ.get("GARM_PROBE_SEED", "0")) + seed
    return torch.randn(shape, generator=torch.Generator().manual_seed(moved), dtype=torch.float64)
