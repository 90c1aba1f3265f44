"""Arguments of a call: copied before it, compared after it, differentiated with respect to."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from garm_course.exercises.compare import difference


def fresh(value: Any) -> Any:
    """A copy that the answer may spoil: of tensors, generators (with their state), arrays, modules and containers."""
    if isinstance(value, torch.Generator):
        generator = torch.Generator(value.device)
        generator.set_state(value.get_state())
        return generator
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, (np.ndarray, nn.Module)):
        return copy.deepcopy(value)
    if type(value) in (list, tuple):
        return type(value)(fresh(v) for v in value)
    if type(value) is dict:
        return {k: fresh(v) for k, v in value.items()}
    return value


def snapshot(value: Any) -> Any:
    """A copy to compare with later, without the graph; of plain tensors, alone or in lists, tuples and dictionaries."""
    if type(value) is Tensor:
        return value.detach().clone().requires_grad_(value.requires_grad)
    if type(value) in (list, tuple):
        return type(value)(snapshot(v) for v in value)
    if type(value) is dict:
        return {k: snapshot(v) for k, v in value.items()}
    return value


def differ(now: Any, before: Any) -> bool:
    """Whether an argument was changed; generators and modules may be, by being used."""
    if isinstance(before, np.ndarray):
        return not (now.shape == before.shape and np.array_equal(now, before, equal_nan=before.dtype.kind in "fc"))
    if isinstance(before, Tensor):
        return bool(difference(now.detach(), before.detach(), rtol=0, atol=0))
    if type(before) in (list, tuple):
        return len(now) != len(before) or any(map(differ, now, before))
    if type(before) is dict:
        return now.keys() != before.keys() or any(differ(now[k], before[k]) for k in before)
    return False


def gradients(value: Any, leaves: list[Tensor]) -> tuple:
    """d <value, fixed random direction> / d leaf for every leaf; None where no gradient arrives."""
    parts = value if type(value) in (list, tuple) else value.values() if type(value) is dict else (value,)
    total = None
    for i, part in enumerate(parts):
        if type(part) is Tensor and part.requires_grad and part.is_floating_point():
            direction = torch.randn(part.shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
            product = (part * direction.to(part)).sum()
            total = product if total is None else total + product
    if total is None:
        return (None,) * len(leaves)
    return torch.autograd.grad(total, leaves, allow_unused=True)
