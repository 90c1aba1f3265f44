"""`garm challenge`: train a player's model under a limit, score it blind, and keep a board."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("challenge")(challenge)


def challenge(
    file: Annotated[Path | None, typer.Argument(help="A Python file with a class Model, see --example.")] = None,
    data: Annotated[str, typer.Option(help="digits (for friends) or glyphs (fresh test images: for the ranking).")] = (
        "digits"
    ),
    kind: Annotated[str, typer.Option(help="exact (conditionals), bound (encoder and decoder) or samples.")] = "exact",
    seconds: Annotated[float, typer.Option(help="Of a processor, for training and again for all answers.")] = 60.0,
    board: Annotated[Path | None, typer.Option(help="A file of results to add to; without FILE it is shown.")] = None,
    name: Annotated[str | None, typer.Option(help="Whose result it is [the name of the file].")] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="The referee's secret [drawn anew]; one for all players pairs their images."),
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a player to start from.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a model of yours in a sandbox that holds no test data, and score it; exit 1 for a foul."""
    import json

    from garm_course.grading.board import read_board, standings, submit
    from garm_course.grading.challenge import challenge, example_player
    from garm_course.grading.sandbox import Foul

    if example:
        typer.echo(example_player(kind), nl=False)
        return
    if file is None and board is None:
        raise ValueError("expected a player's file or --board; garm challenge --example > player.py writes one")
    if file is not None:
        read_board(board) if board else None  # a file that is no board is told before the training
        try:
            result = challenge(file, data, kind=kind, seconds=seconds, seed=seed)
        except Foul as foul:
            typer.echo(f"foul: {foul}", err=True)
            raise typer.Exit(1) from None
        counts = submit(board, name or file.stem, result) if board else True
        if as_json:
            typer.echo(json.dumps(result._asdict() | {"kl": result.kl and [result.kl.nats, result.kl.stderr]}))
            return
        typer.echo(f"{result.data}: {described(result)}")
        if result.kl:
            typer.echo(f"KL(data || model): {result.kl.nats:.2f} ± {result.kl.stderr:.2f} nats")
        typer.echo(f"training took {result.cpu_seconds:.1f} s of a processor; walls: {result.walls}")
        if not counts:
            typer.echo("better than this name's earlier result by less than a standard error: that one stands")
    if board:
        entries = read_board(board)
        samples = bool(entries) and entries[0].get("kind") == "samples"
        typer.echo(table(standings(entries), "Fréchet distance" if samples else "nats"))


def described(result) -> str:
    """The figure of a result in words."""
    if result.kind != "samples":
        return str(result.likelihood)
    mean = sum(result.scores) / len(result.scores)
    return (
        f"Fréchet distance {mean:.1f} over {len(result.scores)} sets ({min(result.scores):.1f} to "
        f"{max(result.scores):.1f}), coverage {result.coverage:.2f}, copy test {result.copying:.2f} (copies: above 0.5)"
    )


def table(rows: list, unit: str = "nats") -> str:
    """Standings as lines."""
    if not rows:
        return "the board has no result yet"
    kl = any(row.kl is not None for row in rows)
    width = max(len(row.name) for row in rows)
    lines = []
    for row in rows:
        line = f"{row.place:3d}  {row.name:{width}}  {row.nats:8.2f} ± {row.stderr:.2f} {unit}"
        line += f"  KL {row.kl:6.2f}" if row.kl is not None else " " * 11 * kl
        lines.append(f"{line}  {row.tries} {'try' if row.tries == 1 else 'tries'}")
    return "\n".join([*lines, "Entries with the same number are not told apart by these images."])
