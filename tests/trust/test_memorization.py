"""Nearest neighbors, the copy test and exposure: closed forms, laws under no copying, and what is refused."""

import math

import pytest
import torch

from garm_course.trust.memorization import copy_test, deduplicate, exposure, make_canaries, nearest, plant
from garm_course.trust.ranks import null_deviation, share_below


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_nearest_are_those_of_all_distances_and_equal_ones_have_distance_0():
    a, b = torch.randint(17, (37, 1, 3, 3), generator=rng()), torch.randint(17, (50, 1, 3, 3), generator=rng(1))
    b[13] = a[5]
    found = nearest(a, b, batch_size=10)
    distances = (a.flatten(1).double()[:, None] - b.flatten(1).double()).norm(dim=2)
    assert torch.allclose(found.distance, distances.min(1).values)
    assert torch.equal(found.index, distances.argmin(1))
    assert found.distance[5] == 0
    features = 1e4 + torch.rand(20, 7, generator=rng())  # far from 0, where squares of float32 would not suffice
    assert (nearest(features, features).distance == 0).all()


def test_the_share_below_counts_pairs_and_its_deviation_is_that_of_relabelled_sets():
    values = torch.randint(6, (24,), generator=rng()).float()
    a, b = values[:9], values[9:]
    pairs = (a[:, None] < b).double() + 0.5 * (a[:, None] == b).double()
    assert share_below(a, b) == pytest.approx(pairs.mean().item(), abs=1e-12)
    assert share_below(b, a) == pytest.approx(1 - share_below(a, b), abs=1e-12)
    shares = []
    generator = rng(2)
    for _ in range(3000):
        mixed = values[torch.randperm(24, generator=generator)]
        shares.append(share_below(mixed[:9], mixed[9:]))
    shares = torch.tensor(shares, dtype=torch.float64)
    assert shares.mean().item() == pytest.approx(0.5, abs=4 * null_deviation(a, b) / math.sqrt(3000))
    assert shares.std().item() == pytest.approx(null_deviation(a, b), rel=0.06)
    assert null_deviation(torch.ones(3), torch.ones(4)) == 0


def test_held_out_data_pass_the_copy_test_copies_fail_and_noise_lies_below():
    draws = torch.randn(900, 4, generator=rng())
    train, test, fresh = draws.split(300)
    assert abs(copy_test(train, test, fresh).z) < 4
    copies = copy_test(train, test, train)
    assert copies.share == 1
    assert copies.z > 15
    noisy = copy_test(train, test, fresh + torch.randn(300, 4, generator=rng(1)))
    assert noisy.z < -4
    shares = []
    for k in range(60):
        train, test, fresh = torch.randn(3, 40, 2, generator=rng(10 + k))
        shares.append(copy_test(train, test, fresh).share)
    assert torch.tensor(shares).mean().item() == pytest.approx(
        0.5, abs=4 * null_deviation(*torch.rand(2, 40)) / 60**0.5
    )


def test_in_cells_copies_are_found_that_bad_samples_elsewhere_hide():
    train, test, good = torch.randn(3, 200, 3, generator=rng())
    cell = (torch.arange(200) % 3 > 0).long()  # 67 and 133 of each
    shift = 20.0 * cell[:, None]
    samples = torch.where(cell[:, None] == 0, train, good + 3 * torch.randn(200, 3, generator=rng(1)))
    sets = [x + shift for x in (train, test, samples)]
    one = [x[cell == 0] for x in sets]
    by_cell = copy_test(*one, cells=(cell[cell == 0],) * 3)
    assert by_cell == copy_test(*one)
    assert by_cell.share == 1
    first = copy_test(*sets, cells=(cell, cell, cell))
    other = copy_test(*(x[cell == 1] for x in sets))
    weights = [len(x) ** 2 / (2 * len(x) + 1) for x in (cell[cell == 0], cell[cell == 1])]
    share = (weights[0] * by_cell.share + weights[1] * other.share) / sum(weights)
    assert first.share == pytest.approx(share, abs=1e-6)
    deviations = [w * (one.share - 0.5) / one.z for w, one in zip(weights, (by_cell, other), strict=True)]
    assert first.z == pytest.approx((share - 0.5) * sum(weights) / math.hypot(*deviations), rel=1e-6)
    fresh = torch.randn(2, 3, 200, 3, generator=rng(2))
    z = [copy_test(*(x + shift for x in three), cells=(cell, cell, cell)).z for three in fresh]
    assert max(map(abs, z)) < 4
    assert copy_test(*[torch.zeros(4, 2)] * 3) == (0.5, 0.0)


def test_exposure_of_an_unknown_canary_has_the_mean_of_a_uniform_rank():
    references = torch.randn(1023, generator=rng())
    best, worst = torch.tensor([-9.0]), torch.tensor([9.0])
    assert exposure(best, references).item() == pytest.approx(10)
    assert exposure(worst, references).item() == pytest.approx(0)
    every = exposure(torch.cat([references + 1e-9, best]), references)  # each rank once
    assert every.mean().item() == pytest.approx(1 / math.log(2), abs=0.01)
    assert exposure(best, torch.zeros(10**6 - 1)).item() == pytest.approx(19.93, abs=0.005)
    assert exposure(torch.tensor([1.0]), torch.tensor([1.0, 1.0, 0.0])).item() == pytest.approx(1)  # ties are not lower


def test_canaries_differ_where_they_were_changed_and_are_planted_as_often_as_said():
    x = torch.randint(17, (30, 1, 8, 8), generator=rng())
    canaries = make_canaries(x, 8, 17, rng(1))
    changed = (canaries != x).flatten(1).sum(1)
    assert changed.max() <= 8
    assert changed.double().mean().item() == pytest.approx(8 * 16 / 17, abs=0.6)
    data = plant(x, canaries[:3], [0, 1, 4])
    assert torch.equal(data[:30], x)
    assert torch.equal(data[30:], canaries[[1, 2, 2, 2, 2]])
    assert torch.equal(deduplicate(data), torch.cat([x, canaries[1:3]]))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: nearest(x, x[:, :, :4]), "expected examples of one size in both sets, got 64 and 32 numbers"),
        (lambda x: nearest(x[:0], x), "at least one"),
        (lambda x: nearest(x.double() / 0, x), "NaN or infinity"),
        (lambda x: copy_test(x, x, x, cells=(torch.zeros(2),) * 3), "a cell for each example"),
        (lambda x: copy_test(x, x, x, cells=(torch.zeros(5), torch.ones(5), torch.ones(5))), "got none"),
        (lambda x: make_canaries(x, 65, 17, rng()), "an example has 64 positions"),
        (lambda x: plant(x, x[2:3], [1]), "canary 0 is in the training data"),
        (lambda x: plant(x, (x[:1] + 1).repeat(2, 1, 1, 1), [1, 1]), "got one twice"),
        (lambda x: plant(x, x[:1] + 1, [1, 2]), "1 counts of at least 0"),
        (lambda x: exposure(torch.tensor([math.nan]), torch.ones(3)), "got NaN"),
        (lambda x: exposure(torch.ones(2), torch.ones(0)), "at least one"),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(torch.randint(17, (5, 1, 8, 8), generator=rng()))


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="expected real numbers"):
        exposure([1.0], torch.ones(2))
    with pytest.raises(TypeError, match="LongTensor of levels"):
        make_canaries(torch.rand(2, 4), 1, 17, rng())
