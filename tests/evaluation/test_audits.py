"""Audits: they pass what is right, find what is broken, name the right place, and count the blind spot."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from garm_course.autoregressive import pixelcnn
from garm_course.autoregressive.layers.causal_conv import CausalConv2d, conv_mask, rgb_center_mask
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.evaluation.audits import (
    all_examples,
    calibration,
    causality,
    dependence,
    normalization,
    receptive_field,
)


class Stack(nn.Module):
    """A student's PixelCNN: dense convolutions times a mask, smooth in between so that no unit is dead."""

    def __init__(self, first, second, shape=(1, 5, 6), levels=3):
        super().__init__()
        torch.manual_seed(0)
        self.shape, self.levels = shape, levels
        self.masks = (first, second)
        self.one = nn.Conv2d(shape[0], 6 * shape[0], first.shape[-1], padding=first.shape[-1] // 2)
        self.two = nn.Conv2d(6 * shape[0], levels * shape[0], second.shape[-1], padding=second.shape[-1] // 2)

    def forward(self, x):
        w = next(self.parameters())
        h = F.conv2d(x.to(w.dtype), self.one.weight * self.masks[0], self.one.bias, padding="same")
        h = F.conv2d(torch.tanh(h), self.two.weight * self.masks[1], self.two.bias, padding="same")
        return h.unflatten(1, (self.shape[0], self.levels)).movedim(2, -1)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def shuffled(x):
    return x[torch.randperm(len(x), generator=rng())]


A, B = conv_mask(3, "A"), conv_mask(3, "B")


def test_a_right_model_is_causal():
    result = causality(Stack(A, B))
    assert result
    assert result.leak is None
    assert str(result).startswith("causal")


@pytest.mark.parametrize(
    ("first", "second", "leak", "cause"),
    [
        (B, B, ((0, 0, 0), (0, 0, 0)), "that pixel itself; a shift or a mask of kind A"),
        (A.mT, B, ((1, 0, 0), (0, 1, 0)), "row 1, column 0, further down"),  # column-major order
        (A, B.flip(1), ((0, 0, 0), (0, 0, 0)), "that pixel itself"),  # its right neighbor has seen it
        (A.flip(1), B, ((0, 1, 0), (0, 0, 0)), "column 1 of the same row, to its right"),
        (A.flip(0), B, ((1, 0, 0), (0, 0, 0)), "further down"),
        (torch.ones(3, 3), torch.ones(3, 3), ((0, 0, 0), (0, 0, 0)), "itself"),
    ],
)
def test_a_broken_mask_is_found_and_the_pair_is_named(first, second, leak, cause):
    result = causality(Stack(first, second))
    assert not result
    assert result.leak == leak
    row, column, _ = leak[1]
    assert f"the prediction at row {row}, column {column} " in str(result)
    assert cause in str(result)


@pytest.mark.parametrize(("shape", "position"), [((1, 5, 6), (0, 1)), ((1, 4, 3), (2, 2))])
def test_a_leak_of_one_single_pair_is_found(shape, position):
    # everything is zero except that one position sees the very last one
    def fn(x):
        out = torch.zeros(*x.shape, 3, dtype=torch.float64)
        out[:, 0, position[0], position[1], 1] = 1e-6 * x[:, 0, -1, -1]
        return out

    result = causality(fn, shape, 3)
    assert result.leak == ((shape[1] - 1, shape[2] - 1, 0), (*position, 0))


def test_a_missing_shift_of_the_vertical_stack_is_found(monkeypatch):
    model = GatedPixelCNN((1, 11, 11), 3, channels=4, layers=3, first_kernel=3)
    monkeypatch.setattr(pixelcnn, "down_shift", lambda v: v)
    result = causality(model)
    assert result.leak == ((0, 0, 0), (0, 0, 0))
    # every pixel that leaks lies in the target's own row
    field = receptive_field(model, (9, 5), examples=6)[0] > 0
    assert field[9, 5:].any()
    assert not field[10].any()


def test_swapped_colors_are_found(monkeypatch):
    def blue_first(c_in, c_out, kind, colors=3):
        return rgb_center_mask(c_in, c_out, kind, colors).flip(0, 1)

    monkeypatch.setattr("garm_course.autoregressive.layers.causal_conv.rgb_center_mask", blue_first)
    model = PixelCNN((3, 3, 4), 3, channels=12, layers=1)
    result = causality(model)
    assert result.leak == ((0, 0, 1), (0, 0, 0))
    assert "channel 1 of the same pixel, which comes later; are the color groups masked?" in str(result)
    assert "channel 0 depends" in str(result)


def test_a_first_layer_of_kind_b_is_found_in_a_model_of_the_library():
    model = PixelCNN((1, 4, 5), 3, channels=8, layers=1)
    model.first = CausalConv2d(3, 16, 7, "B")
    assert causality(model).leak == ((0, 0, 0), (0, 0, 0))


def test_a_mean_over_the_image_is_a_leak():
    class Mean(Stack):
        def forward(self, x):
            return super().forward(x) + x.double().mean((1, 2, 3)).reshape(-1, 1, 1, 1, 1)

    assert causality(Mean(A, B)).leak == ((0, 0, 0), (0, 0, 0))


def test_functions_are_audited_like_models_whatever_their_dtype_and_batch():
    model = Stack(A, B)  # float32
    assert causality(lambda x: model(x), (1, 5, 6), 3)
    assert causality(lambda x: torch.cat([model(part) for part in x.split(7)]), (1, 5, 6), 3)
    leaky = Stack(B, B)
    assert not causality(lambda x: leaky(x), (1, 5, 6), 3)


def test_an_audit_leaves_the_model_as_it_was():
    model = GatedPixelCNN((1, 4, 5), 3, channels=4, layers=1, dropout=0.5).train()
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    assert causality(model)
    assert abs(normalization(PixelCNN((1, 2, 2), 2, channels=4, layers=1, dropout=0.5)).total - 1) < 1e-12
    receptive_field(model, (1, 1))
    assert model.training
    assert next(model.parameters()).dtype == torch.float32
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
    fresh = torch.get_rng_state()
    torch.set_rng_state(state)
    PixelCNN((1, 2, 2), 2, channels=4, layers=1)  # the one thing above that draws
    assert torch.equal(torch.get_rng_state(), fresh)


def unseen(model, shape=(1, 11, 11), position=(9, 5), images=4):
    seen = receptive_field(model, position, examples=images)[0] > 0
    past = (torch.arange(shape[1] * shape[2]) < position[0] * shape[2] + position[1]).reshape(shape[1:])
    assert not (seen & ~past).any()
    assert int(past.sum()) == 104
    return past & ~seen


@pytest.fixture
def smooth(monkeypatch):
    """A slope everywhere in place of the ReLU: what is not seen is unseen by structure, not by a dead unit."""
    monkeypatch.setattr(F, "relu", F.elu)


def test_blind_spot_of_small_kernels(smooth):
    # pixel (9 - dr, 5 + dc) is unseen iff dc > dr; a stack deep enough for the whole image otherwise
    torch.manual_seed(0)
    model = PixelCNN((1, 11, 11), 2, channels=8, layers=9, first_kernel=3)
    blind = unseen(model)
    expected = torch.zeros(11, 11, dtype=torch.bool)
    for dr in range(1, 10):
        for dc in range(dr + 1, 6):
            expected[9 - dr, 5 + dc] = True
    assert torch.equal(blind, expected)
    assert int(blind.sum()) == 10


def test_blind_spot_with_a_wide_first_layer(smooth):
    torch.manual_seed(0)
    assert int(unseen(PixelCNN((1, 11, 11), 2, channels=8, layers=9, first_kernel=7)).sum()) == 3


def test_two_stacks_leave_no_blind_spot():
    torch.manual_seed(0)
    assert not unseen(GatedPixelCNN((1, 11, 11), 2, channels=8, layers=9, first_kernel=3)).any()


def test_the_field_of_a_known_function_has_its_values():
    def fn(x):  # the prediction at a pixel is 2 times its left neighbor plus 5 times the pixel above
        x = x.double()
        return (2 * F.pad(x, (1, -1)) + 5 * F.pad(x, (0, 0, 1, -1)))[..., None]

    field = receptive_field(fn, (2, 3), (1, 4, 5), 2)
    expected = torch.zeros(1, 4, 5, dtype=torch.float64)
    expected[0, 2, 2], expected[0, 1, 3] = 2, 5
    assert torch.equal(field, expected)
    for position, channel in [((4, 0), 0), ((0, 5), 0), ((-1, 0), 0), ((0, 0), 1)]:
        with pytest.raises(ValueError, match="inside"):
            receptive_field(fn, position, (1, 4, 5), 2, channel=channel)


def test_dependence_knows_rows_columns_and_channels():
    # position (r, c, k) sees (r, c - 1, k) in the first channel, and (r, c, k - 1) in the second one
    def fn(x):
        return torch.stack([F.pad(x[:, 0], (1, -1)), x[:, 0]], 1).double()

    d = dependence(fn, (2, 2, 3), 4) > 0
    expected = torch.zeros(12, 12, dtype=torch.bool)
    for r in range(2):
        for c in range(3):
            at = (r * 3 + c) * 2
            expected[at + 1, at] = True
            if c:
                expected[at, at - 2] = True
    assert torch.equal(d, expected)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: x.double()[:, 0], "expected parameters of shape"),
        (lambda x: None, "NoneType"),
        (lambda x: torch.zeros(len(x), 3, 1, 4, 5), "levels last"),
        (lambda x: x / 0.0, "NaN or infinity"),
    ],
)
def test_functions_that_return_something_else_are_told_so(result, message):
    with pytest.raises(ValueError, match=message):
        causality(result, (1, 4, 5), 3)


def test_a_function_must_say_which_images_it_takes():
    for call in (lambda: causality(lambda x: x), lambda: normalization(lambda x: x, (1, 2, 2))):
        with pytest.raises(ValueError, match=r"shape=\(C, H, W\) and levels"):
            call()
    with pytest.raises(ValueError, match="levels >= 2"):
        causality(lambda x: x, (1, 2, 2), 1)


def test_all_examples_are_all_of_them():
    x = all_examples((2, 1, 3), 3)
    assert x.shape == (729, 2, 1, 3)
    assert len(x.unique(dim=0)) == 729
    assert (int(x.min()), int(x.max())) == (0, 2)
    with pytest.raises(ValueError, match=r"17\^64 examples are too many"):
        all_examples((1, 8, 8), 17)


@pytest.mark.parametrize("n_classes", [0, 2])
def test_models_of_the_library_sum_to_one(n_classes):
    model = GatedPixelCNN((1, 2, 3), 3, n_classes, channels=4, layers=1)
    result = normalization(model, y=1 if n_classes else None)
    assert result
    assert (result.examples, result.total) == (729, pytest.approx(1, abs=1e-12))
    assert "sums to 1" in str(result)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda log_p, x: log_p + 0.001,  # a constant
        lambda log_p, x: log_p / 16,  # mean over the pixels in place of the sum
        lambda log_p, x: log_p / math.log(2),  # bits
        lambda log_p, x: torch.where(x.flatten(1).sum(1) == 0, math.nan, log_p),
    ],
)
def test_what_does_not_sum_to_one_is_found(wrong):
    def right(x):
        return torch.full((len(x),), -16 * math.log(2), dtype=torch.float64)

    assert normalization(right, (1, 4, 4), 2)
    result = normalization(lambda x: wrong(right(x), x), (1, 4, 4), 2)
    assert not result
    assert "does not sum to 1" in str(result)


def test_logits_of_a_student_are_summed_as_well():
    model = Stack(A, B, (1, 2, 3), 3).double()
    total = normalization(lambda x: model(x), (1, 2, 3), 3)
    assert total
    assert normalization(model).total == pytest.approx(total.total, abs=1e-12)  # a module without log_prob
    leaky = Stack(B, B, (1, 2, 3), 3).double()
    assert not normalization(lambda x: leaky(x), (1, 2, 3), 3)
    binary = PixelCNN((1, 2, 3), 2, channels=4, layers=1).double()
    assert normalization(lambda x: binary(x), (1, 2, 3), 2)
    with pytest.raises(ValueError, match=r"log-probabilities \(B,\) or logits"):
        normalization(lambda x: x.double().sum(), (1, 2, 3), 2)


@pytest.fixture(scope="module")
def sampled():
    torch.manual_seed(0)
    model = GatedPixelCNN((1, 2, 3), 2, channels=4, layers=1).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    return model, model.sample(20_000, rng=rng())


def test_true_samples_pass(sampled):
    model, x = sampled
    assert calibration(model, x)
    assert calibration(lambda x: model.log_prob(x), x, 2)
    assert calibration(lambda x: model(x), x, 2)
    assert "agree with" in str(calibration(model, x))


@pytest.mark.parametrize("mistake", ["temperature", "transposed", "flipped", "uniform", "one image", "repeated"])
def test_wrong_samples_are_found(sampled, mistake):
    model, x = sampled
    wrong = {
        "temperature": lambda: model.sample(len(x), temperature=0.9, rng=rng()),
        "transposed": lambda: x.reshape(-1, 1, 3, 2).mT.contiguous(),
        "flipped": lambda: x.flip(3),
        "uniform": lambda: torch.randint(2, x.shape, generator=rng()),
        "one image": lambda: x[:1].expand_as(x),
        "repeated": lambda: x[:1000].repeat(20, 1, 1, 1),
    }[mistake]()
    result = calibration(model, shuffled(wrong))
    assert not result
    assert "do NOT agree" in str(result)


def test_samples_that_are_too_regular_are_found():
    # every image exactly as often as expected: no random draw does that
    regular = all_examples((1, 3, 3), 2).repeat(100, 1, 1, 1)
    result = calibration(lambda x: torch.full((len(x),), -9 * math.log(2), dtype=torch.float64), regular, 2)
    assert not result
    assert result.z < -4
    assert result.total_variation == 0


def test_an_impossible_image_among_the_samples_is_found():
    def even(x):  # uniform over the images with an even sum
        return torch.where(x.flatten(1).sum(1) % 2 == 0, -3 * math.log(2), -math.inf).double()

    x = all_examples((1, 2, 2), 2)
    x = x[x.flatten(1).sum(1) % 2 == 0]
    draws = x[torch.randint(8, (8000,), generator=rng())]
    assert calibration(even, draws, 2)
    draws[5, 0, 0, 0] = 1 - draws[5, 0, 0, 0]
    assert calibration(even, draws, 2).z == math.inf


@pytest.mark.parametrize("cells", [2, 3, 16])
def test_the_z_value_is_one(cells):
    # over many repetitions the z of true samples has the tail of a normal deviate, for two cells as for many
    d = {2: 1, 3: 1, 16: 4}[cells]
    levels = 3 if cells == 3 else 2

    def uniform(x):
        return torch.full((len(x),), -d * math.log(levels), dtype=torch.float64)

    z = torch.tensor([
        calibration(uniform, torch.randint(levels, (500, 1, 1, d), generator=rng(i)), levels).z for i in range(1500)
    ])  # fmt: skip
    beyond = (z > 2.5).double().mean().item()  # 0.6 % for a normal deviate
    assert beyond < 0.0062 + 4 * math.sqrt(0.0062 / len(z))
    assert abs(z.mean()) < 0.25


def test_samples_of_another_space_are_refused():
    model = PixelCNN((1, 2, 3), 2, channels=4, layers=1)
    x = torch.zeros(5, 1, 2, 3, dtype=torch.long)
    for bad in (x.float(), x[0], x[:0], x.mT, x + 2, x - 1, x.tolist()):
        with pytest.raises(ValueError, match="expected samples"):
            calibration(model, bad)
    with pytest.raises(ValueError, match="levels="):
        calibration(lambda x: x, x)
