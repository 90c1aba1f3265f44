"""Arguments of a call: copied before it, compared after it, differentiated with respect to."""

import copy
from collections.abc import Callable, Iterable, Iterator
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
    if isinstance(value, nn.Module):
        copied = copy.deepcopy(value)
        for weight, other in zip(value.parameters(), copied.parameters(), strict=True):
            other.grad = None if weight.grad is None else weight.grad.detach().clone()
        return copied
    if isinstance(value, np.ndarray):
        return value.copy()
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
    """Whether an argument was changed; generators are, by being used, and of modules see `state_of`."""
    if isinstance(before, torch.Generator):
        return now.initial_seed() != before.initial_seed()  # seeded anew
    if isinstance(before, (nn.Module, Callable)):
        return False
    if isinstance(before, np.ndarray):
        return not (now.shape == before.shape and np.array_equal(now, before, equal_nan=before.dtype.kind in "fc"))
    if isinstance(before, Tensor):
        return bool(difference(now.detach(), before.detach(), rtol=0, atol=0))
    if type(before) in (list, tuple):
        return len(now) != len(before) or any(map(differ, now, before))
    if type(before) is dict:
        return now.keys() != before.keys() or any(differ(now[k], before[k]) for k in before)
    if type(before) in (bool, int, float, str):
        return type(now) is not type(before) or (now != before and before == before)
    return now is not before


def networks(arguments: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, nn.Module]]:
    """The networks among named arguments, in lists and dictionaries as well, with the names that they go by."""
    for name, value in arguments:
        if isinstance(value, nn.Module):
            yield name, value
        elif type(value) in (list, tuple):
            yield from networks((f"{name}[{i}]", part) for i, part in enumerate(value))
        elif type(value) is dict:
            yield from networks((f"{name}[{key!r}]", part) for key, part in value.items())


def state_of(module: nn.Module) -> dict[str, Any]:
    """What a call can leave behind in a network: modes, weights and buffers, which of them are trained, gradients."""
    weights = dict(module.named_parameters())
    return {
        "training": {name: part.training for name, part in module.named_modules()},
        "trained": {name: w.requires_grad for name, w in weights.items()},
        "weights": {name: snapshot(w.detach()) for name, w in [*weights.items(), *module.named_buffers()]},
        "gradients": {name: None if w.grad is None else snapshot(w.grad.detach()) for name, w in weights.items()},
    }


def left_behind(name: str, got: dict[str, Any], want: dict[str, Any], **tolerances: Any) -> str:
    """What is wrong with the state in which a call has left a network, or "".

    Args:
        name: of the argument.
        got: its `state_of` after the answer.
        want: its `state_of` after the reference.
        tolerances: as for `difference`.
    """
    modes = {True: "training", False: "evaluation"}
    for part, mode in want["training"].items():
        if got["training"].get(part) is not mode:
            return f"it leaves {name} in {modes[not mode]} mode: it was handed over in {modes[mode]} mode"
    for weight, trained in want["trained"].items():
        if got["trained"].get(weight) is not trained:
            how = "frozen, requires_grad is False" if trained else "with requires_grad=True"
            return f"it leaves {name}.{weight} {how}: so it stays for all that comes after"
    for weight, value in want["weights"].items():
        if difference(got["weights"].get(weight), value, **tolerances):
            return f"it changes {name}.{weight}: the call is to leave it as it was"
    for weight, gradient in want["gradients"].items():
        left = got["gradients"].get(weight)
        if gradient is None and left is not None:
            return f"it leaves a gradient at {name}.{weight}, and none may arrive there"
        if gradient is not None and left is None:
            return f"it leaves no gradient at {name}.{weight}: none arrived, or it was cleared"
        what = "" if gradient is None else difference(left, gradient, **tolerances)
        if what:
            return f"{what}, in the gradient of {name}.{weight}"
    return ""


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
