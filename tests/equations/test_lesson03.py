"""The numbered equations of lesson 03, PixelRNN, checked numerically."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from garm_course.autoregressive.pixelrnn import (
    DiagonalBiLSTM,
    PixelGRU,
    RowLSTM,
    lstm_cell,
    sequence_nll,
    shift_right,
    skew,
    unskew,
)
from garm_course.evaluation.audits import all_examples, dependence

SMALL = [(PixelGRU, {"hidden": 9}), (RowLSTM, {"channels": 6}), (DiagonalBiLSTM, {"channels": 6})]
EACH = pytest.mark.parametrize(("cls", "size"), SMALL, ids=[cls.__name__ for cls, _ in SMALL])
SHAPE, AT = (1, 11, 11), (7, 5)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def field(model):
    """Pixels whose features have a gradient of the prediction at AT."""
    x = torch.randint(model.levels, (16, *model.shape), generator=torch.Generator().manual_seed(0))
    features = model.table[x].requires_grad_()
    model.from_features(features)[:, 0, AT[0], AT[1]].square().sum().backward()
    return {(r, c) for r, c in features.grad.abs().sum((0, 1, -1)).nonzero().tolist()}


def past():
    return {(r, c) for r in range(11) for c in range(11) if 11 * r + c < 11 * AT[0] + AT[1]}


@pytest.mark.equation("3.1")
@EACH
def test_color_images_of_two_by_two_pixels_sum_to_one(cls, size):
    torch.manual_seed(0)
    model, x = cls((3, 2, 2), levels=2, **size).double().eval(), all_examples((3, 2, 2), 2)
    assert len(x) == 2**12
    with torch.no_grad():
        p = model.log_prob(x).exp()
    assert abs(p.sum().item() - 1) < 1e-9
    assert p.std() > 0.01 * p.mean()  # it is not the uniform distribution, for which all of this would hold


@pytest.mark.equation("3.1")
@EACH
def test_the_product_of_the_conditionals_is_the_probability(cls, size):
    torch.manual_seed(0)
    model = cls((3, 2, 2), levels=2, **size).double().eval()
    x = all_examples((3, 2, 2), 2)
    values, state = model.to_sequence(x), model.start(len(x))  # (4096, 12): R, G, B of pixel 1, then of pixel 2, ...
    assert torch.equal(values[:, :3], x[:, :, 0, 0])
    total = torch.zeros(len(x), dtype=torch.float64)
    for i in range(12):
        logit = model.step(state, i, values[:, i - 1] if i else None)  # knows only the values before i
        total += F.logsigmoid(torch.where(values[:, i] == 1, logit, -logit))
    with torch.no_grad():
        assert torch.allclose(total, model.log_prob(x), atol=1e-12)


@pytest.mark.equation("3.1")
@EACH
def test_green_sees_red_and_blue_sees_both(cls, size):
    torch.manual_seed(0)
    sees = dependence(cls((3, 2, 2), levels=2, **size).double().eval(), (3, 2, 2), 2)[3:6, 3:6] > 0  # the second pixel
    assert torch.equal(sees, torch.ones(3, 3).tril(-1).bool())


@pytest.mark.equation("3.2")
def test_with_shifted_inputs_an_output_depends_on_earlier_values_only():
    torch.manual_seed(0)
    gru, x = nn.GRU(1, 8, batch_first=True).double(), normal(1, 6)

    def moves(inputs):
        jacobian = torch.autograd.functional.jacobian(lambda x: gru(inputs(x)[..., None])[0][0], x)  # (6, 8, 1, 6)
        return jacobian.abs().sum((1, 2)) > 0

    assert torch.equal(moves(lambda x: shift_right(x, 0.5)), torch.ones(6, 6).tril(-1).bool())
    assert torch.equal(moves(lambda x: x), torch.ones(6, 6).tril().bool())  # without: every value sees itself
    assert shift_right(x, 0.5)[0, 0] == 0.5
    assert torch.equal(shift_right(x, 0.5)[:, 1:], x[:, :-1])


@pytest.mark.equation("3.2")
def test_the_gru_over_pixels_is_taught_in_this_way():
    torch.manual_seed(0)
    model = PixelGRU((1, 3, 4), 5, hidden=8).double().eval()
    assert torch.equal(dependence(model, (1, 3, 4), 5) > 0, torch.ones(12, 12).tril(-1).bool())


@pytest.mark.equation("3.3")
def test_gru_written_out_equals_the_one_of_torch():
    torch.manual_seed(0)
    gru, u, h = nn.GRU(3, 4, batch_first=True).double(), normal(2, 9, 3), torch.zeros(2, 4, dtype=torch.float64)
    W_r, W_z, W_n = gru.weight_ih_l0.detach().chunk(3)
    U_r, U_z, U_n = gru.weight_hh_l0.detach().chunk(3)
    b_r, b_z, b_n = gru.bias_ih_l0.detach().chunk(3)
    c_r, c_z, c_n = gru.bias_hh_l0.detach().chunk(3)
    states = []
    for u_t in u.unbind(1):
        r = torch.sigmoid(u_t @ W_r.T + b_r + h @ U_r.T + c_r)
        z = torch.sigmoid(u_t @ W_z.T + b_z + h @ U_z.T + c_z)
        n = torch.tanh(u_t @ W_n.T + b_n + r * (h @ U_n.T + c_n))
        h = (1 - z) * n + z * h
        states.append(h)
    assert torch.allclose(torch.stack(states, 1), gru(u)[0], rtol=0, atol=1e-12)


@pytest.mark.equation("3.4")
def test_negative_log_likelihood_is_a_sum_of_cross_entropies():
    logits, x = 3 * normal(4, 6, 5), torch.randint(5, (4, 6), generator=torch.Generator().manual_seed(0))
    for b in range(4):
        ce = [logits[b, t].exp().sum().log() - logits[b, t, x[b, t]] for t in range(6)]
        assert torch.isclose(sequence_nll(logits, x)[b], sum(ce), rtol=0, atol=1e-12)
        assert torch.isclose(ce[2], F.cross_entropy(logits[b, 2], x[b, 2]), rtol=0, atol=1e-12)


@pytest.mark.equation("3.4")
@pytest.mark.parametrize(("t", "v"), [(64, 17), (7, 256), (1, 2)])
def test_equal_logits_cost_t_log_v(t, v):
    x = torch.randint(v, (3, t), generator=torch.Generator().manual_seed(0))
    expected = torch.full((3,), t * math.log(v), dtype=torch.float64)
    assert torch.allclose(sequence_nll(torch.full((3, t, v), 1.5, dtype=torch.float64), x), expected, atol=1e-11)


@pytest.mark.equation("3.4")
def test_it_is_the_likelihood_of_the_gru_over_pixels():
    torch.manual_seed(0)
    model = PixelGRU((1, 3, 4), 5, hidden=8).double().eval()
    x = torch.randint(5, (6, 1, 3, 4), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        nll = sequence_nll(model.to_sequence(model(x)), model.to_sequence(x))
        assert torch.allclose(nll, -model.log_prob(x), atol=1e-12)


@pytest.mark.equation("3.5")
def test_lstm_cell_is_the_one_of_torch_with_other_order_of_gates():
    torch.manual_seed(0)
    cell, u, h, c = nn.LSTMCell(3, 4).double(), normal(2, 3), normal(2, 4, seed=1), normal(2, 4, seed=2)
    gates = u @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
    i, f, g, o = gates.chunk(4, 1)  # the order of torch
    by_hand = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    ours = lstm_cell(torch.cat([o, f, i, g], 1), c)
    assert torch.allclose(ours[1], by_hand, rtol=0, atol=1e-12)
    assert torch.allclose(ours[0], torch.sigmoid(o) * torch.tanh(by_hand), rtol=0, atol=1e-12)
    for mine, theirs in zip(ours, cell(u, (h, c)), strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.equation("3.6")
@pytest.mark.parametrize(("height", "width"), [(4, 5), (5, 3), (1, 6), (6, 1), (4, 4)])
def test_skew_moves_row_r_by_r_and_its_columns_are_diagonals(height, width):
    x = normal(2, 3, height, width)
    s = skew(x)
    assert s.shape == (2, 3, height, width + height - 1)
    for r, c in itertools.product(range(height), range(width)):
        assert torch.equal(s[..., r, r + c], x[..., r, c])
    assert (s != 0).sum() == x.numel()  # nothing else is there
    assert torch.equal(unskew(s), x)
    for k in range(width + height - 1):  # column k holds the pixels with r + c = k
        diagonal = x.flip(-1).diagonal(width - 1 - k, -2, -1)
        column = s[..., k]
        assert torch.equal(column[column != 0].view(2, 3, -1), diagonal)


@pytest.mark.equation("3.6")
def test_column_by_column_the_diagonal_lstm_has_the_states_of_pixel_by_pixel():
    height, width, size = 3, 4, 5
    gates, (above, side) = normal(1, 4 * size, height, width), normal(2, size, 4 * size, seed=1)
    h, c = torch.zeros(2, height + 1, width + 1, size, dtype=torch.float64)
    for i, j in itertools.product(range(height), range(width)):
        total = gates[0, :, i, j] + h[i, j + 1] @ above + h[i + 1, j] @ side
        h[i + 1, j + 1], c[i + 1, j + 1] = lstm_cell(total, c[i + 1, j])
    columns, states = skew(gates)[0].permute(2, 1, 0), []
    state = cell = torch.zeros(height, size, dtype=torch.float64)
    for column in columns:
        state, cell = lstm_cell(column + F.pad(state, (0, 0, 1, -1)) @ above + state @ side, cell)
        states.append(state)
    assert len(states) == 6
    by_columns = unskew(torch.stack(states, -1).transpose(0, 1)).permute(1, 2, 0)  # (H, W, size)
    assert torch.allclose(by_columns, h[1:, 1:], rtol=0, atol=1e-12)


@pytest.mark.equation("3.7")
@pytest.mark.parametrize(("layers", "kernel"), [(1, 3), (2, 3), (1, 5), (3, 5)])
def test_context_of_a_row_lstm_is_a_triangle(layers, kernel):
    torch.manual_seed(0)
    a, seen = kernel // 2, set()
    for r, c in itertools.product(range(AT[0] + 1), range(11)):
        up, right = AT[0] - r, c - AT[1]
        low, high = (-(layers + a), -1) if up == 0 else (-(up + layers + a), up + a - 1)
        if low <= right <= high:
            seen.add((r, c))
    model = RowLSTM(SHAPE, 2, channels=16, layers=layers, first_kernel=kernel).double()
    assert field(model) == seen
    assert seen < past()  # there are blind pixels


@pytest.mark.equation("3.7")
@pytest.mark.parametrize(
    ("cls", "options"), [(PixelGRU, {"hidden": 32}), (DiagonalBiLSTM, {"channels": 16, "layers": 1, "first_kernel": 3})]
)
def test_the_others_see_the_whole_past(cls, options):
    torch.manual_seed(0)
    assert field(cls(SHAPE, 2, **options).double()) == past()


@pytest.mark.equation("3.7")
def test_without_the_pixels_the_way_from_the_right_misses_the_last_one_of_the_row_above():
    torch.manual_seed(0)
    model = DiagonalBiLSTM(SHAPE, 2, channels=16, layers=2, first_kernel=3).double()
    assert field(model) == past()
    with torch.no_grad():
        for layer in model.layers:
            layer.input_back.weight[:, 2 * 16 :] = 0
    assert past() - field(model) == {(6, 10)}


@pytest.mark.equation("3.8")
@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_gradient_through_time_is_a_product_of_jacobians_and_bounded(gamma):
    torch.manual_seed(0)
    rnn, out, u = nn.RNN(3, 4, batch_first=True).double(), nn.Linear(4, 2).double(), normal(1, 12, 3)
    with torch.no_grad():
        U = rnn.weight_hh_l0.mul_(gamma / torch.linalg.matrix_norm(rnn.weight_hh_l0, 2))  # the largest factor has it
    W, s, t = rnn.weight_ih_l0.detach(), 2, 11
    whole = torch.autograd.functional.jacobian(lambda u: out(rnn(u)[0])[0, t], u)[:, 0, s]  # (2, 3)
    h = rnn(u)[0][0].detach()
    factors = [torch.diag(1 - h[j] ** 2) @ U.detach() for j in range(s + 1, t + 1)]
    product = torch.linalg.multi_dot(factors[::-1])  # later steps stand on the left
    by_hand = out.weight.detach() @ product @ torch.diag(1 - h[s] ** 2) @ W
    assert torch.allclose(by_hand, whole, rtol=1e-9, atol=0)
    assert 0 < torch.linalg.matrix_norm(product, 2) <= gamma ** (t - s)


@pytest.mark.equation("3.8")
def test_gates_near_one_pass_the_gradient_on():
    torch.manual_seed(0)
    gru = nn.GRU(3, 4, batch_first=True).double()
    with torch.no_grad():
        gru.bias_ih_l0[4:8] = 20.0  # z near 1
    h = normal(1, 1, 4)
    jacobian = torch.autograd.functional.jacobian(lambda h: gru(torch.zeros(1, 30, 3).double(), h)[1], h).view(4, 4)
    assert torch.allclose(jacobian, torch.eye(4).double(), atol=1e-6)
    gates, c = normal(1, 4 * 5), normal(1, 5, seed=1)
    along = torch.autograd.functional.jacobian(lambda c: lstm_cell(gates, c)[1], c).view(5, 5)
    assert torch.allclose(along, torch.diag(gates.chunk(4, -1)[1].sigmoid()[0]))
