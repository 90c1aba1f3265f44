"""The command line, `garm`: one module per group of commands, each with a `register(app)`.

Nothing heavy is imported here or at the top of those modules, so that `garm --help` answers at once; typer only in
`build`, so that `garm doctor` starts where typer is missing or too old, and says so. What a user can
put right (a wrong value, a missing file, a full disk) arrives as an exception whose message names the remedy; `main`
prints it as one line.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    import typer

COMMANDS = (
    "lab",
    "doctor",
    "data",
    "runs",
    "tune",
    "export",
    "demo",
    "assign",
    "grade",
    "challenge",
    "results",
    "release",
)  # modules of this package; --help lists groups last


def build() -> "typer.Typer":
    """The application with all its commands."""
    import typer

    from garm_course.cli.group import Group

    def print_version(wanted: bool) -> None:
        if wanted:
            from garm_course import __version__

            typer.echo(f"garm-course {__version__}")
            raise typer.Exit()

    app = typer.Typer(
        cls=Group,
        name="garm",
        help="The course on deep generative models: its lessons, its runs and their figures.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def options(
        version: Annotated[
            bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
        ] = False,
    ) -> None:
        pass

    for name in COMMANDS:
        importlib.import_module(f"garm_course.cli.{name}").register(app)
    return app


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif hasattr(error, "option_name") and getattr(error, "ctx", None):
        known = (option for parameter in error.ctx.command.params for option in parameter.opts)
        known = ", ".join(option for option in known if option.startswith("--"))
        text = f"No such option: {error.option_name}; those of {error.ctx.command_path} are: {known}, --help"
    elif hasattr(error, "format_message"):  # click's own complaints about options and arguments
        text = error.format_message()
    else:
        text = str(error)
    return " ".join(text.split()) or type(error).__name__


def _ours(error: BaseException) -> bool:
    """Whether a RuntimeError was raised by the course on purpose: torch raises that type for every bug."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("garm_course")


def _fail(message: str, code: int) -> None:
    print(f"garm: error: {message}", file=sys.stderr)
    sys.exit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `garm`; always ends in `SystemExit`.

    Exit codes: 0 done; 1 the command's own "no" (a failed check); 2 something to put right, told in one line on
    standard error; 130 interrupted. With `GARM_TRACEBACK=1` errors keep their traceback.

    Args:
        arguments: what stands after `garm`; default `sys.argv[1:]`.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # a console that lacks a sign shows "?", it does not fail
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments in (["doctor"], ["doctor", "--json"]):
        from garm_course.cli.doctor import report

        sys.exit(report(as_json="--json" in arguments))
    traceback = os.environ.get("GARM_TRACEBACK", "") not in ("", "0")
    try:
        code = build()(args=arguments, prog_name="garm", standalone_mode=False)
        sys.stdout.flush()
        if code == 130:  # what newer versions of typer make of Ctrl-C; older ones raise Abort
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:  # the reader has seen enough: garm recipes | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if type(error).__name__ == "Abort":
            _fail("interrupted", 130)
        if type(error).__name__ == "NoArgsIsHelpError":
            print(_one_line(error) if not hasattr(error, "ctx") else error.ctx.get_help())
            sys.exit(2)
        expected = isinstance(error, (ValueError, OSError, ImportError)) or hasattr(error, "format_message")
        if traceback or not (expected or (isinstance(error, RuntimeError) and _ours(error))):
            raise
        _fail(_one_line(error), getattr(error, "exit_code", 2))
    sys.exit(code if isinstance(code, int) else 0)
