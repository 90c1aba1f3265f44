"""`garm data list`, `garm data fetch` and `garm data show`: which data there are, and what they look like."""

import inspect
import json
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from garm_course.cli.group import Group

COLUMNS = 100  # of the text that is printed
RAMP = " .:-=+*#%@"  # from level 0 to the highest


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    group = typer.Typer(cls=Group, help="The data sets: what there is, download, look at them.", no_args_is_help=True)
    group.command("list")(list_)
    group.command()(fetch)
    group.command()(show)
    app.add_typer(group, name="data")


def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """List the data sets and where their files are."""
    from garm_course import datasets

    rows = []
    for name in datasets.names():
        what = datasets.card(datasets.dataset_class(name))["What"]
        rows.append({"name": name, "where": _where(name), "what": what})
    if as_json:
        typer.echo(json.dumps(rows))
        return
    wide = [max(len(row[key]) for row in rows) for key in ("name", "where")]
    for row in rows:
        left = f"{row['name']:<{wide[0]}}  {row['where']:<{wide[1]}}  "
        typer.echo(left + textwrap.shorten(row["what"], 120 - len(left), placeholder=" ..."))
    typer.echo(f"\nload them with garm_course.datasets.load(name, split); downloads are kept in {_cache()}")


def fetch(names: Annotated[list[str], typer.Argument(help="Data sets, or `all`.", metavar="NAME...")]) -> None:
    """Download data sets, or find your own files."""
    from garm_course import datasets
    from garm_course.datasets import downloads

    chosen = datasets.names() if names == ["all"] else names
    for name in chosen:  # all names first: a typing error in the last one must not cost a download
        datasets.dataset_class(name)
    failed = []
    for name in chosen:
        source = datasets.source_of(name)
        if source is None:
            typer.echo(f"{name}: included")
            continue
        try:
            for role in source.files:
                found = downloads.fetch(source, role)
                typer.echo(f"{name}: {role}: {found.path}{' (yours)' if found.supplied else ''}")
        except datasets.DownloadError as error:
            if len(chosen) == 1:
                raise
            typer.echo(f"{name}: {error}")
            failed.append(name)
    if failed:
        raise datasets.DownloadError(f"{len(failed)} of {len(chosen)} could not be fetched: {', '.join(failed)}")


def show(
    name: Annotated[str, typer.Argument(help="Data set, as `garm data list` lists them.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    out: Annotated[
        Path | None, typer.Option(help="File for the first examples: .png for a picture, .txt for a text.")
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Only the card: nothing is loaded.")] = False,
) -> None:
    """Show a data set: its card and first examples."""
    from garm_course import datasets
    from garm_course.weights.files import write_atomically

    cls = datasets.dataset_class(name)
    ending = ".txt" if issubclass(cls, _text_class()) else ".png"
    if out is not None and (out.suffix.lower() != ending or card):
        raise ValueError(
            "expected --card or --out, not both: a card has no picture"
            if card
            else f"expected a file name that ends in {ending}, got {out}; for example --out {out.stem}{ending}"
        )
    if out is not None and not out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent}; create it or choose another --out")
    typer.echo(f"{name}\n")
    for part, words in datasets.card(cls).items():
        typer.echo(textwrap.fill(words, COLUMNS, initial_indent=f"{part + ':':<9}", subsequent_indent=" " * 9))
    typer.echo(textwrap.fill(_options(cls), COLUMNS, initial_indent="Options: ", subsequent_indent=" " * 9))
    if card:
        return
    data = datasets.load(name, split)
    typer.echo(f"\n{data}\nfingerprint: {data.fingerprint[:16]}\n\n{preview(data)}")
    if out is not None:
        if ending == ".txt":
            write_atomically(out, data.text.encode())
        else:
            from garm_course.show import png

            write_atomically(out, png(picture(data)))
        typer.echo(f"\nwritten: {out}")


def picture(data):
    """The first examples as a figure: a grid of images, frames of clips, waveforms, or points in the plane."""
    from garm_course import show

    title = f"The first of {data.name} ({data.split})"
    if data.called == "points":
        title = f"{len(data):,} points of {data.name} ({data.split}) around {data.n_classes} centers"
        return show.points_figure(data.x, title=title)
    if data.called == "notes":
        labels = [
            f"{data.notes[y]}, loudness {a:g}" for y, a in zip(data.y[:6], data.factors["loudness"], strict=False)
        ]
        return show.waves_figure(data.waveform[:6], rate=data.rate, labels=labels, title=title)
    if data.called == "clips":
        frames = min(data.shape[1], 8)
        x = data.x[:4, :, :frames].transpose(1, 2).flatten(0, 1)  # (4 T, C, H, W)
        columns = [f"frame {t + 1}" for t in range(frames)]
        return show.panels_figure({"": x}, levels=data.levels, rows=len(data.x[:4]), cols=columns, title=title)
    n = min(len(data), 32)
    return show.panels_figure({"": data.x[:n]}, levels=data.levels, cols=8, rows=-(-n // 8), title=title)


def preview(data) -> str:
    """The first examples as characters, for a terminal."""
    if data.called == "windows":
        return "\n".join(line[:COLUMNS] for line in data.text[:1500].split("\n"))
    if data.called == "points":
        centers = ", ".join(f"({x:g}, {y:g})" for x, y in data.x[:6].double().round(decimals=2).tolist())
        return f"the first points: {centers}"
    if data.called == "notes":
        step = -(-data.shape[0] // 80)  # samples a column
        loud = data.waveform[:4, : 80 * step].abs()
        loud = loud[:, : loud.shape[1] // step * step].unflatten(1, (-1, step)).amax(2)
        rows = ["".join(RAMP[round(value * (len(RAMP) - 1))] for value in row) for row in loud.tolist()]
        return "\n".join(f"{data.notes[y]} |{row}|" for y, row in zip(data.y[:4].tolist(), rows, strict=True))
    images = data.x[:6] if data.called != "clips" else data.x[0].transpose(0, 1)[:6]
    return characters(images, data.levels)


def characters(images, levels: int) -> str:
    """Images side by side, one or two characters a pixel; dark characters are high levels.

    Args:
        images: LongTensor (N, C, H, W) of levels 0..levels-1; the mean over the channels is shown.
        levels: number of levels.
    """
    shade = images.double().mean(1) / (levels - 1)  # (N, H, W)
    if shade.shape[2] > 16:  # characters are twice as high as wide: one for two pixels below each other
        shade = shade[:, : shade.shape[1] // 2 * 2].unflatten(1, (-1, 2)).mean(2)
        wide = 1
    else:
        wide = 2
    fit = max(1, COLUMNS // (shade.shape[2] * wide + 1))
    rows = []
    for row in shade[:fit].transpose(0, 1).tolist():  # (H, N, W)
        rows.append("|".join("".join(RAMP[round(v * (len(RAMP) - 1))] * wide for v in pixels) for pixels in row))
    return "\n".join(rows)


def _options(cls) -> str:
    parameters = [p for p in inspect.signature(cls).parameters.values() if p.name != "split"]
    return ", ".join(f"{p.name}={p.default!r}" for p in parameters) or "none"


def _text_class() -> type:
    from garm_course.datasets.text import Text

    return Text


def _where(name: str) -> str:
    from garm_course import datasets
    from garm_course.datasets.downloads import whereabouts

    source = datasets.source_of(name)
    return "included" if source is None else whereabouts(source)


def _cache() -> str:
    from garm_course.paths import cache_folder

    return str(cache_folder())
