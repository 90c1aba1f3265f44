"""Likelihoods: figures and standard errors by hand, independence of batches, baselines, KL against enumeration."""

import math

import pytest
import torch

from garm_course import datasets
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.evaluation.likelihood import (
    ClassMarginals,
    Likelihood,
    PixelMarginals,
    Uniform,
    baselines,
    bits_per_dim,
    evaluate,
    kl_to_model,
    log_probs,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def dataset(n=50, shape=(1, 3, 4), levels=3, n_classes=2):
    x = torch.randint(levels, (n, *shape), generator=rng())
    y = torch.arange(n) % max(n_classes, 1)
    return datasets.Dataset(
        "made", "train", x, y, levels=levels, n_classes=n_classes, source="made here", licence="none needed"
    )


def build(data, n_classes=0, cls=GatedPixelCNN, **options):
    torch.manual_seed(0)
    return cls(data.shape, data.levels, n_classes, channels=8, layers=2, **options)


def test_the_figure_is_the_mean_and_its_standard_error():
    data = dataset()
    model = build(data).double()
    nll = -model.log_prob(data.x)
    result = evaluate(model, data)
    assert result.nats == pytest.approx(nll.mean().item(), rel=1e-12)
    assert result.stderr == pytest.approx(nll.std().item() / math.sqrt(50), rel=1e-12)
    assert (result.n, result.dims) == (50, 12)
    assert result.bits_per_dim == pytest.approx(nll.mean().item() / 12 / math.log(2), rel=1e-12)


def test_uniform_noise_of_eight_bits_takes_eight_bits():
    assert bits_per_dim(784 * math.log(256), 784) == pytest.approx(8)
    assert bits_per_dim(79.20, 784) == pytest.approx(0.1457, abs=5e-5)
    noise = dataset(levels=256)
    assert evaluate(Uniform(256), noise).bits_per_dim == pytest.approx(8)
    assert str(Likelihood(8 * math.log(2), 0.5, 9, 8)) == "5.55 ± 0.50 nats (1.000 bits/dim, 9 examples)"


@pytest.mark.parametrize("n_classes", [0, 2])
def test_the_batch_size_does_not_change_the_figure(n_classes):
    data = dataset()
    model = build(data, n_classes, dropout=0.5)
    reference = log_probs(model, data)
    for batch_size in (1, 7, 50, 1000):
        torch.testing.assert_close(log_probs(model, data, batch_size=batch_size), reference, atol=1e-5, rtol=0)
    assert reference.dtype == torch.float64


def test_evaluation_switches_dropout_off_and_back_and_draws_nothing():
    data = dataset()
    model = build(data, dropout=0.9).train()
    state = torch.get_rng_state()
    first = evaluate(model, data)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state), "evaluation used random numbers"
    assert first == evaluate(model.eval(), data)


def test_examples_are_scored_in_their_order_and_with_their_class():
    data = dataset()
    model = build(data, 2).double()
    torch.testing.assert_close(log_probs(model, data, batch_size=8), model.log_prob(data.x, data.y).detach())
    data.y = 1 - data.y
    assert not torch.allclose(log_probs(model, data), model.log_prob(data.x, 1 - data.y).detach())


def test_log_probs_are_ordinary_tensors():
    data = dataset()
    table = log_probs(build(data), data)
    table[0] = 0  # an inference tensor refuses this
    (table * torch.ones(50, dtype=torch.float64, requires_grad=True)).sum().backward()


def test_what_cannot_be_evaluated_is_refused():
    data = dataset()
    with pytest.raises(ValueError, match="empty data set"):
        evaluate(build(data), torch.utils.data.Subset(data, []))
    broken = build(data)
    with torch.no_grad():
        broken.head_out.bias[0] = math.nan
    with pytest.raises(ValueError, match="example 0 is nan; the model diverged, train it again"):
        evaluate(broken, data)
    with pytest.raises(ValueError, match="the model knows no such class"):
        evaluate(build(data, 1), data)
    assert math.isnan(evaluate(build(data), torch.utils.data.Subset(data, [0])).stderr)


def test_pixel_marginals_are_smoothed_histograms():
    data = dataset(40)
    model = PixelMarginals(data.x, 3, smoothing=0.5)
    for c, r, w, level in [(0, 0, 0, 0), (0, 2, 3, 1), (0, 1, 0, 2)]:
        count = (data.x[:, c, r, w] == level).sum().item()
        assert model.table[c, r, w, level].exp().item() == pytest.approx((count + 0.5) / 41.5)
    torch.testing.assert_close(model.table.exp().sum(-1), torch.ones(1, 3, 4, dtype=torch.float64))
    by_hand = sum(model.table[0, r, w, data.x[7, 0, r, w]] for r in range(3) for w in range(4))
    assert model.log_prob(data.x)[7].item() == pytest.approx(by_hand.item())


def test_baselines_are_probability_distributions():
    from garm_course.evaluation.audits import normalization

    data = dataset(30, (3, 1, 2), 3)
    models = (Uniform(3), PixelMarginals(data.x, 3), ClassMarginals(data.x, data.y, 3))
    for model in models:
        assert normalization(model.log_prob, (3, 1, 2), 3)


def test_class_marginals_are_the_mixture_over_classes():
    data = dataset(30)
    data.y = (torch.arange(30) % 3 == 0).long()  # 10 of class 1, 20 of class 0
    parts = [PixelMarginals(data.x[data.y == c], 3).log_prob(data.x).exp() for c in (0, 1)]
    expected = (20 / 30 * parts[0] + 10 / 30 * parts[1]).log()
    torch.testing.assert_close(ClassMarginals(data.x, data.y, 3).log_prob(data.x), expected)


def test_baselines_of_the_digits_are_in_order():
    train, validation = (datasets.load("digits", split) for split in ("train", "validation"))
    figures = baselines(train, validation)
    assert list(figures) == ["uniform", "pixel marginals", "class marginals"]
    assert figures["uniform"].nats == pytest.approx(64 * math.log(17))
    assert figures["uniform"].nats > figures["pixel marginals"].nats > figures["class marginals"].nats > 90
    # fitted to the training images alone: on these they score better
    assert baselines(train, train)["pixel marginals"].nats < figures["pixel marginals"].nats + 1


def test_real_numbers_have_no_baselines():
    ring = datasets.load("ring")
    with pytest.raises(ValueError, match="expected data of whole levels, got ring of real numbers"):
        baselines(ring, ring)


@pytest.mark.parametrize("cls", [PixelCNN, GatedPixelCNN])
def test_kl_on_bars_and_stripes_is_the_enumerated_one(cls):
    data = datasets.load("bars_and_stripes")
    model = build(data, cls=cls).double()
    gap = kl_to_model(data, model)
    # p is 1/30 on each of its 30 images: KL = -ln 30 - mean log q
    exact = -math.log(30) - model.log_prob(data.x).mean().item()
    assert gap.nats == pytest.approx(exact, rel=1e-10)
    assert gap.nats > 0
    assert kl_to_model(data, data).nats == pytest.approx(0, abs=1e-12)


class Smoothed:
    """A mixture of a known distribution with the uniform one: its KL from that distribution is small and exact."""

    def __init__(self, data, share):
        self.data, self.share = data, share

    def log_prob(self, x):
        uniform = torch.full((len(x),), -x[0].numel() * math.log(2) + math.log(self.share), dtype=torch.float64)
        return torch.logaddexp(self.data.log_prob(x) + math.log(1 - self.share), uniform)


def test_kl_on_glyphs_agrees_with_a_known_value():
    # images of glyphs are far less probable under the uniform part: KL = -ln(1 - share), for every image
    data = datasets.load("glyphs", "validation", n=200)
    gap = kl_to_model(data, Smoothed(data, 0.3))
    assert gap.nats == pytest.approx(-math.log(0.7), abs=1e-9)
    assert gap.stderr < 1e-9


def test_kl_on_glyphs_is_the_model_minus_the_entropy_but_steadier():
    data = datasets.load("glyphs", "validation", n=300)
    model = PixelMarginals(datasets.load("glyphs", "train", n=300).x, 2)
    gap, nll, entropy = kl_to_model(data, model), evaluate(model, data), data.entropy()
    assert gap.nats > 0
    assert abs(gap.nats - (nll.nats - entropy.nats)) < 4 * math.hypot(nll.stderr, entropy.stderr) + 1e-6
    assert gap.nats == pytest.approx(nll.nats + data.log_prob(data.x).mean().item(), rel=1e-6)
    assert gap.stderr <= nll.stderr + log_probs(data, data).std().item() / math.sqrt(300)


def test_kl_on_small_glyphs_is_the_enumerated_one_within_its_error():
    # sampled images against the sum over all 512 images of a 3x3 space, for a mixture of two noisy prototypes
    prototypes = torch.tensor([[1, 1, 1, 0, 0, 0, 1, 0, 1], [0, 1, 0, 0, 1, 0, 0, 1, 0]])
    flip = 0.1

    class Noisy(torch.utils.data.Dataset):
        def __init__(self, n):
            picked = prototypes[torch.randint(2, (n,), generator=rng(1))]
            self.x = (picked ^ (torch.rand(n, 9, generator=rng(2)) < flip).long()).reshape(n, 1, 3, 3)

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            return self.x[i], 0

        def log_prob(self, x):
            wrong = (x.reshape(-1, 1, 9) != prototypes).sum(2).double()
            return (wrong * math.log(flip) + (9 - wrong) * math.log(1 - flip) - math.log(2)).logsumexp(1)

    from garm_course.evaluation.audits import all_examples

    data = Noisy(4000)
    torch.manual_seed(0)
    model = PixelCNN((1, 3, 3), 2, channels=8, layers=1).double()
    space = all_examples((1, 3, 3), 2)
    p = data.log_prob(space)
    exact = (p.exp() * (p - model.log_prob(space))).sum().item()
    gap = kl_to_model(data, model)
    assert abs(gap.nats - exact) < 4 * gap.stderr
    assert gap.stderr < 0.05
