"""A clip that grows by its own predictions: one frame after the other, each from all frames so far."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same


def rollout(step: Callable[[Tensor], Tensor], context: Tensor, n: int) -> Tensor:
    """Append n predictions to the given frames, each made from all frames before it, given ones and predicted ones.

    Args:
        step: (B, T, ...) -> (B, ...), the next frame from T frames, for any T.
        context: (B, T0, ...), the given frames, T0 >= 1.
        n: frames to append, at least 0.

    Returns:
        (B, T0 + n, ...).

    Example:
        >>> rollout(lambda v: v[:, -1] + v[:, -2], torch.tensor([[1, 1]]), 4)
        tensor([[1, 1, 2, 3, 5, 8]])
    """
    for _ in range(n):
        context = torch.cat([context, step(context).unsqueeze(1)], 1)
    return context


def fibonacci(v: Tensor) -> Tensor:
    """The sum of the last two frames; of a single one, itself."""
    return v[:, -2:].sum(1)


def remembering(v: Tensor) -> Tensor:
    """A step that needs the whole history, in its order, and its length."""
    weights = 1.0 / (2.0 + torch.arange(v.shape[1], dtype=torch.float64)).to(v.dtype)
    return torch.tanh(torch.einsum("bt...,t->b...", v, weights)) - 0.1 * v.shape[1]


def counted(answer: Callable, step: Callable, context: Tensor, n: int) -> object:
    """`use` of a probe: the result, and how often the answer called the step."""
    calls = []
    result = answer(lambda v: (calls.append(1), step(v))[1], context, n)
    return result, len(calls)


def _seen(view: Callable[[Tensor, int], Tensor], made: Callable[[Tensor], Tensor] = lambda frame: frame):
    """The right loop, with a step that sees view(frames, T0) of the frames so far."""

    def answer(step: Callable, context: Tensor, n: int) -> Tensor:
        t0, frames = context.shape[1], context
        for _ in range(n):
            frames = torch.cat([frames, made(step(view(frames, t0))).unsqueeze(1)], 1)
        return frames

    return answer


def _then(change: Callable[[Tensor, Tensor, int], object]):
    """The right frames, changed at the end."""
    return lambda step, context, n: change(rollout(step, context, n), context, n)


def _in_front(step: Callable, context: Tensor, n: int) -> Tensor:
    for _ in range(n):
        context = torch.cat([step(context).unsqueeze(1), context], 1)
    return context


def _no_axis(step: Callable, context: Tensor, n: int) -> Tensor:
    for _ in range(n):
        context = torch.cat([context, step(context)], 1)
    return context


def _along_batch(step: Callable, context: Tensor, n: int) -> Tensor:
    return torch.cat([context] + [step(context).unsqueeze(1)] * n)


def _own_only(step: Callable, context: Tensor, n: int) -> Tensor:
    made = []
    for _ in range(n):
        made.append(step(torch.stack(made, 1) if made else context))
    return torch.cat([context, torch.stack(made, 1)], 1) if made else context


def _whole_at_once(step: Callable, context: Tensor, n: int) -> Tensor:
    return torch.cat([context, step(context).unsqueeze(1).expand(-1, n, *context.shape[2:])], 1)


def _in_place(step: Callable, context: Tensor, n: int) -> Tensor:
    result = rollout(step, context, n)
    context.copy_(result[:, -context.shape[1] :])
    return result


def _empty_kept(step: Callable, context: Tensor, n: int) -> Tensor:
    t0 = context.shape[1]
    frames = torch.cat([context, torch.zeros_like(context[:, :1]).repeat_interleave(n, 1)], 1)
    for t in range(n):
        frames = torch.cat([frames[:, : t0 + t], step(frames).unsqueeze(1), frames[:, t0 + t + 1 :]], 1)
    return frames


def _preallocated(step: Callable, context: Tensor, n: int) -> Tensor:
    t0 = context.shape[1]
    frames = torch.cat([context, context.new_zeros(len(context), n, *context.shape[2:])], 1)
    for t in range(t0, t0 + n):
        frames = torch.cat([frames[:, :t], step(frames[:, :t])[:, None], frames[:, t + 1 :]], 1)
    return frames


def _listed(step: Callable, context: Tensor, n: int) -> Tensor:
    frames = list(context.unbind(1))
    while len(frames) < context.shape[1] + n:
        frames.append(step(torch.stack(frames, 1)))
    return torch.stack(frames, 1)


def _recursive(step: Callable, context: Tensor, n: int) -> Tensor:
    def longer(frames: Tensor, left: int) -> Tensor:
        return longer(torch.cat([frames, step(frames)[:, None]], 1), left - 1) if left else frames

    return longer(context, n)


ONE = "Right except for a batch of one or one given frame: squeeze() without an axis removes that axis as well."
NONE = "Right except for n = 0, where nothing is appended: the result is the context."

EXERCISE = Exercise(
    name="rollout",
    lesson="09",
    reference=rollout,
    rule="n times: call step on all frames so far, (B, T, ...), and append its result, (B, ...), as the last one. The "
    "result begins with the context, has T0 + n frames, and takes n calls.",
    probes=[
        plain(remembering, random(2, 3, 4, 5, seed=1), 4),
        same(remembering, random(3, 2, 2, seed=2), 5),
        same(fibonacci, torch.tensor([[1, 1], [2, 5]]), 6),
        same(remembering, random(2, 3, 2, 3, seed=3), 3, use=counted),
        same(remembering, random(2, 2, 3, seed=4), 3, grad=True),
        same(remembering, random(2, 3, 2, 2, seed=5).float(), 2),
        edge(same(fibonacci, torch.tensor([[1, 1]]), 4), ONE),
        edge(same(remembering, random(1, 1, 3, seed=6), 2), ONE),
        edge(same(remembering, random(2, 3, 2, seed=7), 0), NONE),
    ],
    axes=("clip", "frame", "row", "column"),
    mistakes=[
        (
            _seen(lambda v, t0: v[:, :t0]),
            "Every prediction is made from the given frames, so all are the same: feed the predicted ones back.",
        ),
        (
            _then(lambda v, context, n: v[:, context.shape[1] :]),
            "The given frames are missing in the result: it begins with the context.",
        ),
        (
            lambda step, context, n: rollout(step, context, max(n - 1, 0)),
            "One frame too few: n are appended to the context.",
        ),
        (lambda step, context, n: rollout(step, context, n + 1), "One frame too many: n are appended to the context."),
        (
            lambda step, context, n: rollout(step, context, max(n - context.shape[1], 0)),
            "The clip has n frames in all. n is the number of new ones: T0 + n in all.",
        ),
        (_in_front, "The prediction is put in front: time runs forward, so it becomes the last frame."),
        (
            _seen(lambda v, t0: v[:, -2:]),
            "step sees the last two frames only. It may need the whole history: give it all frames so far.",
        ),
        (
            _seen(lambda v, t0: v[:, -1:]),
            "step sees the last frame only, from which no speed can be read: give it all frames so far.",
        ),
        (
            _seen(lambda v, t0: v[:, -t0:]),
            "step sees a window of T0 frames, and forgets the first ones: give it all frames so far.",
        ),
        (
            _seen(lambda v, t0: v[:, 1:] if v.shape[1] > t0 else v),
            "The first frame is forgotten: keep the whole context.",
        ),
        (
            _seen(lambda v, t0: v[:, :-1] if v.shape[1] > t0 else v),
            "The newest prediction is not seen by the next step: feed it back at once.",
        ),
        (
            _own_only,
            "After the first prediction step sees predicted frames only: the given ones stay in front of them.",
        ),
        (
            _seen(lambda v, t0: v.flip(1)),
            "step gets the frames in reverse: the oldest comes first, as in the context.",
        ),
        (
            _empty_kept,
            "step also sees the empty frames at the end, which are not made yet: give it those up to now, [:, :t].",
        ),
        (
            _then(lambda v, context, n: torch.cat([context, v[:, context.shape[1] :].flip(1)], 1)),
            "The predicted frames are reversed: the first prediction follows the context.",
        ),
        (
            _then(lambda v, context, n: torch.cat([context, v[:, -1:].expand(-1, n, *context.shape[2:])], 1)),
            "The last prediction stands in all new places: keep each of them.",
        ),
        (_then(lambda v, context, n: v[:, -1]), "Only the last frame is returned: return the whole clip."),
        (_then(lambda v, context, n: list(v.unbind(1))), "This is a list of frames: stack them along axis 1."),
        (
            _then(lambda v, context, n: v.transpose(0, 1)),
            "Clip and frame are exchanged: the batch comes first, so stack along axis 1.",
        ),
        (_seen(lambda v, t0: v.detach()), "The gradient stops at the frames: no detach, and nothing under no_grad."),
        (
            lambda step, context, n: _seen(lambda v, t0: v)(lambda v: (step(v), step(v))[1], context, n),
            "step is called twice for each frame, and a call is a pass of the whole network: call it once.",
        ),
        (
            lambda step, context, n: rollout(step, context, n + 1)[:, : context.shape[1] + n],
            "step is called once more than needed, and the last frame thrown away: n calls make n frames.",
        ),
        (
            _no_axis,
            "A prediction is (B, ...), without an axis for time: unsqueeze(1) before it is joined along axis 1.",
        ),
        (_along_batch, "The frames are joined along the batch: time is axis 1."),
        (_in_place, "The context itself has changed: append to a new tensor."),
    ],
    accepts=[_preallocated, _listed, _recursive, _seen(lambda v, t0: v)],
    speed=Speed(lambda: (fibonacci, torch.rand(16, 3, 16, 16), 20)),
)
