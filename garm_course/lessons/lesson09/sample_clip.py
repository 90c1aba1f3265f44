"""Drawing a clip: frame by frame, and inside a frame pixel by pixel; equation (9.1)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

LogitsFn = Callable[[Tensor], Tensor]


def sample_clip(logits_fn: LogitsFn, context: Tensor, n: int, u: Tensor) -> Tensor:
    """Append n frames to the given ones, each pixel drawn from its conditional at its own uniform number.

    Args:
        logits_fn: LongTensor (B, T, H, W) -> logits (B, T, H, W, V), for any T; those of a pixel depend on earlier
            frames and on earlier pixels of its frame only.
        context: LongTensor (B, T0, H, W), the given frames, T0 >= 1.
        n: frames to draw.
        u: (B, n, H, W) uniforms in [0, 1), one for each pixel that is drawn.

    Returns:
        LongTensor (B, T0 + n, H, W). A value is the number of levels whose cumulative probability is <= u.

    Example:
        >>> even = lambda v: torch.zeros(*v.shape, 4)  # four levels, equally likely
        >>> sample_clip(even, torch.zeros(1, 1, 1, 2).long(), 1, torch.tensor([0.1, 0.6]).reshape(1, 1, 1, 2))
        tensor([[[[0, 0]],
        <BLANKLINE>
                 [[0, 2]]]])
    """
    b, t0, h, w = context.shape
    clip = torch.cat([context, context.new_zeros(b, n, h, w)], 1)
    for t in range(n):
        for r in range(h):
            for c in range(w):
                logits = logits_fn(clip[:, : t0 + t + 1])[:, -1, r, c]
                clip[:, t0 + t, r, c] = value(logits.softmax(-1), u[:, t, r, c])
    return clip


def value(p: Tensor, u: Tensor) -> Tensor:
    """The level at u (...) of probabilities p (..., V): rounding may leave their sum below u."""
    return (p.cumsum(-1) <= u.unsqueeze(-1)).sum(-1).clamp(max=p.shape[-1] - 1)


LEVELS = 5
TABLES = 2.0 * random(5, LEVELS + 1, LEVELS, seed=11)


def leaning(v: Tensor) -> Tensor:
    """Logits of five levels that lean on pixels to the left, above, above to the right, and in the last two frames."""
    outside = torch.full_like(v, LEVELS)
    left = torch.cat([outside[..., :1], v[..., :-1]], 3)
    above = torch.cat([outside[:, :, :1], v[:, :, :-1]], 2)
    corner = torch.cat([above[..., 1:], outside[..., :1]], 3)
    last = torch.cat([outside[:, :1], v[:, :-1]], 1)
    older = torch.cat([outside[:, :2], v[:, :-2]], 1)[:, : v.shape[1]]
    return sum(table[near] for table, near in zip(TABLES, (left, above, corner, last, older), strict=True))


def even(v: Tensor) -> Tensor:
    """Logits of four levels that are equally likely."""
    return torch.zeros(*v.shape, 4)


def _draw(
    logits=lambda logits_fn, clip, t, r, c, t0: logits_fn(clip[:, : t + 1])[:, -1, r, c],
    choose=value,
    uniform=lambda u, t, r, c: u[:, t, r, c],
    order=lambda h, w: [(r, c) for r in range(h) for c in range(w)],
    result=lambda clip, t0, n: clip,
    chance=lambda logits: logits.softmax(-1),
):
    """The right loops with one thing changed; t is the frame in the clip, t0 the first that is drawn."""

    def answer(logits_fn: LogitsFn, context: Tensor, n: int, u: Tensor) -> object:
        b, t0, h, w = context.shape
        clip = torch.cat([context, context.new_zeros(b, n, h, w)], 1)
        for t in range(t0, t0 + n):
            for r, c in order(h, w):
                p = chance(logits(logits_fn, clip, t, r, c, t0))
                clip[:, t, r, c] = choose(p, uniform(u, t - t0, r, c))
        return result(clip, t0, n)

    return answer


def _frame_at_once(logits_fn: LogitsFn, context: Tensor, n: int, u: Tensor) -> Tensor:
    for t in range(n):
        clip = torch.cat([context, torch.zeros_like(context[:, :1])], 1)
        context = torch.cat([context, value(logits_fn(clip)[:, -1].softmax(-1), u[:, t]).unsqueeze(1)], 1)
    return context


def _row_at_once(logits_fn: LogitsFn, context: Tensor, n: int, u: Tensor) -> Tensor:
    for t in range(n):
        clip = torch.cat([context, torch.zeros_like(context[:, :1])], 1)
        for r in range(context.shape[2]):
            clip[:, -1, r] = value(logits_fn(clip)[:, -1, r].softmax(-1), u[:, t, r])
        context = clip
    return context


def _all_at_once(logits_fn: LogitsFn, context: Tensor, n: int, u: Tensor) -> Tensor:
    t0 = context.shape[1]
    clip = torch.cat([context, torch.zeros_like(context[:, :1]).repeat_interleave(n, 1)], 1)
    return torch.cat([context, value(logits_fn(clip)[:, t0:].softmax(-1), u)], 1)


def _last_column_forgotten(logits_fn: LogitsFn, context: Tensor, n: int, u: Tensor) -> Tensor:
    clip = context
    for t in range(n):
        clip = torch.cat([clip, clip[:, -1:]], 1)
        for r in range(clip.shape[2]):
            for c in range(clip.shape[3]):
                clip[:, -1, r, c] = value(logits_fn(clip[:, -1:])[:, -1, r, c].softmax(-1), u[:, t, r, c])
    return clip


def _own_frames_unseen(logits_fn, clip, t, r, c, t0):
    return logits_fn(torch.cat([clip[:, :t0], torch.zeros_like(clip[:, t0:t]), clip[:, t : t + 1]], 1))[:, -1, r, c]


def _into_context(logits_fn: LogitsFn, context: Tensor, n: int, u: Tensor) -> Tensor:
    clip = sample_clip(logits_fn, context, n, u)
    context.copy_(clip[:, -context.shape[1] :])
    return clip


def _growing(logits_fn: LogitsFn, context: Tensor, n: int, u: Tensor) -> Tensor:
    clip = context
    for frame in u.unbind(1):
        clip = torch.cat([clip, torch.ones_like(clip[:, :1])], 1)  # what stands there first does not matter
        for r, c in torch.cartesian_prod(torch.arange(clip.shape[2]), torch.arange(clip.shape[3])).tolist():
            cdf = logits_fn(clip)[:, -1, r, c].softmax(-1).cumsum(-1)
            found = torch.searchsorted(cdf.contiguous(), frame[:, r, c, None].to(cdf.dtype), right=True)[:, 0]
            clip[:, -1, r, c] = found.clamp(max=cdf.shape[-1] - 1)
    return clip


def _case(b: int, t0: int, n: int, h: int, w: int, seed: int, logits_fn: LogitsFn = leaning) -> tuple:
    """Arguments: frames and uniforms that are drawn."""
    context = (2 + random(b, t0, h, w, seed=seed)).round().clamp(0, LEVELS - 1).long()
    return logits_fn, context, n, torch.special.ndtr(random(b, n, h, w, seed=seed + 100))


def first_frames(answer: LogitsFn, *args: object) -> object:
    """`use` of a probe: the clip without its last frame, which must not depend on how many frames follow."""
    clip = answer(*args)
    return clip[:, :-1] if isinstance(clip, Tensor) and clip.ndim == 4 else clip


EQUAL = (
    "Right except where u is equal to a cumulative probability: such levels are passed as well, since the value counts "
    "those whose cumulative probability is <= u (searchsorted with right=True)."
)
ENDS = (
    "Right except at the ends: for u near 1 rounding can leave the cumulative probabilities below u, so limit the "
    "value to V - 1; for u = 0 it is the first possible level."
)
ONE = "Right except for one clip, one given frame or one row: squeeze() without an axis removes that axis as well."
SLICE = torch.tensor([0.0, 0.25, 0.5, 0.75]).reshape(1, 1, 2, 2)

EXERCISE = Exercise(
    name="sample_clip",
    lesson="09",
    reference=sample_clip,
    rule="Frame by frame, row by row, pixel by pixel: call logits_fn on the clip up to this frame, take the logits of "
    "this frame at this pixel, softmax and cumsum, count the levels that are <= u[:, t, r, c], and write that value.",
    probes=[
        plain(*_case(2, 2, 2, 3, 4, seed=1)),
        same(*_case(3, 3, 2, 2, 3, seed=2)),
        same(*_case(2, 2, 3, 2, 2, seed=3), use=first_frames),
        edge(same(even, torch.zeros(1, 1, 2, 2, dtype=torch.long), 1, SLICE), EQUAL),
        edge(same(leaning, _case(2, 2, 1, 2, 2, seed=4)[1], 1, torch.zeros(2, 1, 2, 2)), ENDS),
        edge(same(leaning, _case(2, 2, 1, 2, 2, seed=4)[1], 1, torch.full((2, 1, 2, 2), 1 - 2**-24)), ENDS),
        edge(same(*_case(1, 1, 2, 2, 3, seed=5)), ONE),
        edge(same(*_case(2, 2, 2, 1, 3, seed=6)), ONE),
        edge(
            same(*_case(2, 2, 0, 2, 2, seed=7)), "Right except for n = 0, where nothing is drawn: return the context."
        ),
    ],
    axes=("clip", "frame", "row", "column"),
    mistakes=[
        (
            _frame_at_once,
            "A frame is drawn in one pass. Its pixels depend on each other: draw one, write it, call logits_fn again.",
        ),
        (
            _row_at_once,
            "A row is drawn in one pass. A pixel depends on the one to its left: call logits_fn for every pixel.",
        ),
        (
            _all_at_once,
            "Everything is drawn in one pass, so no pixel sees another one that was drawn: call logits_fn for each.",
        ),
        (
            _draw(_own_frames_unseen),
            "The frames that were drawn are not fed back: those after the context stay empty for logits_fn.",
        ),
        (
            _draw(lambda f, clip, t, r, c, t0: f(clip[:, t - 1 : t + 1])[:, -1, r, c]),
            "logits_fn sees the frame before and the current one only: give it all frames up to now.",
        ),
        (
            _last_column_forgotten,
            "logits_fn sees the current frame only: give it all frames up to now.",
        ),
        (
            _draw(lambda f, clip, t, r, c, t0: f(clip[:, t0 : t + 1])[:, -1, r, c]),
            "logits_fn does not see the context: the given frames come first.",
        ),
        (
            _draw(order=lambda h, w: [(r, c) for c in range(w) for r in range(h)]),
            "The pixels are drawn column by column: a pixel then misses the one above it to the right. Row by row.",
        ),
        (
            _draw(order=lambda h, w: [(r, c) for r in reversed(range(h)) for c in range(w)]),
            "The rows are drawn from below: a pixel then misses the row above it. Row 0 comes first.",
        ),
        (
            _draw(choose=lambda p, u: p.argmax(-1)),
            "Each pixel takes its most probable value: that is no draw. Use u.",
        ),
        (
            _draw(lambda f, clip, t, r, c, t0: f(clip[:, : t + 1])[:, -2, r, c]),
            "These are the logits of the frame before: frame t of the result describes frame t.",
        ),
        (
            _draw(lambda f, clip, t, r, c, t0: f(clip)[:, t - t0, r, c]),
            "These are the logits of frame t counted from the first drawn one: in the clip it is frame T0 + t.",
        ),
        (
            _draw(lambda f, clip, t, r, c, t0: f(clip)[:, t0, r, c]),
            "The logits are always those of the first drawn frame, T0: take those of the frame that is drawn.",
        ),
        (
            _draw(result=lambda clip, t0, n: clip[:, t0:]),
            "The given frames are missing in the result: it begins with the context.",
        ),
        (_draw(result=lambda clip, t0, n: clip[:, -1:]), "Only the last frame is returned: return the whole clip."),
        (
            _draw(choose=lambda p, u: torch.multinomial(p, 1)[:, 0]),
            "The draws come from torch's own generator: use u, so that they can be repeated.",
        ),
        (
            _draw(choose=lambda p, u: value(p, torch.rand_like(u))),
            "New uniforms are drawn: use those in u, one for each pixel.",
        ),
        (
            _draw(uniform=lambda u, t, r, c: u[:, t, 0, 0]),
            "One uniform for a whole frame: each pixel has its own, u[:, t, r, c].",
        ),
        (
            _draw(uniform=lambda u, t, r, c: u[:, 0, r, c]),
            "The uniforms of the first frame are used in all of them: frame t has its own, u[:, t].",
        ),
        (
            _draw(uniform=lambda u, t, r, c: u[:1, t, r, c].expand(len(u))),
            "All clips use the uniforms of the first one: keep the batch axis, u[:, t, r, c].",
        ),
        (
            _draw(uniform=lambda u, t, r, c: 1 - u[:, t, r, c]),
            "1 - u is uniform as well, but the value counts the levels whose cumulative probability is <= u.",
        ),
        (
            _draw(chance=torch.sigmoid),
            "The sigmoid is for two levels: probabilities of V levels are the softmax over the last axis.",
        ),
        (
            _draw(chance=torch.exp),
            "exp(logits) does not sum to 1: take the softmax over the last axis.",
        ),
        (
            _draw(chance=lambda logits: logits),
            "The logits are summed up as if they were probabilities: take the softmax first.",
        ),
        (
            _draw(choose=lambda p, u: (p <= u[:, None]).sum(-1).clamp(max=p.shape[-1] - 1)),
            "The probabilities are compared with u, not their cumulative sums: take cumsum(-1) first.",
        ),
        (
            _draw(choose=lambda p, u: (p.cumsum(-1) < u[:, None]).sum(-1)),
            EQUAL,
        ),
        (_draw(result=lambda clip, t0, n: clip.float()), "The result is a float tensor: levels are a LongTensor."),
        (_into_context, "The context itself has changed: write into a new tensor."),
    ],
    accepts=[
        _growing,
        _draw(),
        _draw(lambda f, clip, t, r, c, t0: f(clip)[:, t, r, c]),
        _draw(choose=lambda p, u: (u[:, None] >= p.cumsum(-1)[:, :-1]).sum(-1)),
    ],
    speed=Speed(lambda: (leaning, torch.zeros(2, 2, 4, 4, dtype=torch.long), 2, torch.rand(2, 2, 4, 4)), seconds=2.0),
)
