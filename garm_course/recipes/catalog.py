"""Named, reproducible runs: a model on a data set, at three budgets, beside the recorded figure.

A run is a folder with `model.safetensors` (weights, configuration, record) and `result.json` (figures, settings,
versions, hardware, command). Choices are made on the validation split; the test split is looked at by
`evaluate_run(..., "test")`, once, when a run is recorded.
"""

import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from torch.utils.data import TensorDataset

import garm_course
from garm_course import datasets
from garm_course.adversarial.cyclegan import CycleGAN, CycleGANGame
from garm_course.adversarial.gan import GANGame
from garm_course.adversarial.vaegan import VAEGANGame
from garm_course.datasets.coloring import unpaired
from garm_course.evaluation.features import cross_entropy
from garm_course.latent.two_stage import TwoStage
from garm_course.latent.vae import NegativeELBO, NegativeIWAE
from garm_course.latent.vqvae import ConvVQVAE, VQLoss
from garm_course.paths import results_folder
from garm_course.recipes.measures import MEASURES, context, headline
from garm_course.training.checkpoints import Checkpoints
from garm_course.training.games import AdversarialHistory, fit_game
from garm_course.training.likelihood import History, fit, negative_log_likelihood
from garm_course.training.loop import NonFiniteLossError
from garm_course.training.tracking import Tracker
from garm_course.weights.files import build_model, load_model, model_classes, save_model, write_atomically

BUDGETS = ("smoke", "quick", "full")
SMOKE = {"steps": 2, "batch_size": 8, "evaluate_every": 2}


@dataclass(frozen=True)
class Recipe:
    """A model on a data set: constructor arguments, options of the data, settings of `fit` per budget.

    What it reaches is recorded in `results/`: see `recorded`.
    """

    kind: ClassVar[str] = "likelihood"  # how a run is measured: see `measures.MEASURES`

    model: str
    data: str
    config: dict
    quick: dict
    full: dict
    conditional: bool = False
    loss: tuple[str, dict] = ("nll", {})  # see LOSSES
    cls: str = ""  # name of the model's class, where several recipes train one
    data_options: dict = field(default_factory=dict)
    sizes: dict = field(default_factory=dict)  # examples of a split, for data of which not all are taken

    @property
    def name(self) -> str:
        """`<model>-<data>`, the name of its recorded result and of its weights."""
        return f"{self.model}-{self.data}"

    @property
    def class_name(self) -> str:
        """Name of the model's class, as `model_classes()` knows it."""
        return self.cls or self.model.removeprefix("conditional_")

    def build(self, seed: int = 0) -> nn.Module:
        """The untrained model; the seed fixes its random weights."""
        data = self.load("train")
        torch.manual_seed(seed)
        n_classes = data.n_classes if self.conditional else 0
        return model_classes()[self.class_name](tuple(data.shape), data.levels, n_classes, **self.config)

    def fit(self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: "Run | None" = None) -> History:
        """Train the model in place on data["train"], watched on data["validation"]."""
        kind, options = self.loss
        loss = LOSSES[kind](**options)
        how = (run or Run()).options()
        return fit(model, data["train"], validation=data["validation"], loss=loss, seed=seed, label=self.name,
                   **settings, **how)  # fmt: skip

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
        n_classes = data.n_classes if self.conditional else 0
        prior = model_classes()[self.prior]((1, *vqvae.grid), vqvae.n_codes, n_classes, **self.prior_config)
        return TwoStage(vqvae, prior)

    def settings(self, budget: str) -> dict:
        """Arguments of `fit` at this budget, with those of the prior under "prior"."""
        settings = super().settings(budget)
        return {**settings, "prior": {**settings["prior"], **SMOKE}} if budget == "smoke" else settings

    def fit(self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: "Run | None" = None) -> History:
        """Train the VQ-VAE, encode the data, train the prior on the codes; the history is that of the VQ-VAE."""
        run = run or Run()
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
class ClassifierRecipe(Recipe):
    """A classifier, whose features the metrics of samples use; its last averaged weights are kept."""

    kind: ClassVar[str] = "classifier"

    def build(self, seed: int = 0) -> nn.Module:
        """The untrained classifier; the seed fixes its random weights."""
        data = self.load("train")
        torch.manual_seed(seed)
        return model_classes()[self.class_name](tuple(data.shape), data.levels, data.n_classes, **self.config)

    def fit(self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: "Run | None" = None) -> History:
        """Train the classifier in place on data["train"]."""
        how = (run or Run()).options()
        return fit(model, data["train"], loss=LOSSES[self.loss[0]](), seed=seed, label=self.name, **settings, **how)


@dataclass(frozen=True)
class AdversarialRecipe(Recipe):
    """A GAN; `loss` is the name of a pair of losses and the penalties: see `GANGame`."""

    kind: ClassVar[str] = "samples"

    def fit(
        self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: "Run | None" = None
    ) -> AdversarialHistory:
        """Train the GAN in place on data["train"]."""
        name, penalties = self.loss
        how = (run or Run()).options()
        game = GANGame(model, loss=name, **penalties)
        return fit_game(game, data["train"], seed=seed, label=self.name, **settings, **how)

    def settings(self, budget: str) -> dict:
        """Arguments of `fit_game` at this budget."""
        return {k: v for k, v in super().settings(budget).items() if k != "evaluate_every"}


@dataclass(frozen=True)
class VAEGANRecipe(AdversarialRecipe):
    """A VAE-GAN; `loss` is the name of the adversarial pair and the other weights: see `VAEGANGame`."""

    def fit(
        self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: "Run | None" = None
    ) -> AdversarialHistory:
        """Train the VAE-GAN in place on data["train"]."""
        name, weights = self.loss
        how = (run or Run()).options()
        game = VAEGANGame(model, loss=name, **weights)
        return fit_game(game, data["train"], seed=seed, label=self.name, **settings, **how)


@dataclass(frozen=True)
class TranslationRecipe(AdversarialRecipe):
    """A CycleGAN between the data's gray images and colored ones; `loss` is the pair's name and further weights."""

    kind: ClassVar[str] = "translation"

    def build(self, seed: int = 0) -> nn.Module:
        """The untrained translators and critics; the seed fixes their random weights."""
        shape = tuple(self.load("train").shape)
        torch.manual_seed(seed)
        return CycleGAN(shape, (3, *shape[1:]), **self.config)

    def fit(
        self, model: nn.Module, data: dict, settings: dict, seed: int, *, run: "Run | None" = None
    ) -> AdversarialHistory:
        """Train in place on two halves of data["train"], of which the second is colored: see `unpaired`."""
        name, weights = self.loss
        how = (run or Run()).options()
        game = CycleGANGame(model, loss=name, **weights)
        return fit_game(game, unpaired(data["train"]), seed=seed, label=self.name, **settings, **how)


@dataclass(frozen=True)
class Run:
    """How a run is carried out; what is trained is the recipe's.

    Attributes:
        checkpoints: folder for what is needed to go on after a kill; None saves nothing.
        save_every: steps between checkpoints; None: at every evaluation.
        resume: go on from the newest checkpoint, if there is one.
        precision: "no" or "bf16". tracker: see `tracking.Tracker`.
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


class InterruptedRun(RuntimeError):
    """A run was interrupted (Ctrl-C); the message says what was saved and how to go on."""

    exit_code = 130  # as a shell has it


LOSSES = {
    "cross_entropy": lambda: cross_entropy,
    "nll": lambda: negative_log_likelihood,
    "elbo": NegativeELBO,
    "iwae": NegativeIWAE,
    "vq": VQLoss,
}

_DIGITS = {"channels": 32, "layers": 5, "dropout": 0.5}
_DIGITS_FIT = {"steps": 900, "batch_size": 32, "lr": 4e-3, "evaluate_every": 50}
_GLYPHS = {"train": 12_000, "validation": 500, "test": 1000}
_VAE = {"hidden": (192, 192), "dropout": 0.2}
_VAE_FIT = {"steps": 3000, "batch_size": 64, "lr": 2.5e-3, "evaluate_every": 100}
_ANNEALED = ("elbo", {"warmup": 0.6})
_BARS_FIT = {"steps": 600, "batch_size": 30, "lr": 5e-3, "evaluate_every": 100, "ema": 0.98}


def _mnist(data: str) -> tuple[Recipe, ...]:
    """The recipes on one variant of binary MNIST; test figures are on all 10,000 images."""
    some = {"validation": 2000}  # which keeps the looks at it cheap while a model trains
    small_vae = {"hidden": (200, 200), "latents": 50}  # the one-layer model of Burda et al. (2016, arXiv 1509.00519)
    return (
        Recipe("made", data, {"hidden": (500, 500)},
               {"steps": 1800, "batch_size": 100, "lr": 5e-3, "evaluate_every": 300},
               {"steps": 20_000, "lr": 2e-3, "evaluate_every": 2000}, sizes=some),
        Recipe("nade", data, {"hidden": 200},
               {"steps": 800, "batch_size": 64, "lr": 1e-2, "evaluate_every": 200},
               {"steps": 6000, "lr": 5e-3, "evaluate_every": 600}, sizes=some),
        Recipe("row_lstm", data, {"channels": 32, "layers": 2},
               {"steps": 400, "batch_size": 16, "lr": 5e-3, "evaluate_every": 100},
               {"steps": 4000, "lr": 3e-3, "evaluate_every": 500}, sizes=some),
        Recipe("pixelcnn", data, {"channels": 32, "layers": 6},
               {"steps": 600, "batch_size": 16, "lr": 5e-3, "evaluate_every": 150},
               {"steps": 5000, "lr": 3e-3, "evaluate_every": 500}, sizes=some),
        Recipe("gated_pixelcnn", data, {"channels": 32, "layers": 5, "first_kernel": 7},
               {"steps": 400, "batch_size": 16, "lr": 5e-3, "evaluate_every": 100},
               {"steps": 4000, "lr": 3e-3, "evaluate_every": 500}, sizes=some),
        Recipe("vae", data, small_vae,
               {"steps": 4000, "batch_size": 100, "lr": 3e-3, "evaluate_every": 500},
               {"steps": 50_000, "lr": 1.5e-3, "evaluate_every": 5000}, sizes=some, loss=("elbo", {"warmup": 0.3})),
        Recipe("iwae", data, small_vae,
               {"steps": 2000, "batch_size": 100, "lr": 3e-3, "evaluate_every": 400},
               {"steps": 20_000, "lr": 1.5e-3, "evaluate_every": 2000}, sizes=some,
               loss=("iwae", {"k": 5, "warmup": 0.3}), cls="vae"),
    )  # fmt: skip


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fvsbn", "digits", {"dropout": 0.3},
               {"steps": 600, "batch_size": 64, "lr": 8e-3, "evaluate_every": 50}, {"steps": 2000}),
        Recipe("made", "digits", {"hidden": (512,), "direct": False, "dropout": 0.5, "input_dropout": 0.2},
               {"steps": 900, "batch_size": 64, "lr": 6e-3, "evaluate_every": 50}, {"steps": 3000}),
        Recipe("nade", "digits", {"hidden": 232, "dropout": 0.4},
               {"steps": 800, "batch_size": 64, "lr": 6e-3, "evaluate_every": 50}, {"steps": 3000}),
        Recipe("pixel_gru", "digits", {"hidden": 192, "dropout": 0.5}, {**_DIGITS_FIT, "steps": 700}, {"steps": 2000}),
        Recipe("row_lstm", "digits", {**_DIGITS, "layers": 3}, _DIGITS_FIT, {"steps": 2000}),
        Recipe("diagonal_bilstm", "digits", {**_DIGITS, "layers": 2}, {**_DIGITS_FIT, "steps": 750, "lr": 5e-3},
               {"steps": 2000}),
        Recipe("pixelcnn", "digits", {**_DIGITS, "kernel": 5}, _DIGITS_FIT, {"steps": 2000}),
        Recipe("gated_pixelcnn", "digits", {**_DIGITS, "first_kernel": 3}, _DIGITS_FIT, {"steps": 2000}),
        Recipe("conditional_gated_pixelcnn", "digits", {**_DIGITS, "first_kernel": 3}, _DIGITS_FIT, {"steps": 2000},
               conditional=True),
        Recipe("pixelcnnpp", "digits",
               {"channels": 24, "blocks": 1, "scales": 2, "mixtures": 5, "dropout": 0.5, "encoding": "thermometer"},
               {**_DIGITS_FIT, "steps": 700, "lr": 5e-3}, {"steps": 2000}),
        Recipe("pixelcnnpp", "patches", {"channels": 24, "blocks": 1, "scales": 1, "mixtures": 5, "contrast": 10},
               {"steps": 2100, "batch_size": 16, "lr": 4e-3, "clip": 1e4, "evaluate_every": 350}, {"steps": 20_000}),
        Recipe("color_pixelcnnpp", "glyphs",
               {"channels": 16, "blocks": 1, "scales": 2, "mixtures": 5, "encoding": "thermometer"},
               {"steps": 500, "batch_size": 8, "lr": 1e-2, "evaluate_every": 100}, {"steps": 5000},
               cls="pixelcnnpp", data_options={"color": True}, sizes=_GLYPHS),
        Recipe("vae", "digits", _VAE, _VAE_FIT, {"steps": 6000}, loss=_ANNEALED),
        Recipe("conditional_vae", "digits", {**_VAE, "hidden": (128, 128)}, _VAE_FIT, {"steps": 6000},
               conditional=True, loss=_ANNEALED),
        Recipe("poisson_vae", "digits", {**_VAE, "prior": "poisson"}, {**_VAE_FIT, "steps": 2000}, {"steps": 6000},
               loss=_ANNEALED, cls="vae"),
        Recipe("iwae", "digits", {**_VAE, "dropout": 0.25}, {**_VAE_FIT, "steps": 2000, "lr": 3e-3}, {"steps": 4000},
               loss=("iwae", {"k": 5, "warmup": 0.6}), cls="vae"),
        Recipe("fvsbn", "glyphs", {}, {"steps": 1000, "batch_size": 64, "lr": 1e-2, "evaluate_every": 100},
               {"steps": 3000}, sizes=_GLYPHS),
        Recipe("made", "glyphs", {"hidden": (500,)},
               {"steps": 1000, "batch_size": 64, "lr": 5e-3, "evaluate_every": 100}, {"steps": 5000}, sizes=_GLYPHS),
        Recipe("nade", "glyphs", {"hidden": 100},
               {"steps": 1000, "batch_size": 32, "lr": 1e-2, "evaluate_every": 100}, {"steps": 5000}, sizes=_GLYPHS),
        Recipe("row_lstm", "glyphs", {"channels": 24, "layers": 2},
               {"steps": 400, "batch_size": 16, "lr": 5e-3, "evaluate_every": 100}, {"steps": 5000}, sizes=_GLYPHS),
        Recipe("diagonal_bilstm", "glyphs", {"channels": 16, "layers": 2},
               {"steps": 300, "batch_size": 16, "lr": 5e-3, "evaluate_every": 100}, {"steps": 5000}, sizes=_GLYPHS),
        Recipe("gated_pixelcnn", "glyphs", {"channels": 16, "layers": 4, "first_kernel": 7, "kernel": 5},
               {"steps": 300, "batch_size": 16, "lr": 5e-3, "evaluate_every": 100},
               {"steps": 5000, "evaluate_every": 250}, sizes=_GLYPHS),
        Recipe("vae", "glyphs", {"hidden": (256, 128), "latents": 32},
               {"steps": 3000, "batch_size": 64, "lr": 3e-3, "evaluate_every": 200}, {"steps": 10_000},
               sizes=_GLYPHS, loss=("elbo", {"warmup": 0.3})),
        TwoStageRecipe("vqvae", "glyphs", {"n_codes": 64, "dim": 4},
                       {"steps": 1000, "batch_size": 32, "lr": 3e-3, "evaluate_every": 100, "ema": 0.98,
                        "prior": {"steps": 600, "batch_size": 64, "lr": 5e-3}},
                       {"steps": 5000, "prior": {"steps": 5000, "batch_size": 64, "lr": 5e-3}},
                       sizes=_GLYPHS, loss=("vq", {}), cls="two_stage",
                       prior_config={"channels": 32, "layers": 4, "encoding": "one_hot"}),
        ClassifierRecipe("classifier", "digits", {"channels": 32},
                         {"steps": 1500, "batch_size": 64, "lr": 3e-3, "weight_decay": 1e-3, "evaluate_every": 500},
                         {"steps": 4000}, loss=("cross_entropy", {})),
        ClassifierRecipe("classifier", "glyphs", {},
                         {"steps": 300, "batch_size": 64, "lr": 5e-3, "evaluate_every": 100}, {"steps": 1000},
                         loss=("cross_entropy", {}), sizes=_GLYPHS),
        AdversarialRecipe("gan", "digits", {"latents": 32, "hidden": (256, 256)},
                          {"steps": 4000, "batch_size": 64, "lr": 1e-3, "ema": 0.995, "decay": True},
                          {"steps": 20_000}, loss=("non_saturating", {"r1": 0.1})),
        AdversarialRecipe("conditional_dcgan", "glyphs", {"latents": 64, "channels": 16},
                          {"steps": 2500, "batch_size": 32, "lr": 2e-3, "ema": 0.99, "decay": True},
                          {"steps": 20_000}, conditional=True, loss=("non_saturating", {"r1": 0.3}), sizes=_GLYPHS),
        VAEGANRecipe("vaegan", "digits", {},
                     {"steps": 4000, "batch_size": 64, "lr": 1e-3, "ema": 0.995, "decay": True}, {"steps": 20_000},
                     loss=("non_saturating", {"gamma": 0.03, "variance": 0.2, "r1": 0.1})),
        TranslationRecipe("cyclegan", "digits",
                          {"width": 16, "norm": False, "critic_width": 16, "critic_layers": ((4, 2), (4, 2), (2, 1))},
                          {"steps": 600, "batch_size": 32, "lr": 4e-3, "ema": 0.99, "decay": True},
                          {"steps": 3000, "lr": 1e-3}, loss=("hinge", {"lam": 30.0})),
        Recipe("made", "bars_and_stripes", {"hidden": (256,), "direct": False},
               {**_BARS_FIT, "steps": 800, "lr": 2e-2}, {"steps": 4000}),
        Recipe("nade", "bars_and_stripes", {"hidden": 64}, {**_BARS_FIT, "steps": 1500, "lr": 3e-2}, {"steps": 6000}),
        Recipe("gated_pixelcnn", "bars_and_stripes", {"channels": 16, "layers": 3, "dropout": 0.0},
               _BARS_FIT, {"steps": 3000}),
        *_mnist("mnist_thresholded"),
        *_mnist("mnist_dynamic"),
    )
}  # fmt: skip


INTRODUCED_IN = {  # the lesson of each model: what a ladder in an earlier lesson leaves out
    **dict.fromkeys(("fvsbn", "made", "nade"), 2),
    **dict.fromkeys(("pixel_gru", "row_lstm", "diagonal_bilstm"), 3),
    **dict.fromkeys(("pixelcnn", "gated_pixelcnn", "conditional_gated_pixelcnn"), 4),
    **dict.fromkeys(("pixelcnnpp", "color_pixelcnnpp"), 5),
    **dict.fromkeys(("vae", "conditional_vae", "poisson_vae"), 10),
    "iwae": 11,
    "vqvae": 12,
    "classifier": 13,
    "gan": 14,
    "conditional_dcgan": 14,
    "vaegan": 15,
    "cyclegan": 16,
}


def find(model: str, data: str) -> Recipe:
    """The recipe for a model on a data set.

    Raises:
        ValueError: for an unknown model or data set, or a pair without a recipe; the message lists what there is.
    """
    models = sorted({r.model for r in RECIPES.values()})
    known_data = sorted({r.data for r in RECIPES.values()})
    for kind, value, known in (("model", model, models), ("data set", data, known_data)):
        if value not in known:
            near = get_close_matches(value, known, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"no {kind} {value!r}; {guess}known: {', '.join(known)}")
    if f"{model}-{data}" not in RECIPES:
        there = ", ".join(r.data for r in RECIPES.values() if r.model == model)
        raise ValueError(f"no recipe for {model!r} on {data!r}; {model} has recipes for: {there}")
    return RECIPES[f"{model}-{data}"]


def train(
    recipe: Recipe,
    out: Path | str,
    *,
    budget: str = "quick",
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    save_every: int | None = None,
    precision: str = "no",
    track: str | None = None,
) -> tuple[nn.Module, dict]:
    """Train a recipe and write its run folder.

    While it runs, checkpoints are written to the folder's `checkpoints`, and deleted when the result is there. In
    several processes (`torchrun`) the first one writes; all return the model, and the others an empty result.

    Args:
        recipe: see `find`.
        out: folder of the run; it is made if it does not exist.
        budget: "smoke" (two steps), "quick" (a minute or less) or "full".
        seed: of weights, order of the data and dropout.
        overwrite: replace a run that is in the folder already.
        resume: go on with the run in the folder where its newest checkpoint stands; without one, start.
        save_every: steps between checkpoints; None: at every evaluation.
        precision: "no" or "bf16", see `fit`. track: "tensorboard", "wandb" or None; files go to the folder's `logs`.

    Returns:
        The model with its best validation weights, and the result that was written.

    Raises:
        FileExistsError: the folder holds a run already, or one that was not finished. OSError: the folder cannot be
            written. ValueError: a checkpoint is damaged or belongs to another run.
        InterruptedRun: Ctrl-C.
        NonFiniteLossError: the loss became NaN or infinite; the best weights until then are in `last_good.safetensors`.
    """
    settings = recipe.settings(budget)
    out = Path(out)
    main = _is_first()
    command = f"garm train {recipe.model} --data {recipe.data} --budget {budget} --seed {seed}"
    if main:
        _prepare_folder(out, overwrite, resume)
    tracker = None
    if track and main:
        tracker = Tracker(track, out / "logs", recipe.name, {"budget": budget, "seed": seed, **_words(settings)})
    run = Run(out / "checkpoints", save_every, resume, precision, tracker)
    data = {split: recipe.load(split) for split in ("train", "validation")}
    model = recipe.build(seed)
    try:
        history = recipe.fit(model, data, settings, seed, run=run)
    except NonFiniteLossError as error:
        if main:
            save_model(model, out / "last_good.safetensors", {"model": recipe.model, "data": recipe.data, "seed": seed})
        raise NonFiniteLossError(f"{error}. The best weights so far are in {out / 'last_good.safetensors'}") from None
    finally:
        if tracker:
            tracker.close()
    if history.stopped.startswith("interrupted"):
        saved = any(run.checkpoints.rglob("step-*.safetensors"))
        how = f"go on with: {command} --out {out} --resume" if saved else "it was too early to save anything"
        raise InterruptedRun(f"{history.stopped}; {how}")
    if not main:
        return model, {}
    result = {
        "model": recipe.model,
        "class": recipe.class_name,
        "data": recipe.data,
        "budget": budget,
        "seed": seed,
        "kind": recipe.kind,
        **{split: MEASURES[recipe.kind](model, data[split], split) for split in data},
        **context(recipe.kind, data["train"], data["validation"]),
        "seconds": round(history.seconds, 1),
        "cpu_seconds": round(history.cpu_seconds, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "config": model.config,
        "data_options": {split: recipe.options(split) for split in datasets.SPLITS},
        "training": {
            **settings,
            "loss": list(recipe.loss),
            "stopped": history.stopped,
            "best_step": getattr(history, "best_step", history.steps),
        },
        "history": _history(history),
        "versions": versions(),
        "hardware": hardware(),
        "command": command,
    }
    save_model(model, out / "model.safetensors", _record(result))
    (out / "result.json").unlink(missing_ok=True)  # of an overwritten run: it must not stand beside new weights
    write_result(out, result)
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    return model, result


def evaluate_run(run: Path | str, split: str = "test") -> dict:
    """Evaluate the model of a run folder on a split and add the figure to its `result.json`.

    Args:
        run: the folder. split: "train", "validation" or "test".

    Returns:
        The result, with the figures of `split`.

    Raises:
        FileNotFoundError: the folder holds no run. ValueError: an unknown split, a damaged file, or a model that is not
            the one of the result.
    """
    run = Path(run)
    result = read_result(run)
    model = load_model(run / "model.safetensors", expected=result.get("class"))
    with torch.random.fork_rng(devices=[]):  # what is built is thrown away: it must not move the caller's draws
        config = build_model(model.name, result["config"]).config  # of an earlier version: with defaults filled in
    if model.config != config:
        raise ValueError(f"{run / 'model.safetensors'} is not the model of {run / 'result.json'}; train the run again")
    if split not in result["data_options"]:
        raise ValueError(f"no split {split!r}; choose one of {', '.join(result['data_options'])}")
    data = datasets.load(result["data"], split, **result["data_options"][split])
    result[split] = MEASURES[result.get("kind", "likelihood")](model, data, split)
    write_result(run, result)
    return result


def read_result(run: Path | str) -> dict:
    """The `result.json` of a run folder.

    Raises:
        FileNotFoundError: the folder holds no run. ValueError: the file is damaged.
    """
    path = Path(run) / "result.json"
    if not path.is_file():
        raise FileNotFoundError(f"{run} is no folder of a run (it has no result.json); make one with `garm train`")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not even text
        raise ValueError(f"{path} is damaged ({error}); train the run again") from None
    missing = [k for k in ("model", "data", "config", "data_options", "baselines")
               if not isinstance(result, dict) or k not in result]  # fmt: skip
    if missing:
        raise ValueError(f"{path} is no result of `garm train` (it lacks {', '.join(missing)}); train the run again")
    return result


def write_result(run: Path, result: dict) -> None:
    """Write `result.json` of a run folder, completely or not at all."""
    write_atomically(Path(run) / "result.json", (json.dumps(result, indent=1) + "\n").encode())


def recorded(name: str) -> dict:
    """The recorded result of a recipe, from `results/`: figures averaged over seeds, and each seed's own.

    Args:
        name: `<model>-<data>`, such as "gated_pixelcnn-digits".

    Raises:
        ValueError: nothing is recorded under that name; the message lists what is.
    """
    path = results_folder() / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"no recorded result {name!r}; recorded: {', '.join(recorded_names())}")
    return json.loads(path.read_text(encoding="utf-8"))


def recorded_names() -> list[str]:
    """Names that `recorded` knows: `<model>-<data>`."""
    return sorted(path.stem for path in results_folder().glob("*.json"))


def recorded_on(data: str, lesson: int | None = None, *, kind: str = "likelihood") -> list[dict]:
    """All recorded results of a kind on a data set, best validation figure last: the entries of its ladder.

    Results on another variant of the data (`glyphs` in color) are left out, since they do not compare.

    Args:
        data: "digits", "glyphs", ...
        lesson: leave out models that a later lesson introduces; None for all.
        kind: "likelihood" or "samples".

    Raises:
        ValueError: nothing is recorded on that data set; the message lists what is.
    """
    every = [result for result in map(recorded, recorded_names()) if result.get("kind", "likelihood") == kind]
    found = [result for result in every if result["data"] == data and set(result["data_options"]["train"]) <= {"n"}]
    if not found:
        there = ", ".join(sorted({result["data"] for result in every})) or "no data set"
        raise ValueError(f"nothing is recorded on {data!r}; there are results on {there}")
    known = [r for r in found if lesson is None or INTRODUCED_IN[r["model"]] <= lesson]
    return sorted(known, key=lambda result: -headline(result["validation"]).rank)


def versions() -> dict[str, str]:
    """Versions of what produced a figure."""
    return {"garm_course": garm_course.__version__, "torch": torch.__version__, "python": platform.python_version()}


def hardware() -> str:
    """What a figure was produced on, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    if sys.platform == "linux" and os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {torch.get_num_threads()} thread(s)"


def _is_first() -> bool:
    """Whether this is the only process of the run, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


def _words(settings: dict) -> dict:
    """Settings as a tracker takes them."""
    return {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in settings.items()}


def _prepare_folder(out: Path, overwrite: bool, resume: bool = False) -> None:
    """Make the folder and try to write in it, before minutes are spent on training."""
    if (out / "result.json").exists() and not overwrite:
        raise FileExistsError(f"{out} holds a run already; choose another folder with --out, or add --overwrite")
    if any((out / "checkpoints").rglob("step-*.safetensors")):
        if not (resume or overwrite):
            raise FileExistsError(
                f"{out} holds a run that was not finished; go on with --resume, or start anew with --overwrite"
            )
        if not resume:
            shutil.rmtree(out / "checkpoints")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / ".writable", b"")
        (out / ".writable").unlink()
    except OSError as error:
        raise OSError(f"cannot write in {out} ({error.strerror}); choose another folder with --out") from None


def _history(history: History | AdversarialHistory) -> dict:
    if isinstance(history, AdversarialHistory):
        return {"terms": history.terms}
    return {"train": history.train, "validation": history.validation}


def _record(result: dict) -> dict:
    """The part of a result that travels with the weights."""
    return {k: v for k, v in result.items() if k != "history"}
