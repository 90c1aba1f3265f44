"""Habits from elsewhere: what cannot work is refused in one line, before a weight moves or a network computes."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from garm_course import datasets
from garm_course.adversarial.cyclegan import CycleGAN, CycleGANGame
from garm_course.adversarial.gan import MLPGAN, GANGame
from garm_course.adversarial.vaegan import MLPVAEGAN, VAEGANGame
from garm_course.autoregressive.made import MADE
from garm_course.evaluation.likelihood import evaluate, log_probs, lower_bounds
from garm_course.latent.vae import MLPVAE, NegativeELBO
from garm_course.training.games import fit_game
from garm_course.training.likelihood import fit

DIGITS = datasets.load("digits", "validation")
SCALED = (DIGITS.x / 16, DIGITS.y)
FAST = {"steps": 2, "batch_size": 8}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


def made():
    return MADE((1, 8, 8), 17, hidden=(8,))


def gan(n_classes=0):
    return MLPGAN((1, 8, 8), 17, n_classes, latents=4, hidden=(8,))


GAMES = {
    "gan": lambda: GANGame(gan()),
    "vaegan": lambda: VAEGANGame(MLPVAEGAN((1, 8, 8), 17, latents=4, hidden=(8,))),
    "cyclegan": lambda: CycleGANGame(CycleGAN((1, 8, 8), (1, 8, 8), 17, 17, width=4, critic_width=4)),
}


def play(game, data=DIGITS, **options):
    """A game on its data; of a CycleGAN the given ones are the second domain's."""
    return fit_game(game, (DIGITS, data) if isinstance(game, CycleGANGame) else data, **{**FAST, **options})


def assert_refused(model, error, message, call):
    """The call raises this in one line, before anything was computed by the model or moved in it."""
    before, computed = {name: value.clone() for name, value in model.state_dict().items()}, []
    hooks = [part.register_forward_hook(lambda *_: computed.append(1)) for part in model.modules()]
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert not computed
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_training_without_gradients_is_refused(switch):
    model, games = made(), [make() for make in GAMES.values()]
    with switch():
        assert_refused(model, ValueError, "gradients are switched off here", lambda: fit(model, DIGITS, **FAST))
        for game in games:
            assert_refused(game.model, ValueError, "gradients are switched off here", lambda game=game: play(game))


def test_weights_that_cannot_move_are_refused():
    model = made().requires_grad_(False)
    assert_refused(model, ValueError, r"no weight of the model \(MADE\) can move", lambda: fit(model, DIGITS, **FAST))
    for game in (make() for make in GAMES.values()):
        for name, player in game.players.items():
            player.requires_grad_(False)
            assert_refused(game.model, ValueError, f"no weight of the {name} .* can move", lambda game=game: play(game))
            player.requires_grad_(True)


def test_some_frozen_weights_are_no_obstacle():
    model = made()
    first = next(model.parameters()).requires_grad_(False)
    before = first.clone()
    fit(model, DIGITS, **FAST)
    assert torch.equal(first, before)


class Scores(nn.Module):
    """A network without a likelihood."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(64, 1)

    def forward(self, x):
        return self.net(x.flatten(1).float())


def test_a_model_without_a_likelihood_is_refused():
    model, wrapped, vae = Scores(), nn.DataParallel(made()), MLPVAE((1, 8, 8), 17, latents=2, hidden=(8,))
    own = {"loss": lambda model, x, y: model(x).square().mean(), **FAST}
    for one, message, call in [
        (model, "expected a model with log_prob, got a Scores without; give it one, or pass a loss",
         lambda: fit(model, DIGITS, **FAST)),
        (model, "log_prob or elbo, got a Scores", lambda: fit(model, DIGITS, validation=DIGITS, **own)),
        (model, "log_prob or elbo, got a Scores", lambda: evaluate(model, DIGITS)),
        (model, "with log_prob, got a Scores", lambda: log_probs(model, DIGITS)),
        (model, "with elbo, got a Scores", lambda: lower_bounds(model, DIGITS)),
        (wrapped, r"got a DataParallel without; pass the MADE inside, model.module .*torchrun",
         lambda: fit(wrapped, DIGITS, **FAST)),
        (wrapped, "pass the MADE inside", lambda: evaluate(wrapped, DIGITS)),
        (vae, "with log_prob, got a MLPVAE", lambda: fit(vae, DIGITS, **FAST)),
    ]:  # fmt: skip
        assert_refused(one, TypeError, message, call)
    fit(model, DIGITS, **own)
    fit(vae, DIGITS, validation=DIGITS, loss=NegativeELBO(), **FAST)


@pytest.mark.parametrize("name", GAMES)
def test_images_scaled_to_0_1_are_refused(name):
    game = GAMES[name]()
    message = r"in \[-1, 1\], got 0..1 in the first batch, none of them negative: .*use 2 \* x - 1"
    assert_refused(game.model, ValueError, message, lambda: play(game, TensorDataset(*SCALED)))
    play(game, TensorDataset(2 * SCALED[0] - 1, SCALED[1]))


def test_what_may_have_no_negative_numbers_is_taken():
    fit_game(GANGame(MLPGAN((2,), latents=4, hidden=(8,))), torch.rand(20, 2), **FAST)  # points have no bounds
    fit_game(GANGame(gan()), torch.zeros(20, 1, 8, 8), **FAST)  # one gray says nothing


def test_classes_that_a_gan_does_not_know_are_refused():
    model = gan(5)
    assert_refused(model, ValueError, r"classes 0..4, got 0..9", lambda: play(GANGame(model), batch_size=len(DIGITS)))
    halves = TensorDataset(DIGITS.x, DIGITS.y.float())
    assert_refused(model, TypeError, r"use y.long\(\)", lambda: play(GANGame(model), halves))
    fit_game(GANGame(gan()), TensorDataset(DIGITS.x, DIGITS.y + 100), **FAST)  # where nobody looks at them


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"checkpoints": "runs/mine"}, TypeError, r"expected checkpoints=Checkpoints\(folder\), got 'runs/mine'"),
        ({"steps": 1e3}, ValueError, "steps=1000.0 is out of range: .* an integer .*write 1000, without a point"),
        ({"batch_size": 8.5}, ValueError, "batch_size=8.5 is out of range: .* an integer .*change it"),
        ({"steps": "10"}, ValueError, "steps=10 is out of range: expected an integer"),
        ({"seed": 0.5}, ValueError, "seed=0.5 is out of range: expected an integer"),
        ({"precision": "fp16"}, ValueError, 'precision=fp16 .*expected precision "no" or "bf16"'),
        ({"ema": 1}, ValueError, r"ema in \[0, 1\)"),
        ({"lr": "0.1"}, ValueError, "lr=0.1 is out of range: expected a number above 0"),
    ],
)
def test_settings_are_refused_with_what_they_may_be(options, error, message):
    model = made()
    assert_refused(model, error, message, lambda: fit(model, DIGITS, **{**FAST, **options}))
    for game in (make() for make in GAMES.values()):
        assert_refused(game.model, error, message, lambda game=game: play(game, **options))


@pytest.mark.parametrize("betas", [(0.5, 1.0), (-0.1, 0.9), (0.5,), 0.5, (np.nan, 0.9)])
def test_betas_are_a_pair(betas):
    game = GAMES["gan"]()
    message = r"betas=.* is out of range: expected a pair of numbers in \[0, 1\)"
    assert_refused(game.model, ValueError, message, lambda: play(game, betas=betas))
