"""Surroundings of the equation tests: no spinning threads, and the same random numbers for every test."""

import os

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(0)


def pytest_collection_modifyitems(items):
    """Refuse a misspelled or forgotten marker in tests/equations/test_lessonNN.py."""
    for item in items:
        mine = item.path.parent.name == "equations" and item.path.name.startswith("test_lesson")
        if not mine or not isinstance(item, pytest.Function):
            continue
        lesson = str(int(item.path.stem.removeprefix("test_lesson")))
        numbers = [number for mark in item.iter_markers("equation") for number in mark.args]
        if not numbers or any(not str(number).startswith(f"{lesson}.") for number in numbers):
            raise pytest.UsageError(
                f"{item.nodeid}: expected @pytest.mark.equation('{lesson}.n'), the number of the equation that it "
                f"checks, got {numbers}"
            )
