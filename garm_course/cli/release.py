"""`garm release`: make both editions of the lessons from `solutions/*.py`, or check that they are in step."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("release")(release)


def release(
    names: Annotated[list[str] | None, typer.Argument(metavar="LESSON", help="4 or 04_pixelcnn; all")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file is out of step.")] = False,
    execute: Annotated[bool, typer.Option(help="Run the notebooks, or keep the results of unchanged cells.")] = True,
) -> None:
    """Write the executed solutions and the student edition of each lesson from its source, solutions/NN_topic.py."""
    from garm_course.editions import build, project_root, select

    chosen = select(names or [])
    if check:
        found = [line for lesson in chosen for line in build.check(lesson)]
        if not names:
            found += build.strays(project_root())
        for line in found:
            typer.echo(line, err=True)
        if found:
            typer.echo("out of step; run: garm release (or garm release --no-execute while writing)", err=True)
            raise typer.Exit(1)
        typer.echo(f"{len(chosen)} lessons in step")
        return
    for lesson in chosen:
        changed = build.release(lesson, run=execute, tell=typer.echo)
        written = ", ".join(f"{path.parent.name}/{path.name}" for path in changed) or "nothing changed"
        typer.echo(f"{lesson.name}: {written}")
