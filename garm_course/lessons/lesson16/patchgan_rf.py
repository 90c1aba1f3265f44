"""The receptive field of a critic of patches; equation (16.5)."""

from collections.abc import Callable
from math import prod

import torch

from garm_course.adversarial.cyclegan import patch_receptive_field
from garm_course.exercises.edges import plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def patchgan_rf(layers: list[tuple[int, int]]) -> int:
    """Pixels in a row that one score depends on; layers are (kernel, stride), the first one first."""
    return patch_receptive_field(layers)


def _back(step: Callable[[int, int, int], int], start: int = 1, layers_of: Callable = lambda layers: layers[::-1]):
    """The recursion r <- step(r, k, s) from the output back, or over the layers in another order."""

    def answer(layers):
        r = start
        for k, s in layers_of(layers):
            r = step(r, k, s)
        return r

    return answer


def _grow(r: int, k: int, s: int) -> int:
    return s * r + (k - s)


def _jumps(own: bool):
    """Forward, with the product of the strides of earlier layers, or with that of the layer itself in it."""

    def answer(layers):
        r, jump = 1, 1
        for k, s in layers:
            r, jump = r + (k - 1) * jump * (s if own else 1), jump * s
        return r

    return answer


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


def _drawn(n: int, seed: int) -> list[tuple[int, int]]:
    """n layers with kernels 2 to 6 and strides 1 to 3."""
    kernels, strides = (random(n, seed=seed + k).abs().mul(2).long().clamp(max=top) for k, top in enumerate((4, 2)))
    return [(2 + k, 1 + s) for k, s in torch.stack([kernels, strides], 1).tolist()]


PAPER = [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)]

EXERCISE = Exercise(
    name="patchgan_rf",
    lesson="16",
    reference=patchgan_rf,
    rule="Start with r = 1 at the output and go back through the layers: r <- s r + (k - s).",
    probes=[
        plain([(4, 3), (5, 2), (3, 1), (7, 4)]),
        *map(same, (PAPER, [(4, 2), (4, 1), (4, 1)], [(3, 1)], [(1, 1), (3, 2), (1, 2), (4, 1)], [(2, 3), (1, 1)])),
        same(_drawn(6, seed=1)),
        same(_drawn(3, seed=3)),
    ],
    mistakes=[
        (_back(_grow, layers_of=list), "It goes forward through the layers: begin with the last one, and go back."),
        (_back(lambda r, k, s: r + k - 1), "The strides are ignored: behind a stride of 2 a step counts two pixels."),
        (_jumps(own=True), "The layer's own stride counts for its own kernel: only the strides of earlier layers do."),
        (_back(_grow, start=0), "It starts with r = 0: the score itself is one place, r = 1."),
        (_back(lambda r, k, s: s * r + k), "The overlap is missing: neighbors share k - s pixels, so s r + (k - s)."),
        (_back(lambda r, k, s: s * r + (k - 1)), "k - 1 is right only for stride 1: s r + (k - s)."),
        (_back(lambda r, k, s: s * r + (s - k)), "The sign of k - s is wrong: a larger kernel sees more."),
        (_back(lambda r, k, s: s * (r + k - s)), "s multiplies the whole sum: s r + (k - s)."),
        (_back(lambda r, k, s: s * r), "Kernels are ignored: this is the stride of the whole critic. s r + (k - s)."),
        (_back(lambda r, k, s: k * r + (s - k)), "Kernel and stride are swapped: layers are (kernel, stride)."),
        (lambda layers: patchgan_rf(layers) ** 2, "This is the number of pixels of the patch: its side is asked for."),
        (_back(_grow, layers_of=lambda layers: layers[:0:-1]), "The first layer is left out."),
        (
            _back(_grow, layers_of=lambda layers: layers[-2::-1] if layers[1:] else []),
            "The last layer, which puts out the score, is left out.",
        ),
        (lambda layers: 70, "70 is the answer for the paper's layers only: compute it from the layers."),
    ],
    accepts=[_jumps(own=False), _products, _recursive, _interval],
    speed=Speed(lambda: ([(3, 1), (2, 2), (5, 1)] * 6,)),
)
