"""A whole layer of causal self-attention that trains, reads a prompt and takes single steps; equation (7.7)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import edge, first, plain, worded
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson07.rotary import rotary

Pair = tuple[Tensor, Tensor]


def self_attention(
    x: Tensor, w_qkv: Tensor, w_out: Tensor, heads: int, past: Pair | None = None
) -> tuple[Tensor, Pair]:
    """The outputs of m new positions, which see the positions of `past` and each other, never a later one.

    Args:
        x: (B, m, C), what the layer reads at the new positions.
        w_qkv: (3C, C); its output is queries, keys and values, in this order, the heads of each one after the other.
        w_out: (C, C), applied to the heads, joined.
        heads: number of heads, a divisor of C.
        past: keys (already turned) and values of t earlier positions, each (B, heads, t, C / heads); None for t = 0.

    Returns:
        (B, m, C), and keys and values of all t + m positions.
    """
    q, k, v = F.linear(x, w_qkv).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    t = 0 if past is None else past[0].shape[2]
    positions = torch.arange(t, t + x.shape[1], device=x.device)
    q, k = rotary(q, positions), rotary(k, positions)
    if past is not None:
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
    sees = torch.ones(x.shape[1], k.shape[2], dtype=torch.bool, device=x.device).tril(t)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=sees)
    return F.linear(y.transpose(1, 2).flatten(2), w_out), (k, v)


def _split(x: Tensor, w_qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    return F.linear(x, w_qkv).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def _start(past: Pair | None) -> int:
    return 0 if past is None else past[0].shape[2]


def _turn(x: Tensor, start: int) -> Tensor:
    return rotary(x, torch.arange(start, start + x.shape[2]))


def _join(past: Pair | None, k: Tensor, v: Tensor) -> Pair:
    return (k, v) if past is None else (torch.cat([past[0], k], 2), torch.cat([past[1], v], 2))


def _sees(m: int, t: int) -> Tensor:
    return torch.ones(m, t + m, dtype=torch.bool).tril(t)


def _attend(q: Tensor, k: Tensor, v: Tensor, sees: Tensor, scale: float | None = None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=sees, scale=scale)


def _merge(y: Tensor, w_out: Tensor) -> Tensor:
    return F.linear(y.transpose(1, 2).flatten(2), w_out)


def _with(
    *,
    split: Callable = _split,
    turn: Callable = lambda q, k, v, t: (_turn(q, t), _turn(k, t), v),
    join: Callable = _join,
    sees: Callable = lambda m, t: _sees(m, t),
    attend: Callable = _attend,
    merge: Callable = _merge,
    cache: Callable = lambda kv, new, past: kv,
):
    """The right layer with one part replaced."""

    def answer(x: Tensor, w_qkv: Tensor, w_out: Tensor, heads: int, past: Pair | None = None):
        t = _start(past)
        q, k, v = turn(*split(x, w_qkv, heads), t)
        keys, values = join(past, k, v)
        y = attend(q, keys, values, sees(x.shape[1], t))
        return merge(y, w_out), cache((keys, values), (k, v), past)

    return answer


def _viewed(x: Tensor, w_qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    n, m, c = x.shape
    return tuple(part.reshape(n, heads, m, c // heads) for part in F.linear(x, w_qkv).chunk(3, -1))


def _interleaved(x: Tensor, w_qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    return F.linear(x, w_qkv).unflatten(-1, (heads, 3, -1)).permute(3, 0, 2, 1, 4).unbind()


def _new_first(past: Pair | None, k: Tensor, v: Tensor) -> Pair:
    return (k, v) if past is None else (torch.cat([k, past[0]], 2), torch.cat([v, past[1]], 2))


def _turned_when_read(x: Tensor, w_qkv: Tensor, w_out: Tensor, heads: int, past: Pair | None = None):
    """Keys are kept as they are and turned at every call: the outputs agree, the cache does not."""
    q, k, v = _split(x, w_qkv, heads)
    keys, values = _join(past, k, v)
    t = _start(past)
    y = _attend(_turn(q, t), _turn(keys, 0), values, _sees(x.shape[1], t))
    return _merge(y, w_out), (keys, values)


def _turned_again(x: Tensor, w_qkv: Tensor, w_out: Tensor, heads: int, past: Pair | None = None):
    q, k, v = _split(x, w_qkv, heads)
    t, (keys, values) = _start(past), _join(past, k, v)
    keys = _turn(keys, 0)
    return _merge(_attend(_turn(q, t), keys, values, _sees(x.shape[1], t)), w_out), (keys, values)


def _turned_whole(x: Tensor, w_qkv: Tensor, w_out: Tensor, heads: int, past: Pair | None = None):
    t = _start(past)
    q, k, v = F.linear(x, w_qkv).chunk(3, -1)
    places = torch.arange(t, t + x.shape[1])
    q, k = (rotary(part[:, None], places)[:, 0] for part in (q, k))
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    keys, values = _join(past, k, v)
    return _merge(_attend(q, keys, values, _sees(x.shape[1], t)), w_out), (keys, values)


def _squeezed(x: Tensor, w_qkv: Tensor, w_out: Tensor, heads: int, past: Pair | None = None):
    y, kept = self_attention(x, w_qkv, w_out, heads, past)
    return y.squeeze(), kept


def _by_heads(x: Tensor, w_qkv: Tensor, w_out: Tensor, heads: int, past: Pair | None = None):
    c = x.shape[-1]
    d, t = c // heads, _start(past)
    places = torch.arange(t, t + x.shape[1])
    out, keys, values = [], [], []
    for h in range(heads):
        q, k, v = (x @ w_qkv[s * c + h * d : s * c + (h + 1) * d].T for s in range(3))
        q, k = (rotary(part[:, None], places)[:, 0] for part in (q, k))
        if past is not None:
            k, v = torch.cat([past[0][:, h], k], 1), torch.cat([past[1][:, h], v], 1)
        scores = q @ k.mT / d**0.5
        hidden = torch.arange(k.shape[1])[None] > places[:, None]
        out.append(scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v)
        keys.append(k)
        values.append(v)
    return torch.cat(out, -1) @ w_out.T, (torch.stack(keys, 1), torch.stack(values, 1))


def _by_einsum(x: Tensor, w_qkv: Tensor, w_out: Tensor, heads: int, past: Pair | None = None):
    w = w_qkv.view(3, heads, -1, x.shape[-1])
    q, k, v = torch.einsum("bmc,shdc->sbhmd", x, w)
    t, m = _start(past), x.shape[1]
    q, k = _turn(q, t), _turn(k, t)
    past = past or (k[:, :, :0], v[:, :, :0])
    k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
    scores = torch.einsum("bhmd,bhnd->bhmn", q, k) / q.shape[-1] ** 0.5
    scores = scores + torch.full((m, t + m), -1e9, dtype=x.dtype).triu(t + 1)
    y = torch.einsum("bhmn,bhnd->bmhd", scores.softmax(-1), v)
    return y.reshape(x.shape) @ w_out.T, (k, v)


def _layer(
    n: int, m: int, c: int, heads: int, t: int = 0, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple:
    """Arguments for m new positions after t earlier ones."""
    x, w_qkv, w_out = random(n, m, c, seed=seed), random(3 * c, c, seed=seed + 1), random(c, c, seed=seed + 2)
    past = tuple(random(n, heads, t, c // heads, seed=seed + 3 + i).to(dtype) for i in range(2)) if t else None
    return x.to(dtype), (0.5 * w_qkv).to(dtype), w_out.to(dtype), heads, past


def _pieces(sizes: tuple[int, ...], n: int, c: int, heads: int, *, seed: int):
    """The probe: a sequence in pieces, each with the keys and values that the piece before it returned."""
    x, w_qkv, w_out, heads, _ = _layer(n, sum(sizes), c, heads, seed=seed)
    args = x, w_qkv, w_out, heads

    def drive(layer: Callable, x: Tensor, w_qkv: Tensor, w_out: Tensor, heads: int) -> object:
        out, past = [], None
        for piece in x.split(sizes, 1):
            result = layer(piece, w_qkv, w_out, heads, past)
            if type(result) not in (tuple, list) or len(result) != 2:
                return result
            out.append(result[0])
            past = result[1]
        return torch.cat(out, 1), past

    def probe(attempt: Attempt) -> None:
        try:
            attempt.run(*args, use=drive)
        except Refused as refused:
            call = (
                f"self_attention(x, w_qkv, w_out, {heads}, past), in pieces of {', '.join(map(str, sizes))} positions"
            )
            raise Refused(str(refused).replace(attempt.describe(args), call), refused.hint) from refused

    return probe


def _without_past(layer: Callable, *args: object) -> object:
    """`use` of a probe: the call leaves `past` out."""
    return layer(*args)


ONE = "Right except for one sequence or one position: squeeze() without an axis removes that axis as well."
FUTURE = "The mask is missing: every position sees the later positions of its own piece."
EXAMPLE = (
    torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]),
    torch.cat([torch.zeros(4, 2), torch.eye(2)]),
    torch.eye(2),
    1,
)

EXERCISE = Exercise(
    name="self_attention",
    lesson="07",
    reference=self_attention,
    rule="Split x @ w_qkv.T into q, k, v and heads, (B, heads, m, C / heads); turn q and k at places t..t + m - 1; put "
    "the past in front of k and v; query r sees keys 0..t + r; join the heads, apply w_out; return the joined k and v.",
    probes=[
        worded(probe, "y", "(keys, values)")
        for probe in (
            plain(*_layer(2, 4, 8, 2)[:4], values=False),
            plain(*_layer(2, 4, 8, 2)[:4], use=first),
            plain(*_layer(2, 4, 8, 2)[:4]),
            plain(*_layer(2, 1, 8, 2, 3, seed=10), use=first),
            plain(*_layer(2, 1, 8, 2, 3, seed=10)),
            plain(*_layer(2, 3, 8, 2, 5, seed=20), use=first),
            plain(*_layer(2, 3, 8, 2, 5, seed=20)),
            same(*EXAMPLE),
            _pieces((3, 1, 2, 1), 2, 12, 3, seed=30),
            _pieces((1, 1, 1), 3, 8, 4, seed=40),
            same(*_layer(3, 4, 6, 1, 2, seed=50)),
            edge(same(*_layer(1, 3, 8, 2, 2, seed=60)), ONE),
            edge(same(*_layer(2, 1, 8, 2, seed=70)), ONE),
            same(*_layer(2, 4, 8, 2, seed=80)[:4], grad=True, use=_without_past),
            same(*_layer(2, 3, 8, 2, 2, seed=90, dtype=torch.float32)),
        )
    ],
    rtol=1e-5,
    atol=1e-5,
    mistakes=[
        (
            _with(sees=lambda m, t: _sees(m, t) if t == 0 else torch.ones(m, t + m, dtype=torch.bool)),
            "There is no mask when there is a past. The new positions still may not see later ones: `tril(t)`.",
        ),
        (_with(sees=lambda m, t: torch.ones(m, t + m, dtype=torch.bool)), FUTURE),
        (
            _with(sees=lambda m, t: torch.ones(m, t + m, dtype=torch.bool).tril()),
            "The mask starts at the first key although t keys come before: query r stands at place t + r and sees keys "
            "0..t + r, so `tril(t)`. `is_causal=True` has the same fault.",
        ),
        (
            _with(sees=lambda m, t: torch.ones(m, t + m, dtype=torch.bool).tril(t + 1)),
            "Each position sees the next one of its piece: query r sees keys 0..t + r, `tril(t)`.",
        ),
        (
            _with(turn=lambda q, k, v, t: (_turn(q, len(q) if t else 0), _turn(k, len(q) if t else 0), v)),
            "The places start at the size of the batch. The past is as long as axis 2 of its keys, `past[0].shape[2]`.",
        ),
        (
            _with(turn=lambda q, k, v, t: (_turn(q, 0), _turn(k, 0), v)),
            "Places are counted from 0 although t positions come before. The new ones stand at t..t + m - 1.",
        ),
        (
            _with(turn=lambda q, k, v, t: (_turn(q, t), k, v)),
            "The keys are not turned. Queries and keys both turn, so that their product depends on the distance.",
        ),
        (
            _with(turn=lambda q, k, v, t: (q, _turn(k, t), v)),
            "The queries are not turned. Queries and keys both turn, so that their product depends on the distance.",
        ),
        (
            _with(turn=lambda q, k, v, t: (q, k, v)),
            "Nothing is turned, so the layer does not know how far apart two positions are: apply `rotary` to q and k.",
        ),
        (
            _with(turn=lambda q, k, v, t: (_turn(q, t), _turn(k, t), _turn(v, t))),
            "The values are turned as well. Places belong in the products: turn queries and keys only.",
        ),
        (
            _turned_again,
            "Earlier keys are turned again at every call. Those in `past` are turned already: turn only the new ones.",
        ),
        (
            _turned_when_read,
            "The keys that are returned are not turned. Turn the new keys before they join `past`.",
        ),
        (
            _turned_whole,
            "Queries and keys are turned before they are split into heads. Each head is turned by itself, with "
            "D = C / heads.",
        ),
        (
            _with(cache=lambda kv, new, past: new),
            "Only the new keys and values are returned. The next call needs those of all t + m positions.",
        ),
        (
            _with(cache=lambda kv, new, past: new if past is None else past),
            "The old keys and values are returned. The next call needs those of all t + m positions.",
        ),
        (
            _with(cache=lambda kv, new, past: (kv[1], kv[0])),
            "Keys and values are returned in the wrong order: keys first.",
        ),
        (_with(join=_new_first), "The new keys come before the old ones. The past comes first, in order of time."),
        (
            _with(join=lambda past, k, v: (k, v), sees=lambda m, t: _sees(m, 0)),
            "`past` is ignored: put its keys and values in front of the new ones.",
        ),
        (
            _with(split=_viewed),
            "A view to (B, heads, m, d) mixes positions and heads. View as (B, m, heads, d), then transpose.",
        ),
        (
            _with(split=_interleaved),
            "Each head takes its q, k and v from one block of rows. The first C rows of w_qkv are all queries, then "
            "come all keys, then all values.",
        ),
        (
            _with(split=lambda x, w, heads: (lambda q, k, v: (k, q, v))(*_split(x, w, heads))),
            "Queries and keys are exchanged: w_qkv gives queries first, then keys, then values.",
        ),
        (
            _with(split=lambda x, w, heads: (lambda q, k, v: (v, k, q))(*_split(x, w, heads))),
            "Queries and values are exchanged: w_qkv gives queries first, then keys, then values.",
        ),
        (
            _with(attend=lambda q, k, v, sees: _attend(q, k, v, sees, scale=(q.shape[1] * q.shape[-1]) ** -0.5)),
            "The products are divided by the square root of C. A head has C / heads features.",
        ),
        (
            _with(attend=lambda q, k, v, sees: _attend(q, k, v, sees, scale=1.0)),
            "The scale is missing: divide the products by the square root of C / heads.",
        ),
        (
            _with(merge=lambda y, w: F.linear(y.flatten(2).reshape(len(y), y.shape[2], -1), w)),
            "The heads are joined without going back to (B, m, heads, d). Transpose before flattening.",
        ),
        (
            _with(merge=lambda y, w: y.transpose(1, 2).flatten(2)),
            "w_out is not used. Apply it to the joined heads.",
        ),
        (
            _with(merge=lambda y, w: y.transpose(1, 2).flatten(2) @ w),
            "w_out is applied transposed. A weight is (outputs, inputs): `@ w_out.T`, or F.linear.",
        ),
        (
            lambda x, w_qkv, w_out, heads, past=None: self_attention(x, w_qkv, w_out, heads, past)[0],
            "Only y is returned. The next call needs the keys and values: `return y, (k, v)`.",
        ),
        (
            _with(join=lambda past, k, v: _join(past, k.detach(), v.detach())),
            "The new keys and values are detached, so no gradient reaches what made them. Detach nothing.",
        ),
        (_squeezed, ONE),
    ],
    accepts=[_by_heads, _by_einsum, _with()],
    speed=Speed(lambda: (torch.zeros(16, 64, 64), torch.zeros(192, 64), torch.zeros(64, 64), 2)),
)
