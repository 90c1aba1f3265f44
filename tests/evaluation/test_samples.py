"""Metrics of samples: closed forms, agreement with torchmetrics on the same features, what they see and what not."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from garm_course import datasets, load_pretrained
from garm_course.evaluation.features import DigitClassifier, accuracy, class_shares, classify, features
from garm_course.evaluation.samples import (
    bootstrap,
    c2st,
    density_coverage,
    expected_distinct,
    fid_from_stats,
    frechet_at_infinity,
    frechet_distance,
    inception_score,
    kernel_distance,
    leaderboard,
    mode_counts,
    precision_recall,
)


def randn(n, f, seed=0, scale=1.0):
    return scale * torch.randn(n, f, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def correlated(n, f, seed=0):
    return randn(n, f, seed) @ randn(f, f, seed + 100) + randn(1, f, seed + 200)


@pytest.mark.parametrize(("n", "f"), [(400, 6), (200, 32), (30, 40)])
def test_frechet_distance_agrees_with_torchmetrics_on_the_same_features(n, f):
    from torchmetrics.image.fid import _compute_fid

    a, b = correlated(n, f), correlated(n, f, seed=1)
    theirs = _compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov()).item()
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-4, abs=1e-4)


def test_kernel_distance_agrees_with_torchmetrics_on_the_same_features():
    from torchmetrics.image.kid import poly_mmd

    a, b = randn(60, 8), randn(60, 8, seed=1) + 0.3
    assert kernel_distance(a, b) == pytest.approx(poly_mmd(a, b).item(), abs=1e-4)


def test_frechet_distance_has_its_closed_forms():
    a = correlated(100, 5)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + 3) == pytest.approx(9 * 5, rel=1e-9)
    centered = a - a.mean(0)
    # covariance Σ against 4 Σ: tr(Σ + 4 Σ - 2 · 2 Σ) = tr Σ
    assert frechet_distance(centered, 2 * centered) == pytest.approx(a.T.cov().trace().item(), rel=1e-9)
    b = correlated(100, 5, seed=3)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    rotation = torch.linalg.qr(randn(5, 5, seed=8))[0]
    assert frechet_distance(a @ rotation, b @ rotation) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_frechet_distance_of_diagonal_gaussians_is_the_sum_over_dimensions():
    a, b = randn(200_000, 2) * torch.tensor([1.0, 3.0]), randn(200_000, 2, seed=1) * torch.tensor([2.0, 1.0])
    assert frechet_distance(a, b) == pytest.approx(1 + 4, rel=0.02)  # (1 - 2)² + (3 - 1)²


def test_frechet_distance_stands_features_that_are_always_zero():
    a, b = randn(50, 6), randn(50, 6, seed=1)
    a[:, 2] = b[:, 2] = 0
    keep = [0, 1, 3, 4, 5]
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(a[:, keep], b[:, keep]), rel=1e-9)
    assert frechet_distance(randn(3, 20), randn(3, 20, seed=1)) >= 0


def test_kernel_distance_is_unbiased_and_frechet_distance_is_not():
    kernel = torch.tensor([kernel_distance(randn(20, 4, seed=2 * s), randn(20, 4, seed=2 * s + 1)) for s in range(400)])
    assert abs(kernel.mean()) < 4 * kernel.std() / math.sqrt(400)
    assert (kernel < 0).any()
    frechet = torch.tensor([frechet_distance(randn(20, 4, seed=s), randn(20, 4, seed=s + 999)) for s in range(50)])
    assert frechet.min() > 0


def test_kernel_distance_has_its_expectation_for_a_shift():
    # one feature, x ~ 0 always and y = c always: k(x, x) = 1, k(y, y) = (c² + 1)³, k(x, y) = 1
    a, b = torch.zeros(5, 1), torch.full((5, 1), 2.0)
    assert kernel_distance(a, b) == pytest.approx(1 + 125 - 2)


def test_precision_and_recall_of_clouds_that_are_known():
    a = randn(300, 2)
    assert precision_recall(a, a) == (1, 1)
    assert precision_recall(a, a + 100) == (0, 0)
    left, both = randn(200, 2, scale=0.1), randn(200, 2, seed=1, scale=0.1)
    both[::2] += 10  # half of the data are where no sample is
    found = precision_recall(both, left)
    assert found.precision > 0.9
    assert found.recall == pytest.approx(0.5, abs=0.06)
    found = precision_recall(left, both)
    assert found.precision == pytest.approx(0.5, abs=0.06)
    assert found.recall > 0.9


def test_precision_counts_by_hand():
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[-0.5], [4.9], [9.0]])
    # with k = 1 the balls reach 1, 1, 2 around 0, 1, 3: they hold -0.5 and 4.9
    assert precision_recall(real, fake, k=1).precision == pytest.approx(2 / 3)
    # those of the samples reach 5.4, 4.1, 4.1: all of the data
    assert precision_recall(real, fake, k=1).recall == 1


def test_density_and_coverage_of_clouds_that_are_known():
    a, b = randn(2000, 3), randn(2000, 3, seed=1)
    found = density_coverage(a, b, k=5)
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)
    assert density_coverage(a, a + 100) == (0, 0)
    outlier = b.clone()
    outlier[0] = 1000.0
    assert density_coverage(a, outlier).coverage == pytest.approx(found.coverage, abs=0.01)
    half = randn(2000, 3, seed=2)
    half[:, 0] = half[:, 0].abs()
    assert density_coverage(a, half).coverage < 0.75
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[-0.5], [4.9], [9.0]])
    assert density_coverage(real, fake, k=1) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_mode_counts_of_data_reach_every_mode(name):
    data = datasets.load(name, "validation")
    found = mode_counts(data.x, data.centers, 3 * data.std)
    assert found.covered == len(data.centers)
    assert found.share == pytest.approx(1 - math.exp(-4.5), abs=4 * math.sqrt(0.011 / len(data)))
    assert found.counts.sum() == round(found.share * len(data))
    one = mode_counts(data.centers[:1].repeat(7, 1), data.centers, data.std)
    assert (one.covered, one.share, one.counts[0]) == (1, 1.0, 7)
    far = mode_counts(data.x + 100, data.centers, data.std)
    assert (far.covered, far.share) == (0, 0.0)


def test_expected_distinct_agrees_with_draws():
    weights = torch.tensor([0.5, 0.3, 0.15, 0.05])
    rng = torch.Generator().manual_seed(0)
    drawn = [len(torch.multinomial(weights, 6, replacement=True, generator=rng).unique()) for _ in range(2000)]
    assert expected_distinct(weights, 6) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / math.sqrt(2000))
    assert expected_distinct(weights, 0) == 0


def test_a_bootstrap_interval_holds_the_truth_about_as_often_as_it_says():
    def shift(a, b):
        return (a.mean() - b.mean()).item()

    hits = 0
    for seed in range(200):
        found = bootstrap(shift, randn(40, 1, seed=seed), randn(40, 1, seed=seed + 5000) + 1, n=100,
                          rng=torch.Generator().manual_seed(seed))  # fmt: skip
        hits += found.low <= -1 <= found.high
        assert found.low < found.value < found.high
    assert 0.95 - 4 * math.sqrt(0.05 * 0.95 / 200) < hits / 200


def test_a_bootstrap_repeats_itself():
    a, b = randn(30, 3), randn(30, 3, seed=1)
    one, two = (bootstrap(frechet_distance, a, b, n=20, rng=torch.Generator().manual_seed(4)) for _ in range(2))
    assert one == two
    assert one.value == frechet_distance(a, b)


METRICS = [frechet_distance, kernel_distance, precision_recall, density_coverage]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("a", "b", "error", "message"),
    [
        (randn(9, 3), randn(8, 3), ValueError, "sets of equal size, got 9 and 8: the estimate depends on it"),
        (randn(9, 3), randn(9, 4), ValueError, "the same features in both sets, got 3 and 4"),
        (randn(1, 3), randn(1, 3), ValueError, "at least . examples in each set, got 1"),
        (randn(9, 3)[0], randn(9, 3), ValueError, r"a table \(N, F\) as first set, got shape \(3,\)"),
        (randn(9, 3), randn(9, 3) / 0, ValueError, "finite numbers as second set, got NaN or infinity"),
        (
            randn(9, 3).long(),
            randn(9, 3),
            TypeError,
            "floating-point numbers as first set, got a tensor of torch.int64",
        ),
        (randn(9, 3), [1.0], TypeError, "floating-point numbers as second set, got a list"),
    ],
)
def test_sets_that_do_not_compare_are_refused(metric, a, b, error, message):
    with pytest.raises(error, match=message) as caught:
        metric(a, b)
    assert "\n" not in str(caught.value)


def test_settings_out_of_range_are_refused():
    a = randn(9, 2)
    for call, message in [
        (lambda: precision_recall(a, a, k=0), "k >= 1 neighbors"),
        (lambda: density_coverage(a, a, k=1.5), "k >= 1 neighbors"),
        (lambda: precision_recall(a, a, k=9), "at least 10 examples in each set, got 9"),
        (lambda: bootstrap(frechet_distance, a, a, n=1, rng=torch.Generator()), "at least 2 resampled pairs, got n=1"),
        (lambda: mode_counts(a, randn(3, 3), 1.0), r"samples \(N, D\) and centers \(K, D\)"),
        (lambda: mode_counts(a, a, 0), "a radius above 0, got 0"),
        (lambda: expected_distinct(torch.tensor([0.5, 0.6]), 3), "probabilities .K,. that sum to 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


# --- features --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "levels"), [((1, 8, 8), 17), ((3, 28, 20), 4)])
def test_a_classifier_gives_features_and_logits(shape, levels):
    torch.manual_seed(0)
    classifier = DigitClassifier(shape, levels, 7).requires_grad_(False)
    x = torch.randint(levels, (5, *shape))
    found = features(classifier, x, batch_size=2)
    assert found.shape == (5, 32)
    assert found.dtype == torch.float64
    assert torch.allclose(found, classifier.eval().features(x).double(), atol=1e-6)
    assert classifier(x).shape == (5, 7)
    assert torch.equal(classify(classifier, x), classifier(x).argmax(1))
    assert class_shares(classifier, x).sum() == 1
    classifier.train()
    assert torch.equal(features(classifier, x), features(classifier, x)), "dropout is off"
    assert classifier.training


def test_a_feature_extractor_that_could_still_learn_is_refused():
    classifier = DigitClassifier((1, 8, 8), 17)
    with pytest.raises(ValueError, match=r"weights are not frozen.*call classifier.requires_grad_\(False\)") as error:
        features(classifier, torch.zeros(2, 1, 8, 8, dtype=torch.long))
    assert "\n" not in str(error.value)
    with pytest.raises(TypeError, match=r"a LongTensor \(B, 1, 8, 8\) of levels 0..16"):
        features(classifier.requires_grad_(False), torch.zeros(2, 1, 8, 8))
    with pytest.raises(ValueError, match="n_classes >= 2"):
        DigitClassifier((1, 8, 8), 17, 1)


def test_the_shipped_classifiers_come_back_frozen_and_read_digits():
    for name, least in (("digits", 0.95), ("glyphs", 0.98)):
        classifier = load_pretrained(f"classifier-{name}")
        assert not any(weight.requires_grad for weight in classifier.parameters())
        data = datasets.load(name, "validation", **({"n": 300} if name == "glyphs" else {}))
        assert accuracy(classifier, data) >= least
        shares = class_shares(classifier, data.x)
        assert torch.allclose(shares, data.y.bincount().double() / len(data), atol=0.03)


def test_the_distance_in_features_sees_blur_and_missing_classes():
    classifier, data = load_pretrained("classifier-digits"), datasets.load("digits", "train")
    rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    one, two = data.x[rows[:400]], data.x[rows[400:800]]
    real = features(classifier, one)
    same = frechet_distance(real, features(classifier, two))
    blurred = nn.functional.avg_pool2d(two.float(), 3, 1, 1).round().long()
    assert frechet_distance(real, features(classifier, blurred)) > 3 * same
    few = data.x[data.y < 5][:400]
    assert frechet_distance(real, features(classifier, few)) > 3 * same
    assert (
        precision_recall(real, features(classifier, few)).recall
        < precision_recall(real, features(classifier, two)).recall
    )


class _Halves(nn.Module):
    """Features of an "image" (3, 2, 2) of bytes, as torchmetrics asks for them."""

    num_features = 12

    def forward(self, x):
        return x.flatten(1).double() / 16


@pytest.mark.filterwarnings("ignore")  # about memory, and the spread over one split
def test_distances_agree_with_torchmetrics_on_a_module_of_features():
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance

    g = torch.Generator().manual_seed(0)
    a = torch.randint(0, 200, (80, 3, 2, 2), generator=g, dtype=torch.uint8)
    b = torch.randint(40, 256, (80, 3, 2, 2), generator=g, dtype=torch.uint8)
    module = _Halves()
    fid = FrechetInceptionDistance(feature=module, input_img_size=(3, 2, 2)).set_dtype(torch.float64)
    kid = KernelInceptionDistance(feature=module, subsets=1, subset_size=80)
    for metric in (fid, kid):
        metric.update(a, real=True)
        metric.update(b, real=False)
    assert frechet_distance(module(a), module(b)) == pytest.approx(fid.compute().item(), rel=1e-6)
    assert kernel_distance(module(a), module(b)) == pytest.approx(kid.compute()[0].item(), rel=1e-5)
    score = InceptionScore(feature=module, splits=1)
    score.update(a)
    assert inception_score(module(a).softmax(1)) == pytest.approx(score.compute()[0].item(), rel=1e-5)


def test_fid_from_stats_has_its_closed_forms():
    a, b = correlated(60, 4), correlated(60, 4, seed=1)
    assert frechet_distance(a, b) == fid_from_stats(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())
    # commuting covariances: the sum of squared differences of standard deviations, in any basis
    basis = torch.linalg.qr(randn(3, 3))[0]
    s, t = torch.tensor([1.0, 2.0, 0.0]).double(), torch.tensor([3.0, 0.5, 1.0]).double()
    S, T = (basis @ torch.diag(x**2) @ basis.T for x in (s, t))
    assert fid_from_stats(s, S, s + 1, T) == pytest.approx(3 + (s - t).square().sum().item(), abs=1e-7)
    with pytest.raises(ValueError, match="of the same features"):
        fid_from_stats(s, S, s[:2], T)


def test_the_distance_at_infinity_has_no_bias_of_size():
    """Equal laws: about 0, where the distance itself is far above; a shift by δ: about F δ²."""
    pairs = [(randn(200, 4, seed=2 * s), randn(200, 4, seed=2 * s + 1)) for s in range(12)]
    rng = torch.Generator().manual_seed(0)
    equal = torch.tensor([frechet_at_infinity(a, b, rng=rng) for a, b in pairs])
    biased = torch.tensor([frechet_distance(a, b) for a, b in pairs])
    assert abs(equal.mean()) < 4 * equal.std() / math.sqrt(12)
    assert biased.mean() > 6 * biased.std() / math.sqrt(12)
    assert frechet_at_infinity(pairs[0][0], pairs[0][1] + 3, rng=rng) == pytest.approx(36, rel=0.2)
    with pytest.raises(ValueError, match="at least 20 examples for 4 features, got 19"):
        frechet_at_infinity(randn(19, 4), randn(19, 4), rng=rng)
    assert frechet_at_infinity(randn(20, 4), randn(20, 4), rng=rng) < 100, "four times as many as needed are enough"


def test_the_inception_score_lies_between_its_ends_and_never_sees_data():
    assert inception_score(torch.eye(5).repeat(3, 1)) == pytest.approx(5)
    assert inception_score(torch.full((7, 5), 0.2)) == pytest.approx(1)
    assert inception_score(torch.eye(5)[:1].repeat(9, 1)) == pytest.approx(1)  # one class only
    probs = randn(50, 5).softmax(1)
    entropy = (
        torch.distributions.Categorical(probs.mean(0)).entropy()
        - torch.distributions.Categorical(probs).entropy().mean()
    )
    assert inception_score(probs) == pytest.approx(entropy.exp().item(), rel=1e-6)
    assert inception_score(probs[torch.randperm(50)]) == pytest.approx(inception_score(probs), rel=1e-9)
    for wrong in (2 * probs, probs.log(), probs[:0], probs - 0.2):
        with pytest.raises(ValueError, match=r"probabilities >= 0 with sum 1; take logits.softmax\(1\)"):
            inception_score(wrong)


def test_a_classifier_finds_what_differs_and_nothing_where_laws_agree():
    rng = torch.Generator().manual_seed(0)
    found = [c2st(randn(100, 3, seed=2 * s), randn(100, 3, seed=2 * s + 1), rng=rng) for s in range(30)]
    z = torch.tensor([one.z for one in found])
    assert abs(z.mean()) < 4 / math.sqrt(30)
    assert 0.5 < z.std() < 1.6
    assert all(one.z == pytest.approx((one.accuracy - 0.5) * 20) for one in found)
    apart = c2st(randn(100, 3), randn(100, 3, seed=1) + 10, rng=rng)
    assert apart.accuracy == 1
    assert apart.z == pytest.approx(10)
    with pytest.raises(ValueError, match="even number of examples"):
        c2st(randn(9, 3), randn(9, 3), rng=rng)
    # halves are held out: rows that occur once in each set are told by nothing else
    noise = randn(60, 200)
    assert c2st(noise, randn(60, 200, seed=1), rng=rng).accuracy < 0.75


def shift(a, b):
    return (a.mean(0) - b.mean(0)).square().sum().item()


def test_a_leaderboard_shares_its_rows_of_data_among_the_models():
    real, near, far = randn(90, 3), randn(70, 3, seed=1) + 0.5, randn(80, 3, seed=2) + 2
    board = leaderboard(shift, real, {"near": near, "far": far}, 60, 40, torch.Generator().manual_seed(0))
    assert list(board) == ["near", "far"]
    assert board["near"].value == pytest.approx(shift(real[:60], near[:60]))
    assert (board["near"].wins, board["far"].wins) == (1, 0)
    seen = []
    leaderboard(
        lambda a, b: float(len(seen)) if seen.append((a, b)) else 0.0,
        real, {"near": near, "far": far}, 60, 3, torch.Generator().manual_seed(0),
    )  # fmt: skip
    resamples = [pair for pair in seen if not torch.equal(pair[0], real[:60])]
    assert len(resamples) == 6
    assert all(a.shape == b.shape == (60, 3) for a, b in seen)
    for k in range(0, 6, 2):
        assert torch.equal(resamples[k][0], resamples[k + 1][0])  # of both models
        assert len(resamples[k][0].unique(dim=0)) < 55  # with replacement
    assert not torch.equal(resamples[0][0], resamples[2][0])


def test_twins_have_equal_values_and_share_the_wins():
    real, a = randn(200, 2), randn(200, 2, seed=1) + 1
    twins = leaderboard(shift, real, {"a": a, "b": a.clone()}, 200, 100, torch.Generator().manual_seed(0))
    assert twins["a"].value == twins["b"].value
    assert twins["a"].wins + twins["b"].wins == 1
    assert 0.2 < twins["a"].wins < 0.8


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"samples": {}}, ValueError, "expected samples of at least one model, got none"),
        ({"samples": {"short": randn(9, 3)}}, ValueError, "at least n=10 rows of short, got 9"),
        ({"real": randn(9, 3)}, ValueError, "at least n=10 rows of the data, got 9"),
        ({"samples": {"wide": randn(10, 4)}}, ValueError, "the same features in both sets, got 3 and 4"),
        ({"samples": {"a": torch.zeros(10, 3).long()}}, TypeError, "floating-point numbers as a"),
        ({"n_boot": 1}, ValueError, "n_boot=1 is out of range"),
    ],
)
def test_a_leaderboard_refuses_what_does_not_compare(change, error, message):
    settings = {"metric": shift, "real": randn(10, 3), "samples": {"a": randn(10, 3)}, "n": 10, "n_boot": 2}
    with pytest.raises(error, match=message):
        leaderboard(**(settings | change), gen=torch.Generator())
