"""The numbered equations of lesson 21, the capstone, checked numerically."""

import itertools
import math

import pytest
import torch

from garm_course import load, load_pretrained
from garm_course.autoregressive import MADE
from garm_course.evaluation import all_examples, evaluate, log_probs, lower_bounds
from garm_course.latent import MLPVAE
from garm_course.lessons.lesson21 import players
from garm_course.lessons.lesson21.blind_score import blind_score
from garm_course.lessons.lesson21.pareto_front import pareto_front


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.equation("21.1")
def test_more_draws_tighten_the_bound_and_it_stays_above_the_truth():
    torch.manual_seed(0)
    model = MLPVAE((1, 2, 2), 2, latents=1, hidden=(8,)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
        x = all_examples((1, 2, 2), 2)
        z = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]
        prior = torch.exp(-z[:, 0].square() / 2) / math.sqrt(2 * math.pi) * (z[1, 0] - z[0, 0])
        each = torch.stack([model.log_likelihood(image[None], z[None])[0] for image in x])  # (16, Z)
        truth = -(each + prior.log()).logsumexp(1)
    assert (-truth).exp().sum().item() == pytest.approx(1, abs=1e-6)
    many = [(image, 0) for image in x for _ in range(400)]
    bounds = [-lower_bounds(model, many, k=k).view(16, 400).mean(1) for k in (20, 3, None)]
    for tighter, looser in itertools.pairwise([truth, *bounds]):
        assert (looser - tighter).mean() > 0.005
        assert (looser - tighter).min() > -0.05  # every image, up to the noise of 400 draws


@pytest.mark.equation("21.2")
def test_the_mean_over_classes_is_a_distribution_of_images():
    torch.manual_seed(1)
    model = MADE((1, 2, 2), 2, 3, hidden=(16,)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
        x = all_examples((1, 2, 2), 2)
        each = torch.stack([model.log_prob(x, torch.full((16,), k)) for k in range(3)])
    assert (each.logsumexp(0) - math.log(3)).exp().sum().item() == pytest.approx(1, abs=1e-5)
    gain = each.max(0).values - (each.logsumexp(0) - math.log(3))
    assert gain.min() >= 0
    assert gain.max() <= math.log(3) + 1e-6  # a class is worth ln K nats at most
    assert gain.max() > 0.1


@pytest.mark.equation("21.3")
def test_the_excess_over_the_entropy_is_the_divergence():
    data, model = load("bars_and_stripes"), load_pretrained("nade-bars_and_stripes")
    x = all_examples((1, 4, 4), 2)
    q = log_probs(model, x).exp()
    known = {tuple(image) for image in data.x.flatten(1).tolist()}
    p = torch.tensor([tuple(image) in known for image in x.flatten(1).tolist()], dtype=torch.float64) / 30
    divergence = torch.special.xlogy(p, p / q).sum().item()
    assert evaluate(model, data).nats - data.entropy().nats == pytest.approx(divergence, abs=1e-6)
    assert data.entropy().nats == pytest.approx(math.log(30))
    assert divergence > 1e-4


@pytest.mark.equation("21.4")
@pytest.mark.parametrize("support", [5, 30])
def test_the_divergence_is_the_price_of_hallucinations_and_of_unequal_shares(support):
    q = torch.rand(40, dtype=torch.float64, generator=generator(2))
    q /= q.sum()
    p = torch.full((support,), 1 / support, dtype=torch.float64)
    v = q[:support].sum()
    inside = q[:support] / v
    divergence = (p * (p / q[:support]).log()).sum()
    unequal = (p * (p / inside).log()).sum()
    assert divergence.item() == pytest.approx((unequal - v.log()).item())
    assert divergence > -v.log()
    q[0] = 0
    assert (p * (p / q[:support]).log()).sum() == math.inf


@pytest.mark.equation("21.5")
def test_the_variance_of_a_paired_difference():
    n = 50
    z = torch.randn(3, 20_000, n, dtype=torch.float64, generator=generator(3))
    a, b = 2 * z[0] + z[1], 2 * z[0] + 0.5 * z[2]
    sd, rho = (math.sqrt(5), math.sqrt(4.25)), 4 / math.sqrt(5 * 4.25)
    expected = (sd[0] ** 2 + sd[1] ** 2 - 2 * rho * sd[0] * sd[1]) / n
    assert (b.mean(1) - a.mean(1)).var().item() == pytest.approx(expected, rel=0.04)
    assert expected < (sd[0] ** 2 + sd[1] ** 2) / n / 5


@pytest.mark.equation("21.6")
def test_the_front_is_what_nobody_dominates_and_some_weights_find_its_points():
    x = torch.rand(40, 2, generator=generator(4))
    front = pareto_front(x).tolist()
    for i, j in itertools.product(range(40), front):
        assert not ((x[i] <= x[j]).all() and (x[i] < x[j]).any())
    for i in set(range(40)) - set(front):
        assert any((x[j] <= x[i]).all() and (x[j] < x[i]).any() for j in front)
    for weight in torch.linspace(0.01, 0.99, 30):  # whatever the weights are, a weighted sum is best on the front
        assert int((x @ torch.stack([weight, 1 - weight])).argmin()) in front


@pytest.mark.equation("21.7")
@pytest.mark.parametrize("name", ["honest", "scaled", "peeker", "future", "certain"])
def test_hidden_scores_sum_to_one_whatever_the_player_does(name):
    x = torch.cartesian_prod(*(torch.arange(3) for _ in range(5)))
    ask = getattr(players, name)
    for seed in range(3):
        noise = torch.randint(3, (1, 5), generator=generator(seed)).expand(243, 5)
        assert blind_score(ask, x, 3, noise).exp().sum().item() == pytest.approx(1, abs=1e-9)
    if name in ("peeker", "future"):  # and the sum is not 1 if nothing is hidden, or if the noise follows the image
        seen = sum(ask(x, i).log_softmax(1)[torch.arange(243), x[:, i]] for i in range(5))
        assert seen.exp().sum() > 1.2
        assert blind_score(ask, x, 3, x).exp().sum() > 1.2


@pytest.mark.equation("21.8")
def test_a_ratio_bet_is_fair_against_the_normalized_and_wins_against_the_inflated():
    q = torch.tensor([0.5, 0.3, 0.2, 0.0], dtype=torch.float64)
    p = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    some = q > 0
    mean = (q[some] * p[some] / q[some]).sum().item()
    assert mean == pytest.approx(p[some].sum().item())
    assert mean < 1
    draws = torch.multinomial(q, 4000 * 20, replacement=True, generator=generator(5)).view(4000, 20)
    ratio = (p / q)[draws].mean(1)
    for delta in (0.9, 0.7):  # Markov: seldom above 1/delta
        assert (ratio > 1 / delta).double().mean() <= delta
    inflated = math.exp(3) * ratio
    assert (inflated > 1 / 0.1).double().mean() > 0.5  # a lie of three nats is refuted at the level 0.1
