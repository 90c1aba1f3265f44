"""What is still wrong with the article's PixelRNN: nine faults, and what is put in their place.

The check looks at what the model does, never at its text. Each fault is recognized by itself, while others are still
there: with ten levels and batches of 64 the sizes of the article fit by accident, and a wrong likelihood is compared
with those that the known faults produce. So the check can name the next fault and count those that are left.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from garm_course.exercises.attempt import Attempt, own_line, readable
from garm_course.exercises.compare import kind_of
from garm_course.exercises.lesson03 import faults

LEVELS, HIDDEN, T = 10, 6, 7
METHODS = ("nll", "bits_per_dim", "next_probabilities", "sample")
Finding = list[str]  # [hint, what was seen]; the hint may be empty
RIGHT: Finding = ["", ""]
UNKNOWN: Finding = ["unknown", ""]  # a fault before it hides it


class Broken(Exception):
    """The module does something that no later judgment can be based on."""


def repaired(attempt: Attempt) -> None:
    """The probe: names the first fault, in the order of repair."""
    findings = attempt.call(LEVELS, HIDDEN, use=examine)
    found = [finding for finding in findings[:9] if finding[1]]
    more = UNKNOWN in findings[:9]
    for i, (hint, seen) in enumerate(findings):
        if seen and not hint:  # no need to search the known mistakes: all of them have a hint
            attempt.require(False, "", f"{seen} {attempt.exercise.rule}")
        attempt.require(not seen, seen, faults.left(hint, len(found), more) if i < 9 else hint)


def examine(build: Callable, levels: int, hidden: int) -> list[Finding]:
    """Nine findings, one for each fault, and a tenth on whether `sample` follows the law of `nll`."""
    findings: list[Finding] = []
    try:
        exam = Examination(build, levels, hidden)
    except Broken as broken:
        return [["", str(broken)], *[UNKNOWN] * 9]
    except NotImplementedError:  # nothing is written yet
        raise
    except Exception as raised:
        seen = f"repair_article({levels}, {hidden}) raises {readable(raised)}{own_line(raised)}."
        return [["", seen], *[UNKNOWN] * 9]
    judges = {
        exam.vocabulary: "forward(inputs)",
        exam.outputs: "forward(inputs)",
        exam.batch: "forward(inputs)",
        exam.state: "forward(inputs, state)",
        exam.likelihood: "nll(x, y)",
        exam.next: "next_probabilities(logits)",
        exam.units: "bits_per_dim(x, y)",
    }
    for judge, method in judges.items():
        number = 3 if judge == exam.likelihood else 1
        if any(hint in faults.FATAL for hint, _ in findings):
            findings += [UNKNOWN] * number
            continue
        try:
            found = judge()
            findings += found if number == 3 else [found]
        except Broken as broken:
            error = ["", str(broken)]
        except Exception as raised:  # of the module, while it is used as agreed
            error = ["", f"{exam.call(levels)}: {method} raises {readable(raised)}{own_line(raised)}."]
        else:
            continue
        if any(seen for _, seen in findings):  # the error may be a consequence of that fault
            error = UNKNOWN
        findings += [error, *[UNKNOWN] * (number - 1)]
    if any(finding != RIGHT for finding in findings):
        return [*findings, UNKNOWN]
    try:
        return [*findings, exam.law()]
    except Exception as raised:
        return [*findings, ["", f"{exam.call(3)}: sample or nll raises {readable(raised)}{own_line(raised)}."]]


class Examination:
    """The models that an answer builds, and what they do."""

    def __init__(self, build: Callable, levels: int, hidden: int) -> None:
        self.build, self.levels, self.hidden = build, levels, hidden
        self.model = self.new(levels)
        rng = torch.Generator().manual_seed(3)
        for size in (64, 3, 1, T):  # the article's programs take 64 sequences and no others
            self.x = torch.randint(levels, (size, T), generator=rng)
            self.y = torch.randint(levels, (size,), generator=rng)
            error = self.fails(self.model, torch.zeros_like(self.x))
            if not error:
                break
        else:
            raise Broken(f"{self.call(levels)}: forward(inputs) with inputs of shape (3, {T}) raises {error}.")
        self.start = levels  # what nll puts in front, as far as can be seen
        self.reduction = ""  # the hint on how nll adds up its terms

    def call(self, levels: int) -> str:
        """How the answer was called, for messages."""
        return f"repair_article({levels}, {self.hidden})"

    def new(self, levels: int) -> nn.Module:
        """A module with random weights: those of a fresh one may be zero, or so small that errors hide."""
        model = self.build(levels, self.hidden)
        if not isinstance(model, nn.Module):
            raise Broken(f"{self.call(levels)}: expected an nn.Module, got {kind_of(model)}.")
        missing = [name for name in METHODS if not callable(getattr(model, name, None))]
        if missing:
            raise Broken(f"{self.call(levels)}: the module has no method {missing[0]}.")
        rng = torch.Generator().manual_seed(levels)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng))
        return model.eval()

    def forward(self, model: nn.Module, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(logits, state), where the model returns these two."""
        with torch.no_grad():
            result = model(inputs) if state is None else model(inputs, state)
        if type(result) is not tuple or len(result) != 2 or not isinstance(result[0], Tensor):
            raise Broken(f"{self.call(self.levels)}: forward must return (logits, state), got {kind_of(result)}.")
        return result

    def fails(self, model: nn.Module, inputs: Tensor) -> str:
        """The error of `forward` in words, or ""."""
        try:
            self.forward(model, inputs)
        except Broken:
            raise
        except Exception as error:
            return f"{readable(error)}{own_line(error)}"
        return ""

    def vocabulary(self) -> Finding:
        """Every value 0..levels is read, and read as another one."""
        levels, size = 256, len(self.x)
        model = self.new(levels)
        values = F.pad(torch.arange(levels + 1), (0, -(levels + 1) % size))
        rows = F.pad(values.view(-1, size, 1), (0, T - 1))
        error = next(filter(None, (self.fails(model, inputs) for inputs in rows)), "")
        if error:
            first = next(v for v in range(levels + 1) if self.fails(model, torch.full((size, T), v)))
            seen = f"{self.call(levels)}: forward cannot read the value {first}. It raises {error}."
            return [faults.NO_START if first == levels else faults.VOCABULARY, seen]
        logits = torch.cat([self.forward(model, inputs)[0].flatten(1) for inputs in rows])[: levels + 1]
        distance = torch.cdist(logits, logits, p=math.inf)
        same = (distance.fill_diagonal_(1) < 1e-6).nonzero()
        if len(same):
            a, b = same[0].tolist()
            return [faults.ALIKE, f"{self.call(levels)}: forward does not tell the values {a} and {b} apart."]
        return RIGHT

    def outputs(self) -> Finding:
        """One logit for each level."""
        inputs = torch.zeros_like(self.x)
        for levels in (256, 17, 5):
            logits = self.forward(self.new(levels), inputs)[0]
            shape = tuple(logits.shape)
            if shape != (*inputs.shape, levels):
                if shape[:2] != inputs.shape or len(shape) != 3:
                    hint = faults.LOGITS_SHAPE
                else:
                    hint = {levels + 1: faults.START_PREDICTED, 10: faults.OUTPUTS}.get(shape[2], faults.FIXED_OUTPUTS)
                expected = f"expected the shape {(*inputs.shape, levels)}, got {shape}"
                return [hint, f"{self.call(levels)}: logits for inputs of shape {tuple(inputs.shape)}: {expected}."]
            if logits.min() >= 0 and close(logits.sum(-1), torch.ones(shape[:2])):
                return [faults.PROBABILITIES, f"{self.call(levels)}: the logits of each position sum to 1."]
        return RIGHT

    def batch(self) -> Finding:
        """Any number of sequences, which do not know of each other."""
        sizes = [1, 3, 5, 64]
        errors = {size: self.fails(self.model, torch.zeros(size, T, dtype=torch.long)) for size in sizes}
        bad = [size for size in sizes if errors[size]]
        if bad:
            hint = {(1, 3, 5): faults.BATCH, (3, 5, 64): faults.ONE_ROW}.get(tuple(bad), faults.ROWS)
            seen = f"forward(inputs) with inputs of shape ({bad[0]}, {T}) raises {errors[bad[0]]}"
            return [hint, f"{self.call(self.levels)}: {seen}."]
        inputs = torch.arange(3 * T).view(3, T) % self.levels
        together = self.forward(self.model, inputs)[0]
        alone = torch.cat([self.forward(self.model, one[None])[0] for one in inputs])
        if not close(together, alone):
            seen = "the logits of a sequence are others in a batch of 3 than alone"
            return [faults.MIXED, f"{self.call(self.levels)}: {seen}."]
        return RIGHT

    def state(self) -> Finding:
        """Step by step, with the state handed on, the logits are those of all steps at once."""
        call, model, x = self.call(self.levels), self.model, self.x
        changed = x.clone()
        changed[:, -1] = (x[:, -1] + 1) % self.levels
        at_once, after = self.forward(model, x)[0], self.forward(model, changed)[0]
        if not close(at_once[:, :-1], after[:, :-1]):
            return [faults.FUTURE, f"{call}: another last input changes logits before it."]
        if close(at_once[:, -1], after[:, -1]):
            return [faults.SHIFTS_ITSELF, f"{call}: another last input does not change the last logits."]
        try:
            steps, state, states = [], None, []
            for t in range(T):
                logits, state = self.forward(model, x[:, t : t + 1], state)
                steps.append(logits)
                states.append(state)
            halves, state = self.forward(model, x[:, :3])
            halves = torch.cat([halves, self.forward(model, x[:, 3:], state)[0]], 1)
        except Broken:
            raise
        except Exception as error:
            seen = f"with the state of the call before, forward raises {readable(error)}"
            return [faults.STATE_MISFIT, f"{call}: {seen}."]
        steps = torch.cat(steps, 1)
        if close(steps, at_once) and close(halves, at_once):
            return RIGHT
        seen = f"{call}: logits of {T} calls of forward with one value each differ from those of one call."
        forgetting = torch.cat([self.forward(model, x[:, t : t + 1])[0] for t in range(T)], 1)
        if close(steps, forgetting):
            other = self.forward(model, changed[:, -1:])[1]
            unchanged = alike(other, states[0]) and alike(states[0], states[-1])
            return [faults.STATE if unchanged else faults.STATE_UNREAD, seen]
        return [faults.STEPS, seen]

    def likelihood(self) -> list[Finding]:
        """Three findings on `nll`: its inputs, its targets, and what it makes of the logits."""
        call = f"{self.call(self.levels)}: nll(x, y)"
        with torch.no_grad():
            got = self.model.nll(self.x.clone(), self.y.clone())
        if type(got) is not Tensor:
            raise Broken(f"{call}: expected a tensor of shape ({len(self.x)},), got {kind_of(got)}.")
        right, expected = next(self.known())
        if any(right):
            seen = f"{call}: it is not the likelihood of x"
        elif got.shape != expected.shape:
            seen = f"{call}: expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
        else:
            seen = f"{call}, of image 0: expected {expected[0]:.4f}, got {got[0]:.4f}"
        for hints, values in self.known():
            if close(got, values):
                self.reduction = hints.pop()
                if hints[0] == faults.TWO_STARTS:  # a model as well, if `sample` does the same
                    hints[0], self.start = "", 0
                return [[hint, f"{seen}."] if hint else RIGHT for hint in hints]
        with torch.no_grad():
            other = self.model.nll(self.x.clone(), (self.y + 1) % self.levels)
            if not close(got, other):
                return [UNKNOWN, [faults.LABEL_USED, f"{call}: it is another one for other labels."], UNKNOWN]
            model, x = self.new(3), sequences()
            values = model.nll(x, torch.zeros(len(x), dtype=torch.long))
        if got.shape != expected.shape or not math.isclose(values.neg().exp().sum().item(), 1, abs_tol=1e-4):
            raise Broken(f"{seen}.")
        return [RIGHT] * 3  # an unusual formula; `law` compares it with what is drawn

    def known(self) -> Iterator[tuple[list[str], Tensor]]:
        """([hint on the inputs, the targets, the softmax, the sum], values of nll); first the right ones."""
        for shift, inputs in self.inputs():
            try:
                logits = self.forward(self.model, inputs)[0]
            except IndexError:  # no embedding for the start
                continue
            for (aim, target), (soften, scores) in itertools.product(self.targets(), SCORES):
                target = target[:, -inputs.shape[1] :, None]
                if target.max() < logits.shape[2]:
                    terms = -scores(logits).gather(2, target)[..., 0]  # (B, T)
                    yield from (([shift, aim, soften, adding], add(terms)) for adding, add in SUMS)

    def inputs(self) -> list[tuple[str, Tensor]]:
        """What nll may have fed to the model, with the hint on it."""
        x, levels = self.x, self.levels
        start = torch.full_like(x[:, :1], levels)
        return [
            ("", torch.cat([start, x[:, :-1]], 1)),
            (faults.TWO_STARTS, F.pad(x, (1, -1))),
            (faults.SHIFT, x),
            (faults.LEFT, torch.cat([x[:, 1:], start], 1)),
            (faults.LEFT, F.pad(x[:, 1:], (0, 1))),
            (faults.LEFT, x.roll(-1, 1)),
            (faults.ROLLED, x.roll(1, 1)),
            (faults.REPEATED, torch.cat([x[:, :1], x[:, :-1]], 1)),
            (faults.TWO, torch.cat([start, start, x[:, :-2]], 1)),
            (faults.TWO, F.pad(x, (2, -2))),
            (faults.BATCH_SHIFT, x.roll(1, 0)),
            (faults.BATCH_SHIFT, torch.cat([torch.full_like(x[:1], levels), x[:-1]])),
            (faults.NO_FIRST, x[:, :-1]),
        ]

    def targets(self) -> list[tuple[str, Tensor]]:
        """What nll may have compared with, with the hint on it."""
        x = self.x
        return [
            ("", x),
            (faults.LABEL, self.y[:, None].expand_as(x)),
            (faults.INPUT_TARGET, F.pad(x, (1, -1))),
            (faults.INPUT_TARGET, x.roll(1, 1)),
            (faults.NEXT_TARGET, F.pad(x[:, 1:], (0, 1))),
            (faults.NEXT_TARGET, x.roll(-1, 1)),
            (faults.REVERSED, x.flip(1)),
        ]

    def next(self) -> Finding:
        """The softmax of the last position over the levels."""
        logits = torch.randn(3, T, self.levels, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            got = self.model.next_probabilities(logits.clone())
        call = f"{self.call(self.levels)}: next_probabilities(logits) with logits of shape {tuple(logits.shape)}"
        p = logits.softmax(-1)
        if type(got) is Tensor and got.shape == p[:, -1].shape and close(got, p[:, -1]):
            return RIGHT
        known = [
            (faults.TIME, logits.softmax(1)[:, -1]),
            (faults.OVER_BATCH, logits.softmax(0)[:, -1]),
            (faults.FIRST, p[:, 0]),
            (faults.IS_LOGITS, logits[:, -1]),
            (faults.IS_LOG, p[:, -1].log()),
            (faults.IS_EXP, logits[:, -1].exp()),
            (faults.EVERY, p),
            (faults.KEPT, p[:, -1:]),
            (faults.AVERAGED, p.mean(1)),
            (faults.AVERAGED, logits.mean(1).softmax(-1)),
            (faults.ONE_IMAGE, p[-1]),
            (faults.TWICE_SOFTMAX, p[:, -1].softmax(-1)),
        ]
        if type(got) is not Tensor or got.shape != p[:, -1].shape:
            seen = f"expected a tensor of shape {tuple(p[:, -1].shape)}, got {kind_of(got)}"
        else:
            seen = f"of image 0 and level 0: expected {p[0, -1, 0]:.4f}, got {got[0, 0]:.4f}"
        same = (hint for hint, q in known if type(got) is Tensor and got.shape == q.shape and close(got, q))
        return [next(same, ""), f"{call}: {seen}."]

    def units(self) -> Finding:
        """nats per image -> bits per dimension."""
        call = self.call(self.levels)
        if self.reduction:
            return [self.reduction, f"{call}: nll(x, y) is not the sum over time in nats, one number for each image."]
        with torch.no_grad():
            nll = self.model.nll(self.x.clone(), self.y.clone())
            got = self.model.bits_per_dim(self.x.clone(), self.y.clone())
        n, bit = len(nll), math.log(2)
        if type(got) is Tensor and got.shape == (n,) and n > 1 and close(got, nll / T / bit):
            return [faults.EACH_IMAGE, f"{call}: bits_per_dim(x, y): expected one number, got {kind_of(got)}."]
        if isinstance(got, Tensor) and got.numel() == 1:
            got = got.item()
        if not isinstance(got, (int, float)):
            return ["", f"{call}: bits_per_dim(x, y): expected one number, got {kind_of(got)}."]
        mean = nll.mean().item()
        known = [
            (None, mean / T / bit),
            (faults.UNITS, mean / bit),
            (faults.NATS, mean / T),
            (faults.TIMES_LN, mean / T * bit),
            (faults.BASE, mean / T / math.log(self.levels)),
            (faults.PIXELS, mean / 784 / bit),
            (faults.PIXELS, mean / 28 / bit),
            (faults.TWICE, mean / n / T / bit),
            (faults.IMAGES, mean / n / bit),
            (faults.NO_MEAN, mean * n / T / bit),
        ]
        hint = next((hint for hint, value in known if math.isclose(got, value, rel_tol=1e-4)), "")
        if hint is None:
            return RIGHT
        seen = f"expected {mean / T / bit:.4f}, got {got:.4f}"
        return [hint, f"{call}: bits_per_dim(x, y) with x of shape {tuple(self.x.shape)}: {seen}."]

    def law(self, n: int = 20000) -> Finding:
        """Frequencies of all sequences of three values are exp(-nll), within five standard errors."""
        model, x, call = self.new(3), sequences(), self.call(3)
        nll = model.nll(x, torch.zeros(len(x), dtype=torch.long))
        if not nll.requires_grad:
            return [faults.NO_GRADIENT, f"{call}: nll(x, y) does not require a gradient."]
        p = nll.detach().double().neg().exp()
        with torch.no_grad():
            draws = [model.sample(n, 3, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
        for drawn in draws:
            if type(drawn) is not Tensor or drawn.shape != (n, 3):
                return ["", f"{call}: sample({n}, 3, rng): expected a tensor of shape ({n}, 3), got {kind_of(drawn)}."]
            if drawn.is_floating_point() or drawn.min() < 0 or drawn.max() > 2:
                return ["", f"{call}: sample({n}, 3, rng): expected integers 0..2, as there are 3 levels."]
        if not torch.equal(draws[0], draws[1]):
            return [faults.NO_RNG, f"{call}: sample({n}, 3, rng) differs for two equal generators."]
        frequency = (draws[0] @ torch.tensor([9, 3, 1])).bincount(minlength=27) / n
        error = (frequency - p).abs() - 1 / n - 5 * (p * (1 - p) / n).sqrt()
        if (error > 0).any():
            worst = int(error.argmax())
            seen = f"{frequency[worst]:.4f} of its samples, exp(-nll) is {p[worst]:.4f}"
            hint = faults.TWO_STARTS if self.start == 0 else faults.OTHER_LAW
            return [hint, f"{call}: the sequence {x[worst].tolist()} is {seen}."]
        if torch.equal(draws[0], draws[2]):
            return [faults.NO_RNG, f"{call}: sample({n}, 3, rng) is the same for two different generators."]
        return RIGHT


def sequences() -> Tensor:
    """(27, 3): all sequences of three values 0..2."""
    return torch.cartesian_prod(*[torch.arange(3)] * 3)


def close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal up to rounding."""
    return a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-4, atol=1e-5)


def alike(a: Any, b: Any) -> bool:
    """Whether two states, tensors or tuples of tensors, are equal."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return close(a, b)
    if type(a) is tuple and type(b) is tuple and len(a) == len(b):
        return all(map(alike, a, b))
    return a is None and b is None


# What nll may have made of the logits (B, T, levels): minus these, at the target, are the terms of the sum.
SCORES = [
    ("", lambda logits: logits.log_softmax(-1)),
    (faults.SOFTMAX, lambda logits: logits.softmax(-1).log_softmax(-1)),
    (faults.TIME_NLL, lambda logits: logits.log_softmax(1)),
    (faults.TIME_NLL, lambda logits: logits.softmax(1).log_softmax(-1)),
    (faults.NO_LOG, lambda logits: logits.softmax(-1)),
    (faults.NO_SOFTMAX, lambda logits: logits),
]
SUMS = [
    ("", lambda terms: terms.sum(1)),
    (faults.MEAN, lambda terms: terms.mean(1)),
    (faults.SIGN, lambda terms: -terms.sum(1)),
    (faults.NLL_BITS, lambda terms: terms.sum(1) / math.log(2)),
    (faults.NLL_BITS, lambda terms: terms.mean(1) / math.log(2)),
    (faults.POSITIONS, lambda terms: terms),
    (faults.TOTAL, lambda terms: terms.sum()),
    (faults.TOTAL, lambda terms: terms.mean()),
    (faults.TOTAL, lambda terms: terms.sum(1).mean()),
    (faults.TOTAL, lambda terms: terms.sum(0)),
]
