"""The article's PixelRNN as a generative model, with nine faults that are removed one by one.

`examination` finds them, `faults` holds the hints. Here are the repaired model, and what is handed in on the way to it.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from garm_course.autoregressive.pixelrnn import sequence_nll, shift_right
from garm_course.exercises.registry import Exercise, Speed
from garm_course.lessons.lesson03 import faults
from garm_course.lessons.lesson03.examination import repaired


def repair_article(levels: int, hidden: int) -> nn.Module:
    """The article's PixelRNN, repaired.

    Args:
        levels: number of gray levels; `levels` itself is the start value.
        hidden: size of the state.

    Returns:
        An untrained module with
        forward(inputs (B, T), state=None) -> logits (B, T, levels), state (1, B, hidden);
        nll(x (B, T), y (B,)) -> (B,) nats; bits_per_dim(x, y) -> a number;
        next_probabilities(logits (B, T, levels)) -> (B, levels); sample(n, T, rng) -> (n, T).

    Example:
        >>> repair_article(17, 6).nll(torch.zeros(3, 7, dtype=torch.long), torch.zeros(3)).shape
        torch.Size([3])
    """

    class PixelRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(levels + 1, hidden)  # one vector for each input value, and the start
            self.gru = nn.GRU(hidden, hidden, batch_first=True)
            self.dense = nn.Linear(hidden, levels)

        def forward(self, inputs, state=None):
            out, state = self.gru(self.embedding(inputs), state)
            return self.dense(out), state

        def nll(self, x, y):
            logits, _ = self(shift_right(x, levels))
            return sequence_nll(logits, x)

        def bits_per_dim(self, x, y):
            return self.nll(x, y).mean() / x.shape[1] / math.log(2)

        def next_probabilities(self, logits):
            return logits[:, -1].softmax(-1)

        def sample(self, n, T, rng):
            value, state, values = torch.full((n, 1), levels), None, []
            for _ in range(T):
                logits, state = self(value, state)
                value = torch.multinomial(self.next_probabilities(logits), 1, generator=rng)
                values.append(value)
            return torch.cat(values, 1)

    return PixelRNN()


class Program(nn.Module):
    """The same with parts that may be exchanged; `parts` are functions, those of `RIGHT` unless said otherwise."""

    def __init__(self, levels: int, hidden: int, **parts: Callable) -> None:
        super().__init__()
        self.part = {**RIGHT, **parts}
        hidden = self.part["size"](hidden)
        self.levels, self.hidden = levels, hidden
        self.embedding = nn.Embedding(self.part["vocabulary"](levels), hidden)
        self.gru = self.part["recurrence"](hidden)
        self.dense = nn.Linear(self.gru.hidden_size * (1 + self.gru.bidirectional), self.part["outputs"](levels))

    def forward(self, inputs, state=None):
        if state is None:
            state = self.part["begin"](inputs, self.hidden)
        embedded = self.embedding(self.part["read"](inputs, self.levels))
        out, new = self.gru(self.part["features"](embedded), self.part["given"](state))
        return self.part["result"](self.dense(out)), self.part["returned"](state, new, out)

    def nll(self, x, y):
        """(B,) nats, by the parts of this answer."""
        logits, _ = self(self.part["inputs"](x, self.levels))
        target = self.part["target"](x, y, self.levels)
        return self.part["sum"](self.part["terms"](logits, target[:, -logits.shape[1] :]))

    def bits_per_dim(self, x, y):
        """A number, by the parts of this answer."""
        return self.part["bits"](self.nll(x, y), x, self.levels)

    def next_probabilities(self, logits):
        """(B, levels), by the parts of this answer."""
        return self.part["next"](logits)

    def sample(self, n, T, rng):
        """(n, T) values, by the parts of this answer."""
        value, state, values = torch.full((n, 1), self.part["first"](self.levels)), None, []
        for _ in range(T):
            logits, state = self(value, self.part["handed"](state))
            values.append(self.part["draw"](self.next_probabilities(logits), rng))
            value = self.part["fed"](values[-1], self.levels)
        return torch.cat(values, 1)


def _cross_entropy(logits, target):
    return F.cross_entropy(logits.transpose(1, 2), target, reduction="none")


def _pick(scores, target):
    return -scores.gather(2, target[..., None])[..., 0]


RIGHT = {
    "size": lambda hidden: hidden,
    "vocabulary": lambda levels: levels + 1,
    "outputs": lambda levels: levels,
    "recurrence": lambda hidden: nn.GRU(hidden, hidden, batch_first=True),
    "begin": lambda inputs, hidden: None,
    "read": lambda inputs, levels: inputs,
    "features": lambda embedded: embedded,
    "given": lambda state: state,
    "result": lambda logits: logits,
    "returned": lambda old, new, out: new,
    "inputs": shift_right,
    "target": lambda x, y, levels: x,
    "terms": _cross_entropy,
    "sum": lambda terms: terms.sum(1),
    "bits": lambda nll, x, levels: nll.mean() / x.shape[1] / math.log(2),
    "next": lambda logits: logits[:, -1].softmax(-1),
    "first": lambda levels: levels,
    "draw": lambda p, rng: torch.multinomial(p, 1, generator=rng),
    "handed": lambda state: state,
    "fed": lambda value, levels: value,
}

# The parts of the article's program, in the order of repair, with their hints.
ARTICLE = [
    (faults.VOCABULARY, {"vocabulary": lambda levels: 28}),
    (faults.OUTPUTS, {"outputs": lambda levels: 10}),
    (faults.BATCH, {"begin": lambda inputs, hidden: torch.zeros(1, 64, hidden)}),
    (faults.STATE, {"returned": lambda old, new, out: torch.zeros_like(new) if old is None else old}),
    (faults.SHIFT, {"inputs": lambda x, levels: x}),
    (faults.LABEL, {"target": lambda x, y, levels: y[:, None].expand_as(x)}),
    (faults.SOFTMAX, {"terms": lambda logits, target: _cross_entropy(logits.softmax(-1), target)}),
    (faults.TIME, {"next": lambda logits: logits.softmax(1)[:, -1]}),
    (faults.UNITS, {"bits": lambda nll, x, levels: nll.mean() / math.log(2)}),
]


def program(**parts: Callable) -> Callable:
    """An answer: the repaired program with some parts exchanged."""
    return lambda levels, hidden: Program(levels, hidden, **parts)


def with_faults(*numbers: int) -> Callable:
    """An answer: the article's program, in which only the faults of these numbers (0..8) are left."""
    return program(**{name: part for i in numbers for name, part in ARTICLE[i][1].items()})


def _wrong(hint: str, **parts: Callable) -> tuple[Callable, str]:
    """One fault: one of the nine, wrongly repaired, or a new one."""
    return program(**parts), faults.left(hint, int(hint not in faults.NEW), hint in faults.FATAL)


def _column(x, value):
    return torch.full_like(x[:, :1], value)


def _in_place(x, levels):
    x[:, 1:] = x[:, :-1].clone()
    x[:, 0] = levels
    return x


def _lstm(hidden):
    return nn.LSTM(hidden, hidden, batch_first=True)


def _reshaped(logits):
    return logits.reshape(len(logits), logits.shape[2], -1).mT


def _by_exp(logits):
    return logits.exp() / logits.exp().sum(-1, keepdim=True)


def _article_zeros(inputs, hidden):
    return torch.zeros(1, len(inputs), hidden)


EXERCISE = Exercise(
    name="repair_article",
    lesson="03",
    reference=repair_article,
    rule=faults.RULES["build"],
    probes=[repaired],
    mistakes=[
        *[(with_faults(*range(i, 9)), faults.left(ARTICLE[i][0], 9 - i)) for i in range(8)],  # on the way
        *[(with_faults(i), faults.left(ARTICLE[i][0], 1)) for i in range(9)],  # forgotten
        (program(vocabulary=lambda levels: levels), faults.left(faults.NO_START, 1, more=True)),
        (program(vocabulary=lambda levels: 256), faults.left(faults.NO_START, 1)),
        (program(vocabulary=lambda levels: 18), faults.left(faults.FIXED_VOCABULARY, 1)),
        _wrong(faults.ALIKE, read=lambda inputs, levels: inputs.clamp(max=27)),
        _wrong(faults.START_PREDICTED, outputs=lambda levels: levels + 1),
        _wrong(faults.FIXED_OUTPUTS, outputs=lambda levels: 256),
        _wrong(faults.LOGITS_SHAPE, result=lambda logits: logits.mT),
        _wrong(faults.FIXED_HIDDEN, size=lambda hidden: 96),
        _wrong(faults.PROBABILITIES, result=lambda logits: logits.softmax(-1)),
        _wrong(faults.ONE_ROW, begin=lambda inputs, hidden: torch.zeros(1, 1, hidden)),
        _wrong(faults.ROWS, begin=lambda inputs, hidden: torch.zeros(1, inputs.shape[1], hidden)),
        _wrong(faults.MIXED, recurrence=lambda hidden: nn.GRU(hidden, hidden)),
        _wrong(faults.RANDOM, begin=lambda inputs, hidden: torch.randn(1, len(inputs), hidden)),
        _wrong(faults.NOT_ZERO, begin=lambda inputs, hidden: torch.ones(1, len(inputs), hidden)),
        _wrong(faults.STATE_DROPPED, given=lambda state: None if state is None or state.shape[1] != 64 else state),
        _wrong(faults.STATE_UNREAD, given=lambda state: None),
        _wrong(faults.STATE_MISFIT, returned=lambda old, new, out: out),
        _wrong(faults.SHIFTS_ITSELF, read=shift_right, inputs=lambda x, levels: x),
        _wrong(faults.FUTURE, recurrence=lambda hidden: nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)),
        _wrong(faults.STEPS, returned=lambda old, new, out: new / 2),
        _wrong(faults.LEFT, inputs=lambda x, levels: torch.cat([x[:, 1:], _column(x, levels)], 1)),
        _wrong(faults.ROLLED, inputs=lambda x, levels: x.roll(1, 1)),
        (program(inputs=_in_place), faults.left(faults.CHANGED, 1, more=True)),
        _wrong(faults.REPEATED, inputs=lambda x, levels: torch.cat([x[:, :1], x[:, :-1]], 1)),
        _wrong(faults.ONE_ON, inputs=lambda x, levels: x, target=lambda x, y, levels: x.roll(-1, 1)),
        (program(inputs=lambda x, levels: shift_right(x, 17)), faults.left(faults.START_OUTSIDE, 1, more=True)),
        _wrong(faults.TWO, inputs=lambda x, levels: shift_right(shift_right(x, levels), levels)),
        _wrong(faults.BATCH_SHIFT, inputs=lambda x, levels: x.roll(1, 0)),
        _wrong(faults.NO_FIRST, inputs=lambda x, levels: x[:, :-1]),
        _wrong(faults.INPUT_TARGET, target=lambda x, y, levels: shift_right(x, 0)),
        _wrong(faults.NEXT_TARGET, target=lambda x, y, levels: F.pad(x[:, 1:], (0, 1))),
        _wrong(faults.TIME_NLL, terms=lambda logits, target: _pick(logits.log_softmax(1), target)),
        (
            program(terms=lambda logits, target: F.cross_entropy(logits, target, reduction="none")),
            faults.left(faults.CLASSES, 0, more=True),
        ),
        (
            program(terms=lambda logits, target: F.cross_entropy(logits.transpose(0, 1), target, reduction="none")),
            faults.left(faults.TIME_FIRST, 0, more=True),
        ),
        (
            program(terms=lambda logits, target: -logits.log_softmax(-1).gather(-1, target)),
            faults.left(faults.INDEX_AXES, 0, more=True),
        ),
        _wrong(faults.RESHAPED, terms=lambda logits, target: _cross_entropy(_reshaped(logits), target)),
        _wrong(faults.UNDERFLOW, terms=lambda logits, target: _pick(logits.softmax(-1).log(), target)),
        _wrong(faults.OVERFLOW, terms=lambda logits, target: _pick(_by_exp(logits).log(), target)),
        _wrong(faults.CLAMPED, terms=lambda logits, target: _pick((logits.softmax(-1) + 1e-8).log(), target)),
        _wrong(faults.NO_LOG, terms=lambda logits, target: _pick(logits.softmax(2), target)),
        _wrong(faults.NO_SOFTMAX, terms=_pick),
        _wrong(faults.SIGN, sum=lambda terms: -terms.sum(1)),
        _wrong(faults.MEAN, sum=lambda terms: terms.mean(1)),
        _wrong(faults.TOTAL, sum=lambda terms: terms.sum()),
        _wrong(faults.POSITIONS, sum=lambda terms: terms),
        _wrong(faults.FIRST_LEFT_OUT, sum=lambda terms: terms[:, 1:].sum(1)),
        _wrong(faults.LAST_LEFT_OUT, sum=lambda terms: terms[:, :-1].sum(1)),
        _wrong(faults.ONLY_LAST, sum=lambda terms: terms[:, -1]),
        _wrong(faults.ONE, sum=lambda terms: terms.squeeze().sum(-1)),
        _wrong(faults.NLL_BITS, sum=lambda terms: terms.sum(1) / math.log(2)),
        _wrong(faults.NATS, bits=lambda nll, x, levels: nll.mean() / x.shape[1]),
        _wrong(faults.TIMES_LN, bits=lambda nll, x, levels: nll.mean() / x.shape[1] * math.log(2)),
        _wrong(faults.BASE, bits=lambda nll, x, levels: nll.mean() / x.shape[1] / math.log(levels)),
        _wrong(faults.TEN, bits=lambda nll, x, levels: nll.mean() / x.shape[1] / math.log10(2)),
        _wrong(faults.PIXELS, bits=lambda nll, x, levels: nll.mean() / 784 / math.log(2)),
        _wrong(faults.TWICE, bits=lambda nll, x, levels: nll.mean() / x.numel() / math.log(2)),
        _wrong(faults.IMAGES, bits=lambda nll, x, levels: nll.mean() / len(x) / math.log(2)),
        _wrong(faults.NO_MEAN, bits=lambda nll, x, levels: nll.sum() / x.shape[1] / math.log(2)),
        _wrong(faults.EACH_IMAGE, bits=lambda nll, x, levels: nll / x.shape[1] / math.log(2)),
        _wrong(faults.FIRST, next=lambda logits: logits.softmax(-1)[:, 0]),
        _wrong(faults.OVER_BATCH, next=lambda logits: logits.softmax(0)[:, -1]),
        _wrong(faults.IS_LOGITS, next=lambda logits: logits[:, -1]),
        _wrong(faults.IS_LOG, next=lambda logits: logits[:, -1].log_softmax(-1)),
        _wrong(faults.EVERY, next=lambda logits: logits.softmax(-1)),
        _wrong(faults.ONE_NEXT, next=lambda logits: logits.softmax(-1)[:, -1].squeeze()),
        _wrong(faults.KEPT, next=lambda logits: logits.softmax(-1)[:, -1:]),
        _wrong(faults.SIGMOID, next=lambda logits: logits[:, -1].sigmoid()),
        _wrong(faults.INDEX, next=lambda logits: logits[:, -1].argmax(-1)),
        _wrong(faults.NEXT_NAN, next=lambda logits: _by_exp(logits)[:, -1]),
        (program(inputs=lambda x, levels: shift_right(x, 0)), faults.TWO_STARTS),
        (program(inputs=lambda x, levels: shift_right(x, levels - 1)), faults.WHITE_START),
        (program(inputs=lambda x, levels: shift_right(x, 1)), faults.LEVEL_START),
        (program(first=lambda levels: 0), faults.SAMPLE_START),
        (program(handed=lambda state: None), faults.SAMPLE_STATE),
        (program(fed=lambda value, levels: torch.full_like(value, levels)), faults.SAMPLE_INPUT),
        (program(draw=lambda p, rng: p.argmax(1, keepdim=True)), faults.GREEDY),
        (program(draw=lambda p, rng: torch.multinomial(p.sqrt(), 1, generator=rng)), faults.OTHER_LAW),
        (program(draw=lambda p, rng: torch.multinomial(p, 1)), faults.NO_RNG),
        (program(sum=lambda terms: terms.sum(1).detach()), faults.NO_GRADIENT),
        (program(features=lambda embedded: embedded.detach()), faults.DETACHED),
    ],
    accepts=[
        program(),
        program(recurrence=_lstm),
        program(begin=_article_zeros),
        program(begin=lambda inputs, hidden: torch.zeros(1, inputs.shape[0], hidden, dtype=torch.float32)),
        program(returned=lambda old, new, out: new.detach()),
        program(returned=lambda old, new, out: out[:, -1:].transpose(0, 1).contiguous()),
        program(vocabulary=lambda levels: 257),
        program(terms=lambda logits, target: _pick(logits.log_softmax(-1), target)),
        program(terms=lambda logits, target: _cross_entropy(logits.log_softmax(-1), target)),
        program(result=lambda logits: logits.log_softmax(-1)),
        program(terms=lambda logits, target: F.nll_loss(logits.mT.log_softmax(1), target, reduction="none")),
        program(bits=lambda nll, x, levels: nll.mean().item() / (x.shape[1] * math.log(2))),
        program(bits=lambda nll, x, levels: (nll / x[0].numel()).mean() * math.log2(math.e)),
        program(next=lambda logits: logits.softmax(2)[:, -1, :]),
        program(inputs=lambda x, levels: shift_right(x, 0), first=lambda levels: 0),  # an empty pixel in front, twice
        program(inputs=lambda x, levels: shift_right(x, 1), first=lambda levels: 1),
        program(inputs=lambda x, levels: shift_right(x, levels - 1), first=lambda levels: levels - 1),
    ],
    speed=Speed(lambda: (256, 64)),
)
