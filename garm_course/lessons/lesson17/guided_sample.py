"""Codes drawn one after the other, each from logits that a sentence has pushed; equation (17.4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same

LogitsFn = Callable[[Tensor, Tensor], Tensor]


def guided_sample(
    logits_fn: LogitsFn, caption: Tensor, empty: Tensor, u: Tensor, w: float, temperature: float, given: Tensor
) -> Tensor:
    """Draw codes one after the other from softmax((e + w (c - e)) / temperature), c with the caption, e without.

    Args:
        logits_fn: LongTensors (B, L) of words and (B, i) of codes so far -> logits (B, K) of code i, for any B and i.
        caption: LongTensor (B, L).
        empty: LongTensor (B, L), the caption that says nothing.
        u: (B, N) uniforms in [0, 1), one for each code; those at codes that are given are not used.
        w: strength of the guidance.
        temperature: divides the guided logits, above 0.
        given: LongTensor (B, M) of the first codes, M in 0..N.

    Returns:
        LongTensor (B, N) that begins with `given`. A code is the number of cumulative probabilities that are <= u, at
        most K - 1.

    Source:
        Ho, Salimans (2022), arXiv 2207.12598, for diffusion; here their 1 + w is w.
    """
    codes = given
    for i in range(given.shape[1], u.shape[1]):
        e = logits_fn(empty, codes)
        c = logits_fn(caption, codes)
        code = value(((e + w * (c - e)) / temperature).softmax(-1), u[:, i])
        codes = torch.cat([codes, code[:, None]], 1)
    return codes


def value(p: Tensor, u: Tensor) -> Tensor:
    """The code at u (B,) of probabilities p (B, K): rounding may leave their sum below u."""
    return (p.cumsum(-1) <= u.unsqueeze(-1)).sum(-1).clamp(max=p.shape[-1] - 1)


CODES, LETTERS = 6, 5  # sizes of the alphabet of codes and of the vocabulary in the probes
WORDS = 0.9 * random(LETTERS, CODES, seed=11)
AFTER = 0.9 * random(LETTERS, CODES, CODES, seed=12)  # what a code does to the next one depends on the caption
BEFORE = 0.5 * random(CODES, CODES, seed=13)


def told(caption: Tensor, codes: Tensor) -> Tensor:
    """Soft logits that lean on all words, on all codes so far, and on both together."""
    logits = WORDS[caption].mean(1)
    if codes.shape[1]:
        logits = logits + AFTER[caption[:, 0], codes[:, -1]] + BEFORE[codes].mean(1)
    return logits


def even(caption: Tensor, codes: Tensor) -> Tensor:
    """Logits of four codes that are equally likely."""
    return torch.zeros(len(caption), 4)


def _draw(
    logits=lambda e, c, w, t: (e + w * (c - e)) / t,
    chance=lambda logits: logits.softmax(-1),
    choose=value,
    uniform=lambda u, i, m: u[:, i],
    seen=lambda codes, m: codes,
    blank=lambda codes, m: codes,
    begin=lambda given: given,
    result=lambda codes, given: codes,
):
    """The right loop with one thing changed; m codes are given."""

    def answer(logits_fn, caption, empty, u, w, temperature, given):
        m, codes = given.shape[1], begin(given)
        for i in range(codes.shape[1], u.shape[1]):
            e, c = logits_fn(empty, blank(seen(codes, m), m)), logits_fn(caption, seen(codes, m))
            code = choose(chance(logits(e, c, w, temperature)), uniform(u, i, m))
            codes = torch.cat([codes, code[:, None]], 1)
        return result(codes, given)

    return answer


def _mixed_probabilities(logits_fn, caption, empty, u, w, temperature, given):
    codes = given
    for i in range(given.shape[1], u.shape[1]):
        e, c = (logits_fn(words, codes).div(temperature).softmax(-1) for words in (empty, caption))
        p = (e + w * (c - e)).clamp(min=0)
        codes = torch.cat([codes, value(p / p.sum(-1, keepdim=True), u[:, i])[:, None]], 1)
    return codes


def _at_once(logits_fn, caption, empty, u, w, temperature, given):
    e, c = logits_fn(empty, given), logits_fn(caption, given)
    p = ((e + w * (c - e)) / temperature).softmax(-1)
    codes = [value(p, u[:, i])[:, None] for i in range(given.shape[1], u.shape[1])]
    return torch.cat([given, *codes], 1)


def _doubled(logits_fn, caption, empty, u, w, temperature, given):
    codes = torch.cat([given, given.new_zeros(len(u), u.shape[1] - given.shape[1])], 1)
    words = torch.cat([caption, empty])
    for i in range(given.shape[1], u.shape[1]):
        c, e = logits_fn(words, codes[:, :i].repeat(2, 1)).chunk(2)
        cdf = torch.softmax(((1 - w) * e + w * c) / temperature, -1).cumsum(-1)
        found = torch.searchsorted(cdf.contiguous(), u[:, i, None].to(cdf.dtype).contiguous(), right=True)[:, 0]
        codes[:, i] = found.clamp(max=cdf.shape[-1] - 1)
    return codes


def _listed(logits_fn, caption, empty, u, w, temperature, given):
    codes = list(given.unbind(1))
    while len(codes) < u.shape[1]:
        seen = torch.stack(codes, 1) if codes else given
        e, c = (logits_fn(words, seen).log_softmax(-1) for words in (empty, caption))
        p = torch.softmax((e + w * (c - e)) / temperature, -1)
        codes.append((u[:, len(codes), None] >= p.cumsum(-1)[:, :-1]).sum(-1))
    return torch.stack(codes, 1)


def _into_given(logits_fn, caption, empty, u, w, temperature, given):
    codes = guided_sample(logits_fn, caption, empty, u, w, temperature, given)
    given.copy_(codes[:, -given.shape[1] :] if given.shape[1] else codes[:, :0])
    return codes


def _case(b: int, n: int, m: int, w: float, temperature: float, *, seed: int, logits_fn: LogitsFn = told) -> tuple:
    """Arguments: captions, uniforms and given codes that are drawn; the empty caption is 0 everywhere."""
    caption = random(b, 3, LETTERS - 1, seed=seed).argmax(-1) + 1
    u = torch.special.ndtr(random(b, n, seed=seed + 100))
    given = random(b, m, CODES, seed=seed + 200).argmax(-1)
    return logits_fn, caption, torch.zeros_like(caption), u, w, temperature, given


def _drawn(answer: Callable, *args: object) -> object:
    """`use` of a probe: what is drawn after the given codes."""
    codes = answer(*args)
    return codes[:, args[-1].shape[1] :] if isinstance(codes, Tensor) and codes.ndim == 2 else codes


NOTHING = torch.zeros(1, 0, dtype=torch.long)
EXAMPLE = even, torch.tensor([[1]]), torch.tensor([[0]]), torch.tensor([[0.1, 0.6]]), 3.0, 1.0, NOTHING
SLICE = even, torch.tensor([[1]]), torch.tensor([[0]]), torch.tensor([[0.0, 0.25, 0.5, 0.75]]), 3.0, 1.0, NOTHING
NEAR_ONE = told, *_case(2, 3, 0, 2.0, 1.0, seed=8)[1:3], torch.full((2, 3), 1 - 2**-24), 2.0, 1.0, NOTHING.expand(2, 0)
EQUAL = (
    "Right except where u is equal to a cumulative probability: such codes are passed as well, since the value counts "
    "those whose cumulative probability is <= u (searchsorted with right=True)."
)
ENDS = (
    "Right except for u near 1, where rounding can leave the cumulative probabilities below u: limit the code to K - 1."
)
ONE = "Right except for one image: squeeze() without an axis removes that axis as well."
ALL = "Right except where all codes are given and nothing is drawn: return them as they are."

EXERCISE = Exercise(
    name="guided_sample",
    lesson="17",
    reference=guided_sample,
    rule="For each code that is not given: logits with the empty caption, e, and with the caption, c, both after all "
    "codes so far; softmax of (e + w (c - e)) / temperature; count the cumulative probabilities that are <= u[:, i].",
    probes=[
        plain(*_case(4, 9, 0, 2.5, 1.0, seed=1)),
        plain(*_case(3, 8, 3, 4.0, 0.7, seed=2)),
        same(*_case(6, 12, 0, 1.0, 1.0, seed=3)),
        same(*_case(6, 12, 1, 0.0, 1.4, seed=4)),
        same(*_case(5, 10, 4, 2.0, 2.0, seed=5), use=_drawn),
        edge(same(*EXAMPLE), EQUAL),
        edge(same(*SLICE), EQUAL),
        edge(same(*NEAR_ONE), ENDS),
        edge(same(*_case(1, 6, 2, 3.0, 1.0, seed=6)), ONE),
        edge(same(*_case(3, 4, 4, 3.0, 1.0, seed=7)), ALL),
    ],
    axes=("image", "code"),
    mistakes=[
        (
            _draw(lambda e, c, w, t: (c + w * (c - e)) / t),
            "The guidance starts from the caption's logits, so w = 1 already exaggerates. Start from those of the "
            "empty caption: w = 1 must be the conditional model.",
        ),
        (
            _mixed_probabilities,
            "Probabilities are mixed, and for w > 1 the mixture can be negative. Combine logits, then take softmax.",
        ),
        (
            _draw(lambda e, c, w, t: (c + w * (e - c)) / t),
            "The two logits have changed places: w = 0 must be the model without a caption, w = 1 the one with it.",
        ),
        (
            _draw(lambda e, c, w, t: w * c / t),
            "The empty caption is not used. Guidance goes from its logits toward those of the caption, and beyond.",
        ),
        (
            _draw(lambda e, c, w, t: c / t),
            "There is no guidance: this is w = 1, whatever w says.",
        ),
        (
            _draw(lambda e, c, w, t: e + w * (c - e)),
            "The temperature is ignored: divide the guided logits by it.",
        ),
        (
            _draw(lambda e, c, w, t: (e + w * (c - e)) * t),
            "The logits are multiplied by the temperature: divide. A high temperature makes the draws more varied.",
        ),
        (
            _draw(lambda e, c, w, t: e + w * (c / t - e)),
            "Only the caption's logits are divided by the temperature: divide the guided logits.",
        ),
        (
            _draw(begin=lambda given: given[:, :0]),
            "The given codes are drawn anew. They are kept, and drawing begins after them.",
        ),
        (
            _draw(
                begin=lambda given: given[:, :0],
                result=lambda codes, given: torch.cat([given, codes[:, given.shape[1] :]], 1),
            ),
            "The given codes are written over the first ones at the end, so nothing that is drawn has seen them. Begin "
            "with them.",
        ),
        (
            _draw(seen=lambda codes, m: codes[:, m:]),
            "The network does not see the given codes: it reads all codes so far, given and drawn.",
        ),
        (
            _draw(blank=lambda codes, m: codes[:, :0]),
            "Without a caption the network sees no codes, either. Both calls read all codes so far; only the words "
            "differ.",
        ),
        (
            _draw(seen=lambda codes, m: codes[:, -1:]),
            "The network sees the last code only: it reads all codes so far.",
        ),
        (
            _at_once,
            "All codes are drawn from one pass. Each depends on those before it: call logits_fn for every code.",
        ),
        (_draw(choose=lambda p, u: p.argmax(-1)), "Each code is the most probable one. That is no draw: use u."),
        (
            _draw(choose=lambda p, u: torch.multinomial(p, 1)[:, 0]),
            "The draws come from torch's own generator: use u, so that they can be repeated.",
        ),
        (
            _draw(uniform=lambda u, i, m: u[:, i - m]),
            "The uniforms are counted from the first drawn code. Code i has u[:, i], whatever is given.",
        ),
        (
            _draw(uniform=lambda u, i, m: u[:1, i].expand(len(u))),
            "All images use the uniforms of the first one: keep the batch axis, u[:, i].",
        ),
        (
            _draw(uniform=lambda u, i, m: 1 - u[:, i]),
            "1 - u is uniform as well, but the code counts the cumulative probabilities that are <= u.",
        ),
        (
            _draw(result=lambda codes, given: codes[:, given.shape[1] :]),
            "The given codes are missing in the result: it begins with them.",
        ),
        (_draw(chance=torch.sigmoid), "The sigmoid is for two codes: probabilities of K codes are the softmax."),
        (
            _draw(choose=lambda p, u: (p <= u[:, None]).sum(-1).clamp(max=p.shape[-1] - 1)),
            "The probabilities are compared with u, not their cumulative sums: take cumsum(-1) first.",
        ),
        (_draw(choose=lambda p, u: (p.cumsum(-1) < u[:, None]).sum(-1)), EQUAL),
        (_draw(result=lambda codes, given: codes.float()), "The result is a float tensor: codes are a LongTensor."),
        (_into_given, "given itself has changed: write into a new tensor."),
    ],
    accepts=[
        _draw(),
        _doubled,
        _listed,
        _draw(lambda e, c, w, t: ((1 - w) * e + w * c) / t),
    ],
    speed=Speed(lambda: _case(8, 16, 0, 2.0, 1.0, seed=9)),
)
