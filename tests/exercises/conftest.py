"""A registry with exercises made for a test."""

import pytest

from garm_course.exercises import Exercise, registry


@pytest.fixture
def make(monkeypatch):
    """make(reference, probes, **more): adds an exercise named like its reference for the time of a test."""
    known = dict(registry._all())
    monkeypatch.setattr(registry, "_all", lambda: known)

    def add(reference, probes, **more) -> Exercise:
        exercise = Exercise(reference.__name__, "99", reference, more.pop("rule", "The rule."), probes, **more)
        known[exercise.name] = exercise
        return exercise

    return add
