"""The lists of every exercise, held to their word: all mistakes refused with their own hint, all variants accepted."""

import ast
import re
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from garm_course.exercises import exercises, grade
from garm_course.exercises.registry import Speed

ALL = exercises()
MISTAKES = [pytest.param(e, i, id=f"{e.name}-{i}") for e in ALL for i in range(len(e.mistakes))]
ACCEPTS = [pytest.param(e, i, id=f"{e.name}-{i}") for e in ALL for i in range(len(e.accepts))]
EACH = pytest.mark.parametrize("exercise", ALL, ids=lambda e: e.name)


@pytest.mark.parametrize(("exercise", "i"), MISTAKES)
def test_mistake_is_refused_with_its_own_hint(exercise, i):
    # Also shows that mistakes differ on the probes: of two that do not, the second would get the hint of the first.
    wrong, hint = exercise.mistakes[i]
    result = grade(exercise.name, wrong)
    assert (result.status, result.hint) == ("not yet", hint)
    assert exercise.name in result.detail  # the first difference stands below the cause


@pytest.mark.parametrize(("exercise", "i"), ACCEPTS)
def test_other_right_answer_is_accepted(exercise, i):
    result = grade(exercise.name, exercise.accepts[i])
    assert result.status == "passed", result.hint
    assert not result.slow


@EACH
def test_reference_passes_within_two_seconds(exercise):
    started = time.process_time()
    assert grade(exercise.name, exercise.reference).status == "passed"
    assert time.process_time() - started < 2


@EACH
def test_enough_of_everything(exercise):
    hints = [hint for _, hint in exercise.mistakes]
    assert len(set(hints)) == len(hints) >= 8
    assert all(hint.endswith(".") and len(hint) > 20 for hint in hints)
    assert len(exercise.accepts) >= 3
    assert exercise.rule.endswith(".")
    assert isinstance(exercise.speed, Speed)


@EACH
def test_unknown_mistake_explains_itself_with_the_rule(exercise):
    def half_right(*args):
        return wrong(exercise.reference(*args))

    def wrong(right):
        if isinstance(right, nn.Module):
            return [right]
        if isinstance(right, (list, tuple)):
            return [wrong(part) for part in right]
        if isinstance(right, dict):
            return {name: wrong(part) for name, part in right.items()}
        if right is None or isinstance(right, (bool, str)):
            return right
        half = 2.5 * right + 3
        return half.to(right.dtype) if isinstance(right, torch.Tensor) else type(right)(half)

    result = grade(exercise.name, half_right)
    assert result.status == "not yet"
    assert result.hint.endswith(exercise.rule)


def test_position_expected_and_actual_number_are_named():
    def nearly(k, kind):
        mask = get_mask(k, kind)
        if k == 5 and kind == "B":
            mask[1, 3] = 0.5
        return mask

    get_mask = next(e for e in ALL if e.name == "conv_mask").reference
    hint = grade("conv_mask", nearly).hint
    assert "Expected 1, got 0.5 at row 1, column 3 (1 of 25 numbers differ). The call: conv_mask(5, 'B')." in hint


SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"
MODULES = {"F", "nn", "np", "math", "torch", "itertools", "random", "functools"}


def names_of(lesson):
    """What the code of a lesson imports or assigns."""
    text = next(SOLUTIONS.glob(f"{lesson}_*.py")).read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith(("#", "%", "!")))
    tree = ast.parse(code)
    imported = {a.asname or a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))
                for a in n.names}  # fmt: skip
    return imported


@EACH
def test_hints_use_only_modules_that_the_lesson_imports(exercise):
    said = " ".join([exercise.rule, *(hint for _, hint in exercise.mistakes)])
    used = {name for name in re.findall(r"(?<![\w.])([A-Za-z]\w*)\.[a-z_]\w*", said) if name in MODULES}
    assert used <= names_of(exercise.lesson) | {"torch"}
