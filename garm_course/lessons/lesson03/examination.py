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
from garm_course.exercises.numbers import random
from garm_course.exercises.registry import same
from garm_course.lessons.lesson03 import faults

LEVELS, HIDDEN, T = 10, 6, 7
LAW = 11  # the place of the last finding
STARTS = (faults.TWO_STARTS, faults.WHITE_START, faults.LEVEL_START)  # gray levels that nll puts in front
METHODS = ("nll", "bits_per_dim", "next_probabilities", "sample")
Finding = list[str]  # [hint, what was seen]; the hint may be empty
RIGHT: Finding = ["", ""]
UNKNOWN: Finding = ["unknown", ""]  # a fault before it hides it


class Broken(Exception):
    """The module does something that no later judgment can be based on; `part` is a key of `faults.RULES`."""

    def __init__(self, seen: str, part: str) -> None:
        super().__init__(f"{seen} {faults.RULES[part]}")


def repaired(attempt: Attempt) -> None:
    """The probe: names the first fault, in the order of repair."""
    findings = attempt.case(_EXAMINED, values=False)
    found = sum(seen != "" and hint not in faults.NEW for hint, seen in findings[:9])
    more = UNKNOWN in findings[:9]
    for i, (hint, seen) in enumerate(findings):
        if seen and not hint:  # no need to search the known mistakes: all of them have a hint
            attempt.require(False, "", seen)
        attempt.require(not seen, seen, faults.left(hint, found, more) if i < LAW else hint)


def examine(build: Callable, levels: int, hidden: int) -> list[Finding]:
    """Nine findings, one for each fault; then how `nll` adds up, whether `hidden` counts, what `sample` draws."""
    findings: list[Finding] = []
    try:
        exam = Examination(build, levels, hidden)
    except Broken as broken:
        return [["", str(broken)], *[UNKNOWN] * LAW]
    except NotImplementedError:  # nothing is written yet
        raise
    except Exception as raised:
        seen = f"repair_article({levels}, {hidden}) raises {readable(raised)}{own_line(raised)}."
        return [["", f"{seen} {faults.RULES['build']}"], *[UNKNOWN] * LAW]
    judges = {
        exam.vocabulary: "forward(inputs)",
        exam.outputs: "forward(inputs)",
        exam.batch: "forward(inputs)",
        exam.state: "forward(inputs, state)",
        exam.likelihood: "nll(x, y)",
        exam.next: "next_probabilities(logits)",
        exam.units: "bits_per_dim(x, y)",
        exam.adding: "nll(x, y)",
        exam.size: "",
    }
    for judge, method in judges.items():
        number = 3 if judge == exam.likelihood else 1
        if any(hint in faults.FATAL for hint, _ in findings) or (exam.random and len(findings) >= 3):
            findings += [UNKNOWN] * number
            continue
        try:
            found = judge()
            findings += found if number == 3 else [found]
        except Broken as broken:
            error = ["", str(broken)]
        except Exception as raised:  # of the module, while it is used as agreed
            seen = f"{exam.call(levels)}: {method} raises {readable(raised)}{own_line(raised)}."
            error = ["", f"{seen} {faults.RULES[method.partition('(')[0] or 'build']}"]
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
        seen = f"{exam.call(3)}: sample or nll raises {readable(raised)}{own_line(raised)}."
        return [*findings, ["", f"{seen} {faults.RULES['sample']}"]]


_EXAMINED = same(LEVELS, HIDDEN, use=examine)


class Examination:
    """The models that an answer builds, and what they do."""

    def __init__(self, build: Callable, levels: int, hidden: int) -> None:
        self.build, self.levels, self.hidden = build, levels, hidden
        self.model = self.new(levels)
        for size in (64, 3, 1, T):  # the article's programs take 64 sequences and no others
            self.x, self.y = ((levels * random(*shape, seed=size).sigmoid()).long() for shape in ((size, T), (size,)))
            error = self.fails(self.model, torch.zeros_like(self.x))
            if not error:
                break
        else:
            raise Broken(
                f"{self.call(levels)}: forward(inputs) with inputs of shape (3, {T}) raises {error}.", "forward"
            )
        once, again = (self.forward(self.model, self.x)[0] for _ in range(2))
        self.random = not close(once, again)
        self.known_nll = False  # whether nll is one of the formulas below
        self.other_start = ""  # the hint on what nll puts in front, if it is not levels
        self.reduction = ""  # the hint on how nll adds up its terms

    def call(self, levels: int) -> str:
        """How the answer was called, for messages."""
        return f"repair_article({levels}, {self.hidden})"

    def new(self, levels: int, scale: float = 1) -> nn.Module:
        """A module with random weights: those of a fresh one may be zero, or so small that errors hide."""
        model = self.build(levels, self.hidden)
        if not isinstance(model, nn.Module):
            raise Broken(f"{self.call(levels)}: expected an nn.Module, got {kind_of(model)}.", "build")
        missing = [name for name in METHODS if not callable(getattr(model, name, None))]
        if missing:
            raise Broken(f"{self.call(levels)}: the module has no method {missing[0]}.", "build")
        with torch.no_grad():
            for i, parameter in enumerate(model.parameters()):
                size = 2 * scale / math.sqrt(parameter.shape[-1])
                parameter.copy_(size * random(*parameter.shape, seed=levels + 300 * i))
        return model.eval()

    def forward(self, model: nn.Module, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(logits, state), where the model returns these two."""
        with torch.no_grad():
            result = model(inputs) if state is None else model(inputs, state)
        if type(result) is not tuple or len(result) != 2 or not isinstance(result[0], Tensor):
            seen = f"forward must return (logits, state), got {kind_of(result)}"
            raise Broken(f"{self.call(self.levels)}: {seen}.", "forward")
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
            hint = {levels: faults.NO_START, 28: faults.VOCABULARY}.get(first, faults.FIXED_VOCABULARY)
            return [hint, seen]
        logits = torch.cat([self.forward(model, inputs)[0].flatten(1) for inputs in rows])[: levels + 1]
        twins = _near(logits[:, :16])  # these few tell most values apart
        if twins.any():
            twins = _near(logits)
        if twins.any():
            a, b = twins.nonzero()[0].tolist()
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
            if f"Expected hidden size (1, {T}, " in errors[bad[0]]:
                hint = faults.MIXED
            seen = f"forward(inputs) with inputs of shape ({bad[0]}, {T}) raises {errors[bad[0]]}"
            return [hint, f"{self.call(self.levels)}: {seen}."]
        first, state = self.forward(self.model, self.x)
        if self.random:
            seen = "two calls of forward with the same inputs give different logits"
            return [faults.RANDOM, f"{self.call(self.levels)}: {seen}."]
        try:
            given = self.forward(self.model, self.x, zeros(state))[0]
        except Exception:  # the state is judged below
            given = first
        if not close(first, given):
            seen = "the logits without a state are others than those from a state of zeros"
            return [faults.NOT_ZERO, f"{self.call(self.levels)}: {seen}."]
        inputs = torch.arange(3 * T).view(3, T) % self.levels
        together = self.forward(self.model, inputs)[0]
        alone = torch.cat([self.forward(self.model, one[None])[0] for one in inputs])
        if not close(together, alone):
            seen = "the logits of a sequence are others in a batch of 3 than alone"
            return [faults.MIXED, f"{self.call(self.levels)}: {seen}."]
        return RIGHT

    def state(self) -> Finding:
        """Step by step, with the state handed on, the logits are those of all steps at once."""
        finding = self.steps(self.x)
        if finding != RIGHT or len(self.x) <= 3 or self.fails(self.model, self.x[:3]):
            return finding
        hint, seen = self.steps(self.x[:3])  # it may depend on the number of sequences
        return [faults.STATE_DROPPED if hint in (faults.STATE, faults.STATE_UNREAD) else hint, seen]

    def steps(self, x: Tensor) -> Finding:
        """The same for some inputs."""
        call, model = self.call(self.levels), self.model
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
        forgetting_half = self.forward(model, x[:, 3:])[0]
        if close(steps, forgetting):
            other = self.forward(model, changed[:, -1:])[1]
            unchanged = alike(other, states[0]) and alike(states[0], states[-1])
            if unchanged or close(halves[:, 3:], forgetting_half):
                return [faults.STATE if unchanged else faults.STATE_UNREAD, seen]
        if close(steps, forgetting) or close(halves[:, 3:], forgetting_half):
            return [faults.STATE_DROPPED, seen]
        return [faults.STEPS, seen]

    def likelihood(self) -> list[Finding]:
        """Three findings on `nll`: its inputs, its targets, and what it makes of the logits."""
        call = f"{self.call(self.levels)}: nll(x, y)"
        x, fed = self.x.clone(), []  # what is fed to forward
        hook = self.model.register_forward_pre_hook(lambda _, args: fed.extend(args[:1]))
        try:
            with torch.no_grad():
                got = self.model.nll(x, self.y.clone())
        except (RuntimeError, ValueError, IndexError) as error:
            seen = f"{call} raises {readable(error)}{own_line(error)}."
            if not torch.equal(x, self.x):
                return [[faults.CHANGED, seen], UNKNOWN, UNKNOWN]
            hint = self.misused(str(error))
            if hint:
                return [UNKNOWN, UNKNOWN, [hint, seen]]
            outside = [v for inputs in fed if type(inputs) is Tensor for v in inputs.unique().tolist()]
            outside = [v for v in outside if not 0 <= v <= self.levels]
            if not outside:
                raise
            seen = f"{call} feeds the value {outside[0]} to forward, which raises {readable(error)}."
            return [[faults.START_OUTSIDE, seen], UNKNOWN, UNKNOWN]
        finally:
            hook.remove()
        if not torch.equal(x, self.x):
            return [[faults.CHANGED, f"{call} changes its argument x."], UNKNOWN, UNKNOWN]
        if type(got) is not Tensor:
            raise Broken(f"{call}: expected a tensor of shape ({len(self.x)},), got {kind_of(got)}.", "nll")
        right, expected = next(self.known(self.model))
        if any(right):
            seen = f"{call}: it is not the likelihood of x"
        elif got.shape != expected.shape:
            seen = f"{call}: expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
        else:
            i = int((~torch.isclose(got, expected, rtol=1e-4)).int().argmax())  # the first that differs
            seen = f"{call}, of image {i}: expected {expected[i]:.4f}, got {got[i]:.4f}"
        for i, (hints, values) in enumerate(self.known(self.model)):
            if close(got, values):
                self.known_nll, self.reduction = True, hints.pop()
                if hints[0] in STARTS:  # a model as well, if `sample` does the same
                    self.other_start, hints[0] = hints[0], ""
                findings = [[hint, f"{seen}."] if hint else RIGHT for hint in hints]
                if not hints[2] and not self.reduction:
                    findings[2] = self.extremes(i)
                return findings
        with torch.no_grad():
            other = self.model.nll(self.x.clone(), (self.y + 1) % self.levels)
            if not close(got, other):
                return [UNKNOWN, [faults.LABEL_USED, f"{call}: it is another one for other labels."], UNKNOWN]
            model, x = self.new(3), sequences()
            values = model.nll(x, torch.zeros(len(x), dtype=torch.long))
        if got.shape != expected.shape or not math.isclose(values.neg().exp().sum().item(), 1, abs_tol=1e-4):
            raise Broken(f"{seen}.", "nll")
        return [RIGHT, RIGHT, self.extremes()]  # an unusual formula; `law` compares it with what is drawn

    def misused(self, error: str) -> str:
        """The hint on an error of torch in nll, or ""."""
        b = len(self.x)
        known = {
            f"Expected target size [{b}, {self.levels}]": faults.CLASSES,
            f"Expected input batch_size ({T}) to match target batch_size ({b})": faults.TIME_FIRST,
            "Index tensor must have the same number of dimensions": faults.INDEX_AXES,
        }
        return next((hint for text, hint in known.items() if text in error), "")

    def extremes(self, i: int | None = None) -> Finding:
        """What nll, the i-th of those that are known, gives for logits of some hundreds."""
        model = self.new(self.levels, 200)
        with torch.no_grad():
            got = model.nll(self.x.clone(), self.y.clone())
        seen = f"{self.call(self.levels)}: nll(x, y), with large weights, of image 0: got"
        if got.isnan().any():
            return [faults.OVERFLOW, f"{seen} NaN."]
        if got.isinf().any():
            return [faults.UNDERFLOW, f"{seen} {got.flatten()[0]:.4f}."]
        expected = got if i is None else next(itertools.islice(self.known(model), i, None))[1]
        if not torch.allclose(got.double(), expected.double(), rtol=1e-3):
            return [faults.CLAMPED, f"{seen} {got.flatten()[0]:.4f}, expected {expected.flatten()[0]:.4f}."]
        return RIGHT

    def known(self, model: nn.Module) -> Iterator[tuple[list[str], Tensor]]:
        """([hint on the inputs, the targets, the softmax, the sum], values of nll); first the right ones."""
        for shift, inputs in self.inputs():
            try:
                logits = self.forward(model, inputs)[0]
            except IndexError:  # no embedding for the start
                continue
            for (aim, target), (soften, scores) in itertools.product(self.targets(), SCORES):
                if shift in (faults.WHITE_START, faults.LEVEL_START) and (aim or soften):  # too rare to be searched
                    continue
                target = target[:, -inputs.shape[1] :, None]
                if target.max() < logits.shape[2]:
                    hints = [faults.ONE_ON, ""] if (shift, aim) == (faults.SHIFT, faults.NEXT_TARGET) else [shift, aim]
                    terms = -scores(logits).gather(2, target)[..., 0]  # (B, T)
                    yield from (
                        ([*hints, soften, adding], add(terms))
                        for adding, add in (SUMS[:1] if soften == faults.RESHAPED else SUMS)  # rare: not searched
                    )

    def inputs(self) -> list[tuple[str, Tensor]]:
        """What nll may have fed to the model, with the hint on it."""
        x, levels = self.x, self.levels
        start = torch.full_like(x[:, :1], levels)
        return [
            ("", torch.cat([start, x[:, :-1]], 1)),
            (faults.TWO_STARTS, F.pad(x, (1, -1))),
            (faults.WHITE_START, torch.cat([start - 1, x[:, :-1]], 1)),
            *[(faults.LEVEL_START, torch.cat([start - i, x[:, :-1]], 1)) for i in range(2, levels)],
            (faults.NO_FIRST, x[:, :-1]),
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
        ]

    def next(self) -> Finding:
        """The softmax of the last position over the levels."""
        logits = random(3, T, self.levels, seed=3).float()
        with torch.no_grad():
            got = self.model.next_probabilities(logits.clone())
        call = f"{self.call(self.levels)}: next_probabilities(logits) with logits of shape {tuple(logits.shape)}"
        p = logits.softmax(-1)
        if type(got) is Tensor and got.shape == p[:, -1].shape and close(got, p[:, -1]):
            with torch.no_grad():
                large, *small = map(self.model.next_probabilities, (300 * logits, logits[:1], logits[:, :1]))
            if large.isnan().any():
                return [faults.NEXT_NAN, f"{call}, as large as {300 * logits.max():.0f}: got NaN."]
            for got, want in zip(small, (p[:1, -1], p[:, 0]), strict=True):
                if got.shape != want.shape:
                    seen = f"next_probabilities(logits) for B or T of 1: expected the shape {tuple(want.shape)}"
                    return [faults.ONE_NEXT, f"{self.call(self.levels)}: {seen}, got {tuple(got.shape)}."]
            return RIGHT
        known = [
            (faults.TIME, logits.softmax(1)[:, -1]),
            (faults.OVER_BATCH, logits.softmax(0)[:, -1]),
            (faults.FIRST, p[:, 0]),
            (faults.IS_LOGITS, logits[:, -1]),
            (faults.IS_LOG, p[:, -1].log()),
            (faults.EVERY, p),
            (faults.KEPT, p[:, -1:]),
            (faults.SIGMOID, logits[:, -1].sigmoid()),
            (faults.INDEX, logits[:, -1].argmax(-1)),
            (faults.INDEX, logits[:, -1:].argmax(-1)),
        ]
        if type(got) is not Tensor or got.shape != p[:, -1].shape:
            seen = f"expected a tensor of shape {tuple(p[:, -1].shape)}, got {kind_of(got)}"
        else:
            seen = f"of image 0 and level 0: expected {p[0, -1, 0]:.4f}, got {got[0, 0]:.4f}"
        same = (hint for hint, q in known if type(got) is Tensor and got.shape == q.shape and close(got, q))
        hint = next(same, "")
        return [hint, f"{call}: {seen}." if hint else f"{call}: {seen}. {faults.RULES['next_probabilities']}"]

    def units(self) -> Finding:
        """nats per image -> bits per dimension; with five levels, so that no logarithm of levels looks natural."""
        levels, bit = 5, math.log(2)
        call, model, x, y = self.call(levels), self.new(levels), self.x % levels, self.y % levels
        with torch.no_grad():
            nll = model.nll(x.clone(), y.clone())
            try:
                got = model.bits_per_dim(x.clone(), y.clone())
            except Exception:
                if self.reduction:  # which may be its reason
                    return UNKNOWN
                raise
        n, mean = len(x), nll.mean().item()
        if type(got) is Tensor and got.shape == (n,) and n > 1 and close(got, nll / T / bit):
            return [faults.EACH_IMAGE, f"{call}: bits_per_dim(x, y): expected one number, got {kind_of(got)}."]
        if isinstance(got, Tensor) and got.numel() == 1:
            got = got.item()
        if isinstance(got, (int, float)) and math.isclose(got, mean / T / bit, rel_tol=1e-4):
            return RIGHT
        if self.reduction:  # what is seen may follow from it
            return UNKNOWN
        if not isinstance(got, (int, float)):
            seen = f"{call}: bits_per_dim(x, y): expected one number, got {kind_of(got)}."
            return ["", f"{seen} {faults.RULES['bits_per_dim']}"]
        known = [
            (faults.UNITS, mean / bit),
            (faults.NATS, mean / T),
            (faults.TIMES_LN, mean / T * bit),
            (faults.BASE, mean / T / math.log(levels)),
            (faults.TEN, mean / T / math.log10(levels)),
            (faults.TEN, mean / T / math.log10(2)),
            (faults.TEN, mean / T / math.log(10)),
            (faults.PIXELS, mean / 784 / bit),
            (faults.PIXELS, mean / 28 / bit),
            (faults.TWICE, mean / n / T / bit),
            (faults.IMAGES, mean / n / bit),
            (faults.NO_MEAN, mean * n / T / bit),
        ]
        seen = f"{call}: bits_per_dim(x, y) with x of shape {tuple(x.shape)}: "
        seen += f"expected {mean / T / bit:.4f}, got {got:.4f}."
        hint = next((hint for hint, value in known if math.isclose(got, value, rel_tol=1e-4)), "")
        return [hint, seen if hint else f"{seen} {faults.RULES['bits_per_dim']}"]

    def adding(self) -> Finding:
        """The sum over time in nats, as `likelihood` has found it."""
        if self.reduction:
            seen = f"{self.call(self.levels)}: nll(x, y) is not the sum over time in nats, one number for each image."
            return [self.reduction, seen]
        for x in (self.x[:1], self.x[:, :1]):
            with torch.no_grad():
                got = self.model.nll(x.clone(), self.y[: len(x)].clone())
            if type(got) is not Tensor or got.shape != (len(x),):
                seen = f"nll(x, y) with x of shape {tuple(x.shape)}: expected a tensor of shape ({len(x)},)"
                return [faults.ONE, f"{self.call(self.levels)}: {seen}, got {kind_of(got)}."]
        return RIGHT

    def size(self) -> Finding:
        """A larger state has more parameters."""
        sizes = self.hidden, self.hidden + 3
        a, b = (sum(p.numel() for p in self.build(self.levels, hidden).parameters()) for hidden in sizes)
        calls = " and ".join(f"repair_article({self.levels}, {hidden})" for hidden in sizes)
        return [faults.FIXED_HIDDEN, f"{calls} have {a} parameters each."] if a == b else RIGHT

    def law(self, n: int = 20000) -> Finding:
        """Frequencies of all sequences of three values are exp(-nll), within five standard errors."""
        model, x, call = self.new(3), sequences(), self.call(3)
        nll = model.nll(x, torch.zeros(len(x), dtype=torch.long))
        if not nll.requires_grad:
            return [faults.NO_GRADIENT, f"{call}: nll(x, y) does not require a gradient."]
        names, weights = zip(*model.named_parameters(), strict=True)
        grads = torch.autograd.grad(nll.sum(), weights, allow_unused=True)
        for name, weight, grad in zip(names, weights, grads, strict=True):
            if grad is None and self.depends(model, x, weight):
                return [faults.DETACHED, f"{call}: no gradient of nll(x, y) reaches {name}."]
        p = nll.detach().double().neg().exp()
        with torch.no_grad():
            draws = [model.sample(n, 3, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
        for drawn in draws:
            expected = ""
            if type(drawn) is not Tensor or drawn.shape != (n, 3):
                expected = f"expected a tensor of shape ({n}, 3), got {kind_of(drawn)}."
            elif drawn.is_floating_point() or drawn.min() < 0 or drawn.max() > 2:
                expected = "expected integers 0..2, as there are 3 levels."
            if expected:
                return ["", f"{call}: sample({n}, 3, rng): {expected} {faults.RULES['sample']}"]
        if not torch.equal(draws[0], draws[1]):
            return [faults.NO_RNG, f"{call}: sample({n}, 3, rng) differs for two equal generators."]
        frequency = (draws[0] @ torch.tensor([9, 3, 1])).bincount(minlength=27) / n
        error = excess(frequency, p, n)
        if (error > 0).any():
            worst = int(error.argmax())
            seen = f"{frequency[worst]:.4f} of its samples, exp(-nll) is {p[worst]:.4f}"
            others = self.other_laws(model, x) if self.known_nll and not self.other_start else []
            same = (hint for hint, q in others if not (excess(frequency, q, n) > 0).any())
            hint = faults.GREEDY if frequency.max() == 1 else self.other_start or next(same, faults.OTHER_LAW)
            return [hint, f"{call}: the sequence {x[worst].tolist()} is {seen}."]
        if torch.equal(draws[0], draws[2]):
            return [faults.NO_RNG, f"{call}: sample({n}, 3, rng) is the same for two different generators."]
        return RIGHT

    @torch.no_grad()
    def depends(self, model: nn.Module, x: Tensor, weight: Tensor) -> bool:
        """Whether nll is another one when a parameter is."""
        y = torch.zeros(len(x), dtype=torch.long)
        before, kept = model.nll(x, y), weight.clone()
        weight.copy_(kept + random(*weight.shape, seed=5))
        after = model.nll(x, y)
        weight.copy_(kept)
        return not close(before, after)

    def other_laws(self, model: nn.Module, x: Tensor) -> list[tuple[str, Tensor]]:
        """(hint, probability of each sequence) for what else `sample` may have done."""
        start = torch.full_like(x[:, :1], 3)

        def law(logits: Tensor) -> Tensor:
            return logits.log_softmax(-1).gather(2, x[..., None]).sum((1, 2)).double().exp()

        right = torch.cat([start, x[:, :-1]], 1)
        alone = torch.cat([self.forward(model, right[:, t : t + 1])[0] for t in range(3)], 1)
        laws = [(faults.SAMPLE_STATE, alone), (faults.SAMPLE_INPUT, self.forward(model, start.expand(-1, 3))[0])]
        for value in range(3):
            inputs = torch.cat([torch.full_like(start, value), x[:, :-1]], 1)
            laws.append((faults.SAMPLE_START, self.forward(model, inputs)[0]))
        return [(hint, law(logits)) for hint, logits in laws]


def excess(frequency: Tensor, p: Tensor, n: int) -> Tensor:
    """By how much frequencies in n draws are further from p than five standard errors."""
    return (frequency - p).abs() - 1 / n - 5 * (p * (1 - p) / n).sqrt()


def zeros(state: Any) -> Any:
    """A state, a tensor or a tuple of tensors, of zeros."""
    return tuple(map(zeros, state)) if type(state) is tuple else torch.zeros_like(state)


def sequences() -> Tensor:
    """(27, 3): all sequences of three values 0..2."""
    return torch.cartesian_prod(*[torch.arange(3)] * 3)


def close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal up to rounding."""
    return a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-4, atol=1e-5)


def _near(rows: Tensor) -> Tensor:
    """Which pairs of different rows differ by less than 1e-6 everywhere."""
    return torch.cdist(rows, rows, p=math.inf).fill_diagonal_(1) < 1e-6


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
    (faults.TIME_NLL, lambda logits: logits.log_softmax(1).log_softmax(-1)),
    (faults.NO_LOG, lambda logits: logits.softmax(-1)),
    (faults.NO_SOFTMAX, lambda logits: logits),
    (faults.RESHAPED, lambda logits: _reshaped(logits).log_softmax(-1)),
    (faults.RESHAPED, lambda logits: _reshaped(logits.log_softmax(-1))),
    (faults.RESHAPED, lambda logits: _reshaped(logits.log_softmax(-1)).log_softmax(-1)),
    (faults.SOFTMAX, lambda logits: _reshaped(logits.softmax(-1)).log_softmax(-1)),
]


def _reshaped(logits: Tensor) -> Tensor:
    """What is at position t and level v when (B, T, levels) was reshaped to (B, levels, T)."""
    return logits.reshape(len(logits), logits.shape[2], -1).mT


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
    (faults.FIRST_LEFT_OUT, lambda terms: terms[:, 1:].sum(1)),
    (faults.LAST_LEFT_OUT, lambda terms: terms[:, :-1].sum(1)),
    (faults.ONLY_LAST, lambda terms: terms[:, -1]),
]
