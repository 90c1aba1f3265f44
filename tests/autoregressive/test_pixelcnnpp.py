"""PixelCNN++: it sums to one, sees exactly the past, trains every weight, starts at its neighbors."""

import pytest
import torch
from small_models import small_model

from garm_course.autoregressive.layers.shifted_conv import ShiftedConv2d
from garm_course.autoregressive.photo_pixelcnnpp import PhotoPixelCNNPP
from garm_course.autoregressive.pixelcnnpp import PixelCNNPP, concat_elu
from garm_course.evaluation.audits import all_examples, causality, dependence

SPACES = [((1, 3, 4), 2), ((1, 2, 3), 4), ((3, 1, 3), 2), ((3, 2, 1), 3), ((2, 2, 2), 3), ((1, 1, 5), 3)]


@pytest.mark.parametrize("n_classes", [0, 2])
@pytest.mark.parametrize("scales", [1, 2, 3])
@pytest.mark.parametrize(("shape", "levels"), SPACES)
def test_the_probabilities_of_all_images_sum_to_one(shape, levels, scales, n_classes):
    model = small_model(PixelCNNPP, shape, levels, n_classes, scales=scales)
    x = all_examples(shape, levels)
    for label in range(max(n_classes, 1)):
        y = torch.full((len(x),), label) if n_classes else None
        assert model.log_prob(x, y).exp().sum().item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("levels", [2, 5])
def test_a_softmax_head_sums_to_one_too(levels):
    model = small_model(PixelCNNPP, (1, 2, 3), levels, mixtures=0)
    assert model.log_prob(all_examples((1, 2, 3), levels)).exp().sum().item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("encoding", ["scaled", "thermometer", "one_hot"])
@pytest.mark.parametrize("scales", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 4, 5), (1, 7, 4)])
def test_every_prediction_depends_on_the_whole_past_and_on_nothing_else(shape, scales, encoding):
    torch.manual_seed(0)
    model = PixelCNNPP(shape, 4, channels=8, blocks=2, scales=scales, mixtures=2, encoding=encoding).double()
    assert causality(model)
    seen = dependence(model, shape, 4) > 0
    past = torch.ones_like(seen).tril(-1)
    if scales > 1:
        assert torch.equal(seen, past)
    else:
        assert not (seen & ~past).any()


@pytest.mark.parametrize("shape", [(1, 6, 5), (3, 6, 5)])
def test_every_weight_has_a_gradient(shape):
    model = small_model(PixelCNNPP, shape, 8, 3).train()
    x = torch.randint(8, (8, *shape), generator=torch.Generator().manual_seed(0))
    model.log_prob(x, torch.arange(8) % 3).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("contrast", [1, 10])
def test_it_starts_at_left_plus_above_minus_above_left(contrast):
    torch.manual_seed(0)
    model = PhotoPixelCNNPP((3, 6, 7), 256, channels=16, blocks=1, scales=2, mixtures=3, contrast=contrast)
    rows, columns = torch.arange(6)[:, None], torch.arange(7)
    x = (90 + 8 * rows + 5 * columns).expand(2, 3, 6, 7).contiguous()  # a plane: the start predicts it exactly
    with torch.no_grad():
        params = model(x)[:, :, 1:, 1:]
    mean = (params[..., 3:6] + 1) * 127.5
    assert (mean - x[:, :, 1:, 1:, None]).abs().max() < 12  # levels: only the untrained blocks disturb it


@pytest.mark.parametrize("scales", [1, 2])
def test_contrast_keeps_the_past_and_the_sampler(scales):
    torch.manual_seed(0)
    model = PhotoPixelCNNPP((3, 4, 5), 16, channels=8, blocks=1, scales=scales, mixtures=2).double().eval()
    assert causality(model)
    x = torch.randint(16, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    values = x.movedim(1, -1).flatten(1)  # raster order
    state = model.start(2)
    steps = [model.step(state, i, values[:, i - 1] if i else None) for i in range(values.shape[1])]
    expected = model(x).movedim(1, 3).flatten(1, 3)
    torch.testing.assert_close(torch.stack(steps, 1), expected, rtol=0, atol=1e-10)


def test_a_shifted_kernel_reads_its_rows_and_columns_only():
    for kernel, direction, stride in [((2, 3), "down", 1), ((2, 2), "down_right", 1), ((2, 3), "down", 2)]:
        conv = ShiftedConv2d(1, 1, kernel, direction, stride).double()
        x = torch.zeros(1, 1, 6, 7, dtype=torch.float64, requires_grad=True)
        out = conv(x)
        assert out.shape[2:] == ((6 + stride - 1) // stride, (7 + stride - 1) // stride)
        (gradient,) = torch.autograd.grad(out[0, 0, 4 // stride, 4 // stride], x)
        right = 5 if direction == "down" else 4
        assert gradient[0, 0].nonzero().tolist() == [[r, c] for r in (3, 4) for c in range(3, right + 1)]


def test_both_signs_of_a_feature_pass():
    x = torch.tensor([[3.0], [-3.0]])
    assert concat_elu(x).shape == (2, 2)
    assert (concat_elu(x).amax(1) == 3).all()


def cache_bytes(state):
    """Bytes of all tensors of a sampling state that are not weights; views count once."""
    storages, seen, waiting = {}, set(), [state]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, torch.nn.Module | torch.nn.Parameter):
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            storages[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif hasattr(item, "__dict__"):
            waiting.extend(vars(item).values())
    return sum(storages.values())


def test_the_cache_is_smaller_than_the_activations_of_one_pass():
    torch.manual_seed(0)
    model, n = PixelCNNPP((3, 16, 16), 256, channels=16, blocks=1, scales=3).eval(), 16
    activations = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _, __, out: activations.append(out.numel() * out.element_size()))
    x = torch.randint(256, (n, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        model(x)
        state = model.start(n)
        for i in range(3 * 16 * 3):
            model.step(state, i, x[:, 0, 0, 0] if i else None)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())  # copies that are laid out for products
    assert cache_bytes(state) - weights < sum(activations)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels, blocks, scales >= 1"),
        ({"blocks": 0}, "channels, blocks, scales >= 1"),
        ({"scales": 0}, "channels, blocks, scales >= 1"),
        ({"mixtures": -1}, "mixtures >= 0"),
        ({"mixtures": 0}, "cannot tie the 3 colors"),
    ],
)
def test_sizes_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PixelCNNPP((3, 4, 4), 4, **options)


@pytest.mark.parametrize("options", [{"contrast": 0.5}, {"mixtures": 0}, {"channels": 2}])
def test_a_start_at_the_neighbors_needs_mixtures_and_a_feature_a_color(options):
    with pytest.raises(ValueError, match=r"expected contrast, mixtures >= 1 and channels >= 3 \(one a color\), got"):
        PhotoPixelCNNPP((3, 4, 4), 4, **options)
