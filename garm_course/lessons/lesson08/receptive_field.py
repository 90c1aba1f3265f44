"""How many inputs one output of a stack of dilated convolutions depends on; equation (8.2)."""

from collections.abc import Callable, Sequence
from math import prod

from garm_course.autoregressive import wavenet
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def receptive_field(k: int, dilations: Sequence[int]) -> int:
    """Inputs that one output of a stack of causal convolutions depends on: 1 + (k - 1) (sum of the dilations)."""
    return wavenet.receptive_field(k, tuple(dilations))


def _of(formula: Callable[[int, int, int], int]):
    """An answer from k, the sum of the dilations and their number."""
    return lambda k, dilations: formula(k, sum(dilations), len(dilations))


def _by_loop(k: int, dilations: Sequence[int]) -> int:
    r = 1
    for d in dilations:
        r += (k - 1) * d
    return r


def _by_places(k: int, dilations: Sequence[int]) -> int:
    seen = {0}
    for d in dilations:
        seen = {t - j * d for t in seen for j in range(k)}
    return max(seen) - min(seen) + 1


def _recursive(k: int, dilations: Sequence[int]) -> int:
    return 1 if not dilations else (k - 1) * dilations[-1] + _recursive(k, dilations[:-1])


ALL_LAYERS = tuple(2**i for i in range(10))
DRAWN = tuple((1 + 3 * random(5, seed=8).abs()).long().tolist())

EXERCISE = Exercise(
    name="receptive_field",
    lesson="08",
    reference=receptive_field,
    rule="One output sees itself, and each layer adds (k - 1) d inputs further back: 1 + (k - 1) (sum of d).",
    probes=[
        plain(3, (2, 3, 7, 3, 4)),
        same(3, (1, 2, 4)),
        same(2, ALL_LAYERS),
        same(2, (1, 2, 4, 8, 16, 32) * 2),
        same(5, (7, 3)),
        same(3, DRAWN),
        edge(same(3, ()), "Right except without layers: then an output is its input, and the answer is 1."),
        edge(same(1, (1, 2, 4)), "Right except for k = 1: a kernel of one tap adds nothing, and the answer is 1."),
    ],
    mistakes=[
        (_of(lambda k, s, n: k * s), "A kernel of k taps spans (k - 1) d steps, and the output's own place adds 1."),
        (_of(lambda k, s, n: (k - 1) * s), "The output's own place is missing: 1 + (k - 1) (sum of d)."),
        (_of(lambda k, s, n: 1 + k * s), "Between k taps lie k - 1 gaps, so a layer adds (k - 1) d, not k d."),
        (
            lambda k, d: 1 + (k - 1) * prod(d),
            "The dilations are multiplied. Each layer reads (k - 1) d inputs further back, so they add up.",
        ),
        (lambda k, d: prod(d), "This is the product of the dilations: every layer adds (k - 1) d, plus 1 at the end."),
        (
            lambda k, d: 1 + (k - 1) * max(d, default=0),
            "Only the largest dilation counts here, but the layers are stacked: their reaches add up.",
        ),
        (
            lambda k, d: 1 + (k - 1) * (d[-1] if d else 0),
            "Only the last layer counts here. It reads the layers below it, so all reaches add up.",
        ),
        (
            _of(lambda k, s, n: 1 + 2 * (k - 1) * s),
            "This counts both sides. A causal convolution reads the past only, so nothing is doubled.",
        ),
        (_of(lambda k, s, n: 1 + (k - 1) * n), "The dilations are ignored: a layer adds (k - 1) d inputs, not k - 1."),
        (
            _of(lambda k, s, n: k**n),
            "This holds for dilations 1, k, k^2, ... alone: add up the dilations that are given.",
        ),
        (
            _of(lambda k, s, n: 2**n),
            "This holds for k = 2 and dilations 1, 2, 4, ... alone: add up the dilations that are given.",
        ),
        (
            _of(lambda k, s, n: 1 + (k - 1) * (2**n - 1)),
            "The dilations are taken for 1, 2, 4, ...: add up those that are given.",
        ),
        (
            _of(lambda k, s, n: (k - 1) * s + n),
            "The output's own place is counted once in each layer. It is one place for the whole stack.",
        ),
        (
            _of(lambda k, s, n: 1 + (k - 1) * s + n),
            "One input too many in each layer: a layer adds (k - 1) d and nothing else.",
        ),
        (_of(lambda k, s, n: (k - 1) * (s + 1)), "The 1 is inside the parentheses: it is added once, at the end."),
        (_of(lambda k, s, n: k + (k - 1) * s), "It starts with k. Without any layer the answer is 1, so start there."),
        (_of(lambda k, s, n: 1 + s), "The kernel size is ignored: this holds for k = 2 alone."),
        (
            lambda k, d: 1 + (k - 1) * sum(set(d)),
            "Equal dilations count once here, but each layer adds its own reach: two cycles see twice as far.",
        ),
        (lambda k, d: 1 + (k - 1) * sum(d[:-1]), "The last layer is left out of the sum."),
        (lambda k, d: 1 + (k - 1) * sum(d[1:]), "The first layer is left out of the sum."),
        (lambda k, d: 1024, "1024 is the answer for the paper's ten layers only: compute it from k and the dilations."),
    ],
    accepts=[_by_loop, _by_places, _recursive],
    speed=Speed(lambda: (2, [1, 2] * 100)),
)
