"""The lessons that exist: all four files of each in step, regenerated here and compared; nothing is executed."""

from pathlib import Path

import pytest

from garm_course.editions import blank, build, lessons

ROOT = Path(__file__).resolve().parents[2]
LESSONS = lessons(ROOT)


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_pairs_editions_badges_and_setup_cell_are_in_step(lesson):
    assert build.check(lesson) == []


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_no_answer_is_in_the_student_edition(lesson):
    source = lesson.source.read_text(encoding="utf-8")
    assert lesson.student_text.read_text(encoding="utf-8") == blank(source)
    for path in (lesson.student_text, lesson.student):
        assert "END SOLUTION" not in path.read_text(encoding="utf-8")


def test_no_file_of_an_edition_belongs_to_no_lesson():
    assert build.strays(ROOT) == []
