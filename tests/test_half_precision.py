"""Weights that are cast to 16 bits work in every family: what a model says of examples, its gradients, its draws."""

import pytest
import torch
from torch.utils.data import TensorDataset

from garm_course.adversarial.gan import GAN
from garm_course.adversarial.vaegan import VAEGAN
from garm_course.autoregressive.clips import ClipModel
from garm_course.autoregressive.sequences import SequenceModel
from garm_course.evaluation.likelihood import evaluate
from garm_course.models import CLASSES, model_class

SHAPE, LEVELS = (1, 8, 8), 3
SMALL = {
    "pixel_gru": {"hidden": 8}, "row_lstm": {"channels": 4}, "diagonal_bilstm": {"channels": 4},
    "pixelcnn": {"channels": 4, "layers": 1}, "gated_pixelcnn": {"channels": 4, "layers": 1},
    "pixelcnnpp": {"channels": 4, "blocks": 1}, "token_lstm": {"hidden": 8},
    "frame_pixelcnn": {"channels": 4, "layers": 1}, "tokenizer": {"channels": 8}, "factor_classifier": {"channels": 4},
    "caption_transformer": {"n_codes": LEVELS, "grid": (4, 4), "vocabulary": 5, "length": 1, "width": 8, "heads": 2},
}  # fmt: skip


def shape_of(name):
    """Of an example: models of sequences read the pixels of an image one after the other, those of clips in frames."""
    if issubclass(model_class(name), ClipModel):
        return (1, 4, 4, 4)
    if name == "caption_transformer":
        return SMALL[name]["grid"]
    return (SHAPE[1] * SHAPE[2],) if issubclass(model_class(name), SequenceModel) else SHAPE


def build(name):
    """A small model of the registry."""
    torch.manual_seed(0)
    if name == "two_stage":
        prior = model_class("made")((1, 2, 2), 8, hidden=(8,))
        return model_class(name)(model_class("vqvae")(SHAPE, LEVELS, n_codes=8, dim=4, channels=4), prior)
    if name == "cyclegan":
        return model_class(name)(SHAPE, SHAPE, width=4, critic_width=4)
    if name == "vqgan":
        return model_class(name)(model_class("tokenizer")(SHAPE, LEVELS, channels=8), critic_width=4)
    if name == "caption_transformer":
        return model_class(name)(**SMALL[name])
    return model_class(name)(shape_of(name), LEVELS, **SMALL.get(name, {}))


def figures(model, x, y):
    """What a model says of examples, by whatever it has: levels for likelihoods and classes, floats for games."""
    floats = (x / (LEVELS - 1) * 2 - 1).to(next(model.parameters()).dtype)
    if hasattr(model, "log_prob"):
        return model.log_prob(x)
    if hasattr(model, "elbo"):
        return model.elbo(x).bound
    if isinstance(model, GAN):
        return model.critic(model.generator(model.noise(len(x)))) + model.critic(floats)
    if isinstance(model, VAEGAN):
        mu, logvar = model.encode(floats)
        return model.critic(model.decoder(mu)) + logvar.sum(1)
    if hasattr(model, "quantizer"):
        images, codebook = model(floats)
        return images.flatten(1).sum(1) + codebook
    if hasattr(model, "tokenizer"):
        return (
            model.critic(model.tokenizer(floats)[0].to(floats)).flatten(1).sum(1)
            + model.decode(model.encode(x=floats)).sum()
        )
    if hasattr(model, "translators"):
        return model.critics["y"](model.G(floats)).flatten(1).sum(1) + model.F(floats).flatten(1).sum(1)
    return model(x).gather(1, y[:, None]).squeeze(1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "half"])
@pytest.mark.parametrize("name", [name for name in CLASSES if name != "ngram"])  # which has no weights
def test_cast_weights_work(name, dtype):
    shape = shape_of(name)
    x = torch.randint(LEVELS, (4, *shape), generator=torch.Generator().manual_seed(0))
    y = torch.zeros(4, dtype=torch.long)
    model, full = build(name).to(dtype).eval(), build(name).eval()
    value = figures(model, x, y)
    assert torch.isfinite(value).all()
    value.float().sum().backward()
    if hasattr(model, "terms"):  # what is trained
        assert all(torch.isfinite(term).all() for term in model.train().terms(x))
    model.eval()
    assert all(torch.isfinite(w.grad).all() for w in model.parameters() if w.grad is not None)
    assert {w.dtype for w in model.parameters()} == {dtype}
    if hasattr(model, "sample"):
        drawn = model.sample(2, rng=torch.Generator().manual_seed(0))
        assert drawn.shape == (2, *shape)
        assert torch.isfinite(drawn.float()).all()
    if hasattr(model, "log_prob") or hasattr(model, "elbo"):
        data = TensorDataset(x, y[:, None] if name == "caption_transformer" else y)
        assert evaluate(model, data).nats == pytest.approx(evaluate(full, data).nats, rel=0.02)
