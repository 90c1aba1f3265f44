"""The numbered equations of lesson 04, PixelCNN, checked numerically."""

import pytest
import torch
import torch.nn.functional as F

from garm_course.autoregressive import pixelcnn
from garm_course.autoregressive.layers.causal_conv import CausalConv2d, conv_mask
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN, gated_activation
from garm_course.evaluation.audits import all_examples, causality, normalization, receptive_field

TARGET, SHAPE = (9, 5), (1, 11, 11)
PAST = {(r, c) for r in range(11) for c in range(11) if 11 * r + c < 11 * TARGET[0] + TARGET[1]}


def seen_pixels(model):
    field = receptive_field(model, TARGET)[0]
    return {(int(r), int(c)) for r, c in field.nonzero()}


@pytest.mark.equation("4.1")
@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_mask_is_the_past_of_the_center(k):
    a, b = conv_mask(k, "A"), conv_mask(k, "B")
    assert a.sum() == (k * k - 1) // 2
    assert b.sum() == (k * k + 1) // 2
    flat = torch.arange(k * k)
    assert torch.equal(a.flatten(), (flat < k * k // 2).float())  # raster order by counting
    assert torch.equal(a + a.flip(0, 1) + (b - a), torch.ones(k, k))  # a half turn maps the past to the future


@pytest.mark.equation("4.1")
@pytest.mark.parametrize("kind", ["A", "B"])
def test_split_kernel_equals_masked_kernel(kind):
    torch.manual_seed(0)
    conv = CausalConv2d(2, 3, 5, kind).double()
    dense = torch.randn(3, 2, 5, 5, dtype=torch.float64)
    taps = conv.row.shape[-1]
    with torch.no_grad():
        dense[:, :, :2], dense[:, :, 2, :taps] = conv.above, conv.row[:, :, 0]
    x = torch.randn(2, 2, 4, 7, dtype=torch.float64)
    assert torch.allclose(F.conv2d(x, dense * conv_mask(5, kind), conv.bias, padding=2), conv(x), atol=1e-12)


@pytest.mark.equation("4.2")
def test_blind_spot_is_the_wedge_to_the_upper_right():
    torch.manual_seed(0)
    blind = PAST - seen_pixels(PixelCNN(SHAPE, 2, channels=8, layers=9, first_kernel=3))
    assert blind == {(r, c) for r, c in PAST if r < 9 and c - 5 > 9 - r}
    assert len(blind) == 10
    assert len(PAST) == 104


@pytest.mark.equation("4.2")
def test_a_7x7_first_layer_moves_the_wedge_by_two_columns():
    torch.manual_seed(0)
    blind = PAST - seen_pixels(PixelCNN(SHAPE, 2, channels=8, layers=9, first_kernel=7))
    assert blind == {(r, c) for r, c in PAST if r < 9 and c - 5 > 9 - r + 2}
    assert len(blind) == 3


@pytest.mark.equation("4.3")
def test_gate_with_class_bias():
    g = torch.Generator().manual_seed(0)
    w_f, w_g = torch.randn(2, 4, 3, 2, 3, dtype=torch.float64, generator=g)
    v_f, v_g = torch.randn(2, 10, 4, dtype=torch.float64, generator=g)
    x = torch.randn(5, 3, 6, 7, dtype=torch.float64, generator=g)
    h = F.one_hot(torch.tensor([9, 0, 3, 3, 1]), 10).double()
    by_hand = torch.tanh(F.conv2d(x, w_f) + (h @ v_f)[..., None, None]) * torch.sigmoid(
        F.conv2d(x, w_g) + (h @ v_g)[..., None, None]
    )
    bias = (h @ torch.cat([v_f, v_g], 1))[..., None, None]
    assert torch.allclose(gated_activation(F.conv2d(x, torch.cat([w_f, w_g])) + bias), by_hand, atol=1e-12)


@pytest.mark.equation("4.4")
def test_two_stacks_see_the_whole_past_and_nothing_else():
    torch.manual_seed(0)
    model = GatedPixelCNN(SHAPE, 2, channels=8, layers=9, first_kernel=3)
    assert seen_pixels(model) == PAST
    assert causality(GatedPixelCNN((1, 4, 5), 3, channels=6, layers=3))


@pytest.mark.equation("4.4")
def test_without_the_shift_six_pixels_leak(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(pixelcnn, "down_shift", lambda v: v)
    leaked = seen_pixels(GatedPixelCNN(SHAPE, 2, channels=8, layers=9, first_kernel=3)) - PAST
    assert leaked == {(9, c) for c in range(5, 11)}


@pytest.mark.equation("4.5")
@pytest.mark.parametrize("cls", [PixelCNN, GatedPixelCNN])
def test_probabilities_of_all_3x3_images_sum_to_one(cls):
    torch.manual_seed(0)
    result = normalization(cls((1, 3, 3), 2, channels=8, layers=2))
    assert result.examples == 2**9
    assert abs(result.total - 1) < 1e-12


@pytest.mark.equation("4.6")
def test_mixture_over_classes_and_bayes_rule():
    torch.manual_seed(0)
    model = GatedPixelCNN((1, 3, 3), 2, n_classes=3, channels=8, layers=1).double().eval()
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    x = all_examples((1, 3, 3), 2)
    with torch.no_grad():
        joint = prior * model.class_log_probs(x).exp()  # (512, 3): p(y) p(x | y)
    marginal = joint.sum(1)
    assert abs(joint.sum().item() - 1) < 1e-12
    posterior = joint / marginal[:, None]
    assert torch.allclose(posterior.sum(1), torch.ones(512, dtype=torch.float64), atol=1e-12)
    # averaged over p(x), the posterior is the prior again
    assert torch.allclose((posterior * marginal[:, None]).sum(0), prior, atol=1e-12)
