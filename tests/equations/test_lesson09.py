"""The numbered equations of lesson 09, video, checked numerically."""

import itertools
import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from small_models import small_model

from garm_course.autoregressive.clips import earlier_frames
from garm_course.autoregressive.layers.causal_conv import mask3d
from garm_course.autoregressive.video import FramePixelCNN, Match
from garm_course.datasets import load
from garm_course.datasets.moving_digits import bounce
from garm_course.evaluation.audits import all_examples, causality


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.equation("9.1")
def test_the_conditionals_of_frames_multiply_to_the_probability_of_a_clip_and_sum_to_one():
    model = small_model(FramePixelCNN, (1, 2, 2, 2), 2)
    clips = all_examples((1, 2, 2, 2), 2)  # 2^8
    by_frame = model.frame_log_probs(clips).detach()
    assert by_frame.sum(1).exp().sum().item() == pytest.approx(1, abs=1e-12)
    first = by_frame[:, 0].exp().unflatten(0, (16, 16))  # p(frame 1), whatever frame 2 is
    torch.testing.assert_close(first, first[:, :1].expand(-1, 16))
    assert first[:, 0].sum().item() == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(by_frame[:, 1].exp().unflatten(0, (16, 16)).sum(1), torch.ones(16).double())


@pytest.mark.equation("9.2")
def test_a_mask_over_frames_has_half_of_the_ones_and_is_causal():
    for k, kind, ones in ((3, "A", 13), (3, "B", 14), (5, "A", 62), (5, "B", 63), (7, "A", 171)):
        mask = mask3d(k, kind)
        assert mask.sum() == ones == (k**3 + (1 if kind == "B" else -1)) / 2
        assert mask.sum((1, 2)).tolist() == [*[k * k] * (k // 2), ones - k * k * (k // 2), *[0] * (k // 2)]
    weight = torch.randn(1, 1, 3, 3, 3, generator=rng(), dtype=torch.float64)

    def masked(mask):
        return causality(lambda x: F.conv3d(x.double(), weight * mask, padding=1), (1, 4, 4, 4), 3)

    assert masked(mask3d(3, "A"))
    assert "that pixel itself" in str(masked(mask3d(3, "B")))
    assert "frame 1, row 0, column 0, a later frame" in str(masked(mask3d(3, "A").flip(0)))


def paths(room, speed, frames):
    """Every path of a point on a line, as tuples."""
    return [
        tuple(bounce(torch.tensor([s]), torch.tensor([v]), frames, room)[0].tolist())
        for s in range(room + 1) for v in range(-speed, speed + 1)
    ]  # fmt: skip


def entropy(counts):
    p = torch.tensor([*counts.values()]).double() / sum(counts.values())
    return -(p * p.log()).sum().item()


@pytest.mark.equation("9.3")
def test_what_time_is_worth_is_the_sum_of_the_frames_less_the_clip():
    line = paths(4, 1, 4)
    joint = Counter(line)
    frames = [Counter(path[t] for path in line) for t in range(4)]
    n = len(line)
    divergence = sum(
        c / n * math.log(c / n / math.prod(frames[t][path[t]] / n for t in range(4))) for path, c in joint.items()
    )
    assert divergence == pytest.approx(sum(map(entropy, frames)) - entropy(joint), abs=1e-12)
    assert divergence > 0
    still = Counter((path[0],) * 4 for path in line)  # nothing moves: every frame but the first is worth its entropy
    assert 4 * entropy(Counter(p[0] for p in still.elements())) - entropy(still) == pytest.approx(3 * entropy(still))
    path = load("moving_digits", "validation", n=1).path_entropy()
    assert path.tolist() == pytest.approx([math.log(81), 2.817567, 0.103765, 0, 0, 0, 0, 0], abs=1e-6)


@pytest.mark.equation("9.4")
def test_the_mean_of_two_futures_has_half_the_error_of_a_guess_and_is_neither():
    a, b = torch.randn(2, 5, 6, generator=rng(), dtype=torch.float64)
    apart = (a - b).square().sum()
    error = lambda guess: ((a - guess).square().sum() + (b - guess).square().sum()) / 2  # noqa: E731
    torch.testing.assert_close(error((a + b) / 2), apart / 4)
    torch.testing.assert_close(error(a), apart / 2)
    for _ in range(50):
        assert error((a + b) / 2 + 0.1 * torch.randn(5, 6, generator=rng(1)).double()) > apart / 4


@pytest.mark.equation("9.5")
def test_the_weights_of_displacements_are_bayes_rule_for_pixels_that_are_copied_with_few_errors():
    match = Match((1, 4, 5), 5, 1).double()
    frames = torch.randint(5, (1, 3, 1, 4, 5), generator=rng())
    before, now = earlier_frames(frames, 2)[:, 2], frames[:, 2]
    error = 0.03  # chance that a pixel is not copied; it is then one of the other four levels
    with torch.no_grad():
        match.sharpness.fill_(math.log((1 - error) * 4 / error))
        guess, prior = match(before, now), match.expect(before).softmax(-1)[0]
        moved = match.moved(before[:, -1])[0, :, 0]  # (9, H, W)
        posterior = prior.clone()
        for r, c in itertools.product(range(4), range(5)):
            p = posterior / posterior.sum()
            votes = [p[moved[:, r, c] == level].sum().item() for level in range(5)]
            assert guess[0, r, c, 0].tolist() == pytest.approx(votes, abs=1e-12)
            same = (moved[:, r, c] == now[0, 0, r, c]).double()
            posterior = posterior * (same * (1 - error) + (1 - same) * error / 4)


@pytest.mark.equation("9.6")
def test_attention_in_space_then_in_time_needs_few_pairs_and_reaches_all():
    frames, height, width = 8, 16, 16
    places = frames * height * width
    assert places**2 == 4_194_304
    assert places * (height * width + frames) == 540_672
    assert places / (height * width + frames) == pytest.approx(7.76, abs=0.005)
    t, s = 3, 4  # a smaller clip: two steps connect every place with every other one
    space = torch.kron(torch.eye(t), torch.ones(s, s))
    time = torch.kron(torch.ones(t, t), torch.eye(s))
    assert ((time @ space) > 0).all()
    causal = torch.kron(torch.ones(t, t).tril(), torch.eye(s)) @ torch.kron(torch.eye(t), torch.ones(s, s).tril())
    missing = torch.ones(t * s, t * s).tril().bool() & (causal == 0)
    assert missing.any(), "both factors masked: an earlier frame is not seen whole"
    leaking = torch.kron(torch.ones(t, t).tril(), torch.eye(s)) @ space
    assert leaking.triu(1).any(), "space left unmasked shows the current frame to itself"
