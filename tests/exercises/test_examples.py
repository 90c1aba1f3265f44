"""The examples in the texts of the exercises, typed as they stand."""

import math
import re
from pathlib import Path

import pytest
import torch

from garm_course.exercises import exercises

SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"


def examples():
    """Exercise, call and value of every "Example: `call` is `value`"."""
    for exercise in exercises():
        text = next(SOLUTIONS.glob(f"{exercise.lesson}_*.py")).read_text(encoding="utf-8")
        task = re.search(rf"(?s)# \*\*Exercise[^\n]*`{exercise.name}`.*?\n\n", text)
        found = rf"`({exercise.name}\([^`]*\)[^`]*)` is (?:exactly )?(?:`([^`]+)`|(-?\d+(?:\.\d+)?))"
        for call, *values in re.findall(found, task[0]):
            value = "".join(values)
            yield pytest.param(exercise, call, value, id=f"{exercise.name}-{value[:20]}")


EXAMPLES = list(examples())


def numbers(value):
    """All numbers of a result, in order."""
    if isinstance(value, torch.Tensor):
        return value.double().flatten().tolist()
    if isinstance(value, (list, tuple)):
        return [x for part in value for x in numbers(part)]
    return [float(value)]


@pytest.mark.parametrize(("exercise", "call", "value"), EXAMPLES)
def test_the_example_of_the_text_is_what_comes_out(exercise, call, value):
    space = {"torch": torch, "math": math, exercise.name: exercise.reference}
    found, shown = numbers(eval(call, space)), numbers(eval(value, space))
    digits = max(len(part.partition(".")[2]) for part in re.findall(r"\d+\.\d*|\d+", value))
    assert found == pytest.approx(shown, abs=0.51 * 10**-digits)


def test_most_exercises_have_an_example_that_can_be_typed():
    typed = {param.values[0].name for param in EXAMPLES}
    assert len(typed) >= 30, sorted({e.name for e in exercises()} - typed)
