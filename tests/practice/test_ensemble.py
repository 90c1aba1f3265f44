"""An ensemble: a mean of probabilities, normalized, drawn as it is scored, at least as good as its members' mean."""

import pytest
import torch

from garm_course.autoregressive import MADE, GatedPixelCNN
from garm_course.practice.ensemble import Ensemble, conditionals


@pytest.fixture
def ensemble():
    torch.manual_seed(0)
    members = [MADE((1, 2, 2), 3, hidden=(9,)), GatedPixelCNN((1, 2, 2), 3, channels=4, layers=1)]
    for weight in (weight for one in members for weight in one.parameters()):
        torch.nn.init.normal_(weight, std=0.5)
    return Ensemble(members).eval()


def all_images():
    return torch.cartesian_prod(*[torch.arange(3)] * 4).view(-1, 1, 2, 2)


@torch.no_grad()
def test_its_probabilities_are_the_means_of_those_of_its_members_and_sum_to_one(ensemble):
    x = all_images()
    mean = torch.stack([one(x).softmax(-1) for one in ensemble.members]).mean(0)
    torch.testing.assert_close(ensemble(x).exp(), mean)
    assert ensemble.log_prob(x).double().exp().sum().item() == pytest.approx(1, abs=1e-5)
    logits = torch.stack([one(x) for one in ensemble.members]).mean(0).softmax(-1)
    assert (logits - mean).abs().max() > 0.01  # the mean of logits would be another law


@torch.no_grad()
def test_it_is_at_least_as_good_as_its_members_are_on_average(ensemble):
    x = all_images()
    members = torch.stack([one.position_log_probs(x) for one in ensemble.members]).mean(0)
    assert (ensemble.position_log_probs(x) >= members - 1e-6).all()


def test_it_draws_what_it_scores(ensemble):
    fast, slow = (draw(200, rng=torch.Generator().manual_seed(0)) for draw in (ensemble.sample, ensemble.sample_naive))
    assert torch.equal(fast, slow)


@torch.no_grad()
def test_a_table_of_conditionals_is_what_the_teacher_says(ensemble):
    ensemble.train()
    found = conditionals(ensemble, all_images(), batch_size=7)
    assert ensemble.training
    torch.testing.assert_close(found, ensemble.eval()(all_images()))


def test_members_that_do_not_fit_are_refused():
    one = MADE((1, 2, 2), 3, hidden=(5,))
    with pytest.raises(ValueError, match="at least one member"):
        Ensemble([])
    for other in (MADE((1, 2, 3), 3, hidden=(5,)), MADE((1, 2, 2), 4, hidden=(5,))):
        with pytest.raises(ValueError, match=r"expected members of shape .* member 1"):
            Ensemble([one, other])
    for other in (MADE((1, 2, 2), 3, 2, hidden=(5,)), MADE((1, 2, 2), 3, hidden=(5,), order=[3, 2, 1, 0])):
        with pytest.raises(ValueError, match="another kind of conditionals"):
            Ensemble([one, other])
    with pytest.raises(ValueError, match="another kind of conditionals"):
        Ensemble([MADE((1, 2, 2), 2, hidden=(5,))])
