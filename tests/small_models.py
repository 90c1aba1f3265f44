"""Every autoregressive model of the library, small enough to enumerate: a new one is audited once it is named."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from garm_course.autoregressive.clips import ClipModel
from garm_course.autoregressive.images import ImageModel
from garm_course.autoregressive.layers.causal_conv1d import CausalConv1d
from garm_course.autoregressive.sequences import SequenceModel
from garm_course.models import CLASSES, configured, model_class


class TokenConv(SequenceModel):
    """A smallest model of sequences: one causal convolution over embedded tokens, drawn from a ring of their inputs."""

    name = "token_conv"
    looks_ahead = 5

    @configured
    def __init__(self, shape, levels, n_classes=0, *, width=6, taps=4, dropout=0.0):
        super().__init__(shape, levels, n_classes)
        self.reach = taps
        self.embed = nn.Embedding(levels + 1, width)
        self.conv = CausalConv1d(width, width, taps)
        self.out = nn.Linear(width, self.head.n_params)
        self.classes = nn.Embedding(n_classes, width) if n_classes else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, y=None):
        self.check_examples(x)
        self.check_classes(y, len(x))
        h = self.conv(self.embed(self.shifted(x)).mT).mT  # (B, T, width)
        h = h if y is None else h + self.classes(y).unsqueeze(1)
        return self.head.of(self.out(self.dropout(F.elu(h))))

    # While a sequence is drawn

    def start(self, n, y=None, *, length=None):
        self.check_classes(y, n)
        self.shape_of(length)
        slots = self.conv.reach + max(
            self.looks_ahead, 1
        )  # a guess must not replace what the row of guesses still reads
        ring = self.embed.weight.detach().new_zeros(slots, n, self.embed.embedding_dim)
        return SimpleNamespace(ring=ring, classes=0 if y is None else self.classes(y))

    def step(self, state, i, x_prev):
        return self.look_ahead(state, i, x_prev, torch.empty(0, state.ring.shape[1], dtype=torch.long))[0]

    @torch.no_grad()
    def look_ahead(self, state, i, x_prev, guesses):
        first = torch.full_like(state.ring[0, :, 0], self.levels).long() if x_prev is None else x_prev
        inputs = torch.cat([first[None], guesses])
        assert len(inputs) <= max(self.looks_ahead, 1)
        at = torch.arange(i, i + len(inputs))
        state.ring[at % len(state.ring)] = self.embed(inputs)
        window = state.ring[(at[:, None] + torch.arange(-self.conv.reach, 1)) % len(state.ring)]
        h = torch.einsum("mknc,ock->mno", window, self.conv.weight) + self.conv.bias + state.classes
        return self.head.of(self.out(F.elu(h)))


MODELS = tuple(cls for cls in map(model_class, CLASSES) if issubclass(cls, ImageModel))
ANY_ORDER = tuple(cls for cls in MODELS if cls.name in ("fvsbn", "made", "nade"))
SEQUENCES = (TokenConv, *(cls for cls in map(model_class, CLASSES) if issubclass(cls, SequenceModel)))

CLIPS = tuple(cls for cls in map(model_class, CLASSES) if issubclass(cls, ClipModel))


def small_options(cls, colors):
    """Constructor arguments of a small model of this class."""
    return {
        "fvsbn": {},
        "made": {"hidden": (20, 17)},
        "nade": {"hidden": 7},
        "pixel_gru": {"hidden": 9, "layers": 2},
        "row_lstm": {"channels": 2 * colors, "layers": 2, "first_kernel": 5},
        "diagonal_bilstm": {"channels": 2 * colors, "layers": 2, "first_kernel": 3},
        "pixelcnn": {"channels": 4 * colors, "layers": 2},
        "gated_pixelcnn": {"channels": 4 * colors, "layers": 2},
        "pixelcnnpp": {"channels": 6, "blocks": 1, "scales": 3, "mixtures": 2},
        "photo_pixelcnnpp": {"channels": 6, "blocks": 1, "scales": 3, "mixtures": 2, "contrast": 1},
        "token_conv": {},
        "char_transformer": {"width": 8},
        "pixel_transformer": {"width": 8, "layers": 2, "heads": 2},
        "ngram": {},
        "token_lstm": {"hidden": 8},
        "wavenet": {"channels": 6, "skip": 5, "dilations": (1, 2, 1)},
        "frame_pixelcnn": {"channels": 4 * colors, "layers": 1, "first_kernel": 3, "speed": 1},
    }[cls.name]


def small_model(cls, shape, levels, n_classes=0, *, dtype=torch.float64, scale=2, **options):
    """A random model in evaluation mode, its weights far from the start, where everything is nearly uniform."""
    torch.manual_seed(1)
    dropout = {} if cls.name == "ngram" else {"dropout": 0.3}
    model = cls(shape, levels, n_classes, **{**dropout, **small_options(cls, shape[0]), **options})
    if cls.name == "ngram":
        model.fit_counts(torch.randint(levels, (300, 20)), torch.arange(300) % n_classes if n_classes else None)
    with torch.no_grad():
        for parameter in model.parameters():
            if scale != 1 and not parameter.any():  # outputs that start at zero, behind which nothing would be seen
                parameter.normal_(0, 0.3)
            parameter.mul_(scale)
    return model.to(dtype).eval()
