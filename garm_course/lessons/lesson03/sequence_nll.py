"""The negative log-likelihood of sequences, summed over time; equation (3.4)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.pixelrnn import sequence_nll, shift_right
from garm_course.exercises.attempt import Attempt, Refused
from garm_course.exercises.edges import edge, plain
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson03 import faults


def _case(*shape: int, seed: int, large: float = 1) -> tuple[Tensor, Tensor]:
    """(B, T, V) logits and (B, T) values."""
    values = shape[2] * random(*shape[:2], seed=seed + 50).sigmoid()
    return large * random(*shape, seed=seed), values.long()


LARGE = _case(3, 8, 3, seed=7, large=1500)
OFFSET = _case(3, 2, 4, seed=10)
EXTREME = (
    "For extreme logits exp overflows or a softmax is 0, and the logarithm is infinite or NaN. log_softmax does both "
    "at once and subtracts the maximum of each position first."
)
FLOOR = (
    "An epsilon or a clamp under the logarithm changes the likelihood of rare values. log_softmax needs no such help."
)


def _large(attempt: Attempt) -> None:
    """The probe of logits of some thousands, where the way of writing it matters."""
    try:
        same(*LARGE)(attempt)
    except Refused as refused:
        got, want = attempt.outcomes[-1].value, sequence_nll(*LARGE)
        if not isinstance(got, Tensor) or got.shape != want.shape or got.dtype != want.dtype:
            raise
        if got.isfinite().all() and (got > want).any():
            raise
        raise Refused(str(refused), FLOOR if got.isfinite().all() else EXTREME) from refused


def _pick(scores: Tensor, x: Tensor) -> Tensor:
    """(B, T, V) and (B, T) -> (B, T): the score of the value that is there."""
    return scores.gather(-1, x.unsqueeze(-1)).squeeze(-1)


def _ce(logits: Tensor, x: Tensor) -> Tensor:
    """(B, T) nats."""
    return -_pick(logits.log_softmax(-1), x)


def _sum(terms):
    """An answer that sums other terms (B, T) over time."""
    return lambda logits, x: terms(logits, x).sum(1)


def _terms(adding):
    """An answer that does something else with the terms (B, T)."""
    return lambda logits, x: adding(_ce(logits, x))


def _reshaped(logits: Tensor) -> Tensor:
    return logits.reshape(len(logits), logits.shape[2], -1)


def _loop(logits: Tensor, x: Tensor) -> Tensor:
    return sum(F.cross_entropy(logits[:, t], x[:, t], reduction="none") for t in range(x.shape[1]))


def _examples(logits: Tensor, x: Tensor) -> Tensor:
    return torch.stack([F.cross_entropy(one, values, reduction="sum") for one, values in zip(logits, x, strict=True)])


def _one_hot(logits: Tensor, x: Tensor) -> Tensor:
    return -(F.one_hot(x, logits.shape[-1]) * logits.log_softmax(-1)).sum((1, 2))


def _yes_or_no(logits: Tensor, x: Tensor) -> Tensor:
    targets = F.one_hot(x, logits.shape[-1]).to(logits)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum((1, 2))


EXERCISE = Exercise(
    name="sequence_nll",
    lesson="03",
    reference=sequence_nll,
    rule="Cross-entropy of logits[:, t] (classes on the last axis) with x[:, t], summed over t: (B,) nats.",
    probes=[
        plain(*_case(3, 5, 4, seed=3)),
        same(*_case(2, 4, 4, seed=4)),  # T and V alike
        same(_case(4, 3, 6, seed=5)[0].float(), _case(4, 3, 6, seed=5)[1]),
        same(torch.zeros(2, 64, 17), torch.zeros(2, 64, dtype=torch.long)),  # the example of the text
        same(*_case(1, 4, 3, seed=6)),
        same(*_case(3, 1, 2, seed=6)),
        _large,
        same(*_case(2, 300, 256, seed=8)),
        edge(
            same(1e5 + OFFSET[0], OFFSET[1]),
            "Right for small logits. 100,000 added to all changes nothing, but digits are lost: keep their dtype.",
        ),
        same(*_case(3, 5, 4, seed=9), grad=True),
        same(*LARGE, grad=True),
    ],
    axes=("sequence",),
    mistakes=[
        (
            _terms(lambda terms: terms.mean(1)),
            "The mean over time. A log-likelihood is the sum over t: -log p(x) in nats per sequence.",
        ),
        (
            _terms(torch.mean),
            "The mean over everything: cross_entropy reduces unless told reduction='none'. Sum over time, keep (B,).",
        ),
        (
            _terms(lambda terms: terms.sum(0)),
            "Summed over the batch (dim 0). Sum over time (dim 1): one number per sequence.",
        ),
        (
            lambda logits, x: _ce(logits[:, :-1], x[:, 1:]).sum(1),
            "Shifted a second time: logits[:, t] predict x[:, t] already, because the shift is in the input.",
        ),
        (
            _sum(lambda logits, x: _ce(logits, shift_right(x))),
            "The targets are shifted: logits[:, t] predict x[:, t]. Only the input of the network was shifted.",
        ),
        (
            _sum(lambda logits, x: _ce(logits, x.roll(-1, 1))),
            "The targets are rolled to the left. logits[:, t] predict x[:, t], without another shift.",
        ),
        (_terms(lambda terms: terms[:, 1:].sum(1)), faults.FIRST_LEFT_OUT),
        (_terms(lambda terms: terms[:, :-1].sum(1)), faults.LAST_LEFT_OUT),
        (_terms(lambda terms: terms[:, -1]), faults.ONLY_LAST),
        (
            _sum(lambda logits, x: _ce(logits, x) * (x > 0)),
            "Positions with the value 0 are left out. 0 is a gray level, no padding.",
        ),
        (
            _sum(lambda logits, x: -_pick(logits.log_softmax(1), x)),
            "Softmax over time (dim 1). The values compete with each other at each time: the class axis is last.",
        ),
        (
            _sum(lambda logits, x: -_pick(logits.log_softmax(0), x)),
            "Softmax over the batch (dim 0). The values compete at each position: the class axis is last.",
        ),
        (
            _sum(lambda logits, x: -_pick(logits.flatten(1).log_softmax(1).view_as(logits), x)),
            "Softmax over time and values together. At each time the probabilities of the V values sum to 1.",
        ),
        (
            _sum(lambda logits, x: F.cross_entropy(logits, x, reduction="none")),
            faults.CLASSES,
        ),
        (_sum(lambda logits, x: F.cross_entropy(logits.transpose(0, 1), x, reduction="none")), faults.TIME_FIRST),
        (_sum(lambda logits, x: F.cross_entropy(_reshaped(logits), x, reduction="none")), faults.RESHAPED),
        (
            _sum(lambda logits, x: -_pick(logits, x)),
            "The logits are not normalized: log_softmax over the last axis comes first (nll_loss does not do it).",
        ),
        (
            _sum(lambda logits, x: -_pick(logits.softmax(-1), x)),
            "The logarithm is missing: these are probabilities. Take log_softmax in place of softmax.",
        ),
        (
            _sum(lambda logits, x: _ce(logits.softmax(-1), x)),
            "Softmax twice: cross_entropy takes logits, not probabilities. The loss could never come near 0.",
        ),
        (
            _yes_or_no,
            "V independent yes-no questions. One of V values occurs: softmax over the last axis, not sigmoid.",
        ),
        (
            lambda logits, x: -(logits.softmax(-1) * logits.log_softmax(-1)).sum((1, 2)),
            "This is the entropy of the predictions, and x is not used. Take the entry of the value that occurred.",
        ),
        (
            lambda logits, x: -logits.log_softmax(-1).sum((1, 2)),
            "All V log-probabilities are added, and x is not used. Take the entry of the value that occurred.",
        ),
        (
            _sum(lambda logits, x: -logits.log_softmax(-1).amax(-1)),
            "The most probable value is taken, whatever occurred. Take the entry of x[:, t].",
        ),
        (
            lambda logits, x: -logits.log_softmax(-1).gather(1, x.unsqueeze(-1)).squeeze(-1).sum(1),
            "gather along axis 1 picks times. The value x[:, t] is an index on the last axis: gather(-1, ...).",
        ),
        (_sum(lambda logits, x: -logits.log_softmax(-1).gather(-1, x)), faults.INDEX_AXES),
        (
            lambda logits, x: -logits.log_softmax(-1)[:, :, x].sum((1, 2)),
            "[:, :, x] takes the entries of all sequences and times for each one. gather takes its own for each.",
        ),
        (
            lambda logits, x: -_pick(logits.softmax(-1), x).prod(1).log(),
            "The product of many probabilities underflows to 0, its logarithm to -inf: sum logarithms instead.",
        ),
        (_sum(lambda logits, x: -_pick(logits.softmax(-1), x).log()), EXTREME),
        (_sum(lambda logits, x: -(_pick(logits.softmax(-1), x) + 1e-8).log()), FLOOR),
    ],
    accepts=[
        _loop,
        _examples,
        _one_hot,
        _sum(_ce),
        lambda logits, x: -torch.distributions.Categorical(logits=logits).log_prob(x).sum(1),
        _sum(lambda logits, x: logits.logsumexp(-1) - _pick(logits, x)),
        lambda logits, x: F.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none").view_as(x).sum(1),
        lambda logits, x: F.cross_entropy(logits.permute(0, 2, 1), x, reduction="none").sum(dim=1),
        lambda logits, x: F.nll_loss(logits.log_softmax(2).transpose(1, 2), x, reduction="none").sum(1),
        lambda logits, x: -logits.log_softmax(-1)[torch.arange(len(x))[:, None], torch.arange(x.shape[1]), x].sum(1),
        lambda logits, x: x.shape[1] * F.cross_entropy(logits.mT, x, reduction="none").mean(1),
    ],
    speed=Speed(lambda: (torch.randn(64, 64, 17), torch.randint(17, (64, 64)))),
)
