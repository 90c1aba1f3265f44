"""Data of one's own: whatever has examples trains and is evaluated alike; the rest is told how to be wrapped."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from garm_course import datasets
from garm_course.adversarial.cyclegan import CycleGAN, CycleGANGame
from garm_course.adversarial.gan import MLPGAN, GANGame
from garm_course.adversarial.vaegan import MLPVAEGAN, VAEGANGame
from garm_course.autoregressive.made import MADE
from garm_course.datasets.augmentation import augment
from garm_course.evaluation.likelihood import evaluate
from garm_course.training.batches import Batches
from garm_course.training.checkpoints import Checkpoints
from garm_course.training.games import ScaledBatches, fit_game
from garm_course.training.likelihood import fit

X, Y = torch.randint(2, (24, 1, 4, 4), generator=torch.Generator().manual_seed(0)), torch.zeros(24, dtype=torch.long)
PAIRS = TensorDataset(X, Y)
FAST = {"steps": 2, "batch_size": 8}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GARM_PROGRESS", "0")


class Folder(Dataset):
    """What tutorials write: a number in, an example out; `form` is that of the example."""

    def __init__(self, form=lambda x, y: (x, y)):
        self.form = form

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        if not isinstance(i, int):
            raise TypeError(f"list indices must be integers, not {type(i).__name__}")
        return self.form(X[i], 0)


class Unordered(IterableDataset):
    def __iter__(self):
        return iter([(X[0], 0)])


def made():
    torch.manual_seed(0)
    return MADE((1, 4, 4), 2, hidden=(8, 8))


def gan(n_classes=0):
    torch.manual_seed(0)
    return GANGame(MLPGAN((1, 4, 4), 2, n_classes, latents=4, hidden=(8,)))


def vaegan():
    torch.manual_seed(0)
    return VAEGANGame(MLPVAEGAN((1, 4, 4), 2, latents=4, hidden=(8,)))


def cyclegan():
    torch.manual_seed(0)
    return CycleGANGame(CycleGAN((1, 4, 4), (1, 4, 4), 2, 2, width=4, critic_width=4, critic_layers=((3, 1), (3, 1))))


def trained(game, data):
    return fit_game(game, (data, PAIRS) if isinstance(game, CycleGANGame) else data, **FAST).terms


GAMES = {"gan": gan, "vaegan": vaegan, "cyclegan": cyclegan}
DATA = {
    "a class of one's own": Folder(),
    "images without classes": Folder(lambda x, y: x),
    "NumPy examples": Folder(lambda x, y: (x.numpy(), np.int64(y))),
    "bytes": Folder(lambda x, y: (x.to(torch.uint8), y)),
    "a list": [(x, 0) for x in X],
    "ConcatDataset": ConcatDataset([Subset(PAIRS, range(10)), Subset(Folder(), range(10, 24))]),
    "Subset": Subset(Folder(), range(24)),
    "TensorDataset(x)": TensorDataset(X),
    "a tensor": X,
    "a NumPy array": X.numpy(),
    "a NumPy array of bytes": X.numpy().astype(np.uint8),
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_the_form_of_the_data_changes_no_figure(data):
    histories, models = [], [made(), made()]
    for model, same in zip(models, (PAIRS, data), strict=True):
        histories.append(fit(model, same, validation=same, evaluate_every=1, **FAST))
    assert histories[0].train == histories[1].train
    assert histories[0].validation == histories[1].validation
    assert evaluate(models[1], data) == evaluate(models[0], PAIRS)


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
@pytest.mark.parametrize("name", GAMES)
def test_games_take_the_same_data(name, data):
    assert trained(GAMES[name](), data) == trained(GAMES[name](), PAIRS)


@pytest.mark.parametrize("name", GAMES)
def test_real_numbers_of_numpy_are_what_networks_compute_in(name):
    x = 2.0 * X.numpy() - 1
    assert x.dtype == np.float64
    for data in (x, [(image, 0) for image in x]):
        assert trained(GAMES[name](), data) == trained(GAMES[name](), PAIRS)


REFUSED = {
    "a DataLoader": (DataLoader(PAIRS, 8), TypeError, r"got a DataLoader; pass its data set \(loader.dataset\)"),
    "an IterableDataset": (Unordered(), TypeError, r"got a Unordered, .*pass list\(data\)"),
    "a generator": (((x, 0) for x in X), TypeError, r"pass list\(data\)"),
    "a path": ("my/images", TypeError, r"got a str; wrap tensors in TensorDataset\(x, y\)"),
    "a dictionary": ({"x": X}, TypeError, "got a dict; wrap"),
    "a number": (3, TypeError, "got a int; wrap"),
    "one number": (torch.tensor(3), TypeError, "got a Tensor; wrap"),
    "dictionaries": ([{"x": x} for x in X], TypeError, "got dict; let the data return tensors"),
    "words as classes": ([(x, "cat") for x in X], TypeError, "got Tensor, str; let the data return tensors"),
    "no classes": ([(x, None) for x in X], TypeError, "got Tensor, NoneType; let"),
    "three parts": ([(x, 0, 0) for x in X], ValueError, "got 3 parts; leave out"),
    "three tensors": (TensorDataset(X, Y, Y), ValueError, "got 3 parts; leave out"),
}


@pytest.mark.parametrize(("data", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_data_set_is_told_how_to_be_wrapped(data, error, message):
    model = made()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    for call in (
        lambda: fit(model, data, **FAST),
        lambda: fit(model, PAIRS, validation=data, **FAST),
        lambda: evaluate(model, data),
        *(lambda game=game: trained(game(), data) for game in GAMES.values()),
    ):
        with pytest.raises(error, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_images_of_two_sizes_are_refused():
    data = [X[0], X[0, :, 1:]] * 12
    for call in (
        lambda: fit(made(), data, **FAST),
        lambda: evaluate(made(), data),
        *(lambda game=game: trained(game(), data) for game in GAMES.values()),
    ):
        with pytest.raises(ValueError, match=r"examples of one size, got .*\(1, 3, 4\).*; resize or pad them"):
            call()


def test_a_tuple_of_tensors_is_told_how_to_be_wrapped():
    for call in (lambda: fit(made(), (X, Y), **FAST), lambda: evaluate(made(), (X, Y))):
        with pytest.raises(TypeError, match=r"wrap tensors of one length in TensorDataset\(x, y\)"):
            call()


def test_data_that_understand_a_list_are_asked_once_for_a_batch():
    asked = []

    class Listening(datasets.Dataset):
        def __getitem__(self, index):
            raise AssertionError("asked for one example")

        def __getitems__(self, indices):
            asked.append(indices)
            return [(self.x[i], self.y[i]) for i in indices]

    data = Listening("made", "train", X, Y, levels=2, n_classes=0, source="here", licence="none")
    for each in (data, Subset(data, range(20))):
        next(ScaledBatches(each, 8, torch.Generator(), levels=2))
    assert [len(index) for index in asked] == [8, 8]


@pytest.mark.parametrize("stream", [Batches, lambda *a: ScaledBatches(*a, levels=17)], ids=["fit", "games"])
def test_joined_data_that_are_drawn_afresh_go_on_with_their_draws(stream):
    def begin():
        part = datasets.load("digits", "train")
        return stream(ConcatDataset([augment(part, shift=1), Subset(augment(part, shift=2, seed=1), range(50))]), 16,
                      torch.Generator().manual_seed(0))  # fmt: skip

    through, stopped, again = begin(), begin(), begin()
    next(through), next(stopped)
    again.resume(stopped.state())
    for (x, y), (x_again, y_again) in zip([next(through) for _ in range(3)], again, strict=False):
        assert torch.equal(x, x_again)
        assert torch.equal(y, y_again)


def test_joined_data_are_evaluated_without_their_augmentation():
    digits = datasets.load("digits", "train")
    torch.manual_seed(0)
    model = MADE(digits.shape, digits.levels, hidden=(8, 8))
    parts = [Subset(digits, range(30)), Subset(digits, range(30, 50))]
    fresh = [Subset(augment(digits, shift=2), part.indices) for part in parts]
    assert evaluate(model, ConcatDataset(fresh)) == evaluate(model, ConcatDataset(parts))


def test_settings_may_be_numbers_of_numpy(tmp_path):
    whole = {name: np.int64(value) for name, value in FAST.items()} | {"seed": np.int64(0), "ema": np.float32(0.5)}
    for run, plain in (
        (lambda **o: fit(made(), PAIRS, lr=np.float32(0.25), evaluate_every=np.int64(1), **o).train, fit),
        (lambda **o: fit_game(gan(), PAIRS, lr=np.float32(0.25), watch_every=np.int64(1), **o).terms, fit_game),
    ):
        saved = Checkpoints(tmp_path / plain.__name__, every=np.int64(1))
        first = run(checkpoints=saved, **whole)
        options = {**FAST, "seed": 0, "ema": 0.5, "lr": 0.25}
        if plain is fit:
            assert first == fit(made(), PAIRS, evaluate_every=1, **options).train
        else:
            assert first == fit_game(gan(), PAIRS, watch_every=1, **options).terms
        assert run(checkpoints=saved, resume=True, **whole) == first
