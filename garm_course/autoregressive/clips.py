"""Models of clips of any number of frames: the chain rule frame by frame, and inside a frame row by row."""

import torch
from torch import Tensor

from garm_course.autoregressive.base import Autoregressive
from garm_course.inputs import check_levels, check_settings
from garm_course.transforms import from_raster


class ClipModel(Autoregressive):
    """A model of clips (C, T, H, W); it reads and draws clips of any number T of frames.

    Raster position i is frame i // (H W C), and inside a frame as in `ImageModel`: row, column, color.

    A subclass also accepts `start(n, y, *, length=None)`, the number of frames that will be drawn (None: `length`).

    Args:
        shape: (C, T, H, W), with the number of frames that it is built for.
        levels: number of levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.

    Attributes:
        reach: how many earlier frames a prediction can see; None for all.
    """

    elastic = True
    reach: int | None = None

    def __init__(self, shape: tuple[int, int, int, int], levels: int, n_classes: int = 0):
        if len(shape) != 4 or min(shape) < 1:
            raise ValueError(f"expected a clip shape (C, T, H, W) of positive sizes, got {tuple(shape)}")
        super().__init__(shape, levels, n_classes)

    @property
    def length(self) -> int:
        """The number of frames that it was built for."""
        return self.shape[1]

    @property
    def frame_positions(self) -> int:
        """Number of conditionals of one frame."""
        return self.positions // self.length

    def shape_of(self, length: int | None = None) -> tuple[int, int, int, int]:
        """(C, length, H, W); the length counts frames and must be at least 1 (ValueError)."""
        if length is None:
            return self.shape
        if not isinstance(length, int) or length < 1:
            raise ValueError(f"expected length >= 1 (an integer, frames), got {length}")
        return (self.shape[0], length, *self.shape[2:])

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x), or log p(x | y), exactly, in nats; see `Autoregressive.log_prob`. (B,), the sum over frames."""
        return self.frame_log_probs(x, y).sum(1)

    def frame_log_probs(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(frame t | frames before it), the terms of equation (9.1).

        Args:
            x: LongTensor (B, C, T, H, W) of levels 0..levels-1.
            y: LongTensor (B,) of classes, for a class-conditional model.

        Returns:
            (B, T) nats.
        """
        return self.head.log_prob(self(x, y), x).sum((1, 3, 4))

    def from_sequence(self, sequence: Tensor) -> Tensor:
        """(B, D, ...) -> (B, C, T, H, W, ...) for any number of whole frames."""
        return from_raster(sequence, self.shape_of(sequence.shape[1] // self.frame_positions))

    def block_end(self, i: int) -> int:
        """The position before which a `look_ahead` from position i must end: at the latest where its row ends."""
        row = self.shape[3] * self.shape[0]  # positions of one row
        return min(super().block_end(i), (i // row + 1) * row)

    def check_examples(self, x: Tensor) -> None:
        """Refuse what is not a LongTensor (B, C, T, H, W) of levels with T >= 1."""
        colors, frames, height, width = self.shape
        if isinstance(x, Tensor):
            frames = x.shape[2] if x.ndim == 5 else 0
        if not frames or (isinstance(x, Tensor) and tuple(x.shape[1:]) != (colors, frames, height, width)):
            raise ValueError(
                f"expected a LongTensor (B, {colors}, T, {height}, {width}) of levels 0..{self.levels - 1} with T >= 1 "
                f"frames, got shape {tuple(x.shape)}; crop or pad the frames to {height} x {width}, or add an axis: "
                "x[None]"
            )
        check_levels(x, (colors, frames, height, width), self.levels)


class FirstFrames:
    """-log p of the first frames of each clip, in nats, averaged over the batch: a loss for `fit`.

    A model that sees `reach` frames back has seen all its tasks after reach + 1 frames: in what is to be learned, later
    frames are repetitions, and leaving them out buys more clips, so more first frames, for the same arithmetic.

    Args:
        frames: how many, at least 1.
    """

    def __init__(self, frames: int):
        check_settings(1, whole=True, frames=frames)
        self.frames = frames

    def __call__(self, model: ClipModel, x: Tensor, y: Tensor) -> Tensor:
        """Scalar, in nats per shortened clip, for clips x (B, C, T, H, W) of classes y (B,)."""
        x = x[:, :, : self.frames]
        return -(model.log_prob(x, y) if model.n_classes else model.log_prob(x)).mean()


def earlier_frames(frames: Tensor, past: int) -> Tensor:
    """The `past` frames before each frame, the oldest first; -1 where there was none.

    Args:
        frames: LongTensor (B, T, C, H, W) of levels.
        past: how many, at least 1.

    Returns:
        LongTensor (B, T, past, C, H, W).

    Example:
        >>> earlier_frames(torch.tensor([5, 6, 7]).reshape(1, 3, 1, 1, 1), 2).flatten(2)
        tensor([[[-1, -1],
                 [-1,  5],
                 [ 5,  6]]])
    """
    padded = torch.nn.functional.pad(frames, (0, 0, 0, 0, 0, 0, past, 0), value=-1)[:, :-1]
    return padded.unfold(1, past, 1).movedim(-1, 2)
