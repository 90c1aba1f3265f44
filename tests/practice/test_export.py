"""Exported steps: the same numbers as the model, the same images from the same uniforms, at every batch size."""

import json
import sys

import numpy as np
import pytest
import torch
from small_models import small_model
from torch import nn

from garm_course.adversarial.gan import MLPGAN
from garm_course.autoregressive.made import MADE
from garm_course.autoregressive.pixelcnn import GatedPixelCNN
from garm_course.autoregressive.pixelrnn import PixelGRU
from garm_course.latent.vae import MLPVAE
from garm_course.practice import export as exporting
from garm_course.practice.export import BATCHES, FORMS, Exported, Graph, eight_bits, export, graphs_of, parity, to_onnx

MODELS = {
    "gru": (PixelGRU, (1, 4, 5), 3, 0, {"hidden": 8, "layers": 1}),
    "gru, classes": (PixelGRU, (1, 4, 5), 3, 4, {"hidden": 8, "layers": 1}),
    "gated": (GatedPixelCNN, (1, 5, 4), 3, 0, {"channels": 6, "layers": 2, "first_kernel": 5, "kernel": 3}),
    "gated, classes": (GatedPixelCNN, (1, 5, 4), 3, 4, {"channels": 6, "layers": 2, "first_kernel": 3}),
    "gated, binary": (GatedPixelCNN, (1, 4, 4), 2, 0, {"channels": 6, "layers": 1}),
}


def made(name):
    cls, shape, levels, n_classes, options = MODELS[name]
    return small_model(cls, shape, levels, n_classes, **options).float().eval()


def in_torch(model):
    """The graphs of a model, run by torch in its own precision, with the loops of `Exported`."""

    def session(graph):
        def run(values):
            like = next(graph.module.parameters())
            inputs = [torch.as_tensor(values[name]) for name in graph.inputs]
            inputs = [value.to(like.dtype) if value.is_floating_point() else value for value in inputs]
            with torch.no_grad():
                out = graph.module(*inputs)
            return [value.numpy() for value in (out if isinstance(out, tuple) else (out,))]

        return run

    graphs = graphs_of(model)
    about = {
        "model": model.name,
        "shape": model.shape,
        "levels": model.levels,
        "n_classes": model.n_classes,
        "graphs": {n: {"inputs": g.inputs, "outputs": g.outputs, "whole": g.whole} for n, g in graphs.items()},
    }
    return Exported(about, {name: session(graph) for name, graph in graphs.items()})


@pytest.mark.parametrize("name", MODELS)
def test_a_step_with_its_state_outside_is_the_model_in_double_precision(name):
    model = made(name).double()
    graphs, n = in_torch(model), 7
    y = torch.arange(n) % 4 if model.n_classes else None
    x = torch.randint(model.levels, (n, *model.shape), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(graphs.log_prob(x, y), model.log_prob(x, y), atol=1e-6), (
        "its states begin in single precision"
    )
    drawn = [one.sample(n, y, rng=torch.Generator().manual_seed(2)) for one in (graphs, model)]
    assert torch.equal(*drawn)
    assert len(drawn[0].unique()) > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_files_give_the_same_images_at_any_batch(name, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, of the extra `deploy`")
    model = made(name)
    export(model, tmp_path / "files")
    read = Exported.open(tmp_path / "files")
    assert max(read.about["parity"].values()) < 1e-5
    for n in (1, 5):
        y = torch.arange(n) % 4 if model.n_classes else None
        drawn = [one.sample(n, y, rng=torch.Generator().manual_seed(2)) for one in (read, model)]
        assert torch.equal(*drawn)
    with pytest.raises(ValueError, match="class" if model.n_classes else "classes"):
        read.sample(2, None if model.n_classes else torch.tensor([0, 1]))


@pytest.mark.slow
@pytest.mark.parametrize("cls", [MLPVAE, MLPGAN])
def test_decoders_and_generators_are_graphs_from_latents(cls, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, of the extra `deploy`")
    torch.manual_seed(0)
    model = cls((1, 4, 4), 3, 5, hidden=(16,)).eval()
    read = export(model, tmp_path / "files")
    z, y = torch.randn(6, model.latents), torch.arange(6) % 5
    graph = next(iter(read.about["graphs"]))
    (found,) = read.run(graph, {"z": z.numpy(), "y": y.numpy()}).values()
    wanted = model.decode(z, y) if cls is MLPVAE else model.generator(z, y)
    assert torch.allclose(torch.from_numpy(found), wanted, atol=1e-5)
    with pytest.raises(TypeError, match="take latents"):
        read.sample(3)


@pytest.mark.slow
def test_eight_bits_are_smaller_and_nearly_as_good(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, of the extra `deploy`")
    model = small_model(PixelGRU, (1, 4, 5), 3, hidden=64, layers=1).float()
    whole = export(model, tmp_path / "files")
    small = eight_bits(tmp_path / "files", tmp_path / "small")
    x = torch.randint(3, (50, 1, 4, 5), generator=torch.Generator().manual_seed(1))
    assert (tmp_path / "small" / "step.onnx").stat().st_size < 0.5 * (tmp_path / "files" / "step.onnx").stat().st_size
    gap = (whole.log_prob(x) - small.log_prob(x)).abs().max()
    assert 0 < gap < 0.5
    assert json.loads((tmp_path / "small" / "model.json").read_text())["bits"] == 8


class Burnt(nn.Module):
    """A layer that a tracer specializes to the batch that it saw."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, z):
        return self.layer(z).view(3, 2, 2) if z.shape[0] == BATCHES[0] else self.layer(z).view(-1, 2, 2)


@pytest.mark.slow
def test_a_batch_that_is_burnt_into_a_graph_is_found():
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, of the extra `deploy`")
    graph = Graph(Burnt().eval(), {"z": (4,)}, ["x"], {})
    data = to_onnx(graph)  # it says nothing
    with pytest.raises(RuntimeError, match="traced with a batch of 3 and refuses one of 1"):
        parity(graph, exporting.needs_runtime()(data))


def test_other_numbers_and_other_images_write_nothing(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, of the extra `deploy`")
    model, runtime = made("gru"), exporting.needs_runtime()
    monkeypatch.setattr(exporting, "to_onnx", lambda graph, opset: b"")

    def off_by(amount):
        def opened(file):
            def run(values):
                inputs = [torch.as_tensor(values[name]) for name in graphs_of(model)["step"].inputs]
                return [value.numpy() + np.float32(amount) for value in graphs_of(model)["step"].module(*inputs)]

            return torch.no_grad()(run)

        return opened

    assert callable(runtime)
    monkeypatch.setattr(exporting, "needs_runtime", lambda: off_by(1e-2))
    with pytest.raises(RuntimeError, match=r"'step' differs from the model by .* nothing was written"):
        export(model, tmp_path / "files")
    assert not (tmp_path / "files").exists()
    monkeypatch.setattr(exporting, "needs_runtime", lambda: off_by(0))
    monkeypatch.setattr(
        Exported, "sample", lambda self, n, y=None, rng=None: torch.zeros(n, *model.shape, dtype=torch.long)
    )
    with pytest.raises(RuntimeError, match="draw other images"):
        export(model, tmp_path / "files")


def test_what_cannot_be_exported_is_told(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, of the extra `deploy`")
    with pytest.raises(ValueError, match=f"a made cannot be exported: .* those that can are {', '.join(FORMS)}"):
        graphs_of(MADE((1, 4, 4), 2))
    for model in (PixelGRU((3, 4, 4), 2, hidden=8), PixelGRU((1, 4, 4), 2, hidden=8, layers=2)):
        with pytest.raises(ValueError, match="one layer and one color"):
            graphs_of(model)
    with pytest.raises(ValueError, match="one color and no context"):
        graphs_of(GatedPixelCNN((3, 4, 4), 2, channels=6, layers=1))
    with pytest.raises(ValueError, match="opset of at least 18, got 9"):
        export(made("gru"), tmp_path, opset=9)
    with pytest.raises(ValueError, match=r"expected weights in single precision, got torch\.float64"):
        export(made("gru").double(), tmp_path)
    with pytest.raises(ValueError, match=r"holds no model.json; .* garm export NAME --out"):
        Exported.open(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'pip install "garm-course\[deploy\]"'):
        export(made("gru"), tmp_path)
