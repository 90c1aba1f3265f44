"""A canvas larger than a model was built for: a window slides over it, and each value is predicted from the window.

Source: Esser, Rombach, Ommer (2021), arXiv 2012.09841, section 3.3.
"""

from types import SimpleNamespace

import torch
from torch import Tensor

from garm_course.autoregressive.base import Autoregressive
from garm_course.inputs import check_settings, check_shape


class Sliding(Autoregressive):
    """A model of grids (h, w) as one of canvases (H, W): position (i, j) sees its window, and nothing else.

    The window begins at row clip(i - h // 2, 0, H - h) and column clip(j - w // 2, 0, W - w); equation (17.7). That is
    right where the statistics do not depend on the place, and no farther than the window remembers.

    Args:
        model: of grids (h, w), in raster order.
        canvas: (H, W), at least as large.

    Raises:
        ValueError: for a canvas that is smaller than the grid, or a model of anything but grids.
    """

    name = "sliding"

    def __init__(self, model: Autoregressive, canvas: tuple[int, int]):
        if len(model.shape) != 2:
            raise ValueError(f"expected a model of grids (h, w), got one of examples {model.shape}; use one of codes")
        check_settings(1, whole=True, **dict(zip(("height", "width"), canvas, strict=True)))
        if any(size < least for size, least in zip(canvas, model.shape, strict=True)):
            raise ValueError(
                f"expected a canvas of at least {model.shape}, the window, got {tuple(canvas)}; make it larger"
            )
        super().__init__(canvas, model.levels)
        self.model = model

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`: one pass over a window for each position."""
        self.check_examples(x)
        return self.from_sequence(torch.stack([self.at(x, i, y) for i in range(self.positions)], 1))

    def at(self, x: Tensor, i: int, y: Tensor | None = None) -> Tensor:
        """Parameters of raster position i, from canvases x (B, H, W) of which only what is before it counts."""
        row, column = divmod(i, self.shape[1])
        top, left = (
            min(max(at - window // 2, 0), size - window)
            for at, window, size in zip((row, column), self.model.shape, self.shape, strict=True)
        )
        height, width = self.model.shape
        params = self.model(x[:, top : top + height, left : left + width], y)
        return params[:, row - top, column - left]

    def check_examples(self, x: Tensor) -> None:
        """See `Autoregressive.check_examples`: the windows are checked by the model."""
        check_shape(x, self.shape, f"canvases (B, {self.shape[0]}, {self.shape[1]})")

    def check_classes(self, y: Tensor | None, n: int) -> None:
        """See `Autoregressive.check_classes`."""
        self.model.check_classes(y, n)

    # While a canvas is drawn

    def start(self, n: int, y: Tensor | None = None) -> SimpleNamespace:
        """Empty canvases; see `step`."""
        device = next(self.parameters()).device
        return SimpleNamespace(canvas=torch.zeros(n, *self.shape, dtype=torch.long, device=device), y=y)

    @torch.no_grad()
    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: a pass over the window, since what it sees of a place changes as it moves."""
        if i:
            state.canvas.flatten(1)[:, i - 1] = x_prev
        return self.at(state.canvas, i, state.y)
