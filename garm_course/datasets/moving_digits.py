"""Short clips of handwritten digits that glide over a dark field and bounce off its sides.

The motion has no chance in it: whoever sees the 8x8 box of the digit knows after three frames where it is and how it
moves (two do not tell a digit at rest from one that is just bouncing; more are needed at speeds above half the room).
The box is dark at its sides, though, so the ink alone tells its place up to the margins, and the moment of a bounce is
not quite certain: a few hundredths of a nat are left in later frames, see `path_entropy`. A model that ignores time
pays for every frame again.
"""

import torch
from torch import Tensor

from garm_course.datasets.base import MOST, SPLITS, Dataset, check_integer, check_split
from garm_course.datasets.digits import Digits

SIDE = 8  # pixels of a digit
SAMPLES = {"train": 2000, "validation": 300, "test": 300}
CLASSES = ("digit", "direction")
# down is positive, as in rows of an image; a class is the sign of each speed at the start
DIRECTIONS = ("up left", "up", "up right", "left", "right", "down left", "down", "down right")


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


def direction(row_speed: Tensor, column_speed: Tensor) -> Tensor:
    """Which of `DIRECTIONS` a velocity has.

    Args:
        row_speed: LongTensor (...), pixels a frame, positive downwards.
        column_speed: LongTensor (...), positive to the right.

    Returns:
        LongTensor (...), values 0..7; -1 where both speeds are 0.

    Example:
        >>> [DIRECTIONS[k] for k in direction(torch.tensor([-2, 0]), torch.tensor([1, 2]))]
        ['up right', 'right']
    """
    index = 3 * (row_speed.sign() + 1) + column_speed.sign() + 1  # 0..8 row by row, 4 in the middle
    return torch.where(index == 4, -1, index - (index > 4).long())


def _entropy(groups: Tensor, counts: Tensor) -> Tensor:
    """The entropy in nats of what falls into groups (N,) with these counts (N,)."""
    p = torch.zeros(int(groups.max()) + 1, dtype=torch.float64).index_add(0, groups, counts) / counts.sum()
    return -torch.special.xlogy(p, p).sum()


class MovingDigits(Dataset):
    """Clips (1, T, H, W) of one digit of `digits` each, 17 levels; the class is the digit, or where it goes.

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
        classes: "digit", or "direction" for the 8 of `DIRECTIONS`: where the digit sets out, before any bounce.
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
        >>> data.path_entropy()[:4]  # where it is, how it moves, whether it was bouncing, and nothing more
        tensor([4.3944, 2.8176, 0.1038, 0.0000], dtype=torch.float64)
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
        classes: str = "digit",
        n: int | None = None,
        seed: int = 0,
    ):
        check_split(split)
        check_integer("frames", frames, 1, 1000)
        check_integer("size (side of the field in pixels)", size, SIDE + 1, 64)
        check_integer("speed (pixels a frame)", speed, 1, size - SIDE)
        if classes not in CLASSES:
            raise ValueError(f"unknown classes {classes!r} of moving_digits; choose one of: {', '.join(CLASSES)}")
        n = SAMPLES[split] if n is None else n
        check_integer("n (clips in the split)", n, 1, MOST)
        check_integer("seed", seed, 0, 2**60)
        digits, room = Digits(split), size - SIDE
        self._told = classes == "direction"
        # 3 seed + split is a different number for every pair of seed and split
        rng = torch.Generator().manual_seed(3 * seed + SPLITS.index(split))
        u = torch.rand(n, 4, dtype=torch.float64, generator=rng)  # a row a clip
        self._digits, self._room, self._speed, self._frames = digits.x[:, 0], room, speed, frames
        index = (u[:, 0] * len(digits)).long()
        start = (u[:, 1:3] * (room + 1)).long()
        velocities = self._velocities()
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
            self.factors["digit"] if classes == "digit" else direction(velocity[:, 0], velocity[:, 1]),
            levels=17,
            n_classes=10 if classes == "digit" else len(DIRECTIONS),
            source=f"digits of the {split} split, moved over a field of {size}x{size} pixels",
            licence="CC BY 4.0",
        )

    def path_entropy(self, *, ink: bool = False) -> Tensor:
        """What each frame adds to the entropy of the path, by enumeration of all starts and velocities.

        No model can pay less for the motion, on average; where the classes are directions, no model that is told the
        class. With `ink` the path is that of the smallest box around the
        ink, given its size; where this box lies inside of the 8x8 one is drawn as it is in the digits of the split.

        Args:
            ink: whether only the ink is seen, not the box of 8x8 pixels that moves.

        Returns:
            float64 tensor (frames,) of nats, whose sum is the entropy of the path. What is left of zeros is rounding.
        """
        starts = torch.arange(self._room + 1)
        velocities = self._velocities()
        start, velocity = torch.cartesian_prod(starts, starts), velocities.repeat_interleave(len(starts) ** 2, 0)
        start = start.repeat(len(velocities), 1)
        told = direction(velocity[:, 0], velocity[:, 1]) if self._told else torch.zeros(len(velocity)).long()
        paths = [bounce(start[:, axis], velocity[:, axis], self._frames, self._room) for axis in (0, 1)]
        so_far = torch.zeros(self._frames, dtype=torch.float64)
        margins = self._margins() if ink else {(SIDE, SIDE): [(0, 0)]}
        total = sum(map(len, margins.values()))
        for corners in margins.values():  # digits whose ink has one size
            corner, counts = torch.tensor(corners).unique(dim=0, return_counts=True)
            rows, columns = (paths[axis][None] + corner[:, axis, None, None] for axis in (0, 1))
            seen = (rows * 256 + columns).flatten(0, 1)  # (margins * paths, frames), a number a place
            weights = counts.double().repeat_interleave(len(start))
            groups = told.repeat(len(corner))
            known = _entropy(groups, weights)
            for t in range(self._frames):
                groups = torch.stack([groups, seen[:, t]], 1).unique(dim=0, return_inverse=True)[1]
                so_far[t] += len(corners) / total * (_entropy(groups, weights) - known)
        return torch.cat([so_far[:1], so_far.diff()]).clamp(min=0)

    def _velocities(self) -> Tensor:
        """All that may be drawn, (M, 2): every pair but standing still."""
        velocities = torch.cartesian_prod(*[torch.arange(-self._speed, self._speed + 1)] * 2)
        return velocities[velocities.any(1)]

    def _margins(self) -> dict[tuple[int, int], list[tuple[int, int]]]:
        """For each size of the ink of a digit, the upper left corners of such ink in the digits of this split."""
        margins = {}
        for digit in self._digits:
            rows, columns = digit.any(1).nonzero()[:, 0].tolist(), digit.any(0).nonzero()[:, 0].tolist()
            size = (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
            margins.setdefault(size, []).append((rows[0], columns[0]))
        return margins
