"""Every autoregressive model of the library, small enough to enumerate: a new one is audited once it is named."""

import torch

from garm_course.autoregressive.base import Autoregressive
from garm_course.models import CLASSES, model_class

MODELS = tuple(cls for cls in map(model_class, CLASSES) if issubclass(cls, Autoregressive))
ANY_ORDER = tuple(cls for cls in MODELS if cls.name in ("fvsbn", "made", "nade"))


def small_options(cls, colors):
    """Constructor arguments of a small model of this class."""
    return {
        "fvsbn": {},
        "made": {"hidden": (20, 17)},
        "nade": {"hidden": 7},
        "pixel_gru": {"hidden": 9, "layers": 2},
        "row_lstm": {"channels": 2 * colors, "layers": 2, "first_kernel": 5},
        "diagonal_bilstm": {"channels": 2 * colors, "layers": 2, "first_kernel": 3},
        "pixelcnn": {"channels": 4 * colors, "layers": 2},
        "gated_pixelcnn": {"channels": 4 * colors, "layers": 2},
        "pixelcnnpp": {"channels": 6, "blocks": 1, "scales": 3, "mixtures": 2},
    }[cls.name]


def small_model(cls, shape, levels, n_classes=0, *, dtype=torch.float64, scale=2, **options):
    """A random model in evaluation mode, its weights far from the start, where everything is nearly uniform."""
    torch.manual_seed(1)
    model = cls(shape, levels, n_classes, **{"dropout": 0.3, **small_options(cls, shape[0]), **options})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model.to(dtype).eval()
