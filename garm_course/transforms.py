"""How levels become what a network reads, and back: encodings of levels, ranges, dequantization, mu-law, raster order.

Levels are whole numbers 0..levels-1. Every function works on tensors of any shape and any device, and draws nothing
by itself: where noise is needed, uniforms are passed in.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.inputs import readable


def one_hot(x: Tensor, levels: int) -> Tensor:
    """Each level as a vector with a single 1 at its index.

    Args:
        x: LongTensor (...), values 0..levels-1.
        levels: how many there are, at least 2.

    Returns:
        (..., levels) float32 of 0 and 1.

    Raises:
        ValueError: for another dtype or a level out of range.

    Example:
        >>> one_hot(torch.tensor([2]), 3)
        tensor([[0., 0., 1.]])
    """
    _check_levels(x, levels)
    return F.one_hot(x, levels).float()


def thermometer(x: Tensor, levels: int) -> Tensor:
    """Each level as a column of mercury: feature k = 1..levels-1 is 1 where x >= k, so near levels share features.

    Args:
        x: LongTensor (...), values 0..levels-1.
        levels: how many there are, at least 2.

    Returns:
        (..., levels - 1) float32 of 0 and 1, whose sum over the last axis is x.

    Raises:
        ValueError: for another dtype or a level out of range.

    Example:
        >>> thermometer(torch.tensor([0, 1, 3]), 4)
        tensor([[0., 0., 0.],
                [1., 0., 0.],
                [1., 1., 1.]])
    """
    _check_levels(x, levels)
    return (x.unsqueeze(-1) >= torch.arange(1, levels, device=x.device)).float()


def level_features(levels: int, encoding: str) -> Tensor:
    """How a gray level enters the network: a table with one row of features per level.

    Args:
        levels: number of gray levels.
        encoding: "thermometer" (feature k is 1 where x >= k: neighbors in value share features), "one_hot", or
            "scaled" (x mapped to [-1, 1], one feature).

    Returns:
        (levels, F + 1); the last feature is always 1, so that a black pixel differs from the padding outside the image.

    Example:
        >>> level_features(3, "thermometer")
        tensor([[0., 0., 1.],
                [1., 0., 1.],
                [1., 1., 1.]])
    """
    x = torch.arange(levels)
    if encoding == "thermometer":
        table = thermometer(x, levels)
    elif encoding == "one_hot":
        table = one_hot(x, levels)
    elif encoding == "scaled":
        table = scale(x, levels)[:, None]
    else:
        raise ValueError(f'expected the encoding "thermometer", "one_hot" or "scaled", got {encoding!r}')
    return torch.cat([table, torch.ones(levels, 1)], 1)


def scale(x: Tensor, levels: int) -> Tensor:
    """Levels 0..levels-1 as numbers in [-1, 1]: 2 x / (levels - 1) - 1, what adversarial models see.

    Args:
        x: LongTensor (...), values 0..levels-1.
        levels: how many there are, at least 2.

    Returns:
        (...) float32 in [-1, 1].

    Raises:
        ValueError: for another dtype or a level out of range.

    Example:
        >>> scale(torch.tensor([0, 8, 16]), 17)
        tensor([-1.,  0.,  1.])
    """
    _check_levels(x, levels)
    return 2 * x / (levels - 1) - 1


def unscale(x: Tensor, levels: int) -> Tensor:
    """Numbers in [-1, 1] as the nearest level, the inverse of `scale`; what lies outside is clipped.

    Args:
        x: float tensor (...).
        levels: how many there are, at least 2.

    Returns:
        LongTensor (...), values 0..levels-1.

    Raises:
        ValueError: for a tensor that is not of floats, or NaN in it.

    Example:
        >>> unscale(torch.tensor([-1.2, 0.0, 0.99]), 17)
        tensor([ 0,  8, 16])
    """
    _check_count(levels)
    _check_floats(x)
    return ((x.clamp(-1, 1) + 1) * ((levels - 1) / 2)).round().long()


def to_uint8(x: Tensor) -> Tensor:
    """Images in [-1, 1] as bytes: round((clip(x) + 1) 127.5), so that -1 is 0 and 1 is 255; what image files hold.

    Args:
        x: float tensor (...).

    Returns:
        uint8 tensor (...).

    Raises:
        ValueError: for a tensor that is not of floats, or NaN in it.

    Example:
        >>> to_uint8(torch.tensor([-2.0, -1.0, 0.1, 1.0]))
        tensor([  0,   0, 140, 255], dtype=torch.uint8)
    """
    return unscale(x, 256).to(torch.uint8)


def dequantize(x: Tensor, u: Tensor, levels: int) -> Tensor:
    """Spread each level over its own bin of [0, 1): (x + u) / levels.

    A density q on [0, 1)^D gives a lower bound on the probability of the levels (Jensen's inequality):
    log P(x) >= E_u [log q((x + u) / levels)] - D ln(levels), with equality where q is constant on every bin. The bin of
    the recovered level is floor(levels * result).

    Args:
        x: LongTensor (...), values 0..levels-1.
        u: (...) uniforms in [0, 1), drawn by the caller; ½ everywhere gives the middle of each bin.
        levels: how many there are, at least 2.

    Returns:
        (...) of the dtype of u, in [0, 1).

    Raises:
        ValueError: for levels or uniforms out of range, or shapes that differ.

    Source:
        B. Uria, I. Murray, H. Larochelle (2013), "RNADE: The real-valued neural autoregressive density-estimator",
        arXiv 1306.0186; L. Theis, A. van den Oord, M. Bethge (2016), "A note on the evaluation of generative models",
        arXiv 1511.01844, section 3.1.

    Example:
        >>> dequantize(torch.tensor([0, 3]), torch.tensor([0.5, 0.0]), 4)
        tensor([0.1250, 0.7500])
    """
    _check_levels(x, levels)
    _check_floats(u)
    if u.shape != x.shape:
        raise ValueError(f"expected one uniform per level, shape {tuple(x.shape)}, got {tuple(u.shape)}")
    if u.numel() and readable(u) and (u.min() < 0 or u.max() >= 1):
        raise ValueError(f"expected uniforms in [0, 1), got {u.min().item():g}..{u.max().item():g}; use torch.rand")
    room = 2 * levels * torch.finfo(u.dtype).eps  # 15 + 0.99999999 rounds up to 16: that would be the next bin
    return (x + u.clamp(max=1 - room)) / levels


def mu_law_encode(x: Tensor, mu: int = 255) -> Tensor:
    """Sound in [-1, 1] as mu + 1 levels, finer where it is quiet.

    f(x) = sgn(x) ln(1 + mu |x|) / ln(1 + mu), and the level is round((f(x) + 1) mu / 2), halves to the even neighbor;
    silence (0) is level 128 for mu = 255.

    Args:
        x: float tensor (...), values in [-1, 1]; what lies outside is clipped.
        mu: number of levels less one, at least 1.

    Returns:
        LongTensor (...), values 0..mu.

    Raises:
        ValueError: for a tensor that is not of floats, NaN in it, or mu below 1.

    Source:
        ITU-T recommendation G.711 (1988), in the continuous form of A. van den Oord et al. (2016), "WaveNet: A
        Generative Model for Raw Audio", arXiv 1609.03499, section 2.2.

    Example:
        >>> mu_law_encode(torch.tensor([-1.0, 0.0, 0.01, 1.0]))
        tensor([  0, 128, 157, 255])
    """
    _check_mu(mu)
    if isinstance(x, Tensor) and not (x.is_floating_point() or x.is_complex()):
        raise ValueError(
            f"expected sound as floating-point numbers in [-1, 1], got dtype {x.dtype}; divide integers by the largest "
            "one that their type allows, 16 bits by 32768"
        )
    _check_floats(x)
    x = x.clamp(-1, 1)
    y = x.sign() * torch.log1p(mu * x.abs()) / math.log1p(mu)
    return ((y + 1) * (mu / 2)).round().long()


def mu_law_decode(q: Tensor, mu: int = 255) -> Tensor:
    """Levels of `mu_law_encode` as sound: the inverse of f at the middle of each level.

    f⁻¹(y) = sgn(y) ((1 + mu)^|y| - 1) / mu with y = 2 q / mu - 1. Encoding the result gives q back.

    Args:
        q: LongTensor (...), values 0..mu.
        mu: number of levels less one, at least 1.

    Returns:
        (...) float32 in [-1, 1]; for mu = 255 it is off by less than 0.0217 from what was encoded, and by less than
        0.00031 where that was quiet (below 0.01).

    Raises:
        ValueError: for another dtype, a level out of range, or mu below 1.

    Example:
        >>> mu_law_decode(torch.tensor([0, 128, 255]))
        tensor([-1.0000e+00,  8.6212e-05,  1.0000e+00])
    """
    _check_mu(mu)
    _check_levels(q, mu + 1)
    y = 2 * q.double() / mu - 1
    return (y.sign() * torch.expm1(y.abs() * math.log1p(mu)) / mu).float()


# what the positions of an example are called in raster order, by the number of its axes
_AXES = {
    1: ("position",),
    2: ("row", "column"),
    3: ("row", "column", "channel"),
    4: ("frame", "row", "column", "channel"),
}


def to_raster(x: Tensor, axes: int) -> Tensor:
    """The values of an example as a list: frame by frame, row by row, and inside a pixel R, then G, then B.

    Args:
        x: (B, T, ...), (B, H, W, ...), (B, C, H, W, ...) or (B, C, T, H, W, ...).
        axes: number of axes of an example, 1 to 4; more may follow.

    Returns:
        (B, D, ...), D values of an example.
    """
    return (x.movedim(1, axes) if axes > 2 else x).flatten(1, axes)


def from_raster(sequence: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(B, D, ...) -> (B, *shape, ...): the inverse of `to_raster`."""
    sequence = sequence.unflatten(1, _raster_sizes(shape))
    return sequence.movedim(len(shape), 1) if len(shape) > 2 else sequence


def coordinates(i: int, shape: tuple[int, ...]) -> dict[str, int]:
    """Where raster position i of an example of this shape lies.

    Example:
        >>> coordinates(5, (3, 2, 4))
        {'row': 0, 'column': 1, 'channel': 2}
    """
    sizes, found = _raster_sizes(shape), []
    for size in reversed(sizes[1:]):
        i, at = divmod(i, size)
        found.append(at)
    return dict(zip(_AXES[len(shape)], [i, *reversed(found)], strict=True))


def place(i: int, shape: tuple[int, ...]) -> str:
    """`coordinates` in words, without the channel of a gray image: "row 0, column 1, channel 2"."""
    gray = len(shape) > 2 and shape[0] == 1
    return ", ".join(f"{name} {at}" for name, at in coordinates(i, shape).items() if not (gray and name == "channel"))


def _raster_sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with the color last, where there is one."""
    return (*shape[1:], shape[0]) if len(shape) > 2 else tuple(shape)


def _check_count(levels: int) -> None:
    if not isinstance(levels, int) or isinstance(levels, bool) or levels < 2:
        raise ValueError(f"expected an integer number of levels, at least 2, got {levels!r}")


def _check_levels(x: Tensor, levels: int) -> None:
    _check_count(levels)
    if not isinstance(x, Tensor) or x.dtype != torch.long:
        got = f"dtype {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"expected a LongTensor of levels 0..{levels - 1}, got {got}; convert with x.long()")
    if x.numel() and readable(x) and (x.min() < 0 or x.max() >= levels):
        low, high = x.min().item(), x.max().item()
        raise ValueError(f"expected levels 0..{levels - 1}, got {low}..{high}; reduce them to {levels} levels first")


def _check_floats(x: Tensor) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = f"dtype {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"expected a tensor of floating-point numbers, got {got}; convert with x.float()")
    if readable(x) and x.isnan().any():
        raise ValueError("expected numbers, got NaN; find where it comes from before you quantize it")


def _check_mu(mu: int) -> None:
    if not isinstance(mu, int) or isinstance(mu, bool) or mu < 1:
        raise ValueError(f"expected an integer mu of at least 1, got {mu!r}; 255 gives 256 levels")
