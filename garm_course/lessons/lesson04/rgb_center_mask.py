"""Which color of a pixel may see which, at the center of a masked kernel."""

import torch
from torch import Tensor

from garm_course.autoregressive.layers.causal_conv import rgb_center_mask
from garm_course.exercises.registry import Exercise, Speed, same


def _other(kind: str) -> str:
    return {"A": "B", "B": "A"}[kind]


def _by_colors(c_in: int, c_out: int, visible, source=None, target=None) -> Tensor:
    """A mask from a rule on (color of the input, color of the output); `source`, `target` give a feature's color."""
    source, target = source or (lambda i: i * 3 // c_in), target or (lambda o: o * 3 // c_out)
    return torch.tensor([[float(visible(source(i), target(o))) for i in range(c_in)] for o in range(c_out)])


def _earlier(kind: str):
    return (lambda i, o: i < o) if kind == "A" else (lambda i, o: i <= o)


def _without_diagonal(c_in, c_out, kind):
    mask = rgb_center_mask(c_in, c_out, "B")
    return mask.fill_diagonal_(0) if kind == "A" else mask


def _loop_colors(c_in, c_out, kind):
    mask = torch.zeros(c_out, c_in, dtype=torch.int64)
    for o in range(c_out):
        for i in range(c_in):
            color_in, color_out = i // (c_in // 3), o // (c_out // 3)
            if color_in < color_out or (kind == "B" and color_in == color_out):
                mask[o, i] = 1
    return mask


def _kron_colors(c_in, c_out, kind):
    return torch.kron(torch.ones(3, 3).tril(-1 if kind == "A" else 0), torch.ones(c_out // 3, c_in // 3))


def _block_colors(c_in, c_out, kind):
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
        same(3, 3, "A"),
        same(6, 6, "B"),
        same(3, 6, "A"),
        same(3, 9, "B"),
        same(12, 6, "A"),
        same(9, 3, "B"),
        same(6, 12, "B"),
    ],
    axes=("output", "input"),
    any_dtype=True,
    mistakes=[
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_out, _other(kind)),
            "A and B are swapped: A hides a feature's own color (it is what is predicted), B shows it.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_out, "A"),
            "Both kinds hide the own color: kind B shows it.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_out, "B"),
            "Your mask lets a color see itself in kind A: red would be predicted from red.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_out, kind).T,
            "Transposed: a row is an output feature, a column an input feature, as in a convolution's weight.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_out, c_in, kind),
            "c_in and c_out are swapped: the shape is (c_out, c_in), a row is an output feature.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_out, kind).flip(0, 1),
            "Colors see later colors (order B, G, R, or the inequality turned around): R comes first, then G, then B.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_out, kind).flip(0),
            "The outputs are in the order B, G, R: the first rows are red and see the least.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_out, kind).flip(1),
            "The inputs are in the order B, G, R: the first columns are red and are seen the most.",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, _earlier(kind), lambda i: i % 3, lambda o: o % 3),
            "Your colors alternate RGBRGB.. (feature % 3). Here they come in groups RR..GG..BB..",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, _earlier(kind), lambda i: i % 3),
            "The input features alternate RGBRGB..: both sides come in groups RR..GG..BB..",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, _earlier(kind), None, lambda o: o % 3),
            "The output features alternate RGBRGB..: both sides come in groups RR..GG..BB..",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, _earlier(kind), lambda i: i // 3, lambda o: o // 3),
            "feature // 3 makes groups of three. There are three groups, of c_in // 3 and c_out // 3 features.",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, _earlier(kind), lambda i: i, lambda o: o),
            "Feature by feature instead of color by color: all features of a color are treated alike.",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(
                c_in, c_out, _earlier(kind), lambda i: i / (c_in / 3), lambda o: o / (c_out / 3)
            ),
            "The colors come out as fractions: they are 0, 1 and 2 only with the whole quotient, i // (c_in // 3).",
        ),
        (
            _without_diagonal,
            "fill_diagonal_ hides single features. Kind A hides the whole block of a color: 3 blocks, not a diagonal.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_out, kind) * (kind == "B"),
            "Kind A is zero everywhere: green may see red, and blue may see red and green.",
        ),
        (
            lambda c_in, c_out, kind: torch.ones(c_out, c_in) if kind == "B" else rgb_center_mask(c_in, c_out, kind),
            "Kind B is one everywhere: red must not see green and blue, and green must not see blue.",
        ),
        (
            lambda c_in, c_out, kind: torch.full((c_out, c_in), float(kind == "B")),
            "This is the rule for gray pixels (A nothing, B everything). With colors, R comes before G before B.",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, lambda i, o: i == o and kind == "B"),
            "Each color sees only itself, in kind B: the colors before it must be visible, in both kinds.",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, lambda i, o: i == o if kind == "B" else i < o),
            "Kind B shows only the own color: it shows the earlier colors as well.",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, lambda i, o: i == o),
            "Each color sees only itself: A shows the colors before it, B those and its own.",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, lambda i, o: i == o - 1 or (i == o and kind == "B")),
            "Blue sees green but not red: *all* earlier colors are visible.",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, lambda i, o: i != o or kind == "B"),
            "Only the own color is hidden in kind A, and nothing in kind B: later colors must be hidden in both.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_in, kind),
            "c_in is used for both sides: the rows are c_out output features.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_out, c_out, kind),
            "c_out is used for both sides: the columns are c_in input features.",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, _earlier(kind), None, lambda o: o * 3 // c_in),
            "The outputs are divided into groups of c_in // 3: their groups have c_out // 3 features.",
        ),
        (
            lambda c_in, c_out, kind: _by_colors(c_in, c_out, _earlier(kind), lambda i: i * 3 // c_out),
            "The inputs are divided into groups of c_out // 3: their groups have c_in // 3 features.",
        ),
        (lambda c_in, c_out, kind: torch.ones(c_out, c_in), "Nothing is masked: later colors are visible."),
        (
            lambda c_in, c_out, kind: torch.zeros(c_out, c_in),
            "Everything is masked: the earlier colors must be 1.",
        ),
        (
            lambda c_in, c_out, kind: 1 - rgb_center_mask(c_in, c_out, kind),
            "0 and 1 are swapped: 1 stands for visible, because the mask multiplies the weights.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_out, kind).log(),
            "This mask is to be added (0 and -inf). Here it multiplies the weights: 1 visible, 0 hidden.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(c_in, c_out, kind)[..., None, None],
            "The mask is right, but has two axes too many: return (c_out, c_in), for the center of the kernel.",
        ),
        (
            lambda c_in, c_out, kind: rgb_center_mask(3, 3, kind),
            "This is the 3 x 3 table of colors: repeat each entry for all features of the two colors.",
        ),
    ],
    accepts=[
        _loop_colors,
        _kron_colors,
        _block_colors,
        lambda c_in, c_out, kind: _kron_colors(c_in, c_out, kind).bool(),
        lambda c_in, c_out, kind: (
            torch.ones(3, 3, dtype=torch.float64)
            .tril(-1 if kind == "A" else 0)
            .repeat_interleave(c_out // 3, 0)
            .repeat_interleave(c_in // 3, 1)
        ),
    ],
    speed=Speed(lambda: (96, 192, "B"), seconds=2.0),
)
