"""What every autoregressive model must be: normalized, causal, calibrated, before and after training; what it refuses.

One table of models (`small_models.py`) and one list of shapes, none of them square: a model that is added to the
library is audited here without another line.
"""

import math

import pytest
import torch
from small_models import ANY_ORDER, MODELS, small_model

from garm_course.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from garm_course.autoregressive.pixelrnn import DiagonalBiLSTM, RowLSTM
from garm_course.evaluation.audits import calibration, causality, dependence, normalization
from garm_course.inputs import check_order
from garm_course.weights.files import load_model, save_model

ENUMERABLE = [((1, 2, 3), 3, 0), ((1, 3, 2), 2, 2), ((3, 2, 1), 2, 0), ((2, 1, 2), 3, 2), ((1, 1, 5), 3, 0)]
LARGER = [((1, 3, 5), 4, 2), ((3, 4, 3), 2, 0), ((1, 6, 2), 2, 0)]

ENCODED = tuple(cls for cls in MODELS if cls.name != "photo_pixelcnnpp")  # which reads values, and starts at neighbors


def each(cases, models=MODELS):
    return pytest.mark.parametrize(
        ("cls", "shape", "levels", "n_classes"),
        [pytest.param(cls, *case, id=f"{cls.name}-{case}") for cls in models for case in cases],
    )


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def label(n_classes):
    return n_classes - 1 if n_classes else None


def take_a_step(model):
    """One step of an optimizer in training mode: what a mask applied once would not survive."""
    x = torch.randint(model.levels, (8, *model.shape), generator=rng(3))
    y = torch.arange(8) % model.n_classes if model.n_classes else None
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    model.train()
    (-model.log_prob(x, y).mean()).backward()
    optimizer.step()
    return model.eval()


@each(ENUMERABLE)
def test_audits_hold_before_and_after_an_optimizer_step(cls, shape, levels, n_classes):
    model, y = small_model(cls, shape, levels, n_classes), label(n_classes)
    for _ in range(2):
        assert causality(model, y=y), str(causality(model, y=y))
        total = normalization(model, y=y, tolerance=1e-10)
        assert total, str(total)
        take_a_step(model)
    samples = model.sample(20_000, torch.full((20_000,), y) if n_classes else None, rng=rng(7))
    result = calibration(model, samples, y=y)
    assert result, str(result)


@each(LARGER)
def test_causal_before_and_after_an_optimizer_step_on_larger_images(cls, shape, levels, n_classes):
    model = small_model(cls, shape, levels, n_classes)
    for _ in range(2):
        result = causality(model, y=label(n_classes))
        assert result, str(result)
        take_a_step(model)


@each(LARGER, ANY_ORDER)
def test_any_order_is_causal_in_its_own_order_only(cls, shape, levels, n_classes):
    order = torch.randperm(shape[0] * shape[1] * shape[2], generator=rng(5))
    model, y = small_model(cls, shape, levels, n_classes, order=order), label(n_classes)
    assert causality(model, y=y)
    raster = causality(model, order=torch.arange(len(order)), y=y)
    assert not raster
    assert "comes later" in raster.message or "depends on" in raster.message
    take_a_step(model)
    assert causality(model, y=y)


@pytest.mark.parametrize("cls", ANY_ORDER, ids=lambda cls: cls.name)
@pytest.mark.parametrize("order", [None, [3, 0, 5, 1, 4, 2]], ids=["raster", "mixed"])
def test_any_order_sees_its_whole_past_and_is_calibrated(cls, order):
    model = small_model(cls, (1, 2, 3), 2, order=order)
    change = dependence(model, (1, 2, 3), 2, examples=8)
    order = torch.arange(6) if order is None else torch.tensor(order)
    assert torch.equal(change[order][:, order] > 0, torch.ones(6, 6).tril(-1).bool())
    assert normalization(model, tolerance=1e-10)
    assert calibration(model, model.sample(20_000, rng=rng()))


@pytest.mark.parametrize("cls", ENCODED, ids=lambda cls: cls.name)
@pytest.mark.parametrize("encoding", ["thermometer", "one_hot", "scaled"])
def test_every_encoding_is_audited(cls, encoding):
    model = small_model(cls, (1, 2, 3), 3, encoding=encoding)
    assert causality(model)
    assert normalization(model, tolerance=1e-10)


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.name)
def test_every_parameter_takes_part(cls):
    model = small_model(cls, (3, 4, 5), 3, 2, dropout=0.0, scale=1.1)  # not 1: behind outputs at zero nothing moves yet
    x = torch.randint(3, (16, 3, 4, 5), generator=rng())
    model.log_prob(x, torch.arange(16) % 2).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} takes no part"
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, f"{name} has no gradient"


@pytest.mark.parametrize("cls", ENCODED, ids=lambda cls: cls.name)
def test_an_untrained_model_knows_nothing(cls):
    model = small_model(cls, (1, 8, 6), 17, scale=1, encoding="thermometer")
    x = torch.randint(17, (200, 1, 8, 6), generator=rng())
    nats, uniform = -model.log_prob(x).mean().item(), 48 * math.log(17)
    assert uniform <= nats < 1.06 * uniform


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.name)
def test_dropout_is_at_work_in_training_only(cls):
    model = small_model(cls, (1, 4, 5), 3, dropout=0.5)
    x = torch.randint(3, (6, 1, 4, 5), generator=rng())
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))
    model = small_model(cls, (1, 4, 5), 3, dropout=0.0).train()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.name)
def test_the_class_changes_the_distribution(cls):
    model = small_model(cls, (1, 2, 3), 2, 3)
    x = torch.randint(2, (4, 1, 2, 3), generator=rng())
    by_class = model.class_log_probs(x)
    assert (by_class.std(1) > 1e-4).all()


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.name)
def test_a_saved_model_comes_back_the_same(cls, tmp_path):
    options = {"order": [3, 0, 5, 1, 4, 2]} if cls in ANY_ORDER else {}
    model = small_model(cls, (1, 2, 3), 3, 2, **options)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    x, y = torch.randint(3, (5, 1, 2, 3), generator=rng()), torch.tensor([0, 1, 0, 1, 1])
    assert torch.equal(again.log_prob(x, y), model.log_prob(x, y))
    assert torch.equal(again.sample(5, y, rng=rng()), model.sample(5, y, rng=rng()))


X = torch.zeros(2, 1, 2, 3, dtype=torch.long)
BAD_INPUT = {
    "wrong number of pixels": (X[..., :2], ValueError, r"got shape \(2, 1, 2, 2\)"),
    "height and width swapped": (X.mT, ValueError, r"got shape \(2, 1, 3, 2\)"),
    "gray levels in a binary model": (X + 5, ValueError, r"levels 0\.\.1, got levels 5\.\.5"),
    "negative levels": (X - 1, ValueError, r"got levels -1\.\.-1"),
    "real numbers": (X.float(), TypeError, r"x\.long\(\)"),
    "an empty batch": (X[:0], ValueError, "empty batch"),
    "flat images": (X.flatten(1), ValueError, r"got shape \(2, 6\)"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.name)
def test_images_that_do_not_fit_are_refused_in_one_line(cls, case):
    x, error, words = BAD_INPUT[case]
    model = small_model(cls, (1, 2, 3), 2)
    with pytest.raises(error, match=words) as caught:
        model.log_prob(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.name)
def test_classes_that_do_not_fit_are_refused(cls):
    with pytest.raises(ValueError, match="class-conditional"):
        small_model(cls, (1, 2, 3), 2, 3).log_prob(X)
    with pytest.raises(ValueError, match="leave y out"):
        small_model(cls, (1, 2, 3), 2).log_prob(X, torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="knows no such class"):
        small_model(cls, (1, 2, 3), 2, 3).sample(2, torch.tensor([0, 3]))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("made", {"hidden": (0,)}, "at least one unit"),
        ("made", {"hidden": (8, 0)}, "at least one unit"),
        ("made", {"orders": 0}, "orders >= 1"),
        ("made", {"connectivities": 0}, "connectivities >= 1"),
        ("nade", {"hidden": 0}, "hidden >= 1"),
        ("pixel_gru", {"hidden": 0}, "hidden >= 1"),
        ("pixel_gru", {"layers": 0}, "layers >= 1"),
        ("row_lstm", {"channels": 0}, "channels >= 1"),
        ("row_lstm", {"kernel": 4}, "odd kernel"),
        ("diagonal_bilstm", {"channels": 0}, "channels >= 1"),
        ("fvsbn", {"order": [0, 1, 2, 3, 4]}, r"each of 0\.\.5 exactly once"),
        ("made", {"order": [0, 1, 2, 3, 4, 4]}, r"each of 0\.\.5 exactly once, got \[0, 1, 2, 3, 4, 4\]"),
        ("nade", {"order": [1, 2, 3, 4, 5, 6]}, r"each of 0\.\.5 exactly once"),
        ("nade", {"order": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}, r"each of 0\.\.5 exactly once"),
        ("made", {"encoding": "gray"}, "expected the encoding"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_line(name, options, words):
    (cls,) = (cls for cls in MODELS if cls.name == name)
    with pytest.raises(ValueError, match=words) as caught:
        cls((1, 2, 3), 2, **options)
    assert "\n" not in str(caught.value)


def test_a_long_order_is_not_printed_whole():
    with pytest.raises(ValueError, match=r"got 784 numbers from 0 to 0; torch.randperm\(784\) makes one"):
        check_order([0] * 784, 784)


@pytest.mark.parametrize("cls", [PixelCNN, GatedPixelCNN, RowLSTM, DiagonalBiLSTM])
def test_features_that_do_not_split_by_color_are_refused(cls):
    with pytest.raises(ValueError, match=r"expected channels divisible by 3, .*got 8; 9 would do"):
        cls((3, 4, 5), 4, channels=8, layers=1)
