"""Weights in eight bits: each row of a matrix as whole numbers of -127..127 times one scale; zeros cost a bit each.

That is how the larger models that come with the package are stored: a quarter of the size of single precision, or a
sixth where a mask makes half of the weights zero. Rounding is by at most half a scale, 1/254 of the largest weight of
the row; the figures of the course's models move by at most .02 nats.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 127
TYPES = {"shape": torch.int64, "scales": torch.float32, "numbers": torch.int8, "there": torch.uint8}  # of parts


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round matrices and kernels to eight bits; biases and other vectors stay as they are.

    Args:
        tensors: as in a `state_dict`; what is packed has at least two axes, of which the first counts the rows.

    Returns:
        For a packed NAME the entries "NAME/shape", "NAME/scales" (one a row) and "NAME/numbers" (int8); and where that
        is smaller also "NAME/there" (a bit for each weight, 1 where it is not zero), and numbers for these weights
        only. All others under their names.

    Raises:
        ValueError: for a weight that is not finite.
    """
    packed = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or not tensor.is_floating_point() or not tensor.numel():
            packed[name] = tensor
            continue
        rows = tensor.detach().float().flatten(1)
        if not torch.isfinite(rows).all():
            raise ValueError(f"{name} has weights that are not finite; train the model again")
        scales = rows.abs().amax(1) / LEVELS
        numbers = (rows / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).round().to(torch.int8)
        there = numbers != 0
        packed |= {
            f"{name}/shape": torch.tensor(tensor.shape),
            f"{name}/scales": scales,
            f"{name}/numbers": numbers.flatten(),
        }
        if there.sum() + there.numel() / 8 < there.numel():
            packed[f"{name}/there"] = torch.from_numpy(np.packbits(there.numpy()))
            packed[f"{name}/numbers"] = numbers[there]
    return packed


def unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `pack` rounded, in single precision, and the others as they are.

    Raises:
        ValueError: for parts that do not belong together.
    """
    unpacked = {name: tensor for name, tensor in tensors.items() if "/" not in name}
    for name in sorted({key.partition("/")[0] for key in tensors if "/" in key}):
        try:
            parts = {key.partition("/")[2]: tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}
            if foreign := parts.keys() - TYPES.keys():
                raise ValueError(f"a part {min(foreign)!r:.60} does not belong there")
            if name in unpacked:
                raise ValueError("they are there twice")
            for part, tensor in parts.items():
                if tensor.dtype != TYPES[part]:
                    raise ValueError(f"its {part} is {tensor.dtype}, expected {TYPES[part]}")
            shape, scales, numbers = (parts[part] for part in ("shape", "scales", "numbers"))
            size = math.prod(shape.tolist())
            if "there" in parts:
                if -(-size // 8) != len(parts["there"]):  # before any memory is taken
                    raise ValueError(f"{len(parts['there'])} bytes of places for {size} numbers")
                there = torch.from_numpy(np.unpackbits(parts["there"].numpy(), count=size).astype(bool))
                if there.sum() != len(numbers):
                    raise ValueError(f"{len(numbers)} numbers for {there.sum()} places")
                numbers = torch.zeros(size, dtype=torch.int8).masked_scatter(there, numbers)
            if numbers.numel() != size or len(scales) != shape[0]:
                raise ValueError(f"{numbers.numel()} numbers and {len(scales)} scales for {shape.tolist()}")
            unpacked[name] = (numbers.view(len(scales), -1) * scales[:, None]).view(shape.tolist())
        except (KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"the packed weights {name} are damaged ({error})") from None
    return unpacked


@torch.no_grad()
def drop_masked(model: nn.Module) -> None:
    """Set the weights that the masks of a model remove to zero, in place, so that packing them costs next to nothing.

    A model that changes its masks in training (several orders or connectivities) loses what its other masks let pass.
    """
    for layer in model.modules():
        mask = getattr(layer, "mask", None)
        if isinstance(mask, Tensor) and hasattr(layer, "weight") and mask.shape == layer.weight.shape:
            layer.weight *= mask
