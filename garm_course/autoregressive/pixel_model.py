"""What the pixel networks share: how a gray level enters, how parameters leave, and how a row is drawn.

PixelCNN, Gated PixelCNN, Row LSTM and Diagonal BiLSTM compute features of a pixel from features of earlier ones. While
an image is being drawn they work a row at a time where they can, and a pixel at a time where they must.
"""

from types import SimpleNamespace

import torch
from torch import Tensor

from garm_course.autoregressive.base import Autoregressive
from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.distributions.heads import at_least_float32
from garm_course.transforms import level_features


class PixelModel(Autoregressive):
    """The frame of these models: gray levels in, parameters of the output head out, and the walk over a row.

    A subclass defines `forward`, `start`, and three pieces of a step: `write_input`, `start_row`, `step_pixel`.

    Attributes:
        looks_ahead: whether the pieces of a step take several columns at once, see `look_ahead`.
    """

    looks_ahead = False

    def __init__(self, shape, levels, n_classes, *, channels, layers, encoding, **config):
        super().__init__(shape, levels, n_classes, channels=channels, layers=layers, encoding=encoding, **config)
        if channels < 1 or layers < 0:
            raise ValueError(f"expected channels >= 1 and layers >= 0, got channels={channels}, layers={layers}")
        if channels % shape[0]:
            raise ValueError(
                f"expected channels divisible by {shape[0]}, one group of features for each color, got {channels}; "
                f"{-(-channels // shape[0]) * shape[0]} would do"
            )
        self.register_buffer("table", level_features(levels, encoding), persistent=False)

    def embed(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) -> (B, C * features, H, W), in groups RR..GG..BB."""
        return self.table[x].movedim(-1, 2).flatten(1, 2)

    def read_out(self, features: Tensor) -> Tensor:
        """(B, C * n_params, H, W) -> (B, C, H, W, levels), or (B, C, H, W) for binary pixels; at least float32."""
        params = at_least_float32(features).unflatten(1, (self.shape[0], -1)).movedim(2, -1)
        return params.squeeze(-1) if self.head.n_params == 1 else params

    @torch.no_grad()
    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """Parameters of position i; `step` must be called for i = 0, 1, 2, ... in this order. It keeps no gradient.

        Args:
            state: from `start`; it is advanced in place.
            i: position in raster order, channel innermost.
            x_prev: LongTensor (n,), the values at position i - 1 (None for i = 0).

        Returns:
            (n, levels), or (n,) for binary pixels.
        """
        self._arrive(state, i, x_prev)
        channels, _, width = self.shape
        with one_thread(state.n * self.config["channels"]):
            params = at_least_float32(self.step_pixel(state, i // channels % width, i % channels))
        return params.squeeze(-1) if self.head.n_params == 1 else params

    @torch.no_grad()
    def look_ahead(self, state: SimpleNamespace, i: int, x_prev: Tensor | None, guesses: Tensor) -> Tensor:
        """Parameters of positions i .. i + m in one pass, each as it is if the guesses before it are right.

        A pass over a few pixels calls as many operations as a pass over one. What it leaves in the state does no harm
        where a guess is wrong: `look_ahead` and `step` may go on at any of the positions i + 1 .. i + m + 1, with the
        value that was drawn in place of the guess, and replace what stands there.

        Args:
            state, i, x_prev: as for `step`.
            guesses: LongTensor (m, n), values of positions i .. i + m - 1, m >= 0.

        Returns:
            (m + 1, n, levels), or (m + 1, n) for binary pixels.

        Raises:
            TypeError: for a model that cannot go back: one of another class, or of color images.
            ValueError: for guesses beyond the row of position i.
        """
        channels, _, width = self.shape
        if not self.looks_ahead or channels > 1:
            raise TypeError(
                "looking ahead needs a PixelCNN or GatedPixelCNN of images with one channel, "
                f"got {type(self).__name__} with {channels}"
            )
        column, m = i % width, len(guesses)
        if column + m >= width:
            raise ValueError(
                f"expected at most {width - 1 - column} guesses, to the end of the row of position {i}, got {m}"
            )
        self._arrive(state, i, x_prev)
        with one_thread(state.n * (m + 1) * self.config["channels"]):
            if m:
                self.write_input(state, slice(column, column + m), 0, self.table[guesses].flatten(0, 1))
            params = at_least_float32(self.step_pixel(state, slice(column, column + m + 1), 0))
        params = params.unflatten(0, (m + 1, state.n))
        return params.squeeze(-1) if self.head.n_params == 1 else params

    def _arrive(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> None:
        """Store what was drawn at position i - 1, and prepare the row if position i begins one."""
        channels, _, width = self.shape
        if i:
            column, color = (i - 1) // channels % width, (i - 1) % channels
            self.write_input(state, column, color, self.table[x_prev])
        if i // channels % width == 0 and i % channels == 0:
            with one_thread(state.n * self.config["channels"] * width):  # features of a row in all images
                self.start_row(state, first=i == 0)
