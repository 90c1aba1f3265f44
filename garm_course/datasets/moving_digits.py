"""Short clips of handwritten digits that glide over a dark field and bounce off its sides.

The motion has no chance in it: after three frames the digit, its place and its direction are known (two do not tell a
digit at rest from one that is just bouncing; more are needed at speeds above half the room), so nothing is left to
predict of later frames. A model that ignores time pays for every frame again.
"""

import torch
from torch import Tensor

from garm_course.datasets.base import MOST, SPLITS, Dataset, check_integer, check_split
from garm_course.datasets.digits import Digits

SIDE = 8  # pixels of a digit
SAMPLES = {"train": 2000, "validation": 300, "test": 300}


def bounce(start: Tensor, velocity: Tensor, frames: int, room: int) -> Tensor:
    """Positions of points that move between two walls and turn around when they hit one.

    Args:
        start: LongTensor (N,), values 0..room.
        velocity: LongTensor (N,), pixels a frame.
        frames: how many positions.
        room: the largest position, at least 1.

    Returns:
        LongTensor (N, frames), values 0..room; the first column is `start`.

    Example:
        >>> bounce(torch.tensor([2]), torch.tensor([2]), 5, room=5)
        tensor([[2, 4, 4, 2, 0]])
    """
    unfolded = (start[:, None] + velocity[:, None] * torch.arange(frames)) % (2 * room)  # as in a hall of mirrors
    return torch.where(unfolded > room, 2 * room - unfolded, unfolded)


class MovingDigits(Dataset):
    """Clips (1, T, H, W) of one digit of `digits` each, 17 levels; the class is the digit.

    Card:
        What: digits of 8x8 pixels that move over a square field at constant speed and bounce off its sides.
        Source: made from `digits`; clips for training show training digits, and so on, so that no digit is in two
            splits.
        Licence: CC BY 4.0, as `digits`.
        Size: 2,000 clips for training, 300 each for validation and test, or as many as you ask for.
        Cite: Srivastava, Mansimov, Salakhutdinov (2015), Unsupervised Learning of Video Representations using LSTMs,
            ICML, arXiv 1502.04681, who made the first such data (Moving MNIST); Alpaydin and Kaynak (1998) for the
            digits.
        Flaws: one digit a clip, no occlusion, whole-pixel steps. A training digit is in several clips, so clips are
            not independent.

    Digit, starting place and velocity are drawn uniformly and independently; a digit that stands still is not drawn.

    Args:
        split: "train", "validation" or "test": independent draws, from the digits of that split.
        frames: frames a clip, at least 1.
        size: side of the field in pixels, 9..64.
        speed: velocities are -speed..speed pixels a frame in each direction, at most the room that the digit has.
        n: clips in this split; None for 2,000 (train) or 300. Fewer clips are the first of more.
        seed: of the draws.

    Attributes:
        factors: of each clip, LongTensors: "digit" (N,), "index" (N,) of the image in `digits`, "row" and "column"
            (N, frames) of its upper left corner, "row_speed" and "column_speed" (N,) at the start.

    Raises:
        ValueError: for another split, or an option out of range.

    Example:
        >>> data = MovingDigits("test", n=2)
        >>> data.x.shape, data.levels
        (torch.Size([2, 1, 8, 16, 16]), 17)
    """

    called = "clips"
    unit, position = "clip", "pixel"

    def __init__(
        self,
        split: str = "train",
        *,
        frames: int = 8,
        size: int = 16,
        speed: int = 2,
        n: int | None = None,
        seed: int = 0,
    ):
        check_split(split)
        check_integer("frames", frames, 1, 1000)
        check_integer("size (side of the field in pixels)", size, SIDE + 1, 64)
        check_integer("speed (pixels a frame)", speed, 1, size - SIDE)
        n = SAMPLES[split] if n is None else n
        check_integer("n (clips in the split)", n, 1, MOST)
        check_integer("seed", seed, 0, 2**60)
        digits, room = Digits(split), size - SIDE
        # 3 seed + split is a different number for every pair of seed and split
        rng = torch.Generator().manual_seed(3 * seed + SPLITS.index(split))
        u = torch.rand(n, 4, dtype=torch.float64, generator=rng)  # a row a clip
        index = (u[:, 0] * len(digits)).long()
        start = (u[:, 1:3] * (room + 1)).long()
        velocities = torch.cartesian_prod(*[torch.arange(-speed, speed + 1)] * 2)
        velocities = velocities[velocities.any(1)]  # all but standing still
        velocity = velocities[(u[:, 3] * len(velocities)).long()]
        row, column = (bounce(start[:, axis], velocity[:, axis], frames, room) for axis in (0, 1))
        x = torch.zeros(n, frames, size, size, dtype=torch.long)
        inside = torch.arange(SIDE)
        x[
            torch.arange(n)[:, None, None, None],
            torch.arange(frames)[:, None, None],
            row[:, :, None, None] + inside[:, None],
            column[:, :, None, None] + inside,
        ] = digits.x[index]  # (N, 1, 8, 8): the same digit in each frame
        self.factors = {
            "digit": digits.y[index],
            "index": index,
            "row": row,
            "column": column,
            "row_speed": velocity[:, 0],
            "column_speed": velocity[:, 1],
        }
        super().__init__(
            "moving_digits",
            split,
            x.unsqueeze(1),
            self.factors["digit"],
            levels=17,
            n_classes=10,
            source=f"digits of the {split} split, moved over a field of {size}x{size} pixels",
            licence="CC BY 4.0",
        )
