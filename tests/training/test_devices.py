"""Ready for other devices, shown without one: on the meta device there are no values, so whoever asks for one fails.

Each model is built on the CPU and moved there. A tensor on the wrong device fails as well.
"""

import math

import pytest
import torch
from small_models import small_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import TensorDataset

from garm_course import datasets, inputs
from garm_course.adversarial.cyclegan import CycleGAN, CycleGANGame
from garm_course.adversarial.gan import DCGAN, MLPGAN, GANGame
from garm_course.adversarial.vaegan import MLPVAEGAN, PixelLoss, VAEGANGame
from garm_course.adversarial.vqgan import VQGAN, VQGANGame
from garm_course.autoregressive.clips import ClipModel
from garm_course.autoregressive.code_prior import CodeTransformer
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.autoregressive.sequences import SequenceModel
from garm_course.evaluation.features import DigitClassifier, FactorClassifier, factor_cross_entropy
from garm_course.latent.tokenizer import Tokenizer
from garm_course.latent.two_stage import TwoStage
from garm_course.latent.vae import MLPVAE, NegativeELBO, NegativeIWAE
from garm_course.latent.vqvae import ConvVQVAE, VQLoss
from garm_course.models import CLASSES, model_class
from garm_course.training import loop
from garm_course.training.games import fit_game
from garm_course.training.likelihood import fit, negative_log_likelihood
from garm_course.training.loop import NonFiniteLossError
from garm_course.training.processes import Processes
from garm_course.transforms import scale

BARS = datasets.load("bars_and_stripes")
SHAPE, LEVELS = (1, 8, 8), 5
X = torch.randint(LEVELS, (12, *SHAPE), generator=torch.Generator().manual_seed(0))
DATA = TensorDataset(X, torch.arange(12) % 3)
META = torch.device("meta")

LATENT = {  # what is no sequence, small, and the loss that it is trained by
    "vae": (lambda: MLPVAE(SHAPE, LEVELS, latents=3, hidden=(8,)), NegativeELBO()),
    "iwae": (lambda: MLPVAE(SHAPE, LEVELS, latents=3, hidden=(8,)), NegativeIWAE(2)),
    "conditional_vae": (lambda: MLPVAE(SHAPE, LEVELS, 3, latents=3, hidden=(8,)), NegativeELBO()),
    "vqvae": (lambda: ConvVQVAE(SHAPE, LEVELS, n_codes=6, dim=3, channels=4), VQLoss()),
    "caption_transformer": (
        lambda: CodeTransformer(LEVELS, (4, 4), vocabulary=3, length=1, width=8, heads=2),
        lambda model, x, y: -model.log_prob(x, y[:, None]).mean(),
    ),
    "classifier": (
        lambda: DigitClassifier(SHAPE, LEVELS, 3, channels=2),
        lambda model, x, y: nn.functional.cross_entropy(model(x), y),
    ),
    "tokenizer": (
        lambda: Tokenizer(SHAPE, LEVELS, channels=4, warm_up=1),
        lambda model, x, y: sum(term.square().mean() for term in model(scale(x, LEVELS))),
    ),
    "factor_classifier": (
        lambda: FactorClassifier(SHAPE, LEVELS, channels=2),
        lambda model, x, y: factor_cross_entropy(model, x, y[:, None].expand(-1, 6) % 2),
    ),
}
GAMES = {
    "gan": lambda: GANGame(MLPGAN(SHAPE, LEVELS, latents=3, hidden=(8,)), loss="hinge", penalty=10.0, critic_steps=2),
    "dcgan": lambda: GANGame(DCGAN(SHAPE, LEVELS, 3, latents=3, channels=4, spectral=True), r1=0.1),
    "clipped": lambda: GANGame(MLPGAN(SHAPE, LEVELS, latents=3, hidden=(8,)), loss="wasserstein", clip=0.1),
    "vaegan": lambda: VAEGANGame(MLPVAEGAN(SHAPE, LEVELS, latents=3, hidden=(8,)), r1=0.1),
    "vqgan": lambda: VQGANGame(
        VQGAN(Tokenizer(SHAPE, LEVELS, channels=4, warm_up=1), critic_width=4),
        teacher=FactorClassifier(SHAPE, LEVELS, channels=2),
        start=2,
    ),
    "cyclegan": lambda: CycleGANGame(
        CycleGAN(SHAPE, SHAPE, LEVELS, LEVELS, width=4, critic_width=4), identity=5.0, pool=15
    ),
}


def two_stage():
    vqvae = ConvVQVAE(SHAPE, LEVELS, n_codes=6, dim=3, channels=4)
    return TwoStage(vqvae, GatedPixelCNN((1, *vqvae.grid), 6, channels=4, layers=1))


def likelihood_model(name):
    """A small model on the CPU, and the loss that `fit` gets."""
    if name in LATENT:
        build, loss = LATENT[name]
        return build(), loss
    if name == "two_stage":  # its parts are trained one by one
        return two_stage(), lambda model, x, y: model.elbo(x).bound.mean().neg()
    cls = model_class(name)
    shape = (8,) if issubclass(cls, SequenceModel) else (1, 4, 4, 4) if issubclass(cls, ClipModel) else SHAPE
    return small_model(cls, shape, LEVELS, dtype=torch.float32), negative_log_likelihood


def examples(shape):
    """Examples of this shape, of the first pixels of the images."""
    return TensorDataset(X.flatten(1)[:, : math.prod(shape)].unflatten(1, shape), DATA.tensors[1])


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


@pytest.fixture
def on_meta(monkeypatch):
    """Trainings take place on the meta device; what they read at a look is one, and is counted."""
    read = []

    def ones(scalars):
        read.append(len(scalars))
        assert all(scalar.is_meta for scalar in scalars)
        return [1.0] * len(scalars)

    init = Processes.__init__

    def elsewhere(self):
        init(self)
        self.device = META

    monkeypatch.setattr(Processes, "__init__", elsewhere)
    monkeypatch.setattr(loop, "numbers", ones)
    return read


LIKELIHOODS = tuple(dict.fromkeys([*LATENT, *(name for name in CLASSES if name not in GAMES)]))


@pytest.mark.parametrize("name", [name for name in LIKELIHOODS if name != "ngram"])  # which is counted
def test_a_training_of_any_model_asks_its_device_for_no_value_but_the_losses_at_a_look(name, on_meta):
    model, loss = likelihood_model(name)
    fit(model.to(META), examples(model.shape), loss=loss, steps=5, batch_size=4, evaluate_every=2)
    assert len(on_meta) == 3  # after the steps 2, 4 and 5


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_muon_asks_its_device_for_no_value(on_meta):
    model, _ = likelihood_model("pixel_transformer")
    fit(model.to(META), DATA, muon=0.02, steps=5, batch_size=4, evaluate_every=2)
    assert len(on_meta) == 3


@pytest.mark.parametrize("name", GAMES)
def test_a_game_asks_its_device_for_no_value_but_the_losses_at_a_look(name, on_meta):
    game = GAMES[name]()
    game.model.to(META)
    data = (DATA, DATA) if len(game.levels) == 2 else DATA
    fit_game(game, data, steps=5, batch_size=4, watch_every=2, ema=0.9)
    assert len(on_meta) == 3


def test_a_loss_of_pixels_asks_for_no_value_either(on_meta):
    fit(MLPVAEGAN(SHAPE, LEVELS, latents=3, hidden=(8,)).to(META), DATA, loss=PixelLoss(0.1), steps=2, batch_size=4)
    assert len(on_meta) == 1


@pytest.mark.parametrize("name", [name for name in CLASSES if hasattr(model_class(name), "sample")])
def test_sampling_asks_its_device_for_no_value(name):
    if name in GAMES:
        model = GAMES[name]().model
    else:
        model, _ = likelihood_model(name)
    y = torch.zeros(2, dtype=torch.long, device=META) if model.n_classes else None
    drawn = model.to(META).sample(2, y, rng=torch.Generator().manual_seed(0))
    assert drawn.is_meta
    assert drawn.shape == (2, *model.shape)


@pytest.mark.parametrize("name", ["gated_pixelcnn", "pixelcnnpp"])
def test_filters_ask_their_device_for_no_value(name):
    model, _ = likelihood_model(name)
    if "top_p" in model.sampling_options:
        assert model.to(META).sample(2, top_p=0.9, min_p=0.1, temperature=0.5).is_meta


def test_translating_asks_its_device_for_no_value():
    model = GAMES["cyclegan"]().model.to(META)
    assert model.translate(torch.zeros(2, *SHAPE, device=META), "xy").is_meta


class Reads(TorchDispatchMode):
    """Counts what would make a program wait for its device: values read, and shapes that depend on values."""

    WAITS = ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "unique", "equal.")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(name in str(func) for name in self.WAITS):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["vae", "vqvae", "gated_pixelcnn"])
def test_later_batches_are_not_looked_at_where_that_takes_time(name, monkeypatch):
    monkeypatch.setattr(inputs, "FREE", ())  # the CPU as one that must be waited for
    model, loss = likelihood_model(name)
    counts = []

    def counted(model, x, y):
        with Reads() as reads:
            value = loss(model, x, y)
        counts.append(len(reads.found))
        return value

    fit(model, DATA, loss=counted, steps=4, batch_size=4, evaluate_every=2)
    assert counts[0] > 0  # the first one is
    assert counts[1:] == [0, 0, 0]


def test_each_epoch_moves_no_example_again(monkeypatch, on_meta):
    sent = []
    to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda t, *a, **k: sent.append(t.shape) or to(t, *a, **k))
    model = likelihood_model("made")[0].to(META)
    sent.clear()
    fit(model, DATA, steps=7, batch_size=4, evaluate_every=7)
    assert (
        sum(shape[:1] == (12,) and len(shape) == 4 and shape[1:] == SHAPE for shape in sent) <= 2
    )  # as bytes, and there
    assert not any(shape == (4, *SHAPE) for shape in sent)


class Net(nn.Module):
    """One weight, whose loss is not finite at a step; or its gradient."""

    n_classes = 0

    def __init__(self, at, slope=False):
        super().__init__()
        self.weight, self.norm = nn.Parameter(torch.ones(3)), nn.BatchNorm1d(3)
        self.at, self.slope, self.calls, self.path = at, slope, 0, []

    def log_prob(self, x):
        self.calls += 1
        self.path.append(self.weight.detach().clone())
        bad = self.calls == self.at
        features = self.norm(x.flatten(1)[:, :3].float() * (math.nan if bad and not self.slope else 1.0))
        value = -(self.weight - 3).square().sum() + 0 * features.sum(1)
        return value + (value - value).abs().sqrt() * value if bad and self.slope else value


@pytest.mark.parametrize("slope", [False, True], ids=["loss", "gradient"])
@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_what_is_not_finite_moves_neither_weights_nor_average_until_the_next_look_finds_it(slope, ema):
    def run(steps, model):
        fit(model, DATA, steps=20, batch_size=4, evaluate_every=steps, ema=ema, lr=0.1)

    model = Net(at=6, slope=slope)
    message = "gradient's norm became (nan|inf) at step 6" if slope else "the loss became nan at step 6"
    with pytest.raises(NonFiniteLossError, match=message):
        run(10, model)
    assert model.calls == 10  # found at the look, not before
    assert all(torch.equal(one, model.path[5]) for one in model.path[5:])  # still
    early = Net(at=6, slope=slope)
    with pytest.raises(NonFiniteLossError, match=message):
        run(6, early)
    assert all(torch.equal(v, early.state_dict()[k]) for k, v in model.state_dict().items())
    assert all(torch.isfinite(v).all() for v in model.state_dict().values())


def test_an_optimizer_that_cannot_skip_a_step_keeps_the_weights_of_before(monkeypatch):
    from garm_course.training import likelihood

    monkeypatch.setattr(likelihood, "fusible", lambda *_: False)
    model = Net(at=6)
    with pytest.raises(NonFiniteLossError, match="at step 6"):
        fit(model, DATA, steps=20, batch_size=4, evaluate_every=10, ema=0.0, lr=0.1)
    assert torch.equal(model.weight, model.path[5])
    assert not torch.equal(model.path[4], model.path[5])
