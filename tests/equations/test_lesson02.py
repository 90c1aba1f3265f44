"""The numbered equations of lesson 02, the chain rule, FVSBN, NADE and MADE, checked numerically."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from counting import flops

from garm_course.autoregressive.made import FVSBN, MADE, made_degrees, made_masks, masks_of
from garm_course.autoregressive.nade import NADE, nade_log_prob
from garm_course.datasets import load
from garm_course.evaluation.audits import all_examples, calibration, causality, normalization
from garm_course.evaluation.likelihood import kl_to_model
from garm_course.exercises import get


def random_weights(D, H, seed):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(size, generator=g, dtype=torch.float64) for size in ((H, D), (D, H), (D,), (H,))]


def enlarged(model, factor=4):
    """Random weights so large that the distribution is far from flat."""
    with torch.no_grad():
        for weight in model.parameters():
            weight *= factor
    return model


def best_fvsbn(shape, x, order=None):
    """The minimum of a convex problem."""
    model = FVSBN(shape, 2, order=order).double()
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=3000,
        history_size=50,
        tolerance_grad=1e-12,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def loss():
        optimizer.zero_grad()
        nll = -model.log_prob(x).mean()
        nll.backward()
        return nll

    optimizer.step(loss)
    return model


@pytest.mark.equation("2.1")
def test_the_product_of_conditionals_is_the_joint_in_all_24_orders():
    joint = torch.rand(2, 2, 2, 2, dtype=torch.float64) ** 3
    joint = joint / joint.sum()

    def marginal(kept):
        summed = [d for d in range(4) if d not in kept]
        return joint.sum(summed, keepdim=True) if summed else joint

    orders = list(itertools.permutations(range(4)))
    assert len(orders) == 24
    for order in orders:
        product = torch.ones_like(joint)
        for i in range(4):
            conditional = marginal(set(order[: i + 1])) / marginal(set(order[:i]))
            assert torch.allclose(conditional.sum(order[i]), torch.ones(()).double())  # a distribution of x_i
            product = product * conditional
        assert torch.allclose(product, joint, atol=1e-12)


@pytest.mark.equation("2.2")
@pytest.mark.parametrize("D", [1, 2, 5, 12])
def test_how_many_numbers_a_table_and_an_fvsbn_have(D):
    model = FVSBN((1, 1, D), 2)
    assert sum(2**i for i in range(D)) == 2**D - 1
    assert int(model.out.mask.sum()) + D == D * (D + 1) // 2


@pytest.mark.equation("2.2")
@pytest.mark.parametrize("order", [None, [2, 0, 3, 1]])
def test_fvsbn_is_a_logistic_regression_on_the_pixels_before(order):
    model = enlarged(FVSBN((1, 2, 2), 2, order=order).double())
    x = all_examples((1, 2, 2), 2)
    W, b, flat = model.out.weight, model.out.bias, x.flatten(1).double()
    places = order or range(4)
    by_hand = torch.zeros(16, dtype=torch.float64)
    for i, place in enumerate(places):
        before = list(places[:i])
        p = torch.sigmoid(b[place] + flat[:, before] @ W[place, before])
        by_hand = by_hand + torch.where(flat[:, place] == 1, p, 1 - p).log()
    assert torch.allclose(model.log_prob(x), by_hand, atol=1e-12)


@pytest.mark.equation("2.3")
def test_recurrence_equals_the_sums_computed_anew():
    D, H = 40, 7
    W, V, b, c = random_weights(D, H, 1)
    x = (torch.rand(9, D) > 0.4).long()
    a, anew, running = c.expand(9, H), [], []
    for i in range(D):
        running.append(a)
        anew.append(c + x[:, :i].double() @ W[:, :i].T)
        a = a + x[:, i, None] * W[:, i]
    assert torch.allclose(torch.stack(running), torch.stack(anew), atol=1e-10)
    logits = (torch.sigmoid(torch.stack(anew, 1)) * V).sum(-1) + b
    by_hand = torch.where(x == 1, F.logsigmoid(logits), F.logsigmoid(-logits)).sum(1)
    assert torch.allclose(nade_log_prob(x, W, V, b, c), by_hand, atol=1e-10)


@pytest.mark.equation("2.3")
@pytest.mark.parametrize("D", [5, 28, 29, 64])
def test_the_model_trains_in_blocks_what_the_recurrence_says(D):
    model = NADE((1, 1, D), 2, hidden=6)
    x = (torch.rand(11, 1, 1, D) > 0.5).long()
    a, total = model.c.expand(11, -1), 0
    for i in range(D):
        logit = model.b[i, 0] + torch.sigmoid(a) @ model.V[i, :, 0]
        total = total - F.softplus(torch.where(x[:, 0, 0, i] == 1, -logit, logit))
        a = a + x[:, 0, 0, i, None] * model.W[i, 0]
    assert (model.log_prob(x) - total).abs().max() / D < 1e-6


@pytest.mark.equation("2.3")
def test_all_conditionals_together_cost_twice_dh():
    D, H = 60, 50
    model = NADE((1, 1, D), 2, hidden=H)
    assert flops(lambda: model.sample(1)) == 2 * ((D - 1) * H + D * H)  # a product and a sum for every weight


@pytest.mark.equation("2.4")
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("order", [None, [3, 1, 4, 0, 2]])
@pytest.mark.parametrize("hidden", [[], [60], [60, 80]])
def test_the_product_of_masks_connects_exactly_what_comes_before(hidden, order, random):
    rng = torch.Generator().manual_seed(2) if random else None
    degrees = made_degrees(5, hidden, order, rng)
    masks = masks_of(degrees)
    for k, mask in enumerate(masks):
        below, above = degrees[k], degrees[k + 1] if k < len(hidden) else degrees[0]
        for u, d in itertools.product(range(mask.shape[0]), range(mask.shape[1])):
            kept = above[u] >= below[d] if k < len(hidden) else above[u] > below[d]
            assert bool(mask[u, d]) == bool(kept)
    product = torch.eye(5)
    for mask in masks:
        product = mask @ product
    rank = torch.arange(5) if order is None else torch.tensor(order).argsort()
    assert torch.equal(product > 0, rank[:, None] > rank)
    if order is None:
        assert product.triu().abs().max() == 0


@pytest.mark.equation("2.4")
def test_strict_hidden_masks_are_causal_but_lose_the_predecessor():
    place, degree = made_degrees(6, [30])
    product = (place[:, None] > degree).float() @ (degree[:, None] > place).float()
    assert torch.equal(product > 0, place[:, None] > place + 1)


def made_of_9():
    torch.manual_seed(0)
    return enlarged(MADE((1, 3, 3), 2, hidden=(40,), direct=False).double())


@pytest.mark.equation("2.5")
@pytest.mark.parametrize("build", [made_of_9, lambda: enlarged(FVSBN((1, 3, 3), 2)), lambda: NADE((1, 3, 3), 2)])
def test_probabilities_of_all_512_images_sum_to_one(build):
    torch.manual_seed(0)
    found = normalization(build())
    assert found.examples == 512
    assert abs(found.total - 1) < 1e-12


@pytest.mark.equation("2.5")
def test_with_a_loose_output_mask_the_sum_is_not_one():
    model = made_of_9()
    model.out.set_mask((model.degrees[0][:, None] >= model.degrees[1]).double())
    assert abs(normalization(model).total - 1) > 0.1
    assert "depends on that pixel itself" in str(causality(model))


@pytest.mark.equation("2.6")
@pytest.mark.parametrize("order", [None, [8, 1, 3, 0, 2, 7, 5, 6, 4]])
def test_derivatives_at_or_after_a_pixel_are_exactly_zero(order):
    masks = made_masks(9, [40, 30], order)
    weights = [torch.randn(m.shape, dtype=torch.float64) for m in masks]

    def network(x):
        for k, (weight, mask) in enumerate(zip(weights, masks, strict=True)):
            x = F.linear(torch.tanh(x) if k else x, weight * mask)
        return x

    jacobian = torch.autograd.functional.jacobian(network, torch.randn(9, dtype=torch.float64))
    places = list(range(9)) if order is None else order
    jacobian = jacobian[places][:, places]  # in the order of the chain rule
    assert (jacobian.triu() == 0).all()
    assert (jacobian.tril(-1)[torch.ones(9, 9).tril(-1).bool()] != 0).all()


@pytest.mark.equation("2.7")
def test_training_is_one_pass_and_drawing_is_d():
    model = made_of_9()
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    model.log_prob(all_examples((1, 3, 3), 2))
    assert len(passes) == 1
    slow = model.sample_naive(50, rng=torch.Generator().manual_seed(1))
    assert len(passes) == 1 + 9
    fast = model.sample(50, rng=torch.Generator().manual_seed(1))
    assert len(passes) == 1 + 9  # `step` computes each unit once and calls no forward
    assert torch.equal(fast, slow)


@pytest.mark.equation("2.7")
def test_drawing_costs_the_multiplications_of_one_pass():
    model = MADE((1, 4, 4), 2, hidden=(30, 20))
    forward = flops(lambda: model(torch.zeros(1, 1, 4, 4).long()))
    assert forward > 0
    assert flops(lambda: model.sample(1)) == forward
    assert flops(lambda: model.sample_naive(1)) == 16 * forward


@pytest.mark.equation("2.7")
def test_ancestral_sampling_follows_the_law_and_one_pass_does_not():
    model = made_of_9()
    sample_ar = get("sample_ar").reference

    def logits(x):
        return model(x.view(-1, 1, 3, 3)).flatten(1)

    with torch.no_grad():
        drawn = sample_ar(logits, 20_000, 9, torch.Generator().manual_seed(1)).view(-1, 1, 3, 3)
        at_once = torch.bernoulli(torch.sigmoid(logits(torch.zeros(20_000, 9).long()))).long().view(-1, 1, 3, 3)
    assert calibration(model, drawn)
    assert not calibration(model, at_once)


@pytest.mark.equation("2.8")
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_best_fvsbn_on_exclusive_or_is_ln_2_away(order):
    x = torch.tensor([[a, b, a ^ b] for a in (0, 1) for b in (0, 1)]).view(4, 1, 1, 3)
    nll = -best_fvsbn((1, 1, 3), x, order=list(order)).log_prob(x).mean().item()
    assert nll - 2 * math.log(2) == pytest.approx(math.log(2), abs=1e-9)


@pytest.mark.equation("2.8")
def test_three_hidden_units_are_enough_for_exclusive_or():
    """x3 = 1 where relu(x1) + relu(x2) - 2 relu(x1 + x2 - 1) is 1: by hand, with the degrees of a MADE."""
    model = MADE((1, 1, 3), 2, hidden=(4,), direct=False).double()  # degrees 1, 1, 2, 2
    assert model.degrees[1].tolist() == [1, 1, 2, 2]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        hidden, out = model.hidden[0], model.out
        hidden.weight[0, 0] = hidden.weight[2, 1] = hidden.weight[3, 0] = hidden.weight[3, 1] = 1
        hidden.bias[3] = -1
        out.weight[2] = 80 * torch.tensor([1.0, 0.0, 1.0, -2.0])
        out.bias[2] = -40
    x = torch.tensor([[a, b, a ^ b] for a in (0, 1) for b in (0, 1)]).view(4, 1, 1, 3)
    assert -model.log_prob(x).mean().item() == pytest.approx(2 * math.log(2), abs=1e-9)


@pytest.mark.equation("2.8")
def test_on_bars_and_stripes_the_best_fvsbn_depends_on_the_order():
    stripes = load("bars_and_stripes")
    columns = torch.arange(16).view(4, 4).T.flatten().tolist()
    random = {s: torch.randperm(16, generator=torch.Generator().manual_seed(s)).tolist() for s in (0, 2, 5)}
    orders = {"raster": None, "columns": columns, **random}
    kl = {k: kl_to_model(stripes, best_fvsbn((1, 4, 4), stripes.x, order)).nats for k, order in orders.items()}
    assert kl["raster"] == pytest.approx(kl["columns"], abs=1e-4)
    assert kl["raster"] == pytest.approx(0.0202, abs=2e-4)
    assert kl[2] == pytest.approx(0.174, abs=1e-3)
    assert kl[5] == pytest.approx(0.0029, abs=2e-4)
    assert kl[0] == pytest.approx(0.0008, abs=2e-4)


@pytest.mark.equation("2.8")
def test_in_raster_order_the_whole_gap_of_the_best_fvsbn_sits_in_the_last_pixel_of_the_first_row():
    stripes = load("bars_and_stripes")
    model = best_fvsbn((1, 4, 4), stripes.x)
    with torch.no_grad():
        found = -model.head.log_prob(model(stripes.x), stripes.x).mean(0).flatten()
    flat, truth = stripes.x.flatten(1).tolist(), torch.zeros(16, dtype=torch.float64)
    for i, row in itertools.product(range(16), flat):  # the conditional entropies, by counting
        same_past = [other for other in flat if other[:i] == row[:i]]
        truth[i] -= math.log(sum(other[i] == row[i] for other in same_past) / len(same_past)) / 30
    assert truth.sum().item() == pytest.approx(math.log(30), abs=1e-12)
    assert truth[3].item() == pytest.approx(0.4866, abs=1e-4)
    assert truth[[5, 6, 7, 9, 10, 11, 13, 14, 15]].abs().max() < 1e-12
    gap = found - truth
    assert gap[3].item() == pytest.approx(0.0202, abs=2e-4)
    assert gap[[i for i in range(16) if i != 3]].abs().max() < 1e-6


@pytest.mark.equation("2.9")
def test_the_loss_of_a_random_order_is_unbiased_for_the_mean_over_orders():
    model = enlarged(MADE((1, 2, 3), 2, hidden=(20,), orders=3, connectivities=2).double())
    x = all_examples((1, 2, 3), 2)[[3, 17, 40, 62]]
    by_member = []
    for order, connectivity in itertools.product(range(3), range(2)):
        model.eval().select(order, connectivity)
        by_member.append(-model.log_prob(x).mean().item())
    assert len({round(nll, 6) for nll in by_member}) == 6
    model.train()
    drawn = [-model.log_prob(x).mean().item() for _ in range(600)]
    for nll in drawn:
        assert min(abs(nll - one) for one in by_member) < 1e-9  # each pass is one member
    mean, spread = sum(by_member) / 6, torch.tensor(by_member).std(correction=0).item()
    assert abs(sum(drawn) / 600 - mean) < 4 * spread / math.sqrt(600)


@pytest.mark.equation("2.10")
def test_the_ensemble_is_a_distribution_and_at_least_as_good_as_its_mean_member():
    model = enlarged(MADE((1, 3, 3), 2, hidden=(20,), orders=3, connectivities=2).double()).eval()
    x = all_examples((1, 3, 3), 2)
    members = []
    for order, connectivity in itertools.product(range(3), range(2)):
        model.select(order, connectivity)
        members.append(model.log_prob(x).detach())
    model.select()
    members = torch.stack(members)  # (6, 512)
    mixture = model.ensemble_log_prob(x)
    assert torch.allclose(mixture, members.exp().mean(0).log(), atol=1e-10)
    assert mixture.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert (-mixture <= -members.mean(0) + 1e-12).all()
