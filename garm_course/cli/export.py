"""`garm export`: a trained model as ONNX files that other programs run."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("export")(export)


def export(
    name: Annotated[str, typer.Argument(help="MODEL-DATA of a shipped model, or the folder of a run.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the files [NAME-onnx].")] = None,
    opset: Annotated[int, typer.Option(help="Of ONNX, at least 18.")] = 20,
    int8: Annotated[bool, typer.Option("--int8", help="Also with matrices in eight bits, in OUT/int8.")] = False,
) -> None:
    """Write one step of a model as ONNX, after its numbers and its images have been compared with torch."""
    from garm_course import load_pretrained
    from garm_course.practice.export import eight_bits
    from garm_course.practice.export import export as write
    from garm_course.weights.files import load_model

    run = Path(name) / "model.safetensors"
    model = load_model(run) if run.is_file() else load_pretrained(name)
    out = out or Path(f"{Path(name).name}-onnx")
    exported = write(model, out, opset=opset)
    gap = max(exported.about["parity"].values())
    typer.echo(f"{name}: equal to {gap:.1e} of the largest number, at batches of 1, 3 and 64")
    described(out, exported)
    if int8:
        described(out / "int8", eight_bits(out, out / "int8"))


def described(folder: Path, exported: object) -> None:
    """Print the files of a folder, and how long a graph takes."""
    import time

    import numpy as np

    for name, graph in exported.about["graphs"].items():
        values = {
            key: np.zeros((1, *shape[key in graph["whole"] :]) if shape else (), np.int64 if key in graph["whole"] else
                          np.float32)
            for key, shape in graph["inputs"].items()
        }  # fmt: skip
        spent = []
        for _ in range(60):
            start = time.perf_counter()
            exported.run(name, values)
            spent.append(1000 * (time.perf_counter() - start))
        spent = sorted(spent[10:])
        size = (folder / f"{name}.onnx").stat().st_size
        half, most = spent[len(spent) // 2], spent[int(0.95 * len(spent))]
        typer.echo(
            f"  {folder / name}.onnx  {size / 1000:,.0f} kB, half of 50 calls within {half:.3f} ms, 95% {most:.3f} ms"
        )
