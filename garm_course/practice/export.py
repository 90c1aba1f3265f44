"""One step of a model as a graph that other programs run: state in, state out, no Python and no torch.

A cached step of `sample` hides its state in an object. A graph cannot: what a step keeps is one of its inputs and one
of its outputs. `graphs_of` writes a model in that form; `export` puts it into ONNX files, once ONNX Runtime has given
the same numbers at several batch sizes and drawn the same images. What is drawn, and how, stays outside: the loop of
`Exported.sample` is all that a phone or a browser has to do.

Needs `pip install "garm-course[deploy]"` (onnx, onnxruntime, onnxscript).
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.autoregressive.sampling.loop import position_uniforms
from garm_course.distributions.heads import output_head
from garm_course.inputs import check_classes

PARITY = 1e-5  # of the largest number of an output: single precision, sums in another order
BATCHES = (3, 1, 64)  # the first is traced; a batch that was burnt into a graph fails at the others
OLDEST = 18  # opset


class Graph(NamedTuple):
    """One graph of a model.

    Attributes:
        module: its forward takes the inputs in their order.
        inputs: name -> shape without the batch, or () for a number that all of a batch share.
        outputs: their names; an input of the same name is the state that comes back.
        whole: inputs of whole numbers, with the number of values each may take.
    """

    module: nn.Module
    inputs: dict[str, tuple[int, ...]]
    outputs: list[str]
    whole: dict[str, int]

    def example(self, n: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs for a batch of n: numbers as a training would give them, whole ones in their range."""
        rng = torch.Generator().manual_seed(seed)
        dtype = next(self.module.parameters()).dtype
        drawn = []
        for name, shape in self.inputs.items():
            if name in self.whole and not shape:
                drawn.append(torch.tensor(min(seed, self.whole[name] - 1)))
            elif name in self.whole:
                drawn.append(torch.randint(self.whole[name], (n, *shape[1:]), generator=rng))
            else:
                drawn.append(torch.rand(n, *shape, generator=rng, dtype=torch.float64).to(dtype))
        return tuple(drawn)


class GRUStep(nn.Module):
    """A step of `PixelGRU`: the value before, the one above, the position and the state, to logits and the state.

    A value of `levels` means that there is none: its features are zero.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.register_buffer("table", with_outside(model.table))
        self.places, self.classes, self.out = model.places, model.classes, model.out
        self.w, self.u, self.b, self.c = (getattr(model.gru, name) for name in
                                          ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"))  # fmt: skip

    def forward(self, before: Tensor, above: Tensor, i: Tensor, h: Tensor, y: Tensor | None = None):
        """(n,), (n,), (), (n, H) -> logits (n, levels), (n, H)."""
        place = self.places[i].expand(before.shape[0], -1)
        place = place if y is None else place + self.classes(y)
        features = torch.cat([self.table[before], self.table[above], place], 1)
        reset, update, new = F.linear(features, self.w, self.b).chunk(3, 1)
        reset_h, update_h, new_h = F.linear(h, self.u, self.c).chunk(3, 1)
        reset, update = torch.sigmoid(reset + reset_h), torch.sigmoid(update + update_h)
        h = (1 - update) * torch.tanh(new + reset * new_h) + update * h
        return self.out(h), h


class GatedRow(nn.Module):
    """What the rows above give to a row of `GatedPixelCNN`: the row just drawn and windows of rows, once a row.

    `started` is 0 before the first row and 1 after it; there is nothing above the first row.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.register_buffer("table", model.table)
        self.layers, self.n_classes = model.layers, model.n_classes

    def forward(self, above: Tensor, started: Tensor, *rows_and_class: Tensor):
        """(n, W), (), windows (n, c, reach + 1, W + 2 reach) -> those, and what is added, (n, W, 2C) a layer."""
        rows, y = rows_and_class[: len(self.layers)], rows_and_class[len(self.layers) :]
        v = started * self.table[above].transpose(1, 2).unsqueeze(2)  # (n, F, 1, W)
        kept, added = [], []
        for i, (layer, window) in enumerate(zip(self.layers, rows, strict=True)):
            v_bias, h_bias = layer.class_bias(y[0] if y else None)
            window = torch.cat([window[:, :, 1:], F.pad(v, (layer.reach, layer.reach))], 2)
            a = layer.vertical(window)  # (n, 2C, 1, W)
            shifted = layer.v_to_h(started * a).squeeze(2).transpose(1, 2) + layer.horizontal.bias
            kept.append(window)
            added.append(shifted if h_bias is None else shifted + h_bias[:, None])
            if not layer.last:
                tanh, gate = (a if v_bias is None else a + v_bias[..., None, None]).chunk(2, 1)
                new = started * torch.tanh(tanh) * torch.sigmoid(gate)
                v = v + new if i else new
        return (*kept, *added)


class GatedPixel(nn.Module):
    """A pixel of `GatedPixelCNN`: the value before, the column, windows of the row and what is added, once a pixel."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.register_buffer("table", with_outside(model.table))
        self.layers, self.head_in, self.head_out = model.layers, model.head_in, model.head_out

    def forward(self, before: Tensor, column: Tensor, *windows_and_added: Tensor):
        """(n,), (), windows (n, taps - 1, c), added (n, W, 2C) -> logits (n, levels), those windows."""
        windows, added = windows_and_added[: len(self.layers)], windows_and_added[len(self.layers) :]
        read, h, kept = self.table[before], None, []
        for layer, window, base in zip(self.layers, windows, added, strict=True):
            seen = torch.cat([window, (read if h is None else h).unsqueeze(1)], 1)  # (n, taps, c)
            weight = layer.horizontal.row_weight()[:, :, 0].transpose(1, 2).flatten(1)  # (2C, taps * c)
            tanh, gate = (base[:, column] + F.linear(seen.flatten(1), weight)).chunk(2, 1)
            new = self.pointwise(layer.out, torch.tanh(tanh) * torch.sigmoid(gate))
            h = new if h is None else h + new
            kept.append(seen[:, 1:])
        logits = self.pointwise(self.head_out, F.relu(self.pointwise(self.head_in, F.relu(h))))
        return (logits, *kept)

    @staticmethod
    def pointwise(layer: nn.Module, x: Tensor) -> Tensor:
        """A masked 1x1 convolution at one pixel."""
        return F.linear(x, layer.row_weight()[:, :, 0, 0], layer.bias)


class Decoder(nn.Module):
    """Latents, and a class where there is one, to what a decoder or generator makes of them."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(n, Z) -> parameters of the pixels, or pixels."""
        return self.network(z) if y is None else self.network(z, y)


def with_outside(table: Tensor) -> Tensor:
    """Features of the levels, and a row of zeros for what lies outside of the image."""
    return torch.cat([table, torch.zeros_like(table[:1])])


def graphs_of(model: nn.Module) -> dict[str, Graph]:
    """The graphs of a model, by name.

    Raises:
        ValueError: for a model that has none; the message says which have and why this one has not.
    """
    name = getattr(model, "name", type(model).__name__)
    if name not in FORMS:
        raise ValueError(f"a {name} cannot be exported: nobody has written its step with the state as an input; those "
                         f"that can are {', '.join(FORMS)}")  # fmt: skip
    return FORMS[name](model.eval())


def _gru(model: nn.Module) -> dict[str, Graph]:
    if model.gru.num_layers != 1 or model.shape[0] != 1:
        raise ValueError("a pixel_gru can be exported if it has one layer and one color")
    inputs = {"before": (0,), "above": (0,), "i": (), "h": (model.gru.hidden_size,)}
    whole = {"before": model.levels + 1, "above": model.levels + 1, "i": model.positions}
    return {"step": _with_class(model, Graph(GRUStep(model), inputs, ["logits", "h"], whole))}


def _gated(model: nn.Module) -> dict[str, Graph]:
    if model.context or model.shape[0] != 1:
        raise ValueError("a gated_pixelcnn can be exported if it has one color and no context")
    width, layers = model.shape[2], model.layers
    rows = {f"rows_{k}": (one.vertical.in_channels, one.reach + 1, width + 2 * one.reach) for k, one in
            enumerate(layers)}  # fmt: skip
    added = {f"added_{k}": (width, one.horizontal.c_out) for k, one in enumerate(layers)}
    windows = {f"window_{k}": (one.horizontal.row.shape[-1] - 1, one.horizontal.c_in) for k, one in enumerate(layers)}
    row = Graph(GatedRow(model), {"above": (0, width), "started": (), **rows}, [*rows, *added],
                {"above": model.levels, "started": 2})  # fmt: skip
    pixel = Graph(GatedPixel(model), {"before": (0,), "column": (), **windows, **added}, ["logits", *windows],
                  {"before": model.levels + 1, "column": width})  # fmt: skip
    return {"row": _with_class(model, row), "pixel": pixel}


def _vae(model: nn.Module) -> dict[str, Graph]:
    if model.autoregressive:
        raise ValueError("a vae with an autoregressive decoder cannot be exported: its decoder has a step of its own")
    return {"decode": _with_class(model, Graph(Decoder(model.decoder), {"z": (model.latents,)}, ["params"], {}))}


def _gan(model: nn.Module) -> dict[str, Graph]:
    return {"generate": _with_class(model, Graph(Decoder(model.generator), {"z": (model.latents,)}, ["image"], {}))}


def _with_class(model: nn.Module, graph: Graph) -> Graph:
    if not model.n_classes:
        return graph
    return graph._replace(inputs={**graph.inputs, "y": (0,)}, whole={**graph.whole, "y": model.n_classes})


FORMS: dict[str, Callable[[nn.Module], dict[str, Graph]]] = {
    "pixel_gru": _gru, "gated_pixelcnn": _gated, "vae": _vae, "gan": _gan, "dcgan": _gan,
}  # fmt: skip


# --- files -----------------------------------------------------------------------------------------------------------


def export(model: nn.Module, folder: Path | str, *, opset: int = 20) -> "Exported":
    """Write the graphs of a model as ONNX files, with a description as JSON, after their numbers have been compared.

    Args:
        model: one of `FORMS`, on the CPU in single precision.
        folder: it gets NAME.onnx for each graph, and model.json; what is there under these names is replaced.
        opset: of the operators, at least 18.

    Returns:
        The files, ready to run.

    Raises:
        ValueError: for a model that cannot be exported, or an opset too old. RuntimeError: ONNX Runtime computes other
            numbers, or draws other images; nothing is written. ImportError: a package is missing.
    """
    runtime = needs_runtime()
    if opset < OLDEST:
        raise ValueError(
            f"expected an opset of at least {OLDEST}, got {opset}: older ones lack operators of the graphs"
        )
    dtype = next(model.parameters()).dtype
    if dtype != torch.float32:
        raise ValueError(f"expected weights in single precision, got {dtype}; call model.float() first")
    folder, graphs = Path(folder), graphs_of(model)
    made, gaps = {}, {}
    for name, graph in graphs.items():
        made[name] = to_onnx(graph, opset)
        gaps[name] = parity(graph, runtime(made[name]))
        if not gaps[name] <= PARITY:
            raise RuntimeError(
                f"the graph {name!r} differs from the model by {gaps[name]:.1e} of its largest number, more than "
                f"{PARITY:.0e}, at a batch of {', '.join(map(str, BATCHES))}; nothing was written"
            )
    about = {
        "model": model.name, "shape": model.shape, "levels": model.levels, "n_classes": model.n_classes, "opset": opset,
        "parity": gaps,
        "graphs": {name: {"inputs": graph.inputs, "outputs": graph.outputs, "whole": graph.whole}
                   for name, graph in graphs.items()},
    }  # fmt: skip
    exported = Exported(about, {name: runtime(data) for name, data in made.items()})
    if hasattr(model, "step"):
        y = torch.arange(8) % model.n_classes if model.n_classes else None
        drawn = [one.sample(8, y, rng=torch.Generator().manual_seed(0)) for one in (model, exported)]
        if not torch.equal(*drawn):
            raise RuntimeError("the graphs draw other images than the model at equal uniforms; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        (folder / f"{name}.onnx").write_bytes(data)
    (folder / "model.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return exported


def to_onnx(graph: Graph, opset: int = 20) -> bytes:
    """An ONNX file whose batch is free."""
    import contextlib
    import inspect
    import io
    import logging
    import tempfile
    import warnings

    inputs = graph.example(BATCHES[0])
    batch = torch.export.Dim("n", min=1, max=4096)
    free = tuple({0: batch} if shape else None for shape in graph.inputs.values())
    kinds = [parameter.kind for parameter in inspect.signature(graph.module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:  # torch.export wants what *arguments take as a tuple of its own
        named = kinds.index(inspect.Parameter.VAR_POSITIONAL)
        free = (*free[:named], free[named:])
    for talker in ("onnxscript", "torch.onnx", "torch.onnx._internal.exporter._registration"):
        logging.getLogger(talker).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.module, inputs, dynamo=True, opset_version=opset, dynamic_shapes=free, verbose=False,
            input_names=list(graph.inputs), output_names=[f"{name}_next" if name in graph.inputs else name for name in
                                                          graph.outputs],
        )  # fmt: skip
        program.save(f"{folder}/graph.onnx", external_data=False)
        return Path(folder, "graph.onnx").read_bytes()


def parity(graph: Graph, session: Callable[[dict], list[np.ndarray]]) -> float:
    """The largest difference between a graph and its module, over the largest number of that output.

    Raises:
        RuntimeError: the batch with which it was traced is burnt into the graph.
    """
    worst = 0.0
    for n in BATCHES:
        inputs = graph.example(n, seed=n)
        with torch.no_grad():
            wanted = graph.module(*inputs)
        try:
            found = session(dict(zip(graph.inputs, (value.numpy() for value in inputs), strict=True)))
        except ValueError as error:
            raise RuntimeError(
                f"the graph was traced with a batch of {BATCHES[0]} and refuses one of {n}: {error}"
            ) from None
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for a, b in zip(wanted, found, strict=True):
            if a.shape != b.shape:
                return math.inf
            if a.numel():
                worst = max(worst, (a - torch.from_numpy(b)).abs().max().item() / max(a.abs().max().item(), 1e-30))
    return worst


def eight_bits(folder: Path | str, out: Path | str) -> "Exported":
    """Exported graphs with their matrices in eight bits, a scale for each row: smaller; faster where they are large.

    Args:
        folder: from `export`.
        out: the folder to write; what is there under the same names is replaced.
    """
    runtime, folder, out = needs_runtime(), Path(folder), Path(out)
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # it asks for a pass over the graph that ours do not need
    out.mkdir(parents=True, exist_ok=True)
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    for name in about["graphs"]:
        quantize_dynamic(folder / f"{name}.onnx", out / f"{name}.onnx", weight_type=QuantType.QInt8, per_channel=True)
    (out / "model.json").write_text(json.dumps({**about, "bits": 8}, indent=1) + "\n", encoding="utf-8")
    return Exported(about, {name: runtime(str(out / f"{name}.onnx")) for name in about["graphs"]})


def needs_runtime() -> Callable[[bytes | str], Callable[[dict], list[np.ndarray]]]:
    """A function that opens an ONNX file on one thread; ImportError with the command that installs what is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f'exporting needs {error.name}: pip install "garm-course[deploy]"') from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3

    def opened(file: bytes | str) -> Callable[[dict], list[np.ndarray]]:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        names = {one.name for one in session.get_inputs()}

        def run(values: dict) -> list[np.ndarray]:
            try:
                return session.run(None, {name: value for name, value in values.items() if name in names})
            except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument as error:
                raise ValueError(f"the graph does not take these inputs: {str(error).splitlines()[0]:.200}") from None

        return run

    return opened


class Exported:
    """Exported graphs, run by ONNX Runtime on one thread.

    Args:
        about: what model.json holds.
        sessions: for each graph a function from inputs by name to outputs.
    """

    def __init__(self, about: dict, sessions: dict[str, Callable[[dict], list[np.ndarray]]]):
        self.about, self.sessions = about, sessions

    @classmethod
    def open(cls, folder: Path | str) -> "Exported":
        """The graphs of a folder that `export` wrote."""
        runtime, folder = needs_runtime(), Path(folder)
        if not (folder / "model.json").is_file():
            raise ValueError(f"{folder} holds no model.json; write one with: garm export NAME --out {folder}")
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return cls(about, {name: runtime(str(folder / f"{name}.onnx")) for name in about["graphs"]})

    def run(self, graph: str, values: dict) -> dict[str, np.ndarray]:
        """Outputs of one graph by name."""
        return dict(zip(self.about["graphs"][graph]["outputs"], self.sessions[graph](values), strict=True))

    def logits(self, n: int, y: Tensor | None = None) -> Callable[[np.ndarray | None], np.ndarray]:
        """A function that is told the values (n,) of the position before (None at first) and gives the next parameters
        of the output head, (n, n_params)."""
        return {"pixel_gru": _GRULoop, "gated_pixelcnn": _GatedLoop}[self.about["model"]](self, n, y).step

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, *, rng: torch.Generator | None = None) -> Tensor:
        """Draw images as `model.sample` does, from the same uniforms: LongTensor (n, *shape).

        Raises:
            TypeError: for graphs of a decoder or a generator: give latents to `run`.
        """
        if "z" in next(iter(self.about["graphs"].values()))["inputs"]:
            raise TypeError("these graphs take latents; draw them and give them to run")
        check_classes(y, n, self.about["n_classes"])
        shape = tuple(self.about["shape"])
        d = math.prod(shape)
        (u,) = position_uniforms(_Fixed, n, d, rng, torch.zeros(1))
        step, head, x, values = self.logits(n, y), output_head(self.about["levels"]), None, []
        for i in range(d):
            x = head.sample(head.of(torch.from_numpy(step(x))), u[i]).numpy()
            values.append(x)
        return torch.from_numpy(np.stack(values, 1)).view(n, *shape)

    @torch.no_grad()
    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x) in nats (B,), step by step: what rounding the weights of a graph costs shows here."""
        step, before, total = self.logits(len(x), y), None, torch.zeros(len(x), dtype=torch.float64)
        head = output_head(self.about["levels"])
        for column in x.flatten(1).T:
            total += head.log_prob(head.of(torch.from_numpy(step(before)).double()), column)
            before = column.numpy()
        return total


class _Fixed:
    """What `position_uniforms` asks a model."""

    elastic = False


class _GRULoop:
    """The state of a GRU while images are drawn."""

    def __init__(self, exported: Exported, n: int, y: Tensor | None):
        self.exported, self.width, self.levels = exported, exported.about["shape"][2], exported.about["levels"]
        size = exported.about["graphs"]["step"]["inputs"]["h"][0]
        self.h, self.past, self.n = np.zeros((n, size), np.float32), [], n
        self.y = {} if y is None else {"y": y.numpy()}

    def step(self, before: np.ndarray | None) -> np.ndarray:
        """(n,) -> logits (n, levels)."""
        outside = np.full(self.n, self.levels)
        if before is not None:
            self.past.append(before)
        i = len(self.past)
        above = self.past[i - self.width] if i >= self.width else outside
        values = {"before": outside if before is None else before, "above": above, "i": np.array(i), "h": self.h}
        out = self.exported.run("step", {**values, **self.y})
        self.h = out["h"]
        return out["logits"]


class _GatedLoop:
    """The state of a Gated PixelCNN while images are drawn."""

    def __init__(self, exported: Exported, n: int, y: Tensor | None):
        self.exported, self.n = exported, n
        self.width, self.levels = exported.about["shape"][2], exported.about["levels"]
        graphs = exported.about["graphs"]
        zeros = lambda graph, name: np.zeros((n, *graphs[graph]["inputs"][name]), np.float32)  # noqa: E731
        self.rows = {name: zeros("row", name) for name in graphs["row"]["inputs"] if name.startswith("rows")}
        self.empty = {name: zeros("pixel", name) for name in graphs["pixel"]["inputs"] if name.startswith("window")}
        self.row, self.started = np.zeros((n, self.width), np.int64), 0
        self.y, self.column = ({} if y is None else {"y": y.numpy()}), 0

    def step(self, before: np.ndarray | None) -> np.ndarray:
        """(n,) -> logits (n, levels)."""
        if before is not None:
            self.row[:, self.column - 1] = before
        if self.column in (0, self.width):
            values = {"above": self.row, "started": np.array(self.started), **self.rows, **self.y}
            out = self.exported.run("row", values)
            self.rows = {name: out[name] for name in self.rows}
            self.added = {name: value for name, value in out.items() if name.startswith("added")}
            self.windows, self.column, self.started, before = self.empty, 0, 1, None
        outside = np.full(self.n, self.levels)
        values = {"before": outside if before is None else before, "column": np.array(self.column)}
        out = self.exported.run("pixel", {**values, **self.windows, **self.added})
        self.windows = {name: out[name] for name in self.windows}
        self.column += 1
        return out["logits"]
