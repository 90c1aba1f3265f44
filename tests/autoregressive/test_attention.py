"""Causal attention: the future is not seen, and the cache of keys and values gives the rows of the whole sequence."""

import math

import pytest
import torch

from garm_course.autoregressive.layers.attention import CausalAttention, KeyValueCache


def attention(width=6, heads=2):
    torch.manual_seed(0)
    return CausalAttention(width, heads).double()


def inputs(length, n=3, width=6):
    return torch.randn(n, length, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_it_is_the_masked_softmax_of_the_paper():
    layer, x = attention(), inputs(5)
    q, k, v = layer.qkv(x).chunk(3, -1)
    mask = torch.full((5, 5), -math.inf).double().triu(1)
    outs = []
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        weights = (q[..., part] @ k[..., part].mT / math.sqrt(3) + mask).softmax(-1)
        outs.append(weights @ v[..., part])
    torch.testing.assert_close(layer(x), layer.out(torch.cat(outs, -1)), rtol=0, atol=1e-12)


def test_a_position_sees_itself_and_all_before_it():
    layer, x = attention(), inputs(6, n=1).requires_grad_()
    for t in range(6):
        (grad,) = torch.autograd.grad(layer(x)[0, t].sum(), x)
        assert (grad[0].abs().sum(1) > 0).tolist() == [s <= t for s in range(6)]


@pytest.mark.parametrize("parts", [[1] * 7, [7], [3, 1, 2, 1], [1, 6]])
def test_the_cache_gives_the_rows_of_the_whole_sequence(parts):
    layer, x = attention(), inputs(7)
    cache = KeyValueCache(layer, 3, 7)
    out = [cache.extend(part) for part in x.split(parts, 1)]
    torch.testing.assert_close(torch.cat(out, 1), layer(x), rtol=0, atol=1e-12)
    assert cache.filled == 7
    assert not out[0].requires_grad


def test_what_is_forgotten_leaves_no_trace():
    layer, x = attention(), inputs(7)
    cache = KeyValueCache(layer, 3, 7)
    cache.extend(x[:, :3])
    cache.extend(inputs(4) + 5)  # guesses
    cache.forget(4)
    torch.testing.assert_close(cache.extend(x[:, 3:]), layer(x)[:, 3:], rtol=0, atol=1e-12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="divisible by the number of heads, got 6 and 4"):
        CausalAttention(6, 4)
    cache = KeyValueCache(attention(), 3, 4)
    cache.extend(inputs(3))
    with pytest.raises(ValueError, match="room for 4 positions, 5 are needed"):
        cache.extend(inputs(2))
    with pytest.raises(ValueError, match=r"forget 0..3 positions, got 4"):
        cache.forget(4)
