"""Attacks on membership: known laws, ties, and what shadow models add."""

import pytest
import torch

from garm_course.trust.membership import complementary_halves, membership_auc, roc, shadow_scores, tpr_at_fpr


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_area_is_that_of_scikit_learn_and_a_half_for_one_law():
    from sklearn.metrics import roc_auc_score, roc_curve

    members = torch.randint(9, (70,), generator=rng()).float()
    others = torch.randint(2, 12, (50,), generator=rng(1)).float()
    labels = torch.cat([torch.ones(70), torch.zeros(50)])
    scores = -torch.cat([members, others])
    area = membership_auc(members, others)
    assert area == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    fpr, tpr = roc(members, others)
    assert torch.trapezoid(tpr, fpr).item() == pytest.approx(area, abs=1e-12)
    theirs = roc_curve(labels, scores, drop_intermediate=False)
    assert fpr.tolist() == pytest.approx(theirs[0].tolist())
    assert tpr.tolist() == pytest.approx(theirs[1].tolist())
    assert membership_auc(members, members) == 0.5
    assert membership_auc(torch.zeros(1), torch.ones(3)) == 1


def test_no_threshold_has_a_larger_advantage_than_the_total_variation_of_the_scores():
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])  # of members and of others
    members, others = (torch.arange(3.0).repeat_interleave((1000 * law).long()) for law in (p, q))
    fpr, tpr = roc(members, others)
    variation = (p - q).abs().sum().item() / 2
    assert (tpr - fpr).max().item() == pytest.approx(variation)  # the scores are ordered by the ratio of the laws
    assert (tpr - fpr).min() >= -1e-12
    (fpr, tpr) = roc(members.sub(1).abs(), others.sub(1).abs())  # a worse score, of which the laws are equal
    assert (tpr - fpr).abs().max() < variation


def test_at_a_false_positive_rate_the_best_threshold_is_taken_and_never_a_looser_one():
    members, others = torch.randn(400, generator=rng()) - 1, torch.randn(200, generator=rng(1))
    for rate in (0.0, 0.01, 0.1, 0.5):
        fpr, tpr = roc(members, others)
        assert tpr_at_fpr(members, others, rate) == pytest.approx(tpr[fpr <= rate + 1e-12].max().item())
    tied = torch.zeros(5)
    assert tpr_at_fpr(tied, tied, 0.99) == 0  # no threshold divides what is equal


def test_each_example_is_in_half_of_the_shadows_and_pairs_are_complements():
    inside = complementary_halves(101, 6, rng())
    assert inside.sum(0).tolist() == [3] * 101
    assert torch.equal(inside[0], ~inside[1])
    assert not torch.equal(inside[0], inside[2])
    assert inside.sum(1).tolist() == [50, 51] * 3


def gaussian_world(n=4000, shadows=8, seed=0, gain=None):
    """Losses with a difficulty of each example, lower by a gain where it was trained on."""
    g = rng(seed)
    difficulty = 3 * torch.randn(n, generator=g, dtype=torch.float64)
    gain = 3 * torch.rand(n, generator=g, dtype=torch.float64) ** 3 if gain is None else gain
    inside = complementary_halves(n, shadows + 2, g)
    nll = difficulty + 0.5 * torch.randn(shadows + 2, n, generator=g, dtype=torch.float64) - gain * inside
    return nll[2:], inside[2:], nll[0], inside[0]


def areas(**options):
    nll, inside, target, member = gaussian_world(**options)
    scores = shadow_scores(nll, inside, target)
    assert torch.equal(scores["loss"], target)
    return {name: membership_auc(score[member], score[~member]) for name, score in scores.items()}


def test_shadows_take_out_the_difficulty_of_an_example():
    equal = areas(gain=0.6)
    assert equal["loss"] < 0.6
    # the difference of two normals, of deviations 0.5 and 0.5 / sqrt(4): Phi(0.6 / (sqrt(2) * 0.559))
    assert equal["calibrated"] == pytest.approx(0.776, abs=0.03)
    unequal = areas()  # the ratio knows of whom much is remembered
    assert unequal["lira"] > unequal["calibrated"] + 0.02 > unequal["loss"] + 0.1


def test_the_likelihood_ratio_is_the_written_one():
    nll, inside, target, _ = gaussian_world(n=6, shadows=8)
    own = shadow_scores(nll, inside, target, pooled=False)["lira"]
    calibrated = shadow_scores(nll, inside, target)["calibrated"]
    assert calibrated[2].item() == pytest.approx((target[2] - nll[~inside[:, 2], 2].mean()).item())
    pooled = shadow_scores(nll, inside, target)["lira"]
    residuals = {True: [], False: []}
    for k in range(6):
        for side in (True, False):
            losses = nll[inside[:, k] == side, k]
            residuals[side].append(losses - losses.mean())
    for k in range(6):
        normals = {side: nll[inside[:, k] == side, k] for side in (True, False)}
        log = {s: torch.distributions.Normal(v.mean(), v.std()).log_prob(target[k]) for s, v in normals.items()}
        assert own[k].item() == pytest.approx((log[False] - log[True]).item())
        deviation = {s: (torch.cat(r).square().sum() / (len(torch.cat(r)) - 6)).sqrt() for s, r in residuals.items()}
        log = {s: torch.distributions.Normal(normals[s].mean(), deviation[s]).log_prob(target[k]) for s in normals}
        assert pooled[k].item() == pytest.approx((log[False] - log[True]).item())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda nll, inside, target: shadow_scores(nll, inside, target[:5]), "expected nll"),
        (lambda nll, inside, target: shadow_scores(nll, torch.ones_like(inside), target), "with and without"),
        (lambda nll, inside, target: shadow_scores(nll[:2], inside[:2], target), "at least 2 shadow models"),
        (lambda nll, inside, target: shadow_scores(nll[:2], inside[:2], target, pooled=False), "got 1"),
        (lambda nll, inside, target: shadow_scores(nll * float("nan"), inside, target), "diverged"),
        (lambda nll, inside, target: tpr_at_fpr(target, target, 1.0), "share in"),
        (lambda nll, inside, target: membership_auc(target, target[:0]), "at least one"),
        (lambda nll, inside, target: complementary_halves(10, 3, rng()), "even number"),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    nll, inside, target, _ = gaussian_world(n=8)
    with pytest.raises(ValueError, match=said):
        call(nll, inside, target)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="BoolTensor"):
        shadow_scores(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3))
