"""What the pixel networks share: how a gray level enters, how parameters leave, and how a row is drawn.

PixelCNN, Gated PixelCNN, Row LSTM and Diagonal BiLSTM compute features of a pixel from features of earlier ones. While
an image is being drawn they work a row at a time where they can, and a pixel at a time where they must.
"""

from types import SimpleNamespace

import torch
from torch import Tensor

from garm_course.autoregressive.base import Autoregressive
from garm_course.autoregressive.sampling import one_thread
from garm_course.distributions import at_least_float32
from garm_course.transforms import level_features


class PixelModel(Autoregressive):
    """The frame of these models: gray levels in, parameters of the output head out, and the walk over a row.

    A subclass defines `forward`, `start`, and three pieces of a step: `write_input`, `start_row`, `step_pixel`.
    """

    def __init__(self, shape, levels, n_classes, *, channels, layers, encoding, **config):
        super().__init__(shape, levels, n_classes, channels=channels, layers=layers, encoding=encoding, **config)
        if channels < 1 or layers < 0:
            raise ValueError(f"expected channels >= 1 and layers >= 0, got channels={channels}, layers={layers}")
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
        channels, _, width = self.shape
        size = state.n * self.config["channels"]  # features of one pixel in all images
        if i:
            column, color = (i - 1) // channels % width, (i - 1) % channels
            self.write_input(state, column, color, self.table[x_prev])
        column, color = i // channels % width, i % channels
        if column == 0 and color == 0:
            with one_thread(size * width):
                self.start_row(state, first=i == 0)
        with one_thread(size):
            params = at_least_float32(self.step_pixel(state, column, color))
        return params.squeeze(-1) if self.head.n_params == 1 else params
