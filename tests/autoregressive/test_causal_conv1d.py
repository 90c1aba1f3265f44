"""Causal convolutions over time: nothing later is seen, and the ring buffer gives what the whole sequence gives."""

import pytest
import torch
import torch.nn.functional as F

from garm_course.autoregressive.layers.causal_conv1d import CausalConv1d, RingBuffer, conv_step

CASES = [(1, 1), (1, 3), (2, 1), (2, 4), (3, 1), (3, 3), (5, 2)]


def layer(k, dilation, c_in=3, c_out=4):
    torch.manual_seed(k + 10 * dilation)
    return CausalConv1d(c_in, c_out, k, dilation=dilation).double()


def inputs(length, n=2, channels=3):
    return torch.randn(n, channels, length, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(("k", "dilation"), CASES)
def test_an_output_depends_on_its_taps_and_on_nothing_else(k, dilation):
    conv, x = layer(k, dilation), inputs(20, n=1).requires_grad_()
    t = 17
    (grad,) = torch.autograd.grad(conv(x)[0, :, t].sum(), x)
    seen = grad[0].abs().sum(0).nonzero().flatten().tolist()
    assert seen == [t - j * dilation for j in reversed(range(k))]


@pytest.mark.parametrize(("k", "dilation"), CASES)
def test_ring_buffer_and_conv_step_give_the_outputs_of_the_whole_sequence(k, dilation):
    conv, x = layer(k, dilation), inputs(23)
    whole = conv(x)
    ring, buf = RingBuffer(conv, 2), torch.zeros(2, 3, conv.reach, dtype=torch.float64)
    assert ring.slots.shape == (conv.reach, 2, 3) == ((k - 1) * dilation, 2, 3)
    for t in range(23):
        before = buf.clone()
        y, after = conv_step(x[..., t], buf, conv.weight, dilation)
        assert torch.equal(buf, before)
        buf = after
        torch.testing.assert_close(y + conv.bias, whole[..., t], rtol=0, atol=1e-12)
        torch.testing.assert_close(ring.step(x[..., t]), whole[..., t], rtol=0, atol=1e-12)


def test_a_stack_of_dilated_layers_is_drawn_as_it_is_trained():
    torch.manual_seed(0)
    layers = [CausalConv1d(3, 3, 2, dilation=2**i).double() for i in range(5)]
    x = inputs(40)
    whole = x
    for conv in layers:
        whole = F.relu(conv(whole)) + whole
    rings = [RingBuffer(conv, 2) for conv in layers]
    for t in range(40):
        h = x[..., t]
        for ring in rings:
            h = F.relu(ring.step(h)) + h
        torch.testing.assert_close(h, whole[..., t], rtol=0, atol=1e-12)


@pytest.mark.parametrize("arguments", [(0, 1, 2, 1), (1, 0, 2, 1), (1, 1, 0, 1), (1, 1, 2, 0)])
def test_sizes_that_make_no_layer_are_refused(arguments):
    *sizes, dilation = arguments
    with pytest.raises(ValueError, match="of at least 1, got"):
        CausalConv1d(*sizes, dilation=dilation)
