"""One step of a causal, dilated convolution with a buffer of the inputs before; equation (6.2)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.layers.causal_conv1d import conv_step
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import edge, first, plain, worded
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def _sum(taps: Tensor, w: Tensor) -> Tensor:
    return torch.einsum("bik,oik->bo", taps, w)


def _with(y: Callable[[Tensor, Tensor, int], Tensor] | None = None, new: Callable[[Tensor, int], object] | None = None):
    """The right step with another y(window, w, dilation), or another buffer new(window, dilation)."""

    def answer(x_t: Tensor, buf: Tensor, w: Tensor, dilation: int) -> tuple:
        window = torch.cat([buf, x_t[..., None]], -1)
        out = _sum(window[..., ::dilation], w) if y is None else y(window, w, dilation)
        return out, window[..., 1:] if new is None else new(window, dilation)

    return answer


def _from(window: Callable[[Tensor, Tensor], Tensor], new: Callable[[Tensor], Tensor]):
    """Both results from another window(x, buf), x of shape (B, C_in, 1)."""

    def answer(x_t: Tensor, buf: Tensor, w: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
        inputs = window(x_t[..., None], buf)
        return _sum(inputs[..., ::dilation], w), new(inputs)

    return answer


def _then(change: Callable[[Tensor, Tensor], object]):
    """The right results, changed at the end."""
    return lambda x_t, buf, w, dilation: change(*conv_step(x_t, buf, w, dilation))


def _pushed(x: Tensor, buf: Tensor) -> Tensor:
    return torch.cat([buf, x], -1)[..., 1:]


def _output_pushed(x_t: Tensor, buf: Tensor, w: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    y = conv_step(x_t, buf, w, dilation)[0]
    return y, torch.cat([buf, y[..., None]], -1)[..., 1:]


def _last_of(moved: Callable[[Tensor], Tensor]):
    """x_t written to the last place of a moved copy."""

    def answer(x_t: Tensor, buf: Tensor, w: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
        y, new = conv_step(x_t, buf, w, dilation)[0], moved(buf)
        new[..., -1] = x_t
        return y, new

    return answer


def _by_loop(x_t: Tensor, buf: Tensor, w: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    k = w.shape[-1]
    y = x_t @ w[..., -1].T
    for j in range(k - 1):
        y = y + buf[..., j * dilation] @ w[..., j].T
    return y, torch.cat([buf, x_t.unsqueeze(-1)], -1)[..., 1:]


def _by_roll(x_t: Tensor, buf: Tensor, w: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    y = x_t @ w[..., -1].T + _sum(buf[..., ::dilation], w[..., :-1])
    new = buf.roll(-1, -1)
    new[..., -1:] = x_t[..., None]
    return y, new


def _from_newest(x_t: Tensor, buf: Tensor, w: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    window = torch.cat([buf, x_t[..., None]], -1)
    y = _sum(window.flip(-1)[..., ::dilation], w.flip(-1))
    return y, window[..., window.shape[-1] - buf.shape[-1] :].clone()


def _by_index(x_t: Tensor, buf: Tensor, w: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    window = torch.cat([buf, x_t[..., None]], 2)
    taps = window[:, :, dilation * torch.arange(w.shape[-1])]
    return F.linear(taps.flatten(1), w.flatten(1)), window[:, :, 1:]


def _layer(n: int, c_in: int, c_out: int, k: int, dilation: int, dtype: torch.dtype = torch.float64) -> tuple:
    """Arguments for n sequences."""
    shapes = (n, c_in), (n, c_in, (k - 1) * dilation), (c_out, c_in, k)
    return *(random(*shape, seed=i).to(dtype) for i, shape in enumerate(shapes)), dilation


def _steps(x: Tensor, w: Tensor, dilation: int):
    """The probe: all x (B, C_in, T), one after the other, from a buffer of zeros; each step gets what the last left."""
    args = x, x.new_zeros(*x.shape[:2], (w.shape[-1] - 1) * dilation), w, dilation

    def drive(step: Callable, x: Tensor, buf: Tensor, w: Tensor, dilation: int) -> object:
        out = []
        for x_t in x.unbind(-1):
            result = step(x_t, buf, w, dilation)
            if type(result) not in (tuple, list) or len(result) != 2:
                return result
            out.append(result[0])
            buf = result[1]
        return torch.stack(out, -1), buf

    def probe(attempt: Attempt) -> None:
        try:
            attempt.run(*args, use=drive)
        except Refused as refused:
            call = f"conv_step(x_t, buf, w, {dilation}), {x.shape[-1]} steps from a buffer of zeros"
            raise Refused(str(refused).replace(attempt.describe(args), call)) from refused

    return probe


K_1 = (
    "Right except for k = 1: the buffer is empty then, before and after. Join first, then drop one, [..., 1:]: the "
    "last 0, [..., -0:], would be everything, and x_t joined to an empty one is one input."
)
K_1_RAISES = (
    "Right except for k = 1: the buffer is empty then, so no place of it can be read or written. Joining with "
    "torch.cat needs no special case."
)
ONE = (
    "Right except where there is one example or one channel: squeeze() without an axis removes that axis as well. Say "
    "which one, squeeze(-1), or take [..., 0]."
)
# As many channels out as in: axes of w that are exchanged fit as well.
SQUARE = _layer(2, 3, 3, k=3, dilation=3)
EXAMPLE = torch.tensor([[3.0]]), torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[10.0, 1.0]]]), 2

EXERCISE = Exercise(
    name="conv_step",
    lesson="06",
    reference=conv_step,
    rule="buf and x_t, oldest first, are the window; w[..., j] meets its input j * dilation, so w[..., -1] meets x_t; "
    "y sums over input channels and taps. The new buffer is the window without its oldest input.",
    probes=[
        worded(probe, "y", "the new buffer")
        for probe in (
            plain(*SQUARE, values=False),
            plain(*SQUARE, use=first),
            plain(*SQUARE),
            same(*_layer(2, 3, 4, k=3, dilation=1)),
            same(*_layer(2, 3, 5, k=3, dilation=2)),
            same(*_layer(4, 2, 3, k=2, dilation=3)),
            edge(same(*_layer(2, 3, 4, k=1, dilation=2)), K_1, K_1_RAISES),
            edge(same(*EXAMPLE), ONE),
            edge(same(*_layer(1, 3, 4, k=2, dilation=2)), ONE),
            edge(same(*_layer(3, 1, 4, k=3, dilation=1)), ONE),
            edge(same(*_layer(3, 2, 1, k=2, dilation=1)), ONE),
            _steps(random(2, 3, 9, seed=4), random(3, 3, 3, seed=5), 3),
            _steps(random(2, 3, 5, seed=6), random(4, 3, 2, seed=7), 1),
            _steps(random(3, 2, 4, seed=8), random(4, 2, 1, seed=9), 3),
            same(*_layer(2, 3, 4, k=3, dilation=2), grad=True),
            same(*_layer(2, 3, 4, k=2, dilation=2, dtype=torch.float32)),
        )
    ],
    axes=("example", "channel", "place"),
    rtol=1e-5,
    atol=1e-6,
    mistakes=[
        (
            _with(lambda v, w, d: _sum(v[..., ::d].flip(-1), w)),
            "The taps are reversed: w[..., 0] meets the oldest input, w[..., -1] meets x_t, as in F.conv1d.",
        ),
        (
            _with(lambda v, w, d: _sum(torch.cat([v[..., :-1:d].flip(-1), v[..., -1:]], -1), w)),
            "The taps in the buffer are reversed: its oldest input, at 0, meets w[..., 0]. Only x_t is right.",
        ),
        (
            lambda x, buf, w, d: (conv_step(x, _pushed(x[..., None], buf), w, d)[0], _pushed(x[..., None], buf)),
            "x_t is pushed before the buffer is read, so x_t counts twice and the oldest input is gone: every tap but "
            "the last reads one step too late. Read first, then push.",
        ),
        (
            _with(lambda v, w, d: _sum(v[..., -w.shape[-1] :], w)),
            "The dilation is ignored: the taps meet the last k inputs. They lie dilation apart, [..., ::dilation].",
        ),
        (
            _with(lambda v, w, d: _sum(v[..., : w.shape[-1]], w)),
            "The taps meet the k oldest inputs: they lie dilation steps apart, [..., ::dilation], and the last is x_t.",
        ),
        (
            _with(lambda v, w, d: _sum(torch.cat([v[..., : w.shape[-1] - 1], v[..., -1:]], -1), w)),
            "The dilation is ignored in the buffer: take every dilation-th of its inputs, buf[..., ::dilation].",
        ),
        (
            _with(lambda v, w, d: _sum(torch.cat([v[..., d - 1 : -1 : d], v[..., -1:]], -1), w)),
            "The taps in the buffer begin at dilation - 1: w[..., 0] meets the oldest input, at 0.",
        ),
        (
            _with(new=lambda v, d: v[..., :-1]),
            "The buffer does not move on: x_t is missing in it, or was cut off again. Drop the oldest input, at 0.",
        ),
        (
            _with(new=lambda v, d: torch.cat([v[..., -1:], v[..., :-2]], -1)),
            "x_t is pushed at the front of the buffer: oldest first, so x_t goes to the end and place 0 is dropped.",
        ),
        (
            _from(lambda x, buf: torch.cat([x, buf], -1), lambda v: v[..., :-1]),
            "x_t is in front of the window: the order is oldest first, so it goes to the end.",
        ),
        (
            _with(lambda v, w, d: _sum(v[..., :-1:d], w[..., :-1])),
            "x_t is left out of y: w[..., -1] meets it. A mask of type A needs that, a step does not.",
        ),
        (
            _with(lambda v, w, d: v[..., -1] @ w[..., -1].T),
            "y is made of x_t alone: the other taps meet the inputs in buf.",
        ),
        (_with(new=lambda v, d: v), "The buffer grows with every step: drop the oldest input, [..., 1:]."),
        (
            _with(new=lambda v, d: v[..., d:]),
            "The buffer loses dilation inputs in a step and gains one: drop one only, the oldest.",
        ),
        (
            lambda x, buf, w, d: (conv_step(x, buf, w, d)[0], _pushed(x[..., None], buf)[..., 1 - w.shape[-1] :]),
            "The buffer keeps k - 1 inputs. A dilated convolution looks further back: (k - 1) * dilation.",
        ),
        (_with(new=lambda v, d: v[..., -(v.shape[-1] - 1) :]), K_1),
        (_output_pushed, "y is pushed into the buffer. The buffer of a layer holds its inputs: push x_t."),
        (
            lambda x, buf, w, d: (buf[..., -(w.shape[-1] - 1) * d - 1], buf),
            "A tap reads before the beginning of the buffer. The oldest one lies (k - 1) * dilation before x_t: that "
            "is place 0 of the buffer, as long as x_t is not pushed.",
        ),
        (
            lambda x, buf, w, d: (buf[..., (w.shape[-1] - 1) * d], buf),
            "A tap reads behind the end of the buffer. It holds the inputs before x_t: w[..., -1] meets x_t itself.",
        ),
        (
            lambda x, buf, w, d: (F.conv1d(_pushed(x[..., None], buf), w, dilation=d), buf),
            "The taps span (k - 1) * dilation + 1 inputs, those in the buffer and x_t: the window is both, joined. "
            "Once x_t is pushed the oldest is gone.",
        ),
        (
            _with(lambda v, w, d: (v[..., ::d] * w).sum((1, 2))),
            "Examples and output channels meet in one axis. Give each its own: window.unsqueeze(1) * w, or "
            "torch.einsum with the axes by name.",
        ),
        (
            _with(lambda v, w, d: v[..., ::d].flatten(1) @ w.flatten(1)),
            "w.flatten(1) is (C_out, C_in * k): transpose it to multiply, or use F.linear.",
        ),
        (
            _with(lambda v, w, d: torch.einsum("bik,iok->bo", v[..., ::d], w)),
            "The axes of w are exchanged: w is (C_out, C_in, k), and y sums over its second axis.",
        ),
        (
            _with(lambda v, w, d: F.conv1d(v, w, dilation=d)),
            "y has an axis of one step too many: return (B, C_out), [..., 0] of it.",
        ),
        (_with(lambda v, w, d: F.conv1d(v, w, dilation=d).squeeze()), ONE),
        (
            _with(lambda v, w, d: F.conv1d(v, w)),
            "F.conv1d without dilation=dilation slides over the whole window. With it there is one step, [..., 0].",
        ),
        (
            _with(lambda v, w, d: torch.einsum("bik,oik->boi", v[..., ::d], w)),
            "The sum over the input channels is missing: y is (B, C_out).",
        ),
        (_then(lambda y, buf: y), "Only y is returned: the next step needs the new buffer as well, `return y, buf`."),
        (_then(lambda y, buf: (buf, y)), "The order is (y, buf): y comes first."),
        (_last_of(lambda buf: buf.roll(-1, -1)), K_1_RAISES),
        (
            _last_of(lambda buf: buf.clone()),
            "x_t replaces the last input, but nothing moves: the inputs before it go one place to the front.",
        ),
        (
            _with(new=lambda v, d: torch.cat([v[..., -1:], v[..., 1:-1]], -1)),
            "x_t takes the place of the oldest input, and nothing moves. That is a ring, which has to remember where "
            "it begins; this buffer is oldest first, so the others move one place to the front.",
        ),
        (
            _with(new=lambda v, d: v[..., :-1].roll(-1, -1)),
            "torch.roll goes around: the oldest input is at the end of the new buffer, where x_t belongs.",
        ),
        (
            lambda x, buf, w, d: (torch.cat([buf, x], -1), buf),
            "x_t is (B, C_in), without an axis for time: x_t[..., None] can be joined to buf.",
        ),
        (
            lambda x, buf, w, d: (torch.cat([buf, x[..., None]]), buf),
            "torch.cat joins along the batch unless told otherwise: time is the last axis, dim=-1.",
        ),
    ],
    accepts=[
        _with(lambda v, w, d: F.conv1d(v, w, dilation=d)[..., 0]),
        _with(lambda v, w, d: (v[..., ::d].unsqueeze(1) * w).sum((2, 3))),
        _by_loop,
        _by_roll,
        _by_index,
        _from_newest,
    ],
    speed=Speed(lambda: (torch.randn(64, 64), torch.randn(64, 64, 128), torch.randn(128, 64, 3), 64)),
)
