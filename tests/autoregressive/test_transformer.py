"""Transformers: windows and their ring, rotary places, what is known at the start; the audits are in test_sequences."""

import math

import pytest
import torch
import torch.nn.functional as F
from small_models import small_model

from garm_course.autoregressive.layers.attention import CausalAttention, KeyValueCache, rotary
from garm_course.autoregressive.lstm import TokenLSTM
from garm_course.autoregressive.ngram import NGram
from garm_course.autoregressive.sampling import loop, speculative
from garm_course.autoregressive.sampling.compression import compress, decompress
from garm_course.autoregressive.transformer import CharTransformer, PixelTransformer, SquaredReLU, geometry, rms_norm
from garm_course.evaluation.audits import causality, dependence, forgets, receptive_field


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def windowed(window=3, layers=2, taps=3, levels=5, looks_ahead=4):
    model = small_model(CharTransformer, (8,), levels, window=window, layers=layers, taps=taps)
    model.looks_ahead = looks_ahead
    return model


def modern(window=None):
    torch.manual_seed(0)
    return CausalAttention(12, 3, window=window, turned=True, normalized=True, bias=False).double()


def inputs(length, n=2, seed=1):
    return torch.randn(n, length, 12, generator=rng(seed), dtype=torch.float64)


def test_rotary_products_depend_on_distances_and_keep_lengths():
    q, k = torch.randn(2, 8, generator=rng(), dtype=torch.float64)
    at = lambda x, p: rotary(x[None], torch.tensor([p]))[0]  # noqa: E731
    assert torch.equal(at(q, 0), q)
    products = [at(q, m) @ at(k, n) for m, n in [(5, 3), (105, 103), (2, 0)]]
    assert max(products) - min(products) < 1e-13
    assert abs(at(q, 5) @ at(k, 3) - at(q, 3) @ at(k, 5)) > 1e-3, "it knows which comes first"
    assert at(q, 57).norm().item() == pytest.approx(q.norm().item(), abs=1e-14)
    # as complex numbers: features j and j + 4 are one, turned by p 10000^(-j / 4)
    turned = torch.complex(q[:4], q[4:]) * torch.exp(1j * 7 * 10000 ** (-torch.arange(4).double() / 4))
    torch.testing.assert_close(at(q, 7), torch.cat([turned.real, turned.imag]), rtol=0, atol=1e-14)


def test_normalized_scores_are_bounded_and_weights_are_what_forward_uses():
    layer, x = modern(window=4), 100 * inputs(9)
    q, k, v = layer.project(x)
    assert (q @ k.mT / 2).abs().max() <= 2 + 1e-12
    weights = layer.weights(x)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 9).double())
    assert ((weights > 0).sum(-1) == torch.arange(1, 10).clamp(max=4)).all()
    torch.testing.assert_close(layer.merge(weights @ v), layer(x), rtol=0, atol=1e-12)


def test_squared_relu_has_the_value_and_gradients_of_its_parts():
    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    both = [torch.autograd.grad(f(x).exp().sum(), x)[0] for f in (SquaredReLU.apply, lambda t: F.relu(t).square())]
    assert torch.equal(SquaredReLU.apply(x), F.relu(x).square())
    assert torch.allclose(*both, rtol=1e-14)
    assert torch.autograd.gradgradcheck(SquaredReLU.apply, x)
    each = torch.func.vmap(torch.func.grad(lambda row: SquaredReLU.apply(row).sum()))(x.detach())
    assert torch.equal(each, 2 * x.detach().clamp(min=0))


def test_the_norm_of_a_few_rows_is_the_one_that_training_takes():
    small = (1e-6, 1e-3)  # where the constant beside the mean square counts
    for dtype, tolerance, scales in (
        (torch.float64, 1e-12, (*small, 1, 100)),
        (torch.float32, 1e-5, (*small, 1, 100)),
        (torch.bfloat16, 2e-2, (1, 100)),
    ):
        for scale in scales:
            x = (scale * torch.randn(3, 2, 8, generator=rng(), dtype=torch.float64)).to(dtype)
            expected = torch.nn.functional.rms_norm(x, (8,))
            torch.testing.assert_close(rms_norm(x), expected, rtol=tolerance, atol=tolerance)
    assert not rms_norm(torch.zeros(2, 8)).any()


@pytest.mark.parametrize("window", [None, 1, 3, 4, 50])
@pytest.mark.parametrize("parts", [[1] * 17, [3, 1, 2, 1, 4, 4, 2], [4, 4, 4, 4, 1]])
def test_rings_of_any_window_give_the_rows_of_the_whole(window, parts):
    layer, x = modern(window), inputs(17)
    cache = KeyValueCache(layer, 2, 17, block=3)
    assert cache.slots == min(17, (window or 17) + 3)
    out = torch.cat([cache.extend(part) for part in x.split(parts, 1)], 1)
    torch.testing.assert_close(out, layer(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [1, 3, 5])
def test_what_a_ring_forgets_leaves_no_trace(window):
    layer, x = modern(window), inputs(30)
    whole, cache, i = layer(x), KeyValueCache(layer, 2, 30, block=3), 0
    while i < 30:
        m = min(1 + i % 4, 30 - i)
        cache.extend(inputs(m, seed=5) + 3)  # guesses, all wrong
        cache.forget(min(m, 3))
        if m == 4:  # the first of four stays
            cache.filled -= 1
        torch.testing.assert_close(cache.extend(x[:, i : i + 1])[:, 0], whole[:, i], rtol=0, atol=1e-12)
        i += 1
    with pytest.raises(ValueError, match="at most 4 positions at a time, got 5"):
        KeyValueCache(layer, 2, 30, block=3).extend(inputs(5))
    with pytest.raises(ValueError, match=r"forget 0..3 positions, got 4"):
        cache.forget(4)


def test_one_query_does_not_ask_in_which_order_the_cache_lies():
    layer = modern()
    cache = KeyValueCache(layer, 2, 9)
    cache.extend(inputs(8))
    other = KeyValueCache(layer, 2, 9)
    mixed = torch.randperm(8, generator=rng())
    other.keys[:, :8], other.values[:, :8], other.filled = cache.keys[:, mixed], cache.values[:, mixed], 8
    new = inputs(1, seed=2)
    torch.testing.assert_close(other.extend(new), cache.extend(new), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("layers", "window", "taps"), [(3, 4, 0), (2, 3, 3), (1, 1, 2), (1, 1, 0), (2, 2, 1)])
def test_layers_of_a_window_reach_one_plus_layers_times_window_minus_one(layers, window, taps):
    model = windowed(window, layers, taps)
    assert model.reach == 1 + layers * (window - 1) + taps
    length = model.reach + 4
    past = torch.ones(length, length).tril(-1).triu(-model.reach).bool()
    assert torch.equal(dependence(model, (length,), 5, examples=8) > 0, past)
    assert causality(model)
    result = forgets(model)
    assert result, str(result)
    assert "more than" in str(result)


def test_a_ring_that_is_too_small_is_found(monkeypatch):
    start = KeyValueCache.__init__

    def smaller(self, attention, n, length, *, block):
        start(self, attention, n, length, block=block)
        self.slots -= self.slots < length and 2  # the oldest value that is seen is gone

    monkeypatch.setattr(KeyValueCache, "__init__", smaller)
    model = windowed(window=5, looks_ahead=1)
    assert "steps and the full pass differ" in str(forgets(model))


@pytest.mark.parametrize("length", [3, 8, 40])
def test_cached_and_naive_draw_the_same_with_a_window(length):
    model = windowed()
    prompt = torch.randint(5, (4, length - 1), generator=rng(2))
    for options in ({}, {"given": prompt}, {"given": prompt[:, :2]}, {"temperature": 0.7, "given": prompt[:, :1]}):
        x = model.sample(4, length=length, rng=rng(), **options)
        assert torch.equal(x, model.sample_naive(4, length=length, rng=rng(), **options))


def test_a_prompt_may_be_longer_than_the_window():
    model = windowed()
    x = torch.randint(5, (3, 40), generator=rng(1))
    params, state = model(x), model.start(3, length=40)
    with torch.inference_mode():
        loop.read_prompt(model, state, x[:, :30].T)
        for i in range(30, 40):
            torch.testing.assert_close(model.step(state, i, x[:, i - 1]), params[:, i], rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", [None, 6])
def test_drafts_and_streams_work_on_text(window):
    target = small_model(CharTransformer, (8,), 5, window=window, dtype=torch.float32)
    draft = NGram((8,), 5, order=2).fit_counts(target.sample(50, length=40, rng=rng(3)))
    found = speculative.sample(target, draft, 1, length=60, block=6, rng=rng())
    assert found.passes < 60
    assert 0.05 < found.accepted < 1
    alone = [speculative.sample(target, draft, 1, length=60, block=b, rng=rng()).x for b in (1, 4)]
    assert all(torch.equal(found.x, other) for other in alone)
    x = target.sample(3, length=50, rng=rng(4))
    for model in (target, draft):
        stream = compress(model, x)
        assert torch.equal(decompress(model, stream.data), x)
        bits = -model.log_prob(x).double().detach() / math.log(2)
        assert (torch.tensor(stream.bits) - bits).abs().max() < 2


def test_everything_is_equally_likely_before_training():
    model = CharTransformer((64,), 96)
    assert sum(p.numel() for p in model.parameters()) == 110_976 + 3 * 64
    x = torch.randint(96, (4, 64), generator=rng())
    torch.testing.assert_close(-model.log_prob(x), torch.full((4,), 64 * math.log(96)))
    pixels = PixelTransformer((1, 8, 8), 17)
    assert pixels(torch.randint(17, (2, 1, 8, 8), generator=rng())).abs().max() == 0


def test_maps_are_distributions_over_the_past():
    model = windowed(window=4)
    x = torch.randint(5, (2, 9), generator=rng())
    maps = model.attention(x)
    assert [tuple(m.shape) for m in maps] == [(2, 2, 9, 9)] * 2
    for weights in maps:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 9).double())
        assert (weights.triu(1) == 0).all()
        assert (weights.tril(-4) == 0).all()
    assert (maps[0] - maps[1]).abs().max() > 1e-3


@pytest.mark.parametrize("cls", [CharTransformer, PixelTransformer, NGram, TokenLSTM], ids=lambda cls: cls.name)
def test_it_is_built_without_numbers(cls):
    with torch.device("meta"):
        model = cls((1, 4, 4) if cls is PixelTransformer else (16,), 7, 2)
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


def test_it_learns_a_rule():
    torch.manual_seed(0)
    model = CharTransformer((16,), 4, width=16, layers=1, heads=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    x = (torch.arange(16) + torch.arange(4)[:, None]) % 4  # each value is the one before plus one
    for _ in range(60):
        optimizer.zero_grad()
        (-model.log_prob(x).mean()).backward()
        optimizer.step()
    assert -model.log_prob(x).mean() < math.log(4) + 0.3, "only the first value is left to guess"


@pytest.mark.parametrize("shape", [(1, 3, 4), (3, 2, 3), (2, 1, 1)])
def test_each_value_is_read_by_the_next_position_and_by_the_ones_below(shape):
    colors, height, width = shape
    reads, displacements, different = geometry(shape)
    d = colors * height * width
    assert (reads[1:, 0] == torch.arange(d - 1)).all()
    assert ((reads < torch.arange(d)[:, None]) | (reads == d)).all()
    assert displacements.max() < different
    spots = {}
    for i in range(d):
        for j in range(i + 1):
            step = [i // (width * colors) - j // (width * colors),
                    i // colors % width - j // colors % width, i % colors - j % colors]  # fmt: skip
            spots.setdefault(int(displacements[i, j]), set()).add(tuple(step))
    assert all(len(steps) == 1 for steps in spots.values())
    assert len(set().union(*spots.values())) == len(spots)


def test_neighbors_are_the_ones_above():
    reads, _, _ = geometry((1, 3, 4))  # 12 stands for one outside
    assert reads[[0, 4, 6, 7]].tolist() == [[12] * 4, [3, 12, 0, 1], [5, 1, 2, 3], [6, 2, 3, 12]]
    reads, _, _ = geometry((3, 2, 3))
    assert reads[14].tolist() == [13, 12, 11, 2, 5, 8]  # row 1, column 1, the third color


def test_a_pixel_sees_all_pixels_before_it():
    model = small_model(PixelTransformer, (1, 3, 4), 5)
    seen = receptive_field(model, (2, 1), examples=8)[0] > 0
    assert torch.equal(seen.flatten(), torch.arange(12) < 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 6, "heads": 4}, "divisible by the number of heads"),
        ({"width": 6, "heads": 2}, "an even number of features in a head, got 3"),
        ({"window": 0}, "a window of at least 1 position"),
        ({"layers": 0}, "layers=0 is out of range"),
        ({"taps": -1}, "taps=-1 is out of range"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        CharTransformer((8,), 5, **options)
    assert "\n" not in str(caught.value)


def test_n_grams_are_those_of_witten_and_bell():
    text = torch.tensor([0, 1, 0, 2, 0, 1, 1])
    model = NGram((7,), 4, order=2).fit_counts(text)
    p1 = (torch.tensor([3, 3, 1, 0]) + 3 / 4) / (7 + 3)  # three different values among seven
    after_0 = (torch.tensor([0, 2, 1, 0]) + 2 * p1) / (3 + 2)
    after_20 = (torch.tensor([0, 1, 0, 0]) + 1 * after_0) / (1 + 1)
    after_2 = (torch.tensor([1, 0, 0, 0]) + 1 * p1) / (1 + 1)
    logits = model(torch.tensor([[2, 0, 3, 1]]))[0]
    for t, p in [(0, p1), (1, after_2), (2, after_20), (3, p1)]:  # 3 was never seen: no history that ends with it
        torch.testing.assert_close(logits[t].exp(), p.double(), rtol=0, atol=1e-7)
    with pytest.raises(ValueError, match="too many to number; choose a smaller order"):
        NGram((7,), 96, order=12)
    assert NGram((7,), 2, order=60).reach == 60  # 2 + 4 + ... + 2^61 numbers
    with pytest.raises(ValueError, match="too many to number"):
        NGram((7,), 2, order=61)
    with pytest.raises(ValueError, match=r"levels 0\.\.5"):
        model.fit_counts(torch.tensor([0, 5]))


def test_counted_tables_come_back_from_a_file(tmp_path):
    from garm_course.weights.files import load_model, save_model

    model = NGram((7,), 4, order=2).fit_counts(torch.tensor([0, 1, 0, 2, 0, 1, 1]))
    save_model(model, tmp_path / "table.safetensors")
    again = load_model(tmp_path / "table.safetensors")
    x = torch.tensor([[2, 0, 3, 1]])
    assert torch.equal(again(x), model(x))
