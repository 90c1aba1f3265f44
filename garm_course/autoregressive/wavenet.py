"""WaveNet: sound sample after sample, from a stack of dilated causal convolutions.

Each layer doubles how far back the stack sees, so that a few layers reach over a period of the sound. Its units
multiply a tanh with a sigmoid gate; what they say is added to the stream that the next layer reads, and to the output.

`forward` computes all conditionals in parallel. While a sound is drawn, a layer needs only the inputs that it can still
read, which a ring buffer holds: a sample costs two matrix products a layer, however long the sound is.

Sources: van den Oord et al. (2016), "WaveNet: A Generative Model for Raw Audio", arXiv 1609.03499; Paine et al. (2016),
"Fast Wavenet Generation Algorithm", arXiv 1611.09482.
"""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.autoregressive.layers.causal_conv1d import RingBuffer
from garm_course.autoregressive.pixelcnn import gated_activation
from garm_course.autoregressive.sampling.loop import one_thread
from garm_course.autoregressive.sequences import SequenceModel
from garm_course.inputs import check_settings
from garm_course.models import configured
from garm_course.transforms import mu_law_decode


def receptive_field(kernel: int, dilations: tuple[int, ...]) -> int:
    """How many inputs an output of a stack of causal convolutions reads, 1 + (k - 1) sum_l d_l; equation (8.2).

    Args:
        kernel: taps k of each layer, at least 1.
        dilations: distance d_l of the taps in each layer, at least 1.

    Raises:
        ValueError: for a size below 1, or one that is no integer.

    Example:
        >>> receptive_field(2, (1, 2, 4, 8, 16, 32, 64, 128, 256, 512))
        1024
    """
    check_settings(1, whole=True, kernel=kernel)
    for dilation in dilations:
        check_settings(1, whole=True, dilation=dilation)
    return 1 + (kernel - 1) * sum(dilations)


class Gate(nn.Linear):
    """The dilated causal convolution of a layer into tanh and sigmoid, its weights one matrix, the oldest tap first.

    A matrix is what Muon trains, and what one step of a ring buffer multiplies with.
    """

    def __init__(self, channels: int, kernel: int, dilation: int):
        super().__init__(kernel * channels, 2 * channels)
        self.in_channels, self.dilation, self.reach = channels, (dilation,), (kernel - 1) * dilation

    def forward(self, h: Tensor, bias: Tensor | None = None) -> Tensor:
        """(B, C, T), and (B, 2C) that is added -> (B, C, T) in (-1, 1)."""
        kernel = self.taps().unflatten(0, (-1, self.in_channels)).permute(2, 1, 0)  # (2C, C, k)
        z = F.conv1d(F.pad(h, (self.reach, 0)), kernel, self.bias, dilation=self.dilation)
        return gated_activation(z if bias is None else z + bias.unsqueeze(-1))

    def taps(self) -> Tensor:
        """(k C, 2C), see `CausalConv1d.taps`."""
        return self.weight.T


class WaveNet(SequenceModel):
    """A gated residual stack of dilated causal convolutions over mu-law levels of sound, any length.

    A value is read as an embedding of its level, of which a part is linear in the level and in the amplitude that it
    stands for. The class is a bias in every gate. A `y` may also be FloatTensor (B, n_classes), weights with which the
    biases of the classes are mixed: half and half of two notes asks for something between them.

    Args:
        shape: (T,), the number of samples that it is trained on.
        levels: of a sample, encoded with `mu_law_encode(x, levels - 1)`.
        n_classes: 0, or the number of classes (notes) of a class-conditional model.
        channels: features of the stream, and of each gate.
        skip: features that all layers add up for the output.
        kernel: taps of each layer.
        dilations: distance of the taps, layer by layer.
        dropout: probability of dropping a gated feature.

    Attributes:
        reach: samples before it that a prediction sees, `receptive_field(kernel, dilations)`.

    Raises:
        ValueError: for sizes below 1, or no layer.

    Source:
        van den Oord et al. (2016), arXiv 1609.03499, sections 2.1 to 2.5. The layers before the output have a bias,
        the residual connections and the skips of single layers have none.

    Example:
        >>> model = WaveNet((100,), 256, 3, channels=8, skip=8, dilations=(1, 2, 4))
        >>> model.reach, model.sample(2, torch.tensor([0, 2]), length=5).shape
        (8, torch.Size([2, 5]))
    """

    name = "wavenet"
    looks_ahead = 32

    @configured
    def __init__(
        self, shape, levels, n_classes=0, *, channels=32, skip=64, kernel=2, dilations=(1, 2, 4, 8, 16, 32) * 2,
        dropout=0.0,
    ):  # fmt: skip
        super().__init__(shape, levels, n_classes)
        check_settings(1, whole=True, channels=channels, skip=skip, layers=len(dilations))
        self.channels, self.reach = channels, receptive_field(kernel, dilations)
        self.embed = nn.Embedding(levels + 1, channels)
        self.scales = nn.Linear(2, channels, bias=False)
        q = torch.arange(levels)
        scales = torch.stack([2 * q / (levels - 1) - 1, mu_law_decode(q, levels - 1)], 1)
        self.register_buffer("values", F.pad(scales, (0, 0, 0, 1)), persistent=False)  # (levels + 1, 2); begin: zeros
        self.gates = nn.ModuleList(Gate(channels, kernel, d) for d in dilations)
        self.residuals = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in dilations[1:])
        self.classes = nn.Embedding(n_classes, len(dilations) * 2 * channels) if n_classes else None
        self.skips = nn.ModuleList([nn.Linear(len(dilations) * channels, skip), nn.Linear(skip, skip)])
        self.head_out = nn.Linear(skip, self.head.n_params)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See `Autoregressive.forward`. y may be FloatTensor (B, n_classes), see the class."""
        self.check_examples(x)
        self.check_classes(y, len(x))
        h = F.embedding(self.shifted(x), self.inputs()).mT  # (B, C, T): the sample before each
        said = []
        for i, (gate, bias) in enumerate(zip(self.gates, self.class_biases(y), strict=True)):
            if i:
                h = h + F.conv1d(said[-1], self.residuals[i - 1].weight.unsqueeze(-1))
            said.append(self.dropout(gate(h, bias)))
        return self.read_out(self.skips[0](torch.cat(said, 1).mT))  # the skips of all layers in one product

    def inputs(self) -> Tensor:
        """(levels + 1, C): what the stack reads of each level, and of the token before the first sample."""
        return self.embed.weight + self.scales(self.values)

    def class_biases(self, y: Tensor | None) -> list[Tensor | None]:
        """What each gate adds for the classes, (B, 2C) a layer; None for a model without classes."""
        if y is None:
            return [None] * len(self.gates)
        mixed = y.is_floating_point()
        biases = y.to(self.classes.weight.dtype) @ self.classes.weight if mixed else self.classes(y)
        return list(biases.chunk(len(self.gates), 1))

    def read_out(self, skips: Tensor) -> Tensor:
        """What all layers add up to (..., S) -> (..., n_params), at least float32."""
        return self.head.of(self.head_out(F.relu(self.skips[1](F.relu(skips)))))

    def check_classes(self, y: Tensor | None, n: int) -> None:
        """Refuse what is neither classes (n,) nor their weights (n, n_classes)."""
        if not self.n_classes or not isinstance(y, Tensor) or not y.is_floating_point():
            super().check_classes(y, n)
        elif tuple(y.shape) != (n, self.n_classes):
            raise ValueError(
                f"expected y: classes LongTensor ({n},), or weights of classes FloatTensor ({n}, {self.n_classes}), "
                f"got floats of shape {tuple(y.shape)}; give one class, or one row of weights, per example"
            )

    def place(self, i: int) -> str:
        """ "sample 301"."""
        return f"sample {i}"

    # While a sound is drawn

    @torch.no_grad()
    def start(self, n: int, y: Tensor | None = None, *, length: int | None = None) -> SimpleNamespace:
        """Empty ring buffers for n sounds of classes y; see `step`."""
        self.check_classes(y, n)
        self.shape_of(length)
        inputs = self.inputs()
        state = SimpleNamespace(n=n, inputs=inputs, layers=[], said=inputs.new_zeros(n, self.skips[0].in_features))
        residuals = [layer.weight.T for layer in self.residuals] + [None]  # nothing reads the stream after the last
        places = state.said.split(self.channels, 1)  # of what each layer says
        for gate, bias, residual, said in zip(self.gates, self.class_biases(y), residuals, places, strict=True):
            ring = RingBuffer(gate, n, block=self.looks_ahead)
            ring.bias = ring.bias if bias is None else ring.bias + bias  # (n, 2C)
            state.layers.append((ring, residual, said))
        return state

    @torch.no_grad()
    def step(self, state: SimpleNamespace, i: int, x_prev: Tensor | None) -> Tensor:
        """See `Autoregressive.step`: the same lines as `forward`, for one sample."""
        with one_thread(state.n * self.channels):
            h = self._read(state, x_prev)
            for ring, residual, said in state.layers:
                ring.t = i
                a, b = ring.step(h).chunk(2, 1)
                torch.mul(a.tanh_(), b.sigmoid_(), out=said)
                if residual is not None:
                    h = torch.addmm(h, said, residual)
            return self.read_out(self.skips[0](state.said))

    @torch.no_grad()
    def look_ahead(self, state: SimpleNamespace, i: int, x_prev: Tensor | None, guesses: Tensor) -> Tensor:
        """See `Autoregressive.look_ahead`: a few samples in one pass."""
        if len(guesses) >= self.looks_ahead:
            raise ValueError(f"expected at most {self.looks_ahead - 1} guesses, got {len(guesses)}")
        with one_thread(state.n * (len(guesses) + 1) * self.channels):
            h, said = torch.cat([self._read(state, x_prev), state.inputs[guesses.flatten()]]), []  # (m n + n, C)
            for ring, residual, _ in state.layers:
                ring.t = i
                said.append(gated_activation(ring.row(h.unflatten(0, (-1, state.n))).flatten(0, 1)))
                if residual is not None:
                    h = torch.addmm(h, said[-1], residual)
            return self.read_out(self.skips[0](torch.cat(said, 1))).unflatten(0, (-1, state.n))

    def _read(self, state: SimpleNamespace, x: Tensor | None) -> Tensor:
        """What the stack reads of values x (n,), or of the token before the first: (n, C)."""
        return state.inputs[-1:].expand(state.n, -1) if x is None else state.inputs[x]
