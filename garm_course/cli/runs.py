"""`garm train`, `garm evaluate`, `garm sample` and `garm recipes`: runs from the command line."""

import json
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from garm_course.training.tracking import TRACKERS

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the application."""
    app.command()(train)
    app.command()(evaluate)
    app.command()(sample)
    app.command()(recipes)


def train(
    model: Annotated[str, typer.Argument(help="Model, as `garm recipes` lists them.")],
    data: Annotated[str, typer.Option(help="Data set.")] = "digits",
    budget: Annotated[str, typer.Option(help="smoke (two steps), quick (a minute or less) or full.")] = "quick",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of weights, order of the data and dropout.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the run [runs/MODEL-DATA-SEED].")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run in that folder.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")] = False,
    save_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between checkpoints [at every evaluation].")
    ] = None,
    device: Annotated[str, typer.Option(help="auto (a GPU if there is one) or cpu.")] = "auto",
    precision: Annotated[str, typer.Option(help="no (that of the weights) or bf16 (mixed).")] = "no",
    processes: Annotated[int, typer.Option(min=1, help="Processes on this machine, one for each GPU.")] = 1,
    track: Annotated[str | None, typer.Option(help="tensorboard or wandb (offline); into the run's logs.")] = None,
    set_: Annotated[str, typer.Option("--set", help='Other settings, such as "lr=0.01; hidden=[64, 64]".')] = "",
    as_json: Json = False,
) -> None:
    """Train a model on a data set; write model.safetensors and result.json."""
    import os

    from garm_course import recipes
    from garm_course.recipes.settings import changed, parse_settings

    recipe, chosen = recipes.find(model, data), parse_settings(set_)
    changed(recipe, chosen)  # refuses a setting that there is not
    choose("device", device, ("auto", "cpu"))
    choose("precision", precision, ("no", "bf16"))
    choose("track", track, (None, *TRACKERS))
    out = out or Path("runs") / f"{recipe.name}-{seed}"
    if device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"  # read by Accelerate when it starts
    recipe.settings(budget)  # refuses a budget that there is not
    if processes > 1:
        options = {"data": data, "budget": budget, "seed": seed, "out": out, "save-every": save_every, "device": device,
                   "precision": precision, "track": track, "set": set_ or None}  # fmt: skip
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        flags = {"--overwrite": overwrite, "--resume": resume, "--json": as_json}
        raise typer.Exit(in_processes(processes, ["train", model, *given, *(f for f, on in flags.items() if on)]))
    first = os.environ.get("RANK", "0") == "0"
    finished = resume and not overwrite and (out / "result.json").is_file()
    if not as_json and first:
        typer.echo(f"{recipe.name}, budget {budget}, seed {seed}, into {out}")
    _, result = recipes.train(
        recipe, out, budget=budget, seed=seed, overwrite=overwrite, resume=resume, save_every=save_every,
        precision=precision, track=track, chosen=chosen,
    )  # fmt: skip
    if not first:
        return
    if as_json:
        typer.echo(json.dumps(result))
        return
    typer.echo(table(result))
    if recipe.name in recipes.recorded_names() and not chosen:
        typer.echo(against_record(result, recipes.recorded(recipe.name)))
    training, how = result["training"], "already finished" if finished else "written"
    typer.echo(
        f"{result['parameters']:,} parameters, {result['seconds']:.0f} s, best validation at step "
        f"{training['best_step']} ({training['stopped']})\n"
        f"{how}: {out / 'model.safetensors'}, {out / 'result.json'}"
    )


def choose(option: str, value: str | None, known: tuple) -> None:
    """Refuse a value that an option does not know, with the nearest one that it does (ValueError)."""
    if value in known:
        return
    names = [name for name in known if name]
    near = get_close_matches(str(value), names, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"no --{option} {value!r}; {guess}choose one of {', '.join(names)}")


def in_processes(n: int, arguments: list[str]) -> int:
    """Run `garm` with these arguments in n processes that share the work; the exit code."""
    import subprocess
    import sys

    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
    return subprocess.run([*launcher, "-m", "garm_course.cli", *arguments], check=False).returncode


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run, as `garm train` writes it.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    as_json: Json = False,
) -> None:
    """Evaluate a run on a split and add the figure to its result.json."""
    from garm_course import recipes

    result = recipes.evaluate_run(run, split)
    typer.echo(json.dumps(result) if as_json else table(result))


def sample(
    run: Annotated[str, typer.Argument(help="Folder of a run, or the name of a pretrained model.")],
    out: Annotated[Path, typer.Option(help="File to write: .png, of text .txt, of sound .wav.")],
    n: Annotated[int, typer.Option("--n", "-n", min=1, max=1024, help="Number of samples.")] = 16,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the draws.")] = 0,
    label: Annotated[
        int | None, typer.Option("--class", help="Class, for a class-conditional model [all in turn].")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="1 samples the model itself, 0 the likeliest level [1].")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Keep the k most probable levels of each pixel.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Keep the most probable levels up to this mass.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Keep levels with this share of the largest probability.")] = None,
    length: Annotated[int | None, typer.Option(min=1, help="Length of a text or a sound [as trained].")] = None,
    caption: Annotated[str | None, typer.Option(help="What an image shall show, in words [nothing is asked].")] = None,
    guidance: Annotated[float | None, typer.Option(help="Weight of the caption; 1 is the model itself [1].")] = None,
) -> None:
    """Draw samples from a run and write them: images as a grid, texts and sounds one after another."""
    import torch

    from garm_course.datasets.captions import encode
    from garm_course.progress_bar import progress
    from garm_course.recipes import kind_of
    from garm_course.weights.files import write_atomically

    model = _model(run)
    kind = kind_of(model.record)
    if out.suffix.lower() != kind.suffix:
        raise ValueError(
            f"expected a file name that ends in {kind.suffix}, got {out}; for example --out {out.stem}{kind.suffix}"
        )
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent}; create it or choose another --out")
    filters = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "length": length,
               "caption": caption, "guidance": guidance}  # fmt: skip
    options = {name: value for name, value in filters.items() if value is not None}
    refused = [name for name in options if name not in model.sampling_options]
    if refused:
        known = ["n", "seed", *(["class"] if model.n_classes else [])]
        known += [name for name in filters if name in model.sampling_options]
        raise ValueError(f"a {model.name} takes no {_flags(refused)}; it takes {_flags(known)}")
    if label is not None and not model.n_classes:
        raise ValueError("this model knows no classes; leave --class out, or use a conditional_... model")
    y = None
    if model.n_classes:
        y = torch.arange(n) % model.n_classes if label is None else torch.full((n,), label)
    if caption is not None:
        y = encode(options.pop("caption"))
    if "progress" in model.sampling_options:
        options["progress"] = partial(progress, label="sampling", unit=kind.position)
    samples = model.levels_of(model.sample(n, y, rng=torch.Generator().manual_seed(seed), **options))
    write_atomically(out, kind.file(model, samples, f"{n} samples of {model.name}, seed {seed}"))
    typer.echo(f"written: {out}")


def _flags(names: list[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _model(run: str):
    """The model of a run folder, of a file, or of a pretrained name; one that has samples to draw."""
    from garm_course.weights import load_pretrained, pretrained_names
    from garm_course.weights.files import load_model

    if Path(run).exists():
        model = load_model(Path(run) / "model.safetensors" if Path(run).is_dir() else Path(run))
    elif run in pretrained_names():
        model = load_pretrained(run)
    else:
        known = ", ".join(pretrained_names()) or "none"
        raise FileNotFoundError(f"{run} is neither a run of `garm train` nor a pretrained model; those are: {known}")
    if not hasattr(model, "sample"):
        raise ValueError(f"a {model.name} has no samples to draw; choose a model of likelihood or a GAN")
    return model


def recipes(as_json: Json = False) -> None:
    """List what `garm train` can train, with the recorded figures."""
    from garm_course import recipes
    from garm_course.recipes.kinds import KINDS

    known = recipes.recorded_names()
    rows = []
    for recipe in recipes.RECIPES.values():
        figures = recipes.recorded(recipe.name)["validation"] if recipe.name in known else None
        rows.append({"model": recipe.model, "data": recipe.data, "recorded": figures})
    if as_json:
        typer.echo(json.dumps(rows))
        return
    units = [kind.unit for kind in KINDS.values()]
    typer.echo(
        f"{'model':<28}{'data':<18}recorded on validation, mean over seeds: {', '.join(units[:-1])} or {units[-1]}"
    )
    for recipe, row in zip(recipes.RECIPES.values(), rows, strict=True):
        figure = "none" if row["recorded"] is None else KINDS[recipe.kind].headline(row["recorded"]).text
        typer.echo(f"{row['model']:<28}{row['data']:<18}{figure}")


def against_record(result: dict, record: dict) -> str:
    """One line that sets the validation figure of a run beside the recorded one."""
    from garm_course.recipes import kind_of

    kind = kind_of(record)
    seeds = ", ".join(str(seed) for seed in record["seeds"])
    there, here = (kind.headline(one["validation"]).text for one in (record, result))
    return (
        f"recorded for budget {record['budget']}, seeds {seeds}: {there} {kind.unit} on validation; "
        f"this run, budget {result['budget']}: {here}"
    )


def table(result: dict) -> str:
    """The figures of a run beside the baselines, as aligned text."""
    from garm_course.recipes import kind_of

    kind = kind_of(result)
    rows = [(f"{name} (validation)", figures) for name, figures in result["baselines"].items()]
    for split in ("train", "validation", "test"):
        if split in result:
            bound = f", at most: {result[split]['bound']}" if result[split].get("bound") else ""
            rows.append((f"{result['model']} ({split}{bound})", result[split]))
    if result.get("floor"):
        rows.append(("entropy of the data (floor)", result["floor"]))
    names = ["", *(name for name, _ in rows)]
    lines = kind.lines([figures for _, figures in rows])
    return "\n".join(f"{name:<44}{line}".rstrip() for name, line in zip(names, lines, strict=True))
