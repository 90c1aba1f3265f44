"""MADE: masks, degrees, agnostic training, sampling at the cost of one pass. NADE: blocks equal the recurrence."""

import itertools

import pytest
import torch
from counting import flops

from garm_course.autoregressive.made import FVSBN, MADE, MaskedLinear, made_degrees, made_masks
from garm_course.autoregressive.nade import NADE, nade_log_prob, nade_params
from garm_course.evaluation.audits import all_examples, causality, normalization


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def paths(masks):
    """(D, D) number of paths from input j to output i."""
    total = masks[0].double()
    for mask in masks[1:]:
        total = mask.double() @ total
    return total


ORDERS = [None, [4, 1, 0, 3, 2, 5, 6]]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("hidden", [(), (6,), (9, 6), (30, 7, 11)])
def test_wide_masks_keep_every_allowed_path_and_no_other(hidden, order):
    masks = made_masks(7, hidden, order)
    assert [tuple(m.shape) for m in masks] == list(zip([*hidden, 7], [7, *hidden], strict=True))
    rank = torch.tensor(order or range(7)).argsort()
    assert torch.equal(paths(masks) > 0, rank[:, None] > rank)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("hidden", [(1,), (3, 2), (40, 25)])
def test_random_and_narrow_masks_are_strictly_causal(hidden, seed):
    for order, gen in itertools.product(ORDERS, (None, rng(seed))):
        rank = torch.tensor(order or range(7)).argsort()
        assert not (paths(made_masks(7, hidden, order, gen)) * (rank[:, None] <= rank)).any()


def test_random_degrees_never_fall_below_the_layer_before():
    for seed in range(20):
        _, *hidden = made_degrees(9, (3, 50, 50), rng=rng(seed))
        for below, above in itertools.pairwise(hidden):
            assert above.min() >= below.min()
        assert all(m.min() >= 1 and m.max() <= 8 for m in hidden)


def test_one_pixel_needs_no_connection():
    model = MADE((1, 1, 1), 3, hidden=(4,)).double()
    assert causality(model)
    assert normalization(model, tolerance=1e-12)
    assert model.sample(3).shape == (3, 1, 1, 1)


def test_masked_weights_get_no_gradient_and_never_come_back():
    layer = MaskedLinear(3, 2)
    layer.set_mask(torch.tensor([[1, 0, 1], [0, 0, 1]]))
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0, weight_decay=0.0)
    layer(torch.randn(5, 3)).sum().backward()
    assert (layer.weight.grad[layer.mask == 0] == 0).all()
    optimizer.step()
    x = torch.randn(4, 3)
    changed = x.clone()
    changed[:, 1] += 1
    assert torch.equal(layer(x), layer(changed))


@pytest.mark.parametrize(("orders", "connectivities"), [(1, 1), (4, 1), (1, 3), (3, 2)])
def test_agnostic_training_draws_masks_and_evaluation_does_not(orders, connectivities):
    model = MADE((1, 2, 3), 2, hidden=(30,), orders=orders, connectivities=connectivities).double()
    x = all_examples((1, 2, 3), 2)
    model.train()
    with torch.no_grad():
        drawn = {tuple(model(x).flatten().tolist()) for _ in range(40)}
        assert len(drawn) == orders * connectivities
        model.eval()
        first = model(x)
        model.train()
        model(x)
        model.eval()
        assert torch.equal(model(x), first), "evaluation does not depend on what training drew"


def test_every_mask_set_is_a_model_and_so_is_their_mixture():
    model = MADE((1, 2, 3), 2, hidden=(12,), orders=3, connectivities=2).double().eval()
    x, mass = all_examples((1, 2, 3), 2), []
    with torch.no_grad():
        for k, m in itertools.product(range(3), range(2)):
            model.select(k, m)
            assert causality(model)
            mass.append(model.log_prob(x).exp())
        mean = torch.stack(mass).mean(0)
    assert torch.stack(mass).std(0).max() > 1e-4, "the masks differ"
    torch.testing.assert_close(model.ensemble_log_prob(x).exp(), mean)
    assert mean.sum().item() == pytest.approx(1, abs=1e-12)
    assert model.order is None, "evaluation goes on in the first order"
    with pytest.raises(ValueError, match=r"order 0\.\.2"):
        model.select(3)


@pytest.mark.parametrize("mode", [True, False])
def test_the_mixture_leaves_the_mode_as_it_was(mode):
    model = MADE((1, 2, 3), 2, hidden=(12,), orders=2).train(mode)
    model.ensemble_log_prob(all_examples((1, 2, 3), 2))
    assert model.training is mode


def test_an_fvsbn_is_one_logistic_regression_for_each_pixel():
    model = FVSBN((1, 2, 3), 2).double()
    x = all_examples((1, 2, 3), 2)
    weight = model.out.weight.tril(-1)  # 15 weights and 6 biases: D (D + 1) / 2
    assert torch.allclose(model(x).flatten(1), x.flatten(1).double() @ weight.T + model.out.bias)
    assert int(model.out.mask.sum()) + len(model.out.bias) == 21


@pytest.mark.parametrize("cls", [FVSBN, MADE, NADE])
def test_an_image_costs_about_one_forward_pass(cls):
    model = cls((1, 8, 8), 2, **({} if cls is FVSBN else {"hidden": (64, 64) if cls is MADE else 64})).eval()
    x = torch.zeros(3, 1, 8, 8, dtype=torch.long)
    # NADE's parallel pass sums within blocks, which its recurrence does not
    assert flops(lambda: model.sample(3)) <= 1.05 * flops(lambda: model(x))
    assert flops(lambda: model.sample_naive(3)) == 64 * flops(lambda: model(x))


def loop_log_prob(x, W, V, b, c):
    """The recurrence (2.3), one pixel after the other."""
    a, total = c.expand(len(x), -1), 0
    for i in range(x.shape[1]):
        p = torch.sigmoid(b[i] + torch.sigmoid(a) @ V[i])
        total = total + torch.where(x[:, i] == 1, p, 1 - p).log()
        a = a + x[:, i : i + 1] * W[:, i]
    return total


@pytest.mark.parametrize(("D", "H", "block"), [(2, 3, 28), (5, 4, 2), (28, 6, 28), (29, 6, 28), (784, 16, 28)])
def test_blocks_equal_the_loop_over_pixels_in_value_and_gradient(D, H, block):
    torch.manual_seed(0)
    tensors = [torch.randn(*s, dtype=torch.float64) * 0.3 for s in ((H, D), (D, H), (D,), (H,))]
    W, V, b, c = (t.requires_grad_() for t in tensors)
    x = torch.randint(2, (6, D), generator=rng()).double()
    value, expected = nade_log_prob(x, W, V, b, c), loop_log_prob(x, W, V, b, c)
    torch.testing.assert_close(value, expected, atol=1e-9, rtol=1e-9)
    got = torch.autograd.grad(value.sum(), (W, V, b, c))
    for one, two in zip(got, torch.autograd.grad(expected.sum(), (W, V, b, c)), strict=True):
        torch.testing.assert_close(one, two, atol=1e-9, rtol=1e-6)
    args = x.unsqueeze(-1), W.T.unsqueeze(1), V.unsqueeze(-1), c
    torch.testing.assert_close(nade_params(*args, block=block), nade_params(*args, block=D))


def test_the_library_model_is_the_formula():
    model = NADE((1, 2, 3), 2, hidden=5).double()
    x = all_examples((1, 2, 3), 2)
    expected = nade_log_prob(x.flatten(1), model.W[:, 0].T, model.V[..., 0], model.b[:, 0], model.c)
    torch.testing.assert_close(model.log_prob(x), expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": torch.tensor([[0, 1, 2]])}, "0 and 1"),
        ({"x": torch.tensor([[0.0, 0.5, 1.0]])}, "0 and 1"),
        ({"x": torch.zeros(1, 4)}, r"x \(1, 4\)"),
        ({"W": torch.zeros(3, 4)}, r"W \(3, 4\)"),
        ({"b": torch.zeros(4)}, r"b \(4,\)"),
    ],
    ids=["levels", "real numbers", "too many pixels", "W transposed", "b of hidden size"],
)
def test_nade_log_prob_refuses_what_does_not_fit(change, words):
    given = {"x": torch.zeros(1, 3), "W": torch.zeros(4, 3), "V": torch.zeros(3, 4), "b": torch.zeros(3)}
    with pytest.raises(ValueError, match=words) as caught:
        nade_log_prob(**{**given, "c": torch.zeros(4), **change})
    assert "\n" not in str(caught.value)
