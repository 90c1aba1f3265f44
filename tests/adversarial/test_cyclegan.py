"""CycleGAN: what a score depends on, what the losses and the pool do, whose gradient goes where, what is refused."""

import copy
import importlib.util
import json
import math

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from garm_course import datasets
from garm_course.adversarial.cyclegan import (
    CycleGAN,
    CycleGANGame,
    ImagePool,
    PatchCritic,
    Translator,
    cycle_loss,
    identity_loss,
    image_pool,
    patch_receptive_field,
)
from garm_course.adversarial.losses import LOSSES, GANLoss
from garm_course.paths import results_folder
from garm_course.recipes.studies import recorded_study
from garm_course.training.games import ScaledBatches, fit_game
from garm_course.training.loop import NonFiniteLossError
from garm_course.weights.files import load_model, save_model

DIGITS = datasets.load("digits", "validation")
GRAY = DIGITS.x / 8 - 1  # (180, 1, 8, 8)
COLOR = TensorDataset(torch.cat([GRAY, GRAY, -GRAY], 1), DIGITS.y)  # yellow on blue
INVERTED = TensorDataset(-GRAY, DIGITS.y)
SMALL = {"width": 4, "critic_width": 4}
FAST = {"steps": 3, "batch_size": 16, "watch_every": 1}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def build(channels=(1, 1), size=(8, 8), levels=(17, None), **options):
    torch.manual_seed(0)
    x, y = ((c, *size) for c in channels)
    return CycleGAN(x, y, *levels, **{**SMALL, **options})


def play(model, x, y, **options):
    """`fit_game` with the rules of the game and the settings of its training in one call."""
    rules = {
        name: options.pop(name) for name in ("loss", "lam", "identity", "pairs", "paired", "pool") if name in options
    }
    return fit_game(CycleGANGame(model, **rules), (x, y), **options)


def weights(network):
    return torch.cat([w.detach().flatten() for w in network.parameters()])


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [(1, 1), (1, 3), (3, 1)])
@pytest.mark.parametrize(("size", "downs"), [((8, 8), 0), ((28, 28), 1), ((8, 12), 2)])
@pytest.mark.parametrize("norm", [True, False])
def test_a_translator_keeps_height_and_width_and_stays_in_range(channels, size, downs, norm):
    net = Translator(*channels, width=4, downs=downs, blocks=2, norm=norm)
    y = net(3 * torch.randn(2, channels[0], *size))
    assert y.shape == (2, channels[1], *size)
    assert y.abs().max() <= 1
    biases = [m.bias is not None for m in net.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert biases == [not norm] * (len(biases) - 1) + [True]  # the mean takes a bias away


def seen(network, size):
    """Which rows and columns the middle score depends on: their numbers, from the support of the gradient."""
    x = torch.randn(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    out = network.double()(x)
    [g] = torch.autograd.grad(out[0, 0, out.shape[2] // 2, out.shape[3] // 2], x)
    rows, cols = ((g[0, 0] != 0).any(axis).sum().item() for axis in (1, 0))
    return rows, cols


@pytest.mark.parametrize(
    ("layers", "field"),
    [
        (((4, 2), (4, 2), (4, 2), (4, 1), (4, 1)), 70),  # the paper's
        (((4, 2), (4, 1), (4, 1)), 16),
        (((3, 1),), 3),
        (((1, 1),), 1),
        (((4, 2), (3, 1)), 8),
        (((3, 2), (5, 3), (2, 1)), 17),
        (((2, 5), (3, 1)), 12),  # pixels between the patches are not seen, but lie inside
    ],
)
def test_the_receptive_field_is_the_support_of_the_gradient(layers, field):
    assert patch_receptive_field(layers) == field
    critic = PatchCritic(1, width=2, layers=layers)
    assert critic.receptive_field == field
    if layers[0][0] >= layers[0][1]:
        torch.manual_seed(0)
        assert seen(critic, 3 * field + 17) == (field, field)


def test_the_jump_form_gives_the_same_field():
    for seed in range(50):
        layers = torch.randint(1, 6, (4, 2), generator=rng(seed)).tolist()
        field, jump = 1, 1
        for kernel, stride in layers:
            field, jump = field + (kernel - 1) * jump, jump * stride
        assert patch_receptive_field(layers) == field


@pytest.mark.parametrize(("kernel", "blocks", "reach"), [(1, 2, 1), (3, 0, 5), (3, 1, 9)])
def test_a_translator_without_normalization_sees_a_window_and_with_it_the_whole_image(kernel, blocks, reach):
    torch.manual_seed(0)
    assert seen(Translator(1, 1, width=8, kernel=kernel, blocks=blocks, norm=False), 21) == (reach, reach)
    assert seen(Translator(1, 1, width=8, kernel=kernel, blocks=blocks), 21) == (21, 21)


def test_instance_normalization_has_mean_0_and_variance_1_for_each_example_and_channel():
    layer = next(m for m in Translator(1, 1, width=5).modules() if isinstance(m, nn.InstanceNorm2d))
    h = 3 * torch.randn(4, 5, 8, 8, dtype=torch.float64) + torch.randn(4, 5, 1, 1, dtype=torch.float64)
    out = layer.double()(h)
    assert out.mean((2, 3)).abs().max() < 1e-12
    assert (out.var((2, 3), correction=0) - 1).abs().max() < 1e-4  # the 1e-5 under the root
    assert torch.allclose(layer(2.5 * h + 1), out, atol=1e-4)
    assert torch.allclose(layer(h[:1]), out[:1]), "the rest of the batch does not matter"


def test_a_dense_translator_reads_every_pixel():
    model = build((1, 3), dense=(9, 7))
    x = torch.randn(2, 1, 8, 8, requires_grad=True)
    y = model.G(x)
    assert y.shape == (2, 3, 8, 8)
    [g] = torch.autograd.grad(y[0, 0, 0, 0], x)
    assert (g[0] != 0).all()
    assert (g[1] == 0).all()


def test_translation_goes_in_both_directions_and_leaves_the_mode_alone():
    model = build((1, 3))
    y = model.translate(GRAY[:5], "xy")
    assert y.shape == (5, 3, 8, 8)
    assert not y.requires_grad
    assert torch.equal(y, model.G(GRAY[:5]).detach())
    assert torch.equal(model.translate(y, "yx"), model.F(y).detach())
    assert model.training


@pytest.mark.parametrize(
    "options", [{}, {"norm": False, "blocks": 2, "downs": 1}, {"dense": (6,), "critic_norm": True}]
)
def test_a_model_comes_back_as_it_was_saved(tmp_path, options):
    model = build((1, 3), **options)
    save_model(model, tmp_path / "model.safetensors", {"seed": 1})
    back = load_model(tmp_path / "model.safetensors", "cyclegan")
    assert type(back) is CycleGAN
    assert back.config == model.config
    assert torch.equal(back.translate(GRAY[:4], "xy"), model.translate(GRAY[:4], "xy"))
    assert torch.equal(back.critics["y"](COLOR[:4][0]), model.critics["y"](COLOR[:4][0]))


# --- losses ----------------------------------------------------------------------------------------------------------


def test_the_cycle_loss_of_maps_that_undo_each_other_is_zero_and_else_a_sum_of_two_means():
    x, y = torch.randn(4, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    assert cycle_loss(lambda v: v @ turn + 2, lambda v: (v - 2) @ turn.T, x, y).item() == pytest.approx(0, abs=1e-14)
    assert cycle_loss(lambda v: v + 1, lambda v: v + 2, x, y).item() == pytest.approx(6)  # |3| there, |3| back
    one_way = cycle_loss(lambda v: v.relu(), lambda v: v, x.abs(), y)  # right on x, and loses half of y
    assert one_way.item() == pytest.approx((y.clamp(max=0)).abs().mean().item())


def test_the_identity_loss_feeds_each_translator_its_target():
    x, y = torch.zeros(2, 5), torch.ones(3, 5)
    assert identity_loss(lambda v: v * 0 + 1, lambda v: v * 0, x, y) == 0  # G makes ys and F makes xs
    assert identity_loss(lambda v: v + 1, lambda v: v - 1, x, y) == 2  # a right translation that does not stop


# --- pool ------------------------------------------------------------------------------------------------------------


def test_the_pool_fills_first_then_the_coin_decides():
    empty = torch.zeros(0, 2)
    one, two, three = torch.eye(3, 2)
    for coin in (False, True):
        hist, out = image_pool(empty, one, 2, coin, 1)
        assert torch.equal(hist, one[None])
        assert torch.equal(out, one)
    full = torch.stack([one, two])
    hist, out = image_pool(full, three, 2, True, 1)
    assert torch.equal(hist, torch.stack([one, three]))
    assert torch.equal(out, two)
    assert torch.equal(full, torch.stack([one, two])), "the argument is not changed"
    hist, out = image_pool(full, three, 2, False, 1)
    assert torch.equal(hist, full)
    assert torch.equal(out, three)
    assert torch.equal(image_pool(empty, three, 0, True, 0)[1], three)


def test_the_class_does_what_the_function_does_one_image_after_the_other():
    pool, draws = ImagePool(4, rng(3)), rng(3)
    hist = torch.zeros(0, 2)
    for k in range(9):
        new = torch.randn(3, 2, generator=rng(k)).requires_grad_()
        out = pool(new)
        assert not out.requires_grad
        coins, slots = torch.rand(3, generator=draws) < 0.5, torch.randint(4, (3,), generator=draws)
        for i in range(3):
            hist, one = image_pool(hist, new[i].detach(), 4, bool(coins[i]), int(slots[i]))
            assert torch.equal(one, out[i])
        assert torch.equal(pool.images, hist)


def test_about_half_of_what_a_full_pool_gives_is_older_and_nothing_is_lost_twice():
    pool, given = ImagePool(50, rng()), []
    for start in range(0, 4000, 10):
        given.append(pool(torch.arange(start, start + 10.0)))
    given = torch.cat(given)
    age = torch.arange(4000.0) - given
    share = (age[100:] > 0).double().mean().item()
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / 3900)
    assert age.min() == 0
    later = given[50:]
    assert len(later.unique()) == len(later), "after the filling no image goes out twice"


def test_no_pool_passes_everything():
    pool = ImagePool(0, rng())
    x = torch.randn(3, 2)
    assert torch.equal(pool(x), x)
    assert pool.images is None


# --- training --------------------------------------------------------------------------------------------------------


def test_the_players_see_only_their_own_gradient():
    found = {}

    def reached(value, network):
        gradients = torch.autograd.grad(value, list(network.parameters()), retain_graph=True, allow_unused=True)
        return any(g is not None for g in gradients)

    def critic_loss(real, fake):
        value = LOSSES["least_squares"].critic(real, fake)
        found.setdefault("critics", []).append((reached(value, model.translators), reached(value, model.critics)))
        return value

    def generator_loss(fake):
        value = LOSSES["least_squares"].generator(fake)
        parts = [reached(value, net) for net in (model.G, model.F)]
        frozen = not any(w.requires_grad for w in model.critics.parameters())
        found.setdefault("translators", []).append((parts, frozen))
        return value

    model = build()
    play(model, DIGITS, INVERTED, loss=GANLoss(critic_loss, generator_loss), **{**FAST, "steps": 1})
    assert found["critics"] == [(False, True)] * 2
    # the score of a fake x moves F alone, that of a fake y moves G alone; the critics' weights need no gradient
    assert found["translators"] == [([False, True], True), ([True, False], True)]
    assert all(w.requires_grad for w in model.parameters()), "frozen weights thaw"


def textbook(model, data, steps, size, lam, identity):
    """The loop as the paper prints it, without pools: every term by its own function, translated anew."""
    streams = [ScaledBatches(d, size, rng(k), levels=None) for k, d in enumerate(data)]
    lists = list(model.translators.parameters()), list(model.critics.parameters())
    optimizers = [torch.optim.Adam(one, lr=1e-3, betas=(0.5, 0.999)) for one in lists]
    loss = LOSSES["least_squares"]
    for _ in range(steps):
        x, y = (next(stream)[0] for stream in streams)
        with torch.no_grad():
            fake_x, fake_y = model.F(y), model.G(x)
        value = loss.generator(model.critics["x"](model.F(y))) + loss.generator(model.critics["y"](model.G(x)))
        value = value + lam * cycle_loss(model.G, model.F, x, y) + identity * identity_loss(model.G, model.F, x, y)
        optimizers[0].zero_grad()
        value.backward()
        optimizers[0].step()
        value = loss.critic(model.critics["x"](x), model.critics["x"](fake_x))
        value = value + loss.critic(model.critics["y"](y), model.critics["y"](fake_y))
        optimizers[1].zero_grad()
        value.backward()
        optimizers[1].step()


@pytest.mark.parametrize("identity", [0.0, 5.0])
def test_translating_once_gives_the_updates_of_the_textbook_loop(identity):
    torch.set_default_dtype(torch.float64)
    try:
        data = [TensorDataset(sign * GRAY.double(), DIGITS.y) for sign in (1, -1)]
        one = build(levels=(None, None))
        two = copy.deepcopy(one)
        play(one, *data, lam=7.0, identity=identity, pool=0, **FAST)
        textbook(two, data, 3, 16, 7.0, identity)
        assert torch.allclose(weights(one), weights(two), atol=1e-9)
        assert not torch.allclose(weights(one), weights(build(levels=(None, None))), atol=1e-4)
    finally:
        torch.set_default_dtype(torch.float32)


def test_every_image_is_translated_once_and_back_once():
    model, calls = build(), []
    for network in model.translators.values():
        network.register_forward_hook(lambda *_: calls.append(0))
    play(model, DIGITS, INVERTED, **FAST)
    assert len(calls) == 3 * 4


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("options", [{}, {"norm": False}, {"dense": (20,)}])
def test_all_losses_stay_finite_over_five_seeds(seed, options):
    model = build((1, 3), **options)
    history = play(model, DIGITS, COLOR, steps=20, batch_size=16, lr=2e-3, seed=seed)
    assert set(history.terms) == {"critics", "adversarial", "cycle"}
    assert all(math.isfinite(value) for entries in history.terms.values() for _, value in entries)
    assert torch.isfinite(model.translate(GRAY[:8], "xy")).all()


def test_a_run_is_repeated_bit_for_bit_and_another_seed_is_another_run():
    def run(seed):
        model = build((1, 3))
        torch.rand(seed + 1)  # the caller's draws do not matter
        play(model, DIGITS, COLOR, seed=seed, ema=0.9, decay=True, pool=8, **FAST)
        return weights(model)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_terms_are_reported_without_their_weights_and_pairs_count():
    def terms(**options):
        history = play(build(), DIGITS, INVERTED, **{**FAST, "steps": 1}, **options)
        return {name: entries[0][1] for name, entries in history.terms.items()}

    heavy, light = terms(lam=100.0, identity=3.0), terms(lam=0.1, identity=0.5)
    assert heavy == light
    assert set(heavy) == {"critics", "adversarial", "cycle", "identity"}
    model = build()
    expected = (model.G(GRAY[:2]) + GRAY[:2]).abs().mean() + (model.F(-GRAY[:2]) - GRAY[:2]).abs().mean()
    assert terms(pairs=(GRAY[:2], -GRAY[:2]))["pairs"] == pytest.approx(expected.item(), rel=1e-5)


def test_a_cycle_in_one_direction_weighs_that_direction_alone():
    def cycles(lam):
        model = build(norm=False)
        play(model, DIGITS, INVERTED, lam=lam, steps=60, batch_size=16, lr=2e-3)
        there = (model.translate(model.translate(GRAY, "xy"), "yx") - GRAY).abs().mean().item()
        back = (model.translate(model.translate(-GRAY, "yx"), "xy") + GRAY).abs().mean().item()
        return there - back

    assert cycles((20.0, 0.0)) < cycles((0.0, 20.0)) - 0.05


def test_pairs_teach_what_they_show():
    model = build(norm=False)
    play(model, DIGITS, INVERTED, pairs=(GRAY[:20], -GRAY[:20]), steps=80, batch_size=16, lr=4e-3)
    assert (model.translate(GRAY, "xy") + GRAY).square().mean() < 0.1


def test_both_translators_hold_their_moving_average_and_a_watch_changes_nothing():
    path, modes = [], []

    def watch(number, model):
        path.append(weights(model.translators))
        modes.append(model.training)
        return number / 2

    plain, averaged = build(), build()
    history = play(plain, DIGITS, INVERTED, watch=watch, **FAST)
    assert history.watched == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert modes == [False] * 3
    after = list(path)
    play(averaged, DIGITS, INVERTED, ema=0.5, **FAST)
    expected = weights(build().translators)
    for number, one in enumerate(after, 1):
        expected = expected.lerp(one, 1 - min(0.5, number / (number + 10)))
    assert torch.allclose(weights(averaged.translators), expected, atol=1e-6)
    assert torch.equal(weights(averaged.critics), weights(plain.critics))
    assert not plain.training


@pytest.mark.parametrize("player", ["critic", "generator"])
def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(player):
    calls = []

    def diverging(*scores):
        calls.append(0)
        return getattr(LOSSES["least_squares"], player)(*scores) * (math.nan if len(calls) == 4 else 1)

    pair = LOSSES["least_squares"]._replace(**{player: diverging})
    model, name = build(), {"critic": "critics", "generator": "adversarial"}[player]
    with pytest.raises(NonFiniteLossError, match=f"the {name} loss became nan at step 2"):
        play(model, DIGITS, INVERTED, loss=pair, **FAST)
    assert torch.isfinite(weights(model)).all()
    assert not model.training


# --- refusals --------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_in_one_line():
    gray, color = build(), build((1, 3))
    x, y = torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 8, 8)
    outside = TensorDataset(3 * GRAY, DIGITS.y)
    for error, message, call in [
        (ValueError, "one height and width in both domains", lambda: CycleGAN((1, 8, 8), (1, 8, 9))),
        (ValueError, r"multiples of 4 for downs=2, got \(6, 8\)", lambda: CycleGAN((1, 6, 8), (1, 6, 8), downs=2)),
        (ValueError, "downs=3 leaves one pixel of 8 x 8", lambda: build(downs=3)),
        (ValueError, "4 layers leaves nothing of 8 x 8 after layer 4", lambda: build(critic_layers=((4, 2),) * 4)),
        (ValueError, "nothing of 2 x 2 after layer 2", lambda: PatchCritic(1, layers=((4, 2),) * 2)(x[..., :2, :2])),
        (
            ValueError,
            "layer 3 of the critic leaves one pixel of 8 x 8",
            lambda: build(critic_layers=((4, 2), (4, 2), (4, 2), (1, 1)), critic_norm=True),
        ),
        (ValueError, "odd kernel", lambda: Translator(1, 1, kernel=4)),
        (ValueError, "channels and width >= 1", lambda: Translator(0, 1)),
        (ValueError, r"H and W multiples of 4, got \(2, 1, 6, 8\)", lambda: Translator(1, 1, downs=2)(x[:, :, :6])),
        (ValueError, r"expected images \(B, 1, H, W\)", lambda: gray.G(y)),
        (ValueError, "build the critic for them", lambda: gray.critics["x"](y)),
        (ValueError, "channels and width >= 1", lambda: PatchCritic(1, width=0)),
        (ValueError, "at least one layer", lambda: PatchCritic(1, layers=())),
        (ValueError, "numbers >= 1", lambda: patch_receptive_field([(4, 0)])),
        (ValueError, "at least one layer", lambda: patch_receptive_field([])),
        (ValueError, 'the direction "xy" or "yx", got \'xx\'', lambda: gray.translate(x, "xx")),
        (ValueError, "of domain y, got shape", lambda: color.translate(x, "yx")),
        (ValueError, r"in \[-1, 1\], got values", lambda: gray.translate(x + 2, "xy")),
        (TypeError, "use scale", lambda: gray.translate(x.long(), "xy")),
        (ValueError, "leave it out, or give gray images three equal channels",
         lambda: identity_loss(color.G, color.F, x, y)),
        (ValueError, "both domains must have one shape, got", lambda: play(color, DIGITS, COLOR, identity=1.0)),
        (ValueError, "two tensors of one shape", lambda: cycle_loss(lambda v: v[:1], lambda v: v, x, x)),
        (ValueError, "a pool of at most 2 images", lambda: image_pool(torch.zeros(3, 2), torch.zeros(2), 2, True, 0)),
        (ValueError, "a pool of at most 5 images", lambda: image_pool(torch.zeros(3, 2), torch.zeros(3), 5, True, 0)),
        (ValueError, "a slot 0..1, got 2", lambda: image_pool(torch.zeros(2, 2), torch.zeros(2), 2, True, 2)),
        (ValueError, "a size of at least 0", lambda: ImagePool(-1, rng())),
        (ValueError, "steps=0 is out of range", lambda: play(gray, DIGITS, INVERTED, steps=0)),
        (ValueError, "lam=-1 is out of range", lambda: play(gray, DIGITS, INVERTED, lam=-1)),
        (ValueError, r"lam=\(1, -1\) is out of range", lambda: play(gray, DIGITS, INVERTED, lam=(1, -1))),
        (ValueError, "pool=-1 is out of range", lambda: play(gray, DIGITS, INVERTED, pool=-1)),
        (ValueError, "no adversarial loss 'gan'", lambda: play(gray, DIGITS, INVERTED, loss="gan")),
        (ValueError, r"in \[-1, 1\], got values", lambda: play(gray, DIGITS, outside, **FAST)),
        (ValueError, "an empty data set", lambda: play(gray, TensorDataset(x[:0], x[:0]), INVERTED, **FAST)),
        (ValueError, "build the critic for them|build the translator for them",
         lambda: play(gray, DIGITS, COLOR, **FAST)),
        (ValueError, "as many x as y in pairs", lambda: play(gray, DIGITS, INVERTED, pairs=(x, x[:1]), **FAST)),
        (ValueError, "pairs with images", lambda: play(gray, DIGITS, INVERTED, pairs=(x, y), **FAST)),
        (TypeError, "build the model with levels",
         lambda: play(build(levels=(None, None)), DIGITS, INVERTED, **FAST)),
    ]:  # fmt: skip
        with pytest.raises(error, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


# --- the recorded study ----------------------------------------------------------------------------------------------


def test_the_script_makes_what_is_recorded():
    """Two steps of one seed in the form of the file; the settings of the record are those of the script."""
    path = results_folder().parent / "studies" / "translations.py"
    spec = importlib.util.spec_from_file_location("translations", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    kept = recorded_study("translations")
    assert kept["settings"] == json.loads(
        json.dumps({n: {"task": t, "config": c, "training": k} for n, (t, c, k) in script.SETTINGS.items()})
    )
    assert kept["colors"] == {"paper": list(script.PAPER), "ink": list(script.INK)}
    assert kept["frechet_floor"] == pytest.approx(script.floor(), abs=0.01)
    tasks = {"color": "color, no pool", "gray3": "gray3, identity", "invert": "invert, 3 pairs", "slant": "slant"}
    for setting in tasks.values():
        made = json.loads(json.dumps(script.run(setting, 0, 2)))
        recorded = [r for r in kept["runs"] if r["setting"] == setting]
        assert [r["seed"] for r in recorded] == list(range(3 if setting == "slant" else 10))
        assert set(made) == set(recorded[0])
    pictures = made["pictures"]
    assert {len(v) for v in pictures.values()} == {script.SHOWN}
    assert {len(bits) for v in pictures.values() for bits in v} == {784 // 4}


def test_the_record_tells_a_right_translation_from_one_that_swaps_and_shares_are_shares():
    for r in recorded_study("translations")["runs"]:
        if "swapped" in r:
            assert r["swapped"] == (r["error"] > 0.3) or 0.1 < r["error"] < 1.2
        for share in ("kept", "returned", "arrived"):
            values = r.get(share, 0)
            for value in values.values() if isinstance(values, dict) else [values]:
                assert 0 <= value <= 1
