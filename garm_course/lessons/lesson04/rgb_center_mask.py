"""Which color of a pixel may see which, at the center of a masked kernel."""

import torch
from torch import Tensor

from garm_course.autoregressive.layers.causal_conv import rgb_center_mask
from garm_course.exercises.edges import edge
from garm_course.exercises.registry import Exercise, Speed, same


def _color(feature: int, features: int) -> int:
    return feature * 3 // features


def _earlier(i: float, o: float, b: bool) -> bool:
    return i < o or (b and i == o)


def _by(visible=_earlier, source=_color, target=_color):
    """An answer from a rule on (color of the input, color of the output, whether the kind is B)."""

    def answer(c_in: int, c_out: int, kind: str) -> Tensor:
        colors = [source(i, c_in) for i in range(c_in)]
        return torch.tensor([[float(visible(i, target(o, c_out), kind == "B")) for i in colors] for o in range(c_out)])

    return answer


def _without_diagonal(c_in, c_out, kind):
    mask = rgb_center_mask(c_in, c_out, "B")
    return mask.fill_diagonal_(0) if kind == "A" else mask


def _loop(c_in, c_out, kind):
    mask = torch.zeros(c_out, c_in, dtype=torch.int64)
    for o in range(c_out):
        for i in range(c_in):
            color_in, color_out = i // (c_in // 3), o // (c_out // 3)
            if color_in < color_out or (kind == "B" and color_in == color_out):
                mask[o, i] = 1
    return mask


def _kron(c_in, c_out, kind):
    return torch.kron(torch.ones(3, 3).tril(-1 if kind == "A" else 0), torch.ones(c_out // 3, c_in // 3))


def _blocks(c_in, c_out, kind):
    i, o = c_in // 3, c_out // 3
    mask = torch.zeros(c_out, c_in)
    for color in range(3):
        mask[color * o : (color + 1) * o, : (color + (kind == "B")) * i] = 1
    return mask


EXERCISE = Exercise(
    name="rgb_center_mask",
    lesson="04",
    reference=rgb_center_mask,
    rule=(
        "Rows are output features, columns input features, both in groups RR..GG..BB... Kind A shows an output the "
        "colors before its own, kind B also its own."
    ),
    probes=[
        same(3, 3, "A"),  # the example of the text
        same(3, 3, "B"),
        same(6, 6, "B"),
        same(3, 6, "A"),
        same(3, 9, "B"),
        same(12, 6, "A"),
        same(9, 3, "B"),
        same(6, 12, "B"),
        same(9, 15, "A"),
        edge(same(33, 48, "B"), "Right for a few features, not for many: any number that is divisible by 3 may come."),
        edge(
            same(3, 3, "A"),
            "Right at first, wrong in a later call: a tensor that was kept was changed. Make a new one.",
        ),
    ],
    axes=("output", "input"),
    any_dtype=True,
    mistakes=[
        (
            lambda i, o, kind: rgb_center_mask(i, o, "B" if kind == "A" else "A"),
            "A and B are swapped: A hides a feature's own color (it is what is predicted), B shows it.",
        ),
        (lambda i, o, kind: rgb_center_mask(i, o, "A"), "Both kinds hide the own color: kind B shows it."),
        (
            lambda i, o, kind: rgb_center_mask(i, o, "B"),
            "Your mask lets a color see itself in kind A: red would be predicted from red.",
        ),
        (
            lambda *args: rgb_center_mask(*args).T,
            "Transposed: a row is an output feature, a column an input feature, as in a convolution's weight.",
        ),
        (
            lambda i, o, kind: rgb_center_mask(o, i, kind),
            "c_in and c_out are swapped: the shape is (c_out, c_in), a row is an output feature.",
        ),
        (
            lambda *args: rgb_center_mask(*args).flip(0, 1),
            "Colors see later colors (order B, G, R, or the inequality turned around): R comes first, then G, then B.",
        ),
        (
            _by(source=lambda i, n: i % 3, target=lambda o, n: o % 3),
            "Your colors alternate RGBRGB.. (% 3, repeat). They come in groups RR..GG..BB.. (//, repeat_interleave).",
        ),
        (_by(source=lambda i, n: i % 3), "The input features alternate RGBRGB..: they come in groups RR..GG..BB.."),
        (_by(target=lambda o, n: o % 3), "The output features alternate RGBRGB..: they come in groups RR..GG..BB.."),
        (
            _by(source=lambda i, n: i // 3, target=lambda o, n: o // 3),
            "feature // 3 makes groups of three. There are three groups, of c_in // 3 and c_out // 3 features.",
        ),
        (
            _by(source=lambda i, n: i, target=lambda o, n: o),
            "Feature by feature instead of color by color: all features of a color are treated alike.",
        ),
        (
            _by(source=lambda i, n: i / (n / 3), target=lambda o, n: o / (n / 3)),
            "The colors come out as fractions: they are 0, 1 and 2 only with the whole quotient, i // (c_in // 3).",
        ),
        (
            _without_diagonal,
            "fill_diagonal_ hides single features. Kind A hides the whole block of a color: 3 blocks, not a diagonal.",
        ),
        (
            lambda i, o, kind: rgb_center_mask(i, o, "A").fill_diagonal_(float(kind == "B")),
            "fill_diagonal_ shows single features. Kind B shows the whole block of a color: 3 blocks, not a diagonal.",
        ),
        (
            _by(lambda i, o, b: b and i <= o),
            "Kind A is zero everywhere: green may see red, and blue may see red and green.",
        ),
        (
            _by(lambda i, o, b: b or i < o),
            "Kind B is one everywhere: red must not see green and blue, and green must not see blue.",
        ),
        (
            _by(lambda i, o, b: b),
            "This is the rule for gray pixels (A nothing, B everything). With colors, R comes before G before B.",
        ),
        (
            _by(lambda i, o, b: i == o if b else i < o),
            "Kind B shows only the own color: it shows the earlier colors as well.",
        ),
        (
            _by(lambda i, o, b: i == o),
            "Each color sees only itself: A shows the colors before it, B those and its own.",
        ),
        (
            _by(lambda i, o, b: i == o - 1 or (b and i == o)),
            "Blue sees green but not red: *all* earlier colors are visible.",
        ),
        (
            _by(lambda i, o, b: i != o or b),
            "Only the own color is hidden in kind A, and nothing in kind B: later colors must be hidden in both.",
        ),
        (
            lambda c_in, c_out, kind: _by(target=lambda o, n: _color(o, c_in))(c_in, c_out, kind),
            "The outputs are divided into groups of c_in // 3: their groups have c_out // 3 features.",
        ),
        (
            lambda c_in, c_out, kind: _by(source=lambda i, n: _color(i, c_out))(c_in, c_out, kind),
            "The inputs are divided into groups of c_out // 3: their groups have c_in // 3 features.",
        ),
        (
            lambda *args: 1 - rgb_center_mask(*args),
            "0 and 1 are swapped: 1 stands for visible, because the mask multiplies the weights.",
        ),
        (
            lambda i, o, kind: rgb_center_mask(3, 3, kind),
            "This is the 3 x 3 table of colors: repeat each entry for all features of the two colors.",
        ),
    ],
    accepts=[
        _loop,
        _kron,
        _blocks,
        _by(),
        lambda *args: _kron(*args).bool(),
        lambda c_in, c_out, kind: (
            torch.ones(3, 3, dtype=torch.float64)
            .tril(-1 if kind == "A" else 0)
            .repeat_interleave(c_out // 3, 0)
            .repeat_interleave(c_in // 3, 1)
        ),
    ],
    speed=Speed(lambda: (96, 192, "B"), seconds=2.0),
)
