"""WaveNet: its receptive field, its classes, and a ring buffer that can go back; `test_sequences` has the rest."""

import math

import pytest
import torch
from small_models import small_model

from garm_course.autoregressive.layers.causal_conv1d import CausalConv1d, RingBuffer
from garm_course.autoregressive.wavenet import WaveNet, receptive_field
from garm_course.evaluation.audits import receptive_field as seen_by


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("kernel", "dilations"), [(2, (1,)), (2, (1, 2, 4)), (3, (1, 3)), (1, (1, 1)), (2, (4, 1)), (5, (2,))]
)
def test_the_receptive_field_is_that_of_the_formula(kernel, dilations):
    model = small_model(WaveNet, (20,), 5, kernel=kernel, dilations=dilations)
    assert model.reach == 1 + (kernel - 1) * sum(dilations) == receptive_field(kernel, dilations)
    # a layer whose taps leave holes (a dilation above the reach so far) is seen through them: first and last are exact
    seen = seen_by(model, 19, examples=6).nonzero().flatten()
    assert (seen.min(), seen.max()) == (19 - model.reach, 18)


def test_the_models_of_the_lesson_reach_over_a_period_or_not():
    assert [WaveNet((1000,), 256, dilations=d).reach for d in ((1, 2, 4, 8), (1, 2, 4, 8, 16, 32) * 2)] == [16, 127]
    assert WaveNet((1000,), 256).config["dilations"] == [1, 2, 4, 8, 16, 32] * 2


def test_it_reads_a_sample_in_both_scales_and_the_beginning_as_neither():
    model = WaveNet((10,), 256, channels=4, skip=4, dilations=(1,))
    assert model.values[256].tolist() == [0, 0]
    level, amplitude = model.values[157].tolist()  # see the example of mu_law_encode
    assert (level, amplitude) == (pytest.approx(2 * 157 / 255 - 1), pytest.approx(0.01, abs=3e-4))


def test_a_zero_head_costs_the_logarithm_of_the_levels_for_every_sample():
    model = WaveNet((30,), 256, 2, channels=4, skip=4, dilations=(1, 2)).double()
    for parameter in model.head_out.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randint(256, (3, 30), generator=rng())
    expected = torch.full((3,), -30 * math.log(256), dtype=torch.float64)
    torch.testing.assert_close(model.log_prob(x, torch.tensor([0, 1, 1])), expected, rtol=1e-12, atol=0)


def test_weights_of_classes_are_classes_at_the_corners_and_something_else_between():
    model = small_model(WaveNet, (12,), 5, 3)
    x, y = torch.randint(5, (3, 12), generator=rng()), torch.tensor([2, 0, 1])
    corners = torch.nn.functional.one_hot(y, 3).double()
    assert torch.equal(model(x, corners), model(x, y))
    assert torch.equal(model(x, corners.half()), model(x, y))
    between = torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64).expand(3, -1)
    assert min((model(x, between) - model(x, torch.full((3,), k))).abs().max() for k in (0, 1)) > 1e-3
    drawn = model.sample(3, between, length=30, rng=rng())
    assert torch.equal(drawn, model.sample_naive(3, between, length=30, rng=rng()))
    for bad in (between[:, :2], between[:2], between[0]):
        with pytest.raises(ValueError, match=r"weights of classes FloatTensor \(3, 3\), got floats of shape"):
            model.log_prob(x, bad)
    with pytest.raises(ValueError, match="n_classes=0; leave y out"):
        small_model(WaveNet, (12,), 5).log_prob(x, between)


@pytest.mark.parametrize(
    "arguments",
    [{"channels": 0}, {"skip": 0}, {"kernel": 0}, {"dilations": ()}, {"dilations": (1, 0)}, {"kernel": 2.0}],
)
def test_sizes_that_make_no_model_are_refused(arguments):
    with pytest.raises(ValueError, match="is out of range: expected an integer of at least 1"):
        WaveNet((10,), 256, **arguments)


def test_more_guesses_than_it_looks_ahead_are_refused():
    model = small_model(WaveNet, (10,), 5)
    with pytest.raises(ValueError, match="expected at most 31 guesses, got 32"):
        model.look_ahead(model.start(2), 0, None, torch.zeros(32, 2, dtype=torch.long))


def test_its_places_are_samples():
    assert WaveNet((10,), 256).place(7) == "sample 7"


@pytest.mark.parametrize(("k", "dilation"), [(1, 1), (2, 4), (3, 3), (2, 1)])
def test_a_ring_takes_several_inputs_at_once_and_goes_back(k, dilation):
    torch.manual_seed(0)
    conv, block = CausalConv1d(3, 4, k, dilation=dilation).double(), 5
    x = torch.randn(2, 3, 40, generator=rng(1), dtype=torch.float64)
    whole, wrong = conv(x).permute(2, 0, 1), torch.randn(40, 2, 3, generator=rng(2), dtype=torch.float64)
    ring, t = RingBuffer(conv, 2, block), 0
    assert len(ring.slots) == conv.reach + block
    while t < 35:
        right = 1 + t % block  # so many of the inputs are as they should be
        row = torch.cat([x[..., t : t + right].permute(2, 0, 1), wrong[t + right : t + block]])
        torch.testing.assert_close(ring.row(row)[:right], whole[t : t + right], rtol=0, atol=1e-12)
        t += right
        ring.t = t  # back to the first wrong input
        torch.testing.assert_close(ring.step(x[..., t]), whole[t], rtol=0, atol=1e-12)
        t += 1
