"""Make the two editions of a lesson, or say what is out of step."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from garm_course.editions import notebooks
from garm_course.editions.address import EditionError, normalize
from garm_course.editions.answers import blank
from garm_course.editions.catalog import Lesson, lessons
from garm_course.editions.execution import execute
from garm_course.editions.guards import false_verdicts, faults
from garm_course.editions.outputs import copy_shared, dependent, disagreements

if TYPE_CHECKING:
    from nbformat import NotebookNode


def release(lesson: Lesson, *, run: bool = True, tell: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Write the four files of a lesson; all of them, or none where something is wrong.

    The solutions are executed in full, and both editions at budget smoke. That shows that the student edition runs to
    its end and gives the verdicts of its exercises; all its other cells have the results of the solutions, which must
    not depend on the answers.

    Args:
        lesson: which one.
        run: execute; without it, cells that did not change keep their stored results and the others are left
            unexecuted (enough while writing; the tests refuse such a notebook).
        tell: called with one line per step.

    Returns:
        the files whose bytes changed.

    Raises:
        EditionError: the source cannot be blanked, a cell raised, a result is unfit to be stored, or what both editions
            show depends on the answers.
    """
    text, student_text = _texts(lesson)
    solutions, student = (notebooks.from_text(source, lesson.name) for source in (text, student_text))
    if run:
        tell(f"{lesson.name}: executing the solutions")
        full = _executed(solutions, lesson.solutions, lesson)
        _refuse_faults(full, lesson.solutions)
        tell(f"{lesson.name}: executing both editions at budget smoke")
        solutions = _executed(solutions, lesson.solutions, lesson, GARM_BUDGET="smoke")
        student = _executed(student, lesson.student, lesson, GARM_BUDGET="smoke")
        _refuse(dependent(solutions, student), lesson.student)
        solutions = full
    else:
        for nb, path in ((solutions, lesson.solutions), (student, lesson.student)):
            notebooks.keep_outputs(nb, notebooks.read(path) if path.is_file() else None)
    copy_shared(solutions, student)
    if run:
        _refuse_faults(student, lesson.student)
        _refuse(disagreements(solutions, student), lesson.student)
    files = {
        lesson.source: text,
        lesson.student_text: student_text,
        lesson.solutions: notebooks.dumps(solutions),
        lesson.student: notebooks.dumps(student),
    }
    changed = [path for path, new in files.items() if not path.is_file() or path.read_bytes() != new.encode()]
    for path in changed:
        notebooks.write(path, files[path])
    return changed


def _texts(lesson: Lesson) -> tuple[str, str]:
    """The source with its generated parts renewed, and the student's text."""
    old = lesson.source.read_text(encoding="utf-8")
    try:
        text = normalize(old, lesson.name, lesson.root)
        return text, blank(text)
    except EditionError as error:
        raise EditionError(f"solutions/{lesson.source.name}: {error}") from None


def _executed(nb: "NotebookNode", path: Path, lesson: Lesson, **changes: str) -> "NotebookNode":
    path.parent.mkdir(exist_ok=True)
    try:
        return notebooks.canonical(execute(nb, path.parent, **changes), lesson.name)
    except EditionError as error:
        raise EditionError(f"{path.parent.name}/{path.name}: {error}") from error


def _refuse_faults(nb: "NotebookNode", path: Path) -> None:
    _refuse(faults(nb, size=len(notebooks.dumps(nb).encode())), path)


def _refuse(wrong: list[str], path: Path) -> None:
    if wrong:
        raise EditionError(f"{path.parent.name}/{path.name} is unfit to be stored: " + "; ".join(wrong))


def check(lesson: Lesson) -> list[str]:
    """What is out of step in a lesson's four files, one line each, without executing anything."""
    found = []
    try:
        text, student_text = _texts(lesson)
    except EditionError as error:
        return [str(error)]
    if lesson.source.read_text(encoding="utf-8") != text:
        found.append(f"solutions/{lesson.name}.py: badges or setup cell are stale")
    if not lesson.student_text.is_file() or lesson.student_text.read_text(encoding="utf-8") != student_text:
        found.append(f"notebooks/{lesson.name}.py is not the blanked solutions/{lesson.name}.py")
    in_step = []
    for path, source in ((lesson.solutions, text), (lesson.student, student_text)):
        fresh = notebooks.from_text(source, lesson.name)
        try:
            stored = notebooks.read(path)
        except EditionError as error:
            found.append(str(error))
            continue
        found += [f"{path.parent.name}/{path.name}: {line}" for line in false_verdicts(stored)]
        difference = notebooks.first_difference(fresh, stored)
        if difference is None and [c.id for c in fresh.cells] != [c.get("id") for c in stored.cells]:
            difference = "cell ids are not derived from the text"
        if difference:
            found.append(f"{path.parent.name}/{path.name} is out of step with its .py: {difference}")
        else:
            in_step.append(stored)
    if len(in_step) == 2:
        found += [f"{lesson.name}: {line}" for line in disagreements(*in_step)]
    return found


def strays(root: Path) -> list[str]:
    """Files of an edition that belong to no lesson, one line each."""
    known = {path for one in lessons(root) for path in (one.source, one.solutions, one.student_text, one.student)}
    files = [path for folder in ("solutions", "notebooks") for path in (root / folder).glob("[!.]*.*")]
    return [
        f"{path.parent.name}/{path.name} belongs to no lesson in solutions/; remove it"
        for path in sorted(files)
        if path not in known and path.suffix in (".py", ".ipynb")
    ]
