"""PixelRNN: skewed images, layers against their definition pixel by pixel, what they see, drawing in one pass."""

import pytest
import torch
import torch.nn.functional as F
from counting import flops
from small_models import small_model
from torch import nn

from garm_course.autoregressive.pixelrnn import (
    DiagonalBiLSTM,
    DiagonalBiLSTMLayer,
    PixelGRU,
    RowLSTM,
    RowLSTMLayer,
    lstm_cell,
    sequence_nll,
    shift_right,
    skew,
    unskew,
)
from garm_course.evaluation.audits import causality, dependence

RNNS = (PixelGRU, RowLSTM, DiagonalBiLSTM)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 5, 2), (3, 1, 4), (1, 6), (6, 1), (2, 2)])
def test_a_diagonal_becomes_a_column_and_comes_back(shape):
    x = torch.randn(shape)
    s, (height, width) = skew(x), shape[-2:]
    assert s.shape == (*shape[:-2], height, width + height - 1)
    for r in range(height):
        for c in range(width):
            assert torch.equal(s[..., r, r + c], x[..., r, c])
    torch.testing.assert_close(s.abs().sum(), x.abs().sum())
    assert torch.equal(unskew(s), x)


@pytest.mark.parametrize("shape", [(2, 7), (2, 7, 3), (4, 1)])
def test_the_input_of_teacher_forcing_is_one_step_late(shape):
    x = torch.randn(shape)
    u = shift_right(x, -3.0)
    assert (u[:, 0] == -3).all()
    assert torch.equal(u[:, 1:], x[:, :-1])


def test_the_loss_of_a_sequence_is_that_of_the_library_model():
    model = small_model(PixelGRU, (3, 2, 3), 4)
    x = torch.randint(4, (5, 3, 2, 3), generator=rng())
    nll = sequence_nll(model.to_sequence(model(x)), model.to_sequence(x))
    torch.testing.assert_close(nll, -model.log_prob(x))


@pytest.mark.parametrize("bad", [torch.zeros(2, 5, 3), torch.zeros(2, 3), torch.zeros(2, 3, 4, 5)])
def test_logits_of_another_shape_are_refused(bad):
    with pytest.raises(ValueError, match=r"expected logits \(B, T, V\)"):
        sequence_nll(bad, torch.zeros(2, 4, dtype=torch.long))


def test_the_cell_is_that_of_torch():
    lstm = nn.LSTMCell(3, 4).double()
    x, h, c = torch.randn(5, 3).double(), torch.randn(5, 4).double(), torch.randn(5, 4).double()
    i, f, g, o = (
        x @ lstm.weight_ih.T + lstm.bias_ih + h @ lstm.weight_hh.T + lstm.bias_hh
    ).chunk(4, 1)  # fmt: skip
    for ours, theirs in zip(lstm_cell(torch.cat([o, f, i, g], 1), c), lstm(x, (h, c)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_row_lstm_is_its_definition_pixel_by_pixel():
    layer = RowLSTMLayer(6, 5, 4, 3, 1, 2).double()
    x, y = torch.randn(2, 6, 3, 5).double(), torch.tensor([1, 0])
    gates = layer.input(x) + layer.classes(y)[..., None, None]
    got = layer(x, x[:, :5], y)
    h = c = torch.zeros(2, 5, 4).double()
    for r in range(3):
        above, left_alone = F.pad(h, (0, 0, 1, 1)), gates[:, :, r].transpose(1, 2)
        new_h, new_c = torch.empty_like(h), torch.empty_like(c)
        for column in range(5):
            total = left_alone[:, column]
            for tap in range(3):  # left above, above, right above
                total = total + above[:, column + tap] @ layer.state.weight[:, :, tap].T
            new_h[:, column], new_c[:, column] = lstm_cell(total, c[:, column])
        h, c = new_h, new_c
        torch.testing.assert_close(got[:, :, r].transpose(1, 2), h)


def test_the_diagonal_bilstm_is_its_definition_pixel_by_pixel():
    layer = DiagonalBiLSTMLayer(6, 5, 4, 3, 1, 2).double()
    x, pixels, y = torch.randn(2, 6, 3, 4).double(), torch.randn(2, 5, 3, 4).double(), torch.tensor([1, 0])
    bias = layer.classes(y).chunk(2, 1)
    inputs = layer.input(x), layer.input_back(torch.cat([x, pixels], 1))
    states = []
    for direction, columns in ((0, range(4)), (1, range(3, -1, -1))):
        gates = inputs[direction] + bias[direction][..., None, None]
        above, rows = torch.zeros(2, 4, 4).double(), []
        for r in range(3):
            h = c = torch.zeros(2, 4).double()
            row = torch.empty(2, 4, 4).double()
            for column in columns:
                both = torch.cat([above[:, column], h], 1)
                h, c = lstm_cell(gates[:, :, r, column] + both @ layer.state[direction], c)
                row[:, column] = h
            above = row
            rows.append(row)
        states.append(torch.stack(rows, 1).movedim(-1, 1))  # (B, h, H, W)
    expected = states[0].clone()
    expected[:, :, 1:] += states[1][:, :, :-1]  # one row further down
    torch.testing.assert_close(layer(x, pixels, y), expected)


@pytest.mark.parametrize("cls", [RowLSTM, DiagonalBiLSTM])
def test_lstms_start_with_open_forget_gates(cls):
    model = cls((1, 4, 5), 3, channels=16)
    for layer in model.layers:
        biases = [layer.input.bias, *([layer.input_back.bias] if cls is DiagonalBiLSTM else [])]
        for o, f, i, g in (bias.chunk(4) for bias in biases):
            assert f.mean() > 0.8
            assert max(part.abs().mean() for part in (o, i, g)) < 0.3


def test_without_the_move_down_the_audit_names_a_leak():
    class Layer(DiagonalBiLSTMLayer):
        def join(self, ahead, back):
            return ahead + back

    class Leaky(DiagonalBiLSTM):
        layer = Layer

    assert not causality(Leaky((1, 3, 4), 2, channels=4, layers=1))


@pytest.mark.parametrize("cls", [PixelGRU, DiagonalBiLSTM])
@pytest.mark.parametrize(("shape", "levels"), [((1, 7, 9), 2), ((3, 3, 5), 2), ((1, 2, 8), 3)])
def test_the_gru_and_the_diagonal_bilstm_see_the_whole_past(cls, shape, levels, monkeypatch):
    monkeypatch.setattr("garm_course.autoregressive.pixelrnn.F.relu", F.elu)  # no dead units
    model = small_model(cls, shape, levels, **({"channels": 6 * shape[0]} if cls is DiagonalBiLSTM else {"layers": 1}))
    past = torch.ones(model.positions, model.positions).tril(-1).bool()
    assert torch.equal(dependence(model, shape, levels, examples=6) > 0, past)


@pytest.mark.parametrize(("layers", "kernel"), [(1, 3), (2, 3), (1, 5), (3, 5)])
def test_the_row_lstm_sees_a_triangle(layers, kernel, monkeypatch):
    monkeypatch.setattr("garm_course.autoregressive.pixelrnn.F.relu", F.elu)
    model = small_model(RowLSTM, (1, 7, 9), 2, channels=6, layers=layers, first_kernel=kernel)
    a, expected = kernel // 2, torch.zeros(63, 63, dtype=torch.bool)
    for target in range(63):
        for source in range(target):
            up, right = target // 9 - source // 9, source % 9 - target % 9
            reach = -(layers + a) <= right <= -1 if up == 0 else -(up + layers + a) <= right <= up + a - 1
            expected[target, source] = reach
    assert torch.equal(dependence(model, (1, 7, 9), 2, examples=6) > 0, expected)


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("shape", [(1, 8, 6), (3, 4, 5)])
@pytest.mark.parametrize("cls", [RowLSTM, DiagonalBiLSTM])
def test_drawing_costs_about_one_pass(cls, shape, n_classes):
    # a GRU does not show its multiplications to the counter
    model = small_model(cls, shape, 4, n_classes, channels=12)
    y = torch.zeros(2, dtype=torch.long) if n_classes else None
    one_pass = flops(lambda: model(torch.zeros(2, *shape, dtype=torch.long), y))
    assert flops(lambda: model.sample(2, y)) <= 1.15 * one_pass
    assert flops(lambda: model.sample_naive(2, y)) == model.positions * one_pass


@pytest.mark.parametrize("cls", RNNS)
def test_features_have_a_gradient(cls):
    model = small_model(cls, (1, 3, 4), 3)
    x = torch.randint(3, (2, 1, 3, 4), generator=rng())
    features = model.table[x].requires_grad_()
    torch.testing.assert_close(model.from_features(features), model(x))
    model.from_features(features)[:, 0, 2, 1].sum().backward()
    seen = features.grad.abs().sum((0, 1, -1)).flatten() > 0
    assert not seen[9:].any()
    assert seen[5:9].all()
