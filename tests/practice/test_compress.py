"""Smaller models: how far weights move, what masks do, what a file weighs, and the loss of a student."""

import pytest
import torch
from torch import nn

from garm_course.autoregressive import MADE, GatedPixelCNN, PixelGRU
from garm_course.evaluation.likelihood import paired
from garm_course.practice.compress import (
    distillation_loss,
    from_bytes,
    half,
    prune,
    quantize,
    to_bytes,
    used_weights,
)
from garm_course.weights.packing import drop_masked, pack, unpack


def made(**options):
    torch.manual_seed(0)
    return MADE((1, 3, 3), levels=3, **{"hidden": (24,), "direct": False, **options})


def networks():
    torch.manual_seed(0)
    gated = GatedPixelCNN((1, 3, 3), levels=3, channels=4, layers=1)
    return [made(), gated, PixelGRU((1, 3, 3), levels=3, hidden=6)]


def matrices(model):
    return {name: weight for name, weight in model.state_dict().items() if weight.ndim >= 2}


def equal(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-6, atol=0, msg=name)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("per", ["row", "tensor"])
def test_no_weight_moves_by_more_than_half_a_scale(bits, per):
    for model in networks():
        was = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        smaller = quantize(model, bits, per).state_dict()
        equal(model.state_dict(), was)
        drop_masked(model)
        for name, weight in model.state_dict().items():
            if weight.ndim < 2:
                assert torch.equal(smaller[name], weight)
                continue
            rows = weight.flatten(1).abs()
            largest = rows.amax(1, keepdim=True) if per == "row" else rows.max()
            scale = largest / (2 ** (bits - 1) - 1)
            moved = (smaller[name] - weight).flatten(1).abs()
            assert (moved <= scale * 0.5001).all()
            for row in smaller[name].flatten(1):
                assert len(row.unique()) <= 2**bits - 1


def test_eight_bits_by_rows_are_those_of_a_packed_file():
    model = made()
    smaller = quantize(model, 8).state_dict()
    drop_masked(model)
    equal(smaller, unpack(pack(model.state_dict())))


def test_a_row_of_small_weights_keeps_them_by_rows_only():
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[100.0, -50.0], [0.01, 0.005]]))
    assert (quantize(layer, 4, "tensor").weight[1] == 0).all()
    assert (quantize(layer, 4, "row").weight[1] != 0).all()


def test_what_a_mask_removes_widens_no_scale_and_changes_nothing():
    model, x = made(), torch.randint(3, (5, 1, 3, 3))
    expected, rounded = model.log_prob(x), quantize(model, 4).log_prob(x)
    with torch.no_grad():
        model.out.weight += 1000 * (1 - model.out.mask)
    torch.testing.assert_close(model.log_prob(x), expected)
    torch.testing.assert_close(quantize(model, 4).log_prob(x), rounded)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_moves_a_number_by_half_of_its_last_place(dtype):
    for model in networks():
        drop_masked(model)
        for name, tensor in half(model, dtype).state_dict().items():
            assert tensor.dtype == model.state_dict()[name].dtype
            moved = (tensor - model.state_dict()[name]).abs()
            assert (moved <= torch.finfo(dtype).eps / 2 * model.state_dict()[name].abs() + 1e-7).all()


def test_the_smallest_weights_go_and_masked_ones_do_not_count():
    for model in networks():
        used, weights = used_weights(model)
        assert (used < weights) == (model.name == "made")
        drop_masked(model)
        whole = torch.cat([weight.flatten() for weight in matrices(model).values()])
        for share in (0.0, 0.3, 0.9):
            left = torch.cat([weight.flatten() for weight in matrices(prune(model, share)).values()])
            gone = (left == 0) & (whole != 0)
            zeros_before = used - int((whole != 0).sum())  # such as a table of levels, whose zeros go first
            assert int(gone.sum()) == max(0, int(share * used) - zeros_before)
            assert torch.equal(left[~gone], whole[~gone])
            if gone.any():
                assert whole[gone].abs().max() <= left[left != 0].abs().min()


def test_to_drop_what_masks_remove_costs_nothing():
    """Half of the weights of a MADE, and not one number of it changes."""
    model, x = made(hidden=(200,)), torch.randint(3, (5, 1, 3, 3))
    used, weights = used_weights(model)
    assert used / weights == pytest.approx(0.5, abs=0.07)
    assert torch.equal(prune(model, 0.0).log_prob(x), model.log_prob(x))
    assert not torch.equal(prune(model, 0.1).log_prob(x), model.log_prob(x))
    assert len(to_bytes(model)) < 0.6 * 4 * weights


@pytest.mark.parametrize(
    ("bits", "per"), [(2, "row"), (3, "tensor"), (5, "row"), (8, "tensor"), (16, "row"), (32, "row")]
)
def test_a_file_brings_back_what_was_written(bits, per):
    for model in networks():
        for one in (model, prune(model, 0.7)):
            rounded = half(one) if bits == 16 else one if bits == 32 else quantize(one, bits, per)
            drop_masked(rounded)
            equal(from_bytes(to_bytes(one, bits, per)), rounded.state_dict())


def test_a_weight_costs_its_bits():
    torch.manual_seed(0)
    layer = nn.Linear(256, 256)
    sizes = {bits: 8 * len(to_bytes(layer, bits, "tensor")) for bits in (2, 3, 4, 8, 16, 32)}
    for bits in (3, 4, 8, 16, 32):
        assert sizes[bits] == pytest.approx(bits * 256**2 + 32 * 256, rel=0.03)
    assert sizes[2] < sizes[3]
    assert len(to_bytes(prune(layer, 0.9))) < len(to_bytes(layer)) / 5


def test_a_copy_can_be_paired_with_its_model():
    model = made()
    data = torch.randint(3, (50, 1, 3, 3))
    same = paired(quantize(model, 8), model, data)
    worse = paired(prune(model, 0.9), model, data)
    assert abs(same.nats) < 0.05
    assert same.stderr < worse.stderr


@pytest.mark.parametrize("T", [1.0, 3.0])
def test_the_loss_of_a_student_is_the_divergence_from_its_teacher(T):
    torch.manual_seed(0)
    ours, theirs = torch.randn(2, 5, 7, dtype=torch.float64)
    p = torch.distributions.Categorical(logits=theirs / T)
    expected = T**2 * torch.distributions.kl_divergence(p, torch.distributions.Categorical(logits=ours / T)).mean()
    torch.testing.assert_close(distillation_loss(ours, theirs, T), expected)
    assert distillation_loss(theirs + 3, theirs, T) == pytest.approx(0, abs=1e-12)
    never = theirs.clone()
    never[:, 0] = -torch.inf  # what the teacher rules out costs nothing
    assert torch.isfinite(distillation_loss(ours, never, T))
    assert torch.isnan(distillation_loss(ours * torch.nan, theirs, T))  # a student that diverged does not pass


def test_the_gradient_of_the_loss_keeps_its_size_as_the_temperature_grows():
    torch.manual_seed(0)
    ours, theirs = torch.randn(2, 4, 7, dtype=torch.float64)

    def gradient(T):
        logits, wanted = ours.clone().requires_grad_(), theirs.clone().requires_grad_()
        distillation_loss(logits, wanted, T).backward()
        assert wanted.grad is None  # the teacher is a constant
        return logits.grad

    centered = (ours - ours.mean(1, keepdim=True)) - (theirs - theirs.mean(1, keepdim=True))
    torch.testing.assert_close(gradient(1e6), centered / 4 / 7, rtol=1e-3, atol=1e-6)
    assert gradient(1e6).norm() / gradient(1e3).norm() == pytest.approx(1, abs=0.01)
    assert gradient(1.0).norm() / gradient(1e3).norm() < 2


def test_what_makes_no_sense_is_refused():
    layer = nn.Linear(3, 2)
    for bits in (1, 9, 4.0):
        with pytest.raises(ValueError, match=f"bits={bits} is out of range"):
            quantize(layer, bits)
    with pytest.raises(ValueError, match='expected per "row" or "tensor"'):
        quantize(layer, 4, "column")
    with pytest.raises(ValueError, match="bits=16 is out of range"):
        quantize(layer, 16)
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="share="):
            prune(layer, share)
    with pytest.raises(ValueError, match="expected float16 or bfloat16"):
        half(layer, torch.float64)
    with pytest.raises(ValueError, match="same shape"):
        distillation_loss(torch.zeros(2, 3), torch.zeros(3))
    with pytest.raises(ValueError, match="T=0"):
        distillation_loss(torch.zeros(3), torch.zeros(3), T=0)
    with torch.no_grad():
        layer.weight[0, 0] = 1e6
        with pytest.raises(ValueError, match=r"use dtype=torch\.bfloat16"):
            half(layer)
        half(layer, torch.bfloat16)
        layer.weight[0, 0] = torch.nan
    for smaller in (lambda: quantize(layer, 8), lambda: prune(layer, 0.5)):
        with pytest.raises(ValueError, match="weight has weights that are not finite"):
            smaller()
