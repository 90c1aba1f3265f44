"""Smaller models: fewer bits a weight, fewer weights, and the loss by which a small model learns from a large one.

Each function that changes weights returns a copy that computes in single precision, so that `paired(copy, model, data)`
is what the change costs in nats; `to_bytes` says what it saves. What counts as a weight is a floating-point tensor of
at least two axes, of which the first counts the rows (the outputs of a layer); biases and other vectors stay as they
are.

Connections that a mask removes (half of a MADE's) are set to zero first: they neither widen a scale nor count in the
share that is pruned, and in a file they cost a bit. A model that changes its masks in training loses what its other
masks let pass.

The weights of `made`, `pixel_gru` and other larger models that come along are in rows of eight bits already, see
`weights.packing`: to round them once more costs nothing and shows nothing.

Sources: Jacob et al. (2018), "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", arXiv 1712.05877; Han, Pool, Tran, Dally (2015), "Learning both Weights and Connections for Efficient Neural
Networks", arXiv 1506.02626; Hinton, Vinyals, Dean (2015), "Distilling the Knowledge in a Neural Network", arXiv
1503.02531.
"""

import copy
import math
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from garm_course.inputs import check_settings
from garm_course.weights.packing import drop_masked


def quantize(model: nn.Module, bits: int, per: str = "row") -> nn.Module:
    """A copy whose weights are whole numbers of -n..n times a scale, n = 2^(bits - 1) - 1; (20.8).

    The scale is the largest |w| over n, so that no weight moves by more than half a scale.

    Args:
        model: stays as it is.
        bits: 2 to 8.
        per: "row" for one scale for each row, "tensor" for one for the whole tensor.

    Returns:
        The copy, in evaluation mode; with eight bits by rows it is what `save_model(packed=True)` brings back.

    Raises:
        ValueError: for bits or `per` out of range, or weights that are not finite.

    Example:
        >>> layer = nn.Linear(3, 1)
        >>> _ = layer.weight.data.copy_(torch.tensor([[-3.0, 1.4, 0.2]]))
        >>> quantize(layer, 3).weight.tolist()  # -3, -2, ..., 3 times a scale of 1
        [[-3.0, 1.0, 0.0]]
    """
    _check_bits(bits, range(2, 9))
    smaller = _without_masked(model)
    for name, weight in _weights(smaller).items():
        numbers, scales = rounded(name, weight, bits, per)
        weight.copy_((numbers.flatten(1) * scales[:, None]).view_as(weight))
    return smaller


def half(model: nn.Module, dtype: torch.dtype = torch.float16) -> nn.Module:
    """A copy whose floating-point numbers, biases as well, are shortened to 16 bits.

    Args:
        model: stays as it is.
        dtype: float16 (ten bits after the point) or bfloat16 (seven, and the range of single precision).

    Returns:
        The copy, in evaluation mode, with numbers of the type that they had before: what a file of half the size brings
        back. `copy.to(dtype)` computes in it, too.

    Raises:
        ValueError: for another type, or numbers too large for it.
    """
    if dtype not in (torch.float16, torch.bfloat16):
        raise ValueError(f"expected float16 or bfloat16, got {dtype}; choose one of these")
    smaller = _without_masked(model)
    with torch.no_grad():
        for name, tensor in smaller.state_dict().items():
            if tensor.is_floating_point():
                shortened = tensor.to(dtype)
                if not torch.isfinite(shortened).all():
                    raise ValueError(f"{name} has numbers that {dtype} cannot hold; use dtype=torch.bfloat16")
                tensor.copy_(shortened)
    return smaller


def prune(model: nn.Module, share: float) -> nn.Module:
    """A copy without the weights that are smallest in magnitude, over all tensors together.

    Args:
        model: stays as it is.
        share: of the weights that no mask removes, in [0, 1), rounded down to whole weights.

    Returns:
        The copy, in evaluation mode, with zeros in their places; of weights of equal magnitude the first go.

    Raises:
        ValueError: for a share out of range, or weights that are not finite.

    Example:
        >>> layer = nn.Linear(4, 1)
        >>> _ = layer.weight.data.copy_(torch.tensor([[-3.0, 1.4, 0.2, -0.5]]))
        >>> [round(w, 1) for w in prune(layer, 0.5).weight[0].tolist()]
        [-3.0, 1.4, 0.0, 0.0]
    """
    check_settings(0, share=share)
    if share >= 1:
        raise ValueError(f"share={share} is out of range: expected a share in [0, 1); 1 would leave no weight")
    smaller = _without_masked(model)
    used, weights = _used(smaller), _weights(smaller)
    for name, weight in weights.items():
        _check_finite(name, weight)
    everywhere = torch.cat([weight.abs().float()[used[name]] for name, weight in weights.items()])
    stays = torch.ones_like(everywhere, dtype=torch.bool)
    stays[everywhere.argsort(stable=True)[: int(share * len(everywhere))]] = False
    parts = stays.split([int(used[name].sum()) for name in weights])
    for (name, weight), part in zip(weights.items(), parts, strict=True):
        weight.masked_fill_(~torch.zeros_like(used[name]).masked_scatter(used[name], part), 0)
    return smaller


def used_weights(model: nn.Module) -> tuple[int, int]:
    """How many weights no mask removes, and how many there are.

    Example:
        >>> from garm_course.autoregressive import MADE
        >>> used_weights(MADE((1, 2, 2), levels=2, hidden=(3,), direct=False))  # 6 of 12 in, 6 of 12 out
        (12, 24)
    """
    used = _used(model)
    return sum(int(places.sum()) for places in used.values()), sum(places.numel() for places in used.values())


def distillation_loss(student: Tensor, teacher: Tensor, T: float = 1.0) -> Tensor:
    """T² KL(softmax(teacher / T) || softmax(student / T)), averaged over all but the last axis; (20.9).

    The gradient of the KL shrinks with 1/T²; the factor takes that back, so that T changes what is learned and not the
    learning rate: for large T the loss is half the mean squared difference of centered logits, over levels.

    Args:
        student: (..., K) logits, through which the gradient goes.
        teacher: (..., K) logits or log-probabilities, which are constants here.
        T: temperature, above 0.

    Returns:
        A scalar in nats, at least 0: 0 where both say the same.

    Raises:
        ValueError: for shapes that differ, or a temperature out of range.

    Source:
        Hinton, Vinyals, Dean (2015), arXiv 1503.02531, section 2.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0, 3.0]])
        >>> distillation_loss(logits + 5, logits, T=2.0).item()
        0.0
    """
    check_settings(0, above=True, T=T)
    if student.shape != teacher.shape:
        shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ValueError(f"expected logits of the same shape, got {shapes}; ask both at the same examples")
    theirs, ours = (teacher.detach() / T).log_softmax(-1), (student / T).log_softmax(-1)
    p = theirs.exp()
    return T**2 * (p * torch.where(p > 0, theirs - ours, 0)).sum(-1).mean().clamp(min=0)


# In a file


def to_bytes(model: nn.Module, bits: int = 32, per: str = "row") -> bytes:
    """The weights as a safetensors file, which `from_bytes` reads; its length is the size on disk.

    Args:
        model: stays as it is; its `state_dict` is written, rounded to so many bits.
        bits: of a weight: 2 to 8, rounded as by `quantize`; 16, as by `half`; or 32.
        per: see `quantize`; for 2 to 8 bits.

    Returns:
        The file. Where that is smaller, zeros of a tensor (pruned, or removed by a mask) are written as a bit each.

    Raises:
        ValueError: see `quantize` and `half`.
    """
    from safetensors.torch import save

    _check_bits(bits, (*range(2, 9), 16, 32))
    smaller = (half(model) if bits == 16 else _without_masked(model)).cpu()
    tensors = {k: v.half() if bits == 16 and v.is_floating_point() else v for k, v in smaller.state_dict().items()}
    parts: dict[str, Tensor] = {}
    for name, weight in _weights(smaller).items():
        tensors.pop(name)
        parts[f"{name}/shape"] = torch.tensor(weight.shape)
        if bits <= 8:
            numbers, parts[f"{name}/scales"] = rounded(name, weight, bits, per)
            parts[f"{name}/scales"] = parts[f"{name}/scales"][: 1 if per == "tensor" else None].clone()
        else:
            numbers = weight.half() if bits == 16 else weight.float()
        numbers = numbers.flatten()
        if (numbers == 0).sum() * bits > numbers.numel():
            parts[f"{name}/there"] = torch.from_numpy(np.packbits((numbers != 0).numpy()))
            numbers = numbers[numbers != 0]
        parts[f"{name}/numbers"] = _to_bits(numbers, bits) if bits <= 8 else numbers.clone()
        if bits <= 8:
            parts[f"{name}/count"] = torch.tensor([len(numbers), bits])
    return save({**{name: tensor.contiguous() for name, tensor in tensors.items()}, **parts})


def from_bytes(data: bytes) -> dict[str, Tensor]:
    """The `state_dict` that `to_bytes` wrote, in single precision.

    Args:
        data: what `to_bytes` returned. Files of strangers are read by `load_model`, which checks more.
    """
    from safetensors.torch import load

    tensors = load(data)
    found = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items() if "/" not in name}
    for name in [key.partition("/")[0] for key in tensors if key.endswith("/shape")]:
        part = {key.partition("/")[2]: tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}
        shape, numbers = part["shape"].tolist(), part["numbers"]
        if "count" in part:
            numbers = _from_bits(numbers, *part["count"].tolist())
        if "there" in part:
            there = torch.from_numpy(np.unpackbits(part["there"].numpy(), count=math.prod(shape)).astype(bool))
            numbers = torch.zeros(len(there), dtype=numbers.dtype).masked_scatter(there, numbers)
        numbers = numbers.view(shape[0], -1).float()
        found[name] = (numbers * part["scales"][:, None] if "scales" in part else numbers).view(shape)
    return found


def _to_bits(numbers: Tensor, bits: int) -> Tensor:
    """Whole numbers of -n..n as bits in a row, those of one number after those of the other."""
    codes = (numbers.short() + 2 ** (bits - 1)).numpy().astype(np.uint8)
    return torch.from_numpy(np.packbits(np.unpackbits(codes[:, None], axis=1)[:, -bits:]))


def _from_bits(packed: Tensor, count: int, bits: int) -> Tensor:
    """The inverse of `_to_bits`."""
    rows = np.unpackbits(packed.numpy(), count=count * bits).reshape(count, bits)
    codes = np.packbits(np.pad(rows, ((0, 0), (8 - bits, 0))), axis=1)[:, 0]
    return torch.from_numpy(codes.astype(np.int16)) - 2 ** (bits - 1)


# What a weight is, and what a mask leaves of it


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in model.state_dict().items() if v.is_floating_point() and v.ndim >= 2 and v.numel()}


def _used(model: nn.Module) -> dict[str, Tensor]:
    """For each weight a BoolTensor of its shape: True where no mask removes it."""
    used = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in _weights(model).items()}
    for prefix, layer in model.named_modules():
        name, mask = f"{prefix}.weight".lstrip("."), getattr(layer, "mask", None)
        if isinstance(mask, Tensor) and name in used and mask.shape == used[name].shape:
            used[name] = mask.bool()
    return used


def _without_masked(model: nn.Module) -> nn.Module:
    smaller = copy.deepcopy(model).eval()
    drop_masked(smaller)
    return smaller


def rounded(name: str, weight: Tensor, bits: int, per: str) -> tuple[Tensor, Tensor]:
    """A weight as whole numbers (int8, of its shape) and scales (rows,).

    Args:
        name: of the weight, for the message.
        weight: of at least two axes, of which the first counts the rows.
        bits: see `quantize`.
        per: see `quantize`.

    Raises:
        ValueError: for another `per`, or weights that are not finite.
    """
    if per not in ("row", "tensor"):
        raise ValueError(f'per={per!r} is out of range: expected per "row" or "tensor"; choose one of these')
    _check_finite(name, weight)
    rows, n = weight.float().flatten(1), 2 ** (bits - 1) - 1
    scales = (rows.abs().amax(1) if per == "row" else rows.abs().max().expand(len(rows))) / n
    numbers = (rows / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).round().to(torch.int8)
    return numbers.view(weight.shape), scales


def _check_finite(name: str, weight: Tensor) -> None:
    if not torch.isfinite(weight).all():
        raise ValueError(f"{name} has weights that are not finite; train the model again")


def _check_bits(bits: object, known: tuple[int, ...] | range) -> None:
    if not (isinstance(bits, Integral) and bits in known):
        raise ValueError(f"bits={bits} is out of range: expected one of {', '.join(map(str, known))}; choose one")
