"""The numbered equations of lesson 07, transformers and text, checked numerically."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from garm_course.exercises import get

causal_attention = get("causal_attention").reference
next_token_loss = get("next_token_loss").reference
rotary = get("rotary").reference
self_attention = get("self_attention").reference


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=rng(seed), dtype=torch.float64)


def layer(width=8, seed=0):
    return 0.5 * normal(3 * width, width, seed=seed), normal(width, width, seed=seed + 1)


@pytest.mark.equation("7.2")
@pytest.mark.parametrize(("length", "features"), [(1, 3), (7, 4), (40, 16)])
def test_attention_is_a_softmax_of_products_over_the_past(length, features):
    q, k, v = (normal(2, 3, length, features, seed=i) for i in range(3))
    ours = causal_attention(q, k, v)
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(q, k, v, is_causal=True), rtol=0, atol=1e-12)
    for t in range(length):  # the sum itself, without a mask
        scores = [torch.exp((q[0, 0, t] * k[0, 0, s]).sum() / math.sqrt(features)) for s in range(t + 1)]
        expected = sum(a * v[0, 0, s] for s, a in enumerate(scores)) / sum(scores)
        torch.testing.assert_close(ours[0, 0, t], expected, rtol=0, atol=1e-12)


@pytest.mark.equation("7.3")
@pytest.mark.parametrize("d", [4, 64])
def test_a_product_of_independent_entries_has_variance_d(d):
    n = 200_000
    products = (normal(n, d, seed=1) * normal(n, d, seed=2)).sum(-1)
    # the fourth moment of a product of two normal numbers is 9, so that of a sum of d of them is 3 d^2 + 6 d
    error = math.sqrt((3 * d**2 + 6 * d - d**2) / n)
    assert abs(products.var().item() - d) < 4 * error
    assert abs((products / math.sqrt(d)).var().item() - 1) < 4 * error / d


@pytest.mark.equation("7.5")
def test_without_mask_and_places_the_order_of_the_input_is_lost():
    x, (w_qkv, w_out) = normal(1, 6, 8), layer()
    order = torch.randperm(6, generator=rng(3))

    def whole(x, sees=None):
        q, k, v = F.linear(x, w_qkv).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        return F.linear(F.scaled_dot_product_attention(q, k, v, attn_mask=sees).transpose(1, 2).flatten(2), w_out)

    torch.testing.assert_close(whole(x[:, order]), whole(x)[:, order], rtol=0, atol=1e-12)
    past = torch.ones(6, 6, dtype=torch.bool).tril()
    assert (whole(x[:, order], past) - whole(x, past)[:, order]).abs().max() > 0.1, "the mask alone tells the order"
    torch.testing.assert_close(  # but only that of the keys before the last one: it still sees a bag
        whole(x[:, [3, 1, 4, 0, 2, 5]], past)[:, -1], whole(x, past)[:, -1], rtol=0, atol=1e-12
    )


@pytest.mark.equation("7.7")
@pytest.mark.parametrize("sizes", [(3, 1, 2, 1), (7,), (1,) * 7, (1, 6)])
def test_pieces_give_the_rows_of_the_whole(sizes):
    x, weights = normal(2, 7, 8), layer()
    whole, kept = self_attention(x, *weights, 2)
    past, rows = None, []
    for piece in x.split(sizes, 1):
        y, past = self_attention(piece, *weights, 2, past)
        rows.append(y)
    torch.testing.assert_close(torch.cat(rows, 1), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(past, kept, rtol=0, atol=1e-12)


@pytest.mark.equation("7.1")
def test_perplexity_of_equal_logits_is_the_size_of_the_alphabet():
    tokens = torch.randint(96, (4, 9), generator=rng())
    nats = next_token_loss(torch.zeros(4, 9, 96, dtype=torch.float64), tokens)
    torch.testing.assert_close(nats.exp(), torch.full((4,), 96.0, dtype=torch.float64), rtol=1e-14, atol=0)
    logits = 2 * normal(1, 9, 5)
    tokens = tokens[:1] % 5
    p = [logits[0, t].softmax(-1)[tokens[0, t + 1]].item() for t in range(8)]
    mean = next_token_loss(logits, tokens).item()
    assert math.exp(mean) == pytest.approx(math.prod(p) ** (-1 / 8), rel=1e-12)
    assert 2 ** (8 * mean / math.log(2)) == pytest.approx(1 / math.prod(p), rel=1e-12), "bits: the length of a code"


@pytest.mark.equation("7.4")
def test_no_gradient_comes_from_the_future():
    x, weights = normal(1, 6, 8).requires_grad_(), layer()
    for t in range(6):
        (gradient,) = torch.autograd.grad(self_attention(x, *weights, 2)[0][0, t].sum(), x)
        assert (gradient[0, t + 1 :] == 0).all()
        assert (gradient[0, : t + 1] != 0).any(-1).all()


@pytest.mark.equation("7.11")
def test_masking_each_step_draws_another_law_and_its_weights_repair_it():
    levels, length = 3, 4
    steps = [1.5 * normal(*(levels,) * i, levels, seed=i) for i in range(length)]  # logits, for every past

    def p(x, i):
        return steps[i][tuple(x[:i])].softmax(-1)

    def ends(x):
        return x[-1] != 0

    def allowed(x):
        return all((a, b) != (2, 2) for a, b in itertools.pairwise(x))

    def possible(x):  # some continuation is in the language
        rest = itertools.product(range(levels), repeat=length - len(x))
        return any(allowed([*x, *r]) and ends([*x, *r]) for r in rest)

    law, mass, q = {}, {}, {}
    for x in itertools.product(range(levels), repeat=length):
        law[x] = math.prod(p(x, i)[x[i]].item() for i in range(length))
        if not (allowed(x) and ends(x)):
            continue
        mass[x] = 1.0
        for i in range(length):
            mass[x] *= sum(p(x, i)[v].item() for v in range(levels) if possible([*x[:i], v]))
        q[x] = law[x] / mass[x]
    total = sum(law[x] for x in q)
    assert sum(law.values()) == pytest.approx(1, abs=1e-12)
    assert sum(q.values()) == pytest.approx(1, abs=1e-12), "what is drawn is a law over the language"
    assert sum(q[x] * mass[x] for x in q) == pytest.approx(total, abs=1e-12), "its mean mass is P(A)"
    assert 0.5 * sum(abs(q[x] - law[x] / total) for x in q) > 0.05, "and not the law given A"
    for x in q:
        assert q[x] * mass[x] / total == pytest.approx(law[x] / total, abs=1e-14)


@pytest.mark.equation("7.6")
@pytest.mark.parametrize("d", [2, 8, 64])
def test_turned_products_depend_on_the_distance_only(d):
    q, k = normal(1, 1, 1, d, seed=1), normal(1, 1, 1, d, seed=2)

    def product(m, n):
        return (rotary(q, torch.tensor([m])) * rotary(k, torch.tensor([n]))).sum().item()

    assert product(5, 3) == pytest.approx(product(2, 0), abs=1e-12)
    assert product(5, 3) == pytest.approx(product(105, 103), abs=1e-12)
    assert product(5, 3) != pytest.approx(product(6, 3), abs=1e-3)
    assert rotary(q, torch.tensor([57])).norm().item() == pytest.approx(q.norm().item(), abs=1e-12)
    assert torch.equal(rotary(q, torch.tensor([0])), q)


@pytest.mark.equation("7.9")
def test_one_query_does_not_see_the_order_of_its_cache_and_layers_of_a_window_reach_far():
    q, k, v = normal(1, 1, 1, 4, seed=1), normal(1, 1, 9, 4, seed=2), normal(1, 1, 9, 4, seed=3)
    order = torch.randperm(9, generator=rng(1))
    mixed = F.scaled_dot_product_attention(q, k[:, :, order], v[:, :, order])
    torch.testing.assert_close(F.scaled_dot_product_attention(q, k, v), mixed, rtol=0, atol=1e-14)
    layers, window = 3, 4
    x = normal(1, 20, 8).requires_grad_()
    h, sees = x, torch.ones(20, 20, dtype=torch.bool).tril().triu(1 - window)
    for i in range(layers):
        q, k, v = F.linear(h, layer(seed=10 * i)[0]).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        h = h + F.scaled_dot_product_attention(q, k, v, attn_mask=sees).transpose(1, 2).flatten(2)
    (gradient,) = torch.autograd.grad(h[0, -1].sum(), x)
    assert (gradient[0] != 0).any(-1).sum().item() == 1 + layers * (window - 1)


@pytest.mark.equation("7.10")
def test_a_mixture_costs_little_more_than_its_best_part_and_can_cost_less_than_both():
    p, q = (normal(500, 9, seed=i).mul(3).softmax(-1)[:, 0] for i in range(2))
    for weight in (0.1, 0.3, 0.5, 0.9):
        nats = -(weight * p + (1 - weight) * q).log()
        assert (nats <= torch.minimum(-p.log() - math.log(weight), -q.log() - math.log(1 - weight)) + 1e-12).all()
    assert -(0.5 * p + 0.5 * q).log().mean() < min(-p.log().mean(), -q.log().mean())


@pytest.mark.equation("7.8")
@pytest.mark.parametrize(("width", "layers", "length"), [(16, 1, 8), (32, 2, 48)])
def test_operations_of_a_token(width, layers, length):
    x = torch.zeros(1, length, width, dtype=torch.float64)
    up, down = torch.zeros(4 * width, width).double(), torch.zeros(width, 4 * width).double()

    def block(h):
        y, _ = self_attention(h, *layer(width), 2)
        return h + y + F.linear(F.relu(F.linear(h, up)), down)

    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # whose products are counted
        for _ in range(layers):
            x = block(x)
    assert counter.get_total_flops() / length == layers * (24 * width**2 + 4 * length * width)
