"""Recipes: how a model is built and trained on a data set; the table of all of them is in `catalog`.

A recipe is data. What differs between families is one class each: which function trains the model, on what.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from torch.utils.data import TensorDataset

from garm_course import datasets
from garm_course.adversarial.cyclegan import CycleGAN, CycleGANGame
from garm_course.adversarial.game import Game
from garm_course.adversarial.gan import GANGame
from garm_course.adversarial.vaegan import VAEGANGame
from garm_course.adversarial.vqgan import VQGAN, VQGANGame
from garm_course.autoregressive.clips import FirstFrames
from garm_course.autoregressive.code_prior import CodeTransformer
from garm_course.datasets.captions import LENGTH, VOCABULARY, CaptionedGlyphs
from garm_course.datasets.coloring import unpaired
from garm_course.evaluation.features import cross_entropy, factor_cross_entropy
from garm_course.latent.tokenizer import Tokenizer
from garm_course.latent.two_stage import TwoStage
from garm_course.latent.vae import NegativeELBO, NegativeIWAE
from garm_course.latent.vqvae import ConvVQVAE, VQLoss
from garm_course.models import model_class
from garm_course.recipes.code_texts import TOKENIZER, codes_of, tokenizer_of
from garm_course.training.checkpoints import Checkpoints
from garm_course.training.games import AdversarialHistory, fit_game
from garm_course.training.likelihood import History, fit, negative_log_likelihood
from garm_course.training.tracking import Tracker
from garm_course.weights import load_pretrained

BUDGETS = ("smoke", "quick", "full")
SMOKE = {"steps": 2, "batch_size": 8, "evaluate_every": 2}
LOSSES = {
    "cross_entropy": lambda: cross_entropy,
    "factor_cross_entropy": lambda: factor_cross_entropy,
    "nll": lambda: negative_log_likelihood,
    "elbo": NegativeELBO,
    "first_frames": FirstFrames,
    "iwae": NegativeIWAE,
    "vq": VQLoss,
}


@dataclass(frozen=True)
class Run:
    """How a run is carried out; what is trained is the recipe's.

    Attributes:
        checkpoints: folder for what is needed to go on after a kill; None saves nothing.
        save_every: steps between checkpoints, None for every evaluation.
        resume: go on from the newest checkpoint, if there is one.
        precision: "no" or "bf16".
        tracker: see `tracking.Tracker`.
    """

    checkpoints: Path | None = None
    save_every: int | None = None
    resume: bool = False
    precision: str = "no"
    tracker: Tracker | None = None

    def saved(self, stage: str = "") -> Checkpoints | None:
        """The checkpoints of a stage, for runs that have several."""
        return Checkpoints(self.checkpoints / stage, self.save_every) if self.checkpoints else None

    def options(self, stage: str = "") -> dict:
        """Arguments of `fit`."""
        return {"checkpoints": self.saved(stage), "resume": self.resume, "precision": self.precision,
                "tracker": self.tracker}  # fmt: skip


ALONE = Run()  # nothing is saved


@dataclass(frozen=True)
class Recipe:
    """A model on a data set: constructor arguments, options of the data, settings of `fit` per budget.

    What it reaches is recorded in `results/`: see `records.recorded`.
    """

    kind: ClassVar[str] = "likelihood"  # of its results: see `kinds.KINDS`
    watched: ClassVar[bool] = True  # whether the weights that are best on validation data are kept

    model: str
    data: str
    config: dict
    quick: dict
    full: dict
    conditional: bool = False
    loss: tuple[str, dict] = ("nll", {})  # see LOSSES
    data_options: dict = field(default_factory=dict)
    sizes: dict = field(default_factory=dict)  # examples of a split, for data of which not all are taken

    @property
    def name(self) -> str:
        """`<model>-<data>`, the name of its recorded result and of its weights."""
        return f"{self.model}-{self.data}"

    def build(self, seed: int = 0) -> nn.Module:
        """The untrained model; the seed fixes its random weights."""
        data = self.load("train")
        torch.manual_seed(seed)
        return model_class(self.model)(tuple(data.shape), data.levels, self.classes(data), **self.config)

    def classes(self, data) -> int:
        """The number of classes that the model is given."""
        return data.n_classes if self.conditional else 0

    def fit(self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: Run = ALONE) -> History:
        """Train the model in place on data["train"], watched on data["validation"]."""
        kind, options = self.loss
        return fit(model, data["train"], validation=data["validation"] if self.watched else None,
                   loss=LOSSES[kind](**options), seed=seed, label=self.name, **settings, **run.options())  # fmt: skip

    def load(self, split: str):
        """One split of the recipe's data set."""
        return datasets.load(self.data, split, **self.options(split))

    def options(self, split: str) -> dict:
        """Options with which `load` is called for this split."""
        return {**self.data_options, **({"n": self.sizes[split]} if split in self.sizes else {})}

    def settings(self, budget: str) -> dict:
        """Arguments of `fit` at this budget."""
        if budget not in BUDGETS:
            raise ValueError(f"no budget {budget!r}; choose one of {', '.join(BUDGETS)}")
        return {"smoke": {**self.quick, **SMOKE}, "quick": self.quick, "full": {**self.quick, **self.full}}[budget]


@dataclass(frozen=True)
class TextRecipe(Recipe):
    """A model of a text: trained on windows at every character, evaluated on windows that do not overlap.

    `data_options` has their "length".
    """

    kind: ClassVar[str] = "text"

    def options(self, split: str) -> dict:
        """Options with which `load` is called for this split."""
        return {**super().options(split), **({"stride": 1} if split == "train" else {})}


@dataclass(frozen=True)
class SoundRecipe(Recipe):
    """A model of sound, which is told the class."""

    kind: ClassVar[str] = "sound"
    conditional: bool = True


@dataclass(frozen=True)
class TwoStageRecipe(Recipe):
    """A VQ-VAE, and then a prior over its codes.

    `config` is that of the VQ-VAE; `quick` and `full` are its settings, with those of the prior under "prior".
    """

    prior: str = "gated_pixelcnn"
    prior_config: dict = field(default_factory=dict)

    def build(self, seed: int = 0) -> nn.Module:
        """The untrained pair; the seed fixes its random weights."""
        data = self.load("train")
        torch.manual_seed(seed)
        vqvae = ConvVQVAE(tuple(data.shape), data.levels, **self.config)
        prior = model_class(self.prior)((1, *vqvae.grid), vqvae.n_codes, self.classes(data), **self.prior_config)
        return TwoStage(vqvae, prior)

    def settings(self, budget: str) -> dict:
        """Arguments of `fit` at this budget, with those of the prior under "prior"."""
        settings = super().settings(budget)
        return {**settings, "prior": {**settings["prior"], **SMOKE}} if budget == "smoke" else settings

    def fit(self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: Run = ALONE) -> History:
        """Train the VQ-VAE, encode the data, train the prior on the codes; the history is that of the VQ-VAE."""
        stage = {k: v for k, v in settings.items() if k != "prior"}
        kind, options = self.loss
        history = fit(model.vqvae, data["train"], validation=data["validation"], loss=LOSSES[kind](**options),
                      seed=seed, label=self.name, **stage, **run.options("vqvae"))  # fmt: skip
        if history.stopped.startswith("interrupted"):
            return history
        codes = {split: self.codes(model.vqvae, examples) for split, examples in data.items()}
        stage = {**stage, **settings["prior"], **run.options("prior")}
        second = fit(model.prior, codes["train"], validation=codes["validation"], seed=seed,
                     label=f"prior of {self.name}", **stage)  # fmt: skip
        history.seconds, history.cpu_seconds = (
            history.seconds + second.seconds, history.cpu_seconds + second.cpu_seconds,
        )  # fmt: skip
        if second.stopped.startswith("interrupted"):
            history.stopped = f"{second.stopped} of the prior"
        return history

    @staticmethod
    def codes(vqvae: ConvVQVAE, data) -> TensorDataset:
        """A data set of images as one of codes, LongTensor (N, 1, H', W'), and classes."""
        loader = torch.utils.data.DataLoader(data, batch_size=256, generator=torch.Generator())
        parts = [(vqvae.encode(x).unsqueeze(1), y) for x, y in loader]
        return TensorDataset(*(torch.cat(part) for part in zip(*parts, strict=True)))


@dataclass(frozen=True)
class CaptionRecipe(Recipe):
    """A prior over the codes of captioned images, by a pretrained tokenizer: the second of two stages.

    `config` is that of the prior; `redraws` is how often each training image stands there, with a caption of its own
    each time, from which other words are left out.
    """

    kind: ClassVar[str] = "captions"

    tokenizer: str = TOKENIZER
    redraws: int = 8

    def build(self, seed: int = 0) -> nn.Module:
        """The untrained prior; the seed fixes its random weights."""
        tokenizer = load_pretrained(self.tokenizer)
        torch.manual_seed(seed)
        return CodeTransformer(tokenizer.n_codes, tokenizer.grid, len(VOCABULARY), LENGTH, tokenizer=self.tokenizer,
                               **self.config)  # fmt: skip

    def fit(self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: Run = ALONE) -> History:
        """Train the prior in place on the codes of data["train"], watched on those of data["validation"]."""
        held_out = TensorDataset(codes_of(tokenizer_of(model), data["validation"]), data["validation"].tokens)
        texts = {"train": self.texts(model, data["train"], seed), "validation": held_out}
        return super().fit(model, texts, settings, seed, run=run)

    def texts(self, model: nn.Module, data: CaptionedGlyphs, seed: int) -> TensorDataset:
        """What is trained on: codes (N redraws, H', W') and captions (N redraws, 10), by the seed's draws."""
        rng = torch.Generator().manual_seed(seed)
        captions = torch.cat([data.redraw(rng) for _ in range(self.redraws)])
        return TensorDataset(codes_of(tokenizer_of(model), data).repeat(self.redraws, 1, 1), captions)


@dataclass(frozen=True)
class ClassifierRecipe(Recipe):
    """A classifier, whose features the metrics of samples use; its last averaged weights are kept."""

    kind: ClassVar[str] = "classifier"
    watched: ClassVar[bool] = False

    def classes(self, data) -> int:
        """The number of classes that the model tells apart."""
        return data.n_classes


@dataclass(frozen=True)
class FactorRecipe(Recipe):
    """A classifier of all factors of captioned images; its last averaged weights are kept."""

    kind: ClassVar[str] = "factors"
    watched: ClassVar[bool] = False

    def fit(self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: Run = ALONE) -> History:
        """Train the model in place on the images of data["train"] and their factors."""
        labeled = {split: TensorDataset(one.x, one.labels) for split, one in data.items()}
        return super().fit(model, labeled, settings, seed, run=run)


@dataclass(frozen=True)
class AdversarialRecipe(Recipe):
    """A GAN; `loss` is the name of a pair of losses, and the penalties and weights that its game takes."""

    kind: ClassVar[str] = "samples"
    game: ClassVar[type[Game]] = GANGame

    def domains(self, data) -> tuple:
        """The data sets that the game is played on."""
        return (data,)

    def fit(self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: Run = ALONE) -> AdversarialHistory:
        """Train the networks in place on data["train"]."""
        game = self.play(model, *self.loss)
        return fit_game(game, self.domains(data["train"]), seed=seed, label=self.name, **settings, **run.options())

    def play(self, model: nn.Module, loss: str, options: dict) -> Game:
        """The game of this model, by the name of a pair of losses and what else it takes."""
        return self.game(model, loss=loss, **options)

    def settings(self, budget: str) -> dict:
        """Arguments of `fit_game` at this budget."""
        return {k: v for k, v in super().settings(budget).items() if k != "evaluate_every"}


@dataclass(frozen=True)
class VAEGANRecipe(AdversarialRecipe):
    """A VAE-GAN: see `VAEGANGame`."""

    game: ClassVar[type[Game]] = VAEGANGame


@dataclass(frozen=True)
class VQGANRecipe(AdversarialRecipe):
    """A tokenizer: see `VQGANGame`. `config` is its own; `critic` is that of the critic, {} for none.

    With a weight "perceptual" in `loss` the data's teacher, which comes along, lends its features.
    """

    kind: ClassVar[str] = "reconstruction"
    critic: dict = field(default_factory=dict)

    def build(self, seed: int = 0) -> nn.Module:
        """The untrained tokenizer and critic; the seed fixes their random weights."""
        data = self.load("validation")  # of the same shape and levels, and made sooner
        torch.manual_seed(seed)
        tokenizer = Tokenizer(tuple(data.shape), data.levels, **self.config)
        return VQGAN(tokenizer, **(self.critic or {"critic_width": 0}))

    def play(self, model: VQGAN, loss: str, options: dict) -> VQGANGame:
        """The game of this model, with the teacher if there is one."""
        teacher = load_pretrained(f"teacher-{self.data}") if options.get("perceptual") else None
        return VQGANGame(model, teacher=teacher, loss=loss, **options)


@dataclass(frozen=True)
class TranslationRecipe(AdversarialRecipe):
    """A CycleGAN between the data's gray images and colored ones: see `CycleGANGame`."""

    kind: ClassVar[str] = "translation"
    game: ClassVar[type[Game]] = CycleGANGame

    def build(self, seed: int = 0) -> nn.Module:
        """The untrained translators and critics; the seed fixes their random weights."""
        shape = tuple(self.load("train").shape)
        torch.manual_seed(seed)
        return CycleGAN(shape, (3, *shape[1:]), **self.config)

    def domains(self, data) -> tuple:
        """Two halves of the data, of which the second is colored: see `unpaired`."""
        return unpaired(data)
