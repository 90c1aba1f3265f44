"""Speculative sampling: the law of the target whatever the draft, and the same images whatever the block."""

import pytest
import torch
from small_models import small_model

from garm_course.autoregressive.made import MADE
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.autoregressive.pixelrnn import RowLSTM
from garm_course.autoregressive.sampling.speculative import excess, output_dist, sample
from garm_course.distributions.filters import filter_logits
from garm_course.evaluation.audits import calibration

PAIRS = [(GatedPixelCNN, PixelCNN), (PixelCNN, GatedPixelCNN)]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pair(target, draft, shape, levels, n_classes=0, draft_classes=0, scale=2):
    """A target, and a draft that is far from it."""
    return small_model(target, shape, levels, n_classes), small_model(
        draft, shape, levels, draft_classes, layers=0, scale=scale
    )


def classes(model, n):
    return torch.arange(n) % model.n_classes if model.n_classes else None


def random_pairs(n=50, levels=7):
    p, q = (4 * torch.randn(2, n, levels, generator=rng(3), dtype=torch.float64)).softmax(-1)
    return p, q


def test_both_ways_to_a_value_add_up_to_the_target():
    p, q = random_pairs()
    accepted, corrected = output_dist(p, q)
    torch.testing.assert_close(accepted + corrected, p, rtol=0, atol=1e-12)
    torch.testing.assert_close(accepted.sum(-1), 1 - 0.5 * (p - q).abs().sum(-1), rtol=0, atol=1e-12)
    assert (corrected[p <= q] == 0).all()


def test_equal_and_disjoint_distributions_are_no_exception():
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    assert torch.equal(output_dist(p, q)[1], p)
    accepted, corrected = output_dist(p, p)
    assert torch.equal(accepted, p)
    assert torch.equal(corrected, torch.zeros(3))
    assert torch.equal(excess(p, p), torch.zeros(3))


@pytest.mark.parametrize(("shape", "levels"), [((1, 5, 4), 3), ((1, 4, 6), 2), ((1, 1, 7), 3), ((1, 6, 1), 2)])
@pytest.mark.parametrize("cls", [PixelCNN, GatedPixelCNN])
def test_looking_ahead_gives_the_parameters_of_steps_and_forgets_wrong_guesses(cls, shape, levels):
    model = small_model(cls, shape, levels)
    width = shape[2]
    x = torch.randint(levels, (3, *shape), generator=rng())
    params, truth = model.to_sequence(model(x)), model.to_sequence(x).T
    state, i = model.start(3), 0
    lengths = [3, 1, 2, 4, 2, 1, 3]
    while i < model.positions:
        m = min(lengths[i % len(lengths)], width - i % width)
        wrong = m // 2  # from this guess on, all are wrong
        guesses = truth[i : i + m - 1].clone()
        guesses[wrong:] = (guesses[wrong:] + 1) % levels
        out = model.look_ahead(state, i, truth[i - 1] if i else None, guesses)
        good = min(wrong + 1, m)
        torch.testing.assert_close(out[:good], params[:, i : i + good].transpose(0, 1), rtol=0, atol=1e-10)
        i += good


def test_looking_ahead_refuses_what_it_cannot_do():
    model = small_model(GatedPixelCNN, (1, 3, 4), 3)
    with pytest.raises(ValueError, match="at most 3 guesses, to the end of the row of position 0, got 4"):
        model.look_ahead(model.start(2), 0, None, torch.zeros(4, 2, dtype=torch.long))
    for other in (small_model(RowLSTM, (1, 3, 4), 3), small_model(GatedPixelCNN, (3, 3, 4), 3)):
        with pytest.raises(TypeError, match="looking ahead needs a PixelCNN or GatedPixelCNN"):
            other.look_ahead(other.start(2), 0, None, torch.zeros(1, 2, dtype=torch.long))


@pytest.mark.parametrize(("target", "draft"), PAIRS)
@pytest.mark.parametrize(
    ("shape", "levels", "n_classes", "draft_classes"),
    [((1, 2, 3), 2, 0, 0), ((1, 2, 2), 3, 2, 0), ((1, 1, 5), 2, 2, 2), ((1, 4, 1), 3, 0, 0)],
)
def test_images_follow_the_target(target, draft, shape, levels, n_classes, draft_classes):
    target, draft = pair(target, draft, shape, levels, n_classes, draft_classes)
    for label in range(max(n_classes, 1)):
        y = torch.full((20_000,), label) if n_classes else None
        images = sample(target, draft, 20_000, y, rng=rng(7)).x
        result = calibration(target, images, y=label if n_classes else None)
        assert result, str(result)


def test_images_one_at_a_time_follow_the_target_too():
    target, draft = pair(GatedPixelCNN, PixelCNN, (1, 2, 2), 2)
    g = rng(5)
    images = torch.cat([sample(target, draft, 1, rng=g).x for _ in range(1500)])
    result = calibration(target, images)
    assert result, str(result)


@pytest.mark.parametrize(("target", "draft"), PAIRS)
@pytest.mark.parametrize(("shape", "levels", "n_classes"), [((1, 5, 6), 3, 0), ((1, 4, 5), 2, 3)])
def test_an_image_depends_neither_on_the_block_nor_on_its_companions(target, draft, shape, levels, n_classes):
    target, draft = pair(target, draft, shape, levels, n_classes)
    many = sample(target, draft, 6, classes(target, 6), block=1, rng=rng())
    assert many.passes == many.guesses == target.positions
    assert len(many.x.unique(dim=0)) > 1
    for n, block in [(6, 2), (6, 3), (6, 100), (1, 1), (2, 4), (1, 100)]:
        found = sample(target, draft, n, classes(target, n), block=block, rng=rng())
        assert torch.equal(found.x, many.x[:n])
        assert found.passes < target.positions or block == 1


def test_a_perfect_draft_is_never_refused():
    model = small_model(GatedPixelCNN, (1, 5, 6), 3)
    found = sample(model, model, 4, block=6, rng=rng())
    assert found.accepted > 0.999  # the same parameters, computed once by `step` and once by `look_ahead`
    assert found.passes <= 6
    assert found.guesses <= 36


def test_guesses_are_kept_as_often_as_the_distributions_overlap():
    target, draft = pair(GatedPixelCNN, PixelCNN, (1, 5, 6), 3)
    found = sample(target, draft, 4000, rng=rng())
    with torch.no_grad():
        p, q = (model.head.log_probs(model(found.x)).exp() for model in (target, draft))
    share = output_dist(p, q)[0].sum(-1)  # (n, 1, H, W): probability that the guess is kept there
    error = (share * (1 - share)).sum().sqrt().item() / share.numel()
    assert abs(found.accepted - share.mean().item()) < 4 * error
    assert 0.2 < found.accepted < 0.98


def test_a_pass_ends_at_a_refusal_or_with_its_row():
    target, draft = pair(GatedPixelCNN, PixelCNN, (1, 5, 6), 3)
    for k in range(5):
        found = sample(target, draft, 1, block=6, rng=rng(k))
        refused = round((1 - found.accepted) * 30)
        assert 5 <= found.passes <= refused + 5


@pytest.mark.parametrize(
    "options", [{"temperature": 0.4}, {"top_k": 2}, {"top_p": 0.7}, {"min_p": 0.5}, {"temperature": 0}]
)
def test_filters_apply_to_the_target(options):
    target, draft = pair(GatedPixelCNN, PixelCNN, (1, 1, 3), 3)
    n = 20_000
    x = sample(target, draft, n, rng=rng(2), **options).x
    log_p = filter_logits(target.head.logits(target(x)), **options).log_softmax(-1)
    assert torch.isfinite(log_p.gather(-1, x.unsqueeze(-1))).all()  # nothing that is cut off was drawn
    first = log_p[0, 0, 0, 0].exp()  # of the first pixel, the same for all
    counts = torch.bincount(x[:, 0, 0, 0], minlength=3) / n
    assert ((counts - first).abs() <= 4 * (first * (1 - first) / n).sqrt()).all()
    if options == {"temperature": 0}:
        assert torch.equal(x, target.sample(n, temperature=0))


def test_dropout_is_off_and_modes_come_back():
    target, draft = pair(GatedPixelCNN, PixelCNN, (1, 4, 5), 3)
    expected = sample(target, draft, 3, rng=rng()).x
    target.train()
    assert torch.equal(sample(target, draft, 3, rng=rng()).x, expected)
    assert target.training
    assert not draft.training


def test_progress_sees_every_position():
    target, draft = pair(GatedPixelCNN, PixelCNN, (1, 4, 5), 3)
    seen = []
    sample(target, draft, 1, progress=lambda rows: (seen.append(row) or row for row in rows))
    assert seen == list(range(20))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n": 0}, ValueError, "n >= 1"),
        ({"block": 0}, ValueError, "block >= 1"),
        ({"block": 2.0}, ValueError, "block >= 1"),
        ({"rng": 3}, TypeError, "torch.Generator"),
        ({"temperature": -1}, ValueError, "temperature >= 0"),
        ({"y": torch.zeros(2, dtype=torch.long)}, ValueError, "leave y out"),
        ({"draft": small_model(MADE, (1, 4, 5), 3)}, TypeError, "as its draft, got MADE"),
        ({"target": small_model(GatedPixelCNN, (3, 4, 5), 3)}, TypeError, r"as its target, got .*\(3, 4, 5\)"),
        ({"draft": small_model(PixelCNN, (1, 4, 4), 3)}, ValueError, r"this one draws \(1, 4, 4\)"),
        ({"draft": small_model(PixelCNN, (1, 4, 5), 2)}, ValueError, "with 3 levels; this one draws .* with 2"),
        ({"draft": small_model(PixelCNN, (1, 4, 5), 3, 2)}, ValueError, "0 classes or none, got 2"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change, error, message):
    target, draft = pair(GatedPixelCNN, PixelCNN, (1, 4, 5), 3)
    with pytest.raises(error, match=message) as caught:
        sample(**{"target": target, "draft": draft, "n": 2, **change})
    assert "\n" not in str(caught.value)


def test_a_draft_that_diverged_is_refused():
    target, draft = pair(GatedPixelCNN, PixelCNN, (1, 4, 5), 3)
    with torch.no_grad():
        draft.head_in.bias[0] = float("nan")
    with pytest.raises(ValueError, match="diverged; train it again"):
        sample(target, draft, 1)
