"""Likelihoods: figures and standard errors by hand, independence of batches, baselines, KL against enumeration."""

import math
from types import SimpleNamespace

import pytest
import torch
from small_models import TokenConv

from garm_course import datasets
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.evaluation.baselines import ClassMarginals, PixelMarginals, Uniform, baselines
from garm_course.evaluation.likelihood import (
    Likelihood,
    bits_per_dim,
    evaluate,
    kl_to_model,
    log_probs,
    log_probs_in_context,
    paired,
    standard_error,
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


# --- units, blocks, pairs and context --------------------------------------------------------------------------------


def text(length=20, stride=None, split="train"):
    return datasets.load("pydoc", split, length=length, stride=stride)


def token_conv(data, seed=0):
    torch.manual_seed(seed)
    return TokenConv(data.shape, data.levels).double()


def test_a_figure_is_told_in_the_units_of_its_data():
    found = Likelihood(64 * math.log(8), 6.4, 500, 64, unit="window", position="character")
    assert str(found) == "133.08 ± 6.40 nats per window (2.079 per character, 500 windows of 64)"
    each = found.per_position
    assert (each.n, each.dims, each.unit) == (32_000, 1, "character")
    assert str(each) == "2.079 ± 0.100 nats per character (3.000 bits, perplexity 8.00, 32,000 characters)"
    assert found.bits_per_dim == pytest.approx(each.bits_per_dim) == pytest.approx(3)
    assert found.perplexity == pytest.approx(each.perplexity) == pytest.approx(8)
    bound = Likelihood(64 * math.log(8), 6.4, 500, 64, "ELBO", "note", "sample")
    assert str(bound) == "≤ 133.08 ± 6.40 nats per note (2.079 per sample, 500 notes of 64, ELBO)"
    assert str(Likelihood(8 * math.log(2), 0.5, 9, 8).per_position).startswith("0.693 ± 0.062 nats per dim (1.000 bits")


def test_text_sound_and_clips_say_what_they_are_made_of():
    data = text(split="validation")
    found = evaluate(Uniform(96), data)
    assert (found.unit, found.position, found.dims) == ("window", "character", 20)
    assert found.per_position.nats == pytest.approx(math.log(96))
    part = evaluate(Uniform(96), torch.utils.data.Subset(data, range(5)))
    assert (part.unit, part.position, part.n) == ("window", "character", 5)
    for name, unit, position in (("plucked", "note", "sample"), ("moving_digits", "clip", "pixel")):
        data = datasets.load(name, "validation", n=3)
        found = evaluate(Uniform(data.levels), data)
        assert (found.unit, found.position) == (unit, position)


def test_errors_over_blocks_see_that_neighbors_are_alike():
    independent = torch.randn(200, generator=rng(), dtype=torch.float64)
    assert standard_error(independent) == pytest.approx(independent.std().item() / math.sqrt(200), rel=1e-12)
    # each value ten times: blocks of ten know that there are 200 and not 2,000; the usual error does not
    alike = independent.repeat_interleave(10)
    assert standard_error(alike, 10) == pytest.approx(standard_error(independent), rel=1e-9)
    assert standard_error(alike) < 0.4 * standard_error(alike, 10)
    assert math.isnan(standard_error(independent, 200))


def test_the_error_of_a_text_is_over_blocks_of_two_thousand_characters():
    data = text(split="validation")
    model = token_conv(data)
    assert data.block == 100
    nll = -log_probs(model, data)
    found = evaluate(model, data)
    assert found.stderr == standard_error(nll, 100) != pytest.approx(standard_error(nll), rel=0.05)
    assert found.nats == pytest.approx(nll.mean().item(), rel=1e-12)


def test_a_paired_difference_is_that_of_the_same_examples():
    data = dataset()
    a, b = (build(data, cls=cls).double() for cls in (PixelCNN, GatedPixelCNN))
    found, gap = paired(a, b, data), log_probs(b, data) - log_probs(a, data)
    assert found.nats == pytest.approx(evaluate(a, data).nats - evaluate(b, data).nats, abs=1e-9)
    assert found.stderr == pytest.approx(gap.std().item() / math.sqrt(50))
    assert found.stderr < math.hypot(evaluate(a, data).stderr, evaluate(b, data).stderr)
    assert paired(b, a, data).nats == pytest.approx(-found.nats)
    assert str(found) == f"{found.nats:+.2f} ± {found.stderr:.2f} nats (50 examples, paired)"
    assert paired(a, a, data).nats == paired(a, a, data).stderr == 0
    windows = text(split="validation")
    said = str(paired(Uniform(96), Uniform(48), windows))
    assert said.startswith("+13.86 ± 0.00 nats per window (+0.6931 per character, 1,890 windows of 20, paired)")
    assert str(paired(Uniform(96), Uniform(48), windows).per_position).startswith("+0.6931 ± 0.0000 nats per character")


def test_a_difference_with_a_bound_says_so():
    class Bounded:
        def elbo(self, x, rng=None):
            return SimpleNamespace(bound=torch.full((len(x),), -3.0))

    data = dataset()
    assert str(paired(Bounded(), Uniform(3), data)).endswith("(50 examples, paired, ELBO minus exact)")


@pytest.mark.parametrize("context", [1, 7, 19])
@pytest.mark.parametrize("characters", [20, 21, 39, 40, 113])
def test_in_context_every_character_is_scored_once_with_enough_before_it(context, characters):
    data = text(split="validation")
    data.tokens = data.tokens[:characters]
    model = token_conv(data)  # it sees four characters, so a context of seven is as good as all
    found = log_probs_in_context(model, data, context)
    assert found.shape == (characters - context,)
    if context >= 4:
        whole = model.position_log_probs(data.tokens[None])[0, context:]
        torch.testing.assert_close(found, whole.detach(), rtol=0, atol=1e-10)
    result = evaluate(model, data, context=context)
    assert (result.n, result.dims, result.unit) == (characters - context, 1, "character")
    assert result.nats == pytest.approx(-found.mean().item())


def test_the_terms_of_a_likelihood_add_up_to_it():
    data = text(split="validation")
    model, x = token_conv(data), data.x[:9]
    torch.testing.assert_close(model.position_log_probs(x).sum(1), model.log_prob(x))


def test_context_is_refused_where_it_makes_no_sense():
    data = text(split="validation")
    model = token_conv(data)
    with pytest.raises(ValueError, match="context=20 leaves nothing of windows of 20; load the text with a larger"):
        evaluate(model, data, context=20)
    with pytest.raises(ValueError, match="context=0 is out of range"):
        evaluate(model, data, context=0)
    images = dataset()
    with pytest.raises(TypeError, match="expected a text as data for context=3, got a Dataset; leave context out"):
        evaluate(build(images), images, context=3)
    with pytest.raises(TypeError, match="expected a model with position_log_probs, got a Uniform"):
        evaluate(Uniform(96), data, context=3)


def test_windows_that_overlap_are_not_evaluated():
    data = text(stride=7)
    for part in (data, torch.utils.data.Subset(data, range(3))):
        with pytest.raises(ValueError, match=r"the windows of pydoc \(train\) overlap, .*; load them without stride"):
            evaluate(Uniform(96), part)
    assert evaluate(Uniform(96), text(stride=20)).n == len(text())
    with pytest.raises(ValueError, match=r"the patches of patches \(train\) overlap"):
        evaluate(Uniform(256), datasets.load("patches", stride=4))
