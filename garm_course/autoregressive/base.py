"""What every autoregressive model has in common: an exact likelihood, checked input, and two ways to sample.

An example is a sequence of positions, whether it is an image, a text or a sound. A model supplies three things:
`forward`, which computes the parameters of all conditionals in parallel from a whole example (teacher forcing), and
`start`/`step`, which compute them one position at a time while the example is being drawn.
"""

import math

import torch
from torch import Tensor, nn

from garm_course.autoregressive.sampling import loop as sampling
from garm_course.distributions.heads import output_head
from garm_course.inputs import check_classes, check_levels
from garm_course.transforms import from_raster, place, to_raster


class Autoregressive(nn.Module):
    """A model p(x) = prod_i p(x_i | x_1, ..., x_{i-1}) of examples of one shape, in raster order or in another one.

    Raster order goes frame by frame, row by row, and inside a pixel R before G before B, see `to_raster`.

    Attributes:
        shape: of one example: (T,), (C, H, W) or (C, T, H, W).
        levels: number of values that a position may take.
        n_classes: 0 for a model without classes.
        order: None for raster order, or LongTensor (D,): the i-th value drawn is at raster position order[i].
        head: the output distribution.
        config: constructor arguments, ready for JSON, of a model whose constructor is `configured`.
        elastic: whether the length may be chosen when sampling, see `shape_of`.
        looks_ahead: the most positions that one `look_ahead` covers; 0 for a model that cannot look ahead.
    """

    name: str  # as recipes and checkpoints call the model
    elastic = False
    looks_ahead = 0
    # that `sample` takes
    sampling_options = (
        "length", "given", "mask", "allowed", "transform", "temperature", "top_k", "top_p", "min_p", "progress",
    )  # fmt: skip

    def __init__(self, shape: tuple[int, ...], levels: int, n_classes: int = 0):
        super().__init__()
        if not 1 <= len(shape) <= 4 or min(shape) < 1:
            raise ValueError(f"expected a shape of 1 to 4 positive sizes, got {tuple(shape)}")
        if n_classes < 0:
            raise ValueError(f"expected n_classes >= 0 (0: no classes), got {n_classes}")
        self.shape, self.levels, self.n_classes = tuple(shape), levels, n_classes
        self.head = output_head(levels)
        self.register_buffer("order", None, persistent=False)  # a model of another order sets it

    @property
    def positions(self) -> int:
        """Number D of conditionals of one example of `shape`."""
        return math.prod(self.shape)

    @property
    def length(self) -> int | None:
        """The length that an elastic model was built for; None for a model whose shape is fixed."""
        return None

    def shape_of(self, length: int | None = None) -> tuple[int, ...]:
        """The shape of an example of this length; None is the length that the model was built for.

        Raises:
            ValueError: for a length that the model cannot have.
        """
        if length is not None:
            raise ValueError(f"examples of this model have the fixed shape {self.shape}; leave length={length} out")
        return self.shape

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Parameters of all conditionals at once (teacher forcing).

        Args:
            x: LongTensor (B, *shape) of levels.
            y: LongTensor (B,) of classes for a class-conditional model.

        Returns:
            (B, *shape, n_params of the head), without the last axis where it would be 1.
        """
        raise TypeError(f"{type(self).__name__} does not define forward(x, y)")

    def start(self, n: int, y: Tensor | None = None) -> object:
        """The state before the first position of n examples of classes y: empty caches, zeros.

        An elastic model takes `length` as well, see `shape_of`.
        """
        raise TypeError(f"{type(self).__name__} does not define start(n, y)")

    def step(self, state: object, i: int, x_prev: Tensor | None) -> Tensor:
        """Parameters of position i, given that position i - 1 took the values x_prev. It keeps no gradient.

        It must be called for i = 0, 1, 2, ... in this order.

        Args:
            state: from `start`; it is advanced in place.
            i: position in the order of the model.
            x_prev: LongTensor (n,), the values at position i - 1 (None for i = 0).

        Returns:
            (n, n_params of the head), or (n,) where that is 1: what `forward` returns for this position.
        """
        raise TypeError(f"{type(self).__name__} does not define step(state, i, x_prev)")

    def look_ahead(self, state: object, i: int, x_prev: Tensor | None, guesses: Tensor) -> Tensor:
        """Parameters of positions i .. i + m in one pass, each as it is if the guesses before it are right.

        What it leaves in the state does no harm where a guess is wrong: `look_ahead` and `step` may go on at any of the
        positions i + 1 .. i + m + 1, with the value that was drawn in place of the guess, and replace what stands
        there. A model that looks ahead may also take up to `looks_ahead` steps and go back to any of their positions.

        Args:
            state: as for `step`.
            i: as for `step`.
            x_prev: as for `step`.
            guesses: LongTensor (m, n), values of positions i .. i + m - 1, where i + m < `block_end(i)`.

        Returns:
            (m + 1, n, n_params of the head), or (m + 1, n) where that is 1.

        Raises:
            TypeError: for a model that cannot go back.
            ValueError: for guesses beyond the end of the block.
        """
        raise TypeError(f"looking ahead needs a model that can go back, which a {type(self).__name__} cannot")

    def block_end(self, i: int) -> int:
        """The position before which a `look_ahead` from position i must end."""
        return i + self.looks_ahead

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x), or log p(x | y), exactly, in nats.

        Args:
            x: LongTensor (B, *shape) of levels 0..levels-1.
            y: LongTensor (B,) of classes, for a class-conditional model.

        Returns:
            (B,) nats per example: the sum over all positions.
        """
        return self.position_log_probs(x, y).flatten(1).sum(1)

    def position_log_probs(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x_i | x_1, ..., x_{i-1}) of every position, the terms of `log_prob`.

        Args:
            x: see `log_prob`.
            y: see `log_prob`.

        Returns:
            (B, *shape) nats.
        """
        return self.head.log_prob(self(x, y), x)

    def class_log_probs(self, x: Tensor) -> Tensor:
        """log p(x | y) for every class: with p(y) this gives p(x) and, by Bayes' rule, p(y | x); equation (4.6).

        Args:
            x: LongTensor (B, *shape).

        Returns:
            (B, n_classes) nats.
        """
        if not self.n_classes:
            raise ValueError("class_log_probs needs a class-conditional model; this one was built with n_classes=0")
        classes = torch.arange(self.n_classes, device=x.device)
        return torch.stack([self.log_prob(x, y.expand(len(x))) for y in classes], 1)

    def sample(self, n: int, y: Tensor | None = None, **options) -> Tensor:
        """Draw n examples exactly, computing each feature once; arguments as in `sampling.sample`."""
        return sampling.sample(self, n, y, **options)

    def levels_of(self, x: Tensor) -> Tensor:
        """Samples as levels, which they are."""
        return x

    def sample_naive(self, n: int, y: Tensor | None = None, **options) -> Tensor:
        """Draw the same examples with one full forward pass for each position; arguments as in `sampling.sample`."""
        return sampling.sample(self, n, y, naive=True, **options)

    def to_sequence(self, x: Tensor) -> Tensor:
        """(B, *shape, ...) -> (B, D, ...): positions in the order in which the model draws them."""
        raster = to_raster(x, len(self.shape))
        return raster if self.order is None else raster[:, self.order]

    def from_sequence(self, sequence: Tensor) -> Tensor:
        """(B, D, ...) -> (B, *shape, ...): the inverse of `to_sequence`."""
        return from_raster(sequence if self.order is None else sequence[:, self.order.argsort()], self.shape)

    def place(self, i: int) -> str:
        """Where raster position i lies, in words: "row 2, column 5", "position 17"."""
        return place(i, self.shape)

    def check_examples(self, x: Tensor) -> None:
        """Refuse what is not a batch of examples of this model: TypeError for a wrong dtype, ValueError otherwise."""
        check_levels(x, self.shape, self.levels)

    def check_classes(self, y: Tensor | None, n: int) -> None:
        """Refuse classes that do not fit the model: missing, superfluous, of wrong dtype or shape, out of range."""
        check_classes(y, n, self.n_classes)
