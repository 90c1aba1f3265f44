"""Nats per predicted token of a sequence; equation (7.1)."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson07.extremes import extreme


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean of -log p(token t + 1 | tokens 0..t) over the T - 1 predicted tokens of each sequence, in nats.

    Args:
        logits: (B, T, V); those at position t predict token t + 1, so the last ones predict nothing here.
        tokens: LongTensor (B, T), T >= 2.

    Returns:
        (B,).
    """
    log_p = logits[:, :-1].log_softmax(-1)
    return -log_p.gather(-1, tokens[:, 1:, None])[..., 0].mean(1)


def _nats(logits: Tensor, tokens: Tensor) -> Tensor:
    """(B, T, V) logits and (B, T) targets -> (B, T) nats."""
    return F.cross_entropy(logits.mT, tokens, reduction="none")


def _shifted(reduce: Callable[[Tensor, Tensor], object]):
    """Another way from nats (B, T - 1) and tokens (B, T) to a result."""
    return lambda logits, tokens: reduce(_nats(logits[:, :-1], tokens[:, 1:]), tokens)


def _targets(logits_of: Callable[[Tensor], Tensor], tokens_of: Callable[[Tensor], Tensor]):
    """Another pairing of logits and targets."""
    return lambda logits, tokens: _nats(logits_of(logits), tokens_of(tokens)).mean(1)


def _changed(change: Callable[[Tensor], Tensor]):
    """Other logits."""
    return lambda logits, tokens: next_token_loss(change(logits), tokens)


def _by_loop(logits: Tensor, tokens: Tensor) -> Tensor:
    total = torch.zeros(len(logits), dtype=logits.dtype)
    for t in range(tokens.shape[1] - 1):
        scores = logits[:, t]
        total = total + torch.logsumexp(scores, -1) - scores[torch.arange(len(tokens)), tokens[:, t + 1]]
    return total / (tokens.shape[1] - 1)


def _flat(logits: Tensor, tokens: Tensor) -> Tensor:
    size, classes = len(tokens), logits.shape[-1]
    nats = F.cross_entropy(logits[:, :-1].reshape(-1, classes), tokens[:, 1:].flatten(), reduction="none")
    return nats.view(size, -1).mean(-1)


def _no_gather(logits: Tensor, tokens: Tensor) -> Tensor:
    chosen = F.one_hot(tokens[:, 1:], logits.shape[-1]).to(logits.dtype)
    return -(logits[:, :-1].log_softmax(-1) * chosen).sum(-1).mean(-1)


def _case(n: int, length: int, levels: int, *, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Logits and tokens; every sequence has some tokens that are repeated and some that are not."""
    tokens = random(n, length, levels, seed=seed + 1).argmax(-1)
    return 2 * random(n, length, levels, seed=seed).to(dtype), tokens


OVERFLOW = (
    "Logits of a thousand overflow in exp, or their probability rounds to 0 and its logarithm is -inf. Take "
    "log_softmax(-1) or F.cross_entropy, which never form the probability."
)
FLOORED = (
    "Confident mistakes are cut off: something stands under the logarithm, such as + 1e-9. log_softmax(-1) needs "
    "no floor."
)
ONE = "Right except for one sequence or one predicted token: squeeze() without an axis removes that axis as well."
LARGE = 1000 * random(3, 5, 4, seed=11), _case(3, 5, 4, seed=11)[1]
EXAMPLE = (
    torch.tensor([[[0.0, 1.0986], [0.0, 0.0], [9.0, -9.0]]]),
    torch.tensor([[0, 1, 0]]),
)

EXERCISE = Exercise(
    name="next_token_loss",
    lesson="07",
    reference=next_token_loss,
    rule="logits[:, t] predict tokens[:, t + 1]: pair logits[:, :-1] with tokens[:, 1:], take minus the log_softmax "
    "at the token, and average over the T - 1 predictions of each sequence.",
    probes=[
        plain(*_case(3, 6, 7, seed=0), values=False),
        plain(*_case(3, 6, 7, seed=0)),
        plain(*_case(4, 9, 5, seed=3)),
        same(torch.zeros(2, 4, 96), torch.zeros(2, 4, dtype=torch.long)),
        same(*EXAMPLE),
        extreme(same(*LARGE), OVERFLOW, FLOORED),
        edge(same(*_case(1, 6, 5, seed=13)), ONE),
        edge(same(*_case(3, 2, 5, seed=15)), ONE),
        same(*_case(2, 4, 4, seed=17)),
        same(*_case(3, 6, 5, seed=19), grad=True),
        same(*_case(3, 6, 5, seed=21, dtype=torch.float32)),
    ],
    axes=("sequence",),
    rtol=1e-5,
    atol=1e-6,
    mistakes=[
        (
            _targets(lambda x: x, lambda t: t),
            "The shift is missing: logits at t are held against token t, which the network has just read. They "
            "predict token t + 1.",
        ),
        (
            _targets(lambda x: x[:, 1:], lambda t: t[:, :-1]),
            "The shift goes the wrong way: logits at t + 1 are held against token t. Drop the last logits and the "
            "first token.",
        ),
        (
            _targets(lambda x: x[:, 1:], lambda t: t[:, 1:]),
            "Both lose their first position, so logits at t are still held against token t. Drop the last logits.",
        ),
        (
            _targets(lambda x: x[:, :-1], lambda t: t[:, :-1]),
            "Both lose their last position, so logits at t are still held against token t. Drop the first token.",
        ),
        (
            _targets(lambda x: x, lambda t: t.roll(-1, 1)),
            "The tokens are rolled, so the last logits are held against the first token. Nothing follows the last "
            "token: leave its logits out.",
        ),
        (
            _targets(lambda x: x[:, :-2], lambda t: t[:, 2:]),
            "The tokens are shifted by two. The logits at t predict token t + 1.",
        ),
        (
            lambda logits, tokens: F.cross_entropy(
                logits[:, :-1].reshape(len(logits), logits.shape[-1], -1), tokens[:, 1:], reduction="none"
            ).mean(1),
            "reshape does not move axes: it cuts the same numbers into other pieces. Transpose, `.mT`.",
        ),
        (
            _shifted(lambda nats, tokens: nats.sum(1)),
            "This is the sum over the tokens. Average over the T - 1 of them.",
        ),
        (
            _shifted(lambda nats, tokens: nats.mean()),
            "One number stands for the whole batch. Average over the positions only, `.mean(1)`.",
        ),
        (
            _shifted(lambda nats, tokens: nats.sum(1) / tokens.shape[1]),
            "The sum is divided by T. Only T - 1 tokens are predicted.",
        ),
        (_shifted(lambda nats, tokens: nats), "One number for each token: average over the positions, `.mean(1)`."),
        (
            _shifted(lambda nats, tokens: nats.mean(0)),
            "The average runs over the sequences. Average over the positions, axis 1.",
        ),
        (_changed(lambda x: x.softmax(-1)), "The softmax is taken twice: cross_entropy and log_softmax expect logits."),
        (
            _changed(lambda x: x.softmax(1).log()),
            "The softmax runs over the positions. The probabilities of the V tokens, the last axis, sum to 1.",
        ),
        (_shifted(lambda nats, tokens: nats.mean(1) / math.log(2)), "These are bits. Nats need no division by ln 2."),
        (_shifted(lambda nats, tokens: nats.mean(1).exp()), "This is the perplexity, exp of the answer."),
        (_shifted(lambda nats, tokens: (-nats).exp().mean(1)), "Probabilities are averaged. Average their logarithms."),
        (_shifted(lambda nats, tokens: -nats.mean(1)), "The sign is missing: a loss is minus the log-probability."),
        (
            lambda logits, tokens: -logits[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0].mean(1),
            "Logits are no log-probabilities: they are not normalized. Take log_softmax(-1) first.",
        ),
        (
            _shifted(lambda nats, tokens: -((-nats).exp() + 1e-9).log().mean(1)),
            FLOORED,
        ),
        (
            lambda logits, tokens: -logits[:, :-1].softmax(-1).log().gather(-1, tokens[:, 1:, None])[..., 0].mean(1),
            OVERFLOW,
        ),
        (
            _shifted(lambda nats, tokens: nats[:, -1]),
            "Only the last token counts. Average over all T - 1 predictions.",
        ),
        (
            lambda logits, tokens: F.cross_entropy(logits[:, :-1], tokens[:, 1:], reduction="none").mean(1),
            "cross_entropy wants the classes on axis 1: give it `logits[:, :-1].mT`.",
        ),
        (_shifted(lambda nats, tokens: nats.squeeze().mean(-1)), ONE),
    ],
    accepts=[
        lambda logits, tokens: F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none").mean(1),
        _flat,
        _by_loop,
        _no_gather,
    ],
    speed=Speed(lambda: (torch.zeros(16, 128, 96), torch.zeros(16, 128, dtype=torch.long))),
)
