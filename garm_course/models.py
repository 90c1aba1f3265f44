"""Names of the models in words, for tables and pictures; nothing heavy is imported here."""

import functools
import inspect
from collections.abc import Callable

NAMES = {
    "fvsbn": "FVSBN",
    "made": "MADE",
    "nade": "NADE",
    "pixel_gru": "GRU over pixels",
    "row_lstm": "Row LSTM",
    "diagonal_bilstm": "Diagonal BiLSTM",
    "pixelcnn": "PixelCNN",
    "gated_pixelcnn": "Gated PixelCNN",
    "conditional_gated_pixelcnn": "Gated PixelCNN, given the class",
    "pixelcnnpp": "PixelCNN++",
    "color_pixelcnnpp": "PixelCNN++ on color images",
    "vae": "VAE",
    "conditional_vae": "VAE, given the class",
    "poisson_vae": "VAE with Poisson latents",
    "iwae": "VAE trained as IWAE",
    "vqvae": "VQ-VAE with a PixelCNN prior",
    "gan": "GAN",
    "conditional_dcgan": "DCGAN, given the class",
    "vaegan": "VAE-GAN",
    "cyclegan": "CycleGAN",
    "classifier": "Classifier",
}


def configured(init: Callable) -> Callable:
    """A constructor whose arguments stand in its signature only: they are kept as `self.config`, ready for JSON.

    Defaults are filled in; tuples and tensors become lists. Where one constructor calls another that is configured too,
    the config is that of the outer one, of the class that was asked for.

    Example:
        >>> class Model:
        ...     @configured
        ...     def __init__(self, shape, *, hidden=(8, 8)): ...
        >>> Model((1, 2, 3)).config
        {'shape': [1, 2, 3], 'hidden': [8, 8]}
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def keep_arguments(self: object, *arguments, **options) -> None:
        if "config" not in vars(self):
            bound = signature.bind(self, *arguments, **options)
            bound.apply_defaults()
            self.config = {name: _plain(value) for name, value in list(bound.arguments.items())[1:]}
        init(self, *arguments, **options)

    return keep_arguments


def _plain(value: object) -> object:
    """Tensors and tuples, also within each other, as lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
