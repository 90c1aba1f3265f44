"""The negative log-likelihood of sequences, summed over time; equation (3.4)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.pixelrnn import sequence_nll, shift_right
from garm_course.exercises.registry import Exercise, Speed, same
from garm_course.lessons.lesson03 import faults


def _logits(*shape: int, seed: int = 3) -> Tensor:
    """Signs mixed, nothing round, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _values(b: int, t: int, v: int, seed: int = 3) -> Tensor:
    return torch.randint(v, (b, t), generator=torch.Generator().manual_seed(seed))


def _pick(scores: Tensor, x: Tensor) -> Tensor:
    """(B, T, V) and (B, T) -> (B, T): the score of the value that is there."""
    return scores.gather(-1, x.unsqueeze(-1)).squeeze(-1)


def _ce(logits: Tensor, x: Tensor) -> Tensor:
    """(B, T) nats."""
    return -_pick(logits.log_softmax(-1), x)


def _by_loop(logits: Tensor, x: Tensor) -> Tensor:
    total = logits.new_zeros(len(x))
    for t in range(x.shape[1]):
        total = total + F.cross_entropy(logits[:, t], x[:, t], reduction="none")
    return total


def _list_of_examples(logits: Tensor, x: Tensor) -> Tensor:
    return torch.stack([F.cross_entropy(one, values, reduction="sum") for one, values in zip(logits, x, strict=True)])


def _categorical(logits: Tensor, x: Tensor) -> Tensor:
    return -torch.distributions.Categorical(logits=logits).log_prob(x).sum(1)


def _one_hot(logits: Tensor, x: Tensor) -> Tensor:
    return -(F.one_hot(x, logits.shape[-1]) * logits.log_softmax(-1)).sum((1, 2))


def _by_normalizer(logits: Tensor, x: Tensor) -> Tensor:
    return (logits.logsumexp(-1) - _pick(logits, x)).sum(-1)


def _flat(logits: Tensor, x: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none").view_as(x).sum(1)


def _by_exp(logits: Tensor, x: Tensor) -> Tensor:
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return -_pick(p, x).log().sum(1)


def _squared_error(logits: Tensor, x: Tensor) -> Tensor:
    mean = (logits.softmax(-1) * torch.arange(logits.shape[-1])).sum(-1)
    return (mean - x).square().sum(1)


EXERCISE = Exercise(
    name="sequence_nll",
    lesson="03",
    reference=sequence_nll,
    rule="Cross-entropy of logits[:, t] (classes on the last axis) with x[:, t], summed over t: (B,) nats.",
    probes=[
        same(_logits(3, 5, 4), _values(3, 5, 4)),
        same(_logits(2, 4, 4, seed=4), _values(2, 4, 4, seed=4)),
        same(_logits(4, 3, 6, seed=5).float(), _values(4, 3, 6, seed=5)),
        same(torch.zeros(2, 64, 17, dtype=torch.float64), _values(2, 64, 17)),
        same(_logits(1, 1, 3, seed=6), _values(1, 1, 3)),
        same(1000 * _logits(2, 3, 5, seed=7), _values(2, 3, 5, seed=7)),
        same(_logits(2, 300, 256, seed=8), _values(2, 300, 256, seed=8)),
        same(_logits(3, 5, 4, seed=9), _values(3, 5, 4, seed=9), grad=True),
    ],
    axes=("sequence",),
    mistakes=[
        (
            lambda logits, x: _ce(logits, x).mean(1),
            "The mean over time. A log-likelihood is the sum over t: -log p(x) in nats per sequence.",
        ),
        (
            lambda logits, x: _ce(logits, x),
            "One number per position: sum them over time, which reduction='none' leaves to you.",
        ),
        (
            lambda logits, x: _ce(logits, x).mean(),
            "The mean over everything: cross_entropy reduces unless told reduction='none'. Sum over time, keep (B,).",
        ),
        (
            lambda logits, x: _ce(logits, x).sum(),
            "The sum over everything: one number per sequence is asked, so sum over time only.",
        ),
        (
            lambda logits, x: _ce(logits, x).sum(1).mean(),
            "The mean over the batch was taken. Return one number per sequence; the caller averages.",
        ),
        (
            lambda logits, x: _ce(logits, x).sum(0),
            "Summed over the batch (dim 0). Sum over time (dim 1): one number per sequence.",
        ),
        (
            lambda logits, x: _ce(logits, x).mean(0),
            "The mean over the batch, at each time. Sum over time (dim 1): one number per sequence.",
        ),
        (
            lambda logits, x: -_ce(logits, x).sum(1),
            "The sign: this is the log-likelihood. The negative log-likelihood is positive.",
        ),
        (
            lambda logits, x: _ce(logits, x).sum(1) / math.log(2),
            "These are bits. Return nats: natural logarithms, nothing divided.",
        ),
        (
            lambda logits, x: _ce(logits, x).mean(1) / math.log(2),
            "These are bits per dimension. Return nats, summed over time.",
        ),
        (
            lambda logits, x: _ce(logits, x).sum(1) / math.log(10),
            "The logarithm has base 10. Return nats: the natural logarithm, torch.log.",
        ),
        (
            lambda logits, x: _ce(logits, x).mean(1).exp(),
            "This is the perplexity, exp of the mean. Return the sum over time, in nats.",
        ),
        (
            lambda logits, x: (-_ce(logits, x).sum(1)).exp(),
            "This is the probability of the sequence. Return its negative logarithm.",
        ),
        (
            lambda logits, x: _ce(logits[:, :-1], x[:, 1:]).sum(1),
            "Shifted a second time: logits[:, t] predict x[:, t] already, because the shift is in the input.",
        ),
        (
            lambda logits, x: _ce(logits[:, 1:], x[:, :-1]).sum(1),
            "Shifted, and backwards: logits[:, t] are compared with x[:, t - 1]. They predict x[:, t].",
        ),
        (
            lambda logits, x: _ce(logits, shift_right(x)).sum(1),
            "The targets are shifted: logits[:, t] predict x[:, t]. Only the input of the network was shifted.",
        ),
        (
            lambda logits, x: _ce(logits, x.roll(1, 1)).sum(1),
            "The targets are rolled to the right. Only the input of the network was shifted: the target is x itself.",
        ),
        (
            lambda logits, x: _ce(logits, x.roll(-1, 1)).sum(1),
            "The targets are rolled to the left. logits[:, t] predict x[:, t], without another shift.",
        ),
        (
            lambda logits, x: _ce(logits, x.flip(1)).sum(1),
            "The sequence is compared backwards: logits[:, t] predict x[:, t].",
        ),
        (
            lambda logits, x: _ce(logits, x)[:, 1:].sum(1),
            faults.FIRST_LEFT_OUT,
        ),
        (
            lambda logits, x: _ce(logits, x)[:, :-1].sum(1),
            faults.LAST_LEFT_OUT,
        ),
        (
            lambda logits, x: _ce(logits, x)[:, -1],
            faults.ONLY_LAST,
        ),
        (
            lambda logits, x: _ce(logits, x)[:, 0],
            faults.ONLY_FIRST,
        ),
        (
            lambda logits, x: (_ce(logits, x) * (x > 0)).sum(1),
            "Positions with the value 0 are left out. 0 is a gray level, no padding.",
        ),
        (
            lambda logits, x: -_pick(logits.log_softmax(1), x).sum(1),
            "Softmax over time (dim 1). The values compete with each other at each time: the class axis is last.",
        ),
        (
            lambda logits, x: -_pick(logits.softmax(1).log(), x).sum(1),
            "Softmax over time (dim 1), and then a logarithm that underflows: take log_softmax(-1), over the classes.",
        ),
        (
            lambda logits, x: -_pick(logits.log_softmax(0), x).sum(1),
            "Softmax over the batch (dim 0). The values compete at each position: the class axis is last.",
        ),
        (
            lambda logits, x: -_pick(logits.flatten(1).log_softmax(1).view_as(logits), x).sum(1),
            "Softmax over time and values together. At each time the probabilities of the V values sum to 1.",
        ),
        (
            lambda logits, x: logits.logsumexp((1, 2)) - _pick(logits, x).sum(1),
            "logsumexp over time and values, once for all. Each time has its own: logsumexp(-1), then sum over t.",
        ),
        (
            lambda logits, x: _ce(logits, x).view(-1, len(x)).sum(0),
            "view(-1, B) mixes the sequences: the flat numbers lie sequence by sequence, view(B, T) and sum(1).",
        ),
        (
            lambda logits, x: F.cross_entropy(logits, x, reduction="none").sum(1),
            faults.CLASSES,
        ),
        (
            lambda logits, x: F.cross_entropy(logits, x),
            "cross_entropy wants the classes on axis 1, and it takes means: logits.transpose(1, 2), reduction='none'.",
        ),
        (
            lambda logits, x: F.cross_entropy(logits, x, reduction="sum"),
            "cross_entropy wants the classes on axis 1, and it adds up all: logits.transpose(1, 2), reduction='none'.",
        ),
        (
            lambda logits, x: F.cross_entropy(logits.transpose(0, 1), x, reduction="none").sum(1),
            faults.TIME_FIRST,
        ),
        (
            lambda logits, x: F.nll_loss(logits.log_softmax(-1), x, reduction="none").sum(1),
            "nll_loss wants the classes on axis 1: transpose(1, 2) after the log_softmax over the last axis.",
        ),
        (
            lambda logits, x: _ce(logits.reshape(len(x), logits.shape[2], -1).transpose(1, 2), x).sum(1),
            faults.RESHAPED,
        ),
        (
            lambda logits, x: -_pick(logits, x).sum(1),
            "The logits are not normalized: log_softmax over the last axis comes first (nll_loss does not do it).",
        ),
        (
            lambda logits, x: _pick(logits, x).sum(1),
            "These are sums of logits. Take -log_softmax over the last axis, then the entry of x[:, t].",
        ),
        (
            lambda logits, x: -_pick(logits.softmax(-1), x).sum(1),
            "The logarithm is missing: these are probabilities. Take log_softmax in place of softmax.",
        ),
        (
            lambda logits, x: _pick(logits.softmax(-1), x).sum(1),
            "These are sums of probabilities. Sum their negative logarithms.",
        ),
        (
            lambda logits, x: _ce(logits.softmax(-1), x).sum(1),
            "Softmax twice: cross_entropy takes logits, not probabilities. The loss could never come near 0.",
        ),
        (
            lambda logits, x: -_pick(logits.softmax(-1), x).sum(1).log(),
            "The logarithm of a sum of probabilities. The sum of the logarithms is asked.",
        ),
        (
            lambda logits, x: -_pick(logits.softmax(-1), x).prod(1).log(),
            "The product of many probabilities underflows to 0, its logarithm to -inf: sum logarithms instead.",
        ),
        (
            lambda logits, x: -_pick(logits.softmax(-1), x).log().sum(1),
            faults.UNDERFLOW,
        ),
        (
            lambda logits, x: -(_pick(logits.softmax(-1), x) + 1e-8).log().sum(1),
            "The 1e-8 under the logarithm changes the likelihood. log_softmax needs no such help.",
        ),
        (
            lambda logits, x: -_pick(logits.softmax(-1), x).clamp(min=1e-12).log().sum(1),
            "The clamp under the logarithm changes the likelihood of rare values. log_softmax needs no such help.",
        ),
        (
            _by_exp,
            "exp overflows for large logits: inf / inf is NaN. log_softmax subtracts the maximum first.",
        ),
        (
            lambda logits, x: F.binary_cross_entropy_with_logits(
                logits, F.one_hot(x, logits.shape[-1]).to(logits), reduction="none"
            ).sum((1, 2)),
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
            lambda logits, x: -logits.log_softmax(-1).amax(-1).sum(1),
            "The most probable value is taken, whatever occurred. Take the entry of x[:, t].",
        ),
        (
            lambda logits, x: (logits.argmax(-1) != x).to(logits).sum(1),
            "This counts wrong predictions. A likelihood scores probabilities: -log of what x[:, t] was given.",
        ),
        (
            _squared_error,
            "This is a squared error of the mean value. Values are classes here: -log of what x[:, t] was given.",
        ),
        (
            lambda logits, x: -logits.log_softmax(-1).gather(-1, x.unsqueeze(-1)).sum(1),
            "The right numbers with an axis too many, (B, 1): gather keeps the last axis, squeeze it away.",
        ),
        (
            lambda logits, x: -logits.log_softmax(-1).gather(-1, x.unsqueeze(-1)).squeeze().sum(1),
            "squeeze() without an axis also removes a batch or a time of length 1: squeeze(-1).",
        ),
        (
            lambda logits, x: -logits.log_softmax(-1).gather(1, x.unsqueeze(-1)).squeeze(-1).sum(1),
            "gather along axis 1 picks times. The value x[:, t] is an index on the last axis: gather(-1, ...).",
        ),
        (
            lambda logits, x: _ce(logits, x).sum(1) / len(x),
            "Divided by the number of sequences. Each keeps its own sum; the caller averages.",
        ),
        (
            lambda logits, x: _ce(logits, x).sum(1) / logits.shape[-1],
            "Divided by the number of values V. Nothing is divided: the sum over time, in nats.",
        ),
        (
            lambda logits, x: _list_of_examples(logits, x).tolist(),
            "A list of numbers has no gradient: torch.stack makes a tensor (B,) of the tensors of a loop.",
        ),
        (
            lambda logits, x: -logits.log_softmax(-1).gather(-1, x).sum(1),
            faults.INDEX_AXES,
        ),
        (
            lambda logits, x: -logits.log_softmax(-1)[:, :, x].sum((1, 2)),
            "[:, :, x] takes the entries of all sequences and times for each one. gather takes its own for each.",
        ),
        (
            lambda logits, x: sequence_nll(logits.detach(), x),
            "The values are right, but detached: nothing could be trained. Leave out .detach(), .data and .item().",
        ),
        (
            lambda logits, x: sequence_nll(logits.float(), x),
            "The logits were converted to float32. Leave their dtype as it is.",
        ),
    ],
    accepts=[
        _by_loop,
        _list_of_examples,
        _categorical,
        _one_hot,
        _by_normalizer,
        _flat,
        lambda logits, x: _ce(logits, x).sum(1),
        lambda logits, x: F.cross_entropy(logits.mT, x, reduction="none").sum(-1),
        lambda logits, x: F.cross_entropy(logits.permute(0, 2, 1), x, reduction="none").sum(dim=1),
        lambda logits, x: F.nll_loss(logits.log_softmax(2).transpose(1, 2), x, reduction="none").sum(1),
        lambda logits, x: -logits.log_softmax(-1)[torch.arange(len(x))[:, None], torch.arange(x.shape[1]), x].sum(1),
        lambda logits, x: x.shape[1] * F.cross_entropy(logits.mT, x, reduction="none").mean(1),
        lambda logits, x: _ce(logits.log_softmax(-1), x).sum(1),
    ],
    speed=Speed(lambda: (torch.randn(64, 64, 17), torch.randint(17, (64, 64)))),
)
