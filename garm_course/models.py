"""The models of the course: the class of each, its name in words, and the lesson that introduces it.

This is the only list of models. It imports nothing heavy: a class is imported when it is asked for.
"""

import functools
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class Model(NamedTuple):
    """A model as recipes, results and weights call it.

    Attributes:
        home: "module:Class" below `garm_course`, or the name of another model, of whose class this is a variant.
        words: its name in tables and pictures.
        lesson: number of the lesson that introduces it: a ladder in an earlier one leaves it out.
    """

    home: str
    words: str
    lesson: int


MODELS = {
    "fvsbn": Model("autoregressive.made:FVSBN", "FVSBN", 2),
    "made": Model("autoregressive.made:MADE", "MADE", 2),
    "nade": Model("autoregressive.nade:NADE", "NADE", 2),
    "pixel_gru": Model("autoregressive.pixelrnn:PixelGRU", "GRU over pixels", 3),
    "row_lstm": Model("autoregressive.pixelrnn:RowLSTM", "Row LSTM", 3),
    "diagonal_bilstm": Model("autoregressive.pixelrnn:DiagonalBiLSTM", "Diagonal BiLSTM", 3),
    "pixelcnn": Model("autoregressive.pixelcnn:PixelCNN", "PixelCNN", 4),
    "gated_pixelcnn": Model("autoregressive.pixelcnn:GatedPixelCNN", "Gated PixelCNN", 4),
    "conditional_gated_pixelcnn": Model("gated_pixelcnn", "Gated PixelCNN, given the class", 4),
    "pixelcnnpp": Model("autoregressive.pixelcnnpp:PixelCNNPP", "PixelCNN++", 5),
    "photo_pixelcnnpp": Model("autoregressive.photo_pixelcnnpp:PhotoPixelCNNPP", "PixelCNN++ for photographs", 5),
    "color_pixelcnnpp": Model("pixelcnnpp", "PixelCNN++ on color images", 5),
    "char_transformer": Model("autoregressive.transformer:CharTransformer", "Transformer over characters", 7),
    "pixel_transformer": Model("autoregressive.transformer:PixelTransformer", "Transformer over pixels", 7),
    "ngram": Model("autoregressive.ngram:NGram", "n-gram (Witten-Bell)", 7),
    "token_lstm": Model("autoregressive.lstm:TokenLSTM", "LSTM over tokens", 7),
    "wavenet": Model("autoregressive.wavenet:WaveNet", "WaveNet", 8),
    "frame_pixelcnn": Model("autoregressive.video:FramePixelCNN", "PixelCNN over frames, matched", 9),
    "directed_frame_pixelcnn": Model("frame_pixelcnn", "PixelCNN over frames, given the direction", 9),
    "unmatched_frame_pixelcnn": Model("frame_pixelcnn", "PixelCNN over frames", 9),
    "single_frame_pixelcnn": Model("frame_pixelcnn", "PixelCNN of single frames", 9),
    "vae": Model("latent.vae:MLPVAE", "VAE", 10),
    "conditional_vae": Model("vae", "VAE, given the class", 10),
    "poisson_vae": Model("vae", "VAE with Poisson latents", 10),
    "iwae": Model("vae", "VAE trained as IWAE", 11),
    "vqvae": Model("latent.vqvae:ConvVQVAE", "VQ-VAE", 12),  # as recipes train it
    "two_stage": Model("latent.two_stage:TwoStage", "VQ-VAE with any prior", 12),
    "gan": Model("adversarial.gan:MLPGAN", "GAN", 14),
    "dcgan": Model("adversarial.gan:DCGAN", "DCGAN", 14),
    "conditional_dcgan": Model("dcgan", "DCGAN, given the class", 14),
    "vaegan": Model("adversarial.vaegan:MLPVAEGAN", "VAE-GAN", 15),
    "cyclegan": Model("adversarial.cyclegan:CycleGAN", "CycleGAN", 16),
    "tokenizer": Model("latent.tokenizer:Tokenizer", "Tokenizer", 17),
    "vqgan": Model("adversarial.vqgan:VQGAN", "VQGAN", 17),
    "perceptual_vqvae": Model("vqgan", "VQ-VAE with a distance in features", 17),
    "caption_transformer": Model(
        "autoregressive.code_prior:CodeTransformer", "Transformer from a caption to codes", 17
    ),
    "factor_classifier": Model("evaluation.features:FactorClassifier", "Classifier of all factors", 17),
    "teacher": Model("factor_classifier", "Teacher", 17),
    "judge": Model("factor_classifier", "Judge", 17),
    "classifier": Model("evaluation.features:DigitClassifier", "Classifier", 13),
}
CLASSES = tuple(name for name, model in MODELS.items() if ":" in model.home)  # what files of weights hold


def home(name: str) -> str:
    """Where the class of a model stands, such as "garm_course.autoregressive.made:MADE".

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if name not in MODELS:
        raise ValueError(f"no model {name!r}; known: {', '.join(MODELS)}")
    place = MODELS[name].home
    return f"garm_course.{place}" if ":" in place else home(place)


def model_class(name: str) -> type:
    """The class of a model, imported now.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.

    Example:
        >>> model_class("conditional_gated_pixelcnn").__name__
        'GatedPixelCNN'
    """
    module, _, cls = home(name).partition(":")
    return getattr(import_module(module), cls)


def words(name: str) -> str:
    """The name of a model in words; of one that is not in the list, its own with spaces.

    Example:
        >>> words("row_lstm"), words("my_model")
        ('Row LSTM', 'my model')
    """
    return MODELS[name].words if name in MODELS else name.replace("_", " ")


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
