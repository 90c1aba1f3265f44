"""Attributions that add up, and the deletion that tests them."""

import pytest
import torch

from garm_course.autoregressive.made import MADE
from garm_course.trust.attribution import delete_top, integrated_gradients, surprise


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def curved(x):
    return (x.flatten(1).square() * torch.arange(1, 13)).sum(1).tanh() + x.flatten(1).prod(1)


def test_integrated_gradients_add_up_and_more_points_add_up_better():
    x, x0 = (
        torch.rand(3, 1, 3, 4, dtype=torch.float64, generator=rng()),
        torch.full((1, 3, 4), 0.1, dtype=torch.float64),
    )
    x[:, :, 0, 0] = 0.1
    whole = curved(x) - curved(x0.expand_as(x))
    errors = [
        (integrated_gradients(curved, x, x0, n).flatten(1).sum(1) - whole).abs().max().item() for n in (4, 64, 256)
    ]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]  # midpoints: 16 times for 4 times the points
    assert errors[2] < 1e-4
    found = integrated_gradients(curved, x, x0, 16)
    assert (found[:, :, 0, 0] == 0).all()
    assert torch.allclose(integrated_gradients(curved, x, x0, 16, batch_size=5), found)
    assert torch.allclose(integrated_gradients(curved, x[1:2], x0[None], 16), found[1:2])
    assert not x.requires_grad
    with torch.no_grad():
        linear = integrated_gradients(lambda x: x.flatten(1) @ torch.arange(12.0).double(), x, x0, 1)
    assert torch.allclose(linear.flatten(1), (x - x0).flatten(1) * torch.arange(12.0).double())


def test_the_surprise_of_all_pixels_is_the_negative_log_likelihood():
    x = torch.randint(17, (20, 1, 8, 8), generator=rng())
    model = MADE((1, 8, 8), 17, hidden=(32,), dropout=0.5).eval()
    nats = surprise(model, x)
    assert nats.shape == (20, 8, 8)
    assert (nats >= 0).all()
    assert torch.allclose(nats.sum((1, 2)), -model.log_prob(x), atol=1e-3)
    model.train()
    assert torch.equal(surprise(model, x), nats)
    assert model.training
    colors, x = MADE((3, 2, 2), 4, hidden=(8,)), torch.randint(4, (5, 3, 2, 2), generator=rng())
    assert surprise(colors, x).shape == (5, 2, 2)
    assert torch.allclose(surprise(colors, x).sum((1, 2)), -colors.log_prob(x), atol=1e-4)


def test_deleting_takes_the_largest_of_each_example_and_nothing_else():
    x = torch.arange(24).view(2, 1, 3, 4)
    attribution = torch.rand(2, 1, 3, 4, generator=rng())
    left = delete_top(x, attribution, 3, fill=-1)
    for before, after, of in zip(x, left, attribution, strict=True):
        gone = of.flatten().argsort(descending=True)[:3]
        assert (after.flatten()[gone] == -1).all()
        assert (after != before).sum() == 3
    assert torch.equal(delete_top(x, attribution, 0), x)
    fill = torch.arange(100, 112).view(1, 3, 4)
    assert torch.equal(delete_top(x, attribution, 12, fill), fill.expand(2, 1, 3, 4))


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda x: integrated_gradients(curved, x.long(), x), TypeError, "floating-point"),
        (lambda x: integrated_gradients(curved, x, x[:, :, :1]), ValueError, "baseline of shape"),
        (lambda x: integrated_gradients(curved, x, x, 0), ValueError, "n=0"),
        (lambda x: integrated_gradients(lambda x: x, x, x), ValueError, "one number for each"),
        (lambda x: delete_top(x, x[:1], 1), ValueError, "attributions of the shape"),
        (lambda x: delete_top(x, x, 13), ValueError, "12 positions"),
        (lambda x: surprise(object(), x), TypeError, "position_log_probs"),
    ],
)
def test_what_does_not_fit_is_refused(call, kind, said):
    with pytest.raises(kind, match=said):
        call(torch.rand(2, 1, 3, 4, generator=rng()))
