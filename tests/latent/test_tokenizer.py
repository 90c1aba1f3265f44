"""The tokenizer, and a quantizer that waits until the encoder knows something."""

import pytest
import torch

from garm_course.latent.quantizer import VectorQuantizer
from garm_course.latent.tokenizer import Tokenizer


def test_while_it_warms_up_a_quantizer_lets_vectors_pass_and_then_starts_on_them():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(5, 2, decay=0.5, restart=0, warm_up=2).train()
    before, z = quantizer.codebook.clone(), torch.randn(6, 2, 1, 3, requires_grad=True)
    for _ in range(2):
        found = quantizer(z)
        assert torch.equal(found.z_q, z)
        assert found.loss == 0
        assert torch.equal(quantizer.codebook, before)
        assert not quantizer.counts.any()
    found = quantizer(z)
    assert not torch.equal(found.z_q, z)
    assert found.loss > 0
    vectors = z.detach().movedim(1, -1).flatten(0, 2)
    chosen = found.z_q.detach().movedim(1, -1).flatten(0, 2)
    distance = torch.cdist(chosen, vectors).amin(1)
    assert distance.max() < 1e-6, "the decoder reads vectors of this batch, not the random start"
    assert quantizer.counts.sum() > 0
    (gradient,) = torch.autograd.grad(found.z_q.sum(), z)
    assert torch.equal(gradient, torch.ones_like(z))


def test_after_its_warm_up_a_quantizer_goes_on_as_one_that_had_none():
    late, early = VectorQuantizer(5, 2, restart=0, warm_up=1).train(), VectorQuantizer(5, 2, restart=0).train()
    for _ in range(2):
        late(torch.randn(40, 2, 1, 3))
    early.load_state_dict({name: t for name, t in late.state_dict().items() if name != "steps"})
    z = torch.randn(40, 2, 1, 3)
    one, other = early(z), late(z)
    assert torch.equal(one.z_q, other.z_q)
    assert one.loss == other.loss
    assert torch.equal(early.codebook, late.codebook)
    assert torch.equal(early.counts, late.counts)


def test_in_evaluation_nothing_waits_and_nothing_is_counted():
    quantizer = VectorQuantizer(5, 2, warm_up=3).eval()
    z = torch.randn(4, 2, 1, 3)
    assert not torch.equal(quantizer(z).z_q, z)
    assert quantizer.steps == 0


@pytest.mark.parametrize("options", [{"warm_up": -1}, {"warm_up": 1.5}, {"warm_up": 3, "decay": None}])
def test_warm_ups_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="warm_up=") as error:
        VectorQuantizer(4, 2, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("size", "halvings", "grid"),
    [((28, 28), 3, (4, 4)), ((28, 28), 2, (7, 7)), ((9, 12), 2, (3, 3)), ((8, 5), 1, (4, 3)), ((1, 2), 1, (1, 1))],
)
def test_images_of_any_size_come_back_in_their_size(size, halvings, grid):
    tokenizer = Tokenizer((3, *size), 4, channels=8, halvings=halvings).eval()
    x = 2 * torch.rand(2, 3, *size) - 1
    codes = tokenizer.encode(x)
    assert (tokenizer.grid, tuple(codes.shape)) == (grid, (2, *grid))
    assert tokenizer.decode(codes).shape == x.shape
    assert torch.allclose(tokenizer.reconstruct(x), tokenizer(x)[0].clamp(-1, 1), atol=1e-5)
    assert tokenizer.last.weight.shape[1] == 3


def test_more_codes_than_trained_on_give_a_larger_image():
    tokenizer = Tokenizer((3, 28, 28), 4, channels=8)
    assert tokenizer.decode(torch.zeros(1, 4, 20, dtype=torch.long)).shape == (1, 3, 28, 156)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: Tokenizer((3, 8, 8), 4, 10), "has no classes"),
        (lambda: Tokenizer((3, 8, 8), 4, halvings=0), "halvings >= 1"),
        (lambda: Tokenizer((3, 8, 8), 4).decode(torch.zeros(4, dtype=torch.long)), r"codes \(B, H', W'\), got \(4,\)"),
    ],
)
def test_what_does_not_fit_a_tokenizer_is_refused(ask, words):
    with pytest.raises(ValueError, match=words) as error:
        ask()
    assert "\n" not in str(error.value)
