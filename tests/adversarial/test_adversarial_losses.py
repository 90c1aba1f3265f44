"""Losses as functions of scores, divergences of tables: values, gradients, extremes, and what is refused."""

import math

import pytest
import torch

from garm_course.adversarial.divergences import (
    js_divergence,
    kl_divergence,
    optimal_discriminator,
    total_variation,
    wasserstein1,
)
from garm_course.adversarial.losses import LOSSES, find_loss, hinge_d_loss, minimax_d_loss, wasserstein_d_loss


def scores(n=11, seed=0, scale=2.0):
    return scale * torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_of_the_critic_raises_real_scores_and_lowers_fake_ones(name):
    real, fake = scores(seed=1).mul(0.2).requires_grad_(), scores(seed=2).mul(0.2).requires_grad_()
    loss = LOSSES[name].critic(real, fake)
    slopes = torch.autograd.grad(loss, (real, fake))
    assert (slopes[0] <= 0).all()
    assert (slopes[1] >= 0).all()
    assert slopes[0].sum() < 0 < slopes[1].sum()


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_of_the_generator_raises_low_scores_of_fakes(name):
    fake = (scores(seed=2).abs() + 0.1).neg().requires_grad_()
    [slope] = torch.autograd.grad(LOSSES[name].generator(fake), fake)
    assert (slope < 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_patches_are_averaged_like_a_batch(name):
    pair = LOSSES[name]
    real, fake = scores(24, seed=1), scores(24, seed=2)
    assert torch.equal(pair.critic(real.reshape(2, 1, 3, 4), fake.reshape(2, 1, 3, 4)), pair.critic(real, fake))
    assert torch.equal(pair.generator(fake.reshape(2, 1, 3, 4)), pair.generator(fake))


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_cross_entropies_stand_logits_of_any_size(name):
    real, fake = torch.tensor([-900.0, 900.0]), torch.tensor([900.0, -900.0])
    assert LOSSES[name].critic(real, fake) == 900
    assert torch.isfinite(LOSSES[name].generator(fake))
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.isfinite(minimax_d_loss(real.to(dtype), fake.to(dtype)))


def test_the_hinge_is_flat_beyond_the_margin_and_wasserstein_nowhere():
    real, fake = torch.tensor([2.0, -0.5], requires_grad=True), torch.tensor([-3.0, 0.5], requires_grad=True)
    slopes = torch.autograd.grad(hinge_d_loss(real, fake), (real, fake))
    assert torch.equal(slopes[0], torch.tensor([0.0, -0.5]))
    assert torch.equal(slopes[1], torch.tensor([0.0, 0.5]))
    slopes = torch.autograd.grad(wasserstein_d_loss(real, fake), (real, fake))
    assert torch.equal(slopes[0], torch.tensor([-0.5, -0.5]))


@pytest.mark.parametrize("name", LOSSES)
def test_real_and_fake_batches_may_differ_in_size_and_each_has_its_own_mean(name):
    real, fake = scores(5, seed=1), scores(9, seed=2)
    doubled = LOSSES[name].critic(real, torch.cat([fake, fake]))
    assert torch.allclose(doubled, LOSSES[name].critic(real, fake))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("real", "fake", "error", "message"),
    [
        (torch.zeros(4, 1), torch.zeros(4, 1), ValueError, r"got shape \(4, 1\); take away axes of length 1"),
        (torch.zeros(0), torch.zeros(3), ValueError, r"got shape \(0,\)"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), ValueError, r"got shape \(2, 3, 4, 4\)"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 3, 4), ValueError, "of one shape but for the number of examples"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2), ValueError, "of one shape but for the number of examples"),
        (
            torch.zeros(3, dtype=torch.long),
            torch.zeros(3),
            TypeError,
            "numbers, got a tensor of torch.int64",
        ),
        ([0.1], torch.zeros(1), TypeError, "got a list"),
    ],
)
def test_what_are_no_scores_is_refused_in_one_line(name, real, fake, error, message):
    with pytest.raises(error, match=message) as caught:
        LOSSES[name].critic(real, fake)
    assert "\n" not in str(caught.value)


def test_losses_are_found_by_name():
    assert find_loss("hinge") is LOSSES["hinge"]
    with pytest.raises(ValueError, match="no adversarial loss 'hing'; choose one of minimax, non_saturating, least"):
        find_loss("hing")


# --- divergences -----------------------------------------------------------------------------------------------------


def tables(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return (torch.randn(2, *shape, dtype=torch.float64, generator=rng) * 2).softmax(-1)


def test_divergences_are_zero_for_equal_tables_and_positive_otherwise():
    p, g = tables(20, 6)
    for divergence in (kl_divergence, js_divergence, total_variation):
        assert divergence(p, p).abs().max() < 1e-15
        assert (divergence(p, g) > 0).all()
    assert torch.allclose(total_variation(p, g), 1 - torch.minimum(p, g).sum(-1))
    assert (js_divergence(p, g) <= total_variation(p, g) * math.log(2) + 1e-12).all()  # Lin (1991)


def test_zeros_do_no_harm():
    p, g = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.5, 0.5])
    assert js_divergence(p, g).item() == pytest.approx(0.5 * math.log(2))
    assert kl_divergence(p, g) == math.inf
    assert total_variation(p, g) == 0.5
    assert torch.equal(optimal_discriminator(p, g), torch.tensor([1.0, 0.5, 0.0]))
    assert optimal_discriminator(torch.zeros(1), torch.zeros(1)) == 0.5
    weights = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64, requires_grad=True)
    [slope] = torch.autograd.grad(js_divergence(p.double(), weights.softmax(0)), weights)
    assert torch.isfinite(slope).all()


def test_wasserstein_distance_agrees_with_scipy_and_sees_shifts():
    from scipy.stats import wasserstein_distance

    a, b = scores(40, seed=1), 0.5 * scores(40, seed=2) + 1
    assert wasserstein1(a, b).item() == pytest.approx(wasserstein_distance(a.numpy(), b.numpy()), abs=1e-9)
    assert wasserstein1(a, a + 3).item() == pytest.approx(3)
    assert wasserstein1(a, a.flip(0)) == 0
    shift = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    [slope] = torch.autograd.grad(wasserstein1(a, a + shift), shift)
    assert slope.item() == pytest.approx(1)


@pytest.mark.parametrize("divergence", [kl_divergence, js_divergence, total_variation])
@pytest.mark.parametrize(
    ("p", "g", "error", "message"),
    [
        (torch.ones(2) / 2, torch.ones(3) / 3, ValueError, r"of one shape, got \(2,\) and \(3,\)"),
        (torch.ones(2), torch.ones(2) / 2, ValueError, "sum to 1, the first table sums to 2"),
        (torch.ones(2) / 2, torch.tensor([1.5, -0.5]), ValueError, "not negative, and no NaN"),
        (torch.ones(2) / 2, torch.tensor([math.nan, 0.5]), ValueError, "not negative, and no NaN"),
        (torch.ones(2).long(), torch.ones(2), TypeError, "two tensors of floating-point numbers"),
    ],
)
def test_what_are_no_tables_is_refused(divergence, p, g, error, message):
    with pytest.raises(error, match=message):
        divergence(p, g)


def test_samples_that_do_not_compare_are_refused():
    for a, b in ((torch.zeros(3), torch.zeros(4)), (torch.zeros(3, 1), torch.zeros(3, 1)), (torch.zeros(0),) * 2):
        with pytest.raises(ValueError, match=r"two samples \(N,\) of one size"):
            wasserstein1(a, b)
    with pytest.raises(TypeError, match="floating-point"):
        wasserstein1(torch.zeros(3).long(), torch.zeros(3))
