"""What image models share: their shape, how a gray level enters, how parameters leave, and how a row is drawn.

PixelCNN, Gated PixelCNN, Row LSTM and Diagonal BiLSTM compute features of a pixel from features of earlier ones. While
an image is being drawn they work a row at a time where they can, and a pixel at a time where they must.
"""

from types import SimpleNamespace

import torch
from torch import Tensor

from garm_course.autoregressive.base import Autoregressive
from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.transforms import level_features


class ImageModel(Autoregressive):
    """A model of images (C, H, W), in raster order or in another one.

    Raster position i is row i // (W C), column (i // C) mod W, channel i mod C.

    Args:
        shape: (C, H, W) of the images.
        levels: number of gray levels of a pixel.
        n_classes: 0, or the number of classes of a class-conditional model.
    """

    def __init__(self, shape: tuple[int, int, int], levels: int, n_classes: int = 0):
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"expected an image shape (C, H, W) of positive sizes, got {tuple(shape)}")
        super().__init__(shape, levels, n_classes)

    def block_end(self, i: int) -> int:
        """The position before which a `look_ahead` from position i must end: at the latest where its row ends."""
        row = self.shape[2] * self.shape[0]  # positions of one row
        return min(super().block_end(i), (i // row + 1) * row)


class PixelModel(ImageModel):
    """The frame of the pixel networks: gray levels in, parameters of the output head out, and the walk over a row.

    A subclass defines `forward`, `start`, and three pieces of a step: `write_input`, `start_row`, `step_pixel`. Where
    these pieces take a slice of columns as well as one, `several_columns` says so, and the model of gray images looks
    ahead.
    """

    several_columns = False

    @property
    def looks_ahead(self) -> int:
        """A row, for gray images."""
        return self.shape[2] if self.several_columns and self.shape[0] == 1 else 0

    def __init__(self, shape, levels, n_classes, *, channels, layers, encoding):
        super().__init__(shape, levels, n_classes)
        if channels < 1 or layers < 0:
            raise ValueError(f"expected channels >= 1 and layers >= 0, got channels={channels}, layers={layers}")
        if channels % shape[0]:
            raise ValueError(
                f"expected channels divisible by {shape[0]}, one group of features for each color, got {channels}; "
                f"{-(-channels // shape[0]) * shape[0]} would do"
            )
        self.channels = channels
        self.register_buffer("table", level_features(levels, encoding), persistent=False)

    def embed(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) -> (B, C * features, H, W), in groups RR..GG..BB."""
        return self.table[x].movedim(-1, 2).flatten(1, 2)

    def read_out(self, features: Tensor) -> Tensor:
        """(B, C * n_params, H, W) -> (B, C, H, W, levels), or (B, C, H, W) for binary pixels; at least float32."""
        return self.head.of(features.unflatten(1, (self.shape[0], -1)).movedim(2, -1))

    # While an image is drawn

    @torch.no_grad()
    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: a row is prepared where it begins, then each pixel takes a few products."""
        self._arrive(state, i, x_prev)
        channels, _, width = self.shape
        with one_thread(state.n * self.channels):
            return self.head.of(self.step_pixel(state, i // channels % width, i % channels))

    @torch.no_grad()
    def look_ahead(self, state: SimpleNamespace, i: int, x_prev: Tensor | None, guesses: Tensor) -> Tensor:
        """See `Autoregressive.look_ahead`: a pass over a few pixels calls as many operations as a pass over one."""
        channels, _, width = self.shape
        if not self.looks_ahead:
            raise TypeError(
                "looking ahead needs a PixelCNN or GatedPixelCNN of images with one channel, "
                f"got {type(self).__name__} with {channels}"
            )
        column, m, most = i % width, len(guesses), self.block_end(i) - i - 1
        if m > most:
            raise ValueError(f"expected at most {most} guesses, to the end of the row of position {i}, got {m}")
        self._arrive(state, i, x_prev)
        with one_thread(state.n * (m + 1) * self.channels):
            if m:
                self.write_input(state, slice(column, column + m), 0, self.table[guesses].flatten(0, 1))
            params = self.step_pixel(state, slice(column, column + m + 1), 0)
        return self.head.of(params.unflatten(0, (m + 1, state.n)))

    def _arrive(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> None:
        """Store what was drawn at position i - 1, and prepare the row if position i begins one."""
        channels, _, width = self.shape
        if i:
            column, color = (i - 1) // channels % width, (i - 1) % channels
            self.write_input(state, column, color, self.table[x_prev])
        if i // channels % width == 0 and i % channels == 0:
            with one_thread(state.n * self.channels * width):  # features of a row in all images
                self.start_row(state, first=i == 0)
