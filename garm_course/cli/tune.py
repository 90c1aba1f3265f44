"""`garm tune`: search the settings of a recipe, with as many workers as you start."""

from typing import Annotated

import typer

SPACE = "lr=3e-4..3e-2 log"  # what matters most in every recipe


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("tune")(tune)


def tune(
    model: Annotated[str, typer.Argument(help="Model, as `garm recipes` lists them.")],
    data: Annotated[str, typer.Option(help="Data set.")] = "digits",
    trials: Annotated[int, typer.Option(min=1, help="Finished trials that the study has in the end.")] = 20,
    space: Annotated[str, typer.Option(help='Such as "lr=1e-4..1e-1 log; hidden=32|64|128".')] = SPACE,
    storage: Annotated[
        str | None, typer.Option(help="sqlite:///FILE or journal:FILE; start the command again to go on, or to help.")
    ] = None,
    budget: Annotated[str, typer.Option(help="smoke, quick or full: the settings that are not searched.")] = "quick",
    steps: Annotated[int | None, typer.Option(min=1, help="Of every training [the budget's].")] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Stop trials that are worse than the median of others.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the search, for one worker alone.")] = None,
) -> None:
    """Search settings by the validation likelihood; the test split is not touched."""
    from garm_course import recipes
    from garm_course.practice.tuning import parse_space, read_value
    from garm_course.recipes.settings import written
    from garm_course.recipes.tuning import tune_recipe

    recipe, searched = recipes.find(model, data), parse_space(space)
    study = tune_recipe(
        recipe, searched, budget=budget, steps=steps, trials=trials, storage=storage, name=recipe.name, seed=seed,
        prune=prune,
    )  # fmt: skip
    counts = {}
    for trial in study.get_trials(deepcopy=False):
        counts[trial.state.name.lower()] = counts.get(trial.state.name.lower(), 0) + 1
    typer.echo(f"{recipe.name}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    typer.echo(f"best: {study.best_value:.2f} nats on the validation split, with")
    for name, value in study.best_params.items():
        typer.echo(f"  {name} = {value:.4g}" if isinstance(value, float) else f"  {name} = {value}")
    chosen = {name: read_value(value) if isinstance(value, str) else value for name, value in study.best_params.items()}
    best = written(chosen | ({"steps": steps} if steps else {}))
    typer.echo(
        "It is the best of many, so it looks better than it is: train it with other seeds before you believe it.\n"
        f'garm train {model} --data {data} --budget {budget} --seed 1 --set "{best}" --out runs/{recipe.name}-tuned-1'
    )
