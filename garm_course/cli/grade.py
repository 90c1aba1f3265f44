"""`garm grade`: verdicts on submitted notebooks, by function name, in a sandbox."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("grade")(grade)


def grade(
    homework: Annotated[Path, typer.Argument(metavar="HW", help="The folder that garm assign wrote.")],
    submissions: Annotated[Path, typer.Argument(help="A folder, a zip or tar file as an LMS gives it, or a notebook.")],
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks at a time.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the numbers that answers are checked with.")] = 1,
    trust: Annotated[bool, typer.Option("--trust", help="Go on where no filter of system calls works.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object a file on standard output.")] = False,
) -> None:
    """Grade notebooks: writes grades.csv, feedback/ and report.html into HW; what is graded is not graded again."""
    import json
    import sys

    from garm_course.grading.archive import find
    from garm_course.grading.assignment import read_assignment
    from garm_course.grading.grader import results
    from garm_course.grading.report import points, write
    from garm_course.grading.sandbox import filtered, walls
    from garm_course.progress_bar import progress

    assignment, found = read_assignment(homework), find(submissions)
    _check_version(assignment)
    if not (filtered() or trust):
        raise ValueError(
            "no filter of system calls works on this machine, so answers could reach its files and network: grade on "
            "Linux for x86-64 (a container or a virtual machine), or with --trust if you trust what you run"
        )
    order, graded = {one.file: k for k, one in enumerate(found)}, []
    with progress(total=len(found), label="grading", unit="file", disable=as_json or not sys.stderr.isatty()) as bar:
        for result in results(found, list(assignment.points), homework / "cache", jobs=jobs, seed=seed):
            graded.append(result)
            bar.update()
            if as_json:
                shown = {name: {part: one[part] for part in ("status", "hint", "flags")}
                         for name, one in result["exercises"].items()}  # fmt: skip
                line = {"file": result["file"], "student": result["student"], "unreadable": result["unreadable"]}
                typer.echo(json.dumps({**line, "exercises": shown}))
    graded.sort(key=lambda result: order[result["file"]])
    students = write(homework, assignment, graded, walls())
    if not as_json:
        unreadable = [result for result in graded if result["unreadable"]]
        mean = sum(points(assignment, one["exercises"]) for one in students.values()) / len(students)
        typer.echo(f"{len(students)} students, {mean:.2f} of {sum(assignment.points.values()):g} points on average; "
                   f"{len(unreadable)} files cannot be read")  # fmt: skip
        typer.echo(f"isolation: {walls()}")
        typer.echo(f"{homework / 'grades.csv'}, {homework / 'feedback'}, {homework / 'report.html'}")


def _check_version(assignment) -> None:
    """Say what an assignment of another version lacks here, before anything is graded."""
    from garm_course import __version__
    from garm_course.exercises import exercises

    known = {exercise.name for exercise in exercises()}
    unknown = [name for name in assignment.points if name not in known]
    if unknown:
        raise ValueError(
            f"this is garm-course {__version__}, the assignment was made with {assignment.version}: it has no "
            f"exercise {', '.join(unknown)}; install that version, or take the exercise out of assignment.toml"
        )
    if assignment.version != __version__:
        typer.echo(f"the assignment was made with garm-course {assignment.version}, this is {__version__}", err=True)
