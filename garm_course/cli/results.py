"""`garm results`: write RESULTS.md, the page of all recorded results, or check that it is up to date."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("results")(results)


def results(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if the page is out of date.")] = False,
) -> None:
    """Write RESULTS.md, the tables of all recorded runs and studies, from results/."""
    from garm_course import paths
    from garm_course.recipes.page import page, read_results, read_studies
    from garm_course.weights.files import write_atomically

    root = paths.checkout()
    if root is None:
        raise ValueError(
            "RESULTS.md is not part of the installed package; 'garm results' works in a clone of the repository, "
            "installed with: python -m pip install -e ."
        )
    text = page(read_results(root), read_studies(root))
    file = root / "RESULTS.md"
    current = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    if check and current != text:
        typer.echo("RESULTS.md is out of date; run: garm results", err=True)
        raise typer.Exit(1)
    if current == text:
        typer.echo("RESULTS.md is up to date")
        return
    write_atomically(file, text.encode())
    typer.echo(f"written: {file}")
