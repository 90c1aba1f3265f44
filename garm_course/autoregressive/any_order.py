"""What FVSBN, MADE and NADE share: pixels as a plain list, in any order, with a free table of weights for each pair."""

from torch import Tensor

from garm_course.autoregressive.images import ImageModel
from garm_course.distributions.heads import ordered_logits
from garm_course.inputs import check_order
from garm_course.transforms import from_raster, level_features, to_raster


class AnyOrder(ImageModel):
    """An image as D = C·H·W values, each turned into F features; the order of the chain rule is the caller's choice.

    Args:
        shape, levels, n_classes: see `Autoregressive`.
        encoding: how a level enters: "thermometer", "one_hot" or "scaled", see `level_features`. With a thermometer it
            also leaves in this way: output k says by how much level k is more likely than level k - 1, so that a weight
            speaks for all levels from k on, which few data reward.
        order: a permutation of 0..D-1: the i-th value of the chain rule is at raster position order[i]. None is raster
            order.
    """

    def __init__(self, shape, levels, n_classes=0, *, encoding="thermometer", order=None):
        super().__init__(shape, levels, n_classes)
        self.encoding = encoding
        self.order = None if order is None else check_order(order, self.positions)
        # without the constant feature: these models have no padding, and their biases serve
        self.register_buffer("table", level_features(levels, encoding)[:, :-1], persistent=False)

    def raster(self, i: int) -> int:
        """The raster position that is drawn i-th."""
        return i if self.order is None else int(self.order[i])

    def features(self, x: Tensor) -> Tensor:
        """LongTensor (B, C, H, W) -> (B, D, F), in raster order."""
        return self.table[to_raster(x, 3)]

    def parameters_of(self, outputs: Tensor) -> Tensor:
        """(..., n_params) outputs of the network -> (..., levels) logits, or (...,) for binary pixels."""
        params = self.head.of(outputs)
        return ordered_logits(params) if self.head.n_params > 1 and self.encoding == "thermometer" else params

    def read_out(self, outputs: Tensor) -> Tensor:
        """(B, D, n_params) outputs in raster order -> parameters (B, C, H, W, levels), or (B, C, H, W)."""
        return from_raster(self.parameters_of(outputs), self.shape)
