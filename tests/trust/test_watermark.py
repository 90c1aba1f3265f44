"""Green lists: the exact law of their counts, drawing with them, and finding them again."""

import math

import pytest
import torch

from garm_course.autoregressive.made import MADE
from garm_course.trust.watermark import GreenList, p_value


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def model():
    torch.manual_seed(1)
    return MADE((1, 4, 4), 6, hidden=(16,), direct=False)


def test_over_keys_the_green_values_of_any_sequence_are_binomial():
    tokens = torch.tensor([[0] * 12, [5, 4, 3, 2, 1, 0] * 2])  # also of one value that is repeated
    counts = torch.stack([GreenList(key, 0.4, 6).count(tokens) for key in range(1500)])
    share = GreenList(0, 0.4, 6).share
    assert share == pytest.approx(2 / 6)
    for column in counts.T:
        observed = column.bincount(minlength=13).double()
        tails = torch.cat([p_value(torch.arange(13), 12, share), torch.zeros(1, dtype=torch.float64)])
        expected = 1500 * (tails[:-1] - tails[1:])
        kept = expected > 5
        chi = ((observed - expected).square() / expected)[kept].sum().item()
        assert chi < kept.sum() + 4 * math.sqrt(2 * kept.sum())
    left, right = counts.double().T
    assert abs(torch.corrcoef(torch.stack([left, right]))[0, 1]) < 0.2  # they share a pair of value and one before


def test_images_of_one_source_are_no_independent_evidence_and_counted_together_they_are_no_false_alarm():
    tokens = torch.zeros(8, 12, dtype=torch.long)  # the same border in all
    tokens[:, 6:] = torch.randint(6, (8, 6), generator=rng())
    alarms = {"added": 0, "together": 0}
    for key in range(600):
        green = GreenList(key, 0.5, 6)
        count, total = green.count_together(tokens)
        alarms["together"] += p_value(count, total, green.share).item() < 0.05
        alarms["added"] += p_value(green.count(tokens).sum(), 8 * 12, green.share).item() < 0.05
    assert alarms["together"] < 600 * 0.05 + 4 * math.sqrt(600 * 0.05 * 0.95)
    assert alarms["added"] > 60
    green = GreenList(3, 0.5, 6)
    assert green.count_together(tokens[:1]) == (int(green.count(tokens[:1])), 12)
    assert green.count_together(tokens[:1].repeat(5, 1)) == green.count_together(tokens[:1])


def test_the_p_value_is_the_tail_of_the_binomial():
    from scipy.stats import binom

    for T, gamma in ((1, 0.5), (64, 8 / 17), (256, 0.25)):
        counts = torch.arange(T + 1)
        assert p_value(counts, T, gamma).tolist() == pytest.approx(binom.sf(counts - 1, T, gamma).tolist(), rel=1e-9)
    assert p_value(256, 256, 0.25).item() == pytest.approx(0.25**256, rel=1e-9)


def test_lists_depend_on_key_position_and_value_before_and_have_one_size():
    green = GreenList(3, 0.5, 17)
    previous = torch.arange(17)
    assert green.mask(4, previous).sum(1).tolist() == [8] * 17
    assert green.mask(0, None).shape == (1, 17)
    assert torch.equal(green.mask(4, previous), GreenList(3, 0.5, 17).mask(4, previous))
    for other in (GreenList(4, 0.5, 17).mask(4, previous), green.mask(5, previous), green.mask(4, previous.flip(0))):
        assert not torch.equal(green.mask(4, previous), other)
    # a fixed key has fixed lists, on every machine: whoever counts later needs the same
    assert GreenList(3, 0.5, 6).mask(2, torch.tensor([1])).nonzero()[:, 1].tolist() == [2, 3, 4]


@pytest.mark.parametrize("naive", [False, True])
def test_what_was_drawn_with_the_key_is_found_with_it_and_not_with_another(naive):
    net, green = model(), GreenList(11, 0.5, 6)
    x = net.sample(200, transform=green.favor(2.0), rng=rng(), naive=naive)
    count = green.count(net.to_sequence(x))
    z = lambda c: ((c.double().mean() - 16 * green.share) / math.sqrt(16 * 0.25 / 200)).item()  # noqa: E731
    assert z(count) > 20
    assert abs(z(GreenList(12, 0.5, 6).count(net.to_sequence(x)))) < 5
    assert abs(z(green.count(net.to_sequence(net.sample(200, rng=rng()))))) < 5
    # every position was drawn from the conditional with the green logits raised
    hits = green.hits(net.to_sequence(x))
    with torch.no_grad():
        p = net.head.logits(net.to_sequence(net(x))).softmax(-1)
    sequence, expected = net.to_sequence(x), 0.0
    for i in range(16):
        mask = green.mask(i, sequence[:, i - 1] if i else None).expand(200, -1)
        g = (p[:, i] * mask).sum(1)
        expected += (math.exp(2) * g / (math.exp(2) * g + 1 - g)).mean().item()
    assert hits.sum(1).double().mean().item() == pytest.approx(expected, abs=4 * 2 / math.sqrt(200))


def test_with_an_overwhelming_delta_every_value_is_green():
    net, green = model(), GreenList(11, 0.5, 6)
    x = net.sample(50, transform=green.favor(80.0), rng=rng())
    assert green.hits(net.to_sequence(x)).all()


def test_a_transform_that_changes_nothing_draws_what_the_model_draws():
    net = model()
    same = net.sample(50, transform=lambda logits, i, previous: logits, rng=rng(5))
    assert torch.equal(same, net.sample(50, rng=rng(5)))
    seen = []

    def look(logits, i, previous):
        seen.append((i, None if previous is None else previous.clone()))
        return logits

    x = net.to_sequence(net.sample(3, transform=look, temperature=0.5, rng=rng(5)))
    assert [i for i, _ in seen] == list(range(16))
    assert seen[0][1] is None
    assert all(torch.equal(previous, x[:, i - 1]) for i, previous in seen[1:])
    assert torch.equal(
        net.sample(9, transform=lambda logits, i, previous: logits, temperature=0.5, top_k=3, rng=rng(2)),
        net.sample(9, temperature=0.5, top_k=3, rng=rng(2)),
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: GreenList(0, 0.0, 17), "gamma=0.0"),
        (lambda: GreenList(0, 1.0, 17), "gamma=1.0"),
        (lambda: GreenList(0, 0.05, 17), "none of 17 values green"),
        (lambda: GreenList("key", 0.5, 17), "integer as the key"),
        (lambda: GreenList(0, 0.5, 17).favor(0.0), "delta=0.0"),
        (lambda: GreenList(0, 0.5, 3).count(torch.tensor([[0, 3]])), "values 0..2"),
        (lambda: GreenList(0, 0.5, 3).count(torch.tensor([0, 1])), "model.to_sequence"),
        (lambda: p_value(3, 2, 0.5), "whole numbers 0..2"),
        (lambda: p_value(1, 2, 1.5), "gamma=1.5"),
        (lambda: p_value(0, 0, 0.5), "T=0"),
        (lambda: model().sample(2, transform=lambda *a: a[0], allowed=object()), "cannot be combined"),
    ],
)
def test_what_does_not_fit_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_tokens_of_another_type_are_refused():
    with pytest.raises(TypeError, match="LongTensor"):
        GreenList(0, 0.5, 3).count(torch.rand(2, 3))
