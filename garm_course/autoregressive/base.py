"""What every autoregressive image model has in common: an exact likelihood, checked input, and two ways to sample.

A model supplies three things: `forward`, which computes the parameters of all conditionals in parallel from a whole
image (teacher forcing), and `start`/`step`, which compute them one position at a time while the image is being drawn.
"""

import torch
from torch import Tensor, nn

from garm_course.autoregressive.sampling import loop as sampling
from garm_course.distributions.heads import output_head
from garm_course.inputs import check_classes, check_images


def check_order(order: Tensor | list[int], n: int) -> Tensor:
    """An order of n positions as a LongTensor (n,); anything but a permutation of 0..n-1 is refused (ValueError).

    Example:
        >>> check_order([2, 0, 1], 3)
        tensor([2, 0, 1])
    """
    order = torch.as_tensor(order)
    if order.is_floating_point() or order.shape != (n,) or not torch.equal(order.sort().values.cpu(), torch.arange(n)):
        got = order.flatten().tolist()
        got = f"{got}" if len(got) <= 16 else f"{len(got)} numbers from {min(got)} to {max(got)}"
        raise ValueError(f"expected order: each of 0..{n - 1} exactly once, got {got}; torch.randperm({n}) makes one")
    return order.long()


class Autoregressive(nn.Module):
    """An image model p(x) = prod_i p(x_i | x_1, ..., x_{i-1}) in raster order, R before G before B, or in another one.

    Position i of an image (C, H, W) in raster order is row i // (W C), column (i // C) mod W, channel i mod C.

    Attributes:
        shape: (C, H, W). levels: number of gray levels. n_classes: 0 for a model without classes.
        order: None for raster order, or LongTensor (C·H·W,): the i-th value drawn is at raster position order[i].
        head: the output distribution. config: constructor arguments, ready for JSON.
    """

    name: str  # as recipes and checkpoints call the model
    sampling_options = ("given", "mask", "temperature", "top_k", "top_p", "min_p", "progress")  # that `sample` takes

    def __init__(self, shape: tuple[int, int, int], levels: int, n_classes: int = 0, **config):
        super().__init__()
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"expected an image shape (C, H, W) of positive sizes, got {tuple(shape)}")
        if n_classes < 0:
            raise ValueError(f"expected n_classes >= 0 (0: no classes), got {n_classes}")
        self.shape, self.levels, self.n_classes = tuple(shape), levels, n_classes
        self.head = output_head(levels)
        self.register_buffer("order", None, persistent=False)  # a model of another order sets it
        self.config = {"shape": list(shape), "levels": levels, "n_classes": n_classes, **config}

    @property
    def positions(self) -> int:
        """Number of conditionals of one image: C·H·W."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Parameters of all conditionals at once; see the subclass."""
        raise TypeError(f"{type(self).__name__} does not define forward(x, y)")

    def start(self, n: int, y: Tensor | None = None) -> object:
        """The state before the first pixel of n images; see the subclass."""
        raise TypeError(f"{type(self).__name__} does not define start(n, y)")

    def step(self, state: object, i: int, x_prev: Tensor | None) -> Tensor:
        """Parameters of position i, given that position i - 1 took the values x_prev; see the subclass."""
        raise TypeError(f"{type(self).__name__} does not define step(state, i, x_prev)")

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x), or log p(x | y), exactly, in nats.

        Args:
            x: LongTensor (B, C, H, W) of levels 0..levels-1.
            y: LongTensor (B,) of classes, for a class-conditional model.

        Returns:
            (B,) nats per image: the sum over all positions.
        """
        return self.head.log_prob(self(x, y), x).flatten(1).sum(1)

    def class_log_probs(self, x: Tensor) -> Tensor:
        """log p(x | y) for every class: with p(y) this gives p(x) and, by Bayes' rule, p(y | x); equation (4.6).

        Args:
            x: LongTensor (B, C, H, W).

        Returns:
            (B, n_classes) nats.
        """
        if not self.n_classes:
            raise ValueError("class_log_probs needs a class-conditional model; this one was built with n_classes=0")
        classes = torch.arange(self.n_classes, device=x.device)
        return torch.stack([self.log_prob(x, y.expand(len(x))) for y in classes], 1)

    def sample(self, n: int, y: Tensor | None = None, **options) -> Tensor:
        """Draw n images exactly, computing each feature once; arguments as in `sampling.sample`."""
        return sampling.sample(self, n, y, **options)

    def levels_of(self, x: Tensor) -> Tensor:
        """Samples as levels, which they are."""
        return x

    def sample_naive(self, n: int, y: Tensor | None = None, **options) -> Tensor:
        """Draw the same images with one full forward pass for each position; arguments as in `sampling.sample`."""
        return sampling.sample(self, n, y, naive=True, **options)

    def to_sequence(self, x: Tensor) -> Tensor:
        """(B, C, H, W, ...) -> (B, C·H·W, ...): positions in the order in which the model draws them."""
        raster = x.movedim(1, 3).flatten(1, 3)
        return raster if self.order is None else raster[:, self.order]

    def to_image(self, sequence: Tensor) -> Tensor:
        """(B, C·H·W, ...) -> (B, C, H, W, ...): the inverse of `to_sequence`."""
        channels, height, width = self.shape
        sequence = sequence if self.order is None else sequence[:, self.order.argsort()]
        return sequence.unflatten(1, (height, width, channels)).movedim(3, 1)

    def check_images(self, x: Tensor) -> None:
        """Refuse what is not a batch of images of this model: TypeError for a wrong dtype, ValueError otherwise."""
        check_images(x, self.shape, self.levels)

    def check_classes(self, y: Tensor | None, n: int) -> None:
        """Refuse classes that do not fit the model: missing, superfluous, of wrong dtype or shape, out of range."""
        check_classes(y, n, self.n_classes)
