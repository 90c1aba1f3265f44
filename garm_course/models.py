"""The models of the course: the class of each, its name in words, and the lesson that introduces it.

This is the only list of models. It imports nothing heavy: a class is imported when it is asked for.
"""

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
    "color_pixelcnnpp": Model("pixelcnnpp", "PixelCNN++ on color images", 5),
    "vae": Model("latent.vae:MLPVAE", "VAE", 10),
    "conditional_vae": Model("vae", "VAE, given the class", 10),
    "poisson_vae": Model("vae", "VAE with Poisson latents", 10),
    "iwae": Model("vae", "VAE trained as IWAE", 11),
    "vqvae": Model("latent.vqvae:ConvVQVAE", "VQ-VAE with a PixelCNN prior", 12),  # as recipes train it
    "two_stage": Model("latent.vqvae:TwoStage", "VQ-VAE with any prior", 12),
    "gan": Model("adversarial.gan:MLPGAN", "GAN", 14),
    "dcgan": Model("adversarial.gan:DCGAN", "DCGAN", 14),
    "conditional_dcgan": Model("dcgan", "DCGAN, given the class", 14),
    "vaegan": Model("adversarial.vaegan:MLPVAEGAN", "VAE-GAN", 15),
    "cyclegan": Model("adversarial.cyclegan:CycleGAN", "CycleGAN", 16),
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
