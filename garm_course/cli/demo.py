"""`garm demo`: three models in the browser, as a page that is served here, or written for any web server."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path | None, typer.Option(help="Write index.html into this folder, and serve nothing.")] = None,
    engine: Annotated[
        str,
        typer.Option(help="page (one file), or onnx: also a larger model, whose runtime is downloaded once, 33 MB."),
    ] = "page",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the server, 0 for a free one.")] = 0,
) -> None:
    """Show models that draw in the browser, offline: digits to complete, latents to turn, a text that goes on."""
    import tempfile
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    from garm_course.cli.runs import choose

    choose("engine", engine, ("page", "onnx"))
    if engine == "onnx":
        from garm_course.practice.served import write_served as write
    else:
        from garm_course.practice.page import write_page as write
    if out is not None and engine == "onnx":
        file = write(out)
        typer.echo(f"written: {file.parent}; copy it to any web server (glyphs.html does not open from a file)")
        return
    if out is not None:
        file = write(out)
        typer.echo(f"written: {file} ({file.stat().st_size / 1e6:.1f} MB); open it, or copy it to any web server")
        return
    with tempfile.TemporaryDirectory(prefix="garm-demo-") as folder:
        name = write(folder).name
        handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
        with ThreadingHTTPServer(("127.0.0.1", port), partial(handler, directory=folder)) as server:
            name = name if engine == "onnx" else ""
            typer.echo(f"http://127.0.0.1:{server.server_port}/{name} until you press Ctrl-C")
            server.serve_forever()
