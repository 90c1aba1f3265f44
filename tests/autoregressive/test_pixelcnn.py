"""PixelCNN and Gated PixelCNN: they sum to one, see exactly the past, waste no weight, refuse what does not fit."""

import pytest
import torch
import torch.nn.functional as F

from garm_course.autoregressive import pixelcnn
from garm_course.autoregressive.layers.causal_conv import CausalConv2d, conv_mask, rgb_center_mask
from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN, down_shift, gated_activation
from garm_course.evaluation.audits import all_examples, causality, dependence
from garm_course.transforms import level_features

MODELS = (PixelCNN, GatedPixelCNN)
# shapes are neither square nor symmetric, so that a swap of height, width or channels shows
SPACES = [
    ((1, 3, 4), 2),
    ((1, 2, 3), 4),
    ((3, 1, 3), 2),
    ((3, 2, 1), 3),
    ((2, 2, 2), 3),
    ((1, 1, 5), 3),
    ((1, 5, 1), 3),
]
ENCODINGS = ("thermometer", "one_hot", "scaled")


@pytest.fixture
def smooth(monkeypatch):
    """A slope everywhere in place of the ReLU: what is zero then is zero by structure, not by a dead unit."""
    monkeypatch.setattr(pixelcnn.F, "relu", F.elu)


def build(cls, shape, levels, n_classes=0, *, seed=0, scale=3, **options):
    torch.manual_seed(seed)
    options = {"channels": 2 * shape[0], "layers": 2, **options}
    model = cls(shape, levels, n_classes, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)  # far from the small start, where everything is nearly uniform
    return model


def images(model, n, seed=0):
    return torch.randint(model.levels, (n, *model.shape), generator=torch.Generator().manual_seed(seed))


def classes(model, n):
    return torch.arange(n) % model.n_classes if model.n_classes else None


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize(("shape", "levels"), SPACES)
@pytest.mark.parametrize("cls", MODELS)
def test_the_probabilities_of_all_images_sum_to_one(cls, shape, levels, n_classes):
    model = build(cls, shape, levels, n_classes)
    x = all_examples(shape, levels)
    for label in range(max(n_classes, 1)):
        y = torch.full((len(x),), label) if n_classes else None
        assert model.log_prob(x, y).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("shape", "levels"), [((1, 6, 5), 3), ((3, 4, 3), 3), ((2, 3, 4), 2)])
@pytest.mark.parametrize("cls", MODELS)
def test_the_jacobian_is_zero_where_it_must_be(cls, shape, levels, encoding):
    # through autograd, at the embedded input: finite differences between levels cannot hide behind a flat unit
    model = build(cls, shape, levels, encoding=encoding)
    features = model.table.shape[1]
    embedded = []

    def watch(x):
        embedded.append(PixelCNN.embed(model, x).requires_grad_())
        return embedded[-1]

    model.embed = watch
    params = model.to_sequence(model(images(model, 1)))[0].reshape(model.positions, -1)
    for i, out in enumerate(params):
        (grad,) = torch.autograd.grad(out.abs().sum(), embedded[0], retain_graph=True)
        seen = grad.reshape(1, shape[0], features, *shape[1:]).abs().sum(2)  # (1, C, H, W)
        assert not model.to_sequence(seen)[0, i:].any(), f"position {i} sees itself or the future"


@pytest.mark.parametrize("n_classes", [0, 2])
@pytest.mark.parametrize(("shape", "levels"), [((1, 5, 6), 3), ((3, 3, 4), 2), ((2, 4, 2), 4)])
@pytest.mark.parametrize("cls", MODELS)
def test_changing_a_pixel_changes_later_predictions_only(cls, shape, levels, n_classes):
    model = build(cls, shape, levels, n_classes)
    assert causality(model, y=1 if n_classes else None)


@pytest.mark.parametrize(("shape", "levels"), [((1, 5, 6), 3), ((3, 4, 3), 2)])
def test_the_gated_model_sees_its_whole_past(shape, levels, smooth):
    model = build(GatedPixelCNN, shape, levels, layers=5, first_kernel=3, scale=2)
    past = torch.ones(model.positions, model.positions).tril(-1).bool()
    assert torch.equal(dependence(model, shape, levels, examples=6) > 0, past)


def test_a_pixelcnn_with_wide_kernels_sees_its_whole_past_in_color(smooth):
    model = build(PixelCNN, (3, 3, 3), 3, first_kernel=7, scale=1)
    past = torch.ones(27, 27).tril(-1).bool()
    assert torch.equal(dependence(model, (3, 3, 3), 3, examples=6) > 0, past)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("colors", [1, 3])
@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_the_causal_convolution_is_the_masked_dense_one(k, kind, colors, parts):
    torch.manual_seed(0)
    c_in, c_out = 2 * colors, 3 * colors * parts
    if k == 1 and kind == "A" and colors == 1:
        with pytest.raises(ValueError, match="sees nothing"):
            CausalConv2d(c_in, c_out, k, kind)
        return
    conv = CausalConv2d(c_in, c_out, k, kind, colors=colors, parts=parts).double()
    r, taps = k // 2, conv.row.shape[-1]
    dense = torch.randn(c_out, c_in, k, k, dtype=torch.float64)  # what the masks hide holds noise
    if r:
        dense[:, :, :r] = conv.above.detach()
    dense[:, :, r : r + 1, :taps] = conv.row.detach()
    mask = conv_mask(k, "B").double().expand(c_out, c_in, k, k).clone()
    mask[:, :, r, r] = rgb_center_mask(c_in, c_out // parts, kind, colors).double().repeat(parts, 1)
    x = torch.randn(2, c_in, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(conv(x), F.conv2d(x, dense * mask, conv.bias, padding=r), atol=1e-13, rtol=0)


def test_without_the_rows_above_only_the_current_row_counts():
    conv = CausalConv2d(2, 4, 5, "B", above=False).double()
    x = torch.randn(1, 2, 4, 6, dtype=torch.float64)
    alone = torch.cat([conv(x[:, :, r : r + 1]) for r in range(4)], 2)
    torch.testing.assert_close(conv(x), alone, atol=1e-14, rtol=0)


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("colors", [1, 3])
@pytest.mark.parametrize("cls", MODELS)
def test_no_weight_is_wasted(cls, colors, layers, n_classes, smooth):
    model = build(cls, (colors, 9, 9), 3, n_classes, channels=2 * colors, layers=layers, scale=1)
    x = images(model, 6)
    model.log_prob(x, classes(model, 6)).sum().backward()
    masked = {
        f"{name}.row": module.mask.expand_as(module.row) == 0
        for name, module in model.named_modules()
        if isinstance(module, CausalConv2d) and module.mask is not None
    }
    assert bool(masked) == (colors > 1)  # only colors need a mask at all
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} takes no part"
        idle = parameter.grad == 0
        if name in masked:
            assert idle[masked[name]].all(), f"{name}: a masked weight has a gradient"
            idle = idle & ~masked[name]
        assert not idle.any(), f"{name}: {int(idle.sum())} of {idle.numel()} weights have no gradient"


@pytest.mark.parametrize("cls", MODELS)
def test_log_prob_is_the_sum_of_the_conditionals(cls):
    model = build(cls, (2, 3, 4), 3, 2)
    x, y = images(model, 5), classes(model, 5)
    table = model.head.log_probs(model(x, y))  # (B, C, H, W, levels)
    expected = torch.stack([table[b].flatten(0, 2)[range(24), x[b].flatten()].sum() for b in range(5)])
    torch.testing.assert_close(model.log_prob(x, y), expected)


def test_the_class_matters_and_bayes_rule_normalizes():
    model = build(GatedPixelCNN, (1, 2, 3), 2, 3)
    x = all_examples((1, 2, 3), 2)
    by_class = model.class_log_probs(x)  # (64, 3)
    for label in range(3):
        torch.testing.assert_close(by_class[:, label], model.log_prob(x, torch.full((64,), label)))
    assert (by_class.std(1) > 1e-3).all()
    assert (by_class.exp() / 3).sum().item() == pytest.approx(1, abs=1e-12)
    with pytest.raises(ValueError, match="class-conditional"):
        build(GatedPixelCNN, (1, 2, 3), 2).class_log_probs(x)


@pytest.mark.parametrize("levels", [2, 3, 17])
def test_encodings_tell_every_level_apart_and_from_the_padding(levels):
    for encoding in ENCODINGS:
        table = level_features(levels, encoding)
        assert len(torch.cat([table, torch.zeros(1, table.shape[1])]).unique(dim=0)) == levels + 1
    steps = level_features(levels, "thermometer").diff(dim=0)
    assert (steps.abs().sum(1) == 1).all()  # neighbors in value differ in one feature
    with pytest.raises(ValueError, match=r"one_hot.*got 'gray'"):
        level_features(levels, "gray")


def test_a_black_pixel_differs_from_the_world_outside():
    # without the constant feature, the same network cannot tell the border of a black image from its middle
    model = build(PixelCNN, (1, 9, 9), 3, layers=0)
    params = model(torch.zeros(1, 1, 9, 9, dtype=torch.long))[0, 0]
    assert not torch.allclose(params[0, 0], params[5, 5])


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_masks_keep_what_comes_before_in_raster_order(k):
    order = torch.arange(k * k).reshape(k, k)
    center = k * k // 2
    assert torch.equal(conv_mask(k, "A") > 0, order < center)
    assert torch.equal(conv_mask(k, "B") > 0, order <= center)


def test_color_groups_see_earlier_groups():
    for c_in, c_out in [(3, 3), (6, 3), (3, 6), (9, 6)]:
        source = [i // (c_in // 3) for i in range(c_in)]
        target = [i // (c_out // 3) for i in range(c_out)]
        assert rgb_center_mask(c_in, c_out, "A").tolist() == [[float(s < t) for s in source] for t in target]
        assert rgb_center_mask(c_in, c_out, "B").tolist() == [[float(s <= t) for s in source] for t in target]


def test_shift_and_gate():
    v = torch.arange(1.0, 25).reshape(1, 2, 4, 3)
    assert torch.equal(down_shift(v)[:, :, 1:], v[:, :, :-1])
    assert not down_shift(v)[:, :, 0].any()
    x = torch.randn(2, 6, 3, 4)
    torch.testing.assert_close(gated_activation(x), torch.tanh(x[:, :3]) * torch.sigmoid(x[:, 3:]))


@pytest.mark.parametrize("cls", MODELS)
def test_dropout_acts_in_training_only(cls):
    model = build(cls, (1, 4, 4), 3, dropout=0.5)
    x = images(model, 2)
    model.train()
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("cls", MODELS)
def test_the_configuration_rebuilds_the_model(cls):
    model = build(cls, (3, 4, 5), 4, 2, channels=6, first_kernel=5, kernel=5, dropout=0.1, encoding="one_hot")
    twin = cls(**model.config).double()
    twin.load_state_dict(model.state_dict())
    x, y = images(model, 2), classes(model, 2)
    assert torch.equal(twin.eval().log_prob(x, y), model.eval().log_prob(x, y))
    assert twin.config == model.config


@pytest.mark.parametrize("levels", [2, 5])
@pytest.mark.parametrize("cls", MODELS)
def test_in_bfloat16_only_the_features_are_coarse(cls, levels):
    model = build(cls, (1, 6, 6), levels).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.div_(3)
    x = images(model, 8)
    exact = model.log_prob(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.log_prob(x)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact, atol=0.2, rtol=0)
    half = model.bfloat16()
    params = half(x)
    assert params.dtype == torch.float32
    total = model.head.log_probs(params).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


GOOD = torch.zeros(2, 1, 4, 5, dtype=torch.long)


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (GOOD.float(), TypeError, r"torch.float32; use x.long\(\)"),
        (GOOD.float() + float("nan"), TypeError, "float32"),
        (GOOD.bool(), TypeError, "torch.bool"),
        (GOOD.int(), TypeError, "torch.int32"),
        (GOOD.numpy(), TypeError, "ndarray"),
        (GOOD[0], ValueError, r"got shape \(1, 4, 5\)"),
        (GOOD.mT, ValueError, r"got shape \(2, 1, 5, 4\)"),
        (GOOD.repeat(1, 3, 1, 1), ValueError, r"got shape \(2, 3, 4, 5\)"),
        (GOOD[:0], ValueError, "empty batch"),
        (GOOD + 3, ValueError, r"levels 0..2, got levels 3..3; .*levels=4"),
        (GOOD - 1, ValueError, r"got levels -1..-1"),
    ],
)
def test_images_that_do_not_fit_are_refused(cls, x, error, message):
    model = build(cls, (1, 4, 5), 3)
    for call in (model, model.log_prob):
        with pytest.raises(error, match=message) as caught:
            call(x)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, ValueError, "class-conditional; got none"),
        (torch.tensor([0.0, 1.0]), TypeError, r"use y.long\(\)"),
        ([0, 1], TypeError, "list"),
        (torch.tensor([0]), ValueError, r"got shape \(1,\); give one class per image"),
        (torch.tensor([[0, 1]]), ValueError, "shape"),
        (torch.tensor([0, 3]), ValueError, r"classes 0..2, got 0..3; the model knows no such class"),
        (torch.tensor([-1, 0]), ValueError, r"got -1..0"),
    ],
)
def test_classes_that_do_not_fit_are_refused(cls, y, error, message):
    model = build(cls, (1, 4, 5), 3, n_classes=3)
    for call in (lambda: model(GOOD, y), lambda: model.log_prob(GOOD, y), lambda: model.sample(2, y)):
        with pytest.raises(error, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="leave y out"):
        build(cls, (1, 4, 5), 3)(GOOD, torch.tensor([0, 1]))


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (4, 5)}, "shape"),
        ({"shape": (1, 0, 5)}, "positive sizes"),
        ({"levels": 1}, "at least 2"),
        ({"n_classes": -1}, "n_classes >= 0"),
        ({"first_kernel": 4}, "odd kernel size"),
        ({"first_kernel": 1}, "sees nothing"),
        ({"kernel": 2}, "odd kernel size"),
        ({"channels": 0}, "channels >= 1"),
        ({"layers": -1}, "layers >= 0"),
        ({"shape": (3, 4, 5), "channels": 4}, "divisible by 3"),
        ({"encoding": "gray"}, "encoding"),
    ],
)
def test_models_that_cannot_be_built_are_refused(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**{"shape": (1, 4, 5), "levels": 3, **arguments})


def test_masks_that_cannot_be_made_are_refused():
    for k in (0, 2, -1):
        with pytest.raises(ValueError, match="odd kernel size"):
            conv_mask(k, "A")
    for kind in ("a", "C", None):
        with pytest.raises(ValueError, match='"A" or "B"'):
            conv_mask(3, kind)
        with pytest.raises(ValueError, match='"A" or "B"'):
            rgb_center_mask(3, 3, kind)
    with pytest.raises(ValueError, match="divisible by 3"):
        rgb_center_mask(3, 4, "A")
