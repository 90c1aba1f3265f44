"""WaveNet's stack of gated, dilated convolutions with residual and skip connections; equation (8.4)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.attempt import Attempt
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson08.causal_conv1d import causal_conv1d

Layer = tuple[int, Tensor, Tensor, Tensor, Tensor]  # dilation, (2 C, C, k), (B, 2 C), (C, C), (S, C)


def residual_stack(h: Tensor, layers: list[Layer]) -> Tensor:
    """Features (B, C, T) through gated layers -> the sum of their skip outputs, (B, S, T)."""
    total = 0
    for dilation, w, bias, residual, skip in layers:
        a, b = (causal_conv1d(h, w, dilation) + bias.unsqueeze(-1)).chunk(2, 1)
        z = a.tanh() * b.sigmoid()
        total = total + skip @ z
        h = h + residual @ z
    return total


def _variant(
    gate: Callable[[Tensor, Tensor], Tensor] = lambda a, b: a.tanh() * b.sigmoid(),
    conv: Callable[[Tensor, Tensor, int], Tensor] = causal_conv1d,
    after: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda h, r, z: h + r @ z,
    tap: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = lambda s, z, new, old: s @ z,
    total: Callable[[list[Tensor]], Tensor] = sum,
    with_bias: Callable[[Tensor, Tensor], Tensor] = lambda u, bias: u + bias.unsqueeze(-1),
):
    """The stack with one part replaced."""

    def answer(h: Tensor, layers: list[Layer]) -> Tensor:
        skips = []
        for dilation, w, bias, residual, skip in layers:
            z = gate(*with_bias(conv(h, w, dilation), bias).chunk(2, 1))
            old, h = h, after(h, residual, z)
            skips.append(tap(skip, z, h, old))
        return total(skips)

    return answer


def _both_sides(h: Tensor, w: Tensor, d: int) -> Tensor:
    reach = (w.shape[-1] - 1) * d
    return F.conv1d(F.pad(h, (reach // 2, reach - reach // 2)), w, dilation=d)


def _shifted(h: Tensor, w: Tensor, d: int) -> Tensor:
    return F.pad(causal_conv1d(h, w, d)[..., :-1], (1, 0))


def _interleaved(h: Tensor, layers: list[Layer]) -> Tensor:
    total = 0
    for dilation, w, bias, residual, skip in layers:
        u = causal_conv1d(h, w, dilation) + bias[..., None]
        z = u[:, ::2].tanh() * u[:, 1::2].sigmoid()
        total, h = total + skip @ z, h + residual @ z
    return total


def _in_place(h: Tensor, layers: list[Layer]) -> Tensor:
    total = 0
    for dilation, w, bias, residual, skip in layers:
        a, b = (causal_conv1d(h, w, dilation) + bias.unsqueeze(-1)).chunk(2, 1)
        z = a.tanh() * b.sigmoid()
        total = total + skip @ z
        h += residual @ z
    return total


def _parallel(h: Tensor, layers: list[Layer]) -> Tensor:
    return sum(residual_stack(h, [layer]) for layer in layers)


def _by_conv(h: Tensor, layers: list[Layer]) -> Tensor:
    skips = []
    for dilation, w, bias, residual, skip in layers:
        reach = (w.shape[-1] - 1) * dilation
        u = F.conv1d(h, w, padding=reach, dilation=dilation)[..., : h.shape[-1]]
        u = u + bias.reshape(len(h), -1, 1)
        z = torch.tanh(u[:, : h.shape[1]]) * torch.sigmoid(u[:, h.shape[1] :])
        skips.append(F.conv1d(z, skip[..., None]))
        h = h + F.conv1d(z, residual.unsqueeze(-1))
    return torch.stack(skips).sum(0)


def _by_recursion(h: Tensor, layers: list[Layer]) -> Tensor:
    (dilation, w, bias, residual, skip), *rest = layers
    a, b = (causal_conv1d(h, w, dilation) + bias[:, :, None]).chunk(2, dim=1)
    z = torch.tanh(a) * torch.sigmoid(b)
    out = torch.einsum("sc,bct->bst", skip, z)
    return out + _by_recursion(h + torch.einsum("oc,bct->bot", residual, z), rest) if rest else out


def _time_last(h: Tensor, layers: list[Layer]) -> Tensor:
    total = None
    for dilation, w, bias, residual, skip in layers:
        a, b = torch.split((causal_conv1d(h, w, dilation).mT + bias[:, None]).mT, h.shape[1], 1)
        z = (a.tanh() * b.sigmoid()).mT
        out = F.linear(z, skip).mT
        total = out if total is None else total + out
        h = h + F.linear(z, residual).mT
    return total


def _stack(n: int, c: int, s: int, k: int, dilations: tuple[int, ...], seed: int) -> list[Layer]:
    """Layers for n sounds, with weights of the size of one over the root of the inputs."""
    return [
        (
            d,
            random(2 * c, c, k, seed=seed + 4 * i) / (c * k) ** 0.5,
            random(n, 2 * c, seed=seed + 4 * i + 1) / 2,
            random(c, c, seed=seed + 4 * i + 2) / c**0.5,
            random(s, c, seed=seed + 4 * i + 3) / c**0.5,
        )
        for i, d in enumerate(dilations)
    ]


def _reach(attempt: Attempt) -> None:
    """The last output depends on the last 1 + (k - 1) (sum of d) inputs and on no earlier one."""
    layers, h = _stack(1, 4, 5, 2, (1, 2, 4), seed=80), random(1, 4, 14, seed=79)
    out = attempt.call(h, layers)[..., -1]
    seen = []
    for t in range(14):
        other = h.clone()
        other[..., t] += 0.5
        seen.append(not torch.allclose(attempt.call(other, layers)[..., -1], out, rtol=0, atol=1e-12))
    attempt.require(
        seen == [False] * 6 + [True] * 8,
        f"With k = 2 and dilations 1, 2, 4 an output depends on {sum(seen)} inputs; (8.2) says 8.",
    )


def _float32(layers: list[Layer]) -> list[Layer]:
    return [(d, *(w.float() for w in weights)) for d, *weights in layers]


WIDE = random(2, 4, 11, seed=30), _stack(2, 4, 4, 2, (1, 2, 4), seed=31)
ONE_LAYER = "Right for several layers, but with a single one the answer is that layer's skip output, S z."

EXERCISE = Exercise(
    name="residual_stack",
    lesson="08",
    reference=residual_stack,
    rule="In each layer u = the causal convolution of h plus the bias, and z = tanh(first half of u) * sigmoid(second "
    "half of u). Add skip @ z to the sum that is returned, then h becomes h + residual @ z.",
    probes=[
        plain(*WIDE),
        plain(random(3, 4, 9, seed=40), _stack(3, 4, 6, 3, (1, 3), seed=51)),
        same(  # the example of the text
            torch.tensor([[[1.0, 2.0]]]),
            [(1, torch.tensor([[[0.0, 1.0]], [[0.0, 0.0]]]), torch.zeros(1, 2), *torch.ones(2, 1, 1))],
        ),
        edge(same(random(2, 3, 7, seed=60), _stack(2, 3, 5, 2, (2,), seed=61)), ONE_LAYER, ONE_LAYER),
        same(random(1, 2, 6, seed=66), _stack(1, 2, 3, 2, (1, 2), seed=67)),
        _reach,
        same(*WIDE, grad=True),
        same(random(2, 4, 11, seed=94).float(), _float32(_stack(2, 4, 3, 2, (1, 2, 4), seed=95))),
    ],
    axes=("sound", "channel", "time"),
    rtol=1e-5,
    atol=1e-6,
    mistakes=[
        (
            _variant(tap=lambda s, z, new, old: s @ new),
            "The skip output is computed from the new h. It reads the gate's output: skip @ z.",
        ),
        (
            _variant(tap=lambda s, z, new, old: s @ old),
            "The skip output is computed from the layer's input. It reads the gate's output: skip @ z.",
        ),
        (_variant(total=lambda skips: skips[-1]), "Only the last layer's skip output is returned: add up all of them."),
        (_variant(total=lambda skips: skips[0]), "Only the first layer's skip output is returned: add up all of them."),
        (
            _variant(total=lambda skips: sum(skips) / len(skips)),
            "The mean of the skip outputs is returned: (8.4) has their sum.",
        ),
        (
            _variant(total=lambda skips: torch.cat(skips, 1)),
            "The skip outputs are joined along the channels: add them up.",
        ),
        (
            _variant(after=lambda h, r, z: r @ z),
            "The residual connection is missing: h is replaced. Add residual @ z to it.",
        ),
        (
            _variant(after=lambda h, r, z: h),
            "h never changes, so every layer reads the input of the first: add residual @ z to it.",
        ),
        (_variant(after=lambda h, r, z: h + z), "The matrix `residual` is not used: add residual @ z, not z itself."),
        (
            _variant(gate=lambda a, b: b.tanh() * a.sigmoid()),
            "The halves are exchanged: tanh of the first C channels, sigmoid of the second C.",
        ),
        (
            _variant(gate=lambda a, b: a * b.sigmoid()),
            "This is a gated linear unit: the tanh on the first half is missing.",
        ),
        (
            _variant(gate=lambda a, b: a.tanh() * b),
            "The sigmoid on the second half is missing: a gate lies between 0 and 1.",
        ),
        (_variant(gate=lambda a, b: a.tanh() + b.sigmoid()), "The halves are added: a gate multiplies."),
        (_variant(gate=lambda a, b: a.relu() * b.sigmoid()), "The first half takes tanh, not ReLU."),
        (
            _interleaved,
            "Even and odd channels are taken for the halves: the first half is the first C channels, chunk(2, 1).",
        ),
        (
            _variant(conv=lambda h, w, d: causal_conv1d(h, w, 1)),
            "The dilations are ignored: with k = 2 and dilations 1, 2, 4 the reach is then 4 instead of 8.",
        ),
        (
            _variant(conv=_both_sides),
            "The convolution is padded on both sides, so it reads the future: use causal_conv1d.",
        ),
        (
            _variant(conv=_shifted),
            "Every layer shifts by one step more. The model shifts once, at its input; a layer reads its own place.",
        ),
        (
            _variant(conv=lambda h, w, d: causal_conv1d(h, w.flip(-1), d)),
            "The kernels are reversed: w[..., -1] meets the newest input, as in causal_conv1d.",
        ),
        (
            _variant(after=lambda h, r, z: h + r.T @ z, tap=lambda s, z, new, old: s @ z),
            "`residual` is transposed: (C, C) has the outputs in its rows, so residual @ z.",
        ),
        (
            _variant(with_bias=lambda u, bias: u),
            "The bias is not used, so the network does not hear which note it plays: add bias[..., None] to u.",
        ),
        (
            _variant(with_bias=lambda u, bias: u + bias[:1].unsqueeze(-1)),
            "Every sound gets the bias of the first one: bias is (B, 2C), one row a sound, so add bias[..., None].",
        ),
        (
            _variant(with_bias=lambda u, bias: u * (1 + bias.unsqueeze(-1))),
            "The bias multiplies the convolution: add it.",
        ),
        (
            _variant(after=lambda h, r, z: h - r @ z),
            "The residual output is subtracted: add residual @ z to h.",
        ),
        (
            _variant(after=lambda h, r, z: (h + r @ z) / 2**0.5),
            "The stream is divided by the root of 2, as some implementations do: (8.4) adds and does not scale.",
        ),
        (
            lambda h, layers: residual_stack(h, [(d, w, b, s, r) for d, w, b, r, s in layers]),
            "`residual` and `skip` are exchanged: the tuple is (dilation, w, bias, residual, skip).",
        ),
        (_in_place, "h is changed in place with +=: write h = h + residual @ z."),
        (
            lambda h, layers: residual_stack(h, layers[::-1]),
            "The layers run from the last to the first: the first in the list reads h.",
        ),
    ],
    accepts=[_by_conv, _by_recursion, _time_last],
    speed=Speed(lambda: (torch.randn(2, 32, 1000), _float32(_stack(2, 32, 64, 2, (1, 2, 4, 8, 16, 32), seed=1)))),
)
