"""A checkout with one tiny lesson, made for each test: the release machinery is tested on it alone."""

import shutil
from pathlib import Path

import pytest
from tiny_lesson import TINY

from garm_course.editions import Lesson

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lesson(tmp_path):
    """The tiny lesson in a checkout of its own, with nothing generated yet."""
    (tmp_path / "solutions").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "solutions" / "00_tiny.py").write_text(TINY, encoding="utf-8")
    return Lesson("00_tiny", tmp_path)
