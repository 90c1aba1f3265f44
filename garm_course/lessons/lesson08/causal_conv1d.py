"""A convolution over time that reads nothing later than its own place; equation (8.3)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.attempt import Attempt
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def causal_conv1d(x: Tensor, w: Tensor, dilation: int) -> Tensor:
    """(B, C_in, T) and (C_out, C_in, k) -> (B, C_out, T); output t reads inputs t, t - d, ..., t - (k - 1) d."""
    return F.conv1d(F.pad(x, ((w.shape[-1] - 1) * dilation, 0)), w, dilation=dilation)


def _padded(left: Callable[[int, int], int], right: Callable[[int, int], int] = lambda k, d: 0):
    """The convolution with left(k, d) and right(k, d) zeros, whatever the length of its output."""

    def answer(x: Tensor, w: Tensor, dilation: int) -> Tensor:
        k = w.shape[-1]
        return F.conv1d(F.pad(x, (left(k, dilation), right(k, dilation))), w, dilation=dilation)

    return answer


def _trimmed(x: Tensor, w: Tensor, dilation: int) -> Tensor:
    return F.conv1d(x, w, padding=(w.shape[-1] - 1) * dilation, dilation=dilation)[..., : x.shape[-1]]


def _shifts(x: Tensor, w: Tensor, dilation: int) -> Tensor:
    k, t = w.shape[-1], x.shape[-1]
    y = x.new_zeros(x.shape[0], w.shape[0], t)
    for j in range(k):
        back = (k - 1 - j) * dilation
        if back < t:
            y[..., back:] += torch.einsum("oi,bit->bot", w[..., j], x[..., : t - back])
    return y


def _sliding(x: Tensor, w: Tensor, dilation: int) -> Tensor:
    span = (w.shape[-1] - 1) * dilation + 1
    windows = torch.cat([x.new_zeros(*x.shape[:2], span - 1), x], -1).unfold(-1, span, 1)  # (B, C_in, T, span)
    return torch.einsum("bitk,oik->bot", windows[..., ::dilation], w)


def _rolled(x: Tensor, w: Tensor, dilation: int) -> Tensor:
    k = w.shape[-1]
    return sum(torch.einsum("oi,bit->bot", w[..., j], x.roll((k - 1 - j) * dilation, -1)) for j in range(k))


def _repeated_edge(x: Tensor, w: Tensor, dilation: int) -> Tensor:
    return F.conv1d(F.pad(x, ((w.shape[-1] - 1) * dilation, 0), mode="replicate"), w, dilation=dilation)


def _same(x: Tensor, w: Tensor, dilation: int) -> Tensor:
    total = (w.shape[-1] - 1) * dilation
    return F.conv1d(F.pad(x, (total // 2, total - total // 2)), w, dilation=dilation)


def _past_only(attempt: Attempt) -> None:
    """No later input changes an earlier output."""
    x, w = random(2, 3, 11, seed=21), random(4, 3, 2, seed=22)
    changed = x.clone()
    changed[..., 6:] += 1.0
    a, b = attempt.call(x, w, 3), attempt.call(changed, w, 3)
    attempt.require(
        torch.equal(a[..., :6], b[..., :6]),
        "Inputs from time 6 on were changed, and outputs before time 6 changed with them.",
        "An output depends on a later input: pad on the left only.",
    )


def _layer(n: int, c_in: int, c_out: int, k: int, t: int, seed: int) -> tuple[Tensor, Tensor]:
    return random(n, c_in, t, seed=seed), random(c_out, c_in, k, seed=seed + 1)


SQUARE = *_layer(2, 3, 3, 3, 12, seed=1), 2
LONG = (
    "Right except where the reach is longer than the sound: the zeros in front are (k - 1) d whatever T is, and all T "
    "outputs come back."
)

EXERCISE = Exercise(
    name="causal_conv1d",
    lesson="08",
    reference=causal_conv1d,
    rule="Put (k - 1) * dilation zeros in front of the sound and none behind it; then output t reads inputs t, t - d, "
    "..., t - (k - 1) d, and w[..., -1] meets input t.",
    probes=[
        plain(*SQUARE),
        plain(*_layer(2, 3, 4, 2, 9, seed=3), 3),
        same(*_layer(3, 2, 5, 4, 10, seed=5), 1),
        same(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[10.0, 1.0]]]), 2),  # the example of the text
        same(*_layer(2, 3, 4, 1, 7, seed=7), 2),
        same(*_layer(1, 1, 1, 2, 5, seed=9), 1),
        edge(same(*_layer(2, 3, 4, 3, 4, seed=11), 5), LONG, LONG),
        edge(same(*_layer(1, 2, 3, 3, 1, seed=13), 2), LONG, LONG),
        _past_only,
        same(*SQUARE, grad=True),
        same(*(a.float() for a in _layer(2, 3, 4, 2, 9, seed=15)), 2),
    ],
    axes=("sound", "channel", "time"),
    rtol=1e-5,
    atol=1e-6,
    mistakes=[
        (
            _same,
            "The zeros are split between both ends, as padding='same' does: half of the reach lies in the future. Put "
            "all of them in front.",
        ),
        (
            _padded(lambda k, d: 0, lambda k, d: (k - 1) * d),
            "The outputs read the future: put the zeros in front, F.pad(x, (left, right)), or pad both sides and keep "
            "the first T outputs, not the last.",
        ),
        (
            _padded(lambda k, d: k - 1),
            "k - 1 zeros are enough for dilation 1 only: the oldest tap lies (k - 1) * dilation back.",
        ),
        (_padded(lambda k, d: k * d), "One dilation too many in front: the reach is (k - 1) * dilation, not k times."),
        (
            lambda x, w, d: _padded(lambda k, d: k * d)(x, w, d)[..., : x.shape[-1]],
            "The output is shifted by one dilation, so it no longer sees its own input: k * dilation zeros are one "
            "dilation too many.",
        ),
        (
            lambda x, w, d: F.conv1d(x, w, padding=(w.shape[-1] - 1) * d, dilation=d),
            "The output is longer than the sound: padding=... puts zeros on both sides. Cut off what comes after T.",
        ),
        (
            _padded(lambda k, d: 0),
            "Without zeros the output is shorter than the sound: put (k - 1) * dilation in front.",
        ),
        (
            lambda x, w, d: causal_conv1d(x, w.flip(-1), d),
            "The kernel is reversed: w[..., 0] meets the oldest input and w[..., -1] the newest, as F.conv1d does it.",
        ),
        (
            lambda x, w, d: causal_conv1d(x, w, 1),
            "The dilation is ignored: pass dilation=dilation to F.conv1d, and pad for it.",
        ),
        (
            lambda x, w, d: F.conv1d(F.pad(x, ((w.shape[-1] - 1) * d, 0)), w),
            "The zeros count the dilation, and the convolution does not: pass dilation=dilation.",
        ),
        (
            lambda x, w, d: F.conv1d(F.pad(x, ((w.shape[-1] - 1) * d, 0)), w, stride=d),
            "This is a stride, which leaves outputs out. A dilation spreads the taps: dilation=dilation.",
        ),
        (
            lambda x, w, d: F.pad(causal_conv1d(x, w, d)[..., :-1], (1, 0)),
            "The output is one step late: the shift by one is at the input of the model, not in every layer.",
        ),
        (
            lambda x, w, d: causal_conv1d(x.flip(-1), w, d).flip(-1),
            "Time runs backward: an output reads its own input and later ones. Only earlier ones may be read.",
        ),
        (
            _rolled,
            "torch.roll goes around, so the beginning reads the end. Before the first sample there are zeros.",
        ),
        (
            _repeated_edge,
            "The first sample is repeated in front of the sound. Before the first sample there are zeros.",
        ),
        (
            lambda x, w, d: causal_conv1d(x, w.transpose(0, 1), d),
            "The axes of w are exchanged: w is (C_out, C_in, k), as F.conv1d expects it.",
        ),
        (
            lambda x, w, d: F.conv_transpose1d(x, w, dilation=d),
            "F.conv_transpose1d spreads each input over later outputs. A convolution gathers: F.conv1d.",
        ),
        (
            lambda x, w, d: F.conv1d(F.pad(x, (0, 0, (w.shape[-1] - 1) * d, 0)), w, dilation=d),
            "The zeros went to the channels: F.pad takes pairs from the last axis on, and time is the last axis.",
        ),
        (
            lambda x, w, d: causal_conv1d(x, w, d)[..., -1],
            "Only the last output is returned: the answer has one for each of the T inputs.",
        ),
        (
            lambda x, w, d: causal_conv1d(x[:1], w, d).expand(len(x), -1, -1),
            "Every sound of the batch gets the result of the first one.",
        ),
    ],
    accepts=[_trimmed, _shifts, _sliding],
    speed=Speed(lambda: (torch.randn(8, 32, 1000), torch.randn(64, 32, 2), 32)),
)
