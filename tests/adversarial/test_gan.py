"""GANs and their training: whose gradient goes where, what is drawn once, what is refused, what an end leaves."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from garm_course import datasets
from garm_course.adversarial.game import Game, frozen
from garm_course.adversarial.gan import DCGAN, GAN, MLPGAN, DCCritic, DCGenerator, GANGame, MLPCritic
from garm_course.adversarial.lipschitz import r1_penalty
from garm_course.adversarial.losses import LOSSES, GANLoss
from garm_course.training.games import ScaledBatches, fit_game
from garm_course.training.loop import NonFiniteLossError
from garm_course.weights.files import load_model, save_model

DIGITS = datasets.load("digits", "validation")
SMALL = {"latents": 5, "hidden": (12, 9)}
FAST = {"steps": 3, "batch_size": 16, "watch_every": 1}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def build(n_classes=0, cls=MLPGAN, shape=(1, 8, 8), levels=17, **options):
    torch.manual_seed(0)
    default = SMALL if cls is MLPGAN else {"latents": 5, "channels": 4}
    return cls(shape, levels, n_classes, **{**default, **options})


def play(model, data, **options):
    """`fit_game` with the rules of the game and the settings of its training in one call."""
    rules = {name: options.pop(name) for name in ("loss", "critic_steps", "r1", "penalty", "clip") if name in options}
    return fit_game(GANGame(model, **rules), data, **options)


def weights(network):
    return torch.cat([w.detach().flatten() for w in network.parameters()])


@pytest.mark.parametrize("cls", [MLPGAN, DCGAN])
@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("shape", [(1, 8, 12), (3, 4, 8)])
def test_samples_are_images_in_range_and_scores_one_number_each(cls, n_classes, shape):
    gan = build(n_classes, cls, shape)
    y = torch.tensor([0, 2, 1, 1, 0]) if n_classes else None
    x = gan.sample(5, y, rng=rng())
    assert x.shape == (5, *shape)
    assert x.abs().max() <= 1
    assert not x.requires_grad
    assert gan.critic(x, y).shape == (5,)
    assert gan.training, "sampling leaves the mode as it was"


@pytest.mark.parametrize("cls", [MLPGAN, DCGAN])
def test_the_first_samples_do_not_depend_on_how_many_are_drawn_nor_on_batch_statistics(cls):
    gan = build(cls=cls)
    many, few = gan.sample(9, rng=rng(3)), gan.sample(4, rng=rng(3))
    assert torch.allclose(many[:4], few, atol=1e-6)
    assert not torch.equal(gan.sample(4, rng=rng(4)), few)


def test_points_have_no_bounds():
    gan = build(shape=(2,), levels=None)
    with torch.no_grad():
        gan.generator.net[-1].weight.mul_(100)
    x = gan.sample(50, rng=rng())
    assert x.shape == (50, 2)
    assert x.abs().max() > 1


@pytest.mark.parametrize("cls", [MLPCritic, DCCritic])
def test_a_projection_critic_adds_the_inner_product_of_class_and_features(cls):
    critic = cls((1, 4, 8), 3)
    x, y = torch.randn(5, 1, 4, 8), torch.tensor([0, 1, 2, 1, 0])
    with torch.no_grad():
        h = critic.features(x)
        expected = critic.read_out.score(h)[:, 0] + (critic.read_out.classes.weight[y] * h).sum(1)
        assert torch.allclose(critic(x, y), expected)
        assert not torch.allclose(critic(x, y), critic(x, y.roll(1)), atol=1e-4)


@pytest.mark.parametrize(("cls", "options"), [(MLPGAN, {"spectral": True}), (DCGAN, {"spectral": True})])
def test_spectral_normalization_bounds_every_weight_matrix(cls, options):
    gan = build(2, cls, (1, 4, 8), **options)
    for _ in range(100):  # each forward pass in training mode takes a step of power iteration
        gan.critic(torch.randn(3, 1, 4, 8), torch.tensor([0, 1, 1]))
    found = [m.weight.flatten(1) for m in gan.critic.modules() if hasattr(m, "parametrizations")]
    assert len(found) == 4  # two layers, the score, the classes
    for matrix in found:
        assert torch.linalg.svdvals(matrix)[0].item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("cls", [MLPGAN, DCGAN])
@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("spectral", [False, True])
def test_a_gan_comes_back_as_it_was_saved(tmp_path, cls, n_classes, spectral):
    gan = build(n_classes, cls, spectral=spectral)
    save_model(gan, tmp_path / "gan.safetensors", {"seed": 1})
    back = load_model(tmp_path / "gan.safetensors")
    assert type(back) is cls
    assert back.config == gan.config
    y = torch.tensor([0, 2, 1, 1]) if n_classes else None
    x = gan.sample(4, y, rng=rng())
    assert torch.equal(back.sample(4, y, rng=rng()), x)
    assert torch.equal(back.eval().critic(x, y), gan.eval().critic(x, y))


def test_convolutions_alone_are_as_wide_as_in_a_dcgan():
    gan = DCGAN((1, 8, 8))

    def shapes(module):
        return {name: weight.shape for name, weight in module.state_dict().items()}

    assert shapes(DCGenerator(gan.latents, (1, 8, 8))) == shapes(gan.generator)
    assert shapes(DCCritic((1, 8, 8))) == shapes(gan.critic)


def test_what_does_not_fit_is_refused():
    gan, conditional = build(), build(3)
    for call, message in [
        (lambda: gan.sample(0), "at least one example to draw, got n=0"),
        (lambda: gan.sample(2, torch.tensor([0, 1])), "built with n_classes=0; leave y out"),
        (lambda: conditional.sample(2), r"expected y: a LongTensor \(2,\) of classes 0..2"),
        (lambda: conditional.sample(2, torch.tensor([0, 3])), "the model knows no such class"),
        (lambda: DCGenerator(4, (1, 6, 8)), r"H and W multiples of 4, got \(1, 6, 8\)"),
        (lambda: DCCritic((8,)), "H and W multiples of 4"),
        (lambda: GAN(nn.Identity(), nn.Identity(), (2,), 0), "latents >= 1"),
        (lambda: GAN(nn.Identity(), nn.Identity(), (2,), 2, n_classes=-1), "n_classes >= 0"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


# --- training --------------------------------------------------------------------------------------------------------


def textbook(gan, data, steps, size, critic_steps, r1, loss):
    """The loop as papers print it: fakes drawn for each player, here from the same noise; no averaging."""
    torch.manual_seed(0)
    stream = ScaledBatches(data, size, rng(), levels=gan.levels)
    players = [torch.optim.Adam(p.parameters(), lr=1e-3, betas=(0.5, 0.99)) for p in (gan.critic, gan.generator)]
    gan.train()
    for _ in range(steps):
        for _ in range(critic_steps):
            x, y = next(stream)
            given = (y,) if gan.n_classes else ()
            z = torch.randn(len(x), gan.latents)
            fake = gan.generator(z, *given).detach()
            value = loss.critic(gan.critic(x, *given), gan.critic(fake, *given))
            value = value + (r1_penalty(gan.critic, x, *given, gamma=r1) if r1 else 0)
            players[0].zero_grad()
            value.backward()
            players[0].step()
        value = loss.generator(gan.critic(gan.generator(z, *given), *given))
        players[1].zero_grad()
        value.backward()
        players[1].step()


@pytest.mark.parametrize("critic_steps", [1, 3])
@pytest.mark.parametrize("r1", [0.0, 0.3])
@pytest.mark.parametrize("n_classes", [0, 10])
def test_drawing_fakes_once_gives_the_updates_of_the_textbook_loop(critic_steps, r1, n_classes):
    torch.set_default_dtype(torch.float64)
    try:
        one = build(n_classes)
        two = copy.deepcopy(one)
        data = TensorDataset(DIGITS.x.double() / 8 - 1, DIGITS.y)
        play(one, data, critic_steps=critic_steps, r1=r1, **FAST)
        textbook(two, data, 3, 16, critic_steps, r1, LOSSES["non_saturating"])
        assert torch.allclose(weights(one), weights(two), atol=1e-9)
        assert not torch.allclose(weights(one), weights(build(n_classes)), atol=1e-4)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("critic_steps", [1, 4])
def test_nothing_is_computed_twice_or_for_nothing(critic_steps, monkeypatch):
    gan = build()
    calls = {"generator": 0, "critic gradients": 0}
    gan.generator.register_forward_hook(lambda *_: calls.__setitem__("generator", calls["generator"] + 1))
    first = next(gan.critic.parameters())
    first.register_hook(lambda _: calls.__setitem__("critic gradients", calls["critic gradients"] + 1))
    play(gan, DIGITS, critic_steps=critic_steps, **FAST)
    assert calls == {"generator": 3 * critic_steps, "critic gradients": 3 * critic_steps}
    assert all(w.requires_grad for w in gan.parameters()), "frozen weights thaw"


def test_the_players_see_only_their_own_gradient():
    seen = {}

    def critic_loss(real, fake):
        seen["fake scores lead to the generator"] = bool(
            any(g is not None for g in torch.autograd.grad(fake.sum(), generator_weights, retain_graph=True,
                                                           allow_unused=True))
        )  # fmt: skip
        return LOSSES["hinge"].critic(real, fake)

    gan = build()
    generator_weights = list(gan.generator.parameters())
    play(gan, DIGITS, loss=GANLoss(critic_loss, LOSSES["hinge"].generator), **FAST)
    assert seen == {"fake scores lead to the generator": False}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(5))
def test_all_losses_stay_finite_over_five_seeds(name, seed):
    gan = build()
    extra = {"penalty": 10.0} if name == "wasserstein" else {}
    history = play(gan, DIGITS, loss=name, steps=40, batch_size=32, seed=seed, **extra)
    assert all(math.isfinite(value) for entries in history.terms.values() for _, value in entries)
    assert torch.isfinite(gan.sample(8, rng=rng())).all()
    assert set(history.terms) == {"critic", "generator", *(["penalty"] if extra else [])}


def test_a_run_is_repeated_bit_for_bit_and_another_seed_is_another_run():
    def run(seed):
        gan = build()
        torch.rand(seed + 1)  # the caller's draws do not matter
        play(gan, DIGITS, seed=seed, r1=0.1, penalty=1.0, ema=0.9, **FAST)
        return weights(gan)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_the_generator_holds_its_moving_average_on_return():
    path = []

    def watched(number, gan):
        path.append(weights(gan.generator))

    plain, averaged = build(), build()
    play(plain, DIGITS, watch=watched, **FAST)
    after = list(path)
    play(averaged, DIGITS, ema=0.5, **FAST)
    expected = weights(build().generator)
    for number, one in enumerate(after, 1):
        expected = expected.lerp(one, 1 - min(0.5, number / (number + 10)))
    assert torch.allclose(weights(averaged.generator), expected, atol=1e-6)
    assert torch.equal(weights(averaged.critic), weights(plain.critic)), "only the generator is averaged"


def test_watching_sees_averaged_weights_in_evaluation_mode_and_changes_nothing():
    modes = []

    def watch(number, gan):
        modes.append((number, gan.training))
        return number / 2

    gan, other = build(cls=DCGAN), build(cls=DCGAN)
    history = play(gan, DIGITS, watch=watch, ema=0.9, **FAST)
    play(other, DIGITS, ema=0.9, **FAST)
    assert modes == [(1, False), (2, False), (3, False)]
    assert history.watched == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert torch.equal(weights(gan), weights(other))
    assert not gan.training


def test_clipping_holds_every_weight_and_only_the_critic():
    gan = build()
    before = weights(gan.generator)
    play(gan, DIGITS, loss="wasserstein", clip=0.01, **FAST)
    assert weights(gan.critic).abs().max() <= 0.01
    assert (weights(gan.generator) - before).abs().max() < 0.02
    assert weights(gan.generator).abs().max() > 0.02


def test_learning_rates_differ_and_fall_if_asked():
    def moved(**options):
        gan = build()
        play(gan, DIGITS, **{**FAST, "steps": 1}, **options)
        start = build()
        return [(weights(getattr(gan, p)) - weights(getattr(start, p))).abs().max().item()
                for p in ("critic", "generator")]  # fmt: skip

    # the first step of Adam is the learning rate
    assert moved(lr=1e-3, critic_lr=4e-3) == pytest.approx([4e-3, 1e-3], rel=0.01)
    assert moved(lr=2e-3) == pytest.approx([2e-3, 2e-3], rel=0.01)

    class Known(Game):
        """Whose player has a gradient of 1: each step of Adam is the learning rate."""

        def step(self, batch, draw, descend):
            seen.append(self.model.weight.item())
            descend(net=self.model.weight.sum())
            return {}

    seen, net = [], nn.Linear(1, 1)
    game = Known(net, {"net": net}, averaged=net, levels=(17,), loss="hinge")
    fit_game(game, DIGITS, steps=5, lr=1.0, decay=True)
    assert [a - b for a, b in itertools.pairwise(seen)] == pytest.approx([1.0, 0.8, 0.6, 0.4], rel=1e-5)


@pytest.mark.parametrize("player", ["critic", "generator"])
def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(player):
    def diverging(*scores):
        calls.append(0)
        right = getattr(LOSSES["non_saturating"], player)(*scores)
        return right * (math.nan if len(calls) == 3 else 1)

    calls, seen = [], []
    pair = LOSSES["non_saturating"]._replace(**{player: diverging})
    gan = build()
    with pytest.raises(NonFiniteLossError, match=f"the {player} loss became nan at step 3; the averaged weights"):
        play(gan, DIGITS, loss=pair, watch=lambda n, g: seen.append(weights(g.generator)),
                        **{**FAST, "steps": 5})  # fmt: skip
    assert torch.isfinite(weights(gan)).all()
    assert torch.equal(weights(gan.generator), seen[-1]), "the generator of the step before"
    assert not gan.training


def test_an_interrupt_keeps_what_was_learned():
    def interrupted(number, gan):
        if number == 2:
            raise KeyboardInterrupt

    gan = build()
    history = play(gan, DIGITS, watch=interrupted, **{**FAST, "steps": 9})
    assert (history.steps, history.stopped) == (2, "interrupted at step 2")
    assert not torch.equal(weights(gan), weights(build()))
    assert all(w.requires_grad for w in gan.parameters())
    assert not gan.training


@pytest.mark.parametrize("options", [{"r1": 0.1}, {"penalty": 10.0}])
def test_batch_normalization_of_the_critic_and_a_penalty_on_its_gradient_do_not_go_together(options):
    gan = build(cls=DCGAN, critic_batch_norm=True)
    with pytest.raises(ValueError, match="batch normalization, which makes each score depend on the whole batch") as e:
        play(gan, DIGITS, **FAST, **options)
    assert "\n" not in str(e.value)
    play(gan, DIGITS, **FAST)  # without a penalty it trains


def test_bad_data_and_settings_are_refused_in_one_line():
    floats = TensorDataset(torch.rand(20, 1, 8, 8) * 3, torch.zeros(20))
    for error, message, data, options in [
        (ValueError, r"images as floating-point numbers in \[-1, 1\], got values .*use scale", floats, {}),
        (ValueError, "an empty data set", TensorDataset(torch.zeros(0, 1, 8, 8), torch.zeros(0)), {}),
        (ValueError, "no adversarial loss 'gan'; choose one of minimax, non_saturating", DIGITS, {"loss": "gan"}),
        (ValueError, "steps=0 is out of range: expected an integer of at least 1; change it", DIGITS, {"steps": 0}),
        (ValueError, "steps=2.5 is out of range: expected an integer", DIGITS, {"steps": 2.5}),
        (ValueError, "watch_every=0 is out of range", DIGITS, {"watch_every": 0}),
        (ValueError, "critic_lr=nan is out of range", DIGITS, {"critic_lr": math.nan}),
        (ValueError, "data sets for this game: 1, got 2", (DIGITS, DIGITS), {}),
        (TypeError, "no option 'epochs'; all trainings know steps, batch_size", DIGITS, {"epochs": 3}),
        (ValueError, "critic_steps=0 is out of range", DIGITS, {"critic_steps": 0}),
        (ValueError, "lr=0 is out of range: expected a number above 0; change it", DIGITS, {"lr": 0}),
        (ValueError, "r1=-1 is out of range", DIGITS, {"r1": -1}),
        (ValueError, "clip=0 is out of range", DIGITS, {"clip": 0}),
        (ValueError, r"ema in \[0, 1\)", DIGITS, {"ema": 1.0}),
    ]:
        with pytest.raises(error, match=message) as caught:
            play(build(), data, **{**FAST, **options})
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match=r"got torch.int64; build the model with levels"):
        play(build(levels=None), DIGITS, **FAST)


def test_batches_go_through_all_examples_and_scale_levels():
    stream = ScaledBatches(DIGITS, 60, rng(), levels=17)
    seen = torch.cat([next(stream)[0] for _ in range(3)])
    assert torch.equal(seen.flatten(1).sum(1).sort().values, (DIGITS.x / 8 - 1).flatten(1).sum(1).sort().values)
    again = ScaledBatches(DIGITS, 60, rng(), levels=17)
    assert torch.equal(next(again)[0], seen[:60])
    assert len(next(ScaledBatches(DIGITS, 1000, rng(), levels=17))[0]) == len(DIGITS)
    part = torch.utils.data.Subset(DIGITS, [3, 1, 4])
    assert len(next(ScaledBatches(part, 2, rng(), levels=17))[0]) == 2


def test_frozen_networks_pass_gradients_on():
    net = nn.Linear(2, 1)
    x = torch.ones(1, 2, requires_grad=True)
    with frozen(net):
        net(x).sum().backward()
    assert torch.equal(x.grad, net.weight)
    assert net.weight.grad is None
    assert net.weight.requires_grad
