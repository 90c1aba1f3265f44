"""Exercises: write `@check` above your answer and run the cell.

`check` shows *passed*, *not yet* with the cause, or *not attempted*. The notebook then goes on with your own code if it
is right, and with the course's code otherwise. For tests and graders, `grade(name, function)` returns the same as data.

For instructors: to add an exercise to lesson 04, copy a file of `lesson04/` and extend the list in its `__init__.py`.
For a lesson without exercises, copy `lesson00.py` to `lessonNN.py`; it is found by name. An exercise is data:

    Exercise(
        name="relu",                    # the name of the function that students define, unique over the course
        lesson="04",
        reference=torch.relu,           # the library's own function wherever there is one
        rule="Negative numbers become 0, all others stay.",
        probes=[same(torch.tensor([-2.0, 0.0, 3.0], dtype=torch.float64), grad=True)],
        mistakes=[(torch.abs, "Negative numbers become 0, they do not change their sign.")],
        accepts=[lambda x: x.clamp(min=0)],
    )

Four rules make such a check trustworthy:

1. *Probes* use asymmetric, sign-mixed numbers that are not round, shapes whose sides all differ, and float64. The first
   one that fails explains itself by position, expected and actual number, so the most telling come first.
2. *Mistakes* are what a class of students writes: ten rather than three. Their hints say the cause, and how to think of
   it. Two mistakes must differ on the probes if their hints do.
3. *Accepts* are different right answers: a loop, slices, another formula, another dtype.
4. All that the answer needs comes in through its parameters, random numbers included.

Nothing has to be written for answers that raise, do not return, loop, change their arguments, or return the wrong type,
shape, dtype or NaN. `pytest tests/exercises` then holds every mistake to its own hint and accepts every right answer.

A class is asked for in the same way: its probes say how it is used,
`same(x, use=lambda Model, x: Model(channels=3)(x))`. What is not an equality is a function of an `Attempt`:

    def is_random(attempt):
        x = attempt.call(torch.zeros(1000))
        attempt.require(x.std() > 0.5, "The draws are all alike: use the generator that is passed in.")
"""

from garm_course.exercises.checking import CheckFailed, check, grade, is_reference
from garm_course.exercises.notebook import progress
from garm_course.exercises.registry import STUB, Exercise, Probe, Speed, exercises, get, same
from garm_course.exercises.verdict import Result

__all__ = [
    "STUB",
    "CheckFailed",
    "Exercise",
    "Probe",
    "Result",
    "Speed",
    "check",
    "exercises",
    "get",
    "grade",
    "is_reference",
    "progress",
    "same",
]
