"""`garm assign`: a folder to hand out, and the file that says what is asked for."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("assign")(assign)


def assign(
    lessons: Annotated[list[str], typer.Argument(metavar="LESSON[:EXERCISE,...]", help="04, or 10:elbo")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must be new or empty.")],
    points: Annotated[float, typer.Option(min=0, help="Of each exercise; edit assignment.toml for others.")] = 1.0,
    due: Annotated[str, typer.Option(help="2027-02-01T23:59+08:00; it is told to students, not enforced.")] = "",
    zipped: Annotated[bool, typer.Option("--zip", help="Write release.zip as well.")] = False,
) -> None:
    """Write release/ with the student notebooks, a README and requirements, and assignment.toml for garm grade."""
    import shutil

    from garm_course.editions import address, project_root, select
    from garm_course.exercises import exercises
    from garm_course.grading.assignment import FILE, Assignment, check_due, chosen

    root = project_root()
    known: dict[str, list[str]] = {}
    for exercise in exercises():
        known.setdefault(exercise.lesson, []).append(exercise.name)
    asked = chosen(lessons, known)
    due = due and check_due(due)
    if points <= 0:
        raise ValueError(f"--points {points:g}: expected a number above 0")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty: name a new folder")
    release = out / "release"
    release.mkdir(parents=True)
    editions = select(list(asked), root)
    for lesson in editions:
        shutil.copyfile(lesson.student, release / lesson.student.name)
    where = address(root)
    requirement = f"garm-course[lab] @ git+{where.url}@{where.tag}"
    (release / "requirements.txt").write_text(f"{requirement}\n", encoding="utf-8")
    (release / "README.md").write_text(_readme(editions, asked, points, due, root), encoding="utf-8")
    names = [name for exercises_of in asked.values() for name in exercises_of]
    assignment = Assignment(out.resolve().name, dict.fromkeys(names, points), due)
    (out / FILE).write_text(assignment.text(), encoding="utf-8")
    if zipped:
        shutil.make_archive(str(release), "zip", release)
    typer.echo(f"{release}: {len(editions)} notebooks, {len(names)} exercises, {points * len(names):g} points")
    typer.echo(f"{out / FILE}: points can be edited; then garm grade {out} SUBMISSIONS")


def _readme(editions: list, asked: dict[str, list[str]], points: float, due: str, root: Path) -> str:
    """What students read."""
    from garm_course.editions import badges

    lines = ["# Assignment", "", *([f"Due {due}.", ""] if due else [])]
    for lesson in editions:
        lines += [f"- `{lesson.student.name}`: {', '.join(f'`{name}`' for name in asked[lesson.number])}, "
                  f"{points:g} points each. {badges(lesson.name, root)}"]  # fmt: skip
    lines += [
        "",
        "Open a notebook in one of three ways: the Colab badge, the Binder badge, or on your own computer:",
        "",
        "    python -m venv .venv",
        "    .venv/bin/pip install -r requirements.txt",
        "    .venv/bin/jupyter lab",
        "",
        "The verdict above your answer is the one that counts: it is graded by the same checks with other numbers, no",
        "check is hidden. Keep the names of the functions; add, move and copy cells as you like. Hand in the notebook.",
        "",
    ]
    return "\n".join(lines)
