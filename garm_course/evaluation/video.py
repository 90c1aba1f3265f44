"""How much clips change from frame to frame, which is neither good nor bad: compare with held-out clips."""

from torch import Tensor


def flicker(v: Tensor) -> Tensor:
    """The mean of |x_{t+1} - x_t| over all pixels and all pairs of neighboring frames of a clip.

    Args:
        v: (B, T, H, W) of levels (a LongTensor) or real numbers, T >= 2.

    Returns:
        (B,), float32 for levels, else of the dtype of v; 0 for a picture that stands still.

    Raises:
        ValueError: for what are no clips of at least two frames.

    Example:
        >>> import torch
        >>> flicker(torch.tensor([0, 4, 1]).reshape(1, 3, 1, 1))
        tensor([3.5000])
    """
    if v.ndim != 4 or v.shape[1] < 2:
        raise ValueError(f"expected clips (B, T, H, W) of at least two frames, got shape {tuple(v.shape)}")
    changes = v.diff(dim=1).abs()
    return (changes if v.is_floating_point() else changes.float()).flatten(1).mean(1)
