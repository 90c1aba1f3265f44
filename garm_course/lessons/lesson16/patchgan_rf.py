"""The receptive field of a critic of patches; equation (16.5)."""

from collections.abc import Callable
from math import prod

from garm_course.adversarial.cyclegan import patch_receptive_field
from garm_course.exercises.registry import Exercise, Speed, same


def patchgan_rf(layers: list[tuple[int, int]]) -> int:
    """Pixels in a row that one score depends on; layers are (kernel, stride), the first one first."""
    return patch_receptive_field(layers)


def _back(step: Callable[[int, int, int], int], start: int = 1):
    """The recursion from the output back with another step r <- step(r, k, s)."""

    def answer(layers):
        r = start
        for k, s in layers[::-1]:
            r = step(r, k, s)
        return r

    return answer


def _forward(layers):
    r = 1
    for k, s in layers:
        r = s * r + (k - s)
    return r


def _no_strides(layers):
    return 1 + sum(k - 1 for k, _ in layers)


def _jumps(layers):
    r, jump = 1, 1
    for k, s in layers:
        r, jump = r + (k - 1) * jump, jump * s
    return r


def _jump_first(layers):
    r, jump = 1, 1
    for k, s in layers:
        jump = jump * s
        r = r + (k - 1) * jump
    return r


def _products(layers):
    return 1 + sum((k - 1) * prod(s for _, s in layers[:i]) for i, (k, _) in enumerate(layers))


def _recursive(layers):
    if not layers:
        return 1
    (k, s), rest = layers[0], layers[1:]
    return s * (_recursive(rest) - 1) + k


def _interval(layers):
    first, last = 0, 0
    for k, s in reversed(layers):
        first, last = first * s, last * s + k - 1
    return last - first + 1


PAPER = [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)]
LONG = [(3, 1), (2, 2), (5, 1)] * 6

EXERCISE = Exercise(
    name="patchgan_rf",
    lesson="16",
    reference=patchgan_rf,
    rule="Start with r = 1 at the output and go back through the layers: r <- s r + (k - s).",
    probes=[
        same(PAPER),  # 70
        same([(4, 2), (4, 1), (4, 1)]),  # 16
        same([(3, 1)]),  # 3
        same([(3, 3), (5, 2), (2, 1), (7, 4)]),
        same([(1, 1), (3, 2), (1, 2), (4, 1)]),
    ],
    mistakes=[
        (_forward, "It goes forward through the layers: start at the output, with the last layer, and go back."),
        (_no_strides, "The strides are ignored: behind a stride of 2 every step counts two pixels."),
        (_jump_first, "The layer's own stride counts for its own kernel: only the strides of earlier layers do."),
        (
            _back(lambda r, k, s: s * r + (k - s), start=0),
            "It starts with r = 0: the score itself is one place, r = 1.",
        ),
        (_back(lambda r, k, s: s * r + k), "The overlap is missing: neighbors share k - s pixels, so s r + (k - s)."),
        (_back(lambda r, k, s: s * r + (k - 1)), "k - 1 is right only for stride 1: s r + (k - s)."),
        (_back(lambda r, k, s: s * r + (s - k)), "The sign of k - s is wrong: a larger kernel sees more."),
        (
            _back(lambda r, k, s: s * r),
            "Kernels are ignored, so this is the stride of the whole critic: s r + (k - s).",
        ),
        (_back(lambda r, k, s: k * r + (s - k)), "Kernel and stride are swapped: layers are (kernel, stride)."),
        (_back(lambda r, k, s: k * r), "The kernels are multiplied: r grows by the overlap, s r + (k - s)."),
        (lambda layers: max(k for k, _ in layers), "This is the largest kernel: layers add up."),
        (lambda layers: sum(k for k, _ in layers), "The kernels are summed, strides are ignored: s r + (k - s)."),
        (
            lambda layers: patch_receptive_field(layers) ** 2,
            "This is the number of pixels of the patch: its side is asked for.",
        ),
        (
            lambda layers: patch_receptive_field(layers) // 2,
            "This is the distance to each side: the whole width is asked.",
        ),
        (lambda layers: patch_receptive_field(layers[1:] or [(1, 1)]), "The first layer is left out."),
        (
            lambda layers: patch_receptive_field(layers[:-1] or [(1, 1)]),
            "The last layer, which puts out the score, is left out.",
        ),
        (lambda layers: 70, "70 is the answer for the paper's layers only: compute it from the layers."),
    ],
    accepts=[_jumps, _products, _recursive, _interval],
    speed=Speed(lambda: (LONG,)),
)
