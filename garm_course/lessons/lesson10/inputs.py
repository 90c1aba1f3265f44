"""What the probes of lesson 10 share: pixels, and a result reduced to its form."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ONE = "Right for batches, but not for a single example or column: squeeze() without an axis removes theirs as well."


def pixels(*shape: int, seed: int) -> Tensor:
    """Zeros and ones, more of the former, float64."""
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.6).double()


def form(answer: Callable, *args: Any) -> Any:
    """The result with all its numbers set to 0: for float32, where right formulas differ in the last digits."""
    result = answer(*args)
    return torch.zeros_like(result) if type(result) is Tensor else result
