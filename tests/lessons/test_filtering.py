"""The widget with temperature and nucleus: its numbers are those of the model and of the filtered sampler."""

import re

import numpy as np
import pytest
import torch
from small_models import small_model

from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.distributions.filters import filter_logits
from garm_course.evaluation.audits import all_examples
from garm_course.lessons.lesson06 import filtered_samples, filtering
from garm_course.show import png

SHAPE = (1, 2, 3)


@pytest.fixture(scope="module")
def model():
    return small_model(GatedPixelCNN, SHAPE, 3, dtype=torch.float32)


@pytest.fixture(scope="module")
def data(model):
    return model.sample(50, rng=torch.Generator().manual_seed(3))


def test_at_temperature_one_the_samples_cost_their_entropy(model, data):
    view = filtering.Filtering(model, data, n=16)
    x, nats, entropy = view.at(1.0, 1.0)
    assert torch.equal(x, model.sample(16, rng=torch.Generator().manual_seed(0)))
    assert nats.mean() == pytest.approx(entropy, abs=1e-4)
    assert nats == pytest.approx(-model.log_prob(x).detach().numpy(), abs=1e-4)
    assert view.data_nats == pytest.approx(-model.log_prob(data).detach().numpy(), abs=1e-4)
    assert view.limit == pytest.approx(6 * np.log(3))


@pytest.mark.parametrize(("temperature", "top_p"), [(0.5, 1.0), (1.0, 0.7), (2.0, 0.9)])
def test_the_entropy_is_that_of_the_filtered_sampler(model, data, temperature, top_p):
    _, _, entropy = filtering.Filtering(model, data, n=4000).at(temperature, top_p)
    space = all_examples(SHAPE, 3)
    with torch.no_grad():
        logits = filter_logits(model.head.logits(model(space)), temperature=temperature, top_p=top_p)
    log_p = logits.log_softmax(-1).gather(-1, space.unsqueeze(-1)).flatten(1).sum(1).double()
    p = log_p.exp()
    exact = -torch.special.xlogy(p, p).sum().item()
    spread = (p * (log_p.nan_to_num(neginf=0) + exact) ** 2).sum().sqrt().item()
    assert abs(entropy - exact) < 4 * spread / np.sqrt(4000)


def test_at_temperature_zero_there_is_one_image_and_no_entropy(model, data):
    x, _, entropy = filtering.Filtering(model, data, n=16).at(0.0, 1.0)
    assert (x == x[0]).all()
    assert entropy == 0


def test_a_setting_is_computed_once(model, data):
    view = filtering.Filtering(model, data, n=16)
    assert view.at(0.3, 1.0) is view.at(0.1 * 3, 1.0)


def test_figure_and_caption(model, data):
    view = filtering.Filtering(model, data, n=16)
    for setting in ((1.0, 1.0), (0.0, 0.1), (2.0, 1.0)):
        assert png(view.figure(*setting)).startswith(b"\x89PNG")
    words = view.caption(0.5, 1.0)
    assert re.sub(r"≈ \d+\.\d", "N", words) == (
        "Temperature 0.5, top-p 1.0: on average, a sample costs N nats and a held-out image N; the entropy of the "
        "samples is N nats."
    )


def test_classes_of_the_data_are_not_needed():
    model = small_model(GatedPixelCNN, SHAPE, 3, 2, dtype=torch.float32)
    y = torch.arange(16) % 2
    data = model.sample(20, torch.arange(20) % 2)
    view = filtering.Filtering(model, data, y=y, n=16)
    with torch.no_grad():
        expected = -(model.class_log_probs(data).exp().mean(1)).log()
    assert view.data_nats == pytest.approx(expected.numpy(), abs=1e-4)
    with pytest.raises(ValueError, match="expected y, the classes of the 16 samples"):
        filtering.Filtering(model, data, n=16)


def test_what_cannot_be_shown_is_refused(model, data):
    with pytest.raises(ValueError, match="n >= 16 samples"):
        filtered_samples(model, data, n=4)
    with pytest.raises(ValueError, match="levels"):
        filtered_samples(model, data + 7)
