"""The numbered equations of lesson 19, trust, checked numerically."""

import itertools
import math

import pytest
import torch
from small_models import small_model

from garm_course.autoregressive.made import MADE
from garm_course.autoregressive.pixelcnn import PixelCNN
from garm_course.lessons.lesson19 import EXERCISES
from garm_course.lessons.lesson19.dp_sgd_grad import P, X, Z, network
from garm_course.trust import GreenList, copy_test, p_value, shadow_scores, tpr_at_fpr

exposure, membership_auc, dp_sgd_grad, integrated_gradients = (exercise.reference for exercise in EXERCISES)
normal = torch.distributions.Normal(0.0, 1.0)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def gauss(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


@pytest.mark.equation("19.1")
def test_the_copy_test_is_one_half_for_fresh_data_and_one_for_copies_with_the_deviation_of_mann_and_whitney():
    train, n, m = gauss(200, 3), 40, 60
    shares = torch.tensor(
        [copy_test(train, gauss(m, 3, seed=2 * k + 1), gauss(n, 3, seed=2 * k + 2)).share for k in range(300)]
    )
    deviation = math.sqrt((n + m + 1) / (12 * n * m))
    assert abs(shares.mean() - 0.5) < 4 * deviation / math.sqrt(300)
    assert shares.std() == pytest.approx(deviation, rel=4 / math.sqrt(600))  # 4 standard errors of a deviation
    found = copy_test(train, gauss(m, 3, seed=5), gauss(n, 3, seed=6))
    assert found.z == pytest.approx((found.share - 0.5) / deviation, rel=1e-9)
    assert copy_test(train, gauss(m, 3, seed=7), train[:n]).share == 1
    assert copy_test(train, gauss(m, 3, seed=7), 3 * gauss(n, 3, seed=8)).share < 0.25  # bad samples look private


@pytest.mark.equation("19.2")
def test_exposure_of_a_rank_that_is_uniform_has_the_mean_one_over_ln_2_and_its_largest_value_is_log2_of_all():
    refs = torch.arange(2047.0)
    bits = exposure(torch.arange(2048.0) - 0.5, refs)  # every rank once
    n = 2048
    assert float(bits.mean()) == pytest.approx(math.log2(n) - math.lgamma(n + 1) / (n * math.log(2)), abs=1e-5)
    assert float(bits.mean()) == pytest.approx(1 / math.log(2), abs=0.005)
    assert float(bits.max()) == pytest.approx(11)
    assert float(bits.min()) == pytest.approx(0, abs=1e-6)
    million = torch.arange(999_999.0)
    assert float(exposure(torch.tensor([-1.0]), million)) == pytest.approx(19.93, abs=0.005)
    for k in (1.0, 2.0, 5.0):  # P(exposure >= k) = 2^-k
        assert (bits >= k - 1e-6).double().mean() == pytest.approx(2.0**-k)


@pytest.mark.equation("19.3")
def test_no_rule_has_a_larger_advantage_than_the_total_variation_and_the_likelihood_ratio_reaches_it():
    inside = torch.tensor([0.35, 0.25, 0.05, 0.05, 0.2, 0.1], dtype=torch.float64)
    outside = torch.tensor([0.1, 0.2, 0.3, 0.1, 0.25, 0.05], dtype=torch.float64)
    tv = (inside - outside).abs().sum().item() / 2
    rules = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=torch.float64)  # who is called a member
    advantage = rules @ (inside - outside)
    assert advantage.max().item() == pytest.approx(tv)
    assert torch.equal(rules[advantage.argmax()], (inside > outside).double())
    assert (rules @ inside <= rules @ outside + tv + 1e-12).all()
    same = gauss(7)
    assert float(membership_auc(same, same)) == 0.5


@pytest.mark.equation("19.4")
def test_the_log_likelihood_ratio_is_the_best_rule_where_the_difficulty_of_examples_differs():
    n, shadows = 20_000, 64
    difficulty = 80 + 15 * gauss(n, seed=1)
    member = torch.rand(n, generator=rng(2)) < 0.5

    def losses(inside, seed):  # members of a model cost it 3 nats less
        return difficulty - 3.0 * inside.double() + gauss(*inside.shape, seed=seed)

    inside = torch.rand(shadows, n, generator=rng(3)) < 0.5
    target = losses(member, 5)
    scores = shadow_scores(losses(inside, 4), inside, target)
    auc = {name: float(membership_auc(s[member], s[~member])) for name, s in scores.items()}
    assert auc["loss"] == pytest.approx(normal.cdf(torch.tensor(3 / math.sqrt(2 * (15**2 + 1)))).item(), abs=0.04)
    assert auc["lira"] == pytest.approx(normal.cdf(torch.tensor(3 / math.sqrt(2))).item(), abs=0.01)
    best = 1 - normal.cdf(normal.icdf(torch.tensor(0.99)) - 3).item()
    assert tpr_at_fpr(scores["lira"][member], scores["lira"][~member], 0.01) == pytest.approx(best, abs=0.05)
    assert tpr_at_fpr(scores["loss"][member], scores["loss"][~member], 0.01) < 0.1
    # one example, by hand: log N(l; in) - log N(l; out) with equal deviations is linear in the loss
    l, a, b, s = 76.0, 75.0, 79.0, 2.0
    ratio = torch.distributions.Normal(a, s).log_prob(torch.tensor(l)) - torch.distributions.Normal(b, s).log_prob(
        torch.tensor(l)
    )
    assert ratio.item() == pytest.approx((b - a) * ((a + b) / 2 - l) / s**2, rel=1e-5)


@pytest.mark.equation("19.5")
def test_the_promise_bounds_every_attack_on_a_gaussian_mechanism_and_is_reached_at_one_point():
    sigma, epsilon = 1.0, 1.0
    cdf = normal.cdf
    # the exact delta of N(0, sigma^2) against N(1, sigma^2): Balle and Wang (2018), theorem 8
    half, shift = torch.tensor(1 / (2 * sigma)), torch.tensor(epsilon * sigma)
    delta = (cdf(half - shift) - math.exp(epsilon) * cdf(-half - shift)).item()
    assert delta == pytest.approx(0.1269, abs=1e-4)
    fpr = torch.linspace(1e-6, 1 - 1e-6, 200_001, dtype=torch.float64)
    tpr = cdf(normal.icdf(fpr) + 1 / sigma)  # the best test between the two, by Neyman and Pearson
    slack = math.exp(epsilon) * fpr + delta - tpr
    assert slack.min() > -1e-6
    assert slack.min() < 1e-6
    assert (math.exp(epsilon) * fpr + 0.9 * delta - tpr).min() < -0.01  # a smaller delta would be a false promise


@pytest.mark.equation("19.6")
def test_one_example_moves_the_private_sum_by_at_most_C_and_the_noise_has_deviation_sigma_C_over_batch():
    silent = {name: torch.zeros_like(z) for name, z in Z.items()}

    def flat(tensors):
        return torch.cat([t.flatten() for t in tensors.values()])

    C, sigma, batch = 0.7, 1.5, 4.0
    for scale in (0.01, 1.0, 1e4):
        one = scale * gauss(1, X.shape[1], seed=3)
        with_one = flat(dp_sgd_grad(network, P, torch.cat([X, one]), C, 0.0, silent, 1.0))
        moved = (with_one - flat(dp_sgd_grad(network, P, X, C, 0.0, silent, 1.0))).norm()
        assert moved <= C + 1e-9
    assert moved == pytest.approx(C)
    added = flat(dp_sgd_grad(network, P, X, C, sigma, Z, batch)) - flat(dp_sgd_grad(network, P, X, C, 0.0, Z, batch))
    torch.testing.assert_close(added, sigma * C * flat(Z) / batch)
    leaves = {name: p.clone().requires_grad_() for name, p in P.items()}
    sum(network(leaves, x) for x in X).backward()
    plain = flat(dp_sgd_grad(network, P, X, 1e9, 0.0, silent, 1.0))
    torch.testing.assert_close(plain, flat({name: p.grad for name, p in leaves.items()}))
    nobody = dp_sgd_grad(network, P, X[:0], C, sigma, Z, batch)
    torch.testing.assert_close(flat(nobody), sigma * C * flat(Z) / batch)


@pytest.mark.equation("19.7")
def test_the_surprises_of_the_pixels_sum_to_the_cost_of_the_image():
    for cls in (MADE, PixelCNN):
        model = small_model(cls, (1, 3, 4), 5)
        x = torch.randint(5, (6, 1, 3, 4), generator=rng())
        surprise = -model.position_log_probs(x).detach()
        assert (surprise >= 0).all()
        torch.testing.assert_close(surprise.flatten(1).sum(1), -model.log_prob(x).detach())
        changed = x.clone()
        changed[:, 0, 2, 3] = (x[:, 0, 2, 3] + 1) % 5  # the last pixel: no earlier surprise depends on it
        torch.testing.assert_close(
            -model.position_log_probs(changed).detach().flatten(1)[:, :-1], surprise.flatten(1)[:, :-1]
        )


@pytest.mark.equation("19.8")
def test_integrated_gradients_sum_to_the_difference_and_their_error_falls_with_the_square_of_the_steps():
    a, b = gauss(6, 4, seed=1), gauss(4, seed=2)
    x, x0 = gauss(3, 6, seed=3), gauss(3, 6, seed=4)

    def f(x):
        return torch.tanh(x @ a) @ b

    errors = [(integrated_gradients(f, x, x0, n).sum(1) - (f(x) - f(x0))).abs().max().item() for n in (64, 128, 256)]
    assert errors[-1] < 1e-3
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=0.1)
    torch.testing.assert_close(integrated_gradients(lambda x: x @ a[:, 0], x, x0, 1), (x - x0) * a[:, 0])
    twos = torch.full((3, 2), 2.0, dtype=torch.float64)
    shared = integrated_gradients(lambda x: x.prod(1), twos, torch.zeros_like(twos), 1)
    torch.testing.assert_close(shared, twos)  # 2 * 2 = 4 is divided evenly


@pytest.mark.equation("19.9")
def test_the_green_count_of_any_image_is_binomial_over_random_keys_and_the_p_value_is_its_exact_tail():
    levels, gamma, length, keys = 17, 0.5, 12, 400
    text = torch.randint(levels, (1, length), generator=rng(1))
    counts = torch.tensor([int(GreenList(k, gamma, levels=levels).count(text)) for k in range(keys)]).double()
    share = 8 / 17  # half of 17 levels, rounded down
    deviation = math.sqrt(length * share * (1 - share))
    assert abs(counts.mean() - length * share) < 4 * deviation / math.sqrt(keys)
    assert counts.std() == pytest.approx(deviation, rel=4 / math.sqrt(2 * keys))
    tail = [
        sum(math.comb(length, k) * share**k * (1 - share) ** (length - k) for k in range(c, length + 1))
        for c in range(length + 1)
    ]
    found = p_value(torch.arange(length + 1), length, share)
    assert found.tolist() == pytest.approx(tail, rel=1e-9)
    small = (torch.tensor(tail)[counts.long()] <= 0.05).double().mean()
    assert small <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / keys)
