"""The exercise `repair_article`: the faulty program is repaired line by line, and the check names what comes next."""

import itertools
import math
import random
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from garm_course.exercises import STUB, grade
from garm_course.lessons.lesson03 import faults
from garm_course.lessons.lesson03.examination import LAW, RIGHT, UNKNOWN, examine
from garm_course.lessons.lesson03.repair_article import ARTICLE, program, with_faults

LESSON = Path(__file__).resolve().parents[2] / "solutions" / "03_pixelrnn.py"

ARTICLES_PROGRAM = """
def repair_article(levels: int, hidden: int) -> nn.Module:
    class PixelRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(28, hidden)  # one vector for each input value
            self.gru = nn.GRU(hidden, hidden, batch_first=True)
            self.dense = nn.Linear(hidden, 10)

        def forward(self, inputs, state=None):  # (B, T), (1, B, hidden) -> logits (B, T, levels), state (1, B, hidden)
            if state is None:
                state = torch.zeros(1, 64, hidden)
            out, _ = self.gru(self.embedding(inputs), state)
            return self.dense(out), state

        def nll(self, x, y):  # (B, T) pixels, (B,) labels -> (B,) nats per image
            logits, _ = self(x)
            p = logits.softmax(-1)
            target = y[:, None].expand_as(x)
            return F.cross_entropy(p.transpose(1, 2), target, reduction="none").sum(1)

        def bits_per_dim(self, x, y):  # -> a number
            return self.nll(x, y).mean() / math.log(2)

        def next_probabilities(self, logits):  # (B, T, levels) -> (B, levels), of the value after the last input
            return logits.softmax(1)[:, -1]

        def sample(self, n, T, rng):  # -> (n, T); right, once the rest is
            value, state, values = torch.full((n, 1), levels), None, []
            for _ in range(T):
                logits, state = self(value, state)
                value = torch.multinomial(self.next_probabilities(logits), 1, generator=rng)
                values.append(value)
            return torch.cat(values, 1)

    return PixelRNN()
"""

# (fault, line as printed, line repaired), in the order in which the check asks for them
REPAIRS = [
    (faults.VOCABULARY, "nn.Embedding(28, hidden)", "nn.Embedding(levels + 1, hidden)"),
    (faults.OUTPUTS, "nn.Linear(hidden, 10)", "nn.Linear(hidden, levels)"),
    (faults.BATCH, "torch.zeros(1, 64, hidden)", "torch.zeros(1, len(inputs), hidden)"),
    (faults.STATE, "out, _ = self.gru", "out, state = self.gru"),
    (faults.SHIFT, "self(x)", "self(F.pad(x, (1, -1), value=levels))"),
    (faults.LABEL, "y[:, None].expand_as(x)", "x"),
    (faults.SOFTMAX, "logits.softmax(-1)", "logits"),
    (faults.TIME, "logits.softmax(1)[:, -1]", "logits.softmax(-1)[:, -1]"),
    (faults.UNITS, "mean() / math", "mean() / x.shape[1] / math"),
]


def defined(source: str):
    """The function that a cell with this source defines."""
    space = {"torch": torch, "nn": nn, "F": F, "math": math}
    exec(source, space)
    return space["repair_article"]


def repaired(source: str, repairs=REPAIRS) -> str:
    for _, printed, right in repairs:
        assert source.count(printed) == 1
        source = source.replace(printed, right)
    return source


def found(answer) -> list[int]:
    return [i for i, (_, seen) in enumerate(examine(answer, 10, 6)[:9]) if seen]


def test_the_check_leads_from_the_article_to_a_model():
    source, hints = ARTICLES_PROGRAM, []
    for repair in REPAIRS:
        hints.append(grade("repair_article", defined(source)).hint)
        source = repaired(source, [repair])
    assert hints == [faults.left(hint, 9 - i) for i, (hint, _, _) in enumerate(REPAIRS)]
    assert hints[0].endswith("Nine of nine faults are left.")
    assert hints[-1].endswith("It is the last of nine faults.")
    assert grade("repair_article", defined(source)).passed


def test_the_printed_program_and_the_list_of_mistakes_are_the_same():
    assert examine(defined(ARTICLES_PROGRAM), 10, 6)[:9] == examine(with_faults(*range(9)), 10, 6)[:9]
    assert [hint for hint, _ in ARTICLE] == [hint for hint, _, _ in REPAIRS]


@pytest.mark.skipif(not LESSON.exists(), reason="lesson 03 is not there yet")
def test_the_lesson_starts_with_this_program_and_ends_with_a_right_one():
    cell = re.search(r"# %%\n@check\n(def repair_article.*?)### END SOLUTION", LESSON.read_text("utf-8"), re.S)[1]
    head, solution, start = re.split(r" *### (?:BEGIN SOLUTION|START)\n", cell)
    assert found(defined(head + re.sub(r"(?m)^    # ?", "    ", start))) == list(range(9))
    assert grade("repair_article", defined(head + solution)).passed


@pytest.mark.parametrize("size", [2, 3, 5, 7])
def test_faults_are_counted_whatever_the_others_are(size):
    subsets = list(itertools.combinations(range(9), size))
    for subset in random.Random(size).sample(subsets, 6):
        findings = examine(with_faults(*subset), 10, 6)
        assert [i for i, (_, seen) in enumerate(findings[:9]) if seen] == list(subset)
        assert [findings[i][0] for i in subset] == [ARTICLE[i][0] for i in subset]
        assert findings[LAW] == UNKNOWN  # what is sampled says nothing as long as there are faults


@pytest.mark.parametrize(
    ("parts", "count"),
    [
        ({}, " One fault is left, which the article did not have."),
        (ARTICLE[8][1], " The article did not have this fault."),  # the bits of a wrong nll are not judged
        (ARTICLE[7][1], " It is the last of nine faults."),  # named first, the new one comes after it
        ({**ARTICLE[7][1], **ARTICLE[8][1]}, " At least one of nine faults is left."),
    ],
)
def test_a_new_fault_is_none_of_the_nine(parts, count):
    hint = grade("repair_article", program(sum=lambda terms: terms.mean(1), **parts)).hint
    assert hint == (faults.TIME if "next" in parts else faults.MEAN) + count


def test_a_random_forward_hides_the_rest():
    answer = program(begin=lambda inputs, hidden: torch.randn(1, 64, hidden))
    assert grade("repair_article", answer).hint == faults.left(faults.BATCH, 1, more=True)


@pytest.mark.parametrize("name", ["embedding", "dense"])
def test_sizes_of_digits_are_not_those_of_the_article(name):
    parts = {"vocabulary": lambda levels: 18} if name == "embedding" else {"outputs": lambda levels: 17}
    hint = grade("repair_article", program(**parts)).hint
    assert hint.startswith(faults.FIXED_VOCABULARY if name == "embedding" else faults.FIXED_OUTPUTS)


@pytest.mark.parametrize("hidden", [2, 5, 24])
def test_a_right_model_is_never_refused_by_chance(hidden):
    assert examine(program(), 10, hidden) == [RIGHT] * (LAW + 1)


@pytest.mark.parametrize("temperature", [0.8, 1.2])
def test_the_law_of_sample_is_checked(temperature):
    def warmer(p, rng):
        return torch.multinomial(p ** (1 / temperature), 1, generator=rng)

    assert examine(program(draw=warmer), 10, 6)[LAW][0] == faults.OTHER_LAW


class Restructured(nn.Module):
    """Other names, a cell in a loop, values moved up by one so that 0 is the start, probabilities by hand."""

    def __init__(self, levels, hidden):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(levels + 1, hidden))
        self.cell = nn.LSTMCell(hidden, hidden)
        self.read_out = nn.Sequential(nn.Tanh(), nn.Linear(hidden, levels))

    def forward(self, inputs, state=None):
        logits = []
        for t in range(inputs.shape[1]):
            state = self.cell(self.table[inputs[:, t]], state)
            logits.append(self.read_out(state[0]))
        return torch.stack(logits, 1), state

    def nll(self, x, y):
        logits, _ = self(torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1] + 1], 1))
        return -torch.distributions.Categorical(logits=logits).log_prob(x).sum(-1)

    def bits_per_dim(self, x, y):
        return float(self.nll(x, y).sum()) / x.numel() / math.log(2)

    def next_probabilities(self, logits):
        scores = (logits[:, -1] - logits[:, -1].amax(1, keepdim=True)).exp()
        return scores / scores.sum(1, keepdim=True)

    @torch.no_grad()
    def sample(self, n, T, rng):
        value, state, values = torch.zeros(n, 1, dtype=torch.long), None, []
        for _ in range(T):
            logits, state = self(value, state)
            drawn = torch.multinomial(self.next_probabilities(logits), 1, generator=rng)
            values.append(drawn)
            value = drawn + 1
        return torch.hstack(values)


def test_a_program_of_other_structure_is_right():
    assert grade("repair_article", lambda levels, hidden: Restructured(levels, hidden)).passed


def test_without_moving_the_drawn_values_it_is_another_model():
    class Unmoved(Restructured):
        def sample(self, n, T, rng):
            value, state, values = torch.zeros(n, 1, dtype=torch.long), None, []
            for _ in range(T):
                logits, state = self(value, state)
                value = torch.multinomial(self.next_probabilities(logits), 1, generator=rng)
                values.append(value)
            return torch.hstack(values)

    assert grade("repair_article", lambda levels, hidden: Unmoved(levels, hidden)).hint == faults.OTHER_LAW


def test_labels_must_not_be_used():
    class Conditional(Restructured):
        def nll(self, x, y):
            return super().nll(x, y) * (1 + y % 2)

    hint = grade("repair_article", lambda levels, hidden: Conditional(levels, hidden)).hint
    assert hint == faults.left(faults.LABEL_USED, 1, more=True)


RIGHT_SOURCE = repaired(ARTICLES_PROGRAM)


@pytest.mark.parametrize(
    ("right", "wrong", "expected", "part"),
    [
        ("nn.GRU(hidden", "nn.GRU(hiden", "raises NameError: name 'hiden' is not defined", "build"),
        ("return PixelRNN()", "return PixelRNN", "expected an nn.Module, got the class PixelRNN", "build"),
        (
            "return PixelRNN()",
            "PixelRNN()",
            "expected an nn.Module, got None (is there a `return` at the end?)",
            "build",
        ),
        ("def nll(", "def nnl(", "the module has no method nll", "build"),
        (
            "return self.dense(out), state",
            "return self.dense(out)",
            "forward must return (logits, state), got a tensor",
            "forward",
        ),
        ("self.embedding(inputs)", "self.embeding(inputs)", "has no attribute 'embeding'", "forward"),
        ("p.transpose(1, 2)", "p.mm(x)", "nll(x, y) raises RuntimeError", "nll"),
        ('reduction="none").sum(1)', 'reduction="none").sum(1).tolist()', "expected a tensor of shape (64,)", "nll"),
        ('reduction="none").sum(1)', 'reduction="none").sum(1).square()', "of image 0: expected", "nll"),
        ("/ math.log(2)", "/ 3", "x of shape (64, 7): expected", "bits_per_dim"),
        ("/ math.log(2)", "/ math.lg(2)", "bits_per_dim(x, y) raises AttributeError", "bits_per_dim"),
        ("logits.softmax(-1)[:, -1]", "logits.softmax(-1)[:, -1] / 2", "of image 0 and level 0", "next_probabilities"),
        ("logits.softmax(-1)[:, -1]", "logits.sotfmax(-1)[:, -1]", "has no attribute 'sotfmax'", "next_probabilities"),
        ("torch.cat(values, 1)", "torch.cat(values)", "expected a tensor of shape (20000, 3)", "sample"),
        ("torch.cat(values, 1)", "torch.cat(values, 1).float()", "expected integers 0..2", "sample"),
        ("generator=rng", "generator=rgn", "sample or nll raises NameError: name 'rgn' is not defined", "sample"),
    ],
)
def test_other_errors_are_explained_with_the_rule_of_their_part(right, wrong, expected, part):
    assert RIGHT_SOURCE.count(right) == 1
    result = grade("repair_article", defined(RIGHT_SOURCE.replace(right, wrong)))
    assert result.status == "not yet"
    assert expected in result.hint
    assert result.hint.endswith(faults.RULES[part])


def test_an_endless_loop_ends():
    endless = RIGHT_SOURCE.replace("return self.nll(x, y)", "while True: pass\n            return self.nll(x, y)")
    assert "It was stopped after" in grade("repair_article", defined(endless), seconds=1.0).hint


def test_blank_answer():
    answer = defined(f"def repair_article(levels, hidden):\n    {STUB}\n")
    assert grade("repair_article", answer).status == "not attempted"
