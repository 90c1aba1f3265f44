"""Adversarial runs that are stopped and go on: generators, translators with their pools, autoencoders, bit for bit."""

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Subset

from garm_course import datasets
from garm_course.adversarial.cyclegan import CycleGAN, CycleGANGame, ImagePool
from garm_course.adversarial.gan import MLPGAN, GANGame
from garm_course.adversarial.vaegan import MLPVAEGAN, VAEGANGame
from garm_course.recipes import find, train
from garm_course.training.checkpoints import Checkpoints
from garm_course.training.games import ScaledBatches, fit_game

DIGITS = datasets.load("digits", "train")
LAST = {"steps": 11, "watch_every": 4}


class Killed(BaseException):
    pass


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def seeded(build):
    torch.manual_seed(0)
    return build()


def gan():
    return seeded(lambda: MLPGAN(DIGITS.shape, DIGITS.levels, 10, latents=6, hidden=(12,)))


def vaegan():
    return seeded(lambda: MLPVAEGAN(DIGITS.shape, DIGITS.levels, latents=4))


RUNS = {
    "gan": (
        gan,
        lambda model, **how: fit_game(
            GANGame(model, critic_steps=2, r1=0.1, penalty=0.5),
            DIGITS,
            batch_size=300,
            ema=0.9,
            decay=True,
            **LAST,
            **how,
        ),
    ),
    "vaegan": (
        vaegan,
        lambda model, **how: fit_game(VAEGANGame(model, r1=0.1), DIGITS, batch_size=300, ema=0.9, **LAST, **how),
    ),
}


def weights(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def killer(at):
    def watch(number, model):
        if number >= at:
            raise Killed
        return float(torch.rand(()))  # moves the global generator

    return watch


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("at", [4, 8])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_goes_on_ends_bit_for_bit_as_one_that_never_stopped(tmp_path, name, at, every):
    build, run = RUNS[name]
    whole = build()
    expected = run(whole, watch=killer(100))
    with pytest.raises(Killed):
        run(build(), watch=killer(at), checkpoints=Checkpoints(tmp_path, every))
    torch.rand(3)
    model = build()
    history = run(model, watch=killer(100), checkpoints=Checkpoints(tmp_path, every), resume=True)
    assert equal(weights(model), weights(whole))
    assert (history.terms, history.watched, history.steps) == (expected.terms, expected.watched, expected.steps)


def test_translators_go_on_with_their_pools(tmp_path):
    data = [Subset(DIGITS, range(90)), Subset(DIGITS, range(90, 200))]

    def build():
        return seeded(lambda: CycleGAN(DIGITS.shape, DIGITS.shape, 17, 17, dense=(16,), critic_width=4))

    def run(model, **how):
        return fit_game(CycleGANGame(model, pool=20), tuple(data), batch_size=30, ema=0.5, **LAST, **how)

    whole = build()
    expected = run(whole, watch=killer(100))
    with pytest.raises(Killed):
        run(build(), watch=killer(8), checkpoints=Checkpoints(tmp_path, 3))
    model = build()
    history = run(model, watch=killer(100), checkpoints=Checkpoints(tmp_path, 3), resume=True)
    assert equal(weights(model), weights(whole))
    assert (history.terms, history.watched) == (expected.terms, expected.watched)


def test_checkpoints_of_other_settings_are_refused(tmp_path):
    fit_game(GANGame(gan()), DIGITS, batch_size=300, checkpoints=Checkpoints(tmp_path), **LAST)
    with pytest.raises(ValueError, match=r"other settings \(r1 0.0, now 1.0\)"):
        fit_game(GANGame(gan(), r1=1.0), DIGITS, batch_size=300, checkpoints=Checkpoints(tmp_path), resume=True, **LAST)


def test_a_pool_goes_on():
    images = torch.arange(40.0).split(5)
    one, other = ImagePool(8, rng()), ImagePool(8, rng(5))
    for k, new in enumerate(images):
        if k == 3:
            other.resume({name: tensor.clone() for name, tensor in one.state().items()})
        expected = one(new)
        if k >= 3:
            assert torch.equal(other(new), expected)
    empty, fresh = ImagePool(8, rng(1)), ImagePool(8, rng(2))
    fresh.resume(empty.state())
    assert fresh.images is None


def test_the_order_is_that_of_a_data_loader_of_batches():
    for n, size in ((20, 5), (23, 5), (7, 100)):
        part = Subset(DIGITS, range(n))
        sampler = BatchSampler(RandomSampler(part, generator=rng(3)), min(size, n), drop_last=True)
        torch.manual_seed(0)
        expected = [y.tolist() for _ in range(3) for _, y in DataLoader(part, sampler=sampler, batch_size=None)]
        after = torch.rand(1)
        torch.manual_seed(0)
        stream = ScaledBatches(part, size, rng(3), levels=17)
        assert [next(stream)[1].tolist() for _ in expected] == expected
        assert torch.equal(torch.rand(1), after)  # the global generator moved as it did there


def test_a_recipe_of_a_gan_goes_on(tmp_path, monkeypatch):
    from garm_course.training import games

    recipe = find("gan", "digits")
    _, whole = train(recipe, tmp_path / "whole", budget="smoke")
    descend, calls = games.Descent.__call__, []

    def dying(self, losses):
        calls.append(0)
        if len(calls) == 4:
            raise Killed
        descend(self, losses)

    with monkeypatch.context() as patch:
        patch.setattr(games.Descent, "__call__", dying)
        with pytest.raises(Killed):
            train(recipe, tmp_path / "run", budget="smoke", save_every=1)
    _, result = train(recipe, tmp_path / "run", budget="smoke", resume=True)
    assert result["history"] == whole["history"]
    assert result["validation"] == whole["validation"]
