"""Augmentation: what it does to images, and that nothing which evaluates ever sees it."""

import math

import pytest
import torch
from fake_data import small_mnist, write_idx
from torch.utils.data import DataLoader

from garm_course.datasets import Dataset, augment, load
from garm_course.datasets.augmentation import bend, move
from garm_course.evaluation.baselines import baselines
from garm_course.evaluation.likelihood import evaluate, log_probs
from garm_course.training.likelihood import fit


class Seen:
    """A model that remembers every image that it is asked about."""

    def __init__(self):
        self.images = []

    def log_prob(self, x):
        self.images.append(x.clone())
        return -x.flatten(1).double().sum(1)


class Learner(torch.nn.Module):
    """The smallest model that can be trained; it keeps what it sees in training and in evaluation apart."""

    n_classes = 0

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(()))
        self.seen = {True: [], False: []}

    def log_prob(self, x):
        self.seen[self.training].append(x.clone())
        return -(self.w - 1).square() - 0 * x.flatten(1).float().sum(1)


def rows(images):
    return {tuple(row) for row in images.flatten(1).tolist()}


def test_evaluation_never_sees_augmented_images():
    plain = load("digits")
    augmented = augment(plain, shift=2, elastic=1.0)
    seen = Seen()
    evaluate(seen, augmented)
    assert torch.equal(torch.cat(seen.images), plain.x)
    assert torch.equal(log_probs(Seen(), augmented), log_probs(Seen(), plain))
    assert baselines(augmented, augmented) == baselines(plain, plain)
    assert augmented.plain is plain
    assert augmented.fingerprint == plain.fingerprint


def test_evaluating_does_not_move_the_draws_of_training():
    a, b = augment(load("digits"), shift=2), augment(load("digits"), shift=2)
    evaluate(Seen(), a)
    assert torch.equal(a[:][0], b[:][0])


def test_evaluation_of_a_part_sees_it_as_it_is():
    plain = load("digits")
    part = torch.utils.data.Subset(torch.utils.data.Subset(augment(plain, shift=2), range(100)), [3, 50])
    seen = Seen()
    evaluate(seen, part)
    assert torch.equal(torch.cat(seen.images), plain.x[[3, 50]])


@pytest.mark.slow
def test_spawned_workers_can_draw_after_the_first_access():
    data = augment(load("digits"), shift=1)
    data[0]
    loader = DataLoader(data, batch_size=600, num_workers=1, multiprocessing_context="spawn")
    assert sum(len(x) for x, _ in loader) == 1257


def test_colors_may_be_shifted_and_the_change_is_named():
    data = augment(load("glyphs", n=20, color=True), shift=1)
    assert (load("glyphs", "test", n=1, color=True, shift=2).log_prob(data[:][0]) > -math.inf).all()
    assert "augmented (shift 1, elastic 0)" in repr(data)
    assert "augmented" not in repr(data.plain)


def test_training_sees_augmented_images_and_validation_does_not():
    train, validation = augment(load("digits"), shift=2), load("digits", "validation")
    model = Learner()
    fit(model, train, validation=validation, steps=6, batch_size=64, evaluate_every=3)
    trained, evaluated = rows(torch.cat(model.seen[True])), rows(torch.cat(model.seen[False]))
    assert evaluated == rows(validation.x)
    assert len(trained - rows(train.x)) > 0.8 * len(trained)
    fit(model := Learner(), train, validation=train, steps=2, batch_size=64, evaluate_every=2)  # even by mistake
    assert rows(torch.cat(model.seen[False])) == rows(train.x)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("name", ["digits", "glyphs"])
def test_held_out_data_are_not_augmented(name, split):
    with pytest.raises(ValueError, match="for training only"):
        augment(load(name, split), shift=1)


def test_every_access_is_another_image_of_the_same_digit():
    plain = load("digits")
    data = augment(plain, shift=1, seed=3)
    first, second = data[:][0], data[:][0]
    assert not torch.equal(first, second)
    assert torch.equal(data.x, plain.x)
    assert torch.equal(data[5][1], plain.y[5])
    assert data[5][0].shape == (1, 8, 8)
    assert torch.equal(augment(plain, shift=1, seed=3)[:][0], first)
    assert not torch.equal(augment(plain, shift=1, seed=4)[:][0], first)
    x, y = next(iter(DataLoader(data, batch_size=16)))
    assert x.shape == (16, 1, 8, 8)
    assert x.dtype == torch.long
    assert torch.equal(y, plain.y[:16])


def test_shifts_are_all_that_are_allowed_equally_often():
    dot = load("digits")
    dot.x.zero_()
    dot.x[:, 0, 4, 3] = 16
    places = augment(dot, shift=2)[:][0].flatten(1).argmax(1)
    n, count = len(dot), 25
    steps = torch.bincount(places, minlength=64).view(8, 8)
    assert (steps > 0).sum() == count
    assert (steps[2:7, 1:6] > 0).all()
    chi_square = ((steps[2:7, 1:6] - n / count) ** 2 / (n / count)).sum().item()
    assert chi_square < 24 + 4 * math.sqrt(2 * 24)


@pytest.mark.parametrize("step", [(0, 0), (1, 0), (-2, 3), (4, -5), (7, 7)])
def test_moving_is_a_shift_with_empty_borders(step):
    x = torch.randint(1, 9, (3, 2, 8, 6), generator=torch.Generator().manual_seed(0))
    moved = move(x, torch.tensor([step] * 3))
    for r in range(8):
        for c in range(6):
            fr, fc = r - step[0], c - step[1]
            expected = x[:, :, fr, fc] if 0 <= fr < 8 and 0 <= fc < 6 else torch.zeros(3, 2, dtype=torch.long)
            assert torch.equal(moved[:, :, r, c], expected)


def test_bending_moves_pixels_by_the_stated_root_mean_square():
    """A picture whose levels are its columns shows the displacement: each level minus its own column."""
    ramp = torch.arange(1000, 1060).repeat(60, 1)[None, None].repeat(200, 1, 1, 1) * 1000
    strength = 1.5
    bent = bend(ramp, strength, torch.Generator().manual_seed(0))
    moved = (bent - ramp)[:, :, 15:45, 15:45].double() / 1000
    n = 200 * 49 / 6  # about one independent value for each patch as wide as the blur
    assert moved.square().mean().sqrt().item() == pytest.approx(strength, rel=4 / math.sqrt(2 * n))
    assert abs(moved.mean().item()) < 4 * strength / math.sqrt(n)
    upright = ramp.transpose(2, 3)  # the same seed bends it in the same way
    down = (bend(upright, strength, torch.Generator().manual_seed(0)) - upright)[:, :, 15:45, 15:45].double() / 1000
    assert down.square().mean().sqrt().item() == pytest.approx(strength, rel=4 / math.sqrt(2 * n))
    assert abs((moved * down).mean().item()) < 4 * strength**2 / math.sqrt(n)  # down is independent of across
    neighbors = (moved[..., 1:] - moved[..., :-1]).square().mean().sqrt()
    assert neighbors < 0.2 * strength  # smooth: neighbors move together


def test_bending_invents_no_levels_and_keeps_the_empty_image():
    data = load("digits")
    bent = bend(data.x[:100], 1.0, torch.Generator().manual_seed(0))
    assert bent.dtype == torch.long
    assert bent.min() >= 0
    assert bent.max() <= 16
    assert (bent != data.x[:100]).flatten(1).any(1).all()
    ink, before = bent.double().sum(), data.x[:100].double().sum()
    assert 0.85 < ink / before < 1.15
    assert bend(torch.zeros(2, 1, 8, 8).long(), 2.0, torch.Generator().manual_seed(0)).sum() == 0
    binary = bend(load("glyphs", "test", n=5).x, 1.0, torch.Generator().manual_seed(0))
    assert set(binary.unique().tolist()) == {0, 1}


def test_dynamic_mnist_is_changed_before_it_is_drawn(monkeypatch, tmp_path):
    small_mnist(monkeypatch)
    write_idx(tmp_path / "mnist")
    monkeypatch.setenv("GARM_DATA", str(tmp_path))
    train = load("mnist_dynamic")
    train.gray.fill_(128)
    frequency = torch.stack([augment(train, shift=3, seed=s)[:][0] for s in range(40)]).double().mean((0, 1, 2))
    assert frequency[10:18, 10:18].mean().item() == pytest.approx(128 / 255, abs=0.01)
    assert frequency[0].mean().item() == pytest.approx(128 / 255 * 4 / 7, abs=0.03)  # empty in three shifts of seven
    augmented = augment(train, shift=3)
    assert augmented.plain is train.plain
    seen = Seen()
    evaluate(seen, augmented)
    assert torch.equal(torch.cat(seen.images), train.x)  # neither moved nor drawn anew


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: augment(load("digits")), ["got neither"]),
        (lambda: augment(load("digits"), shift=8), ["shift", "0..7", "got 8"]),
        (lambda: augment(load("digits"), shift=-1), ["shift", "got -1"]),
        (lambda: augment(load("digits"), elastic=-0.5), ["elastic", "from 0 to"]),
        (lambda: augment(load("digits"), elastic=math.nan), ["elastic"]),
        (lambda: augment(load("digits"), shift=1, seed=-1), ["seed"]),
        (lambda: augment(augment(load("digits"), shift=1), elastic=1.0), ["not augmented yet", "together"]),
        (lambda: augment(load("patches"), shift=1), ["patches are photographs"]),
        (lambda: augment(load("glyphs", n=5, color=True), elastic=1.0), ["colors", "use shift"]),
        (lambda: augment("digits", shift=1), ["expected a data set, got str"]),
        (lambda: augment(load("pydoc"), shift=1), ["images (C, H, W)", "windows"]),
        (lambda: augment(load("ring"), shift=1), ["images (C, H, W)", "points"]),
        (lambda: augment(load("bars_and_stripes"), shift=1), ["training only", "'all'"]),
    ],
)
def test_bad_requests_are_refused(call, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_dynamic_mnist_is_bent_before_it_is_drawn_and_evaluated_as_it_is(monkeypatch, tmp_path):
    small_mnist(monkeypatch)
    write_idx(tmp_path / "mnist")
    monkeypatch.setenv("GARM_DATA", str(tmp_path))
    train = load("mnist_dynamic")
    train.gray.copy_(255 * (torch.arange(28) % 2).expand_as(train.gray))  # black and white: nothing is left to chance
    assert not torch.equal(augment(train, elastic=2.0)[:][0], train[:][0])
    plain = augment(train, shift=3).plain
    assert torch.equal(plain[:][0], train.x)
    assert torch.equal(plain[:][0], train.x)  # no fresh draw in what evaluation sees


def test_what_bending_brings_in_from_outside_is_empty():
    assert bend(torch.full((50, 1, 8, 8), 16), 2.0, torch.Generator().manual_seed(0)).min() == 0


def test_a_shift_is_smaller_than_the_shorter_side():
    wide = Dataset("d", "train", torch.ones(2, 1, 4, 9).long(), torch.zeros(2).long(), levels=2, n_classes=0,
                   source="", licence="")  # fmt: skip
    with pytest.raises(ValueError, match=r"0\.\.3 as shift"):
        augment(wide, shift=4)
