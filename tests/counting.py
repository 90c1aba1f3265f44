"""How much a call computes, as torch counts it."""

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode


def flops(call: Callable) -> int:
    """Multiplications and additions of a call. Skips the test where torch (2.4) sees none in inference mode."""
    with torch.inference_mode():
        if not _counted(lambda: torch.ones(1, 1) @ torch.ones(1, 1)):
            pytest.skip("this torch counts no operations in inference mode")
    return _counted(call)


def _counted(call: Callable) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
