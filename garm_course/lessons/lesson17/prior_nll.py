"""Nats for the code of an image, given the words before it; equation (17.2)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson07.extremes import extreme


def prior_nll(logits: Tensor, tokens: Tensor, n_cond: int) -> Tensor:
    """-log p(codes | caption) of each sequence of a caption and then codes, in nats.

    Args:
        logits: (B, T, K); those at position t have read tokens 0..t and predict token t + 1.
        tokens: LongTensor (B, T): the caption's n_cond tokens, then T - n_cond codes.
        n_cond: tokens of the caption, 1..T - 1; they are read, and not scored.

    Returns:
        (B,): the sum over the codes of each image.
    """
    return F.cross_entropy(logits[:, n_cond - 1 : -1].mT, tokens[:, n_cond:], reduction="none").sum(1)


def _nats(logits: Tensor, tokens: Tensor) -> Tensor:
    """(B, T, K) logits and (B, T) targets -> (B, T) nats."""
    return F.cross_entropy(logits.mT, tokens, reduction="none")


def _of(logits_of: Callable, tokens_of: Callable = lambda tokens, c: tokens[:, c:]):
    """Another pairing of logits and targets."""
    return lambda logits, tokens, c: _nats(logits_of(logits, c), tokens_of(tokens, c)).sum(1)


def _reduced(reduce: Callable[[Tensor], object]):
    """Another way from nats (B, N) to a result."""
    return lambda logits, tokens, c: reduce(_nats(logits[:, c - 1 : -1], tokens[:, c:]))


def _changed(change: Callable[[Tensor], Tensor]):
    """Other logits."""
    return lambda logits, tokens, c: prior_nll(change(logits), tokens, c)


def _gathered(log_p: Callable[[Tensor], Tensor]):
    """An answer from other log-probabilities."""
    return lambda logits, tokens, c: (
        -log_p(logits[:, c - 1 : -1]).gather(-1, tokens[:, c:, None])[..., 0].sum(1)
    )  # fmt: skip


def _ignored(logits: Tensor, tokens: Tensor, c: int) -> Tensor:
    targets = tokens[:, 1:].clone()
    targets[:, : c - 1] = -100
    return F.cross_entropy(logits[:, :-1].mT, targets, reduction="none", ignore_index=-100).sum(1)


def _by_loop(logits: Tensor, tokens: Tensor, c: int) -> Tensor:
    total = torch.zeros(len(tokens), dtype=logits.dtype)
    for t in range(c, tokens.shape[1]):
        total = total + F.cross_entropy(logits[:, t - 1], tokens[:, t], reduction="none")
    return total


def _case(n: int, c: int, codes: int, levels: int, *, seed: int, dtype: torch.dtype = torch.float64) -> tuple:
    """Logits, tokens and n_cond; the caption's tokens are all different from each other where that is possible."""
    tokens = random(n, c + codes, levels, seed=seed + 1).argmax(-1)
    return 2 * random(n, c + codes, levels, seed=seed).to(dtype), tokens, c


def _elsewhere(answer: Callable, logits: Tensor, tokens: Tensor, c: int) -> Tensor:
    """`use` of a probe: what may not matter is changed, the words but for their logits, and the last logits."""
    logits = logits.clone()
    logits[:, -1] = 50 * logits[:, -1].flip(-1)
    logits[:, : c - 1] = 50 * logits[:, : c - 1].flip(-1)
    tokens = tokens.clone()
    tokens[:, :c] = 0
    return answer(logits, tokens, c)


OVERFLOW = (
    "Logits of a thousand overflow in exp, or their probability rounds to 0 and its logarithm is -inf. Take "
    "log_softmax(-1) or F.cross_entropy, which never form the probability."
)
FLOORED = "Confident mistakes are cut off: something stands under the logarithm, such as + 1e-9. Take log_softmax(-1)."
ONE = "Right except for one image or one code: squeeze() without an axis removes that axis as well."
LARGE = 1000 * random(3, 7, 4, seed=11), *_case(3, 2, 5, 4, seed=11)[1:]

EXERCISE = Exercise(
    name="prior_nll",
    lesson="17",
    reference=prior_nll,
    rule="logits[:, t] predict tokens[:, t + 1]: pair logits[:, n_cond - 1 : -1] with tokens[:, n_cond:], take minus "
    "the log_softmax at the token, and add over the codes.",
    probes=[
        plain(*_case(3, 3, 5, 6, seed=0), values=False),
        plain(*_case(3, 3, 5, 6, seed=0)),
        plain(*_case(4, 1, 7, 5, seed=3)),
        plain(*_case(2, 4, 4, 7, seed=5)),
        same(torch.zeros(1, 4, 8), torch.tensor([[5, 5, 1, 2]]), 2),
        same(*_case(3, 3, 4, 5, seed=7), use=_elsewhere),
        extreme(same(*LARGE), OVERFLOW, FLOORED),
        edge(same(*_case(1, 2, 4, 5, seed=13)), ONE),
        edge(same(*_case(3, 2, 1, 5, seed=15)), ONE),
        same(*_case(3, 2, 4, 5, seed=17), grad=True),
        same(*_case(3, 2, 4, 5, seed=19, dtype=torch.float32)),
    ],
    axes=("image",),
    rtol=1e-5,
    atol=1e-6,
    mistakes=[
        (
            _of(lambda x, c: x[:, c:]),
            "The shift is missing: logits at t are held against token t, which the model has just read. Logit "
            "n_cond - 1, at the caption's last word, predicts the first code.",
        ),
        (
            lambda logits, tokens, c: _nats(logits[:, c:-1], tokens[:, c + 1 :]).sum(1),
            "The first code is not scored. The logits at the caption's last word, n_cond - 1, predict it.",
        ),
        (
            lambda logits, tokens, c: _nats(logits[:, :-1], tokens[:, 1:]).sum(1),
            "The caption is scored as well, from its second word on. It is given: score the codes only.",
        ),
        (
            lambda logits, tokens, c: _nats(logits[:, max(c - 2, 0) : -1], tokens[:, max(c - 1, 1) :]).sum(1),
            "The last word of the caption is scored. It is given: the sum begins with the first code.",
        ),
        (
            lambda logits, tokens, c: _nats(logits, tokens)[:, :c].sum(1),
            "This scores the caption. Score the codes, tokens[:, n_cond:].",
        ),
        (
            lambda logits, tokens, c: _nats(logits[:, c - 1 : -2], tokens[:, c:-1]).sum(1),
            "The last code is not scored. Only the last logits are left out: nothing follows the last token.",
        ),
        (
            _of(lambda x, c: torch.cat([x[:, c + 1 :], x[:, :1]], 1)),
            "The shift goes the wrong way: logits after a token are held against it. Logits at t predict token t + 1.",
        ),
        (
            lambda logits, tokens, c: _nats(logits, tokens.roll(-1, 1))[:, c - 1 :].sum(1),
            "The tokens are rolled, so the last logits are held against the first word. Nothing follows the last code.",
        ),
        (_reduced(lambda nats: nats.mean(1)), "This is the mean over the codes. Nats per image are the sum."),
        (_reduced(lambda nats: nats.mean()), "One number stands for the whole batch. Add over the codes, `.sum(1)`."),
        (_reduced(lambda nats: nats.sum()), "One sum stands for the whole batch. Add over the codes only, `.sum(1)`."),
        (_reduced(lambda nats: nats), "One number for each code: add over the codes, `.sum(1)`."),
        (_reduced(lambda nats: nats.sum(0)), "The sum runs over the images. Add over the codes, axis 1."),
        (_reduced(lambda nats: -nats.sum(1)), "This is log p. The score is its negative."),
        (_reduced(lambda nats: nats.sum(1) / math.log(2)), "These are bits. Nats need no division by ln 2."),
        (
            _reduced(lambda nats: 1 - (-nats).exp().prod(1)),
            "Probabilities are multiplied. Add their logarithms.",
        ),
        (_changed(lambda x: x.softmax(-1)), "The softmax is taken twice: cross_entropy and log_softmax expect logits."),
        (
            _changed(lambda x: x.softmax(1).log()),
            "The softmax runs over the positions. The probabilities of the K codes, the last axis, sum to 1.",
        ),
        (
            _gathered(lambda x: x),
            "Logits are no log-probabilities: they are not normalized. Take log_softmax(-1) first.",
        ),
        (_gathered(lambda x: x.softmax(-1).log()), OVERFLOW),
        (_gathered(lambda x: (x.softmax(-1) + 1e-9).log()), FLOORED),
        (
            lambda logits, tokens, c: F.cross_entropy(
                logits[:, c - 1 : -1].reshape(len(logits), logits.shape[-1], -1), tokens[:, c:], reduction="none"
            ).sum(1),
            "reshape does not move axes: it cuts the same numbers into other pieces. Transpose, `.mT`.",
        ),
        (_reduced(lambda nats: nats.squeeze().sum(-1)), ONE),
    ],
    accepts=[
        _gathered(lambda x: x.log_softmax(-1)),
        _ignored,
        _by_loop,
        lambda logits, tokens, c: (
            F.cross_entropy(logits[:, c - 1 : -1].flatten(0, 1), tokens[:, c:].flatten(), reduction="none")
            .view(len(tokens), -1)
            .sum(1)
        ),
        lambda logits, tokens, c: (
            -torch.distributions.Categorical(logits=logits[:, c - 1 : -1]).log_prob(tokens[:, c:]).sum(1)
        ),
    ],
    speed=Speed(lambda: (torch.zeros(64, 27, 96), torch.zeros(64, 27, dtype=torch.long), 11)),
)
