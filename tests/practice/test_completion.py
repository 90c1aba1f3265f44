"""Particles: the posterior of an enumerated model, an evidence that is right on average, what is given stays."""

import math

import pytest
import torch
from small_models import small_model

from garm_course.autoregressive.made import MADE
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.autoregressive.transformer import CharTransformer
from garm_course.practice.completion import complete, resampled

MODEL = small_model(MADE, (1, 2, 3), 2, hidden=(16,))
ALL = torch.cartesian_prod(*[torch.arange(2)] * 6)
EXACT = MODEL.log_prob(ALL.view(-1, 1, 2, 3)).exp().detach()
CASES = {
    "given last": [-1, -1, -1, -1, 1, 0],
    "in between": [-1, 1, -1, 0, -1, 1],
    "given first": [0, 1, 1, -1, -1, -1],
    "nothing": [-1] * 6,
}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def fits(given):
    return ((torch.tensor(given) == ALL) | (torch.tensor(given) < 0)).all(1)


@pytest.mark.parametrize("name", CASES)
def test_particles_follow_the_exact_posterior(name):
    given = CASES[name]
    found = complete(MODEL, torch.tensor(given), 20_000, rng=rng())
    p = EXACT * fits(given)
    frequency = torch.bincount((found.values * 2 ** torch.arange(5, -1, -1)).sum(1), minlength=64) / 20_000
    assert 0.5 * (frequency - p / p.sum()).abs().sum() < 0.03
    assert found.log_evidence == pytest.approx(p.sum().log().item(), abs=0.02)
    assert all((found.values[:, i] == level).all() for i, level in enumerate(given) if level >= 0)


def test_all_given_is_the_likelihood_and_nothing_given_has_evidence_one():
    whole = complete(MODEL, ALL[37], 3, rng=rng())
    assert whole.log_evidence == pytest.approx(EXACT[37].log().item(), abs=1e-9)
    assert complete(MODEL, torch.full((6,), -1), 5, rng=rng()).log_evidence == 0


def test_the_evidence_of_few_particles_is_right_on_average():
    given = CASES["in between"]
    draws = rng()
    found = torch.tensor([complete(MODEL, torch.tensor(given), 4, rng=draws).log_evidence for _ in range(1500)]).exp()
    assert abs(found.mean() - EXACT[fits(given)].sum()) < 4 * found.std() / 1500**0.5


def test_clamping_is_another_law():
    """What `sample(given=)` does for values further down: the check of the text, that particles are needed."""
    given = torch.tensor(CASES["given last"])
    clamped = MODEL.sample(20_000, given=given.clamp(min=0).view(1, 2, 3), mask=(given >= 0).view(1, 2, 3), rng=rng())
    p = EXACT * fits(given.tolist())
    frequency = torch.bincount((clamped.flatten(1) * 2 ** torch.arange(5, -1, -1)).sum(1), minlength=64) / 20_000
    assert 0.5 * (frequency - p / p.sum()).abs().sum() > 0.05


@pytest.mark.parametrize(
    ("cls", "shape", "options", "y"),
    [
        (GatedPixelCNN, (1, 3, 3), {"channels": 4, "layers": 1, "n_classes": 3}, torch.tensor([2])),
        (CharTransformer, (6,), {"layers": 1}, None),
    ],
)
def test_any_model_takes_part(cls, shape, options, y):
    options = dict(options)
    model = small_model(cls, shape, 4, options.pop("n_classes", 0), **options)
    given = torch.full((model.positions,), -1)
    given[-1], given[1] = 3, 2
    found = complete(model, given, 7, y, rng=rng())
    assert found.values.shape == (7, model.positions)
    assert (found.values[:, [1, -1]] == torch.tensor([2, 3])).all()
    assert math.isfinite(found.log_evidence)


def test_pointers_copy_by_weight():
    weights = torch.rand(50, generator=rng(), dtype=torch.float64)
    counts = torch.bincount(resampled(weights, 0.3), minlength=50)
    wanted = 50 * weights / weights.sum()
    assert ((counts - wanted).abs() < 1).all()
    assert resampled(torch.tensor([0.0, 1.0, 0.0]), 0.99).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.zeros(5, dtype=torch.long), 3), r"a LongTensor \(6,\)"),
        ((torch.zeros(6), 3), r"a LongTensor \(6,\)"),
        ((torch.full((6,), 2), 3), r"levels -1\.\.1"),
        ((torch.full((6,), -2), 3), r"levels -1\.\.1"),
        ((torch.full((6,), -1), 0), "n >= 1"),
    ],
)
def test_what_cannot_be_completed_is_told(arguments, words):
    with pytest.raises(ValueError, match=words):
        complete(MODEL, *arguments)
    with pytest.raises(ValueError, match="temperature > 0"):
        complete(MODEL, torch.full((6,), -1), 2, temperature=0)
